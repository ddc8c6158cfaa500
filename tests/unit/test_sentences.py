"""Every sentence of a decision, for every reason: singular and plural, units, no epoch seconds, plain words."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sluice.model.decisions import Decision, ReasonCode
from sluice.model.observed import Instance, Lifecycle, Reading, Series
from sluice.model.planning import ControlMemory, Estimate, History, QueueSample, RedeliveryMemory
from sluice.model.usage import Enough
from sluice.wording import capitalised, count, duration, exactly, is_are, rate
from tests.support.planner_steps import a_memory, changed
from tests.support.planner_world import NINE, a_fleet, a_group, a_queue, decide, seen, watched
from tests.support.words import Text, find

CALM = watched(NINE, (500.0, 0))
MEASURED = a_memory(rate=Estimate(1.0, 100.0, NINE - 60), to_service=Estimate(60.0, 8.0, NINE - 60))
ZEROS = Series(60.0, tuple((NINE - 1800.0 + 60.0 * minute, 0.0) for minute in range(27)))
OTHERS = ControlMemory((1, 1), (NINE - 900.0, NINE - 500.0, NINE - 20.0), left_to_other=(NINE - 20.0, 1))
SLOW_FLEET = a_fleet(hints={"seconds_per_message": 300, "lead_time_s": 60})
FAILING = a_memory(to_service=Estimate(60.0, 8.0, NINE - 60), failing=Estimate(0.2, 60.0, NINE - 60))
OFTEN = Estimate(0.5, 60.0, NINE - 60)
LATE = 8 * 3600.0  # instance-hours that are spent, in seconds


def guarded(decision_of: object) -> object:
    """A snapshot whose veto alarm is on."""
    return replace(decision_of, veto=True)


def a_burst(waiting: float = 420, working: int = 1, **group: object):
    """So many messages waiting for so many instances."""
    return seen(
        NINE, a_queue(NINE, waiting, working, oldest_s=30, per_minute=(60.0,) * 10), a_group(NINE, working, **group)
    )


def nothing_received(waiting: float, working: int):
    """Messages that wait for an hour for units that take none."""
    queue = a_queue(NINE, waiting, oldest_s=3000)
    return seen(NINE, replace(queue, received=ZEROS), a_group(NINE, working))


def taking_few(waiting: float, in_flight: float, working: int):
    """Messages that wait for half an hour for units of which few take any."""
    queue = a_queue(NINE, waiting, in_flight, oldest_s=1700, done_per_minute=(60.0 * in_flight,) * 10)
    return seen(NINE, queue, a_group(NINE, working))


def enough(units: float, more: float, ago_s: float = 120.0, **fields: object):
    """So many units were enough, and more did no more."""
    return changed(MEASURED, enough=Enough(units, NINE - ago_s, more, **fields))


def waiting_long(waiting: float):
    """Messages that wait for so long that a later launch would be too late for them, and nothing is in service."""
    return seen(NINE, a_queue(NINE, waiting, oldest_s=45, per_minute=(1.0,) * 10), a_group(NINE))


def at_rest(working: int = 6, in_flight: float = 0, **queue: object):
    """Nothing waits, and so many instances are there."""
    visibility_s = queue.pop("visibility_s", None)
    reading = replace(a_queue(NINE, 0, in_flight, **queue), visibility_s=visibility_s)
    return seen(NINE, reading, a_group(NINE, working))


SLOW = changed(CALM, rate=Estimate(1 / 45, 100.0, NINE - 60))
WATCHED = changed(SLOW, samples=tuple(QueueSample(NINE - ago_s, 0.0, 2.0, 6.0, True, 0.0) for ago_s in (300, 150, 10)))


def worked_on_twice():
    """Twice as many messages were deleted as were sent."""
    queue = a_queue(NINE, 0, 2, per_minute=(6.0,) * 10, done_per_minute=(12.0,) * 10)
    return seen(NINE, replace(queue, visibility_s=30.0), a_group(NINE, 6))


def hiding(messages: float):
    """So many messages were in flight at the last tick, and none was received for hours."""
    received = History(60.0, NINE - 10_920.0, (0.0,) * 180)
    sample = QueueSample(NINE - 10.0, 0.0, messages, 6.0, steady=True, arrived=0.0)
    return changed(SLOW, redeliveries=RedeliveryMemory(received=received), samples=(sample,))


def protected(working: int, held: int, in_flight: float = 0, *, received: Series | None = None, protects_new=False):
    """Instances of which some may not be taken away."""
    snapshot = at_rest(working, in_flight)
    snapshot = replace(snapshot, queue=replace(snapshot.queue, received=received))
    snapshot = replace(snapshot, group=replace(snapshot.group, protects_new=protects_new))
    instances = tuple(replace(each, protected=index < held) for index, each in enumerate(snapshot.group.instances))
    return replace(snapshot, group=replace(snapshot.group, instances=instances))


def limits(**fields: object):
    """A fleet with limits."""
    return a_fleet(limits=fields)


SUSPENDED = {"suspended": ("Launch",)}
FAILED = tuple((age_s, "We currently do not have sufficient capacity") for age_s in (20.0, 30.0, 40.0, 50.0))
STEADY = {"per_minute": (230.0,) * 15}
# (the reason that must be among the decision's, the decision), singular and plural where there are both
SCENES: list[tuple[ReasonCode, Decision]] = [
    (ReasonCode.NEED, decide(a_burst(), a_fleet())),
    (ReasonCode.NEED, decide(a_burst(1, 0), a_fleet())),
    (ReasonCode.NEED, decide(a_burst(1, 1), a_fleet())),
    (ReasonCode.NEED, decide(at_rest(0), a_fleet())),
    (ReasonCode.NEED, decide(at_rest(0, 1), a_fleet())),
    (ReasonCode.NEED, decide(at_rest(0, 3), a_fleet())),
    (ReasonCode.NEED, decide(a_burst(), a_fleet(hints={"seconds_per_message": 600}), MEASURED)),
    (ReasonCode.STALE, decide(seen(NINE, a_queue(NINE, None), a_group(NINE, 1)), a_fleet())),
    (ReasonCode.STALE, decide(seen(NINE, a_queue(NINE, 5, age_s=720), a_group(NINE, 2)), a_fleet())),
    (
        ReasonCode.STALE,
        decide(seen(NINE, a_queue(NINE, 0, 2, per_minute=None), a_group(NINE, 6, age_s=9000)), a_fleet(), CALM),
    ),
    (ReasonCode.STALE, decide(seen(NINE, a_queue(NINE, 5, age_s=NINE), a_group(NINE, 2)), a_fleet())),
    (ReasonCode.PAUSED, decide(a_burst(), a_fleet(mode="paused"))),
    (ReasonCode.NOTHING_RECEIVED, decide(nothing_received(1, 1), a_fleet(), MEASURED)),
    (ReasonCode.NOTHING_RECEIVED, decide(nothing_received(300, 6), a_fleet(), MEASURED)),
    (ReasonCode.IDLE_UNITS, decide(taking_few(400, 2, 100), a_fleet(), MEASURED)),
    (ReasonCode.IDLE_UNITS, decide(taking_few(400, 1, 8), a_fleet(), MEASURED)),
    (ReasonCode.IDLE_UNITS, decide(taking_few(400, 2, 4), a_fleet(), enough(2.0, 3.0, 0.0))),
    (ReasonCode.IDLE_UNITS, decide(a_burst(2000, 4), a_fleet(), enough(4.0, 9.0, 720.0))),
    (ReasonCode.IDLE_UNITS, decide(a_burst(2000, 1), a_fleet(), enough(1.0, 2.0, 60.0, is_open=True))),
    (ReasonCode.NO_GAIN, decide(a_burst(2000), a_fleet(), enough(4.0, 40.0, per_s=4.0))),
    (ReasonCode.NO_GAIN, decide(a_burst(2000), a_fleet(), enough(1.0, 10.0, per_s=1.0))),
    (ReasonCode.NO_GAIN, decide(a_burst(2000), a_fleet(), enough(8.0, 20.0, per_s=4.0, is_least=False))),
    (ReasonCode.NO_GAIN, decide(a_burst(2000), a_fleet(), enough(8.0, 8.0, per_s=4.0, is_least=False))),
    (ReasonCode.NO_GAIN, decide(a_burst(2000), a_fleet(), enough(2.0, 8.0, per_s=1.0, is_open=True))),
    (ReasonCode.DOWNSTREAM, decide(a_burst(), limits(max_messages_per_s=1))),
    (ReasonCode.DOWNSTREAM, decide(a_burst(), limits(max_messages_per_s=4))),
    (ReasonCode.DOWNSTREAM, decide(guarded(a_burst()), limits(veto_alarm="db-cpu"))),
    (ReasonCode.DOWNSTREAM, decide(a_burst(), limits(veto_alarm="db-cpu"))),
    (
        ReasonCode.BUDGET,
        decide(a_burst(), limits(instance_hours_per_day=9), a_memory(day_at=NINE - NINE % 86_400, spent_s=LATE)),
    ),
    (
        ReasonCode.BUDGET,
        decide(a_burst(), limits(instance_hours_per_day=11), a_memory(day_at=NINE - NINE % 86_400, spent_s=LATE)),
    ),
    (ReasonCode.COLD_START, decide(a_burst(420, 0), a_fleet(hints={}))),
    (ReasonCode.COLD_START, decide(a_burst(1_000_000, 0), a_fleet(hints={}))),
    (ReasonCode.STEP, decide(a_burst(), limits(max_step=1))),
    (ReasonCode.STEP, decide(a_burst(), limits(max_step=3))),
    (ReasonCode.LAUNCH_HANGS, decide(a_burst(1, 0, launching=(3000.0,)), a_fleet(), MEASURED)),
    (ReasonCode.LAUNCH_HANGS, decide(a_burst(420, 0, launching=(3000.0, 300.0)), a_fleet(), MEASURED)),
    (ReasonCode.LAUNCH_HANGS, decide(a_burst(420, 0, launching=(3000.0, 300.0, 250.0, 200.0)), a_fleet(), MEASURED)),
    (ReasonCode.SPARE_LAUNCHES, decide(waiting_long(1), SLOW_FLEET, FAILING)),
    (ReasonCode.SPARE_LAUNCHES, decide(waiting_long(1), SLOW_FLEET, changed(FAILING, failing=OFTEN))),
    (ReasonCode.SHORT_LIVED, decide(a_burst(), a_fleet(), changed(MEASURED, short_lived=(4, NINE - 60.0, 1.0)))),
    (ReasonCode.SHORT_LIVED, decide(a_burst(), a_fleet(), changed(MEASURED, short_lived=(12, NINE - 2400.0, 1.0)))),
    (
        ReasonCode.LAUNCH_FAILED,
        decide(a_burst(failures=FAILED), a_fleet()),
    ),
    (
        ReasonCode.LAUNCH_FAILED,
        decide(seen(NINE, a_queue(NINE, 0, 1), a_group(NINE, 6, failures=FAILED)), a_fleet(), CALM),
    ),
    (
        ReasonCode.LAUNCH_FAILED,
        decide(a_burst(failures=tuple((age_s, "") for age_s in (1.0, 20.0, 30.0, 720.0))), a_fleet()),
    ),
    (ReasonCode.STABILIZATION_WINDOW, decide(at_rest(), a_fleet(), watched(NINE, (12.0, 0), since_s=12.0))),
    (ReasonCode.STABILIZATION_WINDOW, decide(at_rest(), a_fleet(), watched(NINE, (12.0, 4)))),
    (ReasonCode.STABILIZATION_WINDOW, decide(at_rest(), a_fleet(), watched(NINE, (12.0, 1)))),
    (ReasonCode.HELD_MESSAGES, decide(at_rest(6, 10), a_fleet(), changed(CALM, held=10.0))),
    (ReasonCode.HELD_MESSAGES, decide(at_rest(1, 1), a_fleet(), changed(CALM, held=1.0))),
    (ReasonCode.SCALE_IN_FLOOR, decide(at_rest(6, 1), a_fleet(hints={"seconds_per_message": 0.1}), CALM)),
    (ReasonCode.SCALE_IN_FLOOR, decide(at_rest(6, 4, **STEADY), a_fleet(target_wait_s=80), CALM)),
    (
        ReasonCode.SCALE_IN_FLOOR,
        decide(at_rest(1, per_minute=(6.0,) * 15), a_fleet(), CALM),
    ),
    (ReasonCode.BUSY_CAPACITY, decide(at_rest(6, 4, **STEADY), a_fleet(), CALM)),
    (ReasonCode.PROTECTED, decide(protected(6, 1), a_fleet(), CALM)),
    (ReasonCode.PROTECTED, decide(protected(6, 4), a_fleet(), CALM)),
    (ReasonCode.GROUP_PROTECTED, decide(protected(6, 1, protects_new=True), a_fleet(), CALM)),
    (ReasonCode.GROUP_PROTECTED, decide(protected(6, 4, received=ZEROS), a_fleet(), CALM)),
    (ReasonCode.GROUP_PROTECTED, decide(protected(6, 4, 1, received=ZEROS), a_fleet(), CALM)),
    (ReasonCode.OTHER_CONTROLLER, decide(a_burst(), a_fleet(), changed(MEASURED, control=OTHERS))),
    (
        ReasonCode.OTHER_CONTROLLER,
        decide(a_burst(), a_fleet(), changed(MEASURED, control=replace(OTHERS, left_to_other=(NINE - 1900.0, 1)))),
    ),
    (ReasonCode.VISIBILITY_SHORT, decide(worked_on_twice(), a_fleet(), WATCHED)),
    (ReasonCode.HIDDEN_LONG, decide(at_rest(6, 1, visibility_s=30.0), a_fleet(), hiding(1.0))),
    (ReasonCode.HIDDEN_LONG, decide(at_rest(6, 4, visibility_s=30.0), a_fleet(), hiding(4.0))),
    (ReasonCode.GROUP_MIN, decide(seen(NINE, a_queue(NINE), a_group(NINE, 6, bounds=(1, 100))), a_fleet(), CALM)),
    (ReasonCode.GROUP_MAX, decide(a_burst(bounds=(0, 1)), a_fleet())),
    (ReasonCode.SUSPENDED, decide(a_burst(**SUSPENDED), a_fleet())),
    (
        ReasonCode.SUSPENDED,
        decide(seen(NINE, a_queue(NINE), a_group(NINE, 6, suspended=("Terminate",))), a_fleet(), CALM),
    ),
    (
        ReasonCode.NO_GROUP,
        decide(seen(NINE, a_queue(NINE), None, problems=("group orders does not exist",)), a_fleet()),
    ),
]
TEXTS = sorted(
    {text for _, decision in SCENES for text in (decision.sentence, *(r.sentence for r in decision.reasons))}
)


def test_scenes_when_reasons_are_counted():
    """Each has its reason, and no reason code is without one."""
    for code, decision in SCENES:
        assert code in {reason.code for reason in decision.reasons}, (code, decision.sentence)
    assert {code for code, _ in SCENES} == set(ReasonCode)


def test_page_when_its_reasons_are_counted():
    """docs/decisions.md explains every reason, and its table has the limits in the order in which they apply."""
    page = (Path(__file__).resolve().parents[2] / "docs/decisions.md").read_text(encoding="utf-8")
    reasons = page.partition("## Reasons")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in reasons.splitlines() if line.startswith("| `")]
    in_rows = [code for row in rows for code in re.findall(r"`([a-z-]+)`", row)]
    assert in_rows == [code for code in ReasonCode if code not in {ReasonCode.NEED, ReasonCode.NO_GROUP}]
    assert "`need`" in reasons
    assert "`no-group`" in reasons


def test_sentences_when_they_count():
    """One is one and has "is"; all else is many; no number is without its noun or unit."""
    nouns = "messages|instances|capacity units"
    for text in TEXTS:
        assert not re.search(rf"\b1 ({nouns})\b(?! a )", text), text
        assert not re.search(r"\b(?!1\b)\d[\d.,]* (message|instance|capacity unit)\b(?!-)", text), text
        assert not re.search(r"\b1 (message|instance) (are|were|complete)\b", text), text
        assert not re.search(r"\b(?!1\b)\d+ (messages|instances) (is|was|completes)\b", text), text
        assert "  " not in text


def test_sentences_when_they_name_a_time():
    """Lengths of time have a unit that fits, and no moment is in epoch seconds."""
    for text in TEXTS:
        assert not re.search(r"\d{7,}", text.replace("1000000", "")), text
        for seconds in re.findall(r"\b(\d+) s\b", text):
            assert int(seconds) < 600, f"longer ones are in minutes, hours or days: {text}"


def test_sentences_when_their_words_are_looked_up():
    """None of the code's own words."""
    for text in TEXTS:
        assert not list(find(text, Text.DECISION)), text


