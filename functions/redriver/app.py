"""Dead letters as they come, a person's redrives, and each minute the jobs under way -> verdicts, sends, progress.

The judgments are in `sluice.redrive`, the order of effects in `sluice.resending`, `sluice.dead_letters`,
`sluice.running`, `sluice.editing` and `sluice.expiry`. Two functions run this: that of the dead-letter mapping, which
may live no longer than messages are hidden in their queue, and that of the schedule, which works on jobs for most of
each minute. Here an invocation is read, given to them, and told of in the log and in metrics: by ids and failure
groups, never by what a message says. A person's mistake is answered with what would be right, and raises nothing.
"""

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from sluice.config import Fleet, RedriveMode
from sluice.dead_letters import Desk, End, Settlement
from sluice.editing import Editor
from sluice.expiry import Keeper, is_due
from sluice.grouping import READ_LIMIT, SOURCE
from sluice.jobs import RequestError, open_job, pause_job, preview, resume_job, stop_job
from sluice.model import JobState, Message, RedriveJob
from sluice.peeking import Seen, peek
from sluice.ports import ConflictError, NeedsFixError, PortError, Ports, QueueFacts
from sluice.redrive import outlook, sample_of, selectable
from sluice.redrive_requests import (
    EditRequest,
    FailureReport,
    GroupRequest,
    JobRequest,
    PeekRequest,
    QuarantineRequest,
    RedriveRequest,
    RestoreRequest,
    read_record,
    read_request,
)
from sluice.running import Runner, Work, run

# What a run leaves of the function's own timeout, to finish the batch it is at.
MARGIN_S = 5.0
# A person waits for the answer to a request; what is not sent by then is sent in the minutes after.
ANSWER_S = 8.0
# A request of this process that is under way when it dies may arrive this much after its end.
GRACE_S = 1.0
# Between one minute's work on jobs and the next one's, so that the schedule finds them given back.
HANDOVER_S = 3.0
MINUTE_S = 60.0
JOB_ACTS = {"stop": stop_job, "pause": pause_job, "resume": resume_job}
# Metrics name a fleet; what cannot be put down to one is told in the log alone.
_ENDS = {End.RETRIED: "Retried", End.QUARANTINED: "Quarantined"}

type Answer = dict[str, Any]
type Record = tuple[str, str, float]  # fleet, metric, value

logger = Logger()
tracer = Tracer()
metrics = Metrics()


# --------------------------------------------------------------------------- one invocation


@dataclass(frozen=True, slots=True)
class Shift:
    """How long this invocation may work. Times are epoch seconds."""

    name: str  # unique to the invocation
    until: float  # when this process is surely gone
    stop_at: float  # when work on jobs ends
    sleep: Callable[[float], None]
    uniform: Callable[[], float]  # random numbers, 0 <= u < 1
    minute_s: float = MINUTE_S  # between two ticks


