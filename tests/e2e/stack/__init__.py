"""Tests of one deployment that they share. A package, so that one process runs them all, and deploys once."""
