"""The lead time: launch to first message worked on, by launches that ticks saw or that consumers themselves timed.

Launch to in service is told by instances seen on the way; in service to first message where a group comes from zero and
the first message in flight must be the new instance's. Consumers that report when they are ready and at work say it
better: their own launches, once timed, are believed instead.
"""

from typing import Any

from sluice.config.fleet import Fleet
from sluice.model.observed import GroupReading, Lifecycle, QueueReading
from sluice.model.planning import Measure, Memory
from sluice.planning.learning.forecasting import blend

LEAD_WEIGHT_MAX = 8.0  # launches remembered
LEAD_FIRST_DEVIATION = 0.2  # of the first launch seen: others may well take so much longer
REPORTED_S = 86_400.0  # consumers that have timed no launch for a day of launches no longer report
LEAD_GAP_S = 45.0  # ticks further apart than this time a launch too coarsely


def lead_time(memory: Memory, fleet: Fleet, now: float) -> Measure:
    """Seconds from launch to first message worked on: measured, else the hint; `value` is the mean."""
    estimate, first, reported = memory.lead_time, memory.first_work, memory.reported
    if reported is not None and (estimate is None or estimate.at - reported.at <= REPORTED_S):
        return Measure(reported.mean, "measured", max(0.0, now - reported.at), reported.deviation)
    if estimate is None:
        return Measure(fleet.hints.lead_time_s, "hint", None)
    extra = (first.mean, first.deviation) if first is not None else (0.0, 0.0)
    return Measure(estimate.mean + extra[0], "measured", max(0.0, now - estimate.at), estimate.deviation + extra[1])


# --------------------------------------------------------------------------- learned


def learn_lead_time(memory: Memory, queue: QueueReading, group: GroupReading, at: float) -> dict[str, Any]:
    """Time launches from first sight, or their own word, to in service; and on to the first message where seen."""
    before = memory.sightings[-1] if memory.sightings else None
    since_at = before.at if before is not None else at
    known = dict(memory.launches)
    launching: list[tuple[str, float]] = []
    starting = memory.starting
    estimate = memory.lead_time
    for instance in group.instances:
        launched_at = known.get(instance.id, instance.launched_at)
        if instance.state is Lifecycle.LAUNCHING:
            # First seen now, it was ordered at some time since the tick before: then, as a rule, right after it.
            ordered_at = since_at if at - since_at <= LEAD_GAP_S else at
            launching.append((instance.id, launched_at if launched_at is not None else ordered_at))
        elif (
            instance.state is Lifecycle.WORKING
            and launched_at is not None
            and before is not None
            and (instance.id in known or launched_at > since_at)
        ):
            # In service at some moment since the tick before, and not before its launch: the middle is the best guess.
            in_service_at = (max(since_at, launched_at) + at) / 2
            if at - since_at <= LEAD_GAP_S:
                estimate = blend(estimate, in_service_at - launched_at, at, LEAD_WEIGHT_MAX, LEAD_FIRST_DEVIATION)
            if before.working == 0 and queue.visible is not None and starting is None:
                starting = (instance.id, launched_at, in_service_at)
    learned: dict[str, Any] = {}
    if estimate is not memory.lead_time or launching or memory.launches:
        learned = {"lead_time": estimate, "launches": tuple(launching)}
    if starting is not None or memory.starting is not None:
        learned |= _learn_first_work(memory, starting, queue, group, at)
    return learned


def learn_reported(memory: Memory) -> dict[str, Any]:
    """Learn from each launch that consumers timed once, by its number."""
    reported, number = memory.reported, memory.reported_number
    if not memory.timed or memory.timed[-1].number <= number:
        return {}
    for launch in memory.timed:
        if launch.number > number:
            reported = blend(reported, launch.lead_s, launch.measured_at, LEAD_WEIGHT_MAX, LEAD_FIRST_DEVIATION)
    return {"reported": reported, "reported_number": memory.timed[-1].number}


def _learn_first_work(
    memory: Memory, starting: tuple[str, float, float] | None, queue: QueueReading, group: GroupReading, at: float
) -> dict[str, Any]:
    """A group that comes from zero shows when its first instance takes its first message."""
    first_work = memory.first_work
    if starting is not None:
        alive = any(i.id == starting[0] and i.state is Lifecycle.WORKING for i in group.instances)
        in_flight = queue.in_flight.value if queue.in_flight is not None else 0.0
        waits = queue.visible is not None and queue.visible.value > 0
        if in_flight > 0:
            since_at = memory.sightings[-1].at if memory.sightings else at
            taken_at = (max(since_at, starting[2]) + at) / 2 if since_at > starting[2] else starting[2]
            first_work = blend(first_work, taken_at - starting[2], at, LEAD_WEIGHT_MAX)
            starting = None
        elif not alive or not waits:
            starting = None  # gone, or nothing to take: it teaches nothing
    return {"starting": starting, "first_work": first_work}