def test_decisions_when_they_are_read():
    """Each begins with what is done, and each of its sentences has a capital and a full stop."""
    for _, decision in SCENES:
        assert re.match(
            r"(Scaling out from \d+ to \d+|Scaling in from \d+ to \d+|Holding at \d+|Nothing can)", decision.sentence
        )
        for sentence in re.split(r"(?<=\.) ", decision.sentence):
            assert sentence[0].isupper() or sentence[0].isdigit(), sentence
            assert sentence.endswith("."), sentence
        for reason in decision.reasons:
            assert not reason.sentence.endswith(".")


def test_decision_when_one_unit_less_would_be_late():
    """It says by how much: of 112.8 s a launch leaves 52.8; two take 75 s for 150 messages, 15 s more than promised."""
    three = decide(a_burst(150, 0), a_fleet())
    assert (
        "so 3 are needed to start every message within 120 s; with 2, the last may start 15 s late." in three.sentence
    )
    eight = decide(a_burst(420, 0), a_fleet())
    assert "within 120 s." in eight.sentence, "seven take 60 s from 60 s on: the guard has room for that"
    never = decide(a_burst(420, 0), a_fleet(hints={"seconds_per_message": 1, "lead_time_s": 100}))
    assert "as far as that can still be done." in never.sentence


