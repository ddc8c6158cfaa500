"""Schedules whose minutes are as long as the settings make them.

AWS pages: eventbridge/latest/userguide/eb-create-rule-schedule.html (rate expressions),
scheduler/latest/UserGuide/schedule-types.html. Only rate() is scaled; cron() and at() name moments, not lengths.
"""

from __future__ import annotations

from collections.abc import Callable

from sluice_tools.sandbox.emulator.host import Host
from sluice_tools.sandbox.emulator.settings import Settings

_eventbridge = Host("services.eventbridge", "_parse_rate_seconds", "_SCHEDULER_TICK_INTERVAL")
_scheduler = Host("services.scheduler", "_SCHEDULE_TICK_INTERVAL")

TICK_MAX_S = 1.0
"""ministack looks at schedules every ten seconds; AWS is good to the second."""


def install(settings: Settings) -> None:
    """Scale rates, and look at schedules often enough for them."""
    parse: Callable[[str], int | None] = _eventbridge["_parse_rate_seconds"]

    def scaled_rate(expression: str) -> float | None:
        rate_s = parse(expression)
        return None if rate_s is None else settings.scaled(rate_s)

    _eventbridge["_parse_rate_seconds"] = scaled_rate
    tick_s = min(TICK_MAX_S, settings.minute_s / 20)
    _eventbridge["_SCHEDULER_TICK_INTERVAL"] = tick_s
    _scheduler["_SCHEDULE_TICK_INTERVAL"] = tick_s
