"""The sections `drain` and `launch` of a fleet's document: how an instance is drained, and when a new one counts."""

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from sluice.config.fields import Flag, Number, Section, validated
from sluice.model.draining import StopOrder

# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html: a wait ends after 48 hours
# or 100 heartbeat timeouts, whichever is sooner; one timeout is 30 s to 2 h.
HOOK_CEILING_S = 48 * 3600.0
HOOK_CEILING_TIMEOUTS = 100
HOOK_TIMEOUT_MIN_S = 30
HOOK_TIMEOUT_MAX_S = 7_200
# A heartbeat each third of it: a hook that is shorter than this does not hold an instance while Sluice is away for ten
# minutes.
HOOK_TIMEOUT_ADVISED_S = 900.0

# SQS lets no message be in flight for longer: work that takes more time is delivered to another consumer in any case.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
IN_FLIGHT_MAX_S = 12 * 3600.0

# One unit's name as systemd has it, or a pattern of names. The stack's stop document takes the same.
UNIT = r"[A-Za-z0-9@._:\\*?][A-Za-z0-9@._:\\*?-]{0,254}"
UNITS_LENGTH_MAX = 512  # of all names together: a fleet's document has room for 4,096 characters

# Each minute's sweep looks for a sign of life. In less than two minutes a healthy consumer may show none.
SILENCE_MIN_S = 120.0


class DrainVia(StrEnum):
    """How a consumer learns that it is to stop."""

    SSM = "ssm"
    SELF = "self"


