"""Opens what wraps a message's own words: notifications, events, records of invocations, tasks and jobs.

Frameworks and services put what a message is about into an envelope of their own: a Celery task is base64 in JSON in
base64, an S3 event comes in an SNS notification. By its envelope alone every task of a fleet would be one kind of
message, or each its own. `open_body` takes envelope after envelope off, and says

* what it carries: the shape that tells kinds of messages apart, such as a task's name or an event's type;
* why it failed, where an envelope says that (a Lambda record, a MassTransit fault, a dramatiq traceback).

Everything in it was written by strangers. At most DEPTH_LIMIT envelopes are opened and BYTES_LIMIT bytes are decoded
for one body; what is unreadable, too large or nested beyond that is taken as the text that it is. Nothing is executed:
PHP's and Python's serialised objects stay texts, of which only the name beside them is read.
"""

import base64
import binascii
import json
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

DEPTH_LIMIT: Final = 5  # envelopes in envelopes
BYTES_LIMIT: Final = 1_048_576  # of all that is decoded for one body: as much as SQS takes
_NAME_LIMIT: Final = 200  # characters of a name that an envelope gives
_INNER_CAUSES: Final = 8  # of an exception
_BINARY_READ: Final = 4_000  # characters that are looked at: a multiple of four
_FRAMES_MAX: Final = 100
# Standard or URL-safe, in lines or in one, with padding or without it. Shorter texts are words.
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]{16,}(?:\r?\n[A-Za-z0-9+/_-]+)*={0,2}\s*")
# Binary data (Protobuf, Avro, pickle) in base64, that no word is taken for.
_BINARY: Final = re.compile(
    r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9+/=])(?:[A-Za-z0-9+/]{4}){5,}(?:[A-Za-z0-9+/]{2}[A-Za-z0-9+/=]=)?"
)
_GZIP: Final = b"\x1f\x8b"

type Json = Any  # what json.loads gives: of strangers


class Opened(NamedTuple):
    """What a body carries.

    Attributes:
        names: what its envelopes say of it, the outermost first: `SNS notification`, `Celery task shop.charge`.
        content: what is in the innermost one; None where its name says all that tells messages apart.
        error: why it failed, as an envelope says it; empty where none does.
        kind: the outermost envelope's kind, by which `foreign_letters` knows its sender.
    """

    names: tuple[str, ...]
    content: Json | None
    error: str = ""
    kind: str = ""


class _Layer(NamedTuple):
    """One envelope: its kind, its name in words, what is in it, and the error that it names."""

    kind: str
    name: str
    inner: Json | None = None
    error: str = ""


def open_body(body: str) -> Opened:
    """A body with its envelopes taken off. Never raises."""
    budget = _Budget(BYTES_LIMIT)
    value = budget.parsed(body)
    names: list[str] = []
    error = kind = ""
    for _ in range(DEPTH_LIMIT):
        layer = _layer(value)
        if layer is None:
            break
        kind = kind or layer.kind
        names.append(layer.name)
        error = layer.error or error  # the innermost one that says why
        value = budget.parsed(layer.inner) if isinstance(layer.inner, str) else layer.inner
        if value is None:
            break
    return Opened(tuple(names), value, error, kind)


def is_binary(text: str) -> bool:
    """Whether a text that could not be opened is binary data in base64, which tells no kinds of messages apart."""
    return _BINARY.fullmatch("".join(text[: 2 * _BINARY_READ].split())[:_BINARY_READ]) is not None


def error_said(text: str) -> str:
    """The stack trace or the error in a cause that is JSON, as errors are serialised; of any other, the text itself."""
    if text.lstrip()[:1] != "{":
        return text
    value = _Budget(BYTES_LIMIT).parsed(text)
    if isinstance(value, Mapping):
        for error in (value, *(value.get(key) for key in ("error", "err", "exception"))):
            match error:
                case {"stack": str(stack)} if "\n" in stack:  # of Node, by most of its loggers
                    return stack
    return open_body(text).error or text


class _Budget:
    """Decodes texts while there are bytes left to decode."""

    def __init__(self, left_bytes: int) -> None:
        self._left_bytes = left_bytes

    def parsed(self, text: str) -> Json:
        """The JSON of a text, of base64 or of compressed base64, and what else it says as the text that it is."""
        text = self._decoded(text)
        if text.lstrip()[:1] not in {"{", "["} or len(text) > self._left_bytes:
            return text
        self._left_bytes -= len(text)
        try:
            return json.loads(text)
        except (ValueError, RecursionError):  # not JSON after all, a number of 5,000 digits, nested beyond reason
            return text

    def _decoded(self, text: str) -> str:
        for _ in range(2):  # base64 of base64 is all that was ever seen
            if len(text) > self._left_bytes or not _BASE64.fullmatch(text):
                break
            decoded = self._base64(text)
            if decoded is None:
                break
            text = decoded
        return text

    def _base64(self, text: str) -> str | None:
        plain = "".join(text.split()).rstrip("=").translate({ord("-"): "+", ord("_"): "/"})
        try:
            raw = base64.b64decode(plain + "=" * (-len(plain) % 4))
        except (binascii.Error, ValueError):
            return None
        self._left_bytes -= len(raw)
        if raw.startswith(_GZIP):
            raw = self._unpacked(raw)
        try:
            said = raw.decode()
        except UnicodeDecodeError:
            return None
        return said if said.replace("\n", "").replace("\t", "").replace("\r", "").isprintable() else None

    def _unpacked(self, raw: bytes) -> bytes:
        unpacker = zlib.decompressobj(wbits=31)
        try:
            raw = unpacker.decompress(raw, max(1, self._left_bytes))
        except zlib.error:
            return raw
        self._left_bytes -= len(raw)
        return raw


