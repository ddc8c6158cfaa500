"""The lead time: seconds from launch to first message, by launches that ticks saw or that consumers timed themselves.

    lead time = launch to in service + in service to first message

The first part is measured by instances that ticks see launching and then in service; the second where a group comes
from zero, since the first message in flight must then be the new instance's. Consumers that report when they are ready
and when they took their first message measure both at once, and their reports are used instead.
"""

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Lifecycle, QueueReading
from sluice.model.planning import LaunchMemory, Measure, QueueSample, TimedLaunch
from sluice.model.timing import Timing
from sluice.planning.learning.forecasting import blend
from sluice.planning.learning.significance import TWICE
from sluice.planning.supply import HANG_LEADS

LEAD_WEIGHT_MAX = 8.0  # the last eight launches are remembered: an image or instance type may change
LEAD_FIRST_DEVIATION = 0.2  # after the first launch others are expected to take up to a fifth longer
REPORTED_S = 86_400.0  # consumers that timed no launch while others were seen for a day no longer report
TIMED_WITHIN_S = 45.0  # ticks further apart than this time a launch too coarsely, unless the stack's ticks all are


def lead_time(memory: LaunchMemory, fleet: Fleet, now: float) -> Measure:
    """Seconds from launch to first message: measured, else the hint; `value` is the mean."""
    to_service, to_message, reported = memory.to_service, memory.to_first_message, memory.reported
    if reported is not None and (to_service is None or to_service.at - reported.at <= REPORTED_S):
        return Measure(reported.mean, "measured", max(0.0, now - reported.at), reported.deviation)
    if to_service is None:
        return Measure(fleet.hints.lead_time_s, "hint", None)
    mean, deviation = (to_message.mean, to_message.deviation) if to_message is not None else (0.0, 0.0)
    age_s = max(0.0, now - to_service.at)
    return Measure(to_service.mean + mean, "measured", age_s, to_service.deviation + deviation)


def hang_s(lead_time: Measure, lead_s: float) -> float:
    """A launch under way for longer hangs, in seconds; a lead time that was never measured may be twice as long.

    Args:
        lead_time: measured, or a hint.
        lead_s: the lead time to plan with, in seconds.
    """
    return HANG_LEADS * (lead_s * TWICE if lead_time.age_s is None else lead_s)


# --------------------------------------------------------------------------- learned


def learn_lead_time(
    memory: LaunchMemory,
    samples: tuple[QueueSample, ...],
    queue: QueueReading,
    group: GroupReading,
    *,
    timing: Timing,
    at: float,
) -> LaunchMemory:
    """Time launches until they are in service, and the first unit until its first message where that can be seen.

    Args:
        memory: what was known before.
        samples: up to the tick before.
        queue: as read now.
        group: as read now.
        timing: ticks further apart than the stack's own time nothing.
        at: epoch seconds of the snapshot.
    """
    before = samples[-1] if samples else None
    since_at = before.at if before is not None else at
    is_fine = at - since_at <= max(TIMED_WITHIN_S, 1.5 * timing.tick_s)
    known = dict(memory.under_way)
    under_way: list[tuple[str, float]] = []
    first_unit = memory.first_unit
    estimate, came_at = memory.to_service, memory.came_at
    for instance in group.instances:
        launched_at = known.get(instance.id, instance.launched_at)
        if launched_at is not None and instance.launched_at is not None:
            launched_at = max(
                launched_at, instance.launched_at
            )  # Auto Scaling's event tells it when the launch is over
        if instance.state is Lifecycle.LAUNCHING:
            # First seen now, it was ordered at some time since the tick before: then, as a rule, right after it.
            ordered_at = since_at if is_fine else at
            under_way.append((instance.id, launched_at if launched_at is not None else ordered_at))
        elif (
            instance.state is Lifecycle.IN_SERVICE
            and launched_at is not None
            and before is not None
            and (instance.id in known or launched_at >= since_at)
        ):
            # In service at some moment since the tick before, and not before its launch: the middle is the best guess.
            in_service_at = came_at = (max(since_at, launched_at) + at) / 2
            if is_fine:
                took_s = in_service_at - launched_at
                if estimate is not None:
                    took_s = min(took_s, HANG_LEADS * estimate.mean)  # one that hung is not how long launches take
                estimate = blend(estimate, took_s, at, LEAD_WEIGHT_MAX, LEAD_FIRST_DEVIATION)
            if before.working == 0 and queue.visible is not None and first_unit is None:
                first_unit = (instance.id, launched_at, in_service_at)
    if came_at != memory.came_at or under_way or memory.under_way:
        memory = replace(memory, to_service=estimate, under_way=tuple(under_way), came_at=came_at)
    if first_unit is not None or memory.first_unit is not None:
        memory = _learn_first_message(memory, first_unit, samples, queue, group, at=at)
    return memory


def learn_reported(memory: LaunchMemory, timed: tuple[TimedLaunch, ...]) -> LaunchMemory:
    """Learn once from each launch that consumers timed, by its number."""
    reported, number = memory.reported, memory.reported_number
    if not timed or timed[-1].number <= number:
        return memory
    for launch in timed:
        if launch.number > number:
            reported = blend(reported, launch.lead_s, launch.measured_at, LEAD_WEIGHT_MAX, LEAD_FIRST_DEVIATION)
    return replace(memory, reported=reported, reported_number=timed[-1].number)


def _is_one_that_waited(samples: tuple[QueueSample, ...], queue: QueueReading) -> bool:
    """Whether fewer messages wait than did before: if not, those that waited may be such as nobody can receive."""
    return queue.visible is not None and bool(samples) and queue.visible.value < samples[-1].visible


def _learn_first_message(
    memory: LaunchMemory,
    first_unit: tuple[str, float, float] | None,
    samples: tuple[QueueSample, ...],
    queue: QueueReading,
    group: GroupReading,
    *,
    at: float,
) -> LaunchMemory:
    """Time how long the first unit of a group that comes from zero takes to receive its first message."""
    estimate = memory.to_first_message
    if first_unit is not None:
        is_there = any(each.id == first_unit[0] and each.state is Lifecycle.IN_SERVICE for each in group.instances)
        in_flight = queue.in_flight.value if queue.in_flight is not None else 0.0
        waits = queue.visible is not None and queue.visible.value > 0
        long_s = HANG_LEADS * (first_unit[2] - first_unit[1])
        if memory.came_at - first_unit[2] > long_s:
            first_unit = None  # it may take nothing: whoever came so much later takes the first message
        elif in_flight > 0:
            since_at = samples[-1].at if samples else at
            taken_at = (max(since_at, first_unit[2]) + at) / 2 if since_at > first_unit[2] else first_unit[2]
            took_s = taken_at - first_unit[2]
            if took_s <= long_s or _is_one_that_waited(samples, queue):
                estimate = blend(estimate, took_s, at, LEAD_WEIGHT_MAX)
            first_unit = None
        elif not is_there or not waits:
            first_unit = None  # it is gone, or there is nothing to receive
    return replace(memory, first_unit=first_unit, to_first_message=estimate)
