"""A tick's snapshot, and what is estimated and remembered of a fleet. `sluice.model.decisions` has what follows.

Times are epoch seconds, durations seconds, rates per second; capacity is in the group's own units.
"""

from sluice.model.frozen import dataclass
from sluice.model.observed import GroupReading, QueueReading
from sluice.model.shadow import Shadow
from sluice.model.usage import Enough, NeedWindow, Spending, Throughput


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that was observed of a fleet for one tick."""

    fleet: str
    at: float
    queue: QueueReading
    group: GroupReading | None
    problems: tuple[str, ...] = ()  # what could not be read, in sentences, for the decision's record
    veto: bool | None = None  # whether the downstream guard's alarm is on; None: there is none, or it cannot be read
    queues: tuple[QueueReading, ...] = ()  # of a shared fleet: each queue, in the order of its sources; `queue` is all


# --------------------------------------------------------------------------- estimated


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured quantity: its mean, and the weight of evidence behind it (0 means none)."""

    mean: float
    weight: float
    at: float
    deviation: float = 0.0  # mean absolute distance of samples from the mean


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity to plan with: `source` is "measured", "counted" or "hint", `age_s` None for a hint."""

    value: float
    source: str
    age_s: float | None
    deviation: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """Arrivals expected, in messages a second."""

    rate_per_s: float  # now
    ahead_per_s: float  # over the horizon that plans use
    error_per_s: float  # mean absolute error of `ahead_per_s`
    by: str = "level"  # the forecaster, by its name in `forecasting.FORECASTERS`
    age_s: float | None = None  # of the newest metric in it; None without any
    quiet_s: float = 0.0  # seconds since the last message came
    of_batches: float = 0.0  # share of the level that was left out, since batches explain it that are over


@dataclass(frozen=True, slots=True)
class Estimates:
    """What is believed of a fleet at one tick: derived once, by `learn`, and planned with by all that follows."""

    service_rate: Measure  # messages a second that one unit of capacity completes
    lead_time: Measure  # seconds from launch to first message
    lead_s: float  # the lead time to plan with, in seconds: the mean and its deviation
    arrivals: Forecast
    usual_per_s: float  # messages a second over as long as it took a number of them to arrive
    lately_per_s: float  # messages a second that may be arriving now, by the last minute; infinite where unknown
    spread: float  # squared coefficient of variation of how long messages take
    is_proven: bool  # whether the service rate is more than a guess: set by the user, or something was completed
    counted_per_s: float  # messages a second that one unit is counted on to complete: less where some take nothing
    at_once: float = 1.0  # messages that one unit works on at once: given, or learned
    unbegun_s: float = 0.0  # seconds that a message waits in its unit before work on it begins, while messages wait
    queues: tuple[Forecast, ...] = ()  # of a shared fleet: arrivals of each queue, in the order of its sources


# --------------------------------------------------------------------------- remembered


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
class QueueSample:
    """What a tick saw of a queue and its fleet, kept until the metrics of its minute have come in."""

    at: float
    visible: float  # messages waiting, as believed
    in_flight: float
    working: float  # capacity units in service
    steady: bool  # nothing was draining
    arrived: float  # messages that arrived since the sample before, as far as can be known without metrics
    excess: float = 0.0  # messages by which `arrived` has been too many so far
    returned: float = 0.0  # messages that came back since the sample before: received, and not completed
    doubted: float | None = None  # the count as read, where `visible` is what was believed of it
    held: float = 0.0  # of those in flight, the messages that nobody works on


# A consumer that has been ready for so long without a message was waiting for one: SQS's longest wait of a receive.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
TAKEN_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class TimedLaunch:
    """What one launch took: when it began by its group, the rest as its consumer reported it."""

    instance_id: str
    launched_at: float
    ready_at: float | None
    first_message_at: float
    measured_at: float
    number: int = 0  # of the fleet's timed launches, by the ledger: 1 is the first; each later one is higher

    @property
    def to_ready_s(self) -> float | None:
        """Seconds until its consumer was ready; None where it did not report that."""
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
class ExpectedBatch:
    """A batch that is expected, since one came at such times before."""

    at: float  # it begins then at the earliest
    until: float  # and by then at the latest it has begun
    sizes: tuple[float, ...]  # messages above the usual of each repeat, ascending; 0.0 of those that stayed away
    interval_s: float = 86_400.0  # it recurs after so many seconds
    chance: float = 1.0  # that a schedule is behind the repeats, and not chance


@dataclass(frozen=True, slots=True)
class CountState:
    """What the queue's counts say of arrivals and of the service rate, with variances and covariances."""

    at: float
    there: float  # messages waiting or in flight
    arriving_per_s: float
    per_s: float  # messages a second that one unit completes
    drift: float  # by which the variance of arrivals grows each second: they change
    there_var: float
    most_per_s: float | None = None  # what one unit can complete at most, as little as the counts change
    busy_since: float | None = None  # units were at work for the first time
    there_arriving: float = 0.0
    there_per: float = 0.0
    arriving_var: float = 0.0
    arriving_per: float = 0.0
    per_var: float = 0.0


