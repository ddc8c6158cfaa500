"""What stands between need and want: each limit a small function, applied in the order of `LIMITS`.

A limit may change the wish, and says so in a sentence; one that says nothing leaves no reason. What lowers the wish for
good is a ceiling, which later floors respect. Figures that are missing or stale never shrink a fleet: `stale` raises
the wish, and no ceiling goes below the present capacity then. Only the group's own maximum does: AWS enforces it, too.

Keep `LIMITS` in the order of `ReasonCode`.
"""

from collections.abc import Callable
from math import ceil, exp, floor, inf

from sluice.model.frozen import dataclass
from sluice.model.observed import Lifecycle, Mode, capacity
from sluice.model.planning import ReasonCode
from sluice.planning.assessment import Case, value, worth_staying
from sluice.planning.deadlines import TINY
from sluice.planning.learning.forecasting import DAY_S, LIKELY, lately
from sluice.planning.learning.service_rate import is_unproven

LAUNCH_BACKOFF_S = 60.0  # after one failed launch; twice as long for each further one
LAUNCH_BACKOFF_MAX_S = 960.0
LAUNCH_FAILURES_S = 3600.0  # failures longer ago no longer count
UNPROVEN_UNITS = 10  # what consumers of unknown speed are tried with, a message each, however long it may take
UNPROVEN_MOST = 200  # what they may be tried with; then twice as many: some instance-hours, once in a fleet's life
GUESSED_LEAD = 0.5  # of a lead time that nobody measured: so soon a launch may come
UNPROVEN_MESSAGE_S = 60.0  # what a message is thought to take at most where more than ten units are tried with
BUDGET_PACE_S = 3600.0  # what is left of a budget must last for an hour, or to the day's end
NEEDS_GAP_S = 180.0  # three missed ticks of a cold fleet: what was needed meanwhile is unknown
WINDOW_SLACK = 0.9  # ticks come a little early or late: needs over nine tenths of the window cover it
BUSY_S = 15.0  # a tick and a half: who is busy so long can be given back at the next one


@dataclass(slots=True)
class Wish:
    """What is wanted so far; `ceiling` is what hard caps allow."""

    want: int
    ceiling: float = inf

    def raise_to(self, least: int) -> bool:
        """Want at least so much, as far as the ceiling allows; whether that changed anything."""
        before = self.want
        self.want = max(self.want, int(min(least, self.ceiling)))
        return self.want != before

    def cap(self, most: int) -> bool:
        """Want at most so much; whether that changed anything."""
        before = self.want
        self.ceiling = min(self.ceiling, most)
        self.want = min(self.want, most)
        return self.want != before


def stale(case: Case, wish: Wish) -> str | None:
    """Hold without a backlog; grow on what is fresh; shrink only on all of it."""
    missing = ", ".join(case.gaps)
    if not case.backlog_known:
        wish.want = case.current
        return f"nothing is changed while {missing}"
    if case.gaps and wish.raise_to(case.current):
        return f"no shrink while {missing}"
    return None


def paused(case: Case, wish: Wish) -> str | None:
    """A paused fleet is left as it is."""
    if case.fleet.mode is not Mode.PAUSED:
        return None
    wish.want = case.current
    return "the fleet is paused"


def downstream(case: Case, wish: Wish) -> str | None:
    """Protect what comes after the consumers: a cap in messages a second, and an alarm that forbids growth."""
    said = []
    most_per_s = case.fleet.limits.max_messages_per_s
    if most_per_s is not None:
        units = max(1, floor(most_per_s / case.rate.value + TINY))
        if wish.cap(_ceiling(case, units)):
            said.append(f"{units} work off the {most_per_s:g} messages a second that are allowed")
    if case.snapshot.veto and wish.cap(case.current):
        said.append(f"the alarm {case.fleet.limits.veto_alarm} forbids growth")
    return "; ".join(said) or None


def budget(case: Case, wish: Wish) -> str | None:
    """Make what is left of the day's instance-hours last for an hour, or to the day's end."""
    hours = case.fleet.limits.instance_hours_per_day
    if hours is None:
        return None
    day = case.now - case.now % DAY_S
    spent_s = case.memory.spent_s if case.memory.spent_day == day else 0.0
    left_s = max(0.0, hours * 3600.0 - spent_s)
    units = floor(left_s / min(BUDGET_PACE_S, day + DAY_S - case.now) + TINY)
    if not wish.cap(_ceiling(case, units)):
        return None
    return f"{left_s / 3600.0:.1f} of {hours:g} instance-hours are left today, enough for {units}"


