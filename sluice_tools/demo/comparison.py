"""What the story's traffic would have cost with others: a fleet of fixed size, and AWS's target tracking."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sluice_tools.backtest.conditions import MINUTE_S, Conditions
from sluice_tools.backtest.policies.aws import TargetTracking
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.traces import Trace
from sluice_tools.demo.settings import DemoSettings


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a policy did with the story's arrivals in the backtest's simulator."""

    instance_s: float  # in the demo's seconds
    late_share: float  # of the orders, those that waited longer than the target wait


def target_tracking(sent_at: Sequence[float], began_at: float, ended_at: float, settings: DemoSettings) -> Simulated:
    """Target tracking with its defaults on the story's arrivals, from its beginning to its end.

    A minute of AWS lasts `minute_s` in the demo, and the simulator knows AWS's minutes alone. So all durations are
    stretched by the same factor, and the result is shrunk by it. The simulated consumers meet neither an outage, nor a
    crash, nor poison, and a minute of an instance's life is not the least that is counted.

    Args:
        sent_at: when each order was accepted, epoch seconds.
        began_at: when the story began, epoch seconds.
        ended_at: when it ended, epoch seconds.
        settings: the demo's.
    """
    stretch = MINUTE_S / settings.minute_s
    run = simulate(_trace(sent_at, began_at, ended_at, settings.minute_s), TargetTracking(), _world(settings, stretch))
    return Simulated(run.instance_hours * 3600.0 / stretch, run.late_fraction)


def _trace(sent_at: Sequence[float], began_at: float, ended_at: float, minute_s: float) -> Trace:
    minutes = max(1, int(np.ceil((ended_at - began_at) / minute_s)))
    places = np.clip((np.asarray(sent_at) - began_at) // minute_s, 0, minutes - 1).astype(np.int64)
    return Trace("story", np.bincount(places, minlength=minutes).astype(np.int64))


def _world(settings: DemoSettings, stretch: float) -> Conditions:
    late_s = settings.metric_delay_s * stretch
    return Conditions(
        seconds_per_message=settings.work_s / (settings.consumers * settings.concurrency) * stretch,
        target_wait_s=settings.target_wait_s * stretch,
        boot_s=settings.lead_time_s * stretch,
        metric_late_s=(late_s, late_s),
        max_size=settings.max_instances,
        minimum_billing_s=0.0,
    )


def in_words(instance_s: float, late_share: float, fixed_s: float, peak: int, other: Simulated) -> str:
    """The story's cost beside that of the two others, in instance-seconds.

    Args:
        instance_s: of the story.
        late_share: of the story's orders, those that waited longer than the target wait.
        fixed_s: of the fixed fleet.
        peak: the size of the fixed fleet.
        other: target tracking's.
    """
    return (
        f"The story took {instance_s:,.0f} instance-seconds, and {_late(late_share)}. "
        f"A fleet fixed at the {peak} instances of its peak takes {fixed_s:,.0f}: {_than(instance_s, fixed_s)}. "
        f"Target tracking with its defaults, simulated on the same arrivals, takes {other.instance_s:,.0f}"
        f" ({_than(instance_s, other.instance_s)}), and {_late(other.late_share)}."
    )


def _late(share: float) -> str:
    return "started every order in time" if share == 0 else f"started {share:.1%} of the orders late"


def _than(ours: float, theirs: float) -> str:
    """How much less, or more, Sluice took than another that took `theirs`."""
    if theirs <= 0:
        return "nothing to compare with"
    saved = 1.0 - ours / theirs
    return f"Sluice took {abs(saved):.0%} {'less' if saved >= 0 else 'more'}"