@pytest.mark.parametrize(("oldest_s", "can"), [(40, True), (58, True), (80, False), (3000, False)])
def test_decision_when_a_single_launch_comes_too_late(oldest_s, can):
    """One instance that cannot start the oldest message in time is not said to: a launch takes 60 s of 120."""
    sentence = decide(seen(NINE, a_queue(NINE, 1, oldest_s=oldest_s), a_group(NINE)), a_fleet()).sentence
    assert "so 1 is needed to start every message within 120 s" in sentence
    assert ("as far as that can still be done" in sentence) != can


def test_decision_when_more_wait_than_came_in_any_minute():
    """The size that would keep the target is for what waits, which no minute of the last day has brought."""
    fleet = a_fleet(target_wait_s=30)
    usual = a_queue(NINE, 20, oldest_s=5, per_minute=(60.0,) * 10)
    assert (
        "for 60 messages in a minute, the most of the last day"
        in decide(seen(NINE, usual, a_group(NINE)), fleet).sentence
    )
    stuck = decide(seen(NINE, replace(usual, visible=Reading(5000.0, NINE)), a_group(NINE)), fleet).sentence
    assert "for 5,000 messages in a minute, as many as are waiting now." in stuck
    assert "as soon as possible. No launch" in stuck


@pytest.mark.parametrize(
    ("per_minute", "says"),
    [(30.0, "and no instance is needed yet for messages that are expected"), (0.0, "and no more are expected soon")],
)
def test_need_when_none_is_for_what_is_expected(per_minute, says):
    """Where a launch can wait for the messages, a fleet with 30 a minute is not said to expect none."""
    queue = a_queue(NINE, 0, 4, per_minute=(per_minute,) * 10)
    decision = decide(seen(NINE, queue, a_group(NINE, 6)), a_fleet(), CALM)
    assert decision.raw_need == 0
    assert decision.reasons[0].sentence == f"no message is waiting, 4 are in flight or delayed, {says}"


