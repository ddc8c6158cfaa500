"""`sluice deploy`: what it prints and asks, and how it ends."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.deploy import command, publish, stack
from sluice_tools.deploy.build import template_file
from tests.support.command_line import run, set_up_caller
from tests.support.fake_cloudformation import FakeCloudFormation

NEEDED = [
    "--set", "QueueUrl=https://sqs.eu-west-1.amazonaws.com/123456789012/orders",
    "--set", "GroupName=workers", "--set", "TargetWaitSeconds=60",
]  # fmt: skip
TEMPLATE = """\
Mappings: { Release: { Sluice: { Version: 0.2.0 } } }
Parameters:
  QueueUrl: { Type: String, Description: The queue. }
  GroupName: { Type: String, Description: The group. }
  TargetWaitSeconds: { Type: Number, Description: The wait. }
Resources: { Planner: { Type: AWS::Lambda::Alias } }
"""


class Terminal(io.StringIO):
    """Standard input at which somebody types."""

    def isatty(self) -> bool:
        """A terminal."""
        return True


class FakeUploads:
    """S3 and STS, which take everything."""

    meta = type("Meta", (), {"region_name": "eu-west-1", "partition": "aws"})

    def __getattr__(self, _: str) -> Any:
        return lambda **_: {"Account": "123456789012"}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCloudFormation:
    """An account without a stack, and the templates of an installation."""
    set_up_caller(monkeypatch, tmp_path)
    for name in ("template.yaml", "fleet.yaml", "queue.yaml"):
        (tmp_path / name).write_text(TEMPLATE)
    there = FakeCloudFormation()
    monkeypatch.setattr(
        AwsOptions, "client", lambda _, service: there if service == "cloudformation" else FakeUploads()
    )
    monkeypatch.setattr(command, "deployment_folder", lambda: tmp_path)
    monkeypatch.setattr(command, "template_file", lambda name: tmp_path / name)
    monkeypatch.setattr(stack, "LOOK_S", 0.0)
    return there


def test_stack_is_made_when_agreed_at_a_terminal(
    fake: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The changes are shown before the question, events while it is made, outputs at the end."""
    fake.steps = [("Planner", "CREATE_COMPLETE", "")]
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))

    assert run("deploy", *NEEDED) == 0

    said = capsys.readouterr().out
    parts = [
        "Stack sluice is new: Sluice 0.2.0. 1 resource added.", "Make these changes? [y/N]",
        "Planner (AWS::Lambda::Function) is made.", "Stack sluice is deployed.", "Version",
    ]  # fmt: skip
    assert [said.find(part) for part in parts] == sorted(said.find(part) for part in parts)
    assert all(part in said for part in parts)
    assert fake.executed == 1


