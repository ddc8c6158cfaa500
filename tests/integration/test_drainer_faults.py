"""The drainer over ports that fail: what comes again, and what is left to the sweep."""

from collections.abc import Callable
from typing import Any

import pytest

from sluice.draining.deadlines import RETRY_S
from sluice.memory import (
    Call,
    Fault,
    When,
)
from sluice.model.draining import (
    CommandStatus,
    DrainOutcome,
    DrainState,
    HookAction,
)
from sluice.ports.errors import LostAnswerError, NeedsFixError, TryLaterError
from tests.support.drainer_day import START, SWEEP, Day, finish, terminating


def test_event_comes_again_when_nothing_is_on_record() -> None:
    """The ledger is down as the first event comes: Lambda is to bring it back."""
    day = Day(decide=lambda call: Fault(When.BEFORE, TryLaterError("down")) if call.method == "keep_drain" else None)
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    with pytest.raises(TryLaterError):
        day.invoke(event)
    day.decide = lambda _: None
    assert day.invoke(event)["state"] == "stopping"


@pytest.mark.parametrize(
    "payload", [SWEEP, terminating(HookAction("orders-consumers", "h", "i-1"), START)], ids=["sweep", "terminating"]
)
def test_function_fails_for_all_to_see_when_the_documents_may_not_be_read(payload: dict[str, Any]) -> None:
    """Nothing can be done without them: raised, so that the alarm on the function's errors goes off."""
    denied = NeedsFixError("ssm:GetParametersByPath is not allowed: grant it")
    day = Day(decide=lambda call: Fault(When.BEFORE, denied) if call.method == "load" else None)
    with pytest.raises(NeedsFixError):
        day.invoke(payload)


def test_event_is_not_brought_back_when_it_is_on_record() -> None:
    """A failure after the first record is the chain's to make good."""
    writes: list[int] = []

    def second_write_fails(call: Call) -> Fault | None:
        if call.method != "keep_drain":
            return None
        writes.append(1)
        return Fault(When.BEFORE, TryLaterError("throttled")) if len(writes) == 2 else None

    day = Day(decide=second_write_fails)
    (instance_id,) = day.instances()
    assert day.invoke(day.terminate(instance_id))["state"] == "noticed"
    day.at(16, lambda: day.ports.instances.answer(instance_id, CommandStatus.SUCCEEDED))
    day.wait(60)
    assert day.state(instance_id) is DrainState.RELEASED


def test_first_record_counts_once_when_its_answer_was_lost() -> None:
    """The write went through and its answer did not: the event comes again, meets its own record, and goes on."""
    lost = iter([Fault(When.AFTER, LostAnswerError("lost"))])
    day = Day(decide=lambda call: next(lost, None) if call.method == "keep_drain" else None)
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    with pytest.raises(TryLaterError):
        day.invoke(event)
    day.wait(60)
    assert day.invoke(event)["state"] == "stopping"
    assert len(day.ports.instances.commands) == 1


def test_completion_is_repeated_when_its_answer_was_lost() -> None:
    """The action was completed; a second completion finds none active, and that is a success."""
    lost = iter([Fault(When.AFTER, LostAnswerError("lost"))])
    day = Day(decide=lambda call: next(lost, None) if call.method == "complete_hook" else None)
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    assert finish(day, day.ports.instances.commands[0])["state"] == "done"
    day.decide = lambda call: Fault(When.BEFORE, TryLaterError("throttled")) if call.method == "read_all" else None
    day.wait(RETRY_S)  # without a reading that would show it gone
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.outcome) == (DrainState.RELEASED, DrainOutcome.LATE)


def test_missing_permission_is_logged_and_tried_again_when_a_stop_is_refused(
    drainer_log: Callable[[], list[dict[str, Any]]],
) -> None:
    """The log names what to grant; the drain waits, and goes on once it is granted."""
    refused = NeedsFixError("ssm:SendCommand is not allowed: grant it")
    day = Day(decide=lambda call: Fault(When.BEFORE, refused) if call.method == "stop" else None)
    (instance_id,) = day.instances()
    assert day.invoke(day.terminate(instance_id))["state"] == "noticed"
    response = next(line for line in drainer_log() if line["level"] == "ERROR")
    assert response["problem"] == "ssm:SendCommand is not allowed: grant it"
    assert (response["fleet"], response["instance_id"]) == ("orders", instance_id)
    day.decide = lambda _: None
    day.wait(30)
    day.sweep(1)
    assert day.state(instance_id) is DrainState.STOPPING
