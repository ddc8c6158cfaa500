"""Redrive jobs: asked for, begun as canaries, ramped at a rate, stopped, resumed, and what they leave behind."""

import pytest

from sluice.chains import RETRY_S
from sluice.memory import Call, Crash, Decide, Fault, When, faulty_ports
from sluice.model.payload_error import PayloadError
from sluice.model.redrive_jobs import JobPhase, JobState, RedriveJob, Selection
from sluice.model.redriving import Attribute, LastRedrive, Message
from sluice.ports.errors import ConflictError, LostAnswerError, NeedsFixError, TryLaterError
from sluice.redriving.jobs.lifecycle import create_job, stop_job, update_job
from sluice.redriving.jobs.preview import preview
from sluice.redriving.jobs.runner import HIDDEN_WAIT_MAX_S
from sluice.redriving.jobs.slices import READ_AGAIN_S, retries_in
from sluice.redriving.message_copy import ATTEMPTS, COPY_OF, body_key
from tests.support.redrive_jobs import changed_job
from tests.support.redrive_worlds import SOON, World, failing, fleet, text

ALL = Selection()


def nth(method: str, error: BaseException, when: When = When.BEFORE, number: int = 1) -> Decide:
    """The nth call of a method fails."""
    seen = [0]

    def decide(call: Call) -> Fault | None:
        seen[0] += call.method == method
        return Fault(when, error) if call.method == method and seen[0] == number else None

    return decide


def groups(world: World) -> dict[str, int]:
    """The failure groups by cause, each with its count in quarantine."""
    return {group.cause: group.count for group in world.ports.ledger.failure_groups.failure_groups("orders")}


def group_id(world: World, cause: str) -> str:
    """The id of a failure group."""
    return next(
        group.id for group in world.ports.ledger.failure_groups.failure_groups("orders") if group.cause == cause
    )


# --------------------------------------------------------------------------- asking


def test_preview_counts_without_any_effect_when_a_dry_run_is_asked_for() -> None:
    """A dry run says how many of which group, and changes nothing."""
    world = World()
    world.quarantine("a", "b", cause="Broken: it is")
    world.quarantine("c", cause="Missing: it is")
    before = (world.index(), groups(world), world.ports.ledger.jobs.jobs("orders"))
    seen = preview(world.ports, world.fleet, ALL, world.now)
    assert (seen.count, {group.cause: group.count for group in seen.groups}) == (
        3,
        {"Broken: it is": 2, "Missing: it is": 1},
    )
    one = preview(world.ports, world.fleet, Selection(failure_group=group_id(world, "Broken: it is")), world.now)
    assert one.count == 2
    assert (world.index(), groups(world), world.ports.ledger.jobs.jobs("orders")) == before


@pytest.mark.parametrize(
    ("selection", "problem"),
    [
        (Selection(failure_group="none-such"), "failure_group: fleet orders has no none-such"),
        (Selection(message_id="none-such"), "message_id: no message none-such is in fleet orders's quarantine"),
        (Selection(from_dead_letters=True), "from: fleet orders has redrive.mode auto"),
        (ALL, "all: nothing is in fleet orders's quarantine"),
    ],
)
def test_open_job_says_what_is_wrong_when_there_is_nothing_to_send(selection: Selection, problem: str) -> None:
    """A request that selects nothing names the field, and begins no job."""
    world = World()
    with pytest.raises(PayloadError, match=problem):
        create_job(world.ports, world.fleet, selection, world.job())
    assert world.ports.ledger.jobs.jobs("orders") == ()


def test_open_job_refuses_the_second_when_a_job_sends_the_same_already() -> None:
    """A button pressed twice begins one job."""
    world = World()
    world.quarantine("a", cause="Broken: it is")
    world.quarantine("b", cause="Missing: it is")
    broken = Selection(failure_group=group_id(world, "Broken: it is"))
    missing = Selection(failure_group=group_id(world, "Missing: it is"))
    create_job(world.ports, world.fleet, broken, world.job())
    for again in (broken, ALL):
        with pytest.raises(PayloadError, match="job job-1 is sending some of these already"):
            create_job(world.ports, world.fleet, again, world.job(id="job-2"))
    assert create_job(world.ports, world.fleet, missing, world.job(id="job-3")).progress.selected_count == 1


def test_open_job_refuses_to_overtake_when_a_fifo_message_is_not_the_first_of_its_message_group() -> None:
    """One message of a FIFO queue goes only when none of its message group is before it."""
    world = World(fleet(fifo=True))
    first, second = world.quarantine("a1", "a2", message_group="a")
    (other,) = world.quarantine("b1", message_group="b")
    with pytest.raises(PayloadError, match=f"message_id: {second} would overtake {first}"):
        preview(world.ports, world.fleet, Selection(message_id=second), world.now)
    for message_id in (first, other):
        assert preview(world.ports, world.fleet, Selection(message_id=message_id), world.now).count == 1


# --------------------------------------------------------------------------- sending


