"""The guides' lines that need an account, run in their order on the deployed sandbox with its names in place of theirs.

`sam` lines are not run here, since tests/e2e/test_front_door.py runs SAM CLI: their parameters are checked.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.cfn import Template
from sluice_tools.sandbox.sandbox import ACCOUNT, REGION, ROOT
from tests.support import aws_commands
from tests.support.pasted import SHELL_LANGUAGES, blocks

pytestmark = pytest.mark.sandbox

GUIDES = sorted((ROOT / "docs/guides").glob("*.md"))
MARK = "# needs an AWS account\n"
SAM = ".envs/sam/bin/sam "
SLUICE = ".venv/bin/sluice "
RUN_ELSEWHERE = ("make build",)
"""tests/e2e/test_front_door.py runs it."""
RULE = "my-scaler-each-minute"
TIMEOUT_S = 300.0


def lines(page: Path) -> list[str]:
    """The lines of a guide that need an account, in their order."""
    found = [block for block in blocks(page) if block.language in SHELL_LANGUAGES and block.text.startswith(MARK)]
    return [line for block in found for line in block.lines]


def with_names(line: str, names: Mapping[str, str]) -> str:
    """A line with the sandbox's names, the longest of the guides' names first."""
    for name in sorted(names, key=len, reverse=True):
        line = line.replace(name, names[name])
    return line


@pytest.fixture(scope="module")
def names(deployed: Any) -> Iterator[dict[str, str]]:
    """By the guides' names: what the sandbox has in their place."""
    events = deployed.sandbox.client("events")
    events.put_rule(Name=RULE, ScheduleExpression="rate(1 minute)", State="ENABLED")
    queue = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
    yield {
        queue: deployed.orders["QueueUrl"],
        f"{queue}-dead": deployed.orders["DeadLetterQueueUrl"],
        "orders-workers": deployed.orders["GroupName"],
        "arn:aws:sns:eu-west-1:123456789012": f"arn:aws:sns:{REGION}:{ACCOUNT}",
    }
    events.delete_rule(Name=RULE)


def run_sluice(deployed: Any, line: str) -> None:
    """Run `sluice` in the stack's account: done, or done with findings."""
    done = subprocess.run(
        [sys.executable, "-m", "sluice_tools.cli", *shlex.split(line.removeprefix(SLUICE))],
        cwd=ROOT,
        env=os.environ | deployed.sandbox.env(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode in {0, 1}, f"{line}\n{done.stdout[-2_000:]}\n{done.stderr[-2_000:]}"


def check_sam(line: str) -> None:
    """Each parameter that it gives is one of the template that it deploys, and `Settings` are JSON."""
    words = shlex.split(line)
    template = words[words.index("--template") + 1] if "--template" in words else "template.yaml"
    parameters = Template.load(ROOT / template).parameters
    for name, value in re.findall(r"(\w+)=(\S+)", " ".join(words[2:])):
        assert name in parameters, line
        if name == "Settings":
            json.loads(json.loads(value))
        elif allowed := parameters[name].get("AllowedValues"):
            assert value in map(str, allowed), line
        elif pattern := parameters[name].get("AllowedPattern"):
            assert re.search(pattern, value), line


@pytest.mark.parametrize("page", [page for page in GUIDES if lines(page)], ids=lambda page: page.stem)
def test_guide_when_it_is_followed(page: Path, deployed: Any, names: Mapping[str, str]) -> None:
    """Every line works, in the order of the page."""
    for printed in lines(page):
        line = with_names(printed, names)
        if line.startswith("aws "):
            aws_commands.parse(line).run(deployed.sandbox.client)
        elif line.startswith(SLUICE):
            run_sluice(deployed, line)
        elif line.startswith(SAM):
            check_sam(printed)
        else:
            assert printed in RUN_ELSEWHERE, printed


def test_group_is_as_before_when_the_guides_were_followed(deployed: Any) -> None:
    """Going back has brought the policies' process back."""
    (group,) = deployed.sandbox.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[deployed.orders["GroupName"]]
    )["AutoScalingGroups"]

    assert group["SuspendedProcesses"] == []


def test_guides_when_they_are_listed() -> None:
    """The first page links every other, and several have lines to follow."""
    index = (ROOT / "docs/guides/README.md").read_text()

    assert {page.name for page in GUIDES} == {"README.md", *re.findall(r"\]\(([\w-]+\.md)\)", index)}
    assert sum(bool(lines(page)) for page in GUIDES) > 6
