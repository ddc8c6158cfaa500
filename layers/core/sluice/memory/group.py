"""Auto Scaling groups in memory: bounds, boot time, hooks and their timeouts, warm pools, retention, protection.

Whatever falls due between two calls (a boot ends, a hook times out) happens at its own time, in order, at the next call
(`sluice.memory.group_lifecycle`).
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

from sluice.memory.clock import Clock
from sluice.memory.group_lifecycle import GroupLifecycle, action_of, launch_of
from sluice.memory.group_state import GroupState, Hook, HookWait, InstanceChange, LifecycleTransition, Member
from sluice.model.draining import HookAction, HookResult
from sluice.model.launches import Launch, with_launches
from sluice.model.observed import GroupReading, Instance, Lifecycle, Membership
from sluice.ports.aws_services import PROTECTED_AT_ONCE
from sluice.ports.errors import NeedsFixError, PortError, RefusedError, answer_of


class MemoryGroup:
    """The Group port over groups made by `create`.

    Args:
        clock: the time.
        watch: called with every change as it happens.
        launched: called with every launch that is over, as Auto Scaling's launch events tell of it.
    """

    def __init__(
        self,
        clock: Clock,
        watch: Callable[[InstanceChange], None] | None = None,
        launched: Callable[[Launch], None] | None = None,
    ) -> None:
        self._clock = clock
        self._lifecycle = GroupLifecycle(clock, watch, launched)
        self._groups: dict[str, GroupState] = {}

    @property
    def history(self) -> list[InstanceChange]:
        """Every change of every instance, oldest first."""
        return self._lifecycle.history

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
        self._groups[name] = GroupState(
            name, min_size, max_size, desired, boot_s, hooks, protect_new, warm_pool, retains
        )
        self._lifecycle.settle(self._groups[name])
        return name

    def drop(self, name: str) -> None:
        """Delete a group with its instances at once, as a forced delete does: no hook holds."""
        self._groups.pop(name, None)

    def resize(self, name: str, *, min_size: int, max_size: int) -> None:
        """Change the bounds; the desired capacity follows them."""
        group = self._settled(name)
        group.min_size, group.max_size = min_size, max_size
        group.desired = min(max(group.desired, min_size), max_size)
        self._lifecycle.settle(group)

    def suspend(self, name: str, *processes: str) -> None:
        """Suspend processes by name, such as "Launch" and "Terminate"."""
        self._settled(name).suspended |= set(processes)

    def resume(self, name: str, *processes: str) -> None:
        """Resume suspended processes."""
        group = self._settled(name)
        group.suspended -= set(processes)
        self._lifecycle.settle(group)

    def limit_lifetime(self, name: str, seconds: float | None) -> None:
        """Set how long an instance may be in service; that Auto Scaling replaces it then is left to the test."""
        self._settled(name).max_lifetime_s = seconds

    def begin_refresh(self, name: str) -> None:
        """An instance refresh begins; that it replaces instances is left to the test."""
        self._settled(name).refresh_began_at = self._clock()

    def end_refresh(self, name: str) -> None:
        """The instance refresh is over."""
        self._settled(name).refresh_began_at = None

    def delete_hook(self, name: str, hook: str) -> None:
        """Remove a hook: what waits for it is launched no further, or terminates without it."""
        group = self._settled(name)
        group.hooks = tuple(one for one in group.hooks if one.name != hook)
        for member in list(group.members.values()):
            for wait in member.open_waits():
                if wait.hook.name == hook:
                    launching = wait.hook.transition is LifecycleTransition.LAUNCHING
                    wait.result = HookResult.ABANDON if launching else HookResult.CONTINUE
                    self._lifecycle.proceed(group, member, self._clock())
        self._lifecycle.settle(group)

    def fail_launches(self, name: str, message: str | None) -> None:
        """From now on every launch fails with this message; None: launches succeed again."""
        group = self._settled(name)
        group.launch_fault.message, group.launch_fault.retry_at = message, -math.inf
        self._lifecycle.settle(group)

    def terminate(self, name: str, instance_id: str, *, decrement: bool = False) -> None:
        """Terminate one instance as TerminateInstanceInAutoScalingGroup does: no protection holds, a hook does."""
        group = self._settled(name)
        if decrement:
            if group.desired <= group.min_size:
                raise RefusedError(f"ValidationError: group {name} would fall below its minimum {group.min_size}")
            group.desired -= 1
        self._lifecycle.terminate(group, group.members[instance_id], self._clock())
        self._lifecycle.settle(group)

    def lose(self, name: str, instance_id: str) -> None:
        """The instance dies (a crash, or Spot takes it): the group replaces it as unhealthy, hook included."""
        group = self._settled(name)
        member = group.members[instance_id]
        member.healthy = False
        if not member.is_leaving:
            self._lifecycle.terminate(group, member, self._clock())
        self._lifecycle.settle(group)

    def waiting(self, name: str) -> tuple[HookAction, ...]:
        """Every lifecycle action that waits for an answer."""
        group = self._settled(name)
        return tuple(
            action_of(group, member, wait) for member in group.members.values() for wait in member.open_waits()
        )

    def desired(self, name: str) -> int:
        """The desired capacity, without a reading of every instance."""
        return self._settled(name).desired

    def settle(self) -> None:
        """Let everything happen that has fallen due, without asking anything."""
        for group in self._groups.values():
            self._lifecycle.settle_if_due(group)

    # ----------------------------------------------------------------- the port

    def read(self, group: str) -> GroupReading:
        """The group now, with its warm pool and its last launches."""
        (reading,) = self.read_all((group,), self._clock(), warm_pools=True)
        if isinstance(reading, PortError):
            raise reading
        return with_launches(reading, self.launches(group))

    def read_all(
        self, groups: Sequence[str], now: float, *, warm_pools: bool = False
    ) -> tuple[GroupReading | PortError, ...]:
        """Each group or its error."""
        return tuple(answer_of(partial(self._reading, group, now, warm_pool=warm_pools)) for group in groups)

    def _reading(self, group: str, now: float, *, warm_pool: bool) -> GroupReading:
        asg = self._settled(group)
        members = [m for m in asg.members.values() if warm_pool or not m.aws_state.startswith("Warmed:")]
        return GroupReading(
            name=group,
            at=now,
            desired=asg.desired,
            min_size=asg.min_size,
            max_size=asg.max_size,
            instances=tuple(
                Instance(m.id, Lifecycle.of(m.aws_state), m.aws_state, m.healthy, m.protected) for m in members
            ),
            suspended=frozenset(asg.suspended),
            protects_new=asg.protect_new,
            retains=asg.retains,
            max_lifetime_s=asg.max_lifetime_s,
        )

    def launches(self, group: str) -> tuple[Launch, ...]:
        """The last launches: of its instances, and those that failed."""
        asg = self._settled(group)
        return (*(launch_of(asg, member) for member in asg.members.values()), *asg.launch_fault.failed)

    def refresh_began_at(self, group: str) -> float | None:
        """When the instance refresh began that is under way."""
        return self._settled(group).refresh_began_at

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
            asg.launch_fault.retry_at = -math.inf
        asg.desired = desired
        self._lifecycle.settle(asg)

    def complete_hook(self, action: HookAction, result: HookResult) -> bool:
        """Complete a lifecycle action; False if none is active."""
        group, member, wait = self._active(action)
        if group is None or member is None or wait is None:
            return False
        wait.result = result
        self._lifecycle.proceed(group, member, self._clock())
        self._lifecycle.settle(group)
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
        self._lifecycle.settle(asg)

    def end(self, group: str, instance_id: str) -> bool:
        """Terminate an instance that the group has retained, or, as AWS does, any other of its own."""
        asg = self._settled(group)
        member = asg.members.get(instance_id)
        if member is None:
            return False
        if member.aws_state.endswith(":Retained"):
            self._lifecycle.end(asg, member, self._clock())
        elif not member.is_leaving:
            self._lifecycle.terminate(asg, member, self._clock())
        self._lifecycle.settle(asg)
        return True

    # ----------------------------------------------------------------- inside

    def _settled(self, name: str) -> GroupState:
        try:
            group = self._groups[name]
        except KeyError:
            raise NeedsFixError(
                f"Auto Scaling group {name} does not exist: create it, or correct the fleet's document"
            ) from None
        self._lifecycle.settle_if_due(group)
        return group

    def _active(self, action: HookAction) -> tuple[GroupState | None, Member | None, HookWait | None]:
        """The instance that waits for an answer to this action, and its wait, if there is one."""
        if action.group not in self._groups:
            return None, None, None
        group = self._settled(action.group)
        member = group.members.get(action.instance_id)
        for wait in member.open_waits() if member else ():
            if wait.hook.name == action.hook and action.token in {None, wait.token}:
                return group, member, wait
        return group, None, None
