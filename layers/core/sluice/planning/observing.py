"""Observes many fleets at once: one reading of everything for a shard's round, however many fleets it has.

    groups          100 a call                       launches    the ledger's log, one query
    counts          a call a queue, eight at once    metrics     100 queues a call, each third minute (`metric_reader`)
    veto alarms     100 a call

Each call is made once, and ends within two seconds. What does not answer, or is missing, is missing from the snapshots
of the fleets that it is about; the other fleets are observed all the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.launches import Launch, with_launches
from sluice.model.observed import GroupReading, QueueReading
from sluice.model.planning import Memory, Snapshot
from sluice.model.timing import Timing
from sluice.planning.metric_reader import AskedQueue, MetricReader, MetricsRead, quiet_since, reads_each_period
from sluice.planning.multi_queue import pooled
from sluice.ports.errors import PortError, TryLaterError, answer_of, each_of
from sluice.ports.ledger import PlannerLedger
from sluice.ports.ledger.launch_log import LAUNCHES_LOGGED_S
from sluice.ports.ledger.queue_metrics import QueueMetricsLog
from sluice.ports.stack import Ports


@dataclass(frozen=True, slots=True)
class Observed:
    """What was read of a fleet, and what could not be read and is missing from it."""

    snapshot: Snapshot
    faults: tuple[PortError, ...] = ()


@dataclass(frozen=True, slots=True)
class _Readings:
    """What was read of all fleets, by name or URL. An error in the place of a reading is what it met."""

    groups: Mapping[str, GroupReading | PortError]
    unknown_launches: Mapping[str, PortError]  # by group
    counts: Mapping[str, QueueReading | PortError]
    metrics: MetricsRead
    vetoes: Mapping[str, bool | PortError]


@dataclass(frozen=True, slots=True)
class Observer:
    """Observes fleets over the ports.

    Args:
        ports: what is read.
        timing: when metrics are due.
        shard: the fleets' shard, whose metrics are kept together; None: the fleets are no shard's, as in a dry run, so
            that all metrics are read, and nothing is kept.
        log: where metrics are kept.
    """

    ports: Ports[PlannerLedger]
    timing: Timing
    shard: str | None
    log: QueueMetricsLog

    def observe(
        self, fleets: Sequence[tuple[Fleet, Memory]], now: float, *, whole: bool = True
    ) -> tuple[Observed, ...]:
        """Observe fleets, each with what is remembered of it; in their order.

        Args:
            fleets: with their memories.
            now: epoch seconds.
            whole: whether these are all of the shard's fleets. Of some of them no metrics are read, but those used that
                were read last.
        """
        ports = self.ports
        names = _unique(fleet.group for fleet, _ in fleets)
        groups = each_of(names, lambda: ports.group.read_all(names, now))
        launches, unknown = self._launches(fleets, groups, now)
        for name, group in groups.items():
            if isinstance(group, GroupReading):
                groups[name] = with_launches(group, launches.get(name, ()))
        urls = _unique(source.queue for fleet, _ in fleets for source in fleet.sources)
        counts = each_of(urls, lambda: ports.queue.read_all(urls, now))
        alarms = _unique(fleet.limits.veto_alarm for fleet, _ in fleets if fleet.limits.veto_alarm is not None)
        vetoes = each_of(alarms, lambda: ports.signals.alarms_are_on(alarms))
        asked = {queue.url: queue for fleet, memory in fleets for queue in _asked(fleet, memory, counts, groups, now)}
        metrics = self._metrics(list(asked.values()), now, whole=whole)
        readings = _Readings(groups, unknown, counts, metrics, vetoes)
        return tuple(_observed(fleet, readings, now) for fleet, _ in fleets)

    def _metrics(self, asked: Sequence[AskedQueue], now: float, *, whole: bool) -> MetricsRead:
        """The queues' metrics; none where the ledger fails, since each process would have to read them for itself."""
        shard, log, urls = self.shard, self.log, [queue.url for queue in asked]
        if shard is None:
            answers = each_of(urls, lambda: self.ports.signals.read_all(urls, now))
            faults = {url: answer for url, answer in answers.items() if isinstance(answer, PortError)}
            return MetricsRead({url: _known(answer) for url, answer in answers.items()}, faults)
        if whole:
            reader = MetricReader(self.ports.signals, log, self.timing)
            read = answer_of(lambda: reader.read(shard, asked, now))
        else:
            kept = answer_of(lambda: log.queue_metrics(shard))
            read = (
                kept
                if isinstance(kept, PortError)
                else MetricsRead({url: kept.of(url) or QueueReading() for url in urls}, {})
            )
        if isinstance(read, PortError):
            return MetricsRead(dict.fromkeys(urls, QueueReading()), dict.fromkeys(urls, read))
        return read

    def _launches(
        self, fleets: Sequence[tuple[Fleet, Memory]], groups: Mapping[str, GroupReading | PortError], now: float
    ) -> tuple[dict[str, list[Launch]], dict[str, PortError]]:
        """The last launches by group, and of which groups they are not known.

        They are in the log; of a fleet that was never ticked also in its group's scaling activities, from before. Of
        groups that have no instances and are to have none, which launch nothing, the log is not read.
        """
        are_launching = any(isinstance(one, GroupReading) and (one.desired or one.instances) for one in groups.values())
        logged = answer_of(lambda: self.ports.ledger.launch_log.launches(now)) if are_launching else ()
        if isinstance(logged, PortError):
            return {}, dict.fromkeys(groups, logged)
        launches: dict[str, list[Launch]] = {}
        unknown: dict[str, PortError] = {}
        for launch in logged:
            launches.setdefault(launch.group, []).append(launch)
        for fleet, memory in fleets:
            name = fleet.group
            if memory.learned_at or name in launches or _group(groups[name]) is None:
                continue
            found = answer_of(partial(self._first_launches, name, now))
            if isinstance(found, PortError):
                unknown[name] = found
                if isinstance(found, TryLaterError):
                    break  # the others would wait as long
            else:
                launches[name] = found
        return launches, unknown

    def _first_launches(self, group: str, now: float) -> list[Launch]:
        """A group's launches of the last hour by its scaling activities, noted for the ticks that follow."""
        launches = [one for one in self.ports.group.launches(group) if now - one.started_at <= LAUNCHES_LOGGED_S]
        for launch in launches if self.shard is not None else ():
            if launch.ended_at is not None:
                self.ports.ledger.launch_log.note_launch_event(launch, now)
        return launches


