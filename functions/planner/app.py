"""Alarm, schedule or person -> ticks of fleets -> the groups' capacity.

`sluice.planning.payloads` reads what came in, `sluice.planning.tick` does one tick of one fleet. Here ticks get their
fleets, their lease and their time: a hot fleet is ticked on until the minute is over. Nothing that one fleet meets
stops the others, and nothing raises: the next minute's tick is the retry.
"""

# ruff: noqa: E402 - nothing that is imported is garbage: not looking for any makes a cold start a sixth shorter
import gc

gc.disable()

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from sluice.aws import stack_ports as _ports
from sluice.config.fleet import Fleet
from sluice.model.planning import Decision, OutcomeStatus
from sluice.planning import payloads
from sluice.planning.shadow.scorecard import late, score
from sluice.planning.tick import LEASE_S, Ticked, hands_for, tick
from sluice.ports.errors import NeedsFixError, PortError, TryLaterError
from sluice.ports.ledger import Ports
from sluice.telemetry import emit, keep_from

# The schedule's next minute begins this long after: the last tick of a hot fleet is then over.
SHIFT_S = 55.0
# What the last tick may take of the function's own timeout.
MARGIN_S = 10.0

gc.freeze()  # what is there now stays: later collections need not go through it
gc.enable()

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer(patch_modules=("botocore",))  # patching all that it knows costs a cold start a tenth of a second
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Sluice"))

type Answer = dict[str, Any]
type Record = tuple[str | None, str, MetricUnit, float]  # fleet, metric, unit, value


@dataclass(frozen=True, slots=True)
class Shift:
    """How long an invocation may go on ticking, and how."""

    owner: str  # of leases: unique to the invocation
    until: float  # epoch seconds: no tick is begun after
    tick_s: float
    sleep: Callable[[float], None]
    stack: str


