"""Makes what the smoke test runs on: a bucket, network and database, examples/orders, and Sluice beside it."""

import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sluice_tools.sam_cli import ROOT, build_template, sam
from sluice_tools.smoke.account import TAG, Account, Names, code_of
from sluice_tools.smoke.settings import SmokeSettings
from sluice_tools.smoke.waiting import Deadline, SmokeError, until

ORDERS = ROOT / "examples/orders"
BASE = ROOT / "sluice_tools/smoke/base.yaml"
FLEET = "orders"
IMAGE = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
ARTIFACT_ARCH = {"arm64": "aarch64", "x86_64": "x86_64"}
ADMIN = "/usr/local/bin/orders-admin"
"""Where base.yaml's user data puts the application's own commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """What instances are. On AWS the defaults; in the sandbox processes, each started by a shell command."""

    architecture: str = "arm64"
    instance_type: str = "t4g.micro"
    database_command: str = ""
    consumer_command: str = ""
    admin: str = ADMIN
    # Called with the orders stack's outputs before the first consumer is launched.
    prepare: Callable[[Mapping[str, str]], None] = lambda _: None


@dataclass(slots=True)
class Deployment:
    """What was made so far."""

    account: Account
    names: Names
    settings: SmokeSettings
    machines: Machines
    deadline: Deadline
    directory: Path  # for logs and builds
    base: dict[str, str] = field(default_factory=dict)  # the stacks' outputs
    orders: dict[str, str] = field(default_factory=dict)
    sluice: dict[str, str] = field(default_factory=dict)

    # --- before anything is made ---

    def in_use(self) -> list[str]:
        """Which of the names are somebody's already."""
        cloudformation, ssm, s3 = map(self.account.client, ("cloudformation", "ssm", "s3"))
        found = []
        for name in self.names.stacks:
            try:
                stacks = cloudformation.describe_stacks(StackName=name)["Stacks"]
            except ClientError as error:
                if code_of(error) != "ValidationError":
                    raise
                stacks = []
            found += [f"stack {name}" for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"]
        try:
            ssm.get_parameter(Name=self.names.database_parameter)
            found.append(f"parameter {self.names.database_parameter}")
        except ssm.exceptions.ParameterNotFound:
            pass
        try:
            s3.head_bucket(Bucket=self.names.bucket)
            found.append(f"bucket {self.names.bucket}")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                found.append(f"bucket {self.names.bucket}")
        return found

    # --- the steps, in order ---

    def make_bucket(self) -> None:
        """A private bucket for SAM CLI's uploads, the application, the orders that were sent, and work logs."""
        s3 = self.account.client("s3")
        # us-east-1 is the one region that may not be named:
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html
        where: dict[str, Any] = {}
        if self.account.region != "us-east-1":
            where = {"CreateBucketConfiguration": {"LocationConstraint": self.account.region}}
        s3.create_bucket(Bucket=self.names.bucket, **where)
        s3.put_bucket_tagging(Bucket=self.names.bucket, Tagging={"TagSet": self.names.tags})

    def upload_application(self) -> None:
        """Pack examples/orders with its dependencies, and put it where instances find it."""
        arch = ARTIFACT_ARCH[self.machines.architecture]
        done = subprocess.run(
            ["make", "--no-print-directory", "-C", ORDERS, "artifact", f"ARCH={arch}"],
            capture_output=True,
            text=True,
            timeout=self.settings.stack_patience_s,
            check=False,
        )
        if done.returncode != 0:
            raise SmokeError(f"make -C examples/orders artifact ARCH={arch}: {done.stderr.strip()[-2_000:]}")
        s3 = self.account.client("s3")
        s3.put_object(
            Bucket=self.names.bucket, Key="orders.zip", Body=(ORDERS / f"build/{arch}/orders.zip").read_bytes()
        )

    def deploy_base(self) -> None:
        """Network and database."""
        self.base = self._deploy(
            BASE,
            self.names.base,
            {
                "InstanceType": self.machines.instance_type,
                "ImageId": IMAGE + self.machines.architecture,
                "ArtifactBucket": self.names.bucket,
                "ArtifactKey": "orders.zip",
                "DatabaseUrlParameter": self.names.database_parameter,
                "Owner": self.names.prefix,
                "SandboxCommand": self.machines.database_command,
            },
            build=False,
        )

    def wait_for_database(self) -> None:
        """Until the database has written where it is: its tables are there then."""
        ssm = self.account.client("ssm")

        def is_written() -> bool:
            try:
                ssm.get_parameter(Name=self.names.database_parameter)
            except ssm.exceptions.ParameterNotFound:
                return False
            return True

        self.until(f"the database to write {self.names.database_parameter}", is_written)

    def deploy_orders(self) -> None:
        """The application, with no consumer yet."""
        self.orders = self._deploy(
            ORDERS / "template.yaml",
            self.names.orders,
            {
                "ArtifactBucket": self.names.bucket,
                "ArtifactKey": "orders.zip",
                "WorkLogBucket": self.names.bucket,
                "DatabaseUrlParameter": self.names.database_parameter,
                "Subnets": self.base["Subnets"],
                "SecurityGroups": self.base["SecurityGroups"],
                "InstanceType": self.machines.instance_type,
                "ImageId": IMAGE + self.machines.architecture,
                "MaxSize": str(self.settings.max_consumers),
                "Concurrency": str(self.settings.concurrency),
                "WorkSeconds": f"{self.settings.work_s:g}",
                "VisibilityTimeout": f"{self.settings.visibility_s:.0f}",
                "SandboxCommand": self.machines.consumer_command,
            },
        )
        self.machines.prepare(self.orders)

    def deploy_sluice(self) -> None:
        """Sluice beside it; from now on it sets the group's size."""
        self.sluice = self._deploy(
            ROOT / "template.yaml", self.names.sluice, sluice_parameters(self.settings, self.machines, self.orders)
        )

    # --- how ---

    def until(self, what: str, condition: Callable[[], bool]) -> float:
        """Wait for something, within the step's patience and the run's deadline; seconds it took."""
        return until(
            what,
            condition,
            patience_s=self.settings.patience_s,
            pause_s=self.settings.look_s,
            deadline=self.deadline,
        )

    def _deploy(
        self, template: Path, stack: str, parameters: Mapping[str, str], *, build: bool = True
    ) -> dict[str, str]:
        self.deadline.check(f"stack {stack}")
        work = self.directory / stack
        work.mkdir(parents=True, exist_ok=True)
        overrides = [f"{name}={json.dumps(value)}" for name, value in parameters.items() if value]
        given = ["--parameter-overrides", *overrides]
        if build:
            template = build_template(
                template,
                work / "build",
                environ=self.account.environ,
                log=work / "build.log",
                timeout_s=self._sam_timeout_s(),
            )
        # A bucket of our own: --resolve-s3 would make, or fill, the one that the account's other applications share.
        self._sam(
            "deploy", "--template-file", str(template), "--stack-name", stack, "--region", self.account.region,
            "--s3-bucket", self.names.bucket, "--s3-prefix", f"sam/{stack}",
            "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND",
            "--tags", f"{TAG}={self.names.prefix}",
            "--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar", *given,
            log=work / "deploy.log", cwd=work,
        )  # fmt: skip
        answer = self.account.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in answer.get("Outputs", [])}

    def _sam(self, *arguments: str, log: Path, cwd: Path) -> None:
        sam(*arguments, environ=self.account.environ, log=log, cwd=cwd, timeout_s=self._sam_timeout_s())

    def _sam_timeout_s(self) -> float:
        return max(1.0, min(self.settings.stack_patience_s, self.deadline.left_s))

    # --- commands on the database's instance ---

    def admin(self, *arguments: str) -> str:
        """Run one of the application's own commands beside the database, by Run Command; its output.

        Raises:
            SmokeError: It failed; the message is its own.
        """
        ssm = self.account.client("ssm")
        instance = self._database_instance()
        command = " ".join([self.machines.admin, *arguments])
        sent = ""

        def taken() -> bool:
            nonlocal sent
            try:
                sent = ssm.send_command(
                    InstanceIds=[instance],
                    DocumentName="AWS-RunShellScript",
                    Parameters={"commands": [command], "executionTimeout": ["120"]},
                    TimeoutSeconds=120,
                    Comment=f"{self.names.prefix}: smoke test",
                )["Command"]["CommandId"]
            except ssm.exceptions.InvalidInstanceId:
                return False  # its agent has not registered yet
            return True

        self.until(f"the SSM agent of {instance}", taken)
        answer: dict[str, Any] = {}

        def ended() -> bool:
            nonlocal answer
            try:
                answer = ssm.get_command_invocation(CommandId=sent, InstanceId=instance)
            except ssm.exceptions.InvocationDoesNotExist:
                return False  # for some seconds after it was sent
            return answer["Status"] not in {"Pending", "InProgress", "Delayed", "Cancelling"}

        self.until(f"Run Command of {arguments[0]} on {instance}", ended)
        if answer["Status"] != "Success" and not answer["StandardOutputContent"].strip():
            raise SmokeError(
                f"{command} on {instance}: {answer['Status']}: {answer['StandardErrorContent'].strip()[-2_000:]}"
            )
        return str(answer["StandardOutputContent"])

    def _database_instance(self) -> str:
        group = self.account.client("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[self.base["DatabaseGroup"]]
        )["AutoScalingGroups"][0]
        for instance in group["Instances"]:
            if instance["LifecycleState"] == "InService":
                return str(instance["InstanceId"])
        raise SmokeError(f"no instance of {self.base['DatabaseGroup']} is in service: the database is lost")


