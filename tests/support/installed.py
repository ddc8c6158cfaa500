"""Wheels of this version and of the one before, each installed into an empty environment of its own."""

from __future__ import annotations

import os
import pty
import re
import shutil
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

from sluice_tools.deploy.build import TEMPLATES
from sluice_tools.release import IN_PROJECT, IN_TEMPLATE, version_of
from sluice_tools.sandbox.sandbox import ROOT

SOURCES = (
    *TEMPLATES, "pyproject.toml", "hatch_build.py", "README.md", "LICENSE", "layers", "functions", "events",
    "sluice_tools", "requirements", "docs/settings.schema.json", "examples/orders",
)  # fmt: skip
"""What a wheel is built from."""
EARLIER = "0.0.9"
"""The version of a build that stands for the one before, where that would have this version's number."""
TIMEOUT_S = 600.0
"""Of a build or an installation, which take seconds with a warm cache of libraries."""


def uv() -> str:
    """The project's uv, or the machine's."""
    own = ROOT / ".envs/bootstrap/bin/uv"
    return str(own) if own.exists() else (shutil.which("uv") or "uv")


def run(*command: str | Path, cwd: Path, **environ: str) -> str:
    """Run a command that must succeed; what it printed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "VIRTUAL_ENV", "PYTHON"))}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=env | environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stdout[-3_000:]}\n{done.stderr[-3_000:]}"
    return done.stdout


def wheel_of(sources: Path, into: Path) -> Path:
    """The wheel of a checkout."""
    run(uv(), "build", "--quiet", "--wheel", "--python", sys.executable, "--out-dir", into, ".", cwd=sources)
    (wheel,) = into.glob("*.whl")
    return wheel


def paste(script: str, directory: Path, programs: Path, **environ: str) -> str:
    """Run printed lines at a terminal where somebody agrees to what is asked; each line, and what it printed.

    `programs` come first on the path.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "VIRTUAL_ENV", "PYTHON"))}
    path = os.pathsep.join([str(programs), str(Path(uv()).parent), env["PATH"]])
    ours, theirs = pty.openpty()
    try:
        os.write(ours, b"y\n")
        done = subprocess.run(
            ["bash", "-veu", "-o", "pipefail", "-c", script], cwd=directory, env=env | environ | {"PATH": path},
            stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0, done.stdout[-6_000:]
    return done.stdout


def install(wheel: Path, into: Path) -> Path:
    """An empty environment with nothing but the wheel and what it requires; its folder of programs."""
    run(uv(), "venv", "--quiet", "--python", sys.executable, into, cwd=ROOT)
    run(uv(), "pip", "install", "--quiet", "--python", into / "bin/python", wheel, cwd=ROOT)
    return into / "bin"


def earlier_sources(into: Path, root: Path = ROOT) -> Path:
    """The sources of the version before `root`'s commit, changed so that each layer and function differs from now.

    They are the newest tag's. Where there is no tag, or only one of this very commit, they are the clone's own.
    """
    tag = newest_tag(root)
    if tag is None:
        _copy_sources(root, into)
    else:
        packed = subprocess.run(["git", "archive", tag], cwd=root, check=True, capture_output=True)
        with tarfile.open(fileobj=BytesIO(packed.stdout)) as archive:
            archive.extractall(into, filter="data")
    if version_of(into) == version_of(root):  # until the next `make version` a release's number is that of what follows
        for name in TEMPLATES:
            path = into / name
            path.write_text(IN_TEMPLATE.sub(EARLIER, path.read_text(), count=1))
        project = into / "pyproject.toml"
        project.write_text(IN_PROJECT.sub(f'version = "{EARLIER}"', project.read_text(), count=1))
    for code in (into / "layers/core/sluice/__init__.py", *into.glob("functions/*/app.py")):
        code.write_text(f"{code.read_text()}\nEARLIER = {EARLIER!r}\n")
    return into


def newest_tag(root: Path) -> str | None:
    """The tag of the newest version before a checkout's commit, such as v0.2.0."""
    listed = subprocess.run(
        ["git", "tag", "--list", "v*", "--merged", "HEAD", "--no-contains", "HEAD", "--sort=-version:refname"],
        cwd=root, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return next((tag for tag in listed.stdout.split() if re.fullmatch(r"v\d+\.\d+\.\d+", tag)), None)


def _copy_sources(root: Path, into: Path) -> None:
    for name in SOURCES:
        source, target = root / name, into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, target)
