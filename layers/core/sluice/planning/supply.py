"""Supply: capacity units in service and launches under way, and how many messages they start in a time.

One unit that works on k messages at once and completes m a second, each taking s = k / m seconds, starts within t
seconds

    in service, f of its k places taken     m t + (k - f) max(0, 1 - t / s)     free places at once, taken ones in turn
    launched, useful from d on              max(k, m (t - d)) for t >= d        true even if every message takes s

Completions are chance. Within t seconds n units complete n m t messages on average, with a variance of about
n m t max(1 - t / s, c): a place that takes s seconds becomes free once with probability t / s, and over many messages
c, the squared coefficient of variation of their times, is what is left (`learning.service_spread`). S counts on `MOST`
standard deviations less, as far ahead as nothing can be mended: a lead time. So a hundred short messages are counted on
nearly whole, three long ones hardly.
"""

from collections.abc import Iterable
from math import ceil, sqrt

from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading, Lifecycle, QueueReading, capacity
from sluice.model.timing import Timing
from sluice.planning.demand import Knot
from sluice.planning.learning.significance import MOST

AT_HAND = 0.5  # share of a launch's places: a new unit starts as many more than it completes, half of that is chance
SPREAD = 0.5  # squared coefficient of variation of how long messages take, until it is learned: 70% of their mean
HANG_LEADS = 3.0  # from twice its time on a launch is expected no sooner than a new one; half again is no chance


@dataclass(frozen=True, slots=True)
class Supply:
    """What serves the queue: units in service, and launches as they become useful."""

    working: float  # units in service
    places: float  # messages that one unit works on at once (k)
    busy: float  # places taken, on average, in a unit in service (f)
    rate_per_s: float  # messages that one unit completes a second (m)
    tick_s: float  # the stack's: capacity is not asked to do in less what falls due just after it can help
    launches: tuple[tuple[float, float], ...] = ()  # (seconds until useful, units), ascending
    blind_s: float = 0.0  # for so long nothing that is ordered later can help: chance must be allowed for
    at_hand: float = AT_HAND  # share of a launch's places that it fills beside what it completes
    spread: float = SPREAD  # squared coefficient of variation of how long messages take
    hung: tuple[tuple[float, float], ...] = ()  # (seconds since it began, units) of launches that are not counted on

    @property
    def total(self) -> float:
        """Every unit that is there or on its way."""
        return self.working + sum(units for _, units in self.launches)

    @property
    def hung_units(self) -> int:
        """Units of launches that hang: part of the group's capacity, and nothing is counted on of them."""
        return ceil(sum([units for _, units in self.hung]))

    def started(self, t: float) -> float:
        """Messages that all of it starts within `t` seconds."""
        sure = mean = variance = 0.0
        for due_s, units in self.launches:
            if t > due_s:
                sure += units * max(self.places, self.rate_per_s * (t - due_s))
                if self.at_hand > 0.0:
                    likely, spread = self.by_one_launched(t - due_s)
                    mean += units * likely
                    variance += units * spread
        if mean > sure:
            sure = max(sure, mean - MOST * sqrt(variance))
        return self.by_working(t) + sure

    def by_working(self, t: float) -> float:
        """Messages that the units in service start within `t` seconds, less what chance may take."""
        if self.working <= 0.0:
            return 0.0
        mean, variance = self.by_one_working(t)
        at_once = self.working * (self.places - self.busy)  # no chance in that
        return max(at_once, self.working * mean - MOST * sqrt(self.working * variance))

    def by_one_working(self, t: float) -> tuple[float, float]:
        """Messages that one unit in service starts within `t` seconds: their mean and variance."""
        places, rate_per_s = self.places, self.rate_per_s
        done = mean = rate_per_s * t
        if done < places:
            mean += (places - self.busy) * (1.0 - done / places)
        by_chance = done if t < self.blind_s else rate_per_s * self.blind_s
        spread = 1.0 - by_chance / places
        return mean, by_chance * max(self.spread, spread)

    def by_one_launched(self, t: float) -> tuple[float, float]:
        """Messages that one unit starts in its first `t` seconds, at least its places: their mean and variance."""
        likely = self.rate_per_s * t + self.at_hand * self.places
        return max(self.places, likely), self.rate_per_s * min(t, self.blind_s) * self.spread

    def launched_for(self, messages: float, t: float) -> float:
        """The launches that start so many messages in their first `t` seconds."""
        if messages <= 0.0:
            return 0.0
        units = messages / max(self.places, self.rate_per_s * t)
        if self.at_hand <= 0.0:
            return units
        likely, variance = self.by_one_launched(t)
        return min(units, _units_of(messages, likely, MOST * sqrt(variance)))

    def units_for(self, due: Iterable[Knot]) -> float:
        """The fewest units in service that start, for each (seconds, messages) of `due`, the messages in that time.

        It is `by_working` solved for its units. Times ascend: where no place is free, a moment that asks for no more
        messages a second than an earlier one asks for no more units, since chance takes less of what takes longer.
        """
        free = self.places - self.busy
        fewest = most_per_s = 0.0
        for t, messages in due:
            if messages <= most_per_s * t and free <= 0.0:
                continue
            most_per_s = messages / t
            mean, variance = self.by_one_working(t)
            units = _units_of(messages, mean, MOST * sqrt(variance))
            if units * free > messages:
                units = messages / free
            fewest = max(fewest, units)
        return fewest


