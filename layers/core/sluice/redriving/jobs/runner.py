"""Redrive jobs at work: messages go back to their queue, watched, stopped, resumed.

An operator asks for a job, or Sluice itself, to release what it held (`release`).
A job lives in the ledger, so that any invocation can take it up where another left it; the fleet's chain (`jobs.chain`)
has one at work at a time. Each step sends one batch (`sending`), removes what was sent, and writes the job; a crash
between leaves counts that are one batch low, and nothing else.

* Canary: at most `canary_count` of the oldest of each failure group. Then a wait as long as a failure needs to come
  back (`canary_wait_s`; by default what a message waits and is worked on at most: target wait and one visibility
  timeout).
* Ramp: the rest in the order of the index, at the job's rate. What comes back is noted on the job by `dead_letters`,
  from another invocation: a job for one failure group stops at once, a job for all leaves that group out.
* Watch: once all is sent, the job is watched for as long as the canaries were, and then done, or it came back.
* In manual mode no invocation takes dead letters. So the queue is searched for the job's own copies (`returns`): after
  the wait for the canaries if it holds more than was left there, and at the end of the watch.
* What was quarantined after the job was asked for is not part of it: a message that fails again cannot go round.
* FIFO: a narrowed job sends of each message group what is selected up to the first that is not.
* From the dead-letter queue itself (manual mode, `dlq_loading`) canaries are the first few received. What others hide
  there is waited for, within bounds. Where much is left and SQS's own move task would be faster than this job was, that
  moves the rest (`MOVE`, `move_task`).
"""

from collections.abc import Callable, Sequence
from dataclasses import field
from functools import partial

from sluice.config.fleet import Fleet, RedriveMode
from sluice.model.frozen import dataclass, replace
from sluice.model.redrive_jobs import JobPhase, JobState, RedriveJob
from sluice.model.redriving import QuarantineEntry
from sluice.ports.aws_services import MOVE_MAX_PER_S, QueueFacts
from sluice.ports.errors import ConflictError, PortError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.jobs.dlq_loading import DeadLetterLoader
from sluice.redriving.jobs.lifecycle import update_job
from sluice.redriving.jobs.move_task import end_move, start_move, watch_move, with_move_ended
from sluice.redriving.jobs.preview import PAGE
from sluice.redriving.jobs.returns import Found, search, waiting_count
from sluice.redriving.jobs.rules import (
    MOVE_COUNT_MIN,
    FifoOrderGuard,
    SendReport,
    batch_limit,
    folded,
    judged,
    move_task_is_faster,
    over_or_put_off,
    progressed,
    sent,
    with_returns_found,
)
from sluice.redriving.jobs.sending import JobSender
from sluice.redriving.source_queues import QueueRoute, by_dead_letter_queue, watch_s
from sluice.wording import count

STEP_MARGIN_S = 10.0  # no further batch is begun within a step so near to the invocation's end
# Loads so small that they measure the calls and not the messages say nothing of a pace.
PACE_COUNT_MIN = 50
# Whoever looks at a dead-letter queue hides its messages, Sluice and the SQS console for some seconds. A job looks
# again so often, and waits for no longer: a visibility timeout may be 12 hours.
HIDDEN_CHECK_S = 5.0
HIDDEN_WAIT_MAX_S = 900.0


@dataclass(frozen=True, slots=True)
class MoveUse:
    """When SQS's own move task is worth it."""

    left_count_min: int = MOVE_COUNT_MIN
    pace_count_min: int = PACE_COUNT_MIN


