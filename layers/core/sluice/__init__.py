"""Sluice: the decision core, and its edge to AWS in `sluice.aws`."""
