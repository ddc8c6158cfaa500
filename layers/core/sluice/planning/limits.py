"""What stands between need and want: each limit a small function, applied in the order of `LIMITS`.

A limit may change what is wanted, and returns a sentence then; one that returns None leaves no reason. What lowers it
for good is a ceiling, which later floors respect. Figures that are missing or stale never scale a fleet in: `stale`
raises what is wanted, and no ceiling goes below the present capacity then. Only the group's own maximum does: AWS
enforces it, too.

Keep `LIMITS` in the order of `ReasonCode`.
"""

from collections.abc import Callable, Iterator
from math import ceil, exp, floor

from sluice.model.decisions import ReasonCode
from sluice.model.observed import Lifecycle, Mode, capacity
from sluice.planning.assessment import Assessment
from sluice.planning.consumption import is_protected_idle, nothing_received
from sluice.planning.control import other_controller
from sluice.planning.deadlines import TINY
from sluice.planning.demand import value
from sluice.planning.evidence import held_messages, idle_units, no_gain
from sluice.planning.launch_cost import MINIMUM_BILLING_S, apart_s, response_s, soonest_lead_s
from sluice.planning.launch_limits import launch_failed, launch_hangs, short_lived, spare_launches
from sluice.planning.learning.forecasting import DAY_S, HOUR_S
from sluice.planning.learning.periodic_batches import is_of_batch
from sluice.planning.learning.significance import CLEAR, MOST_ERRORS, TWICE
from sluice.planning.wish import Wish, ceiling
from sluice.wording import count, duration, is_are, rate, seconds_or_longer

COLD_UNITS = 10  # consumers of unknown speed start with a message each, however long it may take
COLD_UNITS_MOST = 200  # some instance-hours, once in a fleet's life; from then on twice as many as have begun


def stale(tick: Assessment, wish: Wish) -> str | None:
    """Hold where the backlog is unknown; scale out on what is fresh; scale in only on all of it."""
    missing = ", ".join(tick.gaps)
    if not tick.backlog_known:
        wish.want = tick.current
        return f"no change: {missing}"
    if tick.gaps and wish.raise_to(tick.current):
        return f"not scaling in: {missing}"
    return None


def paused(tick: Assessment, wish: Wish) -> str | None:
    """A paused fleet is left as it is."""
    if tick.fleet.mode is not Mode.PAUSED:
        return None
    wish.want = tick.current
    return "no change: the fleet is paused"


def downstream(tick: Assessment, wish: Wish) -> str | None:
    """Protect what comes after the consumers: a cap in messages a second, and an alarm that forbids scaling out."""
    sentences = []
    most_per_s = tick.fleet.limits.max_messages_per_s
    if most_per_s is not None:
        units = max(1, floor(most_per_s / tick.rate_per_s + TINY))
        if wish.cap(ceiling(tick, units)):
            verb = "completes" if units == 1 else "complete"
            sentences.append(f"{tick.units(units)} {verb} the {rate(most_per_s)} that the settings allow")
    alarm = tick.fleet.limits.veto_alarm
    if tick.snapshot.veto and wish.cap(tick.current):
        sentences.append(f"not scaling out: the alarm {alarm} is on")
    elif alarm is not None and tick.snapshot.veto is None and wish.cap(tick.current):
        sentences.append(f"not scaling out: whether the alarm {alarm} is on could not be read")
    return "; ".join(sentences) or None


def budget(tick: Assessment, wish: Wish) -> str | None:
    """Make what is left of the day's instance-hours last for an hour, or to the day's end."""
    hours = tick.fleet.limits.instance_hours_per_day
    if hours is None:
        return None
    day_at = tick.now - tick.now % DAY_S
    spent_s = tick.memory.spending.spent_s if tick.memory.spending.day_at == day_at else 0.0
    left_s = max(0.0, hours * HOUR_S - spent_s)
    units = floor(left_s / min(HOUR_S, day_at + DAY_S - tick.now) + TINY)
    if not wish.cap(ceiling(tick, units)):
        return None
    left = f"{left_s / HOUR_S:.1f} of today's {hours:g} instance-hours are left"
    return f"{left}, enough for {tick.units(units)}"


