"""The sections of a fleet's document. Their fields, described and bounded here, are what `Settings` may hold.

docs/settings.md and docs/settings.schema.json are made from these (`make settings-docs`).
"""

import json
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sluice.config.problems import QUEUE_URL, flag, number
from sluice.model.draining import StopOrder

# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html: a wait ends after 48 hours
# or 100 heartbeat timeouts, whichever is sooner; one timeout is 30 s to 2 h.
HOOK_CEILING_S = 48 * 3600.0
HOOK_CEILING_TIMEOUTS = 100
HOOK_TIMEOUT_MIN_S = 30
HOOK_TIMEOUT_MAX_S = 7_200

# Signs of life are looked for once a sweep, each minute: in less than two of them one that lives may show none.
SILENCE_MIN_S = 120.0

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html: a parameter's value has at
# most 4,096 bytes. The longest of all other settings come to less than 2,000.
CAUSES_MAX_BYTES = 2_000

QueueUrl = Annotated[
    str, Field(pattern=r"^https?://[^\s/]+/[A-Za-z0-9-]+/[A-Za-z0-9_-]{1,80}(?:\.fifo)?$", description=QUEUE_URL)
]
# Text that holds a number will do: CloudFormation's parameters come as text.
Number = Annotated[float, BeforeValidator(number)]
Count = Annotated[int, BeforeValidator(number)]
Flag = Annotated[bool, BeforeValidator(flag)]


