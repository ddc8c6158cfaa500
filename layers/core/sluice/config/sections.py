"""The sections of a fleet's document that settings may hold: each field with its default, bounds and description.

docs/settings.md and docs/settings.schema.json are generated from them (`make settings-docs`).
"""

from pydantic import Field

from sluice.config.drain_section import DrainPolicy
from sluice.config.fields import Count, Number, Section
from sluice.config.redrive_section import RedrivePolicy


class Hints(Section):
    """Starting values, which measurements replace within minutes."""

    seconds_per_message: Number = Field(
        default=1.0,
        gt=0,
        le=43_200,  # 12 h: SQS's longest visibility timeout
        description="How long a consumer works on one message, in seconds. Measurements replace it within minutes.",
    )
    concurrency: Count = Field(
        default=1,
        ge=1,
        le=10_000,
        description="How many messages one unit of capacity works on at once. Used until the service rate was"
        " measured.",
    )
    lead_time_s: Number = Field(
        default=120.0,
        ge=0,
        le=7_200,
        description="How long it takes from an instance's launch to its first message, in seconds. Used until launches"
        " were measured.",
    )

    @property
    def service_rate_per_s(self) -> float:
        """Messages a second that one unit of capacity completes, by the hints."""
        return self.concurrency / self.seconds_per_message

    @property
    def has_speed_hint(self) -> bool:
        """Whether the document says how long a message takes. Otherwise the default is only a guess."""
        return "seconds_per_message" in self.model_fields_set

    @property
    def has_lead_hint(self) -> bool:
        """Whether the document says how long a launch takes. Otherwise the default is only a guess."""
        return "lead_time_s" in self.model_fields_set


class Limits(Section):
    """The limits that apply after the needed capacity is known."""

    stale_after_s: Number = Field(
        default=180.0,  # CloudWatch's metrics of a queue are one to two minutes late as a rule
        ge=1,
        le=3_600,
        description="How old a figure may be, in seconds. The fleet does not scale in on older figures.",
    )
    stabilization_window_s: Number | None = Field(
        default=None,
        ge=0,
        le=86_400,
        description="How long the needed capacity must stay lower before the fleet scales in, in seconds. Without it,"
        " at most one lead time.",
    )
    max_step: Count | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="The most units of capacity that one decision adds or removes. Without it there is no limit.",
    )
    max_messages_per_s: Number | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="The most messages a second that the systems behind the consumers can take. Without it there is no"
        " limit.",
    )
    veto_alarm: str | None = Field(
        default=None,
        min_length=1,
        max_length=255,
        description="The name of a CloudWatch alarm. While it is in state ALARM or cannot be read, the fleet does not"
        " scale out.",
    )
    instance_hours_per_day: Number | None = Field(
        default=None,
        gt=0,
        le=1e9,
        description="The most instance-hours that the fleet may use in a day (UTC). Without it there is no limit.",
    )
    catch_up: Number = Field(
        default=1.0,
        gt=0,
        le=100,
        description="How fast to complete messages that are late already: within the target wait divided by this"
        " number.",
    )


class Settings(Section):
    """What `Settings` may hold: a fleet's options beyond the template's parameters. Each has a default."""

    hints: Hints = Hints()
    limits: Limits = Limits()
    drain: DrainPolicy = DrainPolicy()
    redrive: RedrivePolicy = RedrivePolicy()
