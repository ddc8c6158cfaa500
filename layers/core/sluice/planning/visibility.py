"""Whether the queue's visibility timeout fits the work. What is reported here changes no capacity.

short    A message is in flight for longer than the timeout, becomes visible while a consumer works on it, and is worked
         on twice. Consumers delete it as often, and SQS counts duplicate deletions, too:

             completed again = deleted - (sent + there before - there after)

         A message that merely fails comes back as well, but is deleted once. So neither failures nor consumers that
         extend the timeout while they work look like this.
         https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
hidden   More messages are in flight than were received in an hour, in the time that any takes and in the queue's own
         timeout. A consumer hides messages for hours by itself, and what it leaves undone waits as long. While many
         messages are received, those that are hidden do not stand out. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
"""

from collections.abc import Iterator, Sequence
from math import sqrt

from sluice.model.decisions import Reason, ReasonCode
from sluice.model.frozen import dataclass
from sluice.model.observed import QueueReading
from sluice.model.planning import Estimates, Memory, QueueSample
from sluice.model.timing import Timing
from sluice.planning.assessment import Assessment
from sluice.planning.demand import value
from sluice.planning.learning.at_work import not_received
from sluice.planning.learning.significance import CLEAR, FEW, GAPS, REMEMBERED_S
from sluice.wording import count, duration, exactly


@dataclass(frozen=True, slots=True)
class InFlight:
    """For how long a message is in flight, in seconds: on average, and as long as many are."""

    mean_s: float
    long_s: float


def time_in_flight(estimates: Estimates) -> InFlight | None:
    """What was learned of it: the wait in its unit and the work. None where no metric has shown a completed message."""
    rate = estimates.service_rate
    if rate.source != "measured" or rate.value <= 0.0:
        return None
    works_s = estimates.at_once / rate.value
    mean_s = estimates.unbegun_s + works_s
    return InFlight(mean_s, mean_s + sqrt(estimates.spread) * works_s)


def completed_again(samples: Sequence[QueueSample], queue: QueueReading) -> tuple[float, float]:
    """Messages that were completed once more after they had been, and all completions, in the periods of the samples.

    What is unknown is 0. Delayed messages, which are in no sample, would look like it when they become visible.

    Args:
        samples: of the last ticks, ascending.
        queue: as read now, with its metrics.
    """
    sent, deleted = queue.sent, queue.deleted
    if not samples or not sent or not deleted or not sent.points or not deleted.points or value(queue.delayed) > 0.0:
        return 0.0, 0.0
    until = min(sent.points[-1][0], deleted.points[-1][0])
    starts = [at for at, _ in deleted.points if samples[0].at <= at <= min(until, samples[-1].at - deleted.period_s)]
    if not starts:
        return 0.0, 0.0
    start_at, end_at = starts[0], starts[-1] + deleted.period_s
    done = sum(number for at, number in deleted.points if start_at <= at < end_at)
    came = sum(number for at, number in sent.points if start_at <= at < end_at)
    # A tick is seldom at a period's end: of the counts around it, the one that shows less.
    before, after = max(_there(samples, start_at)), min(_there(samples, end_at))
    return max(0.0, done - max(0.0, came + before - after)), done


def _there(samples: Sequence[QueueSample], at: float) -> tuple[float, float]:
    """Messages waiting or in flight at the ticks before and after a moment, which the samples include."""
    before = [sample for sample in samples if sample.at <= at][-1]
    after = next(sample for sample in samples if sample.at >= at)
    return before.visible + before.in_flight, after.visible + after.in_flight


@dataclass(frozen=True, slots=True)
class Hidden:
    """Messages that somebody hides: so many for longer than `for_s` seconds."""

    messages: float
    for_s: float


def hidden(memory: Memory, flight: InFlight | None, visibility_s: float | None, timing: Timing) -> Hidden | None:
    """Messages in flight for an hour and longer, than any is worked on and than the queue's timeout lasts; or None.

    Args:
        memory: with what was received by the minute, and the last ticks' counts.
        flight: for how long a message is in flight.
        visibility_s: the queue's timeout; None where it is not known.
        timing: how late metrics are.
    """
    received, samples = memory.redeliveries.received, memory.samples
    if flight is None or visibility_s is None or not samples or not received.counts:
        return None
    if samples[-1].at - received.end_at > timing.settled_s + received.period_s:
        return None
    # One message in 25 takes longer than GAPS mean ones, where their times differ by chance.
    for_s = max(REMEMBERED_S, GAPS * flight.mean_s, visibility_s)
    # Any number may have been received since the metrics' end: no more than the fewest in flight since are older.
    there = min((sample.in_flight for sample in samples if sample.at >= received.end_at), default=0.0)
    messages = not_received(received, there, for_s + received.period_s)
    return Hidden(messages, for_s) if messages >= 0.5 else None


def notes(tick: Assessment, want: int) -> Iterator[Reason]:
    """What a decision says of the visibility timeout; it leaves the capacity as it is."""
    visibility_s, flight = tick.snapshot.queue.visibility_s, time_in_flight(tick.estimates)
    if visibility_s is None or flight is None:
        return
    several = tick.fleet.shared
    timeout = f"{'no' if several else 'the'} queue's visibility timeout is"
    timeout = f"{timeout} longer than {exactly(visibility_s)}" if several else f"{timeout} {exactly(visibility_s)}"
    if flight.long_s > visibility_s:
        again, done = completed_again(tick.memory.samples, tick.snapshot.queue)
        if again > max(FEW, CLEAR * done):
            sentence = (
                f"{again:,.0f} of {count(done, 'completion')} were of messages that had been completed before: a"
                f" message is in flight for {duration(flight.mean_s)} on average, and {timeout}; raise it above the"
                " longest that a message takes, or let consumers extend it while they work"
            )
            yield Reason(ReasonCode.VISIBILITY_SHORT, sentence, want, want)
    if found := hidden(tick.memory, flight, visibility_s, tick.timing):
        verb = "has" if round(found.messages) == 1 else "have"
        sentence = (
            f"{count(found.messages, 'message')} {verb} been in flight for more than {duration(found.for_s)}, but a"
            f" message is in flight for {duration(flight.mean_s)} on average, and {timeout}: a consumer hides messages"
            " for longer, and those that it leaves undone wait as long; let it extend a short timeout while it works"
        )
        yield Reason(ReasonCode.HIDDEN_LONG, sentence, want, want)
