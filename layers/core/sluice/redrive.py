"""What becomes of a dead letter, and how a redrive goes: judgments only, for `dead_letters` and `jobs` to act on.

Theory of operation
-------------------
*A verdict* is the first rule of this list that speaks (`judge`):

1. It came from another queue than the one Sluice would send it to, or its dead-letter queue serves several and nothing
   tells from which it came: quarantine, a person knows where it belongs.
2. An earlier message of its FIFO message group is in quarantine: it follows into the same failure group, since sent
   now it would overtake that one. Hence all quarantined messages of a message group are in one failure group.
3. It is larger than its queue takes (the limit was lowered since): quarantine, whole.
4. Its cause is one of the policy's `permanent` ones, or of none while `otherwise` is quarantine: quarantine.
5. Its failure group bursts, `burst_count` dead letters within `burst_window_s`: it has tripped, quarantine. A bad
   deploy fails on everything, and is not retried message by message. Once the group was quiet for the window, its
   messages are retried again. `transient` causes (a database that is down) burst too, and are retried all the same.
6. It was sent back `max_redrives` times: quarantine.
7. Otherwise retry, after a delay with full jitter: `uniform(0, min(max_delay_s, base_delay_s * 2^redrives))` seconds,
   `redrives` being those before this one. FIFO queues know no delay per message: there it goes at once.
   https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

A stamped cause alone decides the failure group, not the verdict: a consumer can be wrong about what is permanent (a
missing item may be added), and three retries of one message cost less than a person's attention. What is permanent, or
passes by itself, a person says in the fleet's policy, by patterns of the masked cause.

*Loops are remembered.* The number of redrives travels with the message as attribute `sluice.attempts`. Where SQS's
ten attributes, or the size limit, leave no room for it, the ledger remembers it by what the message says
(`memory_key`): two messages that say the same then share one count, which errs towards quarantine.

*A copy* (`copy_of`) is the message whole, without the stamps of the failure it is sent back from (`sluice.cause`,
`sluice.source`): its next failure speaks for itself. Where there is room it carries `sluice.copy_of`, the message it
is a copy of and the job that sent it, by which a return is told from a fresh failure and proves that it was sent; and
`sluice.first_sent_at`, since SQS gives a copy a new age.

*Order.* On FIFO queues messages of one message group are sent one after the other, each after the one before it is
confirmed (`rounds`): a batch in which one entry fails would let those behind it overtake.

A job that is narrowed (by cause, time, attribute or ids) leaves gaps. It sends of each message group what is selected
up to the first one that is not (`Lanes`): the prefix can go without overtaking, the rest stays where it is.

*A redrive job* sends the oldest few of each failure group as canaries, waits as long as a failure takes to come back,
then sends the rest, at its rate, leaving out every failure group of which a message came back meanwhile. `due` and
`paced` hold the rate: no second sees more than the rate or one message, whichever is more.

The protocol that keeps each message in at least one place, and at most one copy of it under way, is in `resending`.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import field
from fnmatch import fnmatchcase
from typing import Protocol

from sluice.config import Otherwise, RedrivePolicy
from sluice.grouping import CAUSE, OWN_PREFIX, SOURCE, Cause, queue_name, source_in_words, told_source
from sluice.model import (
    Attribute,
    JobPhase,
    JobState,
    Message,
    Quarantined,
    RedriveJob,
    Verdict,
    VerdictKind,
    attribute_bytes,
)
from sluice.values import dataclass, replace

ATTEMPTS = "sluice.attempts"  # Number: redrives so far
FIRST_SENT_AT = "sluice.first_sent_at"  # Number: epoch seconds of the first sending
COPY_OF = "sluice.copy_of"  # String: `<message id>`, and from a person's redrive `/<job id>/<failure group>` as well

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
MAX_ATTRIBUTES = 10
ATTEMPTS_BYTES = len(ATTEMPTS) + len("Number") + 6  # as SQS counts them, with as many digits as `_COUNT` reads
CONSUMER_STAMPS = 2  # cause and source: a consumer stamps both or none, and is left room for them where there is any
# A load: what is claimed, sent, settled and let go of together, so that the calls for the claims are few beside those
# of SQS, which takes ten a call; and all that a crash can leave in doubt. On FIFO queues a doubt holds others up.
LOAD = 500
FIFO_LOAD = 10
# Out of a dead-letter queue a load goes in parts, each with a claim of its own, some of them at a time: whoever is done
# with one goes on with the next and waits for nobody, and what a crash can leave in doubt is no more than above.
DEAD_LOAD = 2_000
# Below it, SQS's own move task would hardly have begun when the job is done.
MOVE_COUNT_MIN = 1_000

SAMPLE_LENGTH = 500  # characters
SELECTABLE_LENGTH = 100  # characters: an attribute that is selected by is a name or an id, not a text
_COPY_OF = re.compile(r"([A-Za-z0-9-]{1,100})(?:/([A-Za-z0-9-]{1,64})/([a-z0-9-]{1,64}))?")
_COUNT = re.compile(r"\d{1,6}")


class Destination(Protocol):
    """What is asked of a queue to send to; `ports.QueueFacts` has it."""

    @property
    def arn(self) -> str:
        """The queue's ARN."""

    @property
    def url(self) -> str:
        """The queue's URL."""

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue."""

    @property
    def max_bytes(self) -> int:
        """The largest message it takes."""


# --------------------------------------------------------------------------- what a message carries


def attempts_of(message: Message) -> int | None:
    """The redrives a message carries; None where it carries none that can be read."""
    text = message.attribute(ATTEMPTS) or ""
    return int(text) if _COUNT.fullmatch(text) else None


def first_sent_at(message: Message) -> float | None:
    """When a message was first sent, across redrives; None where nothing tells."""
    try:
        stamped = float(message.attribute(FIRST_SENT_AT) or "")
    except ValueError:
        return message.first_sent_at
    return stamped if 0 < stamped < float("inf") else message.first_sent_at


@dataclass(frozen=True, slots=True)
class Origin:
    """What a copy is a copy of, and the redrive job that sent it from a failure group, if it was one."""

    message_id: str
    job_id: str | None = None
    failure_group: str | None = None


def origin_of(message: Message) -> Origin | None:
    """Where a copy comes from, as it carries it; None for any other message."""
    stamp = _COPY_OF.fullmatch(message.attribute(COPY_OF) or "")
    return Origin(stamp[1], stamp[2], stamp[3]) if stamp else None


def came_from(message: Message, to: Destination) -> bool:
    """Whether a message was dead-lettered from this queue, as far as anything tells."""
    return (told_source(message) or to.arn) in {to.arn, to.url}


def memory_key(message: Message) -> str:
    """What the ledger remembers a message's redrives under, where it has no room to carry them."""
    said = hashlib.sha256()
    own = [(name, value) for name, value in message.attributes if not name.startswith(OWN_PREFIX)]
    for part in (message.body, message.message_group or "", *(f"{name}{value!r}" for name, value in own)):
        encoded = _encoded(part)
        said.update(len(encoded).to_bytes(8) + encoded)
    return said.hexdigest()


