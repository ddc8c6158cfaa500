"""A fleet's running redrive jobs as a chain: a slice of work on them, and when the next one is due.

    an operator opens or resumes a job --> the chain `jobs/<fleet>` is made, or brought forward
    a step of the chain                --> a slice: whichever job is due first sends a batch, for SLICE_S or until
                                           none is due (canary wait, rate, the next look at a move task)
    none is running                    --> the chain ends

Nothing waits within a slice. The chain has one worker at a time (`sluice.chains`), so that a job needs no lease of its
own. While a slice goes on the running jobs are read again, so that what an operator opens or resumes beside another
job begins with the next batch.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import field

from sluice.chains import RETRY_S
from sluice.model.chain import Next
from sluice.model.frozen import dataclass
from sluice.model.redrive_jobs import RedriveJob
from sluice.ports.errors import PortError
from sluice.ports.ledger.jobs import Jobs
from sluice.redriving.jobs.runner import Runner

KIND = "jobs"
SLICE_S = 20.0  # of a function's 60 s: what is left is for the batch at which the slice ends
READ_AGAIN_S = 2.0


def chain_id(fleet: str) -> str:
    """The chain of a fleet's redrive jobs."""
    return f"{KIND}/{fleet}"


def fleet_of(chain: str) -> str:
    """The fleet whose jobs a chain is about."""
    return chain.removeprefix(f"{KIND}/")


@dataclass(slots=True)
class Slice:
    """One slice of work on a fleet's running jobs.

    Attributes:
        jobs: the ledger's.
        fleet: the fleet's name.
        runner: makes who works on a job; may raise PayloadError and PortError.
        now: the time, in epoch seconds.
        failed: takes each job that cannot go on now. It never stops the others, and is tried again after RETRY_S.
        retry_at: for jobs that could not go on, when they are tried again, in epoch seconds.
        worked: every job that was worked on, as it was before and as it is.
    """

    jobs: Jobs
    fleet: str
    runner: Callable[[RedriveJob], Runner]
    now: Callable[[], float]
    failed: Callable[[RedriveJob, Exception], None]
    retry_at: dict[str, float] = field(default_factory=dict)
    worked: dict[str, tuple[RedriveJob, RedriveJob]] = field(default_factory=dict)
    _runners: dict[str, Runner] = field(default_factory=dict)
    _running: dict[str, RedriveJob] = field(default_factory=dict)

    def work(self, stop_at: float) -> Next | None:
        """Work on the jobs in turn, whichever is due first, until a time or until none is due.

        Returns:
            When the next slice is due; None: no job is running.

        Raises:
            PortError: the running jobs could not be read, and nothing was done.
        """
        self._read()
        read_at = self.now()
        while self._running and self.now() < stop_at:
            if self.now() >= read_at + READ_AGAIN_S:
                with suppress(PortError):  # then it goes on with what it knows
                    self._read()
                read_at = self.now()
            job = min(self._running.values(), key=lambda job: (self._due_at(job), job.id), default=None)
            if job is None or self._due_at(job) > self.now():
                break
            self._step(job)
        if not self._running:
            return None
        self.retry_at = {job_id: at for job_id, at in self.retry_at.items() if job_id in self._running}
        return Next(min(map(self._due_at, self._running.values())), data_of(self.retry_at))

    def _read(self) -> None:
        """The running jobs, as they are on record now."""
        jobs = [self.jobs.job(fleet, job_id) for fleet, job_id in self.jobs.running_jobs(self.fleet)]
        self._running = {job.id: job for job in jobs if job is not None and job.state.is_at_work}

    def _due_at(self, job: RedriveJob) -> float:
        return max(job.pacing.next_at, self.retry_at.get(job.id, 0.0))

    def _step(self, job: RedriveJob) -> None:
        """Let one job send a batch."""
        try:
            if job.id not in self._runners:
                self._runners[job.id] = self.runner(job)
            after = self._runners[job.id].step(job)
        except Exception as error:  # one job's trouble, foreseen or not, is not the others'
            self.failed(job, error)
            self.retry_at[job.id] = self.now() + RETRY_S
            return
        self.retry_at.pop(job.id, None)
        before, _ = self.worked.get(job.id, (job, job))
        self.worked[job.id] = (before, after)
        if after.state.is_at_work:
            self._running[job.id] = after
        else:
            del self._running[job.id]


def data_of(retry_at: Mapping[str, float]) -> str:
    """What a chain keeps from one slice to the next: when jobs that could not go on are tried again."""
    return json.dumps({"retry_at": retry_at}, separators=(",", ":")) if retry_at else "{}"


def retries_in(data: str) -> dict[str, float]:
    """What `data_of` has written. What cannot be read is tried again at once."""
    try:
        found = json.loads(data)["retry_at"]
        return {str(job_id): float(at) for job_id, at in found.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
