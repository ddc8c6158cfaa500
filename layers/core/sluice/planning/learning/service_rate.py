"""The service rate: messages a second that one unit of capacity completes.

    service rate = (messages completed + w) / (busy unit-seconds + w / hinted rate)

Both sums fade, and the hint counts as the evidence of w messages, one or less. Which units were busy:

    - where messages waited throughout and nothing was draining, all in service, or those in flight where some units
      took no message all the time;
    - where a message takes longer than a metric's period, as many as the messages in flight occupy (Little's law),
      since backlog and completions are out of step there;
    - the same while next to nothing is known, and in a fleet of a few units whose messages take long enough for ticks
      to see them in flight; neither while some are in flight that nobody works on. All units count that were at work
      at one tick and had emptied the queue by the next, since that tick sees none of what they did.

A busy second without a completion is evidence, too: messages of five minutes are measured after a few, not after ten.
Between metrics, and where none come, the queue's counts go on from there until the rate is well founded
(`count_filter`). A period in which nothing completes that did before is an outage, and is no evidence about the rate.

Odd periods are weighed in `odd_periods`.
"""

from collections.abc import Callable
from itertools import pairwise
from math import inf, sqrt
from operator import attrgetter

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.observed import Series
from sluice.model.planning import CountState, Estimate, Measure, QueueSample, RateMemory, RedeliveryMemory
from sluice.model.timing import Timing
from sluice.model.usage import Throughput
from sluice.planning.learning import redeliveries
from sluice.planning.learning.at_work import AT_WORK_SHARE, SEEN_FROM_S, are_some_idle, at_work, covering, is_emptied
from sluice.planning.learning.count_filter import DEFAULT_WEIGHT, is_overdue, messages_known
from sluice.planning.learning.odd_periods import has_changed, is_outage, run_of, run_unseen, weighed
from sluice.planning.learning.service_spread import learn_spread
from sluice.planning.learning.significance import FEW, FOUNDED, LIKELY, MOST
from sluice.planning.learning.throughput import learn_completed, useful
from sluice.planning.learning.undone import hides_work, may_be_faster, tried_faster

HINT_WEIGHT = 1.0  # messages that the user's hint counts for
SEEN_SHARE = 0.8  # messages that take 80% of the time between ticks are nearly all in flight at one of them
STUCK = 1.5  # so many completions expected and none seen: whoever held the messages is gone

type OfSample = Callable[[QueueSample], float]


def service_rate(memory: RateMemory, counts: CountState | None, fleet: Fleet, timing: Timing, now: float) -> Measure:
    """Messages a second that one unit of capacity completes: by metrics, by the counts since, else the hint.

    Args:
        memory: what was learned of it by metrics.
        counts: what the queue's counts say since.
        fleet: hints.
        timing: how late metrics are.
        now: epoch seconds.
    """
    estimate, per_s = memory.estimate, by_metrics(memory, fleet)[0]
    is_measured = estimate is not None and estimate.weight >= 1.0
    # What is completed less than a hint says would look like arrivals.
    if counts is not None and (is_overdue(counts, timing) or (fleet.hints.has_speed_hint and not is_measured)):
        per_s = counts.per_s
    elif counts is not None:  # what the counts do not rule out
        per_s = min(per_s, counts.per_s + MOST * sqrt(counts.per_var), counts.most_per_s or inf)
    if estimate is not None and is_measured:
        return Measure(per_s, "measured", max(0.0, now - estimate.at))
    is_hinted = per_s == fleet.hints.service_rate_per_s
    return Measure(per_s, "hint", None) if is_hinted else Measure(per_s, "counted", 0.0)


def _hint_weight(fleet: Fleet) -> float:
    """The messages that the hint counts for: of a user's more than of the default."""
    return HINT_WEIGHT if fleet.hints.has_speed_hint else DEFAULT_WEIGHT


def by_metrics(memory: RateMemory, fleet: Fleet) -> tuple[float, float]:
    """The rate by metrics and hint, and the messages that it is known by."""
    weight, estimate = _hint_weight(fleet), memory.estimate
    if estimate is None:
        return fleet.hints.service_rate_per_s, weight
    return estimate.mean, estimate.weight + weight


def completing_per_s(memory: RateMemory, rate: Measure) -> float:
    """Messages a second that one unit is taken to complete now: the rate, and less once periods showed that it is less.

    What is taken for completed too many is taken for arrivals too many, and old messages then look new.
    """
    periods, messages, seconds = memory.outlier_run
    return min(rate.value, messages / seconds) if periods < 0 < seconds else rate.value


