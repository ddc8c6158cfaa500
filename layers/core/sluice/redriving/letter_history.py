"""What is known of a dead letter from before: its redrives, the copy that it is, and whether it is here twice.

Theory of operation. A copy that Sluice sends carries its count, sealed for its body and its queue. Consumers that move
messages to the dead-letter queue themselves may drop it, or copy the body alone under a new id. So the ledger remembers
each dead letter that was retried, by its body and its queue, and a dead letter without a count of its own is taken for
what a consumer made of such a retry if

    due_at <= sent_at <= due_at + window_s

where `due_at` is when the retry could be received, `sent_at` when the dead letter was sent, and `window_s` what a
message waits and is worked on at most (`return_window_s`). Each retry answers for one dead letter, the one with the
fewest redrives first. So a body is retried at most `max_retries` times for each message that was sent with it: equal
bodies that a producer sends again and again, such as a tick each hour, are messages of their own, and only those that
fail within the window of a retry are counted on from it. Copies that had no room for a count have no such window.

A dead letter is here twice if its consumer sent a copy of it to the dead-letter queue, and SQS then moved the message
as well, since it was not deleted. Both have one body, and one first sending where the consumer stamps it; otherwise
the copy was sent while the message was in its queue.
"""

from collections.abc import Sequence

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass
from sluice.model.redriving import HandledLetter, Message, Remembered
from sluice.redriving.message_copy import Destination, Origin, body_key, carried_count, first_sent_at, origin_of

CLOCK_SKEW_S = 0.5  # between SQS's clock and Lambda's
WINDOW_MAX_S = 900.0  # a fleet with a longer target wait is not behind for all of it
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
VISIBILITY_MAX_S = 43_200.0  # for as long a message may be in flight while its copy is in the dead-letter queue
SAME_TIME_S = 0.002  # SQS's times have milliseconds


@dataclass(frozen=True, slots=True)
class LetterPast:
    """What is known of one dead letter from before.

    Attributes:
        attempts: how often it was sent back before; at least the policy's limit where its count cannot be read.
        readable: whether the count that it carries can be read.
        answers: the handled dead letter that it is a copy of, as far as the ledger remembers it.
        is_copy: whether the ledger knows it for a copy of what Sluice sent to the queue.
        twin: the handled dead letter that is the same message.
        is_retried: whether it was to be sent back before, and so perhaps was.
    """

    attempts: int = 0
    readable: bool = True
    answers: HandledLetter | None = None
    is_copy: bool = False
    twin: HandledLetter | None = None
    is_retried: bool = False


def return_window_s(fleet: Fleet, visibility_s: float) -> float:
    """How long after it could be received a retry fails again at the latest, in seconds: it waits, and is worked on."""
    return min(WINDOW_MAX_S, fleet.target_wait_s + visibility_s)


def past_of(
    message: Message,
    to: Destination,
    handled: Sequence[HandledLetter],
    beside: Sequence[HandledLetter] = (),
    *,
    window_s: float,
    limit: int,
) -> LetterPast:
    """What is known of a dead letter.

    Args:
        message: the dead letter.
        to: the queue that it would go back to.
        handled: what the ledger remembers of its body.
        beside: what was handled since, with the batch in which it was received: it is no copy of any of that.
        window_s: within which a retry fails again, in seconds.
        limit: the redrives that count where the number that it carries cannot be read.
    """
    carried = carried_count(message, to)
    least = max(carried.count or 0, 0 if carried.readable else limit)
    own = next((one for one in handled if one.letter_id == message.id), None)
    if own is not None:  # it was judged before, and is here still: whether it was sent is for its claim to say
        retried = own.due_at is not None
        attempts = max(least, own.attempts - retried)
        return LetterPast(attempts, carried.readable, is_copy=own.answers is not None, is_retried=retried)
    origin = origin_of(message, to)
    if twin := _twin_of(message, to, origin, (*handled, *beside)):
        return LetterPast(max(least, twin.attempts), carried.readable, is_copy=True, twin=twin)
    answers = _answered_by(message, origin, carried.sealed, handled, window_s)
    attempts = max(least, answers.attempts if answers else 0)
    return LetterPast(attempts, carried.readable, answers, is_copy=answers is not None)


