"""The core's source as mypyc compiles it to fast code: what a module says is left as it is, how it says it is not.

mypyc turns classes into C structures and typed code into C, but leaves to the interpreter what a decorator makes at run
time, and looks a module's constants up by name. So before it reads a module

    @dataclass(...)           the `__init__` that the decorator would make is written out, and a `__copy__` beside it,
                              from which `values.replace` makes the changed value
    CONSTANT = 25.0           is declared final
    sum(x for x in y)         is made `sum([x for x in y])`: mypyc would add up in a loop of its own, less precisely
                              than the interpreter does

What `make ablate` puts something else in the place of must be looked up by name when it is used: mypyc calls a function
of its own directly, and writes a constant into the code. So such a constant is not declared final, and such a function,
or what is imported, is given its name as a variable.

Nothing of this may change a decision: tests/integration/test_compiled_runs.py holds both to the same figures and
sentences.
"""

import ast
from collections.abc import Collection, Iterator

MUTABLE = frozenset({"deque", "dict", "list", "set"})  # made anew for each instance: such a class is left as it is
MISSING = "missing"  # in the place of a default that cannot be written as one


def rewritten(source: str, replaceable: Collection[str] = ()) -> str:
    """A module's source, for mypyc.

    Args:
        source: as it is written.
        replaceable: names of the module in whose place something else may be put at run time.

    Raises:
        ValueError: the module has no such name.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            _write_out(node)
        elif isinstance(node, ast.Call):
            _sum_a_list(node)
    _declare_final(tree, replaceable)
    for name in sorted(replaceable):
        _make_variable(tree, name)
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


# --------------------------------------------------------------------------- dataclasses


def _write_out(node: ast.ClassDef) -> None:
    """Give a dataclass its `__init__`, and a `__copy__`."""
    calls = [each for each in node.decorator_list if isinstance(each, ast.Call)]
    decorator = next((call for call in calls if ast.unparse(call.func) == "dataclass"), None)
    if decorator is None:
        return
    fields = list(_fields(node))
    if not fields or any(default is MISSING for _, _, default in fields):
        return
    # A frozen one could not be set by its own `__init__`: that nothing else sets a field was checked before.
    options = [each for each in decorator.keywords if each.arg != "frozen"]
    if len(options) < len(decorator.keywords):
        options.append(ast.keyword("unsafe_hash", ast.Constant(value=True)))
    decorator.keywords = [*options, ast.keyword("init", ast.Constant(value=False))]
    parameters = ", ".join(
        f"{name}: {annotation}" + ("" if default is None else f" = {default}") for name, annotation, default in fields
    )
    methods = [
        f"def __init__(self, {parameters}) -> None:",
        *(f"    self.{name} = {name}" for name, _, _ in fields),
        f"def __copy__(self) -> '{node.name}':",
        f"    return {node.name}({', '.join(f'self.{name}' for name, _, _ in fields)})",
    ]
    node.body += ast.parse("\n".join(methods)).body


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str, str | None]]:
    """Name, annotation and default of each field; `MISSING` where its default cannot be written as one."""
    for item in node.body:
        if not isinstance(item, ast.AnnAssign) or not isinstance(item.target, ast.Name):
            continue
        default = None if item.value is None else ast.unparse(item.value)
        if isinstance(item.value, ast.Call) and ast.unparse(item.value.func) == "field":
            options = {each.arg: ast.unparse(each.value) for each in item.value.keywords}
            made_by = options.get("default_factory", "list")
            default = MISSING if len(options) > 1 or made_by in MUTABLE else f"{made_by}()"
        yield item.target.id, ast.unparse(item.annotation), default


# --------------------------------------------------------------------------- sums and constants


def _sum_a_list(node: ast.Call) -> None:
    if isinstance(node.func, ast.Name) and node.func.id == "sum" and isinstance(node.args[0], ast.GeneratorExp):
        generator = node.args[0]
        node.args[0] = ast.ListComp(generator.elt, generator.generators)


def _declare_final(tree: ast.Module, replaceable: Collection[str]) -> None:
    """Declare a module's constants final: assigned once, by a name of capitals."""
    for place, item in enumerate(tree.body):
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            name = item.targets[0]
            if name.id.isupper() and len(name.id) > 1 and name.id not in replaceable:
                tree.body[place] = ast.AnnAssign(name, ast.Name("Final"), item.value, simple=1)
    docstring = 1 if ast.get_docstring(tree) is not None else 0
    tree.body.insert(docstring, ast.ImportFrom("typing", [ast.alias("Final")], 0))


# --------------------------------------------------------------------------- what may be replaced


def _make_variable(tree: ast.Module, name: str) -> None:
    """Have a module's function, or what it imports, looked up by its name at each use."""
    for place, item in enumerate(tree.body):
        if isinstance(item, ast.Assign | ast.AnnAssign) and name in map(ast.unparse, _targets(item)):
            return  # a constant, which was not declared final
        if isinstance(item, ast.FunctionDef) and item.name == name:
            item.name = f"_{name}_as_written"
        elif isinstance(item, ast.ImportFrom) and (
            alias := next((each for each in item.names if (each.asname or each.name) == name), None)
        ):
            alias.asname = f"_{name}_as_written"
        else:
            continue
        tree.body[place + 1 : place + 1] = ast.parse(f"{name} = _{name}_as_written").body
        return
    raise ValueError(f"no constant, function or import is called {name}")


def _targets(item: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    return item.targets if isinstance(item, ast.Assign) else [item.target]
