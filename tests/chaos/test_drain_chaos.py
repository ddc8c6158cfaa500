"""Whole drains under faults, from seeds; and proof that the harness sees what it is there to see."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sluice.config.fleet import DrainPolicy, DrainVia
from sluice.consumers import protection
from sluice.consumers import state_machine as launching_state_machine
from sluice.consumers.state_machine import BootEventKind
from sluice.draining import observations, release, scheduled, service, signs_of_life, state_machine, stop_command
from sluice.draining.events import DrainReported, EventKind
from sluice.draining.holding import WaitingHolder
from sluice.model.consumers import BootState, BootStep, Consumer, ConsumerStatus
from sluice.model.draining import (
    RELEASE_OWED,
    UNDER_WAY,
    CompleteHook,
    Drain,
    DrainState,
    DrainStep,
    HookResult,
    ScheduledEvent,
)
from sluice.model.transition_table import Transition
from sluice_tools.chaos import drain
from sluice_tools.chaos.drain_away import Part
from sluice_tools.chaos.drain_cloud import DrainCloud
from sluice_tools.chaos.drain_documents import WorldCopy
from sluice_tools.chaos.drain_scene import Chances, InstanceChances, Scene
from sluice_tools.chaos.drain_scheduled import ScheduledEvents
from sluice_tools.chaos.drain_world import World
from sluice_tools.chaos.stage import START

SEEDS = 400
REPOSITORY = Path(__file__).parents[2]


def test_no_seed_violates_an_invariant_when_faults_are_everywhere() -> None:
    """Each seed is a world of its own; a failing one tells its story."""
    faults = drains = 0
    for seed in range(SEEDS):
        report = drain.run(seed)
        assert not report.violations, "\n".join((*report.story, *report.violations))
        faults += report.counts.get("faults", 0)
        drains += report.counts.get("drains", 0)
    assert drains > SEEDS, "there must have been something to drain"
    assert faults > 2 * SEEDS, "and much must have failed"


@pytest.mark.parametrize("seed", [816, 1273, 2089, 2233, 3404, 4390, 6872, 9062])
def test_nothing_is_asked_for_that_cannot_be_known(seed: int) -> None:
    """A warm instance that does not start again has an agent, a consumer whose every report is lost has said nothing.

    An instance that comes out of its warm pool was not in service before, whatever EC2 has scheduled for it, and a stop
    that ran on it before it went there tells nothing of the consumer that runs now. The token of an earlier launch
    completes no later one.
    """
    assert drain.run(seed).violations == ()


def test_stop_that_was_just_asked_for_is_waited_for_when_nothing_seems_to_be_left_to_finish() -> None:
    """The first stop got lost, as every report did; the second one runs, and says that a consumer is at work."""
    assert drain.run(8816).violations == ()


def test_story_is_the_same_when_its_seed_is_played_again() -> None:
    """A failing seed can be looked into."""
    assert drain.run(7) == drain.run(7)


type Fits = Callable[[World], bool]


def _completions_fail(world: World) -> bool:
    return world.chances.completion > 0


def _commands_get_lost(world: World) -> bool:
    return world.policy.via is DrainVia.SSM and world.chances.instances.lost_command > 0


def _silence_is_broken(world: World) -> bool:
    return world.policy.silence_s is not None and world.scene.talking


def _runs_several(world: World) -> bool:
    return world.scene.several


def _makes_progress(world: World) -> bool:
    return world.scene.talking and world.policy.longest_s is not None


def _has_scheduled_events(world: World) -> bool:
    return world.scene.scheduled


def _part_is_away(part: Part) -> Fits:
    return lambda world: world.scene.away is part and world.absence.must_be_survived()


def _first_violation(fits: Fits | None = None) -> str:
    """The first violation in the worlds of the seeds; of those worlds alone that fit, where that is said."""
    for seed in range(3 * SEEDS):
        report = drain.run(seed) if fits is None or fits(drain.build(seed)) else None
        if report and report.violations:
            return report.violations[0]
    return ""


def _dead_when_unknown(drain: Drain, event: Any, policy: DrainPolicy, now: float) -> DrainStep:
    return stop_command.command_succeeded(drain, event, policy, now)


def _never(drain: Drain, _event: Any, _policy: DrainPolicy, _now: float) -> DrainStep:
    return DrainStep(drain)


def _never_asks_again(drain: Drain, event: Any, policy: DrainPolicy, now: float) -> DrainStep:
    step = release.wait(replace(drain, stop=replace(drain.stop, retry_at=None)), event, policy, now)
    return replace(step, drain=drain)


def _impatient(drain: Drain, event: Any, policy: DrainPolicy, now: float) -> DrainStep:
    if now > drain.started_at + 30:
        return release.expire(drain, event, policy, now)
    return release.wait(drain, event, policy, now)


def _beats_forever(drain: Drain, event: Any, policy: DrainPolicy, now: float) -> DrainStep:
    return release.wait(replace(drain, deadline=replace(drain.deadline, at=now + 1_000)), event, policy, now)


MUTANTS = [
    pytest.param(
        [(DrainState.STOPPING, EventKind.COMMAND_UNKNOWN)],
        _dead_when_unknown,
        "on record as done",
        _commands_get_lost,
        id="unknown is dead",
    ),
    pytest.param(
        [(DrainState.STOPPING, EventKind.COMMAND_FAILED)],
        _dead_when_unknown,
        "on record as done",
        None,
        id="failed is done",
    ),
    pytest.param(
        [(None, EventKind.FOUND_WAITING)],
        _never,
        "at the end|timed out|machine has ended",
        None,
        id="missed events stay missed",
    ),
    pytest.param([(state, EventKind.TICK) for state in UNDER_WAY], _impatient, "released before", None, id="impatient"),
    pytest.param(
        [(state, EventKind.TICK) for state in UNDER_WAY],
        _never_asks_again,
        "is not released",
        _commands_get_lost,
        id="a lost stop stays lost",
    ),
    pytest.param(
        [(state, EventKind.TICK) for state in UNDER_WAY],
        _never,
        "timed out under drain",
        None,
        id="no heartbeats",
    ),
    pytest.param(
        [(state, EventKind.TICK) for state in RELEASE_OWED],
        _never,
        "owed and not given",
        _completions_fail,
        id="owed and forgotten",
    ),
    pytest.param(
        [(state, EventKind.DEADLINE) for state in UNDER_WAY],
        _beats_forever,
        "heartbeat after its deadline|at the end",
        None,
        id="no deadline",
    ),
    pytest.param(
        [(state, EventKind.CONSUMER_WORKING) for state in UNDER_WAY],
        _never,
        "given up for silent",
        _silence_is_broken,
        id="deaf to consumers",
    ),
    pytest.param(
        [(state, EventKind.MACHINE_ENDED) for state in UNDER_WAY],
        _never,
        "its machine has ended",
        None,
        id="waits for the dead",
    ),
]


def _lets_all_in(consumer: Consumer, event: Any, _now: float) -> BootStep:
    return BootStep(consumer, (CompleteHook(event.hook, HookResult.CONTINUE),))


def _keeps_out(consumer: Consumer, _event: Any, _now: float) -> BootStep:
    return BootStep(consumer)


BOOT_MUTANTS = [
    pytest.param(
        [(state, BootEventKind.FOUND_WAITING) for state in (None, BootState.BOOTING)],
        _lets_all_in,
        "before its consumer was ready",
        id="lets everybody in",
    ),
    pytest.param(
        [(state, BootEventKind.BUSY) for state in (None, *BootState)],
        _keeps_out,
        "not protected",
        id="deaf to the busy",
    ),
    pytest.param([(BootState.WORKING, BootEventKind.IDLE)], _keeps_out, "idle for long", id="deaf to the idle"),
]


@pytest.mark.parametrize(("rows", "move", "expected", "fits"), MUTANTS)
def test_harness_finds_the_fault_when_a_rule_is_broken(
    rows: list[tuple[DrainState | None, EventKind]],
    move: Any,
    expected: str,
    fits: Fits | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With one rule of the table broken, some seed violates just the invariant that the rule serves."""
    broken = {key: Transition(move, state_machine.TABLE[key].to) for key in rows}
    monkeypatch.setattr(state_machine, "TABLE", {**state_machine.TABLE, **broken})
    violation = _first_violation(fits)
    assert any(words in violation for words in expected.split("|")), violation or "no seed noticed"


