"""Redrive jobs on record: what an operator asks for, what it would send, and how it is paused, resumed and stopped.

A job is sent by `runner`, in slices of its fleet's chain (`slices`). Others may write its record meanwhile, so that
each change is made to the record as it is then (`update_job`). The record keeps what operators did to it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from sluice.config.fleet import Fleet, QueuePolicy, RedriveMode
from sluice.model.frozen import dataclass, replace
from sluice.model.payload_error import PayloadError
from sluice.model.redriving import (
    FailureGroup,
    JobAction,
    JobPacing,
    JobPhase,
    JobProgress,
    JobState,
    JobTarget,
    QuarantineEntry,
    RedriveJob,
    Selection,
)
from sluice.ports.errors import ConflictError
from sluice.ports.ledger import JobLedger
from sluice.ports.stack import Ports
from sluice.redriving.failure_groups import queue_name
from sluice.redriving.jobs.move_task import end_move, with_move_ended
from sluice.redriving.jobs.returns import waiting_count
from sluice.redriving.jobs.rules import (
    ACTIONS_KEPT,
    MOVE_COUNT_MIN,
    MOVE_NOTE,
    FifoOrderGuard,
    overlaps,
    selects,
    with_return,
)
from sluice.redriving.message_copy import Origin

UPDATE_TRIES = 10  # as many batches may note a return on one job at the same moment
PAGE = 100  # index entries a read, where all are read
PREVIEW_MAX = 5_000  # entries that a dry run reads: some seconds
ACTIVE_STATES = frozenset({JobState.RUNNING, JobState.PAUSED})  # it sends, or will


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


def create_job(
    ports: Ports[JobLedger], fleet: Fleet, selection: Selection, job: RedriveJob, to: Target | None = None
) -> RedriveJob:
    """Put a job on record: `job` holds who asks and how fast, the selection what for.

    `to` is where all of it goes; without, each message goes to the queue it came from.

    Raises:
        PayloadError: there is nothing to send, it cannot go there, or a job under way sends some of it already.
    """
    sources = sources_of(fleet, selection.queue)
    if to is not None and (odd := [source for source in sources if source.fifo != to.queue.fifo]):
        kind = "FIFO" if odd[0].fifo else "standard"
        raise PayloadError(
            f"{'to_queue' if to.named else 'to'}: must be a {kind} queue, as {odd[0].name} is;"
            f" {to.queue.name} of fleet {to.fleet} is none"
        )
    waiting = [source.name for source in ((to.queue,) if to else sources) if source.paused]
    seen = preview(ports, fleet, selection, job.requested_at)
    selection = _in_order(ports, fleet, selection)
    asked = replace(
        job,
        pacing=_from(job.pacing, job.requested_at),
        selection=replace(selection, muted_groups=seen.muted_groups, again=selection.again or job.selection.again),
        target=JobTarget(
            fleet=to.fleet if to and to.fleet != fleet.name else None,
            queue=to.queue.name if to and to.named else None,
        ),
        progress=JobProgress(
            phase=JobPhase.RAMP if selection.message_id else JobPhase.CANARY, selected_count=seen.count
        ),
        actions=(JobAction(job.requested_at, job.requested_by, "asked for it"),),
        note=" ".join(
            [f"{seen.behind_count} more match, behind messages of their message group that do not: they stay."]
            * bool(seen.behind_count)
            + [paused_note(waiting)] * bool(waiting)
            + [MOVE_NOTE] * (seen.move_task and to is None)
        ),
    )
    if seen.count == 0 and seen.behind_count:
        raise PayloadError(
            f"{_narrowing(selection)}: all {seen.behind_count} that match stand behind messages of their FIFO message"
            " group that do not, and would overtake them; name their failure_group alone, or select those as well"
        )
    if seen.count == 0:
        where = "dead-letter queue" if selection.from_dead_letters else "quarantine"
        what = "nothing of that" if selection.narrows else "nothing"
        raise PayloadError(f"all: {what} is in fleet {fleet.name}'s {where}")
    releases: list[RedriveJob] = []
    for other in ports.ledger.jobs.jobs(fleet.name):
        if other.state in ACTIVE_STATES and overlaps(asked, other):
            if other.release:
                releases.append(other)
                continue
            raise PayloadError(
                f"job {other.id} is sending some of these already"
                f" ({other.progress.sent_count} of {other.progress.selected_count}); wait for it, or stop it"
            )
    for release in releases:
        stop_job(ports, fleet, release.id, job.requested_by, job.requested_at)
    return ports.ledger.jobs.keep_job(asked)


def paused_note(names: Sequence[str]) -> str:
    """What to know of a redrive into queues that are paused."""
    return f"Paused: {', '.join(names)}. What is sent there waits until it is not."


def _from(pacing: JobPacing, at: float) -> JobPacing:
    """The pace of a job that sends nothing before a time, and has nothing to catch up with then."""
    return replace(pacing, next_at=max(pacing.next_at, at))


def _narrowing(selection: Selection) -> str:
    """The fields by which a selection is narrowed, as an error names them."""
    names = ("queue", "cause", "quarantined_from", "quarantined_to", "attribute")
    return ", ".join(name for name in names if getattr(selection, name) is not None)


def stop_job(ports: Ports[JobLedger], fleet: Fleet, job_id: str, by: str, now: float) -> RedriveJob:
    """Stop a job for good at an operator's request: nothing is sent after the load that is under way.

    Raises:
        PayloadError: there is no such job.
    """
    change = _Change(ACTIVE_STATES, JobState.STOPPED, f"Stopped by {by}.")
    return _act(ports, fleet, job_id, JobAction(now, by, "stopped it"), change)


def pause_job(ports: Ports[JobLedger], fleet: Fleet, job_id: str, by: str, now: float) -> RedriveJob:
    """Pause a job until an operator resumes it.

    Raises:
        PayloadError: there is no such job, or it is over.
    """
    change = _Change(frozenset({JobState.RUNNING}), JobState.PAUSED, f"Paused by {by}.", "running can be paused")
    return _act(ports, fleet, job_id, JobAction(now, by, "paused it"), change)


def resume_job(ports: Ports[JobLedger], fleet: Fleet, job_id: str, by: str, now: float) -> RedriveJob:
    """Let a paused job go on where it was.

    Raises:
        PayloadError: there is no such job, or it is not paused.
    """
    change = _Change(frozenset({JobState.PAUSED}), JobState.RUNNING, f"Resumed by {by}.", "paused can be resumed", now)
    return _act(ports, fleet, job_id, JobAction(now, by, "resumed it"), change)


@dataclass(frozen=True, slots=True)
class _Change:
    """What an operator may ask of a job: a change from some states into another."""

    when: frozenset[JobState]
    state: JobState
    note: str
    only: str = ""  # the error of a job in another state; empty: such a job stays as it is, without an error
    from_at: float = 0.0  # epoch seconds: nothing is sent before


def _act(ports: Ports[JobLedger], fleet: Fleet, job_id: str, act: JobAction, change: _Change) -> RedriveJob:
    """Change a job's state at an operator's request, if it is in one of the states for that; returns the job after it.

    Raises:
        PayloadError: there is no such job, or its state is another, and that is to be said.
    """

    def acted(job: RedriveJob) -> RedriveJob:
        if job.state not in change.when:
            if change.only:
                raise PayloadError(f"job_id: job {job_id} is {job.state}: only one that is {change.only}")
            return job
        actions = (*job.actions, act)[-ACTIONS_KEPT:]
        pacing = _from(job.pacing, change.from_at)
        acted = replace(job, state=change.state, note=change.note, updated_at=act.at, actions=actions, pacing=pacing)
        same = job.move is not None and job.move.handle == handle
        return with_move_ended(acted, moved_count if same else 0)

    before = ports.ledger.jobs.job(fleet.name, job_id)
    if before is None:
        raise PayloadError(f"job_id: fleet {fleet.name} has no job {job_id}")
    handle = before.move.handle if before.move and before.state in change.when else None
    moved_count = end_move(ports, fleet, before) if handle else 0
    return update_job(ports, fleet.name, job_id, acted) or before


def update_job(
    ports: Ports[JobLedger], fleet: str, job_id: str, amend: Callable[[RedriveJob], RedriveJob]
) -> RedriveJob | None:
    """Change a job that others write as well: read, change, write, again on conflict; None if there is no such job.

    Raises:
        ConflictError: others wrote it first each time.
    """
    for _ in range(UPDATE_TRIES):
        job = ports.ledger.jobs.job(fleet, job_id)
        if job is None or (amended := amend(job)) == job:
            return job
        try:
            return ports.ledger.jobs.keep_job(amended)
        except ConflictError:
            continue
    raise ConflictError(f"job {job_id} of fleet {fleet}: others wrote it first {UPDATE_TRIES} times")


def report_return(ports: Ports[JobLedger], fleet: str, origin: Origin, message_id: str, now: float) -> None:
    """Note on the redrive job that sent a message, if one did, and on its failure group, that it came back.

    Raises:
        PortError: it is not noted.
    """
    job_id, group_id = origin.job_id, origin.failure_group
    if not (job_id and group_id):
        return
    owner = fleet
    if ports.ledger.jobs.job(fleet, job_id) is None:  # perhaps another fleet's, which sent to this fleet's queue
        owner = next((one for one, at_work in ports.ledger.jobs.running_jobs() if at_work == job_id), fleet)
    cause = f"Message {message_id} came back."
    update_job(ports, owner, job_id, lambda job: with_return(job, group_id, cause, now))
    ports.ledger.failure_groups.note_returned(owner, group_id, job_id)


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


def _in_order(ports: Ports[JobLedger], fleet: Fleet, selection: Selection) -> Selection:
    """Messages that are named one by one, on FIFO queues in the order in which they were quarantined."""
    if not (selection.message_ids and fleet.fifo):
        return selection
    found = (
        ports.ledger.quarantine.quarantined_message(fleet.name, message_id) for message_id in selection.message_ids
    )
    entries = sorted((entry for entry in found if entry), key=lambda entry: (entry.at, entry.message_id))
    return replace(selection, message_ids=tuple(dict.fromkeys(entry.message_id for entry in entries)))
