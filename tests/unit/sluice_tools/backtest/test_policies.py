"""Peers of the backtest against worked examples of their own documentation and tests, and cases made by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies import DEFAULT, POLICIES, defaults_of, make
from sluice_tools.backtest.policies.aws import Predictive, StepScaling, TargetTracking, backlog_per_instance, rounded
from sluice_tools.backtest.policies.open_source import Buildkite, Keda
from sluice_tools.backtest.policies.staffing import Fixed, Little
from sluice_tools.backtest.simulator import Minute, simulate
from sluice_tools.backtest.traces import Trace

EMPTY = Trace("made", np.array([1], dtype=np.int64))


def minutes(*visible: float, working: float = 10.0, sent: float = 0.0) -> list[Minute]:
    """One a minute, with so many waiting at its end."""
    return [Minute(60.0 * i, sent, 0.0, count, 0.0, 0.0, working) for i, count in enumerate(visible)]


def ready(policy: Any, takes_s: float, target_wait_s: float) -> Any:
    """A policy that has begun on a queue whose messages take so long."""
    policy.begin(Conditions(seconds_per_message=takes_s, target_wait_s=target_wait_s), EMPTY)
    return policy


def test_target_tracking_when_aws_explains_backlog_per_instance() -> None:
    """AWS: 1500 messages, 10 instances, 0.1 s each, 10 s of latency: 150 against 100 acceptable, so five more."""
    policy = ready(TargetTracking(), 0.1, 10.0)
    assert policy._target == pytest.approx(100.0)
    seen = minutes(1500, 1500, 1500)
    assert backlog_per_instance(seen[-1]) == 150.0
    assert policy.wanted(seen, 10, warming=False) == 15


def test_target_tracking_when_points_are_too_few_or_missing() -> None:
    """Two points above are no alarm; a point without instances is none, so that zero is a trap."""
    policy = ready(TargetTracking(), 0.1, 10.0)
    assert policy.wanted(minutes(900, 1500, 1500), 10, warming=False) == 10
    assert policy.wanted(minutes(*[5000] * 20, working=0.0), 0, warming=False) == 0


def test_target_tracking_when_it_scales_in() -> None:
    """After fifteen points below, by less than the formula asks, and not while instances warm up."""
    policy = ready(TargetTracking(in_share=0.5), 0.1, 10.0)
    assert policy.wanted(minutes(*[400] * 14), 10, warming=False) == 10
    assert policy.wanted(minutes(*[400] * 15), 10, warming=False) == 7  # ceil(400 / 100) = 4: half of six go
    assert policy.wanted(minutes(*[400] * 15), 10, warming=True) == 10
    assert policy.wanted(minutes(*[0] * 15, working=1.0), 1, warming=False) == 1
    assert policy.wanted(minutes(*[950] * 15), 10, warming=False) == 10  # above the low alarm


def test_target_tracking_when_its_metric_is_live() -> None:
    """It looks every ten seconds at the counts themselves: after three of them it scales out."""
    burst = Trace("burst", np.array([0, 600, *[0] * 10], dtype=np.int64))
    conditions = Conditions(seconds_per_message=10.0, target_wait_s=60.0, metric_late_s=(120.0, 120.0))
    slow, live = (
        simulate(burst, TargetTracking(period_s=period_s), conditions).notes[0][0] for period_s in (60.0, 10.0)
    )
    assert 80.0 <= live <= 120.0
    assert slow >= 240.0


def test_step_scaling_when_a_larger_breach_would_add_less() -> None:
    """Such steps are refused, with their names."""
    with pytest.raises(ValueError, match="second_percent, third_percent: must be at least the percentage of the step"):
        ready(StepScaling(out_percent=50.0), 2.0, 120.0)


def test_step_scaling_when_aws_gives_its_example() -> None:
    """AWS: 10 instances, +10% at the second step: 11; then +30% at the third: 14; then -10%: 13."""
    policy = ready(StepScaling(second_above=1.1, third_above=9.0, in_below=0.667, in_points=1), 2.0, 120.0)
    assert policy.wanted([60.0], 10, 0) == 11
    assert policy.wanted([70.0], 11, 0) == 14
    assert policy.wanted([40.0], 14, 0) == 13


@pytest.mark.parametrize(
    ("adjustment", "whole"), [(12.7, 12), (6.67, 6), (0.58, 1), (-0.58, -1), (-6.67, -6), (0.0, 0), (3.0, 3)]
)
def test_step_scaling_when_percentages_are_rounded(adjustment: float, whole: int) -> None:
    """AWS's own examples of rounding: 12.7 to 12, -6.67 to -6, 0.58 to 1, -0.58 to -1."""
    assert rounded(adjustment) == whole


def test_step_scaling_when_a_breach_repeats_during_warm_up() -> None:
    """Only what the higher step has more is added; nothing is removed meanwhile."""
    policy = ready(StepScaling(second_above=1.1, third_above=9.0), 2.0, 120.0)
    assert policy.wanted([65.0], 10, 0) == 11
    assert policy.wanted([65.0], 11, 1) == 11  # the same step again
    assert policy.wanted([70.0], 11, 1) == 13  # 30% of the ten that are warm
    quiet = [0.0] * 15
    assert policy.wanted(quiet, 11, 1) == 11
    assert policy.wanted(quiet, 11, 0) == 10


