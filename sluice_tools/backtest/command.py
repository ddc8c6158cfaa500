"""`sluice backtest`: simulates policies on a trace, and prints what each costs and how late its messages are."""

import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from botocore.exceptions import BotoCoreError, ClientError
from cyclopts import Parameter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from sluice.wording import count
from sluice_tools import compiled
from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.generated_traces import SECONDS_PER_MESSAGE, SHAPES, generated_trace
from sluice_tools.backtest.hints import Known, hinted, known
from sluice_tools.backtest.history import QueueHistory, read_history
from sluice_tools.backtest.hourly_cost import HourlyCost, find
from sluice_tools.backtest.options import check
from sluice_tools.backtest.policies import DEFAULT, POLICIES, label
from sluice_tools.backtest.report import geometric_mean, render, write
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.study import (
    WORLDS,
    Task,
    better_than,
    recorded_traces,
    run_tasks,
    tuned,
    with_bounds,
    workloads,
)
from sluice_tools.backtest.trace_files import read
from sluice_tools.backtest.traces import Trace, TraceError, roughened
from sluice_tools.backtest.worlds.results import chosen, run_worlds, show_worlds
from sluice_tools.commands.aws_options import DEFAULT_STACK, AwsOptions
from sluice_tools.commands.output import complain

BAD_INPUT = 2  # exit status, as of a command line that cannot be read
FAILED = 3  # as of every command that could not reach AWS
BETTER_SHOWN = 3  # settings of peers that are better than Sluice on a trace
MATRIX_PAGE = Path("build/backtest.html")
DAYS = 14


