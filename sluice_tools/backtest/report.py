"""The report: one HTML page without scripts. Texts from traces and policies are escaped by htpy."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from math import exp, log
from pathlib import Path

import htpy as h
from markupsafe import Markup

from sluice.wording import count
from sluice_tools.backtest.conditions import MINUTE_S
from sluice_tools.backtest.hourly_cost import HourlyCost
from sluice_tools.backtest.policies import FORESEEING, POLICIES, label
from sluice_tools.backtest.report_charts import Point, columns, cost_against_lateness, front, over_time
from sluice_tools.backtest.runs import Run

STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")
# Distinct from the background and from each other, in the light and in the dark theme.
PALETTE = (
    "#0d9488", "#d97706", "#db2777", "#8b5cf6", "#3b82f6", "#4d7c0f", "#0891b2", "#64748b", "#b08968", "#a16207",
)  # fmt: skip
COLOURS = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(POLICIES)}
LATE_MARKED = 0.001  # shares above are marked


def render(runs: Sequence[Run], *, detailed: bool = True, hourly_cost: HourlyCost | None = None) -> str:
    """The page's HTML.

    Args:
        runs: of one or more traces and conditions.
        detailed: draw each policy's capacity and waits over time.
        hourly_cost: what an instance costs an hour, to show dollars as well.
    """
    groups = [list(group) for _, group in groupby(sorted(runs, key=_world), key=_world)]
    seeds = sorted({run.conditions.seed for run in runs})
    return str(
        h.html(lang="en")[
            h.head[
                h.meta(charset="utf-8"),
                h.meta(name="viewport", content="width=device-width, initial-scale=1"),
                h.title["Sluice: backtest"],
                h.style[Markup(STYLE)],  # noqa: S704 - our own file
            ],
            h.body[
                h.h1["Backtest"],
                h.p(".faint")[
                    (
                        "Cost is instance-hours divided by the instance-hours of the work alone, and of the bound:"
                        " divided by the least that a policy without late messages takes. Late is the share of"
                        f" messages that waited longer than the target wait. Seed {', '.join(map(str, seeds))}."
                    ),
                    f" {hourly_cost.sentence}" if hourly_cost else None,
                ],
                _summary(groups) if len(groups) > 1 else None,
                (_section(group, detailed=detailed, hourly_cost=hourly_cost) for group in groups),
            ],
        ]
    )


def write(path: Path, text: str) -> None:
    """Write the page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _world(run: Run) -> tuple[float, float, str]:
    return run.conditions.target_wait_s, run.conditions.boot_s, run.trace


def _section(runs: Sequence[Run], *, detailed: bool, hourly_cost: HourlyCost | None) -> h.Fragment:
    first = runs[0]
    conditions = first.conditions
    points = [_point(run) for run in runs]
    peers = [point for run, point in zip(runs, points, strict=True) if run.policy not in FORESEEING]
    best = front(peers)
    days = len(first.timeline.arrivals) / 1440
    return h.fragment[
        h.h2[f"{first.trace}: target wait {conditions.target_wait_s:g} s, boot {conditions.boot_s:g} s"],
        h.p(".faint")[
            f"{_days(days)}, {count(first.timeline.arrivals.sum(), 'message')} of"
            f" {conditions.seconds_per_message:g} s of work each."
        ],
        _table(runs, best, hourly_cost),
        cost_against_lateness(points, best),
        h.h3["Arrivals"],
        over_time(columns(first.timeline.arrivals, "highest"), days=days, unit="messages a minute"),
        (_over_time(run, days) for run in runs) if detailed else None,
    ]


def _over_time(run: Run, days: float) -> h.Fragment:
    timeline, colour = run.timeline, COLOURS[run.policy]
    seconds = len(timeline.arrivals) * MINUTE_S
    notes = [(at / seconds, f"{_clock(at)} {text}") for at, text in run.notes]
    capacity = columns(timeline.working + timeline.launching, "mean")
    waits = columns(timeline.wait_s, "highest")
    return h.fragment[
        h.h3[label(run.policy, run.params)],
        over_time(capacity, days=days, unit="instances, those that are launching included", colour=colour, notes=notes),
        over_time(
            waits, days=days, unit="longest wait, s", colour=colour, limit=run.conditions.target_wait_s, height=60.0
        ),
    ]


def _days(days: float) -> str:
    return f"{days:.3g} {'day' if days == 1 else 'days'}"