@dataclass(slots=True)
class Redriver:
    """One invocation at work."""

    ports: Ports
    now: Callable[[], float]
    shift: Shift
    tally: list[Record] = field(default_factory=list)
    _facts: dict[str, QueueFacts] = field(default_factory=dict)

    # ------------------------------------------------------------- dead letters

    def take_batch(self, records: Sequence[Mapping[str, Any]]) -> Answer:
        """Settle a batch of dead letters; those that are to stay in their queue are named as failures."""
        kept: list[str] = []
        by_queue: dict[str, list[Message]] = {}
        for record in records:
            try:
                message = read_record(record)
            except (KeyError, TypeError, ValueError) as error:
                _log_failure("a record that is no SQS message stays where it is", error)
                kept.append(str(record.get("messageId", "")))
                continue
            by_queue.setdefault(str(record.get("eventSourceARN", "")), []).append(message)
        for arn, messages in by_queue.items():
            try:
                kept += self._settle(arn, messages)
            except PortError as error:
                _log_failure("dead letters could not be judged: they stay in their queue", error, queue=arn)
                kept += [message.id for message in messages]
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in dict.fromkeys(kept)]}

    def _settle(self, dead_letter_arn: str, messages: Sequence[Message]) -> list[str]:
        """Settle one queue's dead letters; the ids of those that stay in it."""
        fleets = self._fleets_of(dead_letter_arn)
        if not fleets:
            logger.error(
                "dead letters of no fleet stay in their queue: name it as dead_letter_queue in a fleet's document,"
                " or turn its event source mapping off",
                queue=dead_letter_arn,
                count=len(messages),
            )
            return [message.id for message in messages]
        kept: list[str] = []
        for fleet, theirs in _by_fleet(fleets, messages):
            settled = self._desk(fleet).settle(theirs)
            self._tell(fleet, settled)
            kept += [settlement.message_id for settlement in settled if not settlement.let_go]
        return kept

    def _tell(self, fleet: Fleet, settled: Iterable[Settlement]) -> None:
        for settlement in settled:
            _log_settlement(fleet, settlement)
            if settlement.end in _ENDS:
                self.tally.append((fleet.name, _ENDS[settlement.end], 1))

    def _fleets_of(self, dead_letter_arn: str) -> dict[Fleet, QueueFacts]:
        """The fleets whose dead-letter queue this is, each with its own queue."""
        name = dead_letter_arn.rpartition(":")[2]
        found: dict[Fleet, QueueFacts] = {}
        for fleet in self.ports.fleets.load().fleets:
            url = fleet.dead_letter_queue
            # The name alone rules out most without a call; account and region are in the ARN that SQS gives.
            if url and url.rpartition("/")[2] == name and self._queue(url).arn == dead_letter_arn:
                found[fleet] = self._queue(fleet.queue)
        return found

    def _queue(self, url: str) -> QueueFacts:
        if url not in self._facts:
            self._facts[url] = self.ports.queue.facts(url)
        return self._facts[url]

    # ------------------------------------------------------------- a person's word

    def redrive(self, asked: object, by: str) -> Answer:
        """Tell what a redrive would do, or begin it.

        Raises:
            RequestError: it cannot be done as asked.
            PortError: AWS does not let us.
        """
        request = read_request(RedriveRequest, "redrive", asked)
        fleet = self._fleet(request.fleet)
        to = self._fleet(request.to) if request.to else None
        rate_per_s = request.rate_per_s or fleet.redrive.rate_per_s
        if request.dry_run:
            return self._dry_run(request, fleet, rate_per_s)
        now = self.now()
        asked_for = RedriveJob(
            id=self.shift.name,  # an invocation that Lambda repeats finds its job there, and begins no second one
            fleet=fleet.name,
            state=JobState.RUNNING,
            requested_at=now,
            requested_by=request.requested_by or by,
            updated_at=now,
            rate_per_s=rate_per_s,
            again=request.again,
        )
        job = open_job(self.ports, fleet, request.selection, asked_for, to)
        logger.info("a redrive was asked for", fleet=fleet.name, job=job.id, requested_by=job.requested_by)
        worked = self._work([(fleet, job)], min(self.shift.stop_at, now + ANSWER_S))
        return {"job": _job_in_words(worked[0] if worked else job, self.now())}

    def _dry_run(self, request: RedriveRequest, fleet: Fleet, rate_per_s: float) -> Answer:
        seen = preview(self.ports, fleet, request.selection, self.now())
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
        fleets = self.ports.fleets.load().fleets
        return sorted(one.name for one in fleets if one.name != fleet.name and one.queue.endswith(".fifo") == fifo)

    def act_on_job(self, kind: str, asked: object, by: str) -> Answer:
        """Stop, pause or resume a job.

        Raises:
            RequestError: there is no such job, or it is not in a state for that.
            PortError: AWS does not let us.
        """
        request = read_request(JobRequest, kind, asked)
        fleet = self._fleet(request.fleet)
        who = request.requested_by or by
        job = JOB_ACTS[kind](self.ports, fleet, request.job_id, who, self.now())
        logger.info("a redrive was acted on", fleet=fleet.name, job=job.id, act=kind, requested_by=who)
        return {"job": _job_in_words(job, self.now())}

    def look_at_job(self, asked: object, _by: str) -> Answer:
        """How a job stands, for who watches it.

        Raises:
            RequestError: there is no such job.
            PortError: AWS does not let us.
        """
        request = read_request(JobRequest, "look", asked)
        job = self.ports.ledger.job(self._fleet(request.fleet).name, request.job_id)
        if job is None:
            raise RequestError(f"job_id: fleet {request.fleet} has no job {request.job_id}")
        return {"job": _job_in_words(job, self.now())}

    def archive_group(self, asked: object, by: str) -> Answer:
        """Set a failure group aside, or take it out again.

        Raises:
            RequestError: there is no such group.
            PortError: AWS does not let us.
        """
        request = read_request(GroupRequest, "archive", asked)
        fleet = self._fleet(request.fleet)
        who = request.requested_by or by
        at = None if request.undo else self.now()
        group = self.ports.ledger.archive_group(fleet.name, request.failure_group, at)
        if group is None:
            raise RequestError(f"failure_group: fleet {fleet.name} has no {request.failure_group}")
        told = "taken out again" if request.undo else "set aside"
        logger.info("a failure group was archived", fleet=fleet.name, failure_group=group.id, requested_by=who, to=told)
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
        fleet = self._fleet(request.fleet)
        who = request.requested_by or by
        job = self._editor(fleet).send_edited(request.message_id, request.body, who)
        logger.info("a message was sent with another body", fleet=fleet.name, job=job.id, requested_by=who)
        self.tally.append((fleet.name, "Redriven", 1))
        return {"job": _job_in_words(job, self.now())}

    def restore(self, asked: object, by: str) -> Answer:
        """Quarantine anew what was let go of.

        Raises:
            RequestError: nothing is left under that key.
            PortError: AWS does not let us.
        """
        request = read_request(RestoreRequest, "restore", asked)
        fleet = self._fleet(request.fleet)
        who = request.requested_by or by
        entry = self._editor(fleet).restore(request.key, who)
        logger.info("a message was restored", fleet=fleet.name, restored=entry.message_id, requested_by=who)
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
        fleet = self._fleet(request.fleet)
        who = request.requested_by or by
        if fleet.dead_letter_queue is None or fleet.redrive.mode is RedriveMode.AUTO:
            raise RequestError(
                f"fleet: {fleet.name} has no dead_letter_queue, or its redrive.mode is auto, in which they are taken as"
                " they come"
            )
        settled = self._keeper(fleet).take_in(min(self.shift.stop_at, self.now() + ANSWER_S), who)
        self._tell(fleet, settled)
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
        fleet = self._fleet(request.fleet)
        if fleet.dead_letter_queue is None:
            raise RequestError(f"fleet: {fleet.name} has no dead_letter_queue")
        found = peek(
            self.ports,
            fleet,
            self._queue(fleet.dead_letter_queue),
            self.now,
            limit=request.limit,
            cause=request.cause,
            attribute=None if request.attribute is None else (request.attribute.name, request.attribute.value),
        )
        who = request.requested_by or by
        count = found.looked_at_count
        logger.info("a dead-letter queue was looked into", fleet=fleet.name, count=count, requested_by=who)
        return {
            "peek": True,
            "fleet": fleet.name,
            "waiting_count": found.waiting_count,
            "looked_at_count": count,
            "messages": [_seen_in_words(one) for one in found.seen],
            "note": "They are back in their queue; the receive count of each is one higher.",
        }

    def _editor(self, fleet: Fleet) -> Editor:
        to = self._queue(fleet.queue)
        return Editor(self.ports, fleet, to, self.shift.name, self.shift.until, self.now)

    def _keeper(self, fleet: Fleet) -> Keeper:
        assert fleet.dead_letter_queue is not None
        return Keeper(self.ports, fleet, self._queue(fleet.dead_letter_queue), self._desk(fleet), self.now)

    def _desk(self, fleet: Fleet) -> Desk:
        dead = self._queue(fleet.dead_letter_queue) if fleet.dead_letter_queue else None
        return Desk(
            self.ports,
            fleet,
            self._queue(fleet.queue),
            self.shift.until,
            self.now,
            self.shift.uniform,
            dead.retention_s if dead else None,
        )

    # ------------------------------------------------------------- a consumer's word

    def note_cause(self, detail: object) -> Answer:
        """Remember why a message failed, for when it comes as a dead letter.

        Raises:
            RequestError: it is no such report, or of no fleet's queue.
            PortError: AWS does not let us.
        """
        report = read_request(FailureReport, "detail", detail)
        fleets = [fleet for fleet in self.ports.fleets.load().fleets if report.is_of(fleet.queue)]
        if not fleets:
            raise RequestError(f"detail.queue: {report.queue[:200]} is the queue of no fleet")
        for fleet in fleets:
            cause = report.cause[:READ_LIMIT]
            self.ports.ledger.keep_cause(fleet.name, report.message_id, cause, self.now())
            logger.debug("a cause was told", fleet=fleet.name, dead_letter=report.message_id)
        return {"noted": [fleet.name for fleet in fleets]}

    def _fleet(self, name: str) -> Fleet:
        loaded = self.ports.fleets.load()
        for fleet in loaded.fleets:
            if fleet.name == name:
                return fleet
        for bad in loaded.invalid:
            if bad.name == name:
                raise RequestError(f"fleet: the document of {name} cannot be used: {'; '.join(bad.problems)}")
        names = ", ".join(fleet.name for fleet in loaded.fleets) or "none"
        raise RequestError(f"fleet: there is no fleet {name}; there is {names}")

    # ------------------------------------------------------------- jobs under way

    def tick(self) -> Answer:
        """Go on with every fleet's jobs, and say how many messages are in quarantine."""
        due: list[tuple[Fleet, RedriveJob]] = []
        for fleet in self.ports.fleets.load().fleets:
            try:
                held = sum(group.count for group in self.ports.ledger.failure_groups(fleet.name))
                self.tally.append((fleet.name, "QuarantineSize", held))
                jobs = self.ports.ledger.jobs(fleet.name)
            except PortError as error:
                _log_failure("jobs could not be read", error, fleet=fleet.name)
                continue
            due += [(fleet, job) for job in jobs if job.state is JobState.RUNNING]
            self._look(fleet)
        worked = self._work(due, self.shift.stop_at)
        return {"jobs": [_job_in_words(job, self.now()) for job in worked]}

    def _look(self, fleet: Fleet) -> None:
        """Look after dead letters that wait for a person: how much of their time is used, and whose is nearly over."""
        if fleet.dead_letter_queue is None or fleet.redrive.mode is not RedriveMode.MANUAL:
            return
        try:
            dead = self._queue(fleet.dead_letter_queue)
            look = self._keeper(fleet).look() if is_due(fleet.redrive, dead, self.now(), self.shift.minute_s) else None
        except PortError as error:
            _log_failure("dead letters could not be looked at", error, fleet=fleet.name)
            return
        if look is None:
            return
        self.tally.append((fleet.name, "DeadLetterLifeUsed", look.used_fraction or 0.0))
        self._tell(fleet, look.put_away)
        logger.info(
            "dead letters were looked at",
            fleet=fleet.name,
            count=look.looked_at_count,
            least_left_s=look.least_left_s,
            put_away_count=len(look.put_away),
        )

    def _work(self, jobs: Iterable[tuple[Fleet, RedriveJob]], stop_at: float) -> tuple[RedriveJob, ...]:
        """Work on jobs until a time; how those stand that were ours to work on."""
        works: list[Work] = []
        for fleet, job in jobs:
            try:
                to = self._queue(self._fleet(job.to).queue if job.to else fleet.queue)
                runner = Runner(self.ports, fleet, to, self.shift.name, self.shift.until, self.now)
                taken = runner.take(job)
            except (PortError, RequestError) as error:  # the latter: the fleet it goes to is no more
                _log_failure("a job could not be taken up", error, fleet=fleet.name, job=job.id)
                continue
            if taken:
                works.append(Work(runner, taken))
        before = {(work.job.fleet, work.job.id): work.job for work in works}
        worked = run(works, stop_at, now=self.now, sleep=self.shift.sleep, failed=_log_job_failure)
        for job in worked:
            was = before[job.fleet, job.id]
            self.tally.append((job.fleet, "Redriven", job.sent_count - was.sent_count))
            self.tally.append((job.fleet, "RedriveFailed", job.failed_count - was.failed_count))
            logger.info("a redrive went on", **_job_in_words(job, self.now()))
        return worked


