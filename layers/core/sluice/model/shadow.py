"""What shadow mode keeps from tick to tick: the simulated fleet and its score, as records."""

from sluice.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Tally:
    """What one side of a shadow fleet's score came to."""

    unit_s: float = 0.0  # unit-seconds that are paid for
    launches: float = 0.0
    longest_s: float = 0.0  # the longest wait
    waits: tuple[float, ...] = ()  # messages by wait, in the bins of `scoring.SHARES`; zeros at the end are left out


@dataclass(frozen=True, slots=True)
class Span:
    """A scored stretch of time, for both sides."""

    at: float  # when it began
    seconds: float = 0.0  # of it, scored
    came: float = 0.0  # messages
    acting: Tally = Tally()
    shadow: Tally = Tally()


@dataclass(frozen=True, slots=True)
class ShadowFleet:
    """A fleet as it would be, at one moment; capacity in units."""

    desired: int
    working: float  # in service, and launched longer ago than the minimum billing
    launches: tuple[tuple[float, float, float], ...] = ()  # (ordered at, useful at, units)
    leaving: tuple[tuple[float, float, float], ...] = ()  # (gone at, units, messages in hand)
    in_flight: float = 0.0
    waiting: tuple[tuple[float, float, float], ...] = ()  # (came from, came until, messages), oldest first
    others: tuple[tuple[tuple[float, float, float], ...], ...] = ()  # of several queues: as `waiting`, of each further


@dataclass(frozen=True, slots=True)
class ShadowQueue:
    """One of the queues that a shared fleet in shadow mode consumes: what it is served and scored by."""

    name: str
    target_wait_s: float
    priority: int
    empty_at: float = 0.0  # as in Shadow, of this queue


@dataclass(frozen=True, slots=True)
class Shadow:
    """What a fleet in shadow mode would have come to; the empty one is a valid start. Bounded in every field."""

    target_wait_s: float = 0.0  # that the waits are scored by; of several queues the least of theirs
    at: float = 0.0  # both sides are settled up to here; what came later may still be corrected
    fleet: ShadowFleet | None = None  # as it would be, at `at`
    waiting: tuple[tuple[float, float, float], ...] = ()  # the real queue at `at`, as in ShadowFleet
    others: tuple[tuple[tuple[float, float, float], ...], ...] = ()  # and each further one
    ticks: tuple[tuple[float, int, float, float], ...] = ()  # since `at`: (at, want, real unit-seconds, real launches)
    real: tuple[float, float] = (0.0, 0.0)  # real units at the last tick: (launching or in service, draining)
    going: tuple[float, float] = (0.0, 0.0)  # (unit-seconds that real units drained for, how many); both fade
    weighted: bool = False  # units are not instances
    empty_at: float = 0.0  # the last tick at which nothing would have waited
    needs: tuple[tuple[float, int], ...] = ()  # as in Memory, of the fleet as it would be
    needs_since: float | None = None
    needs_until: float = 0.0
    spent_day: float = 0.0
    spent_s: float = 0.0
    restarted: tuple[float, float] | None = None  # (at, seconds without ticks before it)
    hours: tuple[Span, ...] = ()  # the last day's, ascending
    days: tuple[Span, ...] = ()  # the last week's (UTC), ascending
    queues: tuple[ShadowQueue, ...] = ()  # of a shared fleet: those it consumes, in the order of its sources

    @property
    def targets_s(self) -> tuple[float, ...]:
        """The target wait of each queue, in the order of `waiting` and `others`."""
        return tuple(queue.target_wait_s for queue in self.queues) or (self.target_wait_s,)
