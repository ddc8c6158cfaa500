"""What the planner learns of its fleet: service rate and lead time, each with the weight of its evidence.

Theory of operation
-------------------
Everything is learned from what ticks see anyway, tick by tick, and kept in `Memory`; a tick looked at twice teaches
nothing twice. Metrics are one to three minutes late, so ticks leave `Sighting`s behind: when the figures of a period
arrive, the sightings tell what the fleet was doing in it.

service rate  messages completed by the seconds that units were busy: two sums that forget, begun with the hint as if
              it were the evidence of a message or less. Units are busy where messages waited throughout and none was
              draining. Where a message takes longer than a period, backlog and completion are out of step: there a
              unit counts as busy by the messages in flight (Little's law), whatever waits; so it does while next to
              nothing is known, and in a fleet of a few units, where messages take long enough for ticks to see them:
              with few of them, messages wait throughout where units have just begun, and what is done after that
              would not count. A busy second without a completion is evidence, too: work of five minutes is believed
              after a few, not after ten completions.
              Until metrics come, the queue's counts bound an unknown rate: units that complete so many a second make
              them move. Where nothing at all completes that did before, consumers cannot work: an outage, which says
              nothing of their speed.
              One odd period is not believed: what is beyond a step of what was expected counts as that step. Three in a
              row, all beyond it on the same side, are no chance and no accident: what a message is has changed, and
              what was known of the old ones is let go. Speed shows without a backlog, too: where more is completed
              than those in flight could, by what is believed of them, they are faster. That is believed by degrees,
              and where messages take long enough for ticks to see them in flight.
lead time     launch to in service, from instances seen on the way; and in service to first message, seen where a
              group comes from zero and the first message in flight must be the new instance's. Consumers that report
              when they are ready and at work say it better: their own launches, once timed, are believed instead.
arrivals      by `forecasting`.
demand        by `hygiene`: what of a queue's counts is no news of it.
lateness      by `feedback`: what was late though the plan held.

Every period's length is the series' own (`Series.period_s`): nothing here takes a minute for granted.
"""

from collections.abc import Callable
from itertools import pairwise
from math import inf
from typing import Any

from sluice import feedback, hygiene
from sluice.config import Fleet
from sluice.forecasting import DAY_S, blend, learn_arrivals, merge
from sluice.model import (
    Estimate,
    GroupReading,
    History,
    Instance,
    Lifecycle,
    Memory,
    QueueMemory,
    QueueReading,
    Series,
    Sighting,
    Snapshot,
)
from sluice.values import dataclass, replace

SIGHTINGS_S = 420.0  # metrics of a period are at most about three minutes late; with the period itself and some slack
SIGHTINGS_COUNT = 64  # seven minutes of ten-second ticks and some; a bound on the ledger's record
QUEUE_PERIODS = 180  # of each queue of a shared fleet: three hours; what waits longer came before
BLIND_S = 120.0  # between ticks further apart, nothing can be told of what came and went

DEFAULT_WEIGHT = 0.5  # in messages: nobody said how long they take
HINT_WEIGHT = 1.0  # somebody did
FOUNDED = 10.0  # completed messages after which a rate is well founded: its standard error is then about a third
EVIDENCE_LEAST = 60.0  # completed messages that are not forgotten, however long ago
FADE = 0.93  # of the rest each period: a quarter of an hour of work is remembered
RATE_STEP = 2.0  # one period's completions count as at most so many times what was expected, or so much less
RATE_SLACK = 3.0  # and so many messages more: few are chance
CHANGED_PERIODS = 3  # in a row beyond that step on the same side, in which something was completed: no accident
SEEN_SHARE = 0.8  # of the time between ticks: messages that take so long are in flight at one of them, nearly all
UNSEEN_STEP = 4.0  # of what was expected, where nothing waited: those in flight at ticks are samples
FEW_UNITS = 3.0  # at most so many are told busy by what is in flight: of more, one may hold what others could do
STUCK = 1.5  # messages in flight that should have been completed, and none was: who held them is gone
SILENCE_TIMES = 2.0  # before anything was completed, a message takes at most so many times what it has taken so far
LIVE_S = 120.0  # counts so far back bound an unknown rate
LIVE_GAP_S = 20.0  # between ticks further apart, counts may have gone to and fro
LIVE_BUSY_S = 30.0  # busy unit-seconds that such a bound rests on, at least