def answer(event: object, redriver: Redriver) -> Answer:
    """Read an invocation and do what it asks. What it is not made for is logged and dropped."""
    by = "the widget" if _is_of_widget(event) else "an invoke"
    requests: dict[str, Callable[[object, str], Answer]] = {
        "redrive": redriver.redrive,
        "look": redriver.look_at_job,
        "archive": redriver.archive_group,
        "edit": redriver.edit,
        "restore": redriver.restore,
        "quarantine": redriver.quarantine,
        "peek": redriver.look_inside,
        **{kind: partial(redriver.act_on_job, kind) for kind in JOB_ACTS},
    }
    match event:
        case {"Records": [*records]} if records and all(_is_of_sqs(record) for record in records):
            return redriver.take_batch(records)
        case {"source": "aws.events", "detail-type": "Scheduled Event"}:
            return redriver.tick()
        case {"source": "sluice.consumer", "detail-type": "Sluice Message Failure", "detail": detail}:
            return _tried(lambda: redriver.note_cause(detail))
        case Mapping() if found := [(kind, asked) for kind, asked in event.items() if kind in requests]:
            kind, asked = found[0]
            return _tried(lambda: requests[kind](asked, by))
    keys = sorted(map(str, event))[:20] if isinstance(event, Mapping) else [type(event).__name__]
    logger.warning("an event that is none of ours: dropped", keys=keys)
    return {
        "error": "event: must be an SQS batch, a scheduled event, a consumer's report, or a request such as"
        ' {"redrive": {"fleet": ..., "all": true}} or {"stop": {"fleet": ..., "job_id": ...}}; requests are '
        + ", ".join(requests)
    }


