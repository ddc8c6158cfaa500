"""Chains: one step after another, whatever becomes of messages and workers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice.chains import (
    CLOCKS_DIFFER_S,
    RETRY_S,
    ChainRunner,
    StepEnd,
    event_of,
    is_handed_step,
    message_of,
    next_on_grid,
    read_step,
    records_of,
)
from sluice.memory import memory_ports
from sluice.memory.faults import Fault, When, faulty
from sluice.model.chain import Chain, Next, Step
from sluice.model.payload_error import PayloadError
from sluice.ports.errors import TryLaterError
from sluice.ports.work_queue import LONGEST_DELAY_S

ID = "ticks/0001"
START_AT = 1_000_000.0


class Place:
    """A runner over memory, with a clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.at = START_AT
        self.ports = memory_ports(lambda: self.at)
        self.runner = ChainRunner(self.ports.ledger.chains, self.ports.work, lambda: self.at)

    def step(self, following: Next | None, *, until: float | None = None) -> list[StepEnd]:
        """Do what the queue has now, each step with the same answer."""
        until = self.at + 30 if until is None else until
        return [self.runner.run(step, until, lambda _: following) for step in self.ports.work.receive()]

    @property
    def chain(self) -> Chain:
        """The chain's record."""
        found = self.ports.ledger.chains.chain(ID)
        assert found is not None
        return found


@pytest.fixture
def place() -> Place:
    """A place with one chain, whose first step is due now."""
    made = Place()
    assert made.runner.start(ID, made.at)
    return made


def test_next_step_runs_when_its_delay_is_over(place: Place) -> None:
    """Ten seconds later, and not before."""
    assert place.step(Next(place.at + 10)) == [StepEnd.RESTED]
    place.at += 9
    assert place.step(None) == []
    place.at += 1
    assert place.step(Next(place.at + 10)) == [StepEnd.RESTED]


def test_chain_is_gone_when_its_work_is_over(place: Place) -> None:
    """Nothing is sent, and a copy of the message is stale."""
    (copy,) = [each.step for each in place.ports.work.messages]
    assert place.step(None) == [StepEnd.ENDED]
    assert place.ports.work.messages == []
    assert place.runner.run(copy, place.at + 30, lambda _: None) is StepEnd.STALE


def test_step_runs_at_once_when_it_is_brought_forward(place: Place) -> None:
    """The message that was delayed until then is stale when it arrives."""
    place.step(Next(place.at + 10))
    place.at += 1
    assert place.runner.bring_forward(ID)
    assert place.step(Next(place.at + 20)) == [StepEnd.RESTED]
    place.at += 9
    assert place.step(None) == [StepEnd.STALE]


def test_next_step_is_due_at_once_when_it_was_asked_for_during_the_work(place: Place) -> None:
    """The worker may have looked before the event that asks."""

    def work(_: Chain) -> Next | None:
        assert place.runner.bring_forward(ID)
        return Next(place.at + 10, '{"n":1}')

    (step,) = place.ports.work.receive()
    assert place.runner.run(step, place.at + 30, work) is StepEnd.RESTED
    assert (place.chain.due_at, place.chain.data) == (place.at, '{"n":1}')
    assert place.step(None) == [StepEnd.ENDED]


def test_chain_goes_on_when_it_was_asked_for_while_its_work_ended(place: Place) -> None:
    """What the event reports would otherwise wait for the next reseed."""

    def work(_: Chain) -> Next | None:
        place.runner.wake(ID)
        return None

    (step,) = place.ports.work.receive()
    assert place.runner.run(step, place.at + 30, work) is StepEnd.RESTED
    assert place.step(None) == [StepEnd.ENDED]


def test_chain_is_made_when_it_is_woken_and_there_is_none(place: Place) -> None:
    """Whoever asks need not know whether it exists."""
    place.runner.wake("drains/orders", '{"n":1}')
    place.runner.wake("drains/orders", '{"n":2}')

    assert place.ports.ledger.chains.chain("drains/orders") == Chain("drains/orders", 1, place.at, 0.0, 1, '{"n":1}')
    assert place.ports.work.receive("drains") == (Step("drains/orders", 1), Step("drains/orders", 1))


