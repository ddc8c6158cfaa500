"""Loads out of a dead-letter queue in rounds that overlap: claimed one after another, and counted as one load."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from sluice.memory import Call, Fault, MemoryQueue, When, faulty_ports
from sluice.model.redrive_jobs import JobPhase, JobState, RedriveJob, Selection
from sluice.model.redriving import Attribute, BatchClaimRecord, Claim, Message
from sluice.ports.aws_services import BatchAnswer, Queue
from sluice.ports.errors import LostAnswerError, TryLaterError
from sluice.ports.stack import Ports
from sluice.redriving.jobs.lifecycle import create_job
from sluice.redriving.jobs.rounds import ROUNDS_BEGIN_WITHIN_S
from sluice.redriving.jobs.rules import SendReport, folded, joined
from sluice.redriving.sending_claims import claims_by
from tests.support.redrive_jobs import changed_job, redrive_job
from tests.support.redrive_worlds import World, fleet, letter, text

DEAD = Selection(from_dead_letters=True)


@dataclass
class Divided:
    """A queue that moves loads in rounds of so many parts, as equal as may be; all else is the world's."""

    queue: MemoryQueue
    rounds_count: int
    parts_count: int = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.queue, name)

    def rounds(self, count: int) -> Sequence[Sequence[int]]:
        """As equal as may be."""
        return [equal(some, self.parts_count) for some in equal(count, self.rounds_count)]


def equal(count: int, parts_count: int) -> list[int]:
    """So many parts, the first ones by one larger where they cannot be equal."""
    each, over = divmod(count, parts_count)
    return [each + (place < over) for place in range(parts_count)]


def divided(world: World, rounds_count: int, parts_count: int = 1) -> Ports:
    """The world's ports, with loads in rounds."""
    return replace(
        cast("Ports", world.ports), queue=cast("Queue", Divided(world.ports.queue, rounds_count, parts_count))
    )


def dead_world(count: int, **policy: Any) -> World:
    """A fleet in manual mode with dead letters m0, m1, ..."""
    world = World(fleet(mode="manual", **policy))
    for number in range(count):
        world.put_dead(f"m{number}")
    return world


def begun(world: World, **changes: Any) -> RedriveJob:
    """A job on record for the whole dead-letter queue, its canaries watched already."""
    job = create_job(world.ports, world.fleet, DEAD, world.job(rate_per_s=100.0, **changes))
    return world.ports.ledger.jobs.keep_job(changed_job(job, phase=JobPhase.RAMP, cursor="watched"))


@pytest.mark.parametrize("parts_count", [1, 2])
def test_load_is_counted_as_one_when_it_is_moved_in_rounds(parts_count: int) -> None:
    """Each round is claimed over the last one, which that confirms; nothing is left, and the rate is that of all."""
    world = dead_world(11)
    claimed: list[BatchClaimRecord] = []

    def note(call: Call) -> None:
        if call.method == "record_batch_claim" and call.args[0].claimed:
            claimed.append(call.args[0])

    ports = faulty_ports(divided(world, 3, parts_count), note)
    runner = world.runner(ports)
    job = runner.step(begun(world))
    assert (job.state, job.progress.sent_count, job.note) == (JobState.DONE, 11, "11 of 11 messages sent.")
    assert job.pacing.next_at == pytest.approx(world.now + 11 / 100)
    assert (sorted(world.bodies()), world.bodies(world.dead_letters)) == (sorted(f"m{i}" for i in range(11)), [])
    assert [len(record.claimed) for record in claimed] == [4, 4, 3]
    assert len({record.name for record in claimed}) == 1
    first, second, third = claimed
    assert (first.sent, second.sent) == ((), first.claimed)
    assert third.sent == second.claimed  # those of the first round are deleted by then
    ids = [message_id for record in claimed for message_id in record.claimed]
    assert world.ports.ledger.send_claims.claims_of("orders", ids, world.now) == {}


