"""The planner's service: rounds over shards of fleets, and what brings them on.

    a step of a shard's chain  --> one round over its fleets; the next step is due a tick later
    a step of another kind     --> handed over to its function
    the schedule's minute      --> lost chains of every kind go on; new fleets are assigned; operators get a notice
    an alarm, an operator      --> the next round of the fleet's shard begins at once
    a dry run                  --> one tick that changes and keeps nothing

The claim of the shard's chain is the lock: who has it alone acts on the shard's fleets. Nobody sleeps, and no fault of
one fleet stops the others.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sluice import notices
from sluice.chains import ChainRunner, next_on_grid
from sluice.config.fleet import Fleet
from sluice.model.chain import KINDS, Chain, Next
from sluice.model.decisions import OutcomeStatus
from sluice.model.frozen import replace
from sluice.model.need import ReportedNeed
from sluice.model.payload_error import PayloadError
from sluice.model.planning import Memory
from sluice.model.queue_metrics import QueueMetrics
from sluice.model.timing import Timing
from sluice.notices import Change
from sluice.planning import payloads, shards
from sluice.planning.metric_reader import KnownMetrics
from sluice.planning.observing import Observer
from sluice.planning.reports import Answer, Reporter
from sluice.planning.round import Round
from sluice.planning.shards import Assignment, Shard
from sluice.planning.stack_events import DocumentChange, LaunchEvent, note_event
from sluice.planning.tick import Actuators, ForgetfulLedger, ImpatientGroup, KeepingLedger, ShadowGroup
from sluice.ports.aws_services import LoadedFleets
from sluice.ports.errors import PortError, answer_of
from sluice.ports.ledger import PlannerLedger
from sluice.ports.ledger.queue_metrics import QueueMetricsLog
from sluice.ports.stack import Ports
from sluice.telemetry import LIMITS, Detail, Log, Record, Unit

AGAIN_S = 2.0  # a count that jumped is read again after so long: a burst has shown more of itself by then
# What a round's last tick and its writes may take of the function's own time.
MARGIN_S = 10.0
SHARDS_KNOWN = 8  # that a process remembers the memories of; a shard's take about 5 MB


@dataclass(frozen=True, slots=True)
class Invocation:
    """What an invocation is given: who it is, and how long it has."""

    owner: str  # of leases: unique to the invocation
    until: float  # epoch seconds: Lambda ends it then
    stack: str
    detail: Detail = Detail.STACK  # with fleet, fleets have alarms of their own, which no notice repeats


class Warmth:
    """What a process keeps for its next invocations: the memories and metrics that it has written.

    They are the ledger's for as long as nobody else had the shard: the chain then has the version and the writer
    that this process left it with.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, str, Mapping[str, Memory], QueueMetrics | None]] = {}

    def of(self, chain: Chain, shard: Shard) -> tuple[Mapping[str, Memory], QueueMetrics | None]:
        """What is known of a shard's fleets; nothing if another process may have had them."""
        version, by, memories, metrics = self._known.pop(chain.id, (0, "", {}, None))
        return (memories, metrics) if (version, by) == (chain.version, shard.by) else ({}, None)

    def keep(self, chain: Chain, by: str, memories: Mapping[str, Memory], metrics: QueueMetrics | None) -> None:
        """Keep these after a step that claimed `chain`: its rest and the next claim are a version each."""
        self._known[chain.id] = (chain.version + 2, by, memories, metrics)
        while len(self._known) > SHARDS_KNOWN:
            del self._known[next(iter(self._known))]


