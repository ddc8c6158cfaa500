"""Batches of SQS: how many messages go into one call, and one answer made of the answers of several calls.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from sluice.aws.errors import is_final
from sluice.model.redriving import Message
from sluice.ports.aws_services import EARLIER_FAILED, BatchAnswer
from sluice.ports.errors import LostAnswerError, PortError

MAX_BATCH = 10
MAX_BATCH_BYTES = 1_048_576


def batches_of(messages: Sequence[Message], *, in_order: bool) -> Iterator[list[int]]:
    """Indexes in order, at most ten and MAX_BATCH_BYTES a batch; a message that is too large for any is alone.

    In order: no two of one message group in one batch.
    """
    batch: list[int] = []
    batch_bytes = 0
    groups: set[str | None] = set()
    for index, message in enumerate(messages):
        size = message.size_bytes
        full = len(batch) == MAX_BATCH or batch_bytes + size > MAX_BATCH_BYTES
        if batch and (full or (in_order and message.message_group in groups)):
            yield batch
            batch, batch_bytes, groups = [], 0, set()
        batch.append(index)
        batch_bytes += size
        groups.add(message.message_group)
    if batch:
        yield batch


def without_blocked(batch: list[int], messages: Sequence[Message], failed: dict[int, str]) -> list[int]:
    """The batch without messages of a message group of which an earlier one failed; these are added to `failed`."""
    groups = {messages[index].message_group for index in failed} - {None}
    for index in batch:
        if messages[index].message_group in groups:
            failed[index] = EARLIER_FAILED
    return [index for index in batch if index not in failed]


def counts_of_ten(count: int) -> list[int]:
    """How many messages each of the fewest requests asks for, ten at most."""
    return [min(MAX_BATCH, count - start) for start in range(0, count, MAX_BATCH)]


def tens_of(count: int) -> list[range]:
    """The indexes of so many entries, in batches of ten."""
    return [range(start, min(start + MAX_BATCH, count)) for start in range(0, count, MAX_BATCH)]


@dataclass(slots=True)
class BatchResult:
    """The results of the calls for one batch, entry by entry, and the calls whose answer was lost."""

    done: set[int] = field(default_factory=set)
    failed: dict[int, str] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    errors: list[PortError] = field(default_factory=list)  # of calls that did nothing
    lost: list[LostAnswerError] = field(default_factory=list)

    def add(self, other: "BatchResult") -> None:
        """Add the results of another call."""
        self.done |= other.done
        self.failed |= other.failed
        self.refused |= other.refused
        self.errors += other.errors
        self.lost += other.lost


def to_answer(every: Sequence[BatchResult]) -> BatchAnswer:
    """One answer from several results. An error is raised only if no call had a result."""
    result = BatchResult()
    for one in every:
        result.add(one)
    if result.lost and not result.done and not result.failed:
        raise result.lost[0]
    if result.errors and not result.done and not result.refused and not result.lost:
        raise result.errors[0]
    return BatchAnswer(frozenset(result.done), result.failed, frozenset(result.refused))


def read_answer(answer: Any) -> BatchResult:
    """A batch's answer, entry by entry."""
    result = BatchResult({int(entry["Id"]) for entry in answer.get("Successful", [])})
    for entry in answer.get("Failed", []):
        index = int(entry["Id"])
        result.failed[index] = f"{entry.get('Code', 'no code')}: {entry.get('Message', 'no message')}"
        if entry.get("SenderFault") and is_final(entry.get("Code", "")):
            result.refused.add(index)
    return result
