"""A shadow fleet's score: waits and cost of both sides in the same terms, kept by hours and days, and in a sentence.

A wait is kept as a share of the target, in a dozen bins, so that a day of any traffic takes a line. The share of late
messages is exact but for the estimate of the wait itself, since the target is the edge of a bin; quantiles are as wide
as bins are. Messages that still wait count with their wait until now, on both sides. Of several queues each wait is a
share of its own queue's target, so that all of them add up in the same bins.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from math import floor

from sluice.model.frozen import dataclass, replace
from sluice.model.shadow import ScoreHistory, Shadow, Span, Tally
from sluice.planning.learning.forecasting import DAY_S, HOUR_S

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)  # upper edges, in targets; more is last
LATE_FROM = SHARES.index(1.0) + 1  # the first bin of waits longer than the target
HOURS_KEPT = 25  # those of a day, and the one that has begun
DAYS_KEPT = 8  # those of a week, and the one that has begun
WHOLE = 0.95  # with 95% of a day scored it is called the last 24 h
NOTED = 0.01  # a fluid has fractions of messages: a smaller one is not the longest wait of anything
DIGITS = 3  # thousandths of a message, a second or a unit-second are kept


class TallyBuilder:
    """Adds up a tally, by the target wait of each queue in seconds."""

    def __init__(self, *targets_s: float, tally: Tally | None = None) -> None:
        tally = tally or Tally()
        self._edges = [[share * target_s for share in SHARES] for target_s in targets_s]
        self.waits = [*tally.waits, *[0.0] * (len(SHARES) + 1 - len(tally.waits))]
        self.longest_s = tally.longest_s
        self.unit_s = tally.unit_s
        self.launches = tally.launches

    def note(self, first_s: float, last_s: float, messages: float, queue: int = 0) -> None:
        """Add messages of a queue, by its number, whose waits are spread evenly from `first_s` to `last_s`."""
        low, high = (first_s, last_s) if first_s <= last_s else (last_s, first_s)
        if messages > NOTED:
            self.longest_s = max(self.longest_s, high)
        edges, waits = self._edges[queue], self.waits
        place = bisect_left(edges, low)
        while place < len(edges) and edges[place] < high:
            share = (edges[place] - low) / (high - low)
            waits[place] += messages * share
            messages -= messages * share
            low = edges[place]
            place += 1
        waits[place] += messages

    def to_record(self) -> Tally:
        """As the ledger keeps it."""
        waits = [round(count, DIGITS) for count in self.waits]
        while waits and waits[-1] == 0.0:
            waits.pop()
        return Tally(
            round(self.unit_s, DIGITS), round(self.launches, DIGITS), round(self.longest_s, DIGITS), tuple(waits)
        )


def together(tallies: Iterable[Tally]) -> Tally:
    """Several tallies as one."""
    unit_s = launches = longest_s = 0.0
    waits = [0.0] * (len(SHARES) + 1)
    for tally in tallies:
        unit_s, launches = unit_s + tally.unit_s, launches + tally.launches
        longest_s = max(longest_s, tally.longest_s)
        for place, count in enumerate(tally.waits):
            waits[place] += count
    return Tally(unit_s, launches, longest_s, tuple(waits))


def late(tally: Tally) -> float:
    """Messages that waited longer than the target."""
    return sum(tally.waits[LATE_FROM:])


def added(shadow: Shadow, span: Span) -> Shadow:
    """The score with one more stretch, in its hour and its day."""
    return replace(
        shadow,
        score=ScoreHistory(
            _added(shadow.score.hours, span, HOUR_S)[-HOURS_KEPT:],
            _added(shadow.score.days, span, DAY_S)[-DAYS_KEPT:],
        ),
    )


def _added(spans: tuple[Span, ...], span: Span, length_s: float) -> tuple[Span, ...]:
    at = span.at - span.at % length_s
    last = spans[-1] if spans and spans[-1].at == at else Span(at)
    rest = spans[:-1] if spans and spans[-1].at == at else spans
    return (*rest, _sum((last, span), at))


def _sum(spans: Sequence[Span], at: float) -> Span:
    def rounded(tallies: Iterable[Tally]) -> Tally:
        return TallyBuilder(tally=together(tallies)).to_record()

    return Span(
        at,
        round(sum(span.seconds for span in spans), DIGITS),
        round(sum(span.came for span in spans), DIGITS),
        rounded(span.acting for span in spans),
        rounded(span.shadow for span in spans),
    )


# --------------------------------------------------------------------------- for people


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a score. Shares are of the messages that were started or still wait."""

    messages: float
    late_fraction: float
    longest_s: float
    p99_s: float | None  # about: as wide as the bin it falls into; None: of several queues
    unit_hours: float
    launches: int
    p99_share: float | None = None  # of several queues: the same as a share of each message's target, at most 10


