"""How the ports in memory are told the time."""

from collections.abc import Callable

type Clock = Callable[[], float]
"""Epoch seconds, now. It must never go back."""
