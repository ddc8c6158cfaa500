"""`sluice enroll`: what it tags, what it prints, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice.memory.account import MemoryAccount
from sluice_tools import enroll
from tests.support.account_world import DEAD, GROUP, INSTANCES, QUEUE, group, sound
from tests.support.command_line import run, set_up_caller

FLAGS = ["enroll", "--queue-url", QUEUE, "--dead-letter-queue-url", DEAD, "--group-name", GROUP]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MemoryAccount:
    """An account without tags, in the place of the caller's; no configuration but what a test gives."""
    there = sound()
    there.tags = {}
    group(tag=None, tags_instances=False)(there)
    set_up_caller(monkeypatch, tmp_path)
    monkeypatch.setattr(enroll, "AwsAccount", lambda _clients: there)
    monkeypatch.setattr(enroll, "AwsTagWriter", lambda _clients: there)
    return there


def test_fleet_is_tagged_once_when_enrolled_twice(account: MemoryAccount, capsys: pytest.CaptureFixture[str]) -> None:
    """Each resource has a line; the second time it says that nothing is left."""
    assert run(*FLAGS) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Set the tag sluice:stack=sluice on queue orders.",
        "Set the tag sluice:stack=sluice on queue orders-dead.",
        "Set the tag sluice:stack=sluice on group workers.",
        "Set the tag sluice:stack=sluice on 2 instances of group workers.",
    ]
    assert account.tags == dict.fromkeys((QUEUE, DEAD, *INSTANCES), "sluice")

    assert run(*FLAGS) == 0
    assert capsys.readouterr().out == "Everything has the tag sluice:stack=sluice already.\n"


def test_tags_are_gone_when_removed(account: MemoryAccount, capsys: pytest.CaptureFixture[str]) -> None:
    """Those of the stack that is named, and of no other."""
    assert run(*FLAGS, "--stack", "blue") == 0
    assert run(*FLAGS, "--remove") == 0
    assert capsys.readouterr().out.endswith("Nothing has the tag sluice:stack=sluice.\n")
    assert account.groups[GROUP].tag == "blue"

    assert run(*FLAGS, "--stack", "blue", "--remove") == 0
    assert "Removed the tag sluice:stack=blue from 2 instances of group workers." in capsys.readouterr().out
    assert account.tags == {}
    assert account.groups[GROUP].tag is None


def test_nothing_is_tagged_when_a_queue_is_another_stacks(
    account: MemoryAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says whose it is, and how that stack lets go of it."""
    account.tags[DEAD] = "blue"

    assert run(*FLAGS) == 1

    err = capsys.readouterr().err
    assert "sluice enroll: queue orders-dead has the tag sluice:stack=blue" in err
    assert "sluice enroll --remove --stack blue" in err
    assert account.tags == {DEAD: "blue"}


def test_remedy_is_told_when_tagging_is_not_allowed(account: MemoryAccount, capsys: pytest.CaptureFixture[str]) -> None:
    """AWS's answer; the command can be repeated."""
    account.refuses = frozenset({"tag_group"})

    assert run(*FLAGS) == 3

    assert "tag_group: is not allowed" in capsys.readouterr().err
    account.refuses = frozenset()
    assert run(*FLAGS) == 0


def test_fault_names_its_flag_when_the_command_is_wrong(
    account: MemoryAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    """A group that is missing from the command, and one that does not exist."""
    assert run("enroll", "--queue-url", QUEUE) == 2
    assert "--group-name: must be given as well" in capsys.readouterr().err
    account.groups = {}
    assert run(*FLAGS) == 1
    assert "--group-name: there is no Auto Scaling group 'workers'" in capsys.readouterr().err
    assert account.tags == {}
