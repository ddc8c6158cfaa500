"""Instances that Auto Scaling is to replace: whose protection yields, and how often a group is asked."""

import pytest

from sluice.consumers.protection import (
    REFRESH_TRUSTED_S,
    REFRESHES_ASKED_MAX,
    ProtectionPlan,
    has_its_turn,
    must_yield,
    plan_protection,
    seen_in_refresh,
)
from sluice.model.consumers import UNNAMED, BootState, Consumer, ConsumerStatus, LastReport
from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Instance, Lifecycle

NOW = 1_800_000_000.0
DAY_S = 86_400.0


def a_busy_one(instance_id: str = "i-1", *, ours: bool = True, **changes: float | None) -> Consumer:
    """An instance in service for two hours, whose consumer is busy."""
    consumer = Consumer(
        "orders",
        instance_id,
        BootState.WORKING,
        NOW,
        launched_at=NOW - 7_200,
        ready_at=NOW - 7_100,
        reports=(LastReport(UNNAMED, ConsumerStatus.BUSY, NOW - 5),),
        protected=ours,
    )
    return replace(consumer, **changes)


def a_group(*, protected: bool, max_lifetime_s: float | None = None) -> GroupReading:
    """A group with the instance i-1 in service."""
    instance = Instance("i-1", Lifecycle.IN_SERVICE, "InService", protected=protected)
    return GroupReading("consumers", NOW, 1, 0, 10, (instance,), max_lifetime_s=max_lifetime_s)


@pytest.mark.parametrize(
    ("changes", "began_ago_s", "to_be_replaced"),
    [
        ({}, None, False),
        ({}, 60, True),
        ({"launched_at": NOW - 30}, 60, False),
        ({"launched_at": None}, 60, True),
        ({"refresh_seen_at": NOW - 60}, None, False),
        ({"refresh_seen_at": NOW - 60}, 600, True),
        ({"refresh_seen_at": NOW - 60, "launched_at": NOW - 30}, 60, False),
    ],
)
def test_refresh_replaces_the_instances_that_were_launched_before_it(
    changes: dict[str, float | None], began_ago_s: float | None, to_be_replaced: bool
) -> None:
    """New ones are protected as ever, and so are all once it is over; unknown ages count as before."""
    began_at = None if began_ago_s is None else NOW - began_ago_s
    after = seen_in_refresh(a_busy_one(**changes), began_at, NOW)
    assert must_yield(after, a_group(protected=True), NOW) is to_be_replaced


def test_refresh_is_not_written_each_minute_and_is_not_trusted_for_ever() -> None:
    """A fleet that has its turn once in an hour is asked again long before."""
    seen = seen_in_refresh(a_busy_one(), NOW - 60, NOW)
    assert seen_in_refresh(seen, NOW - 60, NOW + 60) is seen
    assert seen_in_refresh(seen, NOW - 60, NOW + 3_600).refresh_seen_at == NOW + 3_600
    assert must_yield(seen, a_group(protected=True), NOW + REFRESH_TRUSTED_S - 1)
    assert not must_yield(seen, a_group(protected=True), NOW + REFRESH_TRUSTED_S)


@pytest.mark.parametrize(
    ("changes", "age_s"), [({}, 7_200), ({"launched_at": None}, 7_100), ({"launched_at": None, "ready_at": None}, None)]
)
def test_instance_yields_when_it_is_past_its_groups_maximum_lifetime(
    changes: dict[str, None], age_s: float | None
) -> None:
    """By the start of its launch, or by its first report if that is not known."""
    one = a_busy_one(**changes)
    if age_s is None:
        assert not must_yield(one, a_group(protected=True, max_lifetime_s=1.0), NOW)
        return
    assert must_yield(one, a_group(protected=True, max_lifetime_s=age_s), NOW)
    assert not must_yield(one, a_group(protected=True, max_lifetime_s=age_s + 1), NOW)
    assert not must_yield(one, a_group(protected=True), NOW)


def test_protection_yields_when_a_busy_instance_is_to_be_replaced() -> None:
    """Ours is lifted and not set again; an operator's stays."""
    seen = a_busy_one(refresh_seen_at=NOW)
    assert plan_protection([seen], a_group(protected=True), NOW) == ProtectionPlan(lift=("i-1",))
    lifted = replace(seen, protected=False)
    assert plan_protection([lifted], a_group(protected=False), NOW) == ProtectionPlan()
    assert plan_protection([lifted], a_group(protected=True), NOW) == ProtectionPlan(), "an operator's"
    assert plan_protection([seen], a_group(protected=False), NOW) == ProtectionPlan(forget=("i-1",))


@pytest.mark.parametrize("count", [1, 40, 41, 1_000, 2_399])
def test_every_fleet_has_its_turn_within_the_hour_when_calls_are_bounded(count: int) -> None:
    """Never more than the bound in a minute, however many fleets there are."""
    minutes = [[index for index in range(count) if has_its_turn(index, count, NOW + 60 * m)] for m in range(60)]
    assert max(map(len, minutes)) <= REFRESHES_ASKED_MAX
    assert set().union(*minutes) == set(range(count))
