"""What Sluice needs of the world, as Protocols, and the errors they raise, split by what to do about them.

Adapters: `sluice.memory` (simulator, chaos tests, dry run) and `sluice.aws`. A contract test holds all to the same
behaviour. Every method may raise the four errors below and no other.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from math import inf
from typing import Protocol
from urllib.parse import quote

from sluice.config import ConfigError, Fleet
from sluice.config_history import DrainOnly
from sluice.model import (
    Claim,
    CommandStatus,
    Consignment,
    Consumer,
    Decision,
    Drain,
    FailureGroup,
    GroupReading,
    HookAction,
    HookResult,
    Membership,
    Memory,
    Message,
    MoveTask,
    Outcome,
    Quarantined,
    QueueReading,
    RedriveJob,
    StopOrder,
    TimedLaunch,
)
from sluice.values import dataclass

# How long the ledger keeps what is over and done with; DynamoDB deletes it some time after.
DECISIONS_KEPT_S = 30 * 86_400.0  # a month of decisions answers "why was it so large last week"
DRAINS_KEPT_S = 7 * 86_400.0  # released ones; late events of an instance come within hours
# Launches are read at every tick: no more than come in a minute as a rule. Of more at once the last ones tell enough.
LAUNCHES_KEPT = 16
CONSUMERS_KEPT_S = 86_400.0  # since last heard of: a day of launches is enough to learn the lead time from
ATTEMPTS_KEPT_S = 14 * 86_400.0  # SQS's longest retention: no message outlives it
CAUSES_KEPT_S = 14 * 86_400.0  # likewise
# How much of a failure group's trend is kept: three days by the hour, and the longest window of a burst by the minute.
TREND_HOURS = 72
TREND_MINUTES = 11
JOBS_KEPT_S = 30 * 86_400.0  # since last touched
SIGNALS_WINDOW_S = 3 * 3_600.0  # CloudWatch keeps 60 s points for 15 days, and answers 3 h of them in one page

# SQS keeps a message for 14 days at most, after a delay of 15 minutes at most: then no copy of it can be in a queue.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
RETRY_MARK_S = 14 * 86_400.0 + 900.0

# Ids of 36 characters: under 20 kB of a record's 400, and one write instead of 500.
CONSIGNMENT_MAX = 500


class PortError(Exception):
    """Anything a port can raise."""


class TryLaterError(PortError):
    """Throttled, timed out or AWS at fault: the same call may go through later."""


class LostAnswerError(TryLaterError):
    """The request may have gone through: its answer was lost. Only a repeatable request may simply be repeated."""


class RefusedError(PortError):
    """AWS refuses this very request; repeating it is of no use."""


class NeedsFixError(PortError):
    """A missing queue, group or permission: the text names it and says what to create or grant."""


class ConflictError(PortError):
    """Another wrote the record first: read it again."""


@dataclass(frozen=True, slots=True)
class LoadedFleets:
    """Every fleet of the stack: those that can be used, and the documents that cannot.

    The last two are filled only where they were asked for. Nothing but draining may go by `drain_only`.
    """

    fleets: tuple[Fleet, ...]
    invalid: tuple[ConfigError, ...]
    drain_only: tuple[DrainOnly, ...] = ()  # of the invalid ones, by their last usable versions
    unread: tuple[PortError, ...] = ()  # why earlier versions of some of them are not known


class Fleets(Protocol):
    """The fleets' documents."""

    def load(self, *, last_usable: bool = False) -> LoadedFleets:
        """Every document, valid or not: a bad one never hides the others.

        Args:
            last_usable: whether to look for the last usable version of each invalid document, for draining. What is
                in the way of that is among `unread`, and hides no other fleet.
        """
        ...


