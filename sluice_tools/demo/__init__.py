"""The demo: a story of orders on the embedded emulator, shown live and audited at its end. `make demo` runs it."""
