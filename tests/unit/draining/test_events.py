"""Readings of a group as events, and when a command's status is asked for."""

import pytest

from sluice.draining.deadlines import needs_status_check
from sluice.draining.events import (
    Event,
    FoundInService,
    FoundPoolWaiting,
    FoundRetained,
    FoundWaiting,
    InstanceGone,
    event_for_state,
)
from sluice.model.draining import (
    DrainState,
)
from tests.support.drains import COMMAND, NOW, OUR_HOOK, a_drain, changed


@pytest.mark.parametrize(
    ("aws_state", "expected"),
    [
        ("Terminating:Wait", FoundWaiting("orders", OUR_HOOK)),
        ("Warmed:Terminating:Wait", FoundWaiting("orders", OUR_HOOK)),
        ("ReplacingRootVolume:Wait", FoundWaiting("orders", OUR_HOOK)),
        ("ReplacingRootVolume", None),
        ("ReplacingRootVolume:Proceed", InstanceGone("ReplacingRootVolume:Proceed")),
        ("RootVolumeReplaced", InstanceGone("RootVolumeReplaced")),
        ("Terminating:Proceed", InstanceGone("Terminating:Proceed")),
        ("Warmed:Terminating:Proceed", InstanceGone("Warmed:Terminating:Proceed")),
        ("Terminating:Retained", FoundRetained("orders", OUR_HOOK)),
        ("Terminated", InstanceGone("Terminated")),
        ("Warmed:Stopped", InstanceGone("Warmed:Stopped")),
        ("Warmed:Running", InstanceGone("Warmed:Running")),
        ("Warmed:Hibernated", InstanceGone("Warmed:Hibernated")),
        ("Warmed:Pending", None),
        ("Warmed:Pending:Wait", FoundPoolWaiting("orders", OUR_HOOK)),
        ("Warmed:Pending:Proceed", InstanceGone("Warmed:Pending:Proceed")),
        ("Warmed:Pending:Retained", FoundRetained("orders", OUR_HOOK)),
        ("Warmed:Terminating", None),
        ("Warmed:Terminating:Retained", FoundRetained("orders", OUR_HOOK)),
        (None, InstanceGone(None)),
        ("InService", FoundInService()),
        ("Pending:Wait", FoundInService()),
        ("Terminating", None),
        ("Standby", None),
    ],
)
def test_reading_tells_when_the_state_says_something_of_a_drain(aws_state: str | None, expected: Event | None) -> None:
    """Waiting is ours to answer, past the hook is over, kept must not be forgotten, and all else says nothing."""
    assert event_for_state("orders", OUR_HOOK, aws_state) == expected


def test_command_is_looked_at_when_its_event_is_overdue() -> None:
    """After fifteen seconds at every step, after two minutes only when the fleet is checked in full."""
    drain = a_drain(DrainState.STOPPING, asked_at=NOW)
    looks = [needs_status_check(drain, NOW + later_s, in_full=False) for later_s in (14, 15, 119, 120)]
    assert looks == [False, True, True, False]
    assert needs_status_check(drain, NOW + 5_000, in_full=True)
    assert not needs_status_check(changed(drain, command_id=None), NOW + 60, in_full=True)
    assert not needs_status_check(a_drain(DrainState.DONE, command_id=COMMAND), NOW + 60, in_full=True)
