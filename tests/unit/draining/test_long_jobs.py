"""Jobs that take longer than the deadline: reports put it off, up to a bound, and never past Spot's end."""

import pytest

from sluice.config.fleet import DrainPolicy
from sluice.draining.deadlines import heartbeats_until
from sluice.draining.events import (
    CompletionAnswered,
    DrainReported,
    HeartbeatAnswered,
    InstanceGone,
    OperatorRelease,
    SpotInterruption,
    Terminating,
    Tick,
)
from sluice.draining.state_machine import advance
from sluice.model.draining import Drain, DrainOutcome, DrainState, StopConsumer
from tests.support.drains import HOOK, ID, NOW, OUR_HOOK, a_drain

LONG = DrainPolicy(deadline_s=900, hook_timeout_s=120, heartbeat_s=45, longest_s=7_200)


def begun(policy: DrainPolicy = LONG) -> Drain:
    """A drain that its event began now."""
    drain = advance(None, Terminating("orders", HOOK, NOW), policy, NOW).drain
    assert drain is not None
    return drain


def after(drain: Drain, event: DrainReported | SpotInterruption | Tick, later_s: float) -> Drain:
    """The drain after an event, so long after it began."""
    changed = advance(drain, event, LONG, NOW + later_s).drain
    assert changed is not None
    return changed


def draining(later_s: float) -> DrainReported:
    """A report that the consumer is draining, so long after the drain began."""
    return DrainReported(NOW + later_s, done=False, draining_at=NOW + later_s)


def test_job_is_finished_when_its_consumer_reports_each_minute_for_longer_than_the_deadline() -> None:
    """Scenario: a job of an hour and a half was ended after fifteen minutes."""
    drain = begun()
    for minute in range(1, 91):
        drain = after(drain, draining(60 * minute), 60 * minute + 1)
        drain = after(drain, Tick(), 60 * minute + 2)
        assert drain.state is not DrainState.EXPIRED
    assert drain.deadline.at == NOW + 5_400 + 900
    assert heartbeats_until(drain, LONG) == drain.deadline.at


def test_job_is_ended_when_its_bound_is_reached_whatever_its_consumer_reports() -> None:
    """Two hours here: a helper goes on reporting though the work hangs."""
    drain = begun()
    for minute in range(1, 120):
        drain = after(drain, draining(60 * minute), 60 * minute + 1)
    assert drain.deadline.at == NOW + 7_200
    assert after(drain, Tick(), 7_199).state is not DrainState.EXPIRED
    assert after(drain, Tick(), 7_200).state is DrainState.EXPIRED


def test_deadline_stays_when_a_consumer_is_only_busy() -> None:
    """It may not know that it is to stop, and would be busy for ever."""
    assert after(begun(), DrainReported(NOW + 600, done=False), 601).deadline.at == NOW + 900


def test_deadline_stays_when_the_report_is_older_than_the_drain_or_than_the_deadline_needs() -> None:
    """What is late, doubled or of an earlier life puts nothing off."""
    drain = begun()
    assert after(drain, draining(-60), 1).deadline.at == NOW + 900
    later = after(drain, draining(600), 601)
    assert after(later, draining(300), 602) == later
    assert after(later, draining(600), 603) == later


def test_three_minutes_are_held_when_the_deadline_is_shorter_than_the_pause_between_reports() -> None:
    """A report each minute can put off a deadline of a minute only so."""
    short = LONG.model_copy(update={"deadline_s": 60.0})
    step = advance(begun(short), draining(50), short, NOW + 51)
    assert step.drain is not None
    assert step.drain.deadline.at == NOW + 50 + 180


def test_spots_end_is_never_put_off() -> None:
    """EC2 does not wait: whether the notice began the drain or came to it."""
    joined = after(begun(), SpotInterruption("orders", ID, NOW + 10), 10)
    assert joined.deadline.at == NOW + 130
    assert after(joined, draining(60), 60).deadline.at == NOW + 130
    alone = advance(None, SpotInterruption("orders", ID, NOW), LONG, NOW).drain
    assert alone is not None
    assert after(alone, draining(60), 60).deadline.at == NOW + 120
    late = a_drain(DrainState.STOPPING, deadline_at=NOW + 100, longest_at=NOW + 7_000)
    told = after(late, SpotInterruption("orders", ID, NOW + 50), 50)
    assert after(told, draining(60), 60).deadline.at == NOW + 100, "the deadline was nearer than EC2's end"


def test_drain_that_an_earlier_version_began_keeps_its_deadline() -> None:
    """It has no bound on record: whether Spot has shortened it is not known."""
    drain = a_drain(DrainState.STOPPING)
    assert after(drain, draining(60), 60).deadline.at == drain.deadline.at


def test_stop_may_run_as_long_as_the_drain_when_it_is_asked_for() -> None:
    """Run Command would end it at the first deadline otherwise, with the job still at work."""
    step = advance(None, Terminating("orders", HOOK, NOW), LONG, NOW)
    assert step.actions == (StopConsumer(ID, LONG.order, 7_200.0, ask=1),)


@pytest.mark.parametrize(
    ("changes", "bound_s"),
    [
        ({}, 12_000.0),
        ({"hook_timeout_s": 600}, 43_200.0),
        ({"longest_s": 3_600}, 3_600.0),
        ({"hook_timeout_s": 7_200, "longest_s": 172_800}, 172_800.0),
        ({"hook_timeout_s": 30, "heartbeat_s": 10, "deadline_s": 3_000}, 3_000.0),
    ],
)
def test_bound_is_twelve_hours_or_what_the_hook_can_hold_unless_it_is_set(
    changes: dict[str, float], bound_s: float
) -> None:
    """SQS lets no message be in flight for longer; a hook holds for 48 h or 100 timeouts."""
    assert DrainPolicy(**{"deadline_s": 900, "hook_timeout_s": 120, "heartbeat_s": 45, **changes}).bound_s == bound_s


@pytest.mark.parametrize(
    "answer",
    [
        CompletionAnswered(HOOK, active=True),
        CompletionAnswered(HOOK, active=False),
        InstanceGone("Terminating:Proceed"),
    ],
)
def test_drain_that_expired_counts_as_expired_however_its_action_ends(
    answer: CompletionAnswered | InstanceGone,
) -> None:
    """Scenario: it was counted as completed as well."""
    expired = advance(a_drain(DrainState.STOPPING), Tick(), LONG, NOW + 900).drain
    assert expired is not None
    assert (expired.state, expired.outcome) == (DrainState.EXPIRED, DrainOutcome.EXPIRED)
    released = advance(expired, answer, LONG, NOW + 901).drain
    assert released is not None
    assert (released.state, released.outcome) == (DrainState.RELEASED, DrainOutcome.EXPIRED)


def test_drain_that_an_operator_released_is_not_counted_as_expired() -> None:
    """Its deadline had not passed."""
    asked = advance(a_drain(DrainState.STOPPING), OperatorRelease("orders", OUR_HOOK), LONG, NOW).drain
    assert asked is not None
    released = advance(asked, CompletionAnswered(OUR_HOOK, active=True), LONG, NOW + 1).drain
    assert released is not None
    assert released.outcome is DrainOutcome.COMPLETED


def test_drain_has_one_outcome_when_its_hook_is_over_before_its_deadline() -> None:
    """A heartbeat that finds no action ends a drain that did not expire."""
    released = advance(a_drain(DrainState.STOPPING), HeartbeatAnswered(HOOK, held=False), LONG, NOW).drain
    assert released is not None
    assert released.outcome is DrainOutcome.LATE
