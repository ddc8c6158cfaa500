"""The embedded AWS emulator: ministack, extended in process by what Sluice lives on and it lacks.

Run as ``.envs/emulator/bin/python -m sluice_tools.sandbox.emulator`` from the repository root, in the emulator's own
environment: nothing here imports more than ministack and the standard library. One file a lack; each names the
AWS pages it follows, because the emulator and these additions are readings of AWS, not AWS.
"""
