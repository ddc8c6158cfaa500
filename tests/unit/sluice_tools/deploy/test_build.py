"""The folder with what a deployment needs: built by Makefiles, the same to the byte for the same source."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from sluice_tools.deploy import build as build_module
from sluice_tools.deploy.build import BuildError, build

MAKEFILE = """\
build-Layer:
\tmkdir -p "$(ARTIFACTS_DIR)/python"
\tcp -R package "$(ARTIFACTS_DIR)/python/"
\ttouch left-in-the-source
"""
TEMPLATE = """\
Resources:
  Layer:
    Type: AWS::Serverless::LayerVersion
    Metadata: { BuildMethod: makefile }
    Properties: { ContentUri: layers/one }
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one layer, whose source has a link and byte code."""
    root = tmp_path / "checkout"
    package = root / "layers/one/package"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__pycache__/a.pyc").write_bytes(b"old")
    (package / "a.py").write_text("a = 1\n")
    (package / "run").write_text("#!/bin/sh\n")
    (package / "run").chmod(0o755)
    (root / "lock.txt").write_text("locked\n")
    (package / "lock.txt").symlink_to(root / "lock.txt")
    (root / "layers/one/Makefile").write_text(MAKEFILE)
    (root / "template.yaml").write_text(TEMPLATE)
    (root / "events").mkdir()
    (root / "events/one.json").write_text("{}")
    (root / "docs").mkdir()
    (root / "docs/settings.schema.json").write_text("{}")
    monkeypatch.setattr(build_module, "TEMPLATES", ("template.yaml",))
    return root


def test_folder_is_whole_when_built(checkout: Path, tmp_path: Path) -> None:
    """Templates, payloads, schema and archives, without byte code of the source; the source is left as it was."""
    into = tmp_path / "deployment"
    (into / "code").mkdir(parents=True)
    (into / "code/left-over.zip").write_bytes(b"")

    build(checkout, into)

    files = {path.relative_to(into).as_posix() for path in into.rglob("*") if path.is_file()}
    assert files == {"template.yaml", "events/one.json", "settings.schema.json", "code/layers-one.zip"}
    with zipfile.ZipFile(into / "code/layers-one.zip") as archive:
        modes = {one.filename: oct(one.external_attr >> 16) for one in archive.infolist()}
        assert archive.read("python/package/lock.txt") == b"locked\n"
    package = "python/package"
    assert modes == {
        f"{package}/a.py": "0o100644", f"{package}/lock.txt": "0o100644", f"{package}/run": "0o100755",
    }  # fmt: skip
    assert not (checkout / "layers/one/left-in-the-source").exists()


def test_archive_is_the_same_when_built_again(checkout: Path, tmp_path: Path) -> None:
    """Whenever its files were written; so a deployment of the same code changes nothing."""
    build(checkout, tmp_path / "one")
    source = checkout / "layers/one/package/a.py"
    source.write_text(source.read_text())
    build(checkout, tmp_path / "two")

    one, two = (tmp_path / name / "code/layers-one.zip" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_step_is_named_when_it_fails(checkout: Path, tmp_path: Path) -> None:
    """With what make said; no archive is left that looks whole."""
    (checkout / "layers/one/Makefile").write_text("build-Layer:\n\techo the registry is away >&2; false\n")

    with pytest.raises(BuildError, match=r"make build-Layer failed:\n.*the registry is away"):
        build(checkout, tmp_path / "deployment")
    assert list((tmp_path / "deployment/code").iterdir()) == []


def test_make_is_asked_for_when_missing(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words, and not by a traceback."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BuildError, match="`make` is missing"):
        build(checkout, tmp_path / "deployment")
