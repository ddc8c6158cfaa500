"""What the demo shows: times that agree, a scale that stays, whole decisions, and what others would have cost."""

from __future__ import annotations

import io
import os
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from sluice_tools.demo import environment, page, timeline
from sluice_tools.demo.audit import WORDS, Audit
from sluice_tools.demo.comparison import target_tracking
from sluice_tools.demo.pictures import Picture, Pictures
from sluice_tools.demo.settings import DemoSettings
from sluice_tools.demo.story_time import StoryLine
from sluice_tools.demo.terminal import TerminalView, newest_whole
from sluice_tools.demo.timeline import ActSpan
from sluice_tools.demo.watcher import Observations, Sample
from sluice_tools.sandbox.sandbox import SandboxError
from tests.support.widget_scenes import decision, outcome

BEGAN_AT = 1_000.0
SETTINGS = DemoSettings()
AUDIT = Audit(
    sent=100, stored=100, lost=0, charged_twice=0, quarantined=6, redriven=6, drains=3, interrupted=0,
    drained_order_s=21.0, peak_capacity=5, wait_p50_s=1.0, wait_p99_s=12.0, wait_max_s=14.0, target_wait_s=20.0,
    late_share=0.0, instance_seconds=300.0, fixed_fleet_instance_seconds=900.0,
    target_tracking_instance_seconds=400.0, target_tracking_late_share=0.25,
)  # fmt: skip


def sample(at: float, visible: int, working: int) -> Sample:
    """The stack at one moment."""
    return Sample(at, visible, 0, 0, 0, working, working, 0, 0, 1.0)


def observed(*samples: Sample) -> Observations:
    """A story with one decision, made 12.3 s after its beginning."""
    sentence = "Scaling out. " + "word " * 40 + "end."
    made = decision(at=BEGAN_AT + 12.34, current=1, want=4, sentence=sentence)
    return Observations(list(samples) or [sample(BEGAN_AT, 3, 1)], {made.id: (made, outcome(made))})


def view(*, live: bool, width: int = 80, height: int = 24) -> tuple[TerminalView, Console]:
    """A view of the story's first act, and its console."""
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=live, color_system=None)
    made = TerminalView(console, ["steady orders"], SETTINGS)
    made.say("Starting the embedded emulator")
    made.act(1, "steady orders", BEGAN_AT)
    return made, console


def rendered(of: TerminalView, console: Console) -> list[str]:
    """The rows of the live page."""
    with console.capture() as captured:
        console.print(of._page())
    return captured.get().splitlines()


def test_each_figure_of_the_audit_has_words_when_it_is_shown() -> None:
    """Programs get the names of the fields, people words and units."""
    assert list(WORDS) == [field.name for field in fields(Audit)] == list(AUDIT.as_dict())
    assert len({label for label, _ in AUDIT.in_words()}) == len(WORDS)
    assert not [label for label, figure in AUDIT.in_words() if "_" in label + figure]
    assert ("Orders that target tracking starts late, simulated", "25.0%") in AUDIT.in_words()


def test_cost_names_what_others_take_when_the_story_is_over() -> None:
    """Of the audit's own figures, less or more as it was."""
    assert AUDIT.cost() == (
        "The story took 300 instance-seconds, and started every order in time. A fleet fixed at the 5 instances of its"
        " peak takes 900: Sluice took 67% less. Target tracking with its defaults, simulated on the same arrivals,"
        " takes 400 (Sluice took 25% less), and started 25.0% of the orders late."
    )
    assert "(Sluice took 50% more)" in replace(AUDIT, target_tracking_instance_seconds=200.0).cost()
    assert "started 2.0% of the orders late. A fleet" in replace(AUDIT, late_share=0.02).cost()


def test_target_tracking_is_simulated_when_the_storys_arrivals_are_given() -> None:
    """One instance through a steady minute costs its own seconds; a burst comes before its metrics do."""
    steady = [BEGAN_AT + number for number in range(60)]
    burst = sorted([*steady, *(BEGAN_AT + 20 + number / 40 for number in range(320))])

    calm = target_tracking(steady, BEGAN_AT, BEGAN_AT + 60, SETTINGS)
    late = target_tracking(burst, BEGAN_AT, BEGAN_AT + 60, SETTINGS)

    assert calm.late_share == 0
    assert calm.instance_s == pytest.approx(60, rel=0.05)
    assert late.late_share > 0.2
    assert late.instance_s > calm.instance_s