WAIT_SHARE = 0.9  # of the target wait: what plans keep back of it is less
LEAD_WEIGHT_MAX = 8.0  # launches remembered
LEAD_FIRST_DEVIATION = 0.2  # of the first launch seen: others may well take so much longer
REPORTED_S = 86_400.0  # consumers that have timed no launch for a day of launches no longer report
LEAD_GAP_S = 45.0  # ticks further apart than this time a launch too coarsely


type Run = tuple[int, float, float]  # periods in a row (- slower, + faster), messages, busy unit-seconds


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity to plan with: `source` is "measured", "bounded" or "hint", `age_s` None for a hint."""

    value: float
    source: str
    age_s: float | None
    deviation: float = 0.0


def learn(memory: Memory, snapshot: Snapshot, fleet: Fleet, now: float) -> Memory:
    """The memory after a tick has looked at the fleet. Repeating it with the same snapshot changes nothing.

    Args:
        memory: what was known before; empty at first.
        snapshot: what the tick saw; its `at` orders the sightings.
        fleet: hints, and the horizon over which forecasts are judged.
        now: epoch seconds.
    """
    lead_s = memory.lead_time.mean if memory.lead_time is not None else fleet.hints.lead_time_s
    learned = learn_arrivals(memory, snapshot.queue.sent, fleet.tightest_wait_s + lead_s, now)
    learned |= _learn_reported(memory)
    group, sightings, returns = snapshot.group, memory.sightings, memory.returns
    if group is not None and snapshot.at > memory.learned_at:
        learned |= _learn_lead_time(memory, snapshot.queue, group, snapshot.at)
        learned |= _learn_spending(memory, group, snapshot.at)
        if fleet.shared:
            learned["queues"] = queues = _see_each(memory, snapshot, group, fleet, now)
            sightings = _see_together(memory, queues, snapshot, fleet)
        else:
            sightings = _see(memory, snapshot.queue, group, fleet, snapshot.at)
            if memory.queues:
                learned["queues"] = ()  # of when it was shared
        returned, sightings = hygiene.learn_returns(memory, sightings, snapshot.queue)
        learned |= returned | {"sightings": sightings, "learned_at": snapshot.at}
        returns = returned.get("returns", returns)
        learned |= hygiene.learn_poison(memory, sightings, snapshot.queue, returns)
        if fleet.shared:
            learned |= feedback.NOTHING  # the oldest message may be of a queue whose messages may be old
        else:
            learned |= feedback.settled(memory, sightings, snapshot.queue, fleet.target_wait_s, snapshot.at)
    learned |= _learn_service_rate(memory, sightings, snapshot.queue.deleted, fleet, now, returns=returns)
    return replace(memory, **learned) if learned else memory


def service_rate(memory: Memory, fleet: Fleet, now: float) -> Measure:
    """Messages per second that one unit of capacity completes: measured, else the hint, less what counts rule out."""
    hinted_per_s, estimate = fleet.hints.service_rate_per_s, memory.service_rate
    measure = Measure(hinted_per_s, "hint", None)
    if estimate is not None:
        measure = Measure(estimate.mean, "measured", max(0.0, now - estimate.at))
    if not is_unproven(memory, fleet):
        return measure
    bound_per_s = _by_counts(memory.sightings, fleet.hints.concurrency, hinted_per_s)
    return measure if bound_per_s >= measure.value else Measure(bound_per_s, "bounded", 0.0)


def is_unproven(memory: Memory, fleet: Fleet) -> bool:
    """Whether the service rate is a guess: nobody said it, and nothing is known to have been completed."""
    estimate = memory.service_rate
    return (estimate is None or estimate.weight < 1.0) and not fleet.hints.tells_speed


def lead_time(memory: Memory, fleet: Fleet, now: float) -> Measure:
    """Seconds from launch to first message worked on: measured, else the hint; `value` is the mean."""
    estimate, first, reported = memory.lead_time, memory.first_work, memory.reported
    if reported is not None and (estimate is None or estimate.at - reported.at <= REPORTED_S):
        return Measure(reported.mean, "measured", max(0.0, now - reported.at), reported.deviation)
    if estimate is None:
        return Measure(fleet.hints.lead_time_s, "hint", None)
    extra = (first.mean, first.deviation) if first is not None else (0.0, 0.0)
    return Measure(estimate.mean + extra[0], "measured", max(0.0, now - estimate.at), estimate.deviation + extra[1])


def capacity(instances: tuple[Instance, ...], *states: Lifecycle) -> float:
    """Capacity units of the healthy instances in any of the states."""
    units = 0.0
    for instance in instances:
        if instance.healthy and instance.state in states:
            units += instance.weight
    return units


# --------------------------------------------------------------------------- sightings


def _see(memory: Memory, queue: QueueReading, group: GroupReading, fleet: Fleet, at: float) -> tuple[Sighting, ...]:
    """The sightings with this tick's; without the queue's live figures there is nothing to see."""
    if queue.visible is None:
        return memory.sightings
    working = capacity(group.instances, Lifecycle.WORKING)
    # A guess would make up arrivals by the thousand: until it is proven, what comes is what the counts grow by.
    rate_per_s = 0.0 if is_unproven(memory, fleet) else service_rate(memory, fleet, at).value
    most = _most_to_come(memory, queue, group, fleet, at)
    sightings, visible, doubted = hygiene.doubt(memory.sightings, queue, at, working * rate_per_s, most)
    before = sightings[-1] if sightings else None
    in_flight = queue.in_flight.value if queue.in_flight is not None else (before.in_flight if before else 0.0)
    steady = not any(instance.state is Lifecycle.DRAINING for instance in group.instances)
    arrived = excess = returned = 0.0
    if before is not None:
        gap_s = at - before.at
        completed = 0.0
        if gap_s <= BLIND_S:
            busy = (in_flight + before.in_flight) / 2 / fleet.hints.concurrency
            done = min(busy, (working + before.working) / 2) * rate_per_s * gap_s
            completed = done * (1.0 - memory.failing)
            returned = hygiene.came_back(memory, before, queue, done, gap_s)
        # Completions are lumps and the estimate is not: what was counted too many is taken off what comes next, up to
        # what can complete at once.
        came = visible - before.visible + in_flight - before.in_flight + completed - before.excess
        arrived, excess = max(0.0, came), min(max(0.0, -came), before.in_flight)
    return _kept(sightings, Sighting(at, visible, in_flight, working, steady, arrived, excess, returned, doubted))


def _most_to_come(memory: Memory, queue: QueueReading, group: GroupReading, fleet: Fleet, at: float) -> float | None:
    """How many messages may have come since the last look without a doubt; None: any number.

    Growth may wait for another look only where that breaks no promise.
    """
    assert queue.visible is not None, "without it there is nothing to see"
    visible = queue.visible.value
    before = memory.sightings[-1] if memory.sightings else None
    if before is None or visible <= before.visible + hygiene.RISE_LEAST or fleet.limits.max_step is not None:
        return None
    lead = lead_time(memory, fleet, at)
    seconds = at - before.at
    spare_s = hygiene.spare_s(fleet.target_wait_s * WAIT_SHARE, lead.value + lead.deviation, seconds)
    if spare_s <= 0.0 or visible > (group.max_size - group.desired) * service_rate(memory, fleet, at).value * spare_s:
        return None
    in_flight = queue.in_flight.value if queue.in_flight is not None else 0.0
    return hygiene.precedent(memory, visible + in_flight - before.visible - before.in_flight, seconds)


def through(memory: Memory, queue: str) -> Memory:
    """The memory as if the fleet had this one of its queues alone: for when what waits in it came."""
    kept = next((each for each in memory.queues if each.name == queue), QueueMemory(queue))
    return replace(
        memory,
        arrivals=kept.arrivals,
        sightings=kept.sightings,
        outlook=None,
        returns=History(),
        suspects=(),
        poison=0.0,
        queues=(),
    )


def _see_each(
    memory: Memory, snapshot: Snapshot, group: GroupReading, fleet: Fleet, now: float
) -> tuple[QueueMemory, ...]:
    """What is remembered of each of a shared fleet's queues, with what this tick saw of it."""
    learned = []
    for source, reading in zip(fleet.sources, snapshot.queues, strict=True):
        alone = through(memory, source.name)
        sightings = _see(alone, reading, group, fleet, snapshot.at)
        history = alone.arrivals if reading.sent is None else merge(alone.arrivals, reading.sent, now, QUEUE_PERIODS)
        learned.append(QueueMemory(source.name, history, sightings))
    return tuple(learned)


