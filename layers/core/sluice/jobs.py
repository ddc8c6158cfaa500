"""Redrive jobs on record: what a person asks for, what it would do, and how it is stopped.

A job is sent by `running`, from any invocation; several may write its record, so that each change is made to the
record as it is then (`amend_job`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sluice.config import Fleet, RedriveMode
from sluice.model import FailureGroup, JobPhase, JobState, Quarantined, RedriveJob
from sluice.ports import ConflictError, Ports
from sluice.redrive import overlap

AMEND_TRIES = 10  # as many batches may note a return on one job at the same moment
PAGE = 100  # index entries a read, where all are looked at


class RequestError(ValueError):
    """A redrive that cannot be done as asked: the text names the field and says what would be right."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a redrive is about; nothing set means the whole quarantine of the fleet."""

    failure_group: str | None = None
    message_id: str | None = None
    from_dead_letters: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What a selection holds now: a dry run's answer."""

    count: int
    groups: tuple[FailureGroup, ...]  # `count` is that of the group, also where one message of it is selected


def preview(ports: Ports, fleet: Fleet, selection: Selection, now: float) -> Preview:
    """Count a selection, without any effect.

    Raises:
        RequestError: it names a group or message that is not in quarantine.
    """
    ledger = ports.ledger
    if selection.from_dead_letters:
        if fleet.dead_letter_queue is None:
            raise RequestError(f"from: fleet {fleet.name} has no dead_letter_queue")
        if fleet.redrive.mode is RedriveMode.AUTO:
            raise RequestError(
                f"from: fleet {fleet.name} has redrive.mode auto, in which dead letters are taken as they come;"
                " redrive the quarantine instead"
            )
        visible = ports.queue.read(fleet.dead_letter_queue, now).visible
        return Preview(int(visible.value) if visible else 0, ())
    if selection.message_id is not None:
        entry = ledger.quarantined_message(fleet.name, selection.message_id)
        if entry is None:
            raise RequestError(f"message_id: no message {selection.message_id} is in fleet {fleet.name}'s quarantine")
        _check_order(ports, entry)
        group = ledger.failure_group(fleet.name, entry.failure_group)
        return Preview(1, (group,) if group else ())
    groups = tuple(group for group in ledger.failure_groups(fleet.name) if group.count > 0)
    if selection.failure_group is not None:
        groups = tuple(group for group in groups if group.id == selection.failure_group)
        if not groups:
            raise RequestError(
                f"failure_group: fleet {fleet.name} has no {selection.failure_group} with messages in quarantine"
            )
    return Preview(sum(group.count for group in groups), groups)


def open_job(ports: Ports, fleet: Fleet, selection: Selection, job: RedriveJob) -> RedriveJob:
    """Put a job on record: `job` holds who asks and how fast, the selection what for.

    Raises:
        RequestError: there is nothing to send, or a job under way sends some of it already.
    """
    seen = preview(ports, fleet, selection, job.requested_at)
    asked = replace(
        job,
        failure_group=selection.failure_group,
        message_id=selection.message_id,
        from_dead_letters=selection.from_dead_letters,
        selected_count=seen.count,
        phase=JobPhase.RAMP if selection.message_id else JobPhase.CANARY,
    )
    if seen.count == 0:
        where = "dead-letter queue" if selection.from_dead_letters else "quarantine"
        raise RequestError(f"all: nothing is in fleet {fleet.name}'s {where}")
    for other in ports.ledger.jobs(fleet.name):
        if other.state is JobState.RUNNING and overlap(asked, other):
            raise RequestError(
                f"job {other.id} is sending some of these already ({other.sent_count} of {other.selected_count});"
                " wait for it, or stop it"
            )
    return ports.ledger.keep_job(asked)


def stop_job(ports: Ports, fleet: Fleet, job_id: str, by: str, now: float) -> RedriveJob:
    """Stop a job, on a person's word: nothing is sent after the batch that is under way.

    Raises:
        RequestError: there is no such job.
    """

    def stopped(job: RedriveJob) -> RedriveJob:
        if job.state is not JobState.RUNNING:
            return job
        return replace(job, state=JobState.STOPPED, note=f"Stopped by {by}.", updated_at=now)

    job = amend_job(ports, fleet.name, job_id, stopped)
    if job is None:
        raise RequestError(f"job_id: fleet {fleet.name} has no job {job_id}")
    return job


def amend_job(ports: Ports, fleet: str, job_id: str, amend: Callable[[RedriveJob], RedriveJob]) -> RedriveJob | None:
    """Change a job that others write as well: read, change, write, again on conflict; None if there is no such job.

    Raises:
        ConflictError: others wrote it first each time.
    """
    for _ in range(AMEND_TRIES):
        job = ports.ledger.job(fleet, job_id)
        if job is None or (amended := amend(job)) == job:
            return job
        try:
            return ports.ledger.keep_job(amended)
        except ConflictError:
            continue
    raise ConflictError(f"job {job_id} of fleet {fleet}: others wrote it first {AMEND_TRIES} times")


def _check_order(ports: Ports, entry: Quarantined) -> None:
    """On FIFO queues one message may not be sent before an earlier one of its message group."""
    after: str | None = None
    while entry.message_group is not None:
        page, after = ports.ledger.quarantined(entry.fleet, entry.failure_group, PAGE, after)
        for other in page:
            if other.message_id == entry.message_id:
                return
            if other.message_group == entry.message_group:
                raise RequestError(
                    f"message_id: {entry.message_id} would overtake {other.message_id} of its FIFO message group;"
                    f" redrive failure_group {entry.failure_group} instead"
                )
        if after is None:
            return
