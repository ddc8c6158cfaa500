"""What a redrive would send, and where to: a selection's messages are counted without any effect, a target is found."""

from collections import Counter
from collections.abc import Iterator

from sluice.config.fleet import Fleet, QueuePolicy, RedriveMode
from sluice.model.frozen import dataclass, replace
from sluice.model.payload_error import PayloadError
from sluice.model.redrive_jobs import JobState, RedriveJob, Selection
from sluice.model.redriving import FailureGroup, QuarantineEntry
from sluice.ports.ledger import JobLedger
from sluice.ports.stack import Ports
from sluice.redriving.failure_groups import queue_name
from sluice.redriving.jobs.returns import waiting_count
from sluice.redriving.jobs.rules import MOVE_COUNT_MIN, FifoOrderGuard, selects

PAGE = 100  # index entries a read, where all are read
PREVIEW_MAX = 5_000  # entries that a dry run reads: some seconds


@dataclass(frozen=True, slots=True)
class Preview:
    """What a selection holds now: a dry run's answer."""

    count: int
    groups: tuple[FailureGroup, ...]  # `count` is that of the selected messages of each
    complete: bool = True  # False: there are more entries than were read
    muted_groups: tuple[str, ...] = ()  # muted failure groups, which are left out
    behind_count: int = 0  # FIFO: selected, but behind one of its message group that is not: not counted, and left
    move_task: bool = False  # SQS's own move task may take over, unless the job names the queue for all


def preview(ports: Ports[JobLedger], fleet: Fleet, selection: Selection, now: float) -> Preview:
    """Count a selection, without any effect.

    Raises:
        PayloadError: it names a group or message that is not in quarantine.
    """
    if selection.from_dead_letters:
        return _dead_letters(ports, fleet, selection, now)
    if selection.message_id is not None or selection.message_ids:
        return _messages(ports, fleet, selection)
    groups = tuple(group for group in ports.ledger.failure_groups.failure_groups(fleet.name) if group.count > 0)
    left = tuple(group.id for group in groups if group.is_muted) if selection.failure_group is None else ()
    groups = tuple(group for group in groups if group.id not in left)
    if selection.failure_group is not None:
        groups = tuple(group for group in groups if group.id == selection.failure_group)
        if not groups:
            raise PayloadError(
                f"failure_group: fleet {fleet.name} has no {selection.failure_group} with messages in quarantine"
            )
    if not selection.narrows:
        return Preview(sum(group.count for group in groups), groups, muted_groups=left)
    asked = RedriveJob("", fleet.name, JobState.RUNNING, now, "", now, replace(selection, muted_groups=left))
    counts: Counter[str] = Counter()
    order_guard = FifoOrderGuard()
    looked_at = behind_count = 0
    for entry in _index(ports, fleet.name, selection.failure_group):
        looked_at += 1
        if looked_at > PREVIEW_MAX:
            break
        admit_to_group = order_guard.admits(asked, entry)
        counts[entry.failure_group] += admit_to_group
        behind_count += selects(asked, entry) and not admit_to_group
    found = tuple(replace(group, count=counts[group.id]) for group in groups if counts[group.id])
    return Preview(sum(group.count for group in found), found, looked_at <= PREVIEW_MAX, left, behind_count)


def _dead_letters(ports: Ports[JobLedger], fleet: Fleet, selection: Selection, now: float) -> Preview:
    urls = dead_letter_queues(fleet, selection.queue)
    if not urls:
        raise PayloadError(f"from: {_whose(fleet, selection.queue)} has no dead_letter_queue")
    if fleet.redrive.mode is RedriveMode.AUTO:
        raise PayloadError(
            f"from: fleet {fleet.name} has redrive.mode auto, in which dead letters are taken as they come;"
            " redrive the quarantine instead"
        )
    count = waiting_count(ports, urls, now)
    one_queue = len(sources_of(fleet, selection.queue)) == 1
    return Preview(count, (), move_task=one_queue and fleet.redrive.move_tasks and count > MOVE_COUNT_MIN)


