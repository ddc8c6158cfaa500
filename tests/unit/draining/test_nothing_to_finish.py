"""What says that an instance has nothing to finish, what does not, and what becomes of its drain."""

from typing import Any

import pytest

from sluice.config.fleet import DrainPolicy, DrainVia, Fleet, LaunchPolicy
from sluice.draining.events import CompletionAnswered, NothingFound
from sluice.draining.nothing_to_finish import BOOT_WITHIN_S, GRACE_S, nothing_found
from sluice.draining.observations import Observation
from sluice.draining.state_machine import advance
from sluice.model.consumers import BootState, Consumer, ConsumerStatus, LastReport
from sluice.model.draining import CommandStatus, CompleteHook, DrainOutcome, DrainState
from sluice.model.frozen import replace
from tests.support.drains import COMMAND, HOOK, ID, NOW, POLICY, a_drain, changed

LAUNCHED = NOW - 900


def a_fleet(**drain: Any) -> Fleet:
    """A fleet with a launch hook."""
    return Fleet(
        name="orders",
        queue="https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
        group="consumers",
        target_wait_s=60,
        drain=DrainPolicy(**drain),
        launch=LaunchPolicy(hook="sluice-ready"),
    )


def a_consumer(*statuses: ConsumerStatus, boot: BootState = BootState.BOOTING, **fields: Any) -> Consumer:
    """An instance's record, each of whose consumers has reported once since its launch."""
    reports = tuple(LastReport(f"worker-{number}", status, NOW - 100) for number, status in enumerate(statuses))
    return Consumer("orders", ID, boot, NOW, launched_at=LAUNCHED, reports=reports, **fields)


def seen(consumer: Consumer | None = None, *, launched_at: float | None = None, **fields: Any) -> Observation:
    """A full check; `launched_at` is that of an instance whose agent never registered."""
    consumers = {} if consumer is None else {ID: consumer}
    unregistered = {} if launched_at is None else {ID: launched_at}
    return Observation(**{"consumers": consumers, "in_full": True, "unregistered": unregistered} | fields)


def why(observed: Observation, fleet: Fleet | None = None, **stop: Any) -> str | None:
    """What a full check finds, of a drain whose stop was not accepted."""
    drain = changed(a_drain(DrainState.NOTICED), unanswered_count=3, **stop)
    events = nothing_found(fleet or a_fleet(), drain, observed, NOW)
    return events[0].why if events else None


FAILED, BUSY, IDLE, READY, DONE = (ConsumerStatus(name) for name in ("failed", "busy", "idle", "ready", "done"))
SELF = a_fleet(via=DrainVia.SELF)
NO_HOOK = a_fleet().model_copy(update={"launch": LaunchPolicy()})


@pytest.mark.parametrize(
    ("observed", "stop", "fleet", "expected"),
    [
        pytest.param(seen(a_consumer(FAILED)), {}, None, "can never be ready", id="failed"),
        pytest.param(seen(a_consumer(FAILED, FAILED)), {}, None, "can never be ready", id="all failed"),
        pytest.param(seen(a_consumer(FAILED)), {}, SELF, "can never be ready", id="failed, stops by itself"),
        pytest.param(seen(a_consumer(boot=BootState.LOST)), {}, None, "launch was abandoned", id="launch abandoned"),
        pytest.param(
            seen(a_consumer(boot=BootState.LOST)), {}, SELF, "launch was abandoned", id="abandoned, by itself"
        ),
        pytest.param(seen(), {"missing": True}, None, "it has no unit consumer.service", id="no unit"),
        pytest.param(
            seen(), {"missing": True}, a_fleet(container="work"), "it has no container work", id="no container"
        ),
        pytest.param(seen(launched_at=LAUNCHED), {}, None, "no SSM agent has registered", id="never booted"),
        pytest.param(
            seen(a_consumer(), launched_at=NOW - BOOT_WITHIN_S),
            {},
            None,
            "10 min since its launch",
            id="boot just over",
        ),
    ],
)
def test_instance_has_nothing_to_finish_when_that_is_known(
    observed: Observation, stop: dict[str, Any], fleet: Fleet | None, expected: str
) -> None:
    """Each costs two minutes in place of the whole deadline."""
    found = why(observed, fleet, **stop)
    assert found is not None
    assert expected in found


