"""Operators' requests about dead letters: each request is read, carried out, logged, and answered as JSON.

A mistake in a request raises a PayloadError that names the field and what it may be.
"""

from collections.abc import Sequence
from contextlib import suppress

from sluice.config.fleet import Fleet, QueuePolicy, RedriveMode
from sluice.model.frozen import dataclass, replace
from sluice.model.payload_error import PayloadError
from sluice.model.redrive_jobs import JobPacing, JobState, RedriveJob
from sluice.ports.errors import PortError
from sluice.redriving.causes.payload_pointers import payload_pointer
from sluice.redriving.context import Answer, RedriveContext
from sluice.redriving.failure_groups import queue_name, source_of
from sluice.redriving.jobs.lifecycle import create_job, pause_job, resume_job, stop_job
from sluice.redriving.jobs.preview import Target, preview, sources_of, target_in
from sluice.redriving.jobs.rules import MOVE_NOTE
from sluice.redriving.letter_results import LetterOutcome
from sluice.redriving.payloads import (
    EditRequest,
    JobRequest,
    MuteRequest,
    PeekRequest,
    QuarantineRequest,
    RedriveRequest,
    RestoreRequest,
    read_request,
)
from sluice.redriving.peek import Peek, Seen, peek
from sluice.redriving.source_queues import QueueRoute, by_dead_letter_queue, route_of_letter
from sluice.redriving.verdict import sample_of, selectable_attributes
from sluice.wording import count

# An operator waits for the answer to a request. What is not sent by then is sent by the fleet's chain of jobs.
ANSWER_S = 8.0
JOB_COMMANDS = {"stop": stop_job, "pause": pause_job, "resume": resume_job}


