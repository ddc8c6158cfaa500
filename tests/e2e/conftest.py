"""Both stacks deployed by the real SAM CLI into an emulator of their own, once for all the tests that need them."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tools.sandbox import sandbox as sandbox_module
from tools.sandbox.emulator.settings import Settings
from tools.sandbox.sandbox import ROOT, Sandbox

SHORT = Settings(
    minute_s=3.0,
    metric_delay_s=0.2,
    boot_s=0.3,
    stop_grace_s=2.0,
    health_period_s=0.5,
    spot_notice_s=2.0,
    command_delivery_s=2.0,
)
STACK, FLEET = "sluice", "orders"


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is running, and how to reach it."""

    sandbox: Sandbox
    orders: Mapping[str, str]  # outputs of examples/orders
    sluice: Mapping[str, str]  # outputs of template.yaml
    parameters: Mapping[str, str]  # template.yaml's

    def invoke(self, function: str, event: Any) -> Any:
        """A function's answer; the test fails if it raised."""
        answer = self.sandbox.client("lambda").invoke(
            FunctionName=f"{STACK}-{function}", Payload=json.dumps(event).encode()
        )
        payload = json.loads(answer["Payload"].read() or b"null")
        assert "FunctionError" not in answer, payload
        return payload


@pytest.fixture(scope="session")
def deployed() -> Iterator[Deployed]:
    """The example and Sluice beside it. Instances are idle processes: what consumes is the test."""
    if problem := sandbox_module.missing():
        pytest.skip(f"DEPLOYMENT TESTS NOT RUN: {problem}")
    with Sandbox(SHORT) as sandbox:
        ec2 = sandbox.client("ec2")
        orders = sandbox.deploy(
            ROOT / "examples/orders",
            "orders",
            {
                "SandboxCommand": "exec sleep 1000",
                "Subnets": ec2.describe_subnets()["Subnets"][0]["SubnetId"],
                "SecurityGroups": ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"],
                "MaxSize": "3",
            },
        )
        parameters = {
            "QueueUrl": orders["QueueUrl"],
            "DeadLetterQueueUrl": orders["DeadLetterQueueUrl"],
            "GroupName": orders["GroupName"],
            "TargetWaitSeconds": "20",
            "FleetName": FLEET,
            "LeadTimeSeconds": "2",
            "ShrinkWindowSeconds": "1",
            "TickSeconds": "1",
            "MaxRedrives": "0",
            "CanaryWaitSeconds": "1",
            "Architecture": "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64",
        }
        yield Deployed(sandbox, orders, sandbox.deploy(ROOT, STACK, parameters), parameters)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Call something until it answers truthfully, and return that answer; fail after ``within_s``."""

    def wait(look: Callable[[], Any], within_s: float = 60.0) -> Any:
        deadline = time.monotonic() + within_s
        while not (answer := look()):
            assert time.monotonic() < deadline, f"not within {within_s} s: last answer {answer!r}"
            time.sleep(0.1)
        return answer

    return wait
