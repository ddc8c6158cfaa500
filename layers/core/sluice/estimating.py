"""What the planner learns: service rate, lead time and arrivals, each with the weight of its evidence.

Theory of operation
-------------------
Everything is learned from what ticks see anyway, tick by tick, and kept in `Memory`; a tick looked at twice teaches
nothing twice. Metrics are one to three minutes late, so ticks leave `Sighting`s behind: when the figures of a period
arrive, the sightings tell what the fleet was doing in it.

service rate  messages completed per second and unit of capacity. From saturated periods: messages waited throughout
              and no unit was draining. Where work is slow, periods are added up until they hold a sample; samples are
              averaged as logarithms, so that a hint ten times too high gives way as fast as one ten times too low.
              Where nothing at all completes, consumers cannot work: an outage, which says nothing of their speed.
              Where a message takes longer than a period, backlog and completion are out of step: there a unit counts
              as busy by the messages in flight (Little's law), whatever waits. Periods without backlog give a lower
              bound by the same law, which can only raise a rate not yet measured.
lead time     launch to in service, from instances seen on the way; and in service to first message, seen where a
              group comes from zero and the first message in flight must be the new instance's.
arrivals      counts per period, up to a day. The forecast is a level that forgets with `LEVEL_MEMORY_S` and a slope
              taken from a second, slower level. Both, and the level alone, are judged by what really came, over the
              very horizon that plans use: the better one is used, and carries the error that it had.

Every period's length is the series' own (`Series.period_s`): nothing here takes a minute for granted.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from math import ceil, exp, log
from operator import mul

from sluice.config import Fleet
from sluice.model import (
    Estimate,
    GroupReading,
    History,
    Instance,
    Lifecycle,
    Memory,
    QueueReading,
    Series,
    Sighting,
    Snapshot,
)

HISTORY_PERIODS = 1440  # a day of minutes
REVISED_PERIODS = 3  # the newest counts of a series may still grow when they are first read
METRIC_LATE_S = 120.0  # a period's count is there so long after its end, nearly always
SIGHTINGS_S = 420.0  # metrics of a period are at most about three minutes late; with the period itself and some slack
SIGHTINGS_COUNT = 64  # seven minutes of ten-second ticks and some; a bound on the ledger's record
BLIND_S = 120.0  # between ticks further apart, nothing can be told of what came and went

HINT_WEIGHT = 0.5  # in samples: the first measured one already outweighs a hint
SAMPLE_MESSAGES = 10.0  # completed messages that make a sample: its standard error is then about a third
SAMPLE_EXPECTED = 40.0  # or so many that should have completed: four times slower than believed is a sample, too
SAMPLE_FEWEST = 3.0  # of which so many must have completed
SILENCE_EXPECTED = 10_000.0  # after so many that should have completed and did not, silence tells nothing more
RATE_WEIGHT_MAX = 12.0  # samples remembered: a changed message mix is believed within a quarter of an hour of work
RATE_FREE_WEIGHT = 3.0  # up to this weight a sample is taken at its word, beyond it at most RATE_STEP times off
RATE_STEP = 2.0
LITTLE_MARGIN = 2.0  # sightings of messages in flight are few: their bound must be clearly above to count

LEAD_WEIGHT_MAX = 8.0  # launches remembered
LEAD_FIRST_DEVIATION = 0.2  # of the first launch seen: others may well take so much longer
LEAD_GAP_S = 45.0  # ticks further apart than this time a launch too coarsely

LEVEL_MEMORY_S = 150.0  # how long the level remembers: long against noise, short against a ramp
SLOW_MEMORY_S = 450.0  # the slower level's, for the slope
LEVEL_PERIODS = 24  # periods looked at; older ones weigh nothing
ERROR_WEIGHT_MAX = 60.0  # judged forecasts remembered: an hour of minutes
FORECAST_HORIZON_S = 900.0  # a flat level says nothing useful of a time further ahead
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity to plan with: `source` is "measured" or "hint", `age_s` None for a hint."""

    value: float
    source: str
    age_s: float | None
    deviation: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Arrivals expected: `rate_per_s` now, changing by `slope_per_s2`, wrong by `error_per_s` on average."""

    rate_per_s: float
    slope_per_s2: float
    error_per_s: float
    age_s: float | None = None  # of the newest metric in it; None without any
    quiet_s: float = 0.0  # since the last message came

    def expected(self, seconds: float) -> float:
        """Messages expected within so many seconds; a slope is followed for `FORECAST_HORIZON_S` at most."""
        bent = min(seconds, FORECAST_HORIZON_S)
        return max(0.0, self.rate_per_s * seconds + self.slope_per_s2 * bent * (seconds - bent / 2))


def learn(memory: Memory, snapshot: Snapshot, fleet: Fleet, now: float) -> Memory:
    """The memory after a tick has looked at the fleet. Repeating it with the same snapshot changes nothing.

    Args:
        memory: what was known before; empty at first.
        snapshot: what the tick saw; its `at` orders the sightings.
        fleet: hints, and the horizon over which forecasts are judged.
        now: epoch seconds.
    """
    memory = _learn_arrivals(memory, snapshot.queue.sent, fleet, now)
    group = snapshot.group
    if group is not None and snapshot.at > memory.learned_at:
        memory = _learn_lead_time(memory, snapshot.queue, group, snapshot.at)
        memory = _learn_spending(memory, group, snapshot.at)
        memory = replace(_see(memory, snapshot.queue, group, fleet, snapshot.at), learned_at=snapshot.at)
    return _learn_service_rate(memory, snapshot.queue.deleted, fleet, now)


def service_rate(memory: Memory, fleet: Fleet, now: float) -> Measure:
    """Messages per second that one unit of capacity completes: measured, else the hint."""
    estimate = memory.service_rate
    if estimate is None:
        return Measure(fleet.hints.service_rate_per_s, "hint", None)
    return Measure(estimate.mean, "measured", max(0.0, now - estimate.at))


def lead_time(memory: Memory, fleet: Fleet, now: float) -> Measure:
    """Seconds from launch to first message worked on: measured, else the hint; `value` is the mean."""
    estimate, first = memory.lead_time, memory.first_work
    if estimate is None:
        return Measure(fleet.hints.lead_time_s, "hint", None)
    extra = (first.mean, first.deviation) if first is not None else (0.0, 0.0)
    return Measure(estimate.mean + extra[0], "measured", max(0.0, now - estimate.at), estimate.deviation + extra[1])


def capacity(instances: tuple[Instance, ...], *states: Lifecycle) -> float:
    """Capacity units of the healthy instances in any of the states."""
    return sum(instance.weight for instance in instances if instance.healthy and instance.state in states)


# --------------------------------------------------------------------------- arrivals


def forecast(memory: Memory, now: float) -> Forecast:
    """Arrivals expected from now on, of counts per period as far as they go and of sightings since."""
    history = memory.arrivals
    sightings = memory.sightings
    end_at = max(history.end_at if history.counts else 0.0, sightings[0].at if sightings else now)
    live, live_s = 0.0, max(0.0, now - end_at)
    last_at = history.start_at
    for index in range(len(sightings) - 1, 0, -1):
        seen, before = sightings[index], sightings[index - 1]
        if seen.at <= end_at:
            break
        live += seen.arrived * min(1.0, (seen.at - end_at) / (seen.at - before.at))
        if seen.arrived >= 1.0:
            last_at = max(last_at, seen.at)
    quiet_s = now - last_at
    if history.counts:
        # Ticks may miss what comes and is done between them: the metric tells of quiet, once it must be there.
        late_s = METRIC_LATE_S + history.period_s
        quiet_s = min(quiet_s, _quiet_periods(history) * history.period_s + max(0.0, now - history.end_at - late_s))
    rate, slope = _levels(history, live, live_s)
    by_level, by_slope = memory.level_error, memory.slope_error
    error = 0.0
    if by_level is None or by_slope is None:
        slope = 0.0
    elif by_slope.mean < by_level.mean:
        error = by_slope.mean
    else:
        slope, error = 0.0, by_level.mean
    return Forecast(rate, slope, error, max(0.0, now - history.end_at) if history.counts else None, quiet_s)


def _quiet_periods(history: History) -> int:
    """How many of the newest periods had no arrival, up to `LEVEL_PERIODS`."""
    for quiet, count in enumerate(history.counts[: -LEVEL_PERIODS - 1 : -1]):
        if count > 0:
            return quiet
    return LEVEL_PERIODS


def _levels(history: History, live: float, live_s: float) -> tuple[float, float]:
    """Rate and slope from the newest counts and `live` messages in the `live_s` seconds since them.

    Each level is a mean weighted by exp(-age / memory), the weight of an interval being its integral. Levels lag a ramp
    by their memory, so two of them give its slope.
    """
    levels = []
    for memory_s in (LEVEL_MEMORY_S, SLOW_MEMORY_S):
        newest = exp(-live_s / memory_s)
        total = live / live_s * (1.0 - newest) if live_s > 0.0 else 0.0
        fades = _fades(history.period_s, memory_s)
        counts = history.counts[: -LEVEL_PERIODS - 1 : -1]
        share = newest * (1.0 - fades[1])
        total += sum(map(mul, counts, fades)) / history.period_s * share
        weights = 1.0 - newest * fades[len(counts)]
        levels.append(total / weights if weights > 0.0 else 0.0)
    fast, slow = levels
    return fast, (fast - slow) / (SLOW_MEMORY_S - LEVEL_MEMORY_S)


@cache
def _fades(period_s: float, memory_s: float) -> tuple[float, ...]:
    """What is left of a weight after 0, 1, ... periods."""
    return tuple(exp(-period_s * periods / memory_s) for periods in range(LEVEL_PERIODS + 1))


def _learn_arrivals(memory: Memory, sent: Series | None, fleet: Fleet, now: float) -> Memory:
    """Take new periods of the sent series into the history, and judge the forecasts that they tell about."""
    if sent is None or not sent.points:
        return memory
    history = memory.arrivals if memory.arrivals.period_s == sent.period_s else History(sent.period_s)
    merged = _merge(history, sent, now)
    if merged is history:
        return memory
    memory = replace(memory, arrivals=merged)
    if merged.end_at <= history.end_at and history.counts:
        return memory  # revised counts only
    return _judge_forecasts(memory, fleet)


def _merge(history: History, series: Series, now: float) -> History:
    """The history with the series' whole periods in it; the same object where nothing is new."""
    period_s = series.period_s
    points = [point for point in series.points if point[0] + period_s <= now]
    if not points:
        return history
    if not history.counts or points[-1][0] - history.end_at > HISTORY_PERIODS * period_s:
        history = History(period_s, points[0][0])
    settled_at = history.end_at - REVISED_PERIODS * period_s
    counts: list[float] | None = None
    for start_at, count in points:
        if start_at < settled_at or start_at < history.start_at:
            continue
        index = round((start_at - history.start_at) / period_s)
        if counts is None:
            if index < len(history.counts) and history.counts[index] == count:
                continue
            counts = list(history.counts)
        if index < len(counts):
            counts[index] = count
        else:
            counts.extend([0.0] * (index - len(counts)))  # SQS leaves out the periods of an inactive queue
            counts.append(count)
    if counts is None:
        return history
    surplus = max(0, len(counts) - HISTORY_PERIODS)
    return History(period_s, history.start_at + surplus * period_s, tuple(counts[surplus:]))


