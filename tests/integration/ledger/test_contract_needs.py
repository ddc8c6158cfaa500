"""The Needs port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

import json

import pytest

from sluice.aws.ledger.records import REPORTED_NEEDS, ReportedNeeds
from sluice.aws.table import typed_all
from sluice.model.need import OperatorNeed, ReportedNeed
from sluice.ports.ledger import Ledger
from sluice.ports.ledger.needs import NEEDS_KEPT_S
from tests.integration.contract_worlds import AwsWorld, World


@pytest.fixture
def seen_at(world: World) -> float:
    """When a fleet was seen: a moment ago by the world's own clock, since what is a day old is left out."""
    return world.now() - 1.0


def test_last_need_of_a_fleet_and_reason_stays_when_it_was_noted_twice(ledger: Ledger, seen_at: float) -> None:
    """They are listed by reason and fleet."""
    first, later = (
        OperatorNeed("TickAge", "orders", seen_at - 60.0, 310.5),
        OperatorNeed("TickAge", "orders", seen_at, 370.5),
    )
    drain = OperatorNeed("DrainsExpired", "orders", seen_at, 1.0)
    mails = OperatorNeed("TickAge", "mails", seen_at, 400.0)
    for need in (first, mails, later, drain):
        ledger.needs.note(need)
    assert ledger.needs.noted() == (drain, mails, later)


def test_need_is_left_out_when_it_was_seen_a_day_ago(ledger: Ledger, seen_at: float) -> None:
    """DynamoDB deletes it some days later."""
    now = OperatorNeed("TickAge", "orders", seen_at, 310.5)
    ledger.needs.note(OperatorNeed("StepAge", "orders", seen_at - NEEDS_KEPT_S, 310.0))
    ledger.needs.note(now)
    assert ledger.needs.noted() == (now,)


def test_told_needs_are_those_of_the_last_notice(ledger: Ledger, seen_at: float) -> None:
    """None before the first one."""
    assert ledger.needs.reported() == ()
    told = (ReportedNeed("TickAge", "orders", seen_at), ReportedNeed("StepAge", "mails", seen_at - 5.5))
    ledger.needs.keep_reported(told)
    assert ledger.needs.reported() == told
    ledger.needs.keep_reported([])
    assert ledger.needs.reported() == ()
    assert ledger.needs.noted() == ()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"surprise": 1}, "ledger record needs reported: field surprise of the needs that were reported is not known"),
        ({"needs": 7}, "ledger record needs reported cannot be read as a ReportedNeeds"),
    ],
)
def test_log_names_what_is_left_out_when_another_version_wrote_it(
    world: World, seen_at: float, caplog: pytest.LogCaptureFixture, change: dict[str, int], line: str
) -> None:
    """A field that is not known leaves the rest; what cannot be read at all is reported again."""
    if not isinstance(world, AwsWorld):
        return  # memory keeps no text
    reported = ReportedNeed("TickAge", "orders", seen_at)
    record = json.loads(REPORTED_NEEDS.to_text(ReportedNeeds((reported,)))) | change
    item = {"pk": "needs", "sk": "reported", "data": json.dumps(record)}
    world.client("dynamodb").put_item(TableName=world.environ["SLUICE_TABLE"], Item=typed_all(item))
    assert world.ports.ledger.needs.reported() == (() if "needs" in change else (reported,))
    (message,) = caplog.messages
    assert message.startswith(line)
