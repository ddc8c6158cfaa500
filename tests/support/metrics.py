"""A queue's metrics, read alone."""

from sluice.model.observed import QueueReading
from sluice.ports.aws_services import Signals
from sluice.ports.errors import PortError


def metrics_of(signals: Signals, queue_url: str, now: float) -> QueueReading:
    """What is known of one queue; its error is raised."""
    (reading,) = signals.read_all((queue_url,), now)
    if isinstance(reading, PortError):
        raise reading
    return reading
