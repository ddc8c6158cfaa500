"""The records that the packages pass to each other: what is observed, planned, drained and redriven. No behaviour."""
