"""The service rate: messages a second that one unit of capacity completes, by what was completed and who was busy.

Theory of operation
-------------------
Messages completed by the seconds that units were busy: two sums that forget, begun with the hint as if it were the
evidence of a message or less. Units are busy where messages waited throughout and none was draining. Where a message
takes longer than a period, backlog and completion are out of step: there a unit counts as busy by the messages in
flight (Little's law), whatever waits; so it does while next to nothing is known, and in a fleet of a few units, where
messages take long enough for ticks to see them: with few of them, messages wait throughout where units have just begun,
and what is done after that would not count. A busy second without a completion is evidence, too: work of five minutes
is believed after a few, not after ten completions.

Until metrics come, the queue's counts bound an unknown rate: units that complete so many a second make them move. Where
nothing at all completes that did before, consumers cannot work: an outage, which says nothing of their speed.

One odd period is not believed: what is beyond a step of what was expected counts as that step. Three in a row, all
beyond it on the same side, are no chance and no accident: what a message is has changed, and what was known of the old
ones is let go. Speed shows without a backlog, too: where more is completed than those in flight could, by what is
believed of them, they are faster. That is believed by degrees, and where messages take long enough for ticks to see
them in flight.
"""

from collections.abc import Callable
from itertools import pairwise
from math import inf
from typing import Any

from sluice.config.fleet import Fleet
from sluice.model.observed import Series
from sluice.model.planning import Estimate, History, Measure, Memory, Sighting
from sluice.planning.learning import redeliveries

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

type Run = tuple[int, float, float]  # periods in a row (- slower, + faster), messages, busy unit-seconds


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


# --------------------------------------------------------------------------- learned


def learn_service_rate(
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
    returned = redeliveries.came_back_in(returns, start_at)
    if not redeliveries.is_failing(returned, deletions):
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
