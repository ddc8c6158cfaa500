"""A document at its deployment -> its problems, or the values that the templates need of it and of its queues."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sluice.config.fleet import QUEUES_PATH, ConfigError, Fleet, RedriveMode, parse, parse_all
from sluice.onboarding.findings import Finding, FindingCode, Severity
from sluice.ports.errors import PortError

# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html: Parameter Store refuses a value
# that holds these, because references do not nest.
REFERENCE = "{{"
RETENTION_S = 345_600.0  # SQS's default, used if a queue cannot be read and its deployment goes on

# The parameter of fleet.yaml or queue.yaml by which a user gives a field.
PARAMETERS = {
    "name": "FleetName",
    "queue": "QueueUrl",
    "dead_letter_queue": "DeadLetterQueueUrl",
    "group": "GroupName",
    "target_wait_s": "TargetWaitSeconds",
    "mode": "Mode",
    "drain.unit": "DrainUnit",
    "priority": "Priority",
    "paused": "Paused",
    "queue_kms_key_arn": "QueueKmsKeyArn",
    "drain.document": "settings.drain.document",
    "limits.veto_alarm": "settings.limits.veto_alarm",
}
MISSING = frozenset({FindingCode.QUEUE_MISSING, FindingCode.DEAD_LETTER_QUEUE_MISSING})


class Deployment(Protocol):
    """What a check reads of the stack, and of the queues whose retention the templates need."""

    def documents(self) -> Mapping[str, str]:
        """Every document of the stack: name -> JSON text."""
        ...

    def retention_s(self, queue_url: str) -> float:
        """How long a queue keeps a message, in seconds.

        Raises:
            NeedsFixError: there is no such queue.
            PortError: the queue could not be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of a check.

    Attributes:
        problems: what fails the deployment, each with its field and remedy.
        known_problems: problems that the document before this one had too. They do not fail an update.
        warnings: what may be intended, and what could not be checked.
        data: the values that the templates need, by name. None if the document cannot be used.
    """

    problems: tuple[str, ...] = ()
    known_problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    data: Mapping[str, str] | None = None


# The findings of the account for a fleet. If the second argument is true, only its queues are checked.
type Inspect = Callable[[Fleet, bool], tuple[Finding, ...]]


def check(
    name: str,
    document: Mapping[str, Any],
    deployment: Deployment,
    *,
    before: Mapping[str, Any] | None = None,
    inspect: Inspect = lambda _fleet, _queue_alone: (),
) -> CheckResult:
    """Check a document as the functions will read it, together with the stack's others, and the queues that it names.

    An update fails only for problems that it brings. CloudFormation rolls a failed update back by another update: if
    that failed for an old problem, the stack would be stuck.

    Args:
        name: the document's name: the fleet's name, or `<fleet>/queues/<queue>` for a further queue.
        document: its fields. Numbers may be text, and `settings` may be the JSON text of an object.
        deployment: the stack that it is deployed into.
        before: the document that this one replaces. None if it is deployed for the first time.
        inspect: the checks of the account.
    """
    if problems := _own_problems(name, document):
        return CheckResult(problems)
    try:
        there = deployment.documents()
    except PortError as error:
        return CheckResult((f"The stack's documents could not be read: {error}.",))
    if before is None and name in there:
        field = "QueueUrl" if QUEUES_PATH in name else "FleetName"
        return CheckResult(
            (f"{field}: another CloudFormation stack made {name!r}; choose another name, or delete that stack",)
        )
    problems, warnings, data = _in_account(name, document, there, deployment, inspect)
    if before is None or not problems:
        return CheckResult(problems, warnings=warnings, data=data)
    was = problems if _own_problems(name, before) else _in_account(name, before, there, deployment, inspect)[0]
    return CheckResult(
        problems=tuple(problem for problem in problems if problem not in was),
        known_problems=tuple(problem for problem in problems if problem in was),
        warnings=warnings,
        data=data,
    )


def _own_problems(name: str, document: Mapping[str, Any]) -> tuple[str, ...]:
    """The problems of a document that show without a call to AWS."""
    if REFERENCE in str(document):
        return (f"Settings: must not hold {REFERENCE}, which Parameter Store refuses; use * or ? instead",)
    if QUEUES_PATH not in name:
        try:
            parse(name, document)
        except ConfigError as error:
            return _as_typed(error.problems)
    return ()


def _in_account(
    name: str, document: Mapping[str, Any], there: Mapping[str, str], deployment: Deployment, inspect: Inspect
) -> tuple[tuple[str, ...], tuple[str, ...], Mapping[str, str]]:
    """The problems of a document among the others and in the account, its warnings, and the templates' values."""
    others = {key: value for key, value in there.items() if key != name}
    fleets, invalid = parse_all({**others, name: document})
    problems = _new_problems(name, invalid, parse_all(others)[1])
    fleet = next((found for found in fleets if found.name == name.partition(QUEUES_PATH)[0]), None)
    source = next((found for found in fleet.sources if found.queue == document.get("queue")), None) if fleet else None
    if fleet is None or source is None:
        return (
            problems or (f"FleetName: there is no valid fleet for {name!r}; deploy the fleet first",),
            (),
            {},
        )
    retentions: list[float] = []
    unread: dict[str, str] = {}
    queues = {"QueueUrl": source.queue, "DeadLetterQueueUrl": source.dead_letter_queue}
    for field, url in queues.items():
        if url is None:
            continue
        try:
            retentions.append(deployment.retention_s(url))
        except PortError as error:
            unread[url] = f"{field}: {error}"
            retentions.append(RETENTION_S)
    further = QUEUES_PATH in name
    findings = inspect(fleet.with_only(source) if further else fleet, further)
    missing = [finding.what for finding in findings if finding.code in MISSING]
    # A queue that does not exist is reported once: as the finding, which has a remedy.
    problems += tuple(problem for url, problem in unread.items() if not any(f" {url} " in what for what in missing))
    problems += tuple(str(finding) for finding in findings if finding.severity is Severity.PROBLEM)
    warnings = tuple(str(finding) for finding in findings if finding.severity is Severity.WARNING)
    return (
        problems,
        warnings,
        {
            "HookTimeoutSeconds": f"{fleet.drain.hook_timeout_s:.0f}",
            "RedriveEnabled": "true" if fleet.redrive.mode is RedriveMode.AUTO else "false",
            "RetentionSeconds": f"{retentions[0]:.0f}",
            "DeadLetterRetentionSeconds": f"{retentions[-1]:.0f}",
        },
    )


def _new_problems(name: str, after: tuple[ConfigError, ...], before: tuple[ConfigError, ...]) -> tuple[str, ...]:
    """The problems of a document, and the problems that it brings to documents that were valid without it."""
    known = {error.name: error.problems for error in before}
    found: list[str] = []
    for error in after:
        if error.name == name:
            found += _as_typed(error.problems)
        elif error.name not in known:
            found += [f"{problem} (in {error.name!r}, which is deployed already)" for problem in error.problems]
    return tuple(found)


def _as_typed(problems: tuple[str, ...]) -> tuple[str, ...]:
    """Each problem under the parameter that the user typed. A field of Settings keeps its name there."""

    def one(problem: str) -> str:
        field, colon, rest = problem.partition(":")
        return f"{PARAMETERS.get(field, field)}{colon}{rest}"

    return tuple(map(one, problems))
