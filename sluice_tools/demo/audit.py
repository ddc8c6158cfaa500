"""The audit at the end: what was sent, against the database, the ledger and the work log."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from sluice.wording import count
from sluice_tools.demo.timeline import Wait
from sluice_tools.order_traffic import Sent


@dataclass(frozen=True, slots=True)
class Audit:
    """The demo's figures, in the order in which they are printed. Times in seconds."""

    sent: int
    stored: int
    lost: int
    charged_twice: int
    quarantined: int
    redriven: int
    drains: int
    interrupted: int
    drained_order_s: float  # from the termination of an instance during the long order to its end
    peak_capacity: int
    wait_p50_s: float
    wait_p99_s: float
    wait_max_s: float
    target_wait_s: float
    instance_seconds: float
    fixed_fleet_instance_seconds: float

    def as_dict(self) -> dict[str, int | float]:
        """Name -> figure, seconds rounded to hundredths."""
        return {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(self).items()}

    def failures(self, poison: int) -> list[str]:
        """A sentence for each check that fails; empty if every check passes.

        Args:
            poison: how many poison orders were sent: each must have been quarantined and redriven.
        """
        checks = (
            (self.lost == 0, f"{_orders(self.lost)} lost"),
            (self.stored == self.sent, f"{_orders(self.sent)} sent, {self.stored} stored"),
            (self.charged_twice == 0, f"{_orders(self.charged_twice)} charged twice"),
            (self.interrupted == 0, f"{_orders(self.interrupted)} interrupted by a drain"),
            (self.drains > 0, "no instance was drained"),
            (self.drained_order_s > 0, "no order was finished while its instance was draining"),
            (self.quarantined == poison, f"{_orders(self.quarantined)} quarantined, {poison} should have been"),
            (self.redriven == poison, f"{_orders(self.redriven)} redriven, {poison} should have been"),
            (
                self.wait_p99_s <= self.target_wait_s,
                f"1% of orders waited more than {self.wait_p99_s:.1f} s; the target wait is {self.target_wait_s:g} s",
            ),
            (
                self.instance_seconds < self.fixed_fleet_instance_seconds,
                "a fleet fixed at peak capacity would not have cost more",
            ),
        )
        return [sentence for held, sentence in checks if not held]


def _orders(number: int) -> str:
    return f"{count(number, 'order')} {'was' if number == 1 else 'were'}"


def lost(sent: Mapping[str, Sent], stored: Collection[str]) -> list[str]:
    """Ids of accepted orders that the database does not have, at a moment when no queue holds any."""
    return sorted(set(sent) - set(stored))


def waits(sent: Mapping[str, Sent], started: Mapping[str, float], outage_acts: Collection[int]) -> list[Wait]:
    """Each order's wait, from its acceptance until work on it first began.

    Poison waits for an operator, and orders sent while the database was down wait for it: neither is the fleet's doing,
    so they are shown and not counted.
    """
    return [
        Wait(
            sent_at=one.sent_at,
            wait_s=max(0.0, started[order_id] - one.sent_at),
            counted=not one.poison and one.act not in outage_acts,
        )
        for order_id, one in sorted(sent.items(), key=lambda item: item[1].sent_at)
        if order_id in started
    ]


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least `share` of the values do not exceed (nearest rank); 0 of none."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else 0.0
