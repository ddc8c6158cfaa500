"""The backtest's world: queues that wait as worked out by hand, boots, drains, bills and metrics."""

from dataclasses import dataclass, field, replace
from random import Random

import numpy as np
import pytest

from sluice.model.observed import Lifecycle
from sluice_tools.backtest.conditions import Conditions, ScaleInOrder
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.simulated_group import Group, Unit, shuffle
from sluice_tools.backtest.simulated_queue import FluidQueue, MessageQueue, Waits, queue_for, service_times
from sluice_tools.backtest.simulator import Sight, Step, late_fraction, quantiles, simulate
from sluice_tools.backtest.traces import Trace

EXACT = Conditions(
    seconds_per_message=10.0, boot_spread=0.0, service_cv=0.0, count_noise=0.0, drain_s=0.0, metric_late_s=(60.0, 60.0)
)


def a_trace(*counts: int) -> Trace:
    """A trace of so many messages a minute."""
    return Trace("made", np.array(counts, dtype=np.int64))


@dataclass(slots=True)
class Script:
    """A policy that wants what it is told from each moment on, and notes what it sees."""

    wants: tuple[tuple[float, int], ...]
    every_s: float = 10.0
    first: int = 0
    name: str = field(default="script", init=False)
    _seen: list[tuple[float, float, float, int, int]] = field(default_factory=list, init=False)
    _metrics: list[tuple[float, int]] = field(default_factory=list, init=False)

    def begin(self, conditions: Conditions, trace: Trace) -> int:
        """So many at first."""
        return self.first

    def decide(self, sight: Sight) -> Step:
        """What the script says."""
        self._seen.append((sight.now, sight.visible(), sight.in_flight(), sight.working, sight.launching))
        self._metrics.append((sight.now, len(sight.minutes)))
        want = [want for at, want in self.wants if at <= sight.now]
        return Step(want[-1] if want else self.first, sight.now + self.every_s)


def test_message_queue_when_one_server_works_through_a_burst() -> None:
    """Each message waits for those before it: Lindley's recursion, worked out apart."""
    trace = a_trace(12, 0, 0)
    queue = MessageQueue(trace, EXACT)
    queue.add(1, 0.0)
    queue.advance(180.0)
    waits = queue.waits()
    free_at, expected = 0.0, []
    for came_at in waits.came_at:
        start = max(came_at, free_at)
        expected.append(start - came_at)
        free_at = start + 10.0
    assert waits.seconds == pytest.approx(expected)
    assert max(expected) > 30.0
    assert sum(queue.deleted_in(minute) for minute in range(3)) == 12


def test_message_queue_when_service_times_vary_with_three_servers() -> None:
    """The oldest goes to whoever is free first: a plain list of free moments says the same."""
    conditions = replace(EXACT, service_cv=0.8)
    trace = a_trace(20, 15, 25, 0, 0, 0)
    queue = MessageQueue(trace, conditions)
    for server in range(3):
        queue.add(server, 0.0)
    for until in range(7, 361, 7):  # how it is cut up makes no difference
        queue.advance(float(until))
    waits, takes_s = queue.waits(), service_times(60, conditions)
    free = [0.0, 0.0, 0.0]
    for came_at, seconds, wait in zip(waits.came_at, takes_s, waits.seconds, strict=True):
        first = free.index(min(free))
        start = max(came_at, free[first])
        free[first] = start + seconds
        assert wait == pytest.approx(min(start, 357.0) - came_at)


def test_message_queue_when_a_server_leaves_with_work_in_hand() -> None:
    """It finishes its message and takes no other; its message is in flight until then."""
    queue = MessageQueue(a_trace(30, 0), EXACT)
    queue.add(1, 0.0)
    queue.add(2, 0.0)
    queue.advance(40.0)
    started = len(queue.waits().seconds) - queue.visible()
    (done_at,) = queue.remove([1], 40.0)
    assert 40.0 < done_at <= 50.0
    assert queue.in_flight() == 2.0
    queue.advance(done_at + 0.01)
    assert queue.in_flight() == 1.0
    assert len(queue.waits().seconds) - queue.visible() <= started + 1


