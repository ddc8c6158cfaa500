"""CloudWatch metric math: an expression over time series. Pure: series in, series out.

A value is a number, a series (period start to number), or a list of series (``METRICS()``, ``[m1, m2]``). Operators
work on what both sides have; a point that cannot be computed, such as a division by zero, is missing.

AWS page: AmazonCloudWatch/latest/monitoring/using-metric-math.html (syntax, operators, functions).
"""

from __future__ import annotations

import itertools
import math
import operator
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Series = dict[float, float]
Value = float | Series | list[Series] | str


class MathError(ValueError):
    """An expression that cannot be parsed or evaluated."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an expression is evaluated over."""

    series: Mapping[str, Series]
    """Series by id: the metrics, and the results of expressions before this one."""
    metrics: Mapping[str, Series]
    """The metrics alone, for METRICS()."""
    times: Sequence[float]
    """Every period start in the range, ascending: what FILL fills."""
    period_s: float


_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<text>\"[^\"]*\"|'[^']*')|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<op>==|!=|<=|>=|&&|\|\||[-+*/^<>()\[\],]))"
)

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
}
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("OR", "||"),
    ("AND", "&&"),
    ("==", "!=", "<", ">", "<=", ">="),
    ("+", "-"),
    ("*", "/"),
    ("^",),
)
"""Binary operators by precedence, weakest first."""


def evaluate(expression: str, context: Context) -> Value:
    """Evaluate an expression.

    Raises:
        MathError: The expression is malformed, names an unknown id or function, or mixes what cannot be mixed.
    """
    return _Parser(expression, context).parse()


def referenced(expression: str) -> set[str]:
    """The ids an expression may depend on: every name in it that is not called."""
    tokens = _tokens(expression)
    return {
        text
        for position, (kind, text) in enumerate(tokens)
        if kind == "name" and (position + 1 == len(tokens) or tokens[position + 1][1] != "(")
    }


def _tokens(expression: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    position = 0
    text = expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise MathError(f"cannot read {text[position:]!r} in {expression!r}")
        kind = str(match.lastgroup)
        found.append((kind, match[kind]))
        position = match.end()
    return found


class _Parser:
    """Recursive descent that evaluates as it goes: expressions are short and evaluated seldom."""

    def __init__(self, expression: str, context: Context) -> None:
        self._expression = expression
        self._context = context
        self._tokens = _tokens(expression)
        self._at = 0

    def parse(self) -> Value:
        value = self._binary(0)
        if self._at < len(self._tokens):
            raise self._wrong()
        return value

    def _wrong(self) -> MathError:
        at = self._tokens[self._at][1] if self._at < len(self._tokens) else "the end"
        return MathError(f"unexpected {at!r} in {self._expression!r}")

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, expected: str) -> None:
        if self._peek() != expected:
            raise self._wrong()
        self._at += 1

    def _binary(self, level: int) -> Value:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while self._peek() in _LEVELS[level]:
            symbol = self._peek()
            self._at += 1
            left = _apply(symbol, left, self._binary(level + 1))
        return left

    def _unary(self) -> Value:
        if self._peek() == "-":
            self._at += 1
            return _apply("-", 0.0, self._unary())
        return self._primary()

    def _primary(self) -> Value:
        if self._at >= len(self._tokens):
            raise self._wrong()
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "number":
            return float(text)
        if kind == "text":
            return text[1:-1]
        if text == "(":
            value = self._binary(0)
            self._take(")")
            return value
        if text == "[":
            return [_as_series(item, "a list") for item in self._items("]")]
        if kind == "name":
            return self._named(text)
        self._at -= 1
        raise self._wrong()

    def _items(self, end: str) -> list[Value]:
        items: list[Value] = []
        while self._peek() != end:
            items.append(self._binary(0))
            if self._peek() != end:
                self._take(",")
        self._take(end)
        return items

    def _named(self, name: str) -> Value:
        if self._peek() == "(":
            self._at += 1
            arguments = self._items(")")
            function = _FUNCTIONS.get(name.upper())
            if function is None:
                raise MathError(f"the sandbox has no function {name} (in {self._expression!r})")
            try:
                return function(self._context, *arguments)
            except TypeError as error:
                raise MathError(f"wrong arguments to {name} in {self._expression!r}") from error
        if name in self._context.series:
            return dict(self._context.series[name])
        if name in {"REPEAT", "LINEAR"}:
            return name
        raise MathError(f"no such id {name!r} in {self._expression!r}")


