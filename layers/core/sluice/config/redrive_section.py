"""The section `redrive` of a fleet's document: what becomes of dead-lettered messages."""

import json
from enum import StrEnum
from typing import Annotated, Self

from pydantic import Field, model_validator

from sluice.config.cause_patterns import covers, unmatchable_problem
from sluice.config.fields import Count, Flag, Number, Section, validated

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html: a parameter's value has at
# most 4,096 bytes. All other settings at their longest take less than 2,200.
CAUSES_MAX_BYTES = 1_900


class RedriveMode(StrEnum):
    """Whether Sluice takes dead letters as they arrive, or leaves them to an operator."""

    AUTO = "auto"
    MANUAL = "manual"


class Otherwise(StrEnum):
    """What becomes of dead letters whose cause matches no pattern."""

    RETRY = "retry"
    QUARANTINE = "quarantine"


Pattern = Annotated[str, Field(min_length=1, max_length=200)]  # as for file names: * and ? stand for other characters
Patterns = Annotated[tuple[Pattern, ...], Field(max_length=50)]


class RedrivePolicy(Section):
    """What becomes of dead-lettered messages."""

    mode: RedriveMode = Field(
        default=RedriveMode.AUTO,
        description="`auto`: Sluice retries or quarantines dead letters as they arrive. `manual`: they stay in the"
        " dead-letter queue for an operator.",
    )
    max_retries: Count = Field(
        default=3, ge=0, le=100, description="How many times a dead letter is retried before it is quarantined."
    )
    base_delay_s: Number = Field(
        default=300.0,
        ge=0,
        le=900,
        description="The longest delay of a dead letter's first automatic retry, in seconds, at most `max_delay_s`."
        " Each further retry doubles it, and each waits at least half of its longest delay.",
    )
    max_delay_s: Number = Field(
        default=900.0,
        ge=0,
        le=900,  # SQS: DelaySeconds is at most 900
        description="The longest delay of any automatic retry, in seconds.",
    )
    rate_per_s: Number = Field(
        default=10.0,
        ge=0.01,
        le=10_000,
        description="How many messages a second a redrive sends back, unless its request names a rate.",
    )
    canary_count: Count = Field(
        default=3,
        ge=1,
        le=10,  # one batch
        description="How many messages of each failure group a redrive sends first, as canaries.",
    )
    canary_wait_s: Number | None = Field(
        default=None,
        ge=0,
        le=3_600,
        description="How long the canaries must not fail again before the redrive sends the rest, in seconds. All that"
        " it sent is watched as long before the redrive is done. Without it, the target wait plus one visibility"
        " timeout.",
    )
    edits: Flag = Field(
        default=False,
        description="Whether an operator may send a quarantined message back with a changed body. The original is"
        " kept.",
    )
    move_tasks: Flag = Field(
        default=True,
        description="Whether a redrive of a whole dead-letter queue may use SQS's own message move task for the rest,"
        " if that is faster. A move task counts no attempts.",
    )
    transient: Patterns = Field(
        default=(),
        description="Causes that pass by themselves, as patterns in which `*` and `?` stand for other characters, such"
        " as `HTTP 503*`. They are compared with the cause as it was said, and with the failure group's title. Their"
        " dead letters are retried; in a burst they are held, and released by Sluice once a few of them succeed.",
    )
    permanent: Patterns = Field(
        default=(),
        description="Causes that no retry can mend, as patterns like those of `transient`. Their dead letters are"
        " quarantined at once. Where a cause matches both lists, it is transient.",
    )
    otherwise: Otherwise = Field(
        default=Otherwise.RETRY,
        description="What becomes of dead letters whose cause matches neither list, or is unknown.",
    )
    burst_count: Count = Field(
        default=20,
        ge=0,
        le=100_000,
        description="How many dead letters of one failure group within `burst_window_s` are a burst, in which they are"
        " quarantined and not retried. 0: never.",
    )
    burst_window_s: Number = Field(
        default=120.0,
        ge=60,
        le=600,
        description="How long a failure group must have no dead letters after a burst before it is retried again, in"
        " seconds.",
    )
    release_within_s: Number = Field(
        default=43_200.0,
        ge=0,
        le=604_800,
        description="For how long Sluice itself tries a failure group that it holds for a burst of a cause that passes"
        " by itself, in seconds. After that an operator decides. 0: Sluice releases nothing by itself.",
    )
    quarantine_before_s: Number | None = Field(
        default=None,
        ge=60,
        le=1_209_600,
        description="How long before SQS would delete a dead letter that waits in its queue Sluice moves it to"
        " quarantine, in seconds. Without it, a quarter of the queue's retention period, at most a day.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        problems = []
        if self.base_delay_s > self.max_delay_s:
            problems.append(
                f"base_delay_s: must be at most {self.max_delay_s:g} s, which is max_delay_s (got"
                f" {self.base_delay_s:g} s); lower base_delay_s or raise max_delay_s"
            )
        problems += self._never_matching()
        taken = len(json.dumps([self.transient, self.permanent], ensure_ascii=False, separators=(",", ":")).encode())
        if taken > CAUSES_MAX_BYTES:
            problems.append(
                f"permanent: transient and permanent must take at most {CAUSES_MAX_BYTES:,} bytes together, because one"
                f" CloudFormation parameter holds all settings (got {taken:,} bytes); shorten their patterns with *"
            )
        return validated(self, problems)

    def _never_matching(self) -> list[str]:
        """The patterns that are known to match nothing, or nothing that is left for them to decide."""
        problems = [
            f"{name}.{index}: {problem}"
            for name, patterns in (("transient", self.transient), ("permanent", self.permanent))
            for index, pattern in enumerate(patterns)
            if (problem := unmatchable_problem(pattern))
        ]
        for index, pattern in enumerate(self.permanent):
            wider = next((at for at, wide in enumerate(self.transient) if covers(wide, pattern)), None)
            if wider is not None:
                problems.append(
                    f"permanent.{index}: must name causes that no pattern of transient names, because transient ones"
                    f" are retried whatever permanent says (got {pattern!r}, and transient.{wider}"
                    f" {self.transient[wider]!r} names all of them); remove it, or narrow transient.{wider}"
                )
        return problems