def test_message_queue_when_counted_by_the_minute() -> None:
    """Each minute's completions are those whose end falls into it, whoever did them, and however it is cut up."""
    trace = a_trace(15, 3, 20, 0, 5, 0, 0)
    conditions = replace(EXACT, service_cv=0.6)
    whole, cut = MessageQueue(trace, conditions), MessageQueue(trace, conditions)
    for queue in (whole, cut):
        queue.add(1, 0.0)
        queue.add(2, 0.0)
    for until in range(0, 130, 5):
        cut.advance(float(until))
    for queue in (whole, cut):
        queue.remove([1], 130.0)
        queue.add(3, 200.0)
    for until in range(200, 421, 5):
        cut.advance(float(until))
    whole.advance(420.0)
    deleted = [[queue.deleted_in(minute) for minute in range(7)] for queue in (whole, cut)]
    waits = whole.waits()
    started = len(waits.seconds) - int(whole.visible())
    ends = (waits.came_at + waits.seconds + service_times(43, conditions))[:started]
    expected = np.bincount((ends / 60.0).astype(int), minlength=7)[:7].tolist()
    assert deleted == [expected, expected]
    assert min(expected[:2]) > 0


def test_in_flight_when_some_are_idle() -> None:
    """Only instances with a message in hand count, and one that leaves with its message."""
    queue = MessageQueue(a_trace(0, 2, 0), replace(EXACT, seconds_per_message=200.0))
    for server in range(5):
        queue.add(server, 0.0)
    queue.advance(60.0)
    assert queue.in_flight() == 0.0
    queue.advance(120.0)
    assert queue.in_flight() == 2.0
    done_at = max(queue.remove(range(5), 120.0))
    assert queue.in_flight() == 2.0
    queue.advance(done_at)
    assert queue.in_flight() == 0.0


def test_messages_when_two_queues_have_the_same_traffic() -> None:
    """They are drawn once and not changed by a run; other service times are drawn anew."""
    trace = a_trace(30, 10, 0)
    first = MessageQueue(trace, EXACT)
    first.add(1, 0.0)
    first.advance(180.0)
    again, slower = MessageQueue(trace, EXACT), MessageQueue(trace, replace(EXACT, seconds_per_message=20.0))
    for queue in (again, slower):
        queue.add(1, 0.0)
        queue.advance(180.0)
    assert again.waits().seconds.tolist() == first.waits().seconds.tolist()
    assert slower.waits().seconds.sum() > first.waits().seconds.sum()


def test_message_queue_when_nobody_works() -> None:
    """What waits has waited until now, and the oldest is the first that came."""
    queue = MessageQueue(a_trace(5, 0), EXACT)
    queue.advance(120.0)
    waits = queue.waits()
    assert queue.visible() == 5.0
    assert waits.seconds == pytest.approx(120.0 - waits.came_at)
    assert queue.oldest_age() == pytest.approx(120.0 - waits.came_at[0])


def test_oldest_age_when_only_work_in_hand_is_left() -> None:
    """A message counts until it is completed, not until it is received."""
    queue = MessageQueue(a_trace(1, 0), replace(EXACT, seconds_per_message=300.0))
    queue.add(1, 0.0)
    queue.advance(100.0)
    assert queue.visible() == 0.0
    assert queue.oldest_age() == pytest.approx(100.0 - queue.waits().came_at[0])


def test_fluid_queue_when_a_burst_is_worked_off() -> None:
    """600 a minute for one minute against 5 a second: waits rise to a minute and every wait is the triangle's."""
    conditions = replace(EXACT, seconds_per_message=0.2)
    queue = FluidQueue(a_trace(600, 0, 0), conditions)
    queue.add(1, 0.0)
    for until in range(0, 181, 10):
        queue.advance(float(until))
    waits = queue.waits()
    assert waits.messages.sum() == pytest.approx(600.0)
    assert waits.seconds == pytest.approx(waits.came_at)  # k-th: comes at k / 10, starts at k / 5
    assert late_fraction(waits, 30.0) == pytest.approx(0.5, abs=0.1)
    assert queue.deleted_in(0) == 300.0


def test_fluid_queue_when_compared_with_whole_messages() -> None:
    """Short messages: both tell the same waits within a second or two."""
    conditions = replace(EXACT, seconds_per_message=0.5, service_cv=0.5)
    trace = a_trace(*([300] * 5 + [900] * 3 + [100] * 10))
    found = []
    for queue in (MessageQueue(trace, conditions), FluidQueue(trace, conditions)):
        for server in range(4):
            queue.add(server, 0.0)
        for until in range(0, 18 * 60 + 1, 10):
            queue.advance(float(until))
        found.append(quantiles(queue.waits(), (0.5, 0.9, 0.99)))
    assert found[1] == pytest.approx(found[0], abs=4.0)