# --------------------------------------------------------------------------- the copy that is sent


@dataclass(frozen=True, slots=True)
class Copy:
    """A message as it is sent back. `carries_attempts` is False where the ledger has to remember them."""

    message: Message
    carries_attempts: bool


def copy_of(message: Message, attempt: int, to: Destination, job: tuple[str, str] | None = None) -> Copy | None:
    """The copy of a message that is sent back, whole; None if the queue would not take it.

    Args:
        message: as it was received; the copy keeps its id, which is what the adapter deduplicates FIFO copies by.
        attempt: redrives so far, this one included.
        to: the queue it is sent to.
        job: the redrive job's id and the failure group that the message is in.
    """
    first_at = first_sent_at(message)
    gone = {CAUSE, SOURCE, COPY_OF, ATTEMPTS} | (set() if first_at is None else {FIRST_SENT_AT})
    kept = tuple((name, value) for name, value in message.attributes if name not in gone)
    size_bytes = message.size_bytes - sum(attribute_bytes(one) for one in message.attributes if one[0] in gone)
    if len(kept) > MAX_ATTRIBUTES or size_bytes > to.max_bytes:
        return None
    stamps = {
        ATTEMPTS: Attribute("Number", str(attempt)),
        COPY_OF: Attribute("String", "/".join((message.id, *(job or ())))),
        FIRST_SENT_AT: Attribute("Number", f"{first_at or 0:.3f}"),
    }
    # A job must see what comes back of it; a retry is better known by its age.
    order = (ATTEMPTS, COPY_OF, FIRST_SENT_AT) if job else (ATTEMPTS, FIRST_SENT_AT, COPY_OF)
    carried: dict[str, Attribute] = {}
    for name in order:
        if name == FIRST_SENT_AT and first_at is None:
            continue
        stamp, count = stamps[name], len(kept) + len(carried)
        stamp_bytes = len(name) + len(stamp.type) + len(stamp.text or "")  # all of them ASCII
        fits = count < MAX_ATTRIBUTES and size_bytes + stamp_bytes <= to.max_bytes
        crowds = count == MAX_ATTRIBUTES - CONSUMER_STAMPS
        if fits and not (name == COPY_OF and job is None and crowds):
            carried[name] = stamp
            size_bytes += stamp_bytes
    return Copy(replace(message, attributes=tuple(sorted((*kept, *carried.items()), key=_name))), ATTEMPTS in carried)


