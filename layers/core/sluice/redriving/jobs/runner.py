"""Redrive jobs at work: at an operator's request, messages go back to their queue, watched, stopped, resumed.

A job lives in the ledger, so that any invocation can take it up where another left it; the fleet's chain (`jobs.chain`)
has one at work at a time. Each step sends one batch (`sending`), removes what was sent, and writes the job; a crash
between leaves counts that are one batch low, and nothing else.

* Canary: at most `canary_count` of the oldest of each failure group. Then a wait as long as a failure needs to come
  back (`canary_wait_s`; by default what a message waits and is worked on at most: target wait and one visibility
  timeout).
* Ramp: the rest in the order of the index, at the job's rate. What comes back is noted on the job by `dead_letters`,
  from another invocation: a job for one failure group stops at once, a job for all leaves that group out.
* What was quarantined after the job was asked for is not part of it: a message that fails again cannot go round.
* FIFO: a narrowed job sends of each message group what is selected up to the first that is not.
* From the dead-letter queue itself (manual mode, `dlq_loading`) canaries are the first few received; the job goes on if
  the queue then holds no more than was left there. Where much is left and SQS's own move task would be faster than
  this job was, that moves the rest (`MOVE`, `move_task`).
"""

from collections.abc import Callable, Sequence
from dataclasses import field
from functools import partial

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import JobPhase, JobState, QuarantineEntry, RedriveJob
from sluice.ports.aws_services import MOVE_MAX_PER_S, QueueFacts
from sluice.ports.errors import ConflictError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.jobs.dlq_loading import DeadLetterLoader
from sluice.redriving.jobs.lifecycle import PAGE, update_job
from sluice.redriving.jobs.move_task import end_move, start_move, watch_move, with_move_ended
from sluice.redriving.jobs.rules import (
    FifoOrderGuard,
    SendReport,
    batch_limit,
    finished,
    folded,
    move_task_is_faster,
    progressed,
)
from sluice.redriving.jobs.sending import JobSender
from sluice.redriving.source_queues import QueueRoute

CANARY_WAIT_MAX_S = 900.0  # of the default; for a longer wait the fleet's document has `canary_wait_s`
STEP_MARGIN_S = 10.0  # no further batch is begun within a step so near to the invocation's end
# Loads so small that they measure the calls and not the messages say nothing of a pace.
PACE_COUNT_MIN = 50