def sources_of(fleet: Fleet, queue: str | None, field: str = "queue") -> tuple[QueuePolicy, ...]:
    """The fleet's queues, or the one of that name.

    Raises:
        PayloadError: there is none; the text says what there is, and names the field.
    """
    found = tuple(source for source in fleet.sources if queue is None or source.name == queue_name(queue))
    if not found:
        names = ", ".join(source.name for source in fleet.sources)
        raise PayloadError(f"{field}: fleet {fleet.name} has no queue {str(queue)[:200]}; it has {names}")
    return found


def dead_letter_queues(fleet: Fleet, queue: str | None) -> tuple[str, ...]:
    """URLs of the fleet's dead-letter queues, or of that of one of its queues.

    Raises:
        PayloadError: there is no such queue, or its dead letters lie among those of others.
    """
    chosen = sources_of(fleet, queue)
    urls = tuple(dict.fromkeys(source.dead_letter_queue for source in chosen if source.dead_letter_queue))
    beside = [one.name for one in fleet.sources if one.dead_letter_queue in urls and one not in chosen]
    if beside:
        raise PayloadError(
            f"queue: {chosen[0].name} shares its dead-letter queue with {', '.join(beside)}, and a queue cannot be"
            " searched; leave queue out, or put the dead letters into quarantine and choose there"
        )
    return urls


def _whose(fleet: Fleet, queue: str | None) -> str:
    return f"fleet {fleet.name}" if queue is None else f"queue {queue} of fleet {fleet.name}"


def _messages(ports: Ports[JobLedger], fleet: Fleet, selection: Selection) -> Preview:
    """The preview of messages that are named one by one."""
    counts: Counter[str] = Counter()
    for message_id in selection.message_ids or (selection.message_id or "",):
        entry = ports.ledger.quarantine.quarantined_message(fleet.name, message_id)
        if entry is None:
            raise PayloadError(f"message_id: no message {message_id} is in fleet {fleet.name}'s quarantine")
        _check_order(ports, entry, frozenset(selection.message_ids))
        counts[entry.failure_group] += 1
    groups = (ports.ledger.failure_groups.failure_group(fleet.name, group_id) for group_id in counts)
    return Preview(counts.total(), tuple(replace(group, count=counts[group.id]) for group in groups if group))


def _index(ports: Ports[JobLedger], fleet: str, failure_group: str | None) -> Iterator[QuarantineEntry]:
    after: str | None = None
    while True:
        page, after = ports.ledger.quarantine.quarantined(fleet, failure_group, PAGE, after)
        yield from page
        if after is None:
            return


@dataclass(frozen=True, slots=True)
class Target:
    """The queue that all of a job's messages go to, whichever they came from, as the operator asked."""

    fleet: str
    queue: QueuePolicy
    named: bool = False  # by its own name, not as the only queue of its fleet


def target_in(fleet: Fleet, queue: str | None) -> Target:
    """The queue of a fleet that an operator names, or its only one.

    Raises:
        PayloadError: there is none of that name, or there are several.
    """
    found = sources_of(fleet, queue, "to_queue")
    if len(found) > 1:
        names = ", ".join(source.name for source in found)
        raise PayloadError(f"to_queue: is required, since fleet {fleet.name} has several queues: {names}")
    return Target(fleet.name, found[0], named=queue is not None)


def _check_order(ports: Ports[JobLedger], entry: QuarantineEntry, along: frozenset[str]) -> None:
    """On FIFO queues one message may not be sent before an earlier one of its message group that is not sent along."""
    if entry.message_group is None:
        return
    for other in _index(ports, entry.fleet, entry.failure_group):
        if other.message_id == entry.message_id:
            return
        elsewhere = other.source and entry.source and queue_name(other.source) != queue_name(entry.source)
        if other.message_group == entry.message_group and other.message_id not in along and not elsewhere:
            raise PayloadError(
                f"{'message_ids' if along else 'message_id'}: {entry.message_id} would overtake {other.message_id}"
                f" of its FIFO message group; name that one too, or redrive failure_group {entry.failure_group} instead"
            )