def _tried(act: Callable[[], Answer]) -> Answer:
    """A person's request: what does not work is answered, not raised, since Lambda would hide the text."""
    try:
        return act()
    except RequestError as error:
        logger.warning("a request was refused", problem=str(error))
        return {"error": str(error)}
    except ConflictError as error:
        logger.warning("a request met another writer", problem=str(error))
        return {"error": f"another invocation was first: {error}; look at the job and ask again"}
    except PortError as error:
        _log_failure("a request failed", error)
        return {"error": str(error)}


def _is_of_sqs(record: object) -> bool:
    return isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs"


def _is_of_widget(event: object) -> bool:
    return isinstance(event, Mapping) and "widgetContext" in event


def _by_fleet(fleets: Mapping[Fleet, QueueFacts], messages: Sequence[Message]) -> list[tuple[Fleet, list[Message]]]:
    """Messages by the fleet they came from. What came from none of them goes to the first, which quarantines it."""
    of_queue = {name: fleet for fleet, to in fleets.items() for name in (to.arn, to.url)}
    sorted_out: dict[Fleet, list[Message]] = {}
    for message in messages:
        source = message.source or message.attribute(SOURCE) or ""
        sorted_out.setdefault(of_queue.get(source, next(iter(fleets))), []).append(message)
    return list(sorted_out.items())