def test_what_was_sent_is_deleted_once_that_is_on_record() -> None:
    """Not before, and without waiting for others' claims to be read."""
    world = dead_world(6)
    calls: list[str] = []
    awaited = {"record_batch_claim", "claims_of", "send", "delete"}

    def note(call: Call) -> None:
        if call.method in awaited:
            calls.append(call.method)

    world.runner(faulty_ports(divided(world, 2), note)).step(begun(world))
    assert calls == [
        *("record_batch_claim", "claims_of", "send"),
        *("record_batch_claim", "delete", "claims_of", "send"),
        *("record_batch_claim", "delete", "record_batch_claim"),
    ]


def test_claim_is_not_written_over_when_something_of_it_is_in_doubt() -> None:
    """The next round has a record of its own; what nobody knows of stays claimed, and what is gone is forgotten."""
    world = dead_world(6)
    claimed: list[tuple[str, Sequence[str]]] = []  # names of records, and ids

    class Silent(Divided):
        def send(self, queue_url: str, messages: Sequence[Message], delay_s: Sequence[float]) -> BatchAnswer:
            answer = self.queue.send(queue_url, messages, delay_s)
            return replace(answer, done=answer.done - {0}) if len(claimed) == 1 else answer

    def note(call: Call) -> None:
        if call.method == "claims_of":
            _, ids, _, name = call.args
            claimed.append((name, ids))

    silent = replace(cast("Ports", world.ports), queue=cast("Queue", Silent(world.ports.queue, 3)))
    runner = world.runner(faulty_ports(silent, note))
    job = runner.step(begun(world))
    assert (job.state, job.progress.sent_count, job.progress.doubtful_count) == (JobState.DONE, 5, 1)
    (first_name, first), (second_name, _), (third_name, _) = claimed
    assert first_name != second_name == third_name
    ids = [message_id for _, ids in claimed for message_id in ids]
    assert world.ports.ledger.send_claims.claims_of("orders", ids, world.now) == {first[0]: Claim.BUSY}


def test_no_further_round_is_begun_when_a_load_takes_long() -> None:
    """Whoever pauses the job waits for the rounds that are under way; the first is begun whatever the time."""
    world = dead_world(9)

    def wait(call: Call) -> None:
        if call.method == "receive":
            world.now += ROUNDS_BEGIN_WITHIN_S * 0.6

    runner = world.runner(faulty_ports(divided(world, 3), wait))
    job = runner.step(begun(world))
    assert (job.state, job.progress.sent_count, len(world.bodies(world.dead_letters))) == (JobState.RUNNING, 6, 3)
    visible = world.ports.queue.read(world.dead_letters, world.now).visible
    assert visible is not None
    assert visible.value == 3
    assert runner.step(job).progress.sent_count == 6 + 2


def test_canaries_are_watched_when_they_are_moved_in_parts() -> None:
    """The ramp begins after the wait, whatever the canary was divided into."""
    world = dead_world(9, canary_count=3, canary_wait_s=5)
    job = world.work(create_job(world.ports, world.fleet, DEAD, world.job(rate_per_s=100.0)), divided(world, 1, 2))
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 9)
    assert sum(world.waited_s) >= 5


def test_fifo_load_is_moved_as_one_whatever_the_queue_would_divide() -> None:
    """Parts would overtake one another."""
    world = World(fleet(fifo=True, mode="manual"))
    for number in range(6):
        world.put_dead(f"m{number}", message_group="g")

    class Single(Divided):
        def begin[Result](self, work: Callable[[], Result]) -> Callable[[], Result]:
            raise AssertionError(f"{work} would go on beside what is before it")

    ports = replace(cast("Ports", world.ports), queue=cast("Queue", Single(world.ports.queue, 3)))
    world.work(create_job(world.ports, world.fleet, DEAD, world.job()), ports)
    # One of a message group is received at a time, and each is deleted before the next.
    assert world.bodies() == [f"m{number}" for number in range(len(world.bodies()))]
    assert world.bodies()


