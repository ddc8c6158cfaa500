"""What commands print: tables and sentences for people, one JSON document for programs.

On a terminal a table fits the width: cells wrap, and nothing of them is left out. Into a pipe or a file each row is one
line, however long. Text of others (causes, bodies, ids) is never markup, and has no character that is not shown.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

LEAST_COLUMNS = 40  # in fewer, cyclopts 5.4 lays out its help for ever
PIPE_COLUMNS = 1_000_000  # no row is as long: the longest cell is a message's sample
LATEST = 4_102_444_800.0  # the year 2100, in epoch seconds: a greater number is no time


class _Console(Console):
    """Rich's console, without its own way to end the process."""

    def on_broken_pipe(self) -> None:
        """Let `frame.run` know that whatever read the output has ended."""
        raise BrokenPipeError


def console(*, errors: bool = False, width: int | None = PIPE_COLUMNS) -> Console:
    """Standard output, or standard error, as it is at this moment.

    Args:
        errors: standard error.
        width: how wide it is where it is no terminal; None: Rich's own choice.
    """
    stream = sys.stderr if errors else sys.stdout
    made = _Console(file=stream, width=None if stream.isatty() else width, highlight=False, soft_wrap=errors)
    made.width = max(made.width, LEAST_COLUMNS)
    return made


def complain(command: str, *problems: str) -> None:
    """Print problems on standard error, a line each, never wrapped."""
    to = console(errors=True)
    for problem in problems:
        to.print(Text(f"{command}: ").append_text(plain(problem)), style="red")


def plain(text: object) -> Text:
    """Text of others for a terminal: no markup, and no character that is not shown as it is."""
    return Text("".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in str(text)))


def say(*sentences: str) -> None:
    """Print sentences, a paragraph each."""
    to = console()
    for sentence in sentences:
        to.print(plain(sentence))


def say_line(line: str) -> None:
    """Print a line that is to be pasted: it is not wrapped on a terminal either."""
    console().print(plain(line), soft_wrap=True)


def show_table(headings: Sequence[str], rows: Iterable[Sequence[object]], ids: Sequence[str] = ()) -> None:
    """Print a table; None is an empty cell.

    Args:
        headings: one for each column.
        rows: a cell for each heading.
        ids: headings of columns with ids. They keep their width as long as other columns can give up some of theirs.
    """
    cells = [[plain("" if cell is None else cell) for cell in row] for row in rows]
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, heading in enumerate(headings):
        widest = max((row[index].cell_len for row in cells), default=0)
        table.add_column(heading, overflow="fold", min_width=widest if heading in ids else None)
    for row in cells:
        table.add_row(*row)
    console().print(table)


def show_facts(facts: Mapping[str, object]) -> None:
    """Print facts by their names, a line each; None and empty ones are left out."""
    given = {name: plain(value) for name, value in facts.items() if value not in {None, ""}}
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in given.items():
        table.add_row(plain(name), value)
    console().print(table)


def show_json(answer: object) -> None:
    """Print one JSON document. Times are ISO 8601 in UTC."""
    print(json.dumps(with_iso_times(answer), indent=2))


def iso(at: float | None) -> str:
    """A time (epoch seconds) as ISO 8601 in UTC, to the second; empty for None."""
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"


def with_iso_times(value: Any, name: str = "") -> Any:
    """A JSON value whose times are ISO 8601 in place of epoch seconds: numbers under `at`, `*_at` and `*_until`."""
    if isinstance(value, Mapping):
        return {key: with_iso_times(each, str(key)) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [with_iso_times(each) for each in value]
    if _is_time(name) and isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LATEST:
        return iso(value) if value else None  # 0 is "never"
    return value


def _is_time(name: str) -> bool:
    return name in {"at", "until"} or name.endswith(("_at", "_until", "quarantined_from", "quarantined_to"))