class DrainPolicy(Section):
    """How an instance is drained. All times are in seconds."""

    via: DrainVia = Field(
        default=DrainVia.SSM,
        description="`ssm` stops the instance's consumer by Run Command. With `self` the consumer itself watches for"
        " the end of its instance and stops.",
    )
    unit: str = Field(
        default="consumer.service",
        pattern=rf"^{UNIT}([ ,]+{UNIT})*$",
        max_length=UNITS_LENGTH_MAX,
        description="The systemd unit that runs the consumer, or several, separated by spaces or commas. Each is a"
        " unit's name, a pattern such as worker@*.service, or a target, which stands for its services.",
    )
    container: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$",
        description="The Docker container that runs the consumer. It is stopped instead of the systemd unit.",
    )
    document: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]{3,128}$",
        description="The Run Command document that stops the consumer. Without it, the stack's own. A document of your"
        " own takes the parameters `unit`, `container` (empty if there is none) and `executionTimeout`. It exits with"
        " 137 if the consumer was killed, and with 5 if there is no such consumer. Its name begins with the stack's"
        " name and a hyphen.",
    )
    stop_timeout_s: Number | None = Field(
        default=None,
        ge=1,
        le=HOOK_CEILING_S,
        description="How long one stop command may run, in seconds, at most `deadline_s`. After that it counts as lost"
        " and is sent again. Without it, a command may run until the deadline.",
    )
    hook: str = Field(
        default="sluice-drain",
        pattern=r"^[A-Za-z0-9\-_/]{1,255}$",
        description="The lifecycle hook that makes Auto Scaling wait for a drain.",
    )
    deadline_s: Number = Field(
        default=900.0,
        ge=1,
        le=HOOK_CEILING_S,
        description="How long an instance may take to finish its work, in seconds, at most 100 times `hook_timeout_s`."
        " After that it is released, unless its consumers report that they are draining (`longest_s`).",
    )
    longest_s: Number | None = Field(
        default=None,
        ge=1,
        le=HOOK_CEILING_S,
        description="How long an instance may take at most while its consumers report that they are draining, in"
        " seconds, at least `deadline_s` and at most 100 times `hook_timeout_s`. Each such report holds the instance"
        " for another `deadline_s`. Without it, 12 hours, or less if the hook cannot hold an instance for so long.",
    )
    silence_s: Number | None = Field(
        default=None,
        ge=SILENCE_MIN_S,
        le=HOOK_CEILING_S,
        description="How long a draining instance is held without a sign of life, in seconds, at most `deadline_s`."
        " Without it, only the deadline ends a drain.",
    )
    hook_timeout_s: Number = Field(
        default=1_800.0,
        ge=1,
        le=HOOK_TIMEOUT_MAX_S,
        description="The lifecycle hook's heartbeat timeout, in whole seconds. While Sluice works, a longer one costs"
        " nothing: Sluice completes the hook as soon as a drain ends. If Sluice itself is away, Auto Scaling ends"
        " instances this long after their last heartbeat, whether their work is finished or not.",
        # Auto Scaling refuses less than 30 s. The document allows it for hooks that tests make in the sandbox.
        json_schema_extra={"type": "integer", "minimum": HOOK_TIMEOUT_MIN_S},
    )
    heartbeat_s: Number | None = Field(
        default=None,
        ge=0.5,
        le=3_600,
        description="How often Sluice sends a heartbeat for a draining instance's hook, in seconds, at most half of"
        " `hook_timeout_s`. Without it, a third of `hook_timeout_s`.",
    )
    keep_failed: Flag = Field(
        default=False,
        description="Whether an instance that misses its deadline is retained for inspection, if its group's instance"
        " lifecycle policy retains instances whose termination hook is abandoned.",
    )
    hourly_cost: Number | None = Field(
        default=None,
        gt=0,
        le=1_000,
        description="What one instance costs an hour, in any currency: retained instances are shown with what they"
        " cost.",
    )

    @property
    def heartbeat_interval_s(self) -> float:
        """How often a heartbeat is sent, in seconds: two may be lost before the hook times out, unless it is given."""
        return self.hook_timeout_s / 3 if self.heartbeat_s is None else self.heartbeat_s

    @property
    def ceiling_s(self) -> float:
        """The longest that the lifecycle hook can hold an instance, in seconds."""
        return min(HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS * self.hook_timeout_s)

    @property
    def bound_s(self) -> float:
        """The longest that a drain may take whatever its consumers report, in seconds."""
        return min(IN_FLIGHT_MAX_S, self.ceiling_s) if self.longest_s is None else self.longest_s

    @property
    def units(self) -> tuple[str, ...]:
        """The names in `unit`: of units, patterns of names, and targets."""
        return tuple(self.unit.replace(",", " ").split())

    @property
    def what_is_stopped(self) -> str:
        """What Run Command stops, such as "unit consumer.service"."""
        return f"container {self.container}" if self.container else f"unit {' or '.join(self.units)}"

    @property
    def order(self) -> StopOrder:
        """What Run Command is to stop, and with which document."""
        return StopOrder(self.unit, self.container, self.document)

    @model_validator(mode="after")
    def _must_work(self) -> Self:
        ceiling_s = self.ceiling_s
        problems = []
        if self.heartbeat_s is not None and self.heartbeat_s > self.hook_timeout_s / 2:
            problems.append(
                f"heartbeat_s: must be at most {self.hook_timeout_s / 2:g} s, half of hook_timeout_s, so that one lost"
                f" heartbeat does no harm (got {self.heartbeat_s:g} s); lower heartbeat_s or raise hook_timeout_s"
            )
        if self.deadline_s > ceiling_s:
            problems.append(
                f"deadline_s: must be at most {ceiling_s:g} s, the longest that the hook can hold an instance: 48 h or"
                f" {HOOK_CEILING_TIMEOUTS} times hook_timeout_s, whichever is less (got {self.deadline_s:g} s); raise"
                " hook_timeout_s or lower deadline_s"
            )
        if self.longest_s is not None and not self.deadline_s <= self.longest_s <= ceiling_s:
            problems.append(
                f"longest_s: must be at least {self.deadline_s:g} s, which is deadline_s, and at most {ceiling_s:g} s,"
                f" the longest that the hook can hold an instance (got {self.longest_s:g} s); change longest_s, or"
                " raise hook_timeout_s or lower deadline_s"
            )
        if self.silence_s is not None and self.silence_s > self.deadline_s:
            problems.append(
                f"silence_s: must be at most {self.deadline_s:g} s, which is deadline_s and ends a drain in any case"
                f" (got {self.silence_s:g} s); lower silence_s or raise deadline_s"
            )
        if self.stop_timeout_s is not None and self.stop_timeout_s > self.deadline_s:
            problems.append(
                f"stop_timeout_s: must be at most {self.deadline_s:g} s, which is deadline_s and ends a drain in any"
                f" case (got {self.stop_timeout_s:g} s); lower stop_timeout_s or raise deadline_s"
            )
        return validated(self, problems)


class LaunchPolicy(Section):
    """When a new instance counts: at once, or, with a launch hook, when its consumer has reported that it is ready.

    If that never happens, the hook times out with its default result ABANDON, and the group replaces the instance.
    """

    hook: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9\-_/]{1,255}$",
        description="The lifecycle hook that makes Auto Scaling wait for a new instance's consumer.",
    )
