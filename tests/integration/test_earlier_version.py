"""What an upgrade is tested from, in clones with tags and without."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sluice_tools.deploy.build import TEMPLATES
from sluice_tools.release import template_version, version_of, write_version
from sluice_tools.sandbox.sandbox import ROOT
from tests.support.installed import EARLIER, earlier_sources

CORE = "layers/core/sluice/__init__.py"
SIGNED = ("-c", "user.name=A maintainer", "-c", "user.email=maintainer@example.com")


def git(clone: Path, *arguments: str) -> None:
    """Run a command of git in a clone."""
    subprocess.run(["git", *SIGNED, *arguments], cwd=clone, check=True, capture_output=True)


def release(clone: Path, version: str) -> None:
    """Cut a release as RELEASE.md says: a commit whose files have the version, and its tag."""
    write_version(version, clone)
    core = clone / CORE
    core.write_text(f"{core.read_text()}\nRELEASED = {version!r}\n")
    git(clone, "commit", "--quiet", "--all", "--message", f"Release {version}")
    git(clone, "tag", "--annotate", f"v{version}", "--message", f"Release {version}")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of this repository without a tag."""
    made = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--shared", ROOT, made], check=True, capture_output=True)
    for tag in subprocess.run(["git", "tag"], cwd=made, check=True, capture_output=True, text=True).stdout.split():
        git(made, "tag", "--delete", tag)
    return made


def versions(sources: Path) -> set[str]:
    """What the project and its templates say of their version."""
    return {version_of(sources), *(template_version(sources / name) for name in TEMPLATES)}


def test_earlier_version_is_the_newest_tags_when_there_are_some(clone: Path, tmp_path: Path) -> None:
    """By number and not by name; candidates are no versions. Its files are whole, and its code differs from now."""
    release(clone, "0.9.0")
    release(clone, "0.10.0")
    git(clone, "tag", "v0.11.0-rc1", "HEAD~1")
    release(clone, "0.12.0")
    git(clone, "tag", "--delete", "v0.12.0")

    sources = earlier_sources(tmp_path / "earlier", clone)

    assert versions(sources) == {"0.10.0"}
    core = (sources / CORE).read_text()
    assert "RELEASED = '0.10.0'" in core
    assert "RELEASED = '0.12.0'" not in core
    for path in (CORE, *(str(path.relative_to(clone)) for path in clone.glob("functions/*/app.py"))):
        assert (sources / path).read_text() != (clone / path).read_text(), path


def test_earlier_version_is_the_release_when_its_number_is_still_the_projects(clone: Path, tmp_path: Path) -> None:
    """A commit that follows a release has its number until the next `make version`: the earlier one is told apart."""
    release(clone, "0.9.0")
    git(clone, "commit", "--quiet", "--allow-empty", "--message", "A change")

    sources = earlier_sources(tmp_path / "earlier", clone)

    assert "RELEASED = '0.9.0'" in (sources / CORE).read_text()
    assert versions(sources) == {EARLIER}


def test_earlier_version_is_the_release_before_when_the_commit_is_tagged(clone: Path, tmp_path: Path) -> None:
    """CI runs on a release's own commit: nothing would be upgraded from itself."""
    release(clone, "0.9.0")
    release(clone, "0.10.0")

    assert versions(earlier_sources(tmp_path / "earlier", clone)) == {"0.9.0"}


def test_earlier_version_is_the_clones_own_when_there_is_no_tag(clone: Path, tmp_path: Path) -> None:
    """With another number and other code."""
    sources = earlier_sources(tmp_path / "earlier", clone)

    assert versions(sources) == {EARLIER}
    assert (sources / CORE).read_text() == f"{(clone / CORE).read_text()}\nEARLIER = {EARLIER!r}\n"
