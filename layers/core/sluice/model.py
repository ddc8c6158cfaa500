"""The words of Sluice as values: what is observed, decided and done, in frozen dataclasses and enums.

Times are epoch seconds (float, UTC), durations seconds, rates per second. Nothing here reads a clock, calls AWS
or checks a user's input: `config` does the last.
"""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from sluice.values import dataclass

# --------------------------------------------------------------------------- observed: the snapshot of a tick


@dataclass(frozen=True, slots=True)
class Reading:
    """One observed figure and the moment it was true."""

    value: float
    at: float

    def age_s(self, now: float) -> float:
        """Seconds since the figure was true; never negative, since clocks differ a little."""
        return max(0.0, now - self.at)


@dataclass(frozen=True, slots=True)
class Series:
    """Counts per period, ascending: `points[i]` is (start of the period, count within it)."""

    period_s: float
    points: tuple[tuple[float, float], ...] = ()

    def since(self, at: float) -> tuple[tuple[float, float], ...]:
        """The points of the periods that begin at a moment or later, ascending: it is to the nearest period."""
        first = len(self.points)
        while first and self.points[first - 1][0] >= at - self.period_s / 2:
            first -= 1
        return self.points[first:]


@dataclass(frozen=True, slots=True)
class QueueReading:
    """One queue as seen at a tick. A figure that could not be read is None, never zero."""

    visible: Reading | None = None  # waiting, messages (approximate)
    in_flight: Reading | None = None  # received, not yet deleted
    delayed: Reading | None = None  # not yet visible
    oldest_age: Reading | None = None  # seconds, of the oldest message not yet deleted
    sent: Series | None = None  # messages sent, per period
    deleted: Series | None = None  # messages deleted, per period: work completed
    received: Series | None = None  # messages received, per period: work begun, some of it again


class Lifecycle(StrEnum):
    """Where an instance is in its group's lifecycle, folded to what decisions need."""

    LAUNCHING = "launching"  # Pending, Pending:Wait, Pending:Proceed
    WORKING = "working"  # InService
    DRAINING = "draining"  # Terminating, Terminating:Wait, Terminating:Proceed
    ASIDE = "aside"  # Standby, Detached, Detaching, EnteringStandby, Warmed:*, Terminating:Retained
    GONE = "gone"  # Terminated

    @classmethod
    def of(cls, aws_state: str) -> "Lifecycle":
        """Fold the group's own word for a state.

        https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-lifecycle.html
        """
        folded = {
            "Pending": cls.LAUNCHING,
            "InService": cls.WORKING,
            "Terminating": cls.DRAINING,
            "Terminated": cls.GONE,
        }
        if aws_state == "Terminating:Retained":  # kept after an abandoned hook: no longer the group's to count
            return cls.ASIDE
        return folded.get(aws_state.partition(":")[0], cls.ASIDE)


@dataclass(frozen=True, slots=True)
class Instance:
    """One instance of a group."""

    id: str
    state: Lifecycle
    aws_state: str = ""  # the group's own word, such as "Terminating:Wait"
    healthy: bool = True
    protected: bool = False
    launched_at: float | None = None  # when its launch began, where known
    weight: float = 1.0  # capacity units


def capacity(instances: tuple[Instance, ...], *states: Lifecycle) -> float:
    """Capacity units of the healthy instances in any of the states."""
    units = 0.0
    for instance in instances:
        if instance.healthy and instance.state in states:
            units += instance.weight
    return units


@dataclass(frozen=True, slots=True)
class LaunchFailure:
    """A launch that the group tried in vain."""

    at: float
    message: str


@dataclass(frozen=True, slots=True)
class Membership:
    """The Auto Scaling group that an instance is in."""

    group: str
    aws_state: str  # its lifecycle state there, in AWS's word


@dataclass(frozen=True, slots=True)
class GroupReading:
    """An Auto Scaling group as seen at a tick."""

    name: str
    at: float
    desired: int
    min_size: int
    max_size: int
    instances: tuple[Instance, ...] = ()
    suspended: frozenset[str] = frozenset()  # process names, such as "Launch"
    launch_failures: tuple[LaunchFailure, ...] = ()  # most recent first
    retains: bool = False  # an instance whose termination hook is abandoned is kept

    def count(self, state: Lifecycle) -> int:
        """How many instances are in `state`."""
        return sum(1 for instance in self.instances if instance.state is state)


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


