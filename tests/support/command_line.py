"""The `sluice` command, called in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from sluice_tools import cli


def run(*arguments: str) -> int:
    """The command's exit code."""
    return cli.run(arguments)


def set_up_caller(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Give the caller credentials and a region, `directory` for files of configuration, and 100 columns."""
    for name in ("AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    given = {
        "AWS_CONFIG_FILE": str(directory / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(directory / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "eu-west-1",
        "COLUMNS": "100",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
