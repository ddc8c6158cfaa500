"""The widget's card of a fleet in shadow mode: both sides, one sentence, nothing that another wrote unescaped."""

from dataclasses import replace

import pytest

from sluice.model.observed import Mode
from sluice.planning.shadow.scorecard import Score, Side
from sluice.widget.page import render
from sluice.widget.view import ReadFailure, Source, Theme
from tests.support.widget_html import Page, parse
from tests.support.widget_scenes import HARM, NOW, fleet, view

SCORE = Score(
    target_wait_s=120.0,
    until=NOW - 300.0,
    seconds=86_400.0,
    came=120_000.0,
    acting=Side(120_000.0, 0.029, 912.0, 305.0, 44.0, 61),
    shadow=Side(119_990.0, 0.0002, 131.0, 96.0, 31.2, 84),
    unit="instance",
    restarted=None,
)


def show(theme: Theme = Theme.LIGHT, mode: Mode = Mode.SHADOW, **changes: object) -> Page:
    """The widget of a fleet in shadow mode, parsed; it must be well-formed."""
    page = parse(render(view(**{"fleet": fleet(mode=mode), "day_score": SCORE, **changes}), theme, 668))
    assert page.problems == []
    return page


@pytest.mark.parametrize("theme", list(Theme))
def test_card_when_a_fleet_is_in_shadow_shows_both_sides(theme: Theme) -> None:
    """The sentence, and each figure of both sides, in either theme."""
    text = show(theme).text
    assert "In the last 24 h Sluice would have used 31.2 instance-hours instead of 44.0" in text
    for said in ("99.98%", "97.1%", "instance-hours", "15 min 12 s", "2 min 11 s", "Based on 120,000 messages"):
        assert said in text, said


@pytest.mark.parametrize("mode", [Mode.ACT, Mode.PAUSED])
def test_card_when_a_fleet_is_not_in_shadow_is_left_out(mode: Mode) -> None:
    """There is nothing to compare where Sluice itself acts, or nobody does."""
    assert "Shadow comparison" not in show(mode=mode).text


def test_card_when_nothing_is_scored_or_read_says_so() -> None:
    """An absent score is told as that, never as zeros."""
    assert "Nothing to compare yet" in show(day_score=None).text
    page = show(day_score=None, failures=(ReadFailure(Source.SHADOW, "AccessDenied: grant dynamodb:GetItem"),))
    assert "The shadow comparison could not be read. AccessDenied: grant dynamodb:GetItem" in page.text
    assert "Nothing to compare yet" not in page.text


def test_card_when_more_than_a_day_was_scored_tells_of_the_week_as_well() -> None:
    """The week has a sentence of its own; one that is the day's again is left out."""
    week = replace(SCORE, seconds=6 * 86_400.0)
    assert "In 6.0 days of watching Sluice would have used" in show(week_score=week).text
    assert "of watching" not in show(week_score=SCORE).text


def test_card_when_ticks_were_missed_says_that_it_began_anew() -> None:
    """What is not in the score is told."""
    assert (
        "It restarted at 15:15, after 5 min 10 s without a tick"
        in show(day_score=replace(SCORE, restarted=(NOW - 900, 310.0))).text
    )


def named(text: str) -> Page:
    """The page of a fleet and a unit of that name."""
    hostile = fleet(mode=Mode.SHADOW).model_copy(update={"name": text})
    return show(fleet=hostile, names=(text, "orders"), day_score=replace(SCORE, unit=text[:100]))


@pytest.fixture(scope="module")
def harmless() -> Page:
    """The page of harmless names."""
    return named("plain" * 20)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in HARM if name != "empty"])
def test_card_when_names_mean_harm_has_the_same_elements(name: str, harmless: Page) -> None:
    """A hostile unit or fleet name stays text."""
    assert named(HARM[name]).skeleton == harmless.skeleton


def test_card_when_a_fleet_has_several_queues_shows_shares_of_their_targets() -> None:
    """In time instead of within a time, and of what most did not exceed a share; beyond the last bin it says so."""
    several = replace(
        SCORE,
        target_wait_s=None,
        acting=replace(SCORE.acting, p99_s=None, p99_share=10.0),
        shadow=replace(SCORE.shadow, p99_s=None, p99_share=0.831),
    )
    text = show(day_score=several).text
    assert "kept 99.98% in time instead of 97.1%." in text
    for said in ("in time", "83% of their target", "over 10 targets", "15 min 12 s", "31.2", "44.0"):
        assert said in text, said
    assert "within" not in text.partition("Shadow comparison")[2].partition("Based on 120,000 messages")[0]
    assert "of their target" not in show().text
