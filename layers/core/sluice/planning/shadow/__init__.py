"""Shadow mode: what the plans would have cost, and how long messages would have waited."""