def test_no_further_round_is_sent_when_one_sees_a_message_come_back() -> None:
    """What it has received is given back at once; the job stops, and counts what was claimed before."""
    world = dead_world(9)
    job = begun(world)
    runner = world.runner(divided(world, 3))
    # The first message of the second part is one that this job has sent before.
    stamps = {"sluice_copy_of": f"00000000-0000-4000-8000-000000000000/{job.id}/broken-0123456789"}
    messages = world.ports.queue.receive(world.dead_letters, 9, 1.0)
    for place, message in enumerate(messages):
        world.ports.queue.delete(world.dead_letters, [message.receipt])
        world.put_dead(message.body, **(stamps if place == 3 else {}))
    stopped = runner.step(job)
    assert (stopped.state, stopped.progress.sent_count, stopped.progress.returned_count) == (JobState.STOPPED, 3, 1)
    assert (stopped.progress.stopped_groups, "came back" in stopped.note) == (("broken-0123456789",), True)
    assert (world.bodies(), len(world.bodies(world.dead_letters))) == (["m0", "m1", "m2"], 6)
    visible = world.ports.queue.read(world.dead_letters, world.now).visible
    assert visible is not None
    assert visible.value == 6  # nothing is left hidden


def test_job_stops_when_what_came_back_cannot_be_shown_again() -> None:
    """It does so by itself later: that is no reason to go on sending."""
    world = dead_world(2)
    job = begun(world)
    (message, _) = world.ports.queue.receive(world.dead_letters, 2, 1.0)
    world.ports.queue.delete(world.dead_letters, [message.receipt])
    world.put_dead("back", sluice_copy_of=f"{message.id}/{job.id}/broken-0123456789")
    world.now += 2

    def throttle(call: Call) -> Fault | None:
        return Fault(When.BEFORE, TryLaterError("slow down")) if call.method == "hide" else None

    runner = world.runner(faulty_ports(world.ports, throttle))
    assert runner.step(job).state is JobState.STOPPED
    assert world.bodies() == []


@pytest.mark.parametrize(("rounds_count", "parts_count"), [(3, 1), (1, 3)])
@pytest.mark.parametrize("method", ["receive", "claims_of"])
def test_other_parts_count_when_one_meets_an_error(method: str, rounds_count: int, parts_count: int) -> None:
    """The job goes on with a note; what that part had received comes back by itself, and goes in the next steps."""
    world = dead_world(0)
    for number in range(9):  # copies of others' redrives, so that each part asks for marks
        world.put_dead(f"m{number}", sluice_copy_of=f"00000000-0000-4000-8000-00000000000{number}")
    failed: list[Call] = []

    def fail(call: Call) -> Fault | None:
        if call.method == method and not failed:
            failed.append(call)
            return Fault(When.BEFORE, TryLaterError("slow down"))
        return None

    runner = world.runner(faulty_ports(divided(world, rounds_count, parts_count), fail))
    job = runner.step(begun(world))
    assert (job.state, job.progress.sent_count, len(world.bodies())) == (JobState.RUNNING, 6, 6)
    assert job.note == "A part of the batch was not loaded: slow down"
    world.now += 3_600.0
    done = world.work(job)
    assert (done.state, sorted(world.bodies())) == (JobState.DONE, [f"m{number}" for number in range(9)])


def test_job_stands_as_it_did_when_every_part_meets_an_error() -> None:
    """Nothing was received, and that is not the end of the queue."""
    world = dead_world(9)

    def fail(call: Call) -> Fault | None:
        return Fault(When.BEFORE, TryLaterError("slow down")) if call.method == "receive" else None

    ports = faulty_ports(divided(world, 3), fail)
    world.work(begun(world), ports, budget_s=5.0)
    job = world.ports.ledger.jobs.job("orders", "job-1")
    assert job is not None
    assert (job.state, job.progress.sent_count, len(world.failures)) == (JobState.RUNNING, 0, 1)


