"""Redrive jobs for tests, by the names of single fields: each goes to the part of the job that has it."""

from dataclasses import fields
from typing import Any

from sluice.model.frozen import replace
from sluice.model.redrive_jobs import ActiveMove, JobPacing, JobProgress, JobState, RedriveJob, Selection

PARTS: dict[str, type[Any]] = {
    "selection": Selection,
    "progress": JobProgress,
    "pacing": JobPacing,
}
TARGET = {"to": "fleet", "to_queue": "queue"}
MOVE = {"handle", "waiting_count"}


def redrive_job(  # noqa: PLR0917 - as the class's own
    id: str,  # noqa: A002 - the field's name
    fleet: str,
    state: JobState,
    requested_at: float,
    requested_by: str,
    updated_at: float,
    **changes: Any,
) -> RedriveJob:
    """A job with some fields of its own or of its parts changed."""
    return changed_job(RedriveJob(id, fleet, state, requested_at, requested_by, updated_at), **changes)


def changed_job(job: RedriveJob, **changes: Any) -> RedriveJob:
    """A job with some fields of its own or of its parts changed; `to` and `to_queue` are its target's."""
    own = {each.name for each in fields(RedriveJob)}
    for part, kind in PARTS.items():
        names = ({each.name for each in fields(kind)} - own) & changes.keys()
        if names:
            job = replace(job, **{part: replace(getattr(job, part), **{name: changes.pop(name) for name in names})})
    if names := TARGET.keys() & changes.keys():
        job = replace(job, target=replace(job.target, **{TARGET[name]: changes.pop(name) for name in names}))
    if names := MOVE & changes.keys():
        job = replace(job, move=replace(job.move or ActiveMove(), **{name: changes.pop(name) for name in names}))
    return replace(job, **changes)
