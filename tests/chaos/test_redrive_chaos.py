"""Dead letters and redrives under faults: every crash point of a batch and of a job, and whole seeded stories."""

import contextlib
from collections import Counter

import pytest

from sluice.config.fleet import RedriveMode
from sluice.memory import Call, Crash, Fault, When, at_call, faulty_ports
from sluice.model.redrive_jobs import JobState, Selection
from sluice.ports.errors import LostAnswerError, PortError, TryLaterError
from sluice.redriving import fifo_order
from sluice.redriving.jobs.lifecycle import create_job
from sluice_tools.chaos.redrive import build, run
from tests.support.redrive_worlds import SOON, VISIBILITY_S, World, fleet

SEEDS_PER_TEST = 25
BODIES = ("a", "b", "c", "d")
ERRORS = (Crash(), TryLaterError("slow down"), LostAnswerError("no answer"))
FAULTS = [
    pytest.param(when, error, id=f"{type(error).__name__}-{when}")
    for when in When
    for error in ERRORS
    # What surely had no effect has none: only an answer that is lost can follow an effect.
    if not (when is When.AFTER and type(error) is TryLaterError)
]


def check(world: World, what: str) -> None:
    """Each message is somewhere, and at most one copy of it is in the queue."""
    queue, dead, held = world.bodies(), world.bodies(world.dead_letters), world.held_bodies()
    for body in BODIES:
        assert body in (*queue, *dead, *held), f"{what}: {body} is nowhere"
    doubled = [body for body, count in Counter(queue).items() if count > 1]
    assert not doubled, f"{what}: {doubled} twice in the queue"


def dead_world(*, fifo: bool, max_retries: int) -> World:
    """Four dead letters: on a FIFO queue two of one message group, two of others."""
    world = World(fleet(fifo=fifo, max_retries=max_retries))
    for body, group in zip(BODIES, ("g", "g", "h", "i"), strict=True):
        world.put_dead(body, message_group=group if fifo else None)
    return world


def count_calls(world: World, act: str) -> int:
    """How many calls an undisturbed round makes."""
    calls = [0]

    def count(call: Call) -> Fault | None:
        calls[0] += 1
        return None

    ports = faulty_ports(world.ports, count)
    if act == "process":
        world.process(ports)
    else:
        world.work(create_job(world.ports, world.fleet, Selection(), world.job()), ports)
    return calls[0]


# Longer than a FIFO dead letter waits for its first retry, and than the copy of one before it takes to settle.
FIFO_RETRY_S = 600.0


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
@pytest.mark.parametrize("max_retries", [0, 2], ids=["quarantine", "retry"])
@pytest.mark.parametrize(("when", "error"), FAULTS)
def test_processing_loses_and_doubles_nothing_when_any_single_call_fails(
    when: When, error: BaseException, max_retries: int, fifo: bool
) -> None:
    """Every call of a batch fails once, before and after its effect; later deliveries bring all to its end."""
    calls = count_calls(dead_world(fifo=fifo, max_retries=max_retries), "process")
    assert calls > 4
    for index in range(calls):
        world = dead_world(fifo=fifo, max_retries=max_retries)
        what = f"call {index} of {calls}"
        with contextlib.suppress(Crash, PortError):
            world.process(faulty_ports(world.ports, at_call(index, when, error)))
        check(world, what)
        for _ in range(6):
            world.now += FIFO_RETRY_S if fifo else VISIBILITY_S
            world.process()
            check(world, what)
        assert world.bodies(world.dead_letters) == [], what
        if max_retries == 0:
            assert sorted(world.held_bodies()) == list(BODIES), what
            assert not fifo or [body for body in world.held_bodies() if body in "ab"] == ["a", "b"], what
            groups = world.ports.ledger.failure_groups.failure_groups("orders")
            assert sum(group.count for group in groups) == len(BODIES), what


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
@pytest.mark.parametrize(("when", "error"), FAULTS)
def test_job_loses_and_doubles_nothing_when_any_single_call_fails(when: When, error: BaseException, fifo: bool) -> None:
    """Every call of a redrive fails once; the next invocations, and an operator's `again`, bring all to its end."""

    def quarantined() -> World:
        world = dead_world(fifo=fifo, max_retries=0)
        world.process()
        world.now += 1
        return world

    calls = count_calls(quarantined(), "work")
    assert calls > 10
    for index in range(calls):
        world = quarantined()
        what = f"call {index} of {calls}"
        job = create_job(world.ports, world.fleet, Selection(), world.job())
        with contextlib.suppress(Crash, PortError):
            world.work(job, faulty_ports(world.ports, at_call(index, when, error)))
        check(world, what)
        for _ in range(3):
            world.now += SOON + 1
            left = world.ports.ledger.jobs.job("orders", "job-1")
            if left is not None and left.state is JobState.RUNNING:
                world.work(left)
            check(world, what)
        queued = Counter(world.bodies())
        if world.index():
            last = world.work(create_job(world.ports, world.fleet, Selection(), world.job(id="job-2", again=True)))
            assert last.state is JobState.DONE, what
        assert world.index() == (), what
        assert set(world.bodies()) == set(BODIES), what
        again = sum((Counter(world.bodies()) - queued).values())
        assert len(world.bodies()) <= len(BODIES) + again, what
        assert world.failures == [] or all(isinstance(one, PortError) for _, one in world.failures), what
        if fifo and not again:
            assert [body for body in world.bodies() if body in "ab"] == ["a", "b"], what


