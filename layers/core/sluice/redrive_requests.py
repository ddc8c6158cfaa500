"""What the redriver is invoked with: batches of dead letters and a person's requests, read and checked."""

import base64
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sluice.jobs import RequestError, Selection
from sluice.model import Attribute, Message


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    fleet: str = Field(min_length=1, max_length=63)
    requested_by: str | None = Field(default=None, max_length=200)  # as told by the caller; CloudTrail knows for sure


class RedriveRequest(_Request):
    """`{"redrive": {...}}`: what to send back, and how fast."""

    everything: bool = Field(default=False, alias="all")
    failure_group: str | None = Field(default=None, min_length=1, max_length=128)
    message_id: str | None = Field(default=None, min_length=1, max_length=128)
    origin: Literal["quarantine", "dead-letter-queue"] = Field(default="quarantine", alias="from")
    dry_run: bool = False
    rate_per_s: float | None = Field(default=None, ge=0.01, le=10_000)
    again: bool = False  # send even what may have been sent before

    @model_validator(mode="after")
    def _one_selection(self) -> Self:
        chosen = [self.everything, self.failure_group is not None, self.message_id is not None]
        if sum(chosen) != 1:
            raise ValueError('name one of all (true), failure_group or message_id, such as "all": true')
        if self.origin == "dead-letter-queue" and not self.everything:
            raise ValueError('from "dead-letter-queue" goes with "all": true only: a queue cannot be searched')
        return self

    @property
    def selection(self) -> Selection:
        """What it is about."""
        return Selection(self.failure_group, self.message_id, self.origin == "dead-letter-queue")


class StopRequest(_Request):
    """`{"stop": {...}}`: the job that is to stop."""

    job_id: str = Field(min_length=1, max_length=128)


def read_request[R: _Request](kind: type[R], name: str, asked: object) -> R:
    """A request, checked.

    Raises:
        RequestError: with every fault, each naming its field.
    """
    try:
        return kind.model_validate(asked)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise RequestError("; ".join(_in_words(name, fault) for fault in faults)) from error


def _in_words(name: str, fault: Any) -> str:
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
