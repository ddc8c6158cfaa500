"""`sluice backtest`: run policies on a trace, and say what each costs and how late it is."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tools.backtest.conditions import Conditions
from tools.backtest.policies import DEFAULT, label, make
from tools.backtest.report import render, write
from tools.backtest.shapes import SHAPES, shape
from tools.backtest.simulator import Run, simulate
from tools.backtest.traces import Trace, TraceError, read, roughened

BAD_INPUT = 2  # exit status, as of a command line that cannot be read


def backtest(
    *,
    trace: str | None = None,
    seconds_per_message: float | None = None,
    target_wait: float = 120.0,
    boot: float = 60.0,
    policy: list[str] | None = None,
    seed: int = 1,
    launch_failure: float = 0.0,
    report: Path | None = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Simulate policies on a trace: what each would have cost, and how long messages would have waited.

    Args:
        trace: a CSV file of minute,arrivals, or the name of a generated trace.
        seconds_per_message: what one instance takes for one message, on average.
        target_wait: the longest a message may wait, in seconds.
        boot: from launch to first message, in seconds.
        policy: a policy's name, or name:parameter=value,...; may be repeated. All, by default.
        seed: of everything random.
        launch_failure: the share of launches that fail.
        report: also write an HTML page to this file.
        as_json: end with one JSON list on the last line.

    Returns:
        The exit status: 2 if something given cannot be used.
    """
    try:
        if trace is None or seconds_per_message is None:
            raise ValueError("trace and seconds-per-message: are required")  # noqa: TRY301 - told like every bad input
        conditions = Conditions(
            seconds_per_message=seconds_per_message,
            target_wait_s=target_wait,
            boot_s=boot,
            launch_failure=launch_failure,
            seed=seed,
        )
        traffic = load(trace, seed)
        runs = run_all(traffic, policy or DEFAULT, conditions)
    except ValueError as error:
        Console(stderr=True, soft_wrap=True).print(str(error), style="red", markup=False, highlight=False)
        return BAD_INPUT
    show(runs, Console())
    if report is not None:
        write(report, render(runs))
    if as_json:
        print(json.dumps([run.record() for run in runs]))
    return 0


def load(name: str, seed: int) -> Trace:
    """A trace by its file, or by the name of a generated one; a coarse source is roughened."""
    if name in SHAPES:
        return shape(name, seed)
    path = Path(name)
    if not path.exists() and path.suffix != ".csv":
        raise TraceError(f"trace: must be a CSV file or one of {', '.join(SHAPES)} (got {name})")
    return roughened(read(path), seed)


def run_all(trace: Trace, specs: Sequence[str], conditions: Conditions) -> list[Run]:
    """Every policy on one trace, with progress."""
    policies = [make(spec) for spec in specs]  # all are understood before the first takes its time
    return [simulate(trace, each, conditions) for each in _tracked(policies, f"policies on {trace.name}")]


def _tracked[T](things: Sequence[T], what: str) -> Iterable[T]:
    return track(things, description=what, console=Console(stderr=True), transient=True)


def show(runs: Sequence[Run], console: Console) -> None:
    """A table, the cheapest first."""
    first = runs[0].conditions
    title = (
        f"{runs[0].trace}: target wait {first.target_wait_s:g} s, boot {first.boot_s:g} s,"
        f" {first.seconds_per_message:g} s a message, seed {first.seed}"
    )
    table = Table(title=title, title_justify="left")
    for name in (
        "policy",
        "cost",
        "instance-hours",
        "late",
        "median wait",
        "99%",
        "longest",
        "launches",
        "computed in",
    ):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for run in sorted(runs, key=lambda run: run.cost_ratio):
        table.add_row(
            label(run.policy, run.params),
            f"{run.cost_ratio:.3f}",
            f"{run.instance_hours:.1f}",
            f"{run.late_fraction:.3%}",
            f"{run.wait_p50_s:.0f} s",
            f"{run.wait_p99_s:.0f} s",
            f"{run.wait_max_s:.0f} s",
            str(run.launches),
            f"{run.cpu_s:.1f} s",
        )
    console.print(table)
