"""The names of metrics and log fields that the functions write, read from their code.

A function is its handler and the core's packages that write in its name. What a dashboard or a saved query names is
compared with these, so that a renamed metric or field fails a test and not somebody's dashboard.
"""

from __future__ import annotations

import ast
import io
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from aws_lambda_powertools import Logger

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "layers/core/sluice"
SHARED = ("chains.py", "notices.py")
WRITERS = {
    "planner": ("planning", *SHARED),
    "drainer": ("draining", *SHARED),
    "redriver": ("redriving", *SHARED),
    "operator": ("operator", "redriving", "draining", *SHARED),
    "console": ("widget",),
    "onboarding": ("onboarding",),
}
"""By function: the parts of the core that write to its log and its metrics."""
LEVELS = frozenset({"debug", "info", "warning", "error", "exception"})
METRIC_NAME = re.compile(r"[A-Z][A-Za-z]+")


def modules(function: str) -> Iterator[ast.Module]:
    """The parsed modules of one function."""
    paths = [ROOT / f"functions/{function}/app.py"]
    for part in WRITERS[function]:
        where = CORE / part
        paths += [where] if where.is_file() else sorted(where.rglob("*.py"))
    return (ast.parse(path.read_text()) for path in paths)


def _called(node: ast.AST) -> str:
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


@cache
def metrics_of(function: str) -> frozenset[str]:
    """The metrics of a fleet that one function may write.

    These are the capitalised texts of the modules that make metric records. A name that is put together, such as
    `f"{side}Late"`, counts with each text of its module in place of what is put in.
    """
    found: set[str] = set()
    for module in modules(function):
        nodes = list(ast.walk(module))
        if not any(_called(node) in {"Record", "count"} for node in nodes):
            continue
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        names = {text for text in texts if METRIC_NAME.fullmatch(text)}
        for node in nodes:
            if isinstance(node, ast.JoinedStr) and len(node.values) == 2 and isinstance(node.values[1], ast.Constant):
                found |= {f"{name}{node.values[1].value!s}" for name in names}
        found |= names
    return frozenset(found)


@cache
def log_fields_of(function: str) -> frozenset[str]:
    """The fields of one function's log lines: the keywords of each line that its code writes, and the logger's own."""
    found = set(logger_fields())
    for module in modules(function):
        for node in ast.walk(module):
            if not isinstance(node, ast.Call):
                continue
            name = _called(node)
            target = ast.unparse(node.func)
            # A level may be chosen before the line is written: `log = self.log.warning if ... else self.log.info`.
            writes = (name in LEVELS and "log" in target) or target.endswith("log") or "self.log." in target
            if writes or name == "append_context_keys" or target.startswith("self._at("):
                found |= {keyword.arg for keyword in node.keywords if keyword.arg}
                found |= {
                    key.value
                    for keyword in node.keywords
                    if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict)
                    for key in keyword.value.keys
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                }
    return frozenset(found)


@cache
def logger_fields() -> frozenset[str]:
    """The fields that Powertools' Logger writes by itself, read from a line that it wrote."""
    stream = io.StringIO()
    Logger(service="telemetry-names", stream=stream).info("a line")
    line: dict[str, Any] = json.loads(stream.getvalue())
    return frozenset(line)