def _judge_forecasts(memory: Memory, fleet: Fleet) -> Memory:
    """Note what is expected from the history's end on; compare what was expected earlier with what came."""
    history = memory.arrivals
    lead_s = memory.lead_time.mean if memory.lead_time is not None else fleet.hints.lead_time_s
    horizon_s = min(FORECAST_HORIZON_S, fleet.target_wait_s + lead_s)
    periods = max(1, ceil(horizon_s / history.period_s))
    by_level, by_slope = memory.level_error, memory.slope_error
    waiting = []
    for made_at, level_per_s, slope_per_s in memory.forecasts:
        first = round((made_at - history.start_at) / history.period_s)
        if first + periods > len(history.counts):
            waiting.append((made_at, level_per_s, slope_per_s))
        elif first >= 0:
            came_per_s = sum(history.counts[first : first + periods]) / (periods * history.period_s)
            by_level = _blend(by_level, abs(came_per_s - level_per_s), history.end_at, ERROR_WEIGHT_MAX)
            by_slope = _blend(by_slope, abs(came_per_s - slope_per_s), history.end_at, ERROR_WEIGHT_MAX)
    level, slope = _levels(history, 0.0, 0.0)
    span_s = periods * history.period_s
    waiting.append((history.end_at, level, Forecast(level, slope, 0.0).expected(span_s) / span_s))
    return replace(memory, forecasts=tuple(waiting[-2 * periods - 1 :]), level_error=by_level, slope_error=by_slope)


