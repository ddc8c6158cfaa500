"""`make sandbox`: leaves the stage of the demo running, and prints what to try on it."""

import contextlib
import threading
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from tools.demo.settings import DemoSettings
from tools.demo.stage import FLEET, SLUICE_STACK, Stage, set_up
from tools.sandbox.sandbox import ROOT
from tools.sandbox.widget_page import make_page, serving

STATE = ROOT / "build/sandbox"


def main() -> int:
    """Set the stage, serve the widget, and wait for Ctrl-C."""
    console = Console()
    with set_up(DemoSettings(), console.print, STATE) as stage:
        page = make_page(stage.sandbox.client("lambda"), stage.sluice["ConsoleFunction"], params={"fleet": FLEET})
        with serving(page) as widget_url:
            console.print(Panel(escape(what_to_try(stage, widget_url)), title="What to try", border_style="green"))
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
    return 0


def what_to_try(stage: Stage, widget_url: str) -> str:
    """The lines that a person can follow or paste."""
    sluice = stage.sluice
    exports = " ".join(f"{name}={value}" for name, value in stage.sandbox.env().items() if name.startswith("AWS_"))
    dry_run = f'{{"redrive":{{"fleet":"{FLEET}","all":true,"dry_run":true}}}}'
    return f"""\
The order page          {stage.front_end_url}
                        press "load", and watch the fleet grow; order an item that does not exist, and watch it fail
The dashboard's widget  {widget_url}

In another terminal, from this folder:

  export {exports}
  .venv/bin/sluice redrive --fleet {FLEET} --all --dry-run --function {sluice["RedriverFunction"]}
  .envs/sam/bin/sam remote invoke {sluice["PlannerFunction"]} --event '{{"fleet":"{FLEET}","dry_run":true}}'
  .envs/sam/bin/sam remote invoke {sluice["RedriverFunction"]} --event '{dry_run}'

Each payload of events/ in a container, where Docker answers:

  .venv/bin/python -m tools.local_invoke --endpoint {stage.sandbox.url} \\
    --build {_short(stage.sandbox.directory)}/sam/{SLUICE_STACK}/build

Logs and state: {_short(stage.sandbox.directory)}
Ctrl-C ends all of it."""


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


if __name__ == "__main__":
    raise SystemExit(main())
