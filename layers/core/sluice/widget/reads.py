"""What the console function answers to programs: the widget's figures as JSON. It only reads.

The command line asks `{"<request>": {...}}`, one of READS at a time. Times in requests and answers are epoch seconds.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision, Outcome
from sluice.model.draining import Drain, DrainState
from sluice.model.payload_error import PayloadError
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Attribute, FailureGroup, QuarantineEntry
from sluice.ports.aws_services import LoadedFleets
from sluice.ports.errors import PortError
from sluice.ports.ledger import ConsoleLedger
from sluice.ports.stack import Ports
from sluice.redriving.jobs.answers import job_to_answer
from sluice.redriving.payloads import Moment, read_request
from sluice.widget.view import FLEETS_PER_PAGE

DECISIONS_PER_PAGE = 100  # of about 3 KB each; Lambda answers with at most 6 MB
MESSAGES_PER_PAGE = 100
JOBS_MAX = 200
OVER = frozenset({JobState.DONE, JobState.CAME_BACK, JobState.STOPPED})

type Answer = dict[str, Any]
Name = Annotated[str, Field(min_length=1, max_length=63)]
Id = Annotated[str, Field(min_length=1, max_length=128)]
Cursor = Annotated[str, Field(min_length=1, max_length=300)]


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class StatusRead(_Read):
    """`{"status": {}}`: all fleets, or one; `after` is the name with which the page before ended."""

    fleet: Name | None = None
    after: Name | None = None


class DecisionsRead(_Read):
    """`{"decisions": {...}}`: a fleet's decisions, latest first."""

    fleet: Name
    since: Moment = 0.0
    until: Moment | None = None
    limit: int = Field(default=DECISIONS_PER_PAGE, ge=1, le=DECISIONS_PER_PAGE)


class GroupsRead(_Read):
    """`{"groups": {...}}`: a fleet's failure groups, or one."""

    fleet: Name
    failure_group: Id | None = None


class MessagesRead(_Read):
    """`{"messages": {...}}`: a page of a fleet's quarantine, oldest first."""

    fleet: Name
    failure_group: Id | None = None
    after: Cursor | None = None


class MessageRead(_Read):
    """`{"message": {...}}`: one quarantined message, whole."""

    fleet: Name
    message_id: Id


class JobsRead(_Read):
    """`{"jobs": {...}}`: a fleet's redrive jobs of the last 30 days, the last requested first."""

    fleet: Name


class JobRead(_Read):
    """`{"job": {...}}`: one redrive job."""

    fleet: Name
    job_id: Id


READS: Final[Mapping[str, type[_Read]]] = {
    "status": StatusRead,
    "decisions": DecisionsRead,
    "groups": GroupsRead,
    "messages": MessagesRead,
    "message": MessageRead,
    "jobs": JobsRead,
    "job": JobRead,
}


def is_read(event: object) -> bool:
    """Whether an event is a program's request, and not the widget's."""
    return isinstance(event, Mapping) and len(event) == 1 and set(event) <= set(READS)


def read(event: Mapping[str, object], ports: Callable[[], Ports[ConsoleLedger]], now: Callable[[], float]) -> Answer:
    """The answer to a request for which `is_read` holds; `{"error": ...}` where it cannot be given.

    Args:
        event: the request.
        ports: makes the stack's ports.
        now: the clock, in epoch seconds.
    """
    ((name, asked),) = event.items()
    try:
        request = read_request(READS[name], name, asked)
        return ConsoleReads(ports(), now).answer(request)
    except (PayloadError, PortError) as error:
        return {"error": str(error)}


