"""A folder as a clone is after a deployment, in which the documents' lines that need an account are pasted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sluice_tools.sandbox.packages import upload_package
from sluice_tools.sandbox.sandbox import ROOT, Sandbox

TIMEOUT_S = 300.0
FILES = ("samconfig.toml", "fleet.yaml", "queue.yaml", "dashboards")


@dataclass(frozen=True, slots=True)
class Clone:
    """The folder, and the account that its lines reach."""

    sandbox: Sandbox
    folder: Path

    def paste(self, line: str, answers: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        """Run a line as it is printed, with answers typed ahead; both streams in ``stdout``."""
        return paste(self.sandbox, self.folder, line, answers, within_s=TIMEOUT_S)


def paste(
    sandbox: Sandbox, folder: Path, script: str, answers: Sequence[str], *, within_s: float
) -> subprocess.CompletedProcess[str]:
    """Run lines as they are, in a shell whose account is the sandbox, with answers typed ahead; both in ``stdout``."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "VIRTUAL_ENV"))}
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=env | sandbox.env(),
        input="".join(f"{answer}\n" for answer in answers),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=within_s,
        check=False,
    )


def clone(sandbox: Sandbox, folder: Path) -> Clone:
    """Lay it out: the environments, SAM CLI's settings, and what `make build` leaves.

    The built template names what the sandbox has of it already, so that SAM CLI uploads nothing a second time.
    """
    for name in (".venv", ".envs"):
        (folder / name).symlink_to(ROOT / name)
    for name in FILES:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, folder / name)
    build = folder / ".aws-sam/build"
    build.mkdir(parents=True)
    bucket, key = upload_package(sandbox, ROOT / "template.yaml").split("/")[-2:]
    sandbox.client("s3").download_file(bucket, key, str(build / "template.yaml"))
    (build / "samconfig.toml").symlink_to("../../samconfig.toml")
    return Clone(sandbox, folder)


def with_names(line: str, names: Mapping[str, str]) -> str:
    """A line with an account's own names, the longest of the documents' names first."""
    for name in sorted(names, key=len, reverse=True):
        line = line.replace(name, names[name])
    return line
