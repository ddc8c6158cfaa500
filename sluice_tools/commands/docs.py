"""docs/cli.md, made from the code: `make cli-docs`."""

import inspect
import os
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from cyclopts import App
from cyclopts.argument import Argument

from sluice_tools import cli
from sluice_tools.commands.frame import ExitCode
from sluice_tools.sources import CHECKOUT

PAGE_PATH = CHECKOUT / "docs/cli.md"

# An example for each command. Those of ACCOUNT need a deployed stack, the others run anywhere.
ACCOUNT = {
    "deploy": "--parameters parameters.json --dry-run",
    "publish": "--bucket your-bucket",
    "doctor": "--stack sluice --fleet orders",
    "status": "",
    "decisions": "--fleet orders --since 2h --why",
    "groups list": "--fleet orders",
    "groups show": "unknownitem-12ab34cd --fleet orders",
    "groups mute": "unknownitem-12ab34cd --fleet orders",
    "messages list": "--fleet orders --group unknownitem-12ab34cd",
    "messages show": "4b6f2c1e-0000-4000-8000-000000000000 --fleet orders",
    "messages edit": "4b6f2c1e-0000-4000-8000-000000000000 --fleet orders --body body.json",
    "redrive start": "--fleet orders --group unknownitem-12ab34cd --rate 5 --watch",
    "redrive list": "--fleet orders",
    "redrive watch": "7c9e6679-0000-4000-8000-000000000000 --fleet orders",
    "redrive pause": "7c9e6679-0000-4000-8000-000000000000 --fleet orders",
    "redrive resume": "7c9e6679-0000-4000-8000-000000000000 --fleet orders",
    "redrive stop": "7c9e6679-0000-4000-8000-000000000000 --fleet orders",
    "dlq peek": "--fleet orders --cause 'KeyError*'",
    "dlq quarantine": "--fleet orders",
    "archive restore": "orders/2026/11/24/4b6f2c1e-0000-4000-8000-000000000000.json --fleet orders",
    "release": "i-0123456789abcdef0 --fleet orders",
    "enroll": "--stack sluice --fleet orders",
}
HERE = {
    "plan": "--fleet examples/plan/fleet.json --snapshot examples/plan/snapshot.json",
    "backtest": "--trace examples/plan/orders.csv --seconds-per-message 4 --policy fixed --policy keda",
    "cost": "--fleets 20 --hot-hours 8",
    "sandbox": "",
}
INTRODUCTION = """\
# The command line

`sluice` sees, checks and acts on a deployed stack, and plans, simulates and prices one without an account. In a clone,
`make setup` puts it into the project's environment, as `.venv/bin/sluice`.

Commands that read (`status`, `decisions`, `groups list|show`, `messages list|show`, `redrive list|watch`) ask the
function `<stack>-console`. Commands that act (`redrive start|pause|resume|stop`, `groups mute`, `messages edit`, `dlq`,
`archive`, `release`) ask `<stack>-operator`. You need `lambda:InvokeFunction` on that function and nothing else.
`doctor` and `enroll` use your own rights on queues and groups.

- Ids are never cut. On a terminal other cells wrap; into a pipe or a file each row is one line.
- `--json` prints one JSON document. Times are ISO 8601 in UTC, everywhere.
- What messages say is data: it is shown without characters that a terminal would act on.
- `backtest` and `sandbox` need the extra of their name where the wheel is installed ([install.md](install.md)).
- `.venv/bin/sluice --install-completion` installs completion of commands and options for bash, zsh, fish or PowerShell
  (`--shell`; `--output` for another place).

## Exit codes

| code | meaning |
|---|---|
"""
COMMON_TITLE = """
## Common options

Every command that talks to AWS has these, `backtest` with `--queue`. `backtest` and `publish` take no `--stack`:

| option | default | meaning |
|---|---|---|
"""
END = "\nThis page is generated from the code by `make cli-docs`.\n"


def commands(app: App, path: tuple[str, ...] = ()) -> Iterator[tuple[str, App]]:
    """Every command that does something, by its words."""
    for name in app:
        if not name.startswith("-"):
            child = app[name]
            words = (*path, name)
            if child.default_command is None:
                yield from commands(child, words)
            else:
                yield " ".join(words), child


def page() -> str:
    """docs/cli.md."""
    found = dict(commands(cli.app))
    order = [name for name in (*ACCOUNT, *HERE) if name in found]
    order += [name for name in found if name not in order]
    common = {argument.name: argument for app in found.values() for argument in _of_common(app)}
    parts = [
        INTRODUCTION,
        *(f"| {int(code)} | {code.meaning} |\n" for code in ExitCode),
        COMMON_TITLE,
        *_rows(common.values()),
        *(part for name in order for part in _section(name, found[name])),
        END,
    ]
    return "".join(parts)


def _section(name: str, app: App) -> Iterator[str]:
    """A command: what it does, an example, its own options."""
    written = inspect.getdoc(app.default_command) or ""
    said = "\n\n".join(_wrapped(part) for part in written.partition("\nArgs:")[0].strip().split("\n\n"))
    yield f"\n## sluice {name}\n\n{said}\n\n"
    if name in ACCOUNT:
        yield (
            f"```sh\n# needs an AWS account with a stack\n.venv/bin/sluice {name} {ACCOUNT[name]}".rstrip() + "\n```\n"
        )
    elif name in HERE:
        yield f"```sh\n.venv/bin/sluice {name} {HERE[name]}".rstrip() + "\n```\n"
    own = [argument for argument in _arguments(app) if argument not in _of_common(app)]
    if own:
        yield "\n| option | default | meaning |\n|---|---|---|\n"
        yield from _rows(own)


def _arguments(app: App) -> list[Argument]:
    return [one for one in app.assemble_argument_collection(parse_docstring=True) if one.parse and one.show]


def _of_common(app: App) -> list[Argument]:
    return [one for one in _arguments(app) if one.keys]  # the fields of AwsOptions


def _rows(arguments: Any) -> Iterator[str]:
    for argument in arguments:
        names = " or ".join(f"`{name}`" for name in argument.names if not name.startswith("--no-"))
        if argument.field_info.is_positional:
            names = f"`{argument.name.upper()}`"
        meaning = " ".join(str(argument.parameter.help or "").split()).replace("|", "\\|")
        yield f"| {names} | {_default(argument)} | {meaning} |\n"


def _default(argument: Argument) -> str:
    if argument.required:
        return "required"
    default = argument.field_info.default
    if default in (None, False, (), "", argument.field_info.empty) or isinstance(default, Mapping):
        return ""
    if isinstance(default, Path) and default.is_absolute():
        default = Path(os.path.relpath(default, CHECKOUT))  # the page is the same wherever the checkout is
    return f"`{default.value if isinstance(default, Enum) else default}`"


def _wrapped(text: str, columns: int = 125) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) + 1 > columns:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def main() -> None:
    """Write the page."""
    PAGE_PATH.write_text(page())


if __name__ == "__main__":
    main()
