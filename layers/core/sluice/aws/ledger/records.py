"""Records of the ledger: their kinds, and how they are written to and read from its items.

What of a record cannot be read is logged, with its key: nothing is left out in silence.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sluice.aws.ledger import migrations
from sluice.aws.ledger.forms import Form, ItemForm, Read, UnreadableError
from sluice.aws.ledger.keys import PAST_ALL, key, partition, ttl
from sluice.aws.table import Item, Table, Value, text, typed_all
from sluice.model.consumers import Consumer
from sluice.model.decisions import Decision, Outcome
from sluice.model.draining import Drain
from sluice.model.launches import Launch
from sluice.model.need import ReportedNeed
from sluice.model.planning import Memory, TimedLaunch
from sluice.model.queue_metrics import QueueMetrics
from sluice.model.redrive_jobs import RedriveJob
from sluice.model.redriving import HandledLetter, QuarantineEntry
from sluice.ports.errors import ConflictError, NeedsFixError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision with its outcome."""

    decision: Decision
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ClaimedBatch:
    """What one record claims: ids of messages not known to be sent, and of those that were."""

    claimed: tuple[str, ...]
    sent: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportedNeeds:
    """What the last notice reported."""

    needs: tuple[ReportedNeed, ...]


# `from_ledger` is not the planner's to keep: the drainer writes its launches, reading makes the rest.
MEMORY = Form(Memory, "the planner's memory", migrations.MEMORY, not_kept=frozenset({"from_ledger"}), by_parts=True)
LAUNCH = Form(TimedLaunch, "the launch")
LAUNCH_EVENT = Form(Launch, "the launch event")
QUEUE_METRICS = Form(QueueMetrics, "the metrics of queues")
DECISION = Form(Recorded, "the decision", migrations.DECISION)
DRAIN = Form(Drain, "the drain", migrations.DRAIN)
CONSUMER = Form(Consumer, "the consumer", migrations.CONSUMER)
REPORTED_NEEDS = Form(ReportedNeeds, "the needs that were reported")
QUARANTINED = Form(QuarantineEntry, "the quarantined message", migrations.QUARANTINED)
JOB = Form(RedriveJob, "the redrive job", migrations.JOB)
CLAIMED_BATCH = Form(ClaimedBatch, "the claimed batch")
HANDLED_LETTER = Form(HandledLetter, "the handled dead letter")

RUNNING_JOB = ItemForm("the running job", frozenset())
LEASE = ItemForm("the lease", frozenset({"holder", "until_at"}))
CHAIN = ItemForm("the chain", frozenset({"due_at", "at_work_until", "asked", "data", "assignment"}))
NEED = ItemForm("the need", frozenset({"reason", "fleet", "seen_at", "figure"}))
UNRELEASED = ItemForm("the index's drain", frozenset({"fleet", "instance", "retained_since"}))
DRAIN_COMMAND = ItemForm("the drain's command", frozenset({"fleet"}))
CONSUMERS_FLEET = ItemForm("the index's fleet", frozenset({"fleet"}))
COUNTS = ItemForm("the fleet's counts", frozenset({"held_count", "group_count", "counted_at"}))
FAILURE_GROUP = ItemForm(
    "the failure group",
    frozenset(
        {
            "cause",
            "count",
            "seen_count",
            "failed_retry_count",
            "first_seen_at",
            "last_seen_at",
            "sample",
            "muted_at",
            "redrive_job",
            "redriven_at",
            "redriven_count",
            "returned_count",
        }
    ),
    series=("hour_", "minute_"),
    migrations=migrations.FAILURE_GROUP,
)
HELD_MESSAGE_GROUP = ItemForm("the held message group", frozenset({"failure_group", "count"}))
SEND_CLAIM = ItemForm("the send claim", frozenset({"claimant", "claimed_at", "until_at", "sent_at"}))
MARKS = ItemForm("the note on marks", frozenset({"marked_until"}))
CAUSE = ItemForm("the reported cause", frozenset({"cause"}))
DOCUMENT = ItemForm("the copy of a document", frozenset({"data", "modified_at"}))
DOCUMENTS_HEAD = ItemForm("the head of the documents' copy", frozenset({"revision", "claimed_at", "checked_at"}))


def name_of(item: Item) -> str:
    """A record's key, for sentences."""
    return f"{text(item, 'pk')} {text(item, 'sk')}"


def one[T](form: Form[T], item: Item | None) -> T | None:
    """The record in an item's `data`, if there is an item.

    Raises:
        NeedsFixError: it cannot be read.
    """
    return None if item is None else existing(form, item)


