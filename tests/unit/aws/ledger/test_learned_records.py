"""The planner's memory as a ledger record: kept whole, migrated from earlier versions, and what is lost is reported."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from sluice.aws.ledger.migrations import MEMORY_DROPPED_BY_2, MEMORY_MOVED_TO_2
from sluice.aws.ledger.planner_state import read_memory
from sluice.aws.ledger.records import MEMORY as FORM
from sluice.model.planning import (
    ArrivalMemory,
    ControlMemory,
    CountState,
    DecisionMemory,
    Estimate,
    ExpectedBatch,
    FromLedger,
    History,
    Memory,
    OnRecord,
    QueueMemory,
    QueueSample,
    TimedLaunch,
)
from sluice.model.shadow import Shadow
from sluice.ports.ledger.planner_state import LEARNED_PARTS, joined, learned_of, recent_of
from tests.support.planner_steps import a_memory, estimates_of, rate_of
from tests.support.planner_world import NINE, a_fleet

# As the planner kept it before records had a version: after forty minutes in shadow mode.
VERSION_1 = (Path(__file__).parents[2] / "records" / "memory_v1.json").read_text(encoding="utf-8")

MEMORY = a_memory(
    learned_at=NINE,
    rate=Estimate(0.5, 60.0, NINE),
    completed=(60.0, 120.0),
    outlier_run=(-2, 12.0, 240.0),
    counted=CountState(NINE, 460.0, 3.0, 0.5, 0.01, 529.0, 1.5, -0.2, 0.1, -0.03, 0.004),
    returned=History(60.0, NINE - 120.0, (4.0, 90.0)),
    carry=-1.5,
    failing_share=0.6,
    suspects=((NINE - 60.0, 204.0, 12.0),),
    poison=190.0,
    margin_share=0.05,
    held_since=NINE - 600.0,
    late=(NINE - 30.0, 0.125),
    samples=(QueueSample(NINE, 450.0, 4.0, 4.0, True, 0.0, returned=3.0, doubted=100.0),),
)


def test_memory_when_it_is_kept_and_read():
    """Everything learned comes back as it was, and the record tells its version."""
    assert read_memory(FORM.to_text(MEMORY)) == MEMORY
    assert json.loads(FORM.to_text(MEMORY))["record_version"] == FORM.version


def test_memory_when_it_is_kept_without_what_others_write_beside_it():
    """Timed launches are the drainer's, and what could not be read is told once."""
    launch = TimedLaunch("i-1", NINE, NINE + 50.0, NINE + 60.0, NINE + 61.0)
    assert read_memory(FORM.to_text(replace(MEMORY, from_ledger=FromLedger((launch,), ("something",))))) == MEMORY


@pytest.mark.parametrize("part", [each.name for each in fields(Memory) if each.name != "from_ledger"])
def test_memory_when_it_is_kept_in_two_parts(part):
    """Each of its parts is in one of the two records: what is in neither would be forgotten from tick to tick."""
    full = {"shadow": Shadow(at=NINE), "queues": (QueueMemory("mail", History(60.0, NINE, (1.0,)), MEMORY.samples),)}
    memory = replace(Memory(), **{part: full.get(part, object())})
    assert getattr(joined(learned_of(memory), recent_of(memory)), part) == getattr(memory, part)


def test_recent_record_when_parts_are_in_the_learned_one():
    """It is read as if they were in it, at their defaults, and nothing is reported."""
    recent = recent_of(MEMORY)
    assert read_memory(FORM.to_text(recent, LEARNED_PARTS)) == recent
    assert {getattr(recent, part) == getattr(Memory(), part) for part in LEARNED_PARTS} == {True}


