"""Patterns of causes, such as `HTTP 503*`: what they are compared with, and which of them can never match.

A cause is compared on one line: every run of spaces, tabs, line ends and characters that cannot be printed is one
space, and none stands at its ends. `*` stands for any characters and `?` for one; every other character stands for
itself, brackets too, in large letters or small ones. Hence a pattern is known never to match if it holds what no such
line holds.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

LINE_LIMIT = 1_000  # characters of a line that are read
_SPACES = re.compile(r"\s+")


def one_line(text: str) -> str:
    """A text as it is compared with patterns: its first LINE_LIMIT characters on one line."""
    text = text[:LINE_LIMIT]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return _SPACES.sub(" ", text).strip()


def names(patterns: Iterable[str], *lines: str) -> bool:
    """Whether one of some patterns matches one of these lines, as `one_line` makes them."""
    return any(_matches(pattern, line) for pattern in patterns for line in lines)


def _matches(pattern: str, line: str) -> bool:
    return fnmatchcase(line.casefold(), pattern.casefold().replace("[", "[[]"))


def unmatchable_problem(pattern: str) -> str | None:
    """What is wrong with a pattern that matches no cause at all, and what to write; None for every other one."""
    line = one_line(pattern)
    if pattern == line:
        return None
    remedy = f"write {line!r}" if line else "write a part of the cause, with * for the rest"
    return (
        "must hold no space at its ends, no two spaces in a row and no character that cannot be printed, because causes"
        f" are compared on one line without them, and it would never match (got {pattern!r}); {remedy}"
    )


def covers(wide: str, narrow: str) -> bool:
    """Whether every cause that `narrow` matches is surely matched by `wide` as well.

    True only where it is certain: `*` of `narrow` is met by `*` of `wide` alone, and `?` by `*` or `?`.
    """
    wide, narrow = re.sub(r"\*+", "*", wide.casefold()), re.sub(r"\*+", "*", narrow.casefold())
    met = {0}  # how far in `wide` each beginning of `narrow` can be met
    for sign in narrow:
        met = _after_star(met, wide)
        met = {
            at if wide[at] == "*" else at + 1
            for at in met
            if at < len(wide) and (wide[at] == "*" or wide[at] == sign or (wide[at] == "?" and sign != "*"))
        }
    return len(wide) in _after_star(met, wide)


def _after_star(met: set[int], wide: str) -> set[int]:
    return met | {at + 1 for at in met if at < len(wide) and wide[at] == "*"}
