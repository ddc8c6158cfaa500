"""The redriver's service: one invocation's event -> verdicts on dead letters, progress of jobs, remembered causes.

    a batch of dead letters    --> take_batch: each is judged, then sent back or quarantined (`dead_letters`)
    a step of a fleet's jobs   --> take_step: its redrive jobs go on for a while (`jobs.slices`)
    the schedule, each minute  --> tick: jobs without a chain get one, waiting dead letters are checked (`retention`)
    a consumer's report        --> note_cause: why a message failed, remembered until it arrives as a dead letter

Two functions run it. That of the dead-letter queue's event source mapping may live no longer than messages are hidden
in their queue; that of jobs and the schedule has a minute. Both take what AWS and the planner send and nothing else:
operators ask the operator function.

Whoever may invoke the function can forge a batch. So a record counts only where SQS itself says that the message is in
flight, under the record's receipt, in the dead-letter queue of a fleet.

The log and the metrics hold ids and failure groups, never what a message contains.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sluice.config.fleet import Fleet, QueuePolicy, RedriveMode
from sluice.model.frozen import dataclass, replace
from sluice.model.payload_error import PayloadError
from sluice.model.redriving import Message
from sluice.ports.errors import PortError
from sluice.redriving.causes.stack_traces import condensed
from sluice.redriving.context import Answer, RedriveContext
from sluice.redriving.failure_groups import queue_name
from sluice.redriving.fifo_order import arranged_of_queues
from sluice.redriving.jobs.slices import KIND, chain_id
from sluice.redriving.payloads import FailureReport, read_record, read_request
from sluice.redriving.retention import RetentionGuard, is_due, is_turn
from sluice.redriving.source_queues import QueueRoute, route_of_letter

KEYS_SHOWN = 20  # of an event that is refused, in the error


@dataclass(slots=True)
class RedriverService(RedriveContext):
    """One invocation at work on what Lambda hands over."""

    def respond(self, event: object) -> Answer:
        """Do what an event of AWS or of a consumer asks for.

        Args:
            event: an SQS batch, a step of redrive jobs, a scheduled event, or a consumer's failure report.

        Returns:
            The answer as JSON; `{"error": ...}` where the event is none of these, or the report cannot be kept.
        """
        match event:
            case {"Records": [*records]} if records and all(_is_of_sqs(record) for record in records):
                return self.take_batch(records)
            case {"step": {} as step}:
                return self.take_step({"step": step})
            case {"source": "aws.events", "detail-type": "Scheduled Event"}:
                return self.tick()
            case {"source": "sluice.consumer", "detail-type": "Sluice Message Failure", "detail": detail}:
                return self.tried("report", lambda: self.note_cause(detail))
        keys = sorted(map(str, event))[:KEYS_SHOWN] if isinstance(event, Mapping) else [type(event).__name__]
        self.log.warning("refused an event that AWS does not send to the redriver", keys=keys)
        return {
            "error": "event: must be an SQS batch, a step of redrive jobs, a scheduled event or a consumer's report"
            f" (got {', '.join(keys)})."
            " Operators' requests go to the operator function (the stack's output OperatorFunction)"
        }

    def take_step(self, event: Mapping[str, Any]) -> Answer:
        """Go on with a fleet's redrive jobs for a while: a step of their chain, which the planner hands over."""
        stop_at = self.invocation.stop_at
        return self.chains.take_handed(
            event, KIND, self.invocation.until, lambda chain: self.jobs_step(chain, stop_at), self.log
        )

    # ------------------------------------------------------------- dead letters

    def take_batch(self, records: Sequence[Mapping[str, Any]]) -> Answer:
        """Process a batch of dead letters.

        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

        Returns:
            Lambda's partial batch response, which names every message that is to stay in its queue.
        """
        kept: list[str] = []
        by_queue: dict[str, list[Message]] = {}
        for record in records:
            try:
                message = read_record(record)
            except (KeyError, TypeError, ValueError) as error:
                # The error's text may be the record's own, so that only its kind is logged, without a traceback.
                kind = type(error).__name__
                self.log.warning("a record that is not an SQS message stays in its queue", problem=kind)
                kept.append(str(record.get("messageId", "")))
                continue
            by_queue.setdefault(str(record.get("eventSourceARN", "")), []).append(message)
        for arn, messages in by_queue.items():
            try:
                kept += self._process(arn, messages)
            except PortError as error:
                self.failed("dead letters could not be judged and stay in their queue", error, queue=arn)
                kept += [message.id for message in messages]
        return _kept(kept)

    def _process(self, dead_letter_arn: str, messages: Sequence[Message]) -> list[str]:
        """Process the dead letters of one queue; the ids of those that stay in it."""
        routes = self._routes_of(dead_letter_arn)
        if not routes:
            self.log.error(
                "dead letters of no known fleet stay in their queue: name the queue as dead_letter_queue in a fleet's"
                " document, or disable its event source mapping",
                queue=dead_letter_arn,
                count=len(messages),
            )
            return [message.id for message in messages]
        ours = self._in_flight(routes[0].fleet.dead_letter_queue or "", messages)
        kept = [message.id for message in messages if message not in ours]
        # FIFO message groups of which one message stays: those behind it stay as well, which keeps their order.
        blocked_groups: set[str | None] = {message.message_group for message in messages if message not in ours}
        processors = {route.to.url: self.processor(route) for route in routes}
        for route, some in self._by_route(routes, ours):
            free = [message for message in some if not (route.to.fifo and message.message_group in blocked_groups)]
            results = processors[route.to.url].process(free, messages)
            if processors[route.to.url].opened_release:
                self.begin_jobs(route.fleet)
            self.report(route.fleet, results)
            gone = {result.message_id for result in results if result.may_be_deleted}
            kept += [message.id for message in some if message.id not in gone]
            blocked_groups |= {message.message_group for message in some if message.id not in gone}
        return kept

    def _by_route(
        self, routes: Sequence[QueueRoute], messages: Sequence[Message]
    ) -> list[tuple[QueueRoute, list[Message]]]:
        """Messages by the queue that they came from. The first queue takes those that came from none of them.

        On FIFO queues they are in the order of their message groups: one of unknown origin may belong to any of them.

        Raises:
            PortError: the ledger does not say what was retried.
        """
        pairs = [(route_of_letter(message, routes) or routes[0], message) for message in messages]

        def arn_of(pair: tuple[QueueRoute, Message]) -> str:
            return pair[0].to.arn

        if not any(route.to.fifo for route in routes):
            pairs.sort(key=arn_of)
        elif len(routes) > 1:  # with one, its processor puts them in order
            pairs = arranged_of_queues(pairs, self.ports.ledger.attempts, self.now())
        runs = [list(run) for _, run in groupby(pairs, key=arn_of)]
        return [(run[0][0], [message for _, message in run]) for run in runs]

    def _in_flight(self, dead_letter_queue: str, messages: Sequence[Message]) -> list[Message]:
        """The messages that are in flight in their queue under their receipts; each is hidden as long as we may live.

        SQS gives each message that it delivers a receipt of its own. So of several that name one receipt none counts.

        Raises:
            PortError: SQS does not say.
        """
        receipts = [message.receipt for message in messages]
        single = [message for message in messages if receipts.count(message.receipt) == 1]
        if not single:
            return []
        hidden_s = max(self.queue(dead_letter_queue).visibility_s, self.invocation.until - self.now())
        answer = self.ports.queue.hold(dead_letter_queue, [message.receipt for message in single], hidden_s)
        held = [message for index, message in enumerate(single) if index in answer.done]
        if len(held) < len(messages):
            self.log.warning(
                "left alone dead letters that their queue does not have in flight under their receipts",
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

    # ------------------------------------------------------------- the schedule

    def tick(self) -> Answer:
        """Each minute: make a chain for running jobs without one, and check dead letters that wait in their queues."""
        try:
            made = self._make_missing_chains()
        except PortError as error:
            self.failed("the running redrive jobs could not be read: the next minute tries again", error)
            made = []
        self._check_waiting([one for one in self.ports.fleets.load().fleets if one.dead_letter_queues])
        return {"chains_made": made}

    def _make_missing_chains(self) -> list[str]:
        """Make a chain for running jobs that have none, since who opened them died; the chains' ids.

        Raises:
            PortError: running jobs or chains could not be read.
        """
        wanted = dict.fromkeys(chain_id(fleet) for fleet, _ in self.ports.ledger.jobs.running_jobs())
        there = {chain.id for chain in self.ports.ledger.chains.chains(KIND)} if wanted else set()
        made: list[str] = []
        for chain in (one for one in wanted if one not in there):
            self.log.warning("redrive jobs had no chain: they go on", chain=chain)
            try:
                self.chains.start(chain, self.now())
            except PortError as error:
                self.failed(
                    "a chain of redrive jobs could not be made: the next minute tries again", error, chain=chain
                )
            else:
                made.append(chain)
        return made

    def _check_waiting(self, fleets: Sequence[Fleet]) -> None:
        """Check the dead letters of fleets in manual mode for as long as there is time, from a random one on."""
        begin = int(self.invocation.uniform() * len(fleets))
        for done_count, fleet in enumerate((*fleets[begin:], *fleets[:begin])):
            if self.now() >= self.invocation.stop_at:
                self.log.warning(
                    "there was no time to check the waiting dead letters of all fleets: a later minute does",
                    left_count=len(fleets) - done_count,
                )
                return
            self._check_retention(fleet)

    def _check_retention(self, fleet: Fleet) -> None:
        """Measure how long waiting dead letters have left, and quarantine what is near its end."""
        for source in {source.dead_letter_queue: source for source in reversed(fleet.sources)}.values():
            if source.dead_letter_queue is None:
                continue
            try:
                self._check_dead_letter_queue(fleet, source)
            except PortError as error:
                queue = queue_name(source.dead_letter_queue)
                self.failed("waiting dead letters could not be checked", error, fleet=fleet.name, queue=queue)

    def _check_dead_letter_queue(self, fleet: Fleet, source: QueuePolicy) -> None:
        url = source.dead_letter_queue or ""
        if not self._is_due(fleet, url):
            return
        dead = self.queue(url)
        if dead.dead_letter_arn is not None:
            self.count(fleet.name, "DeadLettersMoveOn", 1)
            self.log.error(
                "SQS moves dead letters on to a queue that Sluice does not read: remove the redrive policy of the"
                " dead-letter queue",
                fleet=fleet.name,
                queue=queue_name(url),
                moves_on_to=queue_name(dead.dead_letter_arn),
            )
            return
        (route,) = self.routes(fleet, [source])
        check = RetentionGuard(self.ports, route.fleet, dead, self.processor(route), self.now).check()
        if check is None:
            return
        self.count(fleet.name, "DeadLetterLifeUsed", check.used_fraction or 0.0)
        self.report(fleet, check.quarantined)
        self.log.info(
            "checked how long waiting dead letters have left",
            fleet=fleet.name,
            queue=queue_name(dead.url),
            count=check.checked_count,
            least_left_s=check.least_left_s,
            quarantined_count=len(check.quarantined),
        )

    def _is_due(self, fleet: Fleet, url: str) -> bool:
        """Whether a dead-letter queue is to be checked now.

        Of fleets in auto mode nothing is asked out of turn: whether their time is short is known after the first turn.
        """
        if is_turn(fleet.name, self.now(), self.invocation.minute_s):
            return True
        if fleet.redrive.mode is RedriveMode.MANUAL:
            return is_due(fleet.redrive, self.queue(url).retention_s)
        _, known = self.facts.get(url, (0.0, None))
        return known is not None and is_due(fleet.redrive, known.retention_s)

    # ------------------------------------------------------------- consumers' reports

    def note_cause(self, detail: object) -> Answer:
        """Remember why a message failed, for when it arrives as a dead letter.

        Raises:
            PayloadError: it is not a failure report, or names the queue of no fleet.
            PortError: the ledger does not take it.
        """
        report = read_request(FailureReport, "detail", detail)
        loaded = self.ports.fleets.load().fleets
        fleets = [fleet for fleet in loaded if any(report.is_of(source.queue) for source in fleet.sources)]
        if not fleets:
            raise PayloadError(f"detail.queue: no fleet has the queue {report.queue[:200]}")
        for fleet in fleets:
            cause = condensed(report.cause)
            self.ports.ledger.causes.keep_cause(fleet.name, report.message_id, cause, self.now())
            self.log.debug("a consumer reported a cause", fleet=fleet.name, dead_letter=report.message_id)
        return {"noted": [fleet.name for fleet in fleets]}


def _is_of_sqs(record: object) -> bool:
    return isinstance(record, Mapping) and record.get("eventSource") == "aws:sqs"


def _kept(message_ids: Iterable[str]) -> Answer:
    """Lambda's partial batch response that leaves messages in their queue."""
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in dict.fromkeys(message_ids)]}