@dataclass(slots=True)
class PlannerService:
    """One invocation of the planner. `records` are its metrics."""

    ports: Ports[PlannerLedger]
    now: Callable[[], float]
    timing: Timing
    invocation: Invocation
    log: Log
    warm: Warmth = field(default_factory=Warmth)
    reporter: Reporter = field(init=False)
    runner: ChainRunner = field(init=False)

    def __post_init__(self) -> None:
        """Make what works for this invocation."""
        self.reporter = Reporter(self.log)
        self.runner = ChainRunner(self.ports.ledger.chains, self.ports.work, self.now)

    @property
    def records(self) -> list[Record]:
        """The metrics."""
        return self.reporter.records

    # ----------------------------------------------------------------- steps of shards

    def take(self, records: Sequence[Mapping[str, Any]]) -> Answer:
        """Do the steps of shards in an SQS batch, and hand over the others; Lambda's partial batch response."""
        return self.runner.take(records, shards.KIND, self.invocation.until, self.step, self.log)

    def step(self, chain: Chain) -> Next | None:
        """One round over a shard's fleets, or another reading of those whose counts jumped; None: it has no fleets."""
        try:
            return self._do(chain)
        except Exception:
            self.reporter.count(None, "RoundsFailed")
            raise

    def _do(self, chain: Chain) -> Next | None:
        shard, assignment = Shard.of(chain), Assignment.of(chain)
        if not assignment.size:
            return None
        is_round = chain.asked > shard.asked or not shard.again or self.now() >= shard.round_at
        loaded = self.ports.fleets.load()
        known = {fleet.name: fleet for fleet in loaded.fleets}
        names = shard.in_order(assignment.fleets)
        fleets = [known[name] for name in names if name in known and (is_round or name in shard.again)]
        memories, metrics = self.warm.of(chain, shard)
        log = KnownMetrics(self.ports.ledger.queue_metrics, metrics)
        group, ledger = ImpatientGroup(self.ports.group, self.now), KeepingLedger(self.ports.ledger)
        actuators = Actuators(group, ledger, OutcomeStatus.APPLIED)
        result = self._round(actuators, chain.id, log).run(fleets, memories, whole=is_round)
        unseen = {name: memory for name, memory in memories.items() if name not in result.answers}
        self.warm.keep(chain, self.invocation.owner, unseen | result.memories, log.known)
        names = tuple(fleet.name for fleet in fleets)
        due = names if is_round else shard.put_off
        shard = replace(shard, put_off=tuple(name for name in due if name not in result.answers))
        shard = shard.with_lateness(assignment.fleets, result.lateness)
        if is_round:
            shard = self._with_ages(shard, names, result.answers)
        return self._next(chain, shard, result.jumped if is_round else (), is_round=is_round)

    def _with_ages(self, shard: Shard, names: Sequence[str], answers: Mapping[str, Answer]) -> Shard:
        """The shard with the fleets that are failing; each has the age of its last tick that succeeded as a metric."""
        succeeded = {name for name, answer in answers.items() if answer["outcome"] != OutcomeStatus.FAILED}
        shard = shard.with_results(names, succeeded, self.now())
        for name, since in shard.failing:
            self.records.append(Record(name, "TickAge", Unit.SECONDS, self.now() - since))
        return shard

    def _next(self, chain: Chain, shard: Shard, jumped: tuple[str, ...], *, is_round: bool) -> Next:
        """When the shard's next step is due: on a grid of ticks, or before where counts jumped."""
        now, round_at = self.now(), shard.round_at
        if is_round:
            round_at = next_on_grid(round_at, self.timing.tick_s, now)
        again = jumped if now + 2.0 * AGAIN_S <= round_at else ()
        shard = replace(shard, round_at=round_at, again=again, asked=chain.asked, by=self.invocation.owner)
        return Next(now + AGAIN_S if again else round_at, shard.to_text())

    def _round(self, actuators: Actuators, shard: str | None, log: QueueMetricsLog) -> Round:
        until = self.invocation.until - MARGIN_S
        observer = Observer(self.ports, self.timing, shard, log)
        return Round(self.ports, observer, actuators, self.timing, self.now, self.reporter, until)

    # ----------------------------------------------------------------- what brings them on

    def respond(self, payload: object) -> Answer:
        """Do what a payload asks for; what came of it.

        A payload that is not understood is logged and dropped: Lambda would only bring it again.

        Raises:
            PortError: what an event reported could not be kept, or a minute's work was not done. Lambda brings it
                again, and the function's errors have an alarm: no notice says that none can be written.
        """
        try:
            request = payloads.parse(payload)
        except PayloadError as error:
            return self._dropped(error)
        if isinstance(request, LaunchEvent | DocumentChange):
            return note_event(request, self.ports, self.now())
        if isinstance(request, payloads.Minute):
            try:
                return self._minute()
            except PortError as error:
                self.reporter.failed(None, "the minute's work could not be done", error)
                raise
        try:
            return self._answer(request)
        except PayloadError as error:
            return self._dropped(error)
        except PortError as error:
            return {"problem": self.reporter.failed(None, "the request could not be carried out", error)["problem"]}

    def _answer(self, request: payloads.AlarmChange | payloads.OperatorRequest) -> Answer:
        match request:
            case payloads.AlarmChange():
                return self._bring_forward(self._watched_by(request))
            case payloads.OperatorRequest(fleet=name, dry_run=True):
                return self._dry_run(name)
            case payloads.OperatorRequest(fleet=name):
                return self._bring_forward(None if name is None else [name])

    def _dropped(self, error: PayloadError) -> Answer:
        self.log.warning("payload is not understood and was dropped", problems=error.problems)
        return {"dropped": list(error.problems)}

    def _minute(self) -> Answer:
        """Let lost chains go on, assign fleets to shards, and notify operators. One invocation does the latter two.

        Raises:
            PortError: some of it could not be done.
        """
        chains = self._reseed()
        self._note_late(chains)
        refreshed = answer_of(self.ports.fleets.refresh)
        if isinstance(refreshed, PortError):
            self.reporter.failed(None, "the copy of the fleets' documents could not be refreshed", refreshed)
        names = _names_in(self._load())
        rounds = [chain for chain in chains if chain.kind == shards.KIND]
        count = sum(1 for chain in rounds if Assignment.of(chain).fleets)
        if not self._changes(rounds, names) and self._news(names)[0].is_none:
            return {"shards": count, "assigned": True}
        owner, until, now = self.invocation.owner, self.invocation.until, self.now()
        if not self.ports.ledger.leases.acquire(shards.LEASE, owner, until, now):
            return {"shards": count, "assigned": False}
        try:
            count = self._assign_all()
            self._notify(names)
            return {"shards": count, "assigned": True}
        finally:
            answer_of(lambda: self.ports.ledger.leases.release(shards.LEASE, owner))  # else it ends by itself

    def _assign_all(self) -> int:
        """Assign every fleet to a shard; how many shards there are then."""
        # Read under the lease: nobody else changes which fleets a shard has.
        rounds = self.ports.ledger.chains.chains(shards.KIND)
        changes = self._changes(rounds, _names_in(self.ports.fleets.load()))
        for chain_id, assignment in changes.items():
            first_at = shards.first_round_at(chain_id, self.timing.tick_s, self.now())
            self.runner.assign(chain_id, assignment.to_text(), first_at, Shard(first_at).to_text())
            self.log.info("a shard's fleets were assigned", shard=chain_id, fleets=assignment.fleets)
        assigned = {chain.id: Assignment.of(chain) for chain in rounds} | changes
        return sum(1 for assignment in assigned.values() if assignment.fleets)

    def _changes(self, rounds: Iterable[Chain], names: Collection[str]) -> dict[str, Assignment]:
        """What is to be assigned to shards that have other fleets, or that do not exist, by the chain's id."""
        before = {chain.id: Assignment.of(chain) for chain in rounds}
        assigned = shards.assign(before, names, self.now())
        return {chain_id: each for chain_id, each in assigned.items() if each != before.get(chain_id)}

    def _news(self, names: Collection[str]) -> tuple[Change, Sequence[ReportedNeed]]:
        """Which fleets need an operator since the last notice, and which no longer do; and all that do now."""
        needs, now = self.ports.ledger.needs, self.now()
        seen = (*needs.noted(), *notices.needs_in(self.records, now))
        present = notices.present(seen, names, self.invocation.detail, now)
        return notices.changes(present.values(), needs.reported(), names)

    def _notify(self, names: Collection[str]) -> None:
        """Publish what is news to operators, if it still is under the lease."""
        change, reported = self._news(names)
        if change.is_none:
            return
        notice = notices.write(change, self.invocation.stack)
        self.log.info("a notice to operators", subject=notice.subject, text=notice.text)
        self.ports.topic.publish(notice.subject, notice.text)
        self.ports.ledger.needs.keep_reported(reported)

    def _note_late(self, chains: Iterable[Chain]) -> None:
        """Count the fleets whose rounds, drains or redrive jobs stand still: none of these can say so itself."""
        for chain in chains:
            late_s = self.now() - chain.due_at
            metric = "TickAge" if chain.kind == shards.KIND else "StepAge"
            if late_s > LIMITS[metric]:
                names = Assignment.of(chain).fleets if chain.kind == shards.KIND else (chain.id.partition("/")[2],)
                self.records.extend(Record(name, metric, Unit.SECONDS, late_s) for name in names)

    def _reseed(self) -> Sequence[Chain]:
        """Send the next step of every chain again, in case it was lost; the chains. What fails comes a minute later."""
        chains: list[Chain] = []
        for kind in KINDS:
            found = answer_of(partial(self.ports.ledger.chains.chains, kind))
            if isinstance(found, PortError):
                self.log.warning("the chains could not be read", kind=kind, problem=str(found))
            else:
                chains += found
        try:
            self.runner.reseed(chains)
        except ExceptionGroup as errors:
            for error in errors.exceptions:
                self.log.warning("a chain's step could not be sent again", problem=str(error))
        return chains

    def _load(self) -> LoadedFleets:
        """Every fleet's document; those that are invalid are logged and counted."""
        loaded = self.ports.fleets.load()
        for error in loaded.invalid:
            self.log.error("the fleet's document is invalid: skipped", fleet=error.name, problems=error.problems)
            self.records.append(Record(error.name, "InvalidFleets", Unit.COUNT, 1))
        return loaded

    def _watched_by(self, change: payloads.AlarmChange) -> Sequence[str]:
        """The fleets that an alarm is about: by its name, which needs no document, else by what it watches.

        Raises:
            PayloadError: it is about no fleet.
        """
        named = payloads.fleet_named(change.alarm, self._shards_by_fleet(), self.invocation.stack)
        found = (named,) if named else payloads.fleets_watched(change, self.ports.fleets.load().fleets)
        if not found:
            raise PayloadError(f"alarm {change.alarm}: is about no fleet's queue")
        self.log.info("alarm changed its state", alarm=change.alarm, state=change.state, fleets=found)
        return found

    def _bring_forward(self, names: Sequence[str] | None) -> Answer:
        """Have the next round of some fleets' shards, or of all, begin now; the fleets that are in a shard.

        Raises:
            PayloadError: a fleet is in no shard.
        """
        by_fleet = self._shards_by_fleet()
        wanted = list(by_fleet) if names is None else list(names)
        if missing := [name for name in wanted if name not in by_fleet]:
            known = ", ".join(sorted(by_fleet)) or "none"
            raise PayloadError(
                f"fleet: there is no fleet {missing[0]!r} (there are: {known}; a new one is known within a minute)"
            )
        for chain_id in dict.fromkeys(by_fleet[name] for name in wanted):
            self.runner.bring_forward(chain_id)
        return {"brought_forward": wanted}

    def _shards_by_fleet(self) -> dict[str, str]:
        """The id of each fleet's shard."""
        chains = self.ports.ledger.chains.chains(shards.KIND)
        return {name: chain.id for chain in chains for name in sorted(Assignment.of(chain).fleets)}

    def _dry_run(self, name: str | None) -> Answer:
        """A tick of a fleet, or of all, that changes and keeps nothing."""
        loaded = self._load()
        found: Sequence[Fleet] = [fleet for fleet in loaded.fleets if name in {None, fleet.name}]
        if not found:
            known = ", ".join(sorted(fleet.name for fleet in loaded.fleets)) or "none"
            raise PayloadError(f"fleet: there is no valid fleet {name!r} (there are: {known})")
        actuators = Actuators(ShadowGroup(), ForgetfulLedger(), OutcomeStatus.SHADOW)
        result = self._round(actuators, None, self.ports.ledger.queue_metrics).run(found, {})
        return {"ticks": list(result.answers.values())}


def _names_in(loaded: LoadedFleets) -> set[str]:
    """The names of all fleets that exist, with a document that is valid or not."""
    return {fleet.name for fleet in loaded.fleets} | {error.name for error in loaded.invalid}