def _clock(at: float) -> str:
    minutes = int(at // MINUTE_S)
    return f"day {minutes // 1440 + 1} {minutes // 60 % 24:02d}:{minutes % 60:02d}:{int(at % MINUTE_S):02d}"


def _point(run: Run) -> Point:
    return Point(label(run.policy, run.params), COLOURS[run.policy], run.cost_ratio, run.late_fraction)


def _table(runs: Sequence[Run], best: Sequence[Point], hourly_cost: HourlyCost | None) -> h.Element:
    dollars = () if hourly_cost is None else (f"dollars at {hourly_cost.dollars:g} an hour",)
    return h.div(".scroll")[
        h.table[
            h.tr[
                h.th["policy"],
                (
                    h.th(".number")[name]
                    for name in (
                        "of the bound",
                        "cost",
                        "instance-hours",
                        *dollars,
                        "late",
                        "median wait",
                        "99%",
                        "longest",
                        "launches",
                    )
                ),
                h.th["a better peer"],
            ],
            (
                h.tr[
                    h.td[_dot(run.policy), label(run.policy, run.params)],
                    h.td(".number")["" if run.cost_of_bound is None else f"{run.cost_of_bound:.3f}"],
                    h.td(".number")[f"{run.cost_ratio:.3f}"],
                    h.td(".number")[f"{run.instance_hours:.1f}"],
                    None if hourly_cost is None else h.td(".number")[f"{hourly_cost.of(run.instance_hours):,.2f}"],
                    _late_cell(run.late_fraction),
                    h.td(".number")[f"{run.wait_p50_s:.0f} s"],
                    h.td(".number")[f"{run.wait_p99_s:.0f} s"],
                    h.td(".number")[f"{run.wait_max_s:.0f} s"],
                    h.td(".number")[f"{run.launches}"],
                    h.td[_verdict(run, best)],
                ]
                for run in sorted(runs, key=lambda run: run.cost_ratio)
            ),
        ]
    ]


def _verdict(run: Run, best: Sequence[Point]) -> str:
    """Which other policy of the table is no dearer and no later: of several the cheapest."""
    if run.policy in FORESEEING:
        return "knows the trace"
    point = _point(run)
    if point.label in {each.label for each in best}:
        return "none"
    return next(each.label for each in best if each.cost <= point.cost and each.late <= point.late)


def _late_cell(late: float) -> h.Element:
    return h.td(".number.late" if late > LATE_MARKED else ".number")[f"{late:.3%}"]


def _dot(policy: str) -> h.Element:
    return h.span(".dot", style=f"background: {COLOURS[policy]}")


def _summary(groups: Sequence[Sequence[Run]]) -> Iterator[h.Fragment]:
    """For each pair of target wait and boot time: the policies' mean cost over the traces, and their late messages."""
    for (target_s, boot_s), of_world in groupby(groups, key=lambda group: _world(group[0])[:2]):
        runs = [run for group in of_world for run in group]
        by_policy: dict[str, list[Run]] = {}
        for run in runs:
            by_policy.setdefault(label(run.policy, run.params), []).append(run)
        rows = sorted(by_policy.items(), key=lambda item: geometric_mean(run.cost_ratio for run in item[1]))
        yield h.fragment[
            h.h2[f"All traces: target wait {target_s:g} s, boot {boot_s:g} s"],
            h.div(".scroll")[
                h.table[
                    h.tr[
                        h.th["policy"],
                        (
                            h.th(".number")[name]
                            for name in ("traces", "of the bound", "mean cost", "worst share late", "mean share late")
                        ),
                    ],
                    (
                        h.tr[
                            h.td[_dot(of[0].policy), name],
                            h.td(".number")[str(len(of))],
                            h.td(".number")[_mean_of_bound(of)],
                            h.td(".number")[f"{geometric_mean(run.cost_ratio for run in of):.3f}"],
                            _late_cell(max(run.late_fraction for run in of)),
                            _late_cell(sum(run.late_fraction for run in of) / len(of)),
                        ]
                        for name, of in rows
                    ),
                ]
            ],
        ]


def _mean_of_bound(runs: Sequence[Run]) -> str:
    """Their cost in multiples of the bound; empty where it is unknown of one."""
    costs = [run.cost_of_bound for run in runs if run.cost_of_bound is not None]
    return f"{geometric_mean(costs):.3f}" if len(costs) == len(runs) else ""


def geometric_mean(values: Iterable[float]) -> float:
    """exp(mean(log(value))): the mean of ratios, in which 2 and 1/2 cancel."""
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs))
