"""Launches beside those needed: how many fail is learned, and as many more are launched where time is short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import nbinom

from sluice.model.decisions import Decision, ReasonCode
from sluice.model.observed import GroupReading
from sluice.model.planning import Estimate, LaunchMemory, QueueSample, Snapshot
from sluice.planning.launch_limits import _failing
from sluice.planning.learning.launch_lives import learn_failing
from sluice.planning.learning.significance import RISK
from sluice.planning.multi_queue import pooled
from tests.support.planner_steps import a_memory
from tests.support.planner_world import NINE, a_fleet, a_group, a_queue, decide, seen
from tests.support.sharing_world import a_shared_fleet

NOW = NINE
SLOW = a_fleet(
    hints={"seconds_per_message": 300, "lead_time_s": 60}
)  # of a target wait of 120 s, 113 s are planned for
LEAD = Estimate(60.0, 8.0, NOW - 600.0)
ONE_IN_FIVE = Estimate(0.2, 60.0, NOW - 600.0)

# ------------------------------------------------------------------------------------------------ how many fail


def learned(
    group: GroupReading,
    *under_way: str,
    memory: LaunchMemory | None = None,
    working: float = 3.0,
    age_s: float = 60.0,
) -> Estimate | None:
    """The share that fails, after a tick that saw the group ten seconds after these launches were under way."""
    before = QueueSample(NOW - 10.0, 1.0, 0.0, working, True, 0.0)
    launches = tuple((name, NOW - age_s) for name in under_way)
    return learn_failing(memory or LaunchMemory(), launches, before, group, hang_s=180.0, at=NOW).failing


def test_share_when_launches_come_fail_or_go_on() -> None:
    """What came counts as none that failed, what is gone as one, and what is still under way as nothing yet."""
    group = a_group(NOW, 5, launching=(70.0, 70.0))
    came = learned(group, "i-work3", "i-work4", "i-new0")
    assert came is not None
    assert (came.mean, came.weight) == (0.0, 2.0)
    one = learned(group, "i-work3", "i-work4", "i-new0", "i-gone")
    assert one is not None
    assert (one.mean, one.weight) == (pytest.approx(1 / 3), 3.0)
    assert learned(group, "i-new0", "i-new1") is None


def test_share_when_the_group_gives_launches_up() -> None:
    """What is gone since less is desired has not failed."""
    assert learned(a_group(NOW, 3), "i-gone", "i-away") is None
    one = learned(a_group(NOW, 3, desired=4), "i-gone", "i-away")
    assert one is not None
    assert one.weight == 1.0


@pytest.mark.parametrize(("age_s", "counted"), [(180.0, False), (185.0, True), (195.0, False)])
def test_share_when_a_launch_hangs(age_s: float, counted: bool) -> None:
    """It counts as one that failed, once: at the tick that sees it hang, and not when it comes or ends."""
    one = learned(a_group(NOW, 3, launching=(age_s,)), "i-new0", age_s=age_s)
    assert one == (Estimate(1.0, 1.0, NOW) if counted else None)
    for later in (a_group(NOW, 4), a_group(NOW, 3, desired=4)):
        assert learned(later, "i-work3", age_s=3000.0) is None


def test_share_when_aws_refuses_at_once() -> None:
    """A launch that no tick saw under way took no time that the next one lacks."""
    refused = a_group(NOW, 3, desired=4, failures=((5.0, "no capacity"), (2.0, "no capacity")))
    assert learned(refused) is None


def test_share_when_launches_no_longer_fail() -> None:
    """About sixty launches are remembered."""
    memory, group = LaunchMemory(failing=Estimate(0.5, 60.0, NOW - 60.0)), a_group(NOW, 4)
    for _ in range(60):
        after = learned(group, "i-work3", memory=memory)
        memory = LaunchMemory(failing=after)
    assert after is not None
    assert after.mean < 0.2
    assert after.weight == 60.0


@given(
    launches=st.integers(1, 300),
    share=st.floats(0.001, 0.9),
    chance=st.floats(0.0, 1.0),
)
def test_failing_when_reckoned(launches: int, share: float, chance: float) -> None:
    """It is the quantile of a negative binomial distribution, at the risk that is left."""
    failures = _failing(launches, share, chance)
    distribution = nbinom(launches, 1.0 - share)
    assert chance * distribution.sf(failures) <= RISK + 1e-9
    assert failures == 0 or chance * distribution.sf(failures - 1) > RISK - 1e-9


# ------------------------------------------------------------------------------------------------ what is launched


def deciding(
    waiting: float = 1,
    oldest_s: float = 52.0,
    *,
    working: int = 0,
    launching: tuple[float, ...] = (),
    failing: Estimate | None = ONE_IN_FIVE,
    **group: object,
) -> Decision:
    """A decision on messages of 300 s that came at once, so long ago."""
    queue = a_queue(NOW, waiting, working, oldest_s=oldest_s, per_minute=(1.0,) * 10)
    ages_s = (oldest_s + 1.0, oldest_s - 7.0, *(age_s for age_s in (30.0, 20.0, 10.0) if age_s < oldest_s - 10.0))
    samples = tuple(
        QueueSample(NOW - age_s, waiting if place else 0.0, working, working, True, waiting if place == 1 else 0.0)
        for place, age_s in enumerate(ages_s)
    )
    rate = Estimate(1.0 / 300.0, 100.0, NOW - 600.0)
    memory = a_memory(rate=rate, to_service=LEAD, failing=failing, samples=samples, learned_at=NOW - 10.0)
    return decide(seen(NOW, queue, a_group(NOW, working, launching=launching, **group)), SLOW, memory)


def test_reason_when_launches_may_fail() -> None:
    """It says how many more, and of how many launches how many failed."""
    (sentence,) = [each.sentence for each in deciding().reasons if each.code is ReasonCode.SPARE_LAUNCHES]
    assert sentence == (
        "adding 1 instance for launches that may fail: 12 of 60 failed or hung lately, "
        "and another launch would come too late"
    )


@pytest.mark.parametrize(
    ("seen_with", "want"),
    [
        ({}, 2),
        ({"launching": (30.0,)}, 2),
        ({"oldest_s": 20.0}, 1),  # should it fail, the next tick's is in time
        ({"failing": None}, 1),
        ({"failing": Estimate(0.0, 60.0, NOW)}, 1),
        ({"failing": Estimate(0.02, 60.0, NOW)}, 1),  # one in fifty
        ({"failing": Estimate(1.0, 1.0, NOW)}, 2),  # one of one: a tenth, as far as is known
        ({"waiting": 10}, 15),
        ({"waiting": 10, "failing": Estimate(0.02, 60.0, NOW)}, 11),
        ({"working": 5}, 7),
        ({"working": 10}, 11),  # one of ten is done by then
        ({"waiting": 0}, 0),
        ({"bounds": (0, 1)}, 1),
    ],
)
def test_launches_when_some_fail(seen_with, want: int) -> None:
    """Where the next launch would be too late for a message, as many more are launched as may fail."""
    decision = deciding(**seen_with)
    assert decision.want == want


def test_launches_when_they_are_too_late_for_the_messages() -> None:
    """What is under way is kept, and nothing more is launched: the messages are late in any case."""
    kept = deciding(oldest_s=70.0, launching=(30.0, 30.0))
    assert kept.want == 2
    (sentence,) = [each.sentence for each in kept.reasons if each.code is ReasonCode.SPARE_LAUNCHES]
    assert sentence.startswith("keeping 1 instance for launches that may fail: ")
    assert deciding(oldest_s=70.0, launching=(30.0,)).want == 1


@pytest.mark.parametrize(("takes_s", "want"), [(52.0, 1), (54.0, 2)])
def test_launches_when_messages_are_short(takes_s: float, want: int) -> None:
    """Of a target wait of 120 s a launch leaves 53 s: who is done with a message by then begins another in time."""
    fleet = a_fleet(hints={"seconds_per_message": takes_s, "lead_time_s": 60})
    queue = a_queue(NOW, 1, oldest_s=52, per_minute=(1.0,) * 10)
    assert decide(seen(NOW, queue, a_group(NOW)), fleet, a_memory(to_service=LEAD, failing=ONE_IN_FIVE)).want == want


def test_launches_when_all_fail() -> None:
    """Four failures in a row are no reason to launch more."""
    failed = tuple((age_s, "no capacity") for age_s in (5.0, 70.0, 140.0, 210.0))
    assert deciding(10, working=1, failures=failed).want == 2


def test_launches_when_a_fleet_has_several_queues() -> None:
    """A message of one queue needs a launch of its own as that of a fleet's only queue does."""
    fleet = a_shared_fleet(
        {"queue": "urgent", "target_wait_s": 120},
        {"queue": "bulk", "target_wait_s": 900},
        hints={"seconds_per_message": 300, "lead_time_s": 60},
    )
    readings = a_queue(NOW, 1, oldest_s=45, per_minute=(1.0,) * 10), a_queue(NOW, 0, per_minute=(0.0,) * 10)
    snapshot = Snapshot("orders", NOW, pooled(fleet.sources, readings), a_group(NOW), queues=readings)
    for failing, want in ((ONE_IN_FIVE, 2), (None, 1)):
        assert decide(snapshot, fleet, a_memory(to_service=LEAD, failing=failing)).want == want
