"""The options by which commands name a fleet, an account and a region: by flags, or by a deployed fleet's document."""

import json
import os
from collections.abc import Mapping
from typing import Any

import botocore.session
from botocore.exceptions import BotoCoreError

from sluice.aws import Clients, ParameterDocuments
from sluice.config.fleet import ConfigError, Fleet, parse, parse_all
from sluice.ports.errors import PortError

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
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


class UnusableError(Exception):
    """The command cannot be carried out; each of `problems` names the flag at fault."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def connect(region: str | None, profile: str | None, endpoint_url: str | None) -> tuple[Clients, str]:
    """Clients with the caller's credentials, and their region."""
    environ = dict(os.environ)
    if profile:
        # A profile that is given takes precedence over keys in the environment, as with the AWS CLI.
        environ = {name: value for name, value in environ.items() if name not in KEYS} | {"AWS_PROFILE": profile}
    if endpoint_url:
        environ = {n: v for n, v in environ.items() if not n.startswith("AWS_ENDPOINT_URL")}
        environ["AWS_ENDPOINT_URL"] = endpoint_url
    try:
        session = botocore.session.Session(profile=environ.get("AWS_PROFILE"))
        found = region or environ.get("AWS_REGION") or session.get_config_variable("region")
        credentials = session.get_credentials()
    except BotoCoreError as error:
        raise UnusableError(f"--profile: {error}") from error
    if not found:
        raise UnusableError("--region: must be given where neither AWS_REGION nor your AWS profile names one")
    if credentials is None:
        raise UnusableError(
            "--profile: no AWS credentials were found: name a profile, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
        )
    return Clients(environ | {"AWS_REGION": str(found)}), str(found)


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
        raise UnusableError(*problems)
    document = {"mode": "shadow", "target_wait_s": TARGET_WAIT_S} | {k: v for k, v in given.items() if v is not None}
    try:
        return parse(name, {"name": name, **document, "settings": further})
    except ConfigError as error:
        raise UnusableError(*(_as_flag(problem) for problem in error.problems)) from error


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
        raise UnusableError(f"--stack: the fleets under {path} cannot be read: {error}") from error
    fleets, invalid = parse_all(documents)
    for fleet in fleets:
        if fleet.name == name:
            return fleet
    for fault in invalid:
        if fault.name == name:
            raise UnusableError(
                *(f"--fleet: the document {path}{name} is invalid: {problem}" for problem in fault.problems)
            )
    there = ", ".join(fleet.name for fleet in fleets) or "none"
    raise UnusableError(
        f"--fleet: stack {stack!r} has no fleet {name!r} (it has: {there}); give --queue-url and --group-name to check"
        " a fleet that is not deployed"
    )
