"""What consumers make of retries: no body is retried without bound, and no honest one is condemned for its like."""

from collections import Counter
from collections.abc import Mapping

import pytest

from sluice.memory import Fault, When, faulty_ports
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Attribute, Message
from sluice.ports.errors import LostAnswerError
from sluice.redriving.message_copy import ATTEMPTS
from sluice.redriving.verdict import TWICE
from tests.support.redrive_worlds import START, World, fleet, text

DAY_S = 86_400.0
CYCLE_S = 14.0  # a consumer fails on a retry, and its copy is in the dead-letter queue


def outcomes(world: World) -> list[str]:
    """What became of each dead letter that was there."""
    return [str(result.outcome) for result in world.process()]


def fail(world: World, attributes: Mapping[str, Attribute] | None = None) -> None:
    """The consumer fails on all that it receives: it sends a copy to the dead-letter queue, and deletes the message.

    `attributes` None: as it received them, but for Sluice's stamps; otherwise these.
    """
    for message in world.ports.queue.receive(world.queue, 10, 30.0):
        own = {name: value for name, value in message.attributes if not name.startswith("sluice.")}
        world.ports.queue.put(world.dead_letters, message.body, attributes=own if attributes is None else attributes)
        world.ports.queue.delete(world.queue, [message.receipt])


@pytest.mark.parametrize("attributes", [None, {}], ids=["without the stamps", "the body alone"])
@pytest.mark.parametrize("base_delay_s", [0.0, 120.0])
def test_retries_are_bounded_when_a_consumer_drops_the_count(
    attributes: dict[str, Attribute] | None, base_delay_s: float
) -> None:
    """The ledger remembers what the copy does not: three retries, each later than the last, and then quarantine."""
    world = World(fleet(max_retries=3, base_delay_s=base_delay_s))
    world.put_dead("poison", shop="Berlin")
    seen: list[str] = []
    for _ in range(200):
        seen += outcomes(world)
        world.now += CYCLE_S
        fail(world, attributes)
    assert seen == ["retried"] * 3 + ["quarantined"]
    (entry,) = world.index()
    assert (entry.attempt, entry.source) == (3, world.to.arn)


def test_retries_are_bounded_when_a_consumer_sends_the_body_to_its_queue_anew() -> None:
    """Under a new id and without attributes, until SQS moves it: the body and its time say what it is."""
    world = World(fleet(max_retries=3))
    world.put_dead("poison")
    seen: list[str] = []
    for _ in range(50):
        seen += outcomes(world)
        world.now += CYCLE_S
        for message in world.ports.queue.receive(world.queue, 10, 30.0):
            world.ports.queue.put(world.dead_letters, message.body, source=world.to.arn)
            world.ports.queue.delete(world.queue, [message.receipt])
    assert seen == ["retried"] * 3 + ["quarantined"]


@pytest.mark.parametrize("moved", [True, False], ids=["by SQS", "by its consumer"])
@pytest.mark.parametrize("every_s", [300.0, 3_600.0])
def test_equal_bodies_are_retried_each_when_a_producer_sends_them_again_and_again(every_s: float, moved: bool) -> None:
    """A tick that failed once and was worked on at its retry says nothing of the next one."""
    world = World(fleet(max_retries=3))
    for _ in range(30):
        if moved:
            world.put_dead("tick")
        else:
            world.put_dead("tick", sluice_source=world.to.arn)
        assert outcomes(world) == ["retried"]
        for message in world.ports.queue.receive(world.queue, 10, 30.0):
            world.ports.queue.delete(world.queue, [message.receipt])
        world.now += every_s


def test_equal_bodies_are_retried_each_when_they_fail_together() -> None:
    """Ten at one moment, as after an outage: ten messages, with three retries each at most, whatever their consumer."""
    world = World(fleet(max_retries=3, burst_count=0))
    for _ in range(10):
        world.put_dead("tick")
    seen: Counter[str] = Counter()
    for _ in range(20):
        seen.update(outcomes(world))
        world.now += CYCLE_S
        fail(world, {})
    assert seen == {"retried": 30, "quarantined": 10}


@pytest.mark.parametrize("stamp", ["3.0", "three", "-1", "1e9", ""])
def test_count_that_cannot_be_read_is_at_its_limit(stamp: str) -> None:
    """It never gives a message more retries than a count that can."""
    world = World(fleet(max_retries=3))
    world.put_dead("a", sluice_attempts=Attribute("Number", stamp or "x"))
    (result,) = world.process()
    assert result.outcome == "quarantined"
    assert "cannot be read" in result.reason


def test_larger_of_stamp_and_ledger_counts() -> None:
    """A consumer that writes a lower number into its copy gets no further retries for it."""
    world = World(fleet(max_retries=3))
    world.put_dead("poison")
    seen: list[str] = []
    for _ in range(20):
        seen += outcomes(world)
        world.now += CYCLE_S
        fail(world, {ATTEMPTS: Attribute("Number", "0")})
    assert seen == ["retried"] * 3 + ["quarantined"]


