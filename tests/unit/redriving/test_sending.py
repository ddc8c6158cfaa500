"""Dead letters settled: what is sent back, what is quarantined, and what stays when a call fails."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from sluice.memory import Crash, When
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Attribute, Message
from sluice.ports.aws_services import BatchAnswer, QueueFacts
from sluice.ports.errors import LostAnswerError, NeedsFixError, RefusedError, TryLaterError
from sluice.ports.stack import Ports
from sluice.redriving.fifo_order import LAST_BY_S, settles_within_s
from sluice.redriving.message_copy import ATTEMPTS, COPY_OF
from sluice.redriving.sender import OutgoingMessage, Sender, SendOutcome
from tests.support.redrive_worlds import VISIBILITY_S, World, failing, fleet, letter, text


def ends(world: World, ports: Ports | None = None) -> list[str]:
    """Settle a batch; what became of each message."""
    return [result.outcome.value for result in world.process(ports)]


# --------------------------------------------------------------------------- the plain ways


def test_settle_sends_back_and_lets_go_when_a_message_may_be_retried() -> None:
    """A dead letter goes to its queue once, after its delay, and is counted in its failure group."""
    world = World(fleet(base_delay_s=10))
    world.put_dead("a", sluice_cause="Broken: it is")
    assert ends(world) == ["retried"]
    assert world.bodies() == ["a"]
    assert world.bodies(world.dead_letters) == []
    assert world.ports.queue.read(world.fleet.queue, world.now).delayed.value == 1  # type: ignore[union-attr]
    world.now += 8  # 7.5 s, in whole seconds
    assert len(world.ports.queue.receive(world.fleet.queue, 10, 30)) == 1
    (group,) = world.ports.ledger.failure_groups.failure_groups("orders")
    assert (group.cause, group.count, group.seen_count) == ("Broken: it is", 0, 1)
    assert group.failed_retry_count == 0, "its first attempt is to come"


def test_settle_quarantines_whole_when_a_message_was_retried_enough() -> None:
    """Body, attributes of every type and all that is known of it are kept and indexed."""
    world = World(fleet(max_retries=2))
    scan = Attribute("Binary.png", binary=b"\x00\xff")
    world.put_dead("a", scan=scan, sluice_cause="Broken: it is", sluice_attempts=Attribute("Number", "2"))
    assert ends(world) == ["quarantined"]
    (entry,) = world.index()
    kept = world.ports.archive.load(entry.key)
    assert (kept.body, dict(kept.attributes)["scan"]) == ("a", scan)
    assert (entry.cause, entry.attempt, entry.excerpt.sample, entry.size_bytes) == (
        "Broken: it is",
        2,
        "a",
        kept.size_bytes,
    )
    assert entry.first_sent_at == kept.first_sent_at
    (group,) = world.ports.ledger.failure_groups.failure_groups("orders")
    assert (group.count, group.seen_count, group.failed_retry_count) == (1, 1, 1)
    assert world.bodies() == world.bodies(world.dead_letters) == []


def test_settle_counts_up_to_quarantine_when_a_message_fails_again_and_again() -> None:
    """The count travels with the copies: two retries, then quarantine."""
    world = World(fleet(max_retries=2))
    world.put_dead("a")
    seen: list[list[str]] = []
    for _ in range(3):
        seen.append(ends(world))
        for message in world.ports.queue.receive(world.fleet.queue, 10, 30):  # the consumer fails on it, and stamps it
            attributes = {**dict(message.attributes), "sluice.cause": text("Broken: it is")}
            world.ports.queue.put(world.dead_letters, message.body, attributes=attributes)
            world.ports.queue.delete(world.fleet.queue, [message.receipt])
    assert seen == [["retried"], ["retried"], ["quarantined"]]
    assert world.held_bodies() == ["a"]


def test_settle_remembers_in_the_ledger_when_ten_attributes_leave_no_room_for_the_count() -> None:
    """Loops end for messages too that cannot carry their count."""
    world = World(fleet(max_retries=2))
    ten = {f"a{i}": text("x") for i in range(10)}
    world.put_dead("a", **ten)
    seen: list[list[str]] = []
    for _ in range(3):
        seen.append(ends(world))
        for message in world.ports.queue.receive(world.fleet.queue, 10, 30):
            assert dict(message.attributes) == ten
            world.ports.queue.put(
                world.dead_letters, message.body, attributes=dict(message.attributes), source=world.to.arn
            )
            world.ports.queue.delete(world.fleet.queue, [message.receipt])
    assert seen == [["retried"], ["retried"], ["quarantined"]]


def test_settle_quarantines_whole_when_the_queue_s_limit_was_lowered() -> None:
    """A message that its queue no longer takes is not dropped."""
    world = World()
    world.put_dead("x" * 2_000)
    world.ports.queue.create(world.fleet.queue, max_bytes=1_024, dead_letter=world.dead_letters)
    assert ends(world) == ["quarantined"]
    assert world.held_bodies() == ["x" * 2_000]


def test_settle_quarantines_when_a_message_came_from_another_queue() -> None:
    """A dead-letter queue shared with others does not mix them up."""
    world = World()
    world.put_dead("a", sluice_source="arn:aws:sqs:local:000000000000:others")
    assert ends(world) == ["quarantined"]
    assert world.bodies() == []


def test_settle_judges_the_others_when_one_message_of_a_batch_fails() -> None:
    """A batch is read entry by entry."""
    world = World()
    for body in ("a", "b", "c"):
        world.put_dead(body)
    ports = failing(world, "store", TryLaterError("slow down"))
    world.fleet = fleet(max_retries=0)
    results = world.process(ports)
    assert [result.outcome.value for result in results] == ["kept", "quarantined", "quarantined"]
    assert "slow down" in results[0].reason
    assert world.bodies(world.dead_letters) == ["a"]
    world.now += VISIBILITY_S
    assert ends(world) == ["quarantined"]


# --------------------------------------------------------------------------- repeated deliveries


def test_settle_sends_once_when_a_message_is_twice_in_a_batch() -> None:
    """SQS may deliver a message twice, even at once."""
    world = World()
    world.put_dead("a")
    (message,) = world.receive()
    results = world.processor().process((message, message))
    assert [result.outcome.value for result in results] == ["retried", "gone"]
    assert world.bodies() == ["a"]


def test_settle_lets_go_without_sending_when_a_message_was_sent_before_and_not_deleted() -> None:
    """The delete that Lambda owed was lost: the mark says that the message is sent."""
    world = World()
    world.put_dead("a")
    world.processor().process(world.receive())
    world.now += VISIBILITY_S
    assert ends(world) == ["gone"]
    assert world.bodies() == ["a"]
    assert world.bodies(world.dead_letters) == []


def test_settle_keeps_a_message_when_another_invocation_is_at_it() -> None:
    """Of two invocations one is refused, and the message stays until it is settled."""
    world = World()
    world.put_dead("a")
    (message,) = world.receive()
    world.ports.ledger.send_claims.claim_sends("orders", [message.id], world.now + 30, world.now)
    (result,) = world.processor().process((message,))
    assert (result.outcome.value, result.reason) == ("kept", "another is sending it")
    assert world.bodies() == []


def test_settle_indexes_once_when_a_quarantined_message_is_delivered_again() -> None:
    """The delete was lost: the index and the count stay as they are."""
    world = World(fleet(max_retries=0))
    world.put_dead("a")
    world.processor().process(world.receive())
    world.now += VISIBILITY_S
    assert ends(world) == ["gone"]
    (group,) = world.ports.ledger.failure_groups.failure_groups("orders")
    assert (group.count, len(world.index())) == (1, 1)


def test_settle_does_not_quarantine_again_when_the_message_was_redriven_meanwhile() -> None:
    """A late second delivery of what an operator has sent back is let go of, not listed anew."""
    world = World(fleet(max_retries=0))
    world.put_dead("a")
    world.processor().process(world.receive())
    world.work(world.ports.ledger.jobs.keep_job(world.job()))
    assert world.bodies() == ["a"]
    world.now += VISIBILITY_S
    assert ends(world) == ["gone"]
    assert world.index() == ()


# --------------------------------------------------------------------------- failures


@pytest.mark.parametrize("error", [TryLaterError("slow down"), NeedsFixError("grant it"), RefusedError("no")])
def test_settle_keeps_the_message_for_later_when_the_send_surely_failed(error: Exception) -> None:
    """Nothing was sent, so the claim is given back and the next delivery sends."""
    world = World()
    world.put_dead("a")
    (result,) = world.process(failing(world, "send", error))
    assert result.outcome.value == "kept"
    assert str(error) in result.reason
    world.now += VISIBILITY_S
    assert ends(world) == ["retried"]
    assert world.bodies() == ["a"]


@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
@pytest.mark.parametrize("error", [LostAnswerError("no answer"), Crash()])
def test_settle_quarantines_in_doubt_when_whether_it_was_sent_is_unknown(when: When, error: BaseException) -> None:
    """Never lost, never doubled: it is not sent again, and kept for an operator to decide."""
    world = World()
    world.put_dead("a")
    with contextlib.suppress(Crash):
        assert ends(world, failing(world, "send", error, when)) == ["kept"]
    sent = ["a"] if when is When.AFTER else []
    assert world.bodies() == sent
    world.now += VISIBILITY_S
    (result,) = world.process()
    assert result.outcome.value == "quarantined"
    assert "may have been sent before" in result.reason
    assert world.bodies() == sent
    assert world.held_bodies() == ["a"]


def test_settle_ends_the_doubt_when_the_copy_comes_back() -> None:
    """A copy in hand proves that its original was sent: the original leaves the quarantine."""
    world = World()
    world.put_dead("a")
    ends(world, failing(world, "send", LostAnswerError("no answer"), When.AFTER))
    world.now += VISIBILITY_S
    assert ends(world) == ["quarantined"]
    (copy,) = world.ports.queue.receive(world.fleet.queue, 10, 30)
    world.ports.queue.put(world.dead_letters, copy.body, attributes=dict(copy.attributes))
    world.ports.queue.delete(world.fleet.queue, [copy.receipt])
    assert ends(world) == ["retried"]
    assert world.index() == ()
    assert world.bodies() == ["a"]


def test_settle_lets_go_of_nothing_when_a_message_claims_to_be_the_copy_of_one_that_is_not_in_doubt() -> None:
    """A forged origin does not make a quarantined message disappear."""
    world = World()
    (victim,) = world.quarantine("victim")
    world.put_dead("forged", **{COPY_OF: victim})
    assert ends(world) == ["retried"]
    assert world.held_bodies() == ["victim"]
    job = world.work(world.ports.ledger.jobs.keep_job(world.job()))
    assert (job.progress.sent_count, world.bodies()) == (1, ["forged", "victim"])


def test_settle_lets_go_when_the_confirmation_failed_and_the_message_is_sent() -> None:
    """The answer said sent: that the mark could not be set is told, and nothing is sent twice."""
    world = World()
    world.put_dead("a")
    (result,) = world.process(failing(world, "confirm_sends", TryLaterError("slow down")))
    assert result.outcome.value == "retried"
    assert "not marked as sent" in result.reason
    assert (world.bodies(), world.bodies(world.dead_letters)) == (["a"], [])


def test_settle_keeps_everything_when_the_ledger_does_not_answer() -> None:
    """Without marks nothing is sent."""
    world = World()
    world.put_dead("a")
    (result,) = world.process(failing(world, "claim_sends", TryLaterError("slow down")))
    assert (result.outcome.value, world.bodies()) == ("kept", [])
    world.now += VISIBILITY_S
    assert ends(world) == ["retried"]


def test_settle_sends_nothing_when_the_count_cannot_be_remembered() -> None:
    """A loop that nobody counts would never end."""
    world = World()
    world.put_dead("a", **{f"a{i}": text("x") for i in range(10)})
    assert ends(world, failing(world, "remember", TryLaterError("slow down"))) == ["kept"]
    assert world.bodies() == []
    world.now += VISIBILITY_S
    assert ends(world) == ["retried"]


def test_settle_succeeds_when_only_the_group_s_count_fails() -> None:
    """A count that is lost is told, and does not send a message twice."""
    world = World()
    world.put_dead("a")
    (result,) = world.process(failing(world, "note_failure", TryLaterError("slow down")))
    assert result.outcome.value == "retried"
    assert "not counted" in result.reason


class OneRefused:
    """A queue that takes all of a batch but the entries named."""

    def __init__(self, world: World, failed: dict[int, str], refused: frozenset[int]) -> None:
        self.send: Callable[..., BatchAnswer] = self._send
        self._queue = world.ports.queue
        self._failed = failed
        self._refused = refused

    def facts(self, queue_url: str) -> QueueFacts:
        """As the queue itself."""
        return self._queue.facts(queue_url)

    def hold(self, queue_url: str, receipts: list[str], seconds: float) -> BatchAnswer:
        """As the queue itself."""
        return self._queue.hold(queue_url, receipts, seconds)

    def _send(self, queue_url: str, messages: list[Message], delay_s: list[float]) -> BatchAnswer:
        kept = [i for i in range(len(messages)) if i not in self._failed]
        self._queue.send(queue_url, [messages[i] for i in kept], [delay_s[i] for i in kept])
        return BatchAnswer(frozenset(kept), self._failed, self._refused)


def partial(world: World, failed: dict[int, str], refused: frozenset[int] = frozenset()) -> Ports:
    """The world's ports with a queue of which some entries fail."""
    ports: Ports = world.ports
    queue: Any = OneRefused(world, failed, refused)  # only these two calls are made
    return replace(ports, queue=queue)


