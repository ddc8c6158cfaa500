"""The PlannerState and Launches ports' contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from dataclasses import replace

from sluice.model.planning import (
    Estimate,
    History,
    Memory,
    QueueMemory,
    QueueSample,
    TimedLaunch,
)
from sluice.model.shadow import ScoreHistory, Shadow, ShadowFleet, ShadowQueue, Span, Tally
from sluice.model.usage import NeedWindow
from sluice.ports.ledger import Ledger
from sluice.ports.ledger.planner_state import LAUNCHES_KEPT
from tests.integration.ledger.samples import AT, FLEET
from tests.support.planner_steps import a_memory, keep_memory


def timed(number: int) -> TimedLaunch:
    """A launch, before it is noted."""
    return TimedLaunch(f"i-{number}", AT + number, AT + number + 60.5, AT + number + 61, AT + number + 62)


def test_memory_is_empty_at_first_and_kept_whole(ledger: Ledger) -> None:
    """A day of minutes, estimates and all comes back as it was; other fleets have their own."""
    assert ledger.planner_state.memory(FLEET) == Memory()
    memory = a_memory(
        rate=Estimate(0.3125, 12.5, AT),
        arrivals=History(60.0, AT, tuple(float(i % 7) for i in range(1440))),
        under_way=(("i-1", AT), ("i-2", AT + 1)),
        margin_share=0.125,
        shadow=Shadow(
            target_wait_s=120.0,
            at=AT - 240.5,
            fleet=ShadowFleet(3, 2.0, ((AT, AT + 60, 1.0),), ((AT + 5, 1.0, 0.5),), 1.5, ((AT - 9, AT - 1, 12.5),)),
            waiting=((AT - 90, AT - 80, 700.0),),
            ticks=((AT - 10, 3, 20.0, 1.0), (AT, 4, 20.0, 0.0)),
            needs=NeedWindow(((AT, 4),), AT - 900),
            restarted=(AT - 900, 310.0),
            score=ScoreHistory((Span(AT - 300, 240.0, 99.0, Tally(60.0, 1.0, 130.5, (0.0, 9.0)), Tally()),)),
        ),
    )
    keep_memory(ledger, FLEET, memory)
    assert ledger.planner_state.memory(FLEET) == memory
    assert ledger.planner_state.memory("other") == Memory()


def test_memory_of_several_queues_in_shadow_is_kept_whole(ledger: Ledger) -> None:
    """Each queue's line on both sides, and what it is scored by."""
    lines = ((AT - 60, AT - 30, 2.5),), ((AT - 9, AT, 1.0), (AT, AT, 3.0))
    fleet = ShadowFleet(2, 2.0, waiting=(), others=lines)
    queues = tuple(ShadowQueue(name, 60.0 * n, 3 - n, AT - n) for n, name in enumerate(("a", "b", "c"), start=1))
    memory = a_memory(shadow=Shadow(60.0, AT, fleet, lines[0], ((), lines[1]), queues=queues))
    keep_memory(ledger, FLEET, memory)
    assert ledger.planner_state.memory(FLEET) == memory


def test_memories_of_several_fleets_come_in_their_order(ledger: Ledger) -> None:
    """Each whole, an empty one where nothing was kept; launches that were noted are read by themselves."""
    kept = a_memory(learned_at=AT, rate=Estimate(0.25, 9.0, AT), needs=((AT, 4),))
    keep_memory(ledger, FLEET, kept)
    ledger.planner_state.note_launch(FLEET, timed(1))
    ledger.planner_state.note_launch("new", timed(2))
    assert ledger.planner_state.memories(["other", FLEET, "new"]) == (Memory(), kept, Memory())
    assert ledger.planner_state.timed(["other", FLEET]) == {"other": (), FLEET: (replace(timed(1), number=1),)}
    assert ledger.planner_state.memories([]) == ()


def test_memory_of_several_queues_is_kept_whole(ledger: Ledger) -> None:
    """Samples and arrivals of each queue, though they are written apart; a queue that is gone is forgotten."""
    sample = QueueSample(AT, 3.0, 1.0, 2.0, True, 4.0)
    queues = tuple(QueueMemory(name, History(60.0, AT, (1.0, 2.0)), (sample,)) for name in ("a", "b"))
    keep_memory(ledger, FLEET, replace(Memory(), learned_at=AT, queues=queues))
    assert ledger.planner_state.memory(FLEET).queues == queues
    keep_memory(ledger, FLEET, replace(Memory(), learned_at=AT, queues=queues[:1]))
    assert ledger.planner_state.memories([FLEET])[0].queues == queues[:1]  # type: ignore[union-attr]


def test_launches_are_read_with_the_memory_when_others_have_noted_them(ledger: Ledger) -> None:
    """Before the planner's first tick and between two; it neither keeps nor loses them, and each has its number."""
    ledger.planner_state.note_launch(FLEET, timed(1))
    assert ledger.planner_state.memory(FLEET) == a_memory(timed=(replace(timed(1), number=1),))
    read = ledger.planner_state.memory(FLEET)
    ledger.planner_state.note_launch(FLEET, replace(timed(2), ready_at=None))
    keep_memory(ledger, FLEET, replace(read, learned_at=AT))
    both = (replace(timed(1), number=1), replace(timed(2), ready_at=None, number=2))
    assert ledger.planner_state.memory(FLEET) == a_memory(learned_at=AT, timed=both)
    assert ledger.planner_state.memory("other") == Memory()


def test_launches_are_forgotten_from_the_first_when_there_are_many(ledger: Ledger) -> None:
    """The last ones stay, their numbers go on, whatever was taken away before."""
    for number in range(1, 3 * LAUNCHES_KEPT):
        ledger.planner_state.note_launch(FLEET, timed(number))
        last = ledger.planner_state.memory(FLEET).from_ledger.timed
        assert [launch.number for launch in last] == list(range(max(1, number - LAUNCHES_KEPT + 1), number + 1))
        assert last[-1] == replace(timed(number), number=number)
