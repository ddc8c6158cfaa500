"""What Sluice needs of AWS's services, as Protocols: documents, groups, metrics, queues, archive, instances.

Adapters: `sluice.aws` and `sluice.memory`. Contract tests hold both to the same behaviour. Every method may raise the
errors of `sluice.ports.errors`. Times are epoch seconds, durations are in seconds.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import quote

from sluice.config.fleet import ConfigError, Fleet
from sluice.config.history import DrainOnly
from sluice.model.draining import CommandStatus, HookAction, HookResult, ScheduledEvent, StopOrder
from sluice.model.frozen import dataclass
from sluice.model.launches import Launch
from sluice.model.observed import GroupReading, Membership, QueueReading
from sluice.model.redrive_jobs import MoveTask
from sluice.model.redriving import Message
from sluice.ports.errors import PortError

SIGNALS_WINDOW_S = 3 * 3_600.0  # CloudWatch keeps 60 s points for 15 days, and answers 3 h of them in one page


@dataclass(frozen=True, slots=True)
class LoadedFleets:
    """Every fleet of the stack: those that can be used, and the documents that cannot.

    `drain_only` and `unread` are filled only if they were asked for. Only draining may use `drain_only`.
    """

    fleets: tuple[Fleet, ...]
    invalid: tuple[ConfigError, ...]
    drain_only: tuple[DrainOnly, ...] = ()  # the invalid fleets, by their documents' last usable versions
    unread: tuple[PortError, ...] = ()  # why earlier versions of some documents could not be read

    @property
    def shown(self) -> dict[str, Fleet]:
        """The fleets that can be shown, by name: those included that only drain since their document is invalid."""
        return {each.fleet.name: each.fleet for each in self.drain_only} | {each.name: each for each in self.fleets}


class Fleets(Protocol):
    """The fleets' documents."""

    def load(self, *, last_usable: bool = False) -> LoadedFleets:
        """Every document, valid or not: a bad one never hides the others.

        Args:
            last_usable: whether to read the last usable version of each invalid document, for draining. An error of
                that is in `unread`, and hides no other fleet.
        """
        ...

    def refresh(self, name: str | None = None) -> None:
        """Let every function see a document's change, or that there is a new one or one less.

        Args:
            name: the document that changed; None: whichever did, for when no event reported it. That is looked for at
                most every few minutes, however often it is asked for.
        """
        ...


class Group(Protocol):
    """Auto Scaling groups."""

    def read(self, group: str) -> GroupReading:
        """The group now, with its warm pool and its recent launches. NeedsFixError if there is no such group."""
        ...

    def read_all(
        self, groups: Sequence[str], now: float, *, warm_pools: bool = False
    ) -> tuple[GroupReading | PortError, ...]:
        """Several groups as they are now, in their order: for each its reading, or the error that it met.

        The readings have neither launch times nor failures: `with_launches` adds them from the ledger's launch log.

        Args:
            groups: names; a group that does not exist is a NeedsFixError for itself alone.
            now: epoch seconds.
            warm_pools: whether to read the instances in warm pools too, by a call for each group that has one. They
                count in no capacity, so that only draining needs them.
        """
        ...

    def launches(self, group: str) -> tuple[Launch, ...]:
        """A group's last launches by its scaling activities: for a group of which the launch log knows nothing yet."""
        ...

    def membership(self, instance_id: str) -> Membership | None:
        """The group that an instance is in, with its lifecycle state there; None if it is in none."""
        ...

    def set_desired(self, group: str, desired: int) -> None:
        """Set the desired capacity (capacity units), whatever the cooldown. RefusedError outside the group's bounds."""
        ...

    def complete_hook(self, action: HookAction, result: HookResult) -> bool:
        """Complete a lifecycle action; False if none is active (late or repeated), which is no error."""
        ...

    def heartbeat(self, action: HookAction) -> bool:
        """Send a heartbeat, which restarts the hook's timeout; False if no action is active."""
        ...

    def protect(self, group: str, instance_ids: Sequence[str], protected: bool) -> None:
        """Set or lift the scale-in protection of instances in service, at most PROTECTED_AT_ONCE.

        Raises:
            RefusedError: one of them is not in service; none was changed.
        """
        ...

    def refresh_began_at(self, group: str) -> float | None:
        """When the instance refresh began (epoch seconds) that is replacing the group's instances; None without one."""
        ...

    def end(self, group: str, instance_id: str) -> bool:
        """Terminate an instance; the desired capacity stays. False if there is none, which is no error."""
        ...


