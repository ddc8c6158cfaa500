"""The Quarantine port in memory."""

from collections.abc import Sequence
from dataclasses import dataclass

from sluice.memory.ledger.failure_groups import MemoryFailureGroups
from sluice.memory.ledger.send_claims import MemorySendClaims
from sluice.model.frozen import replace
from sluice.model.redriving import QuarantineEntry


@dataclass(frozen=True, slots=True)
class _Hold:
    """How many quarantined messages of a FIFO message group there are, and the failure group that holds them."""

    failure_group: str
    count: int


class MemoryQuarantine:
    """The Quarantine port: entries by fleet and message id."""

    def __init__(self, groups: MemoryFailureGroups, claims: MemorySendClaims) -> None:
        self._groups = groups
        self._claims = claims
        self._quarantined: dict[tuple[str, str], QuarantineEntry] = {}
        self._holds: dict[tuple[str, str], _Hold] = {}

    def quarantine_size(self, fleet: str) -> int:
        """How many messages are in quarantine."""
        return sum(owner == fleet for owner, _ in self._quarantined)

    def quarantine(self, entry: QuarantineEntry) -> bool:
        """Index a message, count it in its group, hold its message group; False if it was there or was sent again."""
        sent = self._claims.is_sent(entry.fleet, entry.message_id, entry.at)
        if (entry.fleet, entry.message_id) in self._quarantined or sent:
            return False
        self._quarantined[entry.fleet, entry.message_id] = entry
        self._groups.add_quarantined(entry)
        if entry.message_group is not None:
            hold = self._holds.get((entry.fleet, entry.message_group)) or _Hold(entry.failure_group, 0)
            self._holds[entry.fleet, entry.message_group] = replace(hold, count=hold.count + 1)
        return True

    def quarantined(
        self, fleet: str, failure_group: str | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[tuple[QuarantineEntry, ...], str | None]:
        """A page of the index, oldest first."""
        entries = {
            f"{round(entry.at * 1000):015d}#{entry.message_id}": entry
            for entry in self._quarantined.values()
            if entry.fleet == fleet and failure_group in {None, entry.failure_group}
        }
        keys = sorted(key for key in entries if after is None or key > after)
        page = keys[:limit]
        return tuple(entries[key] for key in page), page[-1] if len(keys) > len(page) and page else None

    def quarantined_message(self, fleet: str, message_id: str) -> QuarantineEntry | None:
        """One index entry by message id."""
        return self._quarantined.get((fleet, message_id))

    def remove_entry(self, entry: QuarantineEntry) -> bool:
        """Take a message out of the index and its group's count; False if it was gone."""
        there = self._quarantined.pop((entry.fleet, entry.message_id), None)
        if there is None:
            return False
        self._groups.remove_quarantined(there)
        if there.message_group is not None:
            hold = self._holds.pop((there.fleet, there.message_group))
            if hold.count > 1:
                self._holds[there.fleet, there.message_group] = replace(hold, count=hold.count - 1)
        return True

    def remove_entries(self, entries: Sequence[QuarantineEntry]) -> None:
        """Take many out of the index and their groups' counts."""
        for entry in entries:
            self.remove_entry(entry)

    def held_in(self, fleet: str, message_group: str) -> str | None:
        """The failure group that holds a FIFO message group."""
        hold = self._holds.get((fleet, message_group))
        return hold.failure_group if hold else None
