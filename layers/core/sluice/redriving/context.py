"""One invocation of the redriver or the operator: how long it may live, and what all its work needs."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, field
from typing import Any, Self

from sluice.config.fleet import Fleet, QueuePolicy
from sluice.model.frozen import dataclass
from sluice.model.payload_error import PayloadError
from sluice.model.redriving import RedriveJob
from sluice.ports.aws_services import QueueFacts
from sluice.ports.errors import ConflictError, NeedsFixError, PortError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.dead_letters import DeadLetterProcessor, DeadLetterResult, LetterOutcome
from sluice.redriving.jobs.lifecycle import dead_letter_queues, sources_of, target_in
from sluice.redriving.jobs.rules import forecast
from sluice.redriving.jobs.runner import Runner, Work, run
from sluice.redriving.message_editor import Editor
from sluice.redriving.retention import RetentionGuard
from sluice.redriving.source_queues import QueueRoute
from sluice.telemetry import Log, Record, Unit

MINUTE_S = 60.0
# What a run leaves of the function's own timeout, to finish the batch it is at.
MARGIN_S = 5.0
# A request of this process that is under way when it dies may arrive this much after its end.
GRACE_S = 1.0
# Between one minute's work on jobs and the next one's, so that the schedule finds them given back.
HANDOVER_S = 3.0
# Metrics have a fleet as their dimension; what is of no fleet is logged only.
_METRICS = {LetterOutcome.RETRIED: "Retried", LetterOutcome.QUARANTINED: "Quarantined"}


type Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Invocation:
    """How long this invocation may work. Times are epoch seconds."""

    name: str  # unique to the invocation
    until: float  # when this process is surely gone
    stop_at: float  # when work on jobs ends
    sleep: Callable[[float], None]
    uniform: Callable[[], float]  # random numbers, 0 <= u < 1
    minute_s: float = MINUTE_S  # between two ticks

    @classmethod
    def started(
        cls,
        name: str,
        at: float,
        left_s: float,
        minute_s: float,
        *,
        sleep: Callable[[float], None],
        uniform: Callable[[], float],
    ) -> Self:
        """The shift of an invocation that began at a time, and which Lambda ends so many seconds later."""
        return cls(
            name=name,
            until=at + left_s + GRACE_S,
            stop_at=at + min(left_s - MARGIN_S, max(minute_s - HANDOVER_S, minute_s / 2)),
            sleep=sleep,
            uniform=uniform,
            minute_s=minute_s,
        )


@dataclass(slots=True)
class RedriveContext:
    """One invocation at work."""

    ports: Ports[RedriverLedger]
    now: Callable[[], float]
    invocation: Invocation
    log: Log
    records: list[Record] = field(default_factory=list)
    _facts: dict[str, QueueFacts] = field(default_factory=dict)

    def count(self, fleet: str, metric: str, value: float) -> None:
        """Add to what is counted."""
        self.records.append(Record(fleet, metric, Unit.COUNT, value))

    def queue(self, url: str) -> QueueFacts:
        """What a queue is, asked once."""
        if url not in self._facts:
            self._facts[url] = self.ports.queue.facts(url)
        return self._facts[url]

    def fleet(self, name: str) -> Fleet:
        """The fleet of that name.

        Raises:
            PayloadError: there is none, or its document cannot be used.
        """
        loaded = self.ports.fleets.load()
        for fleet in loaded.fleets:
            if fleet.name == name:
                return fleet
        for bad in loaded.invalid:
            if bad.name == name:
                raise PayloadError(f"fleet: the document of {name} cannot be used: {'; '.join(bad.problems)}")
        names = ", ".join(fleet.name for fleet in loaded.fleets) or "none"
        raise PayloadError(f"fleet: there is no fleet {name}; there is {names}")

    def routes(self, fleet: Fleet, sources: Iterable[QueuePolicy] | None = None) -> tuple[QueueRoute, ...]:
        """A fleet's queues, or some of them, each with the queue that its dead letters go back to.

        Raises:
            PortError: one of them cannot be asked what it is.
        """
        return tuple(
            QueueRoute(
                fleet.with_only(source),
                self.queue(source.queue),
                source.paused,
                tuple(
                    other.name
                    for other in fleet.sources
                    if other.queue != source.queue
                    and source.dead_letter_queue is not None
                    and other.dead_letter_queue == source.dead_letter_queue
                ),
            )
            for source in (fleet.sources if sources is None else sources)
        )

    def editor(self, fleet: Fleet) -> Editor:
        """Who acts on single messages of a fleet."""
        return Editor(self.ports, fleet, self.routes(fleet), self.invocation.name, self.invocation.until, self.now)

    def retention_guards(self, fleet: Fleet, queue: str | None = None) -> tuple[RetentionGuard, ...]:
        """The guards of a fleet's dead-letter queues, or of that of one of its queues: one for each.

        Raises:
            PayloadError: there is no such queue, or its dead letters lie among those of others.
            PortError: one of them cannot be asked what it is.
        """
        urls = dead_letter_queues(fleet, queue)
        first = {source.dead_letter_queue: source for source in reversed(fleet.sources)}
        routes = self.routes(fleet, [first[url] for url in urls])
        return tuple(
            RetentionGuard(self.ports, route.fleet, self.queue(url), self.processor(route), self.now)
            for url, route in zip(urls, routes, strict=True)
        )

    def processor(self, route: QueueRoute) -> DeadLetterProcessor:
        """The processor of the dead letters of one queue."""
        dead = self.queue(route.fleet.dead_letter_queue) if route.fleet.dead_letter_queue else None
        return DeadLetterProcessor(
            self.ports,
            route.fleet,
            route.to,
            self.invocation.until,
            self.now,
            self.invocation.uniform,
            dead.retention_s if dead else None,
            route.others,
            route.paused,
        )

    def runner(self, fleet: Fleet, job: RedriveJob) -> Runner:
        """Who works on a job.

        Raises:
            PayloadError: a queue that it names is no more.
            PortError: a queue cannot be asked what it is.
        """
        routes = self.routes(fleet, sources_of(fleet, job.selection.queue))
        to = next((route.to for route in routes if route.to.fifo), routes[0].to)
        if job.target.fleet is not None or job.target.queue is not None:
            elsewhere = self.fleet(job.target.fleet) if job.target.fleet else fleet
            to = self.queue(target_in(elsewhere, job.target.queue).queue.queue)
        return Runner(self.ports, fleet, to, self.invocation.name, self.invocation.until, self.now, routes)

    def report(self, fleet: Fleet, results: Iterable[DeadLetterResult]) -> None:
        """Log what became of dead letters, and count it."""
        for result in results:
            self._log_result(fleet, result)
            if result.outcome in _METRICS:
                self.count(fleet.name, _METRICS[result.outcome], 1)

    def work(self, jobs: Iterable[tuple[Fleet, RedriveJob]], stop_at: float) -> tuple[RedriveJob, ...]:
        """Work on jobs until a time; how those stand that were ours to work on."""
        works: list[Work] = []
        for fleet, job in jobs:
            try:
                runner = self.runner(fleet, job)
                taken = runner.take(job)
            except (PortError, PayloadError) as error:  # the latter: where it goes is no more
                self.failed("a job could not be taken up", error, fleet=fleet.name, job=job.id)
                continue
            if taken:
                works.append(Work(runner, taken))
        before = {(work.job.fleet, work.job.id): work.job for work in works}
        worked = run(works, stop_at, now=self.now, sleep=self.invocation.sleep, failed=self._log_job_failure)
        for job in worked:
            was = before[job.fleet, job.id]
            self.count(job.fleet, "Redriven", job.progress.sent_count - was.progress.sent_count)
            self.count(job.fleet, "RedriveFailed", job.progress.failed_count - was.progress.failed_count)
            # What was selected by may be of a message: it is on the job's record, and not in the log.
            words = {name: value for name, value in self.to_answer(job).items() if name not in {"cause", "attribute"}}
            self.log.info("a redrive went on", **words)
        return worked

    def to_answer(self, job: RedriveJob) -> dict[str, Any]:
        """A job as flat JSON, without what only its runners need, and with how far it is (`jobs.rules.forecast`)."""
        parts = {"selection", "target", "progress", "pacing", "lease", "move", "version"}
        fields = {name: value for name, value in asdict(job).items() if name not in parts}
        fields |= asdict(job.selection) | asdict(job.progress) | asdict(job.pacing)
        fields |= {"to": job.target.fleet, "to_queue": job.target.queue}
        del fields["cursor"]
        seen = forecast(job, self.now())
        fields |= {"done_fraction": round(seen.done_fraction, 4), "left_s": seen.left_s}
        return {name: _listed(value) for name, value in fields.items()}

    def _log_result(self, fleet: Fleet, result: DeadLetterResult) -> None:
        verdict = result.verdict
        log = self.log.info if result.may_be_deleted else self.log.warning
        log(
            f"dead letter {result.outcome}",
            fleet=fleet.name,
            dead_letter=result.message_id,
            reason=result.reason,
            failure_group=verdict.failure_group if verdict else None,
            attempt=verdict.attempt if verdict else None,
            delay_s=verdict.delay_s if verdict else None,
        )

    def tried(self, request: str, act: Callable[[], Answer]) -> Answer:
        """Do what was asked for: what does not work is answered, not raised, since Lambda would hide the text."""
        try:
            return act()
        except PayloadError as error:
            # The text may repeat the request, and so a message's text: it goes into the answer and not into the log.
            self.log.warning("a request was refused", request=request)
            return {"error": str(error)}
        except ConflictError as error:
            self.log.warning("a request met another writer", problem=str(error))
            return {"error": f"another invocation was first: {error}; check the job and ask again"}
        except PortError as error:
            self.failed("a request failed", error)
            return {"error": str(error)}

    def failed(self, what: str, error: Exception, **keys: str) -> None:
        """Log a failure: as a warning if a retry may succeed, as an error if an operator must act."""
        keys["problem"] = str(error) if isinstance(error, PortError) else repr(error)
        if isinstance(error, PortError) and not isinstance(error, NeedsFixError):
            self.log.warning(what, extra=keys)
        else:
            self.log.error(what, extra=keys, exc_info=None if isinstance(error, PortError) else error)

    def _log_job_failure(self, job: RedriveJob, error: Exception) -> None:
        self.failed("a redrive could not go on now; the next minute tries again", error, fleet=job.fleet, job=job.id)


def _listed(value: Any) -> Any:
    """Tuples as the lists that JSON makes of them."""
    if isinstance(value, tuple):
        return [_listed(one) for one in value]
    return {name: _listed(one) for name, one in value.items()} if isinstance(value, dict) else value
