"""A round: a tick of each of a shard's fleets. All is read together, each is decided on, and all is written together.

What the time does not suffice for is first in the next round. No fault of one fleet stops the others, and a service
that is silent once is not asked again in the round.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision
from sluice.model.frozen import replace
from sluice.model.planning import FromLedger, Memory
from sluice.model.timing import Timing
from sluice.planning.observing import Observed, Observer
from sluice.planning.reports import Answer, Reporter, to_answer
from sluice.planning.tick import Actuators, TickResult, recorded, tick
from sluice.ports.errors import PortError, answer_of
from sluice.ports.ledger import PlannerLedger
from sluice.ports.ledger.planner_state import MemoryChange
from sluice.ports.stack import Ports


@dataclass(slots=True)
class RoundResult:
    """What came of a round."""

    answers: dict[str, Answer]  # by fleet, in the order in which they were ticked
    memories: dict[str, Memory]  # of the fleets whose memory is known after it
    jumped: tuple[str, ...] = ()  # fleets whose counts are read again soon
    lateness: dict[str, float] = field(default_factory=dict)  # by fleet: see `lateness`


def lateness(fleet: Fleet, decision: Decision) -> float:
    """How many target waits the oldest message has waited, of several queues the longest ones; above 1 it is late.

    0 where no message waits, or it is not known how long.
    """
    waited_s = next((figure.value for figure in decision.figures if figure.name == "oldest_wait_s"), None)
    return (waited_s or 0.0) / fleet.longest_wait_s


@dataclass(frozen=True, slots=True)
class Round:
    """Ticks fleets together.

    Args:
        ports: where memories are read.
        observer: reads what ticks need.
        actuators: what is set and kept through.
        timing: the stack's ticks and its metrics' delay.
        now: epoch seconds.
        reporter: takes log lines and metrics.
        until: no tick is begun after, in epoch seconds.
    """

    ports: Ports[PlannerLedger]
    observer: Observer
    actuators: Actuators
    timing: Timing
    now: Callable[[], float]
    reporter: Reporter
    until: float

    def run(self, fleets: Sequence[Fleet], known: Mapping[str, Memory], *, whole: bool = True) -> RoundResult:
        """Tick fleets once.

        Args:
            fleets: the fleets, in the order in which they are ticked.
            known: the memories that this process knows to be the ledger's, or newer; the others are read.
            whole: whether these are all of the shard's fleets.
        """
        now = round(self.now(), 3)  # a memory has many times, and each further digit would be written at each tick
        result = RoundResult({}, {})
        memories = self._memories(fleets, known, result)
        readable = [fleet for fleet in fleets if fleet.name in memories]
        both = [(fleet, memories[fleet.name]) for fleet in readable]
        seen = self._observed(both, result, now, whole=whole and len(readable) == len(fleets))
        ticked: list[TickResult] = []
        for fleet in readable:
            if self.now() > self.until:
                break
            if (observed := seen.get(fleet.name)) is None:
                continue
            try:
                actuators, memory = self.actuators.of(fleet), memories[fleet.name]
                ticked.append(tick(fleet, memory, observed, actuators, timing=self.timing, now=now))
                result.lateness[fleet.name] = lateness(fleet, ticked[-1].decision)
            except Exception as error:  # an unexpected error of one fleet must not stop the others
                result.answers[fleet.name] = self.reporter.unexpected(fleet.name, error)
        self._write(ticked, result)
        if put_off := [fleet.name for fleet in fleets if fleet.name not in result.answers]:
            self.reporter.log.warning("the round's time is over: these are first in the next one", fleets=put_off)
            self.reporter.count(None, "FleetsPutOff", len(put_off))
        result.jumped = tuple(each.decision.fleet for each in ticked if each.jumped)
        return result

    def _memories(self, fleets: Sequence[Fleet], known: Mapping[str, Memory], result: RoundResult) -> dict[str, Memory]:
        """The memory of each fleet, with the launches noted since; without those that cannot be read."""
        found = {fleet.name: known[fleet.name] for fleet in fleets if fleet.name in known}
        missing = [fleet.name for fleet in fleets if fleet.name not in found]
        if missing:
            answers = answer_of(lambda: self.ports.ledger.planner_state.memories(missing))
            if isinstance(answers, PortError):
                answers = (answers,) * len(missing)
            for name, answer in zip(missing, answers, strict=True):
                if isinstance(answer, PortError):
                    what = "the planner's memory could not be read"
                    result.answers[name] = self.reporter.failed(name, what, answer)
                else:
                    found[name] = answer
        self._add_timed(found)
        return found

    def _add_timed(self, memories: dict[str, Memory]) -> None:
        """Add the launches that the drainer noted, once a minute: a lead time is not learned in less."""
        now, period_s = self.now(), self.timing.kept_s
        due = [name for name, memory in memories.items() if now // period_s > memory.learned_at // period_s]
        timed = answer_of(lambda: self.ports.ledger.planner_state.timed(due)) if due else {}
        if isinstance(timed, PortError):
            self.reporter.log.warning("the launches that were timed could not be read", problem=str(timed))
            return
        for name, launches in timed.items():
            memories[name] = replace(memories[name], from_ledger=replace(memories[name].from_ledger, timed=launches))

    def _observed(
        self, fleets: Sequence[tuple[Fleet, Memory]], result: RoundResult, now: float, *, whole: bool
    ) -> dict[str, Observed]:
        """What is seen of each fleet; by each alone, where an error that nobody foresaw stops all together."""
        if not fleets:
            return {}
        try:
            return {seen.snapshot.fleet: seen for seen in self.observer.observe(fleets, now, whole=whole)}
        except Exception:
            self.reporter.log.exception("unexpected error in reading fleets together: each is read alone")
        found: dict[str, Observed] = {}
        for fleet, memory in fleets:
            if self.now() > self.until:
                break
            try:
                (found[fleet.name],) = self.observer.observe([(fleet, memory)], now, whole=False)
            except Exception as error:
                result.answers[fleet.name] = self.reporter.unexpected(fleet.name, error)
        return found

    def _write(self, ticked: Sequence[TickResult], result: RoundResult) -> None:
        """Record what was decided, keep what was learned, and report it."""
        ledger = self.actuators.ledger
        failed: dict[str, PortError] = {}
        news = [each for each in ticked if each.is_news]
        for each, error in zip(news, ledger.record_all([(n.decision, n.outcome) for n in news]), strict=True):
            if error is not None:
                failed[each.decision.fleet] = error
        after: dict[str, Memory] = {}
        for each in ticked:
            name = each.decision.fleet
            after[name] = recorded(each) if each.is_news and name not in failed else each.memory
        changes = [
            MemoryChange(each.decision.fleet, each.before, after[each.decision.fleet])
            for each in ticked
            if not each.is_quiet
        ]
        for change, error in zip(changes, ledger.keep_memories(changes), strict=True):
            if error is not None:
                failed[change.fleet] = error
        self.reporter.faults(ticked)
        for each in ticked:
            name = each.decision.fleet
            if (error := failed.get(name)) is not None:
                result.answers[name] = self.reporter.failed(name, "what a tick decided could not be kept", error)
                continue
            result.memories[name] = replace(after[name], from_ledger=FromLedger())
            result.answers[name] = to_answer(each)
            self.reporter.ticked(each, dry_run=self.observer.shard is None)
