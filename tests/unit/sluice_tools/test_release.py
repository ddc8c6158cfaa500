"""A release: what is in its way, and where its version is written."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path

import pytest

from sluice_tools import release
from sluice_tools.deploy.build import TEMPLATES
from sluice_tools.release import (
    IN_PAGE,
    PAGE,
    SECTION,
    ReleaseError,
    problems,
    set_version,
    template_version,
    version_of,
)

ROOT = Path(__file__).resolve().parents[3]
TODAY = date(2026, 12, 1)
CHANGELOG = """\
# Changelog

## Unreleased

### Added

- Something.

## 0.1.0 - 2026-11-01

- The first.
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with the project's own templates, and one change that is not released."""
    (tmp_path / "docs").mkdir()
    for name in (*TEMPLATES, "pyproject.toml", "samconfig.toml", PAGE):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "--quiet")
    commit(tmp_path)
    return tmp_path


def git(directory: Path, *arguments: str) -> None:
    """Run git as somebody."""
    who = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=directory, check=True, capture_output=True)


def commit(directory: Path) -> None:
    """Commit everything."""
    git(directory, "add", "--all")
    git(directory, "commit", "--quiet", "--message", "all")


@pytest.mark.parametrize("name", TEMPLATES)
def test_template_has_the_projects_version_when_compared(name: str) -> None:
    """So every deployed stack says in its outputs which version it is from."""
    assert template_version(ROOT / name) == version_of(ROOT)


def test_page_has_the_projects_version_when_compared() -> None:
    """URLs and lines to paste are of this version."""
    assert {version for _, version in IN_PAGE.findall((ROOT / PAGE).read_text())} == {version_of(ROOT)}


def test_changelog_has_the_projects_version_when_read() -> None:
    """With a date and changes, below what is not released."""
    text = (ROOT / "CHANGELOG.md").read_text()
    unreleased, version = SECTION.findall(text)[:2]

    assert unreleased == "Unreleased"
    assert re.fullmatch(rf"{re.escape(version_of(ROOT))} - \d{{4}}-\d\d-\d\d", version)
    assert "\n### Added\n" in text.partition(f"## {version}\n")[2]


def test_release_is_clear_when_its_version_is_set_and_committed(checkout: Path) -> None:
    """In the project, the templates and the changelog, whose unreleased changes are the version's."""
    set_version(checkout, "7.8.9", TODAY)

    assert version_of(checkout) == "7.8.9"
    assert {template_version(checkout / name) for name in TEMPLATES} == {"7.8.9"}
    printed = (checkout / PAGE).read_text()
    assert {version for _, version in IN_PAGE.findall(printed)} == {"7.8.9"}
    assert "7.8.9/template.yaml&stackName" in printed, "the link that opens the console"
    assert "provider 5.100.0" in printed
    changelog = (checkout / "CHANGELOG.md").read_text()
    assert "## Unreleased\n\n## 7.8.9 - 2026-12-01\n\n### Added\n\n- Something.\n" in changelog
    (tree,) = problems(checkout)
    assert tree.startswith("the tree has changes that are not committed:\n M CHANGELOG.md")
    commit(checkout)
    assert problems(checkout) == []


def test_problems_are_all_named_when_nothing_was_prepared(checkout: Path) -> None:
    """Each with its file and what would be right."""
    template = checkout / "fleet.yaml"
    template.write_text(template.read_text().replace(f"Version: {version_of(checkout)} ", "Version: 0.0.1 "))
    (checkout / "left.txt").write_text("")

    found = problems(checkout)

    for words in ("?? left.txt", "fleet.yaml: has version 0.0.1", "empty `## Unreleased`", "and the date"):
        assert any(words in problem for problem in found), words
    assert len(found) == 4


def test_release_is_refused_when_its_section_is_empty(checkout: Path) -> None:
    """A heading alone says nothing to users."""
    set_version(checkout, "7.8.9", TODAY)
    changelog = checkout / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace("- Something.\n", ""))
    commit(checkout)

    (problem,) = problems(checkout)
    assert "must have the changes of 7.8.9" in problem


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", "1.0.0-rc1", "", "0.1.0"])
def test_version_is_refused_when_it_is_none_or_was_released(version: str, checkout: Path) -> None:
    """Three numbers that the changelog does not have."""
    with pytest.raises(ReleaseError, match="VERSION: "):
        set_version(checkout, version, TODAY)
    assert (checkout / "CHANGELOG.md").read_text() == CHANGELOG


def test_version_is_refused_when_nothing_is_unreleased(checkout: Path) -> None:
    """There would be nothing to say about it."""
    set_version(checkout, "7.8.9", TODAY)

    with pytest.raises(ReleaseError, match="nothing to release"):
        set_version(checkout, "7.9.0", TODAY)


UV = """\
#!{python}
import sys, zipfile
with zipfile.ZipFile(sys.argv[sys.argv.index("--out-dir") + 1] + "/sluice-7.8.9-py3-none-any.whl", "w") as wheel:
    wheel.writestr("sluice_tools/deployment/code/layers-core.zip", b"code")
    wheel.write("template.yaml", "sluice_tools/deployment/template.yaml")
    wheel.writestr("sluice_tools/cli.py", b"")
"""
BOM = """\
#!{python}
import sys
open(sys.argv[sys.argv.index("--output-file") + 1], "w").write(sys.argv[2])
"""


def program(path: Path, text: str) -> Path:
    """A program that stands for another."""
    path.write_text(text.format(python=sys.executable))
    path.chmod(0o755)
    return path


def test_files_are_whole_when_built(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wheel, what is deployed, the layer's bill of materials, and sums that agree; what was there before is gone."""
    set_version(checkout, "7.8.9", TODAY)
    monkeypatch.setattr(release, "BOM_TOOL", program(tmp_path / "bom", BOM))
    dist = tmp_path / "dist"
    dist.mkdir()
    (dist / "sluice-0.1.0-py3-none-any.whl").write_text("")

    files = release.build(checkout, dist, str(program(tmp_path / "uv", UV)))

    names = ["sluice-7.8.9-deployment.zip", "sluice-7.8.9-py3-none-any.whl", "sluice-7.8.9.cdx.json", "SHA256SUMS"]
    assert [path.name for path in files] == names
    assert {path.name for path in dist.iterdir()} == set(names)
    with zipfile.ZipFile(files[0]) as deployment:
        there = ["deployment/code/layers-core.zip", "deployment/template.yaml", "deployment/samconfig.toml"]
        assert deployment.namelist() == there
        template = deployment.read("deployment/template.yaml").decode()
        assert deployment.read("deployment/samconfig.toml") == (ROOT / "samconfig.toml").read_bytes()
    named = set(re.findall(r"(?:CodeUri|ContentUri): (.*)", template))
    assert {"code/layers-core.zip", "code/functions-planner.zip"} < named
    assert all(re.fullmatch(r"code/[a-z-]+\.zip", one) for one in named), "the folders of the sources are not there"
    assert files[2].read_text() == "requirements/runtime.txt", "it is of what the layer has"
    subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=dist, check=True, capture_output=True)


def test_step_is_named_when_it_fails(checkout: Path, tmp_path: Path) -> None:
    """With what it said."""
    failing = program(tmp_path / "uv", "#!{python}\nraise SystemExit('the registry is away')\n")

    with pytest.raises(ReleaseError, match="build failed:\nthe registry is away"):
        release.build(checkout, tmp_path / "dist", str(failing))