def test_predictive_when_a_day_of_data_is_there() -> None:
    """Before 24 hours nothing is forecast; then each hour's mean load, five minutes ahead, and it only raises."""
    policy = ready(Predictive(utilisation=1.0), 60.0, 120.0)
    day = [Minute(60.0 * i, 10.0 if 540 <= i % 1440 < 600 else 1.0, 0.0, 0.0, 0.0, 0.0, 1.0) for i in range(2 * 1440)]
    assert policy.forecast(day[: 24 * 60 - 1]) == []
    policy._hours = policy.forecast(day)
    assert policy._hours[8:11] == [1, 10, 1]
    nine = 9 * 3600.0
    assert policy.floor_at(nine - 301.0) == 1
    assert policy.floor_at(nine - 300.0) == 10
    assert policy.floor_at(nine + 3500.0) == 10


@pytest.mark.parametrize(("length", "pods"), [(30, 3), (31, 4), (10, 1), (5, 1)])
def test_keda_when_its_documentation_counts_pods(length: float, pods: int) -> None:
    """KEDA's SQS scaler: where one pod handles ten messages, thirty make three pods."""
    assert ready(Keda(), 12.0, 120.0)._hpa.recommended(length, 5) == pods


@pytest.mark.parametrize(
    ("length", "replicas", "wanted"),
    [
        (200, 10, 20),  # Kubernetes: 200m against 100m doubles
        (50, 10, 5),  # 50m halves
        (105, 10, 10),  # within a tenth nothing changes
        (111, 10, 12),
        (4500, 50, 450),
    ],
)
def test_hpa_when_its_documentation_applies_the_ratio(length: float, replicas: int, wanted: int) -> None:
    """Ceil of replicas times current over target, unless that is within the tolerance."""
    assert ready(Keda(), 12.0, 120.0)._hpa.recommended(length, replicas) == wanted


def test_hpa_when_down_scaling_is_stabilised() -> None:
    """KEP-853's example: with 10, 9, 8, 9, 9, 8, 9, 8, 9, 8 recommended it stays at 10; at 9 once the 10 is gone."""
    policy = ready(Keda(down_window_s=600.0, down_tolerance=0.0), 12.0, 120.0)
    replicas, seen = 10, []
    for minute, recommended in enumerate((10, 9, 8, 9, 9, 8, 9, 8, 9, 8, 7)):
        replicas = policy._hpa.decide(60.0 * minute, 10.0 * recommended, replicas)
        seen.append(replicas)
    assert seen == [10] * 10 + [9]


def test_hpa_when_up_scaling_is_limited() -> None:
    """At most double or four more a sync, whichever is more."""
    policy = ready(Keda(), 12.0, 120.0)
    assert policy._hpa.decide(0.0, 1000.0, 1) == 5
    assert policy._hpa.decide(15.0, 1000.0, 5) == 10
    assert policy._hpa.decide(30.0, 1000.0, 10) == 20


def test_buildkite_when_it_cools_down() -> None:
    """Five minutes after a scale-out there is none; each way has its own."""
    policy = Buildkite(out_cooldown_s=300.0, in_cooldown_s=60.0)
    assert policy.wanted(0.0, 12.0, 4) == 12
    assert policy.wanted(200.0, 20.0, 12) == 12
    assert policy.wanted(200.0, 6.0, 12) == 6
    assert policy.wanted(250.0, 3.0, 6) == 6
    assert policy.wanted(300.0, 20.0, 6) == 20


def test_little_when_the_textbook_staffs() -> None:
    """A load of a hundred and beta one: 110; a backlog of one wait's work of five instances: five more."""
    policy = ready(Little(beta=1.0), 10.0, 100.0)
    assert policy.size(10.0, 0.0) == 110
    assert policy.size(10.0, 50.0) == 115
    assert policy.size(0.0, 0.0) == 0
    assert ready(Little(beta=0.0, backlog_share=0.5), 10.0, 100.0).size(0.0, 50.0) == 10


@pytest.mark.parametrize(("at", "size"), [("peak", 20), ("mean", 10)])
def test_fixed_when_sized(at: str, size: int) -> None:
    """By the busiest minute, or by the mean."""
    trace = Trace("made", np.array([0, 120, 60], dtype=np.int64))
    assert Fixed(at=at).begin(Conditions(seconds_per_message=10.0), trace) == size


@pytest.mark.parametrize("name", [name for name in POLICIES if name != "sluice"])
def test_policy_when_load_is_steady(name: str) -> None:
    """Each peer finds a fleet that keeps up, and settles."""
    trace = Trace("steady", np.random.default_rng(3).poisson(60.0, 360).astype(np.int64))
    run = simulate(trace, make(name), Conditions(seconds_per_message=10.0, target_wait_s=120.0))
    assert run.timeline.visible[-60:].mean() < 400
    assert 0.9 < run.cost_ratio < 3.0


def test_default_when_all_policies_are_compared() -> None:
    """Every policy is among the default, ours first, each with parameters of its own."""
    assert DEFAULT[0] == "sluice"
    assert set(DEFAULT) == set(POLICIES)
    made: Callable[[str], Any] = make
    for name in POLICIES:
        assert made(name).name == name
        assert "name" not in defaults_of(name)
