"""Functions' archives are unpacked once, and each process has what its own archive holds."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

import pytest

from sluice_tools.sandbox.emulator.archives import SharedArchive


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sandbox's TMPDIR is for the emulator."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def archive(directory: Path, text: str) -> str:
    """An archive of one file; its path."""
    path = directory / f"{len(list(directory.iterdir()))}.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("app/code.py", text)
    return str(path)


def extracted(path: str, into: Path) -> Path:
    """The file of an archive, extracted into a new folder as ministack does."""
    into.mkdir()
    with SharedArchive(path) as opened:
        opened.extractall(str(into))
    return into / "app/code.py"


def test_members_are_unpacked_once_when_two_processes_have_the_same_archive(tmp_path: Path) -> None:
    """Both folders have them, and they are the same file."""
    path = archive(tmp_path, "x = 1")

    first, second = (extracted(path, tmp_path / name) for name in ("first", "second"))

    assert first.read_text() == second.read_text() == "x = 1"
    assert first.samefile(second)


def test_nobody_looks_at_members_when_they_are_unpacked_already(tmp_path: Path) -> None:
    """Where each would go: ministack asks before every extraction."""
    path = archive(tmp_path, "x = 1")
    with SharedArchive(path) as before:
        assert before.namelist() == ["app/code.py"]

    extracted(path, tmp_path / "first")

    with SharedArchive(path) as after:
        assert after.namelist() == []


def test_members_are_its_own_when_an_archive_differs(tmp_path: Path) -> None:
    """A deployment of changed code is not given the old one."""
    first, second = (extracted(archive(tmp_path, text), tmp_path / text) for text in ("x = 1", "x = 2"))

    assert (first.read_text(), second.read_text()) == ("x = 1", "x = 2")


@pytest.mark.parametrize("before", [False, True])
def test_members_are_extracted_when_the_folder_holds_something(tmp_path: Path, before: bool) -> None:
    """What stands there stays, whether they are unpacked already or not."""
    path = archive(tmp_path, "x = 1")
    if before:
        extracted(path, tmp_path / "first")
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "mine").write_text("stays")

    with SharedArchive(path) as opened:
        opened.extractall(str(folder))

    assert (folder / "mine").read_text() == "stays"
    assert (folder / "app/code.py").read_text() == "x = 1"
