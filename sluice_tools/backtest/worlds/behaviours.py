"""How the consumers, the group and the metrics of a world behave. Every default is the plain simulator's behaviour.

A world is composed by setting fields: several together are a world in which all of it happens at once. Times are
seconds since the run began, durations seconds, shares between 0 and 1.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import inf

ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")


def _shares(given: object, *names: str) -> Iterator[str]:
    return _between(given, 0, 1, *names)


def _between(given: object, least: float, most: float, *names: str) -> Iterator[str]:
    for name in names:
        value = getattr(given, name)
        if not least <= value <= most:
            yield f"{name}: must be between {least:g} and {most:g} (got {value:g})"


def _at_least(given: object, least: float, *names: str) -> Iterator[str]:
    for name in names:
        value = getattr(given, name)
        if not value >= least:
            yield f"{name}: must be at least {least:g} (got {value:g})"


def _above_zero(given: object, *names: str) -> Iterator[str]:
    for name in names:
        value = getattr(given, name)
        if not value > 0:
            yield f"{name}: must be above 0 (got {value:g})"


def _refuse(problems: Iterable[str]) -> None:
    if found := list(problems):
        raise ValueError("; ".join(found))


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the run, [from_s, until_s)."""

    from_s: float = 0.0
    until_s: float = inf

    def __post_init__(self) -> None:
        if not self.from_s < self.until_s:
            raise ValueError(f"until_s: must be above from_s (got {self.until_s:g}, from_s is {self.from_s:g})")

    def holds(self, at: float) -> bool:
        """Whether that moment is in it."""
        return self.from_s <= at < self.until_s


ALWAYS = Span()


@dataclass(frozen=True, slots=True)
class Consumers:
    """What consumers do with messages, and what the queue shows of it."""

    message_groups: int = 0  # a FIFO queue with so many message groups; 0: a standard queue
    most_per_s: float = inf  # messages a second that what comes after the consumers can take, however many there are
    concurrency: int = 1  # messages that an instance works on at once
    prefetch: int = 0  # messages that it receives beyond those, and gives back when it has to leave
    whole_batches: bool = False  # it receives only when every message in hand is done, then as many as it can hold
    visibility_s: float = 300.0  # until a message whose consumer died can be received again
    dying_share: float = 0.0  # of the messages: the process dies at the first attempt, and begins anew at once
    backoff_share: float = 0.0  # of the messages: the first attempt fails, and hides the message
    backoff_s: float = 0.0  # for so long
    deaf_share: float = 0.0  # of the instances, that receive nothing
    deaf: Span = ALWAYS  # in that time
    slowness: float = 1.0  # what each message takes, as a multiple
    slow: Span = ALWAYS  # of work that begins in that time
    delayed_share: float = 0.0  # of the messages, that cannot be received at first
    delay_s: float = 0.0  # for so long

    def __post_init__(self) -> None:
        _refuse(
            (
                *_shares(self, "dying_share", "backoff_share", "deaf_share", "delayed_share"),
                *_at_least(self, 0, "message_groups", "prefetch"),
                *_at_least(self, 1, "concurrency"),
                *_above_zero(self, "most_per_s", "slowness"),
                # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
                *_between(self, 0, 900, "delay_s"),
                # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
                *_between(self, 0, 43_200, "visibility_s", "backoff_s"),
            )
        )


@dataclass(frozen=True, slots=True)
class GroupFaults:
    """What the group does besides what it is asked for."""

    lives_s: float = inf  # in service, until an instance dies and the group launches another
    dying: Span = ALWAYS  # of the instances that come into service in that time
    hanging_share: float = 0.0  # of the launches, that stay on their way
    hangs_s: float = inf  # for so long
    protected: bool = False  # new instances are protected from scale-in, for good
    dry_zones: int = 0  # of the group's three zones, that have no capacity
    dry: Span = ALWAYS  # in that time
    pool_failure_every_s: float = inf  # a launch into the warm pool fails
    other_desired: int | None = None  # a second controller sets desired capacity to this
    other_every_s: float = 300.0  # so often
    read_late_s: float = 0.0  # how old the readings of the group are

    def __post_init__(self) -> None:
        _refuse(
            (
                *_shares(self, "hanging_share"),
                *_above_zero(self, "lives_s", "hangs_s", "pool_failure_every_s", "other_every_s"),
                *_between(self, 0, len(ZONES) - 1, "dry_zones"),
                *_at_least(self, 0, "read_late_s"),
                *(_at_least(self, 0, "other_desired") if self.other_desired is not None else ()),
            )
        )


@dataclass(frozen=True, slots=True)
class SignalFaults:
    """What metrics and counts show besides the truth. How late metrics are is one of the conditions."""

    # An idle queue has no metrics any more. SQS sends them for as long as a queue is active, up to six hours:
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-monitoring-using-cloudwatch.html
    silent_after_s: float = inf
    ghosts: int = 0  # messages that the count has and that nobody can receive
    haunted: Span = ALWAYS  # in that time
    haunted_every_s: float = inf  # and again so often

    def __post_init__(self) -> None:
        _refuse((*_above_zero(self, "silent_after_s", "haunted_every_s"), *_at_least(self, 0, "ghosts")))


@dataclass(frozen=True, slots=True)
class Behaviour:
    """All of a world that is neither traffic nor condition."""

    consumers: Consumers = field(default_factory=Consumers)
    group: GroupFaults = field(default_factory=GroupFaults)
    signals: SignalFaults = field(default_factory=SignalFaults)


PLAIN = Behaviour()
