"""`sluice doctor`: checks that a fleet can use the queue, dead-letter queue and group that it names. It only reads.

Every deployment makes the same checks (`sluice.onboarding`); this command makes them before there is a stack, or later,
with the caller's own credentials.
"""

import json
import time
from dataclasses import asdict
from math import inf
from shlex import quote
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from sluice.aws.account import AwsAccount
from sluice.config.fleet import Fleet
from sluice.onboarding.account import Account, GroupRecord
from sluice.onboarding.checks import check
from sluice.onboarding.facts import Facts, read_facts
from sluice.onboarding.findings import Finding, Severity
from sluice_tools.fleet_options import FLAGS, UnusableError, connect, deployed, of_flags
from sluice_tools.learned_times import learned_warnings
from sluice_tools.unit_settings import unit_warnings

ALL_WELL, PROBLEMS, UNUSABLE = 0, 1, 2  # exit statuses

STYLES = {Severity.PROBLEM: "bold red", Severity.WARNING: "yellow"}


def doctor(
    *,
    queue_url: str | None = None,
    dead_letter_queue_url: str | None = None,
    group_name: str | None = None,
    target_wait_seconds: float | None = None,
    mode: str | None = None,
    settings: str | None = None,
    stack: str = "sluice",
    fleet: str = "main",
    region: str | None = None,
    profile: str | None = None,
    endpoint_url: str | None = None,
    instances: Annotated[bool, Parameter(negative="")] = False,
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
        stack: The Sluice stack's name.
        fleet: The fleet's name.
        region: The AWS region; by default that of your AWS configuration.
        profile: The AWS profile.
        endpoint_url: An endpoint to use instead of AWS's, such as an emulator's.
        instances: Ask up to five instances of the group by Run Command how systemd stops their consumers, too. That
            runs systemctl show on them, and changes nothing.
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
        clients, found_region = connect(region, profile, endpoint_url)
        by_flags = any(value is not None for value in (*given.values(), settings))
        checked = of_flags(fleet, given, settings) if by_flags else deployed(clients, stack, fleet)
        facts = _read(checked, AwsAccount(clients))
    except UnusableError as error:
        _complain(error.problems)
        return UNUSABLE
    aws = "aws" + "".join(
        f" {flag} {quote(value)}" for flag, value in (("--profile", profile), ("--endpoint-url", endpoint_url)) if value
    )
    found = check(
        checked,
        facts,
        stack=stack,
        region=found_region,
        aws=aws,
        will_tag=by_flags,  # its deployment will
        fields=FLAGS if by_flags else None,
    )
    # A fleet that is not deployed has no planner that learns.
    learned = () if by_flags else learned_warnings(clients, stack, checked, facts.queues, time.time())
    units: tuple[str, ...] = ()
    if instances and isinstance(facts.group, GroupRecord):
        units = unit_warnings(clients, checked, facts.group.in_service)
    if as_json:
        more = {"units": units, "learned": learned}
        print(json.dumps(_as_json(checked, stack, found_region, found, facts) | more, indent=2))
    else:
        console = Console(highlight=False)
        _show(console, checked, found, facts)
        for warning in (*units, *learned):
            console.print(Text("warning: ", STYLES[Severity.WARNING]).append(warning, "default"), soft_wrap=True)
    doubtful = strict and bool(units or learned)
    bad = any(finding.severity is Severity.PROBLEM or strict for finding in found) or doubtful
    return PROBLEMS if bad else ALL_WELL


# --------------------------------------------------------------------------- what is read


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
