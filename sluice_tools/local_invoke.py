"""Invokes every function with every payload of events/ in containers (`sam local invoke`), against a running sandbox.

Run `python -m sluice_tools.local_invoke --endpoint http://127.0.0.1:<port>` while `make sandbox` runs. SAM CLI passes a
container only the variables that its template declares, and does not know what was deployed. So this writes a small
template next to the build: the same code and layers, the environment of the deployed functions, and the emulator's URL
as containers reach it.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import boto3
import cyclopts
import yaml  # type: ignore[import-untyped]  # it ships no types
from rich.console import Console

from sluice_tools.cfn import Template
from sluice_tools.docker_relay import container_url
from sluice_tools.sam_cli import SAM
from sluice_tools.sandbox.sandbox import REGION, ROOT, ROOT_KEY

EVENTS = ROOT / "events"
FUNCTIONS = {
    "planner": "Planner",
    "drainer": "Drainer",
    "redriver": "Redriver",
    "operator": "Operator",
    "console": "Console",
    "onboarding": "Onboarding",
}
LAYERS = ("CoreLayer", "DepsLayer")
# The base image that SAM CLI puts the layers on, and the repository it keeps the result in.
IMAGE = "public.ecr.aws/lambda/python:3.13"
BUILT = "samcli/lambda-python"
INVOKE_TIMEOUT_S = 240.0
"""The first invocation builds an image, half a minute on a busy machine; the planner may use its whole 30 s."""
DOCKER_TIMEOUT_S = 30.0
"""Docker answers questions about itself at once, or not at all."""
WORKERS = 2
"""An invocation is half SAM CLI's own start and half the container's: more workers than cores make each slower."""


class LocalInvokeError(RuntimeError):
    """An invocation without an answer; the message ends with SAM CLI's last lines."""


@dataclass(frozen=True, slots=True)
class Result:
    """One invocation."""

    event: str
    answer: Any
    error: str | None  # what the function raised, if it did
    seconds: float


def architecture() -> str:
    """This machine's, as Lambda calls it."""
    return "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"


def missing() -> str | None:
    """What `sam local invoke` needs and this machine does not have; None if it has everything."""
    image = f"{IMAGE}-{architecture()}"
    for arguments, problem in (
        (("info",), "no Docker engine is running"),
        (("image", "inspect", image), f"Docker does not have the image {image}: pull it"),
    ):
        try:
            done = subprocess.run(["docker", *arguments], capture_output=True, timeout=DOCKER_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return problem
        if done.returncode != 0:
            return problem
    return None


def events(only: Sequence[str] = ()) -> tuple[Path, ...]:
    """The payloads, each named <function>-<what>.json; `only` those whose name begins with one of these."""
    return tuple(sorted(path for path in EVENTS.glob("*.json") if not only or path.stem.startswith(tuple(only))))


def write_template(build: Path, stack: str, endpoint: str, lambda_client: Any) -> Path:
    """Write the template for the containers beside a `sam build`; its path.

    Args:
        build: the folder that `sam build` wrote.
        stack: the deployed stack, whose functions' environment is taken.
        endpoint: the emulator's, as containers reach it.
        lambda_client: boto3's, of the emulator.
    """
    built = Template.load(build / "template.yaml")
    resources: dict[str, Any] = {}
    for name in LAYERS:
        properties = built.resources[name]["Properties"]
        kept = {key: properties[key] for key in ("ContentUri", "CompatibleRuntimes")}
        resources[name] = {"Type": "AWS::Serverless::LayerVersion", "Properties": kept}
    for function, name in FUNCTIONS.items():
        deployed = lambda_client.get_function_configuration(FunctionName=f"{stack}-{function}")
        variables = deployed["Environment"]["Variables"] | {"AWS_ENDPOINT_URL": endpoint}
        resources[name] = {
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "FunctionName": deployed["FunctionName"],
                "CodeUri": built.resources[name]["Properties"]["CodeUri"],
                "Handler": deployed["Handler"],
                "Runtime": deployed["Runtime"],
                "Timeout": deployed["Timeout"],
                "MemorySize": deployed["MemorySize"],
                "Architectures": [architecture()],
                "Layers": [{"Ref": layer} for layer in LAYERS],
                "Environment": {"Variables": variables},
            },
        }
    path = build / "local-invoke.yaml"
    document = {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Resources": resources,
    }
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def command(template: Path, event: Path) -> list[str]:
    """The command line of one invocation, on the image that is there."""
    function = FUNCTIONS[event.stem.partition("-")[0]]
    return [
        str(SAM), "local", "invoke", function, "--template", str(template), "--event", str(event), "--skip-pull-image",
    ]  # fmt: skip


