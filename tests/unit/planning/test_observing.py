"""The observer: many fleets by few calls, and what cannot be read of one is missing of that one alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from sluice.config.fleet import Fleet, parse
from sluice.memory import Call, Fault, MemoryPorts, When, faulty_ports, memory_ports, queue_url
from sluice.model.launches import Launch
from sluice.model.observed import QueueReading, Reading
from sluice.model.planning import Memory
from sluice.model.queue_metrics import QueueMetrics
from sluice.model.redriving import Message
from sluice.model.timing import Timing
from sluice.planning.metric_reader import KnownMetrics
from sluice.planning.observing import Observed, Observer
from sluice.ports.errors import NeedsFixError, TryLaterError
from tests.support.still_clock import START_AT, Clock

TICKED = Memory(learned_at=START_AT - 10.0)
SHARD = "ticks/0000"


def a_fleet(name: str, **more: object) -> Fleet:
    """A fleet with a queue and a group of its own."""
    return parse(name, {"queue": queue_url(name), "group": name, "target_wait_s": 60, **more})


class World:
    """Fleets in memory, whose ports count calls and fail where told."""

    def __init__(self, *fleets: Fleet) -> None:
        self.clock = Clock()
        self.fleets = fleets
        self.truth: MemoryPorts = memory_ports(self.clock, fleets)
        self.calls: Counter[str] = Counter()
        self.fails: Callable[[Call], Exception | None] = lambda _: None
        self.ports = faulty_ports(self.truth, self._decide)

    def _decide(self, call: Call) -> Fault | None:
        self.calls[f"{call.port}.{call.method}"] += 1
        error = self.fails(call)
        return Fault(When.BEFORE, error) if error else None

    def observe(self, memory: Memory = TICKED, shard: str | None = SHARD, *, whole: bool = True) -> dict[str, Observed]:
        """Every fleet, by name."""
        observer = Observer(self.ports, Timing(), shard, self.ports.ledger.queue_metrics)
        seen = observer.observe([(fleet, memory) for fleet in self.fleets], self.clock.now, whole=whole)
        return {each.snapshot.fleet: each for each in seen}


def test_calls_when_a_shard_is_full() -> None:
    """One of each port for all fleets; SQS alone has a call for each queue, within its port."""
    world = World(*(a_fleet(f"f{number:02d}") for number in range(50)))
    for number in range(50):
        world.truth.queue.send(queue_url(f"f{number:02d}"), [Message(id="m", body="x")] * number, [0.0] * number)
    world.truth.group.set_desired("f07", 1)
    seen = world.observe()
    counts = [each.snapshot.queue.visible for each in seen.values()]
    assert [count.value for count in counts if count] == list(range(50))
    assert all(each.faults == () for each in seen.values())
    assert world.calls == Counter(
        {
            "MemoryGroup.read_all": 1,
            "MemoryLaunchLog.launches": 1,
            "MemoryQueue.read_all": 1,
            "MemoryQueueMetrics.queue_metrics": 1,
            "MemorySignals.read_all": 1,
            "MemoryQueueMetrics.keep_queue_metrics": 1,
        }
    )


def test_fleet_when_its_queue_or_group_does_not_exist() -> None:
    """It alone has the fault, which its snapshot tells."""
    world = World(a_fleet("good"), a_fleet("a"), a_fleet("b"))
    world.fleets = (world.fleets[0], a_fleet("a", queue=queue_url("gone")), a_fleet("b", group="nobody"))
    seen = world.observe()
    assert seen["good"].faults == ()
    assert [type(fault) for name in ("a", "b") for fault in seen[name].faults] == [NeedsFixError] * 2
    assert "gone" in seen["a"].snapshot.problems[0]
    assert seen["a"].snapshot.queue.visible is None
    assert seen["b"].snapshot.group is None


@pytest.mark.parametrize(
    ("call", "missing"),
    [
        ("MemoryQueue.read_all", {"visible"}),
        ("MemoryGroup.read_all", {"group"}),
        ("MemorySignals.read_all", {"sent"}),
        ("MemoryQueueMetrics.queue_metrics", {"sent"}),
        ("MemoryLaunchLog.launches", set()),
        ("MemorySignals.alarms_are_on", {"veto"}),
    ],
)
def test_fleets_when_one_service_is_silent(call: str, missing: set[str]) -> None:
    """What it knows is missing of each, with the fault, once; it was asked once, and all else is there."""
    world = World(a_fleet("a", limits={"veto_alarm": "busy"}), a_fleet("b", limits={"veto_alarm": "busy"}))
    for name in ("a", "b"):
        world.truth.queue.send(queue_url(name), [Message(id="m", body="x")], [0.0])
        world.truth.group.set_desired(name, 1)
    world.clock.now += 60.0
    world.truth.signals.set_alarm("busy", on=True)
    world.fails = lambda made: TryLaterError("silence") if f"{made.port}.{made.method}" == call else None
    for each in world.observe().values():
        snapshot = each.snapshot
        there = {
            "visible": snapshot.queue.visible, "group": snapshot.group, "sent": snapshot.queue.sent,
            "veto": snapshot.veto,
        }  # fmt: skip
        assert {name for name, value in there.items() if value is None} == missing
        assert [str(fault) for fault in each.faults] == ["silence"]
    assert world.calls[call] == 1


def test_launches_when_no_group_has_or_wants_instances() -> None:
    """Nothing is launched: the log of launches is not read."""
    world = World(a_fleet("a"), a_fleet("b"))
    world.observe()
    assert world.calls["MemoryLaunchLog.launches"] == 0
    world.truth.group.set_desired("b", 1)
    world.observe()
    assert world.calls["MemoryLaunchLog.launches"] == 1


def test_metrics_when_the_process_knows_what_the_ledger_has() -> None:
    """The log of one step reads what it does not know, and knows what it has written; after a failure nothing."""
    world = World(a_fleet("a"))
    log, metrics = KnownMetrics(world.ports.ledger.queue_metrics, None), QueueMetrics(5.0)
    log.keep_queue_metrics(SHARD, metrics)
    assert log.queue_metrics(SHARD) is metrics
    assert world.calls["MemoryQueueMetrics.queue_metrics"] == 0
    world.fails = lambda _: TryLaterError("silence")
    with pytest.raises(TryLaterError):
        log.keep_queue_metrics(SHARD, QueueMetrics(6.0))
    world.fails = lambda _: None
    assert log.queue_metrics(SHARD) == metrics
    assert world.calls["MemoryQueueMetrics.queue_metrics"] == 1


def test_metrics_when_not_all_fleets_are_ticked() -> None:
    """Those of the last reading are used: nothing is read of CloudWatch, and the shard's are not written."""
    world = World(a_fleet("a"))
    world.truth.signals.feed(queue_url("a"), QueueReading(oldest_age=Reading(7.0, START_AT)))
    world.observe()
    world.calls.clear()
    world.clock.now += 600.0
    seen = world.observe(whole=False)
    assert seen["a"].snapshot.queue.oldest_age == Reading(7.0, START_AT)
    assert not {"MemorySignals.read_all", "MemoryQueueMetrics.keep_queue_metrics"} & set(world.calls)