class Section(BaseModel):
    """A part of a document: frozen, and without fields that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", allow_inf_nan=False)


def validated[S: Section](section: S, problems: list[str]) -> S:
    """The section, if nothing was found; each problem is `field: what would be right`, on a line of its own."""
    if problems:
        raise ValueError("\n".join(problems))
    return section


class Hints(Section):
    """What to believe until enough was measured."""

    seconds_per_message: Number = Field(
        default=1.0,
        gt=0,
        le=43_200,  # 12 h: SQS's longest visibility timeout
        description="How long a consumer works on one message, in seconds, believed until it was measured.",
    )
    concurrency: Count = Field(
        default=1,
        ge=1,
        le=10_000,
        description="How many messages one unit of capacity works on at once, believed until its rate was measured.",
    )
    lead_time_s: Number = Field(
        default=120.0,
        ge=0,
        le=7_200,
        description="How long it takes from an instance's launch to its first message, in seconds, believed until it"
        " was measured.",
    )

    @property
    def service_rate_per_s(self) -> float:
        """Messages per second that one unit of capacity completes."""
        return self.concurrency / self.seconds_per_message

    @property
    def has_speed_hint(self) -> bool:
        """Whether somebody said how long a message takes; else the default stands for it."""
        return "seconds_per_message" in self.model_fields_set


class Limits(Section):
    """What comes after need."""

    stale_after_s: Number = Field(
        default=180.0,  # metrics are a minute or two late as a rule
        ge=1,
        le=3_600,
        description="How old a figure may be before the fleet no longer scales in on it, in seconds.",
    )
    stabilization_window_s: Number | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="How long the need must have stayed lower before the fleet scales in, in seconds. Without it, at"
        " most one lead time.",
    )
    max_step: Count | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="The most units of capacity that one decision adds or removes. Without it there is no such limit.",
    )
    max_messages_per_s: Number | None = Field(
        default=None,
        gt=0,
        description="The most messages a second that the systems behind the consumers can take. Without it there is no"
        " such limit.",
    )
    veto_alarm: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="The name of a CloudWatch alarm that forbids scaling out while it is in state ALARM.",
    )
    instance_hours_per_day: Number | None = Field(
        default=None,
        gt=0,
        description="The most instance-hours to spend in a day. Without it there is no such limit.",
    )
    catch_up: Number = Field(
        default=1.0,
        gt=0,
        le=100,
        description="How hard to work off what is late already: within the target wait divided by this number.",
    )


class DrainVia(StrEnum):
    """How a consumer is asked to stop."""

    SSM = "ssm"
    SELF = "self"


class DrainPolicy(Section):
    """How an instance is drained. `hook_timeout_s` is the lifecycle hook's own heartbeat timeout."""

    via: DrainVia = Field(
        default=DrainVia.SSM,
        description="`ssm` asks the instance's consumer to stop by Run Command. `self` leaves it to the consumer to"
        " watch for its instance's end.",
    )
    unit: str = Field(
        default="consumer.service",
        pattern=r"^[A-Za-z0-9@._:\\][A-Za-z0-9@._:\\-]{0,254}$",
        description="The systemd unit that runs the consumer.",
    )
    container: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$",
        description="The Docker container that runs the consumer. It is stopped in place of the systemd unit.",
    )
    document: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.-]{3,128}$",
        description="The Run Command document that stops the consumer. Without it, the stack's own. A document of your"
        " own takes the parameters `unit`, `container` (empty where there is none) and `executionTimeout`, exits with"
        " 137 where the consumer was killed and with 5 where there is none, and its name begins with the stack's name"
        " and a hyphen.",
    )
    stop_timeout_s: Number | None = Field(
        default=None,
        ge=1,
        le=HOOK_CEILING_S,
        description="How long one stop may run before it is taken for lost and asked again, in seconds, at most"
        " `deadline_s`. Without it, as long as the deadline leaves.",
    )
    hook: str = Field(
        default="sluice-drain",
        pattern=r"^[A-Za-z0-9\-_/]{1,255}$",
        description="The lifecycle hook by which Auto Scaling waits for a drain.",
    )
    deadline_s: Number = Field(
        default=900.0,
        ge=1,
        le=HOOK_CEILING_S,
        description="How long an instance may finish its work before it is released, in seconds, at most 100 times"
        " `hook_timeout_s`.",
    )
    silence_s: Number | None = Field(
        default=None,
        ge=SILENCE_MIN_S,
        le=HOOK_CEILING_S,
        description="How long a draining instance is held without a sign of life, in seconds, at most `deadline_s`."
        " Without it, only the deadline counts.",
    )
    hook_timeout_s: Number = Field(
        default=120.0,
        ge=1,
        le=HOOK_TIMEOUT_MAX_S,
        description="The lifecycle hook's heartbeat timeout, in whole seconds. If Sluice itself stops, instances are"
        " released after this long.",
        # Of a hook that Sluice's stack makes, Auto Scaling asks for more than of one in a test.
        json_schema_extra={"type": "integer", "minimum": HOOK_TIMEOUT_MIN_S},
    )
    heartbeat_s: Number = Field(
        default=45.0,
        ge=0.5,
        le=3_600,
        description="How often a draining instance's hook is kept from timing out, in seconds, at most half of"
        " `hook_timeout_s`.",
    )
    keep_failed: Flag = Field(
        default=False,
        description="Whether an instance that is past its deadline is retained for inspection, where its group's"
        " lifecycle policy retains what is abandoned.",
    )
    hourly_cost: Number | None = Field(
        default=None,
        gt=0,
        le=1_000,
        description="What one instance costs an hour, in any currency, to tell what retained instances cost.",
    )

    @property
    def order(self) -> StopOrder:
        """What Run Command is to do."""
        return StopOrder(self.unit, self.container, self.document)

    @model_validator(mode="after")
    def _must_work(self) -> Self:
        ceiling_s = min(HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS * self.hook_timeout_s)
        problems = []
        if self.heartbeat_s > self.hook_timeout_s / 2:
            problems.append(
                f"heartbeat_s: must be at most half of hook_timeout_s {self.hook_timeout_s:g}, so that one lost"
                f" heartbeat does no harm (got {self.heartbeat_s:g}); lower heartbeat_s or raise hook_timeout_s"
            )
        if self.deadline_s > ceiling_s:
            problems.append(
                f"deadline_s: must be at most what the hook can hold, min(48 h, 100 x hook_timeout_s) ="
                f" {ceiling_s:g} (got {self.deadline_s:g}); raise hook_timeout_s or lower deadline_s"
            )
        if self.silence_s is not None and self.silence_s > self.deadline_s:
            problems.append(
                f"silence_s: must be at most deadline_s {self.deadline_s:g}, which ends a drain whatever it says"
                f" (got {self.silence_s:g}); lower silence_s or raise deadline_s"
            )
        if self.stop_timeout_s is not None and self.stop_timeout_s > self.deadline_s:
            problems.append(
                f"stop_timeout_s: must be at most deadline_s {self.deadline_s:g}, after which nobody waits for it"
                f" (got {self.stop_timeout_s:g}); lower stop_timeout_s or raise deadline_s"
            )
        return validated(self, problems)


class LaunchPolicy(Section):
    """When a new instance counts: at once, or, with a launch hook, once its consumer has said that it is ready.

    A boot that is never ready ends by the hook's own timeout, with the default result ABANDON: the group replaces it.
    """

    hook: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9\-_/]{1,255}$",
        description="The lifecycle hook by which Auto Scaling waits for a new instance's consumer.",
    )


