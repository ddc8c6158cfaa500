"""The documents' lines that need an account, run in their order on the deployed sandbox with its names for theirs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sluice_tools.cfn import Template
from sluice_tools.sandbox.packages import deploy_package
from sluice_tools.sandbox.sandbox import ACCOUNT, REGION, ROOT
from tests.support import aws_commands
from tests.support.deployed_stacks import STACK
from tests.support.pasted import FOLLOWED, account_blocks, elsewhere
from tests.support.pasted_deployment import Clone, clone, with_names

pytestmark = pytest.mark.sandbox

SAM, SLUICE = ".envs/sam/bin/sam ", ".venv/bin/sluice "
QUEUES = "https://sqs.eu-west-1.amazonaws.com/123456789012/"
RULE = "my-scaler-each-minute"


def lines(document: str) -> list[str]:
    """The lines of a document that need an account and are run here, in their order."""
    return [line for block in account_blocks(document) for line in block.lines if not elsewhere(line)]


@pytest.fixture(scope="module")
def names(deployed: Any) -> Iterator[dict[str, str]]:
    """By the documents' names: what the sandbox has in their place."""
    events = deployed.sandbox.client("events")
    events.put_rule(Name=RULE, ScheduleExpression="rate(1 minute)", State="ENABLED")
    deployed.sandbox.client("s3").create_bucket(
        Bucket="your-bucket", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    yield {
        f"{QUEUES}orders": deployed.orders["QueueUrl"],
        f"{QUEUES}orders-dead": deployed.orders["DeadLetterQueueUrl"],
        "orders-workers": deployed.orders["GroupName"],
        "arn:aws:sns:eu-west-1:123456789012": f"arn:aws:sns:{REGION}:{ACCOUNT}",
    }
    events.delete_rule(Name=RULE)


@pytest.fixture(scope="module")
def pasting(deployed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """The folder of who deployed the stack, which is as before when all is done."""
    before = parameters(deployed)
    yield clone(deployed.sandbox, tmp_path_factory.mktemp("clone"))
    if parameters(deployed) != before:
        deploy_package(deployed.sandbox, ROOT / "template.yaml", STACK, before)


def parameters(deployed: Any) -> dict[str, str]:
    """The stack's own, as it has them now."""
    (stack,) = deployed.sandbox.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    assert stack["StackStatus"].endswith("_COMPLETE"), stack
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack["Parameters"]}


def deploy(deployed: Any, pasting: Clone, line: str) -> None:
    """Paste a line of `sam deploy`: its parameters arrive; the others stay, or are those that were answered."""
    answered = dict(deployed.parameters) | {"Mode": "shadow"}
    questions = Template.load(ROOT / "template.yaml").parameters
    guided = "--guided" in line
    # Stack, region, the parameters; changes shown, roles, rollback, save, file, environment: as SAM CLI proposes.
    answers = [STACK, REGION, *(answered.get(name, "") for name in questions), *[""] * 6] if guided else []
    before = parameters(deployed)

    done = pasting.paste(line, [*answers, "y"])

    assert done.returncode == 0 or "is up to date" in done.stdout, f"{line}\n{done.stdout[-4_000:]}"
    after = parameters(deployed)
    given = dict(re.findall(r"(\w+)=(\S+)", " ".join(shlex.split(line)[2:])))
    for name, value in given.items():
        assert after[name] == (value.strip('"').replace('\\"', '"') if name == "Settings" else value), line
    if guided:
        assert {name: after[name] for name in answered} == answered
    elif given:
        assert {name: after[name] for name in before if name not in given} == {
            name: before[name] for name in before if name not in given
        }


@pytest.mark.parametrize("document", [one for one in FOLLOWED if lines(one)])
def test_document_when_it_is_followed(
    document: str, deployed: Any, pasting: Clone, names: Mapping[str, str], run_lines: set[str]
) -> None:
    """Every line works, in the order of the page; what an earlier page has shown of SAM CLI is not run twice."""
    for printed in lines(document):
        line = with_names(printed, names)
        if line.startswith("aws "):
            assert "FunctionError" not in aws_commands.parse(line).run(deployed.sandbox.client), line
        elif line.startswith(SLUICE):
            done = pasting.paste(line)
            done_or_findings = {0} if " deploy " in line or " publish " in line else {0, 1}
            assert done.returncode in done_or_findings, f"{line}\n{done.stdout[-4_000:]}"
        elif line.startswith(f"{SAM}deploy"):
            if line not in run_lines:
                deploy(deployed, pasting, line)
        else:
            assert line.startswith(f"{SAM}package"), line
            done = pasting.paste(line)
            assert done.returncode == 0, f"{line}\n{done.stdout[-4_000:]}"
        run_lines.add(line)


@pytest.fixture(scope="module")
def run_lines() -> set[str]:
    """The lines that were run so far."""
    return set()


def test_group_is_as_before_when_the_guides_were_followed(deployed: Any) -> None:
    """Going back has brought the policies' process back."""
    (group,) = deployed.sandbox.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[deployed.orders["GroupName"]]
    )["AutoScalingGroups"]

    assert group["SuspendedProcesses"] == []


def test_guides_when_they_are_listed() -> None:
    """The first page links every other, and several have lines to follow."""
    guides = ROOT / "docs/guides"
    index = (guides / "README.md").read_text()

    assert {page.name for page in guides.glob("*.md")} == {"README.md", *re.findall(r"\]\(([\w-]+\.md)\)", index)}
    assert sum(bool(lines(document)) for document in FOLLOWED) > 9
