"""The clock that the ports in memory are given."""

from collections.abc import Callable

type Clock = Callable[[], float]
"""Epoch seconds, now. It must never go back."""
