"""The ports in memory as one: what `memory_ports` makes, how long the ledger keeps, and faults for chaos tests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sluice.config.fleet import Fleet, parse
from sluice.memory import Call, Crash, Fault, MemoryPorts, When, at_call, faulty, faulty_ports, memory_ports, queue_url
from sluice.model.decisions import Action, Decision, Outcome, OutcomeStatus
from sluice.model.draining import CommandStatus, Deadline, Drain, DrainCause, DrainState, StopOrder
from sluice.model.observed import Mode
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import HandledLetter, Message, Remembered
from sluice.ports.errors import TryLaterError
from sluice.ports.ledger.attempts import ATTEMPTS_KEPT_S
from sluice.ports.ledger.decisions import DECISIONS_KEPT_S
from sluice.ports.ledger.drains import DRAINS_KEPT_S
from sluice.ports.ledger.jobs import JOBS_KEPT_S
from sluice.ports.stack import Ports
from tests.support.redrive_jobs import redrive_job
from tests.support.still_clock import START_AT, Clock


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def fleet() -> Fleet:
    """A fleet with a dead-letter queue."""
    return parse(
        "orders",
        {
            "queue": queue_url("orders"),
            "dead_letter_queue": queue_url("orders-dead"),
            "group": "orders-consumers",
            "target_wait_s": 60,
        },
    )


@pytest.fixture
def ports(clock: Clock, fleet: Fleet) -> MemoryPorts:
    """Its world."""
    return memory_ports(clock, [fleet])


def test_fleets_world_is_there_when_made(ports: MemoryPorts, fleet: Fleet) -> None:
    """Its document, its queues that dead-letter, its group with its hook."""
    assert ports.fleets.load().fleets == (fleet,)
    assert fleet.dead_letter_queue is not None
    facts = ports.queue.facts(fleet.queue)
    assert facts.dead_letter_arn == ports.queue.facts(fleet.dead_letter_queue).arn
    ports.group.set_desired(fleet.group, 1)
    ports.group.set_desired(fleet.group, 0)
    assert [action.hook for action in ports.group.waiting(fleet.group)] == [fleet.drain.hook]


def test_ports_in_memory_are_ports(ports: MemoryPorts) -> None:
    """A handler takes them as it takes the real ones."""
    taken: Ports = ports
    assert taken.queue is ports.queue


def test_document_is_forgotten_when_dropped(ports: MemoryPorts) -> None:
    """A fleet that is deleted is managed no more."""
    ports.fleets.drop("orders")
    ports.fleets.drop("orders")
    assert ports.fleets.load().fleets == ()


def test_command_says_nothing_when_its_time_is_up(ports: MemoryPorts, clock: Clock) -> None:
    """A pending command turns unknown after both of its timeouts, 30 s and its own; one that was answered stays so."""
    first = ports.instances.stop(["i-1"], StopOrder(), 60.0)
    second = ports.instances.stop(["i-2"], StopOrder(), 60.0)
    ports.instances.answer("i-2", CommandStatus.SUCCEEDED)
    assert ports.instances.command(first, "i-1") is CommandStatus.PENDING
    clock.now += 89
    assert ports.instances.command(first, "i-1") is CommandStatus.PENDING
    clock.now += 2
    assert ports.instances.command(first, "i-1") is CommandStatus.UNKNOWN
    assert ports.instances.command(second, "i-2") is CommandStatus.SUCCEEDED
    ports.instances.answer("i-2", CommandStatus.FAILED)
    assert ports.instances.command(second, "i-2") is CommandStatus.SUCCEEDED


def test_records_are_gone_when_they_are_of_no_more_use(ports: MemoryPorts, clock: Clock) -> None:
    """Decisions, released drains, counts of attempts and jobs; a drain under way stays."""
    ledger = ports.ledger
    decision = Decision("d", "orders", START_AT, Mode.ACT, Action.HOLD, 1, 1, 1, (), (), "hold at 1")
    ledger.decisions.record_all([(decision, Outcome(START_AT, OutcomeStatus.UNCHANGED))])
    drain = Drain(
        "orders", "i-1", DrainState.STOPPING, DrainCause.TERMINATE, START_AT, Deadline(START_AT + 900), START_AT
    )
    ledger.drains.keep_drain(drain)
    ledger.drains.keep_drain(replace(drain, instance_id="i-2", state=DrainState.RELEASED))
    ledger.attempts.remember(
        "orders", [Remembered("k", HandledLetter("m", 2, START_AT, START_AT, False, True, None, None))]
    )
    ledger.jobs.keep_job(redrive_job("j", "orders", JobState.DONE, START_AT, "someone", START_AT))

    def there() -> tuple[int, list[str], int, int]:
        drains = [kept.instance_id for kept in ledger.drains.all_of("orders")]
        return (
            len(ledger.decisions.decisions("orders", 9)),
            drains,
            sum(one.attempts for one in ledger.attempts.handled("orders", ["k"], clock.now)["k"]),
            len(ledger.jobs.jobs("orders")),
        )

    assert there() == (1, ["i-1", "i-2"], 2, 1)
    clock.now = START_AT + DRAINS_KEPT_S
    assert there() == (1, ["i-1"], 2, 1)
    clock.now = START_AT + ATTEMPTS_KEPT_S
    assert there() == (1, ["i-1"], 0, 1)
    clock.now = START_AT + max(DECISIONS_KEPT_S, JOBS_KEPT_S) + 1
    assert there() == (0, ["i-1"], 0, 0)


# --------------------------------------------------------------------------- faults


def letter(name: str = "m") -> Message:
    """A message."""
    return Message(id=name, body="an order")


def test_call_has_no_effect_when_it_fails_before(ports: MemoryPorts, fleet: Fleet) -> None:
    """The error is the caller's, the world is as it was."""
    queue = faulty(ports.queue, lambda _: Fault(When.BEFORE, TryLaterError("throttled")))
    with pytest.raises(TryLaterError, match="throttled"):
        queue.send(fleet.queue, [letter()], [0.0])
    assert ports.queue.messages(fleet.queue) == ()