def _blend(
    estimate: Estimate | None, sample: float, at: float, weight_max: float, first_deviation: float = 0.0
) -> Estimate:
    """A running mean that remembers about `weight_max` samples, with its mean absolute deviation."""
    if estimate is None:
        return Estimate(sample, 1.0, at, first_deviation * sample)
    gain = 1.0 / (estimate.weight + 1.0)
    off = sample - estimate.mean
    deviation = estimate.deviation + gain * (abs(off) - estimate.deviation)
    return Estimate(estimate.mean + gain * off, min(estimate.weight + 1.0, weight_max), at, deviation)


# --------------------------------------------------------------------------- sightings


def _see(memory: Memory, queue: QueueReading, group: GroupReading, fleet: Fleet, at: float) -> Memory:
    """Leave a sighting; without the queue's live figures there is nothing to leave."""
    if queue.visible is None:
        return memory
    before = memory.sightings[-1] if memory.sightings else None
    visible = queue.visible.value
    in_flight = queue.in_flight.value if queue.in_flight is not None else (before.in_flight if before else 0.0)
    working = capacity(group.instances, Lifecycle.WORKING)
    steady = not any(instance.state is Lifecycle.DRAINING for instance in group.instances)
    arrived = excess = 0.0
    if before is not None:
        gap_s = at - before.at
        completed = 0.0
        if gap_s <= BLIND_S:
            rate = service_rate(memory, fleet, at).value
            busy = (in_flight + before.in_flight) / 2 / fleet.hints.concurrency
            completed = min(busy, (working + before.working) / 2) * rate * gap_s
        # Completions are lumps and the estimate is not: what was counted too many is taken off what comes next, up to
        # what can complete at once.
        came = visible - before.visible + in_flight - before.in_flight + completed - before.excess
        arrived, excess = max(0.0, came), min(max(0.0, -came), before.in_flight)
    sighting = Sighting(at, visible, in_flight, working, steady, arrived, excess)
    oldest_at = at - SIGHTINGS_S
    kept = tuple(seen for seen in memory.sightings if seen.at >= oldest_at)[-SIGHTINGS_COUNT + 1 :]
    return replace(memory, sightings=(*kept, sighting))


