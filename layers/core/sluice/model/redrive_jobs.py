"""Redrive jobs as records: what each is about, how far it is, and what operators did to it."""

from enum import StrEnum

from sluice.model.frozen import dataclass


class JobPhase(StrEnum):
    """How far a redrive job dares to go."""

    CANARY = "canary"  # the oldest few of each failure group, then a pause in which failures would come back
    RAMP = "ramp"  # the rest, at the job's rate
    MOVE = "move"  # the rest, by SQS's own message move task


class JobState(StrEnum):
    """Where a redrive job stands."""

    RUNNING = "running"  # it sends
    PAUSED = "paused"  # by an operator, until one resumes it
    WATCHING = "watching"  # all of it is sent, and whether a message comes back is watched until `next_at`
    DONE = "done"  # all of it is sent, and nothing of it came back
    CAME_BACK = "came-back"  # what could be sent is, and some of it failed again
    STOPPED = "stopped"  # by an operator, or by itself before all was sent: `note` says why

    @property
    def is_at_work(self) -> bool:
        """Whether a job in this state goes on by itself: the chain of its fleet has it."""
        return self in {JobState.RUNNING, JobState.WATCHING}


@dataclass(frozen=True, slots=True)
class JobAction:
    """What an operator did to a redrive job."""

    at: float  # epoch seconds
    by: str  # as the caller says; CloudTrail records who it was
    action: str  # such as "paused it"


@dataclass(frozen=True, slots=True)
class MoveTask:
    """SQS's own move of what is in a dead-letter queue."""

    started_at: float
    running: bool
    moved_count: int
    handle: str | None = None  # while it runs
    problem: str = ""  # why it failed
    cancelled: bool = False  # it was cancelled before its end


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages a redrive is about; without any choice, the fleet's whole quarantine but muted failure groups.

    `queue`, `failure_group`, `cause`, times and `attribute` narrow one another; ids stand for themselves.
    """

    failure_group: str | None = None
    message_id: str | None = None
    message_ids: tuple[str, ...] = ()  # several, in the order in which they are sent
    cause: str | None = None  # a pattern, as for file names, that the cause matches
    quarantined_from: float | None = None  # epoch seconds: quarantined at that time or later
    quarantined_to: float | None = None  # epoch seconds: quarantined before that time
    attribute: tuple[str, str] | None = None  # name and text of one of the producer's own attributes
    from_dead_letters: bool = False  # out of the dead-letter queue itself, not out of quarantine
    queue: str | None = None  # the name of the queue that the messages came from
    muted_groups: tuple[str, ...] = ()  # failure groups that were muted when it was asked for, and are left out
    again: bool = False  # also messages that may have been sent before

    @property
    def ids(self) -> frozenset[str]:
        """The messages that are named one by one."""
        return frozenset(self.message_ids if self.message_id is None else (self.message_id, *self.message_ids))

    @property
    def narrows(self) -> bool:
        """Whether each message must be read to know whether it is meant."""
        return self.queue is not None or self.searches

    @property
    def searches(self) -> bool:
        """Whether it chooses by what single messages are, beyond the queue that they came from."""
        return any(one is not None for one in (self.cause, self.quarantined_from, self.quarantined_to, self.attribute))


@dataclass(frozen=True, slots=True)
class JobTarget:
    """The one queue that all messages of a job go to; where both are None, each goes to the queue it came from."""

    fleet: str | None = None  # another fleet than the job's, to whose queue they go
    queue: str | None = None  # the queue's name

    @property
    def is_named(self) -> bool:
        """Whether the messages of all queues go to one."""
        return self.fleet is not None or self.queue is not None


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is. Counts are of messages."""

    phase: JobPhase = JobPhase.CANARY
    cursor: str | None = None  # where the walk through the quarantine's index goes on
    selected_count: int = 0
    sent_count: int = 0
    failed_count: int = 0  # could not be sent, and are where they were
    doubtful_count: int = 0  # may have been sent before, and are where they were
    returned_count: int = 0  # sent, failed again and came back
    stopped_groups: tuple[str, ...] = ()  # failure groups of which a message came back
    looked: bool = False  # the dead-letter queue was searched for the canaries, where nothing else reports them
    hidden_since: float | None = None  # epoch seconds: since when other readers hide all that is left
    moved_count: int = 0  # of those sent: moved by SQS's own move task, which stamps nothing
    moved_since: float | None = None  # epoch seconds: when SQS was first asked for that
    sends_singly: bool = False  # no move task is started any more

    @property
    def processed_count(self) -> int:
        """Messages that the job has dealt with, one way or the other."""
        return self.sent_count + self.failed_count + self.doubtful_count


@dataclass(frozen=True, slots=True)
class JobPacing:
    """How fast a job sends."""

    rate_per_s: float = 10.0  # messages a second, at most
    next_at: float = 0.0  # epoch seconds: nothing is sent before
    measured_per_s: float | None = None  # messages a second, of the last full batch


@dataclass(frozen=True, slots=True)
class ActiveMove:
    """SQS's own move task that moves the rest of a job."""

    handle: str | None = None
    waiting_count: int | None = None  # in the dead-letter queue, when last read


@dataclass(frozen=True, slots=True)
class Release:
    """What makes a job Sluice's own automatic release of a held failure group. Times are epoch seconds."""

    wait_s: float  # before the present try
    due_at: float  # when it is tried: all that is in quarantine by then is part of it
    until: float  # when the last try is made, after which the group is an operator's
    more: bool = False  # more of the group was held after `due_at`


@dataclass(frozen=True, slots=True)
class RedriveJob:
    """One redrive of an operator, or an automatic release: watched, paused, stopped and resumed through the ledger."""

    id: str
    fleet: str
    state: JobState
    requested_at: float  # epoch seconds
    requested_by: str
    updated_at: float  # epoch seconds
    selection: Selection = Selection()
    target: JobTarget = JobTarget()
    progress: JobProgress = JobProgress()
    pacing: JobPacing = JobPacing()
    move: ActiveMove | None = None
    note: str = ""
    version: int = 0
    actions: tuple[JobAction, ...] = ()  # who did what, oldest first
    release: Release | None = None  # None: an operator asked for it

    @property
    def takes_until(self) -> float:
        """Epoch seconds: what is quarantined later is not part of it."""
        return self.release.due_at if self.release else self.requested_at

    def held_until(self, now: float) -> float | None:
        """When a release that waits is tried again, in epoch seconds; None for any other job."""
        waits = self.release is not None and self.state is JobState.RUNNING and now < self.release.due_at
        return self.release.due_at if self.release and waits else None
