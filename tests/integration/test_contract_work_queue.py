"""The WorkQueue port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sluice.aws.clients import Clients
from sluice.aws.work_queue import QUEUE_SETTINGS, SqsWorkQueue
from sluice.chains import read_step
from sluice.model.chain import Step
from sluice.ports.errors import NeedsFixError
from sluice.ports.work_queue import WorkQueue
from tests.integration.contract_worlds import EVERYWHERE, AwsWorld, MemoryWorld, World, open_world


class Place:
    """The work queues of a world, and what a function would receive of them."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.work: WorkQueue = world.ports.work
        if isinstance(world, AwsWorld):
            self.urls = {kind: world.make_queue() for kind in QUEUE_SETTINGS}
            named = {QUEUE_SETTINGS[kind]: url for kind, url in self.urls.items()}
            self.work = SqsWorkQueue(Clients(world.environ), named)

    def receive(self, kind: str) -> list[Step]:
        """The steps of a kind that may be received now."""
        if isinstance(self.world, MemoryWorld):
            return list(self.world.memory.work.receive(kind))
        messages = self.world.ports.queue.receive(self.urls[kind], 10, 30.0)
        return [read_step(message.body, kind) for message in messages]


@pytest.fixture(params=EVERYWHERE)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each world's work queues in turn."""
    for world in open_world(request):
        yield Place(world)


def test_step_is_received_by_its_kind_when_it_was_sent(place: Place) -> None:
    """Each kind has a queue of its own."""
    place.work.send(Step("ticks/0001", 3), 0.0)
    place.work.send(Step("jobs/orders", 9), 0.0)

    assert place.world.eventually(lambda: place.receive("ticks")) == [Step("ticks/0001", 3)]
    assert place.world.eventually(lambda: place.receive("jobs")) == [Step("jobs/orders", 9)]
    assert place.receive("drains") == []


def test_step_is_not_received_before_its_delay_is_over(place: Place) -> None:
    """A fraction of a second counts as a whole one: nothing comes early."""
    place.work.send(Step("drains/orders", 1), 1.2)
    place.world.pass_time(1.3)
    assert place.receive("drains") == []
    place.world.pass_time(0.7)
    assert place.world.eventually(lambda: place.receive("drains")) == [Step("drains/orders", 1)]


def test_step_is_refused_when_its_kind_has_no_queue() -> None:
    """The error names the variable that is missing."""
    work = SqsWorkQueue(Clients({"AWS_REGION": "eu-west-1"}), {})
    with pytest.raises(NeedsFixError, match="SLUICE_TICKS_QUEUE must be set"):
        work.send(Step("ticks/0001", 1), 0.0)
