"""The source as it is compiled, and when what was built is used."""

import ast
import json
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sluice_tools import compiled
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.compiled import MANIFEST, MODULES, SUFFIX, __main__, fingerprint, fits, use, values
from sluice_tools.compiled.__main__ import CompileError, main
from sluice_tools.compiled.rewriting import rewritten
from sluice_tools.sources import path_of

POINT = """
from dataclasses import field
from sluice.model.frozen import dataclass

WIDTH = 2.0

@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = WIDTH
    tags: frozenset[str] = field(default_factory=frozenset)

    def length(self) -> float:
        return sum(each * each for each in (self.x, self.y))
"""


def run(source: str) -> SimpleNamespace:
    """A rewritten module, interpreted."""
    names: dict[str, Any] = {"__name__": "sluice.model"}
    source = rewritten(source).replace("sluice.model.frozen", "sluice_tools.compiled.values")
    exec(compile(source, "model.py", "exec"), names)
    return SimpleNamespace(**names)


# --------------------------------------------------------------------------- the source


def test_rewritten_when_a_class_is_made() -> None:
    """Its fields have their defaults, it is equal and hashes by them, and a copy is changed as a dataclass's is."""
    point = run(POINT).Point
    assert "def __init__(self, x: float, y: float=WIDTH" in rewritten(POINT)
    one = point(1.0)
    assert (one.x, one.y, one.tags, one.length()) == (1.0, 2.0, frozenset(), 5.0)
    assert one == point(1.0, 2.0) != point(1.0, 3.0)
    assert hash(one) == hash(point(1.0))
    assert values.replace(one, y=4.0) == point(1.0, 4.0)
    assert one.y == 2.0
    assert point.__match_args__ == ("x", "y", "tags")


@pytest.mark.parametrize(
    "fields",
    [
        "items: list[int] = field(default_factory=list)",  # made anew for each
        "known: int = field(default=0, init=False)",
        "",
    ],
)
def test_rewritten_when_a_class_cannot_be_written_out(fields: str) -> None:
    """It is left to its decorator."""
    source = f'@dataclass(frozen=True)\nclass Box:\n    """A box."""\n    {fields}\n'
    assert "__init__" not in rewritten(source)
    assert "frozen=True" in rewritten(source)


REPLACEABLE = """
from math import floor

SHARE = 0.5

def half(x: float) -> float:
    return x * SHARE

def rounded(x: float) -> int:
    return floor(half(x))
"""


@pytest.mark.parametrize(
    ("name", "instead", "comes_to"), [("SHARE", 0.25, 2), ("half", lambda x: x, 8), ("floor", lambda _: 7, 7)]
)
def test_rewritten_when_something_may_be_put_in_a_place(name: str, instead: Any, comes_to: int) -> None:
    """A constant, a function of the module or what it imports is looked up when it is used; mypyc would not."""
    tree = ast.parse(rewritten(REPLACEABLE, {name}))
    final = [ast.unparse(item) for item in tree.body if isinstance(item, ast.AnnAssign)]
    assert final == ([] if name == "SHARE" else ["SHARE: Final = 0.5"])
    functions = {item.name for item in tree.body if isinstance(item, ast.FunctionDef)}
    assert name not in functions
    names: dict[str, Any] = {}
    exec(compile(tree, "model.py", "exec"), names)
    assert names["rounded"](8.0) == 4
    names[name] = instead
    assert names["rounded"](8.0) == comes_to


def test_rewritten_when_there_is_no_such_place() -> None:
    """A rule that names what is not there is found when it is compiled."""
    with pytest.raises(ValueError, match="no constant, function or import is called third"):
        rewritten(REPLACEABLE, {"third"})


def test_rewritten_when_a_class_is_no_dataclass() -> None:
    """Nothing is added to it."""
    source = "class Wide:\n    size: int = 1\n"
    assert ast.dump(ast.parse(rewritten(source)).body[-1]) == ast.dump(ast.parse(source).body[0])


@pytest.mark.parametrize(
    ("source", "becomes"),
    [
        ("total = sum(x for x in y)", "total = sum([x for x in y])"),
        ("total = sum((x for x in y), 1.0)", "total = sum([x for x in y], 1.0)"),
        ("total = sum(y)", "total = sum(y)"),
        ("most = max(x for x in y)", "most = max((x for x in y))"),
        ("LIMIT_S = 2.5", "LIMIT_S: Final = 2.5"),
        ("limit_s = 2.5", "limit_s = 2.5"),
        ("T = TypeVar('T')", "T = TypeVar('T')"),
        ("NAMES: tuple[str, ...] = ()", "NAMES: tuple[str, ...] = ()"),
    ],
)
def test_rewritten_when_a_line_is_read(source: str, becomes: str) -> None:
    """Sums are of lists, so that they are added up as the interpreter does, and constants are final."""
    assert rewritten(f'"""Words."""\n{source}\n').splitlines()[-1] == becomes