@dataclass(frozen=True, slots=True)
class OperatorCommands:
    """Requests, answered by one invocation; `by` is who asks where a request does not say it."""

    at: RedriveContext

    def redrive(self, asked: object, by: str) -> Answer:
        """Say what a redrive would do (dry run), or begin it.

        Raises:
            PayloadError: it cannot be done as asked.
            PortError: AWS does not let us.
        """
        request = read_request(RedriveRequest, "redrive", asked)
        fleet = self.at.fleet(request.fleet)
        to = self._target(request, fleet)
        rate_per_s = request.rate_per_s or fleet.redrive.rate_per_s
        if request.dry_run:
            return self._dry_run(request, fleet, rate_per_s, to)
        now = self.at.now()
        asked_for = RedriveJob(
            id=self.at.invocation.name,  # where Lambda repeats an invocation, it finds this job and begins no second
            fleet=fleet.name,
            state=JobState.RUNNING,
            requested_at=now,
            requested_by=request.requested_by or by,
            updated_at=now,
            pacing=JobPacing(rate_per_s),
        )
        job = create_job(self.at.ports, fleet, request.selection, asked_for, to)
        self.at.log.info("a redrive was asked for", fleet=fleet.name, job=job.id, requested_by=job.requested_by)
        self.at.begin_jobs(fleet, min(self.at.invocation.stop_at, now + ANSWER_S))
        with suppress(PortError):  # it is on record, and goes on
            job = self.at.ports.ledger.jobs.job(fleet.name, job.id) or job
        return {"job": self._job_answer(job)}

    def _job_answer(self, job: RedriveJob) -> Answer:
        """A job, with the cause of its failure group: people know that one, and not the id."""
        group = None
        if job.selection.failure_group is not None:
            with suppress(PortError):  # the job is what was asked for; the name is an extra
                group = self.at.ports.ledger.failure_groups.failure_group(job.fleet, job.selection.failure_group)
        return self.at.to_answer(job) | {"failure_group_cause": group.cause if group else None}

    def _target(self, request: RedriveRequest, fleet: Fleet) -> Target | None:
        """The queue that everything is to go to; None: each to the queue it came from."""
        elsewhere = self.at.fleet(request.to) if request.to else fleet
        if request.to_queue is None and elsewhere.name == fleet.name:
            return None
        return target_in(elsewhere, request.to_queue)

    def _dry_run(self, request: RedriveRequest, fleet: Fleet, rate_per_s: float, to: Target | None) -> Answer:
        sources = sources_of(fleet, request.selection.queue)
        seen = preview(self.at.ports, fleet, request.selection, self.at.now())
        return {
            "dry_run": True,
            "fleet": fleet.name,
            "from": request.origin,
            "selected_count": seen.count,
            "complete": seen.complete,
            "muted_groups": list(seen.muted_groups),
            "behind_count": seen.behind_count,
            "move_task_note": MOVE_NOTE if seen.move_task and to is None else None,
            "rate_per_s": rate_per_s,
            "canary_count": fleet.redrive.canary_count,
            "to": to.fleet if to else fleet.name,
            "queue": request.selection.queue,
            "queues": [source.name for source in sources],
            "to_queue": to.queue.name if to else None,
            "paused_queues": [source.name for source in ((to.queue,) if to else sources) if source.paused],
            "other_fleets": self._others(fleet, sources),
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

    def _others(self, fleet: Fleet, sources: Sequence[QueuePolicy]) -> list[str]:
        """Fleets to whose queue a fleet's messages could go as well: those with one queue, of the same kind."""
        kinds = {source.fifo for source in sources}
        fleets = self.at.ports.fleets.load().fleets
        return sorted(
            one.name
            for one in fleets
            if one.name != fleet.name and len(one.sources) == 1 and {one.sources[0].fifo} == kinds
        )

    def act_on_job(self, kind: str, asked: object, by: str) -> Answer:
        """Stop, pause or resume a job.

        Raises:
            PayloadError: there is no such job, or it is not in a state for that.
            PortError: AWS does not let us.
        """
        request = read_request(JobRequest, kind, asked)
        fleet = self.at.fleet(request.fleet)
        who = request.requested_by or by
        job = JOB_COMMANDS[kind](self.at.ports, fleet, request.job_id, who, self.at.now())
        self.at.log.info("a redrive was acted on", fleet=fleet.name, job=job.id, act=kind, requested_by=who)
        if job.state is JobState.RUNNING:
            self.at.begin_jobs(fleet)
        return {"job": self._job_answer(job)}

    def job_status(self, asked: object, _by: str) -> Answer:
        """How a job stands, for who watches it.

        Raises:
            PayloadError: there is no such job.
            PortError: AWS does not let us.
        """
        request = read_request(JobRequest, "status", asked)
        job = self.at.ports.ledger.jobs.job(self.at.fleet(request.fleet).name, request.job_id)
        if job is None:
            raise PayloadError(f"job_id: fleet {request.fleet} has no job {request.job_id}")
        return {"job": self._job_answer(job)}

    def mute_group(self, asked: object, by: str) -> Answer:
        """Mute a failure group until it is seen again, or unmute it.

        Raises:
            PayloadError: there is no such group.
            PortError: AWS does not let us.
        """
        request = read_request(MuteRequest, "mute", asked)
        fleet = self.at.fleet(request.fleet)
        who = request.requested_by or by
        at = None if request.undo else self.at.now()
        group = self.at.ports.ledger.failure_groups.mute_group(fleet.name, request.failure_group, at)
        if group is None:
            raise PayloadError(f"failure_group: fleet {fleet.name} has no {request.failure_group}")
        state = "unmuted" if request.undo else "muted"
        keys = {"fleet": fleet.name, "failure_group": group.id, "requested_by": who}
        self.at.log.info("failure group unmuted" if request.undo else "failure group muted", **keys)
        return {
            "failure_group": group.id,
            "fleet": fleet.name,
            "note": f"{group.cause} is {state}; its {count(group.count, 'message')}"
            f" {'stays' if group.count == 1 else 'stay'} in quarantine."
            + ("" if request.undo else " The next dead letter with this cause unmutes it."),
        }

    def edit(self, asked: object, by: str) -> Answer:
        """Send one message back with another body.

        Raises:
            PayloadError: it is not allowed, or cannot be done.
            PortError: AWS does not let us.
        """
        request = read_request(EditRequest, "edit", asked)
        fleet = self.at.fleet(request.fleet)
        who = request.requested_by or by
        job = self.at.editor(fleet).send_edited(request.message_id, request.body, who)
        self.at.log.info("a message was sent with another body", fleet=fleet.name, job=job.id, requested_by=who)
        self.at.count(fleet.name, "Redriven", 1)
        self.at.begin_jobs(fleet, min(self.at.invocation.stop_at, self.at.now() + ANSWER_S))
        with suppress(PortError):  # it is on record, and watched
            job = self.at.ports.ledger.jobs.job(fleet.name, job.id) or job
        return {"job": self._job_answer(job)}

    def restore(self, asked: object, by: str) -> Answer:
        """Quarantine again a message that was sent back and removed.

        Raises:
            PayloadError: nothing is left under that key.
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
            PayloadError: the fleet has none, or Sluice takes them as they come.
            PortError: AWS does not let us.
        """
        request = read_request(QuarantineRequest, "quarantine", asked)
        fleet = self.at.fleet(request.fleet)
        who = request.requested_by or by
        if not fleet.dead_letter_queues or fleet.redrive.mode is RedriveMode.AUTO:
            raise PayloadError(
                f"fleet: {fleet.name} has no dead_letter_queue, or its redrive.mode is auto, in which they are taken as"
                " they come"
            )
        until = min(self.at.invocation.stop_at, self.at.now() + ANSWER_S)
        results = [
            one for guard in self.at.retention_guards(fleet, request.queue) for one in guard.quarantine_all(until, who)
        ]
        self.at.report(fleet, results)
        kept_count = sum(one.outcome is LetterOutcome.KEPT for one in results)
        return {
            "fleet": fleet.name,
            "quarantined_count": sum(one.outcome is LetterOutcome.QUARANTINED for one in results),
            "kept_count": kept_count,
            "note": "Ask again for more." if results else "Nothing is in the dead-letter queue.",
        }

    def peek_dead_letters(self, asked: object, by: str) -> Answer:
        """Show some dead letters of a fleet, and leave them in their queue (manual mode).

        Raises:
            PayloadError: there is no such queue, or it cannot be read now.
            PortError: AWS does not let us.
        """
        request = read_request(PeekRequest, "peek", asked)
        fleet = self.at.fleet(request.fleet)
        sources = sources_of(fleet, request.queue)
        places = by_dead_letter_queue(self.at.routes(fleet, sources))
        if not places:
            raise PayloadError(f"fleet: {fleet.name} has no dead_letter_queue" + (" for that" if request.queue else ""))
        found: list[Peek] = []
        for url, routes in places.items():
            limit = request.limit - sum(one.looked_at_count for one in found)
            if limit > 0:
                peeked = peek(
                    self.at.ports,
                    fleet,
                    self.at.queue(url),
                    self.at.now,
                    limit=limit,
                    cause=request.cause,
                    attribute=None if request.attribute is None else (request.attribute.name, request.attribute.value),
                )
                found.append(peeked if request.queue is None else replace(peeked, seen=_of(routes[0], peeked.seen)))
        who = request.requested_by or by
        count = sum(one.looked_at_count for one in found)
        waiting = [one.waiting_count for one in found if one.waiting_count is not None]
        self.at.log.info("showed dead letters in their queue", fleet=fleet.name, count=count, requested_by=who)
        return {
            "peek": True,
            "fleet": fleet.name,
            "waiting_count": sum(waiting) if waiting else None,
            "looked_at_count": count,
            "messages": [_seen_to_answer(seen) for one in found for seen in one.seen],
            "note": "They are back in their queue; the receive count of each is one higher.",
        }


def _of(route: QueueRoute, seen: Sequence[Seen]) -> tuple[Seen, ...]:
    """Those of some dead letters that came from a queue, which may share its dead-letter queue with others."""
    return tuple(one for one in seen if route_of_letter(one.message, (route,)) is route)


def _seen_to_answer(seen: Seen) -> Answer:
    """A dead letter in its queue, as JSON: what an operator needs to recognise it."""
    message = seen.message
    return {
        "message_id": message.id,
        "queue": queue_name(source_of(message)) or None,
        "failure_group": seen.group.id,
        "cause": seen.group.words,
        "left_s": seen.left_s,
        "receive_count": message.receive_count,
        "size_bytes": message.size_bytes,
        "attributes": dict(selectable_attributes(message)),
        "sample": sample_of(message),
    } | ({"payload": pointer.uri} if (pointer := payload_pointer(message)) else {})
