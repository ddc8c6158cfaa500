"""The project's own source as the tools read it: where a module is, and all that one imports."""

import ast
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
CORE = CHECKOUT / "layers" / "core"


def closure(*modules: str, roots: tuple[Path, ...]) -> dict[str, Path]:
    """Modules and all that they import below the roots, by name."""
    found: dict[str, Path] = {}
    waiting = [*modules]
    while waiting:
        name = waiting.pop()
        path = path_of(name, roots)
        if name in found or path is None:
            continue
        found[name] = path
        waiting += _imports(ast.parse(path.read_text(encoding="utf-8")))
    return found


def digest(module: str, roots: tuple[Path, ...]) -> str:
    """A digest of a module and of all that it imports below the roots; comments and docstrings do not count."""
    said = {
        name: ast.dump(_without_docstrings(ast.parse(path.read_text(encoding="utf-8"))))
        for name, path in closure(module, roots=roots).items()
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def path_of(module: str, roots: tuple[Path, ...] = (CHECKOUT, CORE)) -> Path | None:
    """A module's file; None where it is not below the roots."""
    for root in roots:
        path = root.joinpath(*module.split("."))
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.exists():
                return candidate
    return None


def _imports(tree: ast.Module) -> Iterator[str]:
    """Modules that may be meant: `from a import b` names a, and a.b if that is one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return tree
