"""Auto Scaling groups in memory: bounds, boot time, hooks and their timeouts, warm pools, retention, protection.

Whatever falls due between two calls (an instance is up, a hook's timeout ends) happens at its own time, in order, at
the next call. Lifecycle after
https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sluice.memory.clock import Clock
from sluice.model.draining import HookAction, HookResult
from sluice.model.observed import GroupReading, Instance, LaunchFailure, Lifecycle, Membership
from sluice.ports.aws_services import PROTECTED_AT_ONCE
from sluice.ports.errors import NeedsFixError, RefusedError

# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
HOOK_CEILING_S = 172_800.0
HOOK_CEILING_TIMEOUTS = 100
LAUNCH_RETRY_S = 60.0  # how long the group waits after a launch that failed; AWS backs off from about a minute
FAILURES_KEPT = 10


class Transition(StrEnum):
    """What a lifecycle hook holds up."""

    LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
    TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


@dataclass(frozen=True, slots=True)
class Hook:
    """A lifecycle hook of a group in memory."""

    name: str
    transition: Transition = Transition.TERMINATING
    timeout_s: float = 3_600.0
    default: HookResult = HookResult.ABANDON


@dataclass(frozen=True, slots=True)
class Change:
    """One instance has come into a state, at a time: what a group's activities and events tell."""

    at: float
    group: str
    instance_id: str
    aws_state: str
    action: HookAction | None = None  # of the waiting states, one change for each hook
    destination: str = "EC2"  # of the terminating states; or "WarmPool"


@dataclass(slots=True)
class _Wait:
    hook: Hook
    token: str
    expires_at: float
    ceiling_at: float
    result: HookResult | None = None


@dataclass(slots=True)
class _Member:
    id: str
    aws_state: str
    launched_at: float
    due_at: float = math.inf  # when it is up
    protected: bool = False
    healthy: bool = True
    waits: list[_Wait] = field(default_factory=list)
    destination: str = "EC2"

    @property
    def is_leaving(self) -> bool:
        """Whether it is on its way out of service; one that goes back to the warm pool waits in a state of the pool."""
        return Lifecycle.of(self.aws_state) is Lifecycle.DRAINING or self.aws_state.startswith("Warmed:Pending")

    def open_waits(self) -> list[_Wait]:
        """The actions that nobody has answered yet."""
        return [wait for wait in self.waits if wait.result is None]


@dataclass(slots=True)
class _Asg:
    name: str
    min_size: int
    max_size: int
    desired: int
    boot_s: float
    hooks: tuple[Hook, ...]
    protect_new: bool
    warm_pool: bool
    retains: bool
    members: dict[str, _Member] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    launch_fault: str | None = None
    retry_at: float = -math.inf
    failures: list[LaunchFailure] = field(default_factory=list)
    quiet_until: float = -math.inf  # until then nothing happens by itself

    def hooks_of(self, transition: Transition) -> list[Hook]:
        """Its hooks for a transition: an instance waits for every one."""
        return [hook for hook in self.hooks if hook.transition is transition]

    def staying(self) -> list[_Member]:
        """Members that count against the desired capacity: launching or in service."""
        return [
            m for m in self.members.values() if Lifecycle.of(m.aws_state) in {Lifecycle.LAUNCHING, Lifecycle.IN_SERVICE}
        ]


