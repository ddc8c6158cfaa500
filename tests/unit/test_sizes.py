"""No module, handler, function or class of what is deployed is larger than a reader can hold in mind."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE, HANDLERS = "layers/core/sluice", "functions"
MODULE_LINES, HANDLER_LINES, FUNCTION_LINES, CLASS_FIELDS = 400, 100, 60, 15

# Classes whose fields the outside defines: whoever writes or sends them finds all of them in one place.
DEFINED_OUTSIDE = {
    "RedrivePolicy": "the settings that users write in the section `redrive` of a fleet's document",
    "RedriveRequest": "what an operator's request to redrive may hold, and what every operator's request does",
}


def sources() -> dict[str, str]:
    """Every module of the core and of the functions, by its path from the root."""
    paths = (path for folder in (CORE, HANDLERS) for path in (ROOT / folder).rglob("*.py"))
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in paths}


def breaches(modules: Mapping[str, str], outside: frozenset[str] = frozenset(DEFINED_OUTSIDE)) -> list[str]:
    """What is above a limit, each in a sentence.

    Args:
        modules: the text of each module by its path.
        outside: names of classes that may have any number of fields.
    """
    trees = {path: parsed(text) for path, text in modules.items()}
    classes = {name: each for tree in trees.values() for name, each in classes_in(tree).items()}
    found = []
    for path, tree in trees.items():
        known = classes | classes_in(tree)
        lines, most = len(modules[path].splitlines()), HANDLER_LINES if path.startswith(HANDLERS) else MODULE_LINES
        if lines > most:
            found.append(f"{path} has {lines} lines, and {most} are the most")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > FUNCTION_LINES:
                    found.append(f"{node.name} of {path} has {lines} lines, and {FUNCTION_LINES} are the most")
            elif isinstance(node, ast.ClassDef) and node.name not in outside:
                fields = len(all_fields(node, known))
                if fields > CLASS_FIELDS:
                    found.append(f"{node.name} of {path} has {fields} fields, and {CLASS_FIELDS} are the most")
    return found


@cache
def parsed(text: str) -> ast.Module:
    """A module's syntax tree."""
    return ast.parse(text)


def classes_in(tree: ast.Module) -> dict[str, ast.ClassDef]:
    """The classes of a module by their names."""
    return {each.name: each for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}


def all_fields(node: ast.ClassDef, classes: Mapping[str, ast.ClassDef]) -> set[str]:
    """The names of a class's fields, private ones and those of its bases included."""
    fields = set(own_fields(node))
    for base in node.bases:
        name = base.value if isinstance(base, ast.Subscript) else base
        if isinstance(name, ast.Name) and name.id in classes and name.id != node.name:
            fields |= all_fields(classes[name.id], classes)
    return fields


def own_fields(node: ast.ClassDef) -> Iterator[str]:
    """What a class annotates in its body, and what its methods set of `self`."""
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            yield line.target.id
        elif isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef):
            for each in ast.walk(line):
                if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store) and is_self(each.value):
                    yield each.attr


def is_self(value: ast.expr) -> bool:
    """Whether an expression is a method's own object."""
    return isinstance(value, ast.Name) and value.id == "self"


def test_tree_when_it_is_measured() -> None:
    """Everything is within the limits: what grows beyond one is split into parts that change together."""
    found = sources()
    assert len(found) > 300
    assert breaches(found) == []


def test_exceptions_when_they_are_counted() -> None:
    """Each class that is excepted is above the limit: none is on the list that need not be."""
    above = breaches(sources(), frozenset())
    assert {line.split()[0] for line in above} == DEFINED_OUTSIDE.keys()


def function(lines: int, head: str = "def work():") -> str:
    """The text of a function of so many lines."""
    return f"{head}\n" + "    pass\n" * (lines - 1)


def a_class(fields: int, name: str = "Record", prefix: str = "field") -> str:
    """The text of a class of so many annotated fields."""
    return f"class {name}:\n" + "".join(f"    {prefix}_{number}: int = 0\n" for number in range(fields))


def indented(text: str) -> str:
    """The text as the body of a class."""
    return "class Worker:\n" + "".join(f"    {line}\n" for line in text.splitlines())


def setting(fields: int) -> str:
    """A class that annotates nothing, and sets so many fields in its methods."""
    return "class Record:\n    def __init__(self):\n" + "".join(f"        self._{n} = n\n" for n in range(fields))


MODULE, HANDLER = f"{CORE}/planning/plan.py", f"{HANDLERS}/planner/app.py"
PLANTED = {
    "module": ({MODULE: "x = 1\n" * MODULE_LINES}, {MODULE: "x = 1\n" * (MODULE_LINES + 1)}),
    "handler": ({HANDLER: "x = 1\n" * HANDLER_LINES}, {HANDLER: "x = 1\n" * (HANDLER_LINES + 1)}),
    "function": ({MODULE: function(FUNCTION_LINES)}, {MODULE: function(FUNCTION_LINES + 1)}),
    "asynchronous function": (
        {MODULE: function(FUNCTION_LINES, "async def work():")},
        {MODULE: function(FUNCTION_LINES + 1, "async def work():")},
    ),
    "method": ({MODULE: indented(function(FUNCTION_LINES))}, {MODULE: indented(function(FUNCTION_LINES + 1))}),
    "class": ({MODULE: a_class(CLASS_FIELDS)}, {MODULE: a_class(CLASS_FIELDS + 1)}),
    "private fields": (
        {MODULE: a_class(CLASS_FIELDS, prefix="_hidden")},
        {MODULE: a_class(CLASS_FIELDS + 1, prefix="_hidden")},
    ),
    "fields set by methods": ({MODULE: setting(CLASS_FIELDS)}, {MODULE: setting(CLASS_FIELDS + 1)}),
    "inherited fields": (
        {MODULE: a_class(CLASS_FIELDS), HANDLER: "class More(Record):\n    field_0: int = 1\n"},
        {MODULE: a_class(CLASS_FIELDS), HANDLER: "class More(Record):\n    one_more: int = 1\n"},
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_breach_when_it_is_planted(what: str) -> None:
    """What is at a limit passes, and one more of it does not."""
    at_limit, above = PLANTED[what]
    assert breaches(at_limit) == []
    assert len(breaches(above)) == 1
