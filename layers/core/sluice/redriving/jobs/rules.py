"""The rules of a redrive job: what it selects, how fast it sends, when it ends, and what of it came back."""

from collections.abc import Callable, Sequence
from dataclasses import field
from fnmatch import fnmatchcase

from sluice.config.fleet import RedrivePolicy
from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import JobPhase, JobState, QuarantineEntry, RedriveJob
from sluice.redriving.failure_groups import queue_name
from sluice.redriving.message_copy import Destination
from sluice.redriving.verdict import SELECTABLE_LENGTH

# A load: what is claimed, sent, settled and let go of together, so that the calls for the claims are few beside those
# of SQS, which takes ten a call; and all that a crash can leave in doubt. On FIFO queues a doubt holds others up.
BATCH_MAX = 500
FIFO_BATCH_MAX = 10
# Out of a dead-letter queue a load goes in parts, each with a claim of its own, some of them at a time: whoever is done
# with one goes on with the next and waits for nobody, and what a crash can leave in doubt is no more than above.
DLQ_BATCH_MAX = 2_000
# Below it, SQS's own move task would hardly have begun when the job is done.
MOVE_COUNT_MIN = 1_000


# --------------------------------------------------------------------------- the ramp of a job


def batch_limit(job: RedriveJob, to: Destination) -> int:
    """How many messages a job may send in one go: a second's worth at most, and one load."""
    load = FIFO_BATCH_MAX if to.fifo else DLQ_BATCH_MAX if job.from_dead_letters else BATCH_MAX
    return max(1, min(load, int(job.rate_per_s)))


def processed_count(job: RedriveJob) -> int:
    """How many messages a job has dealt with, one way or the other."""
    return job.sent_count + job.failed_count + job.doubtful_count


def move_task_is_faster(job: RedriveJob, policy: RedrivePolicy, move_per_s: float) -> bool:
    """Whether SQS's own move task would bring the rest of a job back faster than the job has done so far.

    It moves everything, at most `move_per_s`, and to one queue: so only where nothing is selected, the canaries have
    been watched, and a full load was timed.
    """
    elsewhere = job.to is not None or job.to_queue is not None
    if elsewhere or not (policy.move_tasks and job.from_dead_letters and job.phase is JobPhase.RAMP):
        return False
    left_count = job.selected_count - processed_count(job)
    pace_per_s = job.pace_per_s or float("inf")
    return left_count >= MOVE_COUNT_MIN and min(job.rate_per_s, move_per_s) > pace_per_s


def selects(job: RedriveJob, entry: QuarantineEntry) -> bool:
    """Whether a quarantined message is part of a job."""
    if entry.at > job.requested_at or entry.failure_group in {*job.stopped_groups, *job.muted_groups}:
        return False
    if job.failure_group not in {None, entry.failure_group} or not _is_of_queue(job, entry):
        return False
    if job.cause is not None and not fnmatchcase(entry.cause.casefold(), job.cause.casefold()):
        return False
    if not (job.quarantined_from or 0.0) <= entry.at < (job.quarantined_to or float("inf")):
        return False
    if job.attribute is None:
        return True
    name, text = job.attribute
    return (name, text[:SELECTABLE_LENGTH]) in entry.attributes


def _is_of_queue(job: RedriveJob, entry: QuarantineEntry) -> bool:
    """Whether a quarantined message came from the queue that a job is about, as far as anything tells."""
    return job.queue is None or queue_name(entry.source or "") == job.queue


@dataclass(slots=True)
class FifoOrderGuard:
    """What a walk through the index, oldest first, may send of a FIFO job without overtaking.

    A message that is not selected holds up those behind it in its message group, selected or not: they stay. Nothing is
    sent that was not asked for, and the next redrive finds the message group in the order in which it was.
    """

    blocked_groups: set[str] = field(default_factory=set)  # message groups of which one stays

    def admits(self, job: RedriveJob, entry: QuarantineEntry) -> bool:
        """Whether the next message of the walk is to be sent."""
        selected = selects(job, entry)
        if entry.message_group is None:
            return selected
        # What came from another queue cannot be overtaken in this one, though its message group be called the same.
        if not selected and (_is_of_queue(job, entry) or not entry.source):
            self.blocked_groups.add(entry.message_group)
        return selected and entry.message_group not in self.blocked_groups


