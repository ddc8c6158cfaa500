"""The demo: one story of orders on the embedded emulator, shown live, audited at its end. Run by `make demo`."""