def invoke(template: Path, event: Path, env: Mapping[str, str]) -> Result:
    """Invoke a function once with one payload.

    Raises:
        LocalInvokeError: SAM CLI failed, took more than INVOKE_TIMEOUT_S, or printed no answer.
    """
    began = time.monotonic()
    try:
        done = subprocess.run(
            command(template, event),
            cwd=template.parent,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=INVOKE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LocalInvokeError(f"{event.stem}: no answer within {INVOKE_TIMEOUT_S:.0f} s") from error
    return read_result(event.stem, done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def read_result(event: str, code: int, output: str, log: str, seconds: float) -> Result:
    """The result in SAM CLI's output: its last line is the answer, or the function's error in Lambda's form.

    Raises:
        LocalInvokeError: there is no answer in it.
    """
    lines = output.strip().splitlines()
    try:
        answer = json.loads(lines[-1])
    except (IndexError, ValueError) as error:
        tail = "\n".join(log.splitlines()[-20:])
        raise LocalInvokeError(f"{event}: no answer (exit code {code})\n{tail}") from error
    raised = isinstance(answer, dict) and {"errorType", "errorMessage"} <= set(answer)
    return Result(event, answer, f"{answer['errorType']}: {answer['errorMessage']}" if raised else None, seconds)


def invoke_all(template: Path, chosen: Sequence[Path], env: Mapping[str, str]) -> Iterator[Result]:
    """Invoke each payload's function, WORKERS at a time, in the payloads' order.

    The first goes alone: it builds the image that the others start from.
    """
    first, *rest = chosen
    yield invoke(template, first, env)
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(lambda event: invoke(template, event, env), rest)


@contextlib.contextmanager
def old_images_removed() -> Iterator[None]:
    """Remove at the end the images that newer ones replaced: SAM CLI moves its tag and leaves the old images behind."""
    before = _built_images()
    try:
        yield
    finally:
        after = _built_images()
        for tag, image in before.items():
            if after.get(tag) != image:
                subprocess.run(["docker", "rmi", image], capture_output=True, timeout=DOCKER_TIMEOUT_S, check=False)


def _built_images() -> dict[str, str]:
    """Tag -> id of the images that SAM CLI built."""
    listed = subprocess.run(
        ["docker", "images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", BUILT],
        capture_output=True,
        text=True,
        timeout=DOCKER_TIMEOUT_S,
        check=False,
    )
    return dict(line.split() for line in listed.stdout.splitlines())


def sam_env(endpoint: str) -> dict[str, str]:
    """The environment of SAM CLI: the machine's own, with the sandbox for AWS. Credentials go on to the containers.

    What the template declares must not be in it: to SAM CLI a variable of the shell goes before one of the template.
    """
    machine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "SLUICE_", "POWERTOOLS_")) and name not in {"LOG_LEVEL", "TICK_SECONDS"}
    }
    return machine | {
        "AWS_ACCESS_KEY_ID": ROOT_KEY,
        "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL_STS": endpoint,  # SAM CLI asks whose account it is
        "SAM_CLI_TELEMETRY": "0",
    }


app = cyclopts.App(help=__doc__)


@app.default
def main(
    endpoint: str,
    *,
    stack: str = "sluice",
    build: Path = ROOT / ".aws-sam/build",
    only: Annotated[tuple[str, ...], cyclopts.Parameter(consume_multiple=True)] = (),
) -> int:
    """Invoke functions locally with payloads from events/, against a sandbox.

    Args:
        endpoint: the sandbox's URL, such as http://127.0.0.1:4566.
        stack: the deployed stack.
        build: the folder that `sam build` wrote.
        only: only payloads whose names begin with one of these, such as planner or operator-redrive; by default all.

    Returns:
        0 if every function answered without raising.
    """
    console = Console()
    if problem := missing():
        console.print(f"[bold red]LOCAL INVOKES NOT RUN: {problem}")
        return 0
    if not (build / "template.yaml").exists():
        console.print(f"[bold red]{build} has no build: run `sam build`")
        return 2
    env = sam_env(endpoint)
    client = boto3.client(
        "lambda",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=ROOT_KEY,
        aws_secret_access_key=ROOT_KEY,
    )
    failed = 0
    with container_url(endpoint) as inside, old_images_removed():
        template = write_template(build, stack, inside, client)
        for result in invoke_all(template, events(only), env):
            failed += result.error is not None
            console.print(f"{result.event:42} {result.seconds:5.1f} s  {result.error or 'ok'}", highlight=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(app())
