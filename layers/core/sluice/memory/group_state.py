"""What a group in memory holds: its hooks, its instances, and the lifecycle actions that wait for an answer."""

import math
from dataclasses import dataclass, field
from enum import StrEnum

from sluice.model.draining import HookAction, HookResult
from sluice.model.launches import Launch
from sluice.model.observed import Lifecycle


class LifecycleTransition(StrEnum):
    """The transition that a lifecycle hook delays."""

    LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
    TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"


@dataclass(frozen=True, slots=True)
class Hook:
    """A lifecycle hook of a group in memory."""

    name: str
    transition: LifecycleTransition = LifecycleTransition.TERMINATING
    timeout_s: float = 3_600.0
    default: HookResult = HookResult.ABANDON


@dataclass(frozen=True, slots=True)
class InstanceChange:
    """An instance came into a state: what a group's activities and events report. `at` is epoch seconds."""

    at: float
    group: str
    instance_id: str
    aws_state: str
    action: HookAction | None = None  # in a waiting state: there is one change for each hook
    destination: str = "EC2"  # or "WarmPool": where a terminating instance goes


@dataclass(slots=True)
class HookWait:
    """A lifecycle action of one hook; None as its result until it is answered. Times are epoch seconds."""

    hook: Hook
    token: str
    expires_at: float
    ceiling_at: float  # no heartbeat extends it beyond
    result: HookResult | None = None


@dataclass(slots=True)
class Member:
    """One instance of a group. `aws_state` is the lifecycle state as Auto Scaling names it."""

    id: str
    aws_state: str
    launched_at: float
    due_up_at: float = math.inf  # when its boot ends
    protected: bool = False
    healthy: bool = True
    waits: list[HookWait] = field(default_factory=list)
    destination: str = "EC2"

    @property
    def is_leaving(self) -> bool:
        """Whether it is leaving service. One that returns to the warm pool is in one of the pool's states."""
        return Lifecycle.of(self.aws_state) is Lifecycle.DRAINING or self.aws_state.startswith("Warmed:Pending")

    def open_waits(self) -> list[HookWait]:
        """The lifecycle actions without an answer yet."""
        return [wait for wait in self.waits if wait.result is None]

    def due_at(self) -> float:
        """When its next change falls due: the first timeout of a hook, else the end of its boot."""
        return min((wait.expires_at for wait in self.open_waits()), default=self.due_up_at)


@dataclass(slots=True)
class LaunchFault:
    """What is made to fail of a group's launches. Times are epoch seconds."""

    message: str | None = None  # why each launch fails; None: none does
    retry_at: float = -math.inf  # nothing is launched before
    failed: list[Launch] = field(default_factory=list)  # the last, newest first


@dataclass(slots=True)
class GroupState:
    """One group: its settings, its instances, and what was made to fail. Times are epoch seconds."""

    name: str
    min_size: int
    max_size: int
    desired: int
    boot_s: float
    hooks: tuple[Hook, ...]
    protect_new: bool
    warm_pool: bool
    retains: bool
    max_lifetime_s: float | None = None
    refresh_began_at: float | None = None
    members: dict[str, Member] = field(default_factory=dict)
    suspended: set[str] = field(default_factory=set)
    launch_fault: LaunchFault = field(default_factory=LaunchFault)
    quiet_until: float = -math.inf  # nothing falls due before

    def hooks_of(self, transition: LifecycleTransition) -> list[Hook]:
        """Its hooks for a transition: an instance waits for every one."""
        return [hook for hook in self.hooks if hook.transition is transition]

    def staying(self) -> list[Member]:
        """Members that count against the desired capacity: launching or in service."""
        return [
            m for m in self.members.values() if Lifecycle.of(m.aws_state) in {Lifecycle.LAUNCHING, Lifecycle.IN_SERVICE}
        ]
