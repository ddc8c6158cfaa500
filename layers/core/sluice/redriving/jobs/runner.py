"""Redrive jobs at work: on a person's word, messages go back to their queue, watched, stopped, resumed.

A job lives in the ledger, so that any invocation can take it up where another left it. One runner at a time: the
record names it and when it is surely gone. Each step sends one load (`job_sending`), lets go of what was sent, and
writes the job; a crash between leaves counts that are one load low, and nothing else.

* Canary: at most `canary_count` of the oldest of each failure group. Then a wait as long as a failure needs to come
  back (`canary_wait_s`; by default what a message waits and is worked on at most: target wait and one visibility
  timeout).
* Ramp: the rest in the order of the index, at the job's rate. What comes back is noted on the job by `dead_letters`,
  from another invocation: a job for one failure group stops at once, a job for all leaves that group out.
* What was quarantined after the job was asked for is not part of it: a message that fails again cannot go round.
* FIFO: a narrowed job sends of each message group what is selected up to the first that is not.
* From the dead-letter queue itself (manual mode, `job_loading`) canaries are the first few received; the job goes on if
  the queue then holds no more than was left there. Where much is left and SQS's own move task would be faster than
  this job was, that moves the rest (`MOVE`, `job_moving`).
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import field

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import JobPhase, JobState, QuarantineEntry, RedriveJob
from sluice.ports.aws_services import MOVE_MAX_PER_S, QueueFacts
from sluice.ports.errors import ConflictError, PortError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.jobs.dlq_loading import DeadLetterLoader
from sluice.redriving.jobs.lifecycle import PAGE, update_job
from sluice.redriving.jobs.move_task import end_move, start_move, watch_move, with_move_ended
from sluice.redriving.jobs.rules import FifoOrderGuard, batch_limit, finished, move_task_is_faster, processed_count
from sluice.redriving.jobs.sending import JobSender
from sluice.redriving.source_queues import QueueRoute

CANARY_WAIT_MAX_S = 900.0  # of the default: a longer watch is a person's choice, in the fleet's document
LONGEST_SLEEP_S = 20.0  # a longer wait is left to the next tick: an invocation that sleeps is paid for
STEP_MARGIN_S = 10.0  # no further batch is begun within a step so near to the invocation's end
# Loads so small that they measure the calls and not the messages say nothing of a pace.
PACE_COUNT_MIN = 50


@dataclass(slots=True)
class Runner:
    """One invocation at work on the jobs of one fleet.

    Attributes:
        to: the fleet's queue, of several a FIFO one if there is any; or the one that the job names in its place.
        name: the invocation, as the job's record names its runner.
        until: when this process is surely gone.
        ways: the fleet's queues, as far as the job is about them; none: it has the one.
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

    def take(self, job: RedriveJob) -> RedriveJob | None:
        """Become the job's runner; None if it has one, or another was first."""
        now = self.now()
        if job.state is not JobState.RUNNING or (job.runner not in {"", self.name} and job.runner_until > now):
            return None
        try:
            return self.ports.ledger.jobs.keep_job(
                replace(job, runner=self.name, runner_until=self.until, updated_at=now)
            )
        except ConflictError:
            return None

    def give_back(self, job: RedriveJob) -> None:
        """Let the next invocation take the job up at once."""

        def free(there: RedriveJob) -> RedriveJob:
            return replace(there, runner="", runner_until=0.0) if there.runner == self.name else there

        update_job(self.ports, self.fleet.name, job.id, free)

    def step(self, job: RedriveJob) -> RedriveJob:
        """Send one load of a job and write how it stands. It is ours, and due (`next_at`).

        Raises:
            PortError: the job stands as it did; what was sent is sent.
        """
        if job.phase is JobPhase.MOVE:
            worked = watch_move(self.ports, self._one_place(), job, self.now)
        elif job.from_dead_letters:
            worked = self._from_dead_letters(job)
        elif job.message_id is not None:
            entry = self.ports.ledger.quarantine.quarantined_message(self.fleet.name, job.message_id)
            worked = finished(self._sender.send_entries(job, [entry] if entry else []), self.now())
        elif job.message_ids:
            worked = self._listed(job)
        elif job.phase is JobPhase.CANARY:
            worked = self._canary(job)
        else:
            worked = self._ramp(job)
        return self._written(job, replace(worked, updated_at=self.now()))

    # ------------------------------------------------------------- phases

    def _canary(self, job: RedriveJob) -> RedriveJob:
        """The oldest few of the next failure group; after the last group, the wait."""
        groups = sorted(
            group.id
            for group in self.ports.ledger.failure_groups.failure_groups(self.fleet.name)
            if group.count > 0
            and job.failure_group in {None, group.id}
            and group.id not in job.muted_groups
            and group.id > (job.cursor or "")
        )
        if not groups:
            return self._watch(job)
        sent_before, after, order_guard = job.sent_count, None, FifoOrderGuard()
        while job.state is JobState.RUNNING and job.sent_count == sent_before:  # a canary in doubt tells nothing
            page, after = self.ports.ledger.quarantine.quarantined(
                self.fleet.name, groups[0], self._canary_count(job), after
            )
            job = self._sender.send_entries(job, page, order_guard)
            if after is None or self.now() > self.until - STEP_MARGIN_S:
                break
        return replace(job, cursor=groups[0])

    def _canary_count(self, job: RedriveJob) -> int:
        return min(self.fleet.redrive.canary_count, batch_limit(job, self.to))

    def _watch(self, job: RedriveJob) -> RedriveJob:
        """The canaries are sent: wait as long as a failure needs to come back, unless nothing is left to send."""
        if processed_count(job) >= job.selected_count:
            return finished(job, self.now())
        wait_s = self.fleet.redrive.canary_wait_s
        if wait_s is None:
            longest_s = max(route.fleet.target_wait_s + route.to.visibility_s for route in self._sender.routes_of(job))
            wait_s = min(CANARY_WAIT_MAX_S, longest_s)
        if not job.sent_count:
            wait_s = 0.0
        kept = job.cursor if job.message_ids else None
        ramp = replace(job, phase=JobPhase.RAMP, cursor=kept, next_at=max(job.next_at, self.now() + wait_s))
        # The ramp walks through the whole index, and comes to what the canaries left behind once more.
        anew = not job.from_dead_letters and not job.message_ids
        return replace(ramp, failed_count=0, doubtful_count=0) if anew else ramp

    def _ramp(self, job: RedriveJob) -> RedriveJob:
        """The next page of the index."""
        page, cursor = self.ports.ledger.quarantine.quarantined(
            self.fleet.name, job.failure_group, batch_limit(job, self.to), job.cursor
        )
        order_guard = self._order_guard_before(job, page)
        job = replace(self._sender.send_entries(job, page, order_guard), cursor=cursor)
        self._walked[job.id] = (cursor, order_guard)
        return finished(job, self.now()) if cursor is None and job.state is JobState.RUNNING else job

    def _order_guard_before(self, job: RedriveJob, page: Sequence[QuarantineEntry]) -> FifoOrderGuard:
        """What the walk of a FIFO job has left behind so far: as this runner knows, or by walking there again."""
        walked_to, order_guard = self._walked.get(job.id, (None, FifoOrderGuard()))
        if not self.to.fifo or not page or job.cursor is None or job.cursor == walked_to:
            return (
                FifoOrderGuard() if job.cursor is None else FifoOrderGuard(set(order_guard.blocked_groups))
            )  # a step that fails is taken again
        order_guard, after = FifoOrderGuard(), None
        while True:
            entries, after = self.ports.ledger.quarantine.quarantined(self.fleet.name, job.failure_group, PAGE, after)
            for entry in entries:
                if entry.message_id == page[0].message_id:
                    return order_guard
                order_guard.admits(job, entry)
            if after is None:
                return order_guard

    def _listed(self, job: RedriveJob) -> RedriveJob:
        """The next of the messages that the job lists; the cursor counts how many of them were gone through."""
        begun = int(job.cursor or 0)
        limit = self._canary_count(job) if job.phase is JobPhase.CANARY else batch_limit(job, self.to)
        found = (
            self.ports.ledger.quarantine.quarantined_message(self.fleet.name, message_id)
            for message_id in job.message_ids[begun : begun + limit]
        )
        job = self._sender.send_entries(job, [entry for entry in found if entry])
        job = replace(job, cursor=str(begun + limit))
        if job.state is not JobState.RUNNING:
            return job
        if begun + limit >= len(job.message_ids):
            return finished(job, self.now())
        return self._watch(job) if job.phase is JobPhase.CANARY else job

    def _from_dead_letters(self, job: RedriveJob) -> RedriveJob:
        """The next messages of the dead-letter queue itself, or of several."""
        if job.phase is JobPhase.RAMP and job.cursor is None:
            # A queue cannot be searched for the canaries; but if it holds more than what is left, something came.
            counts = [self.ports.queue.read(url, self.now()).visible for url in self._loader.places()]
            if sum(visible.value for visible in counts if visible) > job.selected_count - job.sent_count:
                note = "Stopped: more is in the dead-letter queue than was left there, so messages fail still."
                return replace(job, state=JobState.STOPPED, note=note)
            job = replace(job, cursor="watched")
        if self._is_one_queue() and move_task_is_faster(job, self.fleet.redrive, MOVE_MAX_PER_S):
            return start_move(self.ports, self._one_place(), self.to, job, self.now)
        began_at = self.now()
        before_count = processed_count(job)
        limit = self._canary_count(job) if job.phase is JobPhase.CANARY else batch_limit(job, self.to)
        job, received_count = self._loader.load(job, limit)
        if job.state is not JobState.RUNNING:
            return job
        sent_count = processed_count(job) - before_count
        if not received_count or processed_count(job) >= job.selected_count:
            return finished(job, self.now())
        if sent_count >= PACE_COUNT_MIN:
            job = replace(job, pace_per_s=sent_count / max(self.now() - began_at, 1e-3))
        return self._watch(job) if job.phase is JobPhase.CANARY else job

    def _is_one_queue(self) -> bool:
        """Whether all that is in the job's dead-letter queue came from one queue of the fleet, as far as known."""
        return not self.routes or (len(self.routes) == 1 and not self.routes[0].others)

    def _one_place(self) -> str:
        """The dead-letter queue that a move is out of."""
        (url,) = self._loader.places()
        return url

    # ------------------------------------------------------------- the record

    def _written(self, before: RedriveJob, job: RedriveJob) -> RedriveJob:
        """Write a job after a step, keeping what others wrote meanwhile: a person's word, and returns."""
        try:
            return self.ports.ledger.jobs.keep_job(job)
        except ConflictError:
            pass

        def merged(there: RedriveJob) -> RedriveJob:
            if there.runner != self.name:
                return there  # we were thought gone: it is another's now
            ours = replace(
                job,
                version=there.version,
                actions=there.actions,
                returned_count=max(job.returned_count, there.returned_count),
                stopped_groups=tuple(sorted({*job.stopped_groups, *there.stopped_groups})),
            )
            if there.state is JobState.RUNNING:
                return ours
            ours = replace(ours, state=there.state, note=there.note)
            # Whoever spoke has ended the move task that was on record, and has counted what it moved.
            moved = before.phase is JobPhase.MOVE
            return replace(ours, phase=there.phase, move=None, sent_count=there.sent_count) if moved else ours

        written = update_job(self.ports, self.fleet.name, job.id, merged)
        if written is None:
            raise ConflictError(f"job {job.id} of fleet {self.fleet.name} is no longer on record")
        if written.move is None or written.state is JobState.RUNNING or written.runner != self.name:
            return written
        # This very step has begun a move task, of which they could not know.
        moved_count = end_move(self.ports, self.fleet, written)
        return (
            update_job(self.ports, self.fleet.name, job.id, lambda there: with_move_ended(there, moved_count))
            or written
        )


