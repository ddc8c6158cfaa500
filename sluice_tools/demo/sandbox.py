"""`sluice sandbox`: starts the demo's environment, leaves it running, and prints what to try on it."""

import contextlib
import json
import shlex
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from sluice_tools import docker_relay, local_invoke
from sluice_tools.commands.frame import RefusedError, UsageError
from sluice_tools.demo.deploying import BY_COMMAND, SLUICE_STACK
from sluice_tools.demo.environment import FLEET, DemoEnvironment, running_environment, sluice_parameters
from sluice_tools.demo.settings import DemoSettings
from sluice_tools.interruptions import ending_in_order
from sluice_tools.sandbox.installation import (
    CACHE,
    IS_WHEEL,
    ORDERS,
    InstallationError,
    emulator_python,
    make_emulator_environment,
)
from sluice_tools.sandbox.sandbox import ROOT, SandboxError, missing
from sluice_tools.sandbox.widget_page import make_page, serving

STATE = CACHE / "sandbox" if IS_WHEEL else ROOT / "build/sandbox"
PARAMETERS = STATE / "parameters.json"
"""What `sluice deploy` takes where Sluice is left out."""
SLUICE = "sluice" if IS_WHEEL else ".venv/bin/sluice"
STOPPING = "Stopping: the order page, the consumers, the functions and the emulator end."
STOPPED = "Everything has stopped."
DASHBOARD_VIEW = "?range=900&every=10"
"""What the dashboard's page opens with: 15 minutes, shown anew every 10 s. A sandbox is minutes old, and is watched."""
FAILING_SKU = "teapot-glass"
"""Not in the catalogue, so that an order of it fails until somebody adds it."""
INVOKED = ("planner-schedule-minute", "drainer-sweep", "operator-redrive-dry-run", "console-describe")
"""Payloads of events/, one a function, to show how any of them is used."""


