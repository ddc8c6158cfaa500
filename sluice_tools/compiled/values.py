"""`sluice.model.frozen` where the core is compiled: there a class has an `__init__` and a `__copy__` written out."""

import dataclasses
from dataclasses import dataclass


def replace[T](original_: T, /, **changes: object) -> T:
    """As `dataclasses.replace`.

    mypyc lets a positional parameter catch a keyword of its name: so it has a name that no field has.
    """
    copied = getattr(original_, "__copy__", None)
    if copied is None:  # of a module that is not compiled
        other: T = dataclasses.replace(original_, **changes)  # type: ignore[type-var]
        return other
    changed: T = copied()
    for name, field in changes.items():
        setattr(changed, name, field)
    return changed


__all__ = ["dataclass", "replace"]