@dataclass(frozen=True, slots=True)
class ConsoleReads:
    """Answers requests by what the ledger, the fleets' documents and the archive have."""

    ports: Ports[ConsoleLedger]
    now: Callable[[], float]  # epoch seconds

    def answer(self, request: _Read) -> Answer:
        """The answer to a request, as JSON.

        Raises:
            PayloadError: there is no such fleet, group, message or job.
            PortError: AWS refuses a call or does not answer.
        """
        answers: Mapping[type[_Read], Callable[[Any], Answer]] = {
            StatusRead: self._status,
            DecisionsRead: self._decisions,
            GroupsRead: self._groups,
            MessagesRead: self._messages,
            MessageRead: self._message,
            JobsRead: self._jobs,
            JobRead: self._job,
        }
        found: Answer = _as_json(answers[type(request)](request))
        return found

    def _fleets(self) -> LoadedFleets:
        return self.ports.fleets.load(last_usable=True)

    def _check(self, fleet: str) -> None:
        """Refuse a fleet that the stack does not have: it would be shown as empty."""
        loaded = self._fleets()
        names = {*loaded.shown, *(each.name for each in loaded.invalid)}
        if fleet not in names:
            there = ", ".join(sorted(names)) or "none"
            raise PayloadError(f"fleet: there is no fleet {fleet}; there is {there}")

    def _status(self, asked: StatusRead) -> Answer:
        loaded = self._fleets()
        fleets = loaded.shown
        if asked.fleet is not None:
            named = {name: fleets[name] for name in fleets if name == asked.fleet}
            if not named and all(each.name != asked.fleet for each in loaded.invalid):
                raise PayloadError(
                    f"fleet: there is no fleet {asked.fleet}; there is {', '.join(sorted(fleets)) or 'none'}"
                )
            fleets = named
        names = sorted(name for name in fleets if name > (asked.after or ""))
        page = names[:FLEETS_PER_PAGE]
        return {
            "fleets": [self._fleet(fleets[name]) for name in page],
            "invalid": [
                {"fleet": each.name, "problems": each.problems}
                for each in loaded.invalid
                if asked.fleet in {None, each.name}
            ],
            "unread": [str(error) for error in loaded.unread],
            "after": page[-1] if len(names) > len(page) else None,
        }

    def _fleet(self, fleet: Fleet) -> Answer:
        """How one fleet stands; what cannot be read is reported and hides nothing else."""
        unread: list[str] = []

        def tried[T](what: str, read: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
            try:
                return read()
            except PortError as error:
                unread.append(f"{what}: {error}")
                return ()

        ledger, name = self.ports.ledger, fleet.name
        decisions = tried("decisions", lambda: ledger.decisions.decisions(name, 1))
        drains = tried("drains", lambda: ledger.drains.all_of(name))
        groups = tried("failure groups", lambda: ledger.failure_groups.failure_groups(name))
        jobs = tried("redrives", lambda: ledger.jobs.jobs(name))
        now = self.now()
        return {
            "fleet": name,
            "mode": fleet.mode,
            "group": fleet.group,
            "queues": [source.name for source in fleet.sources],
            "target_wait_s": fleet.target_wait_s,
            "decision": next((_decision(*one) for one in decisions), None),
            "drains": [_drain(one) for one in drains if one.state is not DrainState.RELEASED],
            "failure_groups": len([one for one in groups if one.count]),
            "quarantined_count": sum(one.count for one in groups),
            "jobs": [job_to_answer(job, now) for job in jobs if job.state not in OVER],
            "unread": unread,
        }

    def _decisions(self, asked: DecisionsRead) -> Answer:
        self._check(asked.fleet)
        until = inf if asked.until is None else asked.until
        found = self.ports.ledger.decisions.decisions(asked.fleet, asked.limit + 1, since=asked.since, until=until)
        page = found[: asked.limit]
        return {
            "fleet": asked.fleet,
            "decisions": [
                _decision(decision, outcome)
                | {
                    "reasons": [asdict(reason) for reason in decision.reasons],
                    "figures": [asdict(figure) for figure in decision.figures],
                }
                for decision, outcome in page
            ],
            "next_until": found[asked.limit][0].at if len(found) > len(page) else None,
        }

    def _groups(self, asked: GroupsRead) -> Answer:
        self._check(asked.fleet)
        groups = self.ports.ledger.failure_groups
        if asked.failure_group is None:
            return {"groups": [_group(one) for one in groups.failure_groups(asked.fleet)]}
        found = groups.failure_group(asked.fleet, asked.failure_group)
        if found is None:
            raise PayloadError(f"failure_group: fleet {asked.fleet} has no failure group {asked.failure_group}")
        return {"groups": [_group(found)]}

    def _messages(self, asked: MessagesRead) -> Answer:
        self._check(asked.fleet)
        page, after = self.ports.ledger.quarantine.quarantined(
            asked.fleet, asked.failure_group, MESSAGES_PER_PAGE, asked.after
        )
        return {"messages": [_entry(one) for one in page], "after": after}

    def _message(self, asked: MessageRead) -> Answer:
        self._check(asked.fleet)
        entry = self.ports.ledger.quarantine.quarantined_message(asked.fleet, asked.message_id)
        if entry is None:
            raise PayloadError(f"message_id: no message {asked.message_id} is in the quarantine of {asked.fleet}")
        message = self.ports.archive.load(entry.key)
        return {
            "message": _entry(entry)
            | {
                "body": message.body,
                "message_attributes": {name: _attribute(value) for name, value in message.attributes},
            }
        }

    def _jobs(self, asked: JobsRead) -> Answer:
        self._check(asked.fleet)
        jobs, now = self.ports.ledger.jobs.jobs(asked.fleet), self.now()
        return {"jobs": [job_to_answer(job, now) for job in jobs[:JOBS_MAX]], "truncated": len(jobs) > JOBS_MAX}

    def _job(self, asked: JobRead) -> Answer:
        job = self.ports.ledger.jobs.job(asked.fleet, asked.job_id)
        if job is None:
            raise PayloadError(f"job_id: fleet {asked.fleet} has no job {asked.job_id}")
        return {"job": job_to_answer(job, self.now())}


def _decision(decision: Decision, outcome: Outcome) -> Answer:
    return {
        "id": decision.id,
        "at": decision.at,
        "mode": decision.mode,
        "action": decision.action,
        "current": decision.current,
        "raw_need": decision.raw_need,
        "want": decision.want,
        "sentence": decision.sentence,
        "outcome": asdict(outcome),
    }


def _drain(drain: Drain) -> Answer:
    return {
        "instance_id": drain.instance_id,
        "state": drain.state,
        "cause": drain.cause,
        "started_at": drain.started_at,
        "deadline_at": drain.deadline.at,
        "note": drain.note,
    }


def _group(group: FailureGroup) -> Answer:
    left_out = {"fleet", "version", "hours", "minutes", "id"}
    fields = {name: value for name, value in asdict(group).items() if name not in left_out}
    return {"failure_group": group.id, **fields, "muted": group.is_muted}


def _entry(entry: QuarantineEntry) -> Answer:
    fields = asdict(entry)
    return {**fields, **fields.pop("excerpt"), "attributes": dict(entry.excerpt.attributes)}


def _attribute(value: Attribute) -> Answer:
    if value.binary is not None:
        return {"type": value.type, "binary_base64": base64.b64encode(value.binary).decode()}
    return {"type": value.type, "text": value.text}


def _as_json(value: Any) -> Any:
    """Tuples as lists, and null for a number that JSON does not have."""
    if isinstance(value, Mapping):
        return {str(name): _as_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value
