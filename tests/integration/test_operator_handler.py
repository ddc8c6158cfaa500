"""The operator function: it takes requests alone, and a forged event changes nothing wherever it is sent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functions.drainer import app as drainer_app
from functions.operator import app as operator_app
from functions.redriver import app as redriver_app
from sluice.chains import event_of
from sluice.config.fleet import DrainPolicy, Fleet
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.service import DrainService
from sluice.memory import Call, Fault, Hook, MemoryPorts, faulty_ports, memory_ports, queue_url
from sluice.model.observed import Lifecycle
from sluice.ports.stack import Ports
from sluice.redriving.context import RedriveInvocation
from tests.support.redrive_worlds import polled

EVENTS = Path(__file__).parents[2] / "events"
NOW = 1_795_600_000.0
# What a port does to the world or puts on record; everything else only asks.
WRITES = {
    "send", "delete", "hide", "start_move", "cancel_move", "store", "remove", "remove_all", "quarantine",
    "remove_entry", "remove_entries", "claim_sends", "confirm_sends", "note_failure", "note_returned", "keep_job",
    "keep_drain", "keep_consumer", "note_launch", "complete_hook", "end", "protect", "set_desired", "stop", "acquire",
    "admit_group", "remember", "mute_group",
}  # fmt: skip


class Stack:
    """Redriver, drainer and operator over one fleet in memory: its instance in service, nothing dead-lettered."""

    def __init__(self) -> None:
        self.now = NOW
        self.fleet = Fleet(
            name="orders",
            queue=queue_url("orders"),
            dead_letter_queue=queue_url("orders-dead-letters"),
            group="orders-consumers",
            target_wait_s=60,
            drain=DrainPolicy(),
        )
        self.ports: MemoryPorts = memory_ports(lambda: self.now, [self.fleet])
        hook = Hook(self.fleet.drain.hook, timeout_s=self.fleet.drain.hook_timeout_s)
        self.ports.group.create(self.fleet.group, desired=1, hooks=(hook,))
        self.writes: list[str] = []
        self.seen: Ports = faulty_ports(self.ports, self._note)

    def _note(self, call: Call) -> Fault | None:
        # A forged event may have a fleet's drains checked once more: a step of a chain acts on what AWS says.
        writes = call.method in WRITES and call.port not in {"MemoryWorkQueue", "MemoryChains"}
        self.writes += [call.method] if writes else []
        return None

    def _pass(self, seconds: float) -> None:
        self.now += seconds

    @property
    def instance_id(self) -> str:
        """Of the instance in service."""
        (instance,) = self.ports.group.read(self.fleet.group).instances
        return instance.id

    def operator(self, event: Any) -> Any:
        """What the operator function answers."""
        limits = RedriveInvocation("request", self.now + 30, self.now + 25, lambda: 0.5)
        return operator_app.service(self.seen, lambda: self.now, limits).answer(event)

    def redriver(self, event: Any) -> Any:
        """What the redriver answers."""
        limits = RedriveInvocation("batch", self.now + 30, self.now + 25, lambda: 0.5)
        return redriver_app.service(self.seen, lambda: self.now, limits).respond(event)

    def drainer(self, event: Any) -> Any:
        """What the drainer answers."""
        directory = FleetDirectory(self.seen, lambda: self.now, drainer_app.logger)
        return DrainService(self.seen, lambda: self.now, self.now + 55, directory, drainer_app.logger).respond(event)

    def take_steps(self) -> None:
        """The drainer takes every step of its chains that was asked for."""
        self.now += 900
        directory = FleetDirectory(self.seen, lambda: self.now, drainer_app.logger)
        drainer = DrainService(self.seen, lambda: self.now, self.now + 55, directory, drainer_app.logger)
        for step in self.ports.work.receive("drains"):
            drainer.take_step(json.loads(event_of(step)))
        assert self.ports.ledger.chains.chains("drains") == ()

    def in_service(self) -> bool:
        """Whether its instance is where it was."""
        (instance,) = self.ports.group.read(self.fleet.group).instances
        return instance.state is Lifecycle.IN_SERVICE


@pytest.fixture
def stack() -> Stack:
    """A fleet at rest."""
    return Stack()


def payload(name: str) -> dict[str, Any]:
    """A payload of events/, its queues' ARNs as queues in memory have them."""
    return dict(
        json.loads((EVENTS / f"{name}.json").read_text().replace("arn:aws:sqs:eu-central-1", "arn:aws:sqs:local"))
    )


def known_queue(_: Stack) -> dict[str, Any]:
    """Records of a fleet's dead-letter queue that are not in it, under receipts that somebody made up."""
    return payload("redriver-dead-letters-text")


def unknown_queue(_: Stack) -> dict[str, Any]:
    """Records of a queue that is no fleet's."""
    text = json.dumps(payload("redriver-dead-letters-text"))
    return dict(json.loads(text.replace("orders-dead-letters", "somebodys-queue")))


def receipts_of_others(stack: Stack) -> dict[str, Any]:
    """Records that borrow the receipt of a message in the fleet's own queue, where it is in flight."""
    stack.ports.queue.put(stack.fleet.queue, "working on it")
    (taken,) = stack.ports.queue.receive(stack.fleet.queue, 1, 600)
    records = payload("redriver-dead-letters-text")["Records"][:1]
    return {"Records": [{**records[0], "receiptHandle": taken.receipt}]}


def one_receipt_many_messages(stack: Stack) -> dict[str, Any]:
    """Several records under one real receipt: SQS gives each message one of its own."""
    records = payload("redriver-dead-letters-text")["Records"][:1]
    (held,) = polled(stack.ports.queue, {"Records": records})["Records"]
    return {"Records": [held, {**held, "messageId": "another", "body": "another"}]}


