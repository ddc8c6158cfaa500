"""Waiting messages by age, and a simulated fleet that works on them: a fluid, exact between events.

A message's wait is the horizontal distance between the curves of what arrived and what was started. Units take waiting
messages into free places at once, then as places become free: n units with k places each complete n m a second while
all are taken; otherwise a place becomes free after k / m seconds on average. Nothing is random: neither messages nor
launches vary.

Of several queues a higher priority is served first. Queues of the same priority are served in turn: each has an equal
share of what is free, and what one has no messages for goes to the others. So a queue with fewer arrivals than its
share does not wait, whatever waits in the others.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import exp, inf, log

from sluice.model.frozen import dataclass
from sluice.model.shadow import Batch, ShadowFleet
from sluice.planning.launch_cost import MINIMUM_BILLING_S
from sluice.planning.shadow.scorecard import DIGITS, TallyBuilder

NONE = 1e-6  # messages or places: fewer are rounding
DUST = 1e-9  # messages: a batch with fewer is used up
BATCHES_MOST = 24  # a bound on the ledger's record: the shortest neighbours are merged beyond it
LEAVING_MOST = 30  # a bound on the ledger's record: the oldest drains under way are merged beyond it
LAUNCHES_MOST = 60  # a bound on the ledger's record: the newest launches under way are merged beyond it


class WaitingMessages:
    """Messages that wait in one queue, oldest first; several queues of a fleet are numbered."""

    def __init__(self, pieces: Iterable[Batch] = (), queue: int = 0) -> None:
        self._queue = queue
        self._pieces: deque[Batch] = deque(pieces)
        self.count = sum(piece[2] for piece in self._pieces)

    @property
    def oldest_at(self) -> float | None:
        """When the oldest arrived, in epoch seconds; None where none waits."""
        return self._pieces[0][0] if self._pieces else None

    def add(self, came_from: float, came_until: float, messages: float) -> None:
        """Add messages that arrived evenly between two moments, after all that wait."""
        if messages > 0.0:
            self._pieces.append((came_from, came_until, messages))
            self.count += messages

    def take(self, messages: float, start_from: float, start_until: float, tally: TallyBuilder | None) -> None:
        """Start the oldest, evenly between two moments."""
        left = messages = min(messages, self.count)
        pieces = self._pieces
        while left > 0.0 and pieces:
            came_from, came_until, count = pieces[0]
            some = min(left, count)
            came_to = came_from + (came_until - came_from) * some / count
            if tally is not None:
                start = start_from + (start_until - start_from) * (messages - left) / messages
                end = start_from + (start_until - start_from) * (messages - left + some) / messages
                tally.note(max(0.0, start - came_from), max(0.0, end - came_to), some, self._queue)
            left -= some
            if count - some <= DUST:
                pieces.popleft()
            else:
                pieces[0] = (came_to, came_until, count - some)
        self.count = max(0.0, self.count - messages) if pieces else 0.0

    def to_record(self) -> tuple[Batch, ...]:
        """As the ledger keeps it: too many batches are merged, neighbours that are together the shortest first."""
        pieces = [(round(a, DIGITS), round(b, DIGITS), round(n, DIGITS)) for a, b, n in self._pieces]
        pieces = [piece for piece in pieces if piece[2] > 0.0]
        while len(pieces) > BATCHES_MOST:
            spans = [after[1] - before[0] for before, after in pairwise(pieces)]
            at = spans.index(min(spans))
            pieces[at : at + 2] = [(pieces[at][0], pieces[at + 1][1], pieces[at][2] + pieces[at + 1][2])]
        return tuple(pieces)


@dataclass(frozen=True, slots=True)
class FleetSpeed:
    """How fast the simulated fleet works, by what was learned of the real one."""

    rate_per_s: float  # messages that one unit completes a second (m)
    places: float  # messages that one unit works on at once (k)
    lead_s: float  # launch to first message
    drain_s: float | None  # seconds that a real unit takes to drain; None: none was seen


class SimulatedFleet:
    """A fleet that works on one queue or several. Moments, in epoch seconds, never go back.

    `queue` is its only queue, or the first of several; `queues` has all of them.
    """

    def __init__(self, fleet: ShadowFleet, speed: FleetSpeed, priorities: Sequence[int] = (0,)) -> None:
        self.desired = fleet.desired
        self.in_flight = fleet.in_flight
        self.queues = queues_of(fleet.waiting, fleet.others)
        self.queue = self.queues[0]
        ranks = sorted(set(priorities), reverse=True)
        self._ranks = [[queue for queue, own in enumerate(priorities) if own == rank] for rank in ranks]
        self.launches = list(fleet.launches)
        self._speed = speed
        self._settled = fleet.working
        self._leaving = list(fleet.leaving)

    def working(self, at: float) -> float:
        """Units in service."""
        return self._settled + sum(units for _, due_at, units in self.launches if due_at <= at)

    def messages_in_flight(self, at: float) -> float:
        """Messages in flight, those of units that are leaving included."""
        return self.in_flight + sum(hand for gone_at, _, hand in self._leaving if gone_at > at)

    def paid(self, at: float) -> float:
        """Units that are paid for."""
        leaving = sum(units for gone_at, units, _ in self._leaving if gone_at > at)
        return self._settled + sum(units for *_, units in self.launches) + leaving

    def order(self, at: float, want: int, tally: TallyBuilder | None) -> None:
        """Set the desired capacity: launch what is missing, or drain those longest in service first, launches last."""
        self.desired = want
        surplus = self._settled + sum(units for *_, units in self.launches) - want
        if surplus < 0.0:
            together = self.launches.pop()[2] if len(self.launches) >= LAUNCHES_MOST else 0.0
            self.launches.append((at, at + self._speed.lead_s, together - surplus))
            if tally is not None:
                tally.launches -= surplus
            return
        going = min(surplus, self._settled)
        self._leave(at, going, at, in_service=True)
        self._settled -= going
        surplus -= going
        in_service = [entry for entry in self.launches if entry[1] <= at]
        for entry in (*in_service, *[entry for entry in reversed(self.launches) if entry[1] > at]):
            if surplus <= 0.0:
                break
            ordered_at, due_at, units = entry
            going = min(surplus, units)
            self._leave(at, going, ordered_at + MINIMUM_BILLING_S, in_service=due_at <= at)
            place = self.launches.index(entry)
            self.launches[place : place + 1] = [(ordered_at, due_at, units - going)] if going < units else []
            surplus -= going

    def _leave(self, at: float, units: float, billed_until: float, *, in_service: bool) -> None:
        """Drain units: they finish the messages that they have in flight.

        Where no drain was seen yet, it takes half of a message's time, as a share of the places taken.
        """
        if units <= 0.0:
            return
        speed, hand, gone_at = self._speed, 0.0, billed_until
        left = self.working(at) if in_service else 0.0
        if left > 0.0:
            hand = min(self.in_flight, self.in_flight * units / left)
            busy = min(1.0, hand / (units * speed.places))
            drain_s = speed.drain_s if speed.drain_s is not None else busy * speed.places / speed.rate_per_s / 2.0
            gone_at = max(billed_until, at + drain_s)
            self.in_flight -= hand
        if gone_at > at:
            self._leaving.append((gone_at, units, hand))

    def advance(
        self, since: float, until: float, came: float, tally: TallyBuilder | None, others: Sequence[float] = ()
    ) -> None:
        """Go on between two moments, in which messages arrived evenly: `came` in the first queue, and in the others."""
        per_s = [messages / (until - since) for messages in (came, *others)]
        dues = sorted({due_at for _, due_at, _ in self.launches if since < due_at < until})
        for start, end in zip([since, *dues], [*dues, until], strict=True):
            if tally is not None:
                tally.unit_s += (self._settled + sum(units for *_, units in self.launches)) * (end - start)
            self._serve(start, end, per_s, self.working(start), tally)
        if tally is not None:
            tally.unit_s += sum(units * max(0.0, min(gone_at, until) - since) for gone_at, units, _ in self._leaving)
        self._leaving = [entry for entry in self._leaving if entry[0] > until]
        old = [entry for entry in self.launches if max(entry[1], entry[0] + MINIMUM_BILLING_S) <= until]
        if old:
            self._settled += sum(units for *_, units in old)
            self.launches = [entry for entry in self.launches if entry not in old]

    def _serve(self, t: float, until: float, per_s: Sequence[float], up: float, tally: TallyBuilder | None) -> None:
        """Go on with constant arrivals and units in service."""
        places, able_per_s, come_per_s = up * self._speed.places, up * self._speed.rate_per_s, sum(per_s)
        while t < until:
            free, waits = places - self.in_flight, any(line.count > NONE for line in self.queues)
            if waits and free > NONE:
                self._fill(t, free, tally)
            elif waits or (free <= NONE and come_per_s > able_per_s):
                t = self._work(t, until, per_s, able_per_s, tally)
            else:
                t = self._pass(t, until, per_s, places, tally)

    def _fill(self, t: float, free: float, tally: TallyBuilder | None) -> None:
        """Start waiting messages in free places, at once."""
        taken = self._shared([line.count for line in self.queues], free)
        for line, some in zip(self.queues, taken, strict=True):
            line.take(some, t, t, tally)
            self.in_flight += some

    def _work(
        self, t: float, until: float, per_s: Sequence[float], able_per_s: float, tally: TallyBuilder | None
    ) -> float:
        """Start messages as places become free, until a queue is worked off; until when."""
        left_s = until - t
        wanted_per_s = [inf if line.count > NONE else come for line, come in zip(self.queues, per_s, strict=True)]
        rates = self._shared(wanted_per_s, able_per_s)
        span_s = left_s
        for line, come, rate in zip(self.queues, per_s, rates, strict=True):
            if line.count > NONE and rate > come:
                span_s = min(span_s, line.count / (rate - come))
        for line, come, rate in zip(self.queues, per_s, rates, strict=True):
            line.add(t, t + span_s, come * span_s)
            line.take(rate * span_s, t, t + span_s, tally)
            if line.count <= NONE:
                line.take(line.count, t + span_s, t + span_s, tally)
        return until if span_s >= left_s else t + span_s

    def _pass(self, t: float, until: float, per_s: Sequence[float], places: float, tally: TallyBuilder | None) -> float:
        """Start messages as they come, until all places are taken; until when."""
        each_per_s, left_s = self._speed.rate_per_s / self._speed.places, until - t
        span_s, steady = left_s, sum(per_s) / each_per_s
        if steady > places and places - self.in_flight > NONE:
            span_s = min(left_s, log((steady - self.in_flight) / (steady - places)) / each_per_s)
        if tally is not None:
            for queue, come_per_s in enumerate(per_s):
                if come_per_s > 0.0:
                    tally.note(0.0, 0.0, come_per_s * span_s, queue)
        self.in_flight = min(places, steady + (self.in_flight - steady) * exp(-each_per_s * span_s))
        if self.in_flight < NONE:
            self.in_flight = 0.0
        if span_s >= left_s:
            return until
        self.in_flight = places
        return t + span_s

    def _shared(self, wanted: Sequence[float], free: float) -> list[float]:
        """What each queue gets of what is free: higher ones first, equal ones alike, as far as each wants."""
        given = [0.0] * len(wanted)
        for rank in self._ranks:
            turns = len(rank)
            for queue in sorted(rank, key=wanted.__getitem__):
                given[queue] = min(wanted[queue], free / turns)
                free = max(0.0, free - given[queue])
                turns -= 1
        return given

    def to_record(self) -> ShadowFleet:
        """As the ledger keeps it."""
        leaving = self._leaving
        if len(leaving) > LEAVING_MOST:
            old = leaving[: len(leaving) - LEAVING_MOST + 1]
            gone_at = max(entry[0] for entry in old)
            leaving = [(gone_at, sum(e[1] for e in old), sum(e[2] for e in old)), *leaving[len(old) :]]
        return ShadowFleet(
            self.desired,
            round(self._settled, DIGITS),
            tuple(_rounded(entry) for entry in self.launches),
            tuple(_rounded(entry) for entry in leaving),
            round(self.in_flight, DIGITS),
            self.queue.to_record(),
            tuple(line.to_record() for line in self.queues[1:]),
        )


def queues_of(waiting: Iterable[Batch], others: Iterable[Iterable[Batch]]) -> tuple[WaitingMessages, ...]:
    """The waiting messages of each queue, from their records."""
    return tuple(WaitingMessages(pieces, queue) for queue, pieces in enumerate((waiting, *others)))


def _rounded(entry: Batch) -> Batch:
    return round(entry[0], DIGITS), round(entry[1], DIGITS), round(entry[2], DIGITS)