def test_run_sends_all_and_lets_go_when_nothing_comes_back() -> None:
    """Body, attributes and count arrive; index, group and archive are empty; the job says so."""
    world = World()
    scan = Attribute("Binary.png", binary=b"\x00\xff")
    world.fleet = fleet(max_retries=0)
    world.put_dead("a", scan=scan, sluice_cause="Broken: it is", sluice_attempts=Attribute("Number", "3"))
    world.process()
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    assert (job.state, job.progress.sent_count, job.note) == (JobState.DONE, 1, "1 of 1 message sent.")
    (message,) = world.ports.queue.messages(world.fleet.queue)
    carried = dict(message.attributes)
    assert (message.body, carried["scan"], carried[ATTEMPTS].text) == ("a", scan, "4")
    assert carried[COPY_OF].text is not None
    assert carried[COPY_OF].text.endswith(f"/job-1/{group_id(world, 'Broken: it is')}")
    assert (world.index(), groups(world), world.ports.archive.kept) == ((), {"Broken: it is": 0}, {})


def test_run_sends_one_message_alone_when_that_is_selected() -> None:
    """The rest stays where it is."""
    world = World()
    _, second, _ = world.quarantine("a", "b", "c")
    job = world.work(create_job(world.ports, world.fleet, Selection(message_id=second), world.job()))
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 1)
    assert (world.bodies(), world.held_bodies()) == (["b"], ["a", "c"])


def test_run_leaves_out_what_was_quarantined_after_the_request_when_it_pages_on() -> None:
    """A message that fails again cannot go round within one job."""
    world = World(fleet(canary_count=1, canary_wait_s=30))
    world.quarantine("a", "b")
    job = create_job(world.ports, world.fleet, ALL, world.job())
    world.now += 1
    world.quarantine("late")
    for _ in range(3):
        if job.state.is_at_work:
            job = world.work(job)
            world.now += 60
    assert (job.state, world.bodies(), world.held_bodies()) == (JobState.DONE, ["a", "b"], ["late"])


def test_run_keeps_the_rate_when_there_is_more_than_a_batch() -> None:
    """No second sees more than the rate."""
    world = World(fleet(canary_count=4))
    world.quarantine(*(f"m{i}" for i in range(20)))
    job = create_job(world.ports, world.fleet, ALL, world.job(rate_per_s=4.0))
    began_at = world.now
    job = world.work(job)
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 20)
    assert world.now - began_at >= 20 / 4 - 1
    sent_at = sorted(m.first_sent_at or 0 for m in world.ports.queue.messages(world.fleet.queue))
    assert all(later - earlier >= 1 for earlier, later in zip(sent_at, sent_at[4:], strict=False))


def test_run_leaves_the_rest_to_the_next_invocation_when_its_time_is_over() -> None:
    """A job outlives invocations: each sends what it can, and the record says how far it is."""
    world = World()
    world.quarantine(*(f"m{i}" for i in range(12)))
    job = create_job(world.ports, world.fleet, ALL, world.job(rate_per_s=2.0))
    invocations = 0
    while job.state is JobState.RUNNING and invocations < 9:
        job = world.work(job, budget_s=2.0)
        invocations += 1
        world.now += 60
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 12)
    assert 2 <= invocations < 9
    assert world.bodies() == [f"m{i}" for i in range(12)]


# --------------------------------------------------------------------------- canary


def test_run_sends_canaries_of_each_group_and_waits_when_a_job_begins() -> None:
    """First the oldest few of each group, then a pause as long as a failure needs to come back."""
    world = World(fleet(canary_count=2, canary_wait_s=None))
    world.quarantine("a1", "a2", "a3", cause="Broken: it is")
    world.quarantine("b1", "b2", "b3", cause="Missing: it is")
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    assert (job.state, job.progress.phase, sorted(world.bodies())) == (
        JobState.RUNNING,
        JobPhase.RAMP,
        ["a1", "a2", "b1", "b2"],
    )
    wait_s = world.fleet.target_wait_s + world.to.visibility_s
    assert wait_s - 1 <= job.pacing.next_at - world.now <= wait_s + 1
    assert sum(world.waited_s) < 1  # the rate's pauses
    world.now = job.pacing.next_at
    job = world.work(job)
    assert (job.state, sorted(world.bodies())) == (JobState.WATCHING, ["a1", "a2", "a3", "b1", "b2", "b3"])
    assert wait_s - 1 <= job.pacing.next_at - world.now <= wait_s + 1
    world.now = job.pacing.next_at
    assert world.work(job).state is JobState.DONE


