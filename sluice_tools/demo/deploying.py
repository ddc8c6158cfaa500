"""The two ways in which the orders example and Sluice are deployed into the emulator."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import ClientError

from sluice_tools.cfn import Template
from sluice_tools.deploy.build import BuildError, deployment_folder
from sluice_tools.deploy.parameters import ParametersError, for_change_set
from sluice_tools.deploy.stack import Stack, StackError
from sluice_tools.deploy.upload import Bucket, BucketError, upload
from sluice_tools.sandbox.installation import ORDERS
from sluice_tools.sandbox.sandbox import ACCOUNT, REGION, ROOT, Sandbox, SandboxError

ORDERS_STACK, SLUICE_STACK = "orders", "sluice"
LOOK_S = 0.2
"""Between two looks at a stack, which the emulator makes within seconds."""


@dataclass(frozen=True, slots=True)
class Way:
    """One of the ways.

    Attributes:
        words: what does it, behind "Deploying Sluice".
        deploy: creates ORDERS_STACK or SLUICE_STACK with these parameters; its outputs. It raises SandboxError.
    """

    words: str
    deploy: Callable[[Sandbox, str, Mapping[str, str]], dict[str, str]]


def _by_sam(sandbox: Sandbox, stack: str, parameters: Mapping[str, str]) -> dict[str, str]:
    return sandbox.deploy(ROOT if stack == SLUICE_STACK else ORDERS, stack, parameters)


def _by_command(sandbox: Sandbox, stack: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """What `sluice deploy` does, from the same files; the example has no code to build."""
    s3, cloudformation = sandbox.client("s3"), sandbox.client("cloudformation")
    bucket = Bucket(s3=s3, name=f"sluice-deployments-{ACCOUNT}-{REGION}", region=REGION, owner=ACCOUNT)
    made = Stack(cloudformation=cloudformation, name=stack, pause=lambda _: time.sleep(LOOK_S))
    try:
        folder: Path = deployment_folder() if stack == SLUICE_STACK else ORDERS
        values = {name: (value, name) for name, value in parameters.items()}
        chosen = for_change_set(Template.load(folder / "template.yaml"), values, None)
        bucket.make()
        prepared = made.prepare(upload(folder, "template.yaml", bucket), chosen, exists=False)
        if prepared is not None:  # a new stack has changes
            made.carry_out(prepared[0], lambda _: None)
    except (BuildError, BucketError, ClientError, ParametersError, StackError) as error:
        raise SandboxError(f"stack {stack}: {error}") from error
    return sandbox.outputs(stack)


BY_SAM = Way("with sam build and sam deploy", _by_sam)
BY_COMMAND = Way("as `sluice deploy` does", _by_command)