@pytest.mark.parametrize(
    ("observed", "stop", "fleet"),
    [
        pytest.param(seen(), {}, None, id="agent offline, or a stop without a result"),
        pytest.param(seen(launched_at=NOW - BOOT_WITHIN_S + 1), {}, None, id="still booting"),
        pytest.param(seen(a_consumer(BUSY), launched_at=LAUNCHED), {}, None, id="busy, without an agent"),
        pytest.param(seen(a_consumer(IDLE), launched_at=LAUNCHED), {}, None, id="idle, without an agent"),
        pytest.param(seen(a_consumer(ready_at=NOW - 300), launched_at=LAUNCHED), {}, None, id="was ready once"),
        pytest.param(seen(launched_at=LAUNCHED), {}, SELF, id="needs no agent"),
        pytest.param(seen(a_consumer(FAILED, BUSY)), {}, None, id="one of two failed"),
        pytest.param(seen(a_consumer(FAILED, DONE)), {}, None, id="one failed, one done: its stop decides"),
        pytest.param(seen(a_consumer(READY)), {"missing": True}, None, id="runs under another name"),
        pytest.param(seen(a_consumer(boot=BootState.LOST)), {}, NO_HOOK, id="no launch hook"),
        pytest.param(seen(a_consumer(boot=BootState.LOST, served_at=NOW - 600)), {}, None, id="was in service"),
        pytest.param(seen(a_consumer(boot=BootState.LEFT, ready_at=NOW - 600)), {}, None, id="left after it was ready"),
        pytest.param(
            seen(a_consumer(FAILED), commands={COMMAND: {ID: CommandStatus.RUNNING}}),
            {"command_id": COMMAND},
            None,
            id="its stop is running",
        ),
        pytest.param(seen(a_consumer(FAILED), in_full=False), {}, None, id="not checked in full"),
        pytest.param(
            seen(replace(a_consumer(FAILED), launched_at=NOW - 50)), {}, None, id="failed in an earlier launch"
        ),
    ],
)
def test_instance_may_have_work_when_nothing_says_otherwise(
    observed: Observation, stop: dict[str, Any], fleet: Fleet | None
) -> None:
    """Unknown is not dead."""
    assert why(observed, fleet, **stop) is None


@pytest.mark.parametrize("state", [DrainState.NOTICED, DrainState.STOPPING])
def test_instance_is_released_when_it_has_nothing_to_finish_for_a_minute(state: DrainState) -> None:
    """Held for the grace, then released with an outcome of its own, which is no expiry."""
    event = NothingFound("it has no unit consumer.service")
    first = advance(a_drain(state), event, POLICY, NOW)
    assert first.drain is not None
    assert (first.drain.state, first.actions) == (state, ())
    assert first.drain.note.startswith("the instance has nothing to finish: it has no unit consumer.service")
    early = advance(first.drain, event, POLICY, NOW + GRACE_S - 1)
    assert early == replace(first, actions=())
    done = advance(first.drain, event, POLICY, NOW + GRACE_S)
    assert done.drain is not None
    assert (done.drain.state, done.actions) == (DrainState.DONE, (CompleteHook(HOOK),))
    after = advance(done.drain, CompletionAnswered(HOOK, active=True), POLICY, NOW + GRACE_S).drain
    assert after is not None
    assert (after.state, after.outcome) == (DrainState.RELEASED, DrainOutcome.NOTHING)
    assert after.note == "instance released: it had nothing to finish (it has no unit consumer.service)"


def test_grace_begins_anew_when_a_consumer_shows_in_between() -> None:
    """A report in the grace takes the finding back."""
    first = advance(a_drain(DrainState.NOTICED), NothingFound("x"), POLICY, NOW).drain
    back = advance(first, NothingFound(None), POLICY, NOW + 30).drain
    assert back is not None
    assert back.signs.nothing is None
    again = advance(back, NothingFound("x"), POLICY, NOW + GRACE_S).drain
    assert again is not None
    assert again.state is DrainState.NOTICED


def test_drain_of_a_busy_consumer_goes_back_to_waiting_when_it_reports_after_all() -> None:
    """The check itself says so, of a drain that was found to have nothing to finish."""
    drain = advance(a_drain(DrainState.NOTICED), NothingFound("x"), POLICY, NOW).drain
    assert nothing_found(a_fleet(), drain, seen(a_consumer(BUSY)), NOW) == (NothingFound(None),)