def test_chain_works_on_what_was_assigned_last(place: Place) -> None:
    """An idle chain begins at once; one at work goes on with what it has, and begins again, also where it would end."""
    seen: list[str] = []

    def work(chain: Chain) -> Next | None:
        seen.append(chain.assignment)
        if len(seen) == 1:
            place.runner.assign(ID, '{"n":2}', place.at)
        return None

    place.step(Next(place.at + 10))
    place.runner.assign(ID, '{"n":1}', place.at)
    for _ in range(2):
        (step,) = place.ports.work.receive()
        place.runner.run(step, place.at + 30, work)
    assert seen == ['{"n":1}', '{"n":2}']
    place.ports.work.messages.clear()
    place.runner.assign(ID, '{"n":3}', place.at + 5)
    assert place.chain == Chain(ID, 1, place.at + 5, assignment='{"n":3}')


def test_chains_own_message_serves_when_it_is_due_before_the_step_that_was_asked_for(place: Place) -> None:
    """Asked for at the latest in 20 s, it needs no further message; asked for in 5 s, it comes in 5 s."""
    place.step(Next(place.at + 10))
    assert place.runner.bring_forward(ID, place.at + 20)
    assert len(place.ports.work.messages) == 1
    place.runner.wake(ID, at=place.at + 5)
    place.at += 4
    assert place.step(None) == []
    place.at += 1
    assert place.step(Next(place.at + 20)) == [StepEnd.RESTED]


def test_first_step_is_due_when_it_was_asked_for(place: Place) -> None:
    """A chain that is made for something that is due later begins then."""
    place.runner.wake("drains/orders", at=place.at + 15)
    place.at += 14
    assert place.ports.work.receive("drains") == ()
    place.at += 1
    assert place.ports.work.receive("drains") == (Step("drains/orders", 1),)


def test_chain_goes_on_by_the_reseed_when_its_message_was_lost(place: Place) -> None:
    """The reseed's copy arrives when the step is due."""
    place.step(Next(place.at + 10))
    place.ports.work.messages.clear()
    place.at += 3
    place.runner.reseed(place.ports.ledger.chains.chains("ticks"))
    assert place.step(None) == []
    place.at += 7
    assert place.step(None) == [StepEnd.ENDED]


def test_chain_goes_on_by_the_reseed_when_its_worker_died(place: Place) -> None:
    """The reseed's copy arrives when Lambda must have ended the worker, and not before."""

    def work(_: Chain) -> Next | None:
        raise KeyboardInterrupt  # no Exception: nothing is put to rest

    (step,) = place.ports.work.receive()
    with pytest.raises(KeyboardInterrupt):
        place.runner.run(step, place.at + 30, work)
    place.runner.reseed(place.ports.ledger.chains.chains("ticks"))
    place.at += 30 + CLOCKS_DIFFER_S - 1
    assert place.step(None) == []
    place.at += 1
    assert place.step(None) == [StepEnd.ENDED]


def test_reseeds_copy_is_stale_when_the_chain_is_alive(place: Place) -> None:
    """The chain's own message came first."""
    place.runner.reseed(place.ports.ledger.chains.chains("ticks"))
    assert place.step(Next(place.at + 10)) == [StepEnd.RESTED, StepEnd.STALE]


def test_other_chains_are_reseeded_when_one_cannot_be_sent(place: Place) -> None:
    """What failed is raised after all of them were tried."""
    place.runner.start("ticks/0002", place.at)
    place.ports.work.messages.clear()
    first = Fault(When.BEFORE, TryLaterError("SQS does not answer"))
    queue = faulty(place.ports.work, lambda call: first if call.index == 0 else None)
    runner = ChainRunner(place.ports.ledger.chains, queue, lambda: place.at)

    with pytest.raises(ExceptionGroup, match="the steps of 1 of 2 chains could not be sent"):
        runner.reseed(place.ports.ledger.chains.chains("ticks"))
    assert place.ports.work.receive() == (Step("ticks/0002", 1),)


def test_chain_rests_for_some_seconds_when_its_work_raises(place: Place) -> None:
    """The error is the caller's to log; the chain does not wait for the reseed."""

    def work(_: Chain) -> Next | None:
        raise ValueError("broken")

    (step,) = place.ports.work.receive()
    with pytest.raises(ValueError, match="broken"):
        place.runner.run(step, place.at + 30, work)
    assert place.chain.due_at == place.at + RETRY_S
    place.at += RETRY_S
    assert place.step(None) == [StepEnd.ENDED]