def test_settle_keeps_just_the_entries_that_failed_when_a_batch_is_answered_in_part() -> None:
    """What was sent is let go, what was not comes again."""
    world = World()
    for body in ("a", "b", "c"):
        world.put_dead(body)
    assert ends(world, partial(world, {1: "InternalError: try again"})) == ["retried", "kept", "retried"]
    assert (world.bodies(), world.bodies(world.dead_letters)) == (["a", "c"], ["b"])
    world.now += VISIBILITY_S
    assert ends(world) == ["retried"]
    assert world.bodies() == ["a", "c", "b"]


def test_settle_quarantines_when_the_queue_refuses_an_entry_for_good() -> None:
    """What would fail until it expires is kept instead, with the queue's reason."""
    world = World()
    for body in ("a", "b"):
        world.put_dead(body)
    ports = partial(world, {0: "InvalidMessageContents: no"}, frozenset({0}))
    results = world.process(ports)
    assert [result.outcome.value for result in results] == ["quarantined", "retried"]
    assert "InvalidMessageContents: no" in results[0].reason
    job = world.work(world.ports.ledger.jobs.keep_job(world.job()))
    assert (job.progress.sent_count, job.progress.doubtful_count) == (1, 0)  # its claim was given back


def test_send_leaves_an_entry_in_doubt_when_the_answer_does_not_speak_of_it() -> None:
    """Silence is not success."""
    world = World()

    class Silent(OneRefused):
        def _send(self, queue_url: str, messages: list[Message], delay_s: list[float]) -> BatchAnswer:
            return BatchAnswer(frozenset(), {})

    base: Ports = world.ports
    queue: Any = Silent(world, {}, frozenset())
    ports = replace(base, queue=queue)
    (send_result,) = Sender(ports, "orders", world.to, world.now + 30, world.clock).send([OutgoingMessage(letter())])
    assert (send_result.outcome, send_result.is_in_queue) == (SendOutcome.UNKNOWN, False)