def _see_together(
    memory: Memory, queues: tuple[QueueMemory, ...], snapshot: Snapshot, fleet: Fleet
) -> tuple[Sighting, ...]:
    """The sightings with this tick's of all queues; without the counts of every queue there is nothing to see.

    What came is what came to each, so that a queue that is no longer paused does not seem to come all at once.
    """
    seen = [queue.sightings[-1] for queue in queues if queue.sightings and queue.sightings[-1].at == snapshot.at]
    if len(seen) < len(fleet.sources):
        return memory.sightings
    sightings = memory.sightings
    if sightings and sightings[-1].doubted is not None:
        sightings = sightings[:-1]  # as it is struck out of its queue's
    since_at = sightings[-1].at if sightings else snapshot.at
    open_to = [place for place, source in enumerate(fleet.sources) if not source.paused]
    consumed = [seen[place] for place in open_to]
    # Since the last sighting of all, of which a queue may have had some of its own.
    came = [one for place in open_to for one in queues[place].sightings if one.at > since_at]
    counted = sum(one.visible if one.doubted is None else one.doubted for one in consumed)
    together = replace(
        seen[0],
        visible=sum(one.visible for one in consumed),
        in_flight=sum(one.in_flight for one in seen),
        arrived=sum(one.arrived for one in came),
        excess=0.0,
        returned=sum(one.returned for one in came),
        doubted=None if all(one.doubted is None for one in consumed) else counted,
    )
    return _kept(sightings, together)


