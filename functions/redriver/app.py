"""Dead letters as they come, a consumer's reports, and each minute the jobs under way -> verdicts, sends, progress.

The judgments are in `sluice.redriving.verdict`, the order of effects in `sluice.redriving.sender`,
`sluice.redriving.dead_letters`, `sluice.redriving.jobs.runner` and `sluice.redriving.retention`. Two functions run
this: that of the dead-letter mapping, which may live no longer than messages are hidden in their queue, and that of
the schedule, which works on jobs for most of each minute. It takes what AWS sends and nothing else: people ask the
operator function. Here an invocation is read, given on, and told of in the log and in metrics: by ids and failure
groups, never by what a message says.

Whoever may invoke the function can forge a batch, so that a record counts only where SQS itself says that it is in
flight under its receipt in the dead-letter queue of a fleet.
"""

import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

from sluice.aws import stack_ports as _ports
from sluice.config.fleet import Fleet, QueuePolicy, RedriveMode
from sluice.model.redriving import JobState, Message, RedriveJob
from sluice.ports.errors import PortError
from sluice.redriving.context import MINUTE_S, Answer, InvocationLimits, RedriveContext
from sluice.redriving.failure_groups import READ_LIMIT, queue_name, source_of
from sluice.redriving.jobs.lifecycle import RequestError
from sluice.redriving.payloads import FailureReport, read_record, read_request
from sluice.redriving.retention import RetentionGuard, is_due
from sluice.redriving.source_queues import QueueRoute, route_for
from sluice.telemetry import Log, emit, keep_from

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer()
metrics = Metrics()


# --------------------------------------------------------------------------- one invocation


@dataclass(slots=True)
class Redriver(RedriveContext):
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
                # The error's text may be the record's: its kind suffices, and no traceback.
                kind = type(error).__name__
                self.log.warning("a record that is no SQS message stays where it is", problem=kind)
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
        routes = self._routes_of(dead_letter_arn)
        if not routes:
            logger.error(
                "dead letters of no fleet stay in their queue: name it as dead_letter_queue in a fleet's document,"
                " or turn its event source mapping off",
                queue=dead_letter_arn,
                count=len(messages),
            )
            return [message.id for message in messages]
        ours = self._held(routes[0].fleet.dead_letter_queue or "", messages)
        kept = [message.id for message in messages if message not in ours]
        # Message groups, on FIFO queues: what is behind one that stays does as well.
        held: set[str | None] = {message.message_group for message in messages if message not in ours}
        processors = {route.to.url: self.processor(route) for route in routes}
        for route, some in _by_route(routes, ours):
            theirs = [message for message in some if not (route.to.fifo and message.message_group in held)]
            results = processors[route.to.url].process(theirs)
            self.report(route.fleet, results)
            gone = {result.message_id for result in results if result.may_be_deleted}
            kept += [message.id for message in some if message.id not in gone]
            held |= {message.message_group for message in some if message.id not in gone}
        return kept

    def _held(self, dead_letter_queue: str, messages: Sequence[Message]) -> list[Message]:
        """Those that are in flight in their queue under their receipts, hidden for as long as this process may live.

        Of several that name one receipt none is: SQS gives each message that it hands out a receipt of its own.

        Raises:
            PortError: SQS does not say.
        """
        receipts = [message.receipt for message in messages]
        single = [message for message in messages if receipts.count(message.receipt) == 1]
        if not single:
            return []
        seconds = max(self.queue(dead_letter_queue).visibility_s, self.limits.until - self.now())
        answer = self.ports.queue.hold(dead_letter_queue, [message.receipt for message in single], seconds)
        held = [message for index, message in enumerate(single) if index in answer.done]
        if len(held) < len(messages):
            logger.warning(
                "dead letters that their queue does not have in flight under their receipts: left alone",
                queue=queue_name(dead_letter_queue),
                count=len(messages) - len(held),
                problems=sorted(set(answer.failed.values()))[:3],
            )
        return held

    def _routes_of(self, dead_letter_arn: str) -> tuple[QueueRoute, ...]:
        """The queues of every fleet whose dead-letter queue this is."""
        name = queue_name(dead_letter_arn)
        found: list[QueueRoute] = []
        for fleet in self.ports.fleets.load().fleets:
            # The name alone rules out most without a call; account and region are in the ARN that SQS gives.
            urls = [url for url in fleet.dead_letter_queues if queue_name(url) == name]
            if any(self.queue(url).arn == dead_letter_arn for url in urls):
                found += self.routes(fleet, [source for source in fleet.sources if source.dead_letter_queue in urls])
        names = [route.name for route in found]
        return tuple(replace(route, others=(*names[:index], *names[index + 1 :])) for index, route in enumerate(found))

    # ------------------------------------------------------------- jobs under way

    def tick(self) -> Answer:
        """Go on with every fleet's jobs, and say how many messages are in quarantine."""
        due: list[tuple[Fleet, RedriveJob]] = []
        for fleet in self.ports.fleets.load().fleets:
            try:
                self.count(fleet.name, "QuarantineSize", self.ports.ledger.quarantine.quarantine_size(fleet.name))
                jobs = self.ports.ledger.jobs.jobs(fleet.name)
            except PortError as error:
                self.failed("jobs could not be read", error, fleet=fleet.name)
                continue
            due += [(fleet, job) for job in jobs if job.state is JobState.RUNNING]
            self._look(fleet)
        worked = self.work(due, self.limits.stop_at)
        return {"jobs": [self.to_answer(job) for job in worked]}

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
        (route,) = self.routes(fleet, [source])
        dead = self.queue(source.dead_letter_queue or "")
        if not is_due(fleet.redrive, dead, self.now(), self.limits.minute_s):
            return
        look = RetentionGuard(self.ports, route.fleet, dead, self.processor(route), self.now).check()
        if look is None:
            return
        self.count(fleet.name, "DeadLetterLifeUsed", look.used_fraction or 0.0)
        self.report(fleet, look.quarantined)
        logger.info(
            "dead letters were looked at",
            fleet=fleet.name,
            queue=queue_name(dead.url),
            count=look.checked_count,
            least_left_s=look.least_left_s,
            put_away_count=len(look.quarantined),
        )

    # ------------------------------------------------------------- consumers' reports

    def note_cause(self, detail: object) -> Answer:
        """Remember why a message failed, for when it comes as a dead letter.

        Raises:
            RequestError: it is no such report, or of no fleet's queue.
            PortError: AWS does not let us.
        """
        report = read_request(FailureReport, "detail", detail)
        loaded = self.ports.fleets.load().fleets
        fleets = [fleet for fleet in loaded if any(report.is_of(source.queue) for source in fleet.sources)]
        if not fleets:
            raise RequestError(f"detail.queue: {report.queue[:200]} is the queue of no fleet")
        for fleet in fleets:
            cause = report.cause[:READ_LIMIT]
            self.ports.ledger.causes.keep_cause(fleet.name, report.message_id, cause, self.now())
            self.log.debug("a cause was told", fleet=fleet.name, dead_letter=report.message_id)
        return {"noted": [fleet.name for fleet in fleets]}


