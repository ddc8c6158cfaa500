"""Redrive jobs."""

from typing import Protocol

from sluice.model.redrive_jobs import RedriveJob

JOBS_KEPT_S = 30 * 86_400.0  # counted from the last change


class Jobs(Protocol):
    """Redrive jobs, and an index of those that are running or watched."""

    def job(self, fleet: str, job_id: str) -> RedriveJob | None:
        """A redrive job, if it was changed in the last JOBS_KEPT_S."""
        ...

    def jobs(self, fleet: str) -> tuple[RedriveJob, ...]:
        """Every redrive job that was changed in the last JOBS_KEPT_S, the last requested first."""
        ...

    def running_jobs(self, fleet: str | None = None) -> tuple[tuple[str, str], ...]:
        """Fleet and id of every job that is running or watched, of one fleet or of all, in their order: one query."""
        ...

    def keep_job(self, job: RedriveJob) -> RedriveJob:
        """Write a job, if the ledger still has the version that it was made from (0: none yet).

        The index of jobs that are running or watched is written with it, all or nothing.

        Returns:
            The job as written, one version on.

        Raises:
            ConflictError: another writer changed it first.
        """
        ...