# --------------------------------------------------------------------------- FIFO


def test_settle_keeps_those_behind_when_a_fifo_message_could_not_be_sent() -> None:
    """Order within a message group is kept; other message groups go on."""
    world = World(fleet(fifo=True))
    for body, group in (("a1", "a"), ("b1", "b"), ("a2", "a"), ("a3", "a"), ("b2", "b")):
        world.put_dead(body, message_group=group)
    ports = partial(world, {0: "InternalError: try again"})  # the first of each round: a1, then b2
    results = world.process(ports)
    assert [result.outcome.value for result in results] == ["kept", "kept", "kept", "retried", "kept"]
    assert world.bodies() == ["b1"]
    assert "before it in its message group" in results[1].reason
    for _ in range(4):
        world.now += settles_within_s(world.fleet, world.to) + LAST_BY_S
        ends(world)
    assert [body for body in world.bodies() if body.startswith("a")] == ["a1", "a2", "a3"]
    assert [body for body in world.bodies() if body.startswith("b")] == ["b1", "b2"]


def test_settle_quarantines_those_behind_when_a_fifo_message_is_in_quarantine() -> None:
    """What would overtake a quarantined message follows it, into the same failure group, until that is redriven."""
    world = World(fleet(fifo=True, max_retries=1))
    spent = Attribute("Number", "1")
    world.put_dead("a1", message_group="a", sluice_attempts=spent, sluice_cause="First: it was")
    world.put_dead("a2", message_group="a", sluice_cause="Second: it was")
    world.put_dead("b1", message_group="b", sluice_cause="Second: it was")
    assert ends(world) == ["quarantined", "quarantined", "retried"]
    (group,) = (group for group in world.ports.ledger.failure_groups.failure_groups("orders") if group.count)
    assert (group.cause, group.count) == ("First: it was", 2)
    world.put_dead("a3", message_group="a")
    assert ends(world) == ["quarantined"]
    assert world.held_bodies() == ["a1", "a2", "a3"]
    world.now += 1
    job = world.work(world.ports.ledger.jobs.keep_job(world.job(failure_group=group.id)))
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 3)
    assert [body for body in world.bodies() if body.startswith("a")] == ["a1", "a2", "a3"]
    world.put_dead("a4", message_group="a")
    assert ends(world) == ["retried"]  # nothing of the message group is held any more


