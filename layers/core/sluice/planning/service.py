"""The planner's service: one invocation's request -> ticks of fleets, each under its lease, until its time is over.

    request --> the fleets it is about --> a tick of each --> again of those that need it, until `Invocation.until`

A fleet that needs another tick within the minute is ticked until the schedule's next tick. No fault of one fleet stops
the others, and nothing is raised: the schedule's next tick is the retry.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.config.fleet import Fleet
from sluice.model.payload_error import PayloadError
from sluice.model.planning import Decision, OutcomeStatus
from sluice.model.timing import Timing
from sluice.planning import payloads
from sluice.planning.shadow.scorecard import late, score
from sluice.planning.stack_events import DocumentChange, LaunchEvent, note_event
from sluice.planning.tick import LEASE_S, TickResult, actuators_for, tick
from sluice.ports.errors import NeedsFixError, PortError, TryLaterError, answer_of
from sluice.ports.ledger import PlannerLedger
from sluice.ports.stack import Ports
from sluice.telemetry import Log, Record, Unit

type Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Invocation:
    """What an invocation is given: who it is, and for how long it may go on ticking."""

    owner: str  # of leases: unique to the invocation
    until: float  # epoch seconds: no tick is begun after
    sleep: Callable[[float], None]
    stack: str


@dataclass(slots=True)
class PlannerService:
    """One invocation's ticks. `records` are its metrics."""

    ports: Ports[PlannerLedger]
    now: Callable[[], float]
    timing: Timing
    invocation: Invocation
    log: Log
    records: list[Record] = field(default_factory=list)

    def respond(self, payload: object) -> Answer:
        """Tick the fleets that a payload is about; what came of each.

        A payload that is not understood is logged and dropped: Lambda would only bring it again.

        Raises:
            PortError: what an event reported could not be kept. Lambda brings it again.
        """
        try:
            request = payloads.parse(payload)
        except PayloadError as error:
            return self._dropped(error)
        if isinstance(request, LaunchEvent | DocumentChange):
            return note_event(request, self.ports, self.now())
        if isinstance(request, payloads.ScheduledTick):
            refreshed = answer_of(self.ports.fleets.refresh)
            if isinstance(refreshed, PortError):
                self._fail(None, "the copy of the fleets' documents could not be refreshed", refreshed)
        try:
            fleets = self._fleets_of(request)
        except PayloadError as error:
            return self._dropped(error)
        except PortError as error:
            self._fail(None, "fleets could not be loaded", error)
            return {"problem": str(error)}

        if isinstance(request, payloads.OperatorRequest) and request.dry_run:
            return {"ticks": [self._tick(fleet, dry_run=True)[0] for fleet in fleets]}
        return {"ticks": self._tick_all(fleets, waits=isinstance(request, payloads.ScheduledTick))}

    def _dropped(self, error: PayloadError) -> Answer:
        self.log.warning("payload is not understood and was dropped", problems=error.problems)
        return {"dropped": list(error.problems)}

    def _fleets_of(
        self, request: payloads.ScheduledTick | payloads.AlarmChange | payloads.OperatorRequest
    ) -> Sequence[Fleet]:
        """The fleets that are to be ticked. Documents that are invalid are logged and left out.

        Raises:
            PayloadError: the request is about no valid fleet.
            PortError: the documents could not be read.
        """
        loaded = self.ports.fleets.load()
        for error in loaded.invalid:
            self.log.error("the fleet's document is invalid: skipped", fleet=error.name, problems=error.problems)
        self.records.append(Record(None, "InvalidFleets", Unit.COUNT, len(loaded.invalid)))
        match request:
            case payloads.ScheduledTick() | payloads.OperatorRequest(fleet=None):
                return loaded.fleets
            case payloads.AlarmChange():
                found = payloads.fleets_of(request, loaded.fleets, self.invocation.stack)
                if not found:
                    raise PayloadError(f"alarm {request.alarm}: is about no fleet's queue")
                names = [fleet.name for fleet in found]
                self.log.info("alarm changed its state", alarm=request.alarm, state=request.state, fleets=names)
                return found
            case payloads.OperatorRequest(fleet=name):
                found = tuple(fleet for fleet in loaded.fleets if fleet.name == name)
                if not found:
                    known = ", ".join(sorted(fleet.name for fleet in loaded.fleets)) or "none"
                    raise PayloadError(f"fleet: there is no valid fleet {name!r} (there are: {known})")
                return found

    def _tick_all(self, fleets: Sequence[Fleet], *, waits: bool) -> list[Answer]:
        """Tick each fleet, and again those that need it, until the invocation's time is over.

        Args:
            fleets: the fleets.
            waits: whether to take a fleet over once the planner that has its lease now gives it back.
        """
        answers: dict[str, Answer] = {}
        ticking: Sequence[Fleet] = fleets
        while ticking:
            round_at = self.now()
            still = []
            for fleet in ticking:
                answers[fleet.name], again = self._tick_under_lease(fleet)
                if again or (waits and answers[fleet.name]["outcome"] == OutcomeStatus.BUSY):
                    still.append(fleet)
            pause_s = max(0.0, round_at + self.timing.tick_s - self.now())
            if self.now() + pause_s > self.invocation.until:
                break
            if still:
                self.invocation.sleep(pause_s)
            ticking = still
        for fleet in ticking:
            self._release(fleet)
        return list(answers.values())

    def _tick_under_lease(self, fleet: Fleet) -> tuple[Answer, bool]:
        """One tick under the fleet's lease, which is kept for the next tick if there is to be one."""
        now = self.now()
        try:
            if not self.ports.ledger.leases.acquire(fleet.name, self.invocation.owner, now + LEASE_S, now):
                self.log.info("another planner has the fleet's lease", fleet=fleet.name)
                self._count(fleet, "TicksBusy")
                return {"fleet": fleet.name, "outcome": OutcomeStatus.BUSY}, False
        except PortError as error:
            return self._fail(fleet, "the fleet's lease could not be taken", error), isinstance(error, TryLaterError)
        answer, again = self._tick(fleet)
        if not again:
            self._release(fleet)
        return answer, again

    def _tick(self, fleet: Fleet, *, dry_run: bool = False) -> tuple[Answer, bool]:
        """One tick, with its log lines and metrics; what came of it, and whether to tick again within the minute."""
        now = self.now()
        with self.log.append_context_keys(fleet=fleet.name, tick=f"{fleet.name}-{round(now * 1000)}"):
            try:
                actuators = actuators_for(self.ports, fleet, dry_run=dry_run)
                result = tick(self.ports, fleet, actuators, self.timing, now)
            except PortError as error:
                return self._fail(fleet, "tick failed", error), isinstance(error, TryLaterError)
            except Exception as error:  # an unexpected error of one fleet must not stop the others
                self.log.exception("unexpected error in tick")
                self._count(fleet, "TicksFailed")
                return {"fleet": fleet.name, "outcome": OutcomeStatus.FAILED, "problem": repr(error)}, False
            self._report(fleet, result, dry_run=dry_run)
        return to_answer(result), result.again

    def _release(self, fleet: Fleet) -> None:
        """Give the lease back; if that fails it runs out by itself."""
        try:
            self.ports.ledger.leases.release(fleet.name, self.invocation.owner)
        except PortError as error:
            self.log.warning("the fleet's lease could not be given back", fleet=fleet.name, problem=str(error))

    # ----------------------------------------------------------------- log and metrics

    def _report(self, fleet: Fleet, result: TickResult, *, dry_run: bool) -> None:
        """One log line a tick, one for each fault, and the metrics."""
        decision, outcome = result.decision, result.outcome
        for fault in result.faults:
            self._log_at(fault)("something could not be read or done", problem=str(fault))
        if result.unread:
            self.log.warning("a part of what was learned could not be read", problems=result.unread)
        self.log.info(
            decision.sentence,
            action=decision.action,
            current=decision.current,
            need=decision.raw_need,
            want=decision.want,
            outcome=outcome.status,
            mode=decision.mode,
            dry_run=dry_run,
            reasons=[{"code": each.code, "before": each.before, "after": each.after} for each in decision.reasons],
            **_shadow_keys(result),
        )
        if dry_run:
            return
        failed = outcome.status is OutcomeStatus.FAILED
        self._count(fleet, "TicksFailed" if failed else "TicksSucceeded")
        if result.unread:
            self.records.append(Record(fleet.name, "MemoryFieldsUnread", Unit.COUNT, len(result.unread)))
        self.records += [Record(fleet.name, name, unit, value) for name, unit, value in _metrics_of(result)]

    def _fail(self, fleet: Fleet | None, what: str, error: PortError) -> Answer:
        """A failure that the next tick makes good, or that an operator must."""
        name = fleet.name if fleet else None
        keys = {"fleet": name, "problem": str(error)} if name else {"problem": str(error)}
        self._log_at(error)(what, extra=keys)
        if fleet:
            self._count(fleet, "TicksFailed")
        return {"fleet": name, "outcome": OutcomeStatus.FAILED, "problem": str(error)}

    def _log_at(self, error: PortError) -> Callable[..., None]:
        """What an operator must put right is an error; what passes by itself, a warning."""
        return self.log.error if isinstance(error, NeedsFixError) else self.log.warning

    def _count(self, fleet: Fleet, name: str) -> None:
        self.records.append(Record(fleet.name, name, Unit.COUNT, 1))