class Signals(Protocol):
    """CloudWatch's metrics of a queue, which are minutes late, and alarms."""

    def read_all(
        self, queue_urls: Sequence[str], now: float, since: float | None = None
    ) -> tuple[QueueReading | PortError, ...]:
        """Messages sent, received and deleted by the minute, and the oldest message's age, of each queue in order.

        A figure that CloudWatch does not have is None. A queue that cannot be read has its error in the place of its
        reading.

        Args:
            queue_urls: the queues.
            now: epoch seconds.
            since: from when to read, in epoch seconds, to the period; None: SIGNALS_WINDOW_S back, which is also the
                furthest.
        """
        ...

    def alarms_are_on(self, names: Sequence[str]) -> tuple[bool | PortError, ...]:
        """Whether each of several alarms is in ALARM, in their order; NeedsFixError for one that there is not."""
        ...


@dataclass(frozen=True, slots=True)
class QueueFacts:
    """A queue's identity and settings, as far as redriving needs them."""

    url: str
    arn: str
    fifo: bool
    retention_s: float
    max_bytes: int
    visibility_s: float = 30.0
    dead_letter_arn: str | None = None  # the dead-letter queue of this queue, if it has one
    max_receive_count: int | None = None  # receives after which SQS moves a message there


# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
MOVE_MAX_PER_S = 500

# The reason of a message that was not sent, since an earlier one of its message group failed.
EARLIER_FAILED = "not sent: an earlier message of its message group failed"


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """A batch's answer, entry by entry. Each is named by its index in what was given."""

    done: frozenset[int]
    failed: Mapping[int, str]  # index -> AWS's reason
    refused: frozenset[int] = frozenset()  # those of `failed` that SQS will never accept (SenderFault)


