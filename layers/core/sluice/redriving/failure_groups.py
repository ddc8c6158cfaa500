"""Which failure group a dead letter belongs to: like goes with like, whatever its ids and numbers.

Theory of operation. SQS records no cause of a failure, so there are two sources, the first that speaks wins:

1. The cause that the consumer stamped (`sluice.cause`), or reported in an event that names the message, for consumers
   that leave the dead-lettering to SQS, or that another service gives (`foreign_letters`); with what differs from
   message to message masked: times, UUIDs, hex, ids and numbers. `UnknownItem: sku-13` and `UnknownItem: sku-77` are
   one group.
2. A fingerprint of the message: the shape of its body (for JSON the keys and the types of their values, for text its
   first line, masked), the names of its own attributes, and the queue it came from.

A group's id is its kind (`cause`, `json`, `text`) and a hash of the masked cause: equal for equal causes in every
invocation, and without a word of what the message says, since ids are in logs and metrics. The words are in the group's
record alone. Everything a message says is data here: it is measured and masked, bounded in the work it can
cause, and never interpreted.

Consumers that stamp no cause on messages of free text make a group for each text. A fleet has at most GROUPS_MAX of
them: what would be one more is put into OVERFLOW, with its own cause on its own record (`admitted`).
"""

import hashlib
import json
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from sluice.model.queue_names import identify
from sluice.model.redriving import Message
from sluice.redriving.foreign_letters import foreign_letter

CAUSE = "sluice.cause"  # String: why the consumer could not process the message
SOURCE = "sluice.source"  # String: ARN or URL of the queue it was consumed from
OWN_PREFIX = "sluice."  # attributes with this prefix are ours and the consumer's stamps, never the producer's

CAUSE_LIMIT = 200  # characters of a cause: it is a line on a page, not a stack trace
HASH_DIGITS = 12  # of an id, in hex: 200 groups meet by chance once in ten billion fleets
READ_LIMIT = 2_000  # characters of a text that are read at all, which bounds the masking
# A shape tells groups apart by the first levels of a body; these bound the work that a hostile one can cause.
DEPTH_LIMIT = 6
KEYS_LIMIT = 60
ITEMS_LIMIT = 50

# In this order: what a later mask would tear apart comes first.
_MASKS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-z])"), "<id>"),
    (re.compile(r"(?i)(?<!\w)0x[0-9a-f]+(?!\w)"), "<id>"),
    (re.compile(r"(?i)(?<!\w)(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}(?!\w)"), "<id>"),
    # Letters and digits in turns, such as 01ARZ3NDEK or a8f3x, are an identifier; letters with a number at their end,
    # such as order17 or s3, keep the letters.
    (re.compile(r"(?<!\w)(?:[^\W\d]+\d+|\d+)[^\W\d]\w*"), "<id>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
)
_SCALARS = {bool: "b", int: "n", float: "n", str: "s", type(None): "0"}
_SPACES = re.compile(r"\s+")


class Cause(NamedTuple):
    """A failure group's stable id, and its cause in words, at most a line."""

    id: str
    words: str


# An operator reads dozens of groups, not thousands, and 200 records of 2 kB each are still read in one page of a query,
# which is 1 MB.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Query.Pagination.html
GROUPS_MAX = 200
OVERFLOW = Cause("overflow", f"Other causes: this fleet has {GROUPS_MAX} failure groups, and no more are made")


def group_cause(group_id: str, cause: str) -> str:
    """What a group's record says of its cause: that of a dead letter in it, but of the overflow what it is."""
    return OVERFLOW.words if group_id == OVERFLOW.id else cause


def failure_group(message: Message, reported: str = "") -> Cause:
    """The failure group of a dead letter; `reported` is the cause that its consumer reported by event, if any."""
    stamped = masked(message.attribute(CAUSE) or "") or masked(reported)
    if not stamped and not source_of(message) and (foreign := foreign_letter(message)):
        stamped = masked(foreign.cause)
    if stamped:
        return _cause("cause", stamped, distinct=stamped)
    source = queue_name(source_of(message))
    kind, shape, words = _body(message.body)
    names = sorted(name for name, _ in message.attributes if not name.startswith(OWN_PREFIX))
    parts = ("No cause stamped:", kind, words, f"from {masked(source)}" if source else "")
    return _cause(
        "json" if "JSON" in kind else "text",
        " ".join(part for part in parts if part),
        distinct="\0".join((source, kind, shape, *names)),
    )


def source_of(message: Message) -> str:
    """ARN, URL or name of the queue a message was dead-lettered from, by SQS or the consumer's stamp; else empty."""
    return message.source or message.attribute(SOURCE) or ""


def describe_source(source: str) -> str:
    """The source of a message, for the log; an attribute may hold any text, which is not repeated."""
    queue = identify(source)
    if queue is not None and queue.account is not None:
        return source
    return "a place that its attribute sluice.source names by no ARN or URL"


def queue_name(url_or_arn: str) -> str:
    """The name of a queue, by its URL, its ARN or its name."""
    return url_or_arn.rpartition(":")[2].rpartition("/")[2]


def masked(text: str) -> str:
    """The first line of a text that says anything, with what differs from message to message masked."""
    return _masked(text[:READ_LIMIT])


@lru_cache(maxsize=512)  # dead letters come with few causes, keys and queues, again and again
def _masked(text: str) -> str:
    line = next((line for line in text.splitlines() if line.strip()), "")
    line = _SPACES.sub(" ", "".join(c if c.isprintable() else " " for c in line)).strip()
    for pattern, mask in _MASKS:
        line = pattern.sub(mask, line)
    return line[:CAUSE_LIMIT]


@lru_cache(maxsize=512)
def _cause(kind: str, words: str, *, distinct: str) -> Cause:
    digest = hashlib.sha256(distinct.casefold().encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]
    return Cause(f"{kind}-{digest}", words[:CAUSE_LIMIT])


def _body(body: str) -> tuple[str, str, str]:
    """What kind of body it is, its shape, and a short text for operators."""
    if body.lstrip()[:1] in {"{", "["}:
        try:
            value = json.loads(body)
        except (ValueError, RecursionError):  # not JSON after all, a number of 5,000 digits, nested beyond reason
            return "unreadable JSON", masked(body), masked(body)[:80]
        if isinstance(value, dict):
            return "JSON object", _shape(value), ", ".join(_names(value))[:80] or "without keys"
        return "JSON list", _shape(value), ""
    return "text", masked(body), masked(body)[:80]


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
