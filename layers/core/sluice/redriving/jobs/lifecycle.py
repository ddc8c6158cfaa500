"""Redrive jobs on record: what an operator asks for, and how it is paused, resumed and stopped.

A job is sent by `runner`, in slices of its fleet's chain (`slices`). Others may write its record meanwhile, so that
each change is made to the record as it is then (`update_job`). The record keeps what operators did to it.
"""

from collections.abc import Callable, Sequence

from sluice.config.fleet import Fleet, QueuePolicy
from sluice.model.frozen import dataclass, replace
from sluice.model.payload_error import PayloadError
from sluice.model.redrive_jobs import (
    JobAction,
    JobPacing,
    JobPhase,
    JobProgress,
    JobState,
    JobTarget,
    RedriveJob,
    Selection,
)
from sluice.ports.errors import ConflictError
from sluice.ports.ledger import JobLedger
from sluice.ports.stack import Ports
from sluice.redriving.jobs.move_task import end_move, with_move_ended
from sluice.redriving.jobs.preview import Preview, Target, preview, sources_of
from sluice.redriving.jobs.rules import ACTIONS_KEPT, MOVE_NOTE, overlaps, with_return
from sluice.redriving.message_copy import Origin

UPDATE_TRIES = 10  # as many batches may note a return on one job at the same moment
ACTIVE_STATES = frozenset({JobState.RUNNING, JobState.PAUSED})  # it sends, or will


def create_job(
    ports: Ports[JobLedger], fleet: Fleet, selection: Selection, job: RedriveJob, to: Target | None = None
) -> RedriveJob:
    """Put a job on record: `job` holds who asks and how fast, the selection what for.

    `to` is where all of it goes; without, each message goes to the queue it came from.

    Raises:
        PayloadError: there is nothing to send, it cannot go there, or a job under way sends some of it already.
    """
    sources = sources_of(fleet, selection.queue)
    if to is not None:
        _check_kind(to, sources)
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
    if seen.count == 0:
        raise PayloadError(_nothing_to_send(fleet, selection, seen))
    for release in _overlapping_releases(ports, asked):
        stop_job(ports, fleet, release.id, job.requested_by, job.requested_at)
    return ports.ledger.jobs.keep_job(asked)


def _check_kind(to: Target, sources: Sequence[QueuePolicy]) -> None:
    """Refuse a target that is FIFO where a queue that the messages came from is not, or the reverse."""
    if odd := [source for source in sources if source.fifo != to.queue.fifo]:
        kind = "FIFO" if odd[0].fifo else "standard"
        raise PayloadError(
            f"{'to_queue' if to.named else 'to'}: must be a {kind} queue, as {odd[0].name} is;"
            f" {to.queue.name} of fleet {to.fleet} is none"
        )


def _nothing_to_send(fleet: Fleet, selection: Selection, seen: Preview) -> str:
    """Why a selection holds no message that could be sent."""
    if seen.behind_count:
        return (
            f"{_narrowing(selection)}: all {seen.behind_count} that match stand behind messages of their FIFO message"
            " group that do not, and would overtake them; name their failure_group alone, or select those as well"
        )
    where = "dead-letter queue" if selection.from_dead_letters else "quarantine"
    what = "nothing of that" if selection.narrows else "nothing"
    return f"all: {what} is in fleet {fleet.name}'s {where}"


def _overlapping_releases(ports: Ports[JobLedger], asked: RedriveJob) -> list[RedriveJob]:
    """Automatic releases under way of messages that a job asks for.

    Raises:
        PayloadError: a job of an operator sends some of them already.
    """
    releases: list[RedriveJob] = []
    for other in ports.ledger.jobs.jobs(asked.fleet):
        if other.state in ACTIVE_STATES and overlaps(asked, other):
            if other.release is None:
                raise PayloadError(
                    f"job {other.id} is sending some of these already"
                    f" ({other.progress.sent_count} of {other.progress.selected_count}); wait for it, or stop it"
                )
            releases.append(other)
    return releases


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


def _in_order(ports: Ports[JobLedger], fleet: Fleet, selection: Selection) -> Selection:
    """Messages that are named one by one, on FIFO queues in the order in which they were quarantined."""
    if not (selection.message_ids and fleet.fifo):
        return selection
    found = (
        ports.ledger.quarantine.quarantined_message(fleet.name, message_id) for message_id in selection.message_ids
    )
    entries = sorted((entry for entry in found if entry), key=lambda entry: (entry.at, entry.message_id))
    return replace(selection, message_ids=tuple(dict.fromkeys(entry.message_id for entry in entries)))
