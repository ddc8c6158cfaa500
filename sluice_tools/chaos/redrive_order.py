"""The order of automatic retries within the message groups of FIFO queues, held against what the redriver sends.

A message group's dead letters are retried one at a time, in the order in which they became dead letters
(docs/adr/0104). When one is sent, each that was before it has been worked on, or is in quarantine, or was sent so long
ago that its copy had all the time that it may take. A copy that came back within that time is ahead of it again.

Not promised, and not looked at: what an operator redrives, and what a consumer copies without the stamps.
"""

from typing import TYPE_CHECKING

from sluice.model.redriving import Message
from sluice_tools.chaos.redrive_queue import Habit, Order, message_name

if TYPE_CHECKING:
    from sluice_tools.chaos.redrive_scene import Scene


class RetryOrder:
    """What became a dead letter when, and when the queue took its last retry.

    Args:
        scene: what happens, and what is violated.
        settles_s: how long a copy may take until it is worked on or is a dead letter again.
        spare_s: how much of that may have passed before the queue takes a copy: the redriver counts from its verdict.
    """

    def __init__(self, scene: "Scene", settles_s: float, spare_s: float) -> None:
        self._scene = scene
        self._settles_s = settles_s - spare_s
        self._first: dict[str, int] = {}  # bodies in the order in which they became dead letters
        self._entered_at: dict[str, float] = {}  # when each did so last
        self._sent_at: dict[str, float] = {}  # when the queue last took an automatic retry of it

    @property
    def message_group_count(self) -> int:
        """Message groups, each of one queue, that have had dead letters."""
        orders = (self._scene.orders[body] for body in self._first)
        return len({(order.home, order.message_group) for order in orders})

    def entered(self, body: str) -> None:
        """A message is new in a dead-letter queue."""
        self._first.setdefault(body, len(self._first))
        self._entered_at[body] = self._scene.now

    def sent(self, body: str) -> None:
        """The queue has taken an automatic retry."""
        self._sent_at[body] = self._scene.now

    def check(self, message: Message) -> None:
        """An automatic retry is about to be sent: nothing of its message group that was before it is left behind."""
        orders, mine = self._scene.orders, self._scene.orders[message.body]
        kept = set(self._scene.kept())
        for body, place in self._first.items():
            theirs = orders[body]
            if (theirs.message_group, theirs.home) != (mine.message_group, mine.home):
                continue
            if place < self._first[mine.body] and body not in kept and (why := self._is_ahead(theirs)):
                self._scene.violate(f"{message_name(mine.body)} overtakes {message_name(body)}, {why}")

    def _is_ahead(self, order: Order) -> str:
        """Why a message of the message group must be waited for; empty if that is over, or was never promised."""
        body, now = order.body, self._scene.now
        sent_at = self._sent_at.get(body)
        if order.done_count or order.foreign or self._scene.redriven[body]:
            return ""
        if sent_at is None:
            return "which waits in the dead-letter queue"
        if order.habit is not Habit.KEEPS:
            return ""
        if sent_at < self._entered_at[body] < sent_at + self._settles_s:
            return "whose retry came back"
        return "whose retry is under way" if now < sent_at + self._settles_s else ""