def test_decision_when_times_are_long():
    """A launch of 20 minutes and a window of two hours are not told in seconds."""
    slow = a_fleet(target_wait_s=3600, hints={"seconds_per_message": 30, "lead_time_s": 1234})
    assert "a new one takes 21 min to start" in decide(a_burst(500, 0), slow).sentence
    idle = seen(NINE, a_queue(NINE), a_group(NINE, 5))
    fleet = a_fleet(limits={"stabilization_window_s": 7200})
    short = decide(idle, fleet, watched(NINE, since_s=5000)).sentence
    assert "the need is known for 83 min of the stabilization window's 2 h" in short
    known = decide(idle, fleet, watched(NINE, (3000, 3), since_s=9000)).sentence
    assert "within the stabilization window of 2 h" in known


def test_decision_when_less_than_the_window_asks_for_is_allowed():
    """What evidence forbids goes at once, and the rest waits for the window: the sentence does not deny the first."""
    fleet = a_fleet(hints={"seconds_per_message": 10, "lead_time_s": 60, "concurrency": 10})
    queue = a_queue(NINE, 400, 20, oldest_s=1700, per_minute=(15.0,) * 60, done_per_minute=(12.0,) * 60)
    known = a_memory(rate=Estimate(1.0, 100.0, NINE - 3600), to_service=Estimate(60.0, 8.0, NINE - 3600))
    decision = decide(seen(NINE, queue, a_group(NINE, 100, bounds=(0, 500))), fleet, known)
    assert decision.want < decision.current
    assert "Not scaling in further yet: the need is known for 0 s" in decision.sentence