def answer(event: object, redriver: Redriver) -> Answer:
    """Read an invocation and do what AWS asks by it. What it is not made for is logged and refused."""
    match event:
        case {"Records": [*records]} if records and all(_is_of_sqs(record) for record in records):
            return redriver.take_batch(records)
        case {"source": "aws.events", "detail-type": "Scheduled Event"}:
            return redriver.tick()
        case {"source": "sluice.consumer", "detail-type": "Sluice Message Failure", "detail": detail}:
            return redriver.tried("report", lambda: redriver.note_cause(detail))
    keys = sorted(map(str, event))[:20] if isinstance(event, Mapping) else [type(event).__name__]
    logger.warning("an event that AWS does not send here: refused", keys=keys)
    return {
        "error": f"event: must be an SQS batch, a scheduled event or a consumer's report, not {', '.join(keys)};"
        " requests of people go to the operator function (the stack's output OperatorFunction)"
    }


def _is_of_sqs(record: object) -> bool:
    return isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs"


def _by_route(routes: Sequence[QueueRoute], messages: Sequence[Message]) -> list[tuple[QueueRoute, list[Message]]]:
    """Messages by the queue they came from. What came from none of them, or who knows, the first one quarantines.

    On FIFO queues in turn, as they are in the batch: what nothing tells about may be of any of them.
    """
    going = [(route_for(source_of(message) or None, routes) or routes[0], message) for message in messages]
    if not any(route.to.fifo for route in routes):
        going.sort(key=lambda one: one[0].to.arn)
    turns = [list(turn) for _, turn in groupby(going, key=lambda one: one[0].to.arn)]
    return [(turn[0][0], [message for _, message in turn]) for turn in turns]


# --------------------------------------------------------------------------- Lambda's entry


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Lambda's entry: read the invocation, decide and apply, tell."""
    limits = InvocationLimits.begun(
        context.aws_request_id,
        time.time(),
        context.get_remaining_time_in_millis() / 1000,
        float(os.environ.get("SLUICE_MINUTE_S") or MINUTE_S),
        sleep=time.sleep,
        uniform=random.SystemRandom().random,
    )
    redriver = Redriver(_ports(), time.time, limits)

    try:
        return answer(event, redriver)
    finally:
        emit(metrics, redriver.records)
