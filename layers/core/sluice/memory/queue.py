"""SQS queues in memory: visibility, receive counts, delays, dead-lettering, FIFO locks and deduplication.

Approximate figures are exact here and receiving keeps the order of sending even on standard queues, so that tests
repeat themselves. Where SQS leaves open what happens, the harsher of both happens: a receipt that a later receive has
replaced deletes nothing, though the answer says that it did.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial

from sluice.memory.clock import Clock
from sluice.memory.queue_limits import MAX_BYTES, MAX_IN_FLIGHT, check_visibility, fault_of
from sluice.memory.queue_moves import MoveTasks
from sluice.memory.queue_state import COUNTING_PERIOD_S, HeldMessage, QueueState, as_received, order_of
from sluice.model.frozen import replace
from sluice.model.observed import QueueReading, Reading, Series
from sluice.model.redrive_jobs import MoveTask
from sluice.model.redriving import Attribute, Message
from sluice.ports.aws_services import EARLIER_FAILED, MOVE_MAX_PER_S, BatchAnswer, QueueFacts
from sluice.ports.errors import NeedsFixError, PortError, RefusedError, TryLaterError, answer_of
from sluice.ports.ledger.send_claims import BATCH_CLAIM_MAX

DEFAULT_RETENTION_S = 345_600.0
ACCOUNT = "000000000000"
REGION = "local"


def queue_url(name: str) -> str:
    """The URL of a queue of that name in memory."""
    return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"


class MemoryQueue:
    """The Queue port over queues made by `create`. `wait_s` is not waited for: nothing arrives meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[str, QueueState] = {}
        self._numbers = itertools.count(1)
        self._moves = MoveTasks(self._next_number)

    # ----------------------------------------------------------------- for tests and simulators

    def create(
        self,
        url: str,
        *,
        visibility_s: float = 30.0,
        delay_s: float = 0.0,
        retention_s: float = DEFAULT_RETENTION_S,
        max_bytes: int = MAX_BYTES,
        dead_letter: str | None = None,
        max_receive_count: int = 3,
    ) -> str:
        """Make a queue; FIFO when its name ends in `.fifo`. `dead_letter` is the URL of a queue made before.

        Returns:
            The queue's URL.
        """
        target = self._queue(dead_letter).facts.arn if dead_letter else None
        name = url.rpartition("/")[2]
        facts = QueueFacts(
            url=url,
            arn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}",
            fifo=name.endswith(".fifo"),
            retention_s=retention_s,
            max_bytes=max_bytes,
            visibility_s=visibility_s,
            dead_letter_arn=target,
            max_receive_count=max_receive_count if target else None,
        )
        self._queues[url] = QueueState(facts, delay_s, max_receive_count if target else None)
        return url

    def drop(self, url: str) -> None:
        """Delete a queue with all it holds."""
        self._queues.pop(url, None)

    def put(
        self,
        url: str,
        body: str,
        *,
        attributes: Mapping[str, Attribute] | None = None,
        message_group: str | None = None,
        deduplication: str | None = None,
        delay_s: float | None = None,
        source: str | None = None,
    ) -> str:
        """Put one message into a queue; its message id.

        Args:
            url: the queue's URL.
            body: its text.
            attributes: its message attributes.
            message_group: FIFO.
            deduplication: FIFO.
            delay_s: how long it is hidden at first, in seconds; None: the queue's own delay.
            source: ARN of the queue that SQS moved it from; None: a producer sent it.
        """
        queue, now = self._queue(url), self._clock()
        message = Message(
            id="",
            body=body,
            attributes=tuple(sorted((attributes or {}).items())),
            message_group=message_group,
            deduplication=deduplication,
            source=source,
        )
        wait_s = queue.delay_s if delay_s is None or queue.facts.fifo else delay_s
        if problem := fault_of(queue.facts, message, wait_s):
            raise RefusedError(f"queue {url}: {problem}")
        return queue.enqueue(message, self._next_number, wait_s, now)

    def hand_over(self, url: str, message: Message, visibility_s: float = 30.0) -> str:
        """Put a message that a poller has just received, whole and with its id; the receipt that the poller got."""
        queue, now = self._queue(url), self._clock()
        number = next(self._numbers)
        receipt = f"{number}:{max(1, message.receive_count)}"
        queue.add(HeldMessage(message, number, now, now + visibility_s, max(1, message.receive_count), receipt))
        queue.activate(now)
        return receipt

    def urls(self) -> tuple[str, ...]:
        """Every queue there is."""
        return tuple(self._queues)

    def messages(self, url: str) -> tuple[Message, ...]:
        """Every message in a queue, hidden ones included; none is received by this."""
        queue = self._queue(url)
        queue.expire(self._clock())
        return tuple(as_received(held) for held in queue.held.values())

    # ----------------------------------------------------------------- what CloudWatch would know

    def counts(self, url: str, since: float, until: float) -> tuple[Series, Series, Series] | None:
        """Sent, received and deleted per minute between two times, whole minutes only; None if none is over yet."""
        return self._queue(url).counts(since, until)

    def oldest_age_s(self, url: str, at: float) -> float | None:
        """The age of the oldest message at a time, at most ten minutes ago; None before any activity."""
        return self._queue(url).oldest_age_s(at, self._clock())

    # ----------------------------------------------------------------- the port

    def read(self, queue_url: str, now: float) -> QueueReading:
        """Visible, in flight and delayed, counted exactly."""
        queue = self._queue(queue_url)
        queue.expire(now)
        hidden = [held for held in queue.held.values() if held.visible_at > now]
        in_flight = sum(1 for held in hidden if held.receipt)
        return QueueReading(
            visible=Reading(len(queue.held) - len(hidden), now),
            in_flight=Reading(in_flight, now),
            delayed=Reading(len(hidden) - in_flight, now),
            retention_s=queue.facts.retention_s,
            visibility_s=queue.facts.visibility_s,
        )

    def read_all(self, queue_urls: Sequence[str], now: float) -> tuple[QueueReading | PortError, ...]:
        """Each in turn."""
        return tuple(answer_of(partial(self.read, url, now)) for url in queue_urls)

    def facts(self, queue_url: str) -> QueueFacts:
        """What the queue is."""
        return self._queue(queue_url).facts

    def receive(self, queue_url: str, limit: int, visibility_s: float, wait_s: float = 0.0) -> tuple[Message, ...]:  # noqa: ARG002 (the port's)
        """Up to so many visible messages, in order; moves to the dead-letter queue what was received too often."""
        queue, now = self._queue(queue_url), self._clock()
        check_visibility(visibility_s)
        queue.expire(now)
        may_be_full = len(queue.held) >= MAX_IN_FLIGHT  # else none is counted, at each receive
        if may_be_full and sum(1 for held in queue.held.values() if held.in_flight(now)) >= MAX_IN_FLIGHT:
            raise TryLaterError(f"OverLimit: queue {queue_url} has {MAX_IN_FLIGHT} messages in flight")
        received: list[Message] = []
        for held in queue.receivable(now):
            if queue.max_receive_count is not None and held.receive_count >= queue.max_receive_count:
                self._dead_letter(queue, held, now)
                continue
            held.receive_count += 1
            held.receipt = f"{held.order}:{held.receive_count}"
            held.visible_at = now + visibility_s
            received.append(as_received(held))
            queue.received[math.floor(now / COUNTING_PERIOD_S)] += 1
            if len(received) >= max(limit, 1):
                break
        return tuple(received)

    def send(self, queue_url: str, messages: Sequence[Message], delay_s: Sequence[float]) -> BatchAnswer:
        """Send copies, each judged by itself; on FIFO queues each message's id is what deduplicates it."""
        queue, now = self._queue(queue_url), self._clock()
        done: set[int] = set()
        failed: dict[int, str] = {}
        refused: set[int] = set()
        held_back: set[str] = set()
        for index, (message, wait_s) in enumerate(zip(messages, delay_s, strict=True)):
            entry, wait_s_here = message, float(math.ceil(wait_s))
            if queue.facts.fifo:
                entry, wait_s_here = replace(message, deduplication=f"sluice:{message.id}"), queue.delay_s
            if message.message_group in held_back:
                failed[index] = EARLIER_FAILED
            elif problem := fault_of(queue.facts, entry, wait_s_here):
                failed[index] = problem
                refused.add(index)
                if queue.facts.fifo and message.message_group is not None:
                    held_back.add(message.message_group)
            else:
                fresh = entry if entry.source is None else replace(entry, source=None)
                queue.enqueue(fresh, self._next_number, wait_s_here, now)
                done.add(index)
        return BatchAnswer(frozenset(done), failed, frozenset(refused))

    def delete(self, queue_url: str, receipts: Sequence[str]) -> BatchAnswer:
        """Delete what the receipts stand for; on FIFO queues an expired receipt fails."""
        queue, now = self._queue(queue_url), self._clock()
        done: set[int] = set()
        failed: dict[int, str] = {}
        for index, receipt in enumerate(receipts):
            if order_of(receipt) is None:
                failed[index] = f"ReceiptHandleIsInvalid: {receipt[:80]!r} is not a receipt of this queue"
                continue
            held = queue.holding(receipt)
            if held and queue.facts.fifo and not held.in_flight(now):
                failed[index] = "InvalidParameterValue: the receipt handle has expired"
                continue
            queue.deleted[math.floor(now / COUNTING_PERIOD_S)] += 1
            done.add(index)
            if held:
                queue.remove(held, now)
        return BatchAnswer(frozenset(done), failed, frozenset(failed))

    def hide(self, queue_url: str, receipt: str, seconds: float) -> bool:
        """Set a message's visibility timeout from now; False unless it is in flight under this receipt."""
        queue, now = self._queue(queue_url), self._clock()
        check_visibility(seconds)
        held = queue.holding(receipt)
        if held is None or not held.in_flight(now):
            return False
        held.visible_at = now + seconds
        return True

    def hold(self, queue_url: str, receipts: Sequence[str], seconds: float) -> BatchAnswer:
        """Set the visibility timeouts of messages, as `hide` does of one."""
        done: set[int] = set()
        failed: dict[int, str] = {}
        for index, receipt in enumerate(receipts):
            if self.hide(queue_url, receipt, seconds):
                done.add(index)
            elif order_of(receipt) is None:
                failed[index] = "ReceiptHandleIsInvalid: The input receipt handle is invalid."
            else:
                failed[index] = "MessageNotInflight: The specified message isn't in flight."
        return BatchAnswer(frozenset(done), failed, frozenset(failed))

    def rounds(self, count: int) -> Sequence[Sequence[int]]:
        """As few as can be claimed, of one part each: in memory no call waits for anything."""
        return [(min(BATCH_CLAIM_MAX, count - start),) for start in range(0, max(count, 1), BATCH_CLAIM_MAX)]

    def begin[Result](self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Do it at once, as nothing in memory knows threads; what it raised is raised to whoever waits for it."""
        done: Future[Result] = Future()
        try:
            done.set_result(work())
        except Exception as error:  # a crash ends the caller as well
            done.set_exception(error)
        return done.result

    # ----------------------------------------------------------------- move tasks

    def start_move(self, queue_url: str, to_arn: str, rate_per_s: int) -> str:
        """Begin to move what is visible; the task goes on with every later call about any queue."""
        source, now = self._queue(queue_url), self._clock()
        if not any(queue.facts.dead_letter_arn == source.facts.arn for queue in self._queues.values()):
            raise RefusedError(f"InvalidParameterValue: queue {queue_url} is no dead-letter queue")
        if not 1 <= rate_per_s <= MOVE_MAX_PER_S:
            raise RefusedError(f"InvalidParameterValue: a rate is 1 to {MOVE_MAX_PER_S} a second, not {rate_per_s}")
        target = next((queue for queue in self._queues.values() if queue.facts.arn == to_arn), None)
        if target is None:
            raise NeedsFixError(f"queue {to_arn} does not exist: create it")
        return self._moves.start(source, target, rate_per_s, now)

    def moves(self, queue_url: str) -> tuple[MoveTask, ...]:
        """The move tasks of a queue, newest first."""
        return self._moves.of(self._queue(queue_url))

    def cancel_move(self, handle: str) -> bool:
        """Stop a move task."""
        self._moves.advance(self._clock())
        return self._moves.cancel(handle)

    # ----------------------------------------------------------------- inside

    def _next_number(self) -> int:
        return next(self._numbers)

    def _queue(self, url: str) -> QueueState:
        """A queue, after the move tasks have gone on."""
        self._moves.advance(self._clock())
        try:
            return self._queues[url]
        except KeyError:
            raise NeedsFixError(f"queue {url} does not exist: create it, or correct the fleet's document") from None

    def _dead_letter(self, queue: QueueState, held: HeldMessage, now: float) -> None:
        """Move a message, uncounted, to the dead-letter queue: id, receives and (standard) first sending stay."""
        queue.remove(held, now)
        target = next((q for q in self._queues.values() if q.facts.arn == queue.facts.dead_letter_arn), None)
        if target is None:  # the dead-letter queue was deleted: SQS drops the message likewise
            return
        first = now if target.facts.fifo else held.message.first_sent_at
        moved = replace(held.message, first_sent_at=first, source=queue.facts.arn)
        target.activate(now)
        target.add(HeldMessage(moved, next(self._numbers), now, now, held.receive_count))
