"""The QueueMetricsLog port on DynamoDB."""

import logging
import zlib

from sluice.aws.ledger.forms import UnreadableError
from sluice.aws.ledger.keys import ttl
from sluice.aws.ledger.records import QUEUE_METRICS, logged, name_of
from sluice.aws.table import Item, Table, Value, typed_all
from sluice.model.queue_metrics import QueueMetrics
from sluice.ports.ledger.queue_metrics import QUEUE_METRICS_KEPT_S

logger = logging.getLogger(__name__)


class DynamoQueueMetrics:
    """The QueueMetricsLog port: one item a shard, compressed. Fifty queues take about 6 kB."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def queue_metrics(self, shard: str) -> QueueMetrics:
        """What was read last. What cannot be read is logged, and read again from CloudWatch."""
        item = self._table.get(_key(shard))
        if item is None:
            return QueueMetrics()
        try:
            read = QUEUE_METRICS.from_text(zlib.decompress(item["data"]["B"]))
        except (zlib.error, KeyError, UnreadableError) as error:
            logger.warning("ledger record metrics %s is read again from CloudWatch: %s", shard, error)
            return QueueMetrics()
        return logged(read, name_of(item))

    def keep_queue_metrics(self, shard: str, metrics: QueueMetrics) -> None:
        """Keep what was read."""
        data = zlib.compress(QUEUE_METRICS.to_text(metrics).encode())
        figures: dict[str, Value] = {"data": data, "ttl": ttl(metrics.read_at + QUEUE_METRICS_KEPT_S)}
        self._table.put(_key(shard) | typed_all(figures))


def _key(shard: str) -> Item:
    return typed_all({"pk": "metrics", "sk": shard})