@dataclass(frozen=True, slots=True)
class RateMemory:
    """What is remembered for the service rate."""

    estimate: Estimate | None = None  # messages a second that one unit of capacity completes
    completed: tuple[float, float] = (0.0, 0.0)  # (messages, busy unit-seconds they took); both fade
    outlier_run: tuple[int, float, float] = (0, 0.0, 0.0)  # (periods in a row, - slower or + faster; messages; seconds)
    learned_until: float = 0.0  # end of the last period whose completed messages were learned from
    throughput: tuple[Throughput, ...] = ()  # while messages waited without a pause, ascending in time
    enough: Enough | None = None  # how many units are enough
    in_flight_each: float = 0.0  # messages in flight per unit while messages wait
    in_flight_full: tuple[float, float] = (0.0, 0.0)  # (seconds in flight, messages completed) then; both fade
    in_flight_light: tuple[float, float] = (0.0, 0.0)  # the same while none waits and units have room
    spread: Estimate | None = None  # squared coefficient of variation of how long messages take


@dataclass(frozen=True, slots=True)
class LaunchMemory:
    """What is remembered for the lead time."""

    to_service: Estimate | None = None  # seconds from launch to in service, as ticks saw it
    to_first_message: Estimate | None = None  # seconds from in service to first message, where that can be seen
    reported: Estimate | None = None  # seconds from launch to first message, as consumers themselves report
    reported_number: int = 0  # of the timed launches, the last that was learned from
    under_way: tuple[tuple[str, float], ...] = ()  # (instance id, first seen launching at), while it launches
    first_unit: tuple[str, float, float] | None = None  # (instance id, launched at, in service at): no message yet
    came_at: float = 0.0  # when a launch last came into service
    young: tuple[tuple[str, float], ...] = ()  # (instance id, in service since) for less than a lead time
    # (launches in a row that did not live for a lead time, when the last ended, capacity units in service then)
    short_lived: tuple[int, float, float] = (0, 0.0, 0.0)
    failing: Estimate | None = None  # share of the launches that ticks saw under way and that never came


@dataclass(frozen=True, slots=True)
class ArrivalMemory:
    """What is remembered for the forecast of arrivals."""

    history: History = History()  # up to a day of minutes
    forecasts: tuple[tuple[float, tuple[tuple[str, float], ...]], ...] = ()  # (made at, per second by forecaster)
    errors: tuple[tuple[str, Estimate], ...] = ()  # roots of how far each forecaster was off, messages a second
    chosen: tuple[str, float, float] | None = None  # (forecaster, per second above the level, its error)


@dataclass(frozen=True, slots=True)
class BatchMemory:
    """What is remembered of batches that recur."""

    pulses: tuple[tuple[float, float], ...] = ()  # (period's start, messages above the usual) where they stood out
    pulses_since: float = 0.0  # from when on a pulse that is not there was none
    pulses_until: float = 0.0  # periods up to here were searched
    expected: tuple[ExpectedBatch, ...] = ()  # ascending
    expected_until: float = 0.0  # up to here it is known which are
    intervals: tuple[float, ...] = ()  # seconds: those of the last batches that were expected, the newest first


