"""SQS's own move tasks by the Queue port: memory and the emulator keep to the same behaviour (moto has none)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sluice.model.redriving import Message
from sluice.ports.errors import RefusedError
from tests.integration.contract_worlds import EMULATOR, MEMORY, World, open_world


@pytest.fixture(params=(MEMORY, EMULATOR))
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in turn."""
    yield from open_world(request)


@pytest.fixture
def queues(world: World) -> tuple[str, str]:
    """A queue, and its dead-letter queue with 30 messages in it."""
    dead = world.make_queue()
    url = world.make_queue(dead_letter=dead)
    letters = [Message(id=f"m{n}", body=f"body {n}") for n in range(30)]
    assert len(world.ports.queue.send(dead, letters, [0.0] * 30).done) == 30
    return url, dead


def test_move_brings_everything_back_when_it_is_started(world: World, queues: tuple[str, str]) -> None:
    """It is on the list while it runs, with its handle, and afterwards with what it moved."""
    url, dead = queues
    queue = world.ports.queue
    handle = queue.start_move(dead, queue.facts(url).arn, 10)
    (task,) = queue.moves(dead)
    assert (task.running, task.handle) == (True, handle)
    world.pass_time(4.0)
    (task,) = world.eventually(lambda: [one for one in queue.moves(dead) if not one.running])
    assert (task.moved_count, task.problem, task.cancelled) == (30, "", False)
    assert len(queue.receive(url, 40, 30.0)) == 30
    assert queue.receive(dead, 10, 30.0) == ()


def test_move_stops_when_it_is_cancelled(world: World, queues: tuple[str, str]) -> None:
    """What it moved stays moved; to cancel it again is no error."""
    url, dead = queues
    queue = world.ports.queue
    handle = queue.start_move(dead, queue.facts(url).arn, 1)
    assert queue.cancel_move(handle)
    assert not queue.cancel_move(handle)
    (task,) = queue.moves(dead)
    assert (task.running, task.cancelled) == (False, True)
    assert len(queue.receive(dead, 40, 30.0)) == 30 - task.moved_count


def test_move_is_refused_when_one_runs_or_the_source_is_no_dead_letter_queue(
    world: World, queues: tuple[str, str]
) -> None:
    """One at a time, and only out of a dead-letter queue."""
    url, dead = queues
    queue = world.ports.queue
    queue.start_move(dead, queue.facts(url).arn, 1)
    with pytest.raises(RefusedError):
        queue.start_move(dead, queue.facts(url).arn, 1)
    with pytest.raises(RefusedError):
        queue.start_move(url, queue.facts(dead).arn, 1)
    assert queue.moves(url) == ()