def _learn_spending(memory: Memory, group: GroupReading, at: float) -> Memory:
    """Add up the instance-seconds of the UTC day, as the budget counts them."""
    day = at - at % DAY_S
    spent_s = memory.spent_s if memory.spent_day == day else 0.0
    if memory.learned_at:
        since = max(memory.learned_at, day, at - SIGHTINGS_S)
        running = capacity(group.instances, Lifecycle.WORKING, Lifecycle.LAUNCHING, Lifecycle.DRAINING)
        spent_s += running * max(0.0, at - since)
    if (day, spent_s) == (memory.spent_day, memory.spent_s):
        return memory
    return replace(memory, spent_day=day, spent_s=spent_s)


# --------------------------------------------------------------------------- service rate


def _learn_service_rate(memory: Memory, deleted: Series | None, fleet: Fleet, now: float) -> Memory:
    """Learn from each period of the deleted series once, when its sightings are complete."""
    if deleted is None or not deleted.points or not memory.sightings:
        return memory
    period_s = deleted.period_s
    seen_until = memory.sightings[-1].at
    for start_at, count in deleted.points[-HISTORY_PERIODS:]:
        end_at = start_at + period_s
        if start_at < memory.completed_until - period_s / 2 or end_at > min(now, seen_until):
            continue
        memory = _learn_period(replace(memory, completed_until=end_at), start_at, end_at, count, fleet)
    return memory