def has_room(message: Message, to: Destination) -> bool:
    """Whether a copy of a message can carry its redrives; if not, the ledger remembers them."""
    if len(message.attributes) < MAX_ATTRIBUTES and message.size_bytes + ATTEMPTS_BYTES <= to.max_bytes:
        return True
    copy = copy_of(message, 1, to)
    return copy is None or copy.carries_attempts


def rounds(messages: Sequence[Message], to: Destination) -> tuple[tuple[int, ...], ...]:
    """Indexes of messages in the rounds in which they are sent: on FIFO queues of each message group one a round.

    On standard queues a message group orders nothing (it names the tenant of fair queueing): one round.
    """
    turn: dict[str, int] = {}
    sent_in: list[list[int]] = []
    for index, message in enumerate(messages):
        number = 0
        if to.fifo and message.message_group is not None:
            number = turn.get(message.message_group, 0)
            turn[message.message_group] = number + 1
        if number == len(sent_in):
            sent_in.append([])
        sent_in[number].append(index)
    return tuple(tuple(indexes) for indexes in sent_in)


# --------------------------------------------------------------------------- the verdict


@dataclass(frozen=True, slots=True)
class History:
    """What is known of a dead letter, and of its failure group."""

    redrives: int = 0  # how often it was sent back before, by what it carries or what the ledger remembers
    held_in: Cause | None = None  # the failure group in which earlier messages of its FIFO message group are
    recent_count: int = 0  # dead letters of its failure group within the policy's window, itself included
    others: tuple[str, ...] = ()  # names of the other queues that share its dead-letter queue


def judge(
    message: Message, policy: RedrivePolicy, to: Destination, own: Cause, *, history: History, uniform: float
) -> Verdict:
    """What becomes of a dead letter.

    Args:
        message: as received from the dead-letter queue.
        policy: the fleet's.
        to: the queue it would be sent to.
        own: its failure group.
        history: what is known of it and of its group.
        uniform: a random number, 0 <= uniform < 1, for the delay.
    """
    redrives = history.redrives
    problem = _misplaced(message, to, history) or _unwanted(policy, own, history)
    if problem:
        into = history.held_in or own
        return Verdict(VerdictKind.QUARANTINE, into.id, into.words, f"Quarantined{problem}", redrives)
    delay_s = 0.0 if to.fifo else backoff_s(policy, redrives, uniform)
    sentence = f"Retry {redrives + 1} of {policy.max_redrives}" + (f" in {delay_s:.0f} s." if delay_s else " at once.")
    return Verdict(VerdictKind.RETRY, own.id, own.words, sentence, redrives + 1, delay_s)


