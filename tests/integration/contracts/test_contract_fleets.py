"""The Fleets port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.contract_worlds import EVERYWHERE, AwsWorld, World, open_world


@pytest.fixture(params=EVERYWHERE)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in turn."""
    for opened in open_world(request):
        if isinstance(opened, AwsWorld):
            opened.make_table()
        opened.ports.fleets.refresh()  # as the planner does each minute
        yield opened


def document(name: str, **more: Any) -> dict[str, Any]:
    """A valid document."""
    queue = f"https://sqs.eu-central-1.amazonaws.com/123456789012/{name}"
    return {"queue": queue, "group": f"{name}-consumers", "target_wait_s": 60, **more}


def test_no_fleets_when_there_are_no_documents(world: World) -> None:
    """A stack without fleets is valid."""
    loaded = world.ports.fleets.load()
    assert (loaded.fleets, loaded.invalid) == ((), ())


def test_every_fleet_is_loaded_by_name(world: World) -> None:
    """More documents than one page of Parameter Store holds, in the order of their names."""
    for number in range(12):
        world.put_document(f"f{number:02d}", document(f"f{number:02d}"))
    loaded = world.ports.fleets.load()
    assert [fleet.name for fleet in loaded.fleets] == [f"f{number:02d}" for number in range(12)]
    assert loaded.invalid == ()


def test_invalid_document_does_not_hide_the_others(world: World) -> None:
    """Each bad one is reported by its name with all its problems."""
    world.put_document("good", document("good"))
    world.put_document("bad", {"group": "", "target_wait_s": 0})
    world.put_document("broken", "{not JSON")
    loaded = world.ports.fleets.load()
    assert [fleet.name for fleet in loaded.fleets] == ["good"]
    assert [error.name for error in loaded.invalid] == ["bad", "broken"]
    assert [problem.partition(":")[0] for problem in loaded.invalid[0].problems] == ["queue", "group", "target_wait_s"]


def test_further_queues_documents_join_their_fleets(world: World) -> None:
    """Under the fleet's own name, as deep as queue.yaml writes them; one at fault is reported by its name."""
    queue = "https://sqs.eu-central-1.amazonaws.com/123456789012/one-urgent"
    world.put_document("one", document("one"))
    world.put_document("one/queues/one-urgent.fifo", {"queue": f"{queue}.fifo", "target_wait_s": 30, "priority": 5})
    world.put_document("one/queues/bad", {"queue": queue, "priority": 1_000})
    world.put_document("one-more", document("one-more"))
    loaded = world.ports.fleets.load()
    assert [[source.name for source in fleet.sources] for fleet in loaded.fleets] == [
        ["one", "one-urgent.fifo"],
        ["one-more"],
    ]
    assert [error.name for error in loaded.invalid] == ["one/queues/bad"]


def test_second_document_is_invalid_when_it_claims_another_fleets_group(world: World) -> None:
    """Two fleets would set one group's capacity against each other."""
    world.put_document("one", document("one"))
    world.put_document("two", document("two", group="one-consumers"))
    loaded = world.ports.fleets.load()
    assert [fleet.name for fleet in loaded.fleets] == ["one"]
    assert loaded.invalid[0].problems == (
        "group: fleet 'one' scales group 'one-consumers' already; choose another group",
    )


def test_last_usable_version_is_found_when_a_document_is_broken(world: World) -> None:
    """The newest that parses, whatever came after it, with the time when it was written; asked for, and only then."""
    world.put_document("one", document("one", target_wait_s=30))
    world.put_document("one", document("one", target_wait_s=90))
    written_by = world.now()
    world.pass_time(1.0)
    world.put_document("one", "{not JSON")
    world.put_document("one", document("one", target_wait_s=0))
    world.put_document("two", document("two"))

    assert world.ports.fleets.load().drain_only == ()
    loaded = world.ports.fleets.load(last_usable=True)

    assert [fleet.name for fleet in loaded.fleets] == ["two"]
    assert [error.name for error in loaded.invalid] == ["one"]
    (found,) = loaded.drain_only
    assert (found.document, found.fleet.name, found.fleet.target_wait_s) == ("one", "one", 90)
    assert found.written_at == pytest.approx(written_by, abs=1.0)
    assert loaded.unread == ()


def test_last_usable_version_is_found_when_there_are_more_than_a_page(world: World) -> None:
    """Parameter Store gives fifty versions at once, the oldest first."""
    for wait_s in range(1, 53):
        world.put_document("one", document("one", target_wait_s=wait_s))
    world.put_document("one", "broken")
    (found,) = world.ports.fleets.load(last_usable=True).drain_only
    assert found.fleet.target_wait_s == 52


def test_nothing_is_drain_only_when_no_version_can_be_used(world: World) -> None:
    """One that never was valid, one whose every version claims another's group, and a queue's document."""
    world.put_document("one", document("one"))
    world.put_document("one/queues/bad", {"priority": 1_000})
    world.put_document("never", {"group": ""})
    world.put_document("two", document("two", group="one-consumers"))
    loaded = world.ports.fleets.load(last_usable=True)
    assert [error.name for error in loaded.invalid] == ["never", "one/queues/bad", "two"]
    assert (loaded.drain_only, loaded.unread) == ((), ())
