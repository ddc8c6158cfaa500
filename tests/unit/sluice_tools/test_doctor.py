"""`sluice doctor`: what it asks for, what it prints, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sluice.memory.account import MemoryAccount
from sluice.onboarding.account import ScalingPolicy
from sluice_tools import doctor
from tests.support.account_world import DEAD, GROUP, QUEUE, group, queue, setting, sound
from tests.support.command_line import run, set_up_caller

FLAGS = [
    "doctor", "--queue-url", QUEUE, "--dead-letter-queue-url", DEAD, "--group-name", GROUP,
]  # fmt: skip


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryAccount:
    """An account where all is well, in the place of the caller's; no configuration but what a test gives."""
    there = sound()
    set_up_caller(monkeypatch, tmp_path)
    monkeypatch.setattr(doctor, "AwsAccount", lambda _clients: there)
    return there


def test_all_is_well_when_nothing_is_found(account: MemoryAccount, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, and what it looked at."""
    assert run(*FLAGS) == 0

    out = " ".join(capsys.readouterr().out.split())
    assert out.startswith(
        "Fleet main (mode shadow) has no problems and no warnings."
        " Checked: queue orders; dead-letter queue orders-dead;"
    )
    assert "scaling policies of group workers" in out


def test_finding_is_shown_with_its_command_when_there_is_a_problem(
    account: MemoryAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    """What, why, and a command on a line of its own that is never wrapped."""
    setting("policies", (ScalingPolicy("cpu-50", "TargetTrackingScaling"),))(account)

    assert run(*FLAGS, "--mode", "act") == 1

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("problem: Scaling policy cpu-50 (TargetTrackingScaling) sets the size of group workers.")
    command = "aws --region eu-west-1 autoscaling delete-policy --auto-scaling-group-name workers --policy-name cpu-50"
    assert f"  {command}" in lines
    assert "1 problem, 0 warnings." in lines


@pytest.mark.parametrize(("more", "status"), [((), 0), (("--strict",), 1)])
def test_status_says_doubt_only_when_strict(
    account: MemoryAccount, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], status: int
) -> None:
    """A warning is told; whether it is an error is for the caller to say."""
    queue(DEAD, retention_s=86_400)(account)

    assert run(*FLAGS, *more) == status
    assert "warning: Dead-letter queue orders-dead keeps a message for 1 day" in capsys.readouterr().out


def test_json_has_everything_when_asked_for(account: MemoryAccount, capsys: pytest.CaptureFixture[str]) -> None:
    """One object: findings with code, severity, what, why and remedy, and what was checked and what not."""
    group(max_size=0)(account)
    account.refuses = frozenset({"fleets"})

    assert run(*FLAGS, "--mode", "act", "--json") == 1

    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["stack"], told["fleet"], told["region"], told["mode"]) == ("sluice", "main", "eu-west-1", "act")
    assert [(one["code"], one["severity"]) for one in told["findings"]] == [
        ("group-cannot-scale-out", "problem"),
        ("not-checked", "warning"),
    ]
    assert set(told["findings"][0]) == {"code", "severity", "what", "why", "remedy"}
    assert "Auto Scaling group workers" in told["checked"]
    assert told["not_checked"] == ["fleets of all Sluice stacks in the account and region"]


def test_commands_name_profile_and_region_when_flags_do(
    account: MemoryAccount, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What is pasted asks the same account."""
    (tmp_path / "credentials").write_text("[prod eu]\naws_access_key_id = a\naws_secret_access_key = b\n")
    group(warm_pool=True)(account)

    assert run(*FLAGS, "--profile", "prod eu", "--region", "eu-west-3", "--json") == 0

    remedies = [one["remedy"] for one in json.loads(capsys.readouterr().out)["findings"]]
    assert remedies
    assert all(one.startswith("aws --profile 'prod eu' --region eu-west-3 ") for one in remedies)


USAGE = {
    ("--queue-url", QUEUE): ["--group-name: must be given as well"],
    ("--mode", "act"): ["--queue-url: must be given as well", "--group-name: must be given as well"],
    ("--queue-url", "orders", "--group-name", "a:b"): [
        "--queue-url: must be a queue URL, such as",
        "--group-name: must be an Auto Scaling group's name",
    ],
    ("--queue-url", QUEUE, "--group-name", GROUP, "--dead-letter-queue-url", f"{DEAD}.fifo"): [
        "--dead-letter-queue-url: must be a standard queue, as queue orders is"
    ],
    ("--queue-url", QUEUE, "--group-name", GROUP, "--mode", "on"): ["--mode: must be 'act', 'shadow' or 'paused'"],
    ("--queue-url", QUEUE, "--group-name", GROUP, "--target-wait-seconds", "0"): ["--target-wait-seconds: must be"],
    ("--queue-url", QUEUE, "--group-name", GROUP, "--settings", "{"): ["--settings: must be a JSON object:"],
    ("--queue-url", QUEUE, "--group-name", GROUP, "--settings", "[]"): ["--settings: must be a JSON object (got [])"],
    ("--queue-url", QUEUE, "--group-name", GROUP, "--settings", '{"drain": {"via": 5}}'): ["--settings: drain.via:"],
}


@pytest.mark.parametrize("arguments", USAGE, ids=" ".join)
def test_error_names_the_flag_when_it_is_wrong(
    account: MemoryAccount, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Every fault at once, each by the flag as typed, and exit status 2."""
    assert run("doctor", *arguments) == 2

    lines = capsys.readouterr().err.splitlines()
    for line, said in zip(lines, USAGE[arguments], strict=True):
        assert line.startswith(f"sluice doctor: {said}")


def test_flag_is_named_when_there_is_no_region(
    account: MemoryAccount, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a region nothing can be asked."""
    monkeypatch.delenv("AWS_REGION")

    assert run(*FLAGS) == 2
    assert "--region: must be given" in capsys.readouterr().err


def test_flag_is_named_when_there_are_no_credentials(
    account: MemoryAccount, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor without credentials."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")

    assert run(*FLAGS) == 2
    assert "--profile: no AWS credentials were found" in capsys.readouterr().err


def test_flag_is_named_when_the_profile_does_not_exist(
    account: MemoryAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    """A misspelt profile is an error of one line."""
    assert run(*FLAGS, "--profile", "nobody") == 2
    assert "--profile: The config profile (nobody) could not be found" in capsys.readouterr().err


def test_check_cannot_be_made_when_nothing_may_be_read(
    account: MemoryAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who may read nothing gets no "all is well"."""
    account.refuses = frozenset({"queue", "group", "scaling_policies", "scheduled_actions", "hooks", "fleets"})

    assert run(*FLAGS) == 3
    captured = capsys.readouterr()
    assert "queue orders could not be read: queue: is not allowed" in captured.err
    assert "well" not in captured.out
