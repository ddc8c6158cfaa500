"""The LaunchLog port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from typing import Any

from sluice.aws.ledger.launch_log import DynamoLaunchLog
from sluice.model.frozen import replace
from sluice.model.launches import Launch
from sluice.ports.ledger import Ledger
from sluice.ports.ledger.launch_log import LAUNCHES_LOGGED_S
from tests.integration.contract_worlds import World
from tests.integration.ledger.samples import AT

STARTED = Launch("group", "activity-1", AT - 60.0, AT - 5.0, "i-0123456789abcdef0")
FAILED = Launch("other", "activity-2", AT - 30.0, AT - 29.0, failure="We do not have sufficient capacity")


def test_launches_of_every_group_are_kept(ledger: Ledger) -> None:
    """With all that is known of each."""
    assert ledger.launch_log.launches(AT) == ()
    ledger.launch_log.note_launch_event(STARTED, AT)
    ledger.launch_log.note_launch_event(FAILED, AT + 1.0)
    assert set(ledger.launch_log.launches(AT + 2.0)) == {STARTED, FAILED}


def test_launch_that_is_noted_twice_is_one(ledger: Ledger) -> None:
    """EventBridge delivers an event at least once."""
    ledger.launch_log.note_launch_event(STARTED, AT)
    ledger.launch_log.note_launch_event(STARTED, AT + 40.0)
    assert ledger.launch_log.launches(AT + 41.0) == (STARTED,)


def test_launch_is_found_when_it_is_noted_late(ledger: Ledger) -> None:
    """By a reader that looked meanwhile, though the launch was over before: the time of its noting counts."""
    assert ledger.launch_log.launches(AT + 1_200.0) == ()
    ledger.launch_log.note_launch_event(STARTED, AT + 1_190.0)
    assert ledger.launch_log.launches(AT + 1_210.0) == (STARTED,)


def test_launch_is_forgotten_after_an_hour(ledger: Ledger) -> None:
    """By readers that knew it, too."""
    ledger.launch_log.note_launch_event(STARTED, AT)
    ledger.launch_log.note_launch_event(replace(FAILED, activity="activity-3"), AT + 600.0)
    assert len(ledger.launch_log.launches(AT + LAUNCHES_LOGGED_S - 1.0)) == 2
    (left,) = ledger.launch_log.launches(AT + LAUNCHES_LOGGED_S + 1.0)
    assert left.activity == "activity-3"


def test_only_what_is_new_is_read_again(world: World, ledger: Ledger) -> None:
    """A process that looks every ten seconds reads a minute of events, not an hour of them."""
    if not isinstance(ledger.launch_log, DynamoLaunchLog):
        return  # memory reads nothing
    log = ledger.launch_log
    asked: list[str] = []
    query = log._table.query

    def spied(pk: str, low: str, high: str, **more: Any) -> object:
        asked.append(low)
        return query(pk, low, high, **more)

    log._table.query = spied  # type: ignore[method-assign, assignment]
    log.note_launch_event(STARTED, AT)
    log.launches(AT + 100.0)
    assert log.launches(AT + 110.0) == (STARTED,)
    assert [int(low) for low in asked] == [round((AT + 100.0 - LAUNCHES_LOGGED_S) * 1000), round((AT + 40.0) * 1000)]