def test_decision_when_failed_launches_leave_less_in_service_than_desired():
    """What never came is given back, and what is in service is kept: the sentence says the second alone."""
    failures = tuple((20.0 * n, "") for n in range(1, 5))
    queue = a_queue(NINE, 0, 1, per_minute=(0.0,) * 10)
    decision = decide(seen(NINE, queue, a_group(NINE, 6, desired=9, failures=failures)), a_fleet(), CALM)
    assert (decision.current, decision.want) == (9, 6)
    assert "Keeping 6 instances in service while messages are left: the last 4 launches failed" in decision.sentence


@pytest.mark.parametrize(
    ("current", "hung", "says"),
    [
        (1, 1, "Launching another instead: 1 instance has been launching for 50 min"),
        (2, 1, "Not counting on the one that hangs: 1 instance has been launching for 50 min"),
        (6, 2, "Not counting on those that hang: 2 instances have been launching for up to 50 min"),
    ],
)
def test_decision_when_others_than_those_that_hang_are_there(current, hung, says):
    """What was launched in the stead of those that hang is not launched again, and the decision says no such thing."""
    group = a_group(NINE, current - hung, launching=tuple(3000.0 - 60.0 * n for n in range(hung)))
    known = changed(CALM, to_service=Estimate(60.0, 8.0, NINE - 60))
    decision = decide(seen(NINE, a_queue(NINE, 1, oldest_s=30), group), a_fleet(), known)
    assert (decision.want > decision.current) == says.startswith("Launching")
    assert says in decision.sentence