# --------------------------------------------------------------------------- what is told


def _job_in_words(job: RedriveJob, now: float) -> Answer:
    """A job as JSON, without what only its runners need; and how far it is."""
    inner = {"version", "cursor", "runner", "runner_until", "move", "left_count"}
    words = {name: _listed(value) for name, value in asdict(job).items() if name not in inner}
    seen = outlook(job, now)
    return words | {"done_fraction": round(seen.done_fraction, 4), "left_s": seen.left_s}


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


def _listed(value: Any) -> Any:
    """Tuples as the lists that JSON makes of them."""
    if isinstance(value, tuple):
        return [_listed(one) for one in value]
    return {name: _listed(one) for name, one in value.items()} if isinstance(value, dict) else value


def _log_settlement(fleet: Fleet, settlement: Settlement) -> None:
    verdict = settlement.verdict
    log = logger.info if settlement.let_go else logger.warning
    log(
        f"dead letter {settlement.end}",
        fleet=fleet.name,
        dead_letter=settlement.message_id,
        reason=settlement.reason,
        failure_group=verdict.failure_group if verdict else None,
        attempt=verdict.attempt if verdict else None,
        delay_s=verdict.delay_s if verdict else None,
    )


def _log_failure(what: str, error: Exception, **keys: str) -> None:
    """What goes well by itself later is a warning; what a person must put right, or nobody foresaw, an error."""
    keys["problem"] = str(error) if isinstance(error, PortError) else repr(error)
    if isinstance(error, PortError) and not isinstance(error, NeedsFixError):
        logger.warning(what, extra=keys)
    else:
        logger.error(what, extra=keys, exc_info=None if isinstance(error, PortError) else error)


