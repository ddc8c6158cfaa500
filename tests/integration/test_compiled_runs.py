"""What is compiled decides as what is deployed does: the same figures and sentences, to the last digit."""

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sluice.model.planning import History, QueueMemory, RedeliveryMemory
from sluice.model.timing import Timing
from sluice.planning.demand import QueueDemand, arrived_by_age
from sluice.planning.multi_queue import needs
from sluice.planning.supply import Supply
from sluice_tools.ablate.cases import Case, result_of
from sluice_tools.ablate.rules import rules
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.generated_traces import SECONDS_PER_MESSAGE, SHAPES, generated_trace
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import GRIDS, WORLDS, settings
from sluice_tools.backtest.traces import Trace
from sluice_tools.backtest.worlds.catalogue import WORLDS as ODD_WORLDS
from sluice_tools.compiled import BUILT, fits
from sluice_tools.compiled.__main__ import CompileError, build, compiler
from sluice_tools.sources import CHECKOUT

SEED = 7
MINUTES = 240  # of each shape
COMPARED = ("dies-young", "fifo-two-groups", "prefetch", "second-controller")  # of the worlds
WITHOUT = (None, *(rule.name for rule in rules()))
PEERS = tuple(settings(name)[-1] for name in GRIDS)
TIMEOUT_S = 300.0