class Group(Protocol):
    """Auto Scaling groups."""

    def read(self, group: str) -> GroupReading:
        """The group now, recent launch failures included. NeedsFixError if there is none."""
        ...

    def membership(self, instance_id: str) -> Membership | None:
        """The group that an instance is in, and where it stands there; None if it is in none."""
        ...

    def set_desired(self, group: str, desired: int) -> None:
        """Set the desired capacity, not honouring the cooldown. RefusedError outside the group's bounds."""
        ...

    def complete_hook(self, action: HookAction, result: HookResult) -> bool:
        """Complete a lifecycle action; False if none is active (late or repeated), which is no error."""
        ...

    def heartbeat(self, action: HookAction) -> bool:
        """Restart the hook's timeout; False if no action is active."""
        ...

    def protect(self, group: str, instance_ids: Sequence[str], protected: bool) -> None:
        """Set or lift the scale-in protection of instances in service, at most PROTECTED_AT_ONCE.

        Raises:
            RefusedError: one of them is not in service; none was changed.
        """
        ...

    def end(self, group: str, instance_id: str) -> bool:
        """Terminate an instance that its group has retained; False if there is none, which is no error."""
        ...


class Signals(Protocol):
    """What CloudWatch tells of a queue, minutes late."""

    def read(self, queue_url: str, now: float) -> QueueReading:
        """Sent, received and deleted per minute over the last hours, and the oldest age; figures it lacks are None."""
        ...

    def read_all(self, queue_urls: Sequence[str], now: float) -> tuple[QueueReading | PortError, ...]:
        """The same of several queues in one call, in their order; for each what it answers or is in the way of it."""
        ...

    def alarm_is_on(self, name: str) -> bool:
        """Whether the alarm of that name is in ALARM. NeedsFixError if there is none."""
        ...


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """What a queue is, as far as redriving needs."""

    url: str
    arn: str
    fifo: bool
    retention_s: float
    max_bytes: int
    visibility_s: float = 30.0
    dead_letter_arn: str | None = None  # where this queue's own redrive policy sends, if anywhere


# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
MOVE_MAX_PER_S = 500

HELD_BACK = "not sent: one before it in its message group failed"


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """A batch's answer, entry by entry, by the index of the entry sent."""

    done: frozenset[int]
    failed: Mapping[int, str]  # index -> AWS's reason
    refused: frozenset[int] = frozenset()  # those of `failed` that will never be taken (SQS: SenderFault)


class Queue(Protocol):
    """SQS queues. Batches may be longer than ten: the adapter splits them by count and by bytes."""

    def read(self, queue_url: str, now: float) -> QueueReading:
        """Visible, in flight and delayed, now (approximate). NeedsFixError if there is no such queue."""
        ...

    def read_all(self, queue_urls: Sequence[str], now: float) -> tuple[QueueReading | PortError, ...]:
        """The same of several queues at once, in their order; for each what it answers or is in the way of it."""
        ...

    def facts(self, queue_url: str) -> QueueFacts:
        """What the queue is."""
        ...

    def receive(self, queue_url: str, limit: int, visibility_s: float, wait_s: float = 0.0) -> tuple[Message, ...]:
        """Up to so many messages, whole: every attribute, system attributes included.

        SQS gives ten a call, and may give fewer than there are: only when none comes is there none.
        """
        ...

    def send(self, queue_url: str, messages: Sequence[Message], delay_s: Sequence[float]) -> BatchAnswer:
        """Send copies of messages, whole, each after its delay; on FIFO queues delays are ignored.

        On FIFO queues none of a message group is sent after one of it that failed.

        Each copy is a new message with an id of its own. It is not repeated by the adapter when an answer is lost:
        what was sent twice would be worked on twice.

        Raises:
            LostAnswerError: any of the copies may have been sent. Any other error: none was. Where some answers came
                and some were lost, nothing is raised: an entry that the answer does not speak of is in doubt.
        """
        ...

    def delete(self, queue_url: str, receipts: Sequence[str]) -> BatchAnswer:
        """Delete received messages."""
        ...

    def hide(self, queue_url: str, receipt: str, seconds: float) -> bool:
        """Set a received message's visibility timeout; False if the receipt is no longer good."""
        ...

    def hold(self, queue_url: str, receipts: Sequence[str], seconds: float) -> BatchAnswer:
        """Set the visibility timeouts of received messages, in one call for each ten.

        What fails is not in this queue, is not in flight, or was received anew under another receipt: it is not ours.
        """
        ...

    def shares(self, count: int) -> Sequence[int]:
        """A load of so many messages, in parts that are worth moving side by side.

        There is one at least, and none is larger than can be claimed (CONSIGNMENT_MAX).
        """
        ...

    def side_by_side[Result](self, works: Sequence[Callable[[], Result]]) -> list[Result]:
        """Do pieces of work, each of which moves messages of its own, side by side; their results, in order.

        Pieces make their calls one after another, so that no more are under way than where one caller moves many. All
        have come to their end before this answers, or raises what the first of those that failed raised.
        """
        ...

    # SQS's own redrive of a whole dead-letter queue: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
    def start_move(self, queue_url: str, to_arn: str, rate_per_s: int) -> str:
        """Begin to move all of a dead-letter queue to a queue, at most MOVE_MAX_PER_S messages a second; a handle.

        Raises:
            RefusedError: a task is running already, or the queue is no dead-letter queue.
        """
        ...

    def moves(self, queue_url: str) -> tuple[MoveTask, ...]:
        """The last move tasks of a dead-letter queue, newest first."""
        ...

    def cancel_move(self, handle: str) -> bool:
        """Stop a move task, what it moved stays moved; False if it is over, which is no error."""
        ...