def _log_job_failure(job: RedriveJob, error: Exception) -> None:
    _log_failure("a redrive could not go on now; the next minute tries again", error, fleet=job.fleet, job=job.id)


def emit(tally: Iterable[Record]) -> None:
    """The tally as embedded metrics: one blob for each fleet."""
    by_fleet: dict[str, list[Record]] = {}
    for record in tally:
        by_fleet.setdefault(record[0], []).append(record)
    for fleet, records in by_fleet.items():
        metrics.add_dimension("fleet", fleet)
        for _, name, value in records:
            metrics.add_metric(name, MetricUnit.Count, value)
        metrics.flush_metrics()


def respond(event: object, redriver: Redriver, function_arn: str) -> Answer | str:
    """The answer, as HTML where the widget asks."""
    answered = answer(event, redriver)
    if not isinstance(event, Mapping) or not _is_of_widget(event):
        return answered
    from sluice.widget.answers import render_answer  # noqa: PLC0415 - batches, the many, need no HTML

    return render_answer(answered, event, function_arn)


@cache
def _ports() -> Ports:
    from sluice.aws import connect  # noqa: PLC0415 - botocore is imported after the handler is known to be needed

    return connect(os.environ)


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer | str:
    """Lambda's entry: read the invocation, decide and apply, tell."""
    started_at = time.time()
    left_s = context.get_remaining_time_in_millis() / 1000
    minute_s = float(os.environ.get("SLUICE_MINUTE_S") or MINUTE_S)
    shift = Shift(
        name=context.aws_request_id,
        until=started_at + left_s + GRACE_S,
        stop_at=started_at + min(left_s - MARGIN_S, max(minute_s - HANDOVER_S, minute_s / 2)),
        sleep=time.sleep,
        uniform=random.SystemRandom().random,
        minute_s=minute_s,
    )
    redriver = Redriver(_ports(), time.time, shift)

    try:
        return respond(event, redriver, context.invoked_function_arn)
    finally:
        emit(redriver.tally)
