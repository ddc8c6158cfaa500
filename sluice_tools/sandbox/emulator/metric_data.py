"""Reading metrics: GetMetricData with metric math, and the series that alarms evaluate.

AWS pages: AmazonCloudWatch/latest/APIReference/API_GetMetricData.html (order of points, ReturnData, expressions),
API_MetricDataQuery.html; AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html (a metric is its exact set of
dimensions; periods begin at multiples of their length).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sluice_tools.sandbox.emulator import metric_math
from sluice_tools.sandbox.emulator.events import iso
from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.metric_math import MathError, Series

_cloudwatch = Host(
    "services.cloudwatch", "_metrics", "_dims_key", "_dims_from_list", "_calc_stats", "_stat_value", "_get_metric_data",
    "_parse_ts", "_p", "_xml", "_json_ok", "_cbor_ok", "_cbor_metric_data_result", "_error",
)  # fmt: skip
_autoscaling = Host("services.autoscaling", "_parse_nested", "_member_xml")

QUERIES_MAX = 500
"""Most queries in one GetMetricData."""
DEFAULT_PERIOD_S = 60


class QueryError(ValueError):
    """A request that GetMetricData refuses."""


@dataclass(frozen=True, slots=True)
class Window:
    """A range of whole periods: those that begin in [start, end)."""

    start: float
    end: float
    period_s: float

    @property
    def times(self) -> list[float]:
        """Every period's start, ascending."""
        first = math.floor(self.start / self.period_s) * self.period_s
        count = max(0, math.ceil((self.end - first) / self.period_s - 1e-9))
        return [first + number * self.period_s for number in range(count)]


def read(stat: Mapping[str, Any], window: Window) -> Series:
    """One metric of the present scope as a series of one statistic.

    Args:
        stat: A MetricStat: Metric (Namespace, MetricName, Dimensions), Stat, and perhaps Unit.
        window: The range, with the real length of a period.
    """
    metric = stat["Metric"]
    dimensions = _cloudwatch["_dims_key"](_cloudwatch["_dims_from_list"](metric.get("Dimensions") or []))
    points = list(_cloudwatch["_metrics"].get((metric["Namespace"], metric["MetricName"], dimensions)) or [])
    unit = stat.get("Unit")
    buckets: dict[float, list[Any]] = defaultdict(list)
    first = math.floor(window.start / window.period_s) * window.period_s
    for point in points:
        at = point["Timestamp"]
        if first <= at < window.end and unit in {None, "", point["Unit"]}:
            buckets[math.floor(at / window.period_s) * window.period_s].append(point)
    series: Series = {}
    for at, bucket in buckets.items():
        value = _cloudwatch["_stat_value"](_cloudwatch["_calc_stats"](bucket), stat.get("Stat") or "Average", bucket)
        if value is not None:
            series[at] = float(value)
    return dict(sorted(series.items()))


def run(queries: Sequence[Mapping[str, Any]], window: Window) -> dict[str, Any]:
    """Metrics and expressions of one request or alarm, by id: a list of series, or a MathError.

    Every metric is read with the window's period; expressions are evaluated over its periods.
    """
    metrics = {query["Id"]: read(query["MetricStat"], window) for query in queries if query.get("MetricStat")}
    expressions = {query["Id"]: query["Expression"] for query in queries if query.get("Expression")}
    results: dict[str, Any] = {name: [series] for name, series in metrics.items()}
    return results | metric_math.run(expressions, metrics, window.times, window.period_s)


def check(expressions: Mapping[str, str], ids: Iterable[str]) -> None:
    """Find fault with expressions before there is any data.

    Raises:
        MathError: One is malformed, depends on itself, or names an id or function that does not exist.
    """
    times = [0.0, 1.0, 2.0]
    blank: dict[str, Series] = {name: dict.fromkeys(times, 1.0) for name in ids if name not in expressions}
    for found in metric_math.run(expressions, blank, times, DEFAULT_PERIOD_S).values():
        if isinstance(found, MathError):
            raise found