def backtest(
    *,
    trace: str | None = None,
    seconds_per_message: float | None = None,
    target_wait: float | None = None,
    boot: float | None = None,
    fleet: Path | None = None,
    policy: list[str] | None = None,
    tune: float | None = None,
    queue: str | None = None,
    group: str | None = None,
    days: int | None = None,
    matrix: Annotated[bool, Parameter(negative="")] = False,
    worlds: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    seeds: int | None = None,
    traces: Path | None = None,
    seed: int = 1,
    launch_failure: float | None = None,
    hourly_cost: float | None = None,
    instance_type: str | None = None,
    jobs: int | None = None,
    report: Path | None = None,
    aws: AwsOptions | None = None,
) -> int:
    """Simulate what scaling policies would have cost on past traffic, and how long messages would have waited.

    Args:
        trace: a file of arrivals, or the name of a generated trace. A CSV file has minute,arrivals, or ISO timestamps
            or epoch seconds and counts; CloudWatch's exports are read as they are, CSV and JSON.
        seconds_per_message: the mean time that one instance needs for one message, in seconds; by default a generated
            trace's own, and with --queue the measured one.
        target_wait: the longest that a message may wait, in seconds; 120 unless given.
        boot: the time from launch to the first message, in seconds; 60 unless given.
        fleet: a fleet's document, as JSON: its target wait, its hints for the simulated Sluice, and where no other
            option says, what a message and a boot take.
        policy: a policy's name, or name:parameter=value,...; may be given several times. By default all policies.
        tune: search each policy's cheapest setting with at most this share of late messages, such as 0.001.
        queue: use the last days of this queue in your AWS account instead of a trace.
        group: the Auto Scaling group that consumed the queue in those days, to compare with.
        days: the number of days to read with --queue; 14 unless given.
        matrix: run all traces with several target waits and boot times, and write a page.
        worlds: run the worlds of these names, or all worlds, and print what the planner said in each.
        seeds: with --worlds, the number of seeds to run each with, from --seed on; 1 unless given.
        traces: for the matrix, a folder of traces with an experiments.csv of trace,seconds_per_message;
            build/traces unless given, which `make traces` fills.
        seed: the seed of all randomness.
        launch_failure: the share of launches that fail, from 0 to 1; 0 unless given.
        hourly_cost: what one instance costs an hour, in dollars, to print dollars beside instance-hours.
        instance_type: take the On-Demand price of this type in us-east-1, such as m7g.large, from a dated table; with
            --group by default the type of its instances.
        jobs: the number of parallel processes; by default as many as there are cores.
        report: write an HTML page to this file.
        aws: the account and the region of --queue; --stack has no meaning here. With --json, which prints the results
            as one list, tables go to standard error.

    Returns:
        The exit status: 2 if an argument cannot be used, 3 if CloudWatch could not be read.
    """
    aws = aws or AwsOptions()
    as_json = aws.as_json
    try:
        check(
            {
                "--trace": trace,
                "--queue": queue,
                "--matrix": matrix,
                "--worlds": worlds,
                "--seconds-per-message": seconds_per_message,
                "--target-wait": target_wait,
                "--boot": boot,
                "--fleet": fleet,
                "--tune": tune,
                "--group": group,
                "--days": days,
                "--seeds": seeds,
                "--seed": seed,
                "--traces": traces,
                "--launch-failure": launch_failure,
                "--hourly-cost": hourly_cost,
                "--instance-type": instance_type,
                "--jobs": jobs,
                "--report": report,
                "--stack": aws.stack if aws.stack != DEFAULT_STACK else None,
                "--region": aws.region,
                "--profile": aws.profile,
                "--endpoint-url": aws.endpoint_url,
            }
        )
        if worlds is not None:
            return _worlds(worlds, policy or ["sluice"], seed, seeds or 1, jobs, as_json=as_json)
        found = find(hourly_cost, instance_type, group, lambda: aws.client("autoscaling"))
        facts = known(fleet, seconds_per_message, target_wait, boot)
        conditions = Conditions(
            target_wait_s=facts.target_wait_s,
            boot_s=facts.boot_s,
            launch_failure=launch_failure or 0.0,
            seed=seed,
        )
        days = DAYS if days is None else days
        past = _read_history(aws, queue, group, days, conditions.target_wait_s) if queue is not None else None
        cases = _cases(trace, past, conditions, facts, (traces or recorded_traces()) if matrix else None)
        measured = past.seconds_per_message if past is not None else None
        specs = hinted(policy or DEFAULT, facts.hint_seconds or measured, facts.hint_lead_s)
        if not compiled.in_use():
            Console(stderr=True).print(
                "The planner runs interpreted. `make compile` makes it three times as fast.", highlight=False
            )
        runs, tried = _run(cases, specs, tune, jobs)
        runs = with_bounds(runs, cases, jobs)
    except ValueError as error:
        return _refuse(str(error), BAD_INPUT)
    except (BotoCoreError, ClientError) as error:
        return _refuse(f"CloudWatch could not be read: {error}", FAILED)
    console = Console(stderr=as_json)
    priced = found if isinstance(found, HourlyCost) else None
    if past is not None:
        _show_past(past, conditions.target_wait_s, found, console)
    if matrix:
        show_matrix(runs, tried, console)
        report = report or MATRIX_PAGE
    else:
        show(runs, console, priced)
    if report is not None:
        try:
            write(report, render(runs, detailed=not matrix, hourly_cost=priced))
        except OSError as error:
            return _refuse(f"--report: {report} cannot be written: {error.strerror}", BAD_INPUT)
        console.print(f"The report is in {report}.", highlight=False)
    if as_json:
        print(json.dumps([run.record() | _dollars(run, priced) for run in runs]))
    return 0


# --------------------------------------------------------------------------- worlds


def _worlds(
    names: Sequence[str], specs: Sequence[str], seed: int, seeds: int, jobs: int | None, *, as_json: bool
) -> int:
    """Run the worlds and print what came of them."""
    runs = run_worlds(chosen(names), specs, range(seed, seed + seeds), jobs)
    show_worlds(runs, Console(stderr=as_json))
    if as_json:
        print(json.dumps([each.record() for each in runs]))
    return 0


# --------------------------------------------------------------------------- what to run


