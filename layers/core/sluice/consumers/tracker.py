"""Tracks a fleet's consumers over the ports: their records, their launch hooks and their scale-in protection.

`sluice.consumers.state_machine` decides, this module acts. Every step is safe to repeat and safe to crash in: a record
is written before its effect. If a crash comes between the two, the next sweep finds what is missing in the group's own
list of instances.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from itertools import batched

from sluice.config.fleet import Fleet
from sluice.consumers.protection import is_busy, plan_protection, seen_in_refresh
from sluice.consumers.state_machine import BootEvent, LeftGroup, SeenInGroup, TrackedInstance, advance_boot, time_launch
from sluice.model.consumers import CONSUMERS_MAX, BootState, Consumer
from sluice.model.draining import HookAction
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading, Lifecycle
from sluice.model.planning import TimedLaunch
from sluice.ports.aws_services import PROTECTED_AT_ONCE
from sluice.ports.errors import ConflictError, PortError, RefusedError, TryLaterError
from sluice.ports.ledger import TrackerLedger
from sluice.ports.stack import Ports

# The states of a new instance on its way into service or into a warm pool. A launch hook may hold it in both cases.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
ARRIVING = frozenset(f"{pool}Pending{step}" for pool in ("", "Warmed:") for step in ("", ":Wait", ":Proceed"))
# Two or three invocations may write one drain's record at the same time. More lost races have another cause.
CONFLICTS_MAX = 5


@dataclass(slots=True)
class TrackingResult:
    """What was done for a fleet's consumers, for the log and the metrics."""

    launches: list[TimedLaunch] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)  # ids of instances that left before they were ready
    admitted: list[str] = field(default_factory=list)  # ids of instances whose launch hook was completed
    protected_count: int = 0
    lifted_count: int = 0
    problems: list[PortError] = field(default_factory=list)


