"""A stack in memory behind the widget: its ports with an afternoon in them, and a Lambda client that calls handlers."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from functions.operator import app as operator
from sluice.memory import MemoryPorts, memory_ports
from sluice.model.redriving import Excerpt, Message, QuarantineEntry
from sluice.redriving.context import RedriveInvocation
from sluice.widget.service import WidgetService
from sluice.widget.view import WidgetSettings
from tests.support.widget_scenes import (
    CONSOLE_ARN,
    NOW,
    OPERATOR_ARN,
    afternoon,
    decision,
    drains,
    failure_groups,
    fleet,
    jobs,
    outcome,
)

RETENTION_S = 4 * 86_400.0  # SQS's default


class SetClock:
    """A clock that is set, and that sleeping moves on."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        """Epoch seconds."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass
class World:
    """The ports, the clock, and what was invoked so far."""

    clock: SetClock
    ports: MemoryPorts
    operator_arn: str | None = OPERATOR_ARN
    invoked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    others: dict[str, Callable[[dict[str, Any]], Any]] = field(default_factory=dict)

    def console(self, event: object) -> str:
        """What the console answers."""
        settings = WidgetSettings(CONSOLE_ARN, self.operator_arn, "/sluice/test/fleets/")
        return WidgetService(lambda: self.ports, self.clock, settings).respond(event).text

    def operator(self, event: object) -> object:
        """What the operator function answers."""
        invocation = RedriveInvocation.started(
            f"invocation-{len(self.invoked)}",
            self.clock(),
            60.0,
            60.0,
            uniform=lambda: 0.5,
        )
        return operator.respond(event, operator.service(self.ports, self.clock, invocation), OPERATOR_ARN)

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 - AWS's names
        """As a Lambda client's `invoke`."""
        event = json.loads(Payload)
        self.invoked.append((FunctionName, event))
        functions = {
            CONSOLE_ARN: self.console,
            OPERATOR_ARN: self.operator,
            **self.others,
        }
        return {"Payload": io.BytesIO(json.dumps(functions[FunctionName](event)).encode())}


def make_world(now: float = NOW) -> World:
    """Two fleets; the afternoon, drains, dead letters and redrives of the first; one decision of the other."""
    clock = SetClock(now)
    ports = memory_ports(clock, [fleet(), fleet("invoices", target_wait_s=900.0)])
    for made, came_of in afternoon(now):
        ports.ledger.decisions.record_all([(made, came_of)])
    other = decision(now - 20, name="invoices", current=1, need=1, visible=0, oldest_wait_s=None, working=1)
    ports.ledger.decisions.record_all([(other, outcome(other))])
    for drain in drains(now):
        ports.ledger.drains.keep_drain(drain)
    for group in failure_groups(now):
        for n in range(group.seen_count):
            at = group.first_seen_at if n == 0 else group.last_seen_at
            ports.ledger.failure_groups.note_failure("orders", group.id, group.cause, group.sample, at)
        for n in range(group.count):
            quarantine(ports, group.id, group.cause, group.sample, at=group.first_seen_at + n, number=n)
    done = jobs(now)[1]
    ports.ledger.jobs.keep_job(done)
    return World(clock, ports)


def quarantine(ports: MemoryPorts, group: str, cause: str, body: str, *, at: float, number: int = 0) -> None:
    """Put one message into quarantine."""
    message = Message(id=f"{group[:8]}-{number:04d}", body=body, first_sent_at=at - 60)
    key = ports.archive.store("orders", message)
    entry = QuarantineEntry(
        fleet="orders",
        failure_group=group,
        message_id=message.id,
        key=key,
        cause=cause,
        at=at,
        first_sent_at=message.first_sent_at,
        attempt=3,
        source=None,
        size_bytes=len(body.encode("utf-8", "replace")),
        excerpt=Excerpt(body[:500]),
        expires_at=at - 60 + RETENTION_S,
    )
    assert ports.ledger.quarantine.quarantine(entry)