@dataclass(frozen=True, slots=True)
class JobForecast:
    """How far a job is, and when it will be done if nothing comes back."""

    done_fraction: float  # 0 to 1
    left_s: float | None  # None: it is not under way


def forecast(job: RedriveJob, now: float) -> JobForecast:
    """How a job stands: by its rate, or its measured pace where that is slower, after what it waits for."""
    tried = processed_count(job)
    fraction = min(1.0, tried / job.selected_count) if job.selected_count else 1.0
    if job.state is not JobState.RUNNING:
        return JobForecast(1.0 if job.state is JobState.DONE else fraction, None)
    rate_per_s = min(job.rate_per_s, job.pace_per_s or float("inf"))
    return JobForecast(fraction, max(0.0, job.next_at - now) + max(0, job.selected_count - tried) / rate_per_s)


def joined(job: RedriveJob, parts: Sequence[RedriveJob]) -> RedriveJob:
    """A job after a load, the parts of which were sent side by side, each counting from the job as it was before."""
    stopped = [part for part in parts if part.state is not job.state]
    notes = [part.note for part in (*stopped, *parts) if part.note != job.note]

    def added(count: Callable[[RedriveJob], int]) -> int:
        return count(job) + sum(count(part) - count(job) for part in parts)

    return replace(
        job,
        state=stopped[0].state if stopped else job.state,
        note=notes[0] if notes else job.note,
        sent_count=added(lambda one: one.sent_count),
        failed_count=added(lambda one: one.failed_count),
        doubtful_count=added(lambda one: one.doubtful_count),
        returned_count=added(lambda one: one.returned_count),
        stopped_groups=tuple(dict.fromkeys(group for part in (job, *parts) for group in part.stopped_groups)),
    )


def next_send_at(job: RedriveJob, processed_count: int, began_at: float) -> float:
    """When a job may send again, having tried so many messages from a time on."""
    return max(job.next_at, began_at) + processed_count / job.rate_per_s


def overlaps(job: RedriveJob, other: RedriveJob) -> bool:
    """Whether two jobs of a fleet select some of the same messages, as far as their selections tell."""
    if job.from_dead_letters != other.from_dead_letters:
        return False
    if job.queue is not None and other.queue is not None and job.queue != other.queue:
        return False
    listed, others = _listed(job), _listed(other)
    if listed and others:
        return bool(listed & others)
    groups = {job.failure_group, other.failure_group}
    if listed or others:  # which group a message is in is not on the job; its claim guards it
        return groups == {None}
    return None in groups or len(groups) == 1


def _listed(job: RedriveJob) -> set[str]:
    return {job.message_id, *job.message_ids} - {None}  # type: ignore[return-value]  # None is taken out


def with_return(job: RedriveJob, group_id: str, cause: str, now: float) -> RedriveJob:
    """A job, one message of which has failed again and come back: its failure group is stopped at once."""
    stopped = job.stopped_groups if group_id in job.stopped_groups else (*job.stopped_groups, group_id)
    noted = replace(job, returned_count=job.returned_count + 1, stopped_groups=stopped, updated_at=now)
    alone = job.failure_group is not None or bool(_listed(job)) or job.from_dead_letters
    if job.state is JobState.RUNNING and alone:
        return replace(noted, state=JobState.STOPPED, note=f"Stopped: a message it sent failed again. {cause}")
    return noted


def finished(job: RedriveJob, now: float) -> RedriveJob:
    """A job that has come to the end of its selection."""
    if job.state is not JobState.RUNNING:
        return job
    parts = [f"{job.sent_count} of {job.selected_count} sent"]
    parts += [f"{job.failed_count} could not be sent"] if job.failed_count else []
    parts += [f"{job.doubtful_count} may have been sent before and were left"] if job.doubtful_count else []
    parts += [f"failure groups that came back were left: {', '.join(job.stopped_groups)}"] if job.stopped_groups else []
    state = JobState.STOPPED if job.stopped_groups else JobState.DONE
    last = f" {job.note}" if job.note else ""
    return replace(job, state=state, note="; ".join(parts) + "." + last, updated_at=now)
