"""Dataclasses <-> the JSON text in a ledger record's `data`, by pydantic; a type's reader is built when first needed.

A record written by another version of Sluice is read as far as it can be: unknown fields are left out, missing ones
take their defaults. What cannot be read at all is named, with its key.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sluice.aws.ledger.drain_migration import drain_to_2
from sluice.aws.ledger.keys import PAST_ALL, key, partition, ttl
from sluice.aws.table import Item, Table, Value, text, typed_all
from sluice.model.consumers import Consumer
from sluice.model.draining import Drain
from sluice.model.planning import Decision, Outcome
from sluice.model.redriving import RedriveJob
from sluice.ports.errors import ConflictError, NeedsFixError

logger = logging.getLogger(__name__)


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


def from_text[T](kind: type[T], data: str | bytes, where: str) -> T:
    """The dataclass in a JSON text.

    Raises:
        NeedsFixError: the text is not one; `where` names the record that it came from.
    """
    try:
        value: T = (
            _adapter(kind).validate_python(drain_to_2(_object(data)))
            if kind is Drain
            else _adapter(kind).validate_json(data)
        )
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors(include_url=False)[:3])
        raise NeedsFixError(
            f"ledger record {where} cannot be read as a {kind.__name__}: delete it ({faults})"
        ) from error
    return value


def _object(data: str | bytes) -> dict[str, Any]:
    """The JSON object in a text; an empty one where it is none, which no kind of record is."""
    try:
        record = json.loads(data)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def name_of(item: Item) -> str:
    """A record's key, for error texts."""
    return f"{text(item, 'pk')} {text(item, 'sk')}"


def one[T](kind: type[T], item: Item | None) -> T | None:
    """The record in an item, if there is an item."""
    return None if item is None else from_text(kind, text(item, "data"), name_of(item))


def readable[T](kind: type[T], items: Iterable[Item]) -> Iterator[T]:
    """Every record that can be read: one that cannot is logged, and never hides the others."""
    for item in items:
        try:
            yield from_text(kind, text(item, "data"), name_of(item))
        except NeedsFixError as error:
            logger.warning("left out: %s", error)


def list_all[T](table: Table, kind: type[T], fleet: str, prefix: str) -> Iterator[T]:
    """Every readable record of a fleet whose sk begins with a prefix, in the order of the sk."""
    return readable(kind, table.query(partition(fleet), prefix, f"{prefix}{PAST_ALL}"))


def keep[T: (Consumer, Drain, RedriveJob)](
    table: Table, fleet: str, sk: str, record: T, *, until: float | None = None
) -> T:
    """Write a record one version on, if the table still has the version that it was made from (0: none yet).

    Args:
        table: the ledger's table.
        fleet: the fleet's name.
        sk: the record's sort key.
        record: what to write.
        until: when DynamoDB may delete it, in epoch seconds; None: never.

    Returns:
        The record as written.

    Raises:
        ConflictError: the table has another version.
    """
    written = replace(record, version=record.version + 1)
    figures: dict[str, Value] = {"data": to_text(written), "version": written.version}
    if until is not None:
        figures["ttl"] = ttl(until)
    item = key(fleet, sk) | typed_all(figures)
    if record.version == 0:
        done = table.put(item, "attribute_not_exists(#pk)")
    else:
        done = table.put(item, "#version = :version", {":version": record.version})
    if not done:
        raise ConflictError(
            f"ledger record {partition(fleet)} {sk} is no longer at version {record.version}: read it again"
        )
    return written
