"""The rules of a redrive job: what it selects, how fast it sends, when it ends, and what of it came back.

Theory of operation. A step of a job does its work and returns a `SendReport`; `folded` is the one place where a report
changes the job. Pace, for each batch of `count` messages that began at `began_at`:

    next_at = max(next_at, began_at - CATCH_UP_S) + count / rate_per_s

A job is due a little late, since a message's delay has whole seconds: it catches up, and keeps its rate on average.

An automatic release is a job of Sluice's own, which begins with a wait. Where something of it comes back it begins
anew, with all that is in the group by then, after twice the wait (`put_off`). From `release.until` on it is an
operator's.
"""

from collections.abc import Iterable, Sequence
from dataclasses import field
from typing import Any

from sluice.config.cause_patterns import names
from sluice.config.fleet import RedrivePolicy
from sluice.model.frozen import dataclass, replace
from sluice.model.redrive_jobs import JobPacing, JobPhase, JobProgress, JobState, RedriveJob
from sluice.model.redriving import QuarantineEntry
from sluice.redriving.failure_groups import queue_name
from sluice.redriving.message_copy import Destination
from sluice.redriving.verdict import SELECTABLE_LENGTH
from sluice.wording import count as counted

# Messages that are claimed, sent and confirmed together, so that the calls for claims are few beside those of SQS,
# which takes ten messages a call. It is also the most that a crash can leave in doubt.
BATCH_MAX = 500
FIFO_BATCH_MAX = 10  # fewer, since on FIFO queues a message in doubt blocks those behind it
# Out of a dead-letter queue a batch goes in parts side by side, each with a claim of its own: a part that is done goes
# on with the next and waits for none, and what a crash can leave in doubt is no more than above.
DLQ_BATCH_MAX = 5_000
# How late a job may be and catch up: a whole second's rounding, and what the message takes to arrive.
CATCH_UP_S = 2.0
ACTIONS_KEPT = 50  # a job that was paused and resumed more often keeps the last ones
# With fewer messages left, SQS's own move task would hardly have begun when the job is done.
MOVE_COUNT_MIN = 1_000
# What to know of a redrive that may come to use it.
MOVE_NOTE = (
    "SQS's own move task may take over, if it is faster and nothing had to be left behind before. It moves all that is"
    " in the dead-letter queue, letters of other services as well; redrive.move_tasks turns it off."
)


# --------------------------------------------------------------------------- what a step did


@dataclass(frozen=True, slots=True)
class SendReport:
    """What a step of a job did with messages. Reports are added up, and folded into the job once (`folded`).

    Attributes:
        sent_count: messages that are in their queue.
        failed_count: messages that could not be sent.
        doubtful_count: messages that may have been sent before.
        returned_count: messages that the job had sent, found in the dead-letter queue again.
        returned_groups: the failure groups of those.
        stopped: whether the job is to stop, for the reason in `note`.
        note: what an operator should know; empty: nothing new.
        batches: (began_at in epoch seconds, messages) of each batch, for the job's pace.
    """

    sent_count: int = 0
    failed_count: int = 0
    doubtful_count: int = 0
    returned_count: int = 0
    returned_groups: tuple[str, ...] = ()
    stopped: bool = False
    note: str = ""
    batches: tuple[tuple[float, int], ...] = ()

    @property
    def processed_count(self) -> int:
        """Messages that were dealt with, one way or the other."""
        return self.sent_count + self.failed_count + self.doubtful_count

    def __add__(self, later: "SendReport") -> "SendReport":
        """Both reports as one. Of two notes the later one counts, but for the one that says why the job stops."""
        note = self.note if self.stopped or not later.note else later.note
        return SendReport(
            sent_count=self.sent_count + later.sent_count,
            failed_count=self.failed_count + later.failed_count,
            doubtful_count=self.doubtful_count + later.doubtful_count,
            returned_count=self.returned_count + later.returned_count,
            returned_groups=tuple(dict.fromkeys((*self.returned_groups, *later.returned_groups))),
            stopped=self.stopped or later.stopped,
            note=note,
            batches=(*self.batches, *later.batches),
        )


