"""Settings as SAM CLI brings them: what cannot work fails the stack, what is long is kept, and prod is whole."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sluice.config.fleet import parse
from sluice_tools.cfn import Template
from sluice_tools.sandbox.packages import delete_stack, deploy_package
from sluice_tools.sandbox.sandbox import REGION, ROOT, SandboxError
from sluice_tools.settings_docs import COMMAND_LINE, PAGE_PATH, PARAMETERS_FILE
from tests.support.deployed_stacks import sam_deploy

pytestmark = pytest.mark.sandbox

BAD = {"drain": {"hook_timeout_s": 60, "heartbeat_s": 45}, "limits": {"max_step": 0}}
TOLD = (
    "settings.drain.heartbeat_s: must be at most 30 s, half of hook_timeout_s",
    "lower heartbeat_s or raise hook_timeout_s",
    "settings.limits.max_step: must be greater than or equal to 1 (got 0)",
)
FILE_ARGUMENT = "file://parameters.yaml"
CAUSES = [f"{number:02d}{'x' * 89}" for number in range(20)]  # the two lists at all that they may take together


def reasons(deployed: Any, stack: str) -> str:
    """What a stack's events say of Checked, without the line breaks of a console."""
    events = deployed.sandbox.client("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    return " ".join(one.get("ResourceStatusReason", "") for one in events if one["LogicalResourceId"] == "Checked")


def policies(deployed: Any) -> list[str]:
    """The planner's inline policies."""
    names = deployed.sandbox.client("iam").list_role_policies(RoleName=f"sluice-planner-{REGION}")["PolicyNames"]
    return sorted(names)


def new_fleet(deployed: Any, name: str) -> dict[str, str]:
    """Parameters of fleet.yaml for a further fleet, with a queue and a group of its own."""
    sandbox = deployed.sandbox
    autoscaling = sandbox.client("autoscaling")
    (first,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[deployed.orders["GroupName"]])[
        "AutoScalingGroups"
    ]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=f"{name}-workers",
        MinSize=0,
        MaxSize=0,
        LaunchTemplate={key: first["LaunchTemplate"][key] for key in ("LaunchTemplateId", "Version")},
        AvailabilityZones=["eu-central-1a"],
    )
    queue = sandbox.client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return {"QueueUrl": queue, "GroupName": f"{name}-workers", "TargetWaitSeconds": "300", "FleetName": name}


def test_update_is_rolled_back_and_says_why_when_settings_cannot_work(deployed: Any) -> None:
    """Of the first fleet: `sam deploy` prints every problem with its remedy, and the fleet goes on as it was."""
    ssm = deployed.sandbox.client("ssm")
    before = ssm.get_parameter(Name=deployed.sluice["FleetDocument"])["Parameter"]["Value"]

    with pytest.raises(SandboxError) as error:
        deployed.sandbox.deploy(ROOT, "sluice", {**deployed.parameters, "Settings": json.dumps(BAD)})

    assert "Checked" in str(error.value)
    for part in TOLD:
        assert part in reasons(deployed, "sluice")
    (stack,) = deployed.sandbox.client("cloudformation").describe_stacks(StackName="sluice")["Stacks"]
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert ssm.get_parameter(Name=deployed.sluice["FleetDocument"])["Parameter"]["Value"] == before


def test_new_fleet_leaves_nothing_when_settings_cannot_work(deployed: Any) -> None:
    """Of a further fleet: its stack's own events say why, and neither document nor grants remain."""
    before = policies(deployed)

    with pytest.raises(SandboxError, match="ROLLBACK_COMPLETE"):
        deploy_package(
            deployed.sandbox,
            ROOT / "fleet.yaml",
            "sluice-bad",
            new_fleet(deployed, "bad") | {"Settings": json.dumps(BAD)},
        )

    for part in TOLD:
        assert part in reasons(deployed, "sluice-bad")
    assert policies(deployed) == before
    documents = deployed.sandbox.client("ssm").get_parameters_by_path(Path="/sluice/sluice/fleets/")["Parameters"]
    assert "/sluice/sluice/fleets/bad" not in {one["Name"] for one in documents}