def _kept(sightings: tuple[Sighting, ...], newest: Sighting) -> tuple[Sighting, ...]:
    """The sightings with a new one, and without those that no metric can speak of any more."""
    oldest_at = newest.at - SIGHTINGS_S
    first = max(0, len(sightings) - SIGHTINGS_COUNT + 1)
    while first < len(sightings) and sightings[first].at < oldest_at:
        first += 1
    return (*sightings[first:], newest)


def _learn_spending(memory: Memory, group: GroupReading, at: float) -> dict[str, Any]:
    """Add up the instance-seconds of the UTC day, as the budget counts them."""
    day = at - at % DAY_S
    spent_s = memory.spent_s if memory.spent_day == day else 0.0
    if memory.learned_at:
        since = max(memory.learned_at, day, at - SIGHTINGS_S)
        running = capacity(group.instances, Lifecycle.WORKING, Lifecycle.LAUNCHING, Lifecycle.DRAINING)
        spent_s += running * max(0.0, at - since)
    return {"spent_day": day, "spent_s": spent_s}


# --------------------------------------------------------------------------- service rate


def _learn_service_rate(
    memory: Memory,
    sightings: tuple[Sighting, ...],
    deleted: Series | None,
    fleet: Fleet,
    now: float,
    *,
    returns: History,
) -> dict[str, Any]:
    """Learn from each period of the deleted series once, when its sightings are complete."""
    if deleted is None or not deleted.points or not sightings:
        return {}
    period_s = deleted.period_s
    until = min(now, sightings[-1].at)
    learned_until, evidence, estimate = memory.completed_until, memory.completing, memory.service_rate
    unlike = memory.unlike
    for start_at, deletions in deleted.since(learned_until):
        end_at = start_at + period_s
        if end_at > until:
            break
        learned_until = end_at
        during = _during(sightings, start_at, end_at)
        count, failing = _tried(memory, returns, (start_at, deletions), evidence)
        busy_s = _busy_s(during, (start_at, end_at), count, estimate, fleet)
        at_most_s = busy_s or _busy_at_most_s(during, end_at - start_at, estimate, fleet)
        expected = None if estimate is None or evidence[0] < FOUNDED else estimate.mean * at_most_s
        if busy_s > 0.0 and _is_outage(count, expected):
            continue
        if not failing:
            unlike = (_unlike if busy_s > 0.0 else _unlike_unseen)(unlike, count, at_most_s, expected)
        if abs(unlike[0]) >= CHANGED_PERIODS:
            evidence, unlike = unlike[1:], (0, 0.0, 0.0)
        elif busy_s > 0.0:
            evidence = _weigh(count, busy_s, evidence, expected)
        else:
            continue
        estimate = _estimate(evidence, fleet, end_at)
    if learned_until == memory.completed_until:
        return {}
    return {"completed_until": learned_until, "completing": evidence, "unlike": unlike, "service_rate": estimate}


def _tried(
    memory: Memory, returns: History, point: tuple[float, float], evidence: tuple[float, float]
) -> tuple[float, bool]:
    """What a period's completions count as, and whether it fails: more came back then than was completed."""
    start_at, deletions = point
    returned = hygiene.came_back_in(returns, start_at)
    if not hygiene.is_failing(returned, deletions):
        return deletions, False
    if memory.poison > 0.0 or evidence[0] < FOUNDED:
        return deletions + returned, False
    return deletions, True