def test_settle_sends_every_copy_when_fifo_messages_are_redriven_within_the_deduplication_interval() -> None:
    """Each copy has a deduplication id of its own: none is dropped as a repetition."""
    world = World(fleet(fifo=True, max_retries=3))
    world.put_dead("a", message_group="a")
    for attempt in ("1", "2", "3"):
        assert ends(world)[-1] == "retried"
        (copy,) = world.ports.queue.receive(world.fleet.queue, 10, 30)
        assert copy.attribute(ATTEMPTS) == attempt
        world.ports.queue.put(
            world.dead_letters,
            copy.body,
            attributes=dict(copy.attributes),
            message_group="a",
            deduplication=copy.id,  # as SQS does when it dead-letters
        )
        world.ports.queue.delete(world.fleet.queue, [copy.receipt])
        world.now += settles_within_s(world.fleet, world.to) + LAST_BY_S
    assert ends(world) == ["gone", "quarantined"]


def test_send_sends_none_behind_when_one_of_a_fifo_message_group_was_not_sent() -> None:
    """A batch of one message group ends with the entry that failed; another message group goes on."""
    world = World(fleet(fifo=True))
    to_send = [OutgoingMessage(letter(b, id=f"m-{b}", message_group=b[0])) for b in ("a1", "a2", "b1", "a3")]
    ports = partial(world, {0: "InternalError: try again"})  # the first of each round
    send_results = Sender(ports, "orders", world.to, world.now + 30, world.clock).send(to_send)
    assert [send_result.outcome.value for send_result in send_results] == ["failed", "failed", "sent", "failed"]
    assert world.bodies() == ["b1"]
    again = Sender(world.ports, "orders", world.to, world.now + 30, world.clock).send(to_send)
    assert [send_result.outcome.value for send_result in again] == ["sent", "sent", "earlier", "sent"]
    assert world.bodies() == ["b1", "a1", "a2", "a3"]