def test_run_stops_within_its_canary_when_the_group_is_still_broken() -> None:
    """What is not fixed costs its canaries and no more."""
    world = World(fleet(canary_count=2, canary_wait_s=30))
    world.quarantine(*(f"m{i}" for i in range(50)), cause="Broken: it is")
    broken = group_id(world, "Broken: it is")
    job = world.work(create_job(world.ports, world.fleet, Selection(failure_group=broken), world.job()))
    for message in world.ports.queue.receive(world.fleet.queue, 10, 30):
        attributes = dict(message.attributes) | {"sluice.cause": text("Broken: it is")}
        world.ports.queue.put(world.dead_letters, message.body, attributes=attributes)
        world.ports.queue.delete(world.fleet.queue, [message.receipt])
    world.fleet = fleet(max_retries=0)
    world.process()
    world.now = job.pacing.next_at + 60
    stopped = world.ports.ledger.jobs.job("orders", job.id)
    assert stopped is not None
    assert (stopped.state, stopped.progress.sent_count, stopped.progress.returned_count) == (JobState.STOPPED, 2, 2)
    assert "failed again" in stopped.note
    assert world.slice().work(world.now + 20) is None
    assert (world.bodies(), len(world.index())) == ([], 50)


def test_run_goes_on_with_the_other_groups_when_one_comes_back() -> None:
    """A job for all leaves out the group that is still broken."""
    world = World(fleet(canary_count=1, canary_wait_s=30))
    world.quarantine("a1", "a2", cause="Broken: it is")
    world.quarantine("b1", "b2", cause="Missing: it is")
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()), budget_s=5)
    back = next(m for m in world.ports.queue.receive(world.fleet.queue, 10, 30) if m.body == "a1")
    world.ports.queue.put(world.dead_letters, "a1", attributes=dict(back.attributes))
    world.ports.queue.delete(world.fleet.queue, [back.receipt])
    world.process()
    world.now = job.pacing.next_at + 60
    again = world.ports.ledger.jobs.job("orders", job.id)
    assert again is not None
    watched = world.work(again)
    assert watched.state is JobState.WATCHING
    world.now = watched.pacing.next_at
    ended = world.work(watched)
    assert (ended.state, ended.progress.sent_count, ended.progress.returned_count) == (JobState.CAME_BACK, 3, 1)
    assert ended.progress.stopped_groups == (group_id(world, "Broken: it is"),)
    assert world.held_bodies() == ["a2"]
    assert "failed again" in ended.note


def send_back(world: World) -> None:
    """The consumer fails on every message in its queue, and each becomes a dead letter as SQS makes them."""
    for message in world.ports.queue.receive(world.fleet.queue, 100, 30):
        world.ports.queue.put(world.dead_letters, message.body, attributes=dict(message.attributes))
        world.ports.queue.delete(world.fleet.queue, [message.receipt])


def test_run_is_watched_when_the_canaries_were_all() -> None:
    """All of it is sent at once, and it is done when nothing of it came back for as long as canaries are watched."""
    world = World(fleet(canary_count=3, canary_wait_s=600))
    world.quarantine("a", "b")
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    assert (job.state, job.progress.sent_count, world.waited_s) == (JobState.WATCHING, 2, [])
    assert job.pacing.next_at == pytest.approx(world.now + 600, abs=1)
    assert world.ports.ledger.jobs.running_jobs() == (("orders", "job-1"),)
    world.now = job.pacing.next_at
    job = world.work(job)
    assert (job.state, job.note) == (JobState.DONE, "2 of 2 messages sent.")
    assert world.ports.ledger.jobs.running_jobs() == ()


def test_run_came_back_when_all_of_a_group_no_larger_than_its_canary_failed_again() -> None:
    """It is never done in green: what it sent is in quarantine again."""
    world = World(fleet(canary_count=3, canary_wait_s=600))
    world.quarantine("a", "b")
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    send_back(world)
    world.fleet = fleet(canary_count=3, canary_wait_s=600, max_retries=0)
    world.process()
    world.now = job.pacing.next_at
    job = world.work(job)
    assert (job.state, job.progress.returned_count, job.note) == (
        JobState.CAME_BACK,
        2,
        "2 of 2 messages sent; 2 failed again and came back.",
    )


def copy_alone(world: World) -> None:
    """The consumer fails on all that it receives, and copies each body alone to the dead-letter queue."""
    for message in world.ports.queue.receive(world.queue, 10, 30.0):
        stamps = {"sluice.source": text(world.to.arn), "sluice.cause": text("Broken: it is")}
        world.ports.queue.put(world.dead_letters, message.body, attributes=stamps)
        world.ports.queue.delete(world.queue, [message.receipt])


@pytest.mark.parametrize("bodies", ["ab", "abcdefgh"], ids=["no more than canaries", "more than canaries"])
def test_run_came_back_when_a_consumer_copies_the_bodies_of_its_canaries_alone(bodies: str) -> None:
    """Under new ids and without stamps: the ledger knows canaries by their bodies, and nothing more is sent."""
    world = World(fleet(canary_count=3, canary_wait_s=600))
    world.quarantine(*bodies)
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    world.now += 10
    copy_alone(world)
    world.process()
    for _ in range(2):  # the wait for canaries, and the watch of what they leave
        world.now = max(world.now, job.pacing.next_at)
        job = world.work(job)
    sent_count = min(3, len(bodies))
    assert (job.state, job.progress.sent_count, job.progress.returned_count) == (
        JobState.CAME_BACK, sent_count, sent_count,
    )  # fmt: skip