def test_call_has_its_effect_when_it_fails_after(ports: MemoryPorts, fleet: Fleet) -> None:
    """The answer is lost, the message is sent."""
    queue = faulty(ports.queue, lambda _: Fault(When.AFTER, TryLaterError("lost")))
    with pytest.raises(TryLaterError, match="lost"):
        queue.send(fleet.queue, [letter()], [0.0])
    assert len(ports.queue.messages(fleet.queue)) == 1


def test_decision_sees_every_call(ports: MemoryPorts, fleet: Fleet) -> None:
    """By port, method and arguments, numbered over all ports together."""
    seen: list[tuple[int, str, str]] = []

    def decide(call: Call) -> Fault | None:
        seen.append((call.index, call.port, call.method))
        return None

    wrapped = faulty_ports(ports, decide)
    assert wrapped.queue.send(fleet.queue, [letter()], delay_s=[0.0]).done == frozenset({0})
    wrapped.group.read(fleet.group)
    wrapped.ledger.drains.all_of("orders")
    assert seen == [(0, "MemoryQueue", "send"), (1, "MemoryGroup", "read"), (2, "MemoryDrains", "all_of")]


def test_just_one_call_fails_when_one_is_chosen(ports: MemoryPorts, fleet: Fleet) -> None:
    """So that a test can walk a crash through every point of a run; after it all goes well again."""
    queue = faulty_ports(ports, at_call(1, When.BEFORE, Crash())).queue
    queue.send(fleet.queue, [letter("first")], [0.0])
    with pytest.raises(Crash):
        queue.send(fleet.queue, [letter("second")], [0.0])
    queue.send(fleet.queue, [letter("third")], [0.0])
    assert len(ports.queue.messages(fleet.queue)) == 2


def test_crash_is_no_error_that_a_program_survives() -> None:
    """`except Exception` does not hold a process that dies."""
    assert not issubclass(Crash, Exception)


def test_what_is_no_call_passes_through(ports: MemoryPorts) -> None:
    """A test may look at a faulty port's attributes."""
    ports.instances.without_agent.add("i-9")
    assert faulty(ports.instances, lambda _: Fault(When.BEFORE, Crash())).without_agent == {"i-9"}
