"""SQS queues."""

import json
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice.aws.clients import READ_TIMEOUT_S, TICK_TIMEOUT_S, Clients
from sluice.aws.errors import Thing, asking, code_of
from sluice.aws.queue_batches import (
    MAX_BATCH,
    BatchResult,
    batches_of,
    counts_of_ten,
    read_answer,
    tens_of,
    to_answer,
    without_blocked,
)
from sluice.aws.queue_messages import SYSTEM_ATTRIBUTES, entry_of, is_fifo, message_of
from sluice.model.observed import QueueReading, Reading
from sluice.model.redrive_jobs import MoveTask
from sluice.model.redriving import Message
from sluice.ports.aws_services import EARLIER_FAILED, BatchAnswer, QueueFacts
from sluice.ports.errors import LostAnswerError, PortError, RefusedError, TryLaterError, answer_of

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.literals import QueueAttributeNameType

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
MAX_VISIBILITY_S = 43_200
# A long poll must end before the client gives up on the answer: what is received then would be hidden in vain.
MAX_WAIT_S = int(READ_TIMEOUT_S) - 1
# Calls under way together where many messages are moved: SQS answers each in some 10 ms, and a single-file run would
# spend its time waiting. botocore keeps ten connections.
AT_ONCE = 4
# The most of a part of a load. The parts of a round are claimed together: with more of them they would only be hidden
# for longer, and more would be in doubt if the process dies.
PART_MAX = 50
# Queues whose counts are read together. SQS answers one in 10 to 20 ms, of which 1 ms is this process's own work, so
# that eight keep a core half busy, and leave two of botocore's ten connections.
READS_AT_ONCE = 8
NO_ANSWER = f"SQS did not answer within {TICK_TIMEOUT_S:g} s"
# Visible, in flight, delayed.
COUNTS: "Sequence[QueueAttributeNameType]" = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
RETENTION: "QueueAttributeNameType" = "MessageRetentionPeriod"
VISIBILITY: "QueueAttributeNameType" = "VisibilityTimeout"
MOVES_LISTED = 10  # the most that ListMessageMoveTasks answers
# CancelMessageMoveTask's answers for a task that is over: unknown, or not running any more.
OVER = frozenset({"ResourceNotFoundException", "UnsupportedOperation"})
GONE = frozenset({"InvalidParameterValue", "MessageNotInflight", "ReceiptHandleIsInvalid"})


