"""Chaos: whole stories in virtual time over the ports in memory, each from one seed, with faults wherever they fit.

A scenario is a module here with `run(seed) -> Report`; `python -m sluice_tools.chaos` finds them all, by the module's
name.
"""