def unproven(case: Case, wish: Wish) -> str | None:
    """Until consumers have shown what they complete, try with some at once, and grow by degrees.

    How much one can do is a guess, and a deadline that waits for the answer is missed: a message each is safe.
    """
    if not is_unproven(case.memory, case.fleet):
        return None
    most = max(UNPROVEN_MOST, 2 * case.current)
    if wish.want > most:
        wish.want = most
        return f"nothing is known to have been completed yet: at most {most} until then"
    each = case.unfinished / case.supply.places
    tried = min(max(UNPROVEN_UNITS, min(2 * case.supply.working, UNPROVEN_MOST)), each)
    spare_s = case.wait_s - soonest_launch_s(case)
    if spare_s > 0.0:
        tried = max(tried, min(UNPROVEN_MOST, each / (1.0 + spare_s / UNPROVEN_MESSAGE_S)))
    if case.waiting > 0:
        tried = max(tried, min(case.current, each))
    if case.backlog_known and wish.raise_to(ceil(tried - TINY)):
        return f"nothing is known to have been completed yet: {wish.want} are tried with"
    return None


def soonest_launch_s(case: Case) -> float:
    """The lead time; where it is a guess, what it may be at least."""
    return case.lead_s * GUESSED_LEAD if case.lead.age_s is None else case.lead_s


def step(case: Case, wish: Wish) -> str | None:
    """Change by so many at a time."""
    most = case.fleet.limits.max_step
    if most is None or abs(wish.want - case.current) <= most:
        return None
    wish.want = case.current + (most if wish.want > case.current else -most)
    return f"at most {most} at a time"


def launch_failed(case: Case, wish: Wish) -> str | None:
    """Do not ask for more of what failed to launch; do not give it back while there is work.

    The group itself goes on trying to launch what was asked for before.
    """
    failures = [failure for failure in case.group.launch_failures if case.now - failure.at <= LAUNCH_FAILURES_S]
    if not failures or wish.want == case.current:
        return None
    backoff_s = min(LAUNCH_BACKOFF_MAX_S, LAUNCH_BACKOFF_S * 2.0 ** (len(failures) - 1))
    newest = max(failures, key=lambda failure: failure.at)
    age_s = max(0.0, case.now - newest.at)
    if age_s > backoff_s:
        return None
    failed = f"a launch failed {age_s:.0f} s ago ({newest.message[:120]})"
    if wish.want > case.current:
        wish.want = case.current
        return f"{failed}: no more are asked for until {backoff_s:.0f} s after"
    if case.unfinished > 0 and wish.raise_to(case.current):
        return f"{failed}: what is hard to get is not given back while there is work"
    return None


def stabilising(case: Case, wish: Wish) -> str | None:
    """Shrink to the highest need of the window, and only once that was watched whole."""
    if wish.want >= case.current:
        return None
    memory, window_s = case.memory, case.window_s
    watched_s = 0.0
    if memory.needs_since is not None and case.now - memory.needs_until <= NEEDS_GAP_S:
        watched_s = case.now - memory.needs_since
    if watched_s < window_s * WINDOW_SLACK:
        wish.raise_to(case.current)
        return f"needs were watched for {watched_s:.0f} s of the {window_s:.0f} s before a shrink"
    highest = max((needed for at, needed in memory.needs if at >= case.now - window_s), default=0)
    if wish.raise_to(min(case.current, highest)):
        return f"{highest} were needed within the last {window_s:.0f} s"
    return None


def backlog(case: Case, wish: Wish) -> str | None:
    """Keep one unit until all is done; and, where a launch comes too late, what may be wanted before one could help.

    A group takes who is in service before who is on the way: one stays while messages wait until the next has come.
    """
    if wish.want >= case.current:
        return None
    launching = floor(case.current - case.supply.working)
    if case.waiting > 0 and case.supply.working > 0 and wish.raise_to(min(case.current, launching + 1)):
        return "nobody would be in service until the next launch is, and messages wait"
    stays = not case.patient and worth_staying(case.arrivals, case.lead_s)
    if stays and wish.raise_to(min(case.current, ceil(_may_be_busy(case) - TINY))):
        return f"{wish.want} may be wanted before a launch could help"
    why = _why_not_zero(case) if wish.want < 1 else None
    return why if why is not None and wish.raise_to(1) else None


