"""Runs SAM CLI, in the environment of its own that `make setup-sandbox` builds."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SAM = ROOT / ".envs/sam/bin/sam"

SAM_TIMEOUT_S = 600.0
"""A build that resolves dependencies on a cold cache takes minutes; a deployment into the emulator 15 s."""
SHOWN_LINES = 40
"""Of SAM CLI's output, in an error."""
BUILDS = ROOT / "build/sam"
"""What was built last of each template, and SAM CLI's cache of it."""
SOURCES = (
    "template.yaml", "fleet.yaml", "queue.yaml", "examples/orders/template.yaml", "functions", "layers", "requirements",
)  # fmt: skip
"""Files and folders that builds are made of; `requirements` has the locks of the layer's libraries and of SAM CLI."""


class SamError(RuntimeError):
    """SAM CLI failed or took too long; the message ends with its last lines."""


def sam(
    *arguments: str, environ: Mapping[str, str], log: Path, cwd: Path | None = None, timeout_s: float = SAM_TIMEOUT_S
) -> None:
    """Run SAM CLI to its end, its output appended to `log`. Whatever ends this call ends SAM CLI as well.

    It is in a process group of its own, so that Ctrl-C is for the caller, who decides what becomes of the deployment.

    Args:
        arguments: the command and its options.
        environ: credentials, region and endpoint; the tools that a build needs are added to its PATH.
        log: file for its output.
        cwd: where it runs.
        timeout_s: the longest it may take.

    Raises:
        SamError: It failed, or took more than `timeout_s`.
    """
    tools = [ROOT / ".venv/bin", ROOT / ".envs/sam/bin", ROOT / ".envs/bootstrap/bin"]
    path = os.pathsep.join([*map(str, tools), environ.get("PATH", "")])
    with (
        log.open("ab") as output,
        subprocess.Popen(
            [SAM, *arguments],
            cwd=cwd,
            env={**environ, "PATH": path, "SAM_CLI_TELEMETRY": "0"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as process,
    ):
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            _end(process)
            raise SamError(f"sam {arguments[0]} took more than {timeout_s:.0f} s: {log}") from error
        except BaseException:
            _end(process)
            raise
    if code != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-SHOWN_LINES:])
        raise SamError(f"sam {arguments[0]} failed with exit code {code}\n{tail}")


def build_template(
    template: Path, into: Path, *, environ: Mapping[str, str], log: Path, timeout_s: float = SAM_TIMEOUT_S
) -> Path:
    """Build a template of this checkout, and copy what was built into a folder of the caller's.

    The build itself is shared by all callers, one after the other: SAM CLI keeps unchanged layers and functions, but
    only beside the folder that it builds into, which it empties first. Where no source changed, nothing is built.

    Args:
        template: what to build.
        into: folder for the result; replaced if it is there.
        environ: as for `sam`.
        log: file for SAM CLI's output.
        timeout_s: the longest that it may take.

    Returns:
        The built template, to deploy.

    Raises:
        SamError: The build failed, or took more than `timeout_s`.
    """
    with built_template(template, environ=environ, log=log, timeout_s=timeout_s) as built:
        shutil.rmtree(into, ignore_errors=True)
        shutil.copytree(built.parent, into)
    return into / "template.yaml"


@contextlib.contextmanager
def built_template(
    template: Path, *, environ: Mapping[str, str], log: Path, timeout_s: float = SAM_TIMEOUT_S
) -> Iterator[Path]:
    """The shared build of `build_template` itself, to read while nobody else may build or read it."""
    shared = build_folder(template)
    shared.mkdir(parents=True, exist_ok=True)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built, state, digest = shared / "built/template.yaml", shared / "sources", digest_of_sources()
        if not built.exists() or not state.exists() or state.read_text() != digest:
            state.unlink(missing_ok=True)
            sam(
                "build", "--template-file", str(template), "--build-dir", str(built.parent),
                "--cached", "--cache-dir", str(shared / "cache"),
                environ=environ, log=log, cwd=template.parent, timeout_s=timeout_s,
            )  # fmt: skip
            state.write_text(digest)
        yield built


def build_folder(template: Path) -> Path:
    """Where the shared build of a template is."""
    return BUILDS / "-".join(template.resolve().relative_to(ROOT).with_suffix("").parts)


def digest_of_sources(root: Path = ROOT) -> str:
    """A digest of all that a build takes from the checkout: names and contents of its sources."""
    files = [
        path
        for source in SOURCES
        for path in ([root / source] if (root / source).is_file() else sorted((root / source).rglob("*")))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(root)}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
