"""Which fleet an alarm of one of several queues asks to tick."""

import pytest

from sluice.config.fleet import parse
from sluice.memory import queue_url
from sluice.planning.payloads import AlarmChange, fleet_named, fleets_watched
from tests.support.several_queues import fleet


@pytest.mark.parametrize("queue", ["orders-urgent", "orders", "orders-night"])
def test_alarm_is_about_a_fleet_when_it_looks_at_any_of_its_queues(queue: str) -> None:
    """Paused or not: who looks may find it no longer paused."""
    invoices = parse("invoices", {"queue": queue_url("invoices"), "group": "invoices", "target_wait_s": 9})
    wake = AlarmChange("any name", "ALARM", frozenset({queue}))
    assert fleets_watched(wake, [invoices, fleet()]) == ("orders",)
    assert fleets_watched(AlarmChange("any name", "ALARM", frozenset({"other"})), [invoices, fleet()]) == ()


def test_alarm_is_its_fleets_when_its_name_tells() -> None:
    """As queue.yaml calls an alarm of a further queue; the longest name that fits is meant."""
    alarm = "sluice-orders-eu-oldest-message-orders-urgent"
    assert fleet_named(alarm, ["orders", "orders-eu", "eu"], "sluice") == "orders-eu"
    assert fleet_named(alarm, ["orders", "eu"], "sluice") == "orders"
    assert fleet_named(alarm, ["orders-eu"], "other") is None
