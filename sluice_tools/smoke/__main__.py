"""`make aws-smoke`: asks before it begins, runs, prints audit and times, and says what is left."""

import json
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sluice_tools.interruptions import Interrupted, interruptible, undisturbed
from sluice_tools.sam_cli import ROOT, SAM
from sluice_tools.sandbox.sandbox import Sandbox, SandboxError
from sluice_tools.smoke import cost
from sluice_tools.smoke.account import Account, Names
from sluice_tools.smoke.deployment import Machines
from sluice_tools.smoke.evidence import as_dict
from sluice_tools.smoke.places import sandbox_machines
from sluice_tools.smoke.removal import Left, Removal
from sluice_tools.smoke.run import Result, remove, run
from sluice_tools.smoke.settings import SmokeSettings
from sluice_tools.smoke.waiting import Deadline, SmokeError

OUTPUT = ROOT / "build/aws-smoke"
SANDBOX_MINUTE_S = 6.0
DEADLINE_MINUTES = 45.0
REMOVAL_HOURS = 0.5
"""What the removal may take on top of the deadline, for the estimate."""
INSTANCE_TYPES = {"arm64": "t4g.micro", "x86_64": "t3.micro"}
"""The smallest with 1 GB: with 512 MB dnf is killed for want of memory beside the SSM agent
(https://github.com/amazonlinux/amazon-linux-2023/issues/404)."""
USAGE = 2

app = App(help=__doc__)


@app.default
def main(
    *,
    prefix: str | None = None,
    deadline_minutes: float = DEADLINE_MINUTES,
    architecture: str = "arm64",
    instance_type: str | None = None,
    yes: Annotated[bool, Parameter(negative="")] = False,
    remove_only: Annotated[bool, Parameter(name="--remove", negative="")] = False,
    sandbox: Annotated[bool, Parameter(negative="")] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
    output: Path = OUTPUT,
) -> int:
    """Run Sluice's story in an AWS account, audit it, and delete everything that was made.

    Args:
        prefix: of every name that is made, and the value of their tag sluice:smoke; sluice-smoke- and four random
            characters without it.
        deadline_minutes: when the story is given up; the removal comes after it.
        architecture: arm64 or x86_64.
        instance_type: of the database and the consumers; t4g.micro or t3.micro without it.
        yes: do not ask.
        remove_only: delete what an earlier run with --prefix left, and do nothing else.
        sandbox: in the embedded emulator instead, where a minute lasts 6 s.
        as_json: print audit and times as one JSON object on the last line.
        output: folder for logs and the audit.

    Returns:
        0 where the audit holds and nothing is left, 1 where not, 2 where it could not begin, 128 and the signal's
        number where it was interrupted.
    """
    console = Console(soft_wrap=True)
    say = _sayer(console)
    try:
        _check(architecture, deadline_minutes, prefix, remove_only=remove_only)
        chosen = prefix or f"sluice-smoke-{secrets.token_hex(2)}"
        if sandbox:
            return _in_sandbox(chosen, deadline_minutes, output, console, as_json=as_json)
        account = Account(os.environ)
        number, arn = account.identity()
        names = Names(chosen, number, account.region)
        machines = Machines(architecture=architecture, instance_type=instance_type or INSTANCE_TYPES[architecture])
        settings = SmokeSettings()
        if remove_only:
            return _remove(account, names, settings, output, console)
        _announce(
            console,
            account,
            names,
            arn,
            instance_type=machines.instance_type,
            consumers=settings.max_consumers,
            deadline_minutes=deadline_minutes,
        )
        if not yes:
            confirm(number, account.region)
        result = run(
            account,
            names,
            settings,
            machines,
            deadline=Deadline(deadline_minutes * 60),
            directory=output / names.prefix,
            say=say,
            step=_stepper(console),
        )
    except (SmokeError, SandboxError) as error:
        console.print(f"aws-smoke: {escape(str(error))}", style="red")
        return USAGE
    return report(console, result, as_json=as_json)


def _check(architecture: str, deadline_minutes: float, prefix: str | None, *, remove_only: bool) -> None:
    if architecture not in INSTANCE_TYPES:
        raise SmokeError(f"--architecture: {architecture!r} must be one of {', '.join(INSTANCE_TYPES)}")
    if deadline_minutes <= 0:
        raise SmokeError(f"--deadline-minutes: {deadline_minutes:g} must be more than 0")
    if remove_only and prefix is None:
        raise SmokeError("--remove: give the --prefix of the run to delete, as it was printed when that run began")
    if not SAM.exists():
        raise SmokeError(f"{SAM.relative_to(ROOT)} is missing: run `make setup-sandbox`")


