"""A document as it is deployed -> its problems, or what the templates need to know of it and of its queues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sluice.config import QUEUES_PATH, ConfigError, Fleet, QueuePolicy, RedriveMode, parse, parse_all
from sluice.ports import PortError

# A fleet's alarms are told by name: this one is given where a fleet has no veto alarm, and names none.
NO_ALARM = "(no veto alarm)"
# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_PutParameter.html: a value cannot hold these, as
# Parameter Store does not nest its references.
REFERENCE = "{{"

# The fields that a person gives as parameters of fleet.yaml and queue.yaml, by the names of these.
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
}


class Account(Protocol):
    """What a check reads of the account."""

    def documents(self) -> Mapping[str, str]:
        """Every document of the stack: name -> JSON text."""
        ...

    def retention_s(self, queue_url: str) -> float:
        """How long a queue keeps a message, in seconds. NeedsFixError where there is no such queue."""
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: problems, each with its field and remedy, or the values that templates ask for."""

    problems: tuple[str, ...] = ()
    data: Mapping[str, str] | None = None


def check(name: str, document: Mapping[str, Any], account: Account, *, is_new: bool) -> Verdict:
    """Read a document as the functions will, beside those that are there, and the queues that it names.

    Args:
        name: the document's name: the fleet's, or `<fleet>/queues/<queue>` for a further queue.
        document: its fields; numbers may be text, and `settings` the JSON text of an object.
        account: the account that it is deployed into.
        is_new: whether it is deployed for the first time, so that its name must be free.
    """
    if QUEUES_PATH not in name:
        try:
            parse(name, document)  # before anything is asked of AWS
        except ConfigError as error:
            return Verdict(_as_typed(error.problems))
    if REFERENCE in str(document):
        return Verdict(
            (f"Settings: must not hold {REFERENCE}, which Parameter Store refuses; use * or ? in its place",)
        )
    try:
        there = account.documents()
    except PortError as error:
        return Verdict((f"the stack's documents could not be read: {error}",))
    if is_new and name in there:
        field = "QueueUrl" if QUEUES_PATH in name else "FleetName"
        return Verdict(
            (f"{field}: another CloudFormation stack made {name!r} already; choose another, or delete that",)
        )
    others = {key: value for key, value in there.items() if key != name}
    fleets, invalid = parse_all({**others, name: document})
    if problems := _news(name, invalid, parse_all(others)[1]):
        return Verdict(problems)
    return _of_fleet(name.partition(QUEUES_PATH)[0], str(document["queue"]), fleets, account)


def _by_itself(name: str, document: Mapping[str, Any]) -> tuple[str, ...]:
    """What is wrong with a document before anything is asked of AWS."""
    if REFERENCE in str(document):
        return (f"Settings: must not hold {REFERENCE}, which Parameter Store refuses; use * or ? in its place",)
    if QUEUES_PATH not in name:
        try:
            parse(name, document)
        except ConfigError as error:
            return _as_typed(error.problems)
    return ()


def _of_fleet(name: str, queue_url: str, fleets: Sequence[Fleet], account: Account) -> Verdict:
    """What the templates ask for of the fleet that has this queue."""
    fleet = next((found for found in fleets if found.name == name), None)
    if fleet is None:
        return Verdict((f"FleetName: there is no valid fleet {name!r} in this stack; deploy it first",))
    return _read(fleet, next(source for source in fleet.sources if source.queue == queue_url), account)


def _read(fleet: Fleet, source: QueuePolicy, account: Account) -> Verdict:
    """What the templates ask for of a fleet and of one of its queues."""
    problems: list[str] = []
    retentions: list[float] = []
    for field, url in (("QueueUrl", source.queue), ("DeadLetterQueueUrl", source.dead_letter_queue or source.queue)):
        try:
            retentions.append(account.retention_s(url))
        except PortError as error:
            if not (url == source.queue and problems):
                problems.append(f"{field}: {error}")
    if problems:
        return Verdict(tuple(problems))
    data = {
        "HookTimeoutSeconds": f"{fleet.drain.hook_timeout_s:.0f}",
        "RedriveEnabled": "true" if fleet.redrive.mode is RedriveMode.AUTO else "false",
        "RetentionSeconds": f"{retentions[0]:.0f}",
        "DeadLetterRetentionSeconds": f"{retentions[1]:.0f}",
        "VetoAlarmName": fleet.limits.veto_alarm or NO_ALARM,
    }
    return Verdict(data=data)


def _news(name: str, after: tuple[ConfigError, ...], before: tuple[ConfigError, ...]) -> tuple[str, ...]:
    """The problems of a document, and those that it makes for others which were valid without it."""
    known = {error.name: error.problems for error in before}
    found: list[str] = []
    for error in after:
        if error.name == name:
            found += _as_typed(error.problems)
        elif error.name not in known:
            found += [f"{problem} (found in {error.name!r}, which is deployed already)" for problem in error.problems]
    return tuple(found)


def _as_typed(problems: tuple[str, ...]) -> tuple[str, ...]:
    """Each problem under the parameter that a person typed; what is in Settings is named as it stands there."""

    def one(problem: str) -> str:
        field, colon, rest = problem.partition(":")
        return f"{PARAMETERS.get(field, field)}{colon}{rest}"

    return tuple(map(one, problems))
