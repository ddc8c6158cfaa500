"""The Jobs port on DynamoDB."""

from sluice.aws.ledger.keys import key
from sluice.aws.ledger.records import JOB, keep, list_all, one
from sluice.aws.table import Table
from sluice.model.redriving import RedriveJob
from sluice.ports.ledger.jobs import JOBS_KEPT_S


class DynamoJobs:
    """The Jobs port."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def job(self, fleet: str, job_id: str) -> RedriveJob | None:
        """A redrive job."""
        return one(JOB, self._table.get(key(fleet, f"job#{job_id}")))

    def jobs(self, fleet: str) -> tuple[RedriveJob, ...]:
        """Every redrive job on record, most recent first."""
        jobs = list_all(self._table, JOB, fleet, "job#")
        return tuple(sorted(jobs, key=lambda job: (-job.requested_at, job.id)))

    def keep_job(self, job: RedriveJob) -> RedriveJob:
        """Write a job if its version is still the ledger's."""
        return keep(self._table, JOB, f"job#{job.id}", job, until=job.updated_at + JOBS_KEPT_S)