def test_times_agree_when_page_terminal_and_picture_show_them() -> None:
    """Seconds since the first act began, whenever the tool was started."""
    seen = observed()
    shown, console = view(live=False)
    shown.observe(seen)
    shown._add(StoryLine(BEGAN_AT + 30.06, "The burst is done"))
    text = page.render(
        svg="<svg></svg>", audit=AUDIT, failures=[], story=shown.story, pictures=Pictures(missing="no browser"),
        decisions=seen.changes(), began_at=BEGAN_AT, settings=SETTINGS,
    )  # fmt: skip
    figure = timeline.draw(seen.samples, [ActSpan(1, "steady orders", BEGAN_AT, BEGAN_AT + 40)], [], 20.0)

    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.findall(r"^ *([\d.]+ s)  (\w+)", printed, re.MULTILINE) == [
        ("0.0 s", "Act"), ("12.3 s", "Scaling"), ("30.1 s", "The"),
    ]  # fmt: skip
    assert re.findall(r'<td class="number">([\d.]+ s)</td><td>(?:<strong>)?(\w+)', text) == [
        ("0.0 s", "Act"), ("30.1 s", "The"),
    ]  # fmt: skip
    assert '<td class="number">12.3 s</td>' in text
    assert "Starting" not in text
    assert figure.axes[0].get_xlim() == (0.0, 40.0)


def test_page_has_pictures_or_says_why_not_when_it_is_made() -> None:
    """In the file itself; without a browser a sentence."""

    def made(pictures: Pictures) -> str:
        return page.render(
            svg="<svg></svg>", audit=AUDIT, failures=[], story=[], pictures=pictures, decisions=[], began_at=BEGAN_AT,
            settings=SETTINGS,
        )  # fmt: skip

    assert "There are no pictures: Chromium is not installed." in made(Pictures(missing="Chromium is not installed"))
    assert '<img src="data:image/png;base64,UE5H" alt="The widget">' in made(
        Pictures((Picture("The widget", b"PNG"),), "")
    )


@pytest.mark.parametrize("height", [20, 24, 50])
def test_newest_decision_is_whole_when_the_terminal_is_small(height: int) -> None:
    """It wraps instead of being cut, and the page stays within the screen."""
    shown, console = view(live=True, height=height)
    shown.observe(observed())

    rows = rendered(shown, console)

    words = " ".join(" ".join(re.findall(r"[\w.]+", row)) for row in rows)
    assert words.count("word ") == 40
    assert "end." in words
    assert "…" not in words
    assert len(rows) <= height


def test_older_entries_leave_when_the_newest_need_their_rows() -> None:
    """Only whole ones are shown; the last one always."""
    console = Console(width=20, file=io.StringIO())
    entries = [Text("first"), Text("second " * 4), Text("third")]

    assert [str(one)[:5] for one in newest_whole(entries, console, 20, 10)] == ["first", "secon", "third"]
    assert [str(one)[:5] for one in newest_whole(entries, console, 20, 2)] == ["third"]
    assert [str(one)[:5] for one in newest_whole(entries[:2], console, 20, 1)] == ["secon"]


def test_bars_keep_their_height_when_the_highest_leaves_the_window() -> None:
    """The same backlog is the same bar, whatever came before and after."""

    def bar(*backlogs: int) -> str:
        shown, console = view(live=True)
        shown.observe(observed(*(sample(BEGAN_AT + place, backlog, 1) for place, backlog in enumerate(backlogs))))
        (row,) = [row for row in rendered(shown, console) if "backlog" in row]
        assert f"0 to {SETTINGS.burst_count}" in row
        return "".join(re.findall("[▁▂▃▄▅▆▇█]", row))

    assert bar(160, 160) == bar(160, 320)[0] * 2
    assert len(bar(*range(100, 200))) == 13  # what a terminal of 80 columns has room for
    assert bar(5_000) == bar(320) == "█"


def test_folder_is_left_as_it_is_when_another_process_uses_it(tmp_path: Path) -> None:
    """A second `sluice sandbox`, or a second demo, of one user: it says whose the folder is, and what to do."""
    state = tmp_path / "state"

    with environment._emptied(state):
        (state / "tmp").mkdir(parents=True)
        with (
            pytest.raises(SandboxError, match=f"{state} is in use by process {os.getpid()}, .* end that one first"),
            environment.running_environment(SETTINGS, print, state),
        ):
            pytest.fail("it began")
        assert (state / "tmp").exists()

    with environment._emptied(state):
        assert not state.exists(), "the folder of one that has ended is emptied"
