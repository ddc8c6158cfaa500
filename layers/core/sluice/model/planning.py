"""A tick's snapshot, what was learned of a fleet, and the decision with its reasons and outcome, as records."""

from dataclasses import field
from enum import StrEnum

from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading, Mode, QueueReading
from sluice.model.shadow import Shadow


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was observed of a fleet for one tick."""

    fleet: str
    at: float
    queue: QueueReading
    group: GroupReading | None
    problems: tuple[str, ...] = ()  # what could not be read, in words, for the decision's record
    veto: bool | None = None  # whether the downstream guard's alarm is on; None: there is none, or it cannot be read
    queues: tuple[QueueReading, ...] = ()  # of a shared fleet: each queue, in the order of its sources; `queue` is all


# --------------------------------------------------------------------------- learned: the planner's memory


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured quantity: its mean, and the weight of evidence behind it (0 means none)."""

    mean: float
    weight: float
    at: float
    deviation: float = 0.0  # mean absolute distance of samples from the mean


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity to plan with: `source` is "measured", "bounded" or "hint", `age_s` None for a hint."""

    value: float
    source: str
    age_s: float | None
    deviation: float = 0.0


@dataclass(frozen=True, slots=True)
class History:
    """Counts of consecutive periods without gaps: `counts[i]` is of [start_at + i period_s, one period later)."""

    period_s: float = 60.0
    start_at: float = 0.0
    counts: tuple[float, ...] = ()

    @property
    def end_at(self) -> float:
        """The end of the last period; `start_at` while there is none."""
        return self.start_at + self.period_s * len(self.counts)


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a tick saw, as kept until the metrics of its minute have come in."""

    at: float
    visible: float
    in_flight: float
    working: float  # capacity units in service
    steady: bool  # nothing was draining
    arrived: float  # messages that came since the sighting before, as far as can be told without metrics
    excess: float = 0.0  # messages by which `arrived` has been too many so far
    returned: float = 0.0  # messages that came back since the sighting before: begun, and not completed
    doubted: float | None = None  # the count as read, where `visible` is what was believed of it


# A consumer that has been ready for so long without a message was waiting for one: SQS's longest wait of a receive.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
TAKEN_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class TimedLaunch:
    """What one launch took, by its group's word for when it began and its consumer's own for the rest."""

    instance_id: str
    launched_at: float
    ready_at: float | None
    first_message_at: float
    measured_at: float
    number: int = 0  # of the fleet's timed launches, by the ledger: 1 is the first; each later one is higher

    @property
    def to_ready_s(self) -> float | None:
        """Seconds until its consumer was ready, where it said so."""
        return None if self.ready_at is None else max(0.0, self.ready_at - self.launched_at)

    @property
    def to_first_message_s(self) -> float:
        """Seconds until its first message."""
        return self.first_message_at - self.launched_at

    @property
    def lead_s(self) -> float:
        """The lead time that this launch shows, in seconds: not the wait for a message that was not there yet."""
        if self.ready_at is None or self.first_message_at - self.ready_at <= TAKEN_WITHIN_S:
            return self.to_first_message_s
        return max(0.0, self.ready_at - self.launched_at)


@dataclass(frozen=True, slots=True)
class Awaited:
    """A batch that is expected, by what came at such times before."""

    at: float  # it begins then at the earliest
    until: float  # and by then at the latest it has begun
    sizes: tuple[float, ...]  # messages above the usual of each repeat, ascending; 0.0 of those that stayed away


@dataclass(frozen=True, slots=True)
class QueueMemory:
    """What is remembered of one of a shared fleet's queues: when what waits in it came."""

    name: str
    arrivals: History = field(default_factory=History)  # the last few hours
    sightings: tuple[Sighting, ...] = ()  # `working` and `steady` are the fleet's