# --------------------------------------------------------------------------- decided


class Mode(StrEnum):
    """What a fleet's decisions are for: applied, only recorded, or held."""

    ACT = "act"
    SHADOW = "shadow"
    PAUSED = "paused"


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


# --------------------------------------------------------------------------- drains


class DrainState(StrEnum):
    """Where a drain stands."""

    NOTICED = "noticed"  # the instance is to go; nothing asked of it yet
    STOPPING = "stopping"  # its consumer was asked to stop (or is known to watch for itself)
    DONE = "done"  # its consumer has said that it is done; the release is owed
    EXPIRED = "expired"  # its deadline has passed; the release is owed
    RETAINED = "retained"  # its group keeps it for inspection, and it costs money, until a person lets it go
    RELEASED = "released"  # the lifecycle action is completed, by us or by another


class CommandStatus(StrEnum):
    """How a stop stands on one instance: Run Command's answer, folded to what a drain needs."""

    PENDING = "pending"  # not known to have begun: not delivered, not listed yet, or sent and not answered
    RUNNING = "running"  # it began on the instance
    SUCCEEDED = "succeeded"
    KILLED = "killed"  # the consumer is gone, but was killed before it had finished
    MISSING = "missing"  # the instance has no unit or container of that name
    FAILED = "failed"  # the command ran and failed
    UNKNOWN = (
        "unknown"  # Undeliverable, DeliveryTimedOut, TimedOut, Cancelled, Terminated: says nothing of the consumer
    )

    @classmethod
    def of(cls, word: str) -> "CommandStatus":
        """Fold Run Command's own Status or StatusDetails; what is not known here says nothing of the consumer.

        InProgress is said of a command that was sent, whether it has begun or not.
        https://docs.aws.amazon.com/systems-manager/latest/userguide/monitor-commands.html
        """
        folded = {
            "Pending": cls.PENDING,
            "InProgress": cls.PENDING,
            "Delayed": cls.PENDING,
            "Cancelling": cls.PENDING,
            "Success": cls.SUCCEEDED,
            "Failed": cls.FAILED,
        }
        return folded.get(word.replace(" ", ""), cls.UNKNOWN)


@dataclass(frozen=True, slots=True)
class HookAction:
    """One lifecycle action that waits for an answer; the token is optional, the instance id suffices."""

    group: str
    hook: str
    instance_id: str
    token: str | None = None


class HookResult(StrEnum):
    """How a lifecycle action is completed."""

    CONTINUE = "CONTINUE"
    ABANDON = "ABANDON"


class DrainCause(StrEnum):
    """Why a drain began."""

    TERMINATE = "terminate"  # the group waits for the instance at our hook
    SPOT = "spot"  # EC2 takes the instance back
    OPERATOR = "operator"  # a person released an instance that was not on record


class DrainOutcome(StrEnum):
    """How a drain came to be released."""

    COMPLETED = "completed"  # we completed the lifecycle action
    LATE = "late"  # no action was active any more: another completed it, or its timeout ended it
    GONE = "gone"  # the instance went on, or left its group, without our word
    CLOSED = "closed"  # no lifecycle action ever came, long after there was anything left to do
    TERMINATED = "terminated"  # it was retained, and is no longer


@dataclass(frozen=True, slots=True)
class Drain:
    """One instance on its way out of service, as the ledger keeps it."""

    fleet: str
    instance_id: str
    state: DrainState
    cause: DrainCause
    started_at: float
    deadline_at: float
    updated_at: float
    hook: HookAction | None = None  # None while no lifecycle action is known (a Spot notice comes first)
    command_id: str | None = None  # of the stop that is under way; None once it ended without the consumer's word
    heartbeat_at: float | None = None
    heartbeat_count: int = 0
    destination: str = "EC2"  # or "WarmPool": drained all the same
    note: str = ""  # the last thing that happened, in words
    version: int = 0  # of the ledger's record; each write raises it by one
    hook_at: float | None = None  # when the lifecycle action began, as far as known
    asked_at: float | None = None  # when a stop was last asked for
    asked_count: int = 0  # stops asked for, ever: tells the answer to one from the answer to another
    unanswered_count: int = 0  # stops of this drain that came to nothing we know of
    failed_count: int = 0  # stops of this drain that ran and failed
    retry_at: float | None = None  # when to ask again; None: not before something else happens
    outcome: DrainOutcome | None = None  # once released
    alive_at: float | None = None  # the last sign that its consumer is at work on its end
    in_flight: float | None = None  # messages in flight when last looked at, while nothing but drains works on them
    keeping: bool = False  # the lifecycle action was abandoned, for its group to keep the instance
    retained_at: float | None = None  # since when its group keeps it
    killed: bool = False  # its consumer was killed before it had finished


