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
