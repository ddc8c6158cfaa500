"""Who sets the capacity: what changes a group's desired capacity and is not the planner.

A group whose capacity is none that it had or was asked for in the last minute was set by something else: another
scaling policy, a scheduled action, an operator. A minute, since a group may be read some seconds after it was asked.
Twice in half an hour may be an operator's doing. Three times are another controller's: the two would undo each other's
changes, and each round costs launches. Then the planner leaves the capacity as it is, and says so.

Half an hour after the last such change it tries a capacity of one instance more or fewer, for as long as the three
changes took. If it is set back, another half hour begins; if it stays, the capacity is the planner's again.
"""

from sluice.model.decisions import Decision
from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Mode
from sluice.model.planning import ControlMemory
from sluice.planning.assessment import Assessment
from sluice.planning.learning.significance import RECENT, RECENT_S
from sluice.planning.wish import Wish
from sluice.wording import duration

READ_WITHIN_S = 60.0  # a reading of a group is no older


def learn_control(memory: ControlMemory, group: GroupReading, mode: Mode, at: float) -> ControlMemory:
    """Note whether something else has set the capacity since the last decision.

    Args:
        memory: what was known before.
        group: as read now.
        mode: of a fleet whose decisions are not applied, everything is set by others.
        at: epoch seconds of the reading.
    """
    if mode is not Mode.ACT or memory.asked is None or group.desired in memory.asked:
        return memory
    if any(at < until and group.desired == capacity for until, capacity in memory.before):
        return memory
    left = at, group.desired
    if _left(memory, at) is not None:
        return replace(memory, left_to_other=left)
    others_at = (*memory.others_at[1 - RECENT :], at)
    again_and_again = len(others_at) == RECENT and at - others_at[0] <= RECENT_S
    return replace(memory, others_at=others_at, left_to_other=left if again_and_again else None)


def asked(memory: ControlMemory, decision: Decision) -> ControlMemory:
    """The memory after a decision: the capacities that its group may have now. One that fails is not set."""
    left = _left(memory, decision.at)
    if left is not None and decision.want == left[1]:  # a trial begins once another capacity is wanted
        left = max(left[0], decision.at - RECENT_S), left[1]
    if left != memory.left_to_other:
        memory = replace(memory, left_to_other=left)
    now = (decision.current, decision.want) if decision.mode is Mode.ACT else None
    if now == memory.asked:
        return memory
    before = [entry for entry in memory.before if entry[0] > decision.at]
    before += [(decision.at + READ_WITHIN_S, capacity) for capacity in dict.fromkeys(memory.asked or ())]
    return replace(memory, asked=now, before=tuple(before))


def _left(memory: ControlMemory, at: float) -> tuple[float, int] | None:
    """When something else last set the capacity that is left to it, and that capacity; None where it is the planner's.

    It is so again when a trial is over that begins as early as it may.
    """
    left = memory.left_to_other
    if left is None or at > left[0] + RECENT_S + memory.others_at[-1] - memory.others_at[0]:
        return None
    return left


def other_controller(tick: Assessment, wish: Wish) -> str | None:
    """Leave the capacity as it is while something else sets it again and again, but for a trial now and then."""
    control = tick.memory.decisions.control
    left = _left(control, tick.now)
    if tick.fleet.mode is not Mode.ACT or left is None:
        return None
    at, capacity = left
    times = f"{len(control.others_at)} times within {duration(control.others_at[-1] - control.others_at[0])}"
    done = f"something else has set the capacity {times}"
    remedy = f"remove the other scaling policies and schedules of group {tick.group.name}, or set the mode to shadow"
    if tick.now - at <= RECENT_S:
        wish.want = tick.current
        return f"no change: {done}, and last {duration(tick.now - at)} ago; {remedy}"
    tried = min(max(wish.want, capacity - 1), capacity + 1)
    if tried == wish.want:
        return None
    wish.want = tried
    return f"at most one instance more or fewer, to see whether it stays: {done}; {remedy}"
