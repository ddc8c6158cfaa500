"""`sluice deploy`: creates or updates a stack from this version of Sluice, after showing what would change."""

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError
from cyclopts import Parameter

from sluice_tools.cfn import Template
from sluice_tools.commands.aws_options import DEFAULT_STACK, AwsOptions
from sluice_tools.commands.frame import ExitCode, RefusedError, UnreachableError, UsageError
from sluice_tools.commands.output import say, show_json, show_table
from sluice_tools.deploy.build import BuildError, code_of, deployment_folder, template_file
from sluice_tools.deploy.changes import Change, summary, warnings
from sluice_tools.deploy.parameters import ParametersError, for_change_set, given
from sluice_tools.deploy.stack import Event, Stack, StackError
from sluice_tools.deploy.upload import Bucket, BucketError, upload

FILES = {"main": "template.yaml", "fleet": "fleet.yaml", "queue": "queue.yaml"}
DOMAINS = {"aws-cn": "amazonaws.com.cn"}
"""The domain of a partition where it is another than amazonaws.com."""
# Old buckets in us-east-1 may have capitals, underscores and up to 255 characters:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
BUCKET = re.compile(r"[A-Za-z0-9._-]{3,255}")
UNKNOWN = "0.1"
"""Versions before 0.2.0 have no output that says so."""


def deploy(
    *,
    template: Literal["main", "fleet", "queue"] = "main",
    set_: Annotated[tuple[str, ...], Parameter(name="--set", negative="")] = (),
    parameters: Path | None = None,
    bucket: str | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    yes: Annotated[bool, Parameter(negative="")] = False,
    aws: AwsOptions | None = None,
) -> ExitCode:
    """Create or update a stack by CloudFormation. The changes are shown first, and made once you agree.

    Templates and code are this version's own; no clone and no SAM CLI is needed. In an update, parameters that you do
    not give stay as they are. Where nothing would change, nothing is done, with exit code 0.

    Args:
        template: What to deploy: main is Sluice with its first fleet, fleet is a further fleet, queue is a further
            queue of a fleet. A further fleet or queue has a stack of its own, so --stack must be given.
        set_: A parameter of the template, as Name=value; may be given several times.
        parameters: A JSON file with parameters, such as {"Mode": "act"}. --set wins over it.
        bucket: A bucket of yours for templates and code, in the stack's region. By default it is
            sluice-deployments-ACCOUNT-REGION, which is made where it is missing.
        dry_run: Show the changes, and change nothing.
        yes: Do not ask. Without a terminal this is needed: the changes are shown, nothing is changed, and the exit
            code is 2.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    if template != "main" and aws.stack == DEFAULT_STACK:
        raise UsageError(f"--stack: must be given with --template {template}, as in --stack {DEFAULT_STACK}-invoices")
    with as_command_errors(f"stack {aws.stack}"):
        values = given(set_, parameters)
        source = template_file(FILES[template])
        body = Template.load(source)
        stack = Stack(cloudformation=aws.client("cloudformation"), name=aws.stack)
        before = stack.describe()
        stack.refuse_unless_changeable(before)
        deployed = None if before is None else [one["ParameterKey"] for one in before.get("Parameters", [])]
        chosen = for_change_set(body, values, deployed)
        folder = deployment_folder() if code_of(body) else source.parent  # without code there is nothing to build
        url = upload(folder, source.name, _bucket(aws, bucket))
        prepared = stack.prepare(url, chosen, exists=before is not None)
        if prepared is None:
            return _ended(stack, [], f"Stack {stack.name} has this version and these parameters: nothing changes.", aws)
        change_set, changes = prepared
        agreed = False
        try:
            if not aws.as_json:
                _show(stack.name, changes, None if before is None else _version(before), version_of(body))
            agreed = not dry_run and (yes or _confirmed())
        finally:
            if not agreed:
                stack.discard(change_set, exists=before is not None)
        if not agreed:
            return _ended(None, changes, "Nothing was changed.", aws)
        _carry_out(stack, change_set, quiet=aws.as_json)
        return _ended(stack, changes, f"Stack {stack.name} is deployed.", aws)


@contextmanager
def as_command_errors(subject: str) -> Iterator[None]:
    """Errors of a deployment as those of a command; of AWS's own, `subject` says what they are about."""
    try:
        yield
    except ParametersError as error:
        raise UsageError(*error.problems) from error
    except (BuildError, BucketError) as error:
        raise UnreachableError(str(error)) from error
    except StackError as error:
        raise RefusedError(*error.problems) from error
    except (ClientError, BotoCoreError) as error:
        raise UnreachableError(f"{subject}: {error}") from error


