"""The smaller ports in memory: fleets' documents, CloudWatch's signals, the archive and Run Command."""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from sluice.config import history
from sluice.config.fleet import QUEUES_PATH, Fleet, parse_all
from sluice.config.history import DocumentVersion, DrainOnly
from sluice.memory.clock import Clock
from sluice.memory.queue import MemoryQueue
from sluice.model.draining import CommandStatus, ScheduledEvent, StopOrder
from sluice.model.observed import QueueReading, Reading, Series
from sluice.model.redriving import Message
from sluice.ports.aws_services import SIGNALS_WINDOW_S, STOPPED_AT_ONCE, LoadedFleets, archive_key
from sluice.ports.errors import NeedsFixError, PortError, RefusedError, answer_of


class MemoryFleets:
    """The Fleets port over documents put in by name, with the versions that each has had."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._versions: dict[str, list[tuple[str | Mapping[str, Any], float]]] = {}
        self._loaded: LoadedFleets | None = None  # the newest versions, parsed
        self.history_lost: PortError | None = None  # what is in the way of reading earlier versions

    def put(self, name: str, document: str | Mapping[str, Any] | Fleet) -> None:
        """Keep a document, valid or not, under a name."""
        kept = document.model_dump(mode="json") if isinstance(document, Fleet) else document
        self._versions.setdefault(name, []).append((kept, self._clock()))
        self._loaded = None

    def drop(self, name: str) -> None:
        """Forget a document, with every version."""
        self._versions.pop(name, None)
        self._loaded = None

    def load(self, *, last_usable: bool = False) -> LoadedFleets:
        """Every document, valid or not."""
        if self._loaded is None:
            newest = {name: versions[-1][0] for name, versions in self._versions.items()}
            self._loaded = LoadedFleets(*parse_all(newest))
        return self._for_draining(self._loaded) if last_usable else self._loaded

    def refresh(self, name: str | None = None) -> None:
        """Nothing to do: there is no copy."""

    def _for_draining(self, loaded: LoadedFleets) -> LoadedFleets:
        names = [bad.name for bad in loaded.invalid if QUEUES_PATH not in bad.name]
        if names and self.history_lost:
            return replace(loaded, unread=(self.history_lost,) * len(names))
        drain_only: list[DrainOnly] = []
        for name in names:
            others = (*loaded.fleets, *(each.fleet for each in drain_only))
            if found := history.last_usable(name, self._history(name), others):
                drain_only.append(found)
        return replace(loaded, drain_only=tuple(drain_only))

    def _history(self, name: str) -> list[DocumentVersion]:
        return [
            DocumentVersion(number, text if isinstance(text, str) else json.dumps(text), written_at)
            for number, (text, written_at) in enumerate(self._versions[name], 1)
        ]


class MemorySignals:
    """The Signals port: what a MemoryQueue counted, `lag_s` late; or what tests feed, queue by queue."""

    def __init__(self, queue: MemoryQueue | None = None, lag_s: float = 0.0) -> None:
        self._queue = queue
        self.lag_s = lag_s
        self._fed: dict[str, QueueReading] = {}
        self._alarms: dict[str, bool] = {}

    def feed(self, queue_url: str, reading: QueueReading | None) -> None:
        """From now on answer this for a queue; None: what the queue counted again."""
        if reading is None:
            self._fed.pop(queue_url, None)
        else:
            self._fed[queue_url] = reading

    def set_alarm(self, name: str, *, on: bool) -> None:
        """Make an alarm, or change it."""
        self._alarms[name] = on

    def read_all(
        self, queue_urls: Sequence[str], now: float, since: float | None = None
    ) -> tuple[QueueReading | PortError, ...]:
        """As CloudWatch would know them, each in turn; nothing of a queue without activity."""
        return tuple(_since(self._read(url, now), since) for url in queue_urls)

    def _read(self, queue_url: str, now: float) -> QueueReading:
        if queue_url in self._fed:
            return self._fed[queue_url]
        if self._queue is None or queue_url not in self._queue.urls():
            return QueueReading()  # as CloudWatch, which knows no queues, only metrics
        known_at = now - self.lag_s
        counts = self._queue.counts(queue_url, now - SIGNALS_WINDOW_S, known_at)
        sent, received, deleted = counts or (None, None, None)
        oldest_s = self._queue.oldest_age_s(queue_url, known_at)
        return QueueReading(
            sent=sent,
            deleted=deleted,
            received=received,
            oldest_age=None if oldest_s is None else Reading(oldest_s, known_at),
        )

    def alarms_are_on(self, names: Sequence[str]) -> tuple[bool | PortError, ...]:
        """Whether each alarm is in ALARM."""
        return tuple(answer_of(partial(self._is_on, name)) for name in names)

    def _is_on(self, name: str) -> bool:
        try:
            return self._alarms[name]
        except KeyError:
            raise NeedsFixError(f"alarm {name} does not exist: create it, or correct limits.veto_alarm") from None


def _since(reading: QueueReading, since: float | None) -> QueueReading:
    """A reading without the periods that began earlier than that of `since`, and without an age from before it."""
    if since is None:
        return reading

    def cut(series: Series | None) -> Series | None:
        if series is None:
            return None
        first_at = since // series.period_s * series.period_s
        points = tuple(point for point in series.points if point[0] >= first_at)
        return replace(series, points=points) if points else None

    oldest = reading.oldest_age if reading.oldest_age is not None and reading.oldest_age.at >= since else None
    return replace(
        reading, sent=cut(reading.sent), deleted=cut(reading.deleted), received=cut(reading.received), oldest_age=oldest
    )


# What Run Command adds to the time that a command may take, before a command without an answer is undeliverable.
BEGIN_WITHIN_S = 30.0


class MemoryArchive:
    """The Archive port in a dictionary, `kept`, by key."""

    def __init__(self) -> None:
        self.kept: dict[str, Message] = {}
        self._former: dict[str, Message] = {}

    def store(self, fleet: str, message: Message) -> str:
        """Keep a message; its key."""
        key = archive_key(fleet, message)
        self.kept[key] = replace(message, receipt="")
        return key

    def load(self, key: str) -> Message:
        """The message under a key."""
        try:
            return self.kept[key]
        except KeyError:
            raise RefusedError(f"archive: nothing is kept under {key}") from None

    def remove(self, key: str) -> None:
        """Let go of a message."""
        if key in self.kept:
            self._former[key] = self.kept.pop(key)

    def former(self, key: str) -> Message:
        """What was last kept under a key."""
        try:
            return self.kept.get(key) or self._former[key]
        except KeyError:
            raise RefusedError(f"archive: nothing was ever kept under {key}") from None

    def load_all(self, keys: Sequence[str]) -> dict[str, Message | PortError]:
        """The messages under keys, or what is in the way of each."""
        return {key: answer_of(partial(self.load, key)) for key in keys}

    def remove_all(self, keys: Sequence[str]) -> None:
        """Let go of many."""
        for key in keys:
            self.remove(key)


@dataclass(slots=True)
class Command:
    """One Run Command on one instance of the port in memory; set `status` to let it end."""

    id: str
    instance_id: str
    order: StopOrder
    sent_at: float
    timeout_s: float
    status: CommandStatus = CommandStatus.PENDING


class MemoryInstances:
    """The Instances port: commands stay pending until a test, or `on_stop`, sets their status, or their time is up."""

    def __init__(self, clock: Clock, on_stop: Callable[[Command], None] | None = None) -> None:
        self._clock = clock
        self.on_stop = on_stop
        self._numbers = itertools.count(1)
        self.commands: list[Command] = []
        self.without_agent: set[str] = set()
        self.machines_ended: set[str] = set()
        self.never_registered: dict[str, float] = {}  # ids whose agents never were: when EC2 launched them
        self.agents_lost: set[str] = set()  # known to Systems Manager, and silent
        self.outputs: dict[str, str] = {}  # what a stop prints, by instance id
        self.spot: set[str] = set()  # ids of Spot Instances
        self.scheduled_events: dict[str, ScheduledEvent] = {}  # by instance id
        self._by_id: dict[str, dict[str, Command]] = {}

    def stop(self, instance_ids: Sequence[str], order: StopOrder, timeout_s: float) -> str:
        """Record the command on each instance; its id."""
        if not 0 < len(instance_ids) <= STOPPED_AT_ONCE:
            raise RefusedError(f"ValidationException: 1 to {STOPPED_AT_ONCE} instance ids, not {len(instance_ids)}")
        refused = self.without_agent | self.machines_ended | self.never_registered.keys()
        if unknown := sorted({*instance_ids} & refused):
            raise RefusedError(f"InvalidInstanceId: {', '.join(unknown)}: not in a valid state")
        number = next(self._numbers)
        command_id = f"{number:08x}-0000-4000-8000-{number:012x}"
        sent = [Command(command_id, one, order, self._clock(), timeout_s) for one in instance_ids]
        self._by_id[command_id] = {command.instance_id: command for command in sent}
        self.commands += sent
        for command in sent:
            if self.on_stop:
                self.on_stop(command)
        return command_id

    def answer(self, instance_id: str, status: CommandStatus) -> None:
        """Every pending command of an instance ends like this."""
        for command in self.commands:
            if command.instance_id == instance_id and command.status is CommandStatus.PENDING:
                command.status = status

    def command(self, command_id: str, instance_id: str) -> CommandStatus:
        """The status of a command; one that is not listed yet is pending."""
        return self.commands_of(command_id).get(instance_id, CommandStatus.PENDING)

    def commands_of(self, command_id: str) -> Mapping[str, CommandStatus]:
        """The status of a command by instance; UNKNOWN after its time is over without an answer."""
        open_words = {CommandStatus.PENDING, CommandStatus.RUNNING}
        return {
            instance_id: CommandStatus.UNKNOWN
            if command.status in open_words and self._clock() > command.sent_at + BEGIN_WITHIN_S + command.timeout_s
            else command.status
            for instance_id, command in self._by_id.get(command_id, {}).items()
        }

    def stop_output(self, command_id: str, instance_id: str) -> str:
        """What a test has put there for the instance, once its command has begun."""
        command = self._by_id.get(command_id, {}).get(instance_id)
        return "" if command is None or command.status is CommandStatus.PENDING else self.outputs.get(instance_id, "")

    def online(self, instance_ids: Sequence[str]) -> frozenset[str]:
        """Those whose agents answer."""
        silent = self.without_agent | self.machines_ended | self.agents_lost | self.never_registered.keys()
        return frozenset(instance_ids) - silent

    def unregistered(self, instance_ids: Sequence[str]) -> Mapping[str, float]:
        """Those that run and never had an agent."""
        return {
            key: at
            for key, at in self.never_registered.items()
            if key in instance_ids and key not in self.machines_ended
        }

    def ended(self, instance_ids: Sequence[str]) -> frozenset[str]:
        """Those whose machines have ended."""
        return frozenset(instance_ids) & self.machines_ended

    def scheduled(self) -> Mapping[str, ScheduledEvent]:
        """Those for which a test has scheduled something, as long as they run."""
        return {key: event for key, event in self.scheduled_events.items() if key not in self.machines_ended}

    def is_spot(self, instance_id: str) -> bool:
        """Whether it was put among the Spot Instances."""
        return instance_id in self.spot