def test_queue_for_when_there_are_too_many_messages() -> None:
    """A large trace is a fluid, a small one whole messages."""
    trace = a_trace(50, 50)
    assert isinstance(queue_for(trace, EXACT), MessageQueue)
    assert isinstance(queue_for(trace, replace(EXACT, messages_max=99)), FluidQueue)


def test_service_times_when_they_vary() -> None:
    """Mean and spread are the conditions'."""
    takes_s = service_times(200_000, Conditions(seconds_per_message=4.0, service_cv=0.5))
    assert takes_s.mean() == pytest.approx(4.0, rel=0.02)
    assert takes_s.std() == pytest.approx(2.0, rel=0.03)
    assert takes_s.min() > 0


def test_simulate_when_a_launch_boots() -> None:
    """An instance works a boot after it was wanted, and is paid for from then on."""
    policy = Script(wants=((20.0, 1),))
    run = simulate(a_trace(1, 1, 1, 1), policy, EXACT)
    working = {now: working for now, _, _, working, _ in policy._seen}
    assert (working[70.0], working[80.0]) == (0, 1)
    assert run.instance_hours * 3600 == pytest.approx(240.0 - 20.0)
    assert run.launches == 1
    assert run.work_hours * 3600 == pytest.approx(40.0)


def test_simulate_when_an_instance_lives_shortly() -> None:
    """A minute is the least that is paid for."""
    policy = Script(wants=((0.0, 1), (20.0, 0)))
    run = simulate(a_trace(1, 0, 0), policy, replace(EXACT, boot_s=5.0))
    assert run.instance_hours * 3600 == pytest.approx(60.0)


def test_simulate_when_a_drain_takes_time() -> None:
    """It is paid for until its message is done, and its shutdown after that."""
    conditions = replace(EXACT, seconds_per_message=100.0, drain_s=7.0)
    policy = Script(wants=((0.0, 1), (120.0, 0)), first=1)
    run = simulate(a_trace(2, 0, 0, 0, 0), policy, conditions)
    began = run.instance_hours * 3600
    assert 200.0 + 7.0 <= began <= 260.0 + 7.0  # the second of two messages is in hand at 120 s


def test_simulate_when_launches_fail() -> None:
    """A launch that fails is seen, paid for and tried again until one comes."""
    conditions = replace(EXACT, launch_failure=0.7, boot_s=30.0, seed=3)
    policy = Script(wants=((0.0, 3),))
    run = simulate(a_trace(*[1] * 30), policy, conditions)
    assert run.launches > 3
    assert policy._seen[-1][3] == 3


def test_simulate_when_a_group_scales_in_while_it_launches() -> None:
    """What works goes before what still launches, which is not there to be lost."""
    policy = Script(wants=((0.0, 3), (100.0, 5), (110.0, 2)))
    simulate(a_trace(0, 0, 1, 1), policy, EXACT)
    assert next(seen[3:] for seen in policy._seen if seen[0] == 120.0) == (0, 2)


def test_shuffle_when_compared_with_the_library() -> None:
    """The same draws, the same order: old results stay what they are."""
    ours, theirs = Random(7), Random(7)
    for count in (0, 1, 2, 3, 8, 50, 129):
        units = [Unit(number, 0.0, Lifecycle.IN_SERVICE) for number in range(count)]
        numbers = list(range(count))
        shuffle(units, ours)
        theirs.shuffle(numbers)
        assert [unit.number for unit in units] == numbers
    assert ours.random() == theirs.random()


@pytest.mark.parametrize(
    ("order", "left"),
    [(ScaleInOrder.OLDEST, {"i-00000003", "i-00000004"}), (ScaleInOrder.NEWEST, {"i-00000001", "i-00000002"})],
)
def test_group_when_it_scales_in_in_order(order: ScaleInOrder, left: set[str]) -> None:
    """The oldest or the newest go first, as the conditions say."""
    conditions = replace(EXACT, scale_in_order=order, drain_s=30.0)
    group = Group(MessageQueue(a_trace(0, 1), conditions), conditions, 0.0)
    group.start(4)
    group.set_desired(2, 10.0)
    seen = group.instances()
    assert {each.id for each in seen if each.state is Lifecycle.IN_SERVICE} == left
    assert sum(each.state is Lifecycle.DRAINING for each in seen) == 2
    group.advance(41.0)
    assert len(group.instances()) == 2


