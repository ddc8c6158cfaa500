"""What the planner learns of its fleet, tick by tick: learn(memory, snapshot, fleet, now) -> Memory.

Everything is learned from what ticks see anyway, and kept in `Memory`; a tick looked at twice teaches nothing twice.
Metrics are one to three minutes late, so ticks leave `Sighting`s behind: when the figures of a period arrive, the
sightings tell what the fleet was doing in it.

    service rate  `serving`
    lead time     `lead_times`
    arrivals      `forecasting`
    demand        `hygiene`: what of a queue's counts is no news of it
    lateness      `feedback`: what was late though the plan held
    spending      here: the instance-seconds of the day

Every period's length is the series' own (`Series.period_s`): nothing here takes a minute for granted.
"""

from typing import Any

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Lifecycle, capacity
from sluice.model.planning import Memory, Snapshot
from sluice.planning.learning import poison, redeliveries, safety_margin
from sluice.planning.learning.forecasting import DAY_S, learn_arrivals
from sluice.planning.learning.lead_time import learn_lead_time, learn_reported
from sluice.planning.learning.samples import SIGHTINGS_S, see, see_each, see_together
from sluice.planning.learning.service_rate import learn_service_rate


def learn(memory: Memory, snapshot: Snapshot, fleet: Fleet, now: float) -> Memory:
    """The memory after a tick has looked at the fleet. Repeating it with the same snapshot changes nothing.

    Args:
        memory: what was known before; empty at first.
        snapshot: what the tick saw; its `at` orders the sightings.
        fleet: hints, and the horizon over which forecasts are judged.
        now: epoch seconds.
    """
    lead_s = memory.lead_time.mean if memory.lead_time is not None else fleet.hints.lead_time_s
    learned = learn_arrivals(memory, snapshot.queue.sent, fleet.tightest_wait_s + lead_s, now)
    learned |= learn_reported(memory)
    group, sightings, returns = snapshot.group, memory.sightings, memory.returns
    if group is not None and snapshot.at > memory.learned_at:
        learned |= learn_lead_time(memory, snapshot.queue, group, snapshot.at)
        learned |= _learn_spending(memory, group, snapshot.at)
        if fleet.shared:
            learned["queues"] = queues = see_each(memory, snapshot, group, fleet, now)
            sightings = see_together(memory, queues, snapshot, fleet)
        else:
            sightings = see(memory, snapshot.queue, group, fleet, snapshot.at)
            if memory.queues:
                learned["queues"] = ()  # of when it was shared
        returned, sightings = redeliveries.learn_returns(memory, sightings, snapshot.queue)
        learned |= returned | {"sightings": sightings, "learned_at": snapshot.at}
        returns = returned.get("returns", returns)
        learned |= poison.learn_poison(memory, sightings, snapshot.queue, returns)
        if fleet.shared:
            learned |= safety_margin.NOTHING  # the oldest message may be of a queue whose messages may be old
        else:
            learned |= safety_margin.settled(memory, sightings, snapshot.queue, fleet.target_wait_s, snapshot.at)
    learned |= learn_service_rate(memory, sightings, snapshot.queue.deleted, fleet, now, returns=returns)
    return replace(memory, **learned) if learned else memory


def _learn_spending(memory: Memory, group: GroupReading, at: float) -> dict[str, Any]:
    """Add up the instance-seconds of the UTC day, as the budget counts them."""
    day = at - at % DAY_S
    spent_s = memory.spent_s if memory.spent_day == day else 0.0
    if memory.learned_at:
        since = max(memory.learned_at, day, at - SIGHTINGS_S)
        running = capacity(group.instances, Lifecycle.WORKING, Lifecycle.LAUNCHING, Lifecycle.DRAINING)
        spent_s += running * max(0.0, at - since)
    return {"spent_day": day, "spent_s": spent_s}