def cold_start(tick: Assessment, wish: Wish) -> str | None:
    """Until consumers have shown what they complete, start with some at once, and scale out by degrees.

    How much one can do is a guess, and a deadline that waits for the answer is missed: a message each is safe. A
    message that takes as long as the minimum billing repays a unit of its own. A guess takes no more than half of the
    group's maximum, unless that is so little that it costs hardly more than an instance-hour: the rest is for what is
    shown. Beyond the first order no more are wanted than twice as many as have begun with a message: what was ordered
    and has not begun shows nothing.
    """
    if tick.estimates.is_proven:
        return None
    places = tick.supply.places
    # What is in flight beyond what units work on is held or hidden: a new unit cannot take it.
    begun = min(tick.supply.working, tick.in_flight / places)
    most = min(COLD_UNITS_MOST, max(ceil(CLEAR * COLD_UNITS_MOST), ceil(tick.group.max_size / TWICE)))
    if wish.cap(max(most, ceil(2.0 * begun - TINY), tick.current)):
        return f"no message is known to have been completed yet: at most {tick.units(wish.want)} until one is"
    each = tick.waiting / places + begun
    tried = min(max(COLD_UNITS, min(2.0 * begun, most)), each)
    spare_s = tick.waits.wait_s - soonest_lead_s(tick.estimates)
    if spare_s > 0.0:
        tried = max(tried, min(most, each / (1.0 + spare_s / MINIMUM_BILLING_S)))
    if tick.waiting > 0:
        tried = max(tried, min(tick.current, each))
    if tick.backlog_known and wish.raise_to(ceil(tried - TINY)):
        return f"no message is known to have been completed yet: starting with {tick.units(wish.want)}"
    return None


def step(tick: Assessment, wish: Wish) -> str | None:
    """Change by so many units at a time."""
    most = tick.fleet.limits.max_step
    if most is None or abs(wish.want - tick.current) <= most:
        return None
    wish.want = tick.current + (most if wish.want > tick.current else -most)
    return f"changing by {tick.units(most)} at a time at most"


def stabilization_window(tick: Assessment, wish: Wish) -> str | None:
    """Scale in to the highest need of the window, and only once needs were noted for all of it."""
    if wish.want >= tick.current:
        return None
    window, window_s = tick.memory.needs, tick.window_s
    watched_s = 0.0
    if window.since is not None and tick.now - window.until <= tick.timing.blind_s:
        watched_s = tick.now - window.since
    if watched_s < window_s:
        wish.raise_to(tick.current)
        known = f"{seconds_or_longer(watched_s)} of the stabilization window's {seconds_or_longer(window_s)}"
        further = " further" if wish.want < tick.current else ""  # evidence allows no more
        return f"not scaling in{further} yet: the need is known for {known}"
    highest = max((needed for at, needed in _lasting(tick) if at >= tick.now - window_s), default=0)
    if wish.keep(tick, highest):
        verb = "was" if highest == 1 else "were"
        return f"{tick.units(highest)} {verb} needed within the stabilization window of {seconds_or_longer(window_s)}"
    return None


def _lasting(tick: Assessment) -> Iterator[tuple[float, int]]:
    """The needs that were noted; while they were for an expected batch that is over, what was beside it.

    A window that the settings give counts them whole.
    """
    rest, ahead_s = 1.0 - tick.arrivals.of_batches, tick.lead_s + tick.timing.tick_s
    if tick.fleet.limits.stabilization_window_s is not None:
        rest = 1.0
    for at, needed in tick.memory.needs.needs:
        is_over = rest < 1.0 and is_of_batch(tick.memory.batches, at, tick.now, tick.waits.wait_s, ahead_s)
        yield at, ceil(rest * needed - TINY) if is_over else needed