class Queue(Protocol):
    """SQS queues. Any number of messages may be given: the adapter makes batches of them, by count and by bytes."""

    def read(self, queue_url: str, now: float) -> QueueReading:
        """Messages visible, in flight and delayed now, approximately. NeedsFixError if there is no such queue."""
        ...

    def read_all(self, queue_urls: Sequence[str], now: float) -> tuple[QueueReading | PortError, ...]:
        """The same of several queues at once, in their order: for each its reading, or the error that it met."""
        ...

    def facts(self, queue_url: str) -> QueueFacts:
        """The queue's identity and settings."""
        ...

    def receive(self, queue_url: str, limit: int, visibility_s: float, wait_s: float = 0.0) -> tuple[Message, ...]:
        """Receive at most `limit` messages, with every attribute and the system attributes.

        SQS answers at most ten a call, and may answer fewer than there are: the queue is empty only when none comes.

        Args:
            queue_url: the queue.
            limit: how many messages at most.
            visibility_s: how long they are hidden from others, in seconds.
            wait_s: how long to wait for a first message, in seconds.
        """
        ...

    def send(self, queue_url: str, messages: Sequence[Message], delay_s: Sequence[float]) -> BatchAnswer:
        """Send copies of messages with all their attributes, each after its delay in seconds.

        On FIFO queues the delays are ignored, and no message is sent after one of its message group that failed
        (EARLIER_FAILED). Each copy is a new message with an id of its own. The adapter does not repeat a send whose
        answer was lost: what was sent twice would be worked on twice.

        Raises:
            LostAnswerError: any of the copies may have been sent. Any other error: none was. Where some answers came
                and some were lost, nothing is raised: an entry that is neither done nor failed is in doubt.
        """
        ...

    def delete(self, queue_url: str, receipts: Sequence[str]) -> BatchAnswer:
        """Delete received messages."""
        ...

    def hide(self, queue_url: str, receipt: str, seconds: float) -> bool:
        """Set a received message's visibility timeout, in seconds from now; False if the receipt has expired."""
        ...

    def hold(self, queue_url: str, receipts: Sequence[str], seconds: float) -> BatchAnswer:
        """Set the visibility timeouts of received messages, in seconds from now, by one call for each ten.

        A message fails that is not in this queue, is not in flight, or was received since under another receipt.
        """
        ...

    def rounds(self, count: int) -> Sequence[Sequence[int]]:
        """How many messages each part has of each round, of so many that are moved in rounds of parallel parts.

        There is at least one part, and no round has more messages than one claim may (BATCH_CLAIM_MAX).
        """
        ...

    def begin[Result](self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Begin a piece of work beside the caller's; pieces are taken up in the order in which they were begun.

        Each piece makes its calls one after another, so that no more pieces are at a call than calls are under way
        where one caller moves many messages.

        Returns:
            What waits for the end of the piece, and returns its result or raises what it raised. The caller waits for
            every piece that it began.
        """
        ...

    # SQS's own redrive of a whole dead-letter queue: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
    def start_move(self, queue_url: str, to_arn: str, rate_per_s: int) -> str:
        """Start to move all of a dead-letter queue's messages to a queue; the task's handle.

        Args:
            queue_url: the dead-letter queue.
            to_arn: the ARN of the queue that they go to.
            rate_per_s: messages a second, at most MOVE_MAX_PER_S.

        Raises:
            RefusedError: a task is running already, or the queue is no dead-letter queue.
        """
        ...

    def moves(self, queue_url: str) -> tuple[MoveTask, ...]:
        """The last move tasks of a dead-letter queue, newest first."""
        ...

    def cancel_move(self, handle: str) -> bool:
        """Stop a move task; what it moved stays moved. False if the task has ended, which is no error."""
        ...


class Archive(Protocol):
    """The bucket that keeps quarantined messages with their bodies and attributes."""

    def store(self, fleet: str, message: Message) -> str:
        """Keep a message; its key. Storing the same message again changes nothing."""
        ...

    def load(self, key: str) -> Message:
        """The message under a key. RefusedError if there is none."""
        ...

    def remove(self, key: str) -> None:
        """Remove a message that is kept elsewhere. A missing one is no error."""
        ...

    def former(self, key: str) -> Message:
        """The message last kept under a key, even if it was removed since. RefusedError if there is none."""
        ...

    def load_all(self, keys: Sequence[str]) -> Mapping[str, "Message | PortError"]:
        """For each key its message, or the error that it met: one that cannot be read hides no other."""
        ...

    def remove_all(self, keys: Sequence[str]) -> None:
        """Remove many. After an error some may be left. Missing ones are no error."""
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
    """Run Command on instances, and what EC2 and Systems Manager know of them."""

    def stop(self, instance_ids: Sequence[str], order: StopOrder, timeout_s: float) -> str:
        """Run the command that stops the consumers of instances, at most STOPPED_AT_ONCE; the command's id.

        The command ends on an instance when its consumer has, at most `timeout_s` seconds after it began.

        Raises:
            RefusedError: one of them has no agent; the command was sent to none.
        """
        ...

    def command(self, command_id: str, instance_id: str) -> CommandStatus:
        """The status of a command on an instance."""
        ...

    def commands_of(self, command_id: str) -> Mapping[str, CommandStatus]:
        """The status of a command by instance id, without the instances that are not listed yet."""
        ...

    def stop_output(self, command_id: str, instance_id: str) -> str:
        """The first 2,500 characters of what a stop has printed on an instance; empty if that is not known."""
        ...

    def online(self, instance_ids: Sequence[str]) -> frozenset[str]:
        """Those whose agents have reported to Systems Manager in the last five minutes."""
        ...

    def ended(self, instance_ids: Sequence[str]) -> frozenset[str]:
        """Those that EC2 has stopped or terminated: nothing runs on them any more."""
        ...

    def unregistered(self, instance_ids: Sequence[str]) -> Mapping[str, float]:
        """Those that run and of which Systems Manager has never heard; when EC2 launched each, in epoch seconds."""
        ...

    def scheduled(self) -> Mapping[str, ScheduledEvent]:
        """By id, the account's running instances that EC2 is to reboot, stop or retire; of several events the first."""
        ...

    def is_spot(self, instance_id: str) -> bool:
        """Whether an instance is a Spot Instance; False for one that EC2 does not know."""
        ...
