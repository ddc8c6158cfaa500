"""`sluice redrive`: what the command asks of the deployed function, and what it shows of its answer."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools import redrive

DRY_RUN = {
    "dry_run": True,
    "fleet": "orders",
    "from": "quarantine",
    "selected_count": 3,
    "rate_per_s": 10.0,
    "canary_count": 3,
    "groups": [
        {
            "failure_group": "unknownitem-12ab",
            "cause": "UnknownItem: [red]sku\u202e-<n>",
            "count": 3,
            "first_seen_at": 1_795_510_800.0,
            "last_seen_at": 1_795_510_860.0,
        }
    ],
}
JOB = {
    "id": "job-7",
    "fleet": "orders",
    "state": "running",
    "selected_count": 9,
    "sent_count": 3,
    "failed_count": 0,
    "doubtful_count": 1,
    "returned_count": 0,
    "note": "Message m-1: it may have been sent before.",
}


class Function:
    """A deployed function, as far as the command knows it."""

    def __init__(self, answer: object, **more: str) -> None:
        self.answer = answer
        self.more = more
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.error: Exception | None = None

    def client(self, service: str, **_: object) -> "Function":
        """boto3's client."""
        assert service == "lambda"
        return self

    def invoke(self, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 (AWS's names)
        """Lambda's Invoke."""
        if self.error:
            raise self.error
        self.asked.append((FunctionName, json.loads(Payload)))
        return {"Payload": io.BytesIO(json.dumps(self.answer).encode()), **self.more}


@pytest.fixture(autouse=True)
def caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests, in a wide terminal."""
    monkeypatch.setattr(redrive.getpass, "getuser", lambda: "ada")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("SLUICE_OPERATOR_FUNCTION", raising=False)


def run(monkeypatch: pytest.MonkeyPatch, function: Function, *arguments: str) -> int:
    """Run the command; its exit code."""
    monkeypatch.setattr(redrive.boto3, "client", function.client)
    try:
        redrive.app(["--fleet", "orders", *arguments], exit_on_error=False, result_action="return_value")
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


WHO = {"fleet": "orders", "requested_by": "ada, on the command line"}


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        (["--all"], {"redrive": {**WHO, "all": True, "dry_run": False, "again": False}}),
        (
            ["--group", "g-1", "--dry-run"],
            {"redrive": {**WHO, "failure_group": "g-1", "dry_run": True, "again": False}},
        ),
        (
            ["--message", "m-1", "--rate", "0.5", "--again"],
            {"redrive": {**WHO, "message_id": "m-1", "rate_per_s": 0.5, "dry_run": False, "again": True}},
        ),
        (
            ["--all", "--from-dead-letter-queue"],
            {"redrive": {**WHO, "all": True, "from": "dead-letter-queue", "dry_run": False, "again": False}},
        ),
        (
            ["--message", "m-1", "--message", "m-2", "--to", "invoices"],
            {"redrive": {**WHO, "message_ids": ["m-1", "m-2"], "to": "invoices", "dry_run": False, "again": False}},
        ),
        (
            ["--cause", "KeyError*", "--since", "2026-11-24T14:00:00Z", "--attribute", "shop=Berlin"],
            {
                "redrive": {
                    **WHO, "cause": "KeyError*", "quarantined_from": "2026-11-24T14:00:00Z",
                    "attribute": {"name": "shop", "value": "Berlin"}, "dry_run": False, "again": False,
                }
            },
        ),
        (
            ["--queue", "urgent", "--dry-run"],
            {"redrive": {**WHO, "queue": "urgent", "dry_run": True, "again": False}},
        ),
        (
            ["--all", "--queue", "urgent", "--to", "invoices", "--to-queue", "late"],
            {
                "redrive": {
                    **WHO, "all": True, "queue": "urgent", "to": "invoices", "to_queue": "late", "dry_run": False,
                    "again": False,
                }
            },
        ),
        (["--peek", "--queue", "urgent"], {"peek": {**WHO, "queue": "urgent"}}),
        (["--quarantine", "--queue", "urgent"], {"quarantine": {**WHO, "queue": "urgent"}}),
        (["--stop", "job-7"], {"stop": {**WHO, "job_id": "job-7"}}),
        (["--pause", "job-7"], {"pause": {**WHO, "job_id": "job-7"}}),
        (["--resume", "job-7"], {"resume": {**WHO, "job_id": "job-7"}}),
        (["--mute", "g-1"], {"mute": {**WHO, "failure_group": "g-1"}}),
        (["--restore", "orders/k.json"], {"restore": {**WHO, "key": "orders/k.json"}}),
        (["--quarantine"], {"quarantine": {**WHO}}),
        (["--peek"], {"peek": {**WHO}}),
    ],
)  # fmt: skip
def test_redrive_asks_the_function_when_a_selection_is_named(
    arguments: list[str], request_: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same requests as everybody's, with who asks."""
    function = Function({"job": JOB})
    assert run(monkeypatch, function, *arguments) == 0
    assert function.asked == [("sluice-operator", request_)]


def test_redrive_asks_the_function_that_is_named_when_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """By option, else by environment."""
    function = Function({"job": JOB})
    monkeypatch.setenv("SLUICE_OPERATOR_FUNCTION", "prod-operator")
    run(monkeypatch, function, "--all")
    run(monkeypatch, function, "--all", "--function", "other-operator")
    assert [name for name, _ in function.asked] == ["prod-operator", "other-operator"]


@pytest.mark.parametrize("arguments", [[], ["--all", "--group", "g-1"], ["--stop", "job-7", "--all"]])
def test_redrive_asks_nothing_when_not_just_one_selection_is_named(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is to be sent must be said, once."""
    function = Function({"job": JOB})
    assert run(monkeypatch, function, *arguments) == 1
    assert function.asked == []
    assert "name one of --all, --group and --message" in capsys.readouterr().err


def test_redrive_shows_the_groups_when_it_is_a_dry_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of what would be sent; causes are shown as text, hidden characters as what they are not."""
    assert run(monkeypatch, Function(DRY_RUN), "--all", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "unknownitem-12ab" in shown
    assert "UnknownItem: [red]sku\N{REPLACEMENT CHARACTER}-<n>" in shown
    assert "2026-11-24" in shown
    assert "3 messages of fleet orders's quarantine would be sent" in shown


def test_redrive_shows_dead_letters_when_it_looks_inside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table, how long each has left, and what looking has cost."""
    seen = {"message_id": "m-1", "cause": "[red]Broken", "left_s": 5_400.0, "sample": "body\u202e"}
    peeked = {"peek": True, "looked_at_count": 4, "messages": [seen], "note": "One receive more."}
    assert run(monkeypatch, Function(peeked), "--peek") == 0
    shown = capsys.readouterr().out
    for text in ("m-1", "[red]Broken", "1.5", "body\N{REPLACEMENT CHARACTER}", "4 dead letters were read. One receive"):
        assert text in shown


def test_redrive_shows_how_far_it_is_when_a_job_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts, the last note, and how to stop it."""
    run(monkeypatch, Function({"job": JOB}), "--all")
    shown = capsys.readouterr().out
    assert "job-7" in shown
    assert "it may have been sent before" in shown
    assert "sluice redrive --fleet orders --stop job-7" in shown


def test_redrive_prints_json_alone_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For other programs: the answer as it is."""
    run(monkeypatch, Function(DRY_RUN), "--all", "--dry-run", "--json")
    assert json.loads(capsys.readouterr().out) == DRY_RUN


@pytest.mark.parametrize(
    ("answer", "more", "error", "problem"),
    [
        ({"error": "fleet: there is no fleet orders; there is none"}, {}, None, "there is no fleet orders"),
        ({"errorMessage": "Task timed out"}, {"FunctionError": "Unhandled"}, None, "failed: Task timed out; its log"),
        ("text", {}, None, "failed: text"),
        (
            None,
            {},
            ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not authorised"}}, "Invoke"),
            "could not be invoked",
        ),
    ],
)
def test_redrive_fails_with_the_reason_when_it_is_not_done(
    *,
    answer: object,
    more: dict[str, str],
    error: Exception | None,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A refusal, a failed function and a missing permission all end with 1 and a sentence."""
    function = Function(answer, **more)
    function.error = error
    assert run(monkeypatch, function, "--all") == 1
    assert problem in capsys.readouterr().err


def test_edit_sends_the_file_s_text_when_it_can_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A body is too long for a command line."""
    function = Function({"job": JOB})
    (tmp_path / "body.json").write_text('{"sku": "tea-oolong"}')
    assert run(monkeypatch, function, "--edit", "m-1", "--body", str(tmp_path / "body.json")) == 0
    assert function.asked[0][1] == {"edit": {**WHO, "message_id": "m-1", "body": '{"sku": "tea-oolong"}'}}
    assert run(monkeypatch, function, "--edit", "m-1") == 1
    assert run(monkeypatch, function, "--edit", "m-1", "--body", str(tmp_path / "none")) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [("done", 0, "done"), ("came-back", 2, "came back"), ("stopped", 2, "stopped")],
)
def test_watch_ends_with_an_exit_code_that_says_whether_the_job_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, code: int, said: str
) -> None:
    """A script that redrives goes on only when nothing came back."""
    assert run(monkeypatch, Function({"job": JOB | {"state": state}}), "--all", "--watch") == code
    assert said in capsys.readouterr().out
    assert run(monkeypatch, Function({"job": JOB | {"state": state}}), "--all") == 0, "only who watches is to know"


def test_job_is_shown_as_sent_and_watched(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In the words of the documents."""
    assert run(monkeypatch, Function({"job": JOB | {"state": "watching"}}), "--all") == 0
    shown = capsys.readouterr().out
    assert "sent, watching" in shown
    assert "It is watched for messages that fail again" in shown


def test_job_that_is_held_says_when_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what an operator may do instead of waiting."""
    job = JOB | {"state": "running", "held_until": 1_795_530_600.0}
    assert run(monkeypatch, Function({"job": job}), "--all") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Held, tried again at 2026-11-24 14:30:00Z" in shown
    assert "sending" not in shown


def test_follow_shows_how_far_a_job_is_until_it_is_over() -> None:
    """It looks, and asks for nothing else."""
    answers = [{"job": JOB | {"sent_count": count, "state": state}} for count, state in ((9, "watching"), (9, "done"))]
    asked: list[Mapping[str, Any]] = []

    def ask(request: Mapping[str, Any]) -> Mapping[str, Any]:
        asked.append(request)
        return answers[len(asked) - 1]

    last = redrive.follow({"job": JOB | {"left_s": 3.0}}, ask, pause_s=0.0)
    assert last["job"]["state"] == "done"
    assert asked == [{"status": {"fleet": "orders", "job_id": "job-7"}}] * 2