@pytest.mark.parametrize(
    ("method", "failing", "unclaimed"),
    [
        ("record_batch_claim", 0, ["m0", "m1", "m2"]),
        ("claims_of", 0, ["m0", "m1", "m2"]),
        ("record_batch_claim", 1, ["m3", "m4", "m5"]),  # which was to confirm the first round as well
        ("claims_of", 1, ["m3", "m4", "m5"]),
        ("record_batch_claim", 3, []),  # the results of the last round
    ],
)
@pytest.mark.parametrize("when", When)
def test_message_is_in_doubt_or_sent_once_when_a_claim_cannot_be_written(
    method: str, failing: int, unclaimed: list[str], when: When
) -> None:
    """What is not claimed is not sent; what was sent is deleted, though its results could not be written."""
    world = dead_world(9)
    calls: list[Call] = []

    def fail(call: Call) -> Fault | None:
        if call.method == method:
            calls.append(call)
            return Fault(when, LostAnswerError("no answer")) if len(calls) == failing + 1 else None
        return None

    runner = world.runner(faulty_ports(divided(world, 3), fail))
    job = runner.step(begun(world))
    rest = [f"m{number}" for number in range(9) if f"m{number}" not in unclaimed]
    assert (world.bodies(), job.progress.sent_count, job.progress.failed_count) == (rest, len(rest), len(unclaimed))
    assert world.bodies(world.dead_letters) == unclaimed
    world.now += 3_600.0
    ids = [message.id for message in world.ports.queue.receive(world.dead_letters, 9, 0.0)]
    assert world.ports.ledger.send_claims.claims_of("orders", ids, world.now) == {}


@pytest.mark.parametrize(("rounds_count", "parts_count"), [(2, 1), (1, 2)])
@pytest.mark.parametrize("place", [0, 1])
def test_message_is_sent_once_when_it_is_given_to_two_parts(place: int, rounds_count: int, parts_count: int) -> None:
    """SQS may deliver twice: in one round, or in the next while the first is being sent."""
    world = dead_world(4)
    given: list[Message] = []
    whole = world.ports.queue

    class Doubling(Divided):
        def receive(self, queue_url: str, limit: int, visibility_s: float, wait_s: float = 0.0) -> tuple[Message, ...]:
            received = whole.receive(queue_url, limit, visibility_s, wait_s)
            if given and received:
                received = (*received[1:], given[place])
            given.extend(received)
            return received

    ports = replace(cast("Ports", world.ports), queue=cast("Queue", Doubling(whole, rounds_count, parts_count)))
    runner = world.runner(ports)
    job = runner.step(begun(world))
    assert (world.bodies(), job.progress.sent_count) == (["m0", "m1", "m3"], 3)


def test_claims_part_two_sendings_when_two_jobs_have_the_same_message_in_hand() -> None:
    """Of two that looked at the same moment, whoever claims second leaves it."""
    world = dead_world(1)
    (message,) = world.ports.queue.receive(world.dead_letters, 1, 30.0)
    marks: list[Mapping[str, Claim]] = []
    for name in ("part-1", "part-2"):
        record = BatchClaimRecord("orders", name, world.now, world.now + 30, (message.id,))
        world.ports.ledger.send_claims.record_batch_claim(record)
        marks.append(claims_by(record, world.ports.ledger.send_claims))
    assert [mark[message.id] for mark in marks] == [Claim.GRANTED, Claim.BUSY]


def test_joined_adds_what_each_part_counted() -> None:
    """Counts, groups and the reason of the part that stopped; a part that changed nothing adds nothing."""
    before = redrive_job(
        "job-1", "orders", JobState.RUNNING, 1.0, "a test", 1.0, sent_count=10, failed_count=1, stopped_groups=("a",)
    )
    report = joined(
        [
            SendReport(),
            SendReport(sent_count=4, note="one was not deleted"),
            SendReport(sent_count=2, failed_count=2, doubtful_count=1),
            SendReport(stopped=True, note="Stopped.", returned_count=1, returned_groups=("a", "b")),
        ],
    )
    after = folded(before, report)
    assert (after.state, after.note) == (JobState.STOPPED, "Stopped.")
    counts = after.progress
    assert (counts.sent_count, counts.failed_count, counts.doubtful_count, counts.returned_count) == (16, 3, 1, 1)
    assert counts.stopped_groups == ("a", "b")
    assert folded(before, joined([SendReport()])) == before


def test_size_counts_bytes_and_not_characters() -> None:
    """Of body, names, types and values, texts and binaries alike."""
    assert letter("abc").size_bytes == 3
    assert letter("Zürich €", attributes={}).size_bytes == 11
    assert letter("\ud800").size_bytes == 3  # what no UTF-8 knows is counted as it would be long
    typed = letter("ü", attributes={"scan": Attribute("Binary", binary=b"\x00\xff"), "ort": text("Köln")})
    assert typed.size_bytes == 2 + len("scanBinary") + 2 + len("ortString") + 5
