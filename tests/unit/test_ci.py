"""Continuous integration: `.ci/run` on other machines than the one it was written on, and what the workflows call."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# Each program of the machine that the script changes, or takes long with, as one that only notes what it was asked.
PROGRAMS = {
    "id": "echo 0",
    "apt-get": """
        echo "apt-get $*" >>"$ASKED"
        for each in $LACKS; do
          if [[ " $* " == *" $each "* ]]; then echo "E: Unable to locate package $each" >&2; exit 100; fi
        done
    """,
    "apt-cache": """
        [[ " $LACKS " == *" $2 "* ]] && { echo "N: Unable to locate package $2" >&2; [ "$1" = policy ]; exit; }
        printf '%s:\\n  Installed: (none)\\n  Candidate: 1.0\\n' "$2"
    """,
    "dockerd": "exit 1",
    "debootstrap": "exit 1",
    "docker": "exit 0",
    "make": 'echo "make $*" >>"$ASKED"',
}


def run(tmp_path: Path, lacks: str) -> tuple[list[str], str]:
    """Run `.ci/run` on a machine whose package index lacks some packages: what it asked for, and what it said."""
    for name, does in PROGRAMS.items():
        program = tmp_path / name
        program.write_text(f"#!/usr/bin/env bash\n{does}\n")
        program.chmod(0o755)
    asked = tmp_path / "asked"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ASKED": str(asked), "LACKS": lacks}
    done = subprocess.run(
        ["bash", ROOT / ".ci/run"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return asked.read_text().splitlines(), done.stderr


@pytest.mark.parametrize(
    ("lacks", "browser"),
    [
        ("", "chromium-headless-shell"),
        ("chromium-headless-shell", "chromium"),  # an older release of Debian
        ("chromium-headless-shell chromium golang-github-aws-aws-sdk-go-v2-dev", None),  # Ubuntu has it as a snap
    ],
)
def test_ci_when_a_package_is_missing(tmp_path: Path, lacks: str, browser: str | None) -> None:
    """It names the package and goes on with what is there: the tests that need it skip."""
    asked, said = run(tmp_path, lacks)
    (line,) = (line for line in asked if line.startswith("apt-get install"))
    installed = {word for word in line.split()[2:] if not word.startswith("-")}
    assert "postgresql" in installed
    assert {name for name in installed if name.startswith("chromium")} == ({browser} if browser else set())
    assert not installed & set(lacks.split())
    assert ("NO PACKAGE chromium" in said) == (browser is None)
    targets = [word for line in asked if line.startswith("make") for word in line.split()[1:] if word[0] != "-"]
    assert targets[-5:] == ["setup", "check", "docs", "test", "test-release"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflow_when_its_commands_are_read(workflow: Path) -> None:
    """It runs targets that the Makefile has, and the script that every other machine runs."""
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    commands = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    made = [command.split()[1] for command in commands if command.startswith("make ")]
    assert set(made) <= targets
    # A root's PATH is the one that sudo is configured with, whatever it is asked to preserve: only env sets another.
    rest = [command for command in commands if not command.startswith("make ")]
    assert rest in ([], ['sudo env "PATH=$PATH" CI=true bash .ci/run'])