# --------------------------------------------------------------------------- kinds of envelopes


def _layer(value: Json) -> _Layer | None:
    if not isinstance(value, Mapping):
        return None
    return next((layer for opener in _OPENERS if (layer := opener(value))), None)


def _name(*parts: object) -> str:
    """Words and names of strangers, those that are texts."""
    return " ".join(part[:_NAME_LIMIT] for part in parts if isinstance(part, str) and part)


def _sns(value: Mapping[str, Json]) -> _Layer | None:
    # https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
    match value:
        case {"Type": "Notification", "TopicArn": str(), "MessageId": str(), "Message": str(message)}:
            return _Layer("sns", "SNS notification", message)
    return None


def _event(value: Mapping[str, Json]) -> _Layer | None:
    # https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
    match value:
        case {"detail-type": str(kind), "source": str(source), "detail": dict(detail), "id": str()}:
            return _Layer("event", _name("event", kind, "of", source), detail)
    return None


def _cloud_event(value: Mapping[str, Json]) -> _Layer | None:
    # https://github.com/cloudevents/spec/blob/main/cloudevents/formats/json-format.md
    match value:
        case {"specversion": str(), "type": str(kind), "source": str(), "id": str()}:
            data = value.get("data", value.get("data_base64"))
            return _Layer("cloud-event", _name("CloudEvent", kind), data)
    return None


def _lambda_record(value: Mapping[str, Json]) -> _Layer | None:
    # https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    # https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    match value:
        case {"requestContext": {"functionArn": str(arn), "condition": str(condition)}}:
            said = _lambda_error(value.get("responsePayload"), f"{condition}: ") or condition
            function = arn.partition(":function:")[2].partition(":")[0]
            return _Layer("lambda", _name("record of function", function), value.get("requestPayload"), said)
    return None


def _pipe(value: Mapping[str, Json]) -> _Layer | None:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-error-troubleshooting.html
    match value:
        case {"context": {"partnerResourceArn": str(), "condition": str(condition)}}:
            return _Layer("pipe", "record of an EventBridge pipe", value.get("payload"), condition)
    return None


def _records(value: Mapping[str, Json]) -> _Layer | None:
    """What a service of AWS sends to Lambda, or to SQS by itself: of several records the first one counts."""
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    match value:
        case {"Service": "Amazon S3", "Event": str(event), "Bucket": str(bucket)}:
            return _Layer("s3", _name("S3 event", event, "of bucket", bucket))
        case {"Records": [dict(record), *_]}:
            return _record(record)
    return None


def _record(record: Mapping[str, Json]) -> _Layer | None:
    match record:
        case {"eventSource": "aws:s3", "eventName": str(event), "s3": {"bucket": {"name": str(bucket)}}}:
            return _Layer("s3", _name("S3 event", event, "of bucket", bucket))
        case {"EventSource": "aws:sns", "Sns": {"Message": str(message)}}:
            return _Layer("records", "SNS notification", message)
        case {"eventSource": "aws:kinesis", "kinesis": {"data": str(data)}}:
            return _Layer("records", "record of Kinesis", data)
        case {"eventSource": "aws:sqs", "body": str(body)}:
            return _Layer("records", "message of SQS", body)
        case {"eventSource": str(source), "eventName": str(event)}:
            return _Layer("records", _name("record", event, "of", source))
    return None


# --------------------------------------------------------------------------- tasks, jobs and messages of frameworks


def _celery(value: Mapping[str, Json]) -> _Layer | None:
    # https://docs.celeryq.dev/en/stable/internals/protocol.html, of both versions
    match value:
        case {"headers": {"task": str(task)}, "body": _}:
            return _Layer("celery", _name("Celery task", task))
        case {"task": str(task), "id": str(), "args": list(), "kwargs": dict()}:
            return _Layer("celery", _name("Celery task", task))
        case {"properties": {"body_encoding": "base64"}, "body": str(body)}:  # its first version, or plain Kombu
            return _Layer("kombu", "Kombu message", body)
    return None


def _dramatiq(value: Mapping[str, Json]) -> _Layer | None:
    match value:
        case {"actor_name": str(actor), "args": list(), "kwargs": dict(), "options": dict(options)}:
            trace = options.get("traceback")
            return _Layer("dramatiq", _name("dramatiq actor", actor), error=trace if isinstance(trace, str) else "")
    return None