@dataclass(frozen=True, slots=True)
class StopOrder:
    """What Run Command is to do on an instance: stop a systemd unit, or a container in its place."""

    unit: str = "consumer.service"
    container: str | None = None
    document: str | None = None  # None: the stack's own; any other takes `unit`, `container` and `executionTimeout`


@dataclass(frozen=True, slots=True)
class StopConsumer:
    """Ask the instance, by Run Command, to stop its consumer; `ask` is the drain's `asked_count` at that moment."""

    instance_id: str
    order: StopOrder
    timeout_s: float  # until when it must have ended
    ask: int


@dataclass(frozen=True, slots=True)
class SendHeartbeat:
    """Restart the hook's timeout; as a probe, learn whether our hook holds an instance whose drain is released."""

    hook: HookAction
    probe: bool = False


@dataclass(frozen=True, slots=True)
class CompleteHook:
    """Complete the lifecycle action: the instance goes on."""

    hook: HookAction
    result: HookResult = HookResult.CONTINUE


@dataclass(frozen=True, slots=True)
class EndInstance:
    """Terminate an instance that its group has retained."""

    group: str
    instance_id: str


type DrainAction = StopConsumer | SendHeartbeat | CompleteHook | EndInstance


@dataclass(frozen=True, slots=True)
class DrainStep:
    """What is to become of a drain: the record to write if it differs, and then what to do, in order."""

    drain: Drain | None  # None: there is none, and none begins
    actions: tuple[DrainAction, ...] = ()


# --------------------------------------------------------------------------- consumers


class ConsumerWord(StrEnum):
    """What a consumer says of itself (docs/draining.md has the event it says it by)."""

    READY = "ready"  # it can take messages: its instance may count
    FAILED = "failed"  # it will never be ready: replace its instance
    BUSY = "busy"  # it works on at least one message
    IDLE = "idle"  # it has nothing in hand
    DRAINING = "draining"  # it takes nothing new, and works on what it has
    DONE = "done"  # it has let go of everything


@dataclass(frozen=True, slots=True)
class Report:
    """One thing that a consumer said."""

    instance_id: str
    word: ConsumerWord
    at: float
    in_hand: int | None = None  # messages it works on


class BootState(StrEnum):
    """How far an instance has come on its way into service."""

    BOOTING = "booting"  # launched; nothing heard of its consumer
    READY = "ready"  # its consumer can take messages
    WORKING = "working"  # its consumer has begun its first message
    LOST = "lost"  # it left before its consumer was ready
    LEFT = "left"  # it was ready, and is on its way out or gone


@dataclass(frozen=True, slots=True)
class Consumer:
    """What is known of an instance's consumer, as the ledger keeps it."""

    fleet: str
    instance_id: str
    boot: BootState
    updated_at: float
    launched_at: float | None = None  # when its launch began, where known
    ready_at: float | None = None
    first_message_at: float | None = None
    hook: HookAction | None = None  # the launch's lifecycle action, where one is known
    hook_at: float | None = None  # when that began
    word: ConsumerWord | None = None  # the last it said
    word_at: float | None = None
    in_hand: int | None = None
    protected: bool = False  # we have protected its instance from scale-in
    measured: bool = False  # launch to first message was counted
    version: int = 0  # of the ledger's record; each write raises it by one


@dataclass(frozen=True, slots=True)
class BootStep:
    """What is to become of a consumer's record, and then what to do."""

    consumer: Consumer | None
    actions: tuple[CompleteHook, ...] = ()


# --------------------------------------------------------------------------- dead letters