def _metrics_of(result: TickResult) -> Iterable[tuple[str, Unit, float]]:
    """The metrics of a tick: what was seen, decided and learned; each limit that changed the wish, by its code."""
    decision, group = result.decision, result.snapshot.group
    figures = {figure.name: figure for figure in decision.figures}
    if group is not None:
        applied = result.outcome.status is OutcomeStatus.APPLIED
        yield "Desired", Unit.COUNT, decision.want if applied else decision.current
        yield "Need", Unit.COUNT, decision.raw_need
        yield "Wanted", Unit.COUNT, decision.want
    for name, figure, unit in (
        ("Backlog", "visible", Unit.COUNT),
        ("InFlight", "in_flight", Unit.COUNT),
        ("OldestAge", "oldest_age_s", Unit.SECONDS),
        ("ServiceRate", "service_rate_per_s", Unit.COUNT_PER_SECOND),
        ("LeadTime", "lead_time_s", Unit.SECONDS),
    ):
        value = figures[figure].value if figure in figures else None
        if value is not None:
            yield name, unit, value
    if "visible" in figures and figures["visible"].age_s is not None:
        yield "DecisionAge", Unit.SECONDS, figures["visible"].age_s
    for code in _limits_of(decision):
        yield f"Limit.{code}", Unit.COUNT, 1
    span = result.shadow.settled if result.shadow is not None else None
    if span is not None and span.seconds > 0:
        yield "ScoredMessages", Unit.COUNT, span.came
        for side, tally in (("Shadow", span.shadow), ("Acting", span.acting)):
            yield f"{side}Units", Unit.COUNT, tally.unit_s / span.seconds
            yield f"{side}Late", Unit.COUNT, late(tally)
            yield f"{side}Wait", Unit.SECONDS, tally.longest_s