def _asked(
    fleet: Fleet,
    memory: Memory,
    counts: Mapping[str, QueueReading | PortError],
    groups: Mapping[str, GroupReading | PortError],
    now: float,
) -> Iterable[AskedQueue]:
    """The queues of a fleet, as their metrics are asked for."""
    since = quiet_since(memory, [_known(counts[one.queue]) for one in fleet.sources], _group(groups[fleet.group]))
    is_new = not memory.arrivals.history.counts
    each_period = reads_each_period(fleet, memory, now)
    return [AskedQueue(source.queue, is_new, since, each_period) for source in fleet.sources]


def _observed(fleet: Fleet, readings: _Readings, now: float) -> Observed:
    """One fleet's part of what was read."""
    urls = [source.queue for source in fleet.sources]
    queues = tuple(merge(_known(readings.counts[url]), readings.metrics.readings[url]) for url in urls)
    group = readings.groups[fleet.group]
    veto = None if fleet.limits.veto_alarm is None else readings.vetoes[fleet.limits.veto_alarm]
    met: list[object] = [readings.counts[url] for url in urls]
    met += [readings.metrics.faults.get(url) for url in urls]
    met += [group, readings.unknown_launches.get(fleet.group), veto]
    faults = tuple({str(fault): fault for fault in met if isinstance(fault, PortError)}.values())  # each is listed once
    snapshot = Snapshot(
        fleet=fleet.name,
        at=now,
        queue=pooled(fleet.sources, queues) if fleet.shared else queues[0],
        group=_group(group),
        problems=tuple(str(fault) for fault in faults),
        veto=None if isinstance(veto, PortError) else veto,
        queues=queues if fleet.shared else (),
    )
    return Observed(snapshot, faults)


def merge(live: QueueReading, metrics: QueueReading) -> QueueReading:
    """The queue's own counts where there are any, the metrics' otherwise."""
    return replace(
        metrics,
        visible=live.visible or metrics.visible,
        in_flight=live.in_flight or metrics.in_flight,
        delayed=live.delayed or metrics.delayed,
        oldest_age=live.oldest_age or metrics.oldest_age,
        retention_s=live.retention_s,
        visibility_s=live.visibility_s,
    )


def _unique(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _known(answer: QueueReading | PortError) -> QueueReading:
    return QueueReading() if isinstance(answer, PortError) else answer


def _group(answer: GroupReading | PortError) -> GroupReading | None:
    return None if isinstance(answer, PortError) else answer