@pytest.mark.parametrize("moved", [True, False], ids=["by SQS", "by its consumer"])
def test_child_begins_anew_and_stops_no_job_when_it_inherited_its_parents_stamps(moved: bool) -> None:
    """A consumer that publishes a message with the attributes of the one it works on passes on no count and no job."""
    world = World(fleet(max_retries=1, canary_wait_s=900.0))
    world.quarantine("parent", "second")
    job = world.work(world.ports.ledger.jobs.keep_job(world.job()))
    (parent, _) = world.ports.queue.receive(world.queue, 10, 30.0)
    inherited = {name.replace("sluice.", "sluice_"): value for name, value in parent.attributes}
    if not moved:
        inherited["sluice_source"] = text(world.to.arn)
    world.put_dead("child", **inherited)
    (result,) = world.process()
    assert (result.outcome, result.verdict and result.verdict.attempt) == ("retried", 1)
    after = world.ports.ledger.jobs.job("orders", job.id)
    assert after is not None
    assert (after.state is JobState.STOPPED, after.progress.returned_count) == (False, 0)


def twice(world: World, *, stamped: bool) -> tuple[str, str]:
    """A message whose consumer sent a copy and did not delete it, which SQS moves later: both in the queue.

    Returns:
        The body and the id of the copy.
    """
    stamps = {"sluice_first_sent_at": Attribute("Number", f"{world.now - 60:.3f}")} if stamped else {}
    copy_id = world.put_dead("order", sluice_source=world.to.arn, **stamps)
    return "order", copy_id


@pytest.mark.parametrize("stamped", [True, False], ids=["with its first sending", "without"])
def test_message_that_is_dead_lettered_twice_is_sent_once(stamped: bool) -> None:
    """By its consumer and by SQS: the second goes to a group of its own, with the reason."""
    world = World()
    body, copy_id = twice(world, stamped=stamped)
    assert outcomes(world) == ["retried"]
    world.now += 90
    original = Message("original", body, "", first_sent_at=START - 60, source=world.to.arn)
    world.ports.queue.hand_over(world.dead_letters, original, 0.0)
    (result,) = world.process()
    assert (result.outcome, world.bodies()) == ("quarantined", ["order"])
    assert "it is here twice. Its consumer sent a copy and did not delete the message itself" in result.reason
    assert copy_id in result.reason
    (entry,) = world.index()
    assert entry.failure_group == TWICE.id


@pytest.mark.parametrize("stamped", [True, False], ids=["with its first sending", "without"])
def test_message_is_sent_once_when_its_copy_is_judged_after_it(stamped: bool) -> None:
    """The order in which both are received decides nothing."""
    world = World()
    world.now += 90
    original = Message("original", "order", "", first_sent_at=START - 60, source=world.to.arn)
    world.ports.queue.hand_over(world.dead_letters, original, 0.0)
    stamps = {"sluice.first_sent_at": Attribute("Number", f"{START - 60:.3f}")} if stamped else {}
    copied = {"sluice.source": text(world.to.arn), **stamps}
    world.ports.queue.put(world.dead_letters, "order", attributes=copied)
    assert sorted(outcomes(world)) == ["quarantined", "retried"]
    assert world.bodies() == ["order"]


def test_retry_is_sent_once_when_its_copy_and_its_consumers_copy_come_back() -> None:
    """The consumer copied the retry with its stamps, did not delete it, and SQS moved it."""
    world = World()
    world.put_dead("order")
    assert outcomes(world) == ["retried"]
    (retry,) = world.ports.queue.receive(world.queue, 10, 30.0)
    world.ports.queue.delete(world.queue, [retry.receipt])
    world.now += 20
    world.ports.queue.put(world.dead_letters, retry.body, attributes=dict(retry.attributes))
    world.put_dead(retry.body, **{name.replace("sluice.", "sluice_"): value for name, value in retry.attributes})
    assert sorted(outcomes(world)) == ["quarantined", "retried"]


def test_trace_of_a_message_travels_along() -> None:
    """What X-Ray shows of a message goes on with its retry."""
    world = World()
    traced = Message("m", "order", "", first_sent_at=START, source=world.to.arn, trace="Root=1-5759e988-bd862e3f")
    world.ports.queue.hand_over(world.dead_letters, traced, 0.0)
    assert outcomes(world) == ["retried"]
    (copy,) = world.ports.queue.messages(world.queue)
    assert copy.trace == "Root=1-5759e988-bd862e3f"


def test_retry_is_still_known_when_its_dead_letter_is_quarantined_in_doubt() -> None:
    """What its consumer made of the copy that may have been sent is counted on from it."""
    world = World(fleet(max_retries=1))
    world.put_dead("poison", sluice_source=world.to.arn)
    lost = faulty_ports(
        world.ports, lambda call: Fault(When.AFTER, LostAnswerError("lost")) if call.method == "send" else None
    )
    assert [str(result.outcome) for result in world.process(lost)] == ["kept"]
    world.now += 100
    fail(world, {})
    assert sorted(outcomes(world)) == ["quarantined", "quarantined"]
