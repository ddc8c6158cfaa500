"""A document at its deployment -> its problems, or the values that the templates need of it and of its queues."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sluice.config.fleet import QUEUES_PATH, ConfigError, Fleet, RedriveMode, parse, parse_all
from sluice.onboarding.findings import Finding, FindingCode, Severity
from sluice.onboarding.tags import TAG, OtherStackError
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
    "drain.document": "settings.drain.document",
    "limits.veto_alarm": "settings.limits.veto_alarm",
}
TAGGED = ("queue", "dead_letter_queue", "group")  # the fields that name what is tagged
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
        tagged: the resources that were given the stack's tag, in words.
        data: the values that the templates need, by name. None if the document cannot be used.
    """

    problems: tuple[str, ...] = ()
    known_problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tagged: tuple[str, ...] = ()
    data: Mapping[str, str] | None = None


# The findings of the account for a fleet. If the second argument is true, only its queues are checked.
type Inspect = Callable[[Fleet, bool], tuple[Finding, ...]]
# Tags what a fleet names, and returns that in words. If the second argument is true, only its queues.
type Enroll = Callable[[Fleet, bool], tuple[str, ...]]


def check(
    name: str,
    document: Mapping[str, Any],
    deployment: Deployment,
    *,
    before: Mapping[str, Any] | None = None,
    inspect: Inspect = lambda _fleet, _queue_alone: (),
    enroll: Enroll = lambda _fleet, _queue_alone: (),
) -> CheckResult:
    """Check a document as the functions will read it, together with the stack's others, and the queues that it names.

    If nothing is wrong, the stack's tag is set on what it names.

    An update fails only for problems that it brings. CloudFormation rolls a failed update back by another update: if
    that failed for an old problem, the stack would be stuck.

    Args:
        name: the document's name: the fleet's name, or `<fleet>/queues/<queue>` for a further queue.
        document: its fields. Numbers may be text, and `settings` may be the JSON text of an object.
        deployment: the stack that it is deployed into.
        before: the document that this one replaces. None if it is deployed for the first time.
        inspect: the checks of the account.
        enroll: sets the stack's tag where it is missing; it may raise OtherStackError and PortErrors.
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
    known: tuple[str, ...] = ()
    if before is not None and problems:
        was = problems if _own_problems(name, before) else _in_account(name, before, there, deployment, inspect)[0]
        known = tuple(problem for problem in problems if problem in was)
        problems = tuple(problem for problem in problems if problem not in was)
    tagged: tuple[str, ...] = ()
    fleet = _fleet_of(name, parse_all({**there, name: document})[0])
    if not problems and fleet is not None:
        tagged, untagged = _tagged(name, fleet, document, enroll)
        if before is not None and all(before.get(field) == document.get(field) for field in TAGGED):
            known += untagged
        else:
            problems = untagged
    return CheckResult(problems, known, warnings, tagged, data)


def _fleet_of(name: str, fleets: Iterable[Fleet]) -> Fleet | None:
    """The fleet to which a document belongs."""
    return next((fleet for fleet in fleets if fleet.name == name.partition(QUEUES_PATH)[0]), None)


def _tagged(
    name: str, fleet: Fleet, document: Mapping[str, Any], enroll: Enroll
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What was given the stack's tag, and why it could not be set."""
    source = next(source for source in fleet.sources if source.queue == document.get("queue"))
    further = QUEUES_PATH in name
    try:
        return enroll(fleet.with_only(source) if further else fleet, further), ()
    except OtherStackError as error:
        return (), error.problems
    except PortError as error:
        return (), (f"The tag {TAG} could not be set: {error}.",)


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
    fleet = _fleet_of(name, fleets)
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
