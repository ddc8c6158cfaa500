"""Compile the planner and the simulator for backtests: `make compile`. About a minute, once; then what has changed.

Needs a C compiler. Without one, or where anything else goes wrong, it says so and everything stays interpreted: slower,
and the same.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from rich.console import Console

from sluice_tools.ablate.rules import PLANNING, rules
from sluice_tools.compiled import BUILT, MANIFEST, MODULES, SUFFIX, fingerprint, fits
from sluice_tools.compiled.rewriting import rewritten
from sluice_tools.sources import CHECKOUT, CORE, closure

HERE = Path(__file__).parent
TIMEOUT_S = 600.0  # a minute on two cores of 2024; slower ones have their time, and a hanging compiler does not
SHOWN = 15  # lines of what a compiler says that a user is shown

# mypyc's own way to build: setuptools, by a script. Runs are as fast at the C compiler's first level of optimisation as
# at its third, which takes longer to compile; without any they are slower than interpreted ones.
SCRIPT = """
import json, sys
from mypyc.build import mypycify
from setuptools import setup

files = json.loads(sys.argv.pop())
setup(name="compiled", packages=[], ext_modules=mypycify(files, opt_level="1", debug_level="0", multi_file=True))
"""


class CompileError(RuntimeError):
    """What is there cannot be compiled, in the words of who tried."""


def compiler() -> str:
    """The C compiler that Python's own build tools would call.

    Raises:
        CompileError: it is not there.
    """
    command = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    if shutil.which(command.split()[0]) is None:
        raise CompileError(f"no C compiler: {command} is not on PATH; install one, or name it in CC")
    return command


def build(target: Path = BUILT) -> None:
    """Compile all modules, and put them where `use` finds them.

    Raises:
        CompileError: there is no compiler, or it refuses.
    """
    compiler()
    target.parent.mkdir(parents=True, exist_ok=True)
    source = closure(*MODULES, roots=(CHECKOUT, CORE))  # every module, and all that they import, for its types
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="compiling-") as folder:
        work, made = Path(folder, "work"), Path(folder, "made")
        # As they are now: what changes while it is compiled is not in it.
        paths = sorted({*source.values(), *HERE.glob("*.py"), Path(rules.__code__.co_filename)})
        files = fingerprint(path.relative_to(CHECKOUT) for path in paths)
        places = _replaceable()
        for name, path in source.items():
            _lay_out(name, path, work, places.get(name, set()))
        _compile(work, [str(_place(name)) for name in MODULES])
        for path in work.rglob(f"*{SUFFIX}"):
            if "build" not in path.relative_to(work).parts:
                place = made / path.relative_to(work)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.rename(place)
        (made / MANIFEST).write_text(json.dumps({"suffix": SUFFIX, "source": files}, indent=1), encoding="utf-8")
        if target.exists():
            target.rename(Path(folder, "before"))  # a process that uses it goes on with what it has open
        made.rename(target)


def _replaceable() -> dict[str, set[str]]:
    """What a rule of the planner is switched off by, by module."""
    places: dict[str, set[str]] = {}
    for place in (place for rule in rules() for place in rule.off):
        module, name = place.split(":")
        places.setdefault(f"{PLANNING}.{module}", set()).add(name)
    return places


def _lay_out(name: str, path: Path, work: Path, replaceable: set[str]) -> None:
    """Write a module for mypyc into the working folder."""
    replacement = HERE / "values.py" if name == "sluice.model.frozen" else None
    text = (replacement or path).read_text(encoding="utf-8")
    place = work / (_place(name).with_suffix("") / "__init__.py" if path.name == "__init__.py" else _place(name))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(
        rewritten(text, replaceable) if name in MODULES and replacement is None else text, encoding="utf-8"
    )


def _place(name: str) -> Path:
    """Where a module's file is, below the working folder."""
    return Path(*name.split(".")).with_suffix(".py")


def _compile(work: Path, files: list[str]) -> None:
    """Run mypyc and the compiler."""
    for package in {parent for file in files for parent in Path(file).parents if parent != Path()}:
        (work / package / "__init__.py").touch()
    (work / "setup.py").write_text(SCRIPT, encoding="utf-8")
    command = [sys.executable, "setup.py", "build_ext", "--inplace", json.dumps(files)]
    try:
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise CompileError(f"not done within {TIMEOUT_S:.0f} s") from error
    if done.returncode != 0:
        raise CompileError("\n".join((done.stdout + done.stderr).splitlines()[-SHOWN:]))


def main() -> int:
    """Build, where what is built does not fit."""
    console = Console(stderr=True, highlight=False)
    if fits():
        console.print("Planner and simulator are compiled already, from this source.")
        return 0
    try:
        with console.status("Compiling planner and simulator for backtests: a minute, once"):
            build()
    except CompileError as error:
        console.print(
            f"{error}\nNot compiled: backtests are interpreted, which takes three times as long.", markup=False
        )
        return 0
    console.print("Planner and simulator are compiled for backtests.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
