"""What a message says is in no log line: a secret goes through every path of redriver and operator."""

import base64
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest

from functions.operator import app as operator_app
from functions.redriver import app as redriver_app
from sluice.config.fleet import Fleet
from sluice.memory import Call, Fault, MemoryPorts, When, faulty_ports, memory_ports, queue_url
from sluice.model.redriving import QuarantineEntry
from sluice.ports.errors import TryLaterError
from sluice.ports.stack import Ports
from sluice.redriving.context import RedriveInvocation
from tests.support.redrive_worlds import polled

NOW = 1_795_600_000.0
SECRET = "hunterswordfish"
# Each place in which a message can say something.
BODIES = (
    f"my password is {SECRET}",
    f'{{"password": "{SECRET}", "{SECRET}": 1}}',
    f'{{"broken {SECRET}',
    f'["{SECRET}"]',
)


@pytest.fixture
def log() -> Iterator[StringIO]:
    """All that both functions log, down to DEBUG."""
    written = StringIO()
    handler = logging.StreamHandler(written)
    loggers = [redriver_app.logger, operator_app.logger]
    levels = [one.log_level for one in loggers]
    kept = [(one.registered_handler, one.registered_handler.stream) for one in loggers]  # type: ignore[attr-defined]
    for one in loggers:
        one.registered_handler.stream = written  # type: ignore[attr-defined]
        one.setLevel("DEBUG")
    logging.getLogger("sluice").addHandler(handler)
    yield written
    logging.getLogger("sluice").removeHandler(handler)
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)
    for registered, stream in kept:
        registered.stream = stream


class Stack:
    """Redriver and operator over a fleet whose dead letters all hold the secret."""

    def __init__(self, *, fifo: bool, **redrive: Any) -> None:
        suffix = ".fifo" if fifo else ""
        self.now = NOW
        self.fifo = fifo
        self.fleet = Fleet(
            name="orders",
            queue=queue_url(f"orders{suffix}"),
            dead_letter_queue=queue_url(f"orders-dead{suffix}"),
            group="consumers",
            target_wait_s=60,
            redrive={"canary_wait_s": 0.0, "edits": True, **redrive},
        )
        self.ports: MemoryPorts = memory_ports(lambda: self.now, [self.fleet])

    def batch(self) -> dict[str, Any]:
        """Dead letters with the secret in body, cause, attributes, source and message group; and one that is broken."""
        arn = self.ports.queue.facts(self.fleet.dead_letter_queue or "").arn
        named = {"sluice.cause": f"KeyError: '{SECRET}'", "sluice.source": SECRET, SECRET: SECRET}
        records = []
        for number, body in enumerate(BODIES * 2):
            system = {"ApproximateReceiveCount": "4", "SentTimestamp": str(int(self.now - 60) * 1_000)}
            if self.fifo:
                system |= {"MessageGroupId": SECRET, "MessageDeduplicationId": f"d-{number}"}
            told = {name: named[name] for name in list(named)[number % 4 :]}
            records.append(
                {
                    "messageId": f"m-{number}",
                    "receiptHandle": "",
                    "body": body,
                    "attributes": system,
                    "messageAttributes": {
                        name: {"dataType": "String", "stringValue": text} for name, text in told.items()
                    },
                    "eventSource": "aws:sqs",
                    "eventSourceARN": arn,
                }
            )
        batch = polled(self.ports.queue, {"Records": records})
        odd = {"dataType": "Binary", "binaryValue": base64.b64encode(SECRET.encode()).decode()[:-1]}
        broken = {**records[0], "messageId": "m-broken", "attributes": {"ApproximateReceiveCount": SECRET}}
        batch["Records"] += [broken, {**broken, "attributes": {}, "messageAttributes": {"a": odd}}]
        return batch

    def redriver(self, event: Any, ports: Ports | None = None) -> Any:
        """What the redriver answers."""
        at = redriver_app.service(ports or self.ports, lambda: self.now, self._invocation())
        return at.respond(event)

    def operator(self, event: Any, ports: Ports | None = None) -> Any:
        """What the operator answers."""
        at = operator_app.service(ports or self.ports, lambda: self.now, self._invocation())
        return at.answer(event)

    def _invocation(self) -> RedriveInvocation:
        self.now += 1.0
        return RedriveInvocation(f"invocation-{self.now}", self.now + 30, self.now + 25, lambda: 0.5)


def entries(stack: Stack) -> tuple[QuarantineEntry, ...]:
    """What is in quarantine."""
    return stack.ports.ledger.quarantine.quarantined("orders")[0]


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
@pytest.mark.parametrize("max_retries", [0, 3], ids=["quarantined", "retried"])
def test_log_holds_no_word_of_a_message_whatever_becomes_of_it(log: StringIO, fifo: bool, max_retries: int) -> None:
    """Batches that go through and that fail, jobs, every request that names something of it, and refusals."""
    stack = Stack(fifo=fifo, max_retries=max_retries)
    detail = {"queue": stack.fleet.queue, "message_id": "m-0", "cause": f"ValueError: {SECRET}"}
    stack.redriver({"source": "sluice.consumer", "detail-type": "Sluice Message Failure", "detail": detail})
    stack.redriver(stack.batch())
    for method in ("store", "quarantine", "send", "held_in", "note_failure", "causes", "hold", "admit_group"):
        fault = Fault(When.BEFORE, TryLaterError("slow down"))
        failing = faulty_ports(stack.ports, lambda call, of=method, fault=fault: fault if call.method == of else None)
        stack.redriver(stack.batch(), failing)
    tick = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    stack.redriver(tick)

    def broken(call: Call) -> Fault | None:
        return Fault(When.BEFORE, ZeroDivisionError("a bug")) if call.method == "load_all" else None

    fleet = {"fleet": "orders"}
    wanted: list[dict[str, Any]] = [
        {"redrive": fleet | {"all": True, "dry_run": True}},
        {"redrive": fleet | {"cause": f"*{SECRET}*"}},
        {"redrive": fleet | {"attribute": {"name": SECRET, "value": SECRET}}},
        {"redrive": fleet | {"failure_group": SECRET}},
        {"redrive": fleet | {"message_id": SECRET}},
        {"redrive": fleet | {SECRET: SECRET}},
        {"edit": fleet | {"message_id": "m-3", "body": SECRET}},
        {"edit": fleet | {"message_id": "m-4", "body": SECRET}},
        {"restore": fleet | {"key": f"orders/{SECRET}"}},
        {"restore": fleet | {"key": "orders/2026/11/25/m-3.json"}},
        {"quarantine": fleet},
        {"peek": fleet},
        {"redrive": fleet | {"all": True}},
    ]
    for request in wanted:
        stack.operator(request, faulty_ports(stack.ports, broken) if "all" in str(request) else None)
        stack.operator(request)
    stack.redriver(tick)
    told = log.getvalue()
    assert told.count("\n") > 20, "it was told"
    assert "dead letter" in told
    lines = [line for line in told.splitlines() if SECRET.casefold() in line.casefold()]
    assert lines == []


def test_secret_is_in_the_record_and_in_no_id_when_it_is_quarantined() -> None:
    """Words are for the page, where they are escaped; ids are for logs, metrics and commands."""
    stack = Stack(fifo=False, max_retries=0)
    stack.redriver(stack.batch())
    found = entries(stack)
    assert len(found) == 2 * len(BODIES)
    assert any(SECRET in entry.cause for entry in found)
    assert not any(SECRET in entry.failure_group for entry in found)
