"""What Sluice needs is away for ten minutes: its functions, the ledger, or Parameter Store.

Nobody is killed for it where the hook's timeout allows: the longest that a heartbeat may be overdue must be shorter.

While Parameter Store is away, a process that begins reads the documents in the ledger's copy. Only in a stack that has
no copy yet, which its planner makes within its first minutes, does such a process know no group and no hook. Then
nothing can be asked of it: see `Absence.forgot`.
"""

import math
from enum import StrEnum
from typing import TYPE_CHECKING

from sluice.memory import Call
from sluice_tools.chaos.drain_scene import STALL_S, SWEEP_S

if TYPE_CHECKING:
    from sluice_tools.chaos.drain_world import World

AWAY_S = 600.0


class Part(StrEnum):
    """What can be away."""

    FUNCTIONS = "functions"
    LEDGER = "ledger"
    PARAMETERS = "parameters"


class Absence:
    """One part is away for AWAY_S, or none is.

    Args:
        world: what happens in it.
        part: what is away; None: nothing ever is.
        from_at: from when, in epoch seconds.
    """

    def __init__(self, world: "World", part: Part | None, from_at: float) -> None:
        self._world = world
        self.part = part
        self.from_at = math.inf if part is None else from_at
        self.until = self.from_at + AWAY_S
        # Whether a process that had never read the documents asked for them in vain. It began when the one before it
        # crashed, in the absence or before, or with the stack; from nothing but AWS it cannot know whom to hold.
        self.forgot = False
        self._knows = False  # whether the process that runs has read them

    def now_of(self, part: Part) -> bool:
        """Whether just this part is away now."""
        return self.part is part and self.from_at <= self._world.now < self.until

    def fails(self, call: Call) -> bool:
        """Whether a call of a port fails because what it needs is away."""
        return call.port in self._world.ledger_ports and self.now_of(Part.LEDGER)

    def crashed(self) -> None:
        """A process has died, and with it what it remembered."""
        self._knows = False

    def read_documents(self) -> None:
        """The process that runs has read the documents."""
        self._knows = True

    def asked_for_documents(self) -> None:
        """Parameter Store was asked for the documents while it was away."""
        self.forgot |= not self._knows and not self._world.scene.copied

    def last_at(self, at: float) -> float:
        """When something was away last, as of a time; both in epoch seconds."""
        return min(at, self.until) if self.from_at <= at else 0.0

    def must_be_survived(self) -> bool:
        """Whether no hook may time out because of it."""
        policy = self._world.policy
        spare_s = policy.hook_timeout_s - policy.heartbeat_interval_s
        # The functions come back with the next sweep; without the ledger, or the documents, each sweep holds who waits.
        overdue_s = SWEEP_S + 2 * STALL_S + (AWAY_S + SWEEP_S if self.part is Part.FUNCTIONS else 0.0)
        return spare_s >= overdue_s and not self.forgot
