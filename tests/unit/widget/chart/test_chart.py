"""The widget's picture: steps, areas, gaps, marks and scales."""

import re
from itertools import pairwise

import pytest

from sluice.model.decisions import OutcomeStatus
from sluice.model.observed import GroupReading, Instance, Lifecycle, QueueReading, Reading
from sluice.model.planning import Memory, Snapshot
from sluice.widget.chart.drawing import render_chart
from sluice.widget.chart.samples import Sample, sample_of
from sluice.widget.chart.scales import tick_moments
from sluice.widget.text import Clock
from sluice.widget.view import Period
from tests.support.planner_steps import plan_for
from tests.support.widget_html import Page, parse
from tests.support.widget_scenes import NOW, afternoon, decision, fleet, outcome

WIDTH = 610  # 600 pixels between the edges: one an hour's six seconds
HOUR = 3_600.0


def at(
    minute: float,
    status: OutcomeStatus | None = None,
    **changes: float | None,
) -> Sample:
    """What a decision that many minutes into the hour says."""
    made = decision(NOW - HOUR + 60 * minute, **changes)  # type: ignore[arg-type]
    return sample_of(made, outcome(made, status))


def draw(*samples: Sample, target_wait_s: float = 60.0, width: int = WIDTH, hours: float = 1.0) -> Page:
    """The picture of some samples, parsed; by default of the hour up to NOW."""
    period = Period(NOW, NOW - hours * HOUR, NOW)
    svg = render_chart(samples, period=period, target_wait_s=target_wait_s, width=width)
    page = parse(str(svg))
    assert page.problems == []
    return page


def drawn(page: Page, class_: str) -> str:
    """The one path of a class."""
    (path,) = page.all("path", class_)
    return path.attributes["d"] or ""


def test_capacity_when_it_changes_is_drawn_as_steps() -> None:
    """Capacity moves level and upright only, at the minute it changed, and ends a minute after the last tick."""
    page = draw(at(10, current=2), at(11, current=2), at(12, current=4), at(13, current=4))
    line = drawn(page, "sl-capacity")
    assert re.fullmatch(r"M105 [\d.]+H125V[\d.]+H145", line)
    low, high = (float(value) for value in re.findall(r"(?:M105 |V)([\d.]+)", line))
    assert high < low


def test_backlog_when_a_figure_was_not_read_has_a_gap() -> None:
    """An unknown backlog breaks the line: it is not drawn as zero, nor bridged."""
    line = drawn(draw(at(10, visible=5), at(11, visible=6), at(12, visible=None), at(13, visible=7)), "sl-backlog")
    assert line.count("M") == 2
    assert "125 " not in line


def test_lines_when_no_tick_came_for_minutes_have_a_gap() -> None:
    """Seven minutes without a decision are a gap in every lane; an idle fleet's come each third minute."""
    page = draw(at(10), at(11), at(18), at(19))
    for kind in ("sl-capacity", "sl-backlog", "sl-wait"):
        assert drawn(page, kind).count("M") == 2
    assert drawn(draw(at(10), at(13.2)), "sl-backlog").count("M") == 1


def test_lines_when_samples_share_a_pixel_keep_the_highest() -> None:
    """A spike between two pixels is not lost by thinning, and the picture stays small over a long time range."""
    minutes = [n / 20 for n in range(1_200)]
    spiky = [at(minute, visible=900 if n == 601 else 5) for n, minute in enumerate(minutes)]
    heights = re.findall(r"[ML][\d.]+ ([\d.]+)", drawn(draw(*spiky), "sl-backlog"))
    assert len(heights) <= WIDTH
    flat = max(float(height) for height in heights)
    assert min(float(height) for height in heights) < flat - 40


def test_need_when_far_above_what_a_limit_allows_does_not_flatten_the_capacity() -> None:
    """A need of thousands is drawn at the lane's edge; the capacity keeps at least a third of its lane."""
    page = draw(at(10, current=10, need=4_000, want=10), at(11, current=10, need=4_000, want=10))
    lane_top, lane_base = 20.0, 74.0
    capacity_y = float(re.findall(r"M[\d.]+ ([\d.]+)", drawn(page, "sl-capacity"))[0])
    need_y = float(re.findall(r"M[\d.]+ ([\d.]+)", drawn(page, "sl-need"))[0])
    assert need_y == lane_top
    assert lane_base - capacity_y >= (lane_base - lane_top) / 3


@pytest.mark.parametrize(
    ("status", "want", "mark"),
    [
        (OutcomeStatus.APPLIED, 5, "sl-mark"),
        (OutcomeStatus.APPLIED, 1, "sl-mark"),
        (OutcomeStatus.SHADOW, 5, "sl-mark-shadow"),
        (OutcomeStatus.FAILED, 5, "sl-mark-failed"),
        (OutcomeStatus.UNCHANGED, 3, None),
    ],
)
def test_marks_when_a_decision_changes_the_size_tell_what_came_of_it(
    status: OutcomeStatus, want: int, mark: str | None
) -> None:
    """Scaling out and in are marked by outcome; a hold and another planner's turn are not."""
    marks = [path for path in draw(at(10, status, want=want)).all("path") if "sl-mark" in str(path.classes)]
    assert [path.classes for path in marks] == ([{mark}] if mark else [])
    if mark:
        assert marks[0].text == f"13:40:00 scale {'out' if want > 3 else 'in'} from 3 to {want}: {status}"


