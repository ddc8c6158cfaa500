"""The `sluice` command: a line a command, each in a module of its own that is imported when it is called."""

import sys
from importlib.metadata import version

from cyclopts import App

from tools import compiled

app = App(
    name="sluice", help="Sluice's tools for your own machine: nothing here is deployed.", version=version("sluice")
)
app.command("tools.plan:plan", name="plan", help="What the planner would decide, and why, from files alone.")
app.command("tools.backtest.command:backtest", name="backtest", help="What a policy would have cost on past traffic.")
app.command("tools.redrive:app", name="redrive", help="Send quarantined messages back to their queue.")
app.command("tools.doctor:doctor", name="doctor", help="Can a fleet work with the queues and group that it names?")


def main() -> None:
    """Run it."""
    if sys.argv[1:2] == ["backtest"]:
        compiled.use()  # before anything of it is imported
    app()


if __name__ == "__main__":
    main()
