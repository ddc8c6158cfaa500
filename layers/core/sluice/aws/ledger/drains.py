"""The Drains port on DynamoDB."""

from collections.abc import Iterator

from sluice.aws.ledger.keys import BEFORE_ALL, PAST_ALL, key, ttl
from sluice.aws.ledger.records import (
    DRAIN,
    DRAIN_COMMAND,
    UNRELEASED,
    attributes,
    conflict,
    list_all,
    one,
    readable,
    versioned,
)
from sluice.aws.table import Item, Table, Value, number, text, typed_all
from sluice.model.draining import Drain, DrainState, UnreleasedDrain
from sluice.ports.ledger.drains import DRAINS_KEPT_S

INDEX = "unreleased"  # one partition for all fleets: it is written when a drain begins, is retained or ends


class DynamoDrains:
    """The Drains port. A drain and its entries in the indexes are written in one transaction, so that they agree."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def drain(self, fleet: str, instance_id: str) -> Drain | None:
        """The drain of an instance."""
        return one(DRAIN, self._table.get(_key(fleet, instance_id)))

    def all_of(self, fleet: str) -> tuple[Drain, ...]:
        """Every drain of a fleet on record."""
        return tuple(list_all(self._table, DRAIN, fleet, "drain#"))

    def unreleased_of(self, fleet: str) -> tuple[Drain, ...]:
        """A fleet's drains whose instances are not released yet: its part of the index, and then their records."""
        entries = self._index(f"{fleet}#", f"{fleet}#{PAST_ALL}")
        items = self._table.get_batch([_key(fleet, entry.instance_id) for entry in entries])
        return tuple(readable(DRAIN, (item for item in items if item is not None)))

    def unreleased(self) -> tuple[UnreleasedDrain, ...]:
        """The same of every fleet, as the index has them."""
        return tuple(self._index(BEFORE_ALL, PAST_ALL))

    def of_command(self, command_id: str, instance_id: str) -> Drain | None:
        """The drain that waits for the end of a command on an instance."""
        item = self._table.get(_command_key(command_id, instance_id))
        drain = None if item is None else self.drain(text(attributes(DRAIN_COMMAND, item), "fleet"), instance_id)
        if drain is None or drain.state is DrainState.RELEASED or drain.stop.command_id != command_id:
            return None
        return drain

    def keep_drain(self, drain: Drain, before: Drain | None = None) -> Drain:
        """Write a drain if its version is still the ledger's."""
        ended = drain.state is DrainState.RELEASED
        until = drain.updated_at + DRAINS_KEPT_S if ended else None
        sk = f"drain#{drain.instance_id}"
        written, item, condition, values = versioned(DRAIN, sk, drain, until)
        old, new = _entries(before), _entries(drain)
        puts = [self._table.putting(entry) for place, entry in new.items() if old.get(place) != entry]
        gone = [{name: entry[name] for name in ("pk", "sk")} for place, entry in old.items() if place not in new]
        if before is None and ended:
            gone.append(_index_key(drain))
        if puts or gone:
            deletes = [self._table.deleting(place) for place in gone]
            failed = bool(self._table.transact([self._table.putting(item, condition, values), *puts, *deletes]))
        else:
            failed = not self._table.put(item, condition, values)
        if failed:
            raise conflict(drain, sk)
        return written

    def _index(self, low: str, high: str) -> Iterator[UnreleasedDrain]:
        for item in self._table.query(INDEX, low, high):
            found = attributes(UNRELEASED, item)
            since = number(found, "retained_since") if "retained_since" in found else None
            yield UnreleasedDrain(text(found, "fleet"), text(found, "instance"), since)


def _key(fleet: str, instance_id: str) -> Item:
    return key(fleet, f"drain#{instance_id}")


def _index_key(drain: Drain) -> Item:
    return typed_all({"pk": INDEX, "sk": f"{drain.fleet}#{drain.instance_id}"})


def _command_key(command_id: str, instance_id: str) -> Item:
    return typed_all({"pk": f"command#{command_id}", "sk": instance_id})


def _entries(drain: Drain | None) -> dict[str, Item]:
    """What the indexes have of a drain, by the index; nothing once its instance is released."""
    entry = UnreleasedDrain.of(drain)
    if drain is None or entry is None:
        return {}
    figures: dict[str, Value] = {"fleet": entry.fleet, "instance": entry.instance_id}
    if entry.retained_since is not None:
        figures["retained_since"] = entry.retained_since
    items = {INDEX: _index_key(drain) | typed_all(figures | UNRELEASED.written)}
    if drain.stop.command_id is not None:
        # It is deleted with its drain; the time to live is for one that is left behind.
        until = ttl((drain.stop.asked_at or drain.started_at) + DRAINS_KEPT_S)
        command = _command_key(drain.stop.command_id, drain.instance_id)
        items[drain.stop.command_id] = command | typed_all(
            {"fleet": drain.fleet, "ttl": until, **DRAIN_COMMAND.written}
        )
    return items
