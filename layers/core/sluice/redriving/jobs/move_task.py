"""SQS's own message move task, where it brings the rest of a redrive job back faster: started, watched, ended.

A move task stamps nothing and knows no claims. So it is stopped when the dead-letter queue fills again. It is used for
one dead-letter queue that serves one queue: it would move to one destination, or to each message's own source.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
"""

from collections.abc import Callable

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.redriving import ActiveMove, JobPhase, JobState, MoveTask, RedriveJob
from sluice.ports.aws_services import MOVE_MAX_PER_S, QueueFacts
from sluice.ports.stack import Ports
from sluice.redriving.jobs.rules import finished, progressed
from sluice.wording import rate

# A move task takes seconds to begin, and its counts are seconds old.
MOVE_CHECK_S = 10.0


def start_move(ports: Ports[object], url: str, to: QueueFacts, job: RedriveJob, now: Callable[[], float]) -> RedriveJob:
    """Let SQS move the rest.

    A task that runs already is one of ours, whose handle was lost in a crash, or one of the SQS console. In both cases
    it is watched, and no other is started.

    Raises:
        PortError: SQS does not start it.
    """
    task = _task(ports, url)
    rate_per_s = max(1, min(MOVE_MAX_PER_S, int(job.pacing.rate_per_s)))
    handle = task.handle if task and task.running else ports.queue.start_move(url, to.arn, rate_per_s)
    moving = replace(
        job, move=ActiveMove(handle), note=f"SQS's own move task moves the rest, at most {rate(rate_per_s)}."
    )
    return progressed(_check_later(moving, now), phase=JobPhase.MOVE)


def watch_move(ports: Ports[object], url: str, job: RedriveJob, now: Callable[[], float]) -> RedriveJob:
    """How SQS's move task stands; it is stopped when the dead-letter queue fills again.

    Raises:
        PortError: SQS does not answer.
    """
    task = _task(ports, url)
    visible = ports.queue.read(url, now()).visible
    waiting_count = int(visible.value) if visible else None
    if task is None or not task.running:
        job = replace(_moved(job, task.moved_count if task else 0), move=None)
        if task and task.problem:
            return replace(job, state=JobState.STOPPED, note=f"Stopped: SQS's move task failed: {task.problem}")
        if task and task.cancelled:
            return replace(job, state=JobState.STOPPED, note="Stopped: SQS's move task was cancelled.")
        return finished(replace(job, note="SQS's own move task moved the rest."), now())
    before_count = job.move.waiting_count if job.move else None
    if waiting_count is not None and before_count is not None and waiting_count > before_count:
        if task.handle:
            ports.queue.cancel_move(task.handle)
        note = "Stopped: the dead-letter queue fills again, so messages still fail."
        return replace(_moved(job, task.moved_count), state=JobState.STOPPED, note=note)
    handle = job.move.handle if job.move else None
    return _check_later(replace(job, move=ActiveMove(handle, waiting_count)), now)


def _moved(job: RedriveJob, count: int) -> RedriveJob:
    return progressed(job, sent_count=job.progress.sent_count + count)


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