def test_fleet_is_refused_when_its_name_is_taken(deployed: Any) -> None:
    """The other stack's fleet keeps its document and its grants, also when the stack that failed is deleted."""
    before = policies(deployed)
    taken = new_fleet(deployed, "twin") | {"FleetName": "orders"}

    with pytest.raises(SandboxError, match="ROLLBACK_COMPLETE"):
        deploy_package(deployed.sandbox, ROOT / "fleet.yaml", "sluice-twin", taken)
    delete_stack(deployed.sandbox, "sluice-twin")

    assert policies(deployed) == before
    document = deployed.sandbox.client("ssm").get_parameter(Name="/sluice/sluice/fleets/orders")["Parameter"]["Value"]
    assert parse("orders", document).queue == deployed.orders["QueueUrl"]


@pytest.fixture
def long_fleet(deployed: Any) -> Iterator[str]:
    """A fleet whose document has more than 4 KB: its name."""
    settings = {
        "limits": {"veto_alarm": "\U0001f600" * 255},
        "redrive": {"mode": "manual", "transient": CAUSES[:10], "permanent": CAUSES[10:]},
    }
    text = json.dumps(settings, ensure_ascii=False, separators=(",", ":"))
    padded = text + " " * (4_096 - len(text.encode()))  # as long as a parameter of CloudFormation may be
    deployed.sandbox.deploy(
        ROOT, "sluice-long", new_fleet(deployed, "long") | {"Settings": padded}, template="fleet.yaml", build=False
    )
    yield "long"
    delete_stack(deployed.sandbox, "sluice-long")


def test_document_of_more_than_four_kilobytes_is_kept_and_read(
    deployed: Any, long_fleet: str, eventually: Callable[..., Any]
) -> None:
    """As an advanced parameter; the planner decides by it."""
    parameter = deployed.sandbox.client("ssm").get_parameter(Name=f"/sluice/sluice/fleets/{long_fleet}")["Parameter"]
    described = deployed.sandbox.client("ssm").describe_parameters(
        ParameterFilters=[{"Key": "Name", "Values": [parameter["Name"]]}]
    )["Parameters"]

    assert len(parameter["Value"].encode()) > 4_096
    assert [one["Tier"] for one in described] == ["Advanced"]
    assert parse("long", parameter["Value"]).redrive.permanent == tuple(CAUSES[10:])
    assert eventually(
        lambda: deployed.sandbox.client("dynamodb").query(
            TableName=deployed.sluice["LedgerTable"],
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": f"fleet#{long_fleet}"}, ":sk": {"S": "decision#"}},
        )["Items"]
    )


def test_prod_is_whole_when_deployed_by_its_configuration(deployed: Any, tmp_path: Path) -> None:
    """As samconfig.toml says: asked once, with prod's own values as defaults; from then on deployed without a question.

    What counts is the change set that arrives.
    """
    config = tmp_path / "samconfig.toml"
    shutil.copy(ROOT / "samconfig.toml", config)
    settings = '{"limits": {"max_step": 3}}'
    answered = {name: deployed.parameters[name] for name in ("QueueUrl", "DeadLetterQueueUrl", "GroupName")}
    answered |= {"TargetWaitSeconds": "60", "Settings": settings}
    template = deployed.sandbox.build_archives(ROOT / "template.yaml", tmp_path / "built", log=tmp_path / "build.log")
    questions = Template.load(ROOT / "template.yaml").parameters
    answers = ["sluice-prod", REGION, *(answered.get(name, "") for name in questions), "", "y", "n", "y", "", ""]

    asked = deploy(deployed, config, template, "--guided", answers=answers)

    kept = tomllib.loads(config.read_text())["prod"]["deploy"]["parameters"]
    assert "LogRetentionDays" in kept["parameter_overrides"], asked
    first = change_set(deployed)
    deploy(deployed, config, template, answers=[])
    for arrived in (first, change_set(deployed)):
        assert {name: arrived[name] for name in answered} == answered
        assert (arrived["LogRetentionDays"], arrived["ArchiveDays"], arrived["Mode"]) == ("365", "90", "shadow")
        assert set(arrived) == set(questions)