def _learn_period(memory: Memory, start_at: float, end_at: float, count: float, fleet: Fleet) -> Memory:
    during = _during(memory.sightings, start_at, end_at)
    if not during:
        return memory
    places = fleet.hints.concurrency
    if places / service_rate(memory, fleet, end_at).value > end_at - start_at:
        busy_s = _integral(during, start_at, end_at, lambda seen: seen.in_flight / places)
        return _learn_busy(memory, count, busy_s, end_at, fleet)
    if not all(seen.steady for seen in during):
        return memory
    if all(seen.visible > 0 for seen in during):
        unit_s = _integral(during, start_at, end_at, lambda seen: seen.working)
        return _learn_busy(memory, count, unit_s, end_at, fleet)
    return _learn_least(memory, count / (end_at - start_at), during, fleet)


def _learn_busy(memory: Memory, count: float, unit_s: float, end_at: float, fleet: Fleet) -> Memory:
    """Units were busy for `unit_s` in all: what was completed is what they can.

    Where work is slow, periods are added up to a sample. A period that is a sample by itself is not mixed with others,
    so that an outage before it does not count.
    """
    estimate = memory.service_rate
    believed = service_rate(memory, fleet, end_at).value
    founded = estimate is not None and estimate.weight > RATE_FREE_WEIGHT
    if unit_s <= 0 or (count == 0 and founded and believed * unit_s >= SAMPLE_MESSAGES):
        return memory  # consumers that were able to work complete nothing at all: an outage, not a speed
    messages, total_s = count, unit_s
    if count < SAMPLE_MESSAGES:
        messages, total_s = messages + memory.completing[0], total_s + memory.completing[1]
        slower = believed * total_s >= SAMPLE_EXPECTED and messages >= SAMPLE_FEWEST
        if messages < SAMPLE_MESSAGES and not slower:
            if messages == 0 and believed * total_s > SILENCE_EXPECTED:
                messages, total_s = 0.0, 0.0
            return replace(memory, completing=(messages, total_s))
    return _believe(replace(memory, completing=(0.0, 0.0)), (messages + 0.5) / total_s, end_at, fleet)


def _learn_least(memory: Memory, per_s: float, during: tuple[Sighting, ...], fleet: Fleet) -> Memory:
    """Some units idled: Little's law tells how many were busy, and so the least that one can."""
    estimate, at = memory.service_rate, during[-1].at
    if estimate is not None and estimate.weight > RATE_FREE_WEIGHT:
        return memory
    if per_s * (at - during[0].at) < SAMPLE_MESSAGES:
        return memory
    # One more sighting than there were, with one message in flight, keeps a lucky few from telling of none.
    in_flight = (sum(seen.in_flight for seen in during) + 1.0) / (len(during) + 1)
    least = fleet.hints.concurrency * per_s / in_flight
    if least <= service_rate(memory, fleet, at).value * LITTLE_MARGIN:
        return memory
    return replace(memory, service_rate=Estimate(least, HINT_WEIGHT, at))  # no better founded than a hint


def _integral(during: tuple[Sighting, ...], start_at: float, end_at: float, of: Callable[[Sighting], float]) -> float:
    """A figure of the sightings, summed over the seconds of a period that they cover."""
    total = 0.0
    for before, after in pairwise(during):
        seconds = min(after.at, end_at) - max(before.at, start_at)
        total += max(0.0, seconds) * (of(before) + of(after)) / 2
    return total