@dataclass(slots=True)
class Runner:
    """One invocation at work on the jobs of one fleet.

    Attributes:
        to: the fleet's queue, of several a FIFO one if there is any; or the one that the job names in its place.
        name: the invocation.
        until: when this process is surely gone.
        routes: the fleet's queues, as far as the job is about them; empty: it has only the one.
        moves: when SQS's own move task is worth it.
    """

    ports: Ports[RedriverLedger]
    fleet: Fleet
    to: QueueFacts
    name: str
    until: float
    now: Callable[[], float]
    routes: tuple[QueueRoute, ...] = ()
    moves: MoveUse = MoveUse()
    _walked: dict[str, tuple[str | None, FifoOrderGuard]] = field(
        default_factory=dict
    )  # by job: up to where, and what is left
    _sender: JobSender = field(init=False)
    _loader: DeadLetterLoader = field(init=False)

    def __post_init__(self) -> None:
        self._sender = JobSender(self.ports, self.fleet, self.to, self.name, self.until, self.now, self.routes)
        self._loader = DeadLetterLoader(self._sender)

    def step(self, job: RedriveJob) -> RedriveJob:
        """Send one batch of a job, or judge it, and write how it stands. The job is due, and we alone are at it.

        Raises:
            PortError: the job stands as it did; what was sent is sent.
        """
        if job.state is JobState.WATCHING:
            return self._judged(job)
        searched = self._with_canaries_searched(job)
        return self._written(job, replace(self._sent_some(searched), updated_at=self.now()))

    def _sent_some(self, job: RedriveJob) -> RedriveJob:
        """A job after its next batch, if it still runs."""
        phase = job.progress.phase
        if job.state is not JobState.RUNNING or job.held_until(self.now()):
            return job
        if phase is JobPhase.MOVE:
            worked = watch_move(self.ports, self._only_queue(), job, self.now)
            over = worked.move is None and worked.progress.phase is JobPhase.MOVE
            worked = self._all_sent(worked) if over else worked
        elif job.selection.from_dead_letters:
            worked = self._from_dead_letters(job)
        elif job.selection.message_id is not None:
            entry = self.ports.ledger.quarantine.quarantined_message(self.fleet.name, job.selection.message_id)
            worked = self._all_sent(folded(job, self._sender.send_entries(job, [entry] if entry else [])))
        elif job.selection.message_ids:
            worked = self._listed(job)
        elif phase is JobPhase.CANARY:
            worked = self._canary(job)
        else:
            worked = self._ramp(job)
        return worked

    # ------------------------------------------------------------- what came back

    def _watch_s(self, job: RedriveJob) -> float:
        return watch_s(self.fleet.redrive, self._sender.routes_of(job))

    def _all_sent(self, job: RedriveJob) -> RedriveJob:
        return sent(job, self.now(), self._watch_s(job))

    def _dead_letter_queues(self) -> tuple[str, ...]:
        """The URLs of the queues that what the job sent comes back to, where no invocation takes it from there."""
        if self.fleet.redrive.mode is not RedriveMode.MANUAL:
            return ()
        if not self.routes:
            return (self.fleet.dead_letter_queue,) if self.fleet.dead_letter_queue else ()
        return tuple(by_dead_letter_queue(self.routes))

    def _with_canaries_searched(self, job: RedriveJob) -> RedriveJob:
        """A job at its ramp's first step, whose canaries may have come back to a queue that is not taken from."""
        progress, urls = job.progress, self._dead_letter_queues()
        if progress.looked or progress.phase is not JobPhase.RAMP or not (urls and progress.sent_count):
            return job
        job = progressed(job, looked=True)
        if self._watch_s(job) <= 0:  # who watches for no time is not to know
            return job
        if job.selection.from_dead_letters:
            left_count = progress.selected_count - progress.sent_count
            if waiting_count(self.ports, urls, self.now()) <= left_count:
                return job
        return with_returns_found(
            job, search(self.ports, urls, self._sender.routes_of(job), job, self.now).groups, self.now()
        )

    def _judged(self, job: RedriveJob) -> RedriveJob:
        """A job at the end of its watch: done, or it came back. What is hidden then is looked at later."""
        urls = self._dead_letter_queues()
        unread = ""
        try:
            found = search(self.ports, urls, self._sender.routes_of(job), job, self.now)
        except PortError as error:
            found, unread = Found(hidden_count=job.progress.selected_count), f"The queue could not be read: {error}."
        ours = 0 if unread else job.progress.failed_count + job.progress.doubtful_count
        hidden_count = 0 if found.groups else found.hidden_count - ours

        def after(there: RedriveJob) -> RedriveJob:
            if there.state is not JobState.WATCHING:
                return there
            if hidden_count > 0 and (waiting := self._waits_for_hidden(there, hidden_count, unread)):
                return waiting
            note = there.note if there.progress.hidden_since is None else unread or _hidden_note(hidden_count)
            noted = with_returns_found(replace(there, note=note), found.groups, self.now())
            return judged(noted, self.now(), found.possible_count)

        written = update_job(self.ports, self.fleet.name, job.id, after)
        if written is None:
            raise ConflictError(f"job {job.id} of fleet {self.fleet.name} is no longer on record")
        return written

    def _waits_for_hidden(self, job: RedriveJob, hidden_count: int, note: str = "") -> RedriveJob | None:
        """A job that looks again soon, since other readers hide messages; None once it has waited for long enough."""
        now = self.now()
        since = now if job.progress.hidden_since is None else job.progress.hidden_since
        if now - since >= HIDDEN_WAIT_MAX_S:
            return None
        pacing = replace(job.pacing, next_at=now + HIDDEN_CHECK_S)
        note = (
            note or f"Waiting for {count(hidden_count, 'message')} that another reader of the dead-letter queue hides."
        )
        return replace(progressed(job, hidden_since=since), pacing=pacing, note=note, updated_at=now)

    # ------------------------------------------------------------- phases

    def _canary(self, job: RedriveJob) -> RedriveJob:
        """Send the oldest few of the next failure group; after the last group, begin the wait."""
        there = self.ports.ledger.failure_groups.failure_groups(self.fleet.name)
        if job.release and job.progress.cursor is None:
            if not self.fleet.redrive.release_within_s:
                return replace(job, state=JobState.STOPPED, note="Stopped: redrive.release_within_s is 0.")
            held_count = sum(group.count for group in there if group.id == job.selection.failure_group)
            job = progressed(job, selected_count=held_count)
        groups = sorted(
            group.id
            for group in there
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
        return self._all_sent(job) if job.progress.processed_count >= job.progress.selected_count else job

    def _canary_count(self, job: RedriveJob) -> int:
        return min(self.fleet.redrive.canary_count, batch_limit(job, self.to))

    def _step_limit(self, job: RedriveJob) -> int:
        return self._canary_count(job) if job.progress.phase is JobPhase.CANARY else batch_limit(job, self.to)

    def _watch(self, job: RedriveJob) -> RedriveJob:
        """The canaries are sent: wait as long as a failure needs to come back, unless nothing is left to send."""
        progress = job.progress
        if progress.processed_count >= progress.selected_count:
            return self._all_sent(job)
        wait_s = self._watch_s(job) if progress.sent_count else 0.0
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
        return self._all_sent(job) if cursor is None else job

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
            return self._all_sent(job)
        return self._watch(job) if job.progress.phase is JobPhase.CANARY else job

    def _from_dead_letters(self, job: RedriveJob) -> RedriveJob:
        """Send the next messages of the dead-letter queue itself, or of several."""
        if self._is_one_queue() and move_task_is_faster(
            job, self.fleet.redrive, MOVE_MAX_PER_S, self.moves.left_count_min
        ):
            return start_move(self.ports, self._only_queue(), self.to, job, self.now)
        began_at = self.now()
        loaded = self._loader.load(job, self._step_limit(job))
        if loaded.report.sent_count and job.progress.hidden_since is not None:
            job = progressed(replace(job, note=""), hidden_since=None)
        job = folded(job, loaded.report)
        if job.state is not JobState.RUNNING:
            return job
        if job.progress.processed_count >= job.progress.selected_count:
            return self._all_sent(job)
        if not loaded.received_count:
            return self._none_received(job)
        if loaded.report.processed_count >= self.moves.pace_count_min:
            measured_per_s = loaded.report.processed_count / max(self.now() - began_at, 1e-3)
            job = replace(job, pacing=replace(job.pacing, measured_per_s=measured_per_s))
        return self._watch(job) if job.progress.phase is JobPhase.CANARY else job

    def _none_received(self, job: RedriveJob) -> RedriveJob:
        """A job that finds nothing more: it is over, unless other readers hide messages, which show again."""
        ours = job.progress.failed_count + job.progress.doubtful_count  # are hidden as well
        hidden_count = waiting_count(self.ports, self._loader.queues(), self.now()) - ours
        if hidden_count > 0 and (waiting := self._waits_for_hidden(job, hidden_count)):
            return waiting
        note = job.note if job.progress.hidden_since is None else _hidden_note(hidden_count)
        return self._all_sent(replace(job, note=note))

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
        if before.release and there.release and there.release.due_at != before.release.due_at:
            return there  # a message of it came back meanwhile, and it was put off: it begins again
        own_actions = [action for action in job.actions if action not in before.actions]
        ours = progressed(
            replace(
                job,
                version=there.version,
                actions=(*there.actions, *own_actions),
                release=there.release if job.held_until(self.now()) is None else job.release,
            ),
            returned_count=max(job.progress.returned_count, there.progress.returned_count),
            stopped_groups=tuple(sorted({*job.progress.stopped_groups, *there.progress.stopped_groups})),
        )
        if there.state is JobState.RUNNING:
            came_back = ours.state is JobState.DONE and ours.progress.returned_count
            return over_or_put_off(replace(ours, state=JobState.CAME_BACK) if came_back else ours, self.now())
        ours = replace(ours, state=there.state, note=there.note)
        if before.progress.phase is not JobPhase.MOVE:
            return ours
        # Whoever acted has ended the move task that was on record, and has counted what it moved.
        return progressed(replace(ours, move=None), phase=there.progress.phase, sent_count=there.progress.sent_count)


def _hidden_note(hidden_count: int) -> str:
    """What is to be known of messages that were waited for; nothing if none is hidden any longer."""
    if hidden_count <= 0:
        return ""
    verb = "stays" if hidden_count == 1 else "stay"
    return f"{count(hidden_count, 'message')} {verb}, which another reader of the dead-letter queue hides."
