"""The migration of a drain's record: version 2 has it in parts that change together, where version 1 was flat."""

from collections.abc import Mapping
from typing import Any

# Fields of version 1, and where version 2 has them: the part, and the field's name in it.
MOVED: Mapping[str, tuple[str, str]] = {
    "hook": ("action", "hook"),
    "hook_at": ("action", "began_at"),
    "destination": ("action", "destination"),
    "command_id": ("stop", "command_id"),
    "asked_at": ("stop", "asked_at"),
    "asked_count": ("stop", "asked_count"),
    "unanswered_count": ("stop", "unanswered_count"),
    "failed_count": ("stop", "failed_count"),
    "retry_at": ("stop", "retry_at"),
    "killed": ("stop", "killed"),
    "heartbeat_at": ("heartbeats", "last_at"),
    "heartbeat_count": ("heartbeats", "count"),
    "alive_at": ("signs", "last_at"),
    "in_flight": ("signs", "in_flight"),
    "keeping": ("retention", "requested"),
    "retained_at": ("retention", "since"),
}


def drain_to_2(record: dict[str, Any]) -> dict[str, Any]:
    """A record of version 1 as version 2 has it; one of version 2, which has `heartbeats`, as it is."""
    if "heartbeats" in record:
        return record
    result: dict[str, Any] = {}
    for name, value in record.items():
        if name in MOVED:
            part, field = MOVED[name]
            result.setdefault(part, {})[field] = value
        else:
            result[name] = value
    action = result.get("action", {})
    if action.get("hook") is None:  # no lifecycle action was known yet
        result["action"] = None
    elif action.get("began_at") is None:
        action["began_at"] = result["started_at"]
    return result
