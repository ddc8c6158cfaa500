"""The PlannerState port on DynamoDB.

A fleet has two records of the planner's: `recent`, written at each tick, and `state`, written when metrics taught
something. `recent` names the state's content by a digest, so that who read that state before need not read it again.
The drainer notes launches in `state`, in place.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from sluice.aws.ledger.forms import UnreadableError
from sluice.aws.ledger.keys import key
from sluice.aws.ledger.records import LAUNCH, MEMORY, name_of, readable_texts
from sluice.aws.table import Item, Table, number, text, typed_all
from sluice.model.planning import FromLedger, Memory, TimedLaunch
from sluice.ports.errors import PortError
from sluice.ports.ledger.planner_state import LAUNCHES_KEPT, LEARNED_PARTS, MemoryChange, joined, learned_of, recent_of

STATES_CACHED = 500  # learned parts that a process remembers; one takes about 80 kB
NOTHING = ""  # the digest of no state


class DynamoPlannerState:
    """The PlannerState port."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._learned: dict[str, tuple[str, Memory]] = {}  # by fleet, the one used longest ago first: digest, part

    def memory(self, fleet: str) -> Memory:
        """The planner's memory. What of its record cannot be read is listed, and is learned again."""
        recent, state = self._table.get(key(fleet, "recent")), self._table.get(key(fleet, "state"))
        memory = _joined(_learned_in(state), recent)
        return replace(memory, from_ledger=replace(memory.from_ledger, timed=_launches(state)))

    def memories(self, fleets: Sequence[str]) -> tuple[Memory | PortError, ...]:
        """The memories of several fleets: by one call for a hundred, and one more where learned parts are not known."""
        recents = dict(zip(fleets, self._table.get_batch([key(fleet, "recent") for fleet in fleets]), strict=True))
        unknown = [fleet for fleet in fleets if self._cached(fleet, _digest_in(recents[fleet])) is None]
        learned: dict[str, Memory] = {}
        states = self._table.get_batch([key(fleet, "state") for fleet in unknown])
        for fleet, state in zip(unknown, states, strict=True):
            learned[fleet] = _learned_in(state)
            if not learned[fleet].from_ledger.unread:
                digest = _digest(state["data"]["B"]) if state is not None and "data" in state else NOTHING
                self._cache(fleet, digest, learned[fleet])
        for fleet in fleets:
            if fleet not in learned:
                learned[fleet] = self._learned[fleet][1]
        return tuple(_joined(learned[fleet], recents[fleet]) for fleet in fleets)

    def keep_memories(self, changes: Sequence[MemoryChange]) -> tuple[PortError | None, ...]:
        """Keep memories: the learned part first, where it changed, and then the recent one, which names it."""
        failed: dict[str, PortError] = {}
        items: dict[str, Item] = {}
        for change in changes:
            try:
                digest = self._keep_learned(change)
            except PortError as error:
                failed[change.fleet] = error
                continue
            data = zlib.compress(MEMORY.to_text(recent_of(change.after), LEARNED_PARTS).encode())
            items[change.fleet] = key(change.fleet, "recent") | typed_all({"data": data, "learned": digest})
        answers = zip(items, self._table.put_batch(list(items.values())), strict=True)
        failed |= {fleet: answer for fleet, answer in answers if answer is not None}
        return tuple(failed.get(change.fleet) for change in changes)

    def _keep_learned(self, change: MemoryChange) -> str:
        """The digest of the learned part, which is written if it is another than this process knows to be there.

        A day of minutes is 40 kB of JSON; compressed, a write costs a sixth of that.
        """
        after, known = learned_of(change.after), self._learned.get(change.fleet)
        if known is not None and known[1] == after and not change.before.from_ledger.unread:
            return known[0]
        data = zlib.compress(MEMORY.to_text(after).encode())
        self._table.update(key(change.fleet, "state"), "SET #data = :data", {":data": data})
        digest = _digest(data)
        self._cache(change.fleet, digest, after)
        return digest

    def _cached(self, fleet: str, digest: str) -> Memory | None:
        known = self._learned.get(fleet)
        return known[1] if known is not None and known[0] == digest else None

    def _cache(self, fleet: str, digest: str, learned: Memory) -> None:
        self._learned.pop(fleet, None)
        self._learned[fleet] = (digest, learned)
        while len(self._learned) > STATES_CACHED:
            del self._learned[next(iter(self._learned))]

    def note_launch(self, fleet: str, launch: TimedLaunch) -> None:
        """Add a launch to the state's own record.

        Several may be noted at the same time: each is appended in place. Old ones are removed several at a time.
        """
        state = key(fleet, "state")
        item = self._table.update(
            state,
            "SET #launches = list_append(if_not_exists(#launches, :none), :launches) ADD #launch_count :one",
            {":launches": [LAUNCH.to_text(launch)], ":none": [], ":one": 1},
        )
        assert item is not None  # there is no condition
        there_count = len(item["launches"]["L"])
        if there_count >= 2 * LAUNCHES_KEPT:
            past = ", ".join(f"#launches[{index}]" for index in range(there_count - LAUNCHES_KEPT))
            # Whoever has added one since has counted again: it is for the last of them to do.
            self._table.update(state, f"REMOVE {past}", {":there": there_count}, "size(#launches) = :there")

    def timed(self, fleets: Sequence[str]) -> Mapping[str, tuple[TimedLaunch, ...]]:
        """The last launches noted of each fleet."""
        states = self._table.get_batch([key(fleet, "state") for fleet in fleets], ("launches", "launch_count"))
        return {fleet: _launches(state) for fleet, state in zip(fleets, states, strict=True)}


def read_memory(text: str | bytes) -> Memory:
    """The memory in a record of any version, with what of the record could not be read."""
    try:
        read = MEMORY.from_text(text)
    except UnreadableError as error:
        return _unreadable(f"the planner's memory {error}; it is learned again")
    return replace(read.value, from_ledger=FromLedger(unread=read.problems))


def _unreadable(problem: str) -> Memory:
    return Memory(from_ledger=FromLedger(unread=(problem,)))


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=8).hexdigest()


def _digest_in(recent: Item | None) -> str:
    return NOTHING if recent is None else text(recent, "learned")


def _memory_in(item: Item) -> Memory:
    try:
        return read_memory(zlib.decompress(item["data"]["B"]))
    except (zlib.error, KeyError) as error:
        return _unreadable(f"the planner's memory cannot be unpacked and is learned again: {error}")


def _learned_in(state: Item | None) -> Memory:
    """What a state holds: also all else, where it was written before there was a recent record."""
    return Memory() if state is None or "data" not in state else _memory_in(state)  # without: by the drainer alone


def _joined(learned: Memory, recent: Item | None) -> Memory:
    return learned if recent is None else joined(learned, _memory_in(recent))


def _launches(item: Item | None) -> tuple[TimedLaunch, ...]:
    """The last timed launches in a state's record, numbered by how many there have been."""
    if item is None:
        return ()
    texts = [str(entry.get("S", "")) for entry in item.get("launches", {}).get("L", ())][-LAUNCHES_KEPT:]
    first = int(number(item, "launch_count")) - len(texts) + 1
    found = []
    for place, noted in enumerate(texts):
        found += [replace(launch, number=first + place) for launch in readable_texts(LAUNCH, [(noted, name_of(item))])]
    return tuple(found)
