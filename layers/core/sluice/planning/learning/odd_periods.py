"""Periods in which units completed more or less than was expected of them, and what they are evidence of.

A single odd period is not believed: a count beyond a step (`TWICE`) of what was expected counts as that step. Three
in a row on the same side mean that messages have changed, and the evidence of the old ones is dropped. Without a
backlog a higher rate shows where more is completed than those in flight could at the rate believed; that is believed by
degrees.

Counts are messages of one period, `busy_s` the unit-seconds that units were busy in it; what was expected is None while
the rate is not well founded.
"""

from math import inf

from sluice.planning.learning.significance import FEW, FOUNDED, KNOWN_WELL, RECENT, TWICE

# Evidence beyond `KNOWN_WELL` fades by 7% a period: a quarter of an hour of work is remembered. So many messages are
# remembered however long ago: a quiet night teaches nothing new.
FADE = 0.93

type Run = tuple[int, float, float]  # periods in a row (- slower, + faster), messages, busy unit-seconds


def _bounds(expected: float | None) -> tuple[float, float]:
    """The least and the most completions of a period that are as expected; any, while the rate is not well founded."""
    if expected is None:
        return 0.0, inf
    return expected / TWICE - FEW, expected * TWICE + FEW


def is_outage(count: float, expected: float | None) -> bool:
    """Whether consumers that were able to work complete nothing at all."""
    return count == 0 and expected is not None and expected >= FOUNDED


def run_of(run: Run, count: float, busy_s: float, expected: float | None) -> Run:
    """The run of periods beyond what was expected on one side, with one more; empty once a period is as expected.

    A period without a completion does not count as one, since an outage has such, but its seconds belong to the run.
    """
    least, most = _bounds(expected)
    if least <= count <= most:
        return 0, 0.0, 0.0
    side = 1 if count > most else -1
    goes_on = run[0] * side > 0 or (side < 0 and run[0] == 0)
    periods, messages, seconds = run if goes_on else (0, 0.0, 0.0)
    return periods + (side if count > 0.0 else 0), messages + count, seconds + busy_s


def run_unseen(run: Run, count: float, busy_s: float, expected: float | None) -> Run:
    """The run after a period in which nothing need have waited: it can only show a higher rate.

    The messages in flight at ticks are samples: they may be half of what they were, and the period's twice as many.
    """
    if busy_s <= 0.0:
        return run
    if expected is not None and count > _bounds(expected)[1]:
        return run_of(run, min(count, TWICE * TWICE * expected + FEW), busy_s, expected)
    return run if run[0] < 0 else (0, 0.0, 0.0)


def has_changed(run: Run, message_periods: float, *, is_late: bool) -> bool:
    """Whether a run of odd periods says more of what messages are now than all that was known.

    Periods within one message's time are alike: long messages that began together end together, all in a few of them.

    Args:
        run: periods in a row beyond what was expected.
        message_periods: how long a message takes, in periods.
        is_late: whether the oldest message is late by its metric, as one that takes long may be. A slow period is
            enough then: it is known to be no chance.
    """
    periods = run[0]
    return abs(periods) >= RECENT * max(1.0, message_periods) or (is_late and periods < 0 and message_periods <= 1.0)


def weighed(count: float, busy_s: float, evidence: tuple[float, float], expected: float | None) -> tuple[float, float]:
    """The evidence with one more period's: completed messages, and the unit-seconds they took."""
    messages, seconds = evidence
    least, most = _bounds(expected)
    count = min(max(count, least), most)
    kept = max(FADE, min(1.0, KNOWN_WELL / messages)) if messages > 0.0 else 1.0
    return messages * kept + count, seconds * kept + busy_s