def test_harness_finds_who_is_killed_when_the_ledger_is_away_and_nobody_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it was before who waits was held without the ledger."""
    monkeypatch.setattr(WaitingHolder, "hold", lambda *_: None)
    assert "timed out under drain" in _first_violation(_part_is_away(Part.LEDGER))


def _leaves_while_parameters_are_away(*, copied: bool, crashes: bool = True) -> World:
    """An instance begins to leave, and hangs, while Parameter Store is away; its process has crashed before that."""
    policy = DrainPolicy(deadline_s=1800.0, hook_timeout_s=300.0)
    chances = Chances(instances=InstanceChances(hangs=1.0))
    scene = Scene(size=3, away=Part.PARAMETERS, copied=copied)
    world = World(Random(1), policy, chances, START + 300.0, scene)
    from_s = world.absence.from_at - START
    if crashes:
        world.after(from_s - 0.1, world.crash)
    world.after(from_s + 1.0, world.scale_in)
    return world


def test_process_that_leaves_while_parameters_are_away_reads_the_ledgers_copy() -> None:
    """The next one knows the fleet from that, so that every instance is held until its deadline."""
    report = drain.play(_leaves_while_parameters_are_away(copied=True))
    assert report.violations == (), "\n".join(report.story)
    assert not report.counts.get("timed out")


def test_nobody_is_blamed_when_a_process_could_read_the_documents_nowhere() -> None:
    """In a stack without a copy yet, a process that begins while Parameter Store is away knows no group and no hook."""
    report = drain.play(_leaves_while_parameters_are_away(copied=False))
    assert report.violations == (), "\n".join(report.story)
    assert report.counts.get("timed out"), "the scene must be the one that it is about"


def test_harness_finds_who_is_killed_when_the_ledgers_copy_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was before the ledger had a copy."""
    monkeypatch.setattr(WorldCopy, "head", lambda _: None)
    world = _leaves_while_parameters_are_away(copied=True)
    assert "timed out under drain" in drain.play(world).violations[0]