def test_run_came_back_when_a_consumer_copies_the_body_of_its_one_message_alone() -> None:
    """A job of one message is watched like a canary."""
    world = World(fleet(canary_wait_s=600))
    (message_id,) = world.quarantine("a")
    job = world.work(create_job(world.ports, world.fleet, Selection(message_id=message_id), world.job()))
    world.now += 10
    copy_alone(world)
    world.process()
    world.now = job.pacing.next_at
    assert world.work(job).state is JobState.CAME_BACK


def test_run_is_told_of_no_return_when_a_later_one_sent_the_message() -> None:
    """The queue refused its canary. A consumer's copy of what the next job sent is not what came back of the first."""
    world = World(fleet(canary_wait_s=600))
    world.quarantine("a")
    refused = failing(world, "send", TryLaterError("no"))
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()), refused, budget_s=1.0)
    stop_job(world.ports, world.fleet, job.id, "a test", world.now)
    second = world.work(create_job(world.ports, world.fleet, ALL, world.job(id="job-2")))
    world.now += 10
    copy_alone(world)
    world.process()
    world.now = second.pacing.next_at
    assert world.work(second).state is JobState.CAME_BACK
    first = world.ports.ledger.jobs.job("orders", "job-1")
    assert first is not None
    assert (first.progress.sent_count, first.progress.returned_count) == (0, 0)


def test_run_sends_all_when_the_one_before_could_not_read_the_claims_of_others() -> None:
    """That sent nothing, and so nothing is in doubt once the invocation that wrote its claim is gone."""
    world = World()
    world.quarantine("a", "b")
    refused = failing(world, "claims_of", TryLaterError("slow down"))
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()), refused, budget_s=1.0)
    assert (job.progress.failed_count, world.bodies()) == (2, [])
    world.now += SOON + 1.0
    second = world.work(create_job(world.ports, world.fleet, ALL, world.job(id="job-2")))
    assert (second.progress.doubtful_count, world.bodies()) == (0, ["a", "b"])


def test_run_is_done_when_a_producer_sends_the_bodies_of_its_canaries_again() -> None:
    """They fail and SQS moves them: equal bodies are messages of their own, and not what came back of this redrive."""
    world = World(fleet(canary_wait_s=600))
    world.quarantine("a")
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    world.now += 10
    world.put_dead("a", moved=True)
    world.process()
    world.now = job.pacing.next_at
    assert world.work(job).state is JobState.DONE


def test_run_came_back_when_its_messages_come_back_after_the_watch() -> None:
    """Whatever it was called before."""
    world = World(fleet(canary_wait_s=0, max_retries=0))
    world.quarantine("a")
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    assert job.state is JobState.DONE
    send_back(world)
    world.process()
    late = world.ports.ledger.jobs.job("orders", "job-1")
    assert late is not None
    assert (late.state, late.progress.returned_count) == (JobState.CAME_BACK, 1)
    assert late.note.startswith("1 of 1 message sent. After that, a message failed again. Message ")


def test_run_can_be_asked_for_again_while_the_first_is_watched() -> None:
    """A job that has sent all of it does not stand in the way."""
    world = World(fleet(canary_wait_s=600, max_retries=0))
    world.quarantine("a")
    world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    send_back(world)
    world.process()
    second = create_job(world.ports, world.fleet, ALL, world.job(id="job-2"))
    assert second.state is JobState.RUNNING


# --------------------------------------------------------------------------- what fails, and what is in doubt


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_run_leaves_messages_in_doubt_when_the_answer_to_a_send_is_lost(when: When) -> None:
    """They stay in quarantine, are counted, and go only when an operator says so."""
    world = World()
    world.quarantine("a", "b")
    ports = faulty_ports(world.ports, nth("send", LostAnswerError("no answer"), when))
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()), ports)
    sent = ["a", "b"] if when is When.AFTER else []
    assert (job.state, job.progress.sent_count, job.progress.doubtful_count) == (JobState.DONE, 0, 2)
    assert "2 not sent, since they may have been sent before" in job.note
    assert (world.bodies(), world.held_bodies()) == (sent, ["a", "b"])
    world.now += SOON + 1
    second = world.work(create_job(world.ports, world.fleet, ALL, world.job(id="job-2")))
    assert (second.progress.sent_count, second.progress.doubtful_count, world.bodies()) == (0, 2, sent)
    third = world.work(create_job(world.ports, world.fleet, ALL, world.job(id="job-3", again=True)))
    assert (third.progress.sent_count, world.bodies(), world.held_bodies()) == (2, [*sent, "a", "b"], [])


def test_run_counts_each_message_once_when_the_ramp_comes_to_what_the_canary_left() -> None:
    """What is in doubt, or failed, as a canary is counted again in the ramp, and not twice."""
    world = World(fleet(canary_count=2))
    first, *_ = world.quarantine("a", "b", "c", "d", "e")
    world.ports.ledger.send_claims.claim_sends("orders", [first], world.now, world.now - 1)
    ports = faulty_ports(world.ports, nth("load", TryLaterError("slow down"), number=2))
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()), ports)
    assert (job.progress.sent_count, job.progress.failed_count, job.progress.doubtful_count) == (4, 0, 1)
    assert world.held_bodies() == ["a"]


