"""The maps of the code in CONTRIBUTING.md and docs/architecture.md name what is in the tree, and who imports whom."""

import re
import tomllib
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import grimp  # what import-linter builds its graph with
import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "layers/core/sluice"
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
LAYERS, PURE = (
    next(contract for contract in CONTRACTS if contract["name"].startswith(start))
    for start in ("Packages", "Judgments")
)
FOR_ALL = {"telemetry", "wording"}  # they import nothing of the core, and every package may import them
ONE_NODE = {"memory": "aws"}  # drawn as one


@pytest.fixture(scope="module")
def modules() -> grimp.ImportGraph:
    """The core's modules and what they import."""
    return grimp.build_graph("sluice", cache_dir=None)


def named(page: str) -> list[str]:
    """The paths that a page names in backticks."""
    text = (ROOT / page).read_text()
    return [path for path in re.findall(r"`([a-z_*/.-]+(?:\.py|/))`", text) if "/" in path or path.endswith(".py")]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_map_names_what_is_there_when_read(page: str) -> None:
    """Every file and folder that a map names is there, from the repository's root or from the core's."""
    paths = named(page)
    assert len(paths) > 5
    missing = [path for path in paths if not any(list(base.glob(path.rstrip("/"))) for base in (ROOT, CORE))]
    assert missing == []


def test_map_is_whole_when_packages_are_counted() -> None:
    """No package or module of the core itself is missing from the architecture's table."""
    packages = {path.name for path in CORE.iterdir() if (path / "__init__.py").exists()}
    table = set(re.findall(r"`([a-z_]+)/`", (ROOT / "docs/architecture.md").read_text()))
    assert packages <= table
    assert {path.name for path in CORE.glob("*.py")} - {"__init__.py"} <= set(named("docs/architecture.md"))


def test_rows_of_the_map_are_the_levels_that_are_checked() -> None:
    """CONTRIBUTING's table says who may import whom as import-linter checks it."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    table = text[text.index("| package | what lives there |") :].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert [set(re.findall(r"`([a-z]+)(?:/|\.py)`", row)) for row in rows] == [
        set(level.split(" | ")) for level in reversed(LAYERS["layers"])
    ]


def drawn() -> Iterator[tuple[str, str]]:
    """The arrows of the diagram of packages, as (who imports, what is imported)."""
    diagram = (ROOT / "docs/architecture.md").read_text().partition("## Packages")[2]
    diagram = diagram.partition("```mermaid")[2].partition("```")[0]
    for line in diagram.splitlines():
        if ">" in line:
            ends = re.split(r"-->|-\..*\.->", re.sub(r"\[.*?\]", "", line))
            before, after = ([node.strip() for node in end.split("&")] for end in ends)
            yield from product(before, after)


def imported(modules: grimp.ImportGraph) -> set[tuple[str, str]]:
    """Who imports whom, by the nodes of the diagram."""
    pairs = {
        (module.split(".")[1], other.split(".")[1])
        for module in modules.modules
        if "." in module
        for other in modules.find_modules_directly_imported_by(module)
    }
    for path in (ROOT / "functions").glob("*/*.py"):
        pairs |= {
            ("functions", name) for name in re.findall(r"^ *from sluice\.([a-z]+)", path.read_text(), re.MULTILINE)
        }
    nodes = {(ONE_NODE.get(before, before), ONE_NODE.get(after, after)) for before, after in pairs}
    return {(before, after) for before, after in nodes if before != after and after not in FOR_ALL}


def reached(node: str, arrows: set[tuple[str, str]]) -> set[str]:
    """Everything that a node imports, also by way of others."""
    there = {after for before, after in arrows if before == node}
    return there.union(*(reached(after, arrows) for after in there))


def test_arrows_when_the_diagram_is_held_to_the_imports(modules: grimp.ImportGraph) -> None:
    """Each arrow is an import, and each import is an arrow or follows from several."""
    arrows, imports = set(drawn()), imported(modules)
    assert len(arrows) > 20
    assert arrows - imports == set()
    assert {(before, after) for before, after in imports if after not in reached(before, arrows)} == set()


def test_judgments_when_those_that_know_no_port_are_counted(modules: grimp.ImportGraph) -> None:
    """Each is imported by one that import-linter holds to knowing none, or is one: a new one cannot be forgotten."""
    reaching = ("sluice.ports", "sluice.aws", "sluice.memory")
    held = {
        module
        for module in modules.modules
        if any(module == name or module.startswith(f"{name}.") for name in PURE["source_modules"])
    }
    held = held.union(*map(modules.find_upstream_modules, held))
    pure = {
        module
        for module in modules.modules
        if not modules.find_children(module)
        and not module.startswith((*reaching, "sluice.widget", "sluice.telemetry"))  # HTML, and what logs are set to
        and not any(other.startswith(reaching) for other in modules.find_upstream_modules(module))
    }
    assert len(pure) > 80
    assert pure - held == set()