def test_marks_when_crowded_do_not_cover_one_another() -> None:
    """Ticks of ten seconds over a day give marks that stand apart."""
    page = draw(*[at(-1_000 + n / 6, current=n, want=n + 1) for n in range(6_000)], hours=24)
    places = [float(path.attributes["d"].split()[0][1:]) for path in page.all("path", "sl-mark")]  # type: ignore[union-attr]
    assert len(places) > 20
    assert all(right - left >= 7 for left, right in pairwise(places))


def test_marks_when_crowded_keep_the_change_that_failed() -> None:
    """A failed change amid others that follow within pixels is still a cross."""
    crowd = [at(30 + n / 10, OutcomeStatus.FAILED if n == 4 else None, current=3 + n, want=4 + n) for n in range(9)]
    page = draw(*crowd)
    assert len(page.all("path", "sl-mark-failed")) == 1
    assert len(page.all("path", "sl-mark")) < 8


def test_wait_when_above_the_target_is_filled_down_to_it() -> None:
    """What was late is an area between the line and the target, and nothing is when all was in time."""
    page = draw(at(10, oldest_wait_s=30), at(11, oldest_wait_s=100), at(12, oldest_wait_s=30))
    target_y = float(re.findall(r"M5 ([\d.]+)H605", drawn(page, "sl-target"))[0])
    assert _heights(drawn(page, "sl-late")) == {target_y, min(_heights(drawn(page, "sl-wait")))}
    calm = draw(at(10, oldest_wait_s=30), at(11, oldest_wait_s=31))
    assert len(_heights(drawn(calm, "sl-late"))) == 1


def _heights(line: str) -> set[float]:
    return {float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", line)}


def test_picture_when_described_says_its_extremes_in_words() -> None:
    """Who does not see the picture is told the range of capacity, the worst backlog and the longest wait."""
    page = draw(at(10, current=2, visible=5, oldest_wait_s=9), at(11, current=6, visible=800, oldest_wait_s=75))
    (svg,) = page.all("svg")
    (desc,) = page.all("desc")
    assert svg.attributes["role"] == "img"
    assert desc.text in (svg.attributes["aria-label"] or "")
    for words in (
        "capacity between 2 and 6, last 6",
        "backlog at most 800 at 13:41:00",
        "1 min 15 s at 13:41:00",
        "target wait of 60 s",
    ):
        assert words in desc.text


def test_picture_when_nothing_was_decided_says_so() -> None:
    """An empty chart is still one, with scales and a description."""
    assert draw().all("desc")[0].text == "No decision in this time range."


def test_slices_when_pointed_at_tell_the_figures_of_their_moment() -> None:
    """Each slice has its time and figures; unknown ones are dashes."""
    page = draw(at(10, current=3, need=4, visible=None, oldest_wait_s=8, working=2))
    (tip,) = page.all("rect", "sl-slice")
    assert tip.text == "13:40:00\ncapacity 3, 2 working, need 4\nbacklog \u2014, oldest message 8 s"


@pytest.mark.parametrize("hours", [1 / 60, 0.5, 1, 3, 12, 24, 72, 168, 24 * 60])
@pytest.mark.parametrize("width", [260, 440, 1_400])
def test_ticks_when_labelled_are_round_local_times_with_room(hours: float, width: int) -> None:
    """From a minute to two months, labels are few, at round local times, and do not touch one another."""
    clock = Clock(20_700.0)  # Nepal: a quarter of an hour off
    moments = tick_moments(NOW - hours * HOUR, NOW, width, clock)
    assert 1 <= len(moments) <= width / 84 + 1
    gaps = {round(later - earlier) for earlier, later in pairwise(moments)}
    assert len(gaps) <= 1
    step = gaps.pop() if gaps else 10
    assert all((moment + clock.offset_s) % step == 0 for moment in moments)


def test_picture_when_an_afternoon_is_drawn_stays_within_its_box() -> None:
    """No point of a real afternoon leaves the picture, at any width."""
    samples = [sample_of(made, came_of) for made, came_of in afternoon()]
    for width in (260, 440, 1_400):
        page = draw(*samples, width=width, hours=3)
        height = float(page.all("svg")[0].attributes["height"] or 0)
        for path in page.all("path"):
            for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path.attributes["d"] or ""):
                assert 0 <= float(x) <= width
                assert 0 <= float(y) <= height


def test_figures_when_the_planner_decides_are_those_the_picture_reads() -> None:
    """The planner and the picture call the figures by the same names."""
    reading = Reading(340.0, NOW)
    snapshot = Snapshot(
        fleet="orders",
        at=NOW,
        queue=QueueReading(
            visible=reading, in_flight=Reading(4.0, NOW), delayed=Reading(0.0, NOW), oldest_age=Reading(41.0, NOW - 60)
        ),
        group=GroupReading(
            name="orders",
            at=NOW,
            desired=3,
            min_size=0,
            max_size=10,
            instances=(
                Instance("i-1", Lifecycle.IN_SERVICE),
                Instance("i-2", Lifecycle.IN_SERVICE),
                Instance("i-3", Lifecycle.LAUNCHING, launched_at=NOW - 5),
            ),
        ),
    )
    made = plan_for(snapshot, fleet(), Memory(), NOW)
    seen = sample_of(made, outcome(made))
    assert "340 messages are waiting, the oldest for 101 s" in made.sentence
    assert (seen.capacity, seen.working, seen.backlog, seen.oldest_wait_s) == (3, 2, 340.0, 101.0)
