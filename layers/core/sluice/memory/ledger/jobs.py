"""The Jobs port in memory."""

from sluice.memory.clock import Clock
from sluice.memory.ledger.versions import check
from sluice.model.frozen import replace
from sluice.model.redrive_jobs import RedriveJob
from sluice.ports.ledger.jobs import JOBS_KEPT_S


class MemoryJobs:
    """The Jobs port: records by fleet and job id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[tuple[str, str], RedriveJob] = {}

    def job(self, fleet: str, job_id: str) -> RedriveJob | None:
        """A redrive job."""
        return next((job for job in self.jobs(fleet) if job.id == job_id), None)

    def jobs(self, fleet: str) -> tuple[RedriveJob, ...]:
        """Every redrive job on record, most recent first."""
        gone_at = self._clock() - JOBS_KEPT_S
        jobs = [job for (owner, _), job in self._jobs.items() if owner == fleet and job.updated_at > gone_at]
        return tuple(sorted(jobs, key=lambda job: (-job.requested_at, job.id)))

    def running_jobs(self, fleet: str | None = None) -> tuple[tuple[str, str], ...]:
        """Fleet and id of every job that is running or watched."""
        owners = {owner for owner, _ in self._jobs if fleet in {None, owner}}
        jobs = [job for owner in owners for job in self.jobs(owner) if job.state.is_at_work]
        return tuple(sorted((job.fleet, job.id) for job in jobs))

    def keep_job(self, job: RedriveJob) -> RedriveJob:
        """Write a job if its version is still the ledger's."""
        there = self.job(job.fleet, job.id)
        check(job.version, there.version if there else 0, f"job {job.id}")
        written = replace(job, version=job.version + 1)
        self._jobs[job.fleet, job.id] = written
        return written