def test_run_goes_on_when_one_body_cannot_be_read() -> None:
    """One message's trouble does not stop the others; the job says which."""
    world = World()
    world.quarantine("a", "b", "c")
    lost = world.index()[1]
    del world.ports.archive.kept[lost.key]
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    assert (job.state, job.progress.sent_count, job.progress.failed_count) == (JobState.DONE, 2, 1)
    assert "could not be read: archive: nothing is kept" in job.note
    assert world.index() == (lost,)


def test_run_stops_when_a_fifo_message_cannot_be_sent() -> None:
    """On a FIFO queue those behind would overtake: nothing more is sent."""
    world = World(fleet(fifo=True))
    world.quarantine("a1", "a2", "a3", message_group="a")
    lost = world.index()[1]
    body = world.ports.archive.kept.pop(lost.key)
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    assert (job.state, world.bodies()) == (JobState.STOPPED, ["a1"])
    assert "FIFO order" in job.note
    world.ports.archive.kept[lost.key] = body
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job(id="job-2")))
    assert (job.state, world.bodies()) == (JobState.DONE, ["a1", "a2", "a3"])


def test_run_keeps_what_no_longer_fits_when_the_queue_s_limit_was_lowered() -> None:
    """It stays in quarantine, whole, and the job says why."""
    world = World()
    world.quarantine("x" * 2_000, "b")
    world.ports.queue.create(world.fleet.queue, max_bytes=1_024)
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    assert (job.progress.sent_count, job.progress.failed_count, len(world.held_bodies()[0])) == (1, 1, 2_000)
    assert "larger than its queue takes" in job.note


def test_run_lets_go_without_sending_when_a_message_was_sent_and_still_listed() -> None:
    """The letting go that failed the first time is made good, and nothing is sent twice."""
    world = World()
    world.quarantine("a")
    ports = faulty_ports(world.ports, nth("remove_entries", TryLaterError("slow down")))
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()), ports)
    assert (job.progress.sent_count, world.held_bodies()) == (1, ["a"])
    assert "is sent, but still listed" in job.note
    world.work(create_job(world.ports, world.fleet, ALL, world.job(id="job-2")))
    assert (world.bodies(), world.held_bodies()) == (["a"], [])


def test_slice_tells_and_goes_on_with_the_others_when_one_job_cannot_go_on() -> None:
    """One job's trouble, foreseen or not, is not the others'; it is tried again by itself, and not at once."""
    world = World()
    world.quarantine("a", cause="Broken: it is")
    world.quarantine("b", cause="Missing: it is")
    for number, cause in enumerate(("Broken: it is", "Missing: it is")):
        selection = Selection(failure_group=group_id(world, cause))
        create_job(world.ports, world.fleet, selection, world.job(id=f"job-{number}", rate_per_s=1_000))
    bad = world.runner(faulty_ports(world.ports, nth("failure_groups", ZeroDivisionError("a bug"))))
    part = world.slice()
    part.runner = lambda job: bad if job.id == "job-0" else world.runner()
    began_at = world.now
    following = part.work(world.now + 20)
    assert [(job_id, str(error)) for job_id, error in world.failures] == [("job-0", "a bug")]
    assert {job.id for _, job in part.worked.values()} == {"job-1"}
    assert following is not None
    assert retries_in(following.data) == {"job-0": began_at + RETRY_S}
    world.now = began_at + 1
    later = world.slice()
    later.retry_at = retries_in(following.data)
    assert later.work(world.now + 20) is not None
    world.now = began_at + RETRY_S
    assert "job-0" not in {job.id for _, job in later.worked.values()}
    world.work(world.job(id="job-0"))
    assert sorted(world.bodies()) == ["a", "b"]


def test_slice_ends_when_nothing_is_due() -> None:
    """Nobody waits in a function: the next slice is due when the canaries were watched for long enough."""
    world = World(fleet(canary_count=1, canary_wait_s=300))
    world.quarantine("a", "b")
    create_job(world.ports, world.fleet, ALL, world.job(rate_per_s=1_000))
    began_at = world.now
    following = world.slice().work(world.now + 20)
    assert following is not None
    assert following.due_at - began_at < 0.01, "the pause of the rate"
    world.now = following.due_at
    following = world.slice().work(world.now + 20)
    assert following is not None
    assert (following.due_at, world.bodies()) == (pytest.approx(began_at + 300, abs=0.1), ["a"])


