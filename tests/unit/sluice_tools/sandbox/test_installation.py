"""The emulator's environment where a wheel is installed: made once, whole or not at all."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sluice_tools.sandbox import installation

# Stands for uv: notes what it was asked, and makes what is told apart by the first word.
UV = """\
#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
case "$1" in
venv) shift $(($# - 2)); mkdir -p "$1/bin"; touch "$1/bin/python" ;;
pip) [ ! -e "$(dirname "$0")/broken" ] || { echo "no such version" >&2; exit 1; } ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed wheel's folders, and a uv that makes no network call."""
    (tmp_path / "uv").write_text(UV)
    (tmp_path / "uv").chmod(0o755)
    (tmp_path / "emulator.txt").write_text("ministack==1.5.33\n")
    monkeypatch.setitem(sys.modules, "uv", SimpleNamespace(find_uv_bin=lambda: str(tmp_path / "uv")))
    monkeypatch.setattr(installation, "IS_WHEEL", True)
    monkeypatch.setattr(installation, "LOCK", tmp_path / "emulator.txt")
    monkeypatch.setattr(installation, "CACHE", tmp_path / "cache")
    return tmp_path


def test_environment_is_made_once_when_missing(folder: Path) -> None:
    """From the lock, with hashes; another lock makes another one."""
    installation.make_emulator_environment()
    installation.make_emulator_environment()

    first = installation.emulator_python()
    assert first.exists()
    venv, pip = (folder / "asked").read_text().splitlines()
    assert venv.startswith("venv --relocatable --python ")
    assert f"--require-hashes --requirements {folder / 'emulator.txt'}" in pip

    (folder / "emulator.txt").write_text("ministack==1.5.34\n")
    assert installation.emulator_python() != first
    assert not installation.emulator_python().exists()


def test_nothing_is_left_when_it_cannot_be_made(folder: Path) -> None:
    """The next start tries again."""
    (folder / "broken").touch()

    with pytest.raises(installation.InstallationError, match="uv pip failed:\nno such version"):
        installation.make_emulator_environment()

    assert not installation.emulator_python().exists()
    assert list((folder / "cache").iterdir()) == []


def test_checkouts_environment_is_its_own_when_nothing_is_installed() -> None:
    """That of `make setup-sandbox`; nothing else is made."""
    installation.make_emulator_environment()

    assert installation.emulator_python() == installation.CHECKOUT / ".envs/emulator/bin/python"
    assert (installation.ORDERS / "template.yaml").exists()
