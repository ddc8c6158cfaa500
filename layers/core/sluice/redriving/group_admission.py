"""Admits failure groups: a fleet has at most so many, and what would be one more is counted in the overflow."""

from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.failure_groups import OVERFLOW, Cause


def admit_to_group(ports: Ports[RedriverLedger], fleet: str, own: Cause, now: float) -> Cause:
    """The failure group that something of a group is counted in: its own, or the overflow's where there are too many.

    What is in the overflow is redriven like anything else. On its own record it keeps its own cause.

    Raises:
        PortError: the ledger does not say.
    """
    if own.id == OVERFLOW.id or ports.ledger.failure_groups.admit_group(fleet, own.id, own.words, now):
        return own
    return OVERFLOW