@pytest.mark.parametrize("first", range(0, 4 * SEEDS_PER_TEST, SEEDS_PER_TEST))
def test_redrive_when_everything_may_fail_keeps_its_invariants(first: int) -> None:
    """Seeded stories of faults, crashes, stalls, partial answers and double deliveries violate nothing."""
    for seed in range(first, first + SEEDS_PER_TEST):
        report = run(seed)
        assert report.violations == (), "\n".join((f"seed {seed}", *report.story[-200:], *report.violations))


def test_redrive_stories_have_every_fault_of_the_work_queue() -> None:
    """Steps are lost, doubled and late, and refused while the queue is down: what no story has, no story shows."""
    counts: Counter[str] = Counter()
    for seed in range(40):
        counts.update(run(seed).counts)
    assert all(counts[f"steps{what}"] > 0 for what in ("", " lost", " doubled", " late", " refused")), counts


def test_redrive_when_told_twice_tells_the_same_story() -> None:
    """A seed is the whole cause of its story, so that a failure can be played again."""
    assert run(7) == run(7)


def _first_violation(seeds: int = 200) -> str:
    """The first violation in the stories of FIFO queues, where automatic retries have an order to keep."""
    for seed in range(seeds):
        world = build(seed)
        report = run(seed) if world.fifo and world.fleet.redrive.mode is RedriveMode.AUTO else None
        if report and report.violations:
            return report.violations[0]
    return ""


def test_harness_finds_what_overtakes_when_a_retry_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a message group's next dead letter went as soon as the one before it was sent."""
    monkeypatch.setattr(fifo_order, "settles_within_s", lambda *_: 0.0)
    violation = _first_violation()
    assert "whose retry is under way" in violation, violation or "no seed noticed"


def test_harness_finds_what_overtakes_when_a_retry_that_came_back_is_not_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a batch was worked on as SQS gave it: what came back lies behind what waited for it."""
    monkeypatch.setattr(fifo_order, "arranged", lambda messages, *_: list(range(len(messages))))
    violation = _first_violation()
    assert "whose retry came back" in violation, violation or "no seed noticed"


def test_stories_of_fifo_queues_have_several_message_groups_failures_and_doubled_deliveries() -> None:
    """What the order is looked at in: without these no story could break it."""
    counts: Counter[str] = Counter()
    most = 0
    for seed in range(60):
        world = build(seed)
        if world.fifo and world.fleet.redrive.mode is RedriveMode.AUTO:
            report = run(seed)
            counts.update(report.counts)
            most = max(most, report.counts["message groups with dead letters"])
    assert counts["FIFO batches doubled"] > 10
    assert counts["faults"] > 100
    assert counts["retried"] > 20
    assert most >= 3
