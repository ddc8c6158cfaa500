"""Is what a fleet names there, fit, and nobody else's? Asked where a fleet or a further queue is deployed."""
