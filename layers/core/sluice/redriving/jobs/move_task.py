"""SQS's own move task, where that brings the rest of a redrive job back faster: begun, watched, ended.

It knows neither stamps nor marks, so that it stops when the dead-letter queue fills again. It is used for one
dead-letter queue of one queue alone: it would move to one destination, or trust every message's source.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
"""

from collections.abc import Callable

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.redriving import JobPhase, JobState, MoveTask, RedriveJob
from sluice.ports.aws_services import MOVE_MAX_PER_S, QueueFacts
from sluice.ports.stack import Ports
from sluice.redriving.jobs.rules import finished

# A move task takes seconds to get going, and tells of its progress as slowly.
MOVE_CHECK_S = 10.0


def start_move(ports: Ports[object], url: str, to: QueueFacts, job: RedriveJob, now: Callable[[], float]) -> RedriveJob:
    """Let SQS move the rest.

    A task that runs already is one of ours, whose handle a crash has lost, or the console's: either way it is
    watched, and another is not begun.
    """
    task = _task(ports, url)
    rate_per_s = max(1, min(MOVE_MAX_PER_S, int(job.rate_per_s)))
    handle = task.handle if task and task.running else ports.queue.start_move(url, to.arn, rate_per_s)
    note = f"SQS's own move task moves the rest, at most {rate_per_s} a second."
    return replace(job, phase=JobPhase.MOVE, move=handle, note=note, next_at=now() + MOVE_CHECK_S)


def watch_move(ports: Ports[object], url: str, job: RedriveJob, now: Callable[[], float]) -> RedriveJob:
    """How SQS's move stands; it is stopped when the dead-letter queue fills again."""
    task = _task(ports, url)
    visible = ports.queue.read(url, now()).visible
    left_count = int(visible.value) if visible else None
    if task is None or not task.running:
        moved_count = task.moved_count if task else 0
        job = replace(job, sent_count=job.sent_count + moved_count, move=None, left_count=left_count)
        if task and task.problem:
            return replace(job, state=JobState.STOPPED, note=f"Stopped: SQS's move task failed: {task.problem}")
        if task and task.cancelled:
            return replace(job, state=JobState.STOPPED, note="Stopped: somebody ended SQS's move task.")
        return finished(replace(job, note="SQS's own move task moved the rest."), now())
    filling = left_count is not None and job.left_count is not None and left_count > job.left_count
    if filling:
        if task.handle:
            ports.queue.cancel_move(task.handle)
        note = "Stopped: the dead-letter queue fills again, so messages fail still."
        return replace(job, state=JobState.STOPPED, note=note, sent_count=job.sent_count + task.moved_count)
    return replace(job, left_count=left_count, next_at=now() + MOVE_CHECK_S)


def _task(ports: Ports[object], url: str) -> MoveTask | None:
    tasks = ports.queue.moves(url)
    return tasks[0] if tasks else None


def end_move(ports: Ports[object], fleet: Fleet, job: RedriveJob) -> int:
    """End the move task of a job; how many messages it had moved, by SQS's own count."""
    assert job.move is not None, "who ends it has seen it"
    ports.queue.cancel_move(job.move)
    urls = {
        source.dead_letter_queue
        for source in fleet.sources
        if source.dead_letter_queue and job.queue in {None, source.name}
    }
    # A move is begun out of one dead-letter queue; that the fleet has had more since says nothing of what was moved.
    tasks = ports.queue.moves(*urls) if len(urls) == 1 else ()
    return tasks[0].moved_count if tasks else 0


def with_move_ended(job: RedriveJob, moved_count: int) -> RedriveJob:
    """A job whose move task is over. SQS knows no pause: the job goes on by itself, or begins another task."""
    if job.phase is not JobPhase.MOVE:
        return job
    return replace(job, phase=JobPhase.RAMP, move=None, left_count=None, sent_count=job.sent_count + moved_count)
