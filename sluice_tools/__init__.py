"""What is never deployed: the `sluice` command, the sandbox, the demo, benchmarks and chaos."""
