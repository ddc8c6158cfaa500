"""What is compiled decides as what is deployed does: the same figures and sentences, to the last digit."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from tools.backtest.conditions import Conditions
from tools.backtest.generated_traces import SECONDS_PER_MESSAGE, SHAPES, generated_trace
from tools.backtest.policies import make
from tools.backtest.runs import Run
from tools.backtest.simulator import simulate
from tools.backtest.study import WORLDS
from tools.backtest.traces import Trace
from tools.backtest.worlds.catalogue import WORLDS as ODD_WORLDS
from tools.compiled import BUILT, fits
from tools.compiled.__main__ import CompileError, build, compiler
from tools.sources import CHECKOUT

SEED = 7
MINUTES = 720  # of each shape
TIMEOUT_S = 300.0

# In a process of its own: this one has everything interpreted.
SCRIPT = """
import json, sys
from tools import compiled
assert compiled.use()
from tests.integration import test_compiled_runs
import sluice.planning, tools.backtest.simulator
for module in (sluice.planning.planner, tools.backtest.simulator):
    assert module.__file__.endswith(compiled.SUFFIX), module.__file__
run_of = getattr(test_compiled_runs, sys.argv[1])
print(json.dumps(test_compiled_runs.told(run_of(*json.loads(sys.argv[2])))))
"""


@pytest.fixture(scope="module")
def built() -> Path:
    """What is compiled of the source as it is: built here where it is not yet."""
    if not fits():
        try:
            compiler()
        except CompileError as error:
            warnings.warn(f"COMPILED PLANNER NOT TESTED: {error}", stacklevel=1)
            pytest.skip(str(error))
        build()
    return BUILT


def run_of_shape(name: str, target_s: float, boot_s: float) -> Run:
    """Sluice on a generated trace, with launches that fail."""
    trace = Trace(name, generated_trace(name, SEED).counts[:MINUTES])
    return simulate(
        trace,
        make("sluice"),
        Conditions(
            seconds_per_message=SECONDS_PER_MESSAGE[name],
            target_wait_s=target_s,
            boot_s=boot_s,
            launch_failure=0.05,
            seed=SEED,
        ),
    )


def run_of_world(name: str) -> Run:
    """Sluice in a world."""
    world = ODD_WORLDS[name]
    return simulate(world.trace(SEED), make(world.spec("sluice")), world.conditions_of(SEED), world.behaviour)


def told(run: Run) -> list[Any]:
    """All that a run comes to: its figures in full, and the sentence of each change."""
    waits = [run.late_fraction, run.wait_p50_s, run.wait_p99_s, run.wait_max_s]
    return [run.ticks, repr(run.instance_hours), *map(repr, waits), run.launches, [list(note) for note in run.notes]]


@pytest.mark.parametrize(("target_s", "boot_s"), WORLDS)
@pytest.mark.parametrize("name", SHAPES)
def test_run_when_compiled_and_when_interpreted(built: Path, name: str, target_s: float, boot_s: float) -> None:
    """Every shape in every world, with launches that fail."""
    assert_same(built, "run_of_shape", name, target_s, boot_s)


@pytest.mark.parametrize("name", ["dies-young", "fifo-two-groups", "prefetch", "second-controller"])
def test_world_when_compiled_and_when_interpreted(built: Path, name: str) -> None:
    """Worlds whose consumers, launches and desired capacity are not plain."""
    assert_same(built, "run_of_world", name)


def assert_same(built: Path, run_of: str, *arguments: str | float) -> None:
    """A run is the same, compiled and interpreted."""
    assert fits(built)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, run_of, json.dumps(arguments)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    compiled = json.loads(done.stdout.splitlines()[-1])
    assert compiled == told(globals()[run_of](*arguments))
    assert compiled[-1], "a run in which nothing changes shows nothing"


def test_command_when_compiled(built: Path) -> None:
    """The command uses it, its workers do too, and their runs come back to it."""
    sluice = shutil.which("sluice", path=str(Path(sys.executable).parent))
    assert sluice is not None
    command = [sluice, "backtest", "--trace", "on-off", "--policy", "sluice", "--policy", "little", "--jobs", "2"]
    done = subprocess.run(
        [*command, "--json"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, "PYTHONVERBOSE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    records = json.loads(done.stdout.splitlines()[-1])
    assert [record["policy"] for record in records] == ["sluice", "little"]
    loaded = f"'tools.backtest.simulator' loaded from '{built}"
    assert done.stderr.count(loaded) == 3, "the command and both of its workers"
