"""Scores by tables: what a day came to on both sides, and how it is said."""

from dataclasses import replace

import pytest

from sluice.model.shadow import RealGroup, Shadow, ShadowFleet, ShadowQueue, Span, Tally
from sluice.planning.shadow.scorecard import DAYS_KEPT, HOURS_KEPT, TallyBuilder, added, late, score
from tests.support.planner_world import NINE

HOUR = 3600.0


def on_time(messages: float, late_ones: float = 0.0, **more: float) -> Tally:
    """A tally of messages that did not wait, and of some that waited for one and a half to two targets."""
    return Tally(waits=(messages, *[0.0] * 8, late_ones) if late_ones else (messages,), **more)


def a_day(hours: int = 24) -> Shadow:
    """A day on which Sluice had been cheaper and less late."""
    shadow = Shadow(target_wait_s=120.0, at=NINE + hours * HOUR, fleet=ShadowFleet(1, 1.0))
    for hour in range(hours):
        acting = on_time(971.0, 29.0, unit_s=6600.0, launches=2.0, longest_s=200.0)
        ours = on_time(999.8, 0.2, unit_s=4680.0, launches=3.0, longest_s=130.0)
        shadow = added(shadow, Span(NINE + hour * HOUR, HOUR, 1000.0, acting, ours))
    return shadow


def test_sentence_when_a_day_was_scored():
    """Cost and lateness of both sides, in one sentence."""
    scored = score(a_day())
    assert scored is not None
    assert scored.sentence == (
        "In the last 24 h Sluice would have used 31.2 instance-hours instead of 44.0 and kept 99.98% within 120 s"
        " instead of 97.1%."
    )
    assert (scored.shadow.launches, scored.acting.launches, scored.came) == (72, 48, 24_000)
    assert scored.acting.p99_s == pytest.approx(197.2, abs=10)


def test_sentence_when_less_than_a_day_was_scored_or_units_are_no_instances():
    """It says how long was watched, and in what capacity is counted."""
    scored = score(replace(a_day(3), real=RealGroup(weighted=True)))
    assert scored is not None
    assert scored.sentence.startswith("In 3.0 h of watching Sluice would have used 3.9 unit-hours")


def test_sentence_when_it_is_of_a_week_does_not_speak_of_a_day():
    """A week's score says how many days were watched."""
    scored = score(a_day(24 * 6), 7 * 24 * HOUR)
    assert scored is not None
    assert scored.sentence.startswith("In 6.0 days of watching Sluice would have used 187.2 instance-hours")


def test_share_when_hardly_anything_is_late_is_not_rounded_up():
    """A hundred per cent is said of nothing but all."""
    tally = on_time(99_999.0, 1.0)
    scored = score(added(Shadow(target_wait_s=120.0, at=NINE + 60), Span(NINE, 60.0, 100_000.0, tally, tally)))
    assert scored is not None
    assert "kept 99.99% within 120 s instead of 99.99%" in scored.sentence


def test_score_when_nothing_was_scored_or_all_is_long_ago():
    """Nothing is said of nothing, nor of what is more than a day ago; a week knows of it."""
    assert score(Shadow()) is None
    old = replace(a_day(2), at=NINE + 48 * HOUR)
    assert score(old) is None
    week = score(old, 7 * 24 * HOUR)
    assert week is not None
    assert week.came == 2000


def test_score_when_messages_still_wait_counts_them_as_having_waited_until_now():
    """A fleet that never starts anything is late, not silent."""
    shadow = replace(a_day(1), waiting=((NINE, NINE + 60.0, 1000.0),))
    scored = score(shadow)
    assert scored is not None
    assert scored.acting.late_fraction == pytest.approx(1029 / 2000)
    assert scored.acting.longest_s == HOUR


def test_spans_when_weeks_pass_are_bounded():
    """A day's hours and a week's days are kept, the newest."""
    shadow = a_day(24 * 20)
    assert (len(shadow.score.hours), len(shadow.score.days)) == (HOURS_KEPT, DAYS_KEPT)
    assert shadow.score.hours[-1].at == NINE + (24 * 20 - 1) * HOUR
    assert sum(span.seconds for span in shadow.score.days) > 7 * 24 * HOUR


@pytest.mark.parametrize(
    ("first_s", "last_s", "late_ones"),
    [
        (0.0, 0.0, 0.0),
        (120.0, 120.0, 0.0),
        (120.1, 130.0, 10.0),
        (60.0, 180.0, 5.0),
        (180.0, 60.0, 5.0),
        (0, 1e4, 9.88),
    ],
)
def test_note_when_waits_go_evenly_from_one_to_another(first_s, last_s, late_ones):
    """Of ten messages those beyond the target are late; a wait of just the target is not."""
    tallying = TallyBuilder(120.0)
    tallying.note(first_s, last_s, 10.0)
    assert sum(tallying.waits) == pytest.approx(10.0)
    assert late(tallying.to_record()) == pytest.approx(late_ones, abs=0.001)


# --------------------------------------------------------------------------- several queues


QUEUES = (ShadowQueue("urgent", 60.0, 1), ShadowQueue("bulk", 1800.0, 0))


def test_note_when_queues_have_their_own_targets():
    """The same two minutes are late for one and not for the other; their bins and the longest wait are one tally's."""
    tallying = TallyBuilder(60.0, 1800.0)
    tallying.note(120.0, 120.0, 3.0, 0)
    tallying.note(120.0, 120.0, 4.0, 1)
    tallying.note(1900.0, 1900.0, 5.0, 1)
    assert sum(tallying.waits) == 12.0
    assert late(tallying.to_record()) == 8.0
    assert tallying.longest_s == 1900.0


def test_score_when_several_queues_have_messages_that_wait_holds_each_to_its_own_target():
    """What waits for ten minutes is late in one line and on time in the other, on either side."""
    lines = ((NINE, NINE, 30.0),), ((NINE, NINE, 70.0),)
    at = NINE + 600.0
    fleet = ShadowFleet(1, 1.0, waiting=(), others=lines[1:])
    shadow = Shadow(60.0, at, fleet, lines[0], lines[1:], queues=QUEUES)
    scored = score(added(shadow, Span(NINE, 600.0, 100.0, Tally(), on_time(30.0))))
    assert scored is not None
    assert (scored.acting.messages, scored.acting.late_fraction) == (100.0, pytest.approx(0.3))
    assert (scored.shadow.messages, scored.shadow.late_fraction) == (100.0, 0.0)
    assert scored.acting.longest_s == 600.0


def test_sentence_when_queues_have_their_own_targets_names_none():
    """In time is by each one's own; what most did not exceed is a share of that, and no time."""
    scored = score(replace(a_day(), queues=QUEUES))
    assert scored is not None
    assert scored.sentence.endswith("and kept 99.98% in time instead of 97.1%.")
    assert (scored.target_wait_s, scored.acting.p99_s) == (None, None)
    assert scored.acting.p99_share == pytest.approx(1.83, abs=0.05)
    alone = score(replace(a_day(), queues=QUEUES[:1]))
    assert alone is not None
    assert "within 60 s instead of" in alone.sentence
    assert alone.acting.p99_share is None
