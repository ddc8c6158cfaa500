"""The WorkQueue port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.stub import Stubber

from sluice.aws.clients import Clients
from sluice.aws.work_queue import QUEUE_SETTING, SqsWorkQueue
from sluice.chains import read_step
from sluice.model.chain import Step
from sluice.ports.errors import NeedsFixError, TryLaterError
from sluice.ports.work_queue import WorkQueue
from tests.integration.contract_worlds import EVERYWHERE, AwsWorld, MemoryWorld, World, open_world

DRAINER = "arn:aws:lambda:eu-west-1:123456789012:function:sluice-drainer"


class Place:
    """The work queue of a world, and what the planner would receive of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.work: WorkQueue = world.ports.work
        if isinstance(world, AwsWorld):
            self.url = world.make_queue()
            self.work = SqsWorkQueue(Clients(world.environ), {QUEUE_SETTING: self.url})

    def receive(self) -> list[Step]:
        """The steps that may be received now."""
        if isinstance(self.world, MemoryWorld):
            return list(self.world.memory.work.receive())
        messages = self.world.ports.queue.receive(self.url, 10, 30.0)
        return [read_step(message.body) for message in messages]


@pytest.fixture(params=EVERYWHERE)
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """Each world's work queue in turn."""
    for world in open_world(request):
        yield Place(world)


def test_step_is_received_when_it_was_sent(place: Place) -> None:
    """One queue holds the steps of every kind of chain."""
    place.work.send(Step("ticks/0001", 3), 0.0)
    assert place.world.eventually(place.receive) == [Step("ticks/0001", 3)]
    place.work.send(Step("jobs/orders", 9), 0.0)
    assert place.world.eventually(place.receive) == [Step("jobs/orders", 9)]
    assert place.receive() == []


def test_step_is_not_received_before_its_delay_is_over(place: Place) -> None:
    """A fraction of a second counts as a whole one: nothing comes early."""
    place.work.send(Step("drains/orders", 1), 1.2)
    place.world.pass_time(1.3)
    assert place.receive() == []
    place.world.pass_time(0.7)
    assert place.world.eventually(place.receive) == [Step("drains/orders", 1)]


def test_step_is_refused_when_there_is_no_queue() -> None:
    """The error names the variable that is missing."""
    work = SqsWorkQueue(Clients({"AWS_REGION": "eu-west-1"}), {})
    with pytest.raises(NeedsFixError, match="SLUICE_WORK_QUEUE must be set"):
        work.send(Step("ticks/0001", 1), 0.0)


@pytest.mark.parametrize(
    ("chain", "problem"),
    [
        ("drains/orders", "SLUICE_DRAINS_FUNCTION must be set"),
        ("jobs/orders", "SLUICE_JOBS_FUNCTION must be set"),
        ("ticks/0001", "no function takes steps of 'ticks'"),
    ],
)
def test_step_is_not_handed_over_when_its_kind_has_no_function(chain: str, problem: str) -> None:
    """The error names the variable that is missing; the planner's own steps have none."""
    work = SqsWorkQueue(Clients({"AWS_REGION": "eu-west-1"}), {})
    with pytest.raises(NeedsFixError, match=problem):
        work.hand_over(Step(chain, 1))


def test_step_is_handed_over_by_an_event_that_nobody_waits_for() -> None:
    """Lambda answers 202 to an invocation of type Event: it has the payload, and has not begun."""
    clients = Clients({"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"})
    work = SqsWorkQueue(clients, {"SLUICE_DRAINS_FUNCTION": DRAINER})
    with Stubber(clients.lambda_) as lambda_:
        lambda_.add_response(
            "invoke",
            {"StatusCode": 202},
            {
                "FunctionName": DRAINER,
                "InvocationType": "Event",
                "Payload": b'{"step":{"chain":"drains/orders","version":3}}',
            },
        )
        work.hand_over(Step("drains/orders", 3))
        lambda_.assert_no_pending_responses()
        lambda_.add_client_error("invoke", "TooManyRequestsException")
        with pytest.raises(TryLaterError):
            work.hand_over(Step("drains/orders", 3))