def is_proven(memory: RateMemory, counts: CountState | None, fleet: Fleet, timing: Timing) -> bool:
    """Whether the service rate is more than a guess: the user set it, or something is known to have been completed.

    By metrics; and by counts alone where metrics should have come.
    """
    estimate = memory.estimate
    if fleet.hints.has_speed_hint or (estimate is not None and estimate.weight >= 1.0):
        return True
    return counts is not None and is_overdue(counts, timing) and messages_known(counts) >= LIKELY * LIKELY


def is_founded(memory: RateMemory) -> bool:
    """Whether so much is known to have been completed that the rate is hardly chance."""
    return memory.estimate is not None and memory.estimate.weight >= FOUNDED


# --------------------------------------------------------------------------- learned


def learn_service_rate(
    memory: RateMemory,
    samples: tuple[QueueSample, ...],
    deleted: Series | None,
    fleet: Fleet,
    now: float,
    *,
    returned: RedeliveryMemory,
    poison: float,
    is_late: bool,
    looked_s: float,
    most: float = inf,
) -> RateMemory:
    """Learn from each period of the deleted series once, when its samples are complete.

    Args:
        memory: what was known before.
        samples: of the last ticks, this one's included.
        deleted: completed messages per period.
        fleet: hints.
        now: epoch seconds.
        returned: messages that came back, this tick's metrics included.
        poison: messages known as poison before this tick.
        is_late: whether the oldest message is older than the target wait by its metric, as no plan means it to be.
        looked_s: for how long a unit must have been in service, so that it is ready for sure, in seconds.
        most: units that the group may have.
    """
    if deleted is None or not deleted.points or not samples:
        return memory
    until = min(now, samples[-1].at)
    message_s = _message_s(memory.estimate, fleet)
    memory = _learn_saturated(
        memory, samples, deleted, returned, until=until, looked_s=looked_s, message_s=message_s, most=most
    )
    learned_until, evidence, estimate = memory.learned_until, memory.completed, memory.estimate
    enough, outliers = memory.enough, memory.outlier_run
    for start_at, end_at, deletions in deleted.ended(learned_until, until):
        learned_until = end_at
        during = covering(samples, start_at, end_at)
        count, failing = _worked_on(returned, poison, (start_at, deletions), evidence)
        period, most = (start_at, end_at), useful(enough, end_at)
        busy_s = _busy_s(during, period, count, estimate, fleet, returned=returned, most=most)
        at_most_s = busy_s or _busy_at_most_s(during, end_at - start_at, estimate, fleet)
        expected = None if estimate is None or evidence[0] < FOUNDED else estimate.mean * at_most_s
        if busy_s > 0.0 and is_outage(count, expected):
            continue
        if not failing:
            outliers = (run_of if busy_s > 0.0 else run_unseen)(outliers, count, at_most_s, expected)
        if has_changed(outliers, _message_s(estimate, fleet) / deleted.period_s, is_late=is_late):
            evidence, outliers = outliers[1:], (0, 0.0, 0.0)
        elif busy_s > 0.0:
            evidence = weighed(count, busy_s, evidence, expected)
        elif estimate and during and may_be_faster(during, returned.received, start_at, count, estimate):
            evidence = tried_faster(count, estimate)
        else:
            continue
        estimate = _estimate(evidence, fleet, end_at)
    if learned_until == memory.learned_until:
        return memory
    return replace(memory, estimate=estimate, completed=evidence, outlier_run=outliers, learned_until=learned_until)


def _learn_saturated(
    memory: RateMemory,
    samples: tuple[QueueSample, ...],
    deleted: Series,
    returned: RedeliveryMemory,
    *,
    until: float,
    looked_s: float,
    message_s: float,
    most: float,
) -> RateMemory:
    """The memory with what so many units at work completed in each new period in which messages waited throughout.

    Nothing completed is an outage, and what came back was work as well.
    """
    throughput, enough, period_s = memory.throughput, memory.enough, deleted.period_s
    spread = memory.spread
    for start_at, end_at, count in deleted.ended(memory.learned_until, until):
        if (count <= 0.0 and message_s <= period_s) or redeliveries.came_back_in(returned.history, start_at) > 0.0:
            continue
        during = covering(samples, start_at, end_at)
        if _integral(during, start_at, end_at, attrgetter("working")) <= 0.0 or not all(
            sample.visible > 0 for sample in during
        ):
            continue
        expected = _expected(
            during, samples, (start_at, end_at), memory.estimate, message_s, most=useful(enough, end_at)
        )
        if expected is not None:
            spread = learn_spread(spread, count, expected, end_at, period_s)
        new = _throughput(samples, (start_at, end_at), count, message_s, looked_s, each=max(1.0, memory.in_flight_each))
        if new.units > 0.0:
            is_all = min(sample.working for sample in during) >= most
            throughput, enough = learn_completed(throughput, enough, new, is_all=is_all)
    return replace(memory, throughput=throughput, enough=enough, spread=spread)