def test_slice_takes_up_a_job_that_is_opened_meanwhile() -> None:
    """An operator does not wait for the end of the slice that is at another job."""
    world = World(fleet(canary_count=1))
    world.quarantine(*(f"m{i}" for i in range(8)), cause="Broken: it is")
    world.quarantine("b", cause="Missing: it is")
    first = Selection(failure_group=group_id(world, "Broken: it is"))
    create_job(world.ports, world.fleet, first, world.job(rate_per_s=1))
    sent_at: list[float] = []

    def take_a_second(call: Call) -> Fault | None:
        if call.method == "send":
            world.now += 1
            sent_at.append(world.now)
            if len(sent_at) == 1:
                second = Selection(failure_group=group_id(world, "Missing: it is"))
                create_job(world.ports, world.fleet, second, world.job(id="job-2"))
        return None

    world.slice(faulty_ports(world.ports, take_a_second)).work(world.now + 20)
    assert "b" in world.bodies()
    assert world.bodies().index("b") <= 1 + READ_AGAIN_S


# --------------------------------------------------------------------------- resumed and stopped


def test_run_is_resumed_when_the_runner_crashed() -> None:
    """The next invocation goes on from the record; what was sent is not sent again."""
    world = World(fleet(canary_count=1))
    world.quarantine("a", "b", "c")
    ports = faulty_ports(world.ports, nth("remove_entries", Crash(), number=2))
    with pytest.raises(Crash):
        world.work(create_job(world.ports, world.fleet, ALL, world.job()), ports)
    assert (world.bodies(), world.held_bodies()) == (["a", "b", "c"], ["b", "c"])
    world.now += SOON + 1
    left = world.ports.ledger.jobs.job("orders", "job-1")
    assert left is not None
    job = world.work(left)
    assert (job.state, world.bodies(), world.held_bodies()) == (JobState.DONE, ["a", "b", "c"], [])


def test_stop_job_ends_a_job_when_its_runner_is_in_the_middle_of_a_batch() -> None:
    """The runner keeps an operator's stop when it writes its own progress, and sends no further batch."""
    world = World()
    world.quarantine(*(f"m{i}" for i in range(30)))
    job = create_job(world.ports, world.fleet, ALL, world.job(rate_per_s=2.0))

    def stop_meanwhile(call: Call) -> Fault | None:
        if call.method == "send":
            stop_job(world.ports, world.fleet, job.id, "an operator", world.now)
        return None

    stopped = world.work(job, faulty_ports(world.ports, stop_meanwhile))
    assert (stopped.state, stopped.note, stopped.progress.sent_count) == (
        JobState.STOPPED,
        "Stopped by an operator.",
        2,
    )
    assert len(world.bodies()) == 2
    assert stop_job(world.ports, world.fleet, job.id, "another", world.now).note == "Stopped by an operator."


def test_stop_job_says_so_when_there_is_no_such_job() -> None:
    """A wrong id is named."""
    world = World()
    with pytest.raises(PayloadError, match="job_id: fleet orders has no job none-such"):
        stop_job(world.ports, world.fleet, "none-such", "an operator", world.now)


def test_amend_job_reads_again_when_another_wrote_first() -> None:
    """A change is made to the record as it is, not as it was."""
    world = World()
    world.ports.ledger.jobs.keep_job(world.job())
    tries: list[int] = []

    def decide(call: Call) -> Fault | None:
        if call.method == "keep_job" and len(tries) < 3:
            tries.append(1)
            return Fault(When.BEFORE, ConflictError("another was first"))
        return None

    ports = faulty_ports(world.ports, decide)
    job = update_job(ports, "orders", "job-1", lambda job: changed_job(job, note="noted"))
    assert job is not None
    assert (job.note, len(tries)) == ("noted", 3)
    assert update_job(ports, "orders", "none-such", lambda job: job) is None


# --------------------------------------------------------------------------- from the dead-letter queue itself


def test_run_sends_from_the_dead_letter_queue_when_the_mode_is_manual() -> None:
    """Canaries, then the rest, straight from the queue that nothing else takes from."""
    world = World(fleet(mode="manual", canary_count=2, canary_wait_s=5))
    for i in range(12):
        world.put_dead(f"m{i:02d}")
    job = create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job())
    assert job.progress.selected_count == 12
    job = world.work(job)
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 12)
    assert 10 <= sum(world.waited_s) <= 12  # twice the canary's wait, and the rate's pauses
    assert (world.bodies(), world.bodies(world.dead_letters)) == ([f"m{i:02d}" for i in range(12)], [])
    assert all(m.attribute(ATTEMPTS) == "1" for m in world.ports.queue.messages(world.fleet.queue))


def after_canary_wait(world: World) -> RedriveJob:
    """The one job some time after its canaries were watched, worked on."""
    job = world.ports.ledger.jobs.job("orders", "job-1")
    assert job is not None
    world.now = job.pacing.next_at + 1
    return world.work(job, budget_s=600, waits_s=600)


