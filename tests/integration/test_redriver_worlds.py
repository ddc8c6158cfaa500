"""A dead letter's whole way over memory, moto and the emulator: failed, retried, quarantined, redriven, whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from functions.operator import app as operator_app
from functions.redriver import app
from sluice.memory import MemoryWorkQueue
from sluice.model.redriving import Attribute, Message
from sluice.redriving.commands import ANSWER_S
from sluice.redriving.message_copy import origin_of
from sluice_tools.chaos.redrive_queue import as_record
from tests.integration.contract_worlds import EVERYWHERE, AwsWorld, World, open_world
from tests.support.redrive_chains import go_on

OWN = (
    ("binary", Attribute("Binary.png", None, b"\x89PNG\x00\xff")),
    ("weight", Attribute("Number.kg", "1.250")),
    ("who", Attribute("String.uuid", "Zo\u00eb")),
)


@pytest.fixture(params=EVERYWHERE)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in turn."""
    for opened in open_world(request):
        if isinstance(opened, AwsWorld):
            opened.make_table()
            opened.make_bucket()
        yield opened


class Fleet:
    """A fleet in a world, and invocations of the redriver for it."""

    def __init__(self, world: World, *, fifo: bool, **redrive: Any) -> None:
        self.world = world
        self.steps = MemoryWorkQueue(world.now)
        self.ports = replace(world.ports, work=self.steps)
        self.dead_letters = world.make_queue(fifo=fifo)
        self.queue = world.make_queue(fifo=fifo, dead_letter=self.dead_letters, max_receive_count=1)
        self.name = self.queue.rpartition("/")[2].replace(".", "-")
        self.fifo = fifo
        document = {
            "queue": self.queue,
            "dead_letter_queue": self.dead_letters,
            "group": self.name,
            "target_wait_s": 60,
            "redrive": {"base_delay_s": 0, "canary_wait_s": 0, **redrive},
        }
        world.put_document(self.name, document)
        self.invocations = 0

    def invoke(self, event: object) -> Any:
        """One invocation, with answers that do not wait."""
        self.invocations += 1
        now = self.world.now()
        invocation = app.RedriveInvocation(f"{self.name}-{self.invocations}", now + 30, now + 25, lambda: 0.5)
        if {"Records", "source", "step"}.isdisjoint(event):
            answered = operator_app.service(self.ports, self.world.now, invocation).answer(event)
            if "status" in event:
                return answered
            go_on(self.steps, self.world.now, self.pass_until, self.invoke, ANSWER_S)
            return self.invoke({"status": {"fleet": self.name, "job_id": answered["job"]["id"]}})
        return app.service(self.ports, self.world.now, invocation).respond(event)

    def pass_until(self, at: float) -> None:
        """Let it be that time."""
        self.world.pass_time(max(0.0, at - self.world.now()))

    def send(self, *bodies: str) -> None:
        """The producer sends."""
        messages = [
            Message(f"{self.name}-{body}", body, attributes=OWN, message_group="g" if self.fifo else None)
            for body in bodies
        ]
        assert len(self.ports.queue.send(self.queue, messages, [0.0] * len(messages)).done) == len(messages)

    def fail(self) -> None:
        """The consumer fails on everything, until SQS itself dead-letters it."""
        for _ in range(2):
            while self.ports.queue.receive(self.queue, 10, 0.0):
                pass

    def poll(self) -> list[str]:
        """Lambda's poller hands over what is in the dead-letter queue and deletes what it may; the bodies kept."""
        arn, source = (self.ports.queue.facts(url).arn for url in (self.dead_letters, self.queue))
        kept: list[str] = []
        while received := self.ports.queue.receive(self.dead_letters, 10, 30.0):
            if self.world.kind == "moto":  # which has no DeadLetterQueueSourceArn
                received = tuple(replace(message, source=source) for message in received)
            answered = self.invoke({"Records": [as_record(message, arn) for message in received]})
            failed = {failure["itemIdentifier"] for failure in answered["batchItemFailures"]}
            kept += [message.body for message in received if message.id in failed]
            done = [message.receipt for message in received if message.id not in failed]
            assert len(self.ports.queue.delete(self.dead_letters, done).done) == len(done)
        return kept

    def received(self) -> list[Message]:
        """What is in the queue, received and left hidden."""
        found: list[Message] = []
        while received := self.ports.queue.receive(self.queue, 10, 30.0):
            found += received
            if self.fifo:
                self.ports.queue.delete(self.queue, [message.receipt for message in received])
        return found


@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
def test_dead_letters_come_back_whole_when_they_were_retried_quarantined_and_redriven(world: World, fifo: bool) -> None:
    """One retry, then quarantine, then an operator's redrive: body, attributes, order and count are as expected.

    On a FIFO queue the first is retried, and what is behind it follows it into quarantine.
    """
    fleet = Fleet(world, fifo=fifo, max_retries=1)
    fleet.send("a", "b", "c")
    for nth in range(2):  # the first failing is retried, the second is quarantined
        fleet.fail()
        if fifo and nth == 0:
            assert sorted(fleet.poll()) == ["a", "b", "c"], "held until the copy of the first has settled"
            world.pass_time(65 + fleet.ports.queue.facts(fleet.queue).visibility_s)
        else:
            assert fleet.poll() == []
    entries, _ = fleet.ports.ledger.quarantine.quarantined(fleet.name)
    kept = [fleet.ports.archive.load(entry.key) for entry in entries]
    assert sorted(message.body for message in kept) == ["a", "b", "c"]
    if fifo:  # moto dead-letters a FIFO queue in any order
        assert world.kind == "moto" or [message.body for message in kept] == ["a", "b", "c"]
    assert sum(group.count for group in fleet.ports.ledger.failure_groups.failure_groups(fleet.name)) == 3

    world.pass_time(1.0)
    job = fleet.invoke({"redrive": {"fleet": fleet.name, "all": True, "rate_per_s": 100}})["job"]
    assert (job["state"], job["sent_count"], job["doubtful_count"]) == ("done", 3, 0)
    messages = fleet.received()
    assert sorted(message.body for message in messages) == ["a", "b", "c"]
    if fifo:
        assert [message.body for message in messages] == [message.body for message in kept]
    for message in messages:
        own = tuple((name, value) for name, value in message.attributes if not name.startswith("sluice."))
        assert own == OWN
        assert message.attribute("sluice.attempts") == ("1" if fifo and message.body != kept[0].body else "2")
        origin = origin_of(message, fleet.ports.queue.facts(fleet.queue))
        assert origin is not None
        assert (origin.job_id, origin.message_id in {entry.message_id for entry in entries}) == (job["id"], True)
    assert fleet.ports.ledger.quarantine.quarantined(fleet.name)[0] == ()
    assert all(group.count == 0 for group in fleet.ports.ledger.failure_groups.failure_groups(fleet.name))


def test_dead_letters_are_sent_from_their_queue_when_the_mode_is_manual(world: World) -> None:
    """Nothing takes them as they come; an operator's redrive empties the dead-letter queue."""
    fleet = Fleet(world, fifo=False, mode="manual")
    fleet.send("a", "b", "c")
    fleet.fail()
    request = {"redrive": {"fleet": fleet.name, "all": True, "from": "dead-letter-queue", "rate_per_s": 100}}
    job = fleet.invoke(request)["job"]
    assert (job["state"], job["sent_count"]) == ("done", 3)
    assert sorted(message.body for message in fleet.received()) == ["a", "b", "c"]
    assert fleet.ports.queue.receive(fleet.dead_letters, 10, 0.0) == ()