def test_memory_when_its_record_is_of_version_1():
    """Rate, lead time, arrivals and all else survive, and nothing is reported as lost."""
    read = read_memory(VERSION_1)
    assert read.from_ledger.unread == ()
    assert read.service_rate.estimate == Estimate(1.049384472491326, 987.058816527456, 1795512840.0)
    assert read.service_rate.completed == (987.058816527456, 940.5838852826831)
    assert read.launches.reported == Estimate(48.0, 3.0, NINE, 4.0)
    assert read.launches.to_first_message == Estimate(10.0, 1.0, 1795510880.0)
    assert (read.arrivals.history.start_at, read.arrivals.history.counts[:3]) == (NINE, (180.0, 180.0, 30.0))
    assert read.arrivals.chosen == ("level", 0.0, 0.8650873621465826)
    assert read.batches.expected == (ExpectedBatch(NINE + 7200.0, NINE + 7260.0, (40.0, 42.0, 45.0)),)
    assert (read.redeliveries.poison, read.margin.share, len(read.samples)) == (12.0, 0.05, 4)
    assert (read.needs.since, read.spending.spent_s) == (NINE, 14800.0)
    shadow = json.loads(VERSION_1)["shadow"]
    assert read.shadow.score.hours[0].came == shadow["hours"][0]["came"] > 0
    assert (read.shadow.real.serving, read.shadow.real.drained_s) == (shadow["real"][0], shadow["going"][0])
    assert (read.shadow.needs.until, read.shadow.spending.spent_s) == (shadow["needs_until"], shadow["spent_s"])


def test_estimates_when_the_record_is_of_version_1():
    """What is planned with is what was learned before the upgrade."""
    estimates = estimates_of(read_memory(VERSION_1), a_fleet(hints={}), 1795513200.0)
    assert (estimates.service_rate.source, estimates.lead_time.source) == ("measured", "measured")
    assert (estimates.service_rate.value, estimates.lead_time.value) == (pytest.approx(1.0494, abs=1e-4), 48.0)


def test_memory_when_its_record_has_a_usual_week():
    """What was learned for a forecast by the week is dropped without a report, and the rest of the arrivals stays."""
    arrivals = {"history": {"period_s": 60, "start_at": NINE, "counts": [7]}, "week": [-1.0, 2.5]}
    read = read_memory(json.dumps({"record_version": 4, "arrivals": arrivals}))
    assert read == Memory(arrivals=ArrivalMemory(History(60.0, NINE, (7.0,))))


def test_version_1_when_its_fields_are_listed():
    """Each field of a real record of version 1 has its place in version 2, or is dropped on purpose."""
    assert json.loads(VERSION_1).keys() == MEMORY_MOVED_TO_2.keys() | MEMORY_DROPPED_BY_2


def test_memory_when_its_record_is_of_version_3():
    """Who sets the capacity, and which decision is on record, comes back: both had fields of their own."""
    decisions = DecisionMemory(ControlMemory((2, 4), (NINE - 60.0,), ((NINE, 2),)), OnRecord(NINE, "act 2 4 need"))
    memory = replace(MEMORY, decisions=decisions)
    record = json.loads(FORM.to_text(memory)) | {"record_version": 3}
    record |= record.pop("decisions")
    assert read_memory(json.dumps(record)) == memory


def with_changes(**changes: Any) -> Memory:
    """The memory read from its record with some fields changed."""
    return read_memory(json.dumps(json.loads(FORM.to_text(MEMORY)) | changes))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"surprises": 3}, "field surprises"),
        ({"margin": {"share": 0.05, "held_since": None, "late": None, "kept": 1}}, "field margin.kept"),
        (
            {"samples": [{"at": 1, "visible": 2, "in_flight": 0, "working": 1, "steady": True, "arrived": 0, "x": 1}]},
            "samples.x",
        ),
        ({"arrivals": {"history": 7}}, "field arrivals"),
        ({"record_version": FORM.version + 1}, f"version {FORM.version + 1}"),
    ],
)
def test_memory_when_a_part_of_its_record_is_not_understood(changes, named):
    """It is reported by its name, and the rest is read."""
    read = with_changes(**changes)
    assert len(read.from_ledger.unread) == 1
    assert named in read.from_ledger.unread[0]
    assert rate_of(read, a_fleet(), NINE).value == 0.5


@pytest.mark.parametrize("text", ["", "{", "[]", "7"])
def test_memory_when_its_record_is_no_memory(text):
    """An empty memory is a valid start, and it is reported that there was one."""
    read = read_memory(text)
    assert len(read.from_ledger.unread) == 1
    assert replace(read, from_ledger=FromLedger()) == Memory()