def _during(sightings: tuple[Sighting, ...], start_at: float, end_at: float) -> tuple[Sighting, ...]:
    """The sightings of a period, with the last before it and the first after it; none if it was not watched whole."""
    first = last = None
    for index, seen in enumerate(sightings):
        if seen.at <= start_at:
            first = index
        if seen.at >= end_at:
            last = index
            break
    if first is None or last is None:
        return ()
    return sightings[first : last + 1]


def _believe(memory: Memory, sample: float, at: float, fleet: Fleet) -> Memory:
    """Average a sample in, as a logarithm; a well-founded rate moves by a bounded step."""
    estimate = memory.service_rate or Estimate(fleet.hints.service_rate_per_s, HINT_WEIGHT, at)
    off = log(sample / estimate.mean)
    if estimate.weight > RATE_FREE_WEIGHT:
        off = max(-log(RATE_STEP), min(log(RATE_STEP), off))
    gain = 1.0 / (estimate.weight + 1.0)
    weight = min(estimate.weight + 1.0, RATE_WEIGHT_MAX)
    return replace(memory, service_rate=Estimate(estimate.mean * exp(gain * off), weight, at))


# --------------------------------------------------------------------------- lead time


def _learn_lead_time(memory: Memory, queue: QueueReading, group: GroupReading, at: float) -> Memory:
    """Time launches from first sight, or their own word, to in service; and on to the first message where seen."""
    before = memory.sightings[-1] if memory.sightings else None
    since_at = before.at if before is not None else at
    known = dict(memory.launches)
    launching: list[tuple[str, float]] = []
    starting = memory.starting
    estimate = memory.lead_time
    for instance in group.instances:
        launched_at = known.get(instance.id, instance.launched_at)
        if instance.state is Lifecycle.LAUNCHING:
            # First seen now, it was ordered at some time since the tick before: then, as a rule, right after it.
            ordered_at = since_at if at - since_at <= LEAD_GAP_S else at
            launching.append((instance.id, launched_at if launched_at is not None else ordered_at))
        elif (
            instance.state is Lifecycle.WORKING
            and launched_at is not None
            and before is not None
            and (instance.id in known or launched_at > since_at)
        ):
            # In service at some moment since the tick before, and not before its launch: the middle is the best guess.
            in_service_at = (max(since_at, launched_at) + at) / 2
            if at - since_at <= LEAD_GAP_S:
                estimate = _blend(estimate, in_service_at - launched_at, at, LEAD_WEIGHT_MAX, LEAD_FIRST_DEVIATION)
            if before.working == 0 and queue.visible is not None and starting is None:
                starting = (instance.id, launched_at, in_service_at)
    memory = _learn_first_work(memory, starting, queue, group, at)
    if estimate is memory.lead_time and tuple(launching) == memory.launches:
        return memory
    return replace(memory, lead_time=estimate, launches=tuple(launching))


def _learn_first_work(
    memory: Memory, starting: tuple[str, float, float] | None, queue: QueueReading, group: GroupReading, at: float
) -> Memory:
    """A group that comes from zero shows when its first instance takes its first message."""
    first_work = memory.first_work
    if starting is not None:
        alive = any(i.id == starting[0] and i.state is Lifecycle.WORKING for i in group.instances)
        in_flight = queue.in_flight.value if queue.in_flight is not None else 0.0
        waits = queue.visible is not None and queue.visible.value > 0
        if in_flight > 0:
            since_at = memory.sightings[-1].at if memory.sightings else at
            taken_at = (max(since_at, starting[2]) + at) / 2 if since_at > starting[2] else starting[2]
            first_work = _blend(first_work, taken_at - starting[2], at, LEAD_WEIGHT_MAX)
            starting = None
        elif not alive or not waits:
            starting = None  # gone, or nothing to take: it teaches nothing
    if starting == memory.starting and first_work is memory.first_work:
        return memory
    return replace(memory, starting=starting, first_work=first_work)
