"""A fleet's document -> Fleet; ConfigError lists every problem at once, each naming its field.

Validated by pydantic: of the libraries that report all errors of a document at once it imports fastest
(docs/decisions.md has the figures).
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sluice.model import Mode

# https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html: a wait ends after 48 hours
# or 100 heartbeat timeouts, whichever is sooner; one timeout is 30 s to 2 h.
HOOK_CEILING_S = 48 * 3600.0
HOOK_CEILING_TIMEOUTS = 100

QueueUrl = Annotated[
    str,
    Field(
        pattern=r"^https?://[^\s/]+/(?:\d{12}|[A-Za-z0-9-]+)/[A-Za-z0-9_-]{1,80}(?:\.fifo)?$",
        description="queue URL, such as https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
    ),
]


class ConfigError(ValueError):
    """A fleet document that cannot be used; `problems` has every fault, each naming its field."""

    def __init__(self, name: str, problems: tuple[str, ...]) -> None:
        self.name = name
        self.problems = problems
        super().__init__(f"fleet {name!r}: " + "; ".join(problems))


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null", allow_inf_nan=False)


class Hints(_Section):
    """What to believe until enough was measured."""

    seconds_per_message: float = Field(default=1.0, gt=0, le=43_200)  # 12 h: SQS's longest visibility timeout
    concurrency: int = Field(default=1, ge=1, le=10_000)  # messages that one unit of capacity works on at once
    lead_time_s: float = Field(default=120.0, ge=0, le=7_200)

    @property
    def service_rate_per_s(self) -> float:
        """Messages per second that one unit of capacity completes."""
        return self.concurrency / self.seconds_per_message


class Limits(_Section):
    """What comes after need."""

    stale_after_s: float = Field(default=180.0, ge=1, le=3_600)  # metrics are a minute or two late as a rule
    shrink_window_s: float | None = Field(default=None, ge=0, le=86_400)  # None: one lead time
    max_step: int | None = Field(default=None, ge=1, le=10_000)
    max_messages_per_s: float | None = Field(default=None, gt=0)
    veto_alarm: str | None = Field(default=None, min_length=1, max_length=255)
    instance_hours_per_day: float | None = Field(default=None, gt=0)
    catch_up: float = Field(default=1.0, gt=0, le=100)  # work off what is already late in target_wait_s / catch_up


class DrainVia(StrEnum):
    """How a consumer is asked to stop."""

    SSM = "ssm"
    SELF = "self"


class DrainPolicy(_Section):
    """How an instance is drained. `hook_timeout_s` is the lifecycle hook's own heartbeat timeout."""

    via: DrainVia = DrainVia.SSM
    unit: str = Field(default="consumer.service", pattern=r"^[A-Za-z0-9@._:\\-]{1,255}$")
    hook: str = Field(default="sluice-drain", pattern=r"^[A-Za-z0-9\-_/]{1,255}$")
    deadline_s: float = Field(default=900.0, ge=1, le=HOOK_CEILING_S)
    hook_timeout_s: float = Field(default=120.0, ge=1, le=7_200)
    heartbeat_s: float = Field(default=45.0, ge=0.5, le=3_600)

    @model_validator(mode="after")
    def _must_work(self) -> Self:
        ceiling_s = min(HOOK_CEILING_S, HOOK_CEILING_TIMEOUTS * self.hook_timeout_s)
        if self.heartbeat_s > self.hook_timeout_s / 2:
            raise ValueError(
                f"heartbeat_s {self.heartbeat_s:g} must be at most half of hook_timeout_s"
                f" {self.hook_timeout_s:g}, so that one lost heartbeat does no harm"
            )
        if self.deadline_s > ceiling_s:
            raise ValueError(
                f"deadline_s {self.deadline_s:g} is above what the hook can hold:"
                f" min(48 h, 100 x hook_timeout_s) = {ceiling_s:g} s"
            )
        return self


class RedriveMode(StrEnum):
    """Whether dead letters are taken by Sluice as they come, or left to a person."""

    AUTO = "auto"
    MANUAL = "manual"


