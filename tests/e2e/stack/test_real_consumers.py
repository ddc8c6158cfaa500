"""Celery and dramatiq as the consumers of deployed fleets: a burst, the end of every instance amid long tasks, poison.

Their commands are those that docs/consumers.md prints, their programs examples/workers, and their permissions those of
examples/orders. A task of 2.5 s under a visibility timeout of 8 s stands for one of 15 s under 48 s. Each run prints a
row of the page's table (`pytest -rP`).
"""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from sluice.model.draining import Drain, DrainOutcome
from sluice.ports.stack import Ports
from sluice_tools.sandbox.packages import delete_stack, deploy_package
from sluice_tools.sandbox.sandbox import ROOT
from tests.support.consumers_page import consumer_commands

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

BURST, BURST_TASK_S = 40, 0.2
LONG, LONG_TASK_S = 16, 2.5
POISON = -1
LIBRARIES = tuple(consumer_commands())
SETTINGS = {
    "hints": {"lead_time_s": 3, "seconds_per_message": 1, "concurrency": 2},
    "limits": {"stabilization_window_s": 1},
    "redrive": {"max_retries": 1, "base_delay_s": 1},
}


@dataclass
class Workers:
    """One library's fleet, and what its tasks noted."""

    deployed: Any
    library: str
    folder: Path
    outputs: Mapping[str, str] = field(default_factory=dict)  # of examples/orders in a stack of its own
    sent_at: dict[int, float] = field(default_factory=dict)  # by task, epoch seconds

    @cached_property
    def ports(self) -> Ports:
        """The stack's records, as root reads them."""
        ports: Ports = self.deployed.ports()
        return ports

    def deploy(self) -> None:
        """Deploy its queues and group, its program as a user data would install it, and its fleet."""
        sandbox = self.deployed.sandbox
        program = self.folder / self.library
        ec2 = sandbox.client("ec2")
        self.outputs = deploy_package(
            sandbox, ROOT / "examples/orders/template.yaml", self.library, {
                "SandboxCommand": f"exec {program}",
                "Subnets": ec2.describe_subnets()["Subnets"][0]["SubnetId"],
                "SecurityGroups": ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"],
                "MaxSize": "2", "VisibilityTimeout": "8", "MaxReceiveCount": "2",
            },
        )  # fmt: skip
        variables = {"QUEUE_URL": self.outputs["QueueUrl"], "WORK_LOG": str(self.log)}
        exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
        program.write_text(
            "\n".join(["#!/bin/sh", *exports, f"cd {ROOT}", f"exec {consumer_commands()[self.library]}"])
        )
        program.chmod(0o755)
        deploy_package(
            sandbox, ROOT / "fleet.yaml", f"sluice-{self.library}", {
                "QueueUrl": self.outputs["QueueUrl"], "DeadLetterQueueUrl": self.outputs["DeadLetterQueueUrl"],
                "GroupName": self.outputs["GroupName"], "DrainUnit": self.outputs["DrainUnit"],
                "TargetWaitSeconds": "20", "FleetName": self.library, "Mode": "act", "Settings": json.dumps(SETTINGS),
            },
        )  # fmt: skip

    @property
    def log(self) -> Path:
        """Where its tasks note their beginnings and ends."""
        return self.folder / f"{self.library}.jsonl"

    def send(self, tasks: Sequence[tuple[int, float]]) -> None:
        """Send tasks, each with the seconds that it takes, by the example's own application."""
        call = {"celery": "delay", "dramatiq": "send"}[self.library]
        script = f"""
            import json, time, {self.library}_tasks as example
            sent_at = {{}}
            for task, seconds in {list(tasks)}:
                example.run.{call}(task, seconds)
                sent_at[task] = time.time()
            print(json.dumps(sent_at))
        """
        done = subprocess.run(
            [ROOT / ".envs/workers/bin/python", "-c", textwrap.dedent(script)],
            cwd=ROOT / "examples/workers",
            env=os.environ | self.deployed.sandbox.env() | {"QUEUE_URL": self.outputs["QueueUrl"]},
            check=True, stdout=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
        self.sent_at |= {int(task): at for task, at in json.loads(done.stdout).items()}

    def noted(self, event: str) -> list[int]:
        """The tasks of which an event was noted, in order, as often as it was."""
        return [line["task"] for line in self.lines() if line["event"] == event]

    def lines(self) -> list[dict[str, Any]]:
        """Every line of its log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def processes_at_long_tasks(self) -> set[int]:
        """Processes that have begun a long task."""
        return {line["pid"] for line in self.lines() if line["event"] == "begun" and line["task"] >= BURST}

    def end_every_instance(self) -> None:
        """End all that is in service, as a scale-in or an instance refresh does; the group replaces them."""
        autoscaling = self.deployed.sandbox.client("autoscaling")
        (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.outputs["GroupName"]])[
            "AutoScalingGroups"
        ]
        for instance in group["Instances"]:
            if instance["LifecycleState"] == "InService":
                autoscaling.terminate_instance_in_auto_scaling_group(
                    InstanceId=instance["InstanceId"], ShouldDecrementDesiredCapacity=False
                )

    def drains(self) -> tuple[Drain, ...]:
        """Every drain of the fleet, those that the planner's own scale-in began among them."""
        return self.ports.ledger.drains.all_of(self.library)

    def row(self) -> dict[str, Any]:
        """Its row of the table; the poison message is not of it."""
        done = Counter(self.noted("done"))
        begun = {line["task"]: line["at"] for line in reversed(self.lines()) if line["event"] == "begun"}
        waits = [at - self.sent_at[task] for task, at in begun.items() if task != POISON]
        return {
            "sent": len(self.sent_at) - 1,
            "completed": len(done),
            "lost": len(set(self.sent_at) - {POISON} - set(done)),
            "twice": sum(count > 1 for count in done.values()),
            "drains": len(self.drains()),
            "median wait": round(statistics.median(waits), 1),
            "longest wait": round(max(waits), 1),
        }


@pytest.fixture(scope="module")
def stories(
    deployed: Any, tmp_path_factory: pytest.TempPathFactory, eventually: Callable[..., Any]
) -> Iterator[Mapping[str, Workers]]:
    """Both libraries' stories, played at the same time and to their ends."""
    folder = tmp_path_factory.mktemp("workers")
    made = {library: Workers(deployed, library, folder) for library in LIBRARIES}
    for workers in made.values():
        workers.deploy()
        # The long tasks come first: short ones teach the planner that one instance is enough for what still waits.
        workers.send(
            [
                *((task, LONG_TASK_S) for task in range(BURST, BURST + LONG)),
                *((task, BURST_TASK_S) for task in range(POISON, BURST)),
            ]
        )
    for workers in made.values():
        # Two processes an instance: both instances work on long tasks.
        eventually(lambda workers=workers: len(workers.processes_at_long_tasks()) > 2)
        workers.end_every_instance()
    for workers in made.values():
        eventually(lambda workers=workers: len(set(workers.noted("done"))) >= BURST + LONG)
    yield made
    for library in made:
        delete_stack(deployed.sandbox, f"sluice-{library}")
        delete_stack(deployed.sandbox, library)


@pytest.mark.parametrize("library", LIBRARIES)
def test_no_task_is_lost_or_done_twice_when_every_instance_is_ended_amid_its_tasks(
    stories: Mapping[str, Workers], library: str, eventually: Callable[..., Any]
) -> None:
    """What the libraries promise of a stop holds for a drain, and each drain says that its consumer finished."""
    workers = stories[library]

    def all_ended() -> tuple[Drain, ...]:
        drains = workers.drains()
        return drains if all(drain.outcome is not None for drain in drains) else ()

    # A stop that does not begin, as on an instance that boots, is asked for again after some 45 s, and then 100 s.
    # Another may begin as soon as these have ended: an instance that is not needed any more.
    drains = eventually(all_ended, within_s=150.0)

    row = workers.row()
    print(f"{library}: {row}")  # noqa: T201 - for docs/consumers.md
    assert (row["completed"], row["lost"], row["twice"]) == (BURST + LONG, 0, 0), workers.lines()
    assert len(drains) >= 2
    ended = {(one.outcome, one.stop.killed) for one in drains}
    assert ended == {(DrainOutcome.COMPLETED, False)}, drains


@pytest.mark.parametrize("library", LIBRARIES)
def test_poison_task_is_retried_and_quarantined_when_a_library_leaves_it_to_sqs(
    stories: Mapping[str, Workers], library: str, eventually: Callable[..., Any]
) -> None:
    """As often as SQS and Sluice's retries allow, and no more; then it is in quarantine."""
    workers = stories[library]

    (entry,) = eventually(lambda: workers.ports.ledger.quarantine.quarantined(library)[0])

    assert entry.attempt == 1
    begun = workers.noted("begun").count(POISON)
    assert 2 <= begun <= 4, "two receives, a retry, two receives; what a process holds as it ends has not begun"