# --------------------------------------------------------------------------- what comes back from a redrive


def test_settle_stops_the_job_when_a_message_that_it_sent_comes_back() -> None:
    """The job is told before anything else is done about the message."""
    world = World()
    (message_id,) = world.quarantine("a")
    (entry,) = world.index()
    world.ports.ledger.jobs.keep_job(world.job(failure_group=entry.failure_group))
    world.put_dead("b", **{COPY_OF: f"{message_id}/job-1/{entry.failure_group}"})
    ends(world, failing(world, "claim_sends", TryLaterError("slow down"), nth=1))
    job = world.ports.ledger.jobs.job("orders", "job-1")
    assert job is not None
    assert (job.state, job.progress.returned_count, job.progress.stopped_groups) == (
        JobState.STOPPED,
        1,
        (entry.failure_group,),
    )


def test_settle_goes_on_when_a_message_names_a_job_that_is_not_there() -> None:
    """A forged or forgotten job stops nothing and breaks nothing."""
    world = World()
    world.put_dead("a", **{COPY_OF: "m-9/job-9/some-group"})
    assert ends(world) == ["retried"]


# --------------------------------------------------------------------------- causes and bursts


def test_settle_goes_by_the_cause_that_was_told_when_the_message_has_none() -> None:
    """A consumer that leaves the dead-lettering to SQS names the message in an event; its own stamp would win."""
    world = World(fleet(permanent=("UnknownItem*",)))
    told = world.put_dead("a")
    both = world.put_dead("b", sluice_cause="KeyError: street")
    for message_id in (told, both):
        world.ports.ledger.causes.keep_cause("orders", message_id, "UnknownItem: no item tea-7", world.now)
    ends = {result.message_id: result for result in world.process()}
    assert ends[told].outcome == "quarantined"
    assert "permanent" in ends[told].reason
    assert ends[both].outcome == "retried"
    assert world.index()[0].cause == "UnknownItem: no item tea-<n>"


