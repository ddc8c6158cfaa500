"""SQS's message move tasks in memory, which move a dead-letter queue's messages to another queue at a rate.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_StartMessageMoveTask.html
"""

from collections.abc import Callable
from dataclasses import dataclass

from sluice.memory.queue_state import QueueState
from sluice.model.frozen import replace
from sluice.model.redrive_jobs import MoveTask
from sluice.ports.errors import RefusedError

MOVES_LISTED = 10  # the most that ListMessageMoveTasks answers


@dataclass(slots=True)
class _Move:
    """One message move task. Times are epoch seconds."""

    source: QueueState
    target: QueueState
    rate_per_s: int
    handle: str
    started_at: float
    stepped_at: float
    running: bool = True
    moved_count: int = 0
    cancelled: bool = False


class MoveTasks:
    """Every move task; those that run go on whenever `advance` is called. `next_number` numbers tasks and messages."""

    def __init__(self, next_number: Callable[[], int]) -> None:
        self._next_number = next_number
        self._moves: list[_Move] = []

    def start(self, source: QueueState, target: QueueState, rate_per_s: int, now: float) -> str:
        """Begin a task; its handle. RefusedError if one of the same source runs."""
        if any(move.running and move.source is source for move in self._moves):
            raise RefusedError("UnsupportedOperation: there is already a task running")
        self._moves.insert(0, _Move(source, target, rate_per_s, f"move-{self._next_number()}", now, now))
        return self._moves[0].handle

    def of(self, source: QueueState) -> tuple[MoveTask, ...]:
        """The last tasks of a queue, newest first."""
        return tuple(
            MoveTask(
                move.started_at,
                move.running,
                move.moved_count,
                move.handle if move.running else None,
                cancelled=move.cancelled,
            )
            for move in self._moves
            if move.source is source
        )[:MOVES_LISTED]

    def cancel(self, handle: str) -> bool:
        """Stop a task; False if it does not run."""
        move = next((move for move in self._moves if move.handle == handle and move.running), None)
        if move:
            move.running, move.cancelled = False, True
        return move is not None

    def advance(self, now: float) -> None:
        """Move what each running task can have moved by now: as new messages, the oldest first."""
        for move in self._moves:
            if not move.running:
                continue
            allowed = int((now - move.stepped_at) * move.rate_per_s)
            visible = list(move.source.receivable(now))
            for held in visible[:allowed]:
                move.source.remove(held, now)
                moved = replace(held.message, deduplication=f"moved:{held.order}")
                move.target.enqueue(replace(moved, source=None), self._next_number, 0.0, now)
                move.moved_count += 1
            if allowed:
                move.stepped_at = now
            move.running = len(visible) > allowed
