"""Alarm judgments of the sandbox, against the tables in CloudWatch's page on missing data."""

from __future__ import annotations

import pytest

from sluice_tools.sandbox.emulator.alarm_rules import ALARM, INSUFFICIENT, OK, Rule, judge

KEEP = None
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")


def rule(periods: int, needed: int, missing: str = "missing", comparison: str = "GreaterThanThreshold") -> Rule:
    """Breaching is above 5."""
    return Rule(comparison, 5.0, periods, needed, missing)


def points(text: str) -> list[float | None]:
    """Data points as the tables write them: 0 is fine, X breaches, - is missing."""
    return [{"0": 1.0, "X": 9.0, "-": None}[mark] for mark in text.split()]


@pytest.mark.parametrize(
    ("data", "states"),
    [
        ("0 - X - X", (OK, OK, OK, OK)),
        ("- - - - 0", (OK, OK, OK, OK)),
        ("- - - - -", (INSUFFICIENT, KEEP, ALARM, OK)),
        ("0 X X - X", (ALARM, ALARM, ALARM, ALARM)),
        ("- - X - -", (ALARM, KEEP, ALARM, OK)),
    ],
)
def test_three_of_three(data: str, states: tuple[str | None, ...]) -> None:
    """Evaluation periods 3, datapoints to alarm 3, by treatment of missing data."""
    assert tuple(judge(rule(3, 3, missing), points(data)).state for missing in TREATMENTS) == states


@pytest.mark.parametrize(
    ("data", "states"),
    [
        ("0 - X - X", (ALARM, ALARM, ALARM, ALARM)),
        ("0 0 X 0 X", (ALARM, ALARM, ALARM, ALARM)),
        ("0 - X - -", (OK, OK, ALARM, OK)),
        ("- - - - 0", (OK, OK, ALARM, OK)),
        ("- - - X -", (ALARM, KEEP, ALARM, OK)),
    ],
)
def test_two_of_three(data: str, states: tuple[str | None, ...]) -> None:
    """Evaluation periods 3, datapoints to alarm 2, by treatment of missing data."""
    assert tuple(judge(rule(3, 2, missing), points(data)).state for missing in TREATMENTS) == states


@pytest.mark.parametrize(
    ("comparison", "value", "state"),
    [
        ("GreaterThanThreshold", 5.0, OK),
        ("GreaterThanThreshold", 5.1, ALARM),
        ("GreaterThanOrEqualToThreshold", 5.0, ALARM),
        ("LessThanThreshold", 5.0, OK),
        ("LessThanThreshold", 4.9, ALARM),
        ("LessThanOrEqualToThreshold", 5.0, ALARM),
    ],
)
def test_comparison_decides_at_the_threshold(comparison: str, value: float, state: str) -> None:
    """Each comparison at and beside the threshold."""
    assert judge(rule(1, 1, comparison=comparison), [value]).state == state


def test_newest_points_count_when_there_are_more_than_are_evaluated() -> None:
    """An old breach is out of the evaluation range's last periods."""
    assert judge(rule(2, 1), [9.0, 9.0, 1.0, 1.0]).state == OK


def test_reason_tells_the_points_newest_first() -> None:
    """The reason is what an operator reads in the console."""
    assert judge(rule(2, 2), [1.0, 9.0, 7.5]).reason == (
        "Threshold Crossed: 2 out of the last 2 datapoints [7.5, 9] were greater than the threshold (5)."
    )
