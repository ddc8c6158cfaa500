"""Turns the facts of an account into findings, problems first."""

from collections.abc import Callable, Iterator, Mapping

from sluice.config.fleet import Fleet
from sluice.onboarding.account import Account
from sluice.onboarding.check_context import CheckContext
from sluice.onboarding.drain_checks import drain_findings
from sluice.onboarding.facts import Facts, read_facts
from sluice.onboarding.findings import Finding, FindingCode, Severity
from sluice.onboarding.group_checks import group_findings
from sluice.onboarding.queue_checks import queue_findings
from sluice.onboarding.tag_checks import tag_findings


def check(
    fleet: Fleet,
    facts: Facts,
    *,
    stack: str,
    region: str,
    aws: str = "aws",
    will_tag: bool = False,
    fields: Mapping[str, str] | None = None,
    queues_alone: bool = False,
) -> tuple[Finding, ...]:
    """Check a fleet against the facts of its account.

    Args:
        fleet: the fleet to be checked.
        facts: what `read_facts` has read for it.
        stack: the Sluice stack's name, with which its hooks, roles and documents begin.
        region: the account's region, which every command names.
        aws: how commands call the AWS CLI, such as "aws --profile prod".
        will_tag: whether a deployment sets the tag sluice:stack where it is missing, so that it is not reported.
        fields: the user's name for a field, a parameter or a flag (of `queue`, `dead_letter_queue`, `group`,
            `drain.document`, `limits.veto_alarm`).
        queues_alone: check nothing but the queues and their keys.

    Returns:
        Every finding once, problems before warnings.
    """
    context = CheckContext(fleet, facts, stack, region, f"{aws} --region {region}", will_tag, fields or {})
    found = [*queue_findings(context)]
    if not queues_alone:
        found += [*group_findings(context), *drain_findings(context), *_alarm(context)]
    found += [*tag_findings(context), *_unread(context)]
    return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.severity is not Severity.PROBLEM))


def _alarm(context: CheckContext) -> Iterator[Finding]:
    name = context.fleet.limits.veto_alarm
    if name is not None and context.facts.alarm is False:
        yield context.finding(
            FindingCode.VETO_ALARM_MISSING,
            context.conflict,
            f"{context.field_name('limits.veto_alarm')}: there is no alarm {name!r} in the account and region.",
            "While the alarm cannot be read, the fleet does not scale out. Correct the name; the command lists the"
            " alarms that exist.",
            "cloudwatch describe-alarms --alarm-types CompositeAlarm MetricAlarm"
            " --query '[MetricAlarms[].AlarmName,CompositeAlarms[].AlarmName]'",
        )


def _unread(context: CheckContext) -> Iterator[Finding]:
    for unread in context.facts.unread:
        yield context.warning(
            FindingCode.NOT_CHECKED,
            f"{unread.what[0].upper()}{unread.what[1:]} could not be checked: {unread.why}.",
            "If something is wrong there, it will only show when the fleet runs. A user who may read it can run the"
            " command.",
            unread.command,
        )


def inspect(
    account: Account,
    time_left_s: Callable[[], float],
    *,
    stack: str,
    region: str,
    will_tag: bool,
    fields: Mapping[str, str],
) -> Callable[[Fleet, bool], tuple[Finding, ...]]:
    """The checks as a deployment makes them.

    Args: those of `read_facts` and `check`.

    Returns:
        A function that takes a fleet, and whether to check its queues alone, and returns the findings.
    """

    def findings(fleet: Fleet, queues_alone: bool) -> tuple[Finding, ...]:
        facts = read_facts(fleet, account, time_left_s, queues_alone=queues_alone)
        return check(
            fleet,
            facts,
            stack=stack,
            region=region,
            will_tag=will_tag,
            fields=fields,
            queues_alone=queues_alone,
        )

    return findings
