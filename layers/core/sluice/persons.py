"""What persons ask of the redriver, and what a consumer tells it: each is read, done, told, and answered as JSON.

A person's mistake raises a RequestError that says what would be right.
"""

from dataclasses import dataclass
from typing import Any

from sluice.config import Fleet, RedriveMode
from sluice.dead_letters import End
from sluice.grouping import READ_LIMIT
from sluice.invocation import Invocation
from sluice.jobs import RequestError, open_job, pause_job, preview, resume_job, stop_job
from sluice.model import JobState, RedriveJob
from sluice.peeking import Seen, peek
from sluice.redrive import sample_of, selectable
from sluice.redrive_requests import (
    EditRequest,
    FailureReport,
    GroupRequest,
    JobRequest,
    PeekRequest,
    QuarantineRequest,
    RedriveRequest,
    RestoreRequest,
    read_request,
)

# A person waits for the answer to a request; what is not sent by then is sent in the minutes after.
ANSWER_S = 8.0
JOB_ACTS = {"stop": stop_job, "pause": pause_job, "resume": resume_job}

type Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Persons:
    """Requests, answered by one invocation; `by` is who asks where a request does not say it."""

    at: Invocation

    def redrive(self, asked: object, by: str) -> Answer:
        """Tell what a redrive would do, or begin it.

        Raises:
            RequestError: it cannot be done as asked.
            PortError: AWS does not let us.
        """
        request = read_request(RedriveRequest, "redrive", asked)
        fleet = self.at.fleet(request.fleet)
        to = self.at.fleet(request.to) if request.to else None
        rate_per_s = request.rate_per_s or fleet.redrive.rate_per_s
        if request.dry_run:
            return self._dry_run(request, fleet, rate_per_s)
        now = self.at.now()
        asked_for = RedriveJob(
            id=self.at.shift.name,  # an invocation that Lambda repeats finds its job there, and begins no second one
            fleet=fleet.name,
            state=JobState.RUNNING,
            requested_at=now,
            requested_by=request.requested_by or by,
            updated_at=now,
            rate_per_s=rate_per_s,
            again=request.again,
        )
        job = open_job(self.at.ports, fleet, request.selection, asked_for, to)
        self.at.log.info("a redrive was asked for", fleet=fleet.name, job=job.id, requested_by=job.requested_by)
        worked = self.at.work([(fleet, job)], min(self.at.shift.stop_at, now + ANSWER_S))
        return {"job": self.at.in_words(worked[0] if worked else job)}

    def _dry_run(self, request: RedriveRequest, fleet: Fleet, rate_per_s: float) -> Answer:
        seen = preview(self.at.ports, fleet, request.selection, self.at.now())
        return {
            "dry_run": True,
            "fleet": fleet.name,
            "from": request.origin,
            "selected_count": seen.count,
            "complete": seen.complete,
            "left_groups": list(seen.left_groups),
            "behind_count": seen.behind_count,
            "rate_per_s": rate_per_s,
            "canary_count": fleet.redrive.canary_count,
            "to": request.to or fleet.name,
            "other_fleets": self._others(fleet),
            "groups": [
                {
                    "failure_group": group.id,
                    "cause": group.cause,
                    "count": group.count,
                    "first_seen_at": group.first_seen_at,
                    "last_seen_at": group.last_seen_at,
                }
                for group in seen.groups
            ],
        }

    def _others(self, fleet: Fleet) -> list[str]:
        """Fleets to whose queue a fleet's messages could go as well: those with a queue of the same kind."""
        fifo = fleet.queue.endswith(".fifo")
        fleets = self.at.ports.fleets.load().fleets
        return sorted(one.name for one in fleets if one.name != fleet.name and one.queue.endswith(".fifo") == fifo)

    def act_on_job(self, kind: str, asked: object, by: str) -> Answer:
        """Stop, pause or resume a job.

        Raises:
            RequestError: there is no such job, or it is not in a state for that.
            PortError: AWS does not let us.
        """
        request = read_request(JobRequest, kind, asked)
        fleet = self.at.fleet(request.fleet)
        who = request.requested_by or by
        job = JOB_ACTS[kind](self.at.ports, fleet, request.job_id, who, self.at.now())
        self.at.log.info("a redrive was acted on", fleet=fleet.name, job=job.id, act=kind, requested_by=who)
        return {"job": self.at.in_words(job)}

    def look_at_job(self, asked: object, _by: str) -> Answer:
        """How a job stands, for who watches it.

        Raises:
            RequestError: there is no such job.
            PortError: AWS does not let us.
        """
        request = read_request(JobRequest, "look", asked)
        job = self.at.ports.ledger.job(self.at.fleet(request.fleet).name, request.job_id)
        if job is None:
            raise RequestError(f"job_id: fleet {request.fleet} has no job {request.job_id}")
        return {"job": self.at.in_words(job)}

    def archive_group(self, asked: object, by: str) -> Answer:
        """Set a failure group aside, or take it out again.

        Raises:
            RequestError: there is no such group.
            PortError: AWS does not let us.
        """
        request = read_request(GroupRequest, "archive", asked)
        fleet = self.at.fleet(request.fleet)
        who = request.requested_by or by
        at = None if request.undo else self.at.now()
        group = self.at.ports.ledger.archive_group(fleet.name, request.failure_group, at)
        if group is None:
            raise RequestError(f"failure_group: fleet {fleet.name} has no {request.failure_group}")
        told = "taken out again" if request.undo else "set aside"
        self.at.log.info(
            "a failure group was archived", fleet=fleet.name, failure_group=group.id, requested_by=who, to=told
        )
        return {
            "failure_group": group.id,
            "fleet": fleet.name,
            "note": f"{group.cause} is {told}: {group.count} messages of it stay in quarantine."
            + ("" if request.undo else " It comes back when it is seen again."),
        }

    def edit(self, asked: object, by: str) -> Answer:
        """Send one message back with another body.

        Raises:
            RequestError: it is not allowed, or cannot be done.
            PortError: AWS does not let us.
        """
        request = read_request(EditRequest, "edit", asked)
        fleet = self.at.fleet(request.fleet)
        who = request.requested_by or by
        job = self.at.editor(fleet).send_edited(request.message_id, request.body, who)
        self.at.log.info("a message was sent with another body", fleet=fleet.name, job=job.id, requested_by=who)
        self.at.tally.append((fleet.name, "Redriven", 1))
        return {"job": self.at.in_words(job)}

    def restore(self, asked: object, by: str) -> Answer:
        """Quarantine anew what was let go of.

        Raises:
            RequestError: nothing is left under that key.
            PortError: AWS does not let us.
        """
        request = read_request(RestoreRequest, "restore", asked)
        fleet = self.at.fleet(request.fleet)
        who = request.requested_by or by
        entry = self.at.editor(fleet).restore(request.key, who)
        self.at.log.info("a message was restored", fleet=fleet.name, restored=entry.message_id, requested_by=who)
        return {
            "fleet": fleet.name,
            "failure_group": entry.failure_group,
            "message_id": entry.message_id,
            "note": f"It is in quarantine again, as message {entry.message_id}.",
        }

    def quarantine(self, asked: object, by: str) -> Answer:
        """Put a fleet's dead letters into quarantine, in manual mode.

        Raises:
            RequestError: the fleet has none, or Sluice takes them as they come.
            PortError: AWS does not let us.
        """
        request = read_request(QuarantineRequest, "quarantine", asked)
        fleet = self.at.fleet(request.fleet)
        who = request.requested_by or by
        if fleet.dead_letter_queue is None or fleet.redrive.mode is RedriveMode.AUTO:
            raise RequestError(
                f"fleet: {fleet.name} has no dead_letter_queue, or its redrive.mode is auto, in which they are taken as"
                " they come"
            )
        settled = self.at.keeper(fleet).take_in(min(self.at.shift.stop_at, self.at.now() + ANSWER_S), who)
        self.at.tell(fleet, settled)
        kept_count = sum(one.end is End.KEPT for one in settled)
        return {
            "fleet": fleet.name,
            "quarantined_count": sum(one.end is End.QUARANTINED for one in settled),
            "kept_count": kept_count,
            "note": "Ask again for more." if settled else "Nothing is in the dead-letter queue.",
        }

    def look_inside(self, asked: object, by: str) -> Answer:
        """Look at some dead letters of a fleet in their queue, in manual mode.

        Raises:
            RequestError: there is no such queue, or nobody may look now.
            PortError: AWS does not let us.
        """
        request = read_request(PeekRequest, "peek", asked)
        fleet = self.at.fleet(request.fleet)
        if fleet.dead_letter_queue is None:
            raise RequestError(f"fleet: {fleet.name} has no dead_letter_queue")
        found = peek(
            self.at.ports,
            fleet,
            self.at.queue(fleet.dead_letter_queue),
            self.at.now,
            limit=request.limit,
            cause=request.cause,
            attribute=None if request.attribute is None else (request.attribute.name, request.attribute.value),
        )
        who = request.requested_by or by
        count = found.looked_at_count
        self.at.log.info("a dead-letter queue was looked into", fleet=fleet.name, count=count, requested_by=who)
        return {
            "peek": True,
            "fleet": fleet.name,
            "waiting_count": found.waiting_count,
            "looked_at_count": count,
            "messages": [_seen_in_words(one) for one in found.seen],
            "note": "They are back in their queue; the receive count of each is one higher.",
        }

    def note_cause(self, detail: object) -> Answer:
        """Remember why a message failed, for when it comes as a dead letter.

        Raises:
            RequestError: it is no such report, or of no fleet's queue.
            PortError: AWS does not let us.
        """
        report = read_request(FailureReport, "detail", detail)
        fleets = [fleet for fleet in self.at.ports.fleets.load().fleets if report.is_of(fleet.queue)]
        if not fleets:
            raise RequestError(f"detail.queue: {report.queue[:200]} is the queue of no fleet")
        for fleet in fleets:
            cause = report.cause[:READ_LIMIT]
            self.at.ports.ledger.keep_cause(fleet.name, report.message_id, cause, self.at.now())
            self.at.log.debug("a cause was told", fleet=fleet.name, dead_letter=report.message_id)
        return {"noted": [fleet.name for fleet in fleets]}


def _seen_in_words(seen: Seen) -> Answer:
    """A dead letter in its queue, as JSON: what a person needs to recognise it."""
    message = seen.message
    return {
        "message_id": message.id,
        "failure_group": seen.group.id,
        "cause": seen.group.words,
        "left_s": seen.left_s,
        "receive_count": message.receive_count,
        "size_bytes": message.size_bytes,
        "attributes": dict(selectable(message)),
        "sample": sample_of(message),
    }