# In a process of its own: this one has everything interpreted.
SCRIPT = """
import json, sys
from sluice_tools import compiled
assert compiled.use()
from tests.integration.test_compiled_runs import by_sums, told, without_rule
import sluice.planning, sluice_tools.backtest.simulator
for module in (sluice.planning.planner, sluice_tools.backtest.simulator):
    assert module.__file__.endswith(compiled.SUFFIX), module.__file__
print(json.dumps([told(*each) for each in json.loads(sys.argv[1])]))
print(json.dumps([without_rule(each) for each in json.loads(sys.argv[2])]))
print(json.dumps(by_sums()))
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


def run_of(name: str, target_s: float, boot_s: float, spec: str = "sluice") -> Run:
    """A policy on a generated trace, with launches that fail."""
    trace = Trace(name, generated_trace(name, SEED).counts[:MINUTES])
    return simulate(
        trace,
        make(spec),
        Conditions(
            seconds_per_message=SECONDS_PER_MESSAGE[name],
            target_wait_s=target_s,
            boot_s=boot_s,
            launch_failure=0.05,
            seed=SEED,
        ),
    )


def run_in(name: str) -> Run:
    """Sluice in a world."""
    world = ODD_WORLDS[name]
    return simulate(world.trace(SEED), make(world.spec("sluice")), world.conditions_of(SEED), world.behaviour)


def told(name: str, *target_and_boot_s: float) -> list[Any]:
    """All that a run comes to, of Sluice or of a peer: its figures in full, and the sentence of each change."""
    if name in PEERS:
        run = run_of("bursts", *WORLDS[0], name)
    else:
        run = run_of(name, *target_and_boot_s) if target_and_boot_s else run_in(name)
    waits = [run.late_fraction, run.wait_p50_s, run.wait_p99_s, run.wait_max_s]
    return [run.ticks, repr(run.instance_hours), *map(repr, waits), run.launches, [list(note) for note in run.notes]]


def without_rule(name: str | None) -> list[Any]:
    """What an hour of gusts comes to without one rule."""
    counts = np.zeros(60, dtype=np.int64)
    counts[::4] = 60
    conditions = Conditions(seconds_per_message=20.0, target_wait_s=60.0, boot_s=180.0)
    result = result_of((Case("gusts", Trace("gusts", counts), conditions), name))
    return [repr(result.cost), repr(result.late), result.launches]


def by_sums() -> list[str]:
    """What adds two sums: arrivals by age with poison among them, and what three queues of one fleet need."""
    minutes = History(60.0, 0.0, tuple(float(minute % 5) for minute in range(60)))
    back = RedeliveryMemory(history=History(60.0, 600.0, (1.0, 2.0) * 15), suspects=((3000.0, 3.0, 5.0),))
    came = list(arrived_by_age(QueueMemory("orders", arrivals=minutes), back, Timing(), 3600.0, 600.0))
    queues = [QueueDemand(name, level, [(60.0, 90.0)], 60.0, 90.5) for name, level in (("a", 1), ("b", 0), ("c", 0))]
    return [
        repr(came),
        repr(needs(queues, Supply(working=0.0, places=1.0, busy=0.0, rate_per_s=1.0, tick_s=10.0), 30.0)),
    ]


type Compiled = tuple[dict[tuple[Any, ...], list[Any]], list[list[Any]], list[str]]


@pytest.fixture(scope="module")
def both(built: Path) -> Compiled:
    """What is compiled comes to: runs by shape, target and boot time, or by world; runs without one rule; and sums."""
    assert fits(built)
    runs: list[tuple[Any, ...]] = [(name, target_s, boot_s) for name in SHAPES for target_s, boot_s in WORLDS]
    runs += [(name,) for name in (*COMPARED, *PEERS)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(runs), json.dumps(WITHOUT)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told_of, without, sums = map(json.loads, done.stdout.splitlines()[-3:])
    return dict(zip(runs, told_of, strict=True)), without, sums


@pytest.fixture(scope="module")
def compiled(both: Compiled) -> dict[tuple[Any, ...], list[Any]]:
    """What the runs come to when they are compiled, by shape, target and boot time, or by world."""
    return both[0]


@pytest.mark.parametrize(("target_s", "boot_s"), WORLDS)
@pytest.mark.parametrize("name", SHAPES)
def test_run_when_compiled_and_when_interpreted(
    compiled: dict[tuple[Any, ...], list[Any]], name: str, target_s: float, boot_s: float
) -> None:
    """Every shape in every world, with launches that fail."""
    run = compiled[name, target_s, boot_s]
    assert run == told(name, target_s, boot_s)
    assert run[-1], "a run in which nothing changes shows nothing"


@pytest.mark.parametrize("name", COMPARED)
def test_world_when_compiled_and_when_interpreted(compiled: dict[tuple[Any, ...], list[Any]], name: str) -> None:
    """Consumers, launches and a desired capacity that are not plain."""
    assert compiled[name,] == told(name)
    assert compiled[name,][-1], "a run in which nothing changes shows nothing"


@pytest.mark.parametrize("spec", PEERS)
def test_peer_when_compiled_and_when_interpreted(compiled: dict[tuple[Any, ...], list[Any]], spec: str) -> None:
    """The comparison runs each of them compiled."""
    assert compiled[spec,] == told(spec)


def test_rule_when_it_is_off_and_compiled(both: Compiled) -> None:
    """Each rule is taken out of what is compiled as it is of what is interpreted, and the planner differs by some."""
    assert both[1] == [without_rule(each) for each in WITHOUT]
    assert len({tuple(each) for each in both[1]}) > len(WITHOUT) / 4


def test_sums_when_compiled(both: Compiled) -> None:
    """A sum of what is not whole may be added to another one."""
    assert both[2] == by_sums()


def test_command_when_compiled(built: Path) -> None:
    """The command uses it, its workers do too, and their runs come back to it."""
    sluice = shutil.which("sluice", path=str(Path(sys.executable).parent))
    assert sluice is not None
    trace = ["--trace", "examples/plan/orders.csv", "--seconds-per-message", "4"]
    command = [sluice, "backtest", *trace, "--policy", "sluice", "--policy", "little", "--jobs", "2"]
    done = subprocess.run(
        [*command, "--json"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
        env={**os.environ, "PYTHONVERBOSE": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    records = json.loads(done.stdout.splitlines()[-1])
    assert [record["policy"] for record in records] == ["sluice", "little"]
    # A compiled module that is first imported by another compiled one is not told: mypyc imports it from their library.
    loaded = f"'sluice_tools.backtest.policies.sluice' loaded from '{built}"
    assert done.stderr.count(loaded) == 3, "the command and both of its workers"
