"""A drain's steps, carried out over the ports: put on record, done, answered, until nothing more follows.

`sluice.draining.state_machine` decides. Everything here is safe to repeat and safe to crash in: a record is written
before its actions are carried out, in their order. What fails is logged and left to the next round, which goes on from
the ledger and the group's own list alone. Only what is not on record yet is raised.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import batched

from sluice.config.fleet import Fleet
from sluice.consumers.tracker import CONFLICTS_MAX, by_halves
from sluice.draining.events import (
    CompletionAnswered,
    Event,
    HeartbeatAnswered,
    StopNotAccepted,
    StopSent,
    TerminationAnswered,
    Tick,
)
from sluice.draining.state_machine import advance
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.draining import CompleteHook, Drain, DrainAction, SendHeartbeat, StopConsumer, TerminateInstance
from sluice.model.frozen import dataclass
from sluice.ports.aws_services import STOPPED_AT_ONCE
from sluice.ports.errors import ConflictError, PortError, RefusedError, TryLaterError
from sluice.ports.ledger import DrainerLedger
from sluice.ports.stack import Ports

# How long stops are gathered to be asked for together: far less than ASK_GRACE_S, after which they would be repeated.
STOP_BATCH_S = 2.0


@dataclass(slots=True)
class DrainProgress:
    """One drain, and the events that it is still to be advanced by."""

    instance_id: str
    record: Drain | None
    pending: deque[Event]
    stop: StopConsumer | None = None  # to be asked for, together with others
    failed: bool = False  # no instant retries: ticks are left out


@dataclass(slots=True)
class DrainExecutor:
    """Carries out one invocation's steps of drains; no stops are gathered past `until` (epoch seconds)."""

    ports: Ports[DrainerLedger]
    now: Callable[[], float]
    until: float
    telemetry: DrainTelemetry

    def advance_drain(
        self, fleet: Fleet, instance_id: str, events: Iterable[Event], record: Drain | None
    ) -> Drain | None:
        """Advance a drain by events, in order, each with all that follows from it.

        Args:
            fleet: whose instance it is.
            instance_id: the instance.
            events: what happened to it. A Tick is left out after an action that failed: no instant retries.
            record: the drain as last read. None where none is expected: if there is one after all, its version shows.

        Raises:
            PortError: the ledger failed and nothing is on record. What fails later is logged.
        """
        progress = DrainProgress(instance_id, record, deque(events))
        while progress.pending:
            self._advance(fleet, progress)
            self._stop(fleet, [progress] if progress.stop else [])
        return progress.record

    def advance_together(self, fleet: Fleet, waiting: deque[DrainProgress]) -> None:
        """Advance the first of those that wait, and ask for their stops together; one that fails stops no other."""
        gather_until = min(self.now() + STOP_BATCH_S, self.until)
        started: list[DrainProgress] = []
        while waiting and len(started) < STOPPED_AT_ONCE and (not started or self.now() < gather_until):
            started.append(waiting.popleft())
            self._advance_safely(fleet, started[-1])
        while stopping := [progress for progress in started if progress.stop]:
            self._stop(fleet, stopping)
            for progress in stopping:
                self._advance_safely(fleet, progress)

    def _advance_safely(self, fleet: Fleet, progress: DrainProgress) -> None:
        try:
            self._advance(fleet, progress)
        except PortError as error:
            progress.pending.clear()
            self.telemetry.failed(fleet, "a drain could not be advanced", error, instance_id=progress.instance_id)

    def _advance(self, fleet: Fleet, progress: DrainProgress) -> None:
        """Go on with a drain until nothing is pending, or a stop is to be asked for.

        Raises:
            PortError: the ledger failed and nothing is on record. What fails later is logged.
        """
        with self.telemetry.about(fleet, progress.instance_id):
            while progress.pending and progress.stop is None:
                event = progress.pending.popleft()
                if progress.failed and isinstance(event, Tick):
                    continue
                try:
                    progress.record, actions = self._write(fleet, progress.instance_id, progress.record, event)
                except PortError as error:
                    if progress.record is None:
                        raise
                    self.telemetry.failed(fleet, "the drain's record could not be written", error)
                    progress.pending.clear()
                    return
                answers = []
                for action in actions:
                    if isinstance(action, StopConsumer):
                        progress.stop = action  # always the last of a step: nothing is to be done after it
                    else:
                        answers.append(self._carry_out(fleet, action))
                progress.failed |= None in answers
                progress.pending.extendleft(answer for answer in reversed(answers) if answer is not None)

    def _stop(self, fleet: Fleet, drains: Sequence[DrainProgress]) -> None:
        """Ask consumers to stop, by as few commands as there can be; the answers are pending then.

        One command's time is the longest that any of them has: a drain's own deadline is kept by its ticks.
        """
        for batch in batched(drains, STOPPED_AT_ONCE, strict=False):
            stops = {progress.instance_id: progress.stop for progress in batch if progress.stop}
            sent = self._stop_at_once(fleet, list(stops), max(stop.timeout_s for stop in stops.values()))
            for progress in batch:
                stop, progress.stop = progress.stop, None
                if stop is not None:
                    command_id, why = sent[progress.instance_id]
                    answer = StopNotAccepted(stop.ask, why) if command_id is None else StopSent(stop.ask, command_id)
                    progress.pending.appendleft(answer)

    def _stop_at_once(
        self, fleet: Fleet, instance_ids: Sequence[str], timeout_s: float
    ) -> dict[str, tuple[str | None, str]]:
        """Ask consumers to stop by one command, or by several where some are refused; each one's id, or why not."""
        answers: dict[str, tuple[str | None, str]] = {}

        def ask(ids: Sequence[str]) -> None:
            try:
                command_id = self.ports.instances.stop(ids, fleet.drain.order, timeout_s)
            except PortError as error:
                answers.update(dict.fromkeys(ids, (None, str(error))))
                raise
            answers.update(dict.fromkeys(ids, (command_id, "")))

        try:
            taken = by_halves(instance_ids, ask)
        except PortError as error:
            asked = ", ".join(instance_ids)
            self.telemetry.failed(fleet, "a consumer could not be asked to stop", error, instance_id=asked)
            return {key: answers.get(key, (None, str(error))) for key in instance_ids}
        for instance_id in {*instance_ids} - {*taken}:
            refused = RefusedError(answers[instance_id][1])
            self.telemetry.failed(fleet, "a consumer could not be asked to stop", refused, instance_id=instance_id)
        return answers

    def _write(
        self, fleet: Fleet, instance_id: str, record: Drain | None, event: Event
    ) -> tuple[Drain | None, tuple[DrainAction, ...]]:
        """Put on record what an event makes of a drain, and only then say what to do about it."""
        for _ in range(CONFLICTS_MAX):
            step = advance(record, event, fleet.drain, self.now())
            if step.drain is None or step.drain == record:
                return record, step.actions
            try:
                written = self.ports.ledger.drains.keep_drain(step.drain, record)
            except ConflictError:
                record = self.ports.ledger.drains.drain(fleet.name, instance_id)
                continue
            self.telemetry.written(record, written, event)
            return written, step.actions
        raise TryLaterError(f"drain of {instance_id}: other invocations wrote its record first, {CONFLICTS_MAX} times")

    def _carry_out(self, fleet: Fleet, action: SendHeartbeat | CompleteHook | TerminateInstance) -> Event | None:
        """Carry out one action; its answer as an event, None if it failed and is due again at the next tick."""
        match action:
            case SendHeartbeat(hook, probe):
                try:
                    held = self.ports.group.heartbeat(hook)
                except PortError as error:
                    self.telemetry.failed(fleet, "a heartbeat could not be sent", error)
                    return None
                if held and not probe:
                    self.telemetry.heartbeat_sent(fleet)
                return HeartbeatAnswered(hook, held, probe, fleet.name)
            case CompleteHook(hook, result):
                try:
                    return CompletionAnswered(hook, self.ports.group.complete_hook(hook, result))
                except PortError as error:
                    self.telemetry.failed(fleet, "a lifecycle action could not be completed", error)
                    return None
            case TerminateInstance(group, instance_id):
                try:
                    return TerminationAnswered(self.ports.group.end(group, instance_id))
                except PortError as error:
                    self.telemetry.failed(fleet, "a retained instance could not be terminated", error)
                    return None
