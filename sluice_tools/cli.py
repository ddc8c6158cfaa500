"""The `sluice` command. Each subcommand has a module of its own, which is imported when it is called."""

import sys
from importlib.metadata import version

from cyclopts import App

from sluice_tools import compiled
from sluice_tools.extras import missing_extra

app = App(
    name="sluice", help="Sluice's commands for your own machine. None of them is deployed.", version=version("sluice")
)
app.command(
    "sluice_tools.plan:plan", name="plan", help="Show what the planner would decide, and why, from files alone."
)
app.command(
    "sluice_tools.backtest.command:backtest",
    name="backtest",
    help="Simulate what scaling policies would have cost on past traffic.",
)
app.command("sluice_tools.redrive:app", name="redrive", help="Send quarantined messages back to their queue.")
app.command(
    "sluice_tools.enroll:enroll",
    name="enroll",
    help="Give a fleet's queues and group the tag by which a stack may use them.",
)
app.command(
    "sluice_tools.doctor:doctor",
    name="doctor",
    help="Check that a fleet can use its queues and its Auto Scaling group.",
)
app.command("sluice_tools.costs.command:cost", name="cost", help="Print what a stack costs a month, by service.")


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["backtest"]:
        compiled.use()  # before any module that is compiled is imported
    try:
        app()
    except ImportError as error:
        if (missing := missing_extra(error)) is None:
            raise
        print(f"sluice: {missing}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
