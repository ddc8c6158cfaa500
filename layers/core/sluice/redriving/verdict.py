"""What becomes of a dead letter, and how a redrive goes: judgments only, for `dead_letters` and `jobs` to act on.

Theory of operation
-------------------
*A verdict* is the first rule of this list that speaks (`judge`):

1. It came from another queue than the one Sluice would send it to, or nothing says from which it came: quarantine,
   since an operator can say it. Other services may use the dead-letter queue as well (`foreign_letters`).
2. An earlier message of its FIFO message group is in quarantine: it follows into the same failure group, since sent
   now it would overtake that one. Hence all quarantined messages of a message group are in one failure group.
3. It is larger than its queue takes (the limit was lowered since): quarantine, whole.
4. Its cause is one of the policy's `permanent` ones, or of none while `otherwise` is quarantine: quarantine.
5. Its failure group bursts, `burst_count` dead letters within `burst_window_s`: it has tripped, quarantine. A bad
   deploy fails on everything, and is not retried message by message. Once the group was quiet for the window, its
   messages are retried again. A group by shape alone does not trip: its messages have a form in common, and no cause
   that is known. Where the cause passes by itself (a database that is down), the group is *held*: Sluice releases it
   once a canary passes (`jobs.release`). Such are the policy's `transient` causes, and those of
   `causes.passing` that no list names.
6. It was sent back `max_retries` times: quarantine.
7. Otherwise retry, after a delay with jitter: `uniform(0.5, 1) * min(max_delay_s, base_delay_s * 2^redrives)` seconds,
   `redrives` being those before this one. On FIFO queues it waits in the dead-letter queue instead (`fifo_order`).
   https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

A stamped cause alone decides the failure group, not the verdict: a consumer can be wrong about what is permanent (a
missing item may be added), and three retries of one message cost less than an operator's attention. The fleet's policy
says what is permanent and what passes by itself, by patterns. They see the cause as it was said, each exception of its
chain, and the group's title.

*Loops are remembered.* The number of redrives travels with the message as attribute `sluice.attempts`, sealed for its
body and its queue, so that it does not count for a message that inherited it. The ledger remembers each retry as well,
for what a consumer makes of it (`letter_history`), and the larger of both counts. A count that cannot be read is at its
limit.

*A copy* (`copy_of`) is the message whole, without the stamps of the failure it is sent back from (`sluice.cause`,
`sluice.source`): its next failure speaks for itself. Where there is room it carries `sluice.copy_of`, the message it
is a copy of and the job that sent it, which distinguishes a return from a fresh failure and proves that it was sent;
and `sluice.first_sent_at`, since SQS gives a copy a new age.

*Order.* On FIFO queues automatic retries of one message group go one at a time (`fifo_order`). A job sends messages of
one message group one after the other, each after the one before it is confirmed (`send_rounds`): a batch in which one
entry fails would let those behind it overtake.

A job that is narrowed (by cause, time, attribute or ids) leaves gaps. It sends of each message group what is selected
up to the first one that is not (`FifoOrderGuard`): the prefix can go without overtaking, the rest stays where it is.

*A redrive job* sends the oldest few of each failure group as canaries, waits as long as a failure takes to come back,
then sends the rest, at its rate, leaving out every failure group of which a message came back meanwhile. `due` and
`paced` hold the rate: no second sees more than the rate or one message, whichever is more.

The protocol that keeps each message in at least one place, and at most one copy of it under way, is in `sender`.
"""

from collections.abc import Sequence

from sluice.config.cause_patterns import names
from sluice.config.fleet import Otherwise, RedrivePolicy
from sluice.model.frozen import dataclass, replace
from sluice.model.queue_names import same_queue
from sluice.model.redriving import HandledLetter, Message, Verdict, VerdictKind
from sluice.redriving.causes.passing import passes_by_itself
from sluice.redriving.failure_groups import OWN_PREFIX, Cause, describe_source, queue_name
from sluice.redriving.foreign_letters import foreign_letter
from sluice.redriving.letter_history import LetterPast
from sluice.redriving.message_copy import MAX_ATTRIBUTES, Destination, copy_of, known_source