def _misplaced(message: Message, to: Destination, history: History) -> str:
    """Why a message cannot go to a queue at all, or nothing."""
    source = told_source(message)
    if history.others and not source:
        names = ", ".join((queue_name(to.url), *history.others))
        return f": its dead-letter queue serves {names}, and nothing tells from which of them it came."
    if not came_from(message, to):
        came = source_in_words(source)
        these = f"none of the queues that share its dead-letter queue, {to.arn} among them" if history.others else ""
        return f": it came from {came}, which is {these or f"not the fleet's queue {to.arn}"}."
    if history.held_in is not None:
        return ": an earlier message of its message group is, and order is kept."
    if copy_of(message, history.redrives + 1, to) is None:
        return (
            f" whole: with {message.size_bytes} bytes and {len(message.attributes)} attributes"
            f" it is more than its queue takes ({to.max_bytes} bytes, {MAX_ATTRIBUTES} attributes)."
        )
    return ""


def _unwanted(policy: RedrivePolicy, own: Cause, history: History) -> str:
    """Why a message is not to be retried, or nothing."""
    if not _names(policy.transient, own):
        if _names(policy.permanent, own):
            return ": the fleet's policy calls its cause permanent."
        if policy.otherwise is Otherwise.QUARANTINE:
            return ": the fleet's policy retries only causes that it calls transient."
        if 0 < policy.burst_count <= history.recent_count:
            burst = f"{history.recent_count} dead letters within {policy.burst_window_s:.0f} s"
            return f": its failure group has tripped, with {burst}."
    if history.redrives >= policy.max_redrives:
        return f": it failed again after {history.redrives} of {policy.max_redrives} retries."
    return ""


def _names(patterns: Sequence[str], cause: Cause) -> bool:
    """Whether one of some patterns, as for file names, names a cause."""
    return any(fnmatchcase(cause.words.casefold(), pattern.casefold()) for pattern in patterns)


def backoff_s(policy: RedrivePolicy, redrives: int, uniform: float) -> float:
    """Full jitter: between nothing and the exponential delay, in seconds; 0 <= uniform < 1."""
    return uniform * min(policy.max_delay_s, policy.base_delay_s * 2.0 ** min(redrives, 64))


MARGIN_SHARE = 0.25  # of the retention: a day of four, SQS's default
MARGIN_MAX_S = 86_400.0  # a day is enough for a person, and for many looks


def left_s(message: Message, retention_s: float | None, now: float) -> float | None:
    """How long until SQS deletes a message from a queue of that retention, in seconds; None where nothing tells."""
    if message.first_sent_at is None or retention_s is None:
        return None
    return message.first_sent_at + retention_s - now


def margin_s(policy: RedrivePolicy, retention_s: float) -> float:
    """How long before its end a dead letter that waits is put away, in seconds."""
    if policy.archive_before_s is not None:
        return policy.archive_before_s
    return min(MARGIN_MAX_S, MARGIN_SHARE * retention_s)


# --------------------------------------------------------------------------- the ramp of a job


def due(job: RedriveJob, to: Destination) -> int:
    """How many messages a job may send in one go: a second's worth at most, and one load."""
    load = FIFO_LOAD if to.fifo else DEAD_LOAD if job.from_dead_letters else LOAD
    return max(1, min(load, int(job.rate_per_s)))


def tried_count(job: RedriveJob) -> int:
    """How many messages a job has dealt with, one way or the other."""
    return job.sent_count + job.failed_count + job.doubtful_count


def outpaced(job: RedriveJob, policy: RedrivePolicy, move_per_s: float) -> bool:
    """Whether SQS's own move task would bring the rest of a job back faster than the job has done so far.

    It moves everything, at most `move_per_s`, and to one queue: so only where nothing is selected, the canaries have
    been watched, and a full load was timed.
    """
    elsewhere = job.to is not None or job.to_queue is not None
    if elsewhere or not (policy.move_tasks and job.from_dead_letters and job.phase is JobPhase.RAMP):
        return False
    left_count = job.selected_count - tried_count(job)
    pace_per_s = job.pace_per_s or float("inf")
    return left_count >= MOVE_COUNT_MIN and min(job.rate_per_s, move_per_s) > pace_per_s


