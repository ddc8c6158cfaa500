"""The audit at the end: what was sent, against the database, the ledger and the work log."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass

from sluice.wording import count
from sluice_tools.demo.comparison import Simulated
from sluice_tools.demo.comparison import in_words as cost_in_words
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
    late_share: float  # of the orders that are counted: those that waited longer than the target wait
    instance_seconds: float
    fixed_fleet_instance_seconds: float
    target_tracking_instance_seconds: float  # simulated on the same arrivals
    target_tracking_late_share: float

    def as_dict(self) -> dict[str, int | float]:
        """Name -> figure, for programs; rounded to four places."""
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}

    def in_words(self) -> list[tuple[str, str]]:
        """(what it is, figure with its unit), in the order of the fields."""
        return [(label, unit(getattr(self, name))) for name, (label, unit) in WORDS.items()]

    def cost(self) -> str:
        """What the story cost, beside a fixed fleet and target tracking."""
        return cost_in_words(
            self.instance_seconds,
            self.late_share,
            self.fixed_fleet_instance_seconds,
            self.peak_capacity,
            Simulated(self.target_tracking_instance_seconds, self.target_tracking_late_share),
        )

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


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _instance_seconds(value: float) -> str:
    return f"{value:,.0f} instance-seconds"


WORDS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "sent": ("Orders sent", _count),
    "stored": ("Orders stored", _count),
    "lost": ("Orders lost", _count),
    "charged_twice": ("Orders charged twice", _count),
    "quarantined": ("Poison orders quarantined", _count),
    "redriven": ("Poison orders redriven", _count),
    "drains": ("Instances drained", _count),
    "interrupted": ("Orders interrupted by a drain", _count),
    "drained_order_s": ("From the termination during the long order to its instance's end", _seconds),
    "peak_capacity": ("Most instances at once", _count),
    "wait_p50_s": ("Wait of half of the orders, at most", _seconds),
    "wait_p99_s": ("Wait of 99% of the orders, at most", _seconds),
    "wait_max_s": ("Longest wait", _seconds),
    "target_wait_s": ("Target wait", _seconds),
    "late_share": ("Orders started late", _share),
    "instance_seconds": ("Cost of the story", _instance_seconds),
    "fixed_fleet_instance_seconds": ("Cost of a fleet fixed at the peak", _instance_seconds),
    "target_tracking_instance_seconds": ("Cost of target tracking, simulated", _instance_seconds),
    "target_tracking_late_share": ("Orders that target tracking starts late, simulated", _share),
}
"""Field -> what it is, and how its figure is written."""


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
