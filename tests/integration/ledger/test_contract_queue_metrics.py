"""The QueueMetricsLog port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

import json
import logging
import zlib

import pytest

from sluice.aws.ledger.records import QUEUE_METRICS
from sluice.aws.table import typed_all
from sluice.model.observed import QueueReading, Reading, Series
from sluice.model.queue_metrics import QueueMetrics
from sluice.ports.ledger import Ledger
from tests.integration.contract_worlds import AwsWorld, World
from tests.integration.ledger.samples import AT

SERIES = Series(60.0, tuple((AT + 60.0 * minute, float(minute)) for minute in range(15)))
METRICS = QueueMetrics(
    AT,
    (
        ("https://sqs.eu-central-1.amazonaws.com/123456789012/orders", QueueReading(sent=SERIES, received=SERIES)),
        ("https://sqs.eu-central-1.amazonaws.com/123456789012/letters", QueueReading(oldest_age=Reading(7.5, AT))),
    ),
)


def test_metrics_are_kept_by_shard(ledger: Ledger) -> None:
    """All of them; another shard's are another's."""
    assert ledger.queue_metrics.queue_metrics("ticks/0000") == QueueMetrics()
    ledger.queue_metrics.keep_queue_metrics("ticks/0000", METRICS)
    assert ledger.queue_metrics.queue_metrics("ticks/0000") == METRICS
    assert ledger.queue_metrics.queue_metrics("ticks/0001") == QueueMetrics()


def test_metrics_are_replaced_by_newer_ones(ledger: Ledger) -> None:
    """What is no longer among them is gone."""
    ledger.queue_metrics.keep_queue_metrics("ticks/0000", METRICS)
    newer = QueueMetrics(AT + 180.0, METRICS.readings[1:])
    ledger.queue_metrics.keep_queue_metrics("ticks/0000", newer)
    assert ledger.queue_metrics.queue_metrics("ticks/0000") == newer


@pytest.mark.parametrize("data", [b"neither compressed nor JSON", None])
def test_record_that_cannot_be_read_is_as_none(
    world: World, ledger: Ledger, caplog: pytest.LogCaptureFixture, data: bytes | None
) -> None:
    """All metrics are read again, and the log says so."""
    if not isinstance(world, AwsWorld):
        return  # memory keeps no text
    item = {"pk": "metrics", "sk": "ticks/0000"} | ({} if data is None else {"data": data})
    world.client("dynamodb").put_item(TableName=world.environ["SLUICE_TABLE"], Item=typed_all(item))
    with caplog.at_level(logging.WARNING):
        assert ledger.queue_metrics.queue_metrics("ticks/0000") == QueueMetrics()
    assert "ticks/0000" in caplog.text


def test_field_is_reported_when_it_is_not_known(world: World, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """Another version wrote it: it is named in the log, and all else is read."""
    if not isinstance(world, AwsWorld):
        return  # memory keeps no text
    record = json.loads(QUEUE_METRICS.to_text(METRICS)) | {"surprise": 1}
    item = {"pk": "metrics", "sk": "ticks/0000", "data": zlib.compress(json.dumps(record).encode())}
    world.client("dynamodb").put_item(TableName=world.environ["SLUICE_TABLE"], Item=typed_all(item))
    assert ledger.queue_metrics.queue_metrics("ticks/0000") == METRICS
    (line,) = caplog.messages
    assert line.startswith("ledger record metrics ticks/0000: field surprise of the metrics of queues is not known")
