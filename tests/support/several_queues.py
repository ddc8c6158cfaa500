"""A fleet that consumes several queues: urgent orders, others, and those that are paused."""

from typing import Any

from sluice.config.fleet import Fleet, parse
from sluice.memory import queue_url

URGENT, OTHER, NIGHT = queue_url("orders-urgent"), queue_url("orders"), queue_url("orders-night")
DOCUMENT: dict[str, Any] = {
    "queues": [
        {"queue": OTHER, "dead_letter_queue": queue_url("orders-dead"), "target_wait_s": 600},
        {"queue": NIGHT, "dead_letter_queue": queue_url("orders-dead"), "paused": True},
        {"queue": URGENT, "priority": 5},
    ],
    "group": "orders",
    "target_wait_s": 30,
}


def fleet(**changes: Any) -> Fleet:
    """Urgent orders, other orders, and orders whose queue is paused."""
    return parse("orders", {**DOCUMENT, **changes})
