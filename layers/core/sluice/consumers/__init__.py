"""The consumers on a fleet's instances: their boot, their reports, and the protection of busy ones."""