def _laravel(value: Mapping[str, Json]) -> _Layer | None:
    match value:
        case {"job": str(), "displayName": str(name), "data": dict()} if name:
            return _Layer("laravel", _name("Laravel job", name))
        case {"job": str(), "data": {"commandName": str(name)}} if name:
            return _Layer("laravel", _name("Laravel job", name))
    return None


def _active_job(value: Mapping[str, Json]) -> _Layer | None:
    match value:
        case {"job_class": str(job), "arguments": list()}:
            return _Layer("active-job", _name("Active Job", job))
    return None


def _masstransit(value: Mapping[str, Json]) -> _Layer | None:
    # https://masstransit.io/documentation/concepts/exceptions
    match value:
        case {"messageType": [str(kind), *_], "message": message}:
            error = _exception_in(message) or _fault_headers(value.get("headers"))
            return _Layer(
                "masstransit", _name("MassTransit message", kind.removeprefix("urn:message:")), message, error
            )
    return None


def _exception_in(fault: Json) -> str:
    """The exceptions of a fault, each the cause of the one before it, as .NET writes them."""
    match fault:
        case {"exceptions": [dict(exception), *_]}:
            pass
        case _:
            return ""
    lines, frames = [], ""
    for _ in range(_INNER_CAUSES):
        line = ": ".join(
            part
            for part in (exception.get("exceptionType"), exception.get("message"))
            if isinstance(part, str) and part
        )
        trace = exception.get("stackTrace")
        lines.append(" ".join(line.split()))
        frames = trace if isinstance(trace, str) and trace else frames
        inner = exception.get("innerException")
        if not isinstance(inner, dict):
            break
        exception = inner
    return "\n ---> ".join(line for line in lines if line) + (f"\n{frames}" if frames else "")


def _fault_headers(headers: Json) -> str:
    """What MassTransit and NServiceBus write into the headers of a message that they moved to an error queue."""
    if not isinstance(headers, Mapping):
        return ""
    for kind, text, trace in (
        ("MT-Fault-ExceptionType", "MT-Fault-Message", "MT-Fault-StackTrace"),
        (
            "NServiceBus.ExceptionInfo.ExceptionType",
            "NServiceBus.ExceptionInfo.Message",
            "NServiceBus.ExceptionInfo.StackTrace",
        ),
    ):
        said = [headers.get(name) for name in (kind, text)]
        line = ": ".join(part for part in said if isinstance(part, str) and part)
        if line:
            frames = headers.get(trace)
            # NServiceBus repeats the line at the trace's beginning.
            return frames if isinstance(frames, str) and frames.startswith(line) else f"{line}\n{frames or ''}"
    return ""


def _nservicebus(value: Mapping[str, Json]) -> _Layer | None:
    # https://docs.particular.net/transports/sqs/native-integration
    match value:
        case {"Headers": {"NServiceBus.EnclosedMessageTypes": str(kinds)}}:
            headers = value["Headers"]
            kind = kinds.partition(";")[0].partition(",")[0]
            return _Layer("nservicebus", _name("NServiceBus message", kind), value.get("Body"), _fault_headers(headers))
    return None


def _bare_error(value: Mapping[str, Json]) -> _Layer | None:
    match value:
        case {"errorMessage": str(), "errorType": str()}:
            return _Layer("error", "error of a function", None, _lambda_error(value))
    return None


def _lambda_error(payload: Json, before: str = "") -> str:
    """What a function answered: its error as its runtime writes it, with the stack trace as one of its language."""
    said: list[str] = []
    for _ in range(_INNER_CAUSES):
        match payload:
            case {"errorMessage": str(text), **more}:
                kind, trace = more.get("errorType"), more.get("stackTrace", more.get("trace"))
                line = f"{kind}: {text}" if isinstance(kind, str) and kind and not text.startswith(kind) else text
                said.append(_with_frames("Caused by: " if said else before, line, trace))
                payload = more.get("cause")  # of Java and .NET
            case str(text) if not said:
                return before + text
            case _:
                break
    return "\n".join(said)


def _with_frames(before: str, line: str, trace: Json) -> str:
    """An error with its stack trace as its language writes it; a record of an invocation has only a list of frames."""
    said = trace[:_FRAMES_MAX] if isinstance(trace, list) else []
    frames = [frame.strip() for frame in said if isinstance(frame, str)]
    if any(frame.startswith('File "') for frame in frames):
        return "\n".join(("Traceback (most recent call last):", *(f"  {frame}" for frame in frames), before + line))
    frames = [frame.removeprefix("at ") for frame in frames if not line.startswith(frame)]  # Node repeats the line
    return "\n".join((before + line, *(f"    at {frame}" for frame in frames)))


_OPENERS: Final[tuple[Callable[[Mapping[str, Json]], _Layer | None], ...]] = (
    _sns,
    _event,
    _cloud_event,
    _lambda_record,
    _pipe,
    _records,
    _celery,
    _dramatiq,
    _laravel,
    _active_job,
    _masstransit,
    _nservicebus,
    _bare_error,
)
