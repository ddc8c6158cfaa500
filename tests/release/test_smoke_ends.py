"""`make aws-smoke` on the sandbox, ended in the midst of a step: everything that it made goes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from sluice_tools.smoke.waiting import SmokeError
from tests.support.smoke_place import Place

pytestmark = pytest.mark.sandbox


def stop_at(number: int) -> Callable[[str], None]:
    """Fail as step `number` begins, counted from 0."""
    seen: list[str] = []

    def step(text: str) -> None:
        seen.append(text)
        if len(seen) == number + 1:
            raise SmokeError(f"injected before {text}")

    return step


# bucket, application, base, database, orders, Sluice, and the story with all of them there
@pytest.mark.parametrize("number", range(7))
def test_everything_is_deleted_when_a_step_fails(
    place: Place, before: dict[str, set[str]], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever step it is; the failure is told, and nothing but it."""
    place.without_sam_cli(monkeypatch)

    result = place.run(stop_at(number))

    assert len(result.failures) == 1
    assert result.failures[0].startswith("injected before ")
    assert (result.exit_code, result.left) == (1, [])
    assert place.everything() == before


def interrupt_once_there(place: Place, number: int) -> None:
    """Send this process a signal as soon as CloudFormation knows the orders stack."""
    cloudformation = place.sandbox.client("cloudformation")
    while place.names.orders not in {stack["StackName"] for stack in cloudformation.describe_stacks()["Stacks"]}:
        time.sleep(0.02)
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_everything_is_deleted_when_a_signal_comes_while_a_stack_is_made(
    place: Place, before: dict[str, set[str]], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SAM CLI is ended with it, and the half-made stack is deleted."""
    place.without_sam_cli(monkeypatch, but=place.names.orders)

    def step(text: str) -> None:
        if text.startswith(f"stack {place.names.orders}"):
            threading.Thread(target=interrupt_once_there, args=(place, number), daemon=True).start()

    result = place.run(step)

    assert result.exit_code == 128 + number
    assert result.failures == [f"interrupted by {signal.Signals(number).name}"]
    assert result.left == []
    assert place.everything() == before