def test_sight_when_metrics_are_late() -> None:
    """A minute's figures are there no sooner than the conditions say, in order."""
    policy = Script(wants=())
    simulate(a_trace(*[3] * 10), policy, replace(EXACT, metric_late_s=(60.0, 180.0)))
    for now, known in policy._metrics:
        assert now // 60 - 3 <= known + 1
        assert known <= max(0, (now - 60) // 60)
    assert policy._metrics[-1][1] >= 6


def test_sight_when_counts_are_approximate() -> None:
    """Live counts are off by some hundredths, and never say that something waits when nothing does."""
    policy = Script(wants=(), every_s=1.0)
    simulate(a_trace(0, 1000, 0, 0, 0), policy, replace(EXACT, count_noise=0.03))
    assert all(visible == 0 for now, visible, *_ in policy._seen if now <= 60.0)
    late = [visible for now, visible, *_ in policy._seen if now >= 120.0]
    assert 0.02 < np.std(late) / 1000 < 0.04
    assert np.mean(late) == pytest.approx(1000, rel=0.01)


def test_simulate_when_repeated_with_its_seed() -> None:
    """The same seed is the same run, another seed another."""
    trace = a_trace(*[20, 60, 5] * 20)
    conditions = Conditions(seconds_per_message=5.0)
    first, again, other = (
        simulate(trace, make("little"), each).record() for each in (conditions, conditions, replace(conditions, seed=2))
    )
    assert first == again
    assert first["wait_p99_s"] != other["wait_p99_s"]


def test_simulate_when_sluice_plans() -> None:
    """The shipped planner keeps its target, well below what a fleet for the peak costs."""
    trace = a_trace(*([30] * 60 + [90] * 60 + [20] * 120))
    conditions = Conditions(seconds_per_message=5.0)
    ours, peak = (simulate(trace, make(spec), conditions) for spec in ("sluice:hinted=yes", "fixed"))
    assert ours.late_fraction < 0.01
    assert ours.cost_ratio < 0.75 * peak.cost_ratio
    assert any("Scaling out" in sentence for _, sentence in ours.notes)


def test_sluice_when_nothing_comes_for_an_hour() -> None:
    """An idle fleet is ticked every ten seconds as a busy one is: as the deployed planner does."""
    quiet = simulate(a_trace(*[0] * 59, 1), make("sluice"), Conditions(target_wait_s=300.0))
    assert 355 <= quiet.ticks <= 366
    busy = simulate(a_trace(*[60] * 60), make("sluice:hinted=yes"), Conditions(seconds_per_message=5.0))
    assert 330 <= busy.ticks <= 360


def test_sluice_when_its_window_is_set() -> None:
    """A longer window before scaling in keeps more instances."""
    trace = a_trace(*([60] * 20 + [5] * 40))
    conditions = Conditions(seconds_per_message=10.0)
    short, long = (
        simulate(trace, make(f"sluice:hinted=yes,stabilization_window_s={s}"), conditions) for s in (0, 1200)
    )
    assert long.instance_hours > 1.2 * short.instance_hours


def test_sluice_when_it_knows_neither_speed_nor_boot() -> None:
    """Both are learned from what ticks see; more than is needed is tried with meanwhile, and nothing is late."""
    trace = a_trace(*[20] * 300)
    run = simulate(trace, make("sluice"), Conditions(seconds_per_message=20.0, boot_s=90.0))
    assert run.timeline.wait_s.max() < 120.0
    assert run.timeline.working[:30].max() > run.timeline.working[60:].max()


def test_quantiles_when_messages_are_weighed() -> None:
    """A wait counts as often as messages waited it."""
    waits = Waits(np.zeros(3), np.array([5.0, 1.0, 9.0]), np.array([10.0, 85.0, 5.0]))
    assert quantiles(waits, (0.5, 0.9, 0.99, 1.0)) == [1.0, 5.0, 9.0, 9.0]
    assert late_fraction(waits, 5.0) == pytest.approx(0.05)


@pytest.mark.parametrize(("field_name", "value"), [("target_wait_s", 0.0), ("boot_s", -1.0), ("launch_failure", 1.0)])
def test_conditions_when_they_make_no_sense(field_name: str, value: float) -> None:
    """The fault is named."""
    with pytest.raises(ValueError, match=field_name.removesuffix("_s")):
        Conditions(**{field_name: value})  # type: ignore[arg-type]