def test_step_is_on_record_when_its_message_could_not_be_sent(place: Place) -> None:
    """The reseed sends it."""
    silent = Fault(When.BEFORE, TryLaterError("SQS does not answer"))
    runner = ChainRunner(place.ports.ledger.chains, faulty(place.ports.work, lambda _: silent), lambda: place.at)
    (step,) = place.ports.work.receive()

    assert runner.run(step, place.at + 30, lambda _: Next(place.at + 10)) is StepEnd.UNSENT
    assert place.ports.work.messages == []
    place.runner.reseed(place.ports.ledger.chains.chains("ticks"))
    place.at += 10
    assert place.step(None) == [StepEnd.ENDED]


def test_worker_changes_nothing_when_another_took_its_chain_over(place: Place) -> None:
    """It took longer than Lambda lets it, or its clock is wrong."""

    def work(_: Chain) -> Next | None:
        place.at += 31
        assert place.runner.run(place.chain.step, place.at + 30, lambda _: Next(place.at + 10, '{"n":2}'))
        return Next(place.at + 5, '{"n":1}')

    (step,) = place.ports.work.receive()
    assert place.runner.run(step, place.at + 30, work) is StepEnd.TAKEN_OVER
    assert place.chain.data == '{"n":2}'


def test_delay_is_the_longest_that_sqs_takes_when_the_step_is_due_later(place: Place) -> None:
    """A step that finds nothing to do yet is cheaper than a second kind of clock."""
    place.step(Next(place.at + 5_000))
    assert place.chain.due_at == place.at + LONGEST_DELAY_S


@pytest.mark.parametrize(
    ("due_at", "now", "expected"),
    [(100.0, 101.2, 110.0), (100.0, 100.0, 110.0), (100.0, 109.9, 110.0), (100.0, 110.0, 120.0), (100.0, 137.0, 140.0)],
)
def test_next_step_is_on_the_grid_when_a_step_was_late(due_at: float, now: float, expected: float) -> None:
    """Lateness does not add up, and what was missed is not made good by a burst."""
    assert next_on_grid(due_at, 10.0, now) == expected


def test_next_step_keeps_its_time_when_one_was_brought_forward() -> None:
    """A step that ran ahead of its time changes nothing about the grid."""
    assert next_on_grid(100.0, 10.0, 95.0) == 100.0


def test_step_is_read_back_when_it_was_written() -> None:
    """The body says which chain, at which version."""
    assert read_step(message_of(Step(ID, 7))) == Step(ID, 7)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"chain":"ticks/0001"}',
        '{"chain":"archives/a","version":1}',
        '{"chain":"ticks/0001","version":0}',
    ],
)
def test_message_is_refused_when_it_is_no_step(body: str) -> None:
    """The error says what it must be."""
    with pytest.raises(PayloadError, match="message: must be"):
        read_step(body)


def test_message_is_refused_when_its_kind_is_another_functions() -> None:
    """A drainer runs no ticks."""
    with pytest.raises(PayloadError, match=r'message: must be {"chain": "drains/...", "version": 1 or more}'):
        read_step(message_of(Step(ID, 1)), ["drains"])


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, level: str) -> Any:
        return lambda message, **_: self.lines.append(f"{level}: {message}")


def record(step: Step | str, message_id: str) -> dict[str, Any]:
    """A record of an SQS batch."""
    body = step if isinstance(step, str) else message_of(step)
    return {"messageId": message_id, "eventSource": "aws:sqs", "body": body}


def test_other_steps_of_a_batch_are_done_when_one_is_broken(place: Place) -> None:
    """Only what the ledger could not tell of comes again."""
    for number in (2, 3, 4):
        place.runner.start(f"ticks/000{number}", place.at)

    def decide(call: Any) -> Fault | None:
        of_third = call.method == "claim" and call.args[0].chain_id == "ticks/0003"
        return Fault(When.BEFORE, TryLaterError("DynamoDB does not answer")) if of_third else None

    def work(chain: Chain) -> Next | None:
        if chain.id == "ticks/0002":
            raise ValueError("broken")
        return None

    log = Lines()
    runner = ChainRunner(faulty(place.ports.ledger.chains, decide), place.ports.work, lambda: place.at)
    batch = [
        record("no step", "a"),
        *(record(Step(f"ticks/000{n}", 1), str(n)) for n in (1, 2, 3, 4)),
        record(Step(ID, 1), "b"),
    ]
    answer = runner.take(batch, "ticks", place.at + 30, work, log)  # type: ignore[arg-type] # a log that keeps its lines

    assert answer == {"batchItemFailures": [{"itemIdentifier": "3"}]}
    assert [chain.id for chain in place.ports.ledger.chains.chains("ticks")] == ["ticks/0002", "ticks/0003"]
    assert log.lines == [
        "warning: a message of the work queue is not understood and was dropped",
        "exception: unexpected error in a chain's step",
        "warning: a chain's step could not be done: it comes again",
        "debug: a stale step was dropped",
    ]


