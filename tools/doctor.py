"""`sluice doctor`: checks that a fleet can use the queue, dead-letter queue and group that it names. It only reads.

Every deployment makes the same checks (`sluice.onboarding`); this command makes them before there is a stack, or later,
with the caller's own credentials.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from math import inf
from shlex import quote
from typing import Annotated, Any

import botocore.session
from botocore.exceptions import BotoCoreError
from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from sluice.aws import Clients, ParameterDocuments
from sluice.aws.account import AwsAccount
from sluice.config.fleet import ConfigError, Fleet, parse, parse_all
from sluice.onboarding.account import Account
from sluice.onboarding.checks import check
from sluice.onboarding.facts import Facts, read_facts
from sluice.onboarding.findings import Finding, Severity
from sluice.ports.errors import PortError

ALL_WELL, PROBLEMS, UNUSABLE = 0, 1, 2  # exit statuses

# A document's field -> the flag that gives it.
FLAGS = {
    "queue": "--queue-url",
    "dead_letter_queue": "--dead-letter-queue-url",
    "group": "--group-name",
    "target_wait_s": "--target-wait-seconds",
    "mode": "--mode",
    "name": "--fleet",
    "queue_kms_key_arn": "--queue-kms-key-arn",
}
TARGET_WAIT_S = 60.0  # a document needs one; no check uses it
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
STYLES = {Severity.PROBLEM: "bold red", Severity.WARNING: "yellow"}


class UnusableError(Exception):
    """The check cannot be made; each of `problems` names the flag at fault."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


def doctor(
    *,
    queue_url: str | None = None,
    dead_letter_queue_url: str | None = None,
    group_name: str | None = None,
    target_wait_seconds: float | None = None,
    mode: str | None = None,
    settings: str | None = None,
    queue_kms_key_arn: str | None = None,
    stack: str = "sluice",
    fleet: str = "main",
    region: str | None = None,
    profile: str | None = None,
    endpoint_url: str | None = None,
    strict: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Check that a fleet can use the queues and the group that it names, and that nothing else scales the group.

    Give --queue-url and --group-name for a fleet that is not deployed yet. Give neither to check a deployed fleet by
    its document in Parameter Store. The command only reads, with your own AWS credentials; it lists what it
    could not read and so did not check. Exit status: 0 if there is no problem, 1 if there is one (with --strict also if
    there is a warning), 2 if the check cannot be made.

    Args:
        queue_url: The queue that the group consumes.
        dead_letter_queue_url: Its dead-letter queue.
        group_name: The Auto Scaling group.
        target_wait_seconds: The longest that a message may wait, in seconds.
        mode: act, shadow or paused; shadow by default.
        settings: The fleet's further settings, a JSON object as in the template's parameter Settings.
        queue_kms_key_arn: The KMS key of the queues, as in the template's parameter QueueKmsKeyArn.
        stack: The Sluice stack's name.
        fleet: The fleet's name.
        region: The AWS region; by default that of your AWS configuration.
        profile: The AWS profile.
        endpoint_url: An endpoint to use instead of AWS's, such as an emulator's.
        strict: Exit with status 1 if there is a warning, too.
        as_json: Print the result as one JSON object.

    Returns:
        The exit status.
    """
    given = {
        "queue": queue_url,
        "dead_letter_queue": dead_letter_queue_url,
        "group": group_name,
        "target_wait_s": target_wait_seconds,
        "mode": mode,
    }
    try:
        clients, found_region = _connect(region, profile, endpoint_url)
        by_flags = any(value is not None for value in (*given.values(), settings))
        checked = _of_flags(fleet, given, settings) if by_flags else _deployed(clients, stack, fleet)
        facts = _read(checked, AwsAccount(clients))
    except UnusableError as error:
        _complain(error.problems)
        return UNUSABLE
    keys = None if queue_kms_key_arn is None and not by_flags else {queue_kms_key_arn} - {None}
    aws = "aws" + "".join(
        f" {flag} {quote(value)}" for flag, value in (("--profile", profile), ("--endpoint-url", endpoint_url)) if value
    )
    found = check(
        checked,
        facts,
        stack=stack,
        region=found_region,
        aws=aws,
        granted_keys=None if keys is None else {key for key in keys if key},
        fields=FLAGS if by_flags else None,
    )
    if as_json:
        print(json.dumps(_as_json(checked, stack, found_region, found, facts), indent=2))
    else:
        _show(Console(highlight=False), checked, found, facts)
    bad = any(finding.severity is Severity.PROBLEM or strict for finding in found)
    return PROBLEMS if bad else ALL_WELL


# --------------------------------------------------------------------------- the fleet to check


def _connect(region: str | None, profile: str | None, endpoint_url: str | None) -> tuple[Clients, str]:
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


def _of_flags(name: str, given: Mapping[str, Any], settings: str | None) -> Fleet:
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


def _deployed(clients: Clients, stack: str, name: str) -> Fleet:
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


def _read(fleet: Fleet, account: Account) -> Facts:
    facts = read_facts(fleet, account, lambda: inf)
    if not facts.read:
        raise UnusableError(*(f"{unread.what} could not be read: {unread.why}" for unread in facts.unread))
    return facts


# --------------------------------------------------------------------------- what is printed


def _complain(problems: tuple[str, ...]) -> None:
    complaints = Console(stderr=True, soft_wrap=True, highlight=False)
    for problem in problems:
        complaints.print(Text(f"sluice doctor: {problem}"), style="red")


def _as_json(fleet: Fleet, stack: str, region: str, found: tuple[Finding, ...], facts: Facts) -> dict[str, Any]:
    return {
        "stack": stack,
        "fleet": fleet.name,
        "region": region,
        "mode": fleet.mode,
        "findings": [asdict(finding) for finding in found],
        "checked": list(facts.read),
        "not_checked": [unread.what for unread in facts.unread],
    }


def _show(console: Console, fleet: Fleet, found: tuple[Finding, ...], facts: Facts) -> None:
    for finding in found:
        console.print(Text(f"{finding.severity}: ", STYLES[finding.severity]).append(finding.what, "default"))
        console.print(Text(finding.why))
        # Never wrapped, so that it can be pasted.
        console.print(Text(f"  {finding.remedy}", "cyan"), soft_wrap=True)
        console.print()
    problems = sum(finding.severity is Severity.PROBLEM for finding in found)
    warnings = len(found) - problems
    if found:
        console.print(f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}.")
    else:
        console.print(Text(f"Fleet {fleet.name} (mode {fleet.mode}) has no problems and no warnings.", "bold green"))
    console.print(Text(f"Checked: {'; '.join(facts.read)}."))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
