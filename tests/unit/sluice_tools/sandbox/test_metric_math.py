"""Metric math of the sandbox: expressions over series, as CloudWatch documents them."""

from __future__ import annotations

import pytest

from sluice_tools.sandbox.emulator.metric_math import MathError, Series, run

TIMES = [0.0, 60.0, 120.0, 180.0]


def result(expression: str, **metrics: Series) -> Series:
    """The one series that an expression comes to."""
    found = run({"e": expression}, metrics, TIMES, 60.0)["e"]
    if isinstance(found, MathError):
        raise found
    assert len(found) == 1
    series: Series = found[0]
    return series


def constant(value: float) -> Series:
    """One value at all times."""
    return dict.fromkeys(TIMES, value)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("a + b * 2", 16.0),
        ("(a + b) * 2", 20.0),
        ("a / b - 1", -1 / 3),
        ("-a + 10", 6.0),
        ("2 ^ 3 ^ 1", 8.0),
        ("10 - 3 - 2", 5.0),
        ("a > 3", 1.0),
        ("a >= 4 AND b < 6", 0.0),
        ("a == 5 OR b != 7", 1.0),
        ("a == 4 && b == 6", 1.0),
        ("a == 5 || b == 7", 0.0),
        ("IF(a > 3, b, 0)", 6.0),
        ("IF(a > 3 AND b < 1, 1, 0)", 0.0),
        ("IF(1, a, b)", 4.0),
        ("MAX([a, b])", 6.0),
        ("MIN([a, b])", 4.0),
        ("SUM([a, b])", 10.0),
        ("AVG([a, b])", 5.0),
        ("SUM(METRICS())", 10.0),
        ('SUM(METRICS("a"))', 4.0),
        ("METRIC_COUNT(METRICS())", 2.0),
        ("ABS(a - b)", 2.0),
        ("CEIL(a / 3)", 2.0),
        ("FLOOR(a / 3)", 1.0),
        ("a * PERIOD(a)", 240.0),
        (".5 * a", 2.0),
        ("1e2 + a", 104.0),
    ],
)
def test_expression_has_its_value(expression: str, value: float) -> None:
    """Operators, precedence and functions over a = 4 and b = 6."""
    assert result(expression, a=constant(4.0), b=constant(6.0)) == pytest.approx(constant(value))


def test_operator_needs_both_sides_when_data_is_missing() -> None:
    """A sum has points only where both series have."""
    assert result("a + b", a={0.0: 1.0, 60.0: 2.0}, b={60.0: 3.0, 120.0: 4.0}) == {60.0: 5.0}


def test_point_is_missing_when_it_is_divided_by_zero() -> None:
    """The other points remain."""
    assert result("a / b", a={0.0: 1.0, 60.0: 2.0}, b={0.0: 0.0, 60.0: 1.0}) == {60.0: 2.0}


@pytest.mark.parametrize(
    ("filling", "filled"),
    [
        ("0", [1.0, 0.0, 3.0, 0.0]),
        ("REPEAT", [1.0, 1.0, 3.0, 3.0]),
        ("LINEAR", [1.0, 2.0, 3.0, None]),
    ],
)
def test_fill_completes_the_range(filling: str, filled: list[float | None]) -> None:
    """FILL gives the missing periods a number, the last value, or the line between neighbours."""
    series = result(f"FILL(a, {filling})", a={0.0: 1.0, 120.0: 3.0})

    assert [series.get(t) for t in TIMES] == filled


def test_fill_answers_for_a_metric_that_has_no_data() -> None:
    """The condition of an idle backlog: messages visible while no capacity is reported at all."""
    series = result("IF(visible > 0 AND FILL(desired, 0) < 1, 1, 0)", visible=constant(3.0), desired={})

    assert series == constant(1.0)


def test_aggregate_is_a_constant_when_it_takes_one_series() -> None:
    """SUM of a single series is one number over the whole range."""
    assert result("SUM(a)", a={0.0: 1.0, 60.0: 2.0}) == constant(3.0)


def test_differences_take_neighbours() -> None:
    """DIFF, RATE and RUNNING_SUM over an uneven series."""
    a = {0.0: 1.0, 60.0: 4.0, 180.0: 10.0}

    assert result("DIFF(a)", a=a) == {60.0: 3.0, 180.0: 6.0}
    assert result("RATE(a)", a=a) == {60.0: 0.05, 180.0: 0.05}
    assert result("RUNNING_SUM(a)", a=a) == {0.0: 1.0, 60.0: 5.0, 180.0: 15.0}


def test_list_of_series_keeps_each_when_multiplied() -> None:
    """METRICS() * 10 is a series for every metric."""
    found = run({"e": "METRICS() * 10"}, {"a": {0.0: 1.0}, "b": {0.0: 2.0}}, TIMES, 60.0)["e"]

    assert found == [{0.0: 10.0}, {0.0: 20.0}]


def test_expression_uses_another_whatever_their_order() -> None:
    """Expressions are evaluated after those they name."""
    found = run({"e2": "e1 + 1", "e1": "a * 2"}, {"a": {0.0: 1.0}}, TIMES, 60.0)

    assert found["e2"] == [{0.0: 3.0}]


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("a +", "unexpected 'the end'"),
        ("a b", "unexpected 'b'"),
        ("(a", "unexpected 'the end'"),
        ("c + 1", "no such id 'c'"),
        ("NOPE(a)", "no function NOPE"),
        ("a $ b", "cannot read"),
        ("FILL(a)", "wrong arguments"),
        ("FILL(1, 0)", "takes time series"),
        ("1 / 0", "has no value"),
    ],
)
def test_expression_is_refused_when_it_is_wrong(expression: str, message: str) -> None:
    """The error names what is wrong."""
    with pytest.raises(MathError, match=message):
        result(expression, a=constant(1.0))


def test_circle_is_refused() -> None:
    """Expressions that need one another have no value."""
    with pytest.raises(MathError, match="depends on itself"):
        run({"e1": "e2", "e2": "e1"}, {}, TIMES, 60.0)