@dataclass(slots=True)
class Runner:
    """One invocation at work on the jobs of one fleet.

    Attributes:
        to: the fleet's queue, of several a FIFO one if there is any; or the one that the job names in its place.
        name: the invocation.
        until: when this process is surely gone.
        routes: the fleet's queues, as far as the job is about them; empty: it has only the one.
    """

    ports: Ports[RedriverLedger]
    fleet: Fleet
    to: QueueFacts
    name: str
    until: float
    now: Callable[[], float]
    routes: tuple[QueueRoute, ...] = ()
    _walked: dict[str, tuple[str | None, FifoOrderGuard]] = field(
        default_factory=dict
    )  # by job: up to where, and what is left
    _sender: JobSender = field(init=False)
    _loader: DeadLetterLoader = field(init=False)

    def __post_init__(self) -> None:
        self._sender = JobSender(self.ports, self.fleet, self.to, self.name, self.until, self.now, self.routes)
        self._loader = DeadLetterLoader(self._sender)

    def step(self, job: RedriveJob) -> RedriveJob:
        """Send one batch of a job and write how it stands. The job is due (`next_at`), and we alone are at it.

        Raises:
            PortError: the job stands as it did; what was sent is sent.
        """
        phase = job.progress.phase
        if phase is JobPhase.MOVE:
            worked = watch_move(self.ports, self._only_queue(), job, self.now)
        elif job.selection.from_dead_letters:
            worked = self._from_dead_letters(job)
        elif job.selection.message_id is not None:
            entry = self.ports.ledger.quarantine.quarantined_message(self.fleet.name, job.selection.message_id)
            worked = finished(folded(job, self._sender.send_entries(job, [entry] if entry else [])), self.now())
        elif job.selection.message_ids:
            worked = self._listed(job)
        elif phase is JobPhase.CANARY:
            worked = self._canary(job)
        else:
            worked = self._ramp(job)
        return self._written(job, replace(worked, updated_at=self.now()))

    # ------------------------------------------------------------- phases

    def _canary(self, job: RedriveJob) -> RedriveJob:
        """Send the oldest few of the next failure group; after the last group, begin the wait."""
        groups = sorted(
            group.id
            for group in self.ports.ledger.failure_groups.failure_groups(self.fleet.name)
            if group.count > 0
            and job.selection.failure_group in {None, group.id}
            and group.id not in job.selection.muted_groups
            and group.id > (job.progress.cursor or "")
        )
        if not groups:
            return self._watch(job)
        report, after, order_guard = SendReport(), None, FifoOrderGuard()
        while not report.stopped and not report.sent_count:  # a canary that was not sent shows nothing
            page, after = self.ports.ledger.quarantine.quarantined(
                self.fleet.name, groups[0], self._canary_count(job), after
            )
            report += self._sender.send_entries(job, page, order_guard)
            if after is None or self.now() > self.until - STEP_MARGIN_S:
                break
        job = progressed(folded(job, report), cursor=groups[0])
        return finished(job, self.now()) if job.progress.processed_count >= job.progress.selected_count else job

    def _canary_count(self, job: RedriveJob) -> int:
        return min(self.fleet.redrive.canary_count, batch_limit(job, self.to))

    def _step_limit(self, job: RedriveJob) -> int:
        return self._canary_count(job) if job.progress.phase is JobPhase.CANARY else batch_limit(job, self.to)

    def _watch(self, job: RedriveJob) -> RedriveJob:
        """The canaries are sent: wait as long as a failure needs to come back, unless nothing is left to send."""
        progress = job.progress
        if progress.processed_count >= progress.selected_count:
            return finished(job, self.now())
        wait_s = self.fleet.redrive.canary_wait_s
        if wait_s is None:
            longest_s = max(route.fleet.target_wait_s + route.to.visibility_s for route in self._sender.routes_of(job))
            wait_s = min(CANARY_WAIT_MAX_S, longest_s)
        if not progress.sent_count:
            wait_s = 0.0
        next_at = max(job.pacing.next_at, self.now() + wait_s)
        listed = bool(job.selection.message_ids)
        ramp = progressed(job, phase=JobPhase.RAMP, cursor=progress.cursor if listed else None)
        ramp = replace(ramp, pacing=replace(job.pacing, next_at=next_at))
        if job.selection.from_dead_letters or listed:
            return ramp
        # The ramp walks through the whole index, and finds what the canaries left there once more.
        return progressed(ramp, failed_count=0, doubtful_count=0)

    def _ramp(self, job: RedriveJob) -> RedriveJob:
        """Send the next page of the index."""
        page, cursor = self.ports.ledger.quarantine.quarantined(
            self.fleet.name, job.selection.failure_group, batch_limit(job, self.to), job.progress.cursor
        )
        order_guard = self._order_guard_before(job, page)
        job = progressed(folded(job, self._sender.send_entries(job, page, order_guard)), cursor=cursor)
        self._walked[job.id] = (cursor, order_guard)
        return finished(job, self.now()) if cursor is None else job

    def _order_guard_before(self, job: RedriveJob, page: Sequence[QuarantineEntry]) -> FifoOrderGuard:
        """What is blocked where a FIFO job's walk goes on: as remembered, or found by walking there again."""
        cursor = job.progress.cursor
        if cursor is None:
            return FifoOrderGuard()
        walked_to, order_guard = self._walked.get(job.id, (None, FifoOrderGuard()))
        if not self.to.fifo or not page or cursor == walked_to:
            return FifoOrderGuard(set(order_guard.blocked_groups))  # a copy, since a step that fails is taken again
        order_guard, after = FifoOrderGuard(), None
        while True:
            entries, after = self.ports.ledger.quarantine.quarantined(
                self.fleet.name, job.selection.failure_group, PAGE, after
            )
            for entry in entries:
                if entry.message_id == page[0].message_id:
                    return order_guard
                order_guard.admits(job, entry)
            if after is None:
                return order_guard

    def _listed(self, job: RedriveJob) -> RedriveJob:
        """Send the next of the messages that the job lists; the cursor counts those that were gone through."""
        message_ids = job.selection.message_ids
        begin = int(job.progress.cursor or 0)
        end = begin + self._step_limit(job)
        found = (
            self.ports.ledger.quarantine.quarantined_message(self.fleet.name, message_id)
            for message_id in message_ids[begin:end]
        )
        report = self._sender.send_entries(job, [entry for entry in found if entry])
        job = progressed(folded(job, report), cursor=str(end))
        if job.state is not JobState.RUNNING:
            return job
        if end >= len(message_ids):
            return finished(job, self.now())
        return self._watch(job) if job.progress.phase is JobPhase.CANARY else job

    def _from_dead_letters(self, job: RedriveJob) -> RedriveJob:
        """Send the next messages of the dead-letter queue itself, or of several."""
        progress = job.progress
        if progress.phase is JobPhase.RAMP and progress.cursor is None:
            # A queue cannot be searched for the canaries. But if it holds more than what is left, some came back.
            counts = [self.ports.queue.read(url, self.now()).visible for url in self._loader.queues()]
            if sum(visible.value for visible in counts if visible) > progress.selected_count - progress.sent_count:
                note = "Stopped: the dead-letter queue holds more than was left there, so messages still fail."
                return replace(job, state=JobState.STOPPED, note=note)
            job = progressed(job, cursor="watched")
        if self._is_one_queue() and move_task_is_faster(job, self.fleet.redrive, MOVE_MAX_PER_S):
            return start_move(self.ports, self._only_queue(), self.to, job, self.now)
        began_at = self.now()
        loaded = self._loader.load(job, self._step_limit(job))
        job = folded(job, loaded.report)
        if job.state is not JobState.RUNNING:
            return job
        if not loaded.received_count or job.progress.processed_count >= job.progress.selected_count:
            return finished(job, self.now())
        if loaded.report.processed_count >= PACE_COUNT_MIN:
            measured_per_s = loaded.report.processed_count / max(self.now() - began_at, 1e-3)
            job = replace(job, pacing=replace(job.pacing, measured_per_s=measured_per_s))
        return self._watch(job) if job.progress.phase is JobPhase.CANARY else job

    def _is_one_queue(self) -> bool:
        """Whether all that is in the job's dead-letter queue came from one queue of the fleet, as far as known."""
        return not self.routes or (len(self.routes) == 1 and not self.routes[0].others)

    def _only_queue(self) -> str:
        """The URL of the dead-letter queue that a move task takes from."""
        (url,) = self._loader.queues()
        return url

    # ------------------------------------------------------------- the record

    def _written(self, before: RedriveJob, job: RedriveJob) -> RedriveJob:
        """Write a job after a step, keeping what others wrote meanwhile: operators' actions, and returns."""
        try:
            return self.ports.ledger.jobs.keep_job(job)
        except ConflictError:
            pass
        written = update_job(self.ports, self.fleet.name, job.id, partial(self._merged, before, job))
        if written is None:
            raise ConflictError(f"job {job.id} of fleet {self.fleet.name} is no longer on record")
        if written.move is None or written.state is JobState.RUNNING:
            return written
        # This very step has started a move task, of which they could not know.
        moved_count = end_move(self.ports, self.fleet, written)
        ended = update_job(self.ports, self.fleet.name, job.id, lambda there: with_move_ended(there, moved_count))
        return ended or written

    def _merged(self, before: RedriveJob, job: RedriveJob, there: RedriveJob) -> RedriveJob:
        """A job after our step (`before` it, and after), and what others wrote of it meanwhile, as one."""
        ours = progressed(
            replace(job, version=there.version, actions=there.actions),
            returned_count=max(job.progress.returned_count, there.progress.returned_count),
            stopped_groups=tuple(sorted({*job.progress.stopped_groups, *there.progress.stopped_groups})),
        )
        if there.state is JobState.RUNNING:
            return ours
        ours = replace(ours, state=there.state, note=there.note)
        if before.progress.phase is not JobPhase.MOVE:
            return ours
        # Whoever acted has ended the move task that was on record, and has counted what it moved.
        return progressed(replace(ours, move=None), phase=there.progress.phase, sent_count=there.progress.sent_count)
