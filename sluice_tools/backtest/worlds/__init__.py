"""Worlds: traffic, conditions, and consumers, groups and metrics that do not behave as a count suggests."""
