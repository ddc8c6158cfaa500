"""The sweep: each minute it finds what events missed, and hands it to the chains of the fleets' drains.

It looks at every fleet, and advances no drain itself: what it finds wakes the fleet's chain, which goes on by itself
(`sluice.draining.rounds`). Its calls are one query for the drains of all fleets, and one reading for a hundred groups,
so that they hardly grow with the fleets:

    a drain without a chain           its chain is made
    an instance that waits, or is kept for inspection, without a drain on record     its fleet is looked at now
    an instance that EC2 is to reboot, stop or retire     it is replaced before (`sluice.draining.scheduled`)
    consumers, of the fleets that have a launch hook or reports: boots, and protection from scale-in
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from functools import partial

from sluice.config.fleet import Fleet
from sluice.consumers.protection import has_its_turn
from sluice.consumers.tracker import ConsumerTracker
from sluice.draining.events import FoundPoolWaiting, FoundRetained, FoundWaiting, InstanceGone
from sluice.draining.following import DrainFollower, chain_id
from sluice.draining.holding import WaitingHolder
from sluice.draining.observations import group_events
from sluice.draining.scheduled import ScheduledReplacer
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.consumers import Consumer
from sluice.model.draining import UnreleasedDrain
from sluice.model.frozen import dataclass
from sluice.model.launches import with_launches
from sluice.model.observed import GroupReading
from sluice.ports.errors import PortError
from sluice.ports.ledger import DrainerLedger
from sluice.ports.stack import Ports

# How long after its first report the start of a consumer's launch is asked for, if no event had it.
NEW_S = 300.0


@dataclass(slots=True)
class Sweeper:
    """One invocation's sweep; no fleet is begun with past `until` (epoch seconds)."""

    ports: Ports[DrainerLedger]
    now: Callable[[], float]
    until: float
    follower: DrainFollower
    holder: WaitingHolder
    replacer: ScheduledReplacer
    telemetry: DrainTelemetry

    def sweep(self, fleets: Sequence[Fleet], chains: Collection[str]) -> None:
        """Every fleet once, its drains first.

        Args:
            fleets: all of them.
            chains: the ids of the chains of drains that there are.

        Raises:
            PortError: the ledger does not say which drains there are: who waits is held all the same.
            ExceptionGroup: unexpected errors; every fleet has been swept all the same.
        """
        unexpected: list[Exception] = []
        entries: defaultdict[str, list[UnreleasedDrain]] = defaultdict(list)
        try:
            for entry in self.ports.ledger.drains.unreleased():
                entries[entry.fleet].append(entry)
        except PortError:
            self.holder.hold(fleets)
            raise
        answers = self.ports.group.read_all([fleet.group for fleet in fleets], self.now(), warm_pools=True)
        readings: dict[str, GroupReading] = {}
        for fleet, answer in zip(fleets, answers, strict=True):
            if isinstance(answer, PortError):
                self.telemetry.failed(fleet, "the fleet's group could not be read", answer)
            else:
                readings[fleet.name] = answer
        for count, fleet in enumerate(fleets):
            if self.now() >= self.until:  # those whose chains are made now cost the next sweep no time
                self.telemetry.log.warning("no time was left for some fleets' drains", fleets=len(fleets) - count)
                break
            follows = chain_id(fleet.name) in chains
            find = partial(self._find, fleet, entries[fleet.name], readings.get(fleet.name), follows=follows)
            self._safely(fleet, find, unexpected)
        self.replacer.sweep(fleets, readings)
        self._track_consumers(fleets, entries, readings, unexpected)
        if unexpected:
            raise ExceptionGroup("sweep finished with errors", unexpected)

    def _safely(self, fleet: Fleet, work: Callable[[], None], unexpected: list[Exception]) -> None:
        """One fleet never stops the others, whatever is wrong with it; `sweep` raises it at the end."""
        try:
            work()
        except PortError as error:
            self.telemetry.failed(fleet, "the fleet could not be swept", error)
        except Exception as error:
            self.telemetry.log.exception("unexpected error in sweep", fleet=fleet.name)
            unexpected.append(error)

    def _find(
        self, fleet: Fleet, entries: Sequence[UnreleasedDrain], reading: GroupReading | None, *, follows: bool
    ) -> None:
        """Wake the fleet's chain if there is anything that it does not know of."""
        retained = {entry.instance_id: entry.retained_since for entry in entries if entry.retained_since is not None}
        self.telemetry.retained(fleet, retained.values(), self.now())
        known = {entry.instance_id for entry in entries}
        found = group_events(fleet, known, reading)
        missed = any(
            isinstance(event, FoundWaiting | FoundPoolWaiting | FoundRetained) and instance_id not in known
            for instance_id, event in found.items()
        )
        left = any(isinstance(found.get(instance_id), InstanceGone) for instance_id in retained)
        to_check = missed or left or (not follows and len(known) > len(retained))
        if to_check and not self.follower.check_by(fleet, self.now()):
            self.holder.hold((fleet,))

    def _track_consumers(
        self,
        fleets: Sequence[Fleet],
        entries: dict[str, list[UnreleasedDrain]],
        readings: dict[str, GroupReading],
        unexpected: list[Exception],
    ) -> None:
        """Track the consumers of the fleets that have any; those for which there is no time, a minute later."""
        reporting = self.ports.ledger.consumers.fleets()
        tracked = [
            fleet for fleet in fleets if fleet.name in readings and (fleet.launch.hook or fleet.name in reporting)
        ]
        if not tracked:
            return
        launches = self.ports.ledger.launch_log.launches(self.now())

        turns = {fleet.name: has_its_turn(index, len(tracked), self.now()) for index, fleet in enumerate(tracked)}

        def track(fleet: Fleet) -> None:
            leaving = frozenset(each.instance_id for each in entries[fleet.name] if each.retained_since is None)
            consumers = self.ports.ledger.consumers.consumers(fleet.name)
            reading, own = readings[fleet.name], launches
            if self._misses_launches(fleet, reading, consumers, leaving):
                own = (*launches, *self.ports.group.launches(fleet.group))
            tracker = ConsumerTracker(self.ports, fleet, self.now)
            reading = with_launches(reading, own)
            tracker.sweep(consumers, reading, leaving, asks_for_refresh=turns[fleet.name])
            self.telemetry.consumers_tracked(fleet, tracker.result)

        # Each minute begins at another tenth of the list: should the time not suffice for all, none waits for long.
        first = int(self.now() // 60) % 10 * len(tracked) // 10
        for done_count, fleet in enumerate((*tracked[first:], *tracked[:first])):
            if self.now() >= self.until:
                left_count = len(tracked) - done_count
                self.telemetry.log.warning("no time was left for some fleets' consumers", fleets=left_count)
                return
            self._safely(fleet, partial(track, fleet), unexpected)

    def _misses_launches(
        self, fleet: Fleet, reading: GroupReading, consumers: Sequence[Consumer], leaving: frozenset[str]
    ) -> bool:
        """Whether the group's activities are to be read: launch events come when a launch is over, and may be lost."""
        held = (one for one in reading.instances if one.id not in leaving and one.aws_state.endswith("Pending:Wait"))
        new = (one.ready_at for one in consumers if one.launched_at is None and one.ready_at is not None)
        return (fleet.launch.hook is not None and any(held)) or any(self.now() < at + NEW_S for at in new)