def joined(reports: Iterable[SendReport]) -> SendReport:
    """The reports of parts that went side by side as one: the first note counts, of parts that stopped before others.

    The parts are one batch for the pace, which whoever joins them sets.
    """
    parts = list(reports)
    stopped_first = sorted(parts, key=lambda part: not part.stopped)  # stable: otherwise in their order
    note = next((part.note for part in stopped_first if part.note), "")
    return replace(sum(parts, SendReport()), note=note, batches=())


def folded(job: RedriveJob, report: SendReport) -> RedriveJob:
    """A job after what a report says was done."""
    progress, pacing = job.progress, job.pacing
    for began_at, count in report.batches:
        pacing = replace(pacing, next_at=next_send_at(pacing, count, began_at))
    return replace(
        job,
        state=JobState.STOPPED if report.stopped and job.state is JobState.RUNNING else job.state,
        note=report.note or job.note,
        pacing=pacing,
        progress=replace(
            progress,
            sent_count=progress.sent_count + report.sent_count,
            failed_count=progress.failed_count + report.failed_count,
            doubtful_count=progress.doubtful_count + report.doubtful_count,
            returned_count=progress.returned_count + report.returned_count,
            stopped_groups=tuple(dict.fromkeys((*progress.stopped_groups, *report.returned_groups))),
        ),
    )


def progressed(job: RedriveJob, **changes: Any) -> RedriveJob:
    """A job with some fields of its progress changed."""
    return replace(job, progress=replace(job.progress, **changes))


# --------------------------------------------------------------------------- pace


def batch_limit(job: RedriveJob, to: Destination) -> int:
    """How many messages a job may send in one go: a second's worth at most, and one batch."""
    most = FIFO_BATCH_MAX if to.fifo else DLQ_BATCH_MAX if job.selection.from_dead_letters else BATCH_MAX
    return max(1, min(most, int(job.pacing.rate_per_s)))


def next_send_at(pacing: JobPacing, count: int, began_at: float) -> float:
    """When a job may send again (epoch seconds), having tried `count` messages from `began_at` on."""
    return max(pacing.next_at, began_at - CATCH_UP_S) + count / pacing.rate_per_s


def move_task_is_faster(
    job: RedriveJob, policy: RedrivePolicy, move_per_s: float, move_count_min: int = MOVE_COUNT_MIN
) -> bool:
    """Whether SQS's own move task would bring the rest of a job back faster than the job has done so far.

    A move task moves everything, to one queue, at most `move_per_s` messages a second. So it is used only where nothing
    is selected, after the wait for the canaries, and once a full batch was timed; and where nothing was left behind: it
    would move that as well, such as letters of other services, or what may have been sent before.
    """
    progress = job.progress
    if progress.failed_count or progress.doubtful_count:
        return False
    in_ramp = job.selection.from_dead_letters and job.progress.phase is JobPhase.RAMP
    if job.target.is_named or job.progress.sends_singly or not (policy.move_tasks and in_ramp):
        return False
    left_count = job.progress.selected_count - job.progress.processed_count
    measured_per_s = job.pacing.measured_per_s or float("inf")
    return left_count >= move_count_min and min(job.pacing.rate_per_s, move_per_s) > measured_per_s


@dataclass(frozen=True, slots=True)
class JobForecast:
    """How far a job is, and when it is done if nothing comes back."""

    done_fraction: float  # 0 to 1
    left_s: float | None  # seconds, until all is sent or the watch is over; None: it is not at work


def forecast(job: RedriveJob, now: float) -> JobForecast:
    """How far a job is, and how long the rest takes: of its sending, or of the watch after that.

    left_s = wait until it may send + messages left / min(rate_per_s, measured_per_s)
    """
    progress, pacing = job.progress, job.pacing
    processed = progress.processed_count
    fraction = min(1.0, processed / progress.selected_count) if progress.selected_count else 1.0
    wait_s = max(0.0, pacing.next_at - now)
    if job.state is JobState.WATCHING:
        return JobForecast(1.0, wait_s)
    if job.state is not JobState.RUNNING:
        return JobForecast(1.0 if job.state in {JobState.DONE, JobState.CAME_BACK} else fraction, None)
    rate_per_s = min(pacing.rate_per_s, pacing.measured_per_s or float("inf"))
    return JobForecast(fraction, wait_s + max(0, progress.selected_count - processed) / rate_per_s)


