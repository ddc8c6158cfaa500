"""The maps of the code in CONTRIBUTING.md and docs/architecture.md name what is in the tree."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "layers/core/sluice"


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
    """No package of the core is missing from the architecture's table."""
    packages = {path.name for path in CORE.iterdir() if (path / "__init__.py").exists()}
    table = set(re.findall(r"`([a-z_]+)/`", (ROOT / "docs/architecture.md").read_text()))
    assert packages <= table