@pytest.mark.parametrize("answer", ["n\n", "\n", "perhaps\n", ""])
def test_nothing_is_changed_when_not_agreed(
    answer: str, fake: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any answer but yes, and the end of the input; neither the change set nor the empty stack is left."""
    monkeypatch.setattr("sys.stdin", Terminal(answer))

    assert run("deploy", *NEEDED) == 0

    assert "Nothing was changed." in capsys.readouterr().out
    assert (fake.executed, fake.deleted) == (0, ["change set", "stack"])


def test_changes_are_only_shown_when_there_is_no_terminal(
    fake: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code says so, and the message what to give."""
    monkeypatch.setattr("sys.stdin", io.StringIO())

    assert run("deploy", *NEEDED) == 2

    said = capsys.readouterr()
    assert "1 resource added." in said.out
    assert "--yes: must be given where there is no terminal to ask at; nothing was changed" in said.err
    assert (fake.executed, fake.deleted) == (0, ["change set", "stack"])


@pytest.mark.parametrize(("template", "more"), [("fleet", ["--set=GroupName=workers"]), ("queue", [])])
def test_nothing_is_built_when_the_template_names_no_code(
    template: str, more: list[str], fake: FakeCloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A further fleet or queue runs on the stack's functions, and in a checkout a build downloads their libraries."""
    monkeypatch.setattr(command, "deployment_folder", lambda: pytest.fail("the code was built"))
    monkeypatch.setattr(command, "template_file", template_file)
    queue = "--set=QueueUrl=https://sqs.eu-west-1.amazonaws.com/123456789012/urgent"
    needed = (queue, "--set=FleetName=orders", "--set=TargetWaitSeconds=60", *more)

    assert run("deploy", "--template", template, "--stack", "sluice-further", *needed, "--dry-run") == 0

    assert len(fake.created) == 1


def test_changes_are_only_shown_when_a_dry_run_is_asked_for(fake: FakeCloudFormation) -> None:
    """Also with --yes."""
    assert run("deploy", *NEEDED, "--dry-run", "--yes") == 0
    assert fake.executed == 0


def test_other_parameters_stay_when_one_is_changed(
    fake: FakeCloudFormation, capsys: pytest.CaptureFixture[str]
) -> None:
    """An update needs no parameter, and says from which version it is."""
    fake.status, fake.end = "CREATE_COMPLETE", "UPDATE_COMPLETE"
    fake.parameters = {"QueueUrl": "q", "GroupName": "g", "TargetWaitSeconds": "60"}

    assert run("deploy", "--yes", "--set", "TargetWaitSeconds=30") == 0

    assert fake.created[0]["Parameters"] == [
        {"ParameterKey": "QueueUrl", "UsePreviousValue": True},
        {"ParameterKey": "GroupName", "UsePreviousValue": True},
        {"ParameterKey": "TargetWaitSeconds", "ParameterValue": "30"},
    ]
    assert "Stack sluice is updated from Sluice 0.1.0 to 0.2.0." in capsys.readouterr().out


def test_version_is_said_to_go_back_when_an_older_one_is_deployed(
    fake: FakeCloudFormation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As whoever agrees must see."""
    for name in ("template.yaml", "fleet.yaml", "queue.yaml"):
        (tmp_path / name).write_text(TEMPLATE.replace("0.2.0", "0.0.19"))
    fake.status, fake.parameters = "CREATE_COMPLETE", {"QueueUrl": "q", "GroupName": "g", "TargetWaitSeconds": "60"}

    assert run("deploy", "--dry-run") == 0

    assert "Stack sluice goes back from Sluice 0.1.0 to 0.0.19." in capsys.readouterr().out


def test_data_that_goes_is_pointed_out_when_shown(fake: FakeCloudFormation, capsys: pytest.CaptureFixture[str]) -> None:
    """Below the table."""
    change = {"Action": "Modify", "Replacement": "True", "LogicalResourceId": "Ledger"}
    fake.changes = [{"ResourceChange": change | {"ResourceType": "AWS::DynamoDB::Table"}}]
    fake.status, fake.parameters = "CREATE_COMPLETE", {"QueueUrl": "q", "GroupName": "g", "TargetWaitSeconds": "60"}

    assert run("deploy", "--dry-run") == 0

    assert "Look at this: Ledger (AWS::DynamoDB::Table) is replaced by an empty one" in capsys.readouterr().out


def test_nothing_is_done_when_nothing_would_change(
    fake: FakeCloudFormation, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is no error."""
    fake.status, fake.parameters = "UPDATE_COMPLETE", {"QueueUrl": "q", "GroupName": "g", "TargetWaitSeconds": "60"}
    fake.refusal = "No updates are to be performed."

    assert run("deploy") == 0
    assert "nothing changes" in capsys.readouterr().out


def test_failure_is_the_exit_code_when_a_deployment_fails(
    fake: FakeCloudFormation, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what failed, and without a traceback."""
    fake.steps, fake.end = [("Checked", "CREATE_FAILED", "1 problem: QueueUrl: no queue")], "ROLLBACK_COMPLETE"

    assert run("deploy", *NEEDED, "--yes") == 1

    said = capsys.readouterr().err
    assert "sluice deploy: Checked (AWS::Lambda::Function) failed: 1 problem: QueueUrl: no queue" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--set QueueUrl=...: must be given. The queue."),
        ([*NEEDED, "--set", "Colour=red"], "--set Colour: is no parameter of the template"),
        ([*NEEDED, "--set", "TargetWaitSeconds=soon"], "--set TargetWaitSeconds: 'soon' is no number"),
        (["--template", "fleet", *NEEDED], "--stack: must be given with --template fleet"),
        (["--parameters", "nowhere.json"], "--parameters: nowhere.json cannot be read"),
    ],
)
def test_option_is_named_when_it_cannot_be_used(
    arguments: list[str], words: str, fake: FakeCloudFormation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is uploaded or asked of CloudFormation."""
    assert run("deploy", *arguments) == 2
    assert words in capsys.readouterr().err
    assert fake.created == []


def test_answer_is_one_document_when_asked_for_json(
    fake: FakeCloudFormation, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without events."""
    assert run("deploy", *NEEDED, "--yes", "--json") == 0

    assert json.loads(capsys.readouterr().out) == {
        "stack": "sluice",
        "changed": True,
        "changes": [{"action": "add", "resource": "Planner", "type": "AWS::Lambda::Function"}],
        "outputs": {"Version": "0.1.0"},
    }


@pytest.mark.usefixtures("fake")
def test_urls_are_printed_when_published(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole, as a table and as JSON; and the link that opens the console with the first of them."""
    monkeypatch.setattr(publish, "deployment_folder", lambda: tmp_path)
    folder = "https://s3.eu-west-1.amazonaws.com/mine/sluice/0.2.0"
    link = (
        "https://eu-west-1.console.aws.amazon.com/cloudformation/home?region=eu-west-1#/stacks/create/review"
        f"?templateURL={folder}/template.yaml&stackName=sluice"
    )

    assert run("publish", "--bucket", "mine") == 0
    printed = capsys.readouterr().out
    assert f"{folder}/queue.yaml" in printed
    assert link in printed
    assert run("publish", "--bucket", "mine", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["templates"]["queue.yaml"] == f"{folder}/queue.yaml"
    assert answer["console"] == link


def test_console_is_the_partitions_when_linked() -> None:
    """GovCloud and China have consoles of their own."""
    assert publish.console_link("us-gov-west-1", "URL").startswith(
        "https://us-gov-west-1.console.amazonaws-us-gov.com/"
    )
    assert publish.console_link("cn-north-1", "URL").startswith("https://cn-north-1.console.amazonaws.cn/")


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--stack", "other"], "--stack: cannot be given"),
        (["--bucket", "s3://mine"], "--bucket: must be a bucket's name"),
        (["--prefix", "/sluice"], "--prefix: must be names of folders"),
        (["--prefix", "a" * 201], "--prefix: must be names of folders"),
    ],
)
def test_publishing_is_refused_when_an_option_cannot_be_used(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is uploaded."""
    bucket = [] if "--bucket" in given else ["--bucket", "mine"]
    assert run("publish", *bucket, *given) == 2
    assert said in capsys.readouterr().err