def test_run_stops_within_its_canary_when_its_own_copy_is_in_the_dead_letter_queue() -> None:
    """The queue is searched once it holds more than was left there."""
    world, copy = _canary_of_a_dead_letter_queue()
    world.ports.queue.put(world.dead_letters, copy.body, attributes=dict(copy.attributes))
    job = after_canary_wait(world)
    assert (job.state, job.progress.sent_count, job.progress.returned_count) == (JobState.STOPPED, 1, 1)
    assert job.note == "Stopped: a message it sent failed again. 1 message of it is in the dead-letter queue."
    assert len(world.receive()) == 5, "what was read is shown again at once"


def test_run_goes_on_when_unrelated_dead_letters_of_the_same_cause_arrive() -> None:
    """A job is judged by its own copies, and not by how many messages its queue holds."""
    world = World(fleet(mode="manual", canary_count=3, canary_wait_s=30))
    for number in range(500):
        world.put_dead(f"m{number}", sluice_cause="Broken: it is")
    world.work(create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job(rate_per_s=1_000)))
    for message in world.ports.queue.receive(world.fleet.queue, 10, 30):
        world.ports.queue.delete(world.fleet.queue, [message.receipt])
    world.put_dead("another", sluice_cause="Broken: it is")
    job = after_canary_wait(world)
    assert (job.state, job.progress.sent_count, job.progress.returned_count) == (JobState.DONE, 500, 0)
    assert len(world.bodies(world.dead_letters)) == 1


def test_run_waits_for_what_another_reader_hides() -> None:
    """Sluice's own look, or the SQS console's: the messages show again, and are sent."""
    world = World(fleet(mode="manual", canary_count=3, canary_wait_s=1))
    for number in range(500):
        world.put_dead(f"m{number}")
    assert len(world.ports.queue.receive(world.dead_letters, 400, 20.0)) == 400
    job = create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job(rate_per_s=1_000))
    assert job.progress.selected_count == 500
    job = world.work(job, budget_s=60)
    assert (job.state, job.progress.sent_count, job.note) == (JobState.DONE, 500, "500 of 500 messages sent.")


def test_run_ends_and_says_so_when_messages_stay_hidden() -> None:
    """A visibility timeout may be twelve hours: no job runs for ever for that."""
    world = World(fleet(mode="manual", canary_count=3, canary_wait_s=1))
    for number in range(5):
        world.put_dead(f"m{number}")
    world.ports.queue.receive(world.dead_letters, 2, 43_200.0)
    began_at = world.now
    job = create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job(rate_per_s=1_000))
    job = world.work(job, budget_s=30)
    assert (job.state, job.note) == (
        JobState.RUNNING, "Waiting for 2 messages that another reader of the dead-letter queue hides.",
    )  # fmt: skip
    job = world.work(job, budget_s=3_600)
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 3)
    assert "2 messages stay, which another reader of the dead-letter queue hides." in job.note
    assert HIDDEN_WAIT_MAX_S <= world.now - began_at < 3 * HIDDEN_WAIT_MAX_S


@pytest.mark.parametrize("selection", [ALL, Selection(from_dead_letters=True)], ids=["quarantine", "dead letters"])
def test_run_came_back_in_manual_mode_when_its_copies_are_in_the_dead_letter_queue(selection: Selection) -> None:
    """No invocation takes them from there: the queue is searched at the end of the watch, and left as it was."""
    world = World(fleet(mode="manual", canary_count=3, canary_wait_s=30))
    if selection.from_dead_letters:
        world.put_dead("a")
        world.put_dead("b")
    else:
        world.quarantine("a", "b")
    job = world.work(create_job(world.ports, world.fleet, selection, world.job()))
    assert job.state is JobState.WATCHING
    send_back(world)
    world.put_dead("another")
    job = after_canary_wait(world)
    assert (job.state, job.progress.returned_count) == (JobState.CAME_BACK, 2)
    assert job.note == "2 of 2 messages sent; 2 failed again and came back."
    assert len(world.receive()) == 3


@pytest.mark.parametrize("selection", [Selection(from_dead_letters=True), ALL], ids=["dead letters", "quarantine"])
@pytest.mark.parametrize("bodies", ["ab", "abcdefgh"], ids=["no more than canaries", "more than canaries"])
def test_run_came_back_in_manual_mode_when_a_consumer_copies_its_bodies_alone(
    bodies: str, selection: Selection
) -> None:
    """The search of the dead-letter queue knows canaries by their bodies, beside what lay there before."""
    world = World(fleet(mode="manual", canary_count=3, canary_wait_s=30))
    if selection.from_dead_letters:
        for body in bodies:
            world.put_dead(body, sluice_source=world.to.arn)
    else:
        world.quarantine(*bodies)
    world.now += 10
    job = world.work(create_job(world.ports, world.fleet, selection, world.job()))
    world.now += 10
    copy_alone(world)
    world.put_dead("another", sluice_source=world.to.arn)
    for _ in range(3):
        world.now = max(world.now, job.pacing.next_at)
        job = world.work(job)
    sent_count = min(3, len(bodies))
    assert (job.progress.sent_count, job.progress.returned_count) == (sent_count, sent_count)
    assert job.state in {JobState.CAME_BACK, JobState.STOPPED}


