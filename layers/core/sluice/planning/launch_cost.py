"""What a launch costs against what staying costs, and how much of the target wait is planned with.

    a launch costs   max(minimum billing, lead time) + one tick     unit-seconds

A unit that is there before it is needed gains something if it is used, and loses something if it is not. Whether it is
kept, launched ahead or let go is asked of `break_even`, with what is gained and lost in each case. Whether a forecast
is needed at all depends on patience: where a launch can wait until its message has been seen, and still be in time,
nothing need.
"""

from math import inf, sqrt

from sluice.model.frozen import replace
from sluice.model.planning import Estimates, Forecast
from sluice.model.timing import Timing
from sluice.planning.learning.forecasting import LEVEL_MEMORY_S, USUAL_LEAST_S
from sluice.planning.learning.significance import ERROR, GAPS, KNOWN_WELL, MOST, NORMAL, RISK, TWICE
from sluice.planning.learning.undone import RECEIVED_AT_ONCE

# https://aws.amazon.com/ec2/pricing/on-demand/: by the second, with a minimum of 60 seconds
MINIMUM_BILLING_S = 60.0
GUARD_SHARE = 0.06  # of the target wait, and at most a tick, reserved since counts and ages are as coarse as that
PATIENCE_TICKS = 2.0  # a message is seen within a tick, launched for at once, and a second tick may mend a wrong count
RESPONSE_TICKS = 1.5  # what happens between two ticks is seen half a tick later on average, and again a tick after that
FEW_PER_S = KNOWN_WELL / USUAL_LEAST_S  # of fewer messages a second the level of minutes is chance


def response_s(timing: Timing) -> float:
    """In how many seconds what happens now can be answered at the earliest: ticks know no better when it was."""
    return RESPONSE_TICKS * timing.tick_s


def soonest_lead_s(estimates: Estimates) -> float:
    """The lead time in seconds; where it was never measured, the least that it may be."""
    return estimates.lead_s / TWICE if estimates.lead_time.age_s is None else estimates.lead_s


def patience_s(timing: Timing) -> float:
    """For how many seconds a launch must be able to wait for its message, so that no forecast is needed."""
    return PATIENCE_TICKS * timing.tick_s


def is_patient(wait_s: float, lead_s: float, timing: Timing) -> bool:
    """Whether a launch can wait until the message that it is for has been seen."""
    return wait_s - lead_s >= patience_s(timing)


def planned_wait_s(target_wait_s: float, lead_s: float, timing: Timing, margin_share: float = 0.0) -> float:
    """The wait to plan for in seconds: the target less a guard, which takes no more than half of what a launch leaves.

    The safety margin takes a further share, as far as that leaves a launch the time to wait for its message.
    """
    wait_s = target_wait_s - min(GUARD_SHARE * target_wait_s, timing.tick_s, max(0.0, target_wait_s - lead_s) / 2)
    if margin_share > 0.0:
        wait_s -= min(margin_share * target_wait_s, max(0.0, wait_s - lead_s - patience_s(timing)))
    return wait_s


def received_within_s(wait_s: float, unbegun_s: float, timing: Timing) -> float:
    """The seconds within which messages must be received, where they wait in their unit afterwards; at least a tick."""
    return max(wait_s - unbegun_s, min(wait_s, timing.tick_s))


def is_batch(estimates: Estimates) -> bool:
    """Whether units hold no more messages than they may receive at once; more may be hidden, and nobody's."""
    return estimates.unbegun_s * estimates.service_rate.value <= RECEIVED_AT_ONCE


def waits_of(wait_s: float, estimates: Estimates, timing: Timing) -> tuple[float, float]:
    """The wait to plan for, and the seconds within which messages must be received.

    What waits in units is planned for with what waits in the queue, if it is no more than a batch each: else as time.
    """
    within_s = received_within_s(wait_s, estimates.unbegun_s, timing)
    return (wait_s if is_batch(estimates) else within_s), within_s


def lived_s(lead_s: float) -> float:
    """For how many seconds a unit must be in service to have lived: as long as its launch took, and is paid for."""
    return max(MINIMUM_BILLING_S, lead_s)


def launch_cost_s(lead_s: float, timing: Timing) -> float:
    """What a launch costs in unit-seconds."""
    return lived_s(lead_s) + timing.tick_s


def break_even(gain_s: float, loss_s: float) -> float:
    """How likely a unit must be to be used, so that it is worth having before it is needed.

    Used, it gains so many unit-seconds over a launch when it is needed; not used, it loses so many. At a chance p it is
    worth p gain - (1 - p) loss, which is nothing at p = loss / (loss + gain).
    """
    return loss_s / (loss_s + gain_s) if gain_s > 0.0 else 1.0


def apart_s(arrivals: Forecast) -> float:
    """The seconds between two expected messages on average; infinite where none is expected."""
    return 1.0 / arrivals.rate_per_s if arrivals.rate_per_s > 0.0 else inf


def worth_staying(arrivals: Forecast, lead_s: float, timing: Timing) -> bool:
    """Whether the next message is likely enough to come before the next tick that a unit stays for it.

    Until then the unit costs a tick, and a message that comes saves a launch. The longer none has come, the less is the
    rate of before believed: one is expected in the mean gap and as long again as the present gap lasts.
    """
    tick_s, next_s = timing.tick_s, apart_s(arrivals) + arrivals.quiet_s
    return tick_s / next_s >= break_even(launch_cost_s(lead_s, timing) - tick_s, tick_s)


def quantile(arrivals: Forecast, lead_s: float, timing: Timing) -> float:
    """How unlikely may be what is launched for ahead of time, in mean absolute errors of the forecast.

    A spare unit costs in the time of a launch what a launch costs. Of n messages in that time each would save it one if
    it had to wait for a launch otherwise: so it is worth having for what each does with a chance of one in n.
    """
    cost_s = launch_cost_s(lead_s, timing)
    chance = break_even((arrivals.rate_per_s * cost_s - 1.0) * cost_s, cost_s)
    return ERROR * NORMAL.inv_cdf(1.0 - min(max(RISK, chance), 1.0 - RISK))


def steadied(arrivals: Forecast, usual_per_s: float, *, patient: bool) -> Forecast:
    """The forecast; of few messages what is usual, not what minutes show, unless that is clearly over or clearly more.

    Units that come and go with the chance of minutes are missing when they are needed. Where a launch can wait for its
    message, only the rate that a unit in service expects is steadied: whether it leaves is decided by the last arrival.
    """
    if not 0.0 < usual_per_s <= FEW_PER_S or arrivals.quiet_s * usual_per_s >= GAPS:
        return arrivals
    expected = usual_per_s * LEVEL_MEMORY_S
    if arrivals.rate_per_s * LEVEL_MEMORY_S > expected + MOST * sqrt(expected) + 1.0:
        return arrivals
    if patient:
        return replace(arrivals, rate_per_s=usual_per_s)
    return replace(arrivals, rate_per_s=usual_per_s, ahead_per_s=usual_per_s, quiet_s=0.0)