def _expected(
    during: tuple[QueueSample, ...],
    samples: tuple[QueueSample, ...],
    period: tuple[float, float],
    estimate: Estimate | None,
    message_s: float,
    *,
    most: float,
) -> tuple[float, float] | None:
    """The fewest and the most completions expected of busy units in a period; None where that is not well founded.

    What is completed was begun up to a message's time before: where units came or went since, it is less or more.
    """
    (start_at, end_at), began_at = period, period[0] - message_s
    began = covering(samples, began_at, end_at - message_s)
    if estimate is None or estimate.weight < FOUNDED or not began or message_s > end_at - start_at:
        return None
    if not all(sample.steady for sample in during):
        return None
    if message_s >= SEEN_FROM_S and any(at_work(sample) < AT_WORK_SHARE * sample.working for sample in during):
        return None  # some units take nothing
    by = (
        estimate.mean * _integral(during, start_at, end_at, lambda sample: min(sample.working, most)),
        estimate.mean * _integral(began, began_at, end_at - message_s, lambda sample: min(sample.working, most)),
    )
    return min(by), max(by)


def _throughput(
    samples: tuple[QueueSample, ...],
    period: tuple[float, float],
    count: float,
    message_s: float,
    looked_s: float,
    *,
    each: float,
) -> Throughput:
    """What units at work completed in a period in which messages waited throughout.

    What is completed was begun a message's time before: the more units there were then, the more of them it took. A
    group may be read late: where more is in flight than its units hold (`each`), there were more of them.
    """
    (start_at, end_at), of = period, _busy if message_s >= SEEN_FROM_S else attrgetter("working")
    seconds, during = end_at - start_at, covering(samples, start_at, end_at)
    before_s = max(0.0, min(message_s, start_at - samples[0].at))
    began = covering(samples, start_at - before_s, end_at - before_s)
    busy = _integral(during, start_at, end_at, of) / seconds
    since = min(start_at - looked_s, during[0].at)  # ticks may have been missed
    sure = min(sample.working for sample in samples if since <= sample.at <= end_at)
    most_first = sorted({of(sample) for sample in during}, reverse=True)
    least = max(1.0, next((each for each in most_first if _could_do_all(each, during, period, count, of)), 1.0))
    by_messages = _integral(during, start_at, end_at, at_work) / seconds / each
    units = max(busy, by_messages, _integral(began, start_at - before_s, end_at - before_s, of) / seconds)
    return Throughput(units, count, seconds, end_at, min(busy, sure), least)


def _could_do_all(
    units: float, during: tuple[QueueSample, ...], period: tuple[float, float], count: float, of: OfSample
) -> bool:
    """Whether so many units may have completed all of it: else less would have been while there were fewer."""
    if units <= 0.0:
        return True
    missing_s = _integral(during, *period, lambda sample: max(0.0, 1.0 - of(sample) / units))
    return count * missing_s <= LIKELY * sqrt(count) * (period[1] - period[0])


def _busy(sample: QueueSample) -> float:
    return min(sample.working, at_work(sample))


def _worked_on(
    returned: RedeliveryMemory, poison: float, point: tuple[float, float], evidence: tuple[float, float]
) -> tuple[float, bool]:
    """Messages that units worked on in a period, and whether it failed: more came back then than was completed.

    Where the poison is known, or next to nothing is, units worked on what came back as well. Otherwise a failing period
    is no change of what messages are.
    """
    start_at, deletions = point
    back = redeliveries.came_back_in(returned.history, start_at)
    if not redeliveries.is_failing(back, deletions):
        return deletions, False
    if poison > 0.0 or evidence[0] < FOUNDED:
        return deletions + back, False
    return deletions, True


