"""The steps of redrive jobs in tests with a clock of their own: work queue and hand-over in one function."""

from collections.abc import Callable
from typing import Any

from sluice.memory import MemoryWorkQueue
from sluice.redriving.jobs.slices import KIND
from sluice_tools.chaos.redrive_work import step_event

__all__ = ["go_on", "step_event"]


def go_on(
    queue: MemoryWorkQueue,
    clock: Callable[[], float],
    move_clock: Callable[[float], None],
    invoke: Callable[[dict[str, Any]], object],
    within_s: float,
) -> None:
    """Hand over the steps of redrive jobs as they fall due, those that do so within some seconds.

    Args:
        queue: the work queue.
        clock: the time, in epoch seconds.
        move_clock: sets it.
        invoke: one invocation of the function.
        within_s: how long from now.
    """
    end_at = clock() + within_s
    while due := [each.at for each in queue.messages if each.step.kind == KIND and each.at <= end_at]:
        move_clock(max(clock(), min(due)))
        for step in queue.receive(KIND):
            invoke(step_event(step))
