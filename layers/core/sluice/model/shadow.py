"""What shadow mode keeps from tick to tick: the simulated fleet, the real fleet's cost, and the score of both."""

from sluice.model.frozen import dataclass
from sluice.model.usage import NeedWindow, Spending

type Batch = tuple[float, float, float]  # (arrived from, arrived until, messages), epoch seconds


@dataclass(frozen=True, slots=True)
class Tally:
    """Cost and waits of one side of a shadow fleet's score over a stretch of time."""

    unit_s: float = 0.0  # unit-seconds that are paid for
    launches: float = 0.0
    longest_s: float = 0.0  # the longest wait
    waits: tuple[float, ...] = ()  # messages by wait, in the bins of `scorecard.SHARES`; zeros at the end are left out


@dataclass(frozen=True, slots=True)
class Span:
    """A scored stretch of time, for both sides."""

    at: float  # when it began, epoch seconds
    seconds: float = 0.0  # how much of it is scored
    came: float = 0.0  # messages that arrived in it
    acting: Tally = Tally()
    shadow: Tally = Tally()


@dataclass(frozen=True, slots=True)
class ScoreHistory:
    """The score by hours of the last day and by UTC days of the last week, each ascending."""

    hours: tuple[Span, ...] = ()
    days: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class ShadowFleet:
    """The simulated fleet at one moment; capacity in units, times in epoch seconds."""

    desired: int
    working: float  # in service, and launched longer ago than the minimum billing
    launches: tuple[tuple[float, float, float], ...] = ()  # (ordered at, useful at, units)
    leaving: tuple[tuple[float, float, float], ...] = ()  # (gone at, units, messages in flight on them)
    in_flight: float = 0.0
    waiting: tuple[Batch, ...] = ()  # of its queue, or the first of several; oldest first
    others: tuple[tuple[Batch, ...], ...] = ()  # of several queues: as `waiting`, of each further one


@dataclass(frozen=True, slots=True)
class ShadowQueue:
    """One of the queues that a shared fleet in shadow mode consumes, and the target it is scored by."""

    name: str
    target_wait_s: float
    priority: int
    empty_at: float = 0.0  # as in Shadow, of this queue


@dataclass(frozen=True, slots=True)
class RealGroup:
    """The real group's cost: its units at the last tick, and how long units take to drain."""

    serving: float = 0.0  # units launching or in service at the last tick
    draining: float = 0.0  # units draining at the last tick
    drained_s: float = 0.0  # unit-seconds that units spent draining; fades with `drained`
    drained: float = 0.0  # units that drained
    weighted: bool = False  # units are not instances

    @property
    def drain_s(self) -> float | None:
        """Seconds that a unit takes to drain; None before one has drained."""
        return self.drained_s / self.drained if self.drained >= 1.0 else None


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a fleet in shadow mode would have done. The empty one is a valid start. Every field is bounded."""

    target_wait_s: float = 0.0  # that the waits are scored by; of several queues the least of theirs
    at: float = 0.0  # both sides are settled up to here; what came later may still be corrected by metrics
    fleet: ShadowFleet | None = None  # the simulated fleet at `at`
    waiting: tuple[Batch, ...] = ()  # the real queue at `at`, as in ShadowFleet
    others: tuple[tuple[Batch, ...], ...] = ()  # and each further one
    ticks: tuple[tuple[float, int, float, float], ...] = ()  # since `at`: (at, want, real unit-seconds, real launches)
    real: RealGroup = RealGroup()
    empty_at: float = 0.0  # the last tick at which nothing would have waited
    needs: NeedWindow = NeedWindow()  # of the simulated fleet
    spending: Spending = Spending()  # of the simulated fleet
    restarted: tuple[float, float] | None = None  # (at, seconds without ticks before it)
    score: ScoreHistory = ScoreHistory()
    queues: tuple[ShadowQueue, ...] = ()  # of a shared fleet: those it consumes, in the order of its sources

    @property
    def targets_s(self) -> tuple[float, ...]:
        """The target wait of each queue in seconds, in the order of `waiting` and `others`."""
        return tuple(queue.target_wait_s for queue in self.queues) or (self.target_wait_s,)
