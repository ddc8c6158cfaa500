"""The Jobs port on DynamoDB."""

from sluice.aws.ledger.keys import PAST_ALL, RUNNING_JOBS, key, running_job_key, ttl
from sluice.aws.ledger.records import JOB, RUNNING_JOB, conflict, list_all, one, versioned
from sluice.aws.table import Table, text, typed_all
from sluice.model.redrive_jobs import RedriveJob
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

    def running_jobs(self, fleet: str | None = None) -> tuple[tuple[str, str], ...]:
        """Fleet and id of every job that is running or watched."""
        prefix = "" if fleet is None else f"{fleet}#"
        items = self._table.query(RUNNING_JOBS, prefix or " ", f"{prefix}{PAST_ALL}")
        found = (text(item, "sk").partition("#") for item in items)
        return tuple((owner, job_id) for owner, _, job_id in found)

    def keep_job(self, job: RedriveJob) -> RedriveJob:
        """Write a job if its version is still the ledger's, and its place in the index of those that are at work."""
        sk, until = f"job#{job.id}", job.updated_at + JOBS_KEPT_S
        written, item, condition, values = versioned(JOB, sk, job, until)
        place = running_job_key(job.fleet, job.id)
        if job.state.is_at_work:
            index = self._table.putting(place | typed_all({"ttl": ttl(until), **RUNNING_JOB.written}))
        else:
            index = self._table.deleting(place)
        if self._table.transact([self._table.putting(item, condition, values), index]):
            raise conflict(job, sk)
        return written