def confirm(account: str, region: str, ask: Callable[[str], str] = input) -> None:
    """Let the caller type account and region: a wrong profile is the costliest slip here.

    Raises:
        SmokeError: They typed something else, or there is nobody to ask.
    """
    wanted = f"{account} {region}"
    if ask is input and not sys.stdin.isatty():
        raise SmokeError("no terminal to confirm account and region at: give YES=1 (--yes) to go on without asking")
    typed = ask(f'Type the account and the region, "{wanted}", to go on: ')
    if typed.split() != wanted.split():
        raise SmokeError(f"{typed.strip()!r} is not {wanted!r}: nothing was made")


def report(console: Console, result: Result, *, as_json: bool) -> int:
    """Print audit, times, failures and what is left; the exit code."""
    if result.audit is not None:
        figures = as_dict(result.audit, result.timings)
        times = figures.pop("aws_seconds")
        table = Table(title="Audit", title_justify="left", show_header=False)
        for name, value in figures.items():
            table.add_row(name.replace("_", " "), str(value))
        console.print(table)
        table = Table(title="What AWS itself took", title_justify="left", show_header=False)
        for timing in result.timings:
            table.add_row(timing.what, timing.in_words())
        console.print(table)
        if as_json:
            figures["aws_seconds"] = times
    for sentence in result.failures:
        console.print(f"DOES NOT HOLD: {escape(sentence)}", style="bold red")
    _print_left(console, result.left)
    if result.exit_code == 0:
        console.print("Everything held.", style="bold green")
    if as_json:
        shown = figures if result.audit is not None else {}
        left = [one.what for one in result.left]
        print(json.dumps(shown | {"failures": result.failures, "left": left}))
    return result.exit_code


def _print_left(console: Console, left: list[Left]) -> None:
    if not left:
        console.print("Nothing is left in the account.")
        return
    console.print(f"{len(left)} left in the account, at your cost until deleted:", style="bold red")
    for one in left:
        console.print(f"  {escape(one.what)}\n    {escape(one.command)}")


def _announce(
    console: Console,
    account: Account,
    names: Names,
    arn: str,
    *,
    instance_type: str,
    consumers: int,
    deadline_minutes: float,
) -> None:
    hours = deadline_minutes / 60 + REMOVAL_HOURS
    items = cost.estimate(instance_type, consumers, hours)
    table = Table(title=f"At most, in {hours:.2g} h", title_justify="left", show_header=False)
    for item in items:
        table.add_row(item.what, f"$ {item.dollars:.3f}")
    table.add_row("in all", f"$ {cost.total(items):.2f}", style="bold")
    console.print(table)
    console.print(f"({cost.PRICED})")
    console.print(f"Account {names.account}, region {names.region}, as {escape(arn)}")
    if account.endpoint:
        console.print(f"At the endpoint {account.endpoint} (AWS_ENDPOINT_URL)")
    console.print(f"Everything is named {names.prefix}..., and deleted at the end. Should this process be killed:")
    console.print(f"  make aws-smoke REMOVE=1 PREFIX={names.prefix}")


def _remove(account: Account, names: Names, settings: SmokeSettings, output: Path, console: Console) -> int:
    say = _sayer(console)
    removal = Removal(account, names, settings, output / names.prefix / "made.json", say)
    with undisturbed(say):
        result = Result(left=remove(removal, say, _stepper(console)))
    result.failures += removal.problems
    return report(console, result, as_json=False)


def _in_sandbox(prefix: str, deadline_minutes: float, output: Path, console: Console, *, as_json: bool) -> int:
    settings = SmokeSettings.sandbox(SANDBOX_MINUTE_S)
    try:
        with interruptible():
            emulator = Sandbox(settings.emulator(), directory=output / "sandbox").start()
    except Interrupted as interruption:
        return 128 + interruption.number
    try:
        account = Account({**_without_aws(), **emulator.env()})
        number, arn = account.identity()
        names = Names(prefix, number, account.region)
        machines = sandbox_machines(emulator, names)
        _announce(
            console,
            account,
            names,
            arn,
            instance_type=machines.instance_type,
            consumers=settings.max_consumers,
            deadline_minutes=deadline_minutes,
        )
        result = run(
            account,
            names,
            settings,
            machines,
            deadline=Deadline(deadline_minutes * 60),
            directory=output / names.prefix,
            say=_sayer(console),
            step=_stepper(console),
        )
    finally:
        emulator.stop()
    return report(console, result, as_json=as_json)


def _without_aws() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}


def _sayer(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(f"  {escape(text)}")


def _stepper(console: Console) -> Callable[[str], None]:
    return lambda text: console.print(f"{text[:1].upper()}{escape(text[1:])}", style="bold")


if __name__ == "__main__":
    raise SystemExit(app())
