"""The metric reader: how often CloudWatch is asked, and that nothing that it knows is missed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from sluice.config.fleet import parse
from sluice.memory import MemoryPorts, MemorySignals, memory_ports
from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Instance, Lifecycle, QueueReading, Reading, Series
from sluice.model.planning import Memory, QueueSample, Snapshot
from sluice.model.redriving import Message
from sluice.model.timing import Timing
from sluice.planning.learning.learn import learn
from sluice.planning.metric_reader import AskedQueue, MetricReader, quiet_since
from sluice.planning.observing import merge
from sluice.ports.errors import PortError, TryLaterError
from tests.support.metrics import metrics_of
from tests.support.still_clock import START_AT, Clock

TIMING = Timing()
LAG_S = 120.0
URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders"
OTHER = "https://sqs.eu-central-1.amazonaws.com/123456789012/letters"
FLEET = parse("orders", {"queue": URL, "group": "orders", "target_wait_s": 120})


class Asked:
    """Signals that note what they are asked for, and fail where told."""

    def __init__(self, signals: MemorySignals) -> None:
        self.signals = signals
        self.calls: list[tuple[tuple[str, ...], float | None]] = []  # queues, and how far back in seconds
        self.failing: set[str] = set()

    def read(self, queue_url: str, now: float) -> QueueReading:
        """One queue, which no reader asks for."""
        raise NotImplementedError

    def read_all(
        self, queue_urls: Sequence[str], now: float, since: float | None = None
    ) -> tuple[QueueReading | PortError, ...]:
        """Several queues."""
        self.calls.append((tuple(queue_urls), None if since is None else now - since))
        found = self.signals.read_all(queue_urls, now, since)
        return tuple(
            TryLaterError(f"{url} is silent") if url in self.failing else reading
            for url, reading in zip(queue_urls, found, strict=True)
        )

    def alarms_are_on(self, names: Sequence[str]) -> tuple[bool | PortError, ...]:
        """Alarms, which no reader asks for."""
        raise NotImplementedError


class World:
    """A queue in memory whose metrics are two minutes late, and a reader of them."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ports: MemoryPorts = memory_ports(self.clock, [FLEET], lag_s=LAG_S)
        self.ports.queue.create(OTHER)
        self.signals = Asked(self.ports.signals)
        self.reader = self.another()

    def another(self) -> MetricReader:
        """A reader of another process, over the same ledger."""
        return MetricReader(self.signals, self.ports.ledger.queue_metrics, TIMING)

    def send(self, count: int, url: str = URL) -> None:
        """Send messages."""
        self.ports.queue.send(
            url, [Message(id=f"m{self.clock.now}-{n}", body="x") for n in range(count)], [0.0] * count
        )

    def work(self, count: int) -> None:
        """Receive and delete messages."""
        received = self.ports.queue.receive(URL, count, 600.0)
        self.ports.queue.delete(URL, [message.receipt for message in received])

    def read(self, *queues: AskedQueue) -> QueueReading:
        """What the first queue's metrics are now."""
        return self.reader.read("ticks/0000", queues or (AskedQueue(URL),), self.clock.now).readings[URL]

    def tick(self, seconds: float = TIMING.tick_s) -> None:
        """Let time pass."""
        self.clock.now += seconds


def test_metrics_are_read_each_third_period_and_a_quarter_of_an_hour_back() -> None:
    """All there is at first; then no more than may be news, and nothing between."""
    world = World()
    world.send(5)
    for _ in range(180):
        world.read()
        world.tick()
    first, *others = world.signals.calls
    assert first == ((URL,), None)
    assert [urls for urls, _ in others] == [(URL,)] * 10
    assert {back_s for _, back_s in others[1:]} == {900.0}


def test_ticks_in_another_process_go_on_with_what_was_read() -> None:
    """The ledger has it, so that each process need not ask CloudWatch for itself."""
    world = World()
    world.send(5)
    world.tick(400.0)
    read = world.read()
    assert read.sent is not None
    calls = len(world.signals.calls)
    world.reader = world.another()
    world.tick()
    assert world.read() == read
    assert len(world.signals.calls) == calls