@pytest.mark.parametrize("name", [name for name in MODULES if name != "sluice.model.frozen"])
def test_rewritten_when_the_project_is_compiled(name: str) -> None:
    """Every class of the project's that can be is written out, and its functions are what they were."""
    path = path_of(name)
    assert path is not None
    before, after = (ast.parse(text) for text in (path.read_text(), rewritten(path.read_text())))

    def functions(tree: ast.Module) -> dict[str, int]:
        return {
            node.name: len(list(ast.walk(node)))
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef) and node.name not in ("__init__", "__copy__")
        }

    assert functions(before) == functions(after)


def test_replace_when_a_field_is_called_value() -> None:
    """A field may have any name: a positional parameter is none."""

    @dataclass(frozen=True)
    class Reading:
        value: float

    assert values.replace(Reading(1.0), value=2.0) == Reading(2.0)
    with pytest.raises(FrozenInstanceError):
        values.replace(Reading(1.0)).value = 2.0  # type: ignore[misc]


# --------------------------------------------------------------------------- what was built


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder as if something had been built from this checkout's conditions.py."""
    source = fingerprint([Path("sluice_tools/backtest/conditions.py")])
    (tmp_path / MANIFEST).write_text(json.dumps({"suffix": SUFFIX, "source": source}))
    return tmp_path


def test_fits_when_the_source_is_the_same(built: Path) -> None:
    """It is of this interpreter and of this source."""
    assert fits(built)


def changed(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """A manifest that says something else."""
    return lambda manifest: manifest.update({name: value})


@pytest.mark.parametrize(
    "change",
    [
        changed("suffix", ".cpython-399-riscv64-linux-gnu.so"),
        changed("source", {"sluice_tools/backtest/conditions.py": "0" * 64}),
        changed("source", {"sluice_tools/backtest/gone.py": "0" * 64}),
        changed("source", None),
    ],
)
def test_fits_when_something_is_other(built: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Another interpreter, another source, a file that is gone, a manifest that is none: it is not used."""
    manifest = json.loads((built / MANIFEST).read_text())
    change(manifest)
    (built / MANIFEST).write_text(json.dumps(manifest))
    assert not fits(built)
    assert not use(built)


@pytest.mark.slow
def test_build_when_a_source_changes_meanwhile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was built tells of the sources that were compiled, not of what they are when the compiler is done."""

    def compiling(work: Path, _files: list[str]) -> None:
        (work / f"built{SUFFIX}").touch()
        monkeypatch.setattr(__main__, "fingerprint", lambda paths: {str(path): "changed" for path in paths})

    monkeypatch.setattr(__main__, "compiler", lambda: "cc")
    monkeypatch.setattr(__main__, "_compile", compiling)
    __main__.build(tmp_path / "compiled")
    assert fits(tmp_path / "compiled")


def test_use_when_nothing_was_built(tmp_path: Path) -> None:
    """All goes on interpreted."""
    assert not use(tmp_path / "nowhere")
    assert not compiled.in_use()


def test_use_when_it_is_too_late(built: Path) -> None:
    """A process is never of both kinds: some of its classes would not be the others'."""
    assert Conditions.__module__ in sys.modules
    import sluice.model  # noqa: F401 - as this process has it

    with pytest.raises(RuntimeError, match=r"imported already, interpreted: .*sluice\.model"):
        use(built)
    assert not compiled.in_use()


def test_main_when_nothing_can_be_compiled(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It says why and what follows, and is no failure: everything works without."""

    def fails() -> None:
        raise CompileError("no C compiler")

    monkeypatch.setattr(__main__, "fits", lambda: False)
    monkeypatch.setattr(__main__, "build", fails)
    assert main() == 0
    said = capsys.readouterr().err
    assert "no C compiler" in said
    assert "interpreted" in said


def test_modules_when_they_are_looked_for() -> None:
    """Each one is there, and runs are not among them: they go from process to process, and what is compiled cannot."""
    assert all(path_of(name) is not None for name in MODULES)
    assert path_of("sluice_tools.backtest.runs") is not None
    assert "sluice_tools.backtest.runs" not in MODULES
