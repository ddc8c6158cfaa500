"""CloudWatch alarms, evaluated on a clock as CloudWatch does, and everything their transitions set off.

AWS pages (AmazonCloudWatch/latest/monitoring): alarm-evaluation.html and alarms-and-missing-data.html (when, and over
what), Create-alarm-on-metric-math-expression.html, alarms-and-actions-Lambda.html (what a function gets, and who
must be permitted), cloudwatch-and-eventbridge.html (the state-change event);
AWSCloudFormation/latest/TemplateReference/aws-resource-cloudwatch-alarm.html (Metrics).
"""

from __future__ import annotations

import json
import logging
import math
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sluice_tools.sandbox.emulator import alarm_rules, lambdas, metric_data
from sluice_tools.sandbox.emulator.events import Bus, Scope, Ticker, Worker
from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.metric_data import Window
from sluice_tools.sandbox.emulator.metric_math import MathError
from sluice_tools.sandbox.emulator.settings import Settings

_cloudwatch = Host(
    "services.cloudwatch", "_alarms", "_evaluate_alarm", "_evaluate_all_alarms", "_dispatch_alarm_actions",
    "_record_history", "_evaluate_parent_alarms", "_put_metric_alarm",
)  # fmt: skip
_provisioners = Host("services.cloudformation.provisioners", "_cw_metric_alarm_record", "_cfn_bool")
_autoscaling = Host("services.autoscaling", "_parse_nested")

STANDARD_PERIOD_S = 60
"""Alarms of this period or a longer one are evaluated once a minute."""
ONE_METRIC = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions", "Unit")
"""Members of an alarm on one metric, which an alarm on Metrics has not."""

log = logging.getLogger("sandbox.alarms")


