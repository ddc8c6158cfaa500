"""What was read of CloudWatch's metrics of several queues, and when."""

from sluice.model.frozen import dataclass
from sluice.model.observed import QueueReading


@dataclass(frozen=True, slots=True)
class QueueMetrics:
    """The newest metrics of a shard's queues."""

    read_at: float = 0.0  # epoch seconds of the last reading
    readings: tuple[tuple[str, QueueReading], ...] = ()  # by the queue's URL: series and the oldest age alone
    each_period_at: float = 0.0  # epoch seconds of the last reading of queues that are read each period

    def of(self, queue_url: str) -> QueueReading | None:
        """A queue's metrics; None if none were read yet."""
        return next((reading for url, reading in self.readings if url == queue_url), None)
