"""Auto Scaling groups in memory: bounds, boot time, lifecycle waits and their timeouts, protection, suspension.

Whatever falls due between two calls (an instance is up, a hook's timeout ends) happens at its own time, in order, at
the next call. Lifecycle after
https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from sluice.memory.clock import Clock
from sluice.model import GroupReading, HookAction, HookResult, Instance, LaunchFailure, Lifecycle
from sluice.ports import NeedsFixError, RefusedError

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
    action: HookAction | None = None  # of the waiting states


@dataclass(slots=True)
class _Wait:
    hook: Hook
    token: str
    expires_at: float
    ceiling_at: float


@dataclass(slots=True)
class _Member:
    id: str
    aws_state: str
    launched_at: float
    due_at: float = math.inf  # when it is up
    protected: bool = False
    healthy: bool = True
    wait: _Wait | None = None


@dataclass(slots=True)
class _Asg:
    name: str
    min_size: int
    max_size: int
    desired: int
    boot_s: float
    hooks: tuple[Hook, ...]
    protect_new: bool
    members: dict[str, _Member] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    launch_fault: str | None = None
    retry_at: float = -math.inf
    failures: list[LaunchFailure] = field(default_factory=list)

    def hook(self, transition: Transition) -> Hook | None:
        return next((hook for hook in self.hooks if hook.transition is transition), None)

    def staying(self) -> list[_Member]:
        """Members that count against the desired capacity: launching or in service."""
        return [
            m for m in self.members.values() if Lifecycle.of(m.aws_state) in {Lifecycle.LAUNCHING, Lifecycle.WORKING}
        ]


class MemoryGroup:
    """The Group port over groups made by `create`; `watch` is told of every change as it happens."""

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
    ) -> str:
        """Make a group; its name. At most one hook a transition. `boot_s` is from launch to InService."""
        if not 0 <= min_size <= desired <= max_size:
            raise ValueError(f"group {name}: 0 <= min_size <= desired <= max_size must hold")
        self._groups[name] = _Asg(name, min_size, max_size, desired, boot_s, hooks, protect_new)
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

    def protect(self, name: str, instance_id: str, *, protected: bool = True) -> None:
        """Set an instance's scale-in protection."""
        group = self._settled(name)
        group.members[instance_id].protected = protected
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
        if Lifecycle.of(member.aws_state) is not Lifecycle.DRAINING:
            self._terminate(group, member, self._clock())
        self._settle(group)

    def waiting(self, name: str) -> tuple[HookAction, ...]:
        """Every lifecycle action that waits for an answer."""
        group = self._settled(name)
        return tuple(_action(group, member) for member in group.members.values() if member.wait)

    def settle(self) -> None:
        """Let everything happen that has fallen due, without asking anything."""
        for group in self._groups.values():
            self._settle(group)

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
        )

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
        group, member = self._active(action)
        if group is None or member is None:
            return False
        self._proceed(group, member, result, self._clock())
        self._settle(group)
        return True

    def heartbeat(self, action: HookAction) -> bool:
        """Restart the hook's timeout, up to the ceiling; False if no action is active."""
        _, member = self._active(action)
        if member is None or member.wait is None:
            return False
        member.wait.expires_at = min(self._clock() + member.wait.hook.timeout_s, member.wait.ceiling_at)
        return True

    # ----------------------------------------------------------------- inside

    def _settled(self, name: str) -> _Asg:
        try:
            group = self._groups[name]
        except KeyError:
            raise NeedsFixError(
                f"Auto Scaling group {name} does not exist: create it, or correct the fleet's document"
            ) from None
        self._settle(group)
        return group

    def _active(self, action: HookAction) -> tuple[_Asg | None, _Member | None]:
        """The member that waits on just this action, if any."""
        if action.group not in self._groups:
            return None, None
        group = self._settled(action.group)
        member = group.members.get(action.instance_id)
        if member is None or member.wait is None or member.wait.hook.name != action.hook:
            return group, None
        if action.token is not None and action.token != member.wait.token:
            return group, None
        return group, member

    def _settle(self, group: _Asg) -> None:
        """Let happen, in order of time, all that has fallen due."""
        now = self._clock()
        self._reconcile(group, now)
        while due := min(((_due_at(m), m.id) for m in group.members.values() if _due_at(m) <= now), default=None):
            at, member = due[0], group.members[due[1]]
            if member.wait:
                self._proceed(group, member, member.wait.hook.default, at)
            else:
                self._arrive(group, member, at)
            self._reconcile(group, at)

    def _reconcile(self, group: _Asg, at: float) -> None:
        """Launch or terminate towards the desired capacity, as far as the group may."""
        missing = group.desired - len(group.staying())
        if missing > 0 and "Launch" not in group.suspended and at >= group.retry_at:
            if group.launch_fault is not None:
                group.failures = [LaunchFailure(at, group.launch_fault), *group.failures][:FAILURES_KEPT]
                group.retry_at = at + LAUNCH_RETRY_S
                return
            for _ in range(missing):
                self._launch(group, at)
        if missing < 0 and "Terminate" not in group.suspended:
            spare = [m for m in group.staying() if not m.protected]
            spare.sort(key=lambda m: (m.healthy, m.launched_at, m.id))  # the oldest go first, the unhealthy before them
            for member in spare[:-missing]:
                self._terminate(group, member, at)

    def _launch(self, group: _Asg, at: float) -> None:
        member = _Member(f"i-{next(self._numbers):017x}", "Pending", at, at + group.boot_s, group.protect_new)
        group.members[member.id] = member
        self._tell(group, member, at)

    def _arrive(self, group: _Asg, member: _Member, at: float) -> None:
        """The instance is up: on to the launch hook if there is one, else into service."""
        member.due_at = math.inf
        if hook := group.hook(Transition.LAUNCHING):
            self._wait(group, member, hook, "Pending:Wait", at)
        else:
            member.aws_state = "InService"
            self._tell(group, member, at)

    def _terminate(self, group: _Asg, member: _Member, at: float) -> None:
        member.due_at, member.wait = math.inf, None
        if hook := group.hook(Transition.TERMINATING):
            self._wait(group, member, hook, "Terminating:Wait", at)
        else:
            self._end(group, member, at)

    def _wait(self, group: _Asg, member: _Member, hook: Hook, aws_state: str, at: float) -> None:
        ceiling_at = at + min(HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS * hook.timeout_s)
        token = f"{next(self._numbers):08x}-0000-4000-8000-000000000000"
        member.wait = _Wait(hook, token, at + hook.timeout_s, ceiling_at)
        member.aws_state = aws_state
        self._tell(group, member, at, _action(group, member))

    def _proceed(self, group: _Asg, member: _Member, result: HookResult, at: float) -> None:
        """The wait is over: an abandoned launch is terminated, a termination goes on either way."""
        launching = member.wait is not None and member.wait.hook.transition is Transition.LAUNCHING
        member.wait = None
        if not launching:
            self._end(group, member, at)
        elif result is HookResult.ABANDON:
            self._terminate(group, member, at)
        else:
            member.aws_state = "InService"
            self._tell(group, member, at)

    def _end(self, group: _Asg, member: _Member, at: float) -> None:
        member.aws_state = "Terminated"
        del group.members[member.id]
        self._tell(group, member, at)

    def _tell(self, group: _Asg, member: _Member, at: float, action: HookAction | None = None) -> None:
        change = Change(at, group.name, member.id, member.aws_state, action)
        self.history.append(change)
        if self._watch:
            self._watch(change)


def _due_at(member: _Member) -> float:
    return member.wait.expires_at if member.wait else member.due_at


def _action(group: _Asg, member: _Member) -> HookAction:
    assert member.wait is not None
    return HookAction(group.name, member.wait.hook.name, member.id, member.wait.token)
