"""What stands between need and want: each limit a small function, applied in the order of `LIMITS`.

A limit may change the wish, and says so in a sentence; one that says nothing leaves no reason. What lowers the wish for
good is a ceiling, which later floors respect. Figures that are missing or stale never shrink a fleet: `stale` raises
the wish, and no ceiling goes below the present capacity then. Only the group's own maximum does: AWS enforces it, too.

Keep `LIMITS` in the order of `ReasonCode`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, inf

from sluice.case import Case, worth_staying
from sluice.deadlines import SOONEST_S, TINY
from sluice.estimating import DAY_S
from sluice.model import Mode, ReasonCode

# https://aws.amazon.com/ec2/pricing/on-demand/: by the second, with a minimum of 60 seconds
MINIMUM_BILLING_S = 60.0
LAUNCH_BACKOFF_S = 60.0  # after one failed launch; twice as long for each further one
LAUNCH_BACKOFF_MAX_S = 960.0
LAUNCH_FAILURES_S = 3600.0  # failures longer ago no longer count
BUDGET_PACE_S = 3600.0  # what is left of a budget must last for an hour, or to the day's end
NEEDS_GAP_S = 180.0  # three missed ticks of a cold fleet: what was needed meanwhile is unknown
WINDOW_SLACK = 0.9  # ticks come a little early or late: needs over nine tenths of the window cover it
SUSTAINED_PERIODS = 10  # arrivals that go on are the mean of so many periods
SUSTAINED_SPIKES = 2  # of which the highest are left out: a spike does not go on
SUSTAINED_MARGIN = 1.03  # rates are known to a few hundredths: at the very edge a fleet would go to and fro
FEWER = 1.5  # mean absolute errors of the forecast by which arrivals must have fallen to be believed at once


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
    """Keep what steady arrivals keep busy, and one unit until all is done."""
    if wish.want >= case.current:
        return None
    if worth_staying(case.arrivals, case.lead_s):
        busy = ceil(SUSTAINED_MARGIN * _sustained_per_s(case) / case.rate.value - TINY)
        if wish.raise_to(min(case.current, busy)):
            return f"steady arrivals keep {wish.want} busy"
    if wish.want < 1 and case.unfinished > 0 and wish.raise_to(1):
        return f"{case.unfinished:.0f} messages are not done: not yet to zero"
    return None


def tail(case: Case, wish: Wish) -> str | None:
    """Finish at full strength what is done sooner than a launch is repaid: it costs no more."""
    if wish.want >= case.current or case.waiting <= 0 or case.supply.working <= 0:
        return None
    repaid_s = max(MINIMUM_BILLING_S, case.lead_s)
    spare_per_s = case.supply.working * case.rate.value - case.arrivals.rate_per_s
    tail_s = case.waiting / spare_per_s if spare_per_s > 0 else inf
    if SOONEST_S < tail_s <= repaid_s and wish.raise_to(case.current):
        return f"the rest is done in {tail_s:.0f} s, sooner than a launch is repaid ({repaid_s:.0f} s)"
    return None


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
    (ReasonCode.STEP, step),
    (ReasonCode.LAUNCH_FAILED, launch_failed),
    (ReasonCode.STABILISING, stabilising),
    (ReasonCode.BACKLOG, backlog),
    (ReasonCode.TAIL, tail),
    (ReasonCode.GROUP_MIN, group_min),
    (ReasonCode.GROUP_MAX, group_max),
    (ReasonCode.SUSPENDED, suspended),
)


def _ceiling(case: Case, units: int) -> int:
    """A cap that does not shrink a fleet about which something is unknown."""
    return max(units, case.current) if case.gaps else units


def _sustained_per_s(case: Case) -> float:
    """Arrivals that go on: the mean of the last periods without their spikes, unless clearly fewer come by now."""
    history, arrivals = case.memory.arrivals, case.arrivals
    usual = sorted(history.counts[-SUSTAINED_PERIODS:])[:-SUSTAINED_SPIKES]
    if not usual:
        return arrivals.rate_per_s
    mean_per_s = sum(usual) / len(usual) / history.period_s
    clearly_fewer = mean_per_s - arrivals.rate_per_s > FEWER * arrivals.error_per_s
    return arrivals.rate_per_s if clearly_fewer else mean_per_s
