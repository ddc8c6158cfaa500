"""Launches of a group's instances: what Auto Scaling's launch events and scaling activities tell of each."""

from collections.abc import Iterable

from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading, LaunchFailure, Lifecycle


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch, under way or over. Times are epoch seconds."""

    group: str
    activity: str  # Auto Scaling's id of the scaling activity: a launch that is reported twice is one
    started_at: float
    ended_at: float | None = None  # None while it is under way
    instance_id: str = ""  # empty where no instance came of it
    failure: str | None = None  # Auto Scaling's message, where it failed


def with_launches(reading: GroupReading, launches: Iterable[Launch]) -> GroupReading:
    """A group's reading with the last launch of each instance, and with the launches that failed, most recent first.

    A launch that is over is none of an instance that is launching: out of a warm pool it is launched again.

    Args:
        reading: the group as its own description has it, which tells neither.
        launches: launches of this group and of any others, in any order.
    """
    began: dict[str, float] = {}  # of every launch
    under_way: dict[str, float] = {}
    failed: dict[str, LaunchFailure] = {}
    for launch in launches:
        if launch.group != reading.name:
            continue
        if launch.failure is not None:
            at = launch.started_at if launch.ended_at is None else launch.ended_at
            failed[launch.activity] = LaunchFailure(at, launch.failure)
        elif launch.instance_id:
            for kind in (began,) if launch.ended_at is not None else (began, under_way):
                kind[launch.instance_id] = max(launch.started_at, kind.get(launch.instance_id, launch.started_at))
    if not began and not failed:
        return reading
    return replace(
        reading,
        instances=tuple(
            replace(one, launched_at=(under_way if one.state is Lifecycle.LAUNCHING else began).get(one.id))
            for one in reading.instances
        ),
        launch_failures=tuple(sorted(failed.values(), key=lambda failure: -failure.at)),
    )