def test_what_is_learned_is_the_same_as_of_whole_readings() -> None:
    """Tick by tick, of a queue that is busy by turns: memory and estimates."""
    world, random = World(), Random(15)
    group = GroupReading("orders", 0.0, 2, 0, 10, tuple(Instance(f"i-{n}", Lifecycle.IN_SERVICE) for n in range(2)))
    whole, parts = Memory(), Memory()
    last, kept = -1.0, QueueReading()
    for number in range(900):
        now = world.clock.now
        if random.random() < (0.6 if number // 120 % 2 else 0.1):
            world.send(random.randint(1, 12))
        world.work(random.randint(0, 5))
        live = world.ports.queue.read(URL, now)
        calls = len(world.signals.calls)
        read = world.read()
        if len(world.signals.calls) > calls:
            last, kept = now, metrics_of(world.ports.signals, URL, now)
        assert now - last < TIMING.metric_read_s
        for metrics, is_whole in ((kept, True), (read, False)):
            snapshot = Snapshot("orders", now, merge(live, metrics), replace(group, at=now))
            memory, estimates = learn(whole if is_whole else parts, snapshot, FLEET, timing=TIMING, now=now)
            if is_whole:
                whole, expected = memory, estimates
            else:
                parts = memory
                assert (memory, estimates) == (whole, expected), f"at tick {number}"
        world.tick()
    assert sum(whole.arrivals.history.counts) > 500
    assert whole.service_rate.estimate is not None


def test_queue_that_stays_empty_is_not_asked_for_and_counts_as_zero() -> None:
    """Once the metrics reach the moment from which on it was empty; and they go on from there when it is used again."""
    world = World()
    world.send(3)
    world.work(3)
    world.tick()
    quiet_at = world.clock.now
    for _ in range(360):
        read = world.read(AskedQueue(URL, quiet_since=quiet_at))
        world.tick()
    asked = len(world.signals.calls)
    assert asked <= 3
    assert read.sent is not None
    assert read.sent.points[-1][1] == 0.0
    assert world.clock.now - read.sent.points[-1][0] <= LAG_S + TIMING.metric_read_s + 2 * TIMING.metric_period_s
    assert read.oldest_age is not None
    assert read.oldest_age.value == 0.0
    for each in range(40):
        world.send(1)
        read = world.read()
        world.tick()
        if each == 0:
            began_at = world.clock.now
    assert len(world.signals.calls) > asked
    truth = metrics_of(world.ports.signals, URL, world.clock.now).sent
    assert truth is not None
    assert read.sent is not None
    assert set(read.sent.points) <= set(truth.points)
    assert read.sent.points[-1][0] > began_at - TIMING.metric_period_s


def test_all_is_read_again_when_nothing_is_known_of_the_arrivals() -> None:
    """A memory that was lost is filled from three hours, and no sooner than metrics are read anyway."""
    world = World()
    world.send(3)
    for _ in range(60):
        world.read(AskedQueue(URL, is_new=True))
        world.tick()
    assert {back_s for _, back_s in world.signals.calls} == {None}
    assert 3 <= len(world.signals.calls) <= 5


def test_reading_goes_back_to_what_was_read_last_when_nobody_ticked_for_an_hour() -> None:
    """Nothing that came meanwhile is missed."""
    world = World()
    world.send(3)
    world.tick(600.0)
    world.read()
    world.tick(1_200.0)
    world.send(7)
    world.tick(2_400.0)
    read = world.read()
    assert read.sent is not None
    assert sum(count for start_at, count in read.sent.points if start_at > START_AT + 600.0) == 7


def test_what_is_known_stays_when_cloudwatch_is_silent() -> None:
    """The next tick asks again, and so on until there is an answer."""
    world = World()
    world.send(3)
    world.tick(400.0)
    before = world.read()
    world.tick(TIMING.metric_read_s)
    world.signals.failing.add(URL)
    for _ in range(3):
        read = world.reader.read("ticks/0000", [AskedQueue(URL)], world.clock.now)
        assert (dict(read.readings), str(read.faults[URL])) == ({URL: before}, f"{URL} is silent")
        world.tick()
    world.signals.failing.clear()
    read = world.reader.read("ticks/0000", [AskedQueue(URL)], world.clock.now)
    assert not read.faults
    assert len(world.signals.calls) == 5


def test_error_of_one_queue_is_its_own() -> None:
    """The others are read, and not again before they are due."""
    world = World()
    world.send(3)
    world.send(3, OTHER)
    world.tick(400.0)
    world.signals.failing.add(OTHER)
    queues = (AskedQueue(URL), AskedQueue(OTHER))
    read = world.reader.read("ticks/0000", queues, world.clock.now)
    assert set(read.faults) == {OTHER}
    assert read.readings[URL].sent is not None
    assert read.readings[OTHER] == QueueReading()
    world.tick()
    world.reader.read("ticks/0000", queues, world.clock.now)
    assert [urls for urls, _ in world.signals.calls] == [(URL, OTHER), (OTHER,)]


def test_shards_are_read_in_different_periods() -> None:
    """So that twenty of them do not all ask within the same ten seconds."""
    world, asked_at = World(), {}
    queues = [AskedQueue(URL)]
    shards = [f"ticks/{number:04d}" for number in range(3)]
    for shard in shards:
        world.reader.read(shard, queues, world.clock.now)
    for _ in range(18):
        world.tick()
        for shard in shards:
            calls = len(world.signals.calls)
            world.reader.read(shard, queues, world.clock.now)
            if len(world.signals.calls) > calls:
                asked_at[shard] = world.clock.now
    assert len(set(asked_at.values())) == 3


# --------------------------------------------------------------------------- quiet


EMPTY = QueueReading(visible=Reading(0, 0), in_flight=Reading(0, 0), delayed=Reading(0, 0))
NOBODY = GroupReading("orders", 0.0, 0, 0, 10)


def samples(*figures: tuple[float, float, float]) -> Memory:
    """A memory whose ticks, ten seconds apart, saw so many messages waiting and in flight, and instances at work."""
    return Memory(
        samples=tuple(
            QueueSample(10.0 * place, visible, in_flight, working, True, 0.0)
            for place, (visible, in_flight, working) in enumerate(figures, 1)
        )
    )


@pytest.mark.parametrize("busy", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_fleet_is_quiet_since_the_last_tick_that_saw_something(busy: tuple[float, float, float]) -> None:
    """A message that waits or is worked on, or an instance in service."""
    assert quiet_since(samples((0, 0, 0), busy, (0, 0, 0), (0, 0, 0)), [EMPTY], NOBODY) == 30.0
    assert quiet_since(samples((0, 0, 0), (0, 0, 0)), [EMPTY], NOBODY) == 10.0
    assert quiet_since(samples((0, 0, 0), busy), [EMPTY], NOBODY) is None
    assert quiet_since(samples(), [EMPTY], NOBODY) is None


@pytest.mark.parametrize("name", ["visible", "in_flight", "delayed"])
@pytest.mark.parametrize("figure", [Reading(1, 0), None])
def test_fleet_is_not_quiet_when_any_queue_has_messages_or_is_unknown(name: str, figure: Reading | None) -> None:
    """What cannot be read may be anything."""
    other = replace(EMPTY, **{name: figure})  # type: ignore[arg-type]
    assert quiet_since(samples((0, 0, 0)), [EMPTY, other], NOBODY) is None


@pytest.mark.parametrize(
    "group",
    [
        None,
        replace(NOBODY, desired=1),
        replace(NOBODY, instances=(Instance("i-1", Lifecycle.DRAINING),)),
        replace(NOBODY, instances=(Instance("i-1", Lifecycle.LAUNCHING),)),
    ],
)
def test_fleet_is_not_quiet_when_it_has_instances_or_is_unknown(group: GroupReading | None) -> None:
    """Any of them may take messages between two ticks."""
    assert quiet_since(samples((0, 0, 0)), [EMPTY], group) is None


def test_series_of_another_period_replaces_what_was_known() -> None:
    """An emulator's minute may change; both lengths in one series would be wrong."""
    world = World()
    world.signals.signals.feed(URL, QueueReading(sent=Series(60.0, ((START_AT - 120.0, 3.0),))))
    world.read()
    world.tick(TIMING.metric_read_s)
    fed = QueueReading(sent=Series(5.0, ((START_AT + 60.0, 4.0),)))
    world.signals.signals.feed(URL, fed)
    assert world.read() == fed
