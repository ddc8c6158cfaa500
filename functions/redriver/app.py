"""Dead letters as they come, a person's redrives, and each minute the jobs under way -> verdicts, sends, progress.

The judgments are in `sluice.redrive`, the order of effects in `sluice.resending`, `sluice.dead_letters`,
`sluice.running`, `sluice.editing` and `sluice.expiry`; persons' requests are answered in `sluice.persons`. Two
functions run this: that of the dead-letter mapping, which may live no longer than messages are hidden in their queue,
and that of the schedule, which works on jobs for most of each minute. Here an invocation is read, given to them, and
told of in the log and in metrics: by ids and failure groups, never by what a message says.
"""

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import groupby
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from sluice.belonging import Way, way_back
from sluice.config import Fleet, QueuePolicy, RedriveMode
from sluice.expiry import Keeper, is_due
from sluice.grouping import queue_name, told_source
from sluice.invocation import MINUTE_S, Invocation, Record, Shift
from sluice.jobs import RequestError
from sluice.log import Log, keep_from
from sluice.model import JobState, Message, RedriveJob
from sluice.persons import JOB_ACTS, Answer, Persons
from sluice.ports import ConflictError, PortError, Ports
from sluice.redrive_requests import read_record

# What a run leaves of the function's own timeout, to finish the batch it is at.
MARGIN_S = 5.0
# A request of this process that is under way when it dies may arrive this much after its end.
GRACE_S = 1.0
# Between one minute's work on jobs and the next one's, so that the schedule finds them given back.
HANDOVER_S = 3.0

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer()
metrics = Metrics()


# --------------------------------------------------------------------------- one invocation


@dataclass(slots=True)
class Redriver(Invocation):
    """One invocation at work on what Lambda hands over: a batch, or a tick."""

    log: Log = field(default=logger)

    # ------------------------------------------------------------- dead letters

    def take_batch(self, records: Sequence[Mapping[str, Any]]) -> Answer:
        """Settle a batch of dead letters; those that are to stay in their queue are named as failures."""
        kept: list[str] = []
        by_queue: dict[str, list[Message]] = {}
        for record in records:
            try:
                message = read_record(record)
            except (KeyError, TypeError, ValueError) as error:
                self.failed("a record that is no SQS message stays where it is", error)
                kept.append(str(record.get("messageId", "")))
                continue
            by_queue.setdefault(str(record.get("eventSourceARN", "")), []).append(message)
        for arn, messages in by_queue.items():
            try:
                kept += self._settle(arn, messages)
            except PortError as error:
                self.failed("dead letters could not be judged: they stay in their queue", error, queue=arn)
                kept += [message.id for message in messages]
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in dict.fromkeys(kept)]}

    def _settle(self, dead_letter_arn: str, messages: Sequence[Message]) -> list[str]:
        """Settle one queue's dead letters; the ids of those that stay in it."""
        ways = self._ways_of(dead_letter_arn)
        if not ways:
            logger.error(
                "dead letters of no fleet stay in their queue: name it as dead_letter_queue in a fleet's document,"
                " or turn its event source mapping off",
                queue=dead_letter_arn,
                count=len(messages),
            )
            return [message.id for message in messages]
        kept: list[str] = []
        desks = {way.to.url: self.desk(way) for way in ways}
        held: set[str | None] = set()  # message groups, on FIFO queues: what is behind one that stays does as well
        for way, some in _by_way(ways, messages):
            theirs = [message for message in some if not (way.to.fifo and message.message_group in held)]
            settled = desks[way.to.url].settle(theirs)
            self.tell(way.fleet, settled)
            gone = {settlement.message_id for settlement in settled if settlement.let_go}
            kept += [message.id for message in some if message.id not in gone]
            held |= {message.message_group for message in some if message.id not in gone}
        return kept

    def _ways_of(self, dead_letter_arn: str) -> tuple[Way, ...]:
        """The queues of every fleet whose dead-letter queue this is."""
        name = queue_name(dead_letter_arn)
        found: list[Way] = []
        for fleet in self.ports.fleets.load().fleets:
            # The name alone rules out most without a call; account and region are in the ARN that SQS gives.
            urls = [url for url in fleet.dead_letter_queues if queue_name(url) == name]
            if any(self.queue(url).arn == dead_letter_arn for url in urls):
                found += self.ways(fleet, [source for source in fleet.sources if source.dead_letter_queue in urls])
        names = [way.name for way in found]
        return tuple(replace(way, others=(*names[:index], *names[index + 1 :])) for index, way in enumerate(found))

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
                self.failed("jobs could not be read", error, fleet=fleet.name)
                continue
            due += [(fleet, job) for job in jobs if job.state is JobState.RUNNING]
            self._look(fleet)
        worked = self.work(due, self.shift.stop_at)
        return {"jobs": [self.in_words(job) for job in worked]}

    def _look(self, fleet: Fleet) -> None:
        """Look after dead letters that wait for a person: how much of their time is used, and whose is nearly over."""
        if fleet.redrive.mode is not RedriveMode.MANUAL:
            return
        for source in {source.dead_letter_queue: source for source in reversed(fleet.sources)}.values():
            if source.dead_letter_queue is None:
                continue
            try:
                self._look_into(fleet, source)
            except PortError as error:
                queue = queue_name(source.dead_letter_queue)
                self.failed("dead letters could not be looked at", error, fleet=fleet.name, queue=queue)

    def _look_into(self, fleet: Fleet, source: QueuePolicy) -> None:
        (way,) = self.ways(fleet, [source])
        dead = self.queue(source.dead_letter_queue or "")
        if not is_due(fleet.redrive, dead, self.now(), self.shift.minute_s):
            return
        look = Keeper(self.ports, way.fleet, dead, self.desk(way), self.now).look()
        if look is None:
            return
        self.tally.append((fleet.name, "DeadLetterLifeUsed", look.used_fraction or 0.0))
        self.tell(fleet, look.put_away)
        logger.info(
            "dead letters were looked at",
            fleet=fleet.name,
            queue=queue_name(dead.url),
            count=look.looked_at_count,
            least_left_s=look.least_left_s,
            put_away_count=len(look.put_away),
        )