@dataclass(frozen=True, slots=True)
class Attribute:
    """One message attribute, whole: `type` as sent (String, Number, Binary, with any custom suffix)."""

    type: str
    text: str | None = None
    binary: bytes | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message as received from a queue."""

    id: str
    body: str
    receipt: str = ""
    attributes: tuple[tuple[str, Attribute], ...] = ()  # ascending by name
    first_sent_at: float | None = None  # SentTimestamp: kept when SQS itself dead-letters a message
    receive_count: int = 1
    source: str | None = None  # ARN of the queue it was dead-lettered from, where SQS tells
    message_group: str | None = None  # FIFO
    deduplication: str | None = None  # FIFO

    @classmethod
    def received(
        cls, id_: str, body: str, receipt: str, attributes: Mapping[str, Attribute], system: Mapping[str, str]
    ) -> "Message":
        """A message as SQS gives it; `system` are its own attributes, such as SentTimestamp (milliseconds).

        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html

        Raises:
            ValueError: a system attribute that is a number is none.
        """
        sent_ms = system.get("SentTimestamp")
        return cls(
            id=id_,
            body=body,
            receipt=receipt,
            attributes=tuple(sorted(attributes.items())),
            first_sent_at=None if sent_ms is None else int(sent_ms) / 1000,
            receive_count=int(system.get("ApproximateReceiveCount", 1)),
            source=system.get("DeadLetterQueueSourceArn"),
            message_group=system.get("MessageGroupId"),
            deduplication=system.get("MessageDeduplicationId"),
        )

    def attribute(self, name: str) -> str | None:
        """The text of a message attribute, or None."""
        return next((value.text for key, value in self.attributes if key == name), None)

    @property
    def size_bytes(self) -> int:
        """What SQS counts against the queue's limit: the body, and every attribute's name, type and value."""
        texts, raw_bytes = [self.body], 0
        for name, value in self.attributes:
            texts += (name, value.type, value.text or "")
            raw_bytes += len(value.binary or b"")
        return _text_bytes("".join(texts)) + raw_bytes  # one text: it is asked for several times of each message


def attribute_bytes(named: tuple[str, Attribute]) -> int:
    """What SQS counts of one message attribute: name, type and value."""
    name, value = named
    return _text_bytes(f"{name}{value.type}{value.text or ''}") + len(value.binary or b"")


def _text_bytes(text: str) -> int:
    # Python knows whether a text is ASCII without looking: a megabyte is not encoded to be counted.
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


class VerdictKind(StrEnum):
    """What becomes of a dead-lettered message."""

    RETRY = "retry"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgment of one dead-lettered message, with its reason."""

    kind: VerdictKind
    failure_group: str  # stable id of its cause
    cause: str  # in words, at most a line
    sentence: str
    attempt: int  # redrives so far, this one included when it is a retry
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The index entry of one quarantined message; its body and attributes are in the archive under `key`."""

    fleet: str
    failure_group: str
    message_id: str
    key: str
    cause: str
    at: float
    first_sent_at: float | None
    attempt: int
    source: str | None  # ARN or URL of the queue it came from; "" where nothing tells which of several
    size_bytes: int
    sample: str  # the beginning of the body, as data: escaped wherever it is shown
    message_group: str | None = None  # FIFO
    attributes: tuple[tuple[str, str], ...] = ()  # the producer's own texts, cut: to select by
    expires_at: float | None = None  # when SQS would have deleted it from its dead-letter queue; here nothing does


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Dead-lettered messages with the same cause."""

    fleet: str
    id: str
    cause: str
    count: int  # now in quarantine
    seen_count: int  # ever seen, retried ones included
    first_seen_at: float
    last_seen_at: float
    sample: str = ""
    version: int = 0
    hours: tuple[tuple[int, int], ...] = ()  # (whole hours since the epoch, dead letters seen in it), ascending
    minutes: tuple[tuple[int, int], ...] = ()  # the same by the minute: the last few alone
    archived_at: float | None = None  # a person wants no more of it, unless it is seen again
    redrive_job: str = ""  # the last job that sent any of it back ...
    redriven_at: float | None = None  # ... when it began to,
    redriven_count: int = 0  # ... how many,
    returned_count: int = 0  # ... and how many of them came back
    again_count: int = 0  # of those ever seen, how many had been sent back before: attempts that failed again

    @property
    def is_archived(self) -> bool:
        """Whether it is set aside: what is seen of it after that takes it out again."""
        return self.archived_at is not None and self.last_seen_at <= self.archived_at

    def seen_within(self, window_s: float, now: float) -> int:
        """Dead letters seen in about the last `window_s` seconds: by whole minutes, the present one included."""
        return sum(count for minute, count in self.minutes if minute > (now - window_s) / 60.0 - 1.0)