class RedriveMode(StrEnum):
    """Whether dead letters are taken by Sluice as they come, or left to an operator."""

    AUTO = "auto"
    MANUAL = "manual"


class Otherwise(StrEnum):
    """What becomes of dead letters whose cause no pattern names."""

    RETRY = "retry"
    QUARANTINE = "quarantine"


Pattern = Annotated[str, Field(min_length=1, max_length=200)]  # as for file names: * and ? stand for others
Patterns = Annotated[tuple[Pattern, ...], Field(max_length=50)]


class RedrivePolicy(Section):
    """What becomes of dead-lettered messages."""

    mode: RedriveMode = Field(
        default=RedriveMode.AUTO,
        description="`auto` lets Sluice take dead letters as they come. `manual` leaves them in the dead-letter queue"
        " for an operator.",
    )
    max_retries: Count = Field(
        default=3, ge=0, le=100, description="How often a dead letter is retried before it is quarantined."
    )
    base_delay_s: Number = Field(
        default=30.0,
        ge=0,
        le=900,
        description="The longest that a dead letter's first retry is put off, in seconds, at most `max_delay_s`. Each"
        " further retry doubles it.",
    )
    max_delay_s: Number = Field(
        default=900.0,
        ge=0,
        le=900,  # SQS: DelaySeconds is at most 900
        description="The longest that any retry is put off, in seconds.",
    )
    rate_per_s: Number = Field(
        default=10.0,
        ge=0.01,
        le=10_000,
        description="How fast a redrive sends messages back, in messages a second, where its request names no rate.",
    )
    canary_count: Count = Field(
        default=3,
        ge=1,
        le=10,  # one batch
        description="How many messages of each failure group a redrive tries first.",
    )
    canary_wait_s: Number | None = Field(
        default=None,
        ge=0,
        le=3_600,
        description="How long those must not have failed again before the rest follow, in seconds. Without it, the"
        " target wait and one visibility timeout.",
    )
    edits: Flag = Field(
        default=False,
        description="Whether an operator may send a quarantined message back with another body. The original is kept.",
    )
    move_tasks: Flag = Field(
        default=True,
        description="Whether SQS's own move task may bring back the rest of a whole dead-letter queue where that is"
        " faster. A move task counts no attempts.",
    )
    transient: Patterns = Field(
        default=(),
        description="Causes that pass by themselves, as patterns in which `*` and `?` stand for other characters. They"
        " are retried even when they burst.",
    )
    permanent: Patterns = Field(
        default=(),
        description="Causes that no retry helps, as patterns in which `*` and `?` stand for other characters. They are"
        " quarantined at once.",
    )
    otherwise: Otherwise = Field(
        default=Otherwise.RETRY,
        description="What becomes of dead letters whose cause is in neither list, or that have none.",
    )
    burst_count: Count = Field(
        default=20,
        ge=0,
        le=100_000,
        description="How many dead letters of one failure group within `burst_window_s` trip it, so that it is"
        " quarantined and not retried. 0 is never.",
    )
    burst_window_s: Number = Field(
        default=120.0,
        ge=60,
        le=600,
        description="How long a failure group must be quiet before it is retried again after a burst, in seconds.",
    )
    quarantine_before_s: Number | None = Field(
        default=None,
        ge=60,
        le=1_209_600,
        description="In mode `manual`, how long before SQS would delete a dead letter it is put into quarantine, in"
        " seconds. Without it, a quarter of the queue's retention, at most a day.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        problems = []
        if self.base_delay_s > self.max_delay_s:
            problems.append(
                f"base_delay_s: must be at most max_delay_s {self.max_delay_s:g} (got {self.base_delay_s:g}); lower"
                " base_delay_s or raise max_delay_s"
            )
        taken = len(json.dumps([self.transient, self.permanent], ensure_ascii=False, separators=(",", ":")).encode())
        if taken > CAUSES_MAX_BYTES:
            problems.append(
                f"permanent: must leave room: transient and permanent may take {CAUSES_MAX_BYTES:,} bytes together, as"
                f" one CloudFormation parameter holds all settings (got {taken:,}); shorten their patterns with *"
            )
        return validated(self, problems)


class Settings(Section):
    """What `Settings` may hold: a fleet's options beyond the parameters, each with a default that serves."""

    hints: Hints = Hints()
    limits: Limits = Limits()
    drain: DrainPolicy = DrainPolicy()
    redrive: RedrivePolicy = RedrivePolicy()