def sandbox(
    *,
    consumer: str | None = None,
    bare: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Run an order page, a queue, a group of consumers and Sluice on an embedded AWS emulator, until Ctrl-C.

    It needs no AWS account. What to open, and what to type in another terminal, is printed once all of it is up.

    Args:
        consumer: A command that each instance runs in place of the example's consumer, as a unit's ExecStart. It finds
            its queue in QUEUE_URL. There is no order page then.
        bare: Leave Sluice out, to deploy it yourself: the lines for that, and a file of parameters, are made for you.
    """
    if consumer is not None and not (consumer.strip() and consumer.isprintable()):
        raise UsageError(f"--consumer: must be one line of printable characters (got {consumer[:80]!r})")
    console = Console()
    try:
        with ending_in_order(STOPPING, STOPPED):
            if not emulator_python().exists():
                console.print("Making the emulator's environment, once: 170 MB of libraries")
                make_emulator_environment()
            _run(console, consumer or "", with_sluice=not bare)
    except (InstallationError, SandboxError, OSError) as error:
        raise RefusedError(str(error)) from error


def _run(console: Console, consumer: str, *, with_sluice: bool) -> None:
    """Set up the environment, serve the widget, and wait for a signal."""
    with (
        running_environment(
            DemoSettings(), console.print, STATE, consumer, way=BY_COMMAND, with_sluice=with_sluice
        ) as demo,
        serving(
            make_page(demo.sandbox.client("lambda"), f"{SLUICE_STACK}-console", params={"fleet": FLEET})
        ) as widget_url,
        local_invokes(demo) as lines,
    ):
        PARAMETERS.write_text(json.dumps(sluice_parameters(demo), indent=2) + "\n")
        console.print(escape(what_to_try(demo, widget_url + DASHBOARD_VIEW, lines)), soft_wrap=True)
        threading.Event().wait()


@contextlib.contextmanager
def local_invokes(demo: DemoEnvironment) -> Iterator[str]:
    """The `sam local invoke` commands, which work as long as the context lasts, or why there are none."""
    if IS_WHEEL or not demo.sluice:
        yield ""
        return
    if problem := missing() or local_invoke.missing():
        yield f"  (not available: {problem})"
        return
    build = demo.sandbox.directory / "sam" / SLUICE_STACK / "build"
    build.parent.mkdir(parents=True, exist_ok=True)
    demo.sandbox.build(ROOT / "template.yaml", build, log=build.parent / "build.log")
    with docker_relay.container_url(demo.sandbox.url) as inside:
        template = local_invoke.write_template(build, SLUICE_STACK, inside, demo.sandbox.client("lambda"))
        # SAM CLI prefers the shell's value of a variable to the template's.
        prefix = f"env -u AWS_ENDPOINT_URL AWS_ENDPOINT_URL_STS={demo.sandbox.url}"
        commands = [local_invoke.command(template, local_invoke.EVENTS / f"{name}.json") for name in INVOKED]
        yield "\n".join(
            f"  {prefix} {' '.join(_short(Path(word)) if '/' in word else shlex.quote(word) for word in command)}"
            for command in commands
        )


def what_to_try(demo: DemoEnvironment, widget_url: str, invoke_lines: str) -> str:
    """What a user can open, and commands to paste."""
    exports = " ".join(f"{name}={value}" for name, value in demo.sandbox.env().items() if name.startswith("AWS_"))
    if demo.consumer_command:
        exports += f" QUEUE_URL={demo.orders['QueueUrl']} DEAD_LETTER_QUEUE_URL={demo.orders['DeadLetterQueueUrl']}"
        opened = f"""Each instance runs      {demo.consumer_command}
                        its output is in {_short(demo.sandbox.directory)}/instances; send to $QUEUE_URL, see below"""
    else:
        opened = f"""The order page          {demo.front_end_url}
                        press "Send load" and watch the fleet scale out"""
    if not demo.sluice:
        widget_url += "\n                        it answers once Sluice is deployed"
    sections = [
        f"{opened}\nThe dashboard's widget  {widget_url}",
        f"In another terminal{'' if IS_WHEEL else ', from this folder'}:",
        "\n".join(f"  {line}" for line in (f"export {exports}", *_commands(demo))),
    ]
    if not demo.consumer_command:
        sections.append(f"""\
To see an order fail, order the item {FAILING_SKU} on the order page. It is not in the catalogue: the order shows as
dead-lettered, is retried {demo.settings.max_retries} times, and is quarantined. These lines add the item and send the
order back:

{how_to_fix(demo)}""")
    if invoke_lines:
        sections.append(f"Each function in a container, with a payload of events/:\n\n{invoke_lines}")
    sections.append(f"Logs and state: {_short(demo.sandbox.directory)}\nCtrl-C stops everything.")
    return "\n" + "\n\n".join(sections)


def _commands(demo: DemoEnvironment) -> Iterator[str]:
    """What to type: Sluice's own commands, and in a checkout SAM CLI's."""
    if not demo.sluice:
        yield f"{SLUICE} deploy --parameters {shlex.quote(_short(PARAMETERS))}"
    yield f"{SLUICE} status"
    yield f"{SLUICE} redrive start --fleet {FLEET} --all --dry-run"
    if demo.sluice and not IS_WHEEL:
        dry_run = f'{{"redrive":{{"fleet":"{FLEET}","all":true,"dry_run":true}}}}'
        planner, operator = (
            f".envs/sam/bin/sam remote invoke {name} --stack-name {SLUICE_STACK}" for name in ("Planner", "Operator")
        )
        yield f"""{planner} --event '{{"fleet":"{FLEET}","dry_run":true}}'"""
        yield f"{operator} --event '{dry_run}'"


def how_to_fix(demo: DemoEnvironment) -> str:
    """The lines that make orders of `FAILING_SKU` succeed, to paste below the exports."""
    env = f"PYTHONPATH={shlex.quote(_short(ORDERS))} DATABASE_URL={shlex.quote(demo.database_url)}"
    python = shlex.quote(sys.executable) if IS_WHEEL else ".venv/bin/python"
    return f"""  {env} {python} -m orders.admin stock {FAILING_SKU} --price-cents 990 --count 100
  {SLUICE} redrive start --fleet {FLEET} --all"""


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if not IS_WHEEL and path.is_relative_to(ROOT) else str(path)