class SqsQueue:
    """The Queue port."""

    def __init__(self, clients: Clients, at_once: int = AT_ONCE) -> None:
        self._clients = clients
        self.at_once = at_once
        self._pool: ThreadPoolExecutor | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._within = threading.local()  # .piece: this thread is at a piece of work that is done side by side
        self._arns: dict[str, str] = {}

    def read(self, queue_url: str, now: float) -> QueueReading:
        """Visible, in flight and delayed; SQS's own approximations."""
        return _read(self._clients.sqs, queue_url, now)

    def read_all(self, queue_urls: Sequence[str], now: float) -> tuple[QueueReading | PortError, ...]:
        """Each queue's counts or its error, by calls under way together, within TICK_TIMEOUT_S for all of them.

        Where one queue's call gets no answer, the others go on beside it. Where SQS is silent, those whose turn does
        not come in time are not asked for.
        """
        client = self._clients.of_ticks.sqs  # made here once, rather than by each thread
        if len(queue_urls) == 1:
            return (answer_of(partial(_read, client, queue_urls[0], now)),)
        if self._readers is None:
            self._readers = ThreadPoolExecutor(READS_AT_ONCE, "read-queues")
        calls = [self._readers.submit(answer_of, partial(_read, client, url, now)) for url in queue_urls]
        wait(calls, TICK_TIMEOUT_S)
        answers: list[QueueReading | PortError] = []
        for url, call in zip(queue_urls, calls, strict=True):
            late = call.cancel() or not call.done()
            answers.append(TryLaterError(f"{_thing(url).name}: {NO_ANSWER}") if late else call.result())
        return tuple(answers)

    def facts(self, queue_url: str) -> QueueFacts:
        """What the queue is."""
        with asking(_thing(queue_url)):
            answer = self._clients.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])
        found = answer.get("Attributes", {})
        policy = json.loads(found.get("RedrivePolicy") or "{}")
        return QueueFacts(
            url=queue_url,
            arn=found["QueueArn"],
            fifo=is_fifo(queue_url),
            retention_s=float(found["MessageRetentionPeriod"]),
            max_bytes=int(found["MaximumMessageSize"]),
            visibility_s=float(found["VisibilityTimeout"]),
            dead_letter_arn=policy.get("deadLetterTargetArn"),
            max_receive_count=int(policy["maxReceiveCount"]) if "maxReceiveCount" in policy else None,
        )

    def receive(self, queue_url: str, limit: int, visibility_s: float, wait_s: float = 0.0) -> tuple[Message, ...]:
        """Messages, whole, by a call for each ten.

        `wait_s` is held to what the client's own timeout allows (4 s). What was received before an error is answered.
        """
        answers = self._together(
            lambda count: answer_of(partial(self._receive_some, queue_url, count, visibility_s, wait_s)),
            counts_of_ten(max(limit, 1)),
        )
        errors = [answer for answer in answers if isinstance(answer, PortError)]
        received = tuple(message for answer in answers if not isinstance(answer, PortError) for message in answer)
        if errors and not received:
            raise errors[0]
        return received

    def _receive_some(self, queue_url: str, limit: int, visibility_s: float, wait_s: float) -> tuple[Message, ...]:
        with asking(_thing(queue_url)):
            answer = self._clients.sqs.receive_message(
                QueueUrl=queue_url,
                MaxNumberOfMessages=limit,
                VisibilityTimeout=_visibility(queue_url, visibility_s),
                WaitTimeSeconds=min(math.ceil(wait_s), MAX_WAIT_S),
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=SYSTEM_ATTRIBUTES,
            )
        return tuple(message_of(received) for received in answer.get("Messages", []))

    def send(self, queue_url: str, messages: Sequence[Message], delay_s: Sequence[float]) -> BatchAnswer:
        """Send copies, in batches by count and by bytes.

        On a FIFO queue the deduplication id is made of the message's id: one sending repeated is one message, while
        the copy, which has an id of its own, is not taken for this one when it is sent again in its turn. And SQS
        takes the entries of one batch each by itself, so that a message group has one message in a batch at most, and
        none after one that failed: its order is kept.
        """
        assert len(messages) == len(delay_s)
        batches = list(batches_of(messages, in_order=is_fifo(queue_url)))
        if not is_fifo(queue_url):
            return to_answer(
                self._together(lambda batch: self._send_batch(queue_url, messages, delay_s, batch), batches)
            )
        result = BatchResult()
        for batch in batches:
            # It is unknown whether a batch whose answer was lost was sent, so everything behind it waits.
            going = [] if result.lost else without_blocked(batch, messages, result.failed)
            result.failed |= dict.fromkeys(
                (i for i in batch if i not in going and i not in result.failed), EARLIER_FAILED
            )
            if going:
                result.add(self._send_batch(queue_url, messages, delay_s, going))
        return to_answer([result])

    def _send_batch(
        self, queue_url: str, messages: Sequence[Message], delay_s: Sequence[float], batch: Sequence[int]
    ) -> BatchResult:
        try:
            with asking(_thing(queue_url)):
                answer = self._clients.sqs_once.send_message_batch(
                    QueueUrl=queue_url,
                    Entries=[entry_of(queue_url, index, messages[index], delay_s[index]) for index in batch],
                )
        except LostAnswerError as error:
            return BatchResult(lost=[error])
        except RefusedError as error:
            if len(batch) == 1:
                return BatchResult(failed={batch[0]: str(error)}, refused={batch[0]})
            result = BatchResult()  # refused as a whole, for one of them: find out which
            for index in batch:
                result.add(self._send_batch(queue_url, messages, delay_s, [index]))
            return result
        except PortError as error:
            return BatchResult(failed=dict.fromkeys(batch, str(error)), errors=[error])
        return read_answer(answer)

    def delete(self, queue_url: str, receipts: Sequence[str]) -> BatchAnswer:
        """Delete received messages; repeating it is harmless."""
        batches = tens_of(len(receipts))
        return to_answer(self._together(lambda batch: self._delete_batch(queue_url, receipts, batch), batches))

    def _delete_batch(self, queue_url: str, receipts: Sequence[str], batch: Sequence[int]) -> BatchResult:
        try:
            with asking(_thing(queue_url)):
                answer = self._clients.sqs.delete_message_batch(
                    QueueUrl=queue_url,
                    Entries=[{"Id": str(index), "ReceiptHandle": receipts[index]} for index in batch],
                )
        except PortError as error:
            return BatchResult(failed=dict.fromkeys(batch, str(error)), errors=[error])
        return read_answer(answer)

    def _together[Given, Result](self, call: Callable[[Given], Result], given: Sequence[Given]) -> list[Result]:
        """The results of calls, some of which are under way at once."""
        if len(given) <= 1 or self.at_once == 1 or getattr(self._within, "piece", False):
            return [call(one) for one in given]
        # One share a thread, rather than one task a call: a thread that waits for tasks is scheduled for each of them.
        shares = [given[first :: self.at_once] for first in range(min(self.at_once, len(given)))]
        answers = list(self._threads().map(lambda share: [call(one) for one in share], shares))
        return [answers[index % self.at_once][index // self.at_once] for index in range(len(given))]

    def _threads(self) -> ThreadPoolExecutor:
        _ = self._clients.sqs, self._clients.sqs_once  # made here once, rather than by each thread
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.at_once)
        return self._pool

    def rounds(self, count: int) -> Sequence[Sequence[int]]:
        """Rounds of as many parts as calls may be under way, of whole batches, and as equal as may be."""
        batches_count = max(1, math.ceil(count / MAX_BATCH))
        rounds_count = math.ceil(count / (self.at_once * PART_MAX)) or 1
        parts_count = min(self.at_once * rounds_count, batches_count)
        each, over = divmod(batches_count, parts_count)
        parts = [MAX_BATCH * (each + (place < over)) for place in range(parts_count)]
        parts[-1] -= sum(parts) - count  # the last batch may be smaller
        return list(batched(parts, self.at_once, strict=False))

    def begin[Result](self, work: Callable[[], Result]) -> Callable[[], Result]:
        """The piece by one thread, which makes its calls itself, and then takes the next piece."""

        def done() -> Result:
            self._within.piece = True
            try:
                return work()
            finally:
                self._within.piece = False

        return self._threads().submit(done).result

    def hide(self, queue_url: str, receipt: str, seconds: float) -> bool:
        """Set a received message's visibility timeout; False if the receipt is no longer good."""
        timeout_s = _visibility(queue_url, seconds)
        with asking(_thing(queue_url)):
            try:
                self._clients.sqs.change_message_visibility(
                    QueueUrl=queue_url, ReceiptHandle=receipt, VisibilityTimeout=timeout_s
                )
            except ClientError as error:
                # The timeout's own bounds are checked above, so that these codes are about the receipt. A message
                # that was hidden for 12 hours in all is not ours any longer either.
                if code_of(error) in GONE:
                    return False
                raise
        return True

    def hold(self, queue_url: str, receipts: Sequence[str], seconds: float) -> BatchAnswer:
        """Set the visibility timeouts of received messages; each entry is answered by itself.

        Of one that is not in flight under its receipt the entry says ReceiptHandleIsInvalid, MessageNotInflight or
        InvalidParameterValue:
        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibilityBatch.html
        """
        timeout_s = _visibility(queue_url, seconds)
        batches = tens_of(len(receipts))
        return to_answer(self._together(lambda batch: self._hold_batch(queue_url, receipts, batch, timeout_s), batches))

    def _hold_batch(self, queue_url: str, receipts: Sequence[str], batch: Sequence[int], timeout_s: int) -> BatchResult:
        try:
            with asking(_thing(queue_url)):
                answer = self._clients.sqs.change_message_visibility_batch(
                    QueueUrl=queue_url,
                    Entries=[
                        {"Id": str(index), "ReceiptHandle": receipts[index], "VisibilityTimeout": timeout_s}
                        for index in batch
                    ],
                )
        except PortError as error:
            return BatchResult(failed=dict.fromkeys(batch, str(error)), errors=[error])
        return read_answer(answer)

    # ----------------------------------------------------------------- move tasks

    def start_move(self, queue_url: str, to_arn: str, rate_per_s: int) -> str:
        """Start SQS's own redrive. The call is not repeated: a task whose answer was lost is found in `moves`."""
        with asking(_thing(queue_url)):
            answer = self._clients.sqs_once.start_message_move_task(
                SourceArn=self._arn(queue_url), DestinationArn=to_arn, MaxNumberOfMessagesPerSecond=rate_per_s
            )
        return answer["TaskHandle"]

    def moves(self, queue_url: str) -> tuple[MoveTask, ...]:
        """The last move tasks of a queue."""
        with asking(_thing(queue_url)):
            answer = self._clients.sqs.list_message_move_tasks(SourceArn=self._arn(queue_url), MaxResults=MOVES_LISTED)
        return tuple(
            MoveTask(
                started_at=float(task["StartedTimestamp"]) / 1_000,
                running=task["Status"] in {"RUNNING", "CANCELLING"},
                moved_count=int(task.get("ApproximateNumberOfMessagesMoved", 0)),
                handle=task.get("TaskHandle"),
                problem=task.get("FailureReason", ""),
                cancelled=task["Status"] in {"CANCELLING", "CANCELLED"},
            )
            for task in answer.get("Results", [])
        )

    def cancel_move(self, handle: str) -> bool:
        """Stop a move task."""
        with asking(Thing("sqs", "message move task", "it may have ended long ago")):
            try:
                self._clients.sqs.cancel_message_move_task(TaskHandle=handle)
            except ClientError as error:
                if code_of(error) in OVER:
                    return False
                raise
        return True

    def _arn(self, queue_url: str) -> str:
        if queue_url not in self._arns:
            self._arns[queue_url] = self.facts(queue_url).arn
        return self._arns[queue_url]


def _thing(queue_url: str) -> Thing:
    return Thing("sqs", f"queue {queue_url}", "create it, or correct the fleet's document")


def _read(client: "SQSClient", queue_url: str, now: float) -> QueueReading:
    """A queue's counts, and how long it keeps and hides messages. What SQS leaves out is None."""
    names = [*COUNTS, RETENTION, VISIBILITY]
    with asking(_thing(queue_url)):
        found = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=names).get("Attributes", {})

    def reading(name: "QueueAttributeNameType") -> Reading | None:
        return Reading(float(found[name]), now) if name in found else None

    visible, in_flight, delayed = map(reading, COUNTS)
    retention_s = float(found[RETENTION]) if RETENTION in found else None
    visibility_s = float(found[VISIBILITY]) if VISIBILITY in found else None
    return QueueReading(visible, in_flight, delayed, retention_s=retention_s, visibility_s=visibility_s)


def _visibility(queue_url: str, seconds: float) -> int:
    """Whole seconds, as SQS takes them; never shorter than asked for."""
    if not 0 <= seconds <= MAX_VISIBILITY_S:
        raise RefusedError(f"queue {queue_url}: a visibility timeout is 0 to {MAX_VISIBILITY_S} s, not {seconds:g}")
    return math.ceil(seconds)