def existing[T](form: Form[T], item: Item) -> T:
    """The record in an item's `data`.

    Raises:
        NeedsFixError: it cannot be read.
    """
    return existing_text(form, text(item, "data"), name_of(item))


def existing_text[T](form: Form[T], data: str, where: str) -> T:
    """The same of a text, with its record's key."""
    return logged(_read(form, data, where), where)


def logged[T](read: Read[T], where: str) -> T:
    """What was read of a record, by its key; what was left out of it is logged."""
    for problem in read.problems:
        logger.warning("ledger record %s: %s", where, problem)
    return read.value


def readable[T](form: Form[T], items: Iterable[Item]) -> Iterator[T]:
    """Every record that can be read: one that cannot is logged, and never hides the others."""
    return readable_texts(form, ((text(item, "data"), name_of(item)) for item in items))


def readable_texts[T](form: Form[T], texts: Iterable[tuple[str, str]]) -> Iterator[T]:
    """The same of texts, each with its record's key. What many records have in common is logged once."""
    return _all_logged(_reads(form, texts))


def _reads[T](form: Form[T], texts: Iterable[tuple[str, str]]) -> Iterator[tuple[Read[T], str]]:
    for data, where in texts:
        try:
            yield _read(form, data, where), where
        except NeedsFixError as error:
            logger.warning("left out: %s", error)


def _all_logged[T](reads: Iterable[tuple[Read[T], str]]) -> Iterator[T]:
    """What was read of many records, each with its key; what is left out of several of them is logged once."""
    problems: Counter[str] = Counter()
    first: dict[str, str] = {}
    for read, where in reads:
        for problem in read.problems:
            first.setdefault(problem, where)
        problems.update(read.problems)
        yield read.value
    for problem, count in problems.items():
        more = f" (and {count - 1} more alike)" if count > 1 else ""
        logger.warning("ledger record %s%s: %s", first[problem], more, problem)


def _read[T](form: Form[T], data: str, where: str) -> Read[T]:
    try:
        return form.from_text(data)
    except UnreadableError as error:
        raise NeedsFixError(f"ledger record {where} {error}; delete it, or deploy the version that wrote it") from error


def attributes(form: ItemForm, item: Item | None) -> Item:
    """The attributes of an item as this version has them; none where there is no item."""
    if item is None:
        return {}
    return logged(form.read(item), name_of(item))


def all_attributes(form: ItemForm, items: Iterable[Item]) -> Iterator[Item]:
    """The same of many items. What they have in common is logged once."""
    return _all_logged((form.read(item), name_of(item)) for item in items)


def list_all[T](table: Table, form: Form[T], fleet: str, prefix: str) -> Iterator[T]:
    """Every readable record of a fleet whose sk begins with a prefix, in the order of the sk."""
    return readable(form, table.query(partition(fleet), prefix, f"{prefix}{PAST_ALL}"))


def keep[T: (Consumer, Drain, RedriveJob)](
    table: Table, form: Form[T], sk: str, record: T, *, until: float | None = None
) -> T:
    """Write a record one version on, if the table still has the version that it was made from (0: none yet).

    Args:
        table: the ledger's table.
        form: the record's form.
        sk: the record's sort key.
        record: what to write.
        until: when DynamoDB may delete it, in epoch seconds; None: never.

    Returns:
        The record as written.

    Raises:
        ConflictError: the table has another version.
    """
    written, item, condition, values = versioned(form, sk, record, until)
    if not table.put(item, condition, values):
        raise conflict(record, sk)
    return written


def versioned[T: (Consumer, Drain, RedriveJob)](
    form: Form[T], sk: str, record: T, until: float | None
) -> tuple[T, Item, str, dict[str, Value] | None]:
    """A record one version on, as `keep` writes it: with its item, and the write's condition and values."""
    written = replace(record, version=record.version + 1)
    figures: dict[str, Value] = {"data": form.to_text(written), "version": written.version}
    if until is not None:
        figures["ttl"] = ttl(until)
    item = key(record.fleet, sk) | typed_all(figures)
    if record.version == 0:
        return written, item, "attribute_not_exists(#pk)", None
    return written, item, "#version = :version", {":version": record.version}


def conflict(record: Consumer | Drain | RedriveJob, sk: str) -> ConflictError:
    """The error of a record that another has written first."""
    where = f"{partition(record.fleet)} {sk}"
    return ConflictError(f"ledger record {where} is no longer at version {record.version}: read it again")