def test_run_is_judged_when_the_dead_letter_queue_cannot_be_searched() -> None:
    """It is tried again for a while, and then the record says that nobody looked."""
    world = World(fleet(mode="manual", canary_wait_s=30))
    world.put_dead("a")
    job = world.work(create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job()))
    world.now = job.pacing.next_at
    refused = faulty_ports(
        world.ports, lambda call: Fault(When.BEFORE, NeedsFixError("no")) if call.method == "receive" else None
    )
    job = world.work(job, refused, budget_s=10)
    assert (job.state, job.note) == (JobState.WATCHING, "The queue could not be read: no.")
    job = world.work(job, refused, budget_s=3_600)
    assert (job.state, job.note) == (JobState.DONE, "1 of 1 message sent. The queue could not be read: no.")


def test_run_tells_another_job_when_it_takes_what_that_has_sent() -> None:
    """Whoever takes a copy out of the dead-letter queue notes it, so that no job is done though it came back."""
    world = World(fleet(mode="manual", canary_wait_s=600))
    world.put_dead("a")
    world.work(create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job()))
    send_back(world)
    world.work(create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job(id="job-2")))
    first = after_canary_wait(world)
    assert (first.state, first.progress.returned_count) == (JobState.CAME_BACK, 1)


def test_run_stops_when_it_receives_a_message_that_it_sent_itself() -> None:
    """A return that the count did not show is recognised when it is received, left there, and ends the job."""
    world, copy = _canary_of_a_dead_letter_queue()
    taken_by_hand = world.receive()[0]
    world.ports.queue.delete(world.dead_letters, [taken_by_hand.receipt])
    for message in world.receive():
        world.ports.queue.hide(world.dead_letters, message.receipt, 0.0)
    world.ports.queue.put(world.dead_letters, copy.body, attributes=dict(copy.attributes))
    world.now += 60
    job = world.ports.ledger.jobs.job("orders", "job-1")
    assert job is not None
    job = world.work(job)
    assert (job.state, job.progress.returned_count) == (JobState.STOPPED, 1)
    assert copy.body in world.bodies(world.dead_letters)
    visible = world.ports.queue.read(world.dead_letters, world.now).visible
    assert visible is not None
    assert visible.value == len(world.bodies(world.dead_letters))  # nothing is left hidden


def _canary_of_a_dead_letter_queue() -> tuple[World, Message]:
    """Of five dead letters one was sent as a canary; the consumer has just received it."""
    world = World(fleet(mode="manual", canary_count=1, canary_wait_s=30))
    for i in range(5):
        world.put_dead(f"m{i}")
    world.work(create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job()))
    (copy,) = world.ports.queue.receive(world.fleet.queue, 10, 30)
    world.ports.queue.delete(world.fleet.queue, [copy.receipt])
    return world, copy


def test_run_counts_on_in_the_ledger_when_a_dead_letter_has_no_room_for_its_count() -> None:
    """An operator's redrives add up for every message, whoever remembers them."""
    world = World(fleet(mode="manual"))
    world.put_dead("a", **{f"a{i}": text("x") for i in range(10)})
    for number in (1, 2):
        world.work(
            create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job(id=f"job-{number}"))
        )
        (copy,) = world.ports.queue.receive(world.fleet.queue, 10, 30)
        key = body_key(copy, world.to)
        handled = world.ports.ledger.attempts.handled("orders", [key], world.now)[key]
        assert [letter.attempts for letter in handled] == [number]
        world.ports.queue.put(world.dead_letters, copy.body, attributes=dict(copy.attributes))
        world.ports.queue.delete(world.fleet.queue, [copy.receipt])


def test_run_deletes_without_sending_when_a_dead_letter_was_sent_and_not_deleted() -> None:
    """The mark outlives the crash between send and delete."""
    world = World(fleet(mode="manual"))
    world.put_dead("a")
    ports = faulty_ports(world.ports, nth("delete", Crash()))
    with pytest.raises(Crash):
        world.work(create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job()), ports)
    world.now += 120
    left = world.ports.ledger.jobs.job("orders", "job-1")
    assert left is not None
    world.work(left)
    assert (world.bodies(), world.bodies(world.dead_letters)) == (["a"], [])


def test_group_tells_how_its_last_redrive_went_when_some_of_it_came_back() -> None:
    """When, how many, and how many of them failed again."""
    world = World(fleet(canary_count=2, max_retries=0))
    world.quarantine("a", "b", "c")
    began_at = world.now
    create_job(world.ports, world.fleet, ALL, world.job())
    runner = world.runner()
    job = world.ports.ledger.jobs.job("orders", "job-1")
    assert job is not None
    runner.step(job)
    (sent, _) = world.ports.queue.receive(world.fleet.queue, 10, 30)
    world.put_dead(sent.body, **dict(sent.attributes), sluice_cause="Broken: it is")
    world.process()
    (group,) = world.ports.ledger.failure_groups.failure_groups("orders")
    assert group.last_redrive == LastRedrive("job-1", began_at, 2, 1)
