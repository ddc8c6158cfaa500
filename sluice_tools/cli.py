"""The `sluice` command. Each subcommand has a module of its own, which is imported when it is called."""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter
from cyclopts.completion.detect import ShellDetectionError

from sluice_tools import compiled
from sluice_tools.commands import frame
from sluice_tools.commands.output import say
from sluice_tools.extras import absent

CODES = "; ".join(f"{int(code)} {code.meaning}" for code in frame.ExitCode)

app = App(
    name="sluice",
    help="See, check and act on a deployed Sluice stack, and plan, simulate and price one without an account.",
    help_epilogue=f"Exit codes: {CODES}.",
    version=version("sluice"),
    suppress_keyboard_interrupt=False,  # `frame.run` answers it
)
# Each subcommand's module and its line in the help. The first have subcommands of their own.
GROUPS = {
    "groups": ("sluice_tools.commands.dead_letters:groups", "Failure groups: list, show and mute them."),
    "messages": (
        "sluice_tools.commands.dead_letters:messages",
        "Quarantined messages: list, show and edit them.",
    ),
    "redrive": ("sluice_tools.commands.redrive:app", "Send quarantined messages back to their queue, as jobs."),
    "dlq": ("sluice_tools.commands.dead_letters:dlq", "Look into a dead-letter queue, or quarantine what is there."),
    "archive": ("sluice_tools.commands.dead_letters:archive", "Restore a message that was sent back."),
}
COMMANDS = {
    "deploy": ("sluice_tools.deploy.command:deploy", "Create or update a stack, after showing what would change."),
    "publish": (
        "sluice_tools.deploy.publish:publish",
        "Put templates and code into a bucket, for Terraform, CDK and the console.",
    ),
    "status": ("sluice_tools.commands.status:status", "Show the fleets: capacity, last decision, drains and redrives."),
    "decisions": ("sluice_tools.commands.status:decisions", "Show what the planner decided for a fleet, and why."),
    "doctor": ("sluice_tools.doctor:doctor", "Check that a fleet can use its queues and its Auto Scaling group."),
    "release": ("sluice_tools.commands.release:release", "Let an instance go that its drain or its group holds."),
    "enroll": ("sluice_tools.enroll:enroll", "Give a fleet's queues and group the tag by which a stack may use them."),
    "plan": ("sluice_tools.plan:plan", "Show what the planner would decide, and why, from files alone."),
    "backtest": (
        "sluice_tools.backtest.command:backtest",
        "Simulate what scaling policies would have cost on past traffic.",
    ),
    "cost": ("sluice_tools.costs.command:cost", "Print what a stack costs a month, by service."),
    "sandbox": (
        "sluice_tools.demo.sandbox:sandbox",
        "Run Sluice with an example on an embedded AWS emulator, without an account.",
    ),
}
OF_EXTRAS = ("backtest", "sandbox")
"""Commands that need the extra of their name."""


def _refusal(problem: str) -> Callable[..., None]:
    """What stands for a command whose extra is not installed."""

    def refuse(*_: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]) -> None:
        raise frame.UsageError(problem)

    return refuse


for _name, (_where, _help) in GROUPS.items():
    app.command(_where, name=_name, help=_help)
for _name, (_where, _help) in COMMANDS.items():
    _problem = absent(_name) if _name in OF_EXTRAS else None
    # Completion imports every command that is there. The exit codes stand in `sluice --help` alone.
    app.command(
        _where if _problem is None else _refusal(_problem),
        name=_name,
        help=_help if _problem is None else f"{_help} Needs the extra `{_name}`.",
        help_epilogue="",
    )


@app.command(name="--install-completion", help_epilogue="")
def install_completion(
    *, shell: Literal["bash", "zsh", "fish", "powershell"] | None = None, output: Path | None = None
) -> None:
    """Install completion of commands and options for your shell.

    Args:
        shell: The shell; by default the one that runs this command.
        output: Where to put the script; by default where the shell looks for it.
    """
    try:
        installed = app.install_completion(shell=shell, output=output)
    except ShellDetectionError as error:
        raise frame.UsageError("--shell: your shell is not known; must be bash, zsh, fish or powershell") from error
    except OSError as error:
        raise frame.UsageError(f"--output: {error.filename} cannot be written: {error.strerror}") from error
    say(f"The completion script is {installed}. Start a new shell to use it.")


def run(arguments: Sequence[str]) -> int:
    """Run one command line in this process; its exit code."""
    return frame.run(app, arguments)


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr] # a terminal may not have every sign
    if sys.argv[1:2] == ["backtest"]:
        compiled.use()  # before any module that is compiled is imported
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