# The failure group of what is in the dead-letter queue twice, so that a redrive of the other does not send it as well.
TWICE = Cause("twice", "In the dead-letter queue twice: a copy that its consumer sent, and the message itself")
RELEASED = " Its cause passes by itself: Sluice releases it once a few of its group succeed."
SAMPLE_LENGTH = 500  # characters
SELECTABLE_LENGTH = 100  # characters: an attribute that is selected by is a name or an id, not a text


# --------------------------------------------------------------------------- the verdict


@dataclass(frozen=True, slots=True)
class DeadLetterHistory:
    """What is known of a dead letter, and of its failure group."""

    past: LetterPast = LetterPast()  # how often it was sent back before, and what else the ledger knows
    held_in: Cause | None = None  # the failure group in which earlier messages of its FIFO message group are
    recent_count: int = 0  # dead letters of its failure group within the policy's window, itself included
    others: tuple[str, ...] = ()  # names of the other queues that share its dead-letter queue
    waited_s: float = 0.0  # how long it has waited for this retry in its FIFO dead-letter queue


def judge(
    message: Message, policy: RedrivePolicy, to: Destination, own: Cause, *, history: DeadLetterHistory, uniform: float
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
    attempts = history.past.attempts
    tripped = _tripped(policy, own, history)
    problem = (
        _misplaced(message, to, history) or _called_permanent(policy, own) or tripped or _worn_out(policy, history)
    )
    if problem:
        into = history.held_in or (own if history.past.twin is None else TWICE)
        held = problem == tripped and into is own and _is_released(policy, own)
        sentence = f"Quarantined{problem}" + RELEASED * held
        return Verdict(VerdictKind.QUARANTINE, into.id, into.words, sentence, attempts, said=own.as_said, held=held)
    delay_s = max(0.0, backoff_s(policy, attempts, uniform) - (history.waited_s if to.fifo else 0.0))
    sentence = f"Retry {attempts + 1} of {policy.max_retries}" + (f" in {delay_s:.0f} s." if delay_s else " at once.")
    return Verdict(VerdictKind.RETRY, own.id, own.words, sentence, attempts + 1, delay_s, own.as_said)


def _misplaced(message: Message, to: Destination, history: DeadLetterHistory) -> str:
    """Why a message cannot go to a queue at all, or nothing."""
    if history.past.twin is not None:
        return _twice(history.past.twin)
    source = known_source(message, to) or (to.arn if history.past.is_copy else "")
    if not source:
        return _unsaid(message, (queue_name(to.url), *history.others))
    if not same_queue(source, to.arn):
        came = describe_source(source)
        these = f"none of the queues that share its dead-letter queue, {to.arn} among them" if history.others else ""
        return f": it came from {came}, which is {these or f"not the fleet's queue {to.arn}"}."
    if history.held_in is not None:
        return ": an earlier message of its message group is, and order is kept."
    if copy_of(message, history.past.attempts + 1, to) is None:
        return (
            f" whole: with {message.size_bytes} bytes and {len(message.attributes)} attributes"
            f" it is more than its queue takes ({to.max_bytes} bytes, {MAX_ATTRIBUTES} attributes)."
        )
    return ""


def _twice(twin: HandledLetter) -> str:
    """Why a message stays that is in the dead-letter queue twice."""
    done = "is in quarantine" if twin.due_at is None else "was sent back"
    return (
        f": it is here twice. Its consumer sent a copy and did not delete the message itself, and the other of both,"
        f" {twin.letter_id}, {done}."
    )


def _unsaid(message: Message, names: Sequence[str]) -> str:
    """Why a message stays of which nothing says where it came from."""
    if foreign := foreign_letter(message):
        return (
            f": it has the form of what {foreign.sender} could not deliver, and nothing says that it came from a queue."
        )
    if len(names) > 1:
        return f": its dead-letter queue serves {', '.join(names)}, and nothing says from which of them it came."
    return (
        f": nothing says that it came from queue {names[0]}. SQS did not move it here, and it has no attribute"
        " sluice.source, which a consumer stamps that moves messages itself."
    )


def _called_permanent(policy: RedrivePolicy, own: Cause) -> str:
    """Why the fleet's policy wants no retry of a cause, or nothing."""
    lines = (own.words, *own.said)
    if names(policy.transient, *lines):
        return ""
    if names(policy.permanent, *lines):
        return ": the fleet's policy calls its cause permanent."
    if policy.otherwise is Otherwise.QUARANTINE:
        return ": the fleet's policy retries only causes that it calls transient."
    return ""


def _tripped(policy: RedrivePolicy, own: Cause, history: DeadLetterHistory) -> str:
    """Why a message of a failure group that bursts is not retried, or nothing."""
    if not (own.is_known and 0 < policy.burst_count <= history.recent_count):
        return ""
    if not policy.release_within_s and names(policy.transient, own.words, *own.said):
        return ""  # what nobody lets go by itself goes on with its retries
    burst = f"{history.recent_count} dead letters within {policy.burst_window_s:.0f} s"
    return f": its failure group has tripped, with {burst}."


def _is_released(policy: RedrivePolicy, own: Cause) -> bool:
    """Whether a group that has tripped is held and released by Sluice, since its cause passes by itself."""
    lines = (own.words, *own.said)
    return policy.release_within_s > 0 and (names(policy.transient, *lines) or passes_by_itself(*lines))


def without_release(verdict: Verdict) -> Verdict:
    """A verdict on what is not released by itself after all."""
    return replace(verdict, held=False, sentence=verdict.sentence.removesuffix(RELEASED))


def _worn_out(policy: RedrivePolicy, history: DeadLetterHistory) -> str:
    """Why a message is not retried any more, or nothing."""
    if not history.past.readable:
        return (
            ": the count of retries that it carries (sluice.attempts) cannot be read, and is taken to be at its limit."
        )
    if history.past.attempts >= policy.max_retries:
        return f": it failed again after {history.past.attempts} of {policy.max_retries} retries."
    return ""


def backoff_s(policy: RedrivePolicy, attempts: int, uniform: float) -> float:
    """Between half of the exponential delay and all of it, in seconds; 0 <= uniform < 1.

    With half of it surely waited for, the default's three retries take a quarter of an hour at least, which outlasts
    an ordinary outage. The other half parts messages that failed together.
    """
    return (0.5 + 0.5 * uniform) * min(policy.max_delay_s, policy.base_delay_s * 2.0 ** min(attempts, 64))


MARGIN_SHARE = 0.25  # of the retention: a day of four, SQS's default
MARGIN_MAX_S = 86_400.0  # a day is enough for an operator, and for many checks


def left_s(message: Message, retention_s: float | None, now: float) -> float | None:
    """How long until SQS deletes a message from a queue of that retention, in seconds; None where it is not known."""
    if message.first_sent_at is None or retention_s is None:
        return None
    return message.first_sent_at + retention_s - now


def margin_s(policy: RedrivePolicy, retention_s: float) -> float:
    """How long before its retention ends a dead letter is quarantined, in seconds."""
    if policy.quarantine_before_s is not None:
        return policy.quarantine_before_s
    return min(MARGIN_MAX_S, MARGIN_SHARE * retention_s)


def sample_of(message: Message) -> str:
    """The beginning of a body, as much as an operator needs to recognise it."""
    return message.body[:SAMPLE_LENGTH]


def selectable_attributes(message: Message) -> tuple[tuple[str, str], ...]:
    """The producer's own attributes that are texts, cut, as the index keeps them to select by."""
    return tuple(
        (name, value.text[:SELECTABLE_LENGTH])
        for name, value in message.attributes
        if value.text is not None and not name.startswith(OWN_PREFIX)
    )
