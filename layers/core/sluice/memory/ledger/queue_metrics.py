"""The QueueMetricsLog port in memory."""

from sluice.model.queue_metrics import QueueMetrics


class MemoryQueueMetrics:
    """The QueueMetricsLog port: metrics by shard."""

    def __init__(self) -> None:
        self._kept: dict[str, QueueMetrics] = {}

    def queue_metrics(self, shard: str) -> QueueMetrics:
        """What was read last."""
        return self._kept.get(shard, QueueMetrics())

    def keep_queue_metrics(self, shard: str, metrics: QueueMetrics) -> None:
        """Keep what was read."""
        self._kept[shard] = metrics
