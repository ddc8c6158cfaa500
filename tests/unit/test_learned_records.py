"""The planner's memory in the ledger: what is learned is kept whole, and records of before it was are still read."""

import json

from sluice.aws.records import from_text, to_text
from sluice.model.planning import Estimate, History, Memory, Sighting
from tests.planner_world import NINE

LEARNED = (
    "unlike",
    "returns",
    "returns_carry",
    "failing",
    "suspects",
    "poison",
    "kept_back",
    "held_since",
    "late",
)
MEMORY = Memory(
    learned_at=NINE,
    service_rate=Estimate(0.5, 60.0, NINE),
    completing=(60.0, 120.0),
    unlike=(-2, 12.0, 240.0),
    returns=History(60.0, NINE - 120.0, (4.0, 90.0)),
    returns_carry=-1.5,
    failing=0.6,
    suspects=((NINE - 60.0, 204.0, 12.0),),
    poison=190.0,
    kept_back=0.05,
    held_since=NINE - 600.0,
    late=(NINE - 30.0, 0.125),
    sightings=(Sighting(NINE, 450.0, 4.0, 4.0, True, 0.0, returned=3.0, doubted=100.0),),
)


def test_memory_when_it_is_kept_and_read():
    """Everything learned comes back as it was."""
    assert from_text(Memory, to_text(MEMORY), "state") == MEMORY


def test_memory_when_its_record_is_from_before():
    """A record without these fields is read: nothing is known of them yet, and the rest is as it was."""
    record = json.loads(to_text(MEMORY))
    for name in LEARNED:
        del record[name]
    for sighting in record["sightings"]:
        del sighting["returned"], sighting["doubted"]
    read = from_text(Memory, json.dumps(record), "state")
    assert (read.service_rate, read.completing) == (MEMORY.service_rate, MEMORY.completing)
    assert read.sightings == (Sighting(NINE, 450.0, 4.0, 4.0, True, 0.0),)
    assert all(getattr(read, name) == getattr(Memory(), name) for name in LEARNED)
