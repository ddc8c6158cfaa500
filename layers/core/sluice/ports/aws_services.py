"""What Sluice needs of AWS's services, as Protocols: documents, groups, metrics, queues, archive, instances."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote

from sluice.config.fleet import ConfigError, Fleet
from sluice.config.history import DrainOnly
from sluice.model.draining import CommandStatus, HookAction, HookResult, StopOrder
from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading, Membership, QueueReading
from sluice.model.redriving import Message, MoveTask
from sluice.ports.errors import PortError

SIGNALS_WINDOW_S = 3 * 3_600.0  # CloudWatch keeps 60 s points for 15 days, and answers 3 h of them in one page


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

# The reason of a message that was not sent, since an earlier one of its message group failed.
EARLIER_FAILED = "not sent: an earlier message of its message group failed"


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

        There is one at least, and none is larger than can be claimed (BATCH_CLAIM_MAX).
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
