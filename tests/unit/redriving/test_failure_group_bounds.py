"""Failure groups are bounded: free text makes no more than so many, nothing is lost by it, and the empty ones go."""

from collections import Counter

import pytest

from sluice.memory import Call, faulty_ports
from sluice.model.redrive_jobs import JobState, Selection
from sluice.model.redriving import FailureGroup
from sluice.ports.ledger.failure_groups import EMPTY_GROUPS_KEPT_S
from sluice.redriving.failure_groups import GROUPS_MAX, OVERFLOW, Cause
from sluice.redriving.jobs.lifecycle import create_job
from tests.support.redrive_worlds import World, fleet, letter

BODIES = 5_000
WORDS = ["alder", "beech", "cedar", "dogwood", "elm", "fir", "ginkgo", "hazel", "ivy", "juniper"]


def free_text(number: int) -> str:
    """A text that no other number gives, in words: numbers would be masked."""
    return " ".join(WORDS[int(digit)] for digit in f"{number:04d}")


def groups(world: World) -> tuple[FailureGroup, ...]:
    """Every failure group of the fleet."""
    return world.ports.ledger.failure_groups.failure_groups("orders")


@pytest.fixture(scope="module")
def flooded() -> tuple[World, Counter[str]]:
    """A fleet whose 5,000 dead letters are all of another text, quarantined ten by ten; and the ledger's calls."""
    world, calls = World(fleet(max_retries=0)), Counter[str]()

    def count(call: Call) -> None:
        calls[call.method] += 1

    for first in range(0, BODIES, 10):
        processor = world.processor(faulty_ports(world.ports, count))
        batch = [letter(free_text(n), id=f"m-{n}") for n in range(first, first + 10)]
        assert all(one.may_be_deleted for one in processor.process(batch))
    return world, calls


@pytest.mark.slow
def test_groups_are_bounded_when_five_thousand_texts_are_all_different(flooded: tuple[World, Counter[str]]) -> None:
    """The first 200 have a group each, the others share one, and every message is in quarantine with its own cause."""
    world, _ = flooded
    found = {group.id: group for group in groups(world)}
    assert len(found) == GROUPS_MAX + 1
    assert found[OVERFLOW.id].count == BODIES - GROUPS_MAX
    assert found[OVERFLOW.id].cause == OVERFLOW.words
    assert (
        world.ports.ledger.quarantine.quarantine_size("orders")
        == sum(group.count for group in found.values())
        == BODIES
    )
    entry = world.ports.ledger.quarantine.quarantined_message("orders", f"m-{BODIES - 1}")
    assert entry is not None
    assert (entry.failure_group, "juniper juniper juniper" in entry.cause) == (OVERFLOW.id, True)


def test_reads_are_bounded_when_every_text_is_another(flooded: tuple[World, Counter[str]]) -> None:
    """A batch reads the groups of its own messages, and never all groups."""
    _, calls = flooded
    assert calls["failure_groups"] == 0
    assert calls["failure_group"] <= BODIES
    assert calls["admit_group"] <= BODIES


def test_overflow_is_redriven_like_any_group_when_a_person_asks(flooded: tuple[World, Counter[str]]) -> None:
    """Nothing is lost in it: a redrive of the group sends each of its messages back, and leaves the others."""
    world, _ = flooded
    world.now += 60.0
    worked = create_job(world.ports, world.fleet, Selection(failure_group=OVERFLOW.id), world.job(rate_per_s=500.0))
    while worked.state is JobState.RUNNING:
        worked = world.work(worked)
        world.now += 60.0
    assert (worked.state, worked.progress.sent_count) == (JobState.DONE, BODIES - GROUPS_MAX)
    sent = {message.body for message in world.ports.queue.messages(world.fleet.queue)}
    assert len(sent) == BODIES - GROUPS_MAX
    assert world.ports.ledger.quarantine.quarantine_size("orders") == GROUPS_MAX


def test_group_is_forgotten_when_it_has_been_empty_for_as_long_as_a_copy_can_come_back() -> None:
    """What was retried and is quiet goes, and makes room; what is in quarantine stays for good."""
    world = World()
    assert all(
        world.ports.ledger.failure_groups.admit_group("orders", f"text-{n}", "a cause", world.now)
        for n in range(GROUPS_MAX)
    )
    assert not world.ports.ledger.failure_groups.admit_group("orders", "text-new", "another", world.now)
    processor = world.processor()
    (kept,) = processor.quarantine([letter("kept", id="m-kept")], "Quarantined.")
    assert kept.verdict is not None
    assert kept.verdict.failure_group == OVERFLOW.id
    world.now += EMPTY_GROUPS_KEPT_S
    assert [group.id for group in groups(world)] == [OVERFLOW.id]
    assert world.ports.ledger.failure_groups.admit_group("orders", "text-new", "another", world.now)


def test_cause_decides_when_its_group_would_be_one_too_many() -> None:
    """The policy's patterns are of the dead letter's own cause, not of the overflow's words."""
    world = World(fleet(permanent=("*no such sku*",)))
    for n in range(GROUPS_MAX):
        world.ports.ledger.failure_groups.admit_group("orders", f"text-{n}", "a cause", world.now)
    (result,) = world.processor().process([letter(cause="no such sku", id="m-1", source=world.to.arn)])
    assert result.verdict is not None
    assert Cause(result.verdict.failure_group, result.verdict.cause) == Cause(OVERFLOW.id, "no such sku")
    assert "calls its cause permanent" in result.reason
