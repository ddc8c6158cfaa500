"""SQS's own message move task, where it brings the rest of a redrive job back faster: started, watched, ended.

A move task stamps nothing and knows no claims, so that what it moved is not known when it comes back. When the
dead-letter queue fills again, by whatever, the task is ended, and the job goes on message by message, canaries first.
So it does where SQS refuses the task, or the task fails: a move task is an optimisation, and no job depends on it. The
job's record says so. It is used for one dead-letter queue that serves one queue: it would move to one destination, or
to each message's own source.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
"""

from collections.abc import Callable

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.redrive_jobs import ActiveMove, JobAction, JobPhase, JobState, MoveTask, RedriveJob
from sluice.ports.aws_services import MOVE_MAX_PER_S, QueueFacts
from sluice.ports.errors import PortError, TryLaterError
from sluice.ports.stack import Ports
from sluice.redriving.jobs.returns import waiting_count
from sluice.redriving.jobs.rules import ACTIONS_KEPT, progressed
from sluice.wording import count, rate

# A move task takes seconds to begin, and its counts are seconds old.
MOVE_CHECK_S = 10.0
RETRY_S = 60.0  # for which SQS is asked to start a task, if it does not answer


def start_move(ports: Ports[object], url: str, to: QueueFacts, job: RedriveJob, now: Callable[[], float]) -> RedriveJob:
    """Let SQS move the rest; where SQS refuses that, the job goes on message by message.

    A task that runs already is one of ours, whose handle was lost in a crash, or one of the SQS console. In both cases
    it is watched, and no other is started. Where SQS does not answer, it is asked again for RETRY_S: the task may have
    been started.
    """
    rate_per_s = max(1, min(MOVE_MAX_PER_S, int(job.pacing.rate_per_s)))
    began_at = now()
    since = began_at if job.progress.moved_since is None else job.progress.moved_since
    try:
        task = _task(ports, url)
        handle = task.handle if task and task.running else ports.queue.start_move(url, to.arn, rate_per_s)
    except PortError as error:
        if isinstance(error, TryLaterError) and began_at - since < RETRY_S:
            return progressed(_check_later(job, now), moved_since=since)
        return without_move(job, f"SQS did not start its own move task: {error}", now())
    moving = replace(
        job, move=ActiveMove(handle), note=f"SQS's own move task moves the rest, at most {rate(rate_per_s)}."
    )
    return progressed(_check_later(moving, now), phase=JobPhase.MOVE, moved_since=since)


def without_move(job: RedriveJob, why: str, at: float, phase: JobPhase = JobPhase.RAMP) -> RedriveJob:
    """A job that goes on message by message, since there is no move task for it; its record says why."""
    actions = (*job.actions, JobAction(at, "Sluice", f"sends message by message from here on. {why}"))[-ACTIONS_KEPT:]
    plain = replace(job, move=None, note=f"The rest is sent message by message. {why}.", actions=actions)
    return progressed(plain, phase=phase, sends_singly=True)


def watch_move(ports: Ports[object], url: str, job: RedriveJob, now: Callable[[], float]) -> RedriveJob:
    """How SQS's move task stands; it is ended when the dead-letter queue fills again.

    Returns:
        The job, without a `move` once the task is over, and in another phase if some messages are left.

    Raises:
        PortError: SQS does not answer.
    """
    task = _task(ports, url)
    if task is None or not task.running:
        moved_count = task.moved_count if task else 0
        job = replace(_moved(job, moved_count), move=None)
        if task and task.problem:
            return without_move(job, f"SQS's own move task failed: {task.problem}", now())
        if task and task.cancelled:
            return replace(job, state=JobState.STOPPED, note="Stopped: SQS's move task was cancelled.")
        over = replace(job, note=f"SQS's own move task moved {count(moved_count, 'message')}.")
        left = over.progress.processed_count < over.progress.selected_count
        return progressed(over, phase=JobPhase.RAMP if left else JobPhase.MOVE, sends_singly=True)
    in_queue_count = waiting_count(ports, (url,), now())
    before_count = job.move.waiting_count if job.move else None
    if before_count is not None and in_queue_count > before_count:
        if task.handle:
            ports.queue.cancel_move(task.handle)
        why = "The dead-letter queue filled again while SQS's own move task ran, which stamps nothing"
        single = without_move(_moved(job, task.moved_count), why, now(), JobPhase.CANARY)
        return progressed(single, looked=False)
    handle = job.move.handle if job.move else None
    return _check_later(replace(job, move=ActiveMove(handle, in_queue_count)), now)


def _moved(job: RedriveJob, moved_count: int) -> RedriveJob:
    progress = job.progress
    return progressed(job, sent_count=progress.sent_count + moved_count, moved_count=progress.moved_count + moved_count)


def _check_later(job: RedriveJob, now: Callable[[], float]) -> RedriveJob:
    return replace(job, pacing=replace(job.pacing, next_at=now() + MOVE_CHECK_S))


def _task(ports: Ports[object], url: str) -> MoveTask | None:
    tasks = ports.queue.moves(url)
    return tasks[0] if tasks else None


def end_move(ports: Ports[object], fleet: Fleet, job: RedriveJob) -> int:
    """End the move task of a job; how many messages it had moved, by SQS's own count."""
    handle = job.move.handle if job.move else None
    assert handle is not None, "whoever ends a move task has read its handle"
    ports.queue.cancel_move(handle)
    urls = {
        source.dead_letter_queue
        for source in fleet.sources
        if source.dead_letter_queue and job.selection.queue in {None, source.name}
    }
    # A move is begun out of one dead-letter queue; that the fleet has had more since says nothing of what was moved.
    tasks = ports.queue.moves(*urls) if len(urls) == 1 else ()
    return tasks[0].moved_count if tasks else 0


def with_move_ended(job: RedriveJob, moved_count: int) -> RedriveJob:
    """A job whose move task is over: it goes on by itself, or starts another task, since SQS knows no pause."""
    if job.progress.phase is not JobPhase.MOVE:
        return job
    return progressed(replace(_moved(job, moved_count), move=None), phase=JobPhase.RAMP)
