"""Messages that no consumer can complete: how many of those that wait are of that kind."""

from collections.abc import Sequence
from math import ceil
from typing import Any

from sluice.model.observed import QueueReading, Series
from sluice.model.planning import History, Memory, Sighting

POISON_PERIODS = 5  # in a row: long against a crash, and long enough for each message to be tried again
POISON_KNOWN_S = 600.0  # without a metric for so long, nothing is known of it any more
POISON_AGE_SLACK_S = 10.0  # clocks and ticks are coarse
POISON_LEAST = 3.0  # messages: fewer need no more than the one unit that stays anyway
POISON_NOISE = 0.05  # of the poison that waits: counts are approximate
POISON_DONE_SHARE = 0.5  # of what was sent, completed: consumers can work
POISON_SLACK_SHARE = 0.02  # of the poison, completed beyond all others there were, at most: nobody works it off


# --------------------------------------------------------------------------- poison


def learn_poison(
    memory: Memory, sightings: tuple[Sighting, ...], queue: QueueReading, returns: History
) -> dict[str, Any]:
    """What of the memory changes with a new oldest age: who was received too often, and what of it is poison."""
    oldest, suspects = queue.oldest_age, memory.suspects
    nothing: dict[str, Any] = {"poison": 0.0, "suspects": ()} if suspects else {}
    if suspects and (oldest is None or oldest.at < suspects[-1][0] + 0.9 * returns.period_s):
        forgotten = sightings and sightings[-1].at - suspects[-1][0] > POISON_KNOWN_S
        return nothing if forgotten else {}  # a period's own, one after the other
    if oldest is None or not returns.counts:
        return {}
    count, others = _suspects(sightings, oldest.at, oldest.value + POISON_AGE_SLACK_S)
    if count < POISON_LEAST:
        return nothing
    suspects = (*suspects, (oldest.at, count, others))[-POISON_PERIODS - 1 :]
    least = min(entry[1] for entry in suspects[-POISON_PERIODS:])
    others = max(entry[2] for entry in suspects)
    came, done = _sum_until(queue.sent, returns), _sum_until(queue.deleted, returns)
    able = done >= POISON_DONE_SHARE * came - POISON_LEAST
    undone = done <= came + others + max(POISON_LEAST, POISON_SLACK_SHARE * least)
    known = min(memory.poison, count)
    tried = sum(returns.counts[-POISON_PERIODS:])
    if len(suspects) >= POISON_PERIODS and tried >= least and (done >= 1.0 or known > 0.0):
        known = max(known, least)
    return {"poison": known if able and undone else 0.0, "suspects": suspects}


def _sum_until(series: Series | None, returns: History) -> float:
    """What a series counts in the last periods of which is known what came back."""
    if series is None:
        return 0.0
    since = returns.end_at - POISON_PERIODS * returns.period_s
    return sum(count for start_at, count in series.since(since) if start_at < returns.end_at)


def _suspects(sightings: Sequence[Sighting], at: float, fresh_s: float) -> tuple[float, float]:
    """Messages waiting or in flight at a moment: those that were there so many seconds before, and others."""
    there = None
    came = 0.0
    for index in range(len(sightings) - 1, 0, -1):
        seen, before = sightings[index], sightings[index - 1]
        if before.at <= at <= seen.at:
            there = min(seen.visible + seen.in_flight, before.visible + before.in_flight)
        if there is not None:
            if seen.at <= at - fresh_s:
                break
            came += seen.arrived
    else:
        if there is not None and sightings[0].at > at - fresh_s:
            return 0.0, there  # what was there before is not known
    if there is None:
        return 0.0, 0.0  # nobody looked
    return max(0.0, there - came), min(there, came)


def poison_alone(memory: Memory, visible: float, in_flight: float, wait_s: float) -> float:
    """How many of those that wait are poison without a deadline: all of them, or none."""
    waiting = memory.poison - in_flight
    if waiting <= 0.0 or visible > waiting + max(POISON_LEAST, POISON_NOISE * waiting):
        return 0.0
    periods = max(2, ceil(wait_s / memory.arrivals.period_s))
    return visible if not any(memory.arrivals.counts[-periods:]) else 0.0