class RedrivePolicy(_Section):
    """What becomes of dead-lettered messages."""

    mode: RedriveMode = RedriveMode.AUTO
    max_redrives: int = Field(default=3, ge=0, le=100)
    base_delay_s: float = Field(default=30.0, ge=0, le=900)
    max_delay_s: float = Field(default=900.0, ge=0, le=900)  # SQS: DelaySeconds is at most 900
    rate_per_s: float = Field(default=10.0, ge=0.01, le=10_000)
    canary_count: int = Field(default=3, ge=1, le=10)  # of each failure group, that a redrive tries first: one batch
    canary_wait_s: float | None = Field(default=None, ge=0, le=3_600)  # None: target wait and one visibility timeout

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.base_delay_s > self.max_delay_s:
            raise ValueError(f"base_delay_s {self.base_delay_s:g} must be at most max_delay_s {self.max_delay_s:g}")
        return self


class Fleet(_Section):
    """One Auto Scaling group, the queue it consumes, and its dead-letter queue. Only `target_wait_s` needs thought."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}$")
    queue: QueueUrl
    dead_letter_queue: QueueUrl | None = None
    group: str = Field(min_length=1, max_length=255)
    target_wait_s: float = Field(ge=1, le=1_209_600)  # 14 days: SQS's longest retention
    mode: Mode = Mode.ACT
    hints: Hints = Hints()
    limits: Limits = Limits()
    drain: DrainPolicy = DrainPolicy()
    redrive: RedrivePolicy = RedrivePolicy()


def parse(name: str, document: str | Mapping[str, Any]) -> Fleet:
    """Read a fleet's document.

    Args:
        name: what to call the document in errors, and the fleet's name where the document gives none.
        document: a mapping, or its JSON text.

    Raises:
        ConfigError: with every fault of the document, each naming its field and what would be right.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except json.JSONDecodeError as error:
            raise ConfigError(name, (f"document: not JSON: {error}",)) from error
    if not isinstance(document, Mapping):
        raise ConfigError(name, ("document: must be a JSON object with name, queue, group and target_wait_s",))
    try:
        return Fleet.model_validate({"name": name, **document})
    except ValidationError as error:
        raise ConfigError(name, tuple(_in_words(fault) for fault in error.errors(include_url=False))) from error


def parse_all(
    documents: Mapping[str, str | Mapping[str, Any]],
) -> tuple[tuple[Fleet, ...], tuple[ConfigError, ...]]:
    """Read every document, by name: the fleets that can be used, and the errors of the others.

    A fleet's name and its group must be its own; of two documents that claim the same, the first by name has it.
    """
    fleets: dict[str, Fleet] = {}
    groups: dict[str, str] = {}
    invalid: list[ConfigError] = []
    for document_name in sorted(documents):
        try:
            fleet = parse(document_name, documents[document_name])
        except ConfigError as error:
            invalid.append(error)
            continue
        clashes = []
        if fleet.name in fleets:
            clashes.append(f"name: another document has a fleet {fleet.name!r} already")
        if fleet.group in groups:
            clashes.append(f"group: fleet {groups[fleet.group]!r} manages {fleet.group!r} already")
        if clashes:
            invalid.append(ConfigError(document_name, tuple(clashes)))
            continue
        fleets[fleet.name] = fleet
        groups[fleet.group] = fleet.name
    return tuple(fleets.values()), tuple(invalid)


def _in_words(fault: Any) -> str:
    """One pydantic fault as `field: what would be right (got ...)`."""
    path = ".".join(str(part) for part in fault["loc"]) or "document"
    text = str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] == "missing":
        return f"{path}: is required"
    if fault["type"] == "extra_forbidden":
        return f"{path}: is not a field of a fleet"
    if fault["type"] == "value_error":
        return f"{path}: {text}"
    return f"{path}: {text[0].lower()}{text[1:]} (got {str(fault['input'])[:80]!r})"
