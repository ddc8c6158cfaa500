"""Bounds of a service rate that nothing was measured of yet, by the counts that ticks see: no metric is waited for.

by counts      units that complete messages make the counts change, and a message takes at least as long as it has
by arrivals    without a unit at work the counts rise by what arrives; what they rise less by later is completed
"""

from itertools import pairwise
from math import inf, sqrt

from sluice.model.planning import TAKEN_WITHIN_S, QueueSample
from sluice.model.timing import Timing
from sluice.planning.learning.significance import LIKELY

SILENCE_TIMES = 2.0  # before anything was completed, a message is taken to last up to twice what it has taken so far
LIVE_GAP_TICKS = 2.0  # between samples further apart the counts may have gone up and down again


def by_counts(samples: tuple[QueueSample, ...], places: int, hinted_per_s: float, timing: Timing) -> float:
    """The highest rate that an unknown one can have, by how the counts changed and how long a message has taken.

    Messages waiting and in flight change by one with each that arrives or is completed, so between ticks by the square
    root of their number at least: the sum of the squared changes is no less than the number completed.
    """
    gap_most_s = LIVE_GAP_TICKS * timing.tick_s
    live_s = max(timing.metric_delay_s, 2.0 * gap_most_s)  # by then there are metrics
    moved = busy_s = watched_s = 0.0
    for after, before in zip(reversed(samples), reversed(samples[:-1]), strict=False):
        gap_s = after.at - before.at
        saturated = before.visible > 0 < after.visible and before.in_flight > 0 < after.in_flight
        if gap_s > gap_most_s or watched_s >= live_s or not saturated:
            break
        change = after.visible + after.in_flight - before.visible - before.in_flight
        moved += change * change
        watched_s += gap_s
        busy_s += gap_s * min(before.working, (before.in_flight + after.in_flight) / 2 / places)
    if busy_s < TAKEN_WITHIN_S:
        return hinted_per_s
    slowest = places / (places / hinted_per_s + SILENCE_TIMES * watched_s)
    return max((moved + 1.0) / busy_s, slowest)


def by_arrivals(samples: tuple[QueueSample, ...], places: int, timing: Timing) -> float:
    """The highest rate that is likely while messages arrive as they did before anybody took any; else infinite.

    Without a unit at work the counts rise by what arrives. What they rise less by, once units work, is completed. So a
    burst tells the rate minutes before its metrics come. Where they rise by more, arrivals have become more.
    """
    gap_most_s = LIVE_GAP_TICKS * timing.tick_s
    came = alone_s = busy_s = worked_s = rose = 0.0
    bound_per_s = inf
    for before, after in pairwise(samples):
        gap_s = after.at - before.at
        change = after.visible + after.in_flight - before.visible - before.in_flight
        if before.visible <= 0 or gap_s > gap_most_s or (worked_s > 0.0 and after.visible <= 0):
            if worked_s == 0.0:
                came = alone_s = 0.0
            continue
        if before.in_flight <= 0:
            if after.in_flight <= 0:
                came, alone_s = came + change, alone_s + gap_s
            continue
        if alone_s < LIVE_GAP_TICKS * timing.tick_s:
            continue
        rose, worked_s = rose + change, worked_s + gap_s
        busy_s += gap_s * min((before.working + after.working) / 2, (before.in_flight + after.in_flight) / 2 / places)
        expected = max(0.0, came) / alone_s * worked_s
        done = expected - rose
        if done <= 0.0:
            break
        if busy_s > 0.0:
            chance = sqrt(expected * (1.0 + worked_s / alone_s) + done)
            bound_per_s = min(bound_per_s, (done + LIKELY * chance) / busy_s)
    return bound_per_s