class Archive(Protocol):
    """Where quarantined messages are kept whole."""

    def store(self, fleet: str, message: Message) -> str:
        """Keep a message; its key. Repeating it with the same message is harmless."""
        ...

    def load(self, key: str) -> Message:
        """The message under a key. RefusedError if there is none."""
        ...

    def remove(self, key: str) -> None:
        """Let go of a message that is safely elsewhere. Repeating it is harmless."""
        ...

    def former(self, key: str) -> Message:
        """What was last kept under a key, also if it was let go of since. RefusedError if there is nothing."""
        ...

    def load_all(self, keys: Sequence[str]) -> Mapping[str, "Message | PortError"]:
        """The messages under keys, or what is in the way of each: one that cannot be read hides no other."""
        ...

    def remove_all(self, keys: Sequence[str]) -> None:
        """Let go of many. An error leaves some of them; repeating it is harmless."""
        ...


def answer_of[T](call: Callable[[], T]) -> T | PortError:
    """What a call of a port answers, or the error that it raises: for where one failure is not the others'."""
    try:
        return call()
    except PortError as error:
        return error


def archive_key(fleet: str, message: Message) -> str:
    """Where an archive keeps a message: `<fleet>/<yyyy>/<mm>/<dd>/<message id>.json`.

    The day is that of the message's first sending (UTC), not today: storing it again tomorrow must find the same key.
    """
    sent = message.first_sent_at
    day = "undated" if sent is None else datetime.fromtimestamp(sent, UTC).strftime("%Y/%m/%d")
    return f"{fleet}/{day}/{quote(message.id, safe='')}.json"


# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_SendCommand.html
STOPPED_AT_ONCE = 50
# https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_SetInstanceProtection.html
PROTECTED_AT_ONCE = 50


class Instances(Protocol):
    """Run Command on instances, and what EC2 says of them."""

    def stop(self, instance_ids: Sequence[str], order: StopOrder, timeout_s: float) -> str:
        """Ask instances, at most STOPPED_AT_ONCE, to stop their consumers and wait for that; the command's id.

        Raises:
            RefusedError: one of them has no agent; none was asked.
        """
        ...

    def command(self, command_id: str, instance_id: str) -> CommandStatus:
        """How that command stands on an instance."""
        ...

    def commands_of(self, command_id: str) -> Mapping[str, CommandStatus]:
        """How that command stands, by instance; none of those that are not listed yet."""
        ...

    def online(self, instance_ids: Sequence[str]) -> frozenset[str]:
        """Those whose agents Systems Manager has heard of within its last five minutes."""
        ...

    def ended(self, instance_ids: Sequence[str]) -> frozenset[str]:
        """Those whose machines EC2 has stopped or terminated: nothing runs on them any more."""
        ...

    def is_spot(self, instance_id: str) -> bool:
        """Whether EC2 says that it is a Spot Instance; False for one that EC2 does not know."""
        ...