def scale_in_floor(tick: Assessment, wish: Wish) -> str | None:
    """Keep one unit until all is done; and, where a launch comes too late, what may be needed before one could help.

    A group takes units in service before those that launch: while messages wait, one stays until the next has come.
    """
    if wish.want >= tick.current:
        return None
    launching = floor(capacity(tick.group.instances, Lifecycle.LAUNCHING))
    if tick.waiting > 0 and tick.supply.working > 0 and wish.raise_to(min(tick.current, launching + 1)):
        waits = f"{count(tick.waiting, 'message')} {is_are(tick.waiting)} waiting"
        return f"keeping one {tick.unit} in service: {waits} and the next launch is not in service yet"
    stays = not tick.waits.patient and tick.stays
    if stays and wish.keep(tick, ceil(_may_be_busy(tick) - TINY)):
        return f"keeping {tick.units(wish.want)}: so much may be busy before a new launch could help"
    why = _why_not_zero(tick) if wish.want < 1 else None
    return f"keeping one {tick.unit}: {why}" if why is not None and wish.keep(tick, 1) else None


def _may_be_busy(tick: Assessment) -> float:
    """Units that may be busy a lead time from now: between those busy now and those that arrivals may keep busy.

    Work that takes long is not there at once: it adds up by as much of a lead time as it takes itself.
    """
    arrivals, per_s, places = tick.arrivals, tick.rate_per_s, tick.supply.places
    may_come_per_s = max(arrivals.rate_per_s, arrivals.ahead_per_s) + MOST_ERRORS * arrivals.error_per_s
    done_by_then = 1.0 - exp(-tick.lead_s * per_s / places)
    busy = min(tick.in_flight / places, tick.supply.working)
    return busy + done_by_then * (may_come_per_s / per_s - busy)


def _why_not_zero(tick: Assessment) -> str | None:
    """Why the last unit stays, if it does."""
    if tick.unfinished > 0:
        return f"{count(max(1.0, tick.unfinished), 'message')} {is_are(max(1.0, tick.unfinished))} not completed yet"
    # Another tick costs a lone idle unit more than a launch does, as seldom as a count is wrong.
    if tick.only_just_empty and not (tick.waits.idle and tick.current <= 1):
        return "the queue is empty for the first tick, and its count may be wrong"
    if tick.stays:
        next_s = apart_s(tick.arrivals)
        due = f"in about {duration(next_s)}" if next_s >= 0.5 else "at once"
        return f"the next message is due {due}, and a new launch would cost more than waiting"
    return None


def busy_capacity(tick: Assessment, wish: Wish) -> str | None:
    """Keep units that there is work for: it costs the same on any of them, only idling is waste.

    Work that fails does not count.
    """
    if wish.want >= tick.current or tick.supply.working <= 0 or tick.memory.redeliveries.failing_share > 0.0:
        return None
    places, per_s, busy_s = tick.supply.places, tick.rate_per_s, response_s(tick.timing)
    at_work = min(tick.in_flight, places * tick.supply.working)
    lately_per_s = min(tick.arrivals.rate_per_s, tick.estimates.lately_per_s)
    soon = lately_per_s * busy_s
    busy = floor((tick.waiting + at_work + tick.unbegun + soon) / (per_s * busy_s + places) + TINY)
    steady_per_s = min(tick.arrivals.rate_per_s - tick.arrivals.error_per_s, lately_per_s)
    busy = max(busy, floor(steady_per_s / per_s + TINY))
    if places / per_s > busy_s:
        busy = max(busy, ceil(at_work / places - TINY))  # none of them is done by then
    if wish.keep(tick, busy):
        return f"keeping {tick.units(wish.want)}: {_work_there(tick, lately_per_s)}"
    return None


def _work_there(tick: Assessment, expected_per_s: float) -> str:
    """The work that keeps units, for sentences; whether they do it is another matter."""
    in_flight, waiting = ceil(tick.in_flight - TINY), ceil(tick.waiting - TINY)
    parts = [
        f"{count(number, 'message')} {where}"
        for number, where in ((in_flight, "in flight"), (waiting, "waiting"))
        if number
    ]
    if expected_per_s > 0.0:
        parts.append(f"{rate(expected_per_s)} expected")
    return f"there is work for so many, {', '.join(parts)}"