def _busy_s(
    during: tuple[Sighting, ...], period: tuple[float, float], count: float, estimate: Estimate | None, fleet: Fleet
) -> float:
    """Unit-seconds that units were busy in a period; 0 where that cannot be told."""
    if not during:
        return 0.0
    start_at, end_at = period
    places = fleet.hints.concurrency
    per_s = estimate.mean if estimate is not None else fleet.hints.service_rate_per_s
    if places / per_s > end_at - start_at:
        return _integral(during, start_at, end_at, lambda seen: _at_work(seen, places))
    if not all(seen.steady for seen in during):
        return 0.0
    if all(seen.visible > 0 for seen in during):
        return _integral(during, start_at, end_at, lambda seen: seen.working)
    if estimate is not None and estimate.weight >= FOUNDED:
        return _busy_of_few_s(during, period, count, estimate, places)
    return _busy_at_first_s(during, end_at - start_at, count, places)


def _busy_at_first_s(during: tuple[Sighting, ...], period_s: float, count: float, places: int) -> float:
    """The same while next to nothing is known, by the messages in flight; 0 of a period without any."""
    if count == 0 and not any(seen.in_flight > 0 for seen in during):
        return 0.0
    # One more sighting than there were, with one message in flight, keeps a lucky few from telling of none.
    at_work = sum(_at_work(seen, places) for seen in during)
    return (at_work + 1.0 / places) / (len(during) + 1) * period_s


def _busy_of_few_s(
    during: tuple[Sighting, ...], period: tuple[float, float], count: float, estimate: Estimate, places: int
) -> float:
    """The same of a few units by the messages in flight; 0 where ticks may not see them, or those seen are stuck."""
    if max(seen.working for seen in during) > FEW_UNITS or not _is_seen(during, estimate, places):
        return 0.0
    busy_s = _integral(during, *period, lambda seen: _at_work(seen, places))
    return 0.0 if count == 0 and busy_s * estimate.mean >= STUCK else busy_s


def _is_seen(during: tuple[Sighting, ...], estimate: Estimate, places: int) -> bool:
    """Whether a message takes as long as it is from tick to tick, nearly: shorter ones may all be done in between."""
    return places / estimate.mean >= SEEN_SHARE * max(after.at - before.at for before, after in pairwise(during))


def _at_work(seen: Sighting, places: int) -> float:
    """Units at work by the messages in flight: no more than there are, since some wait at a consumer, or to be back."""
    return min(seen.in_flight / places, seen.working) if seen.steady else seen.in_flight / places


def _is_outage(count: float, expected: float | None) -> bool:
    """Whether consumers that were able to work complete nothing at all."""
    return count == 0 and expected is not None and expected >= FOUNDED


def _busy_at_most_s(during: tuple[Sighting, ...], period_s: float, estimate: Estimate | None, fleet: Fleet) -> float:
    """Unit-seconds that units were busy in a period at most, by the messages in flight; 0 where that cannot be told.

    One more sighting than there were, with a unit at work, keeps a lucky few from telling of none.
    """
    if not during or estimate is None or not _is_seen(during, estimate, fleet.hints.concurrency):
        return 0.0
    units = sum(_at_work(seen, fleet.hints.concurrency) for seen in during)
    return (units + 1.0) / (len(during) + 1) * period_s


def _bounds(expected: float | None) -> tuple[float, float]:
    """The least and the most completions of a period that are as expected; any, while the rate is not well founded."""
    if expected is None:
        return 0.0, inf
    return expected / RATE_STEP - RATE_SLACK, expected * RATE_STEP + RATE_SLACK


def _unlike(run: Run, count: float, busy_s: float, expected: float | None) -> Run:
    """The periods in a row beyond what was expected, on the same side, with one more; none once one is as expected.

    One without a completion is no evidence by itself, since an outage has such, but it belongs to what follows.
    """
    least, most = _bounds(expected)
    if least <= count <= most:
        return 0, 0.0, 0.0
    side = 1 if count > most else -1
    goes_on = run[0] * side > 0 or (side < 0 and run[0] == 0)
    periods, messages, seconds = run if goes_on else (0, 0.0, 0.0)
    return periods + (side if count > 0.0 else 0), messages + count, seconds + busy_s


def _unlike_unseen(run: Run, count: float, busy_s: float, expected: float | None) -> Run:
    """The same of a period in which nothing need have waited: it can only tell of more, and of so much more at most."""
    if busy_s <= 0.0:
        return run
    if expected is not None and count > _bounds(expected)[1]:
        return _unlike(run, min(count, UNSEEN_STEP * expected + RATE_SLACK), busy_s, expected)
    return run if run[0] < 0 else (0, 0.0, 0.0)


