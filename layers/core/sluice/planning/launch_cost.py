"""What a launch costs against what staying costs, and how much of the target wait is planned with.

    a launch costs   max(minimum billing, lead time) + one tick     unit-seconds

A unit stays while the next message is expected sooner than that is used up, and a spare unit is launched while it
serves a message in each such time. Whether a forecast is needed at all depends on patience: where a launch can
wait until its message has been seen, and still be in time, nothing need.
"""

from math import sqrt
from statistics import NormalDist

from sluice.model.frozen import replace
from sluice.model.planning import Estimates, Forecast
from sluice.model.timing import Timing
from sluice.planning.learning.forecasting import LEVEL_MEMORY_S, USUAL_LEAST_S, USUAL_MESSAGES

# https://aws.amazon.com/ec2/pricing/on-demand/: by the second, with a minimum of 60 seconds
MINIMUM_BILLING_S = 60.0
GUESSED_LEAD = 0.5  # a lead time that was never measured may be half of what it is taken for, or twice that
GUARD_SHARE = 0.06  # of the target wait, reserved since counts, ages and ticks are coarse
GUARD_MAX_S = 20.0  # counts and ages get no coarser with a longer target; two ticks where those are longer
PATIENCE_TICKS = 2.5  # a message is seen within a tick, launched for at once, and a second tick may mend a wrong count
PATIENCE_SHARE = 0.5  # a target of less than five ticks needs patience for half of it
QUIET_SHARE = 0.5  # after half of what a launch costs without a message the rate of before is not believed
QUIET_TICKS = 1.5  # ticks do not know better when the last message arrived
FEW_PER_S = USUAL_MESSAGES / USUAL_LEAST_S  # of fewer messages a second the level of minutes is chance
FEW_SPREADS = 2.0  # standard deviations, and a message: what minutes may be above the usual by chance
FEW_QUIET = 3.0  # a gap three times the average is chance once in twenty
SURE = 20.0  # with so many messages per boot a spare unit is worth it for the unlikeliest twentieth
SURE_LEAST = 1.001  # with one message per boot no spare unit is worth it
ABSOLUTE = 1.2533  # mean absolute errors in a standard deviation of a normal distribution
QUANTILE = 2.06  # mean absolute errors up to the 95th percentile of a normal distribution (1.645 x 1.2533)


def soonest_lead_s(estimates: Estimates) -> float:
    """The lead time in seconds; where it was never measured, the least that it may be."""
    return estimates.lead_s * GUESSED_LEAD if estimates.lead_time.age_s is None else estimates.lead_s


def latest_lead_s(estimates: Estimates) -> float:
    """The lead time in seconds; where it was never measured, the most that it may be."""
    return estimates.lead_s / GUESSED_LEAD if estimates.lead_time.age_s is None else estimates.lead_s


def patience_s(target_wait_s: float, timing: Timing) -> float:
    """For how many seconds a launch must be able to wait for its message, so that no forecast is needed."""
    return min(PATIENCE_TICKS * timing.tick_s, PATIENCE_SHARE * target_wait_s)


def is_patient(target_wait_s: float, wait_s: float, lead_s: float, timing: Timing) -> bool:
    """Whether a launch can wait until the message that it is for has been seen."""
    return wait_s - lead_s >= patience_s(target_wait_s, timing)


def planned_wait_s(target_wait_s: float, lead_s: float, timing: Timing, margin_share: float = 0.0) -> float:
    """The wait to plan for in seconds: the target less a guard, which takes no more than half of what a launch leaves.

    The safety margin takes a further share, as far as that leaves a launch the time to wait for its message.
    """
    guard_most_s = max(GUARD_MAX_S, 2.0 * timing.tick_s)
    wait_s = target_wait_s - min(GUARD_SHARE * target_wait_s, guard_most_s, max(0.0, target_wait_s - lead_s) / 2)
    if margin_share > 0.0:
        wait_s -= min(margin_share * target_wait_s, max(0.0, wait_s - lead_s - patience_s(target_wait_s, timing)))
    return wait_s


def received_within_s(wait_s: float, unbegun_s: float, timing: Timing) -> float:
    """The seconds within which messages must be received, where they wait in their unit afterwards; at least a tick."""
    return max(wait_s - unbegun_s, min(wait_s, timing.tick_s))


def lived_s(lead_s: float) -> float:
    """For how many seconds a unit must be in service to have lived: as long as its launch took, and is paid for."""
    return max(MINIMUM_BILLING_S, lead_s)


def launch_cost_s(lead_s: float, timing: Timing) -> float:
    """What a launch costs in unit-seconds."""
    return lived_s(lead_s) + timing.tick_s


def worth_staying(arrivals: Forecast, lead_s: float, timing: Timing, *, idle: bool = False) -> bool:
    """Whether the next arrival is near enough to wait for.

    An idle unit waits for as long as messages are apart on average, and no longer: while it boots anew it costs what it
    costs here, and until then nothing.
    """
    cost_s = launch_cost_s(lead_s, timing)
    come_per_s = arrivals.rate_per_s
    if come_per_s * cost_s < 1.0:
        return False
    quiet_s = QUIET_SHARE * cost_s
    if idle:
        quiet_s = min(quiet_s, max(QUIET_TICKS * timing.tick_s, 1.0 / come_per_s))
    return arrivals.quiet_s <= quiet_s


def quantile(arrivals: Forecast, lead_s: float, timing: Timing) -> float:
    """How unlikely may be what is launched for ahead of time, in mean absolute errors of the forecast.

    A spare unit is paid for all the time. It is worth that while it serves a message in each time that a launch costs,
    one that would have to wait for a launch otherwise: so of n messages in that time the likelier ones, down to one
    chance in n.
    """
    expected = arrivals.rate_per_s * launch_cost_s(lead_s, timing)
    if expected >= SURE:
        return QUANTILE
    return ABSOLUTE * NormalDist().inv_cdf(1.0 - 1.0 / max(SURE_LEAST, expected))


def steadied(arrivals: Forecast, usual_per_s: float, *, patient: bool) -> Forecast:
    """The forecast; of few messages what is usual, not what minutes show, unless that is clearly over or clearly more.

    Units that come and go with the chance of minutes are missing when they are needed. Where a launch can wait for its
    message, only the rate that a unit in service expects is steadied: whether it leaves is decided by the last arrival.
    """
    if not 0.0 < usual_per_s <= FEW_PER_S or arrivals.quiet_s * usual_per_s >= FEW_QUIET:
        return arrivals
    expected = usual_per_s * LEVEL_MEMORY_S
    if arrivals.rate_per_s * LEVEL_MEMORY_S > expected + FEW_SPREADS * sqrt(expected) + 1.0:
        return arrivals
    if patient:
        return replace(arrivals, rate_per_s=usual_per_s)
    return replace(arrivals, rate_per_s=usual_per_s, ahead_per_s=usual_per_s, quiet_s=0.0)
