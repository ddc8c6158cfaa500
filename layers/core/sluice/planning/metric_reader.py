"""Reads CloudWatch's metrics of a shard's queues together, and no more of them than is news.

CloudWatch bills each metric that is read, and a datapoint is minutes late anyway. So all queues are read at once, each
third period (`Timing.metric_read_s`), and no further back than what was read before. In between, ticks work with what
was read last, which the ledger keeps, since ticks of one shard run in several processes. Where no launch is in time for
the target wait, forecasts decide, and a queue is read each period (`reads_each_period`).

A queue that nothing was in, of a fleet without instances, is not asked for: since its ticks saw it empty, nothing was
sent, received or deleted, and its metrics say so as well. Its periods are filled with zeros, as SQS would send them.
https://aws.amazon.com/cloudwatch/pricing/ (GetMetricData: by the metric that is requested)
"""

from collections.abc import Mapping, Sequence
from math import floor

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.observed import GroupReading, QueueReading, Reading, Series
from sluice.model.planning import Memory
from sluice.model.queue_metrics import QueueMetrics
from sluice.model.timing import Timing
from sluice.planning.learning.forecasting import REVISED_PERIODS
from sluice.planning.learning.lead_time import lead_time
from sluice.ports.aws_services import SIGNALS_WINDOW_S, Signals
from sluice.ports.errors import PortError, each_of
from sluice.ports.ledger.queue_metrics import QueueMetricsLog

KEPT_PERIODS = 15  # a datapoint that comes a quarter of an hour late is not waited for


@dataclass(frozen=True, slots=True)
class AskedQueue:
    """A queue whose metrics are wanted."""

    url: str
    is_new: bool = False  # nothing is known of its arrivals: all that CloudWatch has is news
    quiet_since: float | None = None  # since when it was empty and nobody consumed it, in epoch seconds
    each_period: bool = False  # its metrics are read each period, not each third


@dataclass(frozen=True, slots=True)
class MetricsRead:
    """What is known of each queue, by its URL, and of which queues the metrics could not be read now."""

    readings: Mapping[str, QueueReading]
    faults: Mapping[str, PortError]


class KnownMetrics:
    """The log of one step's metrics: what the process knows to be in the ledger is not read from it again.

    Args:
        log: the ledger's.
        known: what is in it, if the process knows.
    """

    def __init__(self, log: QueueMetricsLog, known: QueueMetrics | None) -> None:
        self._log = log
        self.known = known

    def queue_metrics(self, shard: str) -> QueueMetrics:
        """What was read last."""
        if self.known is None:
            self.known = self._log.queue_metrics(shard)
        return self.known

    def keep_queue_metrics(self, shard: str, metrics: QueueMetrics) -> None:
        """Keep what was read."""
        self.known = None  # should the write fail
        self._log.keep_queue_metrics(shard, metrics)
        self.known = metrics