@dataclass(frozen=True, slots=True)
class Memory:
    """What the planner carries from tick to tick; the empty memory is a valid start.

    `timed` alone is not the planner's: the drainer writes it beside, and it is read with the rest, at no cost.
    """

    learned_at: float = 0.0  # the last snapshot learned from
    service_rate: Estimate | None = None  # messages per second that one unit of capacity completes
    completing: tuple[float, float] = (0.0, 0.0)  # completed messages and the busy unit-seconds they took; both fade
    unlike: tuple[int, float, float] = (0, 0.0, 0.0)  # the same of periods in a row unlike those: (-slower or +faster)
    returns: History = field(default_factory=History)  # messages that came back, the last hour's
    returns_carry: float = 0.0  # of them, what is too few to tell from how coarse counts in flight are
    failing: float = 0.0  # of what was tried of late, the share that failed, where that is most; else 0
    suspects: tuple[tuple[float, float, float], ...] = ()  # (at, messages received more than three times, others there)
    poison: float = 0.0  # messages that are received again and again, and that no unit completes
    completed_until: float = 0.0  # end of the last period whose completed messages were learned from
    lead_time: Estimate | None = None  # seconds from launch to in service
    first_work: Estimate | None = None  # seconds from in service to first message, where that can be seen
    reported: Estimate | None = None  # seconds from launch to first message, as consumers themselves report
    reported_number: int = 0  # of `timed`, the last that was learned from
    launches: tuple[tuple[str, float], ...] = ()  # (instance id, first seen launching at), while it launches
    starting: tuple[str, float, float] | None = None  # (instance id, launched at, in service at): no message yet
    arrivals: History = field(default_factory=History)  # up to a day of minutes
    week: tuple[float, ...] = ()  # messages per second by quarter of an hour of the week from the epoch; -1: unknown
    expected: tuple[tuple[float, tuple[tuple[str, float], ...]], ...] = ()  # (made at, per second by forecaster)
    errors: tuple[tuple[str, Estimate], ...] = ()  # roots of how far each forecaster was off, messages per second
    outlook: tuple[str, float, float] | None = None  # (forecaster, per second above the level, its error)
    pulses: tuple[tuple[float, float], ...] = ()  # (period's start, messages above the usual) where they stood out
    pulses_since: float = 0.0  # from when on a pulse that is not there was none
    pulses_until: float = 0.0  # periods up to here were looked at
    awaited: tuple[Awaited, ...] = ()  # batches expected, ascending
    awaited_until: float = 0.0  # up to here it is known which are
    regular: Estimate | None = None  # the share that came of what was awaited
    sightings: tuple[Sighting, ...] = ()  # the last few minutes of ticks, ascending
    spent_day: float = 0.0  # start of the UTC day of `spent_s`
    spent_s: float = 0.0  # instance-seconds of that day
    needs: tuple[tuple[float, int], ...] = ()  # (at, need), later ones lower: the highest of any window up to now
    needs_since: float | None = None  # from when on needs were noted without a gap
    needs_until: float = 0.0
    kept_back: float = 0.0  # of the target wait, the share that is kept back for having been late
    held_since: float | None = None  # from when on decisions gave what was needed, and could be in time
    late: tuple[float, float] | None = None  # (at, by how much of the target) a message was late by such plans
    grown_at: float | None = None
    shrunk_at: float | None = None
    shadow: Shadow = Shadow()  # in shadow mode: the fleet as it would be, and the score
    queues: tuple[QueueMemory, ...] = ()  # of a shared fleet; the fields above are then of its queues as one
    timed: tuple[TimedLaunch, ...] = ()  # the fleet's last launches that were timed, ascending by number; never kept


class Action(StrEnum):
    """The direction of a decision."""

    GROW = "grow"
    SHRINK = "shrink"
    HOLD = "hold"


class ReasonCode(StrEnum):
    """Why a decision is what it is: log key and metric dimension. In the order in which limits apply."""

    NEED = "need"  # what the queue asks for
    STALE = "stale"  # signals missing or old: never shrink on them
    PAUSED = "paused"
    DOWNSTREAM = "downstream"  # guard: cap in messages per second, or an alarm that forbids growth
    BUDGET = "budget"
    UNPROVEN = "unproven"  # nothing was completed yet: grow by degrees
    STEP = "step"  # largest step
    LAUNCH_FAILED = "launch-failed"  # capacity that recently failed to launch
    STABILISING = "stabilising"  # shrink only after the window
    BACKLOG = "backlog"  # not to zero before all is done, nor below what may come before a launch could help
    TAIL = "tail"  # what is busy stays
    PROTECTED = "protected"  # instances that the group may not take away
    GROUP_MIN = "group-min"
    GROUP_MAX = "group-max"
    SUSPENDED = "suspended"  # the group's own processes are suspended
    NO_GROUP = "no-group"


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of a decision: what it made of the wish before it, and a sentence for a person."""

    code: ReasonCode
    sentence: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure a decision used. `age_s` is None for what was configured; `source` says where it came from."""

    name: str
    value: float | None
    age_s: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is wanted for a fleet at a tick, with every reason; never confused with the outcome."""

    id: str
    fleet: str
    at: float
    mode: Mode
    action: Action
    current: int  # the group's desired capacity when looked at
    raw_need: int  # before any limit
    want: int  # after every limit; equals `current` when the action is HOLD
    reasons: tuple[Reason, ...]
    figures: tuple[Figure, ...]
    sentence: str
    hot: bool = False  # tick again within this minute


class OutcomeStatus(StrEnum):
    """What came of a decision."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"  # nothing to do
    SHADOW = "shadow"  # recorded only
    FAILED = "failed"
    BUSY = "busy"  # another planner holds the fleet's lease


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was done about a decision, and what AWS answered."""

    decision_id: str
    at: float
    status: OutcomeStatus
    answer: str = ""
