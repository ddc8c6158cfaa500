"""Observes the running stack from outside, with the AWS calls that a user has, and records what it observes."""

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError

from sluice.model.decisions import Decision, Outcome
from sluice.model.observed import Lifecycle
from sluice.ports.errors import PortError
from sluice.ports.stack import Ports
from sluice_tools.demo.work_log import WorkLog

PERIOD_S = 0.5
"""Seconds between two samples: less than the planner's tick, and a small load for the emulator."""
VISIBLE_WITHIN_S = 5.0
"""A read of decisions is eventually consistent: one that was recorded before the newest may be seen after it."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The stack at one moment; counts, seconds."""

    at: float
    visible: int
    in_flight: int
    dead: int
    quarantined: int
    desired: int
    working: int
    launching: int
    draining: int
    oldest_wait_s: float

    @property
    def backlog(self) -> int:
        """Orders in the queue, those being worked on included."""
        return self.visible + self.in_flight


@dataclass(slots=True)
class InstanceLifetime:
    """One instance's time, from its launch to its end, as observed."""

    launched_at: float
    gone_at: float | None = None

    def seconds(self, now: float) -> float:
        """Paid seconds so far."""
        return (self.gone_at or now) - self.launched_at


@dataclass(slots=True)
class Observations:
    """All that was observed so far."""

    samples: list[Sample] = field(default_factory=list)
    decisions: dict[str, tuple[Decision, Outcome]] = field(default_factory=dict)
    instances: dict[str, InstanceLifetime] = field(default_factory=dict)

    @property
    def last(self) -> Sample | None:
        """The newest sample."""
        return self.samples[-1] if self.samples else None

    def changes(self) -> list[tuple[Decision, Outcome]]:
        """Decisions that wanted another capacity, oldest first."""
        return [pair for pair in tuple(self.decisions.values()) if pair[0].want != pair[0].current]


class Watcher:
    """A thread that takes a sample every PERIOD_S; a sample that fails is skipped, since it must not stop the story."""

    def __init__(
        self, ports: Ports, work: WorkLog, *, fleet: str, queue_url: str, dead_letter_url: str, group: str
    ) -> None:
        self.observations = Observations()
        self._ports, self._fleet, self._group, self.work = ports, fleet, group, work
        self._queue_url, self._dead_letter_url = queue_url, dead_letter_url
        self._started_at = time.time()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread."""
        self._end.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while not self._end.wait(PERIOD_S):
            with contextlib.suppress(PortError, ClientError, BotoCoreError, OSError):
                self._sample()

    def _sample(self) -> None:
        now = time.time()
        queue = self._ports.queue.read(self._queue_url, now)
        dead = self._ports.queue.read(self._dead_letter_url, now)
        group = self._ports.group.read(self._group)
        groups = self._ports.ledger.failure_groups.failure_groups(self._fleet)
        here = {one.id for one in group.instances if one.state is not Lifecycle.GONE}
        for instance_id in here:
            self.observations.instances.setdefault(instance_id, InstanceLifetime(now))
        for instance_id, lived in self.observations.instances.items():
            if instance_id not in here and lived.gone_at is None:
                lived.gone_at = now
        for decision, outcome in self._ports.ledger.decisions.decisions(self._fleet, 50, since=self._read_from()):
            self.observations.decisions[decision.id] = (decision, outcome)
        self.observations.decisions = dict(sorted(self.observations.decisions.items(), key=lambda item: item[1][0].at))
        self.observations.samples.append(
            Sample(
                at=now,
                visible=_count(queue.visible) + _count(queue.delayed),
                in_flight=_count(queue.in_flight),
                dead=_count(dead.visible) + _count(dead.in_flight) + _count(dead.delayed),
                quarantined=sum(one.count for one in groups),
                desired=group.desired,
                working=group.count(Lifecycle.IN_SERVICE),
                launching=group.count(Lifecycle.LAUNCHING),
                draining=group.count(Lifecycle.DRAINING),
                oldest_wait_s=self.work.oldest_waiting_s(now),
            )
        )

    def _read_from(self) -> float:
        """From when on decisions are read: the newest was read before, and one just before it may be visible later."""
        newest = max((decision.at for decision, _ in self.observations.decisions.values()), default=0.0)
        return max(self._started_at, newest - VISIBLE_WITHIN_S)


def _count(reading: Any) -> int:
    return 0 if reading is None else int(reading.value)