@dataclass(slots=True)
class Planner:
    """One invocation's ticks."""

    ports: Ports
    now: Callable[[], float]
    shift: Shift
    tally: list[Record] = field(default_factory=list)

    def answer(self, payload: object) -> Answer:
        """Read what woke the planner, tick the fleets it is about; what came of each."""
        try:
            wake = payloads.read(payload)
            fleets = self._fleets(wake)
        except payloads.WakeError as error:
            logger.warning("a payload that is none of ours: dropped", problems=error.problems)
            return {"dropped": list(error.problems)}
        except PortError as error:
            self._fail(None, "fleets could not be loaded", error)
            return {"problem": str(error)}

        if isinstance(wake, payloads.PersonWake) and wake.dry_run:
            return {"ticks": [self._tick(fleet, dry_run=True)[0] for fleet in fleets]}
        return {"ticks": self._shift(fleets, patient=isinstance(wake, payloads.MinuteWake))}

    def _fleets(self, wake: payloads.Wake) -> Sequence[Fleet]:
        """The fleets that are to be ticked. Documents that are invalid are told of, all at once, and left out."""
        loaded = self.ports.fleets.load()
        for error in loaded.invalid:
            logger.error(
                "a fleet's document is invalid: its capacity is left as it is",
                fleet=error.name,
                problems=error.problems,
            )
        self.tally.append((None, "InvalidFleets", MetricUnit.Count, len(loaded.invalid)))
        match wake:
            case payloads.MinuteWake() | payloads.PersonWake(fleet=None):
                return loaded.fleets
            case payloads.AlarmWake():
                about = payloads.about(wake, loaded.fleets, self.shift.stack)
                if not about:
                    raise payloads.WakeError(f"alarm {wake.alarm}: is about no fleet's queue")
                logger.info("an alarm changed", alarm=wake.alarm, state=wake.state, fleets=[f.name for f in about])
                return about
            case payloads.PersonWake(fleet=name):
                about = tuple(fleet for fleet in loaded.fleets if fleet.name == name)
                if not about:
                    known = ", ".join(sorted(fleet.name for fleet in loaded.fleets)) or "none"
                    raise payloads.WakeError(f"fleet: there is no valid fleet {name!r} (there are: {known})")
                return about

    def _shift(self, fleets: Sequence[Fleet], *, patient: bool) -> list[Answer]:
        """Tick each fleet, and on those that are hot, until the shift is over.

        Args:
            fleets: the fleets.
            patient: whether to take a fleet over when the planner that has it now lets go of it.
        """
        told: dict[str, Answer] = {}
        ticking: Sequence[Fleet] = fleets
        while ticking:
            round_at = self.now()
            still = []
            for fleet in ticking:
                told[fleet.name], again = self._leased_tick(fleet)
                if again or (patient and told[fleet.name]["outcome"] == OutcomeStatus.BUSY):
                    still.append(fleet)
            pause_s = max(0.0, round_at + self.shift.tick_s - self.now())
            if self.now() + pause_s > self.shift.until:
                break
            if still:
                self.shift.sleep(pause_s)
            ticking = still
        for fleet in ticking:
            self._release(fleet)
        return list(told.values())

    def _leased_tick(self, fleet: Fleet) -> tuple[Answer, bool]:
        """One tick under the fleet's lease, which is kept for the next tick if there is to be one."""
        now = self.now()
        try:
            if not self.ports.ledger.acquire(fleet.name, self.shift.owner, now + LEASE_S, now):
                logger.info("another planner has the fleet", fleet=fleet.name)
                self._count(fleet, "TicksBusy")
                return {"fleet": fleet.name, "outcome": OutcomeStatus.BUSY}, False
        except PortError as error:
            return self._fail(fleet, "the fleet's lease could not be taken", error), isinstance(error, TryLaterError)
        answer, again = self._tick(fleet)
        if not again:
            self._release(fleet)
        return answer, again

    def _tick(self, fleet: Fleet, *, dry_run: bool = False) -> tuple[Answer, bool]:
        """One tick, told in log and metrics; what came of it, and whether to tick again within the minute."""
        now = self.now()
        with logger.append_context_keys(fleet=fleet.name, tick=f"{fleet.name}-{round(now * 1000)}"):
            try:
                ticked = tick(self.ports, fleet, hands_for(self.ports, fleet, dry_run=dry_run), now)
            except PortError as error:
                return self._fail(fleet, "a tick failed", error), isinstance(error, TryLaterError)
            except Exception as error:  # one fleet's trouble, foreseen or not, is not the others'
                logger.exception("a tick met what it never should have")
                self._count(fleet, "TicksFailed")
                return {"fleet": fleet.name, "outcome": OutcomeStatus.FAILED, "problem": repr(error)}, False
            self._tell(fleet, ticked, dry_run=dry_run)
        return _told(ticked), ticked.again

    def _release(self, fleet: Fleet) -> None:
        """Give the lease back; if that fails it runs out by itself."""
        try:
            self.ports.ledger.release(fleet.name, self.shift.owner)
        except PortError as error:
            logger.warning("a lease could not be given back", fleet=fleet.name, problem=str(error))

    # ----------------------------------------------------------------- what is told

    def _tell(self, fleet: Fleet, ticked: Ticked, *, dry_run: bool) -> None:
        """One log line a tick, one a fault, and the metrics."""
        decision, outcome = ticked.decision, ticked.outcome
        for fault in ticked.faults:
            _log(fault)("something could not be read or done", problem=str(fault))
        logger.info(
            decision.sentence,
            action=decision.action,
            current=decision.current,
            need=decision.raw_need,
            want=decision.want,
            outcome=outcome.status,
            mode=decision.mode,
            dry_run=dry_run,
            reasons=[{"code": each.code, "before": each.before, "after": each.after} for each in decision.reasons],
            **_shadow(ticked),
        )
        if dry_run:
            return
        failed = outcome.status is OutcomeStatus.FAILED
        self._count(fleet, "TicksFailed" if failed else "TicksSucceeded")
        self.tally += [(fleet.name, name, unit, value) for name, unit, value in _measures(ticked)]

    def _fail(self, fleet: Fleet | None, what: str, error: PortError) -> Answer:
        """A failure that the next tick makes good, or that a person must."""
        name = fleet.name if fleet else None
        _log(error)(what, extra={"fleet": name, "problem": str(error)} if name else {"problem": str(error)})
        if fleet:
            self._count(fleet, "TicksFailed")
        return {"fleet": name, "outcome": OutcomeStatus.FAILED, "problem": str(error)}

    def _count(self, fleet: Fleet, name: str) -> None:
        self.tally.append((fleet.name, name, MetricUnit.Count, 1))


