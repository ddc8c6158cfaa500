"""The host: every name of ministack that the extensions touch, declared, checked at start, and replaced by hand.

Private names of a pinned version are the only places to attach to. Declaring them here, module by module, turns a
changed ministack into one clear error at start instead of a lack that nobody notices.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

PACKAGE = "ministack"

_declared: list[Host] = []


class HostChangedError(RuntimeError):
    """ministack has not the names the extensions attach to."""


class Host:
    """One ministack module and the names in it that an extension reads or replaces."""

    def __init__(self, module: str, *names: str) -> None:
        """Declare ``names`` of ``ministack.<module>``; nothing is imported before first use."""
        self.path = f"{PACKAGE}.{module}"
        self.names = names
        self._module: ModuleType | None = None
        _declared.append(self)

    @property
    def module(self) -> ModuleType:
        """The module itself, imported on first use."""
        if self._module is None:
            self._module = importlib.import_module(self.path)
        return self._module

    def __getitem__(self, name: str) -> Any:
        """The module's present value of a declared name."""
        self._require_declared(name)
        return getattr(self.module, name)

    def __setitem__(self, name: str, value: Any) -> None:
        """Put ``value`` in the place of a declared name."""
        self._require_declared(name)
        setattr(self.module, name, value)

    def _require_declared(self, name: str) -> None:
        if name not in self.names:
            raise KeyError(f"{self.path}.{name} is used but not declared")

    def missing(self) -> list[str]:
        """Declared names that the installed module has not."""
        try:
            module = self.module
        except ImportError:
            return [self.path]
        return [f"{self.path}.{name}" for name in self.names if not hasattr(module, name)]


def check(pinned: str, installed: str) -> None:
    """Make sure that everything declared exists.

    Raises:
        HostChangedError: The version differs from the pinned one or names are missing; lists them all.
    """
    missing = [name for host in _declared for name in host.missing()]
    if missing:
        raise HostChangedError(
            f"ministack {installed} has not the names the sandbox attaches to (written for {pinned}): "
            + ", ".join(missing)
        )
    if installed != pinned:
        raise HostChangedError(
            f"the sandbox is written for ministack {pinned}, {installed} is installed: run `make setup-sandbox`"
        )
