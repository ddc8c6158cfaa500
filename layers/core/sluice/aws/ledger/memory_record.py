"""The planner's memory as a record of the ledger: its version, its migrations, and what of it cannot be read.

A record begins with the version of its form. One of an earlier version is migrated, step by step; what this version
does not know, or cannot read, is left out and listed in `Memory.unread`, so that the tick can report it. Each part of
the memory is read by itself: a part that cannot be read never takes the others with it.

To change the memory's form: raise `VERSION`, add a migration from the version before, and keep a record of that version
in tests/unit/records.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from sluice.model.frozen import replace
from sluice.model.planning import Memory

VERSION = 2
NOT_KEPT = frozenset({"timed", "unread"})  # of the memory, what the drainer and the ledger write beside it

type Record = dict[str, Any]

# Fields of version 1, and where version 2 has them.
MOVED_TO_2: Mapping[str, tuple[str, ...]] = {
    "learned_at": ("learned_at",),
    "service_rate": ("service_rate", "estimate"),
    "completing": ("service_rate", "completed"),
    "unlike": ("service_rate", "outlier_run"),
    "completed_until": ("service_rate", "learned_until"),
    "lead_time": ("launches", "to_service"),
    "first_work": ("launches", "to_first_message"),
    "reported": ("launches", "reported"),
    "reported_number": ("launches", "reported_number"),
    "launches": ("launches", "under_way"),
    "starting": ("launches", "first_unit"),
    "arrivals": ("arrivals", "history"),
    "week": ("arrivals", "week"),
    "expected": ("arrivals", "forecasts"),
    "errors": ("arrivals", "errors"),
    "outlook": ("arrivals", "chosen"),
    "pulses": ("batches", "pulses"),
    "pulses_since": ("batches", "pulses_since"),
    "pulses_until": ("batches", "pulses_until"),
    "awaited": ("batches", "expected"),
    "awaited_until": ("batches", "expected_until"),
    "regular": ("batches", "arrived_share"),
    "returns": ("redeliveries", "history"),
    "returns_carry": ("redeliveries", "carry"),
    "failing": ("redeliveries", "failing_share"),
    "suspects": ("redeliveries", "suspects"),
    "poison": ("redeliveries", "poison"),
    "sightings": ("samples",),
    "kept_back": ("margin", "share"),
    "held_since": ("margin", "held_since"),
    "late": ("margin", "late"),
    "needs": ("needs", "needs"),
    "needs_since": ("needs", "since"),
    "needs_until": ("needs", "until"),
    "spent_day": ("spending", "day_at"),
    "spent_s": ("spending", "spent_s"),
    "shadow": ("shadow",),
    "queues": ("queues",),
}
SHADOW_MOVED_TO_2: Mapping[str, tuple[str, ...]] = {
    **{name: (name,) for name in ("target_wait_s", "at", "fleet", "waiting", "others", "ticks", "empty_at")},
    "restarted": ("restarted",),
    "queues": ("queues",),
    "weighted": ("real", "weighted"),
    "needs": ("needs", "needs"),
    "needs_since": ("needs", "since"),
    "needs_until": ("needs", "until"),
    "spent_day": ("spending", "day_at"),
    "spent_s": ("spending", "spent_s"),
    "hours": ("score", "hours"),
    "days": ("score", "days"),
}
# Nothing was ever planned with these.
DROPPED_BY_2 = frozenset({"grown_at", "shrunk_at", "timed"})


def to_text(memory: Memory) -> str:
    """The memory as JSON, on one line, with the version of its form; without what is not the planner's to keep."""
    record = _adapter(Memory).dump_python(replace(memory, timed=(), unread=()), mode="json")
    kept = {name: value for name, value in record.items() if name not in NOT_KEPT}
    return json.dumps({"version": VERSION, **kept}, separators=(",", ":"), ensure_ascii=False)


def from_text(text: str | bytes) -> Memory:
    """The memory in a record of any version; `unread` lists what is not in it, in sentences."""
    try:
        record = json.loads(text)
    except ValueError as error:
        return Memory(unread=(f"the planner's memory is no JSON and was left out: {error}",))
    if not isinstance(record, dict):
        return Memory(unread=(f"the planner's memory must be a JSON object and is a {type(record).__name__}",))
    version = record.pop("version", 1)
    unread: list[str] = []
    if not isinstance(version, int) or version > VERSION:
        unread.append(
            f"the planner's memory is of version {version}, and this is version {VERSION}: read as far as known"
        )
        version = VERSION
    for step in range(version, VERSION):
        record = MIGRATIONS[step](record)
    parts: dict[str, Any] = {}
    kinds = _kinds(Memory)
    for name, value in record.items():
        if name not in kinds or name in NOT_KEPT:
            unread.append(f"field {name} of the planner's memory is not known and was left out")
            continue
        unread += [
            f"field {where} of the planner's memory is not known and was left out"
            for where in _unknown(kinds[name], value, name)
        ]
        try:
            parts[name] = _adapter(kinds[name]).validate_python(value)
        except ValidationError as error:
            unread.append(f"field {name} of the planner's memory cannot be read and is learned anew: {_first(error)}")
    return Memory(**parts, unread=tuple(unread))


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


@cache
def _kinds(kind: type[Any]) -> dict[str, Any]:
    """The type of each field of a dataclass."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _unknown(kind: Any, value: object, where: str) -> Iterator[str]:
    """Fields that a record has and its dataclass does not; of many records of one kind the first stands for all."""
    if isinstance(value, dict):
        held = next((each for each in (kind, *get_args(kind)) if is_dataclass(each)), None)
        if isinstance(held, type):
            kinds = _kinds(held)
            for name, inner in value.items():
                if name in kinds:
                    yield from _unknown(kinds[name], inner, f"{where}.{name}")
                else:
                    yield f"{where}.{name}"
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for each in get_args(kind):
            yield from _unknown(each, value[0], where)


# --------------------------------------------------------------------------- migrations


def _moved(record: Record, places: Mapping[str, tuple[str, ...]], dropped: frozenset[str] = frozenset()) -> Record:
    """The record with its fields in other places; one that is in no table stays, to be reported."""
    moved: Record = {}
    for name, value in record.items():
        if name in dropped:
            continue
        *parts, last = places.get(name, (name,))
        part = moved
        for each in parts:
            part = part.setdefault(each, {})
        part[last] = value
    return moved


def _to_2(record: Record) -> Record:
    """Version 2 has the memory in parts that change together, where version 1 was flat."""
    record = _moved(record, MOVED_TO_2, DROPPED_BY_2)
    for queue in record.get("queues", ()):
        if isinstance(queue, dict) and "sightings" in queue:
            queue["samples"] = queue.pop("sightings")
    shadow = record.get("shadow")
    if isinstance(shadow, dict):
        real, going = shadow.pop("real", (0.0, 0.0)), shadow.pop("going", (0.0, 0.0))
        moved = _moved(shadow, SHADOW_MOVED_TO_2)
        names = ("serving", "draining", "drained_s", "drained")
        moved.setdefault("real", {}).update(zip(names, (*real, *going), strict=True))
        record["shadow"] = moved
    return record


MIGRATIONS: Mapping[int, Callable[[Record], Record]] = {1: _to_2}