# --------------------------------------------------------------------------- what a job selects


def selects(job: RedriveJob, entry: QuarantineEntry) -> bool:
    """Whether a quarantined message is part of a job."""
    chosen = job.selection
    if entry.at > job.takes_until or entry.failure_group in {*job.progress.stopped_groups, *chosen.muted_groups}:
        return False
    if chosen.failure_group not in {None, entry.failure_group} or not _is_of_queue(job, entry):
        return False
    if chosen.cause is not None and not names([chosen.cause], entry.cause, entry.said):
        return False
    if not (chosen.quarantined_from or 0.0) <= entry.at < (chosen.quarantined_to or float("inf")):
        return False
    if chosen.attribute is None:
        return True
    name, text = chosen.attribute
    return (name, text[:SELECTABLE_LENGTH]) in entry.excerpt.attributes


def _is_of_queue(job: RedriveJob, entry: QuarantineEntry) -> bool:
    """Whether a quarantined message came from the queue that a job is about, as far as its record says."""
    return job.selection.queue is None or queue_name(entry.source or "") == job.selection.queue


@dataclass(slots=True)
class FifoOrderGuard:
    """Keeps the order of FIFO message groups while a job walks through the index, oldest message first.

    A message that is not selected blocks those behind it in its message group, selected or not: they stay. So nothing
    is sent that was not asked for, and the next redrive finds each message group in its order.
    """

    blocked_groups: set[str] = field(default_factory=set)  # message groups of which one message stays

    def admits(self, job: RedriveJob, entry: QuarantineEntry) -> bool:
        """Whether the next message of the walk is to be sent."""
        selected = selects(job, entry)
        if entry.message_group is None:
            return selected
        # A message of another queue cannot be overtaken in this one, even where its message group has the same name.
        if not selected and (_is_of_queue(job, entry) or not entry.source):
            self.blocked_groups.add(entry.message_group)
        return selected and entry.message_group not in self.blocked_groups


def overlaps(job: RedriveJob, other: RedriveJob) -> bool:
    """Whether two jobs of a fleet select some of the same messages, as far as their selections show it."""
    one, two = job.selection, other.selection
    if one.from_dead_letters != two.from_dead_letters:
        return False
    if one.queue is not None and two.queue is not None and one.queue != two.queue:
        return False
    if one.ids and two.ids:
        return bool(one.ids & two.ids)
    groups = {one.failure_group, two.failure_group}
    if one.ids or two.ids:  # which group a message is in is not on the job's record; its claim protects it
        return groups == {None}
    return None in groups or len(groups) == 1


# --------------------------------------------------------------------------- how a job ends


def with_return(job: RedriveJob, group_id: str, cause: str, now: float) -> RedriveJob:
    """A job, one message of which has failed again and come back: its failure group is stopped at once.

    A job that is about one failure group, single messages or a dead-letter queue stops altogether. One that was done
    came back after all.
    """
    return _returned(job, job.progress.returned_count + 1, (group_id,), cause, now)


def with_returns_found(job: RedriveJob, groups: Sequence[str], now: float) -> RedriveJob:
    """A job, of which a search of the dead-letter queue has found copies, by the failure group of each.

    They stay there, so that a later search finds them again.
    """
    if not groups:
        return job
    cause = f"{counted(len(groups), 'message')} of it {'is' if len(groups) == 1 else 'are'} in the dead-letter queue."
    return _returned(job, max(job.progress.returned_count, len(groups)), groups, cause, now)