@dataclass(frozen=True, slots=True)
class MetricReader:
    """Reads a shard's metrics when they are due, and answers with what was read last when they are not."""

    signals: Signals
    log: QueueMetricsLog
    timing: Timing

    def read(self, shard: str, queues: Sequence[AskedQueue], now: float) -> MetricsRead:
        """The metrics of a shard's queues, each named once.

        Raises:
            PortError: the ledger does not answer. That CloudWatch does not is a fault of what is read.
        """
        kept = self.log.queue_metrics(shard)
        known = {queue.url: kept.of(queue.url) for queue in queues}
        due = self._round_of(shard, now) != self._round_of(shard, kept.read_at)
        period_s = self.timing.metric_period_s
        fresh = due or now // period_s != kept.each_period_at // period_s
        wanted = [queue for queue in queues if due or (fresh and queue.each_period)]
        quiet = {queue.url for queue in wanted if _is_known_quiet(known[queue.url], queue.quiet_since)}
        new = {queue.url for queue in wanted if queue.is_new and queue.url not in quiet}
        wholly = [queue.url for queue in queues if known[queue.url] is None or queue.url in new]
        partly = [queue.url for queue in wanted if queue.url not in wholly and queue.url not in quiet]
        if not wanted and not wholly:
            return MetricsRead({url: before or QueueReading() for url, before in known.items()}, {})

        answers = each_of(wholly, lambda: self.signals.read_all(wholly, now))
        if partly:
            since = self._since([known[url] for url in partly], now)
            answers |= each_of(partly, lambda: self.signals.read_all(partly, now, since))
        read = {url: answer for url, answer in answers.items() if not isinstance(answer, PortError)}
        faults = {url: answer for url, answer in answers.items() if isinstance(answer, PortError)}
        newest: dict[str, QueueReading] = {}
        for url, before in known.items():
            if url in read:
                newest[url] = read[url] if before is None else _merged(before, read[url])
            elif before is not None:
                newest[url] = self._with_zeros(before, now) if url in quiet else before
        if read or not faults:  # else the next tick tries again
            shortened = tuple((url, self._shortened(reading, now)) for url, reading in newest.items())
            read_at, each_period_at = now if due else kept.read_at, now if fresh else kept.each_period_at
            self.log.keep_queue_metrics(shard, QueueMetrics(read_at, shortened, each_period_at))
        return MetricsRead({url: newest.get(url, QueueReading()) for url in known}, faults)

    def _round_of(self, shard: str, at: float) -> int:
        """Which reading a moment belongs to. Shards read in different periods, so that their calls are spread."""
        offset_s = sum(shard.encode()) * self.timing.metric_period_s
        return floor((at + offset_s) / self.timing.metric_read_s)

    def _since(self, known: Sequence[QueueReading | None], now: float) -> float:
        """From when to read: what may still be news of the queue that was read longest ago."""
        period_s = self.timing.metric_period_s
        ends = [_end_of(reading) for reading in known]
        oldest = min((end for end in ends if end is not None), default=now) - REVISED_PERIODS * period_s
        return max(now - SIGNALS_WINDOW_S, min(now - KEPT_PERIODS * period_s, oldest))

    def _with_zeros(self, before: QueueReading, now: float) -> QueueReading:
        """The metrics of a queue that stays empty, up to those that SQS would have sent by now."""
        until = floor((now - self.timing.metric_delay_s) / self.timing.metric_period_s) * self.timing.metric_period_s
        sent, received, deleted = (_zeros(series, until) for series in (before.sent, before.received, before.deleted))
        return replace(before, sent=sent, received=received, deleted=deleted, oldest_age=Reading(0.0, until))

    def _shortened(self, reading: QueueReading, now: float) -> QueueReading:
        """What is kept of a reading."""
        since = now - KEPT_PERIODS * self.timing.metric_period_s
        sent, received, deleted = (_cut(series, since) for series in (reading.sent, reading.received, reading.deleted))
        return replace(reading, sent=sent, received=received, deleted=deleted)


def reads_each_period(fleet: Fleet, memory: Memory, now: float) -> bool:
    """Whether a fleet's launches are measured to take longer than its target wait.

    Such a fleet is kept in time by forecasts alone, and what they are made of is then worth three times the price.
    """
    lead = lead_time(memory.launches, fleet, now)
    return lead.source == "measured" and lead.value is not None and lead.value > fleet.target_wait_s


def quiet_since(memory: Memory, counts: Sequence[QueueReading], group: GroupReading | None) -> float | None:
    """Since when a fleet's queues were empty and it had no instances, in epoch seconds; None if that is not known.

    Args:
        memory: with the samples of the last ticks.
        counts: each of the fleet's queues as it is now.
        group: as it is now.
    """
    if group is None or group.desired or group.instances:
        return None
    for each in counts:
        figures = (each.visible, each.in_flight, each.delayed)
        if any(figure is None or figure.value for figure in figures):
            return None
    since = None
    for sample in reversed(memory.samples):
        if sample.visible or sample.in_flight or sample.working:
            break
        since = sample.at
    return since


def _end_of(reading: QueueReading | None) -> float | None:
    """Up to when the messages sent are known, in epoch seconds."""
    sent = None if reading is None else reading.sent
    return sent.points[-1][0] + sent.period_s if sent is not None and sent.points else None


def _is_known_quiet(before: QueueReading | None, since: float | None) -> bool:
    """Whether all that happened in a queue before it became quiet has been read."""
    end_at = _end_of(before)
    return since is not None and end_at is not None and end_at >= since


def _merged(before: QueueReading, new: QueueReading) -> QueueReading:
    """Both readings as one: of a period that is in both, the newer one's count."""
    return replace(
        new,
        sent=_joined(before.sent, new.sent),
        received=_joined(before.received, new.received),
        deleted=_joined(before.deleted, new.deleted),
        oldest_age=new.oldest_age or before.oldest_age,
    )


def _joined(before: Series | None, new: Series | None) -> Series | None:
    if before is None or new is None or before.period_s != new.period_s:
        return new or before
    return replace(new, points=tuple(sorted((dict(before.points) | dict(new.points)).items())))


def _zeros(series: Series | None, until: float) -> Series | None:
    """The series with a count of zero for each further period that ends by a moment."""
    if series is None or not series.points:
        return series
    points = list(series.points)
    while points[-1][0] + 2 * series.period_s <= until:
        points.append((points[-1][0] + series.period_s, 0.0))
    return replace(series, points=tuple(points))


def _cut(series: Series | None, since: float) -> Series | None:
    return None if series is None else replace(series, points=series.since(since))
