"""The metrics that a shard's ticks have read, so that each process that ticks it need not read them anew."""

from typing import Protocol

from sluice.model.queue_metrics import QueueMetrics

QUEUE_METRICS_KEPT_S = 86_400.0  # of a shard that is no more; those that are read are written again in minutes


class QueueMetricsLog(Protocol):
    """The newest metrics of each shard's queues."""

    def queue_metrics(self, shard: str) -> QueueMetrics:
        """What was read last; empty if nothing was, or if it cannot be read, which costs a reading of all metrics."""
        ...

    def keep_queue_metrics(self, shard: str, metrics: QueueMetrics) -> None:
        """Keep what was read. Who ticks the shard alone may call it."""
        ...