def job_letter_id(message_id: str, job_id: str) -> str:
    """What the ledger remembers a message under that a redrive job sends."""
    return f"{message_id}/{job_id}"


def remembered(
    letter: Message,
    to: Destination,
    attempts: int,
    at: float,
    *,
    due_at: float | None,
    stamped: bool,
    answers: HandledLetter | None = None,
) -> Remembered:
    """What the ledger is to remember of a dead letter.

    Args:
        letter: the dead letter.
        to: the queue that it goes back to.
        attempts: its redrives so far, this one included.
        at: epoch seconds: now.
        due_at: when its copy can be received, in epoch seconds; None: it is quarantined.
        stamped: whether its copy carries the count.
        answers: the retry that it is what became of, which is answered by that.
    """
    return Remembered(
        body_key(letter, to),
        HandledLetter(
            letter_id=letter.id,
            attempts=attempts,
            at=at,
            due_at=due_at,
            stamped=stamped,
            moved=letter.source is not None,
            sent_at=letter.first_sent_at,
            first_sent_at=first_sent_at(letter, to),
            answers=answers.letter_id if answers else None,
        ),
        answers.letter_id if answers else None,
    )


def not_sent_by_jobs(noted: Sequence[Remembered | None]) -> list[Remembered]:
    """What makes the ledger forget the messages of jobs that were surely not sent: nothing comes back of them.

    A record that stayed would tell a job of what came back of a later one. A retry is judged again, which writes over
    its record.
    """
    letters = ((one.key, one.letter) for one in noted if one is not None)
    return [Remembered(key, None, letter.letter_id) for key, letter in letters if letter and letter.job_id]


def _answered_by(
    message: Message, origin: Origin | None, sealed: bool, handled: Sequence[HandledLetter], window_s: float
) -> HandledLetter | None:
    """The retry that a dead letter is what became of."""
    if origin is not None:
        sent_as = origin.message_id if origin.job_id is None else job_letter_id(origin.message_id, origin.job_id)
        return next((one for one in handled if one.letter_id == sent_as and one.due_at is not None), None)
    possible = [one for one in handled if _may_return(message.first_sent_at, one, window_s, sealed=sealed)]
    return min(possible, key=lambda one: (one.attempts, one.due_at, one.letter_id), default=None)


def _may_return(sent_at: float | None, one: HandledLetter, window_s: float, *, sealed: bool) -> bool:
    if one.due_at is None:
        return False
    if sent_at is None or sealed:
        return True
    if not one.stamped:  # SQS keeps the time at which the copy was sent, which is before it could be received
        return sent_at >= one.at - CLOCK_SKEW_S
    return one.due_at - CLOCK_SKEW_S <= sent_at <= one.due_at + window_s


def _twin_of(
    message: Message, to: Destination, origin: Origin | None, handled: Sequence[HandledLetter]
) -> HandledLetter | None:
    """The handled dead letter that is the same message, if one is."""
    if origin is not None:
        return next((one for one in handled if one.answers == origin.message_id), None)
    return next((one for one in handled if _is_same(message, to, one)), None)


def _is_same(message: Message, to: Destination, one: HandledLetter) -> bool:
    """Whether one of both is a message that SQS moved, and the other the copy that its consumer sent."""
    moved, first_at, sent_at = message.source is not None, first_sent_at(message, to), message.first_sent_at
    if one.moved == moved or None in {first_at, sent_at, one.first_sent_at, one.sent_at}:
        return False
    assert first_at is not None
    assert sent_at is not None
    assert one.first_sent_at is not None
    assert one.sent_at is not None
    of_message, copy_first_at, copy_sent_at = (
        (sent_at, one.first_sent_at, one.sent_at) if moved else (one.sent_at, first_at, sent_at)
    )
    if abs(copy_first_at - copy_sent_at) > SAME_TIME_S:  # its consumer stamped when the message was first sent
        return abs(copy_first_at - of_message) <= SAME_TIME_S
    in_queue = of_message < copy_sent_at <= of_message + VISIBILITY_MAX_S
    return in_queue and (moved or copy_sent_at <= one.at)
