"""`sluice groups`, `messages`, `dlq`, `archive` and `release`: what they ask, and what they show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluice_tools import cli
from tests.support.stack_functions import StackFunctions

WHO = {"fleet": "orders", "requested_by": "ada, on the command line"}
NOTED = {"note": "It is done."}
PEEKED = {"peek": True, "looked_at_count": 0, "messages": [], "note": ""}
RELEASED = {"fleet": "orders", "instance_id": "i-0123456789abcdef0", "state": "released", "note": "It is gone."}


@pytest.mark.parametrize(
    ("arguments", "answer", "request_"),
    [
        (["groups", "mute", "g-1"], NOTED, {"mute": {**WHO, "failure_group": "g-1"}}),
        (["groups", "mute", "g-1", "--undo"], NOTED, {"mute": {**WHO, "failure_group": "g-1", "undo": True}}),
        (["dlq", "peek"], PEEKED, {"peek": WHO}),
        (
            ["dlq", "peek", "--queue", "urgent", "--cause", "KeyError*"],
            PEEKED,
            {"peek": {**WHO, "queue": "urgent", "cause": "KeyError*"}},
        ),
        (["dlq", "quarantine"], NOTED, {"quarantine": WHO}),
        (["dlq", "quarantine", "--queue", "urgent"], NOTED, {"quarantine": {**WHO, "queue": "urgent"}}),
        (["archive", "restore", "orders/k.json"], NOTED, {"restore": {**WHO, "key": "orders/k.json"}}),
        (["release", "i-0123456789abcdef0"], RELEASED, {"release": {**WHO, "instance_id": "i-0123456789abcdef0"}}),
    ],
)
def test_command_asks_the_operator_when_it_acts(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    answer: dict[str, object],
    request_: object,
) -> None:
    """One request each, with who asks; with --json the answer as it is."""
    functions = StackFunctions(answer).stand_in(monkeypatch)
    assert cli.run([*arguments, "--fleet", "orders"]) == 0
    assert functions.asked == [("sluice-operator", request_)]
    assert str(answer["note"]) in capsys.readouterr().out
    assert cli.run([*arguments, "--fleet", "orders", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == answer


def test_peek_shows_dead_letters_when_there_are_some(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table, how long each has left, and what looking has cost."""
    seen = {"message_id": "m-1", "cause": "[red]Broken", "left_s": 5_400.0, "sample": "body\u202e"}
    answer = PEEKED | {"looked_at_count": 4, "messages": [seen], "note": "One receive more."}
    StackFunctions(answer).stand_in(monkeypatch)
    assert cli.run(["dlq", "peek", "--fleet", "orders"]) == 0
    shown = capsys.readouterr().out
    for text in ("m-1", "[red]Broken", "1.5", "body\N{REPLACEMENT CHARACTER}", "4 dead letters were read. One receive"):
        assert text in shown


def test_edit_sends_the_files_text_when_it_can_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A body is too long for a command line; its line ends stay as they are."""
    job = {"id": "job-7", "fleet": "orders", "state": "watching", "selected_count": 1, "sent_count": 1}
    job |= {"failed_count": 0, "doubtful_count": 0, "returned_count": 0}
    functions = StackFunctions({"job": job}).stand_in(monkeypatch)
    body = tmp_path / "body.json"
    body.write_bytes(b'{"sku":\r\n"tea-oolong"}')
    command = ["messages", "edit", "m-1", "--fleet", "orders"]

    assert cli.run([*command, "--body", str(body)]) == 0
    assert functions.asked[0][1] == {"edit": {**WHO, "message_id": "m-1", "body": '{"sku":\r\n"tea-oolong"}'}}
    assert "job-7" in capsys.readouterr().out

    body.write_bytes(b"\xff")
    for more, says in (
        ((), "--body: must be given"),
        (("--body", str(tmp_path / "none")), f"--body: {tmp_path}/none cannot be read: No such file"),
        (("--body", str(tmp_path)), "cannot be read: Is a directory"),
        (("--body", str(body)), "must be UTF-8 text"),
    ):
        assert cli.run([*command, *more]) == 2
        assert says in capsys.readouterr().err
    assert len(functions.asked) == 1
