"""`sluice redrive`: what the command asks of the deployed function, and what it shows of its answer."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools import cli
from sluice_tools.commands import redrive
from tests.support.stack_functions import StackFunctions

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


WHO = {"fleet": "orders", "requested_by": "ada, on the command line"}


def refused(code: str) -> ClientError:
    """A refusal of Lambda's."""
    return ClientError({"Error": {"Code": code, "Message": "not authorised"}}, "Invoke")


def run(monkeypatch: pytest.MonkeyPatch, functions: StackFunctions, *arguments: str) -> int:
    """Run a subcommand of `sluice redrive` on fleet orders; its exit code."""
    functions.stand_in(monkeypatch)
    return cli.run(["redrive", *arguments, "--fleet", "orders"])


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        (["start", "--all"], {"redrive": {**WHO, "all": True, "dry_run": False, "again": False}}),
        (
            ["start", "--group", "g-1", "--dry-run"],
            {"redrive": {**WHO, "failure_group": "g-1", "dry_run": True, "again": False}},
        ),
        (
            ["start", "--message", "m-1", "--rate", "0.5", "--again"],
            {"redrive": {**WHO, "message_id": "m-1", "rate_per_s": 0.5, "dry_run": False, "again": True}},
        ),
        (
            ["start", "--all", "--from-dead-letter-queue"],
            {"redrive": {**WHO, "all": True, "from": "dead-letter-queue", "dry_run": False, "again": False}},
        ),
        (
            ["start", "--message", "m-1", "--message", "m-2", "--to", "invoices"],
            {"redrive": {**WHO, "message_ids": ["m-1", "m-2"], "to": "invoices", "dry_run": False, "again": False}},
        ),
        (
            ["start", "--cause", "KeyError*", "--since", "2026-11-24T14:00:00Z", "--attribute", "shop=Berlin"],
            {
                "redrive": {
                    **WHO, "cause": "KeyError*", "quarantined_from": "2026-11-24T14:00:00Z",
                    "attribute": {"name": "shop", "value": "Berlin"}, "dry_run": False, "again": False,
                }
            },
        ),
        (
            ["start", "--queue", "urgent", "--dry-run"],
            {"redrive": {**WHO, "queue": "urgent", "dry_run": True, "again": False}},
        ),
        (
            ["start", "--all", "--queue", "urgent", "--to", "invoices", "--to-queue", "late"],
            {
                "redrive": {
                    **WHO, "all": True, "queue": "urgent", "to": "invoices", "to_queue": "late", "dry_run": False,
                    "again": False,
                }
            },
        ),
        (["stop", "job-7"], {"stop": {**WHO, "job_id": "job-7"}}),
        (["pause", "job-7"], {"pause": {**WHO, "job_id": "job-7"}}),
        (["resume", "job-7"], {"resume": {**WHO, "job_id": "job-7"}}),
    ],
)  # fmt: skip
def test_redrive_asks_the_function_when_a_selection_is_named(
    arguments: list[str], request_: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same requests as everybody's, with who asks."""
    function = StackFunctions(DRY_RUN if "--dry-run" in arguments else {"job": JOB})
    assert run(monkeypatch, function, *arguments) == 0
    assert function.asked == [("sluice-operator", request_)]


def test_redrive_asks_the_stack_that_is_named_when_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Functions are named after their stack."""
    functions = StackFunctions({"job": JOB})
    run(monkeypatch, functions, "start", "--all", "--stack", "prod")
    assert [name for name, _ in functions.asked] == ["prod-operator"]


@pytest.mark.parametrize("arguments", [[], ["--all", "--group", "g-1"], ["--all", "--message", "m-1"]])
def test_redrive_asks_nothing_when_not_just_one_selection_is_named(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is to be sent must be said, once."""
    function = StackFunctions({"job": JOB})
    assert run(monkeypatch, function, "start", *arguments) == 2
    assert function.asked == []
    said = "--all: must be left out with --" if arguments else "--all: must be given, or --group, --message,"
    assert said in capsys.readouterr().err


def test_redrive_shows_the_groups_when_it_is_a_dry_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table of what would be sent; causes are shown as text, hidden characters as what they are not."""
    assert run(monkeypatch, StackFunctions(DRY_RUN), "start", "--all", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "unknownitem-12ab" in shown
    assert "UnknownItem: [red]sku\N{REPLACEMENT CHARACTER}-<n>" in shown
    assert "2026-11-24" in shown
    assert "3 messages of fleet orders's quarantine would be sent" in shown


def test_redrive_says_what_a_move_task_takes_along_when_one_may_follow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The dry run says it before anything is sent."""
    answer = {**DRY_RUN, "from": "dead-letter-queue", "move_task_note": "SQS's own move task may take over."}
    assert run(monkeypatch, StackFunctions(answer), "start", "--all", "--dry-run") == 0
    assert "Nothing was sent. SQS's own move task may take over." in capsys.readouterr().out


def test_redrive_shows_how_far_it_is_when_a_job_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts, the last note, and how to stop it."""
    run(monkeypatch, StackFunctions({"job": JOB}), "start", "--all")
    shown = capsys.readouterr().out
    assert "job-7" in shown
    assert "it may have been sent before" in shown
    assert "  sluice redrive stop job-7 --fleet orders" in shown.splitlines()


def test_redrive_prints_json_alone_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For other programs: the answer, with its times as ISO 8601."""
    run(monkeypatch, StackFunctions(DRY_RUN), "start", "--all", "--dry-run", "--json")
    answer = json.loads(capsys.readouterr().out)
    (group,) = answer["groups"]
    assert (group["first_seen_at"], group["last_seen_at"]) == ("2026-11-24T09:00:00Z", "2026-11-24T09:01:00Z")
    assert {**answer, "groups": None} == {**DRY_RUN, "groups": None}


@pytest.mark.parametrize(
    ("answer", "more", "error", "code", "problem"),
    [
        ({"error": "fleet: there is no fleet orders; there is none"}, {}, None, 1, "there is no fleet orders"),
        (
            {"errorMessage": "Task timed out"},
            {"FunctionError": "Unhandled"},
            None,
            3,
            "failed: Task timed out; its log",
        ),
        ("text", {}, None, 3, "failed: text"),
        (b"{", {}, None, 3, "could not be invoked"),
        (b'{"job": NaN}', {}, None, 3, "which is no number of JSON"),
        (
            {"job": {**JOB, "sent_count": "many"}},
            {},
            None,
            3,
            "version of sluice knows (job.sent_count",
        ),
        (None, {}, refused("AccessDeniedException"), 3, "grant lambda:InvokeFunction on sluice-operator"),
        (None, {}, refused("ResourceNotFoundException"), 3, "--stack names the stack"),
    ],
)
def test_redrive_fails_with_the_reason_when_it_is_not_done(
    *,
    answer: object,
    more: dict[str, str],
    error: Exception | None,
    code: int,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A refusal ends with 1, a failed function and a missing permission with 3, all with a sentence."""
    function = StackFunctions(answer, **more)
    function.error = error
    assert run(monkeypatch, function, "start", "--all") == code
    assert problem in capsys.readouterr().err


@pytest.mark.parametrize(
    ("state", "code", "said"),
    [("done", 0, "done"), ("came-back", 1, "came back"), ("stopped", 1, "stopped")],
)
def test_watch_ends_with_an_exit_code_that_says_whether_the_job_is_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str, code: int, said: str
) -> None:
    """A script that redrives goes on only when nothing came back."""
    assert run(monkeypatch, StackFunctions({"job": JOB | {"state": state}}), "start", "--all", "--watch") == code
    assert said in capsys.readouterr().out
    assert run(monkeypatch, StackFunctions({"job": JOB | {"state": state}}), "start", "--all") == 0, (
        "only who watches is to know"
    )


def test_job_is_shown_as_sent_and_watched(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In the words of the documents."""
    assert run(monkeypatch, StackFunctions({"job": JOB | {"state": "watching"}}), "start", "--all") == 0
    shown = capsys.readouterr().out
    assert "sent, watching" in shown
    assert "It is watched for messages that fail again" in shown


def test_job_that_is_held_says_when_it_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what an operator may do instead of waiting."""
    job = JOB | {"state": "running", "held_until": 1_795_530_600.0}
    assert run(monkeypatch, StackFunctions({"job": job}), "start", "--all") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Held, tried again at 2026-11-24T14:30:00Z" in shown
    assert "sending" not in shown


def test_follow_shows_how_far_a_job_is_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks, and asks for nothing else."""
    answers = [{"job": JOB | {"sent_count": count, "state": state}} for count, state in ((9, "watching"), (9, "done"))]

    def look() -> Mapping[str, Any]:
        return answers.pop(0)

    monkeypatch.setattr(redrive, "WATCH_S", 0.0)
    last = redrive.follow({"job": JOB | {"left_s": 3.0}}, look)
    assert last["job"]["state"] == "done"
    assert answers == []
