"""What a seed's world is like: its group, its consumers, and how often what fails."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sluice.model.consumers import ConsumerStatus

if TYPE_CHECKING:
    from sluice_tools.chaos.drain_away import Part

SWEEP_S = 60.0
SKEW_S = 2.0  # between AWS's clocks and an invocation's
STALL_S = 20.0  # the longest that a call takes
LAMBDA_S = 60.0  # the drainer's timeout
PROMPT_S = 420.0  # the longest pause between two stops, the grace of an intent, a sweep, a command's delivery, twice
BOOT_HOOK_S = 200.0  # how long a boot may take until it is ready
REPEAT_S = 30.0  # how often a consumer repeats itself
TALK_S = 900.0  # how long after the faults consumers say anything
BEGIN_S = 30.0  # what is not begun by then on an instance never begins: the drainer's TimeoutSeconds
OTHER_HOOK = "log-collector"  # another tool's, on the same group
LAUNCH_HOOK = "sluice-ready"
# Lambda's own for an asynchronous invocation that failed:
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
RETRIES_S = (60.0, 120.0)


@dataclass(slots=True)
class Consumer:
    """One instance's consumer: it finishes what it is at, or never stops. Its siblings run on the same instance."""

    work_s: float  # what it has to finish once it is asked to stop
    stubborn: bool = False  # its unit fails to stop
    hangs: bool = False  # it never finishes
    dies: bool = False  # (self) it stops, but never completes its action; where there are several, without a word
    asked_at: float | None = None
    stopped_at: float | None = None
    dead_at: float | None = None  # its machine is gone
    talks: bool = False  # it says how it does, by the helper
    never_ready: bool = False
    never_boots: bool = False  # and its machine's agent never registers
    served: bool = False  # its instance has been in service
    gives_up: bool = False  # and says so
    ready_at: float | None = None
    status: ConsumerStatus | None = None  # the last it said
    status_since: float = 0.0
    status_first_at: float | None = None  # when it first said anything
    name: str | None = None  # where its instance runs several
    known_at: float | None = None  # when a report of it was first on record
    siblings: tuple["Consumer", ...] = ()

    @property
    def all(self) -> tuple["Consumer", ...]:
        """Every consumer of its instance, if it is the first."""
        return (self, *self.siblings)

    @property
    def working(self) -> bool:
        """Whether a termination now would interrupt any of them."""
        return self.begins and self.dead_at is None and any(each.stopped_at is None for each in self.all)

    @property
    def begins(self) -> bool:
        """Whether it has work at all: not if it never boots, or never was in service and never gets ready."""
        return not self.never_boots and (self.served or not self.never_ready)

    @property
    def ended_at(self) -> float | None:
        """When the last of them had stopped; None while one is at work."""
        ends = [each.stopped_at for each in self.all if each.stopped_at is not None]
        return max(ends) if len(ends) == len(self.all) else None

    def awaited(self, now: float) -> bool:
        """Whether its instance must be held for one at work that can be known: a report of it is on record.

        A decision that was made before that report takes effect a little later. One that could not start has no work.
        The only consumer of an instance needs no report.
        """
        if not self.siblings:
            return self.working
        known = (each for each in self.all if each.known_at is not None and now > each.known_at + 3 * STALL_S)
        at_work = (each for each in known if each.stopped_at is None and each.status is not ConsumerStatus.FAILED)
        return self.begins and self.dead_at is None and any(at_work)


@dataclass(frozen=True, slots=True)
class InstanceChances:
    """How often what happens to an instance, to its consumer or to its hook; all zero: nothing ever does."""

    lost_command: float = 0.0
    no_agent: float = 0.0
    stubborn: float = 0.0
    hangs: float = 0.0
    spot: float = 0.0
    operator: float = 0.0
    breaks: float = 0.0  # its machine stops of its own
    never_ready: float = 0.0
    never_boots: float = 0.0
    hook_removed: float = 0.0


@dataclass(frozen=True, slots=True)
class Chances:
    """How often what fails in this seed's world; all zero: nothing ever does."""

    fault: float = 0.0  # of a call of a port
    completion: float = 0.0  # of a lifecycle action's completion, where that fails more often
    crash: float = 0.0  # of those
    lost: float = 0.0  # of an event
    doubled: float = 0.0
    late: float = 0.0
    sweep_lost: float = 0.0
    step_lost: float = 0.0  # of a step of a chain
    queue_down: float = 0.0  # the work queue, for ten minutes
    stall: float = 0.0  # of a call that takes long
    instances: InstanceChances = InstanceChances()


@dataclass(frozen=True, slots=True)
class Scene:
    """What the group of this seed is like."""

    size: int = 2
    other_hook: bool = False  # another tool has a termination hook of its own
    warm_pool: bool = False
    retains: bool = False
    launch_hook: bool = False
    talking: bool = False  # its consumers report
    several: bool = False  # and each instance runs several
    away: "Part | None" = None  # for ten minutes
    scheduled: bool = False  # EC2 schedules reboots, stops or retirements of its instances, and its fleet acts
    copied: bool = True  # the ledger has a copy of the documents, as it has from the first minutes of a stack on