def test_decision_when_messages_are_held_beside_protected_instances():
    """Messages that nobody works on are in flight all the same."""
    queue = replace(a_queue(NINE, 0, 3, per_minute=(0.0,) * 10), received=ZEROS)
    group = a_group(NINE, 30)
    instances = tuple(replace(each, protected=number < 10) for number, each in enumerate(group.instances))
    decision = decide(seen(NINE, queue, replace(group, instances=instances)), a_fleet(), changed(CALM, held=3.0))
    assert decision.want == 10
    assert "not by work: 3 messages are in flight." in decision.sentence


@pytest.mark.parametrize(("per_minute", "due"), [(6.0, "due in about 10 s"), (600.0, "due at once")])
def test_decision_when_the_next_message_is_due(per_minute, due):
    """No message is due in 0 s."""
    queue = a_queue(NINE, per_minute=(per_minute,) * 10)
    sentence = decide(seen(NINE, queue, a_group(NINE, 1)), a_fleet(), CALM).sentence
    assert f"Keeping one instance: the next message is {due}, and a new launch" in sentence


@pytest.mark.parametrize(
    ("protected", "says"),
    [(1, "and lift the instance's protection to scale in"), (4, "and lift their protection to scale in")],
)
def test_decision_when_the_group_protects_one_or_several(protected, says):
    """The protection of one is not theirs."""
    snapshot = a_burst(0, 6)
    instances = tuple(
        replace(each, protected=number < protected) for number, each in enumerate(snapshot.group.instances)
    )
    group = replace(snapshot.group, instances=instances, protects_new=True)
    assert (
        says
        in decide(replace(snapshot, queue=a_queue(NINE, per_minute=(0.0,) * 10), group=group), a_fleet(), CALM).sentence
    )


