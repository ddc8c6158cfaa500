"""One SQS queue in memory: its messages in order, who may receive them, and what CloudWatch counts of it."""

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sluice.model.frozen import replace
from sluice.model.observed import Series
from sluice.model.redriving import Message
from sluice.ports.aws_services import QueueFacts

DEDUPLICATION_S = 300.0
# A message that was received more often no longer counts as the oldest:
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
OLDEST_RECEIVES = 3
COUNTING_PERIOD_S = 60.0
REMEMBERED_S = 600.0  # how long the age of a message that is gone is known: longer than any metric is late


@dataclass(slots=True)
class HeldMessage:
    """One message in one queue."""

    message: Message
    order: int
    arrived_at: float
    visible_at: float
    receive_count: int = 0
    receipt: str = ""

    def in_flight(self, now: float) -> bool:
        """Whether it was received and is hidden."""
        return bool(self.receipt) and self.visible_at > now


@dataclass(slots=True)
class QueueState:
    """One queue: its settings, its messages in order, and what CloudWatch would count."""

    facts: QueueFacts
    delay_s: float
    max_receive_count: int | None
    held: dict[int, HeldMessage] = field(default_factory=dict)
    recent: dict[str, tuple[float, str]] = field(default_factory=dict)  # deduplication id -> (sent at, message id)
    sent: Counter[int] = field(default_factory=Counter)
    received: Counter[int] = field(default_factory=Counter)
    deleted: Counter[int] = field(default_factory=Counter)
    gone: list[tuple[float, float]] = field(default_factory=list)  # (arrived at, gone at), REMEMBERED_S back
    active_at: float | None = None
    sweep_at: float = math.inf  # when the next message outlives its retention

    def age_origin(self, held: HeldMessage) -> float:
        """When retention begins: at the first sending on standard queues, at the arrival on FIFO queues."""
        first = held.message.first_sent_at
        return held.arrived_at if self.facts.fifo or first is None else first

    def add(self, held: HeldMessage) -> None:
        """Put a message in as it is."""
        self.held[held.order] = held
        self.sweep_at = min(self.sweep_at, self.age_origin(held) + self.facts.retention_s)

    def remove(self, held: HeldMessage, now: float) -> None:
        """Take a message out."""
        del self.held[held.order]
        self.gone.append((held.arrived_at, now))

    def expire(self, now: float) -> None:
        """Drop what has outlived the retention period, as SQS does."""
        if now < self.sweep_at:
            return
        for held in list(self.held.values()):
            if self.age_origin(held) + self.facts.retention_s <= now:
                self.remove(held, now)
        self.sweep_at = min((self.age_origin(h) + self.facts.retention_s for h in self.held.values()), default=math.inf)

    def receivable(self, now: float) -> Iterator[HeldMessage]:
        """Visible messages in order.

        On FIFO queues none of a message group with one in flight or delayed, and all of one message group before the
        next: SQS gives as many of one as it can.
        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
        """
        visible = [held for held in self.held.values() if held.visible_at <= now]
        if self.facts.fifo:
            locked = {h.message.message_group for h in self.held.values() if h.visible_at > now}
            visible = [held for held in visible if held.message.message_group not in locked]
            places: dict[str | None, int] = {}
            for place, held in enumerate(visible):
                places.setdefault(held.message.message_group, place)
            visible.sort(key=lambda held: places[held.message.message_group])
        yield from visible

    def holding(self, receipt: str) -> HeldMessage | None:
        """The message that was last received under a receipt, if it is still here."""
        held = self.held.get(order_of(receipt) or 0)
        return held if held and held.receipt == receipt else None

    def enqueue(self, message: Message, next_number: Callable[[], int], wait_s: float, now: float) -> str:
        """Put a new message in, under the next number.

        Returns:
            Its id. A duplicate within five minutes changes nothing, and is answered with the first one's id.
        """
        self.recent = {key: sent for key, sent in self.recent.items() if sent[0] > now - DEDUPLICATION_S}
        if self.facts.fifo and message.deduplication in self.recent:
            return self.recent[message.deduplication][1]
        number = next_number()
        fresh = replace(message, id=f"{number:08x}-0000-4000-8000-{number:012x}", first_sent_at=now)
        self.add(HeldMessage(fresh, number, now, now + wait_s))
        self.sent[math.floor(now / COUNTING_PERIOD_S)] += 1
        self.activate(now)
        if self.facts.fifo and fresh.deduplication is not None:
            self.recent[fresh.deduplication] = (now, fresh.id)
        return fresh.id

    def activate(self, now: float) -> None:
        """CloudWatch has metrics of a queue from its first activity on."""
        self.active_at = now if self.active_at is None else self.active_at

    def counts(self, since: float, until: float) -> tuple[Series, Series, Series] | None:
        """Sent, received and deleted by the minute, whole minutes only; None if none is over yet."""
        if self.active_at is None:
            return None
        first = max(math.ceil(since / COUNTING_PERIOD_S), math.floor(self.active_at / COUNTING_PERIOD_S))
        minutes = range(first, math.floor(until / COUNTING_PERIOD_S))
        if not minutes:
            return None

        def series(counter: Counter[int]) -> Series:
            return Series(COUNTING_PERIOD_S, tuple((m * COUNTING_PERIOD_S, float(counter[m])) for m in minutes))

        return series(self.sent), series(self.received), series(self.deleted)

    def oldest_age_s(self, at: float, now: float) -> float | None:
        """The age of the oldest message at a time, at most REMEMBERED_S ago; None before any activity."""
        if self.active_at is None or self.active_at > at:
            return None
        self.expire(now)
        self.gone = [(arrived, gone) for arrived, gone in self.gone if gone > now - REMEMBERED_S]
        here = (h.arrived_at for h in self.held.values() if h.receive_count <= OLDEST_RECEIVES)
        then = (arrived for arrived, gone in self.gone if gone > at)
        return max((at - arrived for arrived in itertools.chain(here, then) if arrived <= at), default=0.0)


def as_received(held: HeldMessage) -> Message:
    """A message as a consumer receives it."""
    return replace(held.message, receipt=held.receipt, receive_count=held.receive_count)


def order_of(receipt: str) -> int | None:
    """The number inside a receipt; None for a text that is no receipt of these queues."""
    order, _, count = receipt.partition(":")
    return int(order) if order.isdecimal() and count.isdecimal() else None
