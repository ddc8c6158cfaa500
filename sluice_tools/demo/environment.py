"""The demo's environment: the emulator, both stacks deployed by SAM CLI, the order database and the front end."""

import contextlib
import fcntl
import json
import os
import platform
import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sluice.aws import connect
from sluice.ports.stack import Ports
from sluice_tools.demo.deploying import BY_SAM, ORDERS_STACK, SLUICE_STACK, Way
from sluice_tools.demo.settings import DemoSettings
from sluice_tools.sandbox.installation import ORDERS
from sluice_tools.sandbox.sandbox import Sandbox, SandboxError

FLEET = "orders"
FRONT_END_TIMEOUT_S = 20.0
"""To stop: its own grace for requests under way is 5 s."""


FUNCTIONS = ("PlannerFunction", "DrainerFunction", "RedriverFunction", "OperatorFunction", "ConsoleFunction")
"""Outputs of Sluice's stack."""
LONG_SKU = "carpet-silk"
"""The item of the one long order; not in the catalogue from which the load is made."""


@dataclass(slots=True)
class DemoEnvironment:
    """What is running, and its addresses."""

    sandbox: Sandbox
    settings: DemoSettings
    database_url: str
    work_log: Path
    orders: dict[str, str] = field(default_factory=dict)  # outputs of the orders stack
    sluice: dict[str, str] = field(default_factory=dict)  # outputs of Sluice's stack
    front_end_url: str = ""
    consumer_command: str = ""  # a user's own consumer in the place of the orders'

    @property
    def consumer(self) -> Path:
        """The program that the sandbox starts as a unit."""
        return self.sandbox.directory / "consumer"

    @property
    def consumers(self) -> int:
        """How many consumers an instance runs, each as a unit of its own."""
        return 1 if self.consumer_command else self.settings.consumers

    @property
    def ports(self) -> Ports:
        """Sluice's own ports, as whoever runs the demo."""
        return connect(
            self.sandbox.env()
            | {
                "SLUICE_STACK": SLUICE_STACK,
                "SLUICE_TABLE": self.sluice["LedgerTable"],
                "SLUICE_BUCKET": self.sluice["ArchiveBucket"],
                "SLUICE_FLEETS_PATH": f"/sluice/{SLUICE_STACK}/fleets/",
            }
        )

    def admin(self, *arguments: str) -> subprocess.Popen[str]:
        """Run one of the order database's admin commands."""
        return subprocess.Popen(
            [sys.executable, "-m", "orders.admin", *arguments],
            env=self.orders_env(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run_admin(self, *arguments: str) -> None:
        """Run one of the order database's admin commands to its end.

        Raises:
            SandboxError: It failed; the message is its own.
        """
        with self.admin(*arguments) as process:
            try:
                _, error = process.communicate()
            except BaseException:  # whatever ends this call ends the command as well
                process.kill()
                raise
        if process.returncode != 0:
            raise SandboxError(f"orders.admin {arguments[0]}: {error.strip()}")

    def orders_env(self) -> dict[str, str]:
        """What the example's programs need: the emulator, the queues, the database."""
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return (
            inherited
            | self.sandbox.env()
            | {
                "PYTHONPATH": str(ORDERS),
                "DATABASE_URL": self.database_url,
                "QUEUE_URL": self.orders.get("QueueUrl", ""),
                "DEAD_LETTER_QUEUE_URL": self.orders.get("DeadLetterQueueUrl", ""),
                "PORT": "0",
            }
        )

    def terminate(self, instance_id: str) -> None:
        """End an instance as an operator would, by Auto Scaling; its group launches another in its place."""
        self.sandbox.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=instance_id, ShouldDecrementDesiredCapacity=False
        )

    @contextlib.contextmanager
    def without_drainer(self) -> Iterator[None]:
        """Keep Lambda from running the drainer: no execution may be reserved for it."""
        client = self.sandbox.client("lambda")
        name = self.sluice["DrainerFunction"]
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        try:
            yield
        finally:
            client.delete_function_concurrency(FunctionName=name)

    def worked_by(self, order_id: str) -> str | None:
        """The instance that stored an order; None while it is not stored."""
        rows = self._select("SELECT worked_by FROM orders WHERE order_id = ?", order_id)
        return str(rows[0][0]) if rows else None

    def is_stored(self, order_id: str) -> bool:
        """Whether the database has an order."""
        return bool(self._select("SELECT 1 FROM orders WHERE order_id = ?", order_id))

    def stored_ids(self) -> set[str]:
        """Ids of every order that the database has."""
        return {row[0] for row in self._select("SELECT order_id FROM orders")}

    def charged_twice(self) -> int:
        """Orders with more than one payment."""
        return len(self._select("SELECT order_id FROM payments GROUP BY order_id HAVING count(*) > 1"))

    def _select(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        # The audit asks the database itself, not the application that it audits.
        path = self.database_url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            return connection.execute(sql, values).fetchall()

    def widget(self) -> str:
        """The dashboard widget's HTML, as CloudWatch would ask for it."""
        now_ms = int(time.time() * 1000)
        context = {
            "dashboardName": SLUICE_STACK,
            "widgetId": "widget-1",
            "locale": "en",
            "timezone": {"label": "UTC", "offsetISO": "+00:00", "offsetInMinutes": 0},
            "period": 60,
            "isAutoPeriod": True,
            "timeRange": {"mode": "relative", "start": now_ms - 600_000, "end": now_ms, "relativeStart": 600_000},
            "theme": "light",
            "linkCharts": True,
            "title": "Sluice",
            "forms": {"all": {}},
            "params": {"fleet": FLEET},
            "width": 900,
            "height": 700,
        }
        answer = self.invoke(self.sluice["ConsoleFunction"], {"fleet": FLEET, "widgetContext": context})
        return str(answer)

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Invoke one of Sluice's functions by name or ARN and wait for its answer.

        Raises:
            SandboxError: The function raised.
        """
        answer = self.sandbox.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        payload = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" in answer:
            raise SandboxError(f"{function} raised: {payload}")
        return payload


@contextlib.contextmanager
def running_environment(
    settings: DemoSettings,
    say: Callable[[str], None],
    directory: Path | None = None,
    consumer_command: str = "",
    *,
    way: Way = BY_SAM,
    with_sluice: bool = True,
) -> Iterator[DemoEnvironment]:
    """Start the emulator, build and deploy both stacks, fill the database, start the front end; end all of it after.

    Args:
        settings: the demo's short settings.
        say: is called with a sentence about each step as it begins.
        directory: where logs and state go and stay, emptied first; a temporary folder without it.
        consumer_command: runs on each instance in the place of the orders' consumer, as a unit's ExecStart; there is no
            order page then.
        way: how the stacks are deployed.
        with_sluice: whether Sluice is deployed beside the example.

    Raises:
        SandboxError: another process uses the directory, or something could not be started or deployed.
    """
    with _emptied(directory):
        say("Starting the embedded emulator, which checks IAM permissions")
        with _deployed(settings, say, directory, consumer_command, way=way, with_sluice=with_sluice) as demo:
            yield demo


@contextlib.contextmanager
def _emptied(directory: Path | None) -> Iterator[None]:
    """Empty a folder, and keep other processes from doing so while the block runs.

    Raises:
        SandboxError: another process uses it.
    """
    if directory is None:
        yield
        return
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise SandboxError(
                f"{directory} is in use by process {lock.read()}, which runs the same command: end that one first, by"
                " Ctrl-C in its terminal"
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        shutil.rmtree(directory, ignore_errors=True)  # the audit must not count the database of an earlier run
        yield


@contextlib.contextmanager
def _deployed(
    settings: DemoSettings,
    say: Callable[[str], None],
    directory: Path | None,
    consumer_command: str,
    *,
    way: Way,
    with_sluice: bool,
) -> Iterator[DemoEnvironment]:
    """As `running_environment`, in a folder that is empty."""
    with Sandbox(settings.sandbox(), directory=directory) as sandbox:
        demo = DemoEnvironment(
            sandbox,
            settings,
            database_url=f"sqlite:///{sandbox.directory / 'orders.db'}",
            work_log=sandbox.directory / "work.jsonl",
            consumer_command=consumer_command,
        )
        say(f"Deploying examples/orders {way.words}")
        demo.orders = way.deploy(sandbox, ORDERS_STACK, orders_parameters(demo))
        keep_consumer(demo)
        if with_sluice:
            say(f"Deploying Sluice {way.words}")
            demo.sluice = way.deploy(sandbox, SLUICE_STACK, sluice_parameters(demo))
        demo.run_admin("init")
        if with_sluice:
            say("Invoking each function once, so that later invocations are warm")
            for output in FUNCTIONS:
                demo.invoke(demo.sluice[output], {"warm": "up"})  # an unknown payload: it is dropped
        if consumer_command:
            yield demo
            return
        with _front_end(demo):
            say(f"The order page is at {demo.front_end_url}")
            yield demo


def orders_parameters(demo: DemoEnvironment) -> dict[str, str]:
    """Parameters of examples/orders for this demo."""
    ec2 = demo.sandbox.client("ec2")
    return {
        "SandboxCommand": f"exec {demo.consumer}",
        "SandboxUnits": " ".join(f"orders-consumer@{number}.service" for number in range(1, demo.consumers + 1)),
        "MaxSize": str(demo.settings.max_instances),
        "VisibilityTimeout": str(demo.settings.visibility_s),
        "Subnets": ec2.describe_subnets()["Subnets"][0]["SubnetId"],
        "SecurityGroups": ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"],
    }


def keep_consumer(demo: DemoEnvironment) -> None:
    """Write what the sandbox starts as a unit: the stand-in for user data."""
    settings = demo.settings
    variables = {
        "QUEUE_URL": demo.orders["QueueUrl"],
        "DEAD_LETTER_QUEUE_URL": demo.orders["DeadLetterQueueUrl"],
        "WORK_LOG": str(demo.work_log),
    }
    command = demo.consumer_command
    if not command:
        command = f"{shlex.quote(sys.executable)} -m orders.consumer"
        variables |= {
            "DATABASE_URL": demo.database_url,
            "WORK_S": f"{settings.work_s:g}",
            "WORK_S_BY_SKU": f"{LONG_SKU}={settings.long_work_s:g}",
            "CONCURRENCY": str(settings.concurrency),
            "VISIBILITY_S": str(settings.visibility_s),
            "RECEIVE_WAIT_S": "1",
            "PYTHONPATH": str(ORDERS),
        }
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines += [f"cd {shlex.quote(str(Path.cwd()))}", f"exec {command}"]
    demo.consumer.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    demo.consumer.chmod(0o755)


def sluice_parameters(demo: DemoEnvironment) -> dict[str, str]:
    """Parameters of template.yaml: the four that a user is asked for, and the demo's short settings."""
    settings = demo.settings
    return {
        "QueueUrl": demo.orders["QueueUrl"],
        "DeadLetterQueueUrl": demo.orders["DeadLetterQueueUrl"],
        "GroupName": demo.orders["GroupName"],
        "DrainUnit": demo.orders["DrainUnit"],
        "TargetWaitSeconds": f"{settings.target_wait_s:g}",
        "FleetName": FLEET,
        "Architecture": "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64",
        "TickSeconds": f"{settings.tick_s:g}",
        "Mode": "act",
        "Settings": json.dumps(fleet_settings(settings, hinted=not demo.consumer_command)),
    }


def fleet_settings(settings: DemoSettings, *, hinted: bool = True) -> dict[str, dict[str, Any]]:
    """The fleet's Settings: the demo's short ones; hints of the orders' work only if it is that of the consumer."""
    at_once = settings.concurrency * settings.consumers
    work = {"seconds_per_message": settings.work_s, "concurrency": at_once} if hinted else {}
    return {
        "hints": work | {"lead_time_s": settings.lead_time_s},
        "limits": {"stabilization_window_s": settings.stabilization_window_s},
        "drain": {"deadline_s": 60, "hook_timeout_s": 90, "heartbeat_s": 10},
        "redrive": {
            "max_retries": settings.max_retries,
            "base_delay_s": settings.retry_base_s,
            "canary_count": 2,
            "canary_wait_s": settings.canary_wait_s,
        },
    }


@contextlib.contextmanager
def _front_end(demo: DemoEnvironment) -> Iterator[None]:
    log = (demo.sandbox.directory / "front-end.log").open("ab")
    with (
        log,
        subprocess.Popen(
            [sys.executable, "-m", "orders.web"],
            env=demo.orders_env(),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        try:
            first = process.stdout.readline() if process.stdout else ""
            if not first:
                raise SandboxError(f"the front end did not start: see {log.name}")
            demo.front_end_url = json.loads(first)["url"]
            yield
        finally:
            process.terminate()
            try:
                process.wait(FRONT_END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
