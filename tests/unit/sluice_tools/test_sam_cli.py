"""What a build is made of, so that it is made again when that changes, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice_tools.cfn import Template
from sluice_tools.sam_cli import ROOT, SOURCES, digest_of_sources

LOCATIONS = ("CodeUri", "ContentUri", "Location")


@pytest.mark.parametrize("template", ["template.yaml", "fleet.yaml", "queue.yaml", "examples/orders/template.yaml"])
def test_sources_have_all_that_a_template_names(template: str) -> None:
    """The template itself, and the code, layers and nested templates that it is built of."""
    path = ROOT / template
    named = [
        str((path.parent / resource["Properties"][location]).relative_to(ROOT))
        for resource in Template.load(path).resources.values()
        for location in LOCATIONS
        if location in resource.get("Properties", {})
    ]

    assert [name for name in [template, *named] if not any(Path(name).is_relative_to(one) for one in SOURCES)] == []


@pytest.mark.parametrize("changed", ["template.yaml", "functions/planner/app.py", "layers/core/new.py"])
def test_digest_is_another_when_a_source_changes(tmp_path: Path, changed: str) -> None:
    """A template, a function's code, or a file more in a layer; back again, it is the same as before."""
    for name in ("template.yaml", "functions/planner/app.py", "layers/core/old.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    path = tmp_path / changed
    before, kept = digest_of_sources(tmp_path), path.read_text() if path.exists() else None

    path.write_text("as it is")

    assert digest_of_sources(tmp_path) != before
    path.unlink()
    if kept is not None:
        path.write_text(kept)
    assert digest_of_sources(tmp_path) == before


def test_digest_is_the_same_when_only_byte_code_is_new(tmp_path: Path) -> None:
    """Python writes it whenever it imports something."""
    (tmp_path / "template.yaml").write_text("as it was")
    before = digest_of_sources(tmp_path)

    (tmp_path / "layers/core/__pycache__").mkdir(parents=True)
    (tmp_path / "layers/core/__pycache__/old.cpython-313.pyc").write_bytes(b"code")

    assert digest_of_sources(tmp_path) == before