def protected(tick: Assessment, wish: Wish) -> str | None:
    """Want no less than what may not leave: the group would keep it, and take what is wanted next from the rest.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-protection.html
    """
    held = _held(tick)
    if wish.want >= tick.current or is_protected_idle(tick, held) or not wish.raise_to(min(tick.current, held)):
        return None
    return f"{tick.units(held)} {is_are(held)} protected from scale-in, since the consumer reports work"


def group_protected(tick: Assessment, wish: Wish) -> str | None:
    """Protection that no work explains keeps idle instances for ever: say whose it is, and how to lift it."""
    held = _held(tick)
    if wish.want >= tick.current or not is_protected_idle(tick, held) or not wish.raise_to(min(tick.current, held)):
        return None
    group, their = tick.group.name, "the instance's" if held == 1 else "their"
    in_flight = value(tick.snapshot.queue.in_flight)
    whose = f"not by work: {count(in_flight, 'message')} {is_are(in_flight)} in flight. Lift {their} protection"
    if tick.group.protects_new:
        whose = f"by group {group} itself. Turn off its NewInstancesProtectedFromScaleIn and lift {their} protection"
    return f"{tick.units(held)} of group {group} {is_are(held)} protected from scale-in, {whose} to scale in"


def _held(tick: Assessment) -> int:
    """The units in service that are protected from scale-in."""
    return ceil(capacity(tuple(each for each in tick.group.instances if each.protected), Lifecycle.IN_SERVICE) - TINY)


def group_min(tick: Assessment, wish: Wish) -> str | None:
    """The group's own minimum."""
    if wish.want >= tick.group.min_size:
        return None
    wish.want = tick.group.min_size
    return f"the group's minimum size is {tick.group.min_size}"


def group_max(tick: Assessment, wish: Wish) -> str | None:
    """The group's own maximum."""
    if wish.want <= tick.group.max_size:
        return None
    wish.want = tick.group.max_size
    return f"the group's maximum size is {tick.group.max_size}"


def suspended(tick: Assessment, wish: Wish) -> str | None:
    """A suspended process cannot do what would be asked of it.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
    """
    if wish.want > tick.current and "Launch" in tick.group.suspended:
        wish.want = tick.current
        return "not scaling out: the group's Launch process is suspended; resume it"
    if wish.want < tick.current and "Terminate" in tick.group.suspended:
        wish.want = tick.current
        return "not scaling in: the group's Terminate process is suspended; resume it"
    return None


type Limit = Callable[[Assessment, Wish], str | None]

LIMITS: tuple[tuple[ReasonCode, Limit], ...] = (
    (ReasonCode.STALE, stale),
    (ReasonCode.PAUSED, paused),
    (ReasonCode.NOTHING_RECEIVED, nothing_received),
    (ReasonCode.IDLE_UNITS, idle_units),
    (ReasonCode.NO_GAIN, no_gain),
    (ReasonCode.DOWNSTREAM, downstream),
    (ReasonCode.BUDGET, budget),
    (ReasonCode.COLD_START, cold_start),
    (ReasonCode.LAUNCH_HANGS, launch_hangs),
    (ReasonCode.SPARE_LAUNCHES, spare_launches),
    (ReasonCode.STEP, step),
    (ReasonCode.LAUNCH_FAILED, launch_failed),
    (ReasonCode.SHORT_LIVED, short_lived),
    (ReasonCode.STABILIZATION_WINDOW, stabilization_window),
    (ReasonCode.HELD_MESSAGES, held_messages),
    (ReasonCode.SCALE_IN_FLOOR, scale_in_floor),
    (ReasonCode.BUSY_CAPACITY, busy_capacity),
    (ReasonCode.PROTECTED, protected),
    (ReasonCode.GROUP_PROTECTED, group_protected),
    (ReasonCode.GROUP_MIN, group_min),
    (ReasonCode.GROUP_MAX, group_max),
    (ReasonCode.SUSPENDED, suspended),
    (ReasonCode.OTHER_CONTROLLER, other_controller),
)