def load(name: str, seed: int) -> Trace:
    """A trace by its file, or by the name of a generated one; a coarse source is roughened."""
    if name in SHAPES:
        return generated_trace(name, seed)
    path = Path(name)
    if not os.path.lexists(path) and path.suffix not in (".csv", ".json"):  # False for a name that no file can have
        raise TraceError(f"--trace: must be a CSV or JSON file or one of {', '.join(SHAPES)} (got {name[:80]})")
    trace, notes = read(path)
    for note in notes:
        Console(stderr=True, soft_wrap=True).print(note, markup=False, highlight=False)
    return roughened(trace, seed)


def _cases(
    trace: str | None, past: QueueHistory | None, conditions: Conditions, facts: Known, folder: Path | None
) -> list[tuple[Trace, Conditions]]:
    """The traces to run on, each with its world."""
    if folder is not None:
        return [
            (traffic, replace(conditions, seconds_per_message=seconds, target_wait_s=target_s, boot_s=boot_s))
            for target_s, boot_s in WORLDS
            for traffic, seconds in workloads(folder, conditions.seed)
        ]
    traffic = past.trace if past is not None else load(str(trace), conditions.seed)
    measured_s = past.seconds_per_message if past is not None else None
    takes_s = facts.takes_s or measured_s or facts.hint_seconds or SECONDS_PER_MESSAGE.get(traffic.name)
    if takes_s is None:
        raise ValueError("--seconds-per-message: must be given for this trace, in seconds")
    return [(traffic, replace(conditions, seconds_per_message=takes_s))]


def _run(
    cases: Sequence[tuple[Trace, Conditions]], specs: Sequence[str], tune: float | None, jobs: int | None
) -> tuple[list[Run], list[Run]]:
    """Every policy in every case; if it is to be tuned, its best setting, and all that was tried besides."""
    if tune is None:
        runs = run_tasks([Task(traffic, spec, conditions) for traffic, conditions in cases for spec in specs], jobs)
        return runs, runs
    return tuned(cases, specs, tune, jobs)


def _read_history(aws: AwsOptions, queue: str, group: str | None, days: int, target_wait_s: float) -> QueueHistory:
    return read_history(aws.client("cloudwatch"), queue, group, days, now=time.time(), target_wait_s=target_wait_s)


def _refuse(text: str, status: int) -> int:
    complain("sluice backtest", text)
    return status


# --------------------------------------------------------------------------- output


def _show_past(
    past: QueueHistory, target_wait_s: float, hourly_cost: HourlyCost | str | None, console: Console
) -> None:
    """What was measured; and why dollars are not shown, where a reason is given in the place of an hour's cost."""
    cost = "the cost of the group is unknown"
    if past.instance_hours is not None:
        cost = f"{past.instance_hours:.1f} instance-hours"
        if isinstance(hourly_cost, HourlyCost):
            cost += f" or ${hourly_cost.of(past.instance_hours):,.2f}"
    console.print(
        f"Measured in this time: {cost}; the oldest message was at most {past.oldest_s:.0f} s old, and older than"
        f" {target_wait_s:g} s in {count(past.late_minutes, 'minute')}.",
        highlight=False,
    )
    if isinstance(hourly_cost, str):
        console.print(
            f"No dollars are shown: {hourly_cost}. --instance-type or --hourly-cost says what an instance costs.",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )


def show(runs: Sequence[Run], console: Console, hourly_cost: HourlyCost | None = None) -> None:
    """Print a table, the cheapest policy first, and the least that a policy can cost that is never late.

    Args:
        runs: of one trace in one world.
        console: where to.
        hourly_cost: what an instance costs an hour; None: no dollars are shown.
    """
    first = runs[0].conditions
    title = (
        f"{runs[0].trace}: target wait {first.target_wait_s:g} s, boot {first.boot_s:g} s,"
        f" {first.seconds_per_message:.3g} s a message, seed {first.seed}"
    )
    # Narrow enough for 80 columns, so that policies keep their names.
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    if hourly_cost is not None:
        table.padding = 0  # the box leaves a space between columns
    table.add_column("policy", overflow="fold", min_width=max(map(len, POLICIES)))
    dollars = ("$",) if hourly_cost is not None else ()
    for name in ("cost", "hours", *dollars, "late", "median", "99%", "longest", "launches"):
        table.add_column(name, justify="right", no_wrap=True)
    for run in sorted(runs, key=lambda run: run.cost_ratio):
        table.add_row(
            label(run.policy, run.params),
            _ratio(run.cost_of_bound),
            f"{run.instance_hours:.1f}",
            *([] if hourly_cost is None else [f"{hourly_cost.of(run.instance_hours):,.2f}"]),
            f"{run.late_fraction:.3%}",
            f"{run.wait_p50_s:.0f} s",
            f"{run.wait_p99_s:.0f} s",
            f"{run.wait_max_s:.0f} s",
            str(run.launches),
        )
    console.print(table)
    console.print(
        f"Cost is in multiples of the bound, {_hours(runs[0].bound_hours)}: a policy that is never late takes at"
        f" least as much. The work alone takes {_hours(runs[0].work_hours)}.",
        highlight=False,
    )
    if hourly_cost is not None:
        console.print(hourly_cost.sentence, highlight=False, soft_wrap=True)


def _dollars(run: Run, hourly_cost: HourlyCost | None) -> dict[str, float]:
    return {} if hourly_cost is None else {"dollars": hourly_cost.of(run.instance_hours)}


def _hours(hours: float | None) -> str:
    return "which is not known" if hours is None else f"{hours:.1f} instance-hours"


def _ratio(of_bound: float | None) -> str:
    return "" if of_bound is None else f"{of_bound:.3f}"


def show_matrix(runs: Sequence[Run], tried: Sequence[Run], console: Console) -> None:
    """For each world a table of policies over its traces, and every trace on which another beats Sluice.

    Args:
        runs: a run of each policy for each trace and world.
        tried: all that Sluice is measured against: of policies that were tuned, each setting.
        console: where to.
    """
    worlds = sorted({(run.conditions.target_wait_s, run.conditions.boot_s) for run in runs})
    for target_s, boot_s in worlds:
        here = [run for run in runs if (run.conditions.target_wait_s, run.conditions.boot_s) == (target_s, boot_s)]
        table = Table(title=f"Target wait {target_s:g} s, boot {boot_s:g} s", title_justify="left")
        for name in ("policy", "mean cost of the bound", "of the work", "worst share late", "mean share late"):
            table.add_column(name, justify="left" if name == "policy" else "right")
        for name in dict.fromkeys(run.policy for run in here):
            of = [run for run in here if run.policy == name]
            late = [run.late_fraction for run in of]
            cost = geometric_mean(run.cost_ratio for run in of)
            of_bound = [run.cost_of_bound for run in of if run.cost_of_bound is not None]
            mean = _ratio(geometric_mean(of_bound) if len(of_bound) == len(of) else None)
            table.add_row(name, mean, f"{cost:.3f}", f"{max(late):.3%}", f"{sum(late) / len(late):.3%}")
        console.print(table)
        for ours in (run for run in here if run.policy == "sluice"):
            peers = [run for run in tried if _same_world(run, ours) and run.policy != "sluice"]
            for other in better_than(ours, peers)[:BETTER_SHOWN]:
                console.print(
                    f"{ours.trace}: {label(other.policy, other.params)} is cheaper and less late:"
                    f" cost {other.cost_ratio:.3f}, {other.late_fraction:.3%} late; Sluice: cost {ours.cost_ratio:.3f},"
                    f" {ours.late_fraction:.3%} late.",
                    highlight=False,
                )


def _same_world(run: Run, ours: Run) -> bool:
    return (run.trace, run.conditions) == (ours.trace, ours.conditions)