def _busy_s(
    during: tuple[QueueSample, ...],
    period: tuple[float, float],
    count: float,
    estimate: Estimate | None,
    fleet: Fleet,
    *,
    returned: RedeliveryMemory,
    most: float,
) -> float:
    """Unit-seconds that units were busy in a period, of which `most` are of use at most; 0 where that is unknown."""
    if not during:
        return 0.0
    (start_at, end_at), places = period, fleet.hints.concurrency
    is_hidden = hides_work(during, estimate, places, returned)
    if _message_s(estimate, fleet) > end_at - start_at and not is_hidden:
        return _integral(during, start_at, end_at, lambda sample: min(_at_work(sample, places), most))
    steady = all(sample.steady for sample in during)
    if all(sample.visible > 0 for sample in during):
        of = _busy if are_some_idle(during, _message_s(estimate, fleet)) else attrgetter("working")
        return _integral(during, start_at, end_at, lambda sample: min(of(sample), most)) if steady else 0.0
    if is_hidden:
        return 0.0
    if estimate is None or estimate.weight < FOUNDED:
        return _busy_at_first_s(during, period, count, places)
    return _busy_of_few_s(during, period, count, estimate, places) if steady else 0.0


def _message_s(estimate: Estimate | None, fleet: Fleet) -> float:
    """Seconds that a message takes."""
    per_s = estimate.mean if estimate is not None else fleet.hints.service_rate_per_s
    return fleet.hints.concurrency / per_s


def _busy_at_first_s(during: tuple[QueueSample, ...], period: tuple[float, float], count: float, places: int) -> float:
    """Busy unit-seconds while next to nothing is known, by the messages in flight; 0 of a period without any.

    A few samples may see none by chance. So one more than there were counts, with a message in flight at least.
    """
    if count == 0 and not any(map(at_work, during)):
        return 0.0
    (start_at, end_at), gaps = period, len(during) - 1
    busy_s = _integral(during, start_at, end_at, lambda sample: _at_work(sample, places))
    for before, after in pairwise(during):
        if is_emptied(before, after, places):
            unseen = before.working + after.working - _at_work(before, places) - _at_work(after, places)
            busy_s += max(0.0, unseen) / 2 * (min(after.at, end_at) - max(before.at, start_at))
    return (busy_s * gaps + max(busy_s, (end_at - start_at) / places)) / (gaps + 1)


def _busy_of_few_s(
    during: tuple[QueueSample, ...], period: tuple[float, float], count: float, estimate: Estimate, places: int
) -> float:
    """Busy unit-seconds of a few units by the messages in flight; 0 where ticks may miss them, or they are stuck."""
    if max(sample.working for sample in during) > FEW or not _is_seen(during, estimate, places):
        return 0.0
    busy_s = _integral(during, *period, lambda sample: _at_work(sample, places))
    return 0.0 if count == 0 and busy_s * estimate.mean >= STUCK else busy_s


def _is_seen(during: tuple[QueueSample, ...], estimate: Estimate, places: int) -> bool:
    """Whether units at work show in flight: shorter messages may be done between ticks, and held ones hide them."""
    if any(sample.held > 0.0 for sample in during):
        return False
    return places / estimate.mean >= SEEN_SHARE * max(after.at - before.at for before, after in pairwise(during))


def _at_work(sample: QueueSample, places: int) -> float:
    """Units at work by the messages in flight, no more than there are: some wait at a consumer, or to come back."""
    units = at_work(sample) / places
    return min(units, sample.working) if sample.steady else units


def _busy_at_most_s(during: tuple[QueueSample, ...], period_s: float, estimate: Estimate | None, fleet: Fleet) -> float:
    """Unit-seconds that units were busy in a period at most, by the messages in flight; 0 where that is unknown.

    One more sample than there were, with a unit at work: a few samples may see none by chance.
    """
    if not during or estimate is None or not _is_seen(during, estimate, fleet.hints.concurrency):
        return 0.0
    units = sum(_at_work(sample, fleet.hints.concurrency) for sample in during)
    return (units + 1.0) / (len(during) + 1) * period_s


def _estimate(evidence: tuple[float, float], fleet: Fleet, at: float) -> Estimate:
    """The rate by the evidence and the hint, each by its weight."""
    messages, seconds = evidence
    weight = _hint_weight(fleet)
    hinted_per_s = fleet.hints.service_rate_per_s
    return Estimate((messages + weight) / (seconds + weight / hinted_per_s), messages, at)


def _integral(during: tuple[QueueSample, ...], start_at: float, end_at: float, of: OfSample) -> float:
    """A figure of the samples, integrated over the seconds of a period that they cover."""
    figures = [of(sample) for sample in during]  # each of two periods has it
    total = 0.0
    for place in range(1, len(during)):
        seconds = min(during[place].at, end_at) - max(during[place - 1].at, start_at)
        if seconds > 0.0:
            total += seconds * (figures[place - 1] + figures[place]) / 2
    return total