def _bucket(aws: AwsOptions, name: str | None) -> Bucket:
    """The bucket for uploads: the caller's, or this account's own, which is made where it is missing."""
    if name is not None:
        return bucket_named(aws, name)
    account = aws.client("sts").get_caller_identity()["Account"]
    nameless = _bucket_without_name(aws)
    own = replace(nameless, name=f"sluice-deployments-{account}-{nameless.region}", owner=account)
    if own.make() and not aws.as_json:
        say(f"Made the bucket {own.name} for templates and code.")
    return own


def bucket_named(aws: AwsOptions, name: str, prefix: str = "sluice") -> Bucket:
    """A bucket of the caller's.

    Raises:
        UsageError: no bucket can have this name.
    """
    if not BUCKET.fullmatch(name):
        raise UsageError(f"--bucket: must be a bucket's name: letters, digits and .-_ (got {name[:80]!r})")
    return replace(_bucket_without_name(aws), name=name, prefix=prefix)


def _bucket_without_name(aws: AwsOptions) -> Bucket:
    s3 = aws.client("s3")
    domain = DOMAINS.get(s3.meta.partition, "amazonaws.com")
    return Bucket(s3=s3, name="", region=s3.meta.region_name, domain=domain)


def version_of(template: Template) -> str:
    """The version of Sluice that a template is of."""
    return str(template.body["Mappings"]["Release"]["Sluice"]["Version"])


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise UsageError("--yes: must be given where there is no terminal to ask at; nothing was changed")
    try:
        return input("Make these changes? [y/N] ").strip().lower() in {"y", "yes"}
    except EOFError:  # Ctrl-D
        return False


def _carry_out(stack: Stack, change_set: str, *, quiet: bool) -> None:
    try:
        stack.carry_out(change_set, _tell_nobody if quiet else _tell)
    except KeyboardInterrupt:
        events = f"aws cloudformation describe-stack-events --stack-name {stack.name}"
        say(f"CloudFormation goes on without this command. To see how: {events}")
        raise


def _show(name: str, changes: list[Change], version: str | None, to: str) -> None:
    if version is None:
        say(f"Stack {name} is new: Sluice {to}. {summary(changes)}")
    else:
        goes = "goes back" if _parts(to) < _parts(version) else "is updated"
        step = f"stays Sluice {to}" if version == to else f"{goes} from Sluice {version} to {to}"
        say(f"Stack {name} {step}. {summary(changes)}")
    rows = [(one.action, one.logical_id, one.kind, ", ".join(one.properties)) for one in changes]
    show_table(("change", "resource", "type", "what of it"), rows)
    for warning in warnings(changes):
        say(f"Look at this: {warning}")


def _version(described: Mapping[str, Any]) -> str:
    return _outputs(described).get("Version", UNKNOWN)


def _parts(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


def _outputs(described: Mapping[str, Any]) -> dict[str, str]:
    return {one["OutputKey"]: one["OutputValue"] for one in described.get("Outputs", [])}


def _tell(event: Event) -> None:
    say(event.sentence)


def _tell_nobody(_: Event) -> None:
    """With --json the events are left out."""


def _ended(stack: Stack | None, changes: list[Change], sentence: str, aws: AwsOptions) -> ExitCode:
    """Print what the stack is now."""
    described = None if stack is None else stack.describe()
    outputs = {} if described is None else _outputs(described)
    if aws.as_json:
        made = [{"action": one.action, "resource": one.logical_id, "type": one.kind} for one in changes]
        show_json(
            {"stack": aws.stack, "changed": stack is not None and bool(changes), "changes": made, "outputs": outputs}
        )
        return ExitCode.DONE
    say(sentence)
    if outputs and changes:
        show_table(("output", "value"), sorted(outputs.items()))
    return ExitCode.DONE