def lifecycle(name: str) -> Callable[[Stack], dict[str, Any]]:
    """A lifecycle event of the instance in service."""

    def forged(stack: Stack) -> dict[str, Any]:
        text = (EVENTS / f"drainer-{name}.json").read_text()
        return dict(json.loads(text.replace("i-0c0ffee1234567890", stack.instance_id)))

    return forged


def by_sns(stack: Stack) -> dict[str, Any]:
    """The same, as a notification."""
    detail = lifecycle("terminating")(stack)["detail"]
    return {"Records": [{"Sns": {"Message": json.dumps(detail)}}]}


def report_of_a_stranger(_: Stack) -> dict[str, Any]:
    """A consumer's word of an instance that the group does not have."""
    return payload("drainer-consumer-done")


def lifecycle_by_a_consumer(stack: Stack) -> dict[str, Any]:
    """What a principal that may put consumers' events makes of that."""
    return lifecycle("terminating")(stack) | {"source": "sluice.consumer"}


FORGED = {
    "records-known-queue": (known_queue, "redriver"),
    "records-unknown-queue": (unknown_queue, "redriver"),
    "records-receipts-of-others": (receipts_of_others, "redriver"),
    "records-one-receipt": (one_receipt_many_messages, "redriver"),
    "lifecycle-terminating": (lifecycle("terminating"), "drainer"),
    "lifecycle-warm-pool": (lifecycle("terminating-warm-pool"), "drainer"),
    "lifecycle-launching": (lifecycle("launching"), "drainer"),
    "lifecycle-by-sns": (by_sns, "drainer"),
    "lifecycle-by-a-consumer": (lifecycle_by_a_consumer, "drainer"),
    "spot": (lifecycle("spot-interruption"), "drainer"),
    "run-command": (lifecycle("run-command-success"), "drainer"),
    "report": (report_of_a_stranger, "drainer"),
}


@pytest.mark.parametrize(("forged", "function"), FORGED.values(), ids=FORGED)
def test_forged_event_changes_nothing_when_sent_to_whom_it_is_meant_for_and_to_the_operator(
    forged: Callable[[Stack], dict[str, Any]], function: str, stack: Stack
) -> None:
    """The operator refuses it by name; redriver or drainer send, record and release nothing for it."""
    event = forged(stack)
    assert "event: must be one request" in stack.operator(event)["error"]

    answered = getattr(stack, function)(event)
    stack.take_steps()

    assert stack.writes == []
    assert stack.in_service()
    assert stack.ports.instances.commands == []
    assert stack.ports.ledger.quarantine.quarantined("orders") == ((), None)
    if function == "redriver":
        kept = {failure["itemIdentifier"] for failure in answered["batchItemFailures"]}
        assert kept == {record["messageId"] for record in event["Records"]}, "Lambda deletes none of them"


REQUESTS = [*sorted(EVENTS.glob("operator-*.json"))]


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_request_is_refused_when_it_is_sent_to_redriver_or_drainer(path: Path, stack: Stack) -> None:
    """Each names the function that takes it, and does nothing."""
    request = json.loads(path.read_text())
    assert "the operator function" in stack.redriver(request)["error"]
    assert "dropped" in stack.drainer(request)
    assert stack.writes == []


@pytest.mark.parametrize("path", REQUESTS, ids=lambda path: path.stem)
def test_request_is_taken_when_it_is_sent_to_the_operator(path: Path, stack: Stack) -> None:
    """Whatever comes of it on an empty stack, it is understood."""
    assert "event: must be one request" not in str(stack.operator(json.loads(path.read_text())))


@pytest.mark.parametrize(
    "event",
    [
        {}, None, [], "redrive", {"redrive": {"fleet": "orders", "all": True}, "Records": []},
        {"redrive": {"fleet": "orders", "all": True}, "release": {"fleet": "orders", "instance_id": "i-1"}},
        payload("drainer-sweep"), payload("redriver-minute"), payload("redriver-message-failure"),
        payload("drainer-test-notification"), payload("planner-alarm-direct-alarm"), {"sweep": True},
    ],
)  # fmt: skip
def test_event_is_refused_when_it_is_not_one_request(event: object, stack: Stack) -> None:
    """Two requests, none, or a request with anything of AWS beside it: what is meant is not guessed."""
    refused = stack.operator(event)["error"]
    assert "event: must be one request" in refused
    assert "redrive, status, stop, pause, resume, mute, edit, restore, quarantine, peek, release" in refused
    assert stack.writes == []


def test_genuine_batch_is_settled_when_sqs_has_it_in_flight(stack: Stack) -> None:
    """What the check is not to cost: a batch as Lambda hands it over goes back to its queue."""
    batch = polled(stack.ports.queue, payload("redriver-dead-letters-text"))
    assert stack.redriver(batch) == {"batchItemFailures": []}
    assert len(stack.ports.queue.messages(stack.fleet.queue)) == len(batch["Records"])


def test_message_stays_when_it_was_received_anew_since_its_batch_was_made(stack: Stack) -> None:
    """Of a late delivery the genuine messages are dealt with, and the one that another holds by now is left to it."""
    batch = polled(stack.ports.queue, payload("redriver-dead-letters-text"))
    batch["Records"][0]["receiptHandle"] = "1:99"
    assert stack.redriver(batch) == {"batchItemFailures": [{"itemIdentifier": batch["Records"][0]["messageId"]}]}
    assert len(stack.ports.queue.messages(stack.fleet.queue)) == len(batch["Records"]) - 1
