"""Redrive jobs: opened, run batch by batch, watched, paused, stopped and resumed."""