def sample_of(message: Message) -> str:
    """The beginning of a body, as much as a person needs to recognise it."""
    return message.body[:SAMPLE_LENGTH]


def selectable(message: Message) -> tuple[tuple[str, str], ...]:
    """The producer's own attributes that are texts, cut, as the index keeps them to select by."""
    return tuple(
        (name, value.text[:SELECTABLE_LENGTH])
        for name, value in message.attributes
        if value.text is not None and not name.startswith(OWN_PREFIX)
    )


def selects(job: RedriveJob, entry: Quarantined) -> bool:
    """Whether a quarantined message is part of a job."""
    if entry.at > job.requested_at or entry.failure_group in {*job.stopped_groups, *job.left_groups}:
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


def _is_of_queue(job: RedriveJob, entry: Quarantined) -> bool:
    """Whether a quarantined message came from the queue that a job is about, as far as anything tells."""
    return job.queue is None or queue_name(entry.source or "") == job.queue


@dataclass(slots=True)
class Lanes:
    """What a walk through the index, oldest first, may send of a FIFO job without overtaking.

    A message that is not selected holds up those behind it in its message group, selected or not: they stay. Nothing is
    sent that was not asked for, and the next redrive finds the message group in the order in which it was.
    """

    held_up: set[str] = field(default_factory=set)  # message groups of which one stays

    def admits(self, job: RedriveJob, entry: Quarantined) -> bool:
        """Whether the next message of the walk is to be sent."""
        selected = selects(job, entry)
        if entry.message_group is None:
            return selected
        # What came from another queue cannot be overtaken in this one, though its message group be called the same.
        if not selected and (_is_of_queue(job, entry) or not entry.source):
            self.held_up.add(entry.message_group)
        return selected and entry.message_group not in self.held_up


@dataclass(frozen=True, slots=True)
class Outlook:
    """How far a job is, and when it will be done if nothing comes back."""

    done_fraction: float  # 0 to 1
    left_s: float | None  # None: it is not under way


def outlook(job: RedriveJob, now: float) -> Outlook:
    """How a job stands: by its rate, or its measured pace where that is slower, after what it waits for."""
    tried = tried_count(job)
    fraction = min(1.0, tried / job.selected_count) if job.selected_count else 1.0
    if job.state is not JobState.RUNNING:
        return Outlook(1.0 if job.state is JobState.DONE else fraction, None)
    rate_per_s = min(job.rate_per_s, job.pace_per_s or float("inf"))
    return Outlook(fraction, max(0.0, job.next_at - now) + max(0, job.selected_count - tried) / rate_per_s)


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


def paced(job: RedriveJob, tried_count: int, began_at: float) -> float:
    """When a job may send again, having tried so many messages from a time on."""
    return max(job.next_at, began_at) + tried_count / job.rate_per_s


def overlap(job: RedriveJob, other: RedriveJob) -> bool:
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


def returned(job: RedriveJob, group_id: str, cause: str, now: float) -> RedriveJob:
    """A job, one message of which has failed again and come back: its failure group is stopped at once."""
    stopped = job.stopped_groups if group_id in job.stopped_groups else (*job.stopped_groups, group_id)
    noted = replace(job, returned_count=job.returned_count + 1, stopped_groups=stopped, updated_at=now)
    alone = job.failure_group is not None or bool(_listed(job)) or job.from_dead_letters
    if job.state is JobState.RUNNING and alone:
        return replace(noted, state=JobState.STOPPED, note=f"Stopped: a message it sent failed again. {cause}")
    return noted


def ended(job: RedriveJob, now: float) -> RedriveJob:
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


def _name(named: tuple[str, Attribute]) -> str:
    return named[0]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
