"""The AWS smoke test: the product's story in an account of your own, audited, timed, and deleted. `make aws-smoke`."""
