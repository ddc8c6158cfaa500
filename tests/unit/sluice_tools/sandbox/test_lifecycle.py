"""Lifecycle rules of the sandbox's groups: hooks' timeouts and outcomes, and who is terminated first."""

from __future__ import annotations

import pytest

from sluice_tools.sandbox.emulator.lifecycle import (
    ABANDON,
    CONTINUE,
    TERMINATING,
    Candidate,
    HookAction,
    ScaleIn,
    State,
    Waiting,
    choose_for_scale_in,
    outcome,
)

HOUR_S = 3600.0


def action(hook: str = "hook", timeout_s: float = 60.0, default: str = CONTINUE, token: str = "token") -> HookAction:
    """An action that began at 0."""
    return HookAction(hook, token, TERMINATING, timeout_s, default, 0.0, 0.0)


def instance(name: str, launched_at: float, **more: object) -> Candidate:
    """An instance in service."""
    fields: dict[str, object] = {"state": State.IN_SERVICE, "zone": "a"} | more
    return Candidate(instance_id=name, launched_at=launched_at, **fields)  # type: ignore[arg-type]


# --- hooks ---


@pytest.mark.parametrize("default", [CONTINUE, ABANDON])
def test_default_result_applies_when_the_timeout_has_passed(default: str) -> None:
    """Not a moment before it."""
    waiting = action(default=default)

    waiting.expire(59.9)
    assert waiting.result is None
    waiting.expire(60.0)
    assert waiting.result == default


def test_timeout_begins_again_when_a_heartbeat_is_recorded() -> None:
    """From the heartbeat's moment, not from the deadline."""
    waiting = action()
    waiting.heartbeat(50.0)

    waiting.expire(109.0)
    assert waiting.result is None
    waiting.expire(110.0)
    assert waiting.result == CONTINUE


@pytest.mark.parametrize(
    ("timeout_s", "ceiling_s"),
    [(60.0, 6000.0), (1800.0, 48 * HOUR_S), (7200.0, 48 * HOUR_S)],
)
def test_heartbeats_cannot_pass_the_global_timeout(timeout_s: float, ceiling_s: float) -> None:
    """The lesser of 48 hours and 100 heartbeat timeouts, however often the heart beats."""
    waiting = action(timeout_s=timeout_s)

    waiting.heartbeat(ceiling_s - 1)

    assert waiting.ends_at == min(ceiling_s, ceiling_s - 1 + timeout_s)
    waiting.expire(ceiling_s)
    assert waiting.result == CONTINUE


def test_first_result_counts() -> None:
    """A second completion changes nothing."""
    waiting = action()
    waiting.complete(CONTINUE)

    waiting.complete(ABANDON)

    assert waiting.result == CONTINUE


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ((), CONTINUE),
        ((None,), None),
        ((CONTINUE, None), None),
        ((CONTINUE, CONTINUE), CONTINUE),
        ((ABANDON, None), ABANDON),
        ((CONTINUE, ABANDON), ABANDON),
    ],
)
def test_outcome_waits_for_all_but_an_abandon(results: tuple[str | None, ...], expected: str | None) -> None:
    """Every hook must continue; one that abandons ends the others."""
    actions = [action(hook=str(number)) for number in range(len(results))]
    for waiting, result in zip(actions, results, strict=True):
        waiting.result = result

    assert outcome(actions) == expected


def test_action_is_found_by_hook_and_token() -> None:
    """An open one only; a token must be its own."""
    one, other = action("one", token="1"), action("other", token="2")
    waiting = Waiting([one, other])

    assert waiting.find("one", None) is one
    assert waiting.find("other", "2") is other
    assert waiting.find("one", "2") is None
    one.complete(CONTINUE)
    assert waiting.find("one", "1") is None


# --- scale-in ---


def test_oldest_goes_first_by_default() -> None:
    """All else equal, age decides."""
    group = [instance("new", 3.0), instance("old", 1.0), instance("middle", 2.0)]

    assert choose_for_scale_in(group, 2, ["Default"]) == ScaleIn(("old", "middle"))


def test_newest_goes_first_when_the_policy_says_so() -> None:
    """NewestInstance turns the order about."""
    group = [instance("new", 3.0), instance("old", 1.0)]

    assert choose_for_scale_in(group, 1, ["NewestInstance"]).chosen == ("new",)


def test_old_template_goes_before_age() -> None:
    """Default: an instance of an earlier launch template goes before an older one of the newest."""
    group = [instance("oldest", 1.0, template="v2"), instance("outdated", 2.0, template="v1")]

    assert choose_for_scale_in(group, 1, ["Default"], "v2").chosen == ("outdated",)
    assert choose_for_scale_in(group, 1, ["OldestInstance"], "v2").chosen == ("oldest",)


def test_fullest_zone_gives_first() -> None:
    """Zones are kept level, whatever the ages."""
    group = [instance("a1", 1.0), instance("b1", 2.0, zone="b"), instance("b2", 3.0, zone="b")]

    assert choose_for_scale_in(group, 2, ["Default"]).chosen == ("b1", "a1")


def test_unhealthy_goes_before_all() -> None:
    """A sick instance is the least loss."""
    group = [instance("old", 1.0), instance("sick", 2.0, unhealthy=True)]

    assert choose_for_scale_in(group, 1, ["Default"]).chosen == ("sick",)


def test_protected_and_leaving_are_passed_over() -> None:
    """Protection holds, and who is leaving is not asked twice; the rest is told."""
    group = [
        instance("protected", 1.0, protected=True),
        instance("leaving", 2.0, state=State.TERMINATING_WAIT),
        instance("free", 3.0),
    ]

    assert choose_for_scale_in(group, 2, ["Default"]) == ScaleIn(("free",), held_by_protection=1)


def test_launching_goes_when_nobody_else_is_left() -> None:
    """An instance in service goes before one that still launches."""
    group = [instance("pending", 1.0, state=State.PENDING), instance("ready", 2.0)]

    assert choose_for_scale_in(group, 2, ["Default"]).chosen == ("ready", "pending")
