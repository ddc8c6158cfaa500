"""A step of a fleet's chain: one round over its drains under way, and when the next one is due.

It needs nothing but the ledger and what AWS says now, so that it goes on from wherever an invocation died. Once in
FULL_CHECK_EVERY_S it reads all that may be a sign of a drain's end; in between only what is due.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sluice.config.fleet import DrainVia, Fleet
from sluice.draining.deadlines import (
    FULL_CHECK_EVERY_S,
    RETRY_S,
    STATUS_CHECK_AFTER_S,
    is_due,
    is_retry_due,
    needs_signs,
    needs_status_check,
    next_check_at,
)
from sluice.draining.events import (
    FoundPoolWaiting,
    FoundRetained,
    FoundWaiting,
    GroupEvent,
    Tick,
    event_for_state,
)
from sluice.draining.executor import DrainExecutor, DrainProgress
from sluice.draining.holding import WaitingHolder
from sluice.draining.nothing_to_finish import nothing_found
from sluice.draining.observations import Observation, events_for, group_events, our_hook, urgency
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.chain import Chain, Next
from sluice.model.draining import UNDER_WAY, CommandStatus, Drain
from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading, Lifecycle
from sluice.ports.errors import PortError
from sluice.ports.ledger import DrainerLedger
from sluice.ports.stack import Ports

SHORTEST_PAUSE_S = 1.0  # between two steps of a fleet


@dataclass(slots=True)
class DrainRounds:
    """Rounds over fleets' drains within one invocation; no drain is begun with past `until` (epoch seconds)."""

    ports: Ports[DrainerLedger]
    now: Callable[[], float]
    until: float
    executor: DrainExecutor
    holder: WaitingHolder
    telemetry: DrainTelemetry

    def step(self, fleet: Fleet, chain: Chain) -> Next | None:
        """Do a step of the fleet's chain; when the next one is due, or None if no drain is under way any more."""
        in_full_at = _in_full_at(chain.data)
        in_full = self.now() >= in_full_at + FULL_CHECK_EVERY_S
        if in_full:
            in_full_at = self.now()
        try:
            due_at = self._check(fleet, in_full=in_full)
        except PortError as error:
            self.telemetry.failed(fleet, "the fleet's drains could not be read", error)
            self.holder.hold((fleet,))
            due_at = self.now() + min(RETRY_S, fleet.drain.heartbeat_interval_s)
        if due_at is None:
            return None
        due_at = max(self.now() + SHORTEST_PAUSE_S, min(due_at, in_full_at + FULL_CHECK_EVERY_S))
        return Next(due_at, json.dumps({"in_full_at": in_full_at}))

    def _check(self, fleet: Fleet, *, in_full: bool) -> float | None:
        """Advance every drain of a fleet by what was observed of it, and a tick; when the first needs the next check.

        Raises:
            PortError: the ledger does not say which drains there are.
        """
        drains = {drain.instance_id: drain for drain in self.ports.ledger.drains.unreleased_of(fleet.name)}
        # No drain expires, and no stop is repeated, before all was read that may be a sign of its consumers.
        now = self.now()
        in_full |= any(is_due(drain, fleet.drain, now) or is_retry_due(drain, now) for drain in drains.values())
        observed = self._observe(fleet, drains, in_full=in_full)
        elsewhere = {key: each for key, each in drains.items() if each.hook and each.hook.group != fleet.group}
        found = group_events(fleet, drains.keys() - elsewhere.keys(), observed.reading)
        found |= {key: self._event_elsewhere(fleet, each) for key, each in elsewhere.items()}
        waiting: list[DrainProgress] = []
        for instance_id in sorted({*drains, *found}, key=lambda key: (urgency(drains.get(key)), key)):
            drain, group_event = drains.get(instance_id), found.get(instance_id)
            if drain is None and not isinstance(group_event, FoundWaiting | FoundPoolWaiting | FoundRetained):
                continue
            if isinstance(group_event, FoundPoolWaiting) and drain is None:
                # A probe writes nothing that would meet the record of an earlier drain.
                drain = self.ports.ledger.drains.drain(fleet.name, instance_id)
            events = events_for(drain, group_event, observed)
            events += nothing_found(fleet, drain, observed, self.now())
            tick = Tick(observed.reading.retains if observed.reading else None)
            waiting.append(DrainProgress(instance_id, drain, deque((*events, tick))))
        remaining = deque(waiting)
        while remaining:
            if self.now() >= self.until:  # the next step begins with the most urgent
                return self.now()
            self.executor.advance_together(fleet, remaining)
        if any(each.record is None and isinstance(found.get(each.instance_id), FoundWaiting) for each in waiting):
            self.holder.hold((fleet,))  # a drain's beginning could not be put on record
        now = self.now()
        checks = (next_check_at(each.record, fleet.drain, now) for each in waiting if each.record is not None)
        return min((at for at in checks if at is not None), default=None)

    def _observe(self, fleet: Fleet, drains: Mapping[str, Drain], *, in_full: bool) -> Observation:
        """Ask for all that one round needs; what could not be read is missing, and costs no heartbeat.

        The group is read after the ledger: an instance on record that the group lacks has left since.
        """
        under_way = [drain for drain in drains.values() if drain.state in UNDER_WAY]
        reading = self._read_group(fleet)
        commands = self._commands(fleet, under_way, in_full=in_full)
        online = self._online(fleet, under_way, commands)
        if not in_full:
            return Observation(reading, commands=commands, online=online)
        ask = partial(self.ports.ledger.consumers.consumers, fleet.name)
        consumers = self._read(fleet, "consumers' records", ask)
        ended: frozenset[str] = frozenset()
        if old := [d.instance_id for d in under_way if self.now() >= d.started_at + STATUS_CHECK_AFTER_S]:
            ended = self._read(fleet, "the states of machines", lambda: self.ports.instances.ended(old)) or ended
        return Observation(
            reading,
            {consumer.instance_id: consumer for consumer in consumers or ()},
            ended,
            self._in_flight(fleet, under_way, reading),
            commands,
            consumers is not None,
            self._unregistered(fleet, under_way),
            online,
        )

    def _unregistered(self, fleet: Fleet, under_way: Sequence[Drain]) -> dict[str, float]:
        """Of the instances that Run Command does not take, those of which Systems Manager has never heard."""
        refused = [one.instance_id for one in under_way if one.stop.command_id is None and one.stop.unanswered_count]
        if not refused or fleet.drain.via is DrainVia.SELF:
            return {}
        ask = partial(self.ports.instances.unregistered, refused)
        return dict(self._read(fleet, "which instances have no agent", ask) or {})

    def _event_elsewhere(self, fleet: Fleet, drain: Drain) -> GroupEvent | None:
        """The event that the group of a drain makes which began before the fleet was given another group."""
        hook = our_hook(fleet, drain.instance_id, drain)
        try:
            member = self.ports.group.membership(drain.instance_id)
        except PortError as error:
            self.telemetry.failed(fleet, "the instance's group could not be read", error)
            return None
        aws_state = member.aws_state if member is not None and member.group == hook.group else None
        return event_for_state(fleet.name, hook, aws_state)

    def _read_group(self, fleet: Fleet) -> GroupReading | None:
        def ask() -> GroupReading:
            (answer,) = self.ports.group.read_all((fleet.group,), self.now(), warm_pools=True)
            if isinstance(answer, PortError):
                raise answer
            return answer

        return self._read(fleet, "the fleet's group", ask)

    def _commands(
        self, fleet: Fleet, under_way: Sequence[Drain], *, in_full: bool
    ) -> dict[str, dict[str, CommandStatus]]:
        """The statuses of the stop commands whose events are overdue, by command and then by instance."""
        now = self.now()
        overdue = {d.stop.command_id for d in under_way if needs_status_check(d, now, in_full=in_full)}
        commands = {}
        for command_id in sorted(each for each in overdue if each is not None):
            statuses = self._read(fleet, "a command's status", partial(self.ports.instances.commands_of, command_id))
            if statuses is not None:
                commands[command_id] = dict(statuses)
        return commands

    def _online(
        self, fleet: Fleet, under_way: Sequence[Drain], commands: Mapping[str, Mapping[str, CommandStatus]]
    ) -> frozenset[str]:
        """The instances whose agents answer, of those on which a stop runs and whose drains need signs of life."""
        running = [
            drain.instance_id
            for drain in under_way
            if needs_signs(drain, fleet.drain)
            and commands.get(drain.stop.command_id or "", {}).get(drain.instance_id) is CommandStatus.RUNNING
        ]
        ask = partial(self.ports.instances.online, running)
        return (self._read(fleet, "the states of the instances' agents", ask) if running else None) or frozenset()

    def _in_flight(self, fleet: Fleet, under_way: Sequence[Drain], reading: GroupReading | None) -> float | None:
        """Messages in flight, where they are a sign: one is needed, and only draining instances work."""
        if reading is None or reading.count(Lifecycle.IN_SERVICE) + reading.count(Lifecycle.LAUNCHING):
            return None
        if not any(needs_signs(drain, fleet.drain) for drain in under_way):
            return None
        total = 0.0
        for source in fleet.sources:  # paused ones too: what was taken from one before is worked on still
            ask = partial(self.ports.queue.read, source.queue, self.now())
            queue = self._read(fleet, f"queue {source.name}", ask)
            if queue is None or queue.in_flight is None:
                return None
            total += queue.in_flight.value
        return total

    def _read[T](self, fleet: Fleet, what: str, ask: Callable[[], T]) -> T | None:
        """What AWS answers; None if it cannot be read now."""
        try:
            return ask()
        except PortError as error:
            self.telemetry.failed(fleet, f"{what} could not be read", error)
            return None


def _in_full_at(data: str) -> float:
    """When the fleet was last checked in full, in epoch seconds, by its chain's data; 0 if it never was."""
    return float(json.loads(data).get("in_full_at", 0.0))