@dataclass(frozen=True, slots=True)
class Score:
    """Both sides over the same scored time."""

    target_wait_s: float | None  # None: of several queues, each has its own
    until: float
    seconds: float
    came: float
    acting: Side
    shadow: Side
    unit: str  # "instance" or "unit"
    restarted: tuple[float, float] | None

    @property
    def sentence(self) -> str:
        """The score for people."""
        ours, theirs = self.shadow, self.acting
        a_day = WHOLE * DAY_S <= self.seconds <= DAY_S
        when = "In the last 24 h" if a_day else f"In {_long(self.seconds)} of watching"
        in_time = "in time" if self.target_wait_s is None else f"within {self.target_wait_s:g} s"
        return (
            f"{when} Sluice would have used {ours.unit_hours:.1f} {self.unit}-hours instead of"
            f" {theirs.unit_hours:.1f} and kept {within(ours)} {in_time} instead of {within(theirs)}."
        )


def score(shadow: Shadow, span_s: float = DAY_S) -> Score | None:
    """The score of both sides over the last day, or week; None before anything was scored."""
    spans = shadow.score.hours if span_s <= DAY_S else shadow.score.days
    spans = tuple(span for span in spans if span.at >= shadow.at - span_s)
    seconds = sum(span.seconds for span in spans)
    if seconds <= 0.0:
        return None
    several = len(shadow.targets_s) > 1
    would_wait = (shadow.fleet.waiting, *shadow.fleet.others) if shadow.fleet is not None else ()

    def side(tallies: Iterable[Tally], lines: Iterable[Sequence[tuple[float, float, float]]]) -> Side:
        tallying = TallyBuilder(*shadow.targets_s, tally=together(tallies))
        for queue, waiting in enumerate(lines):
            for came_from, came_until, messages in waiting:
                tallying.note(max(0.0, shadow.at - came_from), max(0.0, shadow.at - came_until), messages, queue)
        total = sum(tallying.waits)
        return Side(
            messages=total,
            late_fraction=sum(tallying.waits[LATE_FROM:]) / total if total > 0.0 else 0.0,
            longest_s=tallying.longest_s,
            p99_s=None if several else _quantile(tallying.waits, 0.99, shadow.targets_s[0], tallying.longest_s),
            unit_hours=tallying.unit_s / 3600.0,
            launches=round(tallying.launches),
            p99_share=_quantile(tallying.waits, 0.99, 1.0, SHARES[-1]) if several else None,
        )

    return Score(
        target_wait_s=None if several else shadow.targets_s[0],
        until=shadow.at,
        seconds=seconds,
        came=sum(span.came for span in spans),
        acting=side((span.acting for span in spans), (shadow.waiting, *shadow.others)),
        shadow=side((span.shadow for span in spans), would_wait),
        unit="unit" if shadow.real.weighted else "instance",
        restarted=shadow.restarted,
    )


def within(side: Side) -> str:
    """The share that was on time, such as "99.98%"; never rounded up."""
    return f"{floor((1.0 - side.late_fraction) * 10_000 + 1e-6) / 100:g}%"


def _quantile(waits: Sequence[float], share: float, target: float, longest: float) -> float:
    """The wait that so large a share did not exceed, in the target's unit: straight within its bin."""
    owed = share * sum(waits)
    low = 0.0
    for place, count in enumerate(waits):
        high = SHARES[place] * target if place < len(SHARES) else longest
        high = max(low, min(high, longest))
        if count > 0.0 and owed <= count:
            return low + (high - low) * owed / count
        owed, low = owed - count, high
    return longest


def _long(seconds: float) -> str:
    minutes = round(seconds / 60.0)
    if seconds > DAY_S:
        return f"{seconds / DAY_S:.1f} days"
    return f"{minutes} min" if minutes < 90 else f"{seconds / 3600.0:.1f} h"
