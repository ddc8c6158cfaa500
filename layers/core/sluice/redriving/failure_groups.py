"""Which failure group a dead letter belongs to: like goes with like, whatever its ids and numbers.

Theory of operation. SQS records no cause of a failure, so there are two sources, the first that speaks wins:

1. The cause that the consumer stamped (`sluice.cause`), or reported in an event that names the message, for consumers
   that leave the dead-lettering to SQS; or that another service (`foreign_letters`) or an envelope gives. Of a stack
   trace the root cause and the own place where it was raised count (`causes.stack_traces`); what differs from message
   to message is masked, and codes are kept (`causes.masking`). `UnknownItem: sku-13` and `UnknownItem: sku-77` are one
   group, HTTP 400 and HTTP 503 are two.
2. A fingerprint of the message: what its body carries once its envelopes are opened (`causes.envelopes`: a task's name,
   an event's type) and the shape of that (for JSON the keys and the types of their values, for text its first line,
   masked), the names of its own attributes, and the queue it came from. No cause is known then: such a group tells
   kinds of messages apart and not kinds of failures, so that it never trips (`verdict`).

A group's id is its kind (`cause`, `json`, `text`) and a hash of the masked cause: equal for equal causes in every
invocation, and without a word of what the message says, since ids are in logs and metrics. The words are in the group's
record alone. Everything a message says is data here: it is measured and masked, bounded in the work it can
cause, and never interpreted.

Consumers that stamp no cause on messages of free text make a group for each text. A fleet has at most GROUPS_MAX of
them: what would be one more is put into OVERFLOW, with its own cause on its own record (`admitted`).
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from sluice.config.cause_patterns import one_line
from sluice.model.queue_names import identify
from sluice.model.redriving import Message
from sluice.redriving.causes.envelopes import Opened, is_binary, open_body
from sluice.redriving.causes.masking import CAUSE_LIMIT, masked, with_codes
from sluice.redriving.causes.payload_pointers import payload_pointer
from sluice.redriving.causes.stack_traces import Raised, read_exception
from sluice.redriving.causes.status_codes import codes_in
from sluice.redriving.foreign_letters import foreign_letter

CAUSE = "sluice.cause"  # String: why the consumer could not process the message
SOURCE = "sluice.source"  # String: ARN or URL of the queue it was consumed from
OWN_PREFIX = "sluice."  # attributes with this prefix are ours and the consumer's stamps, never the producer's

HASH_DIGITS = 12  # of an id, in hex: 200 groups meet by chance once in ten billion fleets
# A shape tells groups apart by the first levels of a body; these bound the work that a hostile one can cause.
DEPTH_LIMIT = 6
KEYS_LIMIT = 60
ITEMS_LIMIT = 50

_SCALARS = {bool: "b", int: "n", float: "n", str: "s", type(None): "0"}
_KNOWN = "cause"  # the kind of groups whose cause is known
_SHAPES = ("json-", "text-")  # how the ids of those begin that are made of a message's shape
# Lines of a plain text behind its first one that are searched for codes: `Request failed` and then `status: 503`.
_FURTHER_LINES = 10
_REMEMBERED_LENGTH = 4_000  # characters of a text whose cause a process remembers


class Cause(NamedTuple):
    """A failure group's stable id, and its cause in words, at most a line.

    Attributes:
        id: its kind and a hash.
        words: the group's title: the cause, masked, and where it was raised.
        said: the cause of this very message as it was said, which patterns see: the exceptions of its chain, the
            outermost first and the root cause last. Empty where no cause is known.
    """

    id: str
    words: str
    said: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether the group has a cause, or is made of the shape of its messages alone."""
        return has_known_cause(self.id)

    @property
    def as_said(self) -> str:
        """The root cause as it was said, as long as a title; empty where none is known."""
        return self.said[-1][:CAUSE_LIMIT] if self.said else ""


# An operator reads dozens of groups, not thousands, and 200 records of 2 kB each are still read in one page of a query,
# which is 1 MB.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
GROUPS_MAX = 200
OVERFLOW = Cause("overflow", f"Other causes: this fleet has {GROUPS_MAX} failure groups, and no more are made")


def group_cause(group_id: str, cause: str) -> str:
    """What a group's record says of its cause: that of a dead letter in it, but of the overflow what it is."""
    return OVERFLOW.words if group_id == OVERFLOW.id else cause


def has_known_cause(group_id: str) -> bool:
    """Whether a failure group has a cause, or is made of the shape of its messages alone."""
    return group_id != OVERFLOW.id and not group_id.startswith(_SHAPES)