@pytest.mark.parametrize("environment", ["staging", "qa"])
def test_change_set_is_made_when_the_environment_is_another(deployed: Any, tmp_path: Path, environment: str) -> None:
    """`staging` as it is, and one whose lines were written as docs/operations.md says: with every capability."""
    config = tmp_path / "samconfig.toml"
    text = (ROOT / "samconfig.toml").read_text()
    lines = [line for part in re.findall(r"^\[staging\.[^\[]+", text, re.MULTILINE) for line in part.splitlines()]
    assert len(lines) > 6
    config.write_text(f"{text}\n" + "\n".join(lines).replace("staging", "qa"))
    answered = {name: deployed.parameters[name] for name in ("QueueUrl", "DeadLetterQueueUrl", "GroupName")}
    answered |= {"TargetWaitSeconds": "60"}
    template = deployed.sandbox.build_archives(ROOT / "template.yaml", tmp_path / "built", log=tmp_path / "build.log")
    questions = Template.load(ROOT / "template.yaml").parameters
    answers = ["", REGION, *(answered.get(name, "") for name in questions), "", "y", "n", "y", "", ""]

    asked = sam_deploy(
        deployed.sandbox, template, "--guided", "--config-env", environment, "--config-file", str(config),
        "--no-execute-changeset", answers=answers, cwd=tmp_path,
    )  # fmt: skip

    stack = f"sluice-{environment}"
    assert "Changeset created successfully" in asked
    arrived = change_set(deployed, stack)
    assert {name: arrived[name] for name in answered} == answered
    kept = tomllib.loads(config.read_text())[environment]["deploy"]["parameters"]
    assert "CAPABILITY_NAMED_IAM" in kept["capabilities"]
    assert "TargetWaitSeconds" in str(kept["parameter_overrides"])


@pytest.mark.parametrize("way", ["a file", "a command line"])
def test_settings_arrive_when_given_as_documented(deployed: Any, tmp_path: Path, way: str) -> None:
    """docs/settings.md's own file and command line, word for word; a change set tells what SAM CLI made of them."""
    config = tmp_path / "samconfig.toml"
    shutil.copy(ROOT / "samconfig.toml", config)
    (tmp_path / "parameters.yaml").write_text(PARAMETERS_FILE)
    template = deployed.sandbox.build_archives(ROOT / "template.yaml", tmp_path / "built", log=tmp_path / "build.log")
    four = {name: deployed.parameters[name] for name in ("QueueUrl", "DeadLetterQueueUrl", "GroupName")}
    more = [f"{name}={value}" for name, value in (four | {"TargetWaitSeconds": "60"}).items()]
    documented = shlex.split(COMMAND_LINE)[2:] if way == "a command line" else ["--parameter-overrides", FILE_ARGUMENT]
    assert all(part in PAGE_PATH.read_text() for part in (PARAMETERS_FILE, COMMAND_LINE, FILE_ARGUMENT))

    deploy(deployed, config, template, *documented, *more, answers=["y"])

    settings = json.loads(change_set(deployed)["Settings"])
    assert settings["limits"] == {"max_step": 4}


def deploy(deployed: Any, config: Path, template: Path, *more: str, answers: list[str]) -> str:
    """`sam deploy --config-env prod` up to its change set; what it printed."""
    options = (
        "--config-env", "prod", "--config-file", str(config), "--stack-name", "sluice-prod", "--region", REGION,
        "--no-execute-changeset", *more,
    )  # fmt: skip
    return sam_deploy(deployed.sandbox, template, *options, answers=answers, cwd=config.parent)


def change_set(deployed: Any, stack: str = "sluice-prod") -> dict[str, str]:
    """The parameters of the newest change set of a stack."""
    cloudformation = deployed.sandbox.client("cloudformation")
    found = cloudformation.list_change_sets(StackName=stack)["Summaries"]
    newest = max(found, key=lambda one: one["CreationTime"])
    described = cloudformation.describe_change_set(ChangeSetName=newest["ChangeSetId"], StackName=stack)
    return {one["ParameterKey"]: one["ParameterValue"] for one in described["Parameters"]}
