"""The lifecycle of instances in a group in memory: launches, boots, hooks and their timeouts, terminations, warm pools.

After https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html. What falls due between two
calls (a boot ends, a hook times out) happens at its own time, in order, when the group is settled.
"""

import itertools
import math
from collections.abc import Callable

from sluice.memory.clock import Clock
from sluice.memory.group_state import GroupState, Hook, HookWait, InstanceChange, LifecycleTransition, Member
from sluice.model.draining import HookAction, HookResult
from sluice.model.frozen import replace
from sluice.model.launches import Launch

# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html
HOOK_CEILING_S = 172_800.0
HOOK_CEILING_TIMEOUTS = 100
LAUNCH_RETRY_S = 60.0  # how long the group waits after a launch that failed; AWS backs off from about a minute
FAILURES_KEPT = 10


class GroupLifecycle:
    """Moves instances of groups through their states. `history` has every change, and `watch` is called with each.

    `launched` is called with every launch that is over: its instance is in service, or none came of it.
    """

    def __init__(
        self,
        clock: Clock,
        watch: Callable[[InstanceChange], None] | None,
        launched: Callable[[Launch], None] | None = None,
    ) -> None:
        self._clock = clock
        self._watch = watch
        self._launched = launched
        self._numbers = itertools.count(1)
        self.history: list[InstanceChange] = []

    def settle_if_due(self, group: GroupState) -> None:
        """Settle a group that nobody has changed; where nothing is due, that costs nothing."""
        if self._clock() >= group.quiet_until:
            self.settle(group)

    def settle(self, group: GroupState) -> None:
        """Let everything happen that has fallen due, in order of time."""
        now = self._clock()
        self._reconcile(group, now)
        while due := min(((m.due_at(), m.id) for m in group.members.values() if m.due_at() <= now), default=None):
            at, member = due[0], group.members[due[1]]
            if waits := member.open_waits():
                over = min(waits, key=lambda wait: wait.expires_at)
                over.result = over.hook.default
                self.proceed(group, member, at)
            else:
                self._arrive(group, member, at)
            self._reconcile(group, at)
        due_at = min((member.due_at() for member in group.members.values()), default=math.inf)
        # Heartbeats only delay what is due; a launch that failed is repeated at its own time.
        group.quiet_until = min(due_at, group.launch_fault.retry_at) if group.launch_fault.retry_at > now else due_at

    def _reconcile(self, group: GroupState, at: float) -> None:
        """Launch or terminate towards the desired capacity, as far as the group may."""
        missing = group.desired - len(group.staying())
        if missing > 0 and "Launch" not in group.suspended and at >= group.launch_fault.retry_at:
            if group.launch_fault.message is not None:
                failed = Launch(group.name, f"failed-{group.name}-{at}", at, at, failure=group.launch_fault.message)
                group.launch_fault.failed = [failed, *group.launch_fault.failed][:FAILURES_KEPT]
                if self._launched:
                    self._launched(failed)
                group.launch_fault.retry_at = at + LAUNCH_RETRY_S
                return
            pool = [m for m in group.members.values() if m.aws_state == "Warmed:Stopped"]
            for member in pool[:missing]:
                member.aws_state, member.launched_at, member.due_up_at = "Pending", at, at + group.boot_s
                self._record(group, member, at)
            for _ in range(missing - len(pool)):
                self._launch(group, at)
        if missing < 0 and "Terminate" not in group.suspended:
            spare = [m for m in group.staying() if not m.protected]
            spare.sort(key=lambda m: (m.healthy, m.launched_at, m.id))  # the oldest go first, the unhealthy before them
            for member in spare[:-missing]:
                self.terminate(group, member, at, "WarmPool" if group.warm_pool else "EC2")

    def _launch(self, group: GroupState, at: float) -> None:
        member = Member(f"i-{next(self._numbers):017x}", "Pending", at, at + group.boot_s, group.protect_new)
        group.members[member.id] = member
        self._record(group, member, at)

    def _arrive(self, group: GroupState, member: Member, at: float) -> None:
        """The boot has ended: the launch hooks are next if there are any, else the instance is in service."""
        member.due_up_at = math.inf
        if hooks := group.hooks_of(LifecycleTransition.LAUNCHING):
            self._wait(group, member, hooks, "Pending:Wait", at)
        else:
            member.aws_state = "InService"
            self._record(group, member, at)

    def terminate(self, group: GroupState, member: Member, at: float, destination: str = "EC2") -> None:
        """Terminate an instance, or (destination "WarmPool") return it to the warm pool: hooks first."""
        member.due_up_at, member.destination, member.protected = math.inf, destination, False
        member.waits.clear()
        if hooks := group.hooks_of(LifecycleTransition.TERMINATING):
            # https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pools-eventbridge-events.html
            going = "Warmed:Pending:Wait" if destination == "WarmPool" else "Terminating:Wait"
            self._wait(group, member, hooks, going, at)
        else:
            self._leave(group, member, at)

    def _wait(self, group: GroupState, member: Member, hooks: list[Hook], aws_state: str, at: float) -> None:
        member.aws_state = aws_state
        for hook in hooks:
            ceiling_at = at + min(HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS * hook.timeout_s)
            token = f"{next(self._numbers):08x}-0000-4000-8000-000000000000"
            member.waits.append(HookWait(hook, token, at + hook.timeout_s, ceiling_at))
        for wait in list(member.waits):
            self._record(group, member, at, action_of(group, member, wait))

    def proceed(self, group: GroupState, member: Member, at: float) -> None:
        """Go on, once every hook has continued or one has abandoned, whatever the others answer."""
        results = [wait.result for wait in member.waits]
        abandoned = HookResult.ABANDON in results
        if not abandoned and None in results:
            return
        launching = member.waits[0].hook.transition is LifecycleTransition.LAUNCHING
        member.waits.clear()
        if launching and abandoned:
            self.terminate(group, member, at)
        elif launching:
            member.aws_state, member.protected = "InService", group.protect_new
            self._record(group, member, at)
        elif abandoned and group.retains:
            member.aws_state = f"{'Warmed:Pending' if member.destination == 'WarmPool' else 'Terminating'}:Retained"
            self._record(group, member, at)
        else:
            self._leave(group, member, at)

    def _leave(self, group: GroupState, member: Member, at: float) -> None:
        """Terminated, or into the warm pool."""
        if member.destination == "WarmPool" and member.healthy:
            member.aws_state = "Warmed:Stopped"
            self._record(group, member, at)
        else:
            self.end(group, member, at)

    def end(self, group: GroupState, member: Member, at: float) -> None:
        """Terminate an instance at once."""
        member.aws_state = "Terminated"
        del group.members[member.id]
        self._record(group, member, at)

    def _record(self, group: GroupState, member: Member, at: float, action: HookAction | None = None) -> None:
        change = InstanceChange(at, group.name, member.id, member.aws_state, action, member.destination)
        self.history.append(change)
        if self._launched and member.aws_state == "InService":
            self._launched(replace(launch_of(group, member), ended_at=at))
        if self._watch:
            self._watch(change)


def action_of(group: GroupState, member: Member, wait: HookWait) -> HookAction:
    """A lifecycle action as Auto Scaling names it."""
    return HookAction(group.name, wait.hook.name, member.id, wait.token)


def launch_of(group: GroupState, member: Member) -> Launch:
    """The last launch of an instance, whether or not it is over."""
    activity = f"launch-{member.id}-{member.launched_at}"  # one that comes out of a warm pool is launched again
    return Launch(group.name, activity, member.launched_at, instance_id=member.id)
