"""Which fleets need an operator: as functions saw it, and as notices told it."""

from collections.abc import Sequence
from typing import Protocol

from sluice.model.need import Need, ToldNeed

NEEDS_KEPT_S = 86_400.0  # after a need was last seen


class Needs(Protocol):
    """The needs of a stack's fleets."""

    def note(self, need: Need) -> None:
        """Note what a function saw; of one fleet and reason the last one stays."""
        ...

    def noted(self) -> tuple[Need, ...]:
        """Everything that was seen lately, by reason and fleet; some of it may be over."""
        ...

    def told(self) -> tuple[ToldNeed, ...]:
        """What notices told last."""
        ...

    def keep_told(self, told: Sequence[ToldNeed]) -> None:
        """Keep what a notice told, in the place of what the one before told. Who has the lease may call it."""
        ...
