"""Which fleets need an operator: as functions saw it, and as notices reported it."""

from collections.abc import Sequence
from typing import Protocol

from sluice.model.need import OperatorNeed, ReportedNeed

NEEDS_KEPT_S = 86_400.0  # after a need was last seen


class Needs(Protocol):
    """The needs of a stack's fleets."""

    def note(self, need: OperatorNeed) -> None:
        """Note what a function saw; of one fleet and reason the last one stays."""
        ...

    def noted(self) -> tuple[OperatorNeed, ...]:
        """Everything that was seen lately, by reason and fleet; some of it may be over."""
        ...

    def reported(self) -> tuple[ReportedNeed, ...]:
        """What notices reported last."""
        ...

    def keep_reported(self, reported: Sequence[ReportedNeed]) -> None:
        """Keep what a notice reported, in the place of what the one before reported. Who has the lease may call it."""
        ...