def _as_series(value: Value, what: str) -> Series:
    if isinstance(value, dict):
        return value
    raise MathError(f"{what} takes time series, not {type(value).__name__}")


def _apply(symbol: str, left: Value, right: Value) -> Value:
    """A binary operator on any mix of numbers, series and lists of series."""
    if isinstance(left, str) or isinstance(right, str):
        raise MathError(f"{symbol} does not take text")
    if isinstance(left, list):
        others = right if isinstance(right, list) else [right] * len(left)
        return [_as_series(_apply(symbol, a, b), symbol) for a, b in zip(left, others, strict=True)]
    if isinstance(right, list):
        return [_as_series(_apply(symbol, left, b), symbol) for b in right]
    if isinstance(left, dict) and isinstance(right, dict):
        return _points({t: (left[t], right[t]) for t in left if t in right}, symbol)
    if isinstance(left, dict):
        return _points({t: (v, float(right)) for t, v in left.items()}, symbol)  # type: ignore[arg-type]
    if isinstance(right, dict):
        return _points({t: (left, v) for t, v in right.items()}, symbol)
    result = _compute(symbol, left, right)
    if result is None:
        raise MathError(f"{left} {symbol} {right} has no value")
    return result


def _points(pairs: Mapping[float, tuple[float, float]], symbol: str) -> Series:
    computed = {t: _compute(symbol, a, b) for t, (a, b) in pairs.items()}
    return {t: value for t, value in computed.items() if value is not None}


def _compute(symbol: str, left: float, right: float) -> float | None:
    if symbol in {"AND", "&&"}:
        return float(bool(left) and bool(right))
    if symbol in {"OR", "||"}:
        return float(bool(left) or bool(right))
    if symbol in _COMPARISONS:
        return float(_COMPARISONS[symbol](left, right))
    try:
        value = _ARITHMETIC[symbol](left, right)
    except (ZeroDivisionError, OverflowError, ValueError):
        return None
    return value if isinstance(value, float) and math.isfinite(value) else None


# --- functions ---


def _if(_context: Context, condition: Value, then: Value, otherwise: Value | None = None) -> Value:
    """IF(condition, then[, else]): point by point where the condition is a series."""
    if isinstance(condition, int | float):
        chosen = then if condition else otherwise
        return {} if chosen is None else chosen
    result: Series = {}
    for t, holds in _as_series(condition, "IF").items():
        source = then if holds else otherwise
        point = source.get(t) if isinstance(source, dict) else source
        if isinstance(point, int | float):
            result[t] = float(point)
    return result


def _fill(context: Context, value: Value, filling: Value) -> Value:
    """FILL(series, number | REPEAT | LINEAR | series): a value for every period in the range."""
    if isinstance(value, list):
        return [_as_series(_fill(context, series, filling), "FILL") for series in value]
    series = _as_series(value, "FILL")
    filled: Series = {}
    known = sorted(series)
    for t in context.times:
        if t in series:
            filled[t] = series[t]
        elif isinstance(filling, int | float):
            filled[t] = float(filling)
        elif isinstance(filling, dict):
            if t in filling:
                filled[t] = filling[t]
        else:
            before = [k for k in known if k < t]
            after = [k for k in known if k > t]
            if filling == "REPEAT" and before:
                filled[t] = series[before[-1]]
            elif filling == "LINEAR" and before and after:
                a, b = before[-1], after[0]
                filled[t] = series[a] + (series[b] - series[a]) * (t - a) / (b - a)
    return filled


def _aggregate(reduce: Callable[[list[float]], float]) -> Callable[..., Value]:
    """A function that makes one number of a series, and one series of a list of series."""

    def function(_context: Context, value: Value) -> Value:
        if isinstance(value, list):
            times = sorted({t for series in value for t in series})
            return {t: float(reduce([series[t] for series in value if t in series])) for t in times}
        points = list(_as_series(value, "an aggregate").values())
        if not points:
            raise MathError("nothing to aggregate: the series has no data")
        return float(reduce(points))

    return function


