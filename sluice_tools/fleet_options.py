"""The options by which commands name a fleet: by flags, or by a deployed fleet's document."""

import json
from collections.abc import Mapping
from typing import Any

from sluice.aws import Clients, ParameterDocuments
from sluice.config.fleet import ConfigError, Fleet, parse, parse_all
from sluice.ports.errors import PortError
from sluice_tools.commands.frame import UnreachableError, UsageError

# A document's field -> the flag that gives it.
FLAGS = {
    "queue": "--queue-url",
    "dead_letter_queue": "--dead-letter-queue-url",
    "group": "--group-name",
    "target_wait_s": "--target-wait-seconds",
    "mode": "--mode",
    "name": "--fleet",
}
TARGET_WAIT_S = 60.0  # a document needs one; no check uses it


def of_flags(name: str, given: Mapping[str, Any], settings: str | None) -> Fleet:
    """The fleet that the flags describe."""
    problems = [f"{FLAGS[field]}: must be given as well" for field in ("queue", "group") if given[field] is None]
    further: Any = {}
    if settings is not None:
        try:
            further = json.loads(settings)
        except ValueError as error:
            problems.append(f"--settings: must be a JSON object: {error}")
        else:
            if not isinstance(further, dict):
                problems.append(f"--settings: must be a JSON object (got {settings[:80]})")
    if problems:
        raise UsageError(*problems)
    document = {"mode": "shadow", "target_wait_s": TARGET_WAIT_S} | {k: v for k, v in given.items() if v is not None}
    try:
        return parse(name, {"name": name, **document, "settings": further})
    except ConfigError as error:
        raise UsageError(*(_as_flag(problem) for problem in error.problems)) from error


def _as_flag(problem: str) -> str:
    """A problem of a document, with the flag in place of the field."""
    field, colon, text = problem.partition(": ")
    if field in FLAGS:
        return f"{FLAGS[field]}{colon}{text}"
    return f"--settings: {problem.removeprefix('settings.')}"


def deployed(clients: Clients, stack: str, name: str) -> Fleet:
    """The fleet of a deployed stack, with its further queues, from its documents in Parameter Store."""
    path = f"/sluice/{stack}/fleets/"
    try:
        documents = {name: one.text for name, one in ParameterDocuments(clients, path).all().items()}
    except PortError as error:
        raise UnreachableError(f"--stack: the fleets under {path} cannot be read: {error}") from error
    fleets, invalid = parse_all(documents)
    for fleet in fleets:
        if fleet.name == name:
            return fleet
    for fault in invalid:
        if fault.name == name:
            raise UsageError(
                *(f"--fleet: the document {path}{name} is invalid: {problem}" for problem in fault.problems)
            )
    there = ", ".join(fleet.name for fleet in fleets) or "none"
    raise UsageError(
        f"--fleet: stack {stack!r} has no fleet {name!r} (it has: {there}); give --queue-url and --group-name to check"
        " a fleet that is not deployed"
    )