@dataclass(frozen=True, slots=True)
class RedeliveryMemory:
    """What is remembered of messages that come back because no consumer completed them."""

    history: History = History()  # messages that came back, the last hour's
    carry: float = 0.0  # messages too few to be distinguished from the error of counts in flight
    failing_share: float = 0.0  # of what was tried lately, the share that failed, where that is most; else 0
    suspects: tuple[tuple[float, float, float], ...] = ()  # (at, messages received more than three times, others there)
    poison: float = 0.0  # messages that are received again and again, and that no unit completes
    received: History = History()  # messages received, the last hours'
    completed: History = History()  # messages completed, the last hours'
    held: float = 0.0  # messages in flight that nobody works on
    left_per_s: float = 0.0  # so many more each second, by the newest metrics


@dataclass(frozen=True, slots=True)
class SafetyMargin:
    """The share of the target wait that is kept as a margin for having been late, and what it is learned from."""

    share: float = 0.0  # of the target wait
    held_since: float | None = None  # from when on decisions gave what was needed, and could be in time
    late: tuple[float, float] | None = None  # (at, by how much of the target) a message was late by such plans


@dataclass(frozen=True, slots=True)
class QueueMemory:
    """What is remembered of one queue: when what waits in it arrived."""

    name: str
    arrivals: History = History()  # of a shared fleet's queue: the last few hours
    samples: tuple[QueueSample, ...] = ()  # `working` and `steady` are the fleet's


@dataclass(frozen=True, slots=True)
class ControlMemory:
    """Who sets the group's capacity."""

    asked: tuple[int, int] | None = None  # by the last decision that was applied: the capacity that was, and is wanted
    others_at: tuple[float, ...] = ()  # when something else had set it: the last times before it was left, ascending
    before: tuple[tuple[float, int], ...] = ()  # (until, capacity) of decisions before, while a reading may show it
    left_to_other: tuple[float, int] | None = None  # when something else set it last, and to what, while it is left


@dataclass(frozen=True, slots=True)
class OnRecord:
    """Which decision was recorded last: one like it is recorded again a minute later at the earliest."""

    at: float = 0.0
    gist: str = ""  # mode, capacity, reasons and outcome, without the figures that differ at each tick


@dataclass(frozen=True, slots=True)
class DecisionMemory:
    """What is remembered of decisions: whether they were followed, and which is on record."""

    control: ControlMemory = ControlMemory()
    on_record: OnRecord = OnRecord()


@dataclass(frozen=True, slots=True)
class FromLedger:
    """What the ledger gives with a memory that is read from it, and does not keep in it."""

    timed: tuple[TimedLaunch, ...] = ()  # the fleet's last launches that were timed, ascending by number
    unread: tuple[str, ...] = ()  # what of the kept record could not be read, in sentences


@dataclass(frozen=True, slots=True)
class Memory:
    """What the planner carries from tick to tick; the empty memory is a valid start.

    Each part is of what changes together.
    """

    learned_at: float = 0.0  # the last snapshot learned from
    service_rate: RateMemory = RateMemory()
    launches: LaunchMemory = LaunchMemory()
    arrivals: ArrivalMemory = ArrivalMemory()
    batches: BatchMemory = BatchMemory()
    redeliveries: RedeliveryMemory = RedeliveryMemory()
    samples: tuple[QueueSample, ...] = ()  # the last few minutes of ticks, ascending
    margin: SafetyMargin = SafetyMargin()
    needs: NeedWindow = NeedWindow()
    spending: Spending = Spending()
    shadow: Shadow = Shadow()  # in shadow mode: the simulated fleet, and the score
    queues: tuple[QueueMemory, ...] = ()  # of a shared fleet; the fields above are then of its queues as one
    counted: CountState | None = None  # what the queue's counts say of the service rate since the metrics
    decisions: DecisionMemory = DecisionMemory()
    from_ledger: FromLedger = FromLedger()

    def as_queue(self) -> QueueMemory:
        """The arrivals and samples of all queues as one."""
        return QueueMemory("", self.arrivals.history, self.samples)

    def of_queue(self, name: str) -> QueueMemory:
        """What is remembered of one of a shared fleet's queues; empty before it was seen."""
        for queue in self.queues:
            if queue.name == name:
                return queue
        return QueueMemory(name)
