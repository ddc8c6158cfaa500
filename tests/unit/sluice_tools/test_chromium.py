"""Which Chromium takes pictures and runs the browser tests."""

from pathlib import Path

import pytest

from sluice_tools import chromium


def installed(directory: Path, *names: str) -> None:
    """Put programs there."""
    for name in names:
        (directory / name).touch(mode=0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the path."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(chromium.VARIABLE, raising=False)
    return tmp_path


def test_the_shell_is_taken_when_the_whole_browser_is_there_as_well(path: Path) -> None:
    """It takes a fifth of the time for each page."""
    installed(path, "google-chrome", "chromium", "chromium-headless-shell")
    assert chromium.program() == str(path / "chromium-headless-shell")


def test_another_is_taken_when_the_shell_is_missing(path: Path) -> None:
    """Debian's own comes before Google's."""
    installed(path, "google-chrome", "chromium")
    assert chromium.program() == str(path / "chromium")


def test_the_named_one_is_taken_when_a_variable_names_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is on the path."""
    installed(path, "chromium-headless-shell")
    monkeypatch.setenv(chromium.VARIABLE, "/opt/chrome")
    assert chromium.program() == "/opt/chrome"


def test_there_is_none_when_nothing_is_installed(path: Path) -> None:
    """Whoever asks says what to install."""
    assert list(path.iterdir()) == []
    assert chromium.program() is None