def _pointwise(compute: Callable[[float], float]) -> Callable[..., Value]:
    """A function applied to every point."""

    def function(context: Context, value: Value) -> Value:
        if isinstance(value, list):
            return [_as_series(function(context, series), "a function") for series in value]
        if isinstance(value, int | float):
            return float(compute(value))
        result: Series = {}
        for t, point in _as_series(value, "a function").items():
            try:
                result[t] = float(compute(point))
            except ValueError:
                continue
        return result

    return function


def _between(combine: Callable[[float, float], float]) -> Callable[..., Value]:
    """A function of each point and the one before it: the change, and the seconds between them."""

    def function(_context: Context, value: Value) -> Value:
        series = _as_series(value, "a difference")
        times = sorted(series)
        return {b: combine(series[b] - series[a], b - a) for a, b in itertools.pairwise(times)}

    return function


def _metrics(context: Context, only: Value = "") -> Value:
    """METRICS(["text"]): every metric of the request, or those whose id contains the text."""
    return [dict(series) for name, series in context.metrics.items() if str(only) in name]


def _running_sum(_context: Context, value: Value) -> Value:
    series = _as_series(value, "RUNNING_SUM")
    total, result = 0.0, {}
    for t in sorted(series):
        total += series[t]
        result[t] = total
    return result


def _time_series(context: Context, value: Value) -> Value:
    if not isinstance(value, int | float):
        raise MathError("TIME_SERIES takes a number")
    return dict.fromkeys(context.times, float(value))


def _metric_count(_context: Context, value: Value) -> Value:
    return float(len(value)) if isinstance(value, list) else 1.0


def _edge(pick: Callable[[Series], float]) -> Callable[..., Value]:
    def function(_context: Context, value: Value) -> Value:
        series = _as_series(value, "FIRST and LAST")
        if not series:
            raise MathError("the series has no data")
        return series[pick(series)]

    return function


_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "ABS": _pointwise(abs),
    "AVG": _aggregate(statistics.fmean),
    "CEIL": _pointwise(math.ceil),
    "DATAPOINT_COUNT": _aggregate(len),
    "DIFF": _between(lambda change, _s: change),
    "DIFF_TIME": _between(lambda _change, s: s),
    "FILL": _fill,
    "FIRST": _edge(min),
    "FLOOR": _pointwise(math.floor),
    "IF": _if,
    "LAST": _edge(max),
    "LOG": _pointwise(math.log),
    "LOG10": _pointwise(math.log10),
    "MAX": _aggregate(max),
    "METRICS": _metrics,
    "METRIC_COUNT": _metric_count,
    "MIN": _aggregate(min),
    "PERIOD": lambda context, _metric: float(context.period_s),
    "RATE": _between(lambda change, s: change / s),
    "RUNNING_SUM": _running_sum,
    "STDDEV": _aggregate(statistics.pstdev),
    "SUM": _aggregate(math.fsum),
    "TIME_SERIES": _time_series,
}


def result_series(value: Value, context: Context) -> list[Series]:
    """What GetMetricData and alarms read of a value: a number becomes a series over the whole range."""
    if isinstance(value, list):
        return value
    if isinstance(value, int | float):
        return [dict.fromkeys(context.times, float(value))]
    if isinstance(value, dict):
        return [value]
    raise MathError("an expression must come to numbers, not text")


def evaluation_order(expressions: Mapping[str, str]) -> list[str]:
    """Ids of expressions, each after those it depends on.

    Raises:
        MathError: They depend on one another in a circle.
    """
    order: list[str] = []
    visiting: set[str] = set()

    def visit(name: str) -> None:
        if name in order:
            return
        if name in visiting:
            raise MathError(f"the expression {name!r} depends on itself")
        visiting.add(name)
        for other in sorted(referenced(expressions[name]) & set(expressions)):
            visit(other)
        order.append(name)

    for name in expressions:
        visit(name)
    return order


def run(
    queries: Mapping[str, str], metrics: Mapping[str, Series], times: Sequence[float], period_s: float
) -> dict[str, Any]:
    """Every expression of a request by id: its list of series, or the MathError that stopped it."""
    known: dict[str, Series] = {name: dict(series) for name, series in metrics.items()}
    results: dict[str, Any] = {}
    for name in evaluation_order(queries):
        context = Context(known, metrics, times, period_s)
        try:
            found = result_series(evaluate(queries[name], context), context)
        except MathError as error:
            results[name] = error
            continue
        results[name] = found
        if len(found) == 1:
            known[name] = found[0]
    return results