def test_step_of_another_kind_is_handed_over_and_nothing_is_done_with_its_chain(place: Place) -> None:
    """Who takes the messages runs the chains of one kind alone."""
    place.runner.start("drains/orders", place.at)
    batch = [record(Step("drains/orders", 1), "a"), record(Step("jobs/orders", 4), "b")]

    def work(chain: Chain) -> None:
        raise AssertionError(chain)

    answer = place.runner.take(batch, "ticks", place.at + 30, work, Lines())  # type: ignore[arg-type] # as above

    assert answer == {"batchItemFailures": []}
    assert place.ports.work.handed == [Step("drains/orders", 1), Step("jobs/orders", 4)]
    (chain,) = place.ports.ledger.chains.chains("drains")
    assert (chain.version, chain.at_work_until) == (1, 0.0)


def test_message_comes_again_when_its_step_could_not_be_handed_over(place: Place) -> None:
    """The other messages of the batch are handled."""

    def decide(call: Any) -> Fault | None:
        of_drains = call.method == "hand_over" and call.args[0].kind == "drains"
        return Fault(When.BEFORE, TryLaterError("Lambda does not answer")) if of_drains else None

    runner = ChainRunner(place.ports.ledger.chains, faulty(place.ports.work, decide), lambda: place.at)
    batch = [record(Step("drains/orders", 1), "a"), record(Step("jobs/orders", 4), "b")]

    log = Lines()
    answer = runner.take(batch, "ticks", place.at + 30, lambda _: None, log)  # type: ignore[arg-type] # as above

    assert answer == {"batchItemFailures": [{"itemIdentifier": "a"}]}
    assert place.ports.work.handed == [Step("jobs/orders", 4)]
    assert log.lines == ["warning: a chain's step could not be done: it comes again"]


def handed(place: Place, event: dict[str, Any], work: Any, *, runner: ChainRunner | None = None) -> tuple[Any, Lines]:
    """What a function answers to an event, and what it logs."""
    log = Lines()
    return (runner or place.runner).take_handed(event, "drains", place.at + 30, work, log), log  # type: ignore[arg-type] # as above


def test_step_is_done_once_when_its_event_comes_twice(place: Place) -> None:
    """The second one is stale."""
    place.runner.start("drains/orders", place.at)
    event = json.loads(event_of(Step("drains/orders", 1)))
    assert is_handed_step(event)
    done: list[str] = []

    def work(chain: Chain) -> Next:
        done.append(chain.id)
        return Next(place.at + 10.0)

    assert handed(place, event, work)[0] == {"step": StepEnd.RESTED}
    assert handed(place, event, work)[0] == {"step": StepEnd.STALE}
    assert done == ["drains/orders"]


def test_nothing_is_raised_when_the_ledger_fails_at_a_step_that_was_handed_over(place: Place) -> None:
    """Lambda would repeat the event a minute later, when the reseed has sent the step as well."""
    place.runner.start("drains/orders", place.at)

    def decide(call: Any) -> Fault | None:
        return Fault(When.BEFORE, TryLaterError("DynamoDB does not answer")) if call.method == "claim" else None

    runner = ChainRunner(faulty(place.ports.ledger.chains, decide), place.ports.work, lambda: place.at)
    event = json.loads(event_of(Step("drains/orders", 1)))
    answer, log = handed(place, event, lambda _: None, runner=runner)

    assert answer == {"step": None}
    assert log.lines == ["warning: a chain's step could not be done: left to the next reseed"]


def test_event_is_dropped_when_it_hands_over_no_step_of_the_functions_chains(place: Place) -> None:
    """Whoever may invoke the function can send anything."""
    for event in ({"step": {}}, json.loads(event_of(Step(ID, 1)))):
        answer, log = handed(place, event, lambda _: None)
        assert list(answer) == ["dropped"]
        assert log.lines == ["warning: a step that was handed over is not understood and was dropped"]


def test_records_are_those_of_an_sqs_batch_alone() -> None:
    """Any other event has none."""
    batch = [record(Step(ID, 1), "a")]
    assert records_of({"Records": batch}) == batch
    assert records_of({"source": "aws.events"}) == []
    assert records_of({"Records": [{"eventSource": "aws:s3"}, 7]}) == []
    assert json.loads(batch[0]["body"]) == {"chain": ID, "version": 1}
