"""Builds what a deployment needs into one folder: the templates, and the code that they name in archives.

A wheel has this folder (`hatch_build.py` calls `build`), and so does a checkout once `sluice deploy` has run there. The
steps are those of SAM CLI: each layer and function has a Makefile with a target for its logical id.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from sluice_tools.cfn import Template
from sluice_tools.sam_cli import digest_of_sources

TEMPLATES = ("template.yaml", "fleet.yaml", "queue.yaml")
INSTALLED = Path(__file__).parents[1] / "deployment"
"""Where the folder is in a wheel."""
CHECKOUT = Path(__file__).parents[2]
BUILT = CHECKOUT / "build" / "deployment"
"""Where it is in a checkout."""
CODE = ("CodeUri", "ContentUri")
"""The properties by which a template names code."""
LONGEST_S = 900.0
"""Of one layer or function: downloads of a dozen libraries on a slow line take minutes."""
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time of every file in an archive: the earliest that the format has, so that the same code is the same archive."""


class BuildError(RuntimeError):
    """What a deployment needs could not be built; the message says what is missing, or ends with the last lines."""


def deployment_folder() -> Path:
    """The folder with what a deployment needs: the wheel's, or in a checkout the one that is built from its sources.

    Raises:
        BuildError: It could not be built.
    """
    if INSTALLED.is_dir():
        return INSTALLED
    if not (CHECKOUT / TEMPLATES[0]).exists():
        raise BuildError(f"{INSTALLED} is missing: the installation is incomplete, install Sluice again")
    with _alone(BUILT.with_suffix(".lock")):
        state, digest = BUILT / "sources", digest_of_sources(CHECKOUT)
        if not state.exists() or state.read_text() != digest:
            build(CHECKOUT, BUILT)
            state.write_text(digest)
    return BUILT


def template_file(name: str) -> Path:
    """Where one of TEMPLATES is: in the wheel, or in the checkout."""
    return (INSTALLED if INSTALLED.is_dir() else CHECKOUT) / name


def build(root: Path, into: Path) -> None:
    """Build the folder; what was in it is replaced.

    Args:
        root: a checkout.
        into: the folder.

    Raises:
        BuildError: `make` is missing, or a step failed.
    """
    shutil.rmtree(into, ignore_errors=True)
    (into / "code").mkdir(parents=True)
    for name in TEMPLATES:
        shutil.copyfile(root / name, into / name)
        for logical_id, source in code_of(Template.load(root / name)).items():
            archive = into / "code" / archive_of(source)
            if not archive.exists():
                _build_one(root / source, logical_id, archive)
    shutil.copytree(root / "events", into / "events")
    shutil.copyfile(root / "docs/settings.schema.json", into / "settings.schema.json")


def code_of(template: Template) -> dict[str, str]:
    """The layers and functions of a template that are to be built: the folder of each one's source by logical id."""
    return {
        name: properties[key]
        for name, resource in template.resources.items()
        if resource.get("Metadata", {}).get("BuildMethod") == "makefile"
        for properties in [resource["Properties"]]
        for key in CODE
        if key in properties
    }


def archive_of(source: str) -> str:
    """The name of the archive that has what was built of a folder, such as functions-planner.zip."""
    return source.replace("/", "-") + ".zip"


def _build_one(source: Path, logical_id: str, archive: Path) -> None:
    """Build one layer or function in a copy of its source, as SAM CLI does, and pack it."""
    if shutil.which("make") is None:
        raise BuildError("`make` is missing: Sluice's layers are built with it, so install it (it is in every Linux's"
                         " packages, and in Apple's command line tools)")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="sluice-build-") as scratch:
        copy, result = Path(scratch, "source"), Path(scratch, "result")
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))  # links become what they name
        result.mkdir()
        done = subprocess.run(
            ["make", "--no-print-directory", f"build-{logical_id}", f"ARTIFACTS_DIR={result}"],
            cwd=copy, env=_environ(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=LONGEST_S,
        )  # fmt: skip
        if done.returncode != 0:
            raise BuildError(
                f"{source}: make build-{logical_id} failed:\n{(done.stdout + done.stderr).strip()[-4_000:]}"
            )
        partial = archive.with_suffix(".partial")
        pack(result, partial)
        partial.rename(archive)


def _environ() -> dict[str, str]:
    """This process's variables, with the checkout's uv on the path where there is one; without VIRTUAL_ENV."""
    path = os.pathsep.join([str(CHECKOUT / ".envs/bootstrap/bin"), os.environ.get("PATH", os.defpath)])
    return {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | {"PATH": path}


def pack(folder: Path, archive: Path) -> None:
    """An archive of a folder that is the same to the byte for the same contents."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), EARLIEST)
            # Lambda's own user must be able to read it: https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
            entry.external_attr = (0o100755 if path.stat().st_mode & 0o100 else 0o100644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes())


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