def _units_of(messages: float, mean: float, doubt: float) -> float:
    """The n that solves  n mean - doubt sqrt(n) = messages."""
    root: float = (doubt + sqrt(doubt * doubt + 4.0 * mean * messages)) / (2.0 * mean)
    return root * root


# --------------------------------------------------------------------------- as read


def supply_of(
    queue: QueueReading,
    group: GroupReading,
    under_way: tuple[tuple[str, float], ...],
    places: float,
    rate_per_s: float,
    *,
    spread: float,
    timing: Timing,
    patient: bool,
    lead_s: float,
    hang_s: float,
    now: float,
) -> Supply:
    """What serves: units in service, and launches, due a lead time after they began.

    What is desired and not there yet is about to be launched. Where less is desired than is in service, the group is
    about to take the surplus away; but an instance that counts for several units stays if only a part of it is surplus,
    as one is launched of which only a part is missing.
    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-mixed-instances-groups-instance-weighting.html

    Args:
        queue: as read; messages in flight give the places that are taken.
        group: as read.
        under_way: instance ids and when their launches were first seen, epoch seconds.
        places: messages that one unit works on at once.
        rate_per_s: messages that one unit completes a second.
        spread: squared coefficient of variation of how long messages take.
        timing: the stack's ticks.
        patient: whether what a launch is only likely to do can be counted on, since the next tick can mend it.
        lead_s: the lead time to plan with, in seconds.
        hang_s: a launch that is under way for longer hangs.
        now: epoch seconds.
    """
    at_hand, blind_s = AT_HAND if patient else 0.0, lead_s + timing.tick_s
    working = capacity(group.instances, Lifecycle.IN_SERVICE)
    busy = places  # where it is unknown
    if queue.in_flight is not None:
        busy = min(places, queue.in_flight.value / working) if working > 0 else 0.0
    left = group.desired - working
    if left <= 0:
        units = float(group.desired) if left == 0 or -left >= _lightest(group) else working
        return Supply(units, places, busy, rate_per_s, timing.tick_s, (), blind_s, at_hand, spread)
    known = dict(under_way)
    dues: dict[float, float] = {}
    hung: list[tuple[float, float]] = []
    for instance in group.instances:
        if instance.state is Lifecycle.LAUNCHING and left > 0:
            begun_at = known.get(instance.id, instance.launched_at)
            age_s = 0.0 if begun_at is None else now - begun_at
            left -= instance.weight
            if age_s > hang_s:
                hung.append((age_s, instance.weight))
                continue
            due_s = _due(lead_s, age_s, timing.tick_s)
            dues[due_s] = dues.get(due_s, 0.0) + instance.weight
    if left > 0:
        dues[lead_s] = dues.get(lead_s, 0.0) + left
    launches = tuple(sorted(dues.items()))
    return Supply(working, places, busy, rate_per_s, timing.tick_s, launches, blind_s, at_hand, spread, tuple(hung))


def _lightest(group: GroupReading) -> float:
    """The units of the smallest instance in service."""
    return min(each.weight for each in group.instances if each.state is Lifecycle.IN_SERVICE and each.healthy)


def _due(lead_s: float, age_s: float, soonest_s: float) -> float:
    """Seconds until a launch of that age is useful: the longer one is overdue, the longer it is expected to be."""
    return min(lead_s, max(min(soonest_s, lead_s / 4), abs(age_s - lead_s)))
