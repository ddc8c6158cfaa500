"""The life of one instance in a group, as rules: states, hooks' timeouts, who goes first. Times are arguments.

AWS pages (autoscaling/ec2/userguide):
- ec2-auto-scaling-lifecycle.html, lifecycle-hooks-overview.html: the states and their order; a heartbeat restarts
  the timeout; an instance waits for at most 48 hours or 100 times the timeout, whichever is less; the default result
  applies on timeout; ABANDON of one action ends the others; a launching instance is terminated on ABANDON.
- retrieving-target-lifecycle-state-through-imds.html: the target state an instance can read.
- ec2-auto-scaling-termination-policies.html, ec2-auto-scaling-instance-protection.html: who is terminated first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

GLOBAL_TIMEOUT_S = 48 * 3600
"""The longest an instance stays in a wait state, unless 100 heartbeat timeouts are less."""
GLOBAL_TIMEOUT_HEARTBEATS = 100
"""The same bound in heartbeat timeouts."""

LAUNCHING = "autoscaling:EC2_INSTANCE_LAUNCHING"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
CONTINUE = "CONTINUE"
ABANDON = "ABANDON"


class State(StrEnum):
    """Lifecycle states, by AWS's names."""

    PENDING = "Pending"
    PENDING_WAIT = "Pending:Wait"
    PENDING_PROCEED = "Pending:Proceed"
    IN_SERVICE = "InService"
    TERMINATING = "Terminating"
    TERMINATING_WAIT = "Terminating:Wait"
    TERMINATING_PROCEED = "Terminating:Proceed"
    TERMINATING_RETAINED = "Terminating:Retained"
    TERMINATED = "Terminated"


LEAVING = frozenset(
    {
        State.TERMINATING,
        State.TERMINATING_WAIT,
        State.TERMINATING_PROCEED,
        State.TERMINATING_RETAINED,
        State.TERMINATED,
    }
)
"""States that no longer count towards the group's capacity."""


@dataclass(slots=True)
class HookAction:
    """One instance held by one hook."""

    hook: str
    token: str
    transition: str
    heartbeat_timeout_s: float
    default_result: str
    began_at: float
    heartbeat_at: float
    result: str | None = None

    def heartbeat(self, now: float) -> None:
        """Restart the timeout."""
        self.heartbeat_at = now

    def complete(self, result: str) -> None:
        """Give the result; the first one counts."""
        if self.result is None:
            self.result = result

    @property
    def ends_at(self) -> float:
        """When the default result applies, whatever comes: the heartbeat's or the global timeout."""
        ceiling_s = min(GLOBAL_TIMEOUT_S, GLOBAL_TIMEOUT_HEARTBEATS * self.heartbeat_timeout_s)
        return min(self.heartbeat_at + self.heartbeat_timeout_s, self.began_at + ceiling_s)

    def expire(self, now: float) -> None:
        """Apply the default result once the timeout has passed."""
        if now >= self.ends_at:
            self.complete(self.default_result)


def outcome(actions: Iterable[HookAction]) -> str | None:
    """What all actions of a wait state come to: ABANDON as soon as one says so, CONTINUE once all do, else None."""
    results = [action.result for action in actions]
    if ABANDON in results:
        return ABANDON
    return CONTINUE if all(result == CONTINUE for result in results) else None


@dataclass(slots=True)
class Candidate:
    """What a scale-in looks at in one instance."""

    instance_id: str
    state: State
    zone: str
    launched_at: float
    template: str = ""
    protected: bool = False
    unhealthy: bool = False


@dataclass(frozen=True, slots=True)
class ScaleIn:
    """Who goes, and how many should have gone but are protected."""

    chosen: tuple[str, ...] = ()
    held_by_protection: int = 0


def choose_for_scale_in(
    candidates: Sequence[Candidate], count: int, policies: Sequence[str], newest_template: str = ""
) -> ScaleIn:
    """Choose ``count`` instances to terminate.

    Unhealthy ones go first; then the zone with the most instances gives, by the group's first policy: Default (old
    launch template, then oldest: all machines here begin their billing hour at launch), OldestInstance,
    NewestInstance, OldestLaunchTemplate. Those already leaving and those under scale-in protection are passed over.
    """
    staying = [candidate for candidate in candidates if candidate.state not in LEAVING]
    eligible = [candidate for candidate in staying if not candidate.protected]
    zones = Counter(candidate.zone for candidate in staying)
    policy = policies[0] if policies else "Default"
    chosen: list[str] = []
    while eligible and len(chosen) < count:
        # Only InService instances can be protected; those still launching go when nobody else is left.
        ready = [c for c in eligible if c.state is State.IN_SERVICE] or eligible
        sick = [c for c in ready if c.unhealthy]
        pool = sick or [c for c in ready if zones[c.zone] == max(zones[other.zone] for other in ready)]
        victim = min(pool, key=lambda c: _rank(c, policy, newest_template))
        zones[victim.zone] -= 1
        eligible.remove(victim)
        chosen.append(victim.instance_id)
    return ScaleIn(tuple(chosen), count - len(chosen))


def _rank(candidate: Candidate, policy: str, newest_template: str) -> tuple[bool, float, str]:
    """Sort key: least goes first."""
    age = -candidate.launched_at if policy == "NewestInstance" else candidate.launched_at
    up_to_date = candidate.template == newest_template and policy in {"Default", "OldestLaunchTemplate"}
    return up_to_date, age, candidate.instance_id


@dataclass(slots=True)
class Waiting:
    """The wait state of one instance: its actions, by hook."""

    actions: list[HookAction] = field(default_factory=list)

    def find(self, hook: str, token: str | None) -> HookAction | None:
        """The open action of a hook, by token where one is given."""
        for action in self.actions:
            if action.hook == hook and action.result is None and token in (None, action.token):
                return action
        return None