def failure_group(message: Message, reported: str = "") -> Cause:
    """The failure group of a dead letter; `reported` is the cause that its consumer reported by event, if any."""
    if known := known_cause(message.attribute(CAUSE) or "") or known_cause(reported):
        return known
    foreign = None if source_of(message) else foreign_letter(message)
    pointer = payload_pointer(message)
    opened = Opened((f"body in S3 bucket {pointer.bucket}",), None) if pointer else open_body(message.body)
    if known := known_cause(foreign.cause if foreign else "") or known_cause(opened.error):
        return known
    source = queue_name(source_of(message))
    kind, shape, words = _content(opened)
    names = sorted(name for name, _ in message.attributes if not name.startswith(OWN_PREFIX))
    carried = ", ".join(one_line(name) for name in opened.names)
    about = "" if opened.content is None and carried else " ".join(part for part in (kind, words) if part)
    parts = ("No cause stamped:", ", ".join(part for part in (carried, about) if part))
    return _cause(
        "json" if "JSON" in kind else "text",
        " ".join((*parts, f"from {masked(source)}") if source else parts),
        distinct="\0".join((source, kind, *opened.names, shape, *names)),
    )


def known_cause(text: str) -> Cause | None:
    """The failure group of what was said of a failure; None where that is nothing."""
    return _known_cause(text) if len(text) <= _REMEMBERED_LENGTH else _known_cause.__wrapped__(text)


@lru_cache(maxsize=256)
def _known_cause(text: str) -> Cause | None:
    """The failure group of what was said of a failure; None where that is nothing."""
    raised = read_exception(text)
    title = masked(raised.line)
    if not title:
        return None
    if not raised.place:
        title = with_codes(title, _further_codes(text, raised))
        return _cause(_KNOWN, title, distinct=title)._replace(said=raised.chain)
    where = f" in {raised.place}"
    words = title if len(title) + len(where) <= CAUSE_LIMIT else f"{title[: CAUSE_LIMIT - len(where) - 2].rstrip()} …"
    return _cause(_KNOWN, words + where, distinct=f"{title}\0{raised.place}")._replace(said=raised.chain)


def _further_codes(text: str, raised: Raised) -> tuple[str, ...]:
    """The codes that a plain text of several lines names behind its first one."""
    if len(raised.chain) > 1 or "\n" not in text.strip():
        return ()
    lines = text[:_REMEMBERED_LENGTH].strip().splitlines()[1 : 1 + _FURTHER_LINES]
    return tuple(dict.fromkeys(code for line in lines for code in codes_in(line[:CAUSE_LIMIT])))


def source_of(message: Message) -> str:
    """ARN, URL or name of the queue a message was dead-lettered from, by SQS or the consumer's stamp; else empty."""
    return message.source or message.attribute(SOURCE) or ""


def describe_source(source: str) -> str:
    """The source of a message, for the log; an attribute may hold any text, which is not repeated."""
    queue = identify(source)
    if queue is not None and queue.account is not None:
        return source.strip()
    return "a place that its attribute sluice.source names by no ARN or URL"


def queue_name(url_or_arn: str) -> str:
    """The name of a queue, by its URL, its ARN or its name."""
    return url_or_arn.rpartition(":")[2].rpartition("/")[2]


@lru_cache(maxsize=512)
def _cause(kind: str, words: str, *, distinct: str) -> Cause:
    digest = hashlib.sha256(distinct.casefold().encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]
    return Cause(f"{kind}-{digest}", words[:CAUSE_LIMIT])


def _content(opened: Opened) -> tuple[str, str, str]:
    """What kind of content a body carries, its shape, and a short text for operators."""
    match opened.content:
        case None:
            return "JSON" if opened.names else "text", "", ""
        case str(text) if is_binary(text):
            return "text", "", "of binary data in base64"
        case str(text):
            kind = "unreadable JSON" if text.lstrip()[:1] in {"{", "["} else "text"
            return kind, masked(text), masked(text)[:80]
        case dict(value):
            return "JSON object", _shape(value), ", ".join(_names(value))[:80] or "without keys"
        case list(value):
            return "JSON list", _shape(value), ""
        case value:
            return "JSON value", _shape(value), ""


def _names(keys: Iterable[str]) -> list[str]:
    """Keys of an object, masked, since a map by id has ids for keys."""
    return sorted({masked(key)[:40] for key, _ in zip(keys, range(KEYS_LIMIT), strict=False)})


def _shape(value: Any, depth: int = 0) -> str:
    """The keys and the types of a JSON value, its own values left out."""
    match value:
        case dict() | list() if depth == DEPTH_LIMIT:
            return "~"
        case dict():
            seen = zip(value.items(), range(KEYS_LIMIT), strict=False)
            return "{" + ",".join(sorted({f"{masked(k)[:40]}:{_shape(v, depth + 1)}" for (k, v), _ in seen})) + "}"
        case list():
            return "[" + ",".join(sorted({_shape(item, depth + 1) for item in value[:ITEMS_LIMIT]})) + "]"
        case _:
            return _SCALARS[type(value)]