def _returned(job: RedriveJob, count: int, groups: Sequence[str], cause: str, now: float) -> RedriveJob:
    if job.held_until(now):  # of an earlier try, which is over
        return job
    progress = job.progress
    stopped = tuple(dict.fromkeys((*progress.stopped_groups, *groups)))
    noted = replace(job, progress=replace(progress, returned_count=count, stopped_groups=stopped), updated_at=now)
    chosen = job.selection
    alone = chosen.failure_group is not None or bool(chosen.ids) or chosen.from_dead_letters
    if job.release and job.state is JobState.RUNNING:
        return put_off(noted, 2.0 * job.release.wait_s, now)
    if job.state is JobState.RUNNING and alone:
        return replace(noted, state=JobState.STOPPED, note=return_note(cause))
    if job.state is JobState.DONE:
        return replace(noted, state=JobState.CAME_BACK, note=f"{job.note} After that, a message failed again. {cause}")
    return noted


def return_note(cause: str) -> str:
    """Why a job stops when a message that it sent comes back."""
    return f"Stopped: a message it sent failed again. {cause}"


def sent(job: RedriveJob, now: float, watch_s: float) -> RedriveJob:
    """A job that has come to the end of its selection: what it sent is watched for some seconds, and then judged."""
    if job.state is not JobState.RUNNING:
        return job
    if watch_s <= 0 or not job.progress.sent_count:
        return judged(job, now)
    pacing = replace(job.pacing, next_at=now + watch_s)
    return replace(progressed(job, hidden_since=None), state=JobState.WATCHING, pacing=pacing, updated_at=now)


def judged(job: RedriveJob, now: float, possible_count: int = 0) -> RedriveJob:
    """A job that has sent all it could: done, or its messages came back.

    Args:
        job: the job.
        now: epoch seconds.
        possible_count: messages in the dead-letter queue that a move task of the job may have moved before.
    """
    if not job.state.is_at_work:
        return job
    progress = job.progress
    parts = [f"{progress.sent_count} of {counted(progress.selected_count, 'message')} sent"]
    if progress.failed_count:
        parts.append(f"{progress.failed_count} could not be sent")
    if progress.doubtful_count:
        parts.append(f"{progress.doubtful_count} not sent, since they may have been sent before")
    if progress.returned_count:
        parts.append(f"{progress.returned_count} failed again and came back")
    if possible_count:
        parts.append(
            f"{counted(possible_count, 'message')} in the dead-letter queue may be of the {progress.moved_count} that"
            " SQS's own move task moved, since it stamps nothing"
        )
    if progress.stopped_groups and progress.processed_count < progress.selected_count:
        groups = ", ".join(progress.stopped_groups)
        parts.append(f"the rest of the failure groups that failed again stays in quarantine: {groups}")
    came_back = progress.returned_count or progress.stopped_groups or possible_count
    last = f" {job.note}" if job.note else ""
    state = JobState.CAME_BACK if came_back else JobState.DONE
    return over_or_put_off(replace(job, state=state, note="; ".join(parts) + "." + last, updated_at=now), now)


def put_off(job: RedriveJob, wait_s: float, now: float) -> RedriveJob:
    """A release that begins again after a wait, in seconds, but for its last try; after that it is an operator's."""
    assert job.release is not None
    tried = f"Released {counted(job.progress.sent_count, 'message')}, and {job.progress.returned_count} failed again."
    if now >= job.release.until:
        return replace(job, state=JobState.STOPPED, note=f"{tried} It waits for an operator.", updated_at=now)
    release = replace(job.release, wait_s=wait_s, due_at=min(now + wait_s, job.release.until), more=False)
    return replace(
        job,
        state=JobState.RUNNING,
        progress=JobProgress(),
        pacing=replace(job.pacing, next_at=release.due_at),
        release=release,
        note=tried,
        updated_at=now,
    )


def over_or_put_off(job: RedriveJob, now: float) -> RedriveJob:
    """A job that is over, unless it is a release that came back, or of which more was held meanwhile."""
    if job.release and job.state is JobState.CAME_BACK:
        return put_off(job, 2.0 * job.release.wait_s, now)
    if job.release and job.state is JobState.DONE and job.release.more:
        return put_off(job, job.release.wait_s, now)
    return job
