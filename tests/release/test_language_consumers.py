"""The Node, Go and Java consumers of docs/consumers.md, started as units are and stopped by SIGTERM amid their work.

Each runs where its toolchain is, and a test that is skipped says what is missing. Node runs with AWS's SDK from npm,
and Go with Debian's package of it. AWS's SDK for Java is in none of the registries that a build here reaches, so Java
runs with the SDK's jars where SQS_JAVA_CLASSPATH names them. Elsewhere it runs with tests/support/java_sdk, which has
those few classes of the SDK that the program uses.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sluice_tools.sandbox.sandbox import ROOT, Sandbox
from tests.support import short_sandbox

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

LANGUAGES = ROOT / "examples/languages"
NODE_MODULES = ROOT / ".envs/node/node_modules"
GO_SOURCES = Path("/usr/share/gocode")
JAVA_SDK = ROOT / "tests/support/java_sdk"
GO_ENDPOINT = """\
package main

import (
	"os"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Debian's version of the SDK does not read AWS_ENDPOINT_URL.
func init() {
	options = append(options, func(o *sqs.Options) {
		o.EndpointResolver = sqs.EndpointResolverFromURL(os.Getenv("AWS_ENDPOINT_URL"))
	})
}
"""


def node(folder: Path) -> Sequence[str]:
    """How the Node consumer is started."""
    if not shutil.which("node") or not NODE_MODULES.exists():
        pytest.skip("NODE CONSUMER NOT RUN: node or its SDK is missing: run `make setup-languages`")
    shutil.copy(LANGUAGES / "consumer.mjs", folder)
    (folder / "node_modules").symlink_to(NODE_MODULES)
    return ("node", str(folder / "consumer.mjs"))


def go(folder: Path) -> Sequence[str]:
    """How the Go consumer is started, once it is built."""
    if not shutil.which("go") or not (GO_SOURCES / "src/github.com/aws/aws-sdk-go-v2/service/sqs").exists():
        pytest.skip("GO CONSUMER NOT RUN: golang-go or golang-github-aws-aws-sdk-go-v2-dev is not installed")
    shutil.copy(LANGUAGES / "consumer.go", folder)
    (folder / "endpoint.go").write_text(GO_ENDPOINT)
    env = {"GOPATH": str(GO_SOURCES), "GO111MODULE": "off", "GOCACHE": str(ROOT / "build/go")}
    built("go", "build", "-o", "consumer", ".", folder=folder, env=env)
    return (str(folder / "consumer"),)


def java(folder: Path) -> Sequence[str]:
    """How the Java consumer is started, once it is compiled."""
    if not shutil.which("javac"):
        pytest.skip("JAVA CONSUMER NOT RUN: there is no javac")
    sdk = os.environ.get("SQS_JAVA_CLASSPATH")
    sources = [] if sdk else [str(path) for path in JAVA_SDK.rglob("*.java")]
    classpath = f"{folder}:{sdk}" if sdk else str(folder)
    consumer = str(LANGUAGES / "Consumer.java")
    built("javac", "-cp", classpath, "-d", str(folder), consumer, *sources, folder=folder, env={})
    return ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", classpath, "Consumer")


def built(*command: str, folder: Path, env: Mapping[str, str]) -> None:
    """Run a compiler; the test fails with what it printed."""
    done = subprocess.run(command, cwd=folder, env=os.environ | env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]


@dataclass(frozen=True)
class Running:
    """A consumer's process and what it prints."""

    process: subprocess.Popen[bytes]
    output: Path

    def said(self) -> list[str]:
        """The lines it printed."""
        return self.output.read_text().splitlines()


@dataclass(frozen=True)
class Queue:
    """A queue whose messages are hidden for a minute once they are received, far longer than a test."""

    sqs: Any
    url: str
    env: Mapping[str, str]

    def send(self, *bodies: str) -> None:
        """Send messages at once, so that one receive can take them together."""
        entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
        self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)

    def counts(self) -> tuple[int, int]:
        """How many messages are visible, and how many are in flight."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    @contextmanager
    def consumed_by(self, command: Sequence[str], output: Path) -> Iterator[Running]:
        """A consumer of it, which is killed if it still runs at the end."""
        with output.open("wb") as out, subprocess.Popen(
            command, env={"PATH": os.environ["PATH"]} | self.env, stdout=out, stderr=out
        ) as process:  # fmt: skip
            try:
                yield Running(process, output)
            finally:
                process.kill()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """An emulator for this file."""
    yield from short_sandbox.running()


@pytest.fixture
def queue(sandbox: Sandbox) -> Queue:
    """An empty queue."""
    sqs, name = sandbox.client("sqs"), f"languages-{uuid.uuid4()}"
    url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "60"})["QueueUrl"]
    return Queue(sqs, url, sandbox.env() | {"QUEUE_URL": url})


@pytest.mark.parametrize("start", [node, go, java])
def test_consumer_finishes_its_message_and_returns_the_others_when_asked_to_stop(
    start: Callable[[Path], Sequence[str]], queue: Queue, tmp_path: Path, eventually: Callable[..., Any]
) -> None:
    """A failed message stays in flight, the one in work is finished and deleted, and the rest is visible at once."""
    command = start(tmp_path)
    queue.send("poison")

    with queue.consumed_by(command, tmp_path / "output") as consumer:
        eventually(lambda: "begun poison" in consumer.said())
        queue.send("1.5", "1.6", "1.7")
        working = eventually(lambda: [line for line in consumer.said() if line.startswith("begun 1")])
        assert queue.counts() == (0, 4), "one receive took them all"
        consumer.process.send_signal(signal.SIGTERM)
        code = consumer.process.wait(20)

    lines = consumer.said()
    assert code in {0, 143}, lines
    assert [line for line in lines if line.startswith("done")] == [working[0].replace("begun", "done")]
    assert len([line for line in lines if "poison" in line]) > 1, "it says why a message failed"
    assert queue.counts()[0] >= 2, lines
    assert sum(queue.counts()) == 3, "one is deleted"
