"""`make sandbox`: starts the demo's environment, leaves it running, and prints what to try on it.

With `--consumer COMMAND` the fleet's instances run that command, which finds its queue in QUEUE_URL.
"""

import argparse
import contextlib
import shlex
import threading
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from sluice_tools import docker_relay, local_invoke
from sluice_tools.demo.environment import FLEET, ORDERS, SLUICE_STACK, DemoEnvironment, running_environment
from sluice_tools.demo.settings import DemoSettings
from sluice_tools.interruptions import ending_in_order
from sluice_tools.sandbox.sandbox import ROOT
from sluice_tools.sandbox.widget_page import make_page, serving

STATE = ROOT / "build/sandbox"
STOPPING = "Stopping: the order page, the consumers, the functions and the emulator end."
STOPPED = "Everything has stopped."
DASHBOARD_VIEW = "?range=900&every=10"
"""What the dashboard's page opens with: 15 minutes, shown anew every 10 s. A sandbox is minutes old, and is watched."""
FAILING_SKU = "teapot-glass"
"""Not in the catalogue, so that an order of it fails until somebody adds it."""
INVOKED = ("planner-schedule-minute", "drainer-sweep", "operator-redrive-dry-run", "console-describe")
"""Payloads of events/, one a function, to show how any of them is used."""


def main() -> int:
    """Set up the environment, serve the widget, and wait for Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--consumer", default="", metavar="COMMAND", help="runs on each instance, as a unit's ExecStart"
    )
    command = parser.parse_args().consumer
    console = Console()
    with (
        ending_in_order(STOPPING, STOPPED),
        running_environment(DemoSettings(), console.print, STATE, command) as demo,
        serving(
            make_page(demo.sandbox.client("lambda"), demo.sluice["ConsoleFunction"], params={"fleet": FLEET})
        ) as widget_url,
        local_invokes(demo) as lines,
    ):
        console.print(escape(what_to_try(demo, widget_url + DASHBOARD_VIEW, lines)), soft_wrap=True)
        threading.Event().wait()
    return 0


@contextlib.contextmanager
def local_invokes(demo: DemoEnvironment) -> Iterator[str]:
    """The `sam local invoke` commands, which work as long as the context lasts, or why there are none."""
    if problem := local_invoke.missing():
        yield f"  (not available: {problem})"
        return
    build = demo.sandbox.directory / "sam" / SLUICE_STACK / "build"
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
    dry_run = f'{{"redrive":{{"fleet":"{FLEET}","all":true,"dry_run":true}}}}'
    if demo.consumer_command:
        exports += f" QUEUE_URL={demo.orders['QueueUrl']} DEAD_LETTER_QUEUE_URL={demo.orders['DeadLetterQueueUrl']}"
        opened = f"""Each instance runs      {demo.consumer_command}
                        its output is in {_short(demo.sandbox.directory)}/instances; send to $QUEUE_URL, see below"""
        fixed = ""
    else:
        opened = f"""The order page          {demo.front_end_url}
                        press "Send load" and watch the fleet scale out"""
        fixed = f"""
To see an order fail, order the item {FAILING_SKU} on the order page. It is not in the catalogue: the order shows as
dead-lettered, is retried {demo.settings.max_retries} times, and is quarantined. These lines add the item and send the
order back:

{how_to_fix(demo)}
"""
    return f"""
{opened}
The dashboard's widget  {widget_url}

In another terminal, from this folder:

  export {exports}
  .venv/bin/sluice redrive start --fleet {FLEET} --all --dry-run --stack {SLUICE_STACK}
  .envs/sam/bin/sam remote invoke Planner --stack-name {SLUICE_STACK} --event '{{"fleet":"{FLEET}","dry_run":true}}'
  .envs/sam/bin/sam remote invoke Operator --stack-name {SLUICE_STACK} --event '{dry_run}'
{fixed}
Each function in a container, with a payload of events/:

{invoke_lines}

Logs and state: {_short(demo.sandbox.directory)}
Ctrl-C stops everything."""


def how_to_fix(demo: DemoEnvironment) -> str:
    """The lines that make orders of `FAILING_SKU` succeed, to paste below the exports."""
    env = f"PYTHONPATH={_short(ORDERS)} DATABASE_URL={demo.database_url}"
    return f"""  {env} .venv/bin/python -m orders.admin stock {FAILING_SKU} --price-cents 990 --count 100
  .venv/bin/sluice redrive start --fleet {FLEET} --all --stack {SLUICE_STACK}"""


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    raise SystemExit(main())
