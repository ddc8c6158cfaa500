"""What needs an operator: a fleet, and the reason as a metric's name (`sluice.telemetry.LIMITS`)."""

from sluice.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class OperatorNeed:
    """A fleet that needs an operator. Times are epoch seconds."""

    reason: str
    fleet: str
    seen_at: float  # when a function saw it last
    value: float  # the metric's


@dataclass(frozen=True, slots=True)
class ReportedNeed:
    """A fleet of which a notice has reported that it needs an operator."""

    reason: str
    fleet: str
    since: float  # as the notice said, in epoch seconds