class MetricData:
    """GetMetricData."""

    def install(self) -> None:
        """Take the place of ministack's handler."""
        _cloudwatch["_get_metric_data"] = self._answer

    def _answer(self, params: Mapping[str, Any], data: Mapping[str, Any], is_cbor: bool, is_json: bool = False) -> Any:
        if not (is_cbor or is_json):
            data = _from_query(params)
        try:
            results = self._results(data)
        except (QueryError, MathError) as error:
            return _cloudwatch["_error"]("ValidationError", str(error), 400, use_json=is_json, use_cbor=is_cbor)
        if is_cbor:
            shown = [_cloudwatch["_cbor_metric_data_result"](result) for result in results]
            return _cloudwatch["_cbor_ok"]({"MetricDataResults": shown})
        if is_json:
            return _cloudwatch["_json_ok"]({"MetricDataResults": results})
        body = _autoscaling["_member_xml"]({"GetMetricDataResult": {"MetricDataResults": results}})
        return _cloudwatch["_xml"](200, "GetMetricDataResponse", body)

    def _results(self, data: Mapping[str, Any]) -> list[dict[str, Any]]:
        queries = data.get("MetricDataQueries") or []
        if len(queries) > QUERIES_MAX:
            raise QueryError(f"MetricDataQueries must have at most {QUERIES_MAX} entries")
        for query in queries:
            if bool(query.get("MetricStat")) == bool(query.get("Expression")):
                raise QueryError(f"query {query.get('Id')!r} must have either MetricStat or Expression")
        start, end = _cloudwatch["_parse_ts"](data.get("StartTime")), _cloudwatch["_parse_ts"](data.get("EndTime"))
        if start is None or end is None or start >= end:
            raise QueryError("The parameter StartTime must be less than the parameter EndTime.")
        periods = {
            int(query["MetricStat"].get("Period") or DEFAULT_PERIOD_S) for query in queries if query.get("MetricStat")
        }
        newest_first = (data.get("ScanBy") or "TimestampDescending") == "TimestampDescending"
        answers: dict[str, dict[str, Any]] = {}
        for period in sorted(periods or {DEFAULT_PERIOD_S}):
            of_period = _with_period(queries, period)
            found = run(of_period, Window(float(start), float(end), period))
            for query in of_period:
                if query["Id"] not in answers:
                    answers[query["Id"]] = found[query["Id"]]
        return [
            shown
            for query in queries
            if query.get("ReturnData", True) is not False
            for shown in _shown(query, answers[query["Id"]], newest_first=newest_first)
        ]


def _with_period(queries: Sequence[Mapping[str, Any]], period: int) -> list[Mapping[str, Any]]:
    """The metrics of one period, and the expressions that depend on these alone."""
    expressions = {query["Id"]: query["Expression"] for query in queries if query.get("Expression")}
    chosen = {
        query["Id"]: query
        for query in queries
        if query.get("MetricStat") and int(query["MetricStat"].get("Period") or DEFAULT_PERIOD_S) == period
    }
    by_id = {query["Id"]: query for query in queries}
    for name in metric_math.evaluation_order(expressions):
        known_ids = metric_math.referenced(expressions[name]) & set(by_id)
        if known_ids <= set(chosen):
            chosen[name] = by_id[name]
    return [query for query in queries if query["Id"] in chosen]


def _shown(query: Mapping[str, Any], found: Any, *, newest_first: bool) -> list[dict[str, Any]]:
    """A query's answer: one result, or one for each series of a list."""
    label = query.get("Label") or (
        query["MetricStat"]["Metric"]["MetricName"] if query.get("MetricStat") else query["Id"]
    )
    if isinstance(found, MathError):
        raise QueryError(f"Error in expression '{query['Id']}': {found}")
    return [
        {
            "Id": query["Id"],
            "Label": label,
            "Timestamps": [iso(at) for at in sorted(series, reverse=newest_first)],
            "Values": [series[at] for at in sorted(series, reverse=newest_first)],
            "StatusCode": "Complete",
        }
        for series in found
    ]


def _from_query(params: Mapping[str, Any]) -> dict[str, Any]:
    """A request in the older query form, as the JSON form has it."""
    queries = _autoscaling["_parse_nested"](params, "MetricDataQueries") or []
    for query in queries:
        query["ReturnData"] = query.get("ReturnData", "true") != "false"
    scalars = {name: _cloudwatch["_p"](params, name) for name in ("StartTime", "EndTime", "ScanBy")}
    return {"MetricDataQueries": queries, **scalars}