def answer(event: object, redriver: Redriver) -> Answer:
    """Read an invocation and do what it asks. What it is not made for is logged and dropped."""
    by = "the widget" if _is_of_widget(event) else "an invoke"
    persons = Persons(redriver)
    requests: dict[str, Callable[[object, str], Answer]] = {
        "redrive": persons.redrive,
        "look": persons.look_at_job,
        "archive": persons.archive_group,
        "edit": persons.edit,
        "restore": persons.restore,
        "quarantine": persons.quarantine,
        "peek": persons.look_inside,
        **{kind: partial(persons.act_on_job, kind) for kind in JOB_ACTS},
    }
    match event:
        case {"Records": [*records]} if records and all(_is_of_sqs(record) for record in records):
            return redriver.take_batch(records)
        case {"source": "aws.events", "detail-type": "Scheduled Event"}:
            return redriver.tick()
        case {"source": "sluice.consumer", "detail-type": "Sluice Message Failure", "detail": detail}:
            return _tried(redriver, lambda: persons.note_cause(detail))
        case Mapping() if found := [(kind, asked) for kind, asked in event.items() if kind in requests]:
            kind, asked = found[0]
            return _tried(redriver, lambda: requests[kind](asked, by))
    keys = sorted(map(str, event))[:20] if isinstance(event, Mapping) else [type(event).__name__]
    logger.warning("an event that is none of ours: dropped", keys=keys)
    return {
        "error": "event: must be an SQS batch, a scheduled event, a consumer's report, or a request such as"
        ' {"redrive": {"fleet": ..., "all": true}} or {"stop": {"fleet": ..., "job_id": ...}}; requests are '
        + ", ".join(requests)
    }


def _tried(redriver: Redriver, act: Callable[[], Answer]) -> Answer:
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
        redriver.failed("a request failed", error)
        return {"error": str(error)}


def _is_of_sqs(record: object) -> bool:
    return isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs"


def _is_of_widget(event: object) -> bool:
    return isinstance(event, Mapping) and "widgetContext" in event


def _by_way(ways: Sequence[Way], messages: Sequence[Message]) -> list[tuple[Way, list[Message]]]:
    """Messages by the queue they came from. What came from none of them, or who knows, the first one quarantines.

    On FIFO queues in turn, as they are in the batch: what nothing tells about may be of any of them.
    """
    going = [(way_back(told_source(message) or None, ways) or ways[0], message) for message in messages]
    if not any(way.to.fifo for way in ways):
        going.sort(key=lambda one: one[0].to.arn)
    turns = [list(turn) for _, turn in groupby(going, key=lambda one: one[0].to.arn)]
    return [(turn[0][0], [message for _, message in turn]) for turn in turns]


# --------------------------------------------------------------------------- what is told


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
