"""The real group in shadow mode: what it costs, what it launches, and how long its units take to drain."""

from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Lifecycle
from sluice.model.planning import Memory
from sluice.model.shadow import RealGroup, Shadow
from sluice.planning.launch_cost import MINIMUM_BILLING_S

DRAINED_MOST = 50.0  # the last fifty units that drained are averaged


def with_real_cost(shadow: Shadow, before: Memory, memory: Memory, group: GroupReading, at: float) -> Shadow:
    """The shadow with a tick: what the real group cost since the last one, and what it launched.

    Args:
        shadow: up to the last tick.
        before: the memory that the tick found, with the launches under way then.
        memory: the same once the tick had learned.
        group: as read now.
        at: epoch seconds of the tick.
    """
    seconds = at - shadow.ticks[-1][0]
    last = shadow.real
    real = units_of(group)
    known, there = dict(before.launches.under_way), {instance.id for instance in group.instances}
    fresh = sum(1 for id_, _ in memory.launches.under_way if id_ not in known)
    added = real.serving - last.serving
    launches = max(float(fresh), added, 0.0)
    gone = max(0.0, launches - added)
    # A launch that was given up costs its minute all the same.
    minimum_s = sum(max(0.0, MINIMUM_BILLING_S - (at - began)) for id_, began in known.items() if id_ not in there)
    unit_s = (real.serving + real.draining + (last.serving + last.draining)) / 2 * seconds + minimum_s
    drained_s = last.drained_s + (real.draining + last.draining) / 2 * seconds
    drained = last.drained + gone
    fade = min(1.0, DRAINED_MOST / drained) if drained > 0.0 else 1.0
    return replace(
        shadow,
        ticks=(*shadow.ticks, (at, 0, round(unit_s, 3), launches)),
        real=replace(real, drained_s=round(drained_s * fade, 3), drained=round(drained * fade, 3)),
    )


def units_of(group: GroupReading) -> RealGroup:
    """Units launching or in service, and draining: healthy or not, they are paid for."""
    serving = draining = 0.0
    for instance in group.instances:
        if instance.state in {Lifecycle.LAUNCHING, Lifecycle.IN_SERVICE}:
            serving += instance.weight
        elif instance.state is Lifecycle.DRAINING:
            draining += instance.weight
    weighted = any(instance.weight != 1.0 for instance in group.instances)
    return RealGroup(serving, draining, weighted=weighted)
