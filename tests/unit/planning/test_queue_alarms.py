"""Which fleet an alarm of one of several queues asks to tick."""

import pytest

from sluice.config.fleet import parse
from sluice.memory import queue_url
from sluice.planning.payloads import AlarmChange, fleets_of
from tests.support.several_queues import fleet


@pytest.mark.parametrize("queue", ["orders-urgent", "orders", "orders-night"])
def test_alarm_is_about_a_fleet_when_it_looks_at_any_of_its_queues(queue: str) -> None:
    """Paused or not: who looks may find it no longer paused."""
    invoices = parse("invoices", {"queue": queue_url("invoices"), "group": "invoices", "target_wait_s": 9})
    wake = AlarmChange("any name", "ALARM", frozenset({queue}))
    assert [one.name for one in fleets_of(wake, [invoices, fleet()], "sluice")] == ["orders"]
    assert fleets_of(AlarmChange("any name", "ALARM", frozenset({"other"})), [invoices, fleet()], "sluice") == ()


def test_alarm_of_a_further_queue_is_its_fleets_when_only_its_name_tells() -> None:
    """A change that names no metric, of an alarm as queue.yaml calls it."""
    wake = AlarmChange("sluice-orders-oldest-message-orders-urgent", "ALARM", frozenset())
    assert [one.name for one in fleets_of(wake, [fleet()], "sluice")] == ["orders"]
