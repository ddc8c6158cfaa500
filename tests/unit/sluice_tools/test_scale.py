"""Thousands of fleets in virtual time: gaps between ticks, quotas, and what a run on the sandbox is judged by."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.costs.usage import Recorded, Recording
from sluice_tools.scale.deployed import DRAINED, FLEETS, HOOK_S, Gaps, gaps_of, seen
from sluice_tools.scale.picture import draw
from sluice_tools.scale.quotas import Bucket
from sluice_tools.scale.simulation import Conditions, Result, quantile, simulate

GROUPS, METRICS = "autoscaling.DescribeAutoScalingGroups", "cloudwatch.GetMetricData"


def recording(shard_s: float = 0.25, fleet_s: float = 0.01) -> Recording:
    """Rounds of so many seconds for the shard and for each fleet; one call for groups, one in 18 for metrics."""
    rounds = {
        size: Recorded({GROUPS: 1.0, METRICS: 1 / 18}, seconds=shard_s + size * fleet_s, invocations=1.0)
        for size in (1, 50)
    }
    return Recording({"idle": rounds, "busy": rounds}, {})


def result(fleets: int, concurrency: int = 20, **more: float) -> Result:
    """Five minutes of a stack."""
    return simulate(Conditions(fleets, concurrency=concurrency, minutes=5), recording(**more))


@pytest.mark.parametrize("fleets", [1, 50, 1_000, 5_000])
def test_gaps_are_a_tick_when_there_is_room(fleets: int) -> None:
    """At most a tick and a half for 99 of 100, no shard is left out, and drains under it keep their heartbeats."""
    found = result(fleets)
    assert quantile(found.gaps, 0.5) == pytest.approx(10.0, abs=0.5)
    assert found.p99 <= 15.0
    assert found.unseen == 0
    assert found.heartbeat_gaps[-1] < 60.0
    assert found.throttled == {"ssm": 0.0, METRICS: 0.0, GROUPS: 0.0}


@pytest.mark.slow
def test_gaps_grow_when_planners_are_too_few() -> None:
    """Four hundred shards of 0.75 s need thirty planners at once: twenty have them wait, a hundred do not."""
    few, many = result(20_000), result(20_000, concurrency=100)
    assert few.at_once == 20
    assert quantile(few.gaps, 0.5) > 14.0
    assert quantile(many.gaps, 0.5) == pytest.approx(10.0, abs=0.5)
    assert few.unseen == 0, "all are late together, and none starves"


@pytest.mark.slow
def test_groups_are_throttled_when_their_calls_are_too_many() -> None:
    """Twenty calls a second serve two hundred shards."""
    assert result(5_000).throttled[GROUPS] == 0.0
    assert result(20_000, concurrency=100).throttled[GROUPS] == pytest.approx(0.5, abs=0.1)
    assert result(12_000).check_s > result(5_000).check_s > 20.0


def test_run_is_the_same_when_it_is_repeated() -> None:
    """By its seed."""
    assert result(200) == result(200)
    assert simulate(Conditions(200, minutes=5, seed=2), recording()) != result(200)


def test_shard_that_was_not_seen_counts_as_endless() -> None:
    """A p99 of the others' gaps would hide it."""
    assert replace(result(50), unseen=1).p99 == inf


def test_bucket_when_it_is_empty_and_filled_again() -> None:
    """A second's worth at once; then by the rate. Reads that are tried until they are answered wait their turn."""
    bucket = Bucket(10.0)
    assert [bucket.take(0.0) for _ in range(11)] == [True] * 10 + [False]
    assert bucket.take(0.1)
    assert not bucket.take(0.1)
    assert Bucket(40.0).wait_s(0.0, 100) == pytest.approx(1.5)


def test_picture_is_the_same_text_when_results_are(tmp_path: Path) -> None:
    """Its file changes with the figures alone."""
    results = {concurrency: [result(fleets, concurrency) for fleets in (50, 1_000)] for concurrency in (20, 100)}
    draw(results, tmp_path / "a.svg")
    draw(results, tmp_path / "b.svg")
    text = (tmp_path / "a.svg").read_text()
    assert text == (tmp_path / "b.svg").read_text()
    assert text.startswith("<?xml")


# --------------------------------------------------------------------------- the run on the sandbox


def call(at: float, action: str, resource: str, function: str = "planner") -> dict[str, Any]:
    """A call as the emulator writes it down."""
    return {"at": at, "action": action, "resource": resource, "principal": f"arn:assumed-role/sluice-{function}-eu"}


def test_gaps_are_of_ticks_when_a_count_is_read_twice() -> None:
    """A second reading within a second belongs to the same tick."""
    assert gaps_of([30.0, 10.0, 10.4, 20.0]) == [10.0, 10.0]


def test_starved_fleet_is_told_when_others_are_ticked() -> None:
    """By its name; other functions' readings and calls outside of the time do not count."""
    queue = "arn:aws:sqs:eu-central-1:000000000000:scale-"
    calls = [
        call(at, "sqs:GetQueueAttributes", f"{queue}{number:03d}")
        for number in range(1, FLEETS)
        for at in range(0, 180, 10)
    ]
    calls += [call(170.0, "sqs:GetQueueAttributes", f"{queue}000", "drainer")]
    beats = [
        call(at, "autoscaling:RecordLifecycleActionHeartbeat", "arn:x:autoScalingGroupName/g", "drainer")
        for at in (40.0, 52.0)
    ]
    found = seen([*calls, *beats], 0.0, 180.0, DRAINED)
    assert found.starved == ("scale-000",)
    assert found.ticks == (10.0,) * (17 * (FLEETS - 1))
    assert found.heartbeats == (12.0,)
    assert found.problems == ["fleet scale-000 had no tick for a minute"]


def test_problems_are_told_when_promises_are_broken() -> None:
    """Ticks too far apart, heartbeats later than the hook waits, consumers that were ended."""
    good = Gaps((10.0,) * 100, (), (10.0,), DRAINED)
    assert good.problems == []
    assert "p99" in replace(good, ticks=(10.0,) * 90 + (20.0,) * 10).problems[0]
    assert "heartbeat" in replace(good, heartbeats=(HOOK_S + 1.0,)).problems[0]
    assert replace(good, drained=DRAINED - 2).problems == ["2 of 5 consumers were ended before they had finished"]