def _weigh(count: float, busy_s: float, evidence: tuple[float, float], expected: float | None) -> tuple[float, float]:
    """The evidence with one more period's: completed messages, and the unit-seconds they took."""
    messages, seconds = evidence
    least, most = _bounds(expected)
    count = min(max(count, least), most)
    kept = max(FADE, min(1.0, EVIDENCE_LEAST / messages)) if messages > 0.0 else 1.0
    return messages * kept + count, seconds * kept + busy_s


def _estimate(evidence: tuple[float, float], fleet: Fleet, at: float) -> Estimate:
    """The rate by the evidence, and by the hint for as much as that weighs."""
    messages, seconds = evidence
    weight = HINT_WEIGHT if fleet.hints.tells_speed else DEFAULT_WEIGHT
    hinted_per_s = fleet.hints.service_rate_per_s
    return Estimate((messages + weight) / (seconds + weight / hinted_per_s), messages, at)


def _by_counts(sightings: tuple[Sighting, ...], places: int, hinted_per_s: float) -> float:
    """The highest rate that an unknown one can have: by how the counts moved, and how long a message has taken.

    What waits and is in flight changes by one with each message that comes or is completed, so between ticks by the
    square root of their number, at least; and squares add up to no less than what was completed.
    """
    moved = busy_s = watched_s = 0.0
    for after, before in zip(reversed(sightings), reversed(sightings[:-1]), strict=False):
        gap_s = after.at - before.at
        saturated = before.visible > 0 < after.visible and before.in_flight > 0 < after.in_flight
        if gap_s > LIVE_GAP_S or watched_s >= LIVE_S or not saturated:
            break
        change = after.visible + after.in_flight - before.visible - before.in_flight
        moved += change * change
        watched_s += gap_s
        busy_s += gap_s * min(before.working, (before.in_flight + after.in_flight) / 2 / places)
    if busy_s < LIVE_BUSY_S:
        return hinted_per_s
    slowest = places / (places / hinted_per_s + SILENCE_TIMES * watched_s)
    return max((moved + 1.0) / busy_s, slowest)


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


# --------------------------------------------------------------------------- lead time


def _learn_lead_time(memory: Memory, queue: QueueReading, group: GroupReading, at: float) -> dict[str, Any]:
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
                estimate = blend(estimate, in_service_at - launched_at, at, LEAD_WEIGHT_MAX, LEAD_FIRST_DEVIATION)
            if before.working == 0 and queue.visible is not None and starting is None:
                starting = (instance.id, launched_at, in_service_at)
    learned: dict[str, Any] = {}
    if estimate is not memory.lead_time or launching or memory.launches:
        learned = {"lead_time": estimate, "launches": tuple(launching)}
    if starting is not None or memory.starting is not None:
        learned |= _learn_first_work(memory, starting, queue, group, at)
    return learned


def _learn_reported(memory: Memory) -> dict[str, Any]:
    """Learn from each launch that consumers timed once, by its number."""
    reported, number = memory.reported, memory.reported_number
    if not memory.timed or memory.timed[-1].number <= number:
        return {}
    for launch in memory.timed:
        if launch.number > number:
            reported = blend(reported, launch.lead_s, launch.measured_at, LEAD_WEIGHT_MAX, LEAD_FIRST_DEVIATION)
    return {"reported": reported, "reported_number": memory.timed[-1].number}


def _learn_first_work(
    memory: Memory, starting: tuple[str, float, float] | None, queue: QueueReading, group: GroupReading, at: float
) -> dict[str, Any]:
    """A group that comes from zero shows when its first instance takes its first message."""
    first_work = memory.first_work
    if starting is not None:
        alive = any(i.id == starting[0] and i.state is Lifecycle.WORKING for i in group.instances)
        in_flight = queue.in_flight.value if queue.in_flight is not None else 0.0
        waits = queue.visible is not None and queue.visible.value > 0
        if in_flight > 0:
            since_at = memory.sightings[-1].at if memory.sightings else at
            taken_at = (max(since_at, starting[2]) + at) / 2 if since_at > starting[2] else starting[2]
            first_work = blend(first_work, taken_at - starting[2], at, LEAD_WEIGHT_MAX)
            starting = None
        elif not alive or not waits:
            starting = None  # gone, or nothing to take: it teaches nothing
    return {"starting": starting, "first_work": first_work}
