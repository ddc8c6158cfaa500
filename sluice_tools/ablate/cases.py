"""What the planner is tried on: generated traffic or real traces, each at three targets and boots, and every world.

Some rules are for what neither generated traffic nor the worlds have: few messages, messages that become ten times as
long or short, a count that jumps, and long messages while launches hang. `MORE` has these.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sluice_tools.ablate.rules import rules, without
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.generated_traces import SECONDS_PER_MESSAGE, SHAPES, generated_trace
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import WORLDS, workloads
from sluice_tools.backtest.traces import Trace
from sluice_tools.backtest.worlds.behaviours import Behaviour, Consumers, GroupFaults, SignalFaults, Span
from sluice_tools.backtest.worlds.catalogue import WORLDS as ODD_WORLDS
from sluice_tools.backtest.worlds.traffic import steady
from sluice_tools.backtest.worlds.world import World

DAY_MINUTES = 1440
CHANGED_S = 7200.0  # after so long messages become others

MORE = (
    *(
        World(
            f"few-messages ({target_wait_s:g}, {boot_s:g})",
            "Two messages of six seconds a minute, for a day.",
            steady(24, 2.0),
            Conditions(seconds_per_message=6.0, target_wait_s=target_wait_s, boot_s=boot_s),
        )
        for target_wait_s, boot_s in WORLDS
    ),
    World(
        "tenfold-longer",
        "After two hours each message takes 20 s in place of two.",
        steady(6, 60.0),
        Conditions(seconds_per_message=2.0, target_wait_s=300.0, boot_s=180.0),
        Behaviour(Consumers(slowness=10.0, slow=Span(CHANGED_S))),
    ),
    World(
        "tenfold-shorter",
        "After two hours each message takes two seconds in place of 20.",
        steady(6, 60.0),
        Conditions(seconds_per_message=20.0, target_wait_s=120.0, boot_s=60.0),
        Behaviour(Consumers(slowness=0.1, slow=Span(CHANGED_S))),
    ),
    World(
        "jumping-counts",
        "Every half hour one tick's count has 400 messages that are not there.",
        steady(6, 60.0),
        Conditions(seconds_per_message=10.0, target_wait_s=300.0, boot_s=180.0),
        Behaviour(signals=SignalFaults(ghosts=400, haunted=Span(1200.0, 1210.0), haunted_every_s=1800.0)),
    ),
    World(
        "hanging-launches-long",
        "A fifth of the launches hang for 50 minutes, and each message takes 300 s.",
        steady(12, 1.0),
        Conditions(seconds_per_message=300.0, target_wait_s=120.0, boot_s=60.0),
        Behaviour(group=GroupFaults(hanging_share=0.2, hangs_s=3000.0)),
    ),
)


@dataclass(frozen=True, slots=True)
class Case:
    """Traffic and the world it is in.

    Args:
        name: such as "bursts (120, 60)", the trace, the target wait and the boot in seconds; or a world's own.
        trace: the traffic.
        conditions: the world's numbers.
        spec: Sluice, as `make` reads it.
        behaviour: what consumers, group and metrics do that a count does not tell.
    """

    name: str
    trace: Trace
    conditions: Conditions
    spec: str = "sluice"
    behaviour: Behaviour | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a case: times the work, the late share of its messages, and launches."""

    cost: float
    late: float
    launches: int


def cases(seed: int, traces: Path | None, days: int) -> Iterator[Case]:
    """Every case of a seed.

    Args:
        seed: of the traffic and of the worlds.
        traces: a folder of real traces, or None for generated ones alone.
        days: how many days of each.
    """
    shapes = ((generated_trace(name, seed, days), SECONDS_PER_MESSAGE[name]) for name in SHAPES)
    loads: Sequence[tuple[Trace, float]] = list(shapes) if traces is None else workloads(traces, seed)
    for trace, seconds in loads:
        counts = trace.counts[: days * DAY_MINUTES]
        for target_wait_s, boot_s in WORLDS:
            conditions = Conditions(seconds_per_message=seconds, target_wait_s=target_wait_s, boot_s=boot_s, seed=seed)
            yield Case(f"{trace.name} ({target_wait_s:g}, {boot_s:g})", replace(trace, counts=counts), conditions)
    for world in (*ODD_WORLDS.values(), *MORE):
        yield Case(world.name, world.trace(seed), world.conditions_of(seed), world.spec("sluice"), world.behaviour)


def result_of(task: tuple[Case, str | None]) -> Result:
    """What comes of a case without one rule, or with all of them."""
    case, name = task
    rule = next((each for each in rules() if each.name == name), None)
    with without(rule):
        run = simulate(case.trace, make(case.spec), case.conditions, case.behaviour)
    return Result(run.cost_ratio, run.late_fraction, run.launches)
