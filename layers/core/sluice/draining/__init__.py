"""Taking an instance out of service without losing or repeating its work."""