def _limits_of(decision: Decision) -> Iterable[str]:
    """The codes of the limits that changed the wish."""
    return (reason.code.value for reason in decision.reasons[1:] if reason.before != reason.after)


def to_answer(result: TickResult) -> Answer:
    """What a tick came to, for the caller of the function."""
    decision, outcome = result.decision, result.outcome
    return {
        "fleet": decision.fleet,
        "outcome": outcome.status,
        "answer": outcome.answer,
        "action": decision.action,
        "current": decision.current,
        "need": decision.raw_need,
        "want": decision.want,
        "sentence": decision.sentence,
        "reasons": [
            {"code": each.code, "before": each.before, "after": each.after, "sentence": each.sentence}
            for each in decision.reasons
        ],
        **_shadow_keys(result),
    }


def _shadow_keys(result: TickResult) -> Answer:
    """Of a fleet in shadow mode: what the simulated fleet wants, and how both compare so far."""
    shadow = result.shadow
    if shadow is None:
        return {}
    keys: Answer = {}
    if shadow.decision is not None:
        keys |= {"current": shadow.decision.current, "want": shadow.decision.want}
    if shadow.began and shadow.shadow.restarted is not None:
        gap_s = shadow.shadow.restarted[1]
        keys["restarted"] = f"no tick for {gap_s:.0f} s: the simulated fleet begins again, equal to the real one"
    if (scored := score(shadow.shadow)) is not None:
        keys["sentence"] = scored.sentence
    return {"shadow": keys}