def sluice_parameters(settings: SmokeSettings, machines: Machines, orders: Mapping[str, str]) -> dict[str, str]:
    """Parameters of template.yaml: what everybody must give, and the smoke test's settings."""
    return {
        "QueueUrl": orders["QueueUrl"],
        "DeadLetterQueueUrl": orders["DeadLetterQueueUrl"],
        "GroupName": orders["GroupName"],
        "TargetWaitSeconds": f"{settings.target_wait_s:g}",
        "Mode": "act",
        "FleetName": FLEET,
        "DrainUnit": orders["DrainUnit"],
        "Architecture": machines.architecture,
        "TickSeconds": f"{settings.tick_s:g}",
        "Settings": json.dumps(fleet_settings(settings)),
    }


def fleet_settings(settings: SmokeSettings) -> dict[str, dict[str, Any]]:
    """The fleet's Settings: the smoke test's durations."""
    return {
        "hints": {
            "seconds_per_message": settings.work_s,
            "concurrency": settings.concurrency,
            "lead_time_s": settings.lead_time_s,
        },
        "limits": {"stabilization_window_s": settings.stabilization_window_s},
        "drain": {"deadline_s": settings.drain_deadline_s},
        "redrive": {
            "max_retries": 1,
            "base_delay_s": settings.retry_base_s,
            "canary_count": 1,
            "canary_wait_s": settings.canary_wait_s,
        },
    }


def make_steps(deployment: Deployment) -> list[tuple[str, Callable[[], None]]]:
    """What is made, in order, each step in words."""
    return [
        (f"bucket {deployment.names.bucket}", deployment.make_bucket),
        ("the orders application, packed and uploaded", deployment.upload_application),
        (f"stack {deployment.names.base}: network and database", deployment.deploy_base),
        ("the database", deployment.wait_for_database),
        (f"stack {deployment.names.orders}: queues and consumers' group", deployment.deploy_orders),
        (f"stack {deployment.names.sluice}: Sluice", deployment.deploy_sluice),
    ]