@dataclass(frozen=True, slots=True)
class Work:
    """A job, and who works on it."""

    runner: Runner
    job: RedriveJob


def run(
    works: Sequence[Work],
    stop_at: float,
    *,
    now: Callable[[], float],
    sleep: Callable[[float], None],
    failed: Callable[[RedriveJob, Exception], None],
) -> tuple[RedriveJob, ...]:
    """Work on jobs in turn, whichever is due first, until a time; how each stands then.

    A job that cannot go on now is left to the next invocation and told to `failed`; it never stops the others.
    """
    under_way = {(work.job.fleet, work.job.id): work for work in works}
    over: list[RedriveJob] = []
    while under_way and now() < stop_at:
        key, work = min(under_way.items(), key=lambda item: (item[1].job.next_at, item[0]))
        wait_s = work.job.next_at - now()
        if wait_s > LONGEST_SLEEP_S or now() + wait_s >= stop_at:
            break
        if wait_s > 0:
            sleep(wait_s)
        try:
            job = work.runner.step(work.job)
        except Exception as error:  # one job's trouble, foreseen or not, is not the others'
            failed(work.job, error)
            over.append(under_way.pop(key).job)
            continue
        under_way[key] = Work(work.runner, job)
        if job.state is not JobState.RUNNING or job.runner != work.runner.name:
            over.append(under_way.pop(key).job)
            if job.state is JobState.PAUSED:  # whoever resumes it shall not have to wait for us to be surely gone
                with suppress(PortError):
                    work.runner.give_back(job)
    for work in under_way.values():
        try:
            work.runner.give_back(work.job)
        except PortError as error:
            failed(work.job, error)
    return (*over, *(work.job for work in under_way.values()))
