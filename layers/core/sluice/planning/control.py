"""Who sets the capacity: what changes a group's desired capacity and is not the planner.

A group whose capacity is none that it had or was asked for in the last minute was set by something else: another
scaling policy, a scheduled action, an operator. A minute, since a group may be read some seconds after it was asked.
Twice in half an hour may be an operator's doing. Three times are another controller's: the two would undo each other's
changes, and each round costs launches. Then the planner leaves the capacity as it is, and says so.
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
    return replace(memory, others_at=(*memory.others_at[1 - RECENT :], at))


def asked(memory: ControlMemory, decision: Decision) -> ControlMemory:
    """The memory after a decision: the capacities that its group may have now. One that fails is not set."""
    now = (decision.current, decision.want) if decision.mode is Mode.ACT else None
    if now == memory.asked:
        return memory
    before = [entry for entry in memory.before if entry[0] > decision.at]
    before += [(decision.at + READ_WITHIN_S, capacity) for capacity in dict.fromkeys(memory.asked or ())]
    return replace(memory, asked=now, before=tuple(before))


def other_controller(tick: Assessment, wish: Wish) -> str | None:
    """Leave the capacity as it is while something else sets it again and again."""
    at = tick.memory.decisions.control.others_at
    if tick.fleet.mode is not Mode.ACT or len(at) < RECENT or tick.now - at[0] > RECENT_S:
        return None
    wish.want = tick.current
    times = f"{len(at)} times in {duration(tick.now - at[0])}, the last {duration(tick.now - at[-1])} ago"
    remedy = f"remove the other scaling policies and schedules of group {tick.group.name}, or set the mode to shadow"
    return f"no change: something else has set the capacity {times}; {remedy}"