@pytest.mark.parametrize(
    ("target_s", "waiting", "size"),
    [(30, 1, "1 would, for 1 message"), (30, 60, "3 would, for 60 messages"), (120, 420, "4 would, for 420 messages")],
)
def test_decision_when_no_launch_can_keep_the_target(target_s, waiting, size):
    """It does not promise the target: it says that no launch keeps it, and which minimum size of the group would."""
    fleet = a_fleet(target_wait_s=target_s, hints={"seconds_per_message": 1, "lead_time_s": 180})
    sentence = decide(seen(NINE, a_queue(NINE, waiting, oldest_s=0), a_group(NINE)), fleet).sentence
    assert f"to start every message within {target_s} s" not in sentence
    assert f"No launch can keep a target wait of {target_s} s; a minimum size of {size} in a minute" in sentence


@pytest.mark.parametrize(
    ("hints", "says"),
    [
        ({}, "Each instance is taken to complete 1 message a second and a new one is taken to need 120 s to start"),
        ({"seconds_per_message": 1}, "Each instance completes 1 message a second and a new one is taken to need 120 s"),
        ({"seconds_per_message": 1, "lead_time_s": 180}, "completes 1 message a second and a new one takes 180 s"),
    ],
    ids=["nothing told", "speed told", "all told"],
)
def test_decision_when_figures_are_guesses(hints, says):
    """A default that nobody told and nothing measured is no fact: nor does it say that no launch keeps the target."""
    sentence = decide(seen(NINE, a_queue(NINE, 60, oldest_s=0), a_group(NINE)), a_fleet(hints=hints)).sentence
    assert says in sentence
    assert ("No launch can keep" in sentence) == ("lead_time_s" in hints)


def test_decision_when_capacity_is_weighted():
    """Where instances count for several units, capacity is in those."""
    snapshot = a_burst()
    heavy = (Instance("i-1", Lifecycle.IN_SERVICE, weight=4.0),)
    decision = decide(replace(snapshot, group=replace(snapshot.group, desired=4, instances=heavy)), a_fleet())
    assert "capacity unit" in decision.reasons[0].sentence


def test_decision_when_poison_waits():
    """It is said that more capacity would not help."""
    memory = changed(MEASURED, poison=1.0, suspects=((NINE, 50.0, 0.0),))
    queue = a_queue(NINE, 1, 0, per_minute=(0.0,) * 10)
    decision = decide(seen(NINE, queue, a_group(NINE, 1)), a_fleet(), memory)
    assert "1 message is waiting" in decision.sentence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (44.4, "44 s"),
        (-3, "0 s"),
        (720, "12 min"),
        (180, "3 min"),
        (9000, "2 h"),
        (3 * 86_400, "3 days"),
        (NINE, "more than 30 days"),
    ],
)
def test_duration_when_it_is_written(seconds, text):
    """In the unit that reads best."""
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5, "0.5 s"),
        (120, "120 s"),
        (700, "700 s"),
        (900, "15 min"),
        (3600, "60 min"),
        (5_400, "90 min"),
        (14_400, "4 h"),
        (1_209_600, "14 days"),
        (1_209_599, "1,209,599 s"),
    ],
)
def test_length_when_a_user_has_set_it(seconds, text):
    """It is not rounded, and not in powers of ten."""
    assert exactly(seconds) == text


@pytest.mark.parametrize(
    ("per_s", "text"),
    [
        (1.0, "1 message a second"),
        (1.9, "1.9 messages a second"),
        (120.0, "120 messages a second"),
        (0.2, "12 messages a minute"),
        (1 / 60, "1 message a minute"),
        (1 / 600, "6 messages an hour"),
    ],
)
def test_rate_when_it_is_written(per_s, text):
    """By the second, the minute or the hour."""
    assert rate(per_s) == text


def test_count_when_it_is_written():
    """One is one, none and several are many."""
    assert [count(n, "message") for n in (0, 1, 2.4)] == ["0 messages", "1 message", "2 messages"]
    assert [is_are(n) for n in (0, 1, 2)] == ["are", "is", "are"]
    assert capitalised("no change") == "No change"