class MemoryGroup:
    """The Group port over groups made by `create`; `watch` is called with every change as it happens."""

    def __init__(self, clock: Clock, watch: Callable[[Change], None] | None = None) -> None:
        self._clock = clock
        self._watch = watch
        self._groups: dict[str, _Asg] = {}
        self._numbers = itertools.count(1)
        self.history: list[Change] = []

    # ----------------------------------------------------------------- for tests and simulators

    def create(
        self,
        name: str,
        *,
        min_size: int = 0,
        max_size: int = 10,
        desired: int = 0,
        boot_s: float = 0.0,
        hooks: tuple[Hook, ...] = (),
        protect_new: bool = False,
        warm_pool: bool = False,
        retains: bool = False,
    ) -> str:
        """Make a group; its name.

        Args:
            name: the group's.
            min_size: see `max_size`.
            max_size: the bounds of the desired capacity.
            desired: to begin with.
            boot_s: from launch to InService, or to the launch hooks.
            hooks: its lifecycle hooks, any number for a transition.
            protect_new: whether new instances are protected from scale-in.
            warm_pool: whether instances that are scaled in go to a pool, from which the group scales out first.
            retains: whether an instance whose termination hook is abandoned is kept.
        """
        if not 0 <= min_size <= desired <= max_size:
            raise ValueError(f"group {name}: 0 <= min_size <= desired <= max_size must hold")
        self._groups[name] = _Asg(name, min_size, max_size, desired, boot_s, hooks, protect_new, warm_pool, retains)
        self._settle(self._groups[name])
        return name

    def drop(self, name: str) -> None:
        """Delete a group with its instances at once, as a forced delete does: no hook holds."""
        self._groups.pop(name, None)

    def resize(self, name: str, *, min_size: int, max_size: int) -> None:
        """Change the bounds; the desired capacity follows them."""
        group = self._settled(name)
        group.min_size, group.max_size = min_size, max_size
        group.desired = min(max(group.desired, min_size), max_size)
        self._settle(group)

    def suspend(self, name: str, *processes: str) -> None:
        """Suspend processes by name, such as "Launch" and "Terminate"."""
        self._settled(name).suspended |= set(processes)

    def resume(self, name: str, *processes: str) -> None:
        """Resume suspended processes."""
        group = self._settled(name)
        group.suspended -= set(processes)
        self._settle(group)

    def delete_hook(self, name: str, hook: str) -> None:
        """Remove a hook: what waits for it is launched no further, or terminates without it."""
        group = self._settled(name)
        group.hooks = tuple(one for one in group.hooks if one.name != hook)
        for member in list(group.members.values()):
            for wait in member.open_waits():
                if wait.hook.name == hook:
                    launching = wait.hook.transition is Transition.LAUNCHING
                    wait.result = HookResult.ABANDON if launching else HookResult.CONTINUE
                    self._proceed(group, member, self._clock())
        self._settle(group)

    def fail_launches(self, name: str, message: str | None) -> None:
        """From now on every launch fails with this message; None: launches succeed again."""
        group = self._settled(name)
        group.launch_fault, group.retry_at = message, -math.inf
        self._settle(group)

    def terminate(self, name: str, instance_id: str, *, decrement: bool = False) -> None:
        """Terminate one instance as TerminateInstanceInAutoScalingGroup does: no protection holds, a hook does."""
        group = self._settled(name)
        if decrement:
            if group.desired <= group.min_size:
                raise RefusedError(f"ValidationError: group {name} would fall below its minimum {group.min_size}")
            group.desired -= 1
        self._terminate(group, group.members[instance_id], self._clock())
        self._settle(group)

    def lose(self, name: str, instance_id: str) -> None:
        """The instance dies (a crash, or Spot takes it): the group replaces it as unhealthy, hook included."""
        group = self._settled(name)
        member = group.members[instance_id]
        member.healthy = False
        if not member.is_leaving:
            self._terminate(group, member, self._clock())
        self._settle(group)

    def waiting(self, name: str) -> tuple[HookAction, ...]:
        """Every lifecycle action that waits for an answer."""
        group = self._settled(name)
        return tuple(_action(group, member, wait) for member in group.members.values() for wait in member.open_waits())

    def settle(self) -> None:
        """Let everything happen that has fallen due, without asking anything."""
        for group in self._groups.values():
            self._let_happen(group)

    # ----------------------------------------------------------------- the port

    def read(self, group: str) -> GroupReading:
        """The group now."""
        asg = self._settled(group)
        return GroupReading(
            name=group,
            at=self._clock(),
            desired=asg.desired,
            min_size=asg.min_size,
            max_size=asg.max_size,
            instances=tuple(
                Instance(m.id, Lifecycle.of(m.aws_state), m.aws_state, m.healthy, m.protected, m.launched_at)
                for m in asg.members.values()
            ),
            suspended=frozenset(asg.suspended),
            launch_failures=tuple(asg.failures),
            retains=asg.retains,
        )

    def membership(self, instance_id: str) -> Membership | None:
        """The group that an instance is in now."""
        self.settle()
        for group in self._groups.values():
            if member := group.members.get(instance_id):
                return Membership(group.name, member.aws_state)
        return None

    def set_desired(self, group: str, desired: int) -> None:
        """Set the desired capacity; RefusedError outside the bounds."""
        asg = self._settled(group)
        if not asg.min_size <= desired <= asg.max_size:
            raise RefusedError(
                f"ValidationError: group {group}: desired capacity {desired} must be between"
                f" its minimum {asg.min_size} and its maximum {asg.max_size}"
            )
        if desired != asg.desired:
            asg.retry_at = -math.inf
        asg.desired = desired
        self._settle(asg)

    def complete_hook(self, action: HookAction, result: HookResult) -> bool:
        """Complete a lifecycle action; False if none is active."""
        group, member, wait = self._active(action)
        if group is None or member is None or wait is None:
            return False
        wait.result = result
        self._proceed(group, member, self._clock())
        self._settle(group)
        return True

    def heartbeat(self, action: HookAction) -> bool:
        """Restart the hook's timeout, up to the ceiling; False if no action is active."""
        _, _, wait = self._active(action)
        if wait is None:
            return False
        wait.expires_at = min(self._clock() + wait.hook.timeout_s, wait.ceiling_at)
        return True

    def protect(self, group: str, instance_ids: Sequence[str], protected: bool) -> None:
        """Set or lift scale-in protection; all of them are in service, or none is changed."""
        asg = self._settled(group)
        if not 0 < len(instance_ids) <= PROTECTED_AT_ONCE:
            raise RefusedError(f"ValidationError: 1 to {PROTECTED_AT_ONCE} instance ids, not {len(instance_ids)}")
        members = [asg.members.get(instance_id) for instance_id in instance_ids]
        for instance_id, member in zip(instance_ids, members, strict=True):
            if member is None or member.aws_state != "InService":
                raise RefusedError(f"ValidationError: the instance {instance_id} is not in InService")
        for member in members:
            assert member is not None
            member.protected = protected
        self._settle(asg)

    def end(self, group: str, instance_id: str) -> bool:
        """Terminate an instance that the group has retained, or, as AWS does, any other of its own."""
        asg = self._settled(group)
        member = asg.members.get(instance_id)
        if member is None:
            return False
        if member.aws_state.endswith(":Retained"):
            self._end(asg, member, self._clock())
        elif not member.is_leaving:
            self._terminate(asg, member, self._clock())
        self._settle(asg)
        return True

    # ----------------------------------------------------------------- inside

    def _settled(self, name: str) -> _Asg:
        try:
            group = self._groups[name]
        except KeyError:
            raise NeedsFixError(
                f"Auto Scaling group {name} does not exist: create it, or correct the fleet's document"
            ) from None
        self._let_happen(group)
        return group

    def _let_happen(self, group: _Asg) -> None:
        """Settle a group that nobody has changed; where nothing is due, that costs nothing."""
        if self._clock() >= group.quiet_until:
            self._settle(group)

    def _active(self, action: HookAction) -> tuple[_Asg | None, _Member | None, _Wait | None]:
        """The member that waits on just this action, and its wait, if any."""
        if action.group not in self._groups:
            return None, None, None
        group = self._settled(action.group)
        member = group.members.get(action.instance_id)
        for wait in member.open_waits() if member else ():
            if wait.hook.name == action.hook and action.token in {None, wait.token}:
                return group, member, wait
        return group, None, None

    def _settle(self, group: _Asg) -> None:
        """Let happen, in order of time, all that has fallen due."""
        now = self._clock()
        self._reconcile(group, now)
        while due := min(((_due_at(m), m.id) for m in group.members.values() if _due_at(m) <= now), default=None):
            at, member = due[0], group.members[due[1]]
            if waits := member.open_waits():
                over = min(waits, key=lambda wait: wait.expires_at)
                over.result = over.hook.default
                self._proceed(group, member, at)
            else:
                self._arrive(group, member, at)
            self._reconcile(group, at)
        due_at = min((_due_at(member) for member in group.members.values()), default=math.inf)
        # Heartbeats only put off what is due; a launch that failed is tried again in its own time.
        group.quiet_until = min(due_at, group.retry_at) if group.retry_at > now else due_at

    def _reconcile(self, group: _Asg, at: float) -> None:
        """Launch or terminate towards the desired capacity, as far as the group may."""
        missing = group.desired - len(group.staying())
        if missing > 0 and "Launch" not in group.suspended and at >= group.retry_at:
            if group.launch_fault is not None:
                group.failures = [LaunchFailure(at, group.launch_fault), *group.failures][:FAILURES_KEPT]
                group.retry_at = at + LAUNCH_RETRY_S
                return
            pool = [m for m in group.members.values() if m.aws_state == "Warmed:Stopped"]
            for member in pool[:missing]:
                member.aws_state, member.launched_at, member.due_at = "Pending", at, at + group.boot_s
                self._tell(group, member, at)
            for _ in range(missing - len(pool)):
                self._launch(group, at)
        if missing < 0 and "Terminate" not in group.suspended:
            spare = [m for m in group.staying() if not m.protected]
            spare.sort(key=lambda m: (m.healthy, m.launched_at, m.id))  # the oldest go first, the unhealthy before them
            for member in spare[:-missing]:
                self._terminate(group, member, at, "WarmPool" if group.warm_pool else "EC2")

    def _launch(self, group: _Asg, at: float) -> None:
        member = _Member(f"i-{next(self._numbers):017x}", "Pending", at, at + group.boot_s, group.protect_new)
        group.members[member.id] = member
        self._tell(group, member, at)

    def _arrive(self, group: _Asg, member: _Member, at: float) -> None:
        """The instance is up: on to the launch hooks if there are any, else into service."""
        member.due_at = math.inf
        if hooks := group.hooks_of(Transition.LAUNCHING):
            self._wait(group, member, hooks, "Pending:Wait", at)
        else:
            member.aws_state = "InService"
            self._tell(group, member, at)

    def _terminate(self, group: _Asg, member: _Member, at: float, destination: str = "EC2") -> None:
        member.due_at, member.destination, member.protected = math.inf, destination, False
        member.waits.clear()
        if hooks := group.hooks_of(Transition.TERMINATING):
            # https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pools-eventbridge-events.html
            going = "Warmed:Pending:Wait" if destination == "WarmPool" else "Terminating:Wait"
            self._wait(group, member, hooks, going, at)
        else:
            self._leave(group, member, at)

    def _wait(self, group: _Asg, member: _Member, hooks: list[Hook], aws_state: str, at: float) -> None:
        member.aws_state = aws_state
        for hook in hooks:
            ceiling_at = at + min(HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS * hook.timeout_s)
            token = f"{next(self._numbers):08x}-0000-4000-8000-000000000000"
            member.waits.append(_Wait(hook, token, at + hook.timeout_s, ceiling_at))
        for wait in list(member.waits):
            self._tell(group, member, at, _action(group, member, wait))

    def _proceed(self, group: _Asg, member: _Member, at: float) -> None:
        """On, once every hook has continued or one has abandoned: then the others' answers count no more."""
        results = [wait.result for wait in member.waits]
        abandoned = HookResult.ABANDON in results
        if not abandoned and None in results:
            return
        launching = member.waits[0].hook.transition is Transition.LAUNCHING
        member.waits.clear()
        if launching and abandoned:
            self._terminate(group, member, at)
        elif launching:
            member.aws_state, member.protected = "InService", group.protect_new
            self._tell(group, member, at)
        elif abandoned and group.retains:
            member.aws_state = f"{'Warmed:Pending' if member.destination == 'WarmPool' else 'Terminating'}:Retained"
            self._tell(group, member, at)
        else:
            self._leave(group, member, at)

    def _leave(self, group: _Asg, member: _Member, at: float) -> None:
        """Terminated, or into the warm pool."""
        if member.destination == "WarmPool" and member.healthy:
            member.aws_state = "Warmed:Stopped"
            self._tell(group, member, at)
        else:
            self._end(group, member, at)

    def _end(self, group: _Asg, member: _Member, at: float) -> None:
        member.aws_state = "Terminated"
        del group.members[member.id]
        self._tell(group, member, at)

    def _tell(self, group: _Asg, member: _Member, at: float, action: HookAction | None = None) -> None:
        change = Change(at, group.name, member.id, member.aws_state, action, member.destination)
        self.history.append(change)
        if self._watch:
            self._watch(change)


def _due_at(member: _Member) -> float:
    waits = member.open_waits()
    return min(wait.expires_at for wait in waits) if waits else member.due_at


def _action(group: _Asg, member: _Member, wait: _Wait) -> HookAction:
    return HookAction(group.name, wait.hook.name, member.id, wait.token)
