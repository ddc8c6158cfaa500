"""How every subcommand of `sluice` ends: exit codes, and errors that become one message and one code here.

A command raises a CommandError, or returns an exit code; None is DONE. Nothing else ends the process.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import ClassVar, Self

from cyclopts import App, CycloptsError, MissingArgumentError, UnusedCliTokensError

from sluice_tools.commands.output import complain, console
from sluice_tools.extras import missing_extra

TRACEBACK_VARIABLE = "SLUICE_TRACEBACK"  # set it to see where a fault of sluice's own is


class ExitCode(IntEnum):
    """What a command's end says to a script; docs/cli.md and `sluice --help` have the same table."""

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """A code with its meaning for people."""
        made = int.__new__(cls, value)
        made._value_ = value
        made.meaning = meaning
        return made

    DONE = 0, "done"
    BAD = 1, "carried out, and the answer is bad: findings, a refused request, a redrive that came back or was stopped"
    USAGE = 2, "nothing was done: an option or a file cannot be used; the message names it and says what it may be"
    UNREACHABLE = 3, "AWS or the stack's function could not be reached, refused the call, or failed"
    FAULT = 70, f"a fault of sluice itself; {TRACEBACK_VARIABLE}=1 prints where"
    INTERRUPTED = 130, "Ctrl-C"
    BROKEN_PIPE = 141, "whatever read the output had ended"


class CommandError(Exception):
    """A command cannot do what was asked; each of `problems` is one sentence for the caller."""

    code: ClassVar[ExitCode] = ExitCode.BAD

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class UsageError(CommandError):
    """The command line, or a file that it names: each problem begins with the option as typed, or with the file."""

    code = ExitCode.USAGE


class RefusedError(CommandError):
    """The stack's function, or AWS, understood the request and refused it."""

    code = ExitCode.BAD


class UnreachableError(CommandError):
    """AWS or the stack's function could not be asked, or failed."""

    code = ExitCode.UNREACHABLE


def run(app: App, tokens: Sequence[str]) -> int:
    """Run one command line.

    Args:
        app: the command line's tree.
        tokens: what follows the program's name.

    Returns:
        The exit code.
    """
    try:
        code = _run(app, list(tokens))
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes standard output once more as it ends, and would print a traceback about that.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.BROKEN_PIPE
    return code


def _run(app: App, tokens: list[str]) -> int:
    try:
        help_console = console(width=None)
        code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value", console=help_console)
        return code if isinstance(code, int) else ExitCode.DONE
    except CycloptsError as error:
        complain(_name(app, tokens), *_problems(error).splitlines(), f"`{_name(app, tokens)} --help` lists the options")
        return ExitCode.USAGE
    except CommandError as error:
        complain(_name(app, tokens), *error.problems)
        return error.code
    except KeyboardInterrupt:
        complain(_name(app, tokens), "interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        return _fault(_name(app, tokens), error)


def _problems(error: CycloptsError) -> str:
    """What is wrong with a command line, with the option first where Cyclopts says it otherwise."""
    text = str(error)
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        _, asks, meant = text.partition(" Did you mean ")
        problem = f"{error.keyword}: must have a value" if error.keyword else f"{error.argument.name}: must be given"
        return f"{problem}.{asks}{meant}" if asks else problem
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return f"{' '.join(error.unused_tokens)}: must be left out; the command takes no further argument"
    return text


def _fault(name: str, error: Exception) -> ExitCode:
    """Report a fault of sluice itself; or which extra a command needs, where that is not installed."""
    if (missing := missing_extra(error)) is not None:
        complain(name, missing)
        return ExitCode.USAGE
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exception(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    complain(
        name,
        f"this is a fault of sluice itself: {type(error).__name__}{where}: {error}. Please report it, with what"
        f" {TRACEBACK_VARIABLE}=1 prints",
    )
    return ExitCode.FAULT


def _name(app: App, tokens: list[str]) -> str:
    """The command as it was called, such as `sluice redrive start`."""
    names: tuple[str, ...] = ()
    with suppress(Exception):  # the name alone may be what cannot be read
        names = app.parse_commands(tokens)[0]
    return " ".join(("sluice", *names))
