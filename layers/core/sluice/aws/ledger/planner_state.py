"""The PlannerState and Launches ports on DynamoDB."""

import zlib
from dataclasses import replace

from sluice.aws.ledger.forms import UnreadableError
from sluice.aws.ledger.keys import key
from sluice.aws.ledger.records import LAUNCH, MEMORY, name_of, readable_texts
from sluice.aws.table import Item, Table, number
from sluice.model.planning import Memory, TimedLaunch
from sluice.ports.ledger.planner_state import LAUNCHES_KEPT


class DynamoPlannerState:
    """The PlannerState and Launches ports, which share a record: a tick reads both by one call."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def memory(self, fleet: str) -> Memory:
        """The planner's memory. What of its record cannot be read is listed in `unread`, and is learned again."""
        item = self._table.get(key(fleet, "state"))
        if item is None:
            return Memory()
        kept = Memory()
        if "data" in item:  # else the drainer alone has written to it
            try:
                kept = read_memory(zlib.decompress(item["data"]["B"]))
            except (zlib.error, KeyError) as error:
                kept = Memory(unread=(f"the planner's memory cannot be unpacked and is learned again: {error}",))
        return replace(kept, timed=_launches(item))

    def keep_memory(self, fleet: str, memory: Memory) -> None:
        """Keep the planner's memory. A day of minutes is 40 kB of JSON; compressed, a write costs a sixth of that."""
        data = zlib.compress(MEMORY.to_text(memory).encode())
        self._table.update(key(fleet, "state"), "SET #data = :data", {":data": data})

    def note_launch(self, fleet: str, launch: TimedLaunch) -> None:
        """Add a launch to the memory's own record, so that a tick reads both by one call.

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


def read_memory(text: str | bytes) -> Memory:
    """The memory in a record of any version; `unread` lists, in sentences, what of the record could not be read."""
    try:
        read = MEMORY.from_text(text)
    except UnreadableError as error:
        return Memory(unread=(f"the planner's memory {error}; it is learned again",))
    return replace(read.value, unread=read.problems)


def _launches(item: Item) -> tuple[TimedLaunch, ...]:
    """The last timed launches in a memory's record, numbered by how many there have been."""
    texts = [str(entry.get("S", "")) for entry in item.get("launches", {}).get("L", ())][-LAUNCHES_KEPT:]
    first = int(number(item, "launch_count")) - len(texts) + 1
    found = []
    for place, text in enumerate(texts):
        found += [replace(launch, number=first + place) for launch in readable_texts(LAUNCH, [(text, name_of(item))])]
    return tuple(found)
