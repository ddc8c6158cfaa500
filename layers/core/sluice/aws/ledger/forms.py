"""The forms of the ledger's records: each record has its form's version, and one of an earlier version is migrated.

A record is a JSON object with the fields of a dataclass (`Form`), or an item whose attributes are changed in place
(`ItemForm`). Both have the version under RECORD_VERSION; a record without one is of version 1, which 0.1.0 wrote. To
read a record:

1. Its migrations are applied, in order.
2. What is not known after that is left out, and reported in a sentence.
3. The rest is the record. A field that is missing has its default.

To change a form: add a migration (`sluice.aws.ledger.migrations`), test it with a record of the version before
(tests/unit/records has those of version 1), and write the new version's fields into tests/unit/records/fields.json. A
field that is only added is written there, and needs no version.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from typing import Any, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from sluice.aws.table import Item, Value

RECORD_VERSION = "record_version"
ITEM_ATTRIBUTES = frozenset({"pk", "sk", "ttl", "version", RECORD_VERSION})  # that any item may have
FAULTS_NAMED = 3  # of one record: the first ones lead to the rest

type Record = dict[str, Any]
type Migration = Callable[[Record], Record]  # a record of one version -> of the next; it may change what it is given


class UnreadableError(Exception):
    """A text is not a record of its form, in a sentence without a subject: "is not JSON: ..."."""


@dataclass(frozen=True, slots=True)
class Read[T]:
    """A record, and in sentences what was left out of it."""

    value: T
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Form[T]:
    """How one kind of record is kept as a JSON object.

    Args:
        kind: the dataclass that it becomes.
        name: what a record is called in sentences.
        migrations: the first makes version 2 out of version 1, the second version 3 out of version 2, and so on.
        not_kept: fields of the dataclass that are not part of the record.
        by_parts: whether a field that cannot be read is left at its default and reported; else the record is refused.
    """

    kind: type[T]
    name: str
    migrations: tuple[Migration, ...] = ()
    not_kept: frozenset[str] = frozenset()
    by_parts: bool = False

    @property
    def version(self) -> int:
        """The version of what is written now."""
        return len(self.migrations) + 1

    def to_text(self, value: T, without: frozenset[str] = frozenset()) -> str:
        """A record as JSON on one line. Infinite floats are kept: pydantic's own JSON would make them null.

        Args:
            value: the record.
            without: fields that are at their defaults, and left out: another record has them.
        """
        record = _adapter(self.kind).dump_python(value, mode="json")
        left_out = self.not_kept | without
        kept = {name: each for name, each in record.items() if name not in left_out}
        return json.dumps({RECORD_VERSION: self.version, **kept}, separators=(",", ":"), ensure_ascii=False)

    def from_text(self, text: str | bytes) -> Read[T]:
        """The record in a JSON text of any version.

        Raises:
            UnreadableError: it is not a record of this form.
        """
        record = _object(text)
        version = record.pop(RECORD_VERSION, 1)
        problems: list[str] = []
        if not isinstance(version, int) or not 1 <= version <= self.version:
            problems.append(_unknown_version(self, version))
            version = self.version
        for migration in self.migrations[version - 1 :]:
            record = migration(record)
        kinds = self._field_kinds
        for name in [name for name in record if name not in kinds or name in self.not_kept]:
            problems.append(self._unknown(name))
            del record[name]
        for name, value in record.items():
            problems += map(self._unknown, _unknown_in(kinds[name], value, name))
        if self.by_parts:
            return self._by_parts(record, problems)
        try:
            return Read(_adapter(self.kind).validate_python(record), tuple(problems))
        except ValidationError as error:
            raise UnreadableError(f"cannot be read as a {self.kind.__name__}: {_faults(error)}") from error

    def _by_parts(self, record: Record, problems: list[str]) -> Read[T]:
        """The record with each field read by itself: one that cannot be read never takes the others with it."""
        parts: Record = {}
        for name, value in record.items():
            try:
                parts[name] = _adapter(self._field_kinds[name]).validate_python(value)
            except ValidationError as error:
                problems.append(f"field {name} of {self.name} cannot be read and was left out: {_faults(error)}")
        return Read(self.kind(**parts), tuple(problems))

    @property
    def _field_kinds(self) -> dict[str, Any]:
        kind: Any = self.kind
        return _kinds(kind)

    def _unknown(self, where: str) -> str:
        return f"field {where} of {self.name} is not known and was left out"


@dataclass(frozen=True, slots=True)
class ItemForm:
    """How one kind of record is kept as attributes of an item, which are changed in place.

    Others may add to an item of an earlier version, so that it has attributes of both: every migration is applied to
    every item, and does nothing where nothing is left of its version. An attribute that a condition names keeps its
    name.

    Args:
        name: what a record is called in sentences.
        attributes: the names of its attributes, beside those that every item has.
        series: prefixes of attributes that are counts, each with its place in time behind the prefix.
        migrations: as a `Form` has them, over DynamoDB's attribute values.
    """

    name: str
    attributes: frozenset[str]
    series: tuple[str, ...] = ()
    migrations: tuple[Migration, ...] = ()

    @property
    def version(self) -> int:
        """The version of what is written now."""
        return len(self.migrations) + 1

    @property
    def written(self) -> dict[str, Value]:
        """The version as an attribute, for what is written."""
        return {RECORD_VERSION: self.version}

    def read(self, item: Item) -> Read[Item]:
        """An item of any version, as this version has it."""
        version = int(item.get(RECORD_VERSION, {}).get("N", 1))
        problems: tuple[str, ...] = ()
        if version > self.version:
            problems = (_unknown_version(self, version),)
        for migration in self.migrations:
            item = migration(dict(item))
        known = self.attributes | ITEM_ATTRIBUTES
        unknown = [name for name in item if name not in known and not name.startswith(self.series)]
        problems += tuple(f"attribute {name} of {self.name} is not known and was left out" for name in unknown)
        return Read({name: value for name, value in item.items() if name not in unknown}, problems)


def _unknown_version(form: Form[Any] | ItemForm, version: object) -> str:
    return f"{form.name} is of version {version}, and this is version {form.version}: read as far as known"


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    """A type's reader, made when it is first needed: a cold start needs few of them."""
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def _object(text: str | bytes) -> Record:
    try:
        record = json.loads(text)
    except ValueError as error:
        raise UnreadableError(f"is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise UnreadableError(f"must be a JSON object and is a {type(record).__name__}")
    return record


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False)[:FAULTS_NAMED]
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)


@cache
def _kinds(kind: type[Any]) -> dict[str, Any]:
    """The type of each field of a dataclass."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


@cache
def _held(kind: Any) -> type[Any] | None:
    """The dataclass in a type such as `Drain | None`, if there is one."""
    return next((each for each in (kind, *get_args(kind)) if isinstance(each, type) and is_dataclass(each)), None)


def _unknown_in(kind: Any, value: object, where: str) -> Iterator[str]:
    """Fields that a value has and its dataclass does not; of many values of one kind the first stands for all."""
    if isinstance(value, dict):
        held: Any = _held(kind)
        if held is not None:
            kinds = _kinds(held)
            for name, inner in value.items():
                if name in kinds:
                    yield from _unknown_in(kinds[name], inner, f"{where}.{name}")
                else:
                    yield f"{where}.{name}"
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for each in get_args(kind):
            yield from _unknown_in(each, value[0], where)
