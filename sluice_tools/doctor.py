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
from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.commands.frame import ExitCode, UnreachableError
from sluice_tools.commands.output import console
from sluice_tools.fleet_options import FLAGS, deployed, of_flags
from sluice_tools.learned_times import learned_warnings
from sluice_tools.unit_settings import unit_warnings

STYLES = {Severity.PROBLEM: "bold red", Severity.WARNING: "yellow"}


def doctor(
    *,
    queue_url: str | None = None,
    dead_letter_queue_url: str | None = None,
    group_name: str | None = None,
    target_wait_seconds: float | None = None,
    mode: str | None = None,
    settings: str | None = None,
    fleet: str = "main",
    instances: Annotated[bool, Parameter(negative="")] = False,
    strict: Annotated[bool, Parameter(negative="")] = False,
    aws: AwsOptions | None = None,
) -> ExitCode:
    """Check that a fleet can use the queues and the group that it names, and that nothing else scales the group.

    Give --queue-url and --group-name for a fleet that is not deployed yet. Give neither to check a deployed fleet by
    its document in Parameter Store. The command only reads, with your own AWS credentials; it lists what it
    could not read and so did not check. It ends with exit code 1 if there is a problem, and with --strict also if there
    is a warning.

    Args:
        queue_url: The queue that the group consumes.
        dead_letter_queue_url: Its dead-letter queue.
        group_name: The Auto Scaling group.
        target_wait_seconds: The longest that a message may wait, in seconds.
        mode: act, shadow or paused; shadow by default.
        settings: The fleet's further settings, a JSON object as in the template's parameter Settings.
        fleet: The fleet's name.
        instances: Ask up to five instances of the group by Run Command how systemd stops their consumers, too. That
            runs systemctl show on them, and changes nothing.
        strict: End with exit code 1 if there is a warning, too.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    stack = aws.stack
    given = {
        "queue": queue_url,
        "dead_letter_queue": dead_letter_queue_url,
        "group": group_name,
        "target_wait_s": target_wait_seconds,
        "mode": mode,
    }
    clients, found_region = aws.connect()
    by_flags = any(value is not None for value in (*given.values(), settings))
    checked = of_flags(fleet, given, settings) if by_flags else deployed(clients, stack, fleet)
    facts = _read(checked, AwsAccount(clients))
    options = (("--profile", aws.profile), ("--endpoint-url", aws.endpoint_url))
    aws_cli = "aws" + "".join(f" {flag} {quote(value)}" for flag, value in options if value)
    found = check(
        checked,
        facts,
        stack=stack,
        region=found_region,
        aws=aws_cli,
        will_tag=by_flags,  # its deployment will
        fields=FLAGS if by_flags else None,
    )
    # A fleet that is not deployed has no planner that learns.
    learned = () if by_flags else learned_warnings(clients, stack, checked, facts.queues, time.time())
    units: tuple[str, ...] = ()
    if instances and isinstance(facts.group, GroupRecord):
        units = unit_warnings(clients, checked, facts.group.in_service)
    if aws.as_json:
        more = {"units": units, "learned": learned}
        print(json.dumps(_as_json(checked, stack, found_region, found, facts) | more, indent=2))
    else:
        to = console()
        _show(to, checked, found, facts)
        for warning in (*units, *learned):
            to.print(Text("warning: ", STYLES[Severity.WARNING]).append(warning, "default"), soft_wrap=True)
    doubtful = strict and bool(units or learned)
    bad = any(finding.severity is Severity.PROBLEM or strict for finding in found) or doubtful
    return ExitCode.BAD if bad else ExitCode.DONE


# --------------------------------------------------------------------------- what is read


def _read(fleet: Fleet, account: Account) -> Facts:
    facts = read_facts(fleet, account, lambda: inf)
    if not facts.read:
        raise UnreachableError(*(f"{unread.what} could not be read: {unread.why}" for unread in facts.unread))
    return facts


# --------------------------------------------------------------------------- what is printed


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


def _show(to: Console, fleet: Fleet, found: tuple[Finding, ...], facts: Facts) -> None:
    for finding in found:
        to.print(Text(f"{finding.severity}: ", STYLES[finding.severity]).append(finding.what, "default"))
        to.print(Text(finding.why))
        # Never wrapped, so that it can be pasted.
        to.print(Text(f"  {finding.remedy}", "cyan"), soft_wrap=True)
        to.print()
    problems = sum(finding.severity is Severity.PROBLEM for finding in found)
    warnings = len(found) - problems
    if found:
        to.print(f"{_counted(problems, 'problem')}, {_counted(warnings, 'warning')}.")
    else:
        to.print(Text(f"Fleet {fleet.name} (mode {fleet.mode}) has no problems and no warnings.", "bold green"))
    to.print(Text(f"Checked: {'; '.join(facts.read)}."))


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