def test_settle_trips_a_group_at_once_when_it_bursts() -> None:
    """Within one batch as well as over some: a bad deploy is not retried message by message. Others are."""
    world = World(fleet(burst_count=4, burst_window_s=60))
    for n in range(6):
        world.put_dead(f"bad {n}", sluice_cause="KeyError: street")
    world.put_dead("other", sluice_cause="timeout")
    assert [result.outcome for result in world.process()] == ["retried"] * 3 + ["quarantined"] * 3 + ["retried"]
    world.now += 30
    world.put_dead("bad 6", sluice_cause="KeyError: street")
    assert [result.outcome for result in world.process()] == ["quarantined"]
    world.now += 150
    world.put_dead("bad 7", sluice_cause="KeyError: street")
    assert [result.outcome for result in world.process()] == ["retried"]


def test_settle_trips_no_group_by_shape_alone() -> None:
    """Without causes a burst of one kind of message is retried, message by message, and its group is only counted."""
    world = World(fleet(burst_count=2, burst_window_s=60))
    for n in range(6):
        world.put_dead(f'{{"order": {n}}}')
    assert [result.outcome for result in world.process()] == ["retried"] * 6
    (group,) = world.ports.ledger.failure_groups.failure_groups("orders")
    assert group.seen_count == 6


def test_settle_keeps_the_cause_as_it_was_said_beside_the_title() -> None:
    """The group's title is masked, and the message's own record has what was said."""
    world = World(fleet(permanent=("HTTP 400*",)))
    world.put_dead("a", sluice_cause="HTTP 400: no order 17 for anna@example.com")
    world.process()
    (entry,) = world.index()
    assert entry.cause == "HTTP 400: no order <n> for <email>"
    assert entry.said == "HTTP 400: no order 17 for anna@example.com"
    (group,) = world.ports.ledger.failure_groups.failure_groups("orders")
    assert group.cause == entry.cause


def test_settle_keeps_everything_when_the_causes_cannot_be_read() -> None:
    """Without them a message could go into the wrong group, and by the wrong policy."""
    world = World()
    world.put_dead("a")
    (result,) = world.process(failing(world, "causes", TryLaterError("slow down")))
    assert (result.outcome, len(world.receive())) == ("kept", 0)
    assert "slow down" in result.reason