class Alarms:
    """The evaluator."""

    def __init__(self, settings: Settings, bus: Bus) -> None:
        """Prepare it; ``install`` sets it going."""
        self._settings = settings
        self._bus = bus
        self._worker = Worker("sandbox-alarm-actions")
        self._due: dict[str, float] = {}
        # Four looks a minute are enough to start each evaluation on time at any scale.
        self._ticker = Ticker("sandbox-alarms", min(1.0, settings.minute_s / 4), self.tick)

    def install(self) -> None:
        """Take evaluation and actions over from ministack, and let alarms be made of Metrics."""
        _cloudwatch["_evaluate_alarm"] = lambda alarm: self._due.pop(alarm["AlarmArn"], None)
        _cloudwatch["_evaluate_all_alarms"] = lambda: None
        to_topics = _cloudwatch["_dispatch_alarm_actions"]

        def dispatch(alarm: dict[str, Any], old: str, new: str, reason: str) -> None:
            to_topics(alarm, old, new, reason)
            self._act(alarm, old, new, reason)

        _cloudwatch["_dispatch_alarm_actions"] = dispatch
        self._accept_metrics()
        self._ticker.start()

    def close(self) -> None:
        """Evaluate no more."""
        self._ticker.close()

    # --- evaluation ---

    def tick(self, now: float) -> None:
        """Evaluate every alarm that is due."""
        for (account, region, _), alarm in _cloudwatch["_alarms"].all_items():
            arn = alarm["AlarmArn"]
            if now < self._due.get(arn, 0.0):
                continue
            self._due[arn] = now + self._settings.scaled(min(STANDARD_PERIOD_S, _period(alarm)))
            try:
                with Scope(account, region).entered():
                    self._evaluate(alarm, now)
            except Exception:
                log.exception("%s cannot be evaluated", alarm["AlarmName"])

    def _evaluate(self, alarm: dict[str, Any], now: float) -> None:
        if alarm["ComparisonOperator"] not in alarm_rules.COMPARISONS:
            raise ValueError(f"the sandbox does not compare by {alarm['ComparisonOperator']}")
        rule = alarm_rules.Rule(
            comparison=alarm["ComparisonOperator"],
            threshold=float(alarm["Threshold"]),
            periods=int(alarm["EvaluationPeriods"]),
            needed=int(alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"]),
            missing=alarm.get("TreatMissingData") or "missing",
        )
        period_s = self._settings.scaled(_period(alarm))
        end = math.floor(now / period_s) * period_s
        window = Window(end - (rule.periods + alarm_rules.EXTRA_PERIODS) * period_s, end, period_s)
        series = self._series(alarm, window)
        judgment = alarm_rules.judge(rule, [series.get(at) for at in window.times])
        if judgment.state is None or judgment.state == alarm["StateValue"]:
            return
        data = {
            "version": "1.0",
            "queryDate": _stamp(now),
            "period": _period(alarm),
            "recentDatapoints": [series[at] for at in window.times if at in series],
            "threshold": rule.threshold,
        }
        self._transition(alarm, judgment.state, judgment.reason, json.dumps(data), now)

    @staticmethod
    def _series(alarm: Mapping[str, Any], window: Window) -> dict[float, float]:
        """The series that the alarm watches."""
        if not alarm.get("Metrics"):
            return metric_data.read(_one_metric(alarm), window)
        watched = next(query["Id"] for query in alarm["Metrics"] if query.get("ReturnData", True))
        found = metric_data.run(alarm["Metrics"], window)[watched]
        if isinstance(found, MathError):
            # An expression over nothing has no data points; one that is wrong was refused when the alarm was made.
            return {}
        if len(found) != 1:
            raise ValueError(f"the expression of {alarm['AlarmName']} gives {len(found)} series, not one")
        return dict(found[0])

    @staticmethod
    def _transition(alarm: dict[str, Any], state: str, reason: str, data: str, now: float) -> None:
        old = alarm["StateValue"]
        log.info("%s: %s -> %s (%s)", alarm["AlarmName"], old, state, reason)
        alarm["_previous"] = {
            key: alarm.get(key) for key in ("StateReason", "StateReasonData", "StateUpdatedTimestamp")
        }
        alarm |= {
            "StateValue": state,
            "StateReason": reason,
            "StateReasonData": data,
            "StateUpdatedTimestamp": now,
            "StateTransitionedTimestamp": now,
        }
        _cloudwatch["_record_history"](alarm["AlarmName"], old, state, reason)
        _cloudwatch["_dispatch_alarm_actions"](alarm, old, state, reason)
        _cloudwatch["_evaluate_parent_alarms"](alarm)

    # --- what a transition sets off ---

    def _act(self, alarm: dict[str, Any], old: str, new: str, reason: str) -> None:
        """Emit the state change, and invoke the functions among the alarm's actions for it."""
        scope = Scope.current()
        now = time.time()
        previous = alarm.pop("_previous", {})
        state = {"value": new, "reason": reason, "timestamp": _stamp(now)}
        if alarm.get("StateReasonData"):
            state["reasonData"] = alarm["StateReasonData"]
        before = {
            "value": old,
            "reason": previous.get("StateReason") or "",
            "timestamp": _stamp(float(previous.get("StateUpdatedTimestamp") or now)),
        }
        if previous.get("StateReasonData"):
            before["reasonData"] = previous["StateReasonData"]
        data = {
            "alarmName": alarm["AlarmName"],
            "state": state,
            "previousState": before,
            "configuration": _configuration(alarm),
        }
        self._bus.emit(scope, "aws.cloudwatch", "CloudWatch Alarm State Change", data, [alarm["AlarmArn"]])
        if not alarm.get("ActionsEnabled", True):
            return
        actions = {"ALARM": "AlarmActions", "OK": "OKActions"}.get(new, "InsufficientDataActions")
        for arn in alarm.get(actions) or []:
            if ":lambda:" in arn:
                event = {
                    "source": "aws.cloudwatch",
                    "alarmArn": alarm["AlarmArn"],
                    "accountId": scope.account,
                    "time": _stamp(now),
                    "region": scope.region,
                    "alarmData": data,
                }
                self._worker.do(lambda arn=arn, event=event: self._invoke(scope, arn, event))  # type: ignore[misc]

    @staticmethod
    def _invoke(scope: Scope, function_arn: str, event: Mapping[str, Any]) -> None:
        with scope.entered():
            if not lambdas.service_may_invoke(lambdas.ALARMS, function_arn, event["alarmArn"]):
                log.error("%s: %s may not invoke %s", event["alarmArn"], lambdas.ALARMS, function_arn)
                return
            lambdas.invoke(function_arn, event)

    # --- alarms on Metrics ---

    @staticmethod
    def _accept_metrics() -> None:
        put, record = _cloudwatch["_put_metric_alarm"], _provisioners["_cw_metric_alarm_record"]

        def put_alarm(params: Any, data: Any, is_cbor: bool, is_json: bool = False) -> Any:
            answer = put(params, data, is_cbor, is_json)
            metrics = data.get("Metrics") if is_cbor or is_json else _autoscaling["_parse_nested"](params, "Metrics")
            name = data.get("AlarmName") if is_cbor or is_json else params.get("AlarmName")
            if metrics and answer[0] == 200:
                _watch(_cloudwatch["_alarms"][name], metrics)
            return answer

        def alarm_record(name: str, props: dict[str, Any]) -> dict[str, Any]:
            metrics = props.get("Metrics")
            if not metrics:
                alarm: dict[str, Any] = record(name, props)
                return alarm
            stand_in = {key: value for key, value in props.items() if key != "Metrics"}
            alarm = record(name, stand_in | {"MetricName": "metrics", "Namespace": "metrics"})
            return _watch(alarm, metrics)

        _cloudwatch["_put_metric_alarm"] = put_alarm
        _provisioners["_cw_metric_alarm_record"] = alarm_record


def _watch(alarm: dict[str, Any], metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Make an alarm watch queries instead of one metric.

    Raises:
        ValueError: Not exactly one of the queries is the watched one, or none has a period.
    """
    queries = [_typed(query) for query in metrics]
    watched = [query["Id"] for query in queries if query.get("ReturnData", True)]
    if len(watched) != 1:
        raise ValueError(f"exactly one of Metrics must have ReturnData true, not {len(watched)}: {watched}")
    for member in ONE_METRIC:
        alarm.pop(member, None)
    alarm["Metrics"] = queries
    if _period(alarm) <= 0:
        raise ValueError("Metrics must name a Period")
    expressions = {query["Id"]: query["Expression"] for query in queries if query.get("Expression")}
    metric_data.check(expressions, {query["Id"] for query in queries})
    return alarm


def _typed(query: Mapping[str, Any]) -> dict[str, Any]:
    """A query with numbers and booleans as such, whatever a template or the query protocol made of them."""
    typed = dict(query)
    if "ReturnData" in typed:
        typed["ReturnData"] = _provisioners["_cfn_bool"](typed["ReturnData"])
    if "Period" in typed:
        typed["Period"] = int(typed["Period"])
    if stat := typed.get("MetricStat"):
        metric = dict(stat["Metric"])
        metric.setdefault("Dimensions", [])
        typed["MetricStat"] = dict(stat) | {"Metric": metric, "Period": int(stat["Period"])}
    return typed


def _period(alarm: Mapping[str, Any]) -> int:
    """The alarm's period in AWS's seconds."""
    periods = [
        int(query.get("Period") or (query.get("MetricStat") or {}).get("Period") or 0)
        for query in alarm.get("Metrics") or []
    ]
    return max(periods) if periods else int(alarm.get("Period") or 0)


def _one_metric(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """The MetricStat of an alarm on one metric."""
    stat = {
        "Metric": {
            "Namespace": alarm["Namespace"],
            "MetricName": alarm["MetricName"],
            "Dimensions": alarm.get("Dimensions") or [],
        },
        "Period": alarm["Period"],
        "Stat": alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "Average",
    }
    return stat | ({"Unit": alarm["Unit"]} if alarm.get("Unit") else {})


def _configuration(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """The alarm's configuration as events and functions get it."""
    if alarm.get("AlarmRule"):
        return {"alarmRule": alarm["AlarmRule"]}
    if alarm.get("Metrics"):
        metrics = [_event_query(query) for query in alarm["Metrics"]]
    else:
        only = {"Id": str(uuid.uuid5(uuid.NAMESPACE_URL, alarm["AlarmArn"])), "MetricStat": _one_metric(alarm)}
        metrics = [_event_query(only)]
    configuration: dict[str, Any] = {"metrics": metrics}
    if alarm.get("AlarmDescription"):
        configuration["description"] = alarm["AlarmDescription"]
    return configuration


def _event_query(query: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": query["Id"]}
    if stat := query.get("MetricStat"):
        metric = stat["Metric"]
        shown["metricStat"] = {
            "metric": {
                "namespace": metric["Namespace"],
                "name": metric["MetricName"],
                "dimensions": {d["Name"]: d["Value"] for d in metric.get("Dimensions") or []},
            },
            "period": int(stat["Period"]),
            "stat": stat["Stat"],
            **({"unit": stat["Unit"]} if stat.get("Unit") else {}),
        }
    for source, target in (("Expression", "expression"), ("Label", "label")):
        if query.get(source):
            shown[target] = query[source]
    shown["returnData"] = query.get("ReturnData", True)
    return shown


def _stamp(at: float) -> str:
    """Epoch seconds as CloudWatch writes them in alarm data."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "+0000")
