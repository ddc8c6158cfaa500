"""What people ask of the operator, and what the redriver is invoked with: requests and records, read and checked."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from sluice.model.payload_error import PayloadError
from sluice.model.queue_names import same_queue
from sluice.model.redrive_jobs import Selection
from sluice.model.redriving import Attribute, Message
from sluice.redriving.failure_groups import queue_name
from sluice.redriving.peek import PEEK_MAX


def _moment(value: object) -> object:
    """Epoch seconds, or a date and time with its zone, such as 2026-11-24T14:00:00Z."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("must be epoch seconds, or a time such as 2026-11-24T14:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("must say its time zone, such as 2026-11-24T14:00:00Z or ...+01:00")
    return moment.timestamp()


Moment = Annotated[float, BeforeValidator(_moment), Field(ge=0, le=4_102_444_800)]  # until the year 2100
MessageId = Annotated[str, Field(min_length=1, max_length=128)]
QueueName = Annotated[str, Field(min_length=1, max_length=512)]  # its name, or its URL
MESSAGE_IDS_MAX = 100  # a dry run reads each, and the job's record keeps them


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fleet: str = Field(min_length=1, max_length=63)
    requested_by: str | None = Field(
        default=None, max_length=200
    )  # as the caller gave it; CloudTrail has the proven identity


class AttributeChoice(BaseModel):
    """One of the producer's own message attributes, and the text that it must have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=256)
    value: str = Field(max_length=1_000)


class RedriveRequest(_Request):
    """`{"redrive": {...}}`: what to send back, where to, and how fast."""

    everything: bool = Field(default=False, alias="all")
    failure_group: str | None = Field(default=None, min_length=1, max_length=128)
    message_id: str | None = Field(default=None, min_length=1, max_length=128)
    message_ids: tuple[MessageId, ...] = Field(default=(), max_length=MESSAGE_IDS_MAX)
    cause: str | None = Field(default=None, min_length=1, max_length=200)  # a pattern, as for file names
    quarantined_from: Moment | None = None
    quarantined_to: Moment | None = None
    attribute: AttributeChoice | None = None
    origin: Literal["quarantine", "dead-letter-queue"] = Field(default="quarantine", alias="from")
    queue: QueueName | None = None  # only what came from this one of the fleet's queues
    to: str | None = Field(default=None, min_length=1, max_length=63)  # another fleet, to whose queue it goes
    to_queue: QueueName | None = None  # the queue it goes to, whichever it came from: of `to`, else of the fleet
    dry_run: bool = False
    rate_per_s: float | None = Field(default=None, ge=0.01, le=10_000)
    again: bool = False  # send even what may have been sent before

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        named = [
            self.everything,
            self.failure_group is not None,
            self.message_id is not None,
            bool(self.message_ids),
        ]
        by_id = self.message_id is not None or bool(self.message_ids)
        if sum(named) > 1 or (not any(named) and not self.selection.narrows):
            raise ValueError(
                'name one of all (true), failure_group, message_id and message_ids, such as "all": true; or select by'
                " queue, cause, quarantined_from, quarantined_to or attribute"
            )
        if by_id and self.selection.narrows:
            raise ValueError(
                "queue, cause, quarantined_from, quarantined_to and attribute go with no message_id: ids suffice"
            )
        if self.origin == "dead-letter-queue" and (not self.everything or self.selection.searches):
            raise ValueError('from "dead-letter-queue" goes with "all": true only: a queue cannot be searched')
        return self

    @property
    def selection(self) -> Selection:
        """What it is about."""
        return Selection(
            failure_group=self.failure_group,
            message_id=self.message_id,
            message_ids=self.message_ids,
            cause=self.cause,
            quarantined_from=self.quarantined_from,
            quarantined_to=self.quarantined_to,
            attribute=None if self.attribute is None else (self.attribute.name, self.attribute.value),
            from_dead_letters=self.origin == "dead-letter-queue",
            queue=None if self.queue is None else queue_name(self.queue),
            again=self.again,
        )


class JobRequest(_Request):
    """`{"stop": {...}}`, `{"pause": {...}}`, `{"resume": {...}}`: the job that is to."""

    job_id: str = Field(min_length=1, max_length=128)


class MuteRequest(_Request):
    """`{"mute": {...}}`: the failure group to mute; with `undo`, to unmute."""

    failure_group: str = Field(min_length=1, max_length=128)
    undo: bool = False


class EditRequest(_Request):
    """`{"edit": {...}}`: the quarantined message that is sent back with another body."""

    message_id: str = Field(min_length=1, max_length=128)
    body: str = Field(min_length=1, max_length=1_048_576)


class RestoreRequest(_Request):
    """`{"restore": {...}}`: the archive's key of a message that was sent back and removed."""

    key: str = Field(min_length=1, max_length=1_024)


class QuarantineRequest(_Request):
    """`{"quarantine": {...}}`: the fleet whose dead letters are put into quarantine, in manual mode."""

    queue: QueueName | None = None  # only those of this one of the fleet's queues


class PeekRequest(_Request):
    """`{"peek": {...}}`: the fleet some of whose dead letters are shown, in manual mode, and which."""

    queue: QueueName | None = None  # only those of this one of the fleet's queues
    cause: str | None = Field(default=None, min_length=1, max_length=200)  # a pattern, as for file names
    attribute: AttributeChoice | None = None
    limit: int = Field(default=PEEK_MAX, ge=1, le=PEEK_MAX)


class ReleaseRequest(_Request):
    """`{"release": {...}}`: the retained instance that is released now."""

    instance_id: str = Field(min_length=1, max_length=128)


class FailureReport(BaseModel):
    """A consumer's report of a message that it failed on: the detail of its event."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    queue: str = Field(min_length=1, max_length=512)  # URL, ARN or name of the queue it was consumed from
    message_id: str = Field(min_length=1, max_length=128)
    cause: str = Field(min_length=1)

    def is_of(self, queue_url: str) -> bool:
        """Whether it is about a queue."""
        return same_queue(self.queue, queue_url)


def read_request[R: BaseModel](kind: type[R], name: str, asked: object) -> R:
    """A request, checked.

    Raises:
        PayloadError: with every fault, each naming its field.
    """
    try:
        return kind.model_validate(asked)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise PayloadError("; ".join(_describe(name, fault) for fault in faults)) from error


def _describe(name: str, fault: Any) -> str:
    path = ".".join((name, *(str(part) for part in fault["loc"])))
    if fault["type"] == "missing":
        return f"{path}: is required"
    if fault["type"] == "extra_forbidden":
        return f"{path}: is not a field of a request"
    text = str(fault["msg"]).removeprefix("Value error, ")
    return f"{path}: {text[0].lower()}{text[1:]}"


def read_record(record: Mapping[str, Any]) -> Message:
    """One record of an SQS batch, whole.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event

    Raises:
        KeyError, TypeError, ValueError: it is no such record.
    """
    attributes = {
        name: Attribute(
            type=value["dataType"],
            text=value.get("stringValue"),
            binary=None if value.get("binaryValue") is None else base64.b64decode(value["binaryValue"]),
        )
        for name, value in record.get("messageAttributes", {}).items()
    }
    return Message.received(
        record["messageId"], record["body"], record["receiptHandle"], attributes, record["attributes"]
    )
