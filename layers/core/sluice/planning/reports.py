"""What is reported of a tick: log line, metrics and the answer to who asked."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from sluice.model.decisions import Decision, OutcomeStatus, ReasonCode
from sluice.model.planning import Snapshot
from sluice.planning.shadow.scorecard import late, score
from sluice.planning.tick import TickResult
from sluice.ports.errors import NeedsFixError, PortError
from sluice.telemetry import LIMITS, Log, Record, Unit

type Answer = dict[str, Any]

# What a decision meets that only an operator can mend, by the metric that says so (`telemetry.LIMITS`).
NEED_AN_OPERATOR = {
    ReasonCode.NOTHING_RECEIVED: "NothingReceived",
    ReasonCode.LAUNCH_HANGS: "LaunchesHang",
    ReasonCode.SHORT_LIVED: "LaunchesShortLived",
    ReasonCode.GROUP_PROTECTED: "ProtectedIdle",
    ReasonCode.OTHER_CONTROLLER: "SetByAnother",
    ReasonCode.VISIBILITY_SHORT: "VisibilityShort",
}


@dataclass(slots=True)
class Reporter:
    """Logs an invocation's ticks and faults, and gathers its metrics in `records`."""

    log: Log
    records: list[Record] = field(default_factory=list)

    def ticked(self, result: TickResult, *, dry_run: bool = False) -> None:
        """A tick's log line, if it decided anything new, and its metrics."""
        decision, outcome = result.decision, result.outcome
        with self._of(decision.fleet, decision.id):
            if result.before.from_ledger.unread:
                self.log.warning(
                    "a part of what was learned could not be read", problems=result.before.from_ledger.unread
                )
            if result.is_news or dry_run:
                self.log.info(
                    decision.sentence,
                    action=decision.action,
                    current=decision.current,
                    need=decision.raw_need,
                    want=decision.want,
                    outcome=outcome.status,
                    mode=decision.mode,
                    dry_run=dry_run,
                    reasons=[
                        {"code": each.code, "before": each.before, "after": each.after} for each in decision.reasons
                    ],
                    **shadow_keys(result),
                )
        if dry_run:
            return
        failed = outcome.status is OutcomeStatus.FAILED
        self.count(decision.fleet, "TicksFailed" if failed else "TicksSucceeded")
        if result.before.from_ledger.unread:
            self.records.append(
                Record(decision.fleet, "MemoryFieldsUnread", Unit.COUNT, len(result.before.from_ledger.unread))
            )
        self.records += [Record(decision.fleet, name, unit, value) for name, unit, value in metrics_of(result)]

    def faults(self, results: Iterable[TickResult]) -> None:
        """A line for each thing that could not be read or done; what several fleets met is logged once."""
        fleets: dict[str, list[str]] = {}
        errors: dict[str, PortError] = {}
        for result in results:
            for fault in result.faults:
                fleets.setdefault(str(fault), []).append(result.decision.fleet)
                errors[str(fault)] = fault
        for text, error in errors.items():
            first, *others = fleets[text]
            more = {"others": len(others)} if others else {}
            self._at(error)("something could not be read or done", fleet=first, problem=text, **more)

    def failed(self, fleet: str | None, what: str, error: PortError) -> Answer:
        """A failure that the next tick makes good, or that an operator must; the answer that tells it."""
        keys = {"problem": str(error)} if fleet is None else {"fleet": fleet, "problem": str(error)}
        self._at(error)(what, **keys)
        if fleet is not None:
            self.count(fleet, "TicksFailed")
        return {"fleet": fleet, "outcome": OutcomeStatus.FAILED, "problem": str(error)}

    def unexpected(self, fleet: str, error: Exception) -> Answer:
        """An error that nobody foresaw, while it is handled."""
        self.log.exception("unexpected error in tick", fleet=fleet)  # noqa: LOG004 - where it is called it is handled
        self.count(fleet, "TicksFailed")
        return {"fleet": fleet, "outcome": OutcomeStatus.FAILED, "problem": repr(error)}

    def count(self, fleet: str | None, name: str, count: float = 1) -> None:
        """Count something."""
        self.records.append(Record(fleet, name, Unit.COUNT, count))

    def _of(self, fleet: str, tick: str) -> AbstractContextManager[None]:
        return self.log.append_context_keys(fleet=fleet, tick=tick)

    def _at(self, error: PortError) -> Callable[..., None]:
        """What an operator must put right is an error; what passes by itself, a warning."""
        return self.log.error if isinstance(error, NeedsFixError) else self.log.warning


def metrics_of(result: TickResult) -> Iterable[tuple[str, Unit, float]]:
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
    if (used := _life_used(result.snapshot)) > LIMITS["MessageLifeUsed"]:
        yield "MessageLifeUsed", Unit.NONE, used
    for name in _limits_of(decision):
        yield name, Unit.COUNT, 1
    span = result.shadow.settled if result.shadow is not None else None
    if span is not None and span.seconds > 0:
        yield "ScoredMessages", Unit.COUNT, span.came
        for side, tally in (("Shadow", span.shadow), ("Acting", span.acting)):
            yield f"{side}Units", Unit.COUNT, tally.unit_s / span.seconds
            yield f"{side}Late", Unit.COUNT, late(tally)
            yield f"{side}Wait", Unit.SECONDS, tally.longest_s


def _life_used(snapshot: Snapshot) -> float:
    """The largest share of its queue's retention that a message has used; 0 where that is not known."""
    return max(
        each.oldest_age.value / each.retention_s if each.oldest_age and each.retention_s else 0.0
        for each in snapshot.queues or (snapshot.queue,)
    )


def _limits_of(decision: Decision) -> Iterable[str]:
    """A metric for each limit that changed the wish, and for each that only an operator can lift."""
    yield from (f"Limit.{reason.code}" for reason in decision.reasons[1:] if reason.before != reason.after)
    yield from (NEED_AN_OPERATOR[reason.code] for reason in decision.reasons if reason.code in NEED_AN_OPERATOR)


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
        **shadow_keys(result),
    }


def shadow_keys(result: TickResult) -> Answer:
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
