"""Whether launches live: how many fail, and how many units in a row ended within a lead time of coming into service.

An instance that is gone although its group had no reason to take one away has ended by itself: its machine failed, its
consumer ended it, or a health check did. The group launches another at once, so a fleet whose instances all end soon
after their launch pays for as many launches as an hour has room for.
"""

from math import ceil

from sluice.model.frozen import replace
from sluice.model.observed import GroupReading, Lifecycle, capacity
from sluice.model.planning import LaunchMemory, QueueSample
from sluice.planning.learning.forecasting import blend
from sluice.planning.learning.significance import KNOWN_WELL


def learn_lives(
    memory: LaunchMemory,
    under_way: tuple[tuple[str, float], ...],
    before: QueueSample | None,
    group: GroupReading,
    *,
    alive_s: float,
    at: float,
) -> LaunchMemory:
    """Learn which of the youngest units are still there.

    Args:
        memory: what was known before, this tick's launches included.
        under_way: the launches that the tick before saw under way.
        before: the sample of the tick before.
        group: as read now.
        alive_s: a unit that is in service for so long has lived, in seconds.
        at: epoch seconds of the snapshot.
    """
    if before is None:
        return memory
    # Where a boot is shorter than a tick, a launch is seen in service at once.
    quick = [each.id for each in group.instances if each.launched_at is not None and each.launched_at > before.at]
    if not (under_way or memory.young or quick):
        return memory
    there = {each.id: each.state for each in group.instances if each.healthy}
    known = dict(memory.young)
    young = {name: since for name, since in known.items() if there.get(name) is Lifecycle.IN_SERVICE}
    ended = len(known) - len(young)
    for name in {*(name for name, _ in under_way), *quick} - known.keys():
        state = there.get(name)
        if state is Lifecycle.IN_SERVICE:
            young.setdefault(name, at)
        elif state is not Lifecycle.LAUNCHING and not _is_reported(group, before.at):
            ended += 1
    ended -= _taken_away(under_way, before, group)
    run = memory.short_lived
    if any(at - since >= alive_s for since in young.values()):
        run = (0, 0.0, 0.0)
    if ended > 0:
        run = (run[0] + ended, at, capacity(group.instances, Lifecycle.IN_SERVICE))
    still = tuple((name, since) for name, since in young.items() if at - since < alive_s)
    return replace(memory, young=still, short_lived=run)


def learn_failing(
    memory: LaunchMemory,
    under_way: tuple[tuple[str, float], ...],
    before: QueueSample | None,
    group: GroupReading,
    *,
    hang_s: float,
    at: float,
) -> LaunchMemory:
    """Learn which share of the launches fails, of those that ticks see under way; one that hangs has failed as well.

    What AWS refuses at once is never seen under way. It is no loss of time, since the group launches another at once.

    Args:
        memory: what was known before.
        under_way: the launches that the tick before saw under way.
        before: the sample of the tick before.
        group: as read now.
        hang_s: a launch that is under way for longer hangs, in seconds.
        at: epoch seconds of the snapshot.
    """
    if before is None or not under_way:
        return memory
    there = {each.id: each.state for each in group.instances if each.healthy}
    came = failed = 0
    gone = -_taken_away(under_way, before, group)
    for name, began_at in under_way:
        state = there.get(name)
        if before.at - began_at > hang_s:
            continue  # it has hung before, and was counted then
        if state is Lifecycle.IN_SERVICE:
            came += 1
        elif state is not Lifecycle.LAUNCHING:
            gone += 1
        elif at - began_at > hang_s:
            failed += 1
    failing = memory.failing
    for outcome, launches in ((0.0, came), (1.0, failed + max(0, gone))):
        for _ in range(launches):
            failing = blend(failing, outcome, at, KNOWN_WELL)
    return memory if failing is memory.failing else replace(memory, failing=failing)


def _taken_away(under_way: tuple[tuple[str, float], ...], before: QueueSample, group: GroupReading) -> int:
    """What was there beyond what is desired now: the group has taken it away."""
    return max(0, ceil(before.working + len(under_way) - group.desired))


def _is_reported(group: GroupReading, since: float) -> bool:
    """Whether Auto Scaling has reported that a launch failed since then: such a launch is counted there."""
    return any(failure.at >= since for failure in group.launch_failures)
