"""Where the sandbox's parts are: those of the checkout, or those of a wheel with the extra `sandbox`.

The emulator has an environment of its own, since it needs an older botocore than Sluice's. In a checkout `make
setup-sandbox` makes it. Where a wheel is installed, it is made once in the user's cache folder, from the lock that the
wheel carries: every version and every hash is that of the checkout.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CARRIED = Path(__file__).with_name("carried")
"""What a wheel has of the checkout for the sandbox; hatch_build.py puts it there."""
IS_WHEEL = CARRIED.is_dir()
ORDERS = CARRIED / "orders" if IS_WHEEL else CHECKOUT / "examples/orders"
"""The example's template and programs."""
LOCK = CARRIED / "emulator.txt" if IS_WHEEL else CHECKOUT / "requirements/emulator.txt"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sluice"
"""https://specifications.freedesktop.org/basedir-spec/latest/"""
FUNCTIONS_PYTHON = (3, 13)
"""The runtime in the templates: the emulator runs functions on its own interpreter, and layers have native code."""
MADE_WITHIN_S = 900.0
"""170 MB of libraries: seconds with uv's cache, minutes on a slow line."""
SHOWN_CHARACTERS = 2_000
"""Of uv's output, in an error."""


class InstallationError(RuntimeError):
    """The emulator's environment could not be made; the message ends with what uv said."""


def emulator_python() -> Path:
    """The interpreter of the emulator's environment, which may have to be made first."""
    if IS_WHEEL:
        return _environment() / "bin/python"
    return CHECKOUT / ".envs/emulator/bin/python"


def make_emulator_environment() -> None:
    """Make the emulator's environment where a wheel is installed and it is missing.

    Raises:
        InstallationError: uv is missing, or could not install what the lock names.
    """
    if not IS_WHEEL or emulator_python().exists():
        return
    from uv import find_uv_bin  # noqa: PLC0415 - the extra `sandbox` has it; a checkout has its own

    environment = _environment()
    environment.parent.mkdir(parents=True, exist_ok=True)
    partial = environment.with_name(f"{environment.name}.{os.getpid()}")
    made = partial / "bin/python"
    try:
        _uv(find_uv_bin(), "venv", "--relocatable", "--python", _interpreter(), str(partial))
        _uv(find_uv_bin(), "pip", "install", "--python", str(made), "--require-hashes", "--requirements", str(LOCK))
        if not environment.exists():  # another process may have made it meanwhile
            partial.rename(environment)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _environment() -> Path:
    """One for each lock, so that an upgrade of Sluice makes a new one where the lock has changed."""
    return CACHE / f"emulator-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]}"


def _interpreter() -> str:
    """This one where it is of the functions' version; otherwise one that uv finds or fetches."""
    return sys.executable if sys.version_info[:2] == FUNCTIONS_PYTHON else ".".join(map(str, FUNCTIONS_PYTHON))


def _uv(uv: str, *arguments: str) -> None:
    try:
        done = subprocess.run(
            [uv, *arguments, "--quiet"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=MADE_WITHIN_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InstallationError(f"uv {arguments[0]} took more than {MADE_WITHIN_S:.0f} s") from error
    if done.returncode != 0:
        raise InstallationError(f"uv {arguments[0]} failed:\n{(done.stdout + done.stderr).strip()[-SHOWN_CHARACTERS:]}")
