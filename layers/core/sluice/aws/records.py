"""Dataclasses <-> the JSON text in a ledger record's `data`, by pydantic; a type's reader is built when first needed.

A record written by another version of Sluice is read as far as it can be: unknown fields are left out, missing ones
take their defaults. What cannot be read at all is named, with its key.
"""

import json
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sluice.model.planning import Decision, Outcome
from sluice.ports.errors import NeedsFixError


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision with its outcome, as one record."""

    decision: Decision
    outcome: Outcome


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def to_text(value: object) -> str:
    """A dataclass as JSON, on one line. An infinite float stays one: pydantic's own JSON would make it null."""
    return json.dumps(_adapter(type(value)).dump_python(value, mode="json"), separators=(",", ":"), ensure_ascii=False)


def from_text[T](kind: type[T], text: str | bytes, key: str) -> T:
    """The dataclass in a JSON text.

    Raises:
        NeedsFixError: the text is not one; `key` says where it came from.
    """
    try:
        value: T = _adapter(kind).validate_json(text)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors(include_url=False)[:3])
        raise NeedsFixError(f"ledger record {key} cannot be read as a {kind.__name__}: delete it ({faults})") from error
    return value