class Ledger(Protocol):
    """The DynamoDB table: fleet state, decision records, drains, failure groups, quarantine index, redrive jobs."""

    # One planner at a time per fleet.
    def acquire(self, fleet: str, owner: str, until: float, now: float) -> bool:
        """Take or renew the fleet's lease until a time; False while another holds it."""
        ...

    def release(self, fleet: str, owner: str) -> None:
        """Give the lease back; harmless if it is not ours."""
        ...

    def memory(self, fleet: str) -> Memory:
        """The planner's memory; empty at first. In `timed` are the last launches noted, whatever was kept."""
        ...

    def keep_memory(self, fleet: str, memory: Memory) -> None:
        """Keep the memory, all but `timed`; only the lease's holder may."""
        ...

    def note_launch(self, fleet: str, launch: TimedLaunch) -> None:
        """Add a launch to those that the fleet's memory is read with, under the next number; anybody may.

        At least the last LAUNCHES_KEPT stay. Lost answers may note one twice.
        """
        ...

    def record(self, decision: Decision, outcome: Outcome) -> None:
        """Record a decision with its outcome; a repeated one overwrites itself."""
        ...

    def decisions(
        self, fleet: str, limit: int, since: float = 0.0, until: float = inf
    ) -> tuple[tuple[Decision, Outcome], ...]:
        """The last decisions made at `since` or later and at `until` or earlier, most recent first."""
        ...

    def drain(self, fleet: str, instance_id: str) -> Drain | None:
        """The drain of an instance, if any."""
        ...

    def drains(self, fleet: str) -> tuple[Drain, ...]:
        """Every drain on record, released ones too while they are kept."""
        ...

    def keep_drain(self, drain: Drain) -> Drain:
        """Write a drain if its version is still the ledger's (0: not there yet); the written one.

        Raises:
            ConflictError: another wrote it first.
        """
        ...

    def consumer(self, fleet: str, instance_id: str) -> Consumer | None:
        """What is known of an instance's consumer, if anything."""
        ...

    def consumers(self, fleet: str) -> tuple[Consumer, ...]:
        """Every consumer heard of in CONSUMERS_KEPT_S."""
        ...

    def keep_consumer(self, consumer: Consumer) -> Consumer:
        """Write a consumer's record if its version is still the ledger's; ConflictError otherwise."""
        ...

    def failure_group(self, fleet: str, group_id: str) -> FailureGroup | None:
        """A failure group, if any."""
        ...

    def failure_groups(self, fleet: str) -> tuple[FailureGroup, ...]:
        """Every failure group of a fleet, most recently seen first."""
        ...

    def note_failure(
        self, fleet: str, group_id: str, cause: str, sample: str, now: float, *, again: bool = False
    ) -> FailureGroup:
        """Count one more dead letter of a group as seen, also in the hour and the minute of `now`.

        `again`: it had been sent back before.
        """
        ...

    # How the last redrive of a group goes: the first sending of another job begins anew.
    def note_redriven(self, fleet: str, group_id: str, job_id: str, count: int, now: float) -> None:
        """Count messages of a group that a job sent back."""
        ...

    def note_returned(self, fleet: str, group_id: str, job_id: str) -> None:
        """Count one of them that came back; none, if the job is not the last any longer."""
        ...

    def archive_group(self, fleet: str, group_id: str, at: float | None) -> FailureGroup | None:
        """Set a failure group aside at a time, or (None) take it out again; the group, None if there is none."""
        ...

    def keep_cause(self, fleet: str, message_id: str, cause: str, now: float) -> None:
        """Remember why a message failed, as its consumer told apart from it; for CAUSES_KEPT_S, the last one wins."""
        ...

    def causes(self, fleet: str, message_ids: Sequence[str]) -> Mapping[str, str]:
        """The causes told of these messages."""
        ...

    def quarantine(self, entry: Quarantined) -> bool:
        """Index a quarantined message and count it in its group, in one transaction.

        In the same transaction its FIFO message group, if it has one, is held in that failure group. False if the
        message was indexed already, or was sent again since (its mark says SENT): nothing is written then.
        """
        ...

    def quarantined(
        self, fleet: str, failure_group: str | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[tuple[Quarantined, ...], str | None]:
        """A page of the index, oldest first, and where to go on from (None: no more)."""
        ...

    def quarantined_message(self, fleet: str, message_id: str) -> Quarantined | None:
        """One index entry by message id."""
        ...

    def let_go(self, entry: Quarantined) -> bool:
        """Take a redriven message out of the index, its group's and its hold's count; False if it was gone."""
        ...

    def let_go_all(self, entries: Sequence[Quarantined]) -> None:
        """The same for many, in few calls; those that were gone are none the worse. An error leaves some of them."""
        ...

    def held_in(self, fleet: str, message_group: str) -> str | None:
        """The failure group that holds quarantined messages of a FIFO message group; None if none is quarantined."""
        ...

    # One sending of a message at a time: a mark for each message id, written by condition before it is sent. Marks are
    # kept for RETRY_MARK_S after the claim, for as long as a copy of the message can be in any queue.
    def claim_retries(
        self, fleet: str, message_ids: Sequence[str], until: float, now: float, again: bool = False
    ) -> Mapping[str, Claim]:
        """Claim the sending of messages, each by itself, until a time after which the claimant is surely gone.

        GRANTED is given once: where there is no mark; with `again` (a person's word) also where it is DOUBTFUL.
        """
        ...

    def confirm_retries(self, fleet: str, message_ids: Sequence[str], now: float) -> None:
        """The claimed messages were sent."""
        ...

    def release_retries(self, fleet: str, message_ids: Sequence[str]) -> None:
        """The claimed messages were surely not sent: take the marks away. Harmless if there is none."""
        ...

    def retry_marks(self, fleet: str, message_ids: Sequence[str], now: float) -> Mapping[str, Claim]:
        """How the sending of messages stands, without claiming it: BUSY, SENT or DOUBTFUL, of those with a mark."""
        ...

    # A consignment claims many messages by one record: for who holds them hidden in their queue, so that hardly anyone
    # else can be at them. It is written before the marks are read, and marks before the consignments: of two that claim
    # one message at the same moment at least one sees the other.
    def consign(self, consignment: Consignment, again: bool = False) -> Mapping[str, Claim]:
        """Claim the sending of what it claims, as `claim_retries` does, at most CONSIGNMENT_MAX messages."""
        ...

    def settle_consignment(self, consignment: Consignment) -> None:
        """Write how it stands: what it no longer names is released, and one that names nothing is forgotten."""
        ...

    def attempts(self, fleet: str, message_key: str) -> int:
        """Redrives of a message so far, as remembered here for those that cannot carry it themselves."""
        ...

    def keep_attempts(self, fleet: str, message_key: str, attempts: int, now: float) -> None:
        """Remember a message's redrives."""
        ...

    def job(self, fleet: str, job_id: str) -> RedriveJob | None:
        """A redrive job, if any."""
        ...

    def jobs(self, fleet: str) -> tuple[RedriveJob, ...]:
        """Every redrive job on record, most recent first."""
        ...

    def keep_job(self, job: RedriveJob) -> RedriveJob:
        """Write a job if its version is still the ledger's; ConflictError otherwise."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port of one stack, as a handler gets them: `sluice.aws.connect` makes the real ones."""

    fleets: Fleets
    group: Group
    signals: Signals
    queue: Queue
    archive: Archive
    instances: Instances
    ledger: Ledger
