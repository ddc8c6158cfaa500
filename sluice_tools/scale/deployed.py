"""`make scale`: 200 fleets in the deployed stack on the sandbox, for three minutes.

The real functions run in their own processes, and their chains go over the emulator's SQS. The first fleet is the
stack's own. The others' documents, queues and groups are made directly, as a deployment of fleet.yaml would make
them. A fifth of the fleets get messages. Five have an instance that needs longer to stop than its hook waits, and only
heartbeats keep it. It prints the gap between two ticks of a fleet (by the readings of its queue), whether any fleet
starved, and the gap between two heartbeats.
"""

import json
import platform
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cyclopts import App
from rich.console import Console
from rich.table import Table

from sluice.aws import connect
from sluice.planning.shards import Assignment
from sluice_tools.sandbox.emulator.settings import Settings
from sluice_tools.sandbox.packages import deploy_package
from sluice_tools.sandbox.sandbox import REGION, ROOT, Sandbox, SandboxError
from sluice_tools.scale.simulation import quantile

STACK = "sluice"
FLEETS, BUSY, DRAINED = 200, 40, 5
TICK_S = 10.0
GOAL_TICKS = 1.5
READY_S = 240.0  # until every fleet is in a shard
MEASURED_S = 180.0
HOOK_S, HEARTBEAT_S, STOPS_S = 30, 10, 75  # a hook's timeout, its heartbeats, and how long a consumer takes to stop
LOGS = ROOT / "build/scale"
SETTINGS = Settings(boot_s=1.0, stop_grace_s=120.0, metric_delay_s=5.0, health_period_s=5.0)
WORKER = """\
#!/bin/sh
trap 'sleep {stops_s}; touch {done}/$$; exit 0' TERM
while :; do sleep 1; done
"""

app = App(name="scale", help=__doc__)


@dataclass(frozen=True, slots=True)
class Gaps:
    """What was seen. Times are in seconds."""

    ticks: tuple[float, ...]  # between two ticks of a fleet, sorted
    starved: tuple[str, ...]  # fleets that had no tick in the last minute
    heartbeats: tuple[float, ...]  # between two heartbeats of an instance, sorted
    drained: int  # instances whose consumer ended by itself

    @property
    def problems(self) -> list[str]:
        """What is worse than promised."""
        found = [f"fleet {name} had no tick for a minute" for name in self.starved]
        if quantile(self.ticks, 0.99) > GOAL_TICKS * TICK_S:
            found.append(f"p99 of the gap between two ticks is {quantile(self.ticks, 0.99):.1f} s")
        if quantile(self.heartbeats, 1.0) > HOOK_S:
            found.append(f"a heartbeat came {quantile(self.heartbeats, 1.0):.1f} s after the one before")
        if self.drained < DRAINED:
            found.append(f"{DRAINED - self.drained} of {DRAINED} consumers were ended before they had finished")
        return found


def gaps_of(times: Iterable[float]) -> list[float]:
    """Between neighbours; readings within a second are of one tick."""
    kept: list[float] = []
    for at in sorted(times):
        if not kept or at - kept[-1] >= 1.0:
            kept.append(at)
    return [after - before for before, after in pairwise(kept)]


def seen(calls: Iterable[dict[str, Any]], began: float, ended: float, drained: int) -> Gaps:
    """The gaps, by the calls that the emulator wrote down."""
    ticks: dict[str, list[float]] = {f"scale-{number:03d}": [] for number in range(FLEETS)}
    heartbeats: dict[str, list[float]] = defaultdict(list)
    for call in calls:
        if not began <= call["at"] <= ended:
            continue
        name = call["resource"].rpartition(":")[2].rpartition("/")[2]
        if call["action"] == "sqs:GetQueueAttributes" and f"{STACK}-planner" in call["principal"] and name in ticks:
            ticks[name].append(call["at"])
        elif call["action"] == "autoscaling:RecordLifecycleActionHeartbeat":
            heartbeats[name].append(call["at"])
    return Gaps(
        tuple(sorted(gap for times in ticks.values() for gap in gaps_of(times))),
        tuple(name for name, times in ticks.items() if max(times, default=0.0) < ended - 60.0),
        tuple(sorted(gap for times in heartbeats.values() for gap in gaps_of(times))),
        drained,
    )


