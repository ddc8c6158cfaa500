"""Merges a document's settings into its own sections, and names them in errors as the user typed them."""

from collections.abc import Mapping
from typing import Any

from sluice.config.drain_section import HOOK_TIMEOUT_MAX_S, HOOK_TIMEOUT_MIN_S
from sluice.config.problems import read_object, shorten
from sluice.config.sections import Settings

SETTINGS = "settings"  # the field of a document that holds the parameter Settings


# The fields that may not be in settings, by the template's parameter that gives them. None: the stack makes it itself.
PARAMETER_OF: dict[str, str | None] = {
    "name": "FleetName",
    "queue": "QueueUrl",
    "dead_letter_queue": "DeadLetterQueueUrl",
    "group": "GroupName",
    "target_wait_s": "TargetWaitSeconds",
    "mode": "Mode",
    "drain.unit": "DrainUnit",
    "drain.hook": None,
    "launch.hook": "ReadySeconds",
}


class DocumentWithSettings:
    """A document with its settings merged in (`merged`), and what is wrong with them as settings (`problems`)."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.problems: list[str] = []
        self._settings: Mapping[str, Any] = {}
        self._own = {key: value for key, value in document.items() if key != SETTINGS}
        self.merged: dict[str, Any] = dict(self._own)
        try:
            self._settings = read_object(SETTINGS, document.get(SETTINGS, {}))
        except ValueError as error:
            self.problems.append(str(error))
        for section, fields in self._settings.items():
            self._merge(section, fields)

    def _merge(self, section: str, fields: Any) -> None:
        where = f"{SETTINGS}.{section}"
        if section in PARAMETER_OF:
            self.problems.append(f"{where}: {_where_it_belongs(section)}")
        elif section not in Settings.model_fields and section != "launch":
            self.problems.append(
                f"{where}: is not a section of settings; the sections are {', '.join(Settings.model_fields)}"
            )
        elif not isinstance(fields, Mapping):
            self.merged[section] = fields  # the section's own check reports that it must be an object
        else:
            own = self._own.get(section) or {}
            taken = {}
            for field, value in fields.items():
                if f"{section}.{field}" in PARAMETER_OF:
                    self.problems.append(f"{where}.{field}: {_where_it_belongs(f'{section}.{field}')}")
                elif isinstance(own, Mapping) and field in own:
                    self.problems.append(
                        f"{where}.{field}: is given twice; leave it out of settings, or {section}.{field} out of the"
                        " document"
                    )
                elif f"{section}.{field}" == "drain.hook_timeout_s" and (wrong := _hook_timeout(value)):
                    self.problems.append(f"{where}.{field}: {wrong}")
                else:
                    taken[field] = value
            if taken and isinstance(own, Mapping):
                self.merged[section] = {**own, **taken}

    def as_typed(self, problem: str) -> str:
        """A problem of the merged document under the field as the user typed it."""
        section, _, rest = problem.partition(":")[0].partition(".")
        own = self._own.get(section)
        is_own = isinstance(own, Mapping) and rest in own
        return f"{SETTINGS}.{problem}" if section in self._settings and not is_own else problem


def _where_it_belongs(field: str) -> str:
    """Why a field may not be in settings, and where it belongs."""
    parameter = PARAMETER_OF[field]
    if parameter is None:
        return "is made by the stack; leave it out of Settings"
    return f"is given by the parameter {parameter}; set it there, and leave it out of Settings"


def _hook_timeout(value: Any) -> str | None:
    """Why Auto Scaling would refuse a timeout in seconds of the hook that Sluice's stack makes; None if it would not.

    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PutLifecycleHook.html: an integer, 30 to 7200.
    """
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return None  # the field's own check reports that it must be a number
    if isinstance(value, bool) or (HOOK_TIMEOUT_MIN_S <= seconds <= HOOK_TIMEOUT_MAX_S and seconds.is_integer()):
        return None
    return (
        f"must be a whole number of seconds from {HOOK_TIMEOUT_MIN_S} to {HOOK_TIMEOUT_MAX_S}, Auto Scaling's own"
        f" limits (got {shorten(value)})"
    )
