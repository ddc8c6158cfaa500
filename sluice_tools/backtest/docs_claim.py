"""What the comparison with the peers claims, in Markdown: over which grid, seeds and cases, by how much, where not."""

from collections.abc import Iterable, Sequence

from sluice_tools.backtest.docs_results import LATE_PROMISED, NEAR, SPARE_S, markdown, setting, share
from sluice_tools.backtest.report import geometric_mean
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.study import GRIDS, settings
from sluice_tools.backtest.verdicts import NEEDED, SEEDS, SEEDS_NAMED, WHOLE, SeedRuns, Verdict


def claim(verdicts: Sequence[Verdict]) -> str:
    """The section: verdicts, the margin over the cheapest punctual peer, what is fair and what is not, and the grid."""
    return "\n\n".join(
        [
            "## What is claimed",
            _how(verdicts),
            _lost(verdicts),
            _margins(verdicts),
            _costs(verdicts),
            _fairness(),
            _grid(),
        ]
    )


def _how(verdicts: Sequence[Verdict]) -> str:
    traces, worlds = len({each.trace for each in verdicts}), len({each.world for each in verdicts})
    wanted = sum(len(settings(name)) for name in GRIDS)
    text = (
        f"Sluice is compared in {len(verdicts)} cases ({traces} traces in {worlds} worlds) with {wanted} settings of"
        f" {len(GRIDS)} peers, each chosen in hindsight, with the seeds {SEEDS_NAMED}. A case is *lost* where one"
        f" setting is cheaper and no later than Sluice with at least {NEEDED} of {len(SEEDS)} seeds. All settings are"
        f" tried with the seeds {' and '.join(map(str, WHOLE))}, and with seed {SEEDS[-1]} those that were better with"
        " one of these."
    )
    missing = sum(each.missing for each in verdicts)
    return text if not missing else f"{text} **{missing:,} of these settings are not tried yet.**"


def _lost(verdicts: Sequence[Verdict]) -> str:
    lost = [each for each in verdicts if each.better()]
    chance = [each for each in verdicts if each.wins() and not each.better()]
    if not lost:
        lines = [f"* Lost: **none of {len(verdicts)}**."]
    else:
        lines = [f"* Lost: **{len(lost)} of {len(verdicts)}**."]
        lines += [f"  * {_case(each)}: `{each.better()[0]}` ({_figures(each, each.better()[0])})." for each in lost]
    if chance:
        lines.append(
            f"* With one seed only, a setting is better in {len(chance)} more: {'; '.join(map(_case, chance))}."
        )
    return "\n".join(lines)


def _case(each: Verdict) -> str:
    return f"{each.trace} at a target wait of {each.world[0]:g} s and a boot of {each.world[1]:g} s"


def _figures(each: Verdict, better: str) -> str:
    """Cost and lateness of both, with the first seed in which that setting is better."""
    seed, runs, run = next(
        (seed, runs, run)
        for seed, runs in zip(SEEDS, each.seeds, strict=True)
        for run in runs.better()
        if setting(run) == better
    )
    return (
        f"seed {seed}: {run.cost_ratio:.4f} and {share(run.late_fraction)} late against"
        f" {runs.ours.cost_ratio:.4f} and {share(runs.ours.late_fraction)}"
    )


def _margins(verdicts: Sequence[Verdict]) -> str:
    """What the cheapest peer costs that is late as seldom as is promised, where a target can be met."""
    lines = []
    for seed, runs in _by_seed([each for each in verdicts if each.world[0] >= each.world[1] + SPARE_S]):
        margins = [margin for each in runs if (margin := each.margin(LATE_PROMISED)) is not None]
        if margins:
            lines.append(
                f"* Late at most {LATE_PROMISED:.1%}, seed {seed}: the cheapest setting of a peer, chosen for each case"
                f" in hindsight, costs **{geometric_mean(margins) - 1.0:+.1%}** against Sluice (geometric mean of"
                f" {len(margins)} cases in which both are; from {min(margins) - 1.0:+.1%} to"
                f" {max(margins) - 1.0:+.1%})."
            )
    if lines:
        lines.append(
            f"  With seed {SEEDS[0]} the cheapest of all settings; with the others the cheapest of those that cost at"
            f" most {NEAR - 1.0:.0%} more than it with seed {SEEDS[0]}."
        )
    return "\n".join(lines)


def _by_seed(verdicts: Sequence[Verdict]) -> Iterable[tuple[int, list[SeedRuns]]]:
    """The cases' runs with each seed."""
    return [(seed, [each.seeds[place] for each in verdicts]) for place, seed in enumerate(SEEDS)]


def _costs(verdicts: Sequence[Verdict]) -> str:
    """Sluice's own cost with each seed."""
    rows: list[tuple[str, ...]] = [("Sluice, mean cost and worst share late", *(f"seed {seed}" for seed in SEEDS))]
    for world in dict.fromkeys(each.world for each in verdicts):
        of = [[each.seeds[place].ours for each in verdicts if each.world == world] for place in range(len(SEEDS))]
        rows.append((f"target wait {world[0]:g} s, boot {world[1]:g} s", *map(_mean, of)))
    return markdown(rows, "l" + "r" * len(SEEDS))


def _mean(runs: Sequence[Run]) -> str:
    cost = geometric_mean(run.cost_ratio for run in runs)
    return f"{cost:.3f}, {share(max(run.late_fraction for run in runs))}"


def _fairness() -> str:
    return (
        "* The peers are given Sluice's graceful drain for free: whoever is scaled in finishes its message, which with"
        " these peers is the user's own work.\n"
        "* A pod of `keda` and `wpa` counts as an instance: it takes the boot to start and is paid for alone. What a"
        " cluster's nodes add is in no figure.\n"
        "* `target-tracking`, `step-scaling` and `predictive` see metrics of one minute that are 60 to 180 s late;"
        " `target-tracking` with `period_s=10.0` sees a live metric, which its user must publish.\n"
        "* With little traffic a peer may be cheaper: of 39 cases with loads of 0.1 to 6 instances, 15 were lost"
        " ([ADR 0053](adr/0053-dense-bursts-are-not-treated-as-periodic-batches.md)). They are single messages with"
        " long gaps, constant loads at a target wait that no launch meets, and batches that cannot be met."
    )


def _grid() -> str:
    rows: list[tuple[str, ...]] = [("peer", "settings", "values tried")]
    for name, grid in GRIDS.items():
        tried = "; ".join(f"`{key}` {_values(sorted(values))}" for key, values in grid.items())
        rows.append((f"`{name}`", str(len(settings(name))), tried))
    return markdown(rows, "lrl")


def _values(values: Sequence[object]) -> str:
    return ", ".join(
        f"({', '.join(f'{each:g}' for each in value)})" if isinstance(value, tuple) else f"{value:g}"
        for value in values
    )