def test_harness_finds_who_is_killed_when_parameters_are_away_and_the_documents_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it was before the documents that were read last were used."""
    run = DrainCloud._run

    def forgetful(cloud: DrainCloud, work: Any, label: str) -> bool:
        cloud.world.begin_process()
        return run(cloud, work, label)

    monkeypatch.setattr(DrainCloud, "_run", forgetful)
    world = _leaves_while_parameters_are_away(copied=False, crashes=False)
    assert "timed out under drain" in drain.play(world).violations[0]


def test_documents_that_were_read_are_used_while_parameters_are_away() -> None:
    """The ledger has no copy of them yet, and nobody is killed for that."""
    report = drain.play(_leaves_while_parameters_are_away(copied=False, crashes=False))
    assert report.violations == (), "\n".join(report.story)
    assert not report.counts.get("timed out")


@pytest.mark.parametrize(("rows", "move", "expected"), BOOT_MUTANTS)
def test_harness_finds_the_fault_when_a_rule_of_launches_is_broken(
    rows: list[tuple[BootState | None, BootEventKind]], move: Any, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for what consumers say of themselves."""
    broken = {key: Transition(move, frozenset()) for key in rows}
    monkeypatch.setattr(launching_state_machine, "BOOT_TABLE", {**launching_state_machine.BOOT_TABLE, **broken})
    violation = _first_violation()
    assert expected in violation, violation or "no seed noticed"


