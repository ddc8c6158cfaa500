"""Installs every extension, in the order they need one another."""

from __future__ import annotations

from tools.sandbox.emulator.settings import Settings


class Running:
    """What the extensions started and must end."""

    def close(self) -> None:
        """End every instance process and background thread."""


def install(settings: Settings) -> Running:  # noqa: ARG001 - used by the extensions to come
    """Attach every extension to the imported ministack modules."""
    return Running()