def _log(error: PortError) -> Callable[..., None]:
    """What a person must put right is an error; what goes well by itself later, a warning."""
    return logger.error if isinstance(error, NeedsFixError) else logger.warning


def _measures(ticked: Ticked) -> Iterable[tuple[str, MetricUnit, float]]:
    """The metrics of a tick: what was seen, decided and learned; each limit that changed the wish, by its name."""
    decision, group = ticked.decision, ticked.snapshot.group
    figures = {figure.name: figure for figure in decision.figures}
    if group is not None:
        applied = ticked.outcome.status is OutcomeStatus.APPLIED
        yield "Desired", MetricUnit.Count, decision.want if applied else decision.current
        yield "Need", MetricUnit.Count, decision.raw_need
        yield "Wanted", MetricUnit.Count, decision.want
    for name, figure, unit in (
        ("Backlog", "visible", MetricUnit.Count),
        ("InFlight", "in_flight", MetricUnit.Count),
        ("OldestAge", "oldest_age_s", MetricUnit.Seconds),
        ("ServiceRate", "service_rate_per_s", MetricUnit.CountPerSecond),
        ("LeadTime", "lead_time_s", MetricUnit.Seconds),
    ):
        value = figures[figure].value if figure in figures else None
        if value is not None:
            yield name, unit, value
    if "visible" in figures and figures["visible"].age_s is not None:
        yield "DecisionAge", MetricUnit.Seconds, figures["visible"].age_s
    for code in _bound(decision):
        yield f"Limit.{code}", MetricUnit.Count, 1
    span = ticked.followed.settled if ticked.followed is not None else None
    if span is not None and span.seconds > 0:
        yield "ScoredMessages", MetricUnit.Count, span.came
        for side, tally in (("Shadow", span.shadow), ("Acting", span.acting)):
            yield f"{side}Units", MetricUnit.Count, tally.unit_s / span.seconds
            yield f"{side}Late", MetricUnit.Count, late(tally)
            yield f"{side}Wait", MetricUnit.Seconds, tally.longest_s


def _bound(decision: Decision) -> Iterable[str]:
    """The limits that changed the wish."""
    return (reason.code.value for reason in decision.reasons[1:] if reason.before != reason.after)


def _told(ticked: Ticked) -> Answer:
    decision, outcome = ticked.decision, ticked.outcome
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
        **_shadow(ticked),
    }


def _shadow(ticked: Ticked) -> Answer:
    """Of a fleet in shadow mode: what the fleet as it would be wants, and how both compare so far."""
    followed = ticked.followed
    if followed is None:
        return {}
    told: Answer = {}
    if followed.decision is not None:
        told |= {"current": followed.decision.current, "want": followed.decision.want}
    if followed.began and followed.shadow.restarted is not None:
        told["restarted"] = f"without ticks for {followed.shadow.restarted[1]:.0f} s: begins anew, as the real fleet is"
    if (scored := score(followed.shadow)) is not None:
        told["sentence"] = scored.sentence
    return {"shadow": told}


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Lambda's entry: read what woke it, tick, tell."""
    started_at = time.time()
    left_s = context.get_remaining_time_in_millis() / 1000
    minute_s = float(os.environ.get("SLUICE_MINUTE_S", "60"))  # an emulator's may be shorter
    shift = Shift(
        owner=context.aws_request_id,
        until=started_at + min(SHIFT_S * minute_s / 60, left_s - MARGIN_S),
        tick_s=float(os.environ.get("TICK_SECONDS", "10")),
        sleep=time.sleep,
        stack=os.environ.get("SLUICE_STACK", "sluice"),
    )
    planner = Planner(_ports(), time.time, shift)

    try:
        return planner.answer(event)
    finally:
        emit(metrics, planner.tally)