class Run:
    """Two hundred fleets in a sandbox."""

    def __init__(self, sandbox: Sandbox, tell: Callable[[str], None]) -> None:
        self._sandbox = sandbox
        self._tell = tell
        self._sqs, self._groups = sandbox.client("sqs"), sandbox.client("autoscaling")
        self._done = sandbox.directory / "done"
        self._done.mkdir()
        self._queues: list[str] = []

    def run(self) -> Gaps:
        """Make it all, wait until every fleet is in a shard, and measure."""
        self._tell(f"making {FLEETS} queues and groups")
        for number in range(FLEETS):
            self._make(number)
        self._tell("deploying the stack")
        outputs = deploy_package(self._sandbox, ROOT / "template.yaml", STACK, self._parameters())
        for number in range(1, FLEETS):
            self._put_document(number)
        self._wait_for_shards(outputs)
        self._tell(f"measuring for {MEASURED_S:.0f} s")
        began = time.time()
        self._measure(began)
        ended = time.time()
        time.sleep(max(0.0, began + 30.0 + STOPS_S + 60.0 - ended))  # the drains end
        return seen(self._sandbox.calls(), began, ended, len(list(self._done.iterdir())))

    def _make(self, number: int) -> None:
        name = _name(number)
        tag = {"sluice:stack": STACK}
        self._queues.append(self._sqs.create_queue(QueueName=name, tags=tag)["QueueUrl"])
        drained = 0 < number <= DRAINED
        tags = tag | ({"sluice:sandbox-command": f"exec {self._worker()}"} if drained else {})
        tags |= {"sluice:sandbox-unit": "consumer.service", "sluice:sandbox-stop-timeout": "120"} if drained else {}
        self._groups.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateId": self._template(), "Version": "$Latest"},
            MinSize=1 if drained else 0,
            MaxSize=2,
            DesiredCapacity=1 if drained else 0,
            AvailabilityZones=[f"{REGION}a"],
            Tags=[{"Key": key, "Value": value, "PropagateAtLaunch": True} for key, value in tags.items()],
        )
        if number:
            self._groups.put_lifecycle_hook(
                AutoScalingGroupName=name,
                LifecycleHookName=f"{STACK}-drain",
                LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
                HeartbeatTimeout=HOOK_S,
                DefaultResult="CONTINUE",
            )

    def _worker(self) -> Path:
        path = self._sandbox.directory / "worker"
        if not path.exists():
            path.write_text(WORKER.format(stops_s=STOPS_S, done=self._done))
            path.chmod(0o755)
        return path

    def _template(self) -> str:
        ec2 = self._sandbox.client("ec2")
        found = ec2.describe_launch_templates()["LaunchTemplates"]
        if found:
            return str(found[0]["LaunchTemplateId"])
        made = ec2.create_launch_template(LaunchTemplateName="scale", LaunchTemplateData={"InstanceType": "t3.micro"})
        return str(made["LaunchTemplate"]["LaunchTemplateId"])

    def _parameters(self) -> dict[str, str]:
        return {
            "QueueUrl": self._queues[0],
            "GroupName": _name(0),
            "FleetName": _name(0),
            "TargetWaitSeconds": "60",
            "Mode": "act",
            "Architecture": "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64",
        }

    def _put_document(self, number: int) -> None:
        name = _name(number)
        document = {
            "name": name,
            "queue": self._queues[number],
            "dead_letter_queue": None,
            "group": name,
            "target_wait_s": 60,
            "mode": "shadow" if 0 < number <= DRAINED else "act",  # the instance is ended below, and not before
            "drain": {"unit": "consumer.service", "hook": f"{STACK}-drain"},
            "settings": {"drain": {"heartbeat_s": HEARTBEAT_S}},
        }
        self._sandbox.client("ssm").put_parameter(
            Name=f"/sluice/{STACK}/fleets/{name}", Value=json.dumps(document), Type="String"
        )

    def _wait_for_shards(self, outputs: dict[str, str]) -> None:
        """Until the minute's schedule has assigned every fleet.

        Raises:
            SandboxError: some are in no shard after READY_S.
        """
        ledger = connect(
            self._sandbox.env()
            | {
                "SLUICE_STACK": STACK,
                "SLUICE_TABLE": outputs["LedgerTable"],
                "SLUICE_BUCKET": outputs["ArchiveBucket"],
                "SLUICE_FLEETS_PATH": f"/sluice/{STACK}/fleets/",
            }
        ).ledger
        deadline = time.monotonic() + READY_S
        while True:
            count = sum(len(Assignment.of(chain).fleets) for chain in ledger.chains.chains("ticks"))
            self._tell(f"{count} of {FLEETS} fleets are in a shard")
            if count >= FLEETS:
                return
            if time.monotonic() > deadline:
                raise SandboxError(f"only {count} of {FLEETS} fleets were in a shard after {READY_S:.0f} s")
            time.sleep(5.0)

    def _measure(self, began: float) -> None:
        drains = list(range(1, DRAINED + 1))
        while time.time() < began + MEASURED_S:
            for number in range(FLEETS - BUSY, FLEETS):
                self._sqs.send_message(QueueUrl=self._queues[number], MessageBody="x")
            if drains and time.time() > began + 30.0:
                for number in drains:
                    self._end_instance(_name(number))
                drains = []
            time.sleep(5.0)

    def _end_instance(self, group: str) -> None:
        (found,) = self._groups.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        self._groups.update_auto_scaling_group(AutoScalingGroupName=group, MinSize=0)
        self._groups.terminate_instance_in_auto_scaling_group(
            InstanceId=found["Instances"][0]["InstanceId"], ShouldDecrementDesiredCapacity=True
        )


def _name(number: int) -> str:
    return f"scale-{number:03d}"


@app.default
def scale() -> None:
    """Run it, print what was seen, and exit with 1 if it is worse than promised."""
    console = Console(stderr=True)
    shutil.rmtree(LOGS, ignore_errors=True)
    with Sandbox(SETTINGS, directory=LOGS) as sandbox:
        found = Run(sandbox, console.print).run()
    table = Table("what", "p50, s", "p99, s", "longest, s", title=f"{FLEETS} fleets", title_justify="left")
    for what, gaps in (
        ("gap between two ticks of a fleet", found.ticks),
        ("gap between two heartbeats", found.heartbeats),
    ):
        table.add_row(what, *(f"{quantile(gaps, share):.1f}" for share in (0.5, 0.99, 1.0)))
    Console().print(table)
    print(f"{len(found.starved)} fleets starved; {found.drained} of {DRAINED} consumers ended by themselves")
    if problems := found.problems:
        sys.exit("\n".join([*problems, f"the functions' log is {LOGS.relative_to(ROOT)}/emulator.log"]))


if __name__ == "__main__":
    app()