@dataclass(slots=True)
class ConsumerTracker:
    """The consumers of one fleet, and in `result` what was done for them."""

    ports: Ports[TrackerLedger]
    fleet: Fleet
    now: Callable[[], float]
    result: TrackingResult = field(default_factory=TrackingResult)

    def apply(self, instance_id: str, event: BootEvent, known: Consumer | None = None) -> Consumer | None:
        """Record what an event makes of a consumer, and complete its launch hook if that is due.

        Args:
            instance_id: the consumer's instance.
            event: what happened to it.
            known: the record as last read. None: it is read now.

        Returns:
            The record as it is now. None if there is none.

        Raises:
            PortError: the record could not be read or written. What fails after that is added to `result.problems`.
        """
        hook = self.fleet.launch.hook
        tracked = TrackedInstance(
            self.fleet.name, instance_id, None if hook is None else HookAction(self.fleet.group, hook, instance_id)
        )
        record = known or self.ports.ledger.consumers.consumer(self.fleet.name, instance_id)
        for _ in range(CONSUMERS_MAX):  # all of an instance's consumers may report at once; each time, one is written
            step = advance_boot(record, event, tracked, self.now())
            after = step.consumer
            timed = None if after is None else time_launch(after, self.now())
            if after is not None and timed is not None:
                after = replace(after, measured=True)
            try:
                written = (
                    self.ports.ledger.consumers.keep_consumer(after)
                    if after is not None and after != record
                    else record
                )
            except ConflictError:
                record = self.ports.ledger.consumers.consumer(self.fleet.name, instance_id)
                continue
            self._report(record, written, timed)
            for action in step.actions if hook is not None else ():
                try:
                    if self.ports.group.complete_hook(action.hook, action.result):
                        self.result.admitted += [instance_id] if written and written.boot is not BootState.LOST else []
                except PortError as error:
                    self.result.problems.append(error)
            return written
        raise TryLaterError(f"consumer of {instance_id}: its record changed {CONSUMERS_MAX} times while it was written")

    def _report(self, before: Consumer | None, after: Consumer | None, timed: TimedLaunch | None) -> None:
        """Add to the result what a written record shows. A launch whose times cannot be written is one sample less."""
        if timed is not None:
            self.result.launches.append(timed)
            try:
                self.ports.ledger.planner_state.note_launch(self.fleet.name, timed)
            except PortError as error:
                self.result.problems.append(error)
        lost = after is not None and after.boot is BootState.LOST
        if after is not None and lost and (before is None or before.boot is not BootState.LOST):
            self.result.lost.append(after.instance_id)

    def sweep(
        self,
        consumers: Iterable[Consumer],
        reading: GroupReading,
        leaving: frozenset[str] = frozenset(),
        *,
        asks_for_refresh: bool = True,
    ) -> None:
        """Apply the group's reading to every consumer, and correct which instances are protected from scale-in.

        Args:
            consumers: every consumer on record.
            reading: their group as of now.
            leaving: ids of the instances whose drains are under way. Such an instance that waits before the warm pool
                returns to it: that is no launch.
            asks_for_refresh: whether the group may be asked for its instance refresh, which takes a call. It is asked
                only if Sluice protects an instance of it, or would.
        """
        known = {consumer.instance_id: consumer for consumer in consumers}
        for instance_id, event in self._events_of(known, reading, leaving):
            try:
                noted = self.apply(instance_id, event, known.get(instance_id))
            except PortError as error:
                self.result.problems.append(error)
                continue
            if noted is not None:
                known[instance_id] = noted
        if asks_for_refresh:
            self._note_refresh(known)
        plan = plan_protection(known.values(), reading, self.now())
        ours = self._record_protection([known[instance_id] for instance_id in plan.protect], protected=True)
        self.result.protected_count += len(self._set_protection(ours, protected=True))
        lifted = self._set_protection(plan.lift, protected=False)
        self.result.lifted_count += len(lifted)
        self._record_protection([known[instance_id] for instance_id in (*lifted, *plan.forget)], protected=False)

    def _note_refresh(self, known: dict[str, Consumer]) -> None:
        """Put on record whose instances the group's instance refresh is to replace."""
        now = self.now()
        held = [one for one in known.values() if one.protected or is_busy(one, now) or one.refresh_seen_at is not None]
        if not held:
            return
        try:
            began_at = self.ports.group.refresh_began_at(self.fleet.group)
        except PortError as error:
            self.result.problems.append(error)  # what was known of it stays
            return
        for consumer in held:
            self._keep(known, consumer, seen_in_refresh(consumer, began_at, now))

    def _keep(self, known: dict[str, Consumer], before: Consumer, after: Consumer) -> None:
        """Write a record that differs; if a report has just changed it, the next sweep decides anew."""
        if after == before:
            return
        try:
            known[after.instance_id] = self.ports.ledger.consumers.keep_consumer(after)
        except ConflictError:
            return
        except PortError as error:
            self.result.problems.append(error)

    def _events_of(
        self, known: dict[str, Consumer], reading: GroupReading, leaving: frozenset[str]
    ) -> Iterable[tuple[str, BootEvent]]:
        """The events that the reading means, by instance id."""
        hook = self.fleet.launch.hook
        arriving = {i.id for i in reading.instances if i.aws_state in ARRIVING and i.id not in leaving}
        for instance in reading.instances:
            held = instance.aws_state.endswith("Pending:Wait")
            if instance.id in arriving and held and hook is not None:
                ours = HookAction(self.fleet.group, hook, instance.id)
                yield instance.id, SeenInGroup(ours, waiting=True, launched_at=instance.launched_at)
            elif instance.id in known and instance.state is Lifecycle.IN_SERVICE:
                yield instance.id, SeenInGroup(None, waiting=False, launched_at=instance.launched_at)
        here = arriving | {i.id for i in reading.instances if i.state is Lifecycle.IN_SERVICE}
        for instance_id, consumer in known.items():
            # A reading lags by seconds: an instance that was heard of after it is not gone.
            if instance_id not in here and consumer.updated_at < reading.at:
                yield instance_id, LeftGroup()

    def _record_protection(self, consumers: Sequence[Consumer], *, protected: bool) -> list[str]:
        """Record that these instances' protection is ours, or no longer ours; returns the ids that were recorded."""
        marked = []
        for consumer in consumers:
            if consumer.protected == protected:
                marked.append(consumer.instance_id)
                continue
            try:
                self.ports.ledger.consumers.keep_consumer(replace(consumer, protected=protected))
            except ConflictError:
                continue  # a report has just changed it: the next sweep decides anew
            except PortError as error:
                self.result.problems.append(error)
            else:
                marked.append(consumer.instance_id)
        return marked

    def _set_protection(self, instance_ids: Sequence[str], *, protected: bool) -> list[str]:
        """Set or lift protection in as few calls as AWS allows; returns the ids for which AWS accepted it."""
        done: list[str] = []
        for some in batched(instance_ids, PROTECTED_AT_ONCE, strict=False):
            try:
                done += by_halves(some, lambda ids: self.ports.group.protect(self.fleet.group, ids, protected))
            except PortError as error:
                self.result.problems.append(error)
        return done


def by_halves(ids: Sequence[str], ask: Callable[[Sequence[str]], object]) -> list[str]:
    """Ask AWS for several ids in one call. If AWS refuses, ask for each half: one bad id does not stop the others.

    Args:
        ids: instance ids.
        ask: makes one call. It raises a RefusedError if AWS refuses the call.

    Returns:
        The ids that AWS accepted.

    Raises:
        PortError: a call failed without being refused.
    """
    try:
        ask(ids)
    except RefusedError:
        if len(ids) == 1:
            return []
        middle = len(ids) // 2
        return [*by_halves(ids[:middle], ask), *by_halves(ids[middle:], ask)]
    return list(ids)
