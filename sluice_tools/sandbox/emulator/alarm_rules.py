"""When an alarm changes its state, as a pure judgment over its most recent data points.

AWS pages (AmazonCloudWatch/latest/monitoring): alarm-evaluation.html ("M out of N"; more points are looked at than
are evaluated), alarms-and-missing-data.html (its tables are the tests' cases).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"

EXTRA_PERIODS = 2
"""Periods looked at beyond those evaluated, so that late data does not read as missing (AWS does not say how many;
its examples look at five for three)."""

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}

_WORDS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """What an alarm compares, how often, and what it makes of missing data."""

    comparison: str
    threshold: float
    periods: int
    needed: int
    missing: str = "missing"

    def breaches(self, value: float) -> bool:
        """Whether one data point is on the wrong side of the threshold."""
        return COMPARISONS[self.comparison](value, self.threshold)


@dataclass(frozen=True, slots=True)
class Judgment:
    """The state an alarm should be in; None: the one it is in. And why, in CloudWatch's manner."""

    state: str | None
    reason: str = ""


def judge(rule: Rule, points: Sequence[float | None]) -> Judgment:
    """Judge the evaluation range, oldest point first, None where data is missing."""
    real = [point for point in points if point is not None]
    if not real:
        return _nothing(rule, len(points))
    evaluated = real[-rule.periods :]
    lacking = rule.periods - len(evaluated)
    breaching = sum(rule.breaches(point) for point in evaluated)
    needed = rule.needed
    if lacking and rule.missing == "breaching":
        breaching += lacking
    if lacking and rule.missing == "missing":
        # Missing points are left out of account: what is there decides.
        needed = min(needed, len(evaluated))
    if lacking and rule.missing == "ignore" and breaching == len(evaluated) < needed:
        return Judgment(None)
    state = ALARM if breaching >= needed else OK
    return Judgment(state, _reason(rule, evaluated, breaching, state))


def _nothing(rule: Rule, periods: int) -> Judgment:
    state = {"breaching": ALARM, "notBreaching": OK, "ignore": None}.get(rule.missing, INSUFFICIENT)
    if state == INSUFFICIENT:
        return Judgment(state, f"Insufficient Data: {periods} datapoints were unknown.")
    treated = "breaching" if state == ALARM else "not breaching"
    return Judgment(
        state, f"no datapoints were received for {periods} periods and missing data is treated as {treated}."
    )


def _reason(rule: Rule, evaluated: Sequence[float], breaching: int, state: str) -> str:
    verb = "was" if len(evaluated) == 1 else "were"
    negation = "" if state == ALARM else "not "
    count = breaching if state == ALARM else len(evaluated) - breaching
    shown = ", ".join(f"{point:g}" for point in reversed(evaluated))
    return (
        f"Threshold Crossed: {count} out of the last {rule.periods} datapoints [{shown}] {verb} {negation}"
        f"{_WORDS[rule.comparison]} the threshold ({rule.threshold:g})."
    )
