"""docs/planner.md: what its example prints is what the planner decides, and it can be read in one sitting."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from sluice.config.fleet import parse
from sluice.model.frozen import replace
from sluice.model.planning import Memory, Snapshot
from sluice.model.timing import Timing
from sluice.planning.assessment import Assessment, assess
from sluice.planning.demand import due_by
from sluice.planning.learning.learn import learn
from sluice.planning.planner import plan
from sluice.planning.supply import Supply

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/planner.md").read_text(encoding="utf-8")
LINES_MOST = 200
ABOUT = 10  # the page rounds messages to tens
LEAD_S = 60.0


def example() -> tuple[Assessment, str]:
    """The example's files, decided on."""
    fleet = parse("fleet", (ROOT / "examples/plan/fleet.json").read_text(encoding="utf-8"))
    seen = TypeAdapter(Snapshot).validate_json((ROOT / "examples/plan/snapshot.json").read_bytes())
    timing, now = Timing(), seen.at
    memory, estimates = learn(Memory(), seen, fleet, timing=timing, now=now)
    assert seen.group is not None
    tick = assess(seen, seen.group, fleet, estimates, memory, timing=timing, now=now)
    return tick, plan(seen, fleet, estimates, memory, timing=timing, now=now).sentence


def row(name: str) -> list[float]:
    """The figures of one row of the example's table."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    return [float(cell) for cell in line.split("|")[2:-1]]


def test_example_when_its_table_is_worked_out() -> None:
    """Deadlines and capacity at each moment are those of the planner, to the tens that are printed."""
    tick, _ = example()
    times = row("seconds from now")
    assert times[-1] == pytest.approx(tick.waits.wait_s, abs=0.5)
    times[-1] = tick.waits.wait_s
    assert row("due") == pytest.approx([due_by(tick.required.deadlines, t) for t in times], abs=ABOUT)

    def started(more: int) -> list[float]:
        supply: Supply = replace(tick.supply, launches=((LEAD_S, float(more)),) if more else ())
        return [supply.started(t) for t in times]

    assert row("started by the 2 in service") == pytest.approx(started(0), abs=ABOUT)
    assert row("started with 3 more") == pytest.approx(started(3), abs=ABOUT)
    assert row("started with 4 more") == pytest.approx(started(4), abs=ABOUT)


def test_example_when_its_need_is_worked_out() -> None:
    """With what the table calls enough every deadline is met, with one less it is not, and that is the need."""
    tick, _ = example()
    due, fewer, enough = row("due"), row("started with 3 more"), row("started with 4 more")
    assert any(owed > done for owed, done in zip(due, fewer, strict=True))
    assert all(owed <= done for owed, done in zip(due, enough, strict=True))
    assert tick.need == 2 + 4
    assert "So the need is 6" in PAGE


def test_example_when_it_is_told() -> None:
    """The figures in the text and the decision's sentence are the planner's own."""
    tick, sentence = example()
    quoted = re.search(r"^> (.+?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert quoted is not None
    assert quoted[1].replace("\n> ", " ") == sentence
    assert tick.supply.working == tick.supply.busy * 2 == 2.0
    assert tick.lead_s == LEAD_S
    assert f"({1 / tick.rate_per_s:.3f} s a message)" in PAGE
    oldest_s = tick.required.oldest_s or pytest.fail("its age is known")
    assert f"{tick.waiting:.0f} messages wait, and the oldest has waited for\n{oldest_s:.0f} s" in PAGE
    assert f"{tick.fleet.target_wait_s - tick.waits.wait_s:.0f} s early here" in PAGE
    assert tick.supply.by_working(100.0) == pytest.approx(360, abs=ABOUT)


def test_page_when_it_is_read_in_one_sitting() -> None:
    """It has at most 200 lines."""
    assert len(PAGE.splitlines()) <= LINES_MOST