def test_dry_run_when_nothing_may_be_kept() -> None:
    """Metrics are read whole, launches from the group, and neither is written."""
    world = World(a_fleet("a"))
    world.observe(Memory(), shard=None)
    assert world.calls["MemorySignals.read_all"] == world.calls["MemoryGroup.launches"] == 1
    assert not [call for call in world.calls if "keep" in call or "note" in call]


def test_launches_when_a_fleet_is_new() -> None:
    """Those of the last hour come from the group, and are noted for the next ticks; later the log alone is read."""
    world = World(a_fleet("a"))
    world.truth.group.create("a", max_size=5)
    world.truth.group.set_desired("a", 2)
    world.clock.now += 5.0
    first = world.observe(Memory())["a"].snapshot.group
    assert first is not None
    assert [instance.launched_at for instance in first.instances] == [START_AT] * 2
    world.calls.clear()
    world.truth.ledger.launch_log.note_launch_event(
        Launch("a", "x", START_AT, START_AT + 1.0, failure="no capacity"), world.clock.now
    )
    later = world.observe()["a"].snapshot.group
    assert later is not None
    assert [failure.message for failure in later.launch_failures] == ["no capacity"]
    assert world.calls["MemoryGroup.launches"] == 0


def test_launches_when_auto_scaling_is_silent_about_the_first() -> None:
    """Nobody else waits: the others' launches are known from their events."""
    world = World(*(a_fleet(f"f{number}") for number in range(5)))
    world.fails = lambda made: TryLaterError("silence") if made.method == "launches" and made.args == ("f0",) else None
    seen = world.observe(Memory())
    assert world.calls["MemoryGroup.launches"] == 1
    assert [len(each.faults) for each in seen.values()] == [1, 0, 0, 0, 0]