def test_harness_finds_the_fault_when_one_of_several_consumers_speaks_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was before reports had names: the first one that is done ends the drain."""
    of_all = observations.reported

    def first_one_done(consumer: Consumer) -> DrainReported | None:
        done = [each.at for each in consumer.reports if each.status is ConsumerStatus.DONE]
        return DrainReported(max(done), done=True) if done else of_all(consumer)

    for module in (observations, service):
        monkeypatch.setattr(module, "reported", first_one_done)
    violation = _first_violation(_runs_several)
    assert "on record as done while its consumer works" in violation, violation or "no seed noticed"


def test_harness_finds_the_fault_when_the_last_report_of_several_consumers_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As it was before reports had names: the idle report of one lifts the protection of a busy one."""

    def last_one_is_busy(consumer: Consumer, _now: float) -> bool:
        last = max(consumer.reports, key=lambda each: each.at, default=None)
        return last is not None and last.status is ConsumerStatus.BUSY

    monkeypatch.setattr(protection, "is_busy", last_one_is_busy)
    violation = _first_violation(_runs_several)
    assert "busy for long and not protected" in violation, violation or "no seed noticed"


def test_harness_finds_the_fault_when_progress_puts_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was before: a consumer that reports each minute is ended at the deadline."""
    monkeypatch.setattr(signs_of_life, "_put_off", lambda drain, *_: drain)
    violation = _first_violation(_makes_progress)
    assert "though it makes progress" in violation, violation or "no seed noticed"


def test_harness_finds_who_stays_when_scheduled_events_are_heard_of_by_aws_health_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its events may be lost, and the sweep would not look."""
    monkeypatch.setattr(scheduled.ScheduledReplacer, "sweep", lambda *_: None)
    violation = _first_violation(_has_scheduled_events)
    assert "and it is still in service" in violation, violation or "no seed noticed"


def test_harness_finds_who_stays_when_scheduled_instances_wait_for_their_turn_to_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As if a tenth of the fleet was missing at a time however near the scheduled time is."""
    monkeypatch.setattr(scheduled, "AHEAD_S", -1e9)
    violation = _first_violation(_has_scheduled_events)
    assert "and it is still in service" in violation, violation or "no seed noticed"


def test_harness_finds_the_work_that_is_lost_when_scheduled_instances_are_ended_at_the_last_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As Auto Scaling does it by itself. That they are still in service is not looked at here."""
    due = scheduled.due

    def at_the_last_minute(*arguments: Any) -> tuple[ScheduledEvent, ...]:
        return tuple(event for event in due(*arguments) if event.at - arguments[-1] < 60.0)

    monkeypatch.setattr(scheduled, "due", at_the_last_minute)
    monkeypatch.setattr(ScheduledEvents, "check", lambda _: None)
    violation = _first_violation(_has_scheduled_events)
    assert "its work is lost" in violation, violation or "no seed noticed"


def test_harness_finds_the_fault_when_protection_is_never_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that crashed while busy would keep its instance for ever."""
    monkeypatch.setattr(protection, "BUSY_TIMEOUT_S", 1e9)
    violation = _first_violation()
    assert "protected long after" in violation, violation or "no seed noticed"


def test_command_line_ends_with_one_json_object_when_asked() -> None:
    """`python -m sluice_tools.chaos --json`: the last line is what CI reads."""
    ran = subprocess.run(
        [sys.executable, "-m", "sluice_tools.chaos", "--only", "drain", "--seeds", "5", "--jobs", "1", "--json"],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'layers/core'}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert json.loads(ran.stdout.splitlines()[-1]) == {"drain": {"seeds": 5, "violations": 0}}
