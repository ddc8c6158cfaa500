"""What the stack's functions answer, as records: an answer of another shape is an error and never a traceback.

Fields that a later version of Sluice adds are let through.
"""

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice_tools.commands.frame import UnreachableError
from sluice_tools.commands.output import LATEST

Moment = Annotated[float, Field(ge=0, le=LATEST)]  # epoch seconds


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)


class Job(_Answer):
    """A redrive job."""

    id: str
    fleet: str
    state: str
    selected_count: int
    sent_count: int
    failed_count: int
    doubtful_count: int
    returned_count: int
    note: str = ""
    left_s: float | None = None
    held_until: Moment | None = None
    requested_at: Moment | None = None
    requested_by: str = ""


class OfJob(_Answer):
    """`{"job": {...}}`."""

    job: Job


class PreviewedGroup(_Answer):
    """A failure group in a dry run."""

    failure_group: str
    cause: str
    count: int
    first_seen_at: Moment
    last_seen_at: Moment


class DryRun(_Answer):
    """What a redrive would send."""

    fleet: str
    origin: str = Field(alias="from")
    selected_count: int
    rate_per_s: Annotated[float, Field(gt=0)]
    canary_count: int
    groups: tuple[PreviewedGroup, ...]
    behind_count: int = 0
    move_task_note: str | None = None
    paused_queues: tuple[str, ...] = ()


class PeekedLetter(_Answer):
    """A dead letter in its queue."""

    message_id: str
    queue: str | None = None
    cause: str
    left_s: float | None = None
    payload: str | None = None
    sample: str = ""


class Peeked(_Answer):
    """Some of the dead letters in their queue."""

    looked_at_count: int
    messages: tuple[PeekedLetter, ...]
    note: str = ""


class Noted(_Answer):
    """What was done, as a sentence."""

    note: str


class Released(_Answer):
    """The drain of an instance that was released."""

    fleet: str
    instance_id: str
    state: str | None = None
    note: str = ""


class Outcome(_Answer):
    """What came of a decision."""

    status: str
    answer: str = ""


class Reason(_Answer):
    """One step of a decision."""

    code: str
    sentence: str
    before: int
    after: int


class Figure(_Answer):
    """One figure that a decision used."""

    name: str
    value: float | None = None
    age_s: float | None = None
    source: str = ""


class Decision(_Answer):
    """A decision with its outcome; `reasons` and `figures` where they were asked for."""

    at: Moment
    action: str
    current: int
    want: int
    sentence: str
    outcome: Outcome
    reasons: tuple[Reason, ...] = ()
    figures: tuple[Figure, ...] = ()


class Drain(_Answer):
    """An instance on its way out of service."""

    instance_id: str
    state: str
    cause: str
    started_at: Moment
    deadline_at: Moment
    note: str = ""


class FleetStatus(_Answer):
    """How a fleet stands."""

    fleet: str
    mode: str
    group: str
    queues: tuple[str, ...]
    target_wait_s: float
    decision: Decision | None
    drains: tuple[Drain, ...]
    quarantined_count: int
    failure_groups: int
    jobs: tuple[Job, ...]
    unread: tuple[str, ...]


class InvalidFleet(_Answer):
    """A fleet's document that cannot be used."""

    fleet: str
    problems: tuple[str, ...]


class Status(_Answer):
    """A page of a stack's fleets."""

    fleets: tuple[FleetStatus, ...]
    invalid: tuple[InvalidFleet, ...]
    unread: tuple[str, ...]
    after: str | None


class Decisions(_Answer):
    """A page of a fleet's decisions, latest first."""

    decisions: tuple[Decision, ...]
    next_until: Moment | None


class LastRedrive(_Answer):
    """The last redrive of a failure group."""

    job_id: str
    at: Moment
    sent_count: int
    returned_count: int


class Group(_Answer):
    """A failure group."""

    failure_group: str
    cause: str
    count: int
    seen_count: int
    first_seen_at: Moment
    last_seen_at: Moment
    muted: bool
    failed_retry_count: int = 0
    sample: str = ""
    last_redrive: LastRedrive | None = None


class Groups(_Answer):
    """A fleet's failure groups."""

    groups: tuple[Group, ...]


class Entry(_Answer):
    """A quarantined message in the index."""

    message_id: str
    failure_group: str
    cause: str
    at: Moment
    attempt: int
    size_bytes: int
    key: str
    source: str | None = None
    said: str = ""
    sample: str = ""


class Entries(_Answer):
    """A page of the quarantine, oldest first."""

    messages: tuple[Entry, ...]
    after: str | None


class AttributeValue(_Answer):
    """A message attribute."""

    type: str
    text: str | None = None
    binary_base64: str | None = None


class WholeMessage(Entry):
    """A quarantined message with its body and attributes."""

    body: str
    message_attributes: Mapping[str, AttributeValue]


class OfMessage(_Answer):
    """`{"message": {...}}`."""

    message: WholeMessage


class Jobs(_Answer):
    """A fleet's redrive jobs, the last requested first."""

    jobs: tuple[Job, ...]
    truncated: bool = False


def read[A: BaseModel](kind: type[A], answer: Mapping[str, Any]) -> A:
    """An answer as a record.

    Raises:
        UnreachableError: it has another shape; with the fields.
    """
    return _checked(lambda: kind.model_validate(answer))


def _checked[A](make: Callable[[], A]) -> A:
    try:
        return make()
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        named = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'answer'}: {fault['msg']}" for fault in faults[:5])
        raise UnreachableError(
            f"the function's answer is not one that this version of sluice knows ({named}); the stack may be of another"
            " version"
        ) from error