class Claim(StrEnum):
    """How a claim to send a message again went. A message is sent only on GRANTED, which is given once."""

    GRANTED = "granted"
    BUSY = "busy"  # another is at it
    SENT = "sent"  # it was sent, and that is confirmed: only the letting go is owed
    DOUBTFUL = "doubtful"  # another began and is gone: it may have been sent


@dataclass(frozen=True, slots=True)
class Consignment:
    """Messages whose sending is claimed by one record, for who holds them hidden in their queue."""

    fleet: str
    name: str  # unique
    claimed_at: float
    until: float  # when the claimant is surely gone
    claimed: tuple[str, ...]  # message ids, not known to be sent
    sent: tuple[str, ...] = ()


class JobPhase(StrEnum):
    """How far a redrive job dares to go."""

    CANARY = "canary"  # the oldest few of each failure group, then a pause in which failures would come back
    RAMP = "ramp"  # the rest, at the job's rate
    MOVE = "move"  # the rest, by SQS's own message move task


class JobState(StrEnum):
    """Where a redrive job stands."""

    RUNNING = "running"
    PAUSED = "paused"  # by a person, until one resumes it
    DONE = "done"
    STOPPED = "stopped"  # by a person, or by itself: `note` says why


@dataclass(frozen=True, slots=True)
class JobAct:
    """What somebody did to a redrive job."""

    at: float
    who: str  # as told by the caller; CloudTrail knows for sure
    what: str


@dataclass(frozen=True, slots=True)
class MoveTask:
    """SQS's own move of what is in a dead-letter queue."""

    started_at: float
    running: bool
    moved_count: int
    handle: str | None = None  # while it runs
    problem: str = ""  # why it failed
    cancelled: bool = False  # somebody ended it before its end


@dataclass(frozen=True, slots=True)
class RedriveJob:
    """One redrive on a person's word: watched, stopped and resumed through the ledger."""

    id: str
    fleet: str
    state: JobState
    requested_at: float
    requested_by: str
    updated_at: float
    failure_group: str | None = None  # None: every group
    message_id: str | None = None  # None: every message of the selection
    message_ids: tuple[str, ...] = ()  # several, in the order in which they are sent
    cause: str | None = None  # a pattern, as in file names, that the cause matches
    quarantined_from: float | None = None  # epoch seconds: what was quarantined at that time or later
    quarantined_to: float | None = None  # ... and before this one
    attribute: tuple[str, str] | None = None  # (name, text) of one of the producer's own attributes
    left_groups: tuple[str, ...] = ()  # failure groups that are set aside, and so not part of it
    to: str | None = None  # another fleet, to whose queue it goes
    to_queue: str | None = None  # the name of the queue it goes to, whichever it came from; None: the one it came from
    queue: str | None = None  # the name of the queue that its messages came from; None: every queue
    from_dead_letters: bool = False  # from the dead-letter queue itself, where nothing takes them as they come
    again: bool = False  # send even what may have been sent before
    rate_per_s: float = 10.0
    phase: JobPhase = JobPhase.CANARY
    cursor: str | None = None  # where the walk through the quarantine's index goes on
    next_at: float = 0.0  # nothing is sent before
    runner: str = ""  # the invocation that works on it, surely gone after `runner_until`
    runner_until: float = 0.0
    selected_count: int = 0
    sent_count: int = 0
    failed_count: int = 0  # could not be sent: still in quarantine
    doubtful_count: int = 0  # may have been sent before: left in quarantine
    returned_count: int = 0  # sent, failed again and came back
    stopped_groups: tuple[str, ...] = ()  # failure groups of which a message came back
    note: str = ""
    version: int = 0
    pace_per_s: float | None = None  # how fast a full load was sent when last measured
    move: str | None = None  # the handle of SQS's own move task
    left_count: int | None = None  # what the dead-letter queue held when last looked at, while that runs
    acts: tuple[JobAct, ...] = ()  # who did what, oldest first
