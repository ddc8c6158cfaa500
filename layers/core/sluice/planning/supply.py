"""What serves a queue: capacity units in service and launches under way, and how many messages they start in a time."""

from collections.abc import Iterable
from math import sqrt

from sluice.model.frozen import dataclass
from sluice.planning.demand import Knot

CAUTION = 1.8  # standard deviations: one tick in 28 is disappointed, and most of those the next one can mend
AT_HAND = 0.5  # of its places: a new unit starts one message more than it completes, and of that one half is chance
SPREAD = 0.5  # variance of completions, in completions, over many: messages whose times vary by 70% of their mean


@dataclass(frozen=True, slots=True)
class Supply:
    """What serves the queue: units in service, and launches as they become useful."""

    working: float  # units in service
    places: float  # messages that one unit works on at once (k)
    busy: float  # of them taken, on average, in a unit in service (f)
    rate_per_s: float  # messages that one unit completes a second (m)
    launches: tuple[tuple[float, float], ...] = ()  # (seconds until useful, units), ascending
    blind_s: float = 0.0  # so long nothing that is ordered later can help: chance must be allowed for
    at_hand: float = AT_HAND  # of a launch's places, beside what it completes

    @property
    def total(self) -> float:
        """Every unit that is there or on its way."""
        return self.working + sum(units for _, units in self.launches)

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
            sure = max(sure, mean - CAUTION * sqrt(variance))
        return self.by_working(t) + sure

    def by_working(self, t: float) -> float:
        """Messages that the units in service start within `t` seconds, less what chance may take."""
        if self.working <= 0.0:
            return 0.0
        mean, variance = self.by_one_working(t)
        at_once = self.working * (self.places - self.busy)  # no chance in that
        return max(at_once, self.working * mean - CAUTION * sqrt(self.working * variance))

    def by_one_working(self, t: float) -> tuple[float, float]:
        """Messages that one unit in service starts within `t` seconds: their mean and variance."""
        places, rate_per_s = self.places, self.rate_per_s
        done = mean = rate_per_s * t
        if done < places:
            mean += (places - self.busy) * (1.0 - done / places)
        by_chance = done if t < self.blind_s else rate_per_s * self.blind_s
        spread = 1.0 - by_chance / places
        return mean, by_chance * max(SPREAD, spread)

    def by_one_launched(self, t: float) -> tuple[float, float]:
        """Messages that one unit starts in its first `t` seconds, surely its places' worth: their mean and variance."""
        likely = self.rate_per_s * t + self.at_hand * self.places
        return max(self.places, likely), self.rate_per_s * min(t, self.blind_s) * SPREAD

    def launched_for(self, messages: float, t: float) -> float:
        """The launches that start so many messages in their first `t` seconds."""
        if messages <= 0.0:
            return 0.0
        units = messages / max(self.places, self.rate_per_s * t)
        if self.at_hand <= 0.0:
            return units
        likely, variance = self.by_one_launched(t)
        return min(units, _units_of(messages, likely, CAUTION * sqrt(variance)))

    def units_for(self, due: Iterable[Knot]) -> float:
        """The fewest units in service that start so many messages within so many seconds, each of `due`.

        `by_working`, solved for its units. Times ascend: where no place is free, a moment that asks for no more a
        second than one before asks for no more units, since chance takes less of what takes longer.
        """
        free = self.places - self.busy
        fewest = most_per_s = 0.0
        for t, messages in due:
            if messages <= most_per_s * t and free <= 0.0:
                continue
            most_per_s = messages / t
            mean, variance = self.by_one_working(t)
            units = _units_of(messages, mean, CAUTION * sqrt(variance))
            if units * free > messages:
                units = messages / free
            fewest = max(fewest, units)
        return fewest


def _units_of(messages: float, mean: float, doubt: float) -> float:
    """The units that start so many messages, where n of them start n times the mean less the doubt times root n."""
    root: float = (doubt + sqrt(doubt * doubt + 4.0 * mean * messages)) / (2.0 * mean)
    return root * root