def _may_be_busy(case: Case) -> float:
    """Units that may be busy a lead time from now: as many as are now, on to as many as what may come keeps busy.

    Work that takes long is not there at once: it adds up by as much of a lead time as it takes itself.
    """
    arrivals, per_s, places = case.arrivals, case.rate.value, case.supply.places
    may_come_per_s = max(arrivals.rate_per_s, arrivals.ahead_per_s) + LIKELY * arrivals.error_per_s
    done_by_then = 1.0 - exp(-case.lead_s * per_s / places)
    busy = min(value(case.snapshot.queue.in_flight) / places, case.supply.working)
    return busy + done_by_then * (may_come_per_s / per_s - busy)


def _why_not_zero(case: Case) -> str | None:
    """Why the last unit stays, if it does."""
    if case.unfinished > 0:
        return f"{case.unfinished:.0f} messages are not done: not yet to zero"
    idle = case.idle
    # Another look costs a lone idle unit more than a launch does, as seldom as a count is wrong.
    if case.only_just_empty and not (idle and case.current <= 1):
        return "nothing is left only since this look: one more before zero"
    if worth_staying(case.arrivals, case.lead_s, idle=idle):
        return "the next message is expected sooner than a launch is repaid"
    return None


def tail(case: Case, wish: Wish) -> str | None:
    """Keep what is busy: the work costs the same whoever does it, only idling is waste. Work that fails is no work."""
    if wish.want >= case.current or case.supply.working <= 0 or case.memory.failing > 0.0:
        return None
    places, per_s = case.supply.places, case.rate.value
    at_work = min(value(case.snapshot.queue.in_flight), places * case.supply.working)
    lately_per_s = min(case.arrivals.rate_per_s, lately(case.memory))
    soon = lately_per_s * BUSY_S
    busy = floor((case.waiting + at_work + soon) / (per_s * BUSY_S + places) + TINY)
    steady_per_s = min(case.arrivals.rate_per_s - case.arrivals.error_per_s, lately_per_s)
    busy = max(busy, floor(steady_per_s / per_s + TINY))
    if places / per_s > BUSY_S:
        busy = max(busy, ceil(at_work / places - TINY))  # none of them is done by then
    if wish.raise_to(min(case.current, busy)):
        return f"{wish.want} are busy"
    return None


def protected(case: Case, wish: Wish) -> str | None:
    """Want no less than what may not leave: the group would keep it, and take what is wanted next from the rest.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-protection.html
    """
    if wish.want >= case.current:
        return None
    held = capacity(tuple(each for each in case.group.instances if each.protected), Lifecycle.WORKING)
    if not wish.raise_to(min(case.current, ceil(held - TINY))):
        return None
    return f"{held:g} are protected from scale-in: busy, as their consumers say"


def group_min(case: Case, wish: Wish) -> str | None:
    """The group's own minimum."""
    if wish.want >= case.group.min_size:
        return None
    wish.want = case.group.min_size
    return f"the group's minimum is {case.group.min_size}"


def group_max(case: Case, wish: Wish) -> str | None:
    """The group's own maximum."""
    if wish.want <= case.group.max_size:
        return None
    wish.want = case.group.max_size
    return f"the group's maximum is {case.group.max_size}"


def suspended(case: Case, wish: Wish) -> str | None:
    """A suspended process cannot do what would be asked of it.

    https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
    """
    if wish.want > case.current and "Launch" in case.group.suspended:
        wish.want = case.current
        return "the group's Launch process is suspended: resume it, or nothing can grow"
    if wish.want < case.current and "Terminate" in case.group.suspended:
        wish.want = case.current
        return "the group's Terminate process is suspended: resume it, or nothing can shrink"
    return None


type Limit = Callable[[Case, Wish], str | None]

LIMITS: tuple[tuple[ReasonCode, Limit], ...] = (
    (ReasonCode.STALE, stale),
    (ReasonCode.PAUSED, paused),
    (ReasonCode.DOWNSTREAM, downstream),
    (ReasonCode.BUDGET, budget),
    (ReasonCode.UNPROVEN, unproven),
    (ReasonCode.STEP, step),
    (ReasonCode.LAUNCH_FAILED, launch_failed),
    (ReasonCode.STABILISING, stabilising),
    (ReasonCode.BACKLOG, backlog),
    (ReasonCode.TAIL, tail),
    (ReasonCode.PROTECTED, protected),
    (ReasonCode.GROUP_MIN, group_min),
    (ReasonCode.GROUP_MAX, group_max),
    (ReasonCode.SUSPENDED, suspended),
)


def _ceiling(case: Case, units: int) -> int:
    """A cap that does not shrink a fleet about which something is unknown."""
    return max(units, case.current) if case.gaps else units
