"""One invocation of the redriver or the operator: how long it may live, and what all its work needs."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import field
from typing import Any, Self

from sluice.chains import ChainRunner
from sluice.config.fleet import Fleet, QueuePolicy
from sluice.model.chain import Chain, Next
from sluice.model.frozen import dataclass
from sluice.model.payload_error import PayloadError
from sluice.model.redrive_jobs import RedriveJob
from sluice.ports.aws_services import QueueFacts
from sluice.ports.errors import ConflictError, NeedsFixError, PortError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.dead_letters import DeadLetterProcessor
from sluice.redriving.jobs.answers import job_to_answer
from sluice.redriving.jobs.preview import dead_letter_queues, sources_of, target_in
from sluice.redriving.jobs.runner import MoveUse, Runner
from sluice.redriving.jobs.slices import SLICE_S, Slice, chain_id, fleet_of, retries_in
from sluice.redriving.letter_results import DeadLetterResult, LetterOutcome
from sluice.redriving.message_editor import Editor
from sluice.redriving.retention import RetentionGuard
from sluice.redriving.source_queues import QueueRoute
from sluice.telemetry import Log, Record, Unit

MINUTE_S = 60.0
# What a run leaves of the function's own timeout, to finish the batch it is at.
MARGIN_S = 5.0
# A request of this process that is under way when it dies may arrive this much after its end.
GRACE_S = 1.0
# A queue's timeouts, retention and limits change when somebody deploys.
FACTS_KEPT_S = 300.0
# When jobs of a fleet whose document is missing or cannot be used are looked at again.
NO_FLEET_S = 60.0
# Metrics have a fleet as their dimension; what is of no fleet is logged only.
_METRICS = {LetterOutcome.RETRIED: "Retried", LetterOutcome.QUARANTINED: "Quarantined"}


type Answer = dict[str, Any]
type QueueFactsRead = dict[str, tuple[float, QueueFacts]]  # by URL: when they were read, in epoch seconds, and they


@dataclass(frozen=True, slots=True)
class RedriveInvocation:
    """How long this invocation may work. Times are epoch seconds."""

    name: str  # unique to the invocation
    until: float  # when this process is surely gone
    stop_at: float  # when work on jobs ends
    uniform: Callable[[], float]  # random numbers, 0 <= u < 1
    minute_s: float = MINUTE_S  # between two events of the schedule

    @classmethod
    def started(
        cls,
        name: str,
        at: float,
        left_s: float,
        minute_s: float,
        *,
        uniform: Callable[[], float],
    ) -> Self:
        """An invocation that began at a time, and which Lambda ends so many seconds later."""
        return cls(
            name=name,
            until=at + left_s + GRACE_S,
            stop_at=at + min(left_s - MARGIN_S, SLICE_S),
            uniform=uniform,
            minute_s=minute_s,
        )


@dataclass(slots=True)
class RedriveContext:
    """One invocation at work.

    Attributes:
        facts: what queues are; it may be kept from one invocation of the process to the next.
        moves: when SQS's own move task is worth it.
    """

    ports: Ports[RedriverLedger]
    now: Callable[[], float]
    invocation: RedriveInvocation
    log: Log
    records: list[Record] = field(default_factory=list)
    facts: QueueFactsRead = field(default_factory=dict)
    moves: MoveUse = MoveUse()

    def count(self, fleet: str, metric: str, value: float) -> None:
        """Add to what is counted."""
        self.records.append(Record(fleet, metric, Unit.COUNT, value))

    def queue(self, url: str) -> QueueFacts:
        """What a queue is, asked once in FACTS_KEPT_S."""
        read_at, facts = self.facts.get(url, (-FACTS_KEPT_S, None))
        if facts is None or self.now() - read_at >= FACTS_KEPT_S:
            read_at, facts = self.now(), self.ports.queue.facts(url)
            self.facts[url] = (read_at, facts)
        return facts

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
        invocation = self.invocation
        return Runner(self.ports, fleet, to, invocation.name, invocation.until, self.now, routes, self.moves)

    def report(self, fleet: Fleet, results: Iterable[DeadLetterResult]) -> None:
        """Log what became of dead letters, and count it."""
        quarantined = False
        for result in results:
            self._log_result(fleet, result)
            quarantined |= result.outcome is LetterOutcome.QUARANTINED
            if result.outcome in _METRICS:
                self.count(fleet.name, _METRICS[result.outcome], 1)
        if quarantined:
            self.count_quarantine(fleet.name)

    def count_quarantine(self, fleet: str) -> None:
        """Say how many messages are in quarantine, where that has changed."""
        with suppress(PortError):  # the next change says it
            self.count(fleet, "QuarantineSize", self.ports.ledger.quarantine.quarantine_size(fleet))

    @property
    def chains(self) -> ChainRunner:
        """Runs the chains of redrive jobs."""
        return ChainRunner(self.ports.ledger.chains, self.ports.work, self.now)

    def jobs_step(self, chain: Chain, stop_at: float) -> Next | None:
        """A step of a fleet's chain: work on its running jobs until a time or until none is due.

        Raises:
            PortError: the ledger does not say which jobs are running, or the documents cannot be read.
        """
        name = fleet_of(chain.id)
        if not self.ports.ledger.jobs.running_jobs(name):
            return None
        try:
            fleet = self.fleet(name)
        except PayloadError as error:
            self.log.warning("redrive jobs wait for their fleet's document", fleet=name, problems=error.problems)
            return Next(self.now() + NO_FLEET_S, chain.data)
        jobs = self.ports.ledger.jobs
        part = Slice(
            jobs, name, lambda job: self.runner(fleet, job), self.now, self._log_job_failure, retries_in(chain.data)
        )
        following = part.work(stop_at)
        for before, job in part.worked.values():
            self.count(job.fleet, "Redriven", job.progress.sent_count - before.progress.sent_count)
            self.count(job.fleet, "RedriveFailed", job.progress.failed_count - before.progress.failed_count)
            # What was selected by may be of a message: it is on the job's record, and not in the log.
            words = {key: value for key, value in self.to_answer(job).items() if key not in {"cause", "attribute"}}
            changed = (job.state, job.progress.phase) != (before.state, before.progress.phase)
            (self.log.info if changed else self.log.debug)("a redrive went on", **words)
        if any(not job.selection.from_dead_letters for _, job in part.worked.values()):
            self.count_quarantine(name)
        return following

    def begin_jobs(self, fleet: Fleet, until: float | None = None) -> None:
        """Let a fleet's running jobs go on now. What fails here is made good by the schedule, within a minute.

        Args:
            fleet: the fleet, one job of which was opened or resumed.
            until: how long an operator waits, in epoch seconds: the first step of a new chain is done here until then.
                None: all of it is the chain's own function's.
        """
        chain, chains = chain_id(fleet.name), self.chains
        try:
            made = None if until is None else self.ports.ledger.chains.start(chain, self.now(), "{}")
            if until is None or made is None:
                chains.wake(chain)
            else:
                chains.run(made.step, self.invocation.until, lambda chain: self.jobs_step(chain, until))
        except PortError as error:
            self.failed("redrive jobs go on within a minute: their chain could not be asked", error, fleet=fleet.name)

    def to_answer(self, job: RedriveJob) -> dict[str, Any]:
        """A job as flat JSON, as of now."""
        return job_to_answer(job, self.now())

    def _log_result(self, fleet: Fleet, result: DeadLetterResult) -> None:
        verdict = result.verdict
        log = self.log.warning if result.outcome is LetterOutcome.KEPT else self.log.info
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
        self.failed("a redrive could not go on now; it is tried again soon", error, fleet=job.fleet, job=job.id)
