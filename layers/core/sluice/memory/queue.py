"""SQS queues in memory: visibility, receive counts, delays, dead-lettering, FIFO locks and deduplication.

Approximate figures are exact here and receiving keeps the order of sending even on standard queues, so that tests
repeat themselves. What SQS leaves open is settled on the harsher side: a receipt that a later receive has replaced
deletes nothing, though the answer says that it did.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from sluice.memory.clock import Clock
from sluice.model.observed import QueueReading, Reading, Series
from sluice.model.redriving import Attribute, Message, MoveTask
from sluice.ports.aws_services import HELD_BACK, MOVE_MAX_PER_S, BatchAnswer, QueueFacts
from sluice.ports.errors import NeedsFixError, PortError, RefusedError, TryLaterError, answer_of
from sluice.ports.ledger.send_claims import BATCH_CLAIM_MAX

# Quotas: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_ATTRIBUTES = 10
MAX_BYTES = 1_048_576
MAX_DELAY_S = 900.0
MAX_VISIBILITY_S = 43_200.0
MAX_IN_FLIGHT = 120_000
DEDUPLICATION_S = 300.0
MOVES_LISTED = 10
# Past this many receives a message no longer counts as the oldest:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
OLDEST_RECEIVES = 3
DEFAULT_RETENTION_S = 345_600.0
COUNTING_PERIOD_S = 60.0
REMEMBERED_S = 600.0  # how long a message that has gone still tells of its age: above any metric delay in use

ACCOUNT = "000000000000"
REGION = "local"


def queue_url(name: str) -> str:
    """The URL of a queue of that name in memory."""
    return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"


@dataclass(slots=True)
class _Held:
    """One message in one queue."""

    message: Message
    order: int
    arrived_at: float
    visible_at: float
    receive_count: int = 0
    receipt: str = ""

    def in_flight(self, now: float) -> bool:
        return bool(self.receipt) and self.visible_at > now

    def delayed(self, now: float) -> bool:
        return not self.receipt and self.visible_at > now


@dataclass(slots=True)
class _Queue:
    """One queue: its settings, its messages in order, and what CloudWatch would count."""

    facts: QueueFacts
    delay_s: float
    max_receive_count: int | None
    held: dict[int, _Held] = field(default_factory=dict)
    recent: dict[str, tuple[float, str]] = field(default_factory=dict)  # deduplication id -> (sent at, message id)
    sent: Counter[int] = field(default_factory=Counter)
    received: Counter[int] = field(default_factory=Counter)
    deleted: Counter[int] = field(default_factory=Counter)
    gone: list[tuple[float, float]] = field(default_factory=list)  # (arrived at, gone at) of those lately gone
    active_at: float | None = None
    sweep_at: float = math.inf  # when the next message outlives its retention

    def age_origin(self, held: _Held) -> float:
        """From when retention runs: the first sending on standard queues, the arrival on FIFO queues."""
        first = held.message.first_sent_at
        return held.arrived_at if self.facts.fifo or first is None else first

    def add(self, held: _Held) -> None:
        self.held[held.order] = held
        self.sweep_at = min(self.sweep_at, self.age_origin(held) + self.facts.retention_s)

    def remove(self, held: _Held, now: float) -> None:
        del self.held[held.order]
        self.gone.append((held.arrived_at, now))

    def expire(self, now: float) -> None:
        """Drop what has outlived the retention period, as SQS does without a word."""
        if now < self.sweep_at:
            return
        for held in list(self.held.values()):
            if self.age_origin(held) + self.facts.retention_s <= now:
                self.remove(held, now)
        self.sweep_at = min((self.age_origin(h) + self.facts.retention_s for h in self.held.values()), default=math.inf)


@dataclass(slots=True)
class _Move:
    """One message move task."""

    source: _Queue
    target: _Queue
    rate_per_s: int
    handle: str
    started_at: float
    stepped_at: float
    running: bool = True
    moved_count: int = 0
    cancelled: bool = False


class MemoryQueue:
    """The Queue port over queues made by `create`. `wait_s` is not waited for: nothing arrives meanwhile."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queues: dict[str, _Queue] = {}
        self._numbers = itertools.count(1)
        self._moves: list[_Move] = []

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
        )
        self._queues[url] = _Queue(facts, delay_s, max_receive_count if target else None)
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
    ) -> str:
        """Send one message as a producer does; its message id. `delay_s` None: the queue's own delay."""
        queue, now = self._queue(url), self._clock()
        message = Message(
            id="",
            body=body,
            attributes=tuple(sorted((attributes or {}).items())),
            message_group=message_group,
            deduplication=deduplication,
        )
        wait_s = queue.delay_s if delay_s is None or queue.facts.fifo else delay_s
        if problem := _fault(queue.facts, message, wait_s):
            raise RefusedError(f"queue {url}: {problem}")
        return self._enqueue(queue, message, wait_s, now)

    def hand_over(self, url: str, message: Message, visibility_s: float = 30.0) -> str:
        """Put a message that a poller has just received, whole and with its id; the receipt that the poller got."""
        queue, now = self._queue(url), self._clock()
        number = next(self._numbers)
        receipt = f"{number}:{max(1, message.receive_count)}"
        queue.add(_Held(message, number, now, now + visibility_s, max(1, message.receive_count), receipt))
        queue.active_at = now if queue.active_at is None else queue.active_at
        return receipt

    def urls(self) -> tuple[str, ...]:
        """Every queue there is."""
        return tuple(self._queues)

    def messages(self, url: str) -> tuple[Message, ...]:
        """Every message in a queue, seen or unseen, without touching it."""
        queue = self._queue(url)
        queue.expire(self._clock())
        return tuple(_as_received(held) for held in queue.held.values())

    # ----------------------------------------------------------------- what CloudWatch would know

    def counts(self, url: str, since: float, until: float) -> tuple[Series, Series, Series] | None:
        """Sent, received and deleted per minute between two times, whole minutes only; None if none is over yet."""
        queue = self._queue(url)
        if queue.active_at is None:
            return None
        first = max(math.ceil(since / COUNTING_PERIOD_S), math.floor(queue.active_at / COUNTING_PERIOD_S))
        minutes = range(first, math.floor(until / COUNTING_PERIOD_S))
        if not minutes:
            return None

        def series(counter: Counter[int]) -> Series:
            return Series(COUNTING_PERIOD_S, tuple((m * COUNTING_PERIOD_S, float(counter[m])) for m in minutes))

        return series(queue.sent), series(queue.received), series(queue.deleted)

    def oldest_age_s(self, url: str, at: float) -> float | None:
        """The age of the oldest message at a time, at most ten minutes ago; None before any activity."""
        queue, now = self._queue(url), self._clock()
        if queue.active_at is None or queue.active_at > at:
            return None
        queue.expire(now)
        queue.gone = [(arrived, gone) for arrived, gone in queue.gone if gone > now - REMEMBERED_S]
        here = (h.arrived_at for h in queue.held.values() if h.receive_count <= OLDEST_RECEIVES)
        then = (arrived for arrived, gone in queue.gone if gone > at)
        return max((at - arrived for arrived in itertools.chain(here, then) if arrived <= at), default=0.0)

    # ----------------------------------------------------------------- the port

    def read(self, queue_url: str, now: float) -> QueueReading:
        """Visible, in flight and delayed, counted exactly."""
        queue = self._queue(queue_url)
        queue.expire(now)
        in_flight = sum(1 for held in queue.held.values() if held.in_flight(now))
        delayed = sum(1 for held in queue.held.values() if held.delayed(now))
        return QueueReading(
            visible=Reading(len(queue.held) - in_flight - delayed, now),
            in_flight=Reading(in_flight, now),
            delayed=Reading(delayed, now),
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
        _check_visibility(visibility_s)
        queue.expire(now)
        if sum(1 for held in queue.held.values() if held.in_flight(now)) >= MAX_IN_FLIGHT:
            raise TryLaterError(f"OverLimit: queue {queue_url} has {MAX_IN_FLIGHT} messages in flight")
        received: list[Message] = []
        for held in self._receivable(queue, now):
            if queue.max_receive_count is not None and held.receive_count >= queue.max_receive_count:
                self._dead_letter(queue, held, now)
                continue
            held.receive_count += 1
            held.receipt = f"{held.order}:{held.receive_count}"
            held.visible_at = now + visibility_s
            received.append(_as_received(held))
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
                failed[index] = HELD_BACK
            elif problem := _fault(queue.facts, entry, wait_s_here):
                failed[index] = problem
                refused.add(index)
                if queue.facts.fifo and message.message_group is not None:
                    held_back.add(message.message_group)
            else:
                self._enqueue(queue, entry, wait_s_here, now)
                done.add(index)
        return BatchAnswer(frozenset(done), failed, frozenset(refused))

    def delete(self, queue_url: str, receipts: Sequence[str]) -> BatchAnswer:
        """Delete what the receipts stand for; on FIFO queues an expired receipt fails."""
        queue, now = self._queue(queue_url), self._clock()
        done: set[int] = set()
        failed: dict[int, str] = {}
        for index, receipt in enumerate(receipts):
            if _order(receipt) is None:
                failed[index] = f"ReceiptHandleIsInvalid: {receipt[:80]!r} is not a receipt of this queue"
                continue
            held = self._holding(queue, receipt)
            if held and queue.facts.fifo and not held.in_flight(now):
                failed[index] = "InvalidParameterValue: the receipt handle has expired"
                continue
            queue.deleted[math.floor(now / COUNTING_PERIOD_S)] += 1
            done.add(index)
            if held:
                queue.remove(held, now)
        return BatchAnswer(frozenset(done), failed, frozenset(failed))

    def hide(self, queue_url: str, receipt: str, seconds: float) -> bool:
        """Set a message's visibility timeout anew, from now; False unless it is in flight under this receipt."""
        queue, now = self._queue(queue_url), self._clock()
        _check_visibility(seconds)
        held = self._holding(queue, receipt)
        if held is None or not held.in_flight(now):
            return False
        held.visible_at = now + seconds
        return True

    def hold(self, queue_url: str, receipts: Sequence[str], seconds: float) -> BatchAnswer:
        """Set the visibility timeouts of messages anew, as `hide` does of one."""
        done: set[int] = set()
        failed: dict[int, str] = {}
        for index, receipt in enumerate(receipts):
            if self.hide(queue_url, receipt, seconds):
                done.add(index)
            elif _order(receipt) is None:
                failed[index] = "ReceiptHandleIsInvalid: The input receipt handle is invalid."
            else:
                failed[index] = "MessageNotInflight: The specified message isn't in flight."
        return BatchAnswer(frozenset(done), failed, frozenset(failed))

    def shares(self, count: int) -> Sequence[int]:
        """As few as can be claimed: here no call waits for anything."""
        return [min(BATCH_CLAIM_MAX, count - start) for start in range(0, max(count, 1), BATCH_CLAIM_MAX)]

    def side_by_side[Result](self, works: Sequence[Callable[[], Result]]) -> list[Result]:
        """One after another, all of them, as nothing in memory knows threads."""
        results: list[Result] = []
        errors: list[Exception] = []
        for work in works:
            try:
                results.append(work())
            except Exception as error:  # it is raised, once all have ended
                errors.append(error)
        if errors:
            raise errors[0]
        return results

    # ----------------------------------------------------------------- move tasks

    def start_move(self, queue_url: str, to_arn: str, rate_per_s: int) -> str:
        """Begin to move what is visible; it goes on whenever a queue is looked at."""
        source, now = self._queue(queue_url), self._clock()
        if not any(queue.facts.dead_letter_arn == source.facts.arn for queue in self._queues.values()):
            raise RefusedError(f"InvalidParameterValue: queue {queue_url} is no dead-letter queue")
        if not 1 <= rate_per_s <= MOVE_MAX_PER_S:
            raise RefusedError(f"InvalidParameterValue: a rate is 1 to {MOVE_MAX_PER_S} a second, not {rate_per_s}")
        if any(move.running and move.source is source for move in self._moves):
            raise RefusedError("UnsupportedOperation: there is already a task running")
        target = next((queue for queue in self._queues.values() if queue.facts.arn == to_arn), None)
        if target is None:
            raise NeedsFixError(f"queue {to_arn} does not exist: create it")
        self._moves.insert(0, _Move(source, target, rate_per_s, f"move-{next(self._numbers)}", now, now))
        return self._moves[0].handle

    def moves(self, queue_url: str) -> tuple[MoveTask, ...]:
        """The move tasks of a queue, newest first."""
        source = self._queue(queue_url)
        return tuple(
            MoveTask(
                move.started_at,
                move.running,
                move.moved_count,
                move.handle if move.running else None,
                cancelled=move.cancelled,
            )
            for move in self._moves
            if move.source is source
        )[:MOVES_LISTED]

    def cancel_move(self, handle: str) -> bool:
        """Stop a move task."""
        self._advance_moves()
        move = next((move for move in self._moves if move.handle == handle and move.running), None)
        if move:
            move.running, move.cancelled = False, True
        return move is not None

    def _advance_moves(self) -> None:
        """Move what each running task may have moved by now: as new messages, older first."""
        now = self._clock()
        for move in self._moves:
            if not move.running:
                continue
            allowed = int((now - move.stepped_at) * move.rate_per_s)
            visible = list(self._receivable(move.source, now))
            for held in visible[:allowed]:
                move.source.remove(held, now)
                self._enqueue(move.target, replace(held.message, deduplication=f"moved:{held.order}"), 0.0, now)
                move.moved_count += 1
            if allowed:
                move.stepped_at = now
            move.running = len(visible) > allowed

    # ----------------------------------------------------------------- inside

    def _queue(self, url: str) -> _Queue:
        if any(move.running for move in self._moves):
            self._advance_moves()
        try:
            return self._queues[url]
        except KeyError:
            raise NeedsFixError(f"queue {url} does not exist: create it, or correct the fleet's document") from None

    def _enqueue(self, queue: _Queue, message: Message, wait_s: float, now: float) -> str:
        """Put a message in; its id. A duplicate within five minutes answers with the first one's id."""
        queue.recent = {key: sent for key, sent in queue.recent.items() if sent[0] > now - DEDUPLICATION_S}
        if queue.facts.fifo and message.deduplication in queue.recent:
            return queue.recent[message.deduplication][1]
        number = next(self._numbers)
        fresh = replace(message, id=f"{number:08x}-0000-4000-8000-{number:012x}", first_sent_at=now, source=None)
        queue.add(_Held(fresh, number, now, now + wait_s))
        queue.sent[math.floor(now / COUNTING_PERIOD_S)] += 1
        queue.active_at = now if queue.active_at is None else queue.active_at
        if queue.facts.fifo and fresh.deduplication is not None:
            queue.recent[fresh.deduplication] = (now, fresh.id)
        return fresh.id

    def _receivable(self, queue: _Queue, now: float) -> Iterator[_Held]:
        """Visible messages in order; on FIFO queues none of a message group with one in flight or delayed."""
        locked = (
            {h.message.message_group for h in queue.held.values() if h.visible_at > now} if queue.facts.fifo else set()
        )
        for held in list(queue.held.values()):
            if held.visible_at <= now and held.message.message_group not in locked:
                yield held

    def _dead_letter(self, queue: _Queue, held: _Held, now: float) -> None:
        """Move a message, uncounted, to the dead-letter queue: id, receives and (standard) first sending stay."""
        queue.remove(held, now)
        target = next((q for q in self._queues.values() if q.facts.arn == queue.facts.dead_letter_arn), None)
        if target is None:  # the dead-letter queue was deleted: SQS drops the message likewise
            return
        first = now if target.facts.fifo else held.message.first_sent_at
        moved = replace(held.message, first_sent_at=first, source=queue.facts.arn)
        target.active_at = now if target.active_at is None else target.active_at
        target.add(_Held(moved, next(self._numbers), now, now, held.receive_count))

    def _holding(self, queue: _Queue, receipt: str) -> _Held | None:
        held = queue.held.get(_order(receipt) or 0)
        return held if held and held.receipt == receipt else None


def _as_received(held: _Held) -> Message:
    return replace(held.message, receipt=held.receipt, receive_count=held.receive_count)


def _order(receipt: str) -> int | None:
    """The number inside a receipt, or None if it is none of ours."""
    order, _, count = receipt.partition(":")
    return int(order) if order.isdecimal() and count.isdecimal() else None


def _check_visibility(seconds: float) -> None:
    if not 0 <= seconds <= MAX_VISIBILITY_S:
        raise RefusedError(
            f"InvalidParameterValue: a visibility timeout is 0 to {MAX_VISIBILITY_S:g} s, not {seconds:g}"
        )


def _fault(facts: QueueFacts, message: Message, wait_s: float) -> str | None:
    """Why SQS would refuse a message, or None."""
    size, count = message.size_bytes, len(message.attributes)
    faults = (
        (not message.body, "MissingParameter: a message must have a body"),
        (size > facts.max_bytes, f"InvalidParameterValue: a message has at most {facts.max_bytes} bytes, not {size}"),
        (
            count > MAX_ATTRIBUTES,
            f"InvalidParameterValue: a message has at most {MAX_ATTRIBUTES} attributes, not {count}",
        ),
        (not 0 <= wait_s <= MAX_DELAY_S, f"InvalidParameterValue: a delay is 0 to {MAX_DELAY_S:g} s, not {wait_s:g}"),
        (facts.fifo and message.message_group is None, "MissingParameter: a FIFO queue asks for a message group"),
        (
            facts.fifo and message.deduplication is None,
            "InvalidParameterValue: a FIFO queue asks for a deduplication id",
        ),
    )
    return next((text for wrong, text in faults if wrong), None)
