"""Every sentence of draining: notes, log lines, answers and errors. Numbers, units, times and plain words."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import sluice.draining
from sluice.draining.events import CommandReported
from sluice.draining.state_machine import advance
from sluice.model.draining import CommandStatus, DrainState
from tests.support.drains import (
    COMMAND,
    EVENTS,
    ID,
    NOW,
    POLICIES,
    STATES,
    TIMES,
    WATCHED,
    a_drain,
    a_policy,
    drains_in,
)
from tests.support.words import Text, find

PACKAGE = Path(sluice.draining.__file__).parent
LOGGED = {"info", "warning", "error", "exception", "failed"}


def notes() -> Iterator[str]:
    """The notes of every drain that any event leads to, under every policy, and of a consumer in a container."""
    policies = (*POLICIES, a_policy(container="worker"), a_policy(via="self", keep_failed=True))
    for state in STATES:
        for drain in drains_in(state):
            for event in EVENTS:
                for now in TIMES:
                    for policy in policies:
                        after = advance(drain, event, policy, now).drain
                        if after is not None and after != drain:
                            yield after.note


def template(node: ast.expr) -> str | None:
    """A string in the code, with an x for what is filled in; None if it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) or "x" for part in node.values)
    return None


def written() -> Iterator[str]:
    """The text of every log line, failure, answer and error in the package."""
    for path in sorted(PACKAGE.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in LOGGED | {"log", "PayloadError", "TryLaterError", "ExceptionGroup"}:
                    yield from (text for each in node.args if (text := template(each)))
            if isinstance(node, ast.Dict):
                keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
                if {"ignored", "left", "noted"} & {*keys}:
                    yield from (text for each in node.values if (text := template(each)))


NOTES = sorted({*notes()} - {""})
WRITTEN = sorted({*written()})
TEXTS = [*NOTES, *WRITTEN]


def test_texts_when_they_are_counted() -> None:
    """Both kinds are found: a text that is not found would not be held to anything."""
    assert len(NOTES) > 30
    assert len(WRITTEN) > 40
    assert "consumer ready; launch hook completed" in WRITTEN
    assert "sweep finished with errors" in WRITTEN


def test_texts_when_their_words_are_looked_up() -> None:
    """No private word, and none that is not of the field."""
    assert {text: [str(one) for one in found] for text in TEXTS if (found := list(find(text, Text.DECISION)))} == {}


def test_notes_when_they_name_a_number() -> None:
    """Each number has a unit, one that fits; no moment is in epoch seconds."""
    for text in NOTES:
        rest = text.replace(COMMAND, "").replace(ID, "")
        assert not re.search(r"\d{6,}", rest), text
        for number, unit in re.findall(r"(?<![\w-])(\d+)(?:\s(\w+))?", re.sub(r"command [\w-]+", "", rest)):
            assert unit in {"s", "min", "h"}, text
            assert unit != "s" or int(number) <= 120, f"longer ones are in minutes or hours: {text}"
        assert "  " not in text


def test_notes_when_they_are_read() -> None:
    """A clause that a log line, the widget and an answer can show: it begins small, and has no full stop."""
    for text in NOTES:
        assert text[0].islower() or text.startswith(("Run Command", "EC2")), text
        assert not text.endswith((".", ":", " "))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (CommandStatus.SUCCEEDED, "the consumer has stopped"),
        (CommandStatus.FAILED, "unit consumer.service failed to stop; asking again in 10 s"),
        (
            CommandStatus.UNKNOWN,
            "the stop command ended without a result from the instance; asking again in 10 s",
        ),
    ],
)
def test_note_when_a_command_ends(status: CommandStatus, expected: str) -> None:
    """It says what happened, and what is done about it."""
    event = CommandReported(COMMAND, status)
    after = advance(a_drain(DrainState.STOPPING), event, WATCHED, NOW).drain
    assert after is not None
    assert after.note == expected
