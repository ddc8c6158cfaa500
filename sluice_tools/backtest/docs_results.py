"""What the comparison of Sluice with its peers says, in Markdown: a summary, a picture and two tables a world."""

from collections.abc import Sequence
from dataclasses import dataclass

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.policies import label
from sluice_tools.backtest.report import geometric_mean
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.study import GRIDS, best, better_than, settings
from sluice_tools.backtest.traces import Trace

# Where a target can be met at all, a boot and this much later work has begun.
SPARE_S = 30.0
LATE_PROMISED = 0.001
COST_PROMISED = 1.25
NEAR = 1.05  # times the cost of the cheapest: one of these is the cheapest with another seed

type World = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Case:
    """A trace in a world, and what came of it."""

    trace: Trace
    conditions: Conditions
    ours: Run
    peers: Sequence[Run]  # those known of all settings
    clairvoyant: Run | None
    bound: float  # the least cost without lateness, in multiples of the work
    undecided: int = 0  # settings of peers that have not been tried far enough to say that they are of no interest

    @property
    def world(self) -> World:
        """Target and boot, in seconds."""
        return self.conditions.target_wait_s, self.conditions.boot_s

    @property
    def of_bound(self) -> float:
        """Sluice's cost in multiples of the bound."""
        return self.ours.cost_ratio / self.bound

    @property
    def late_most(self) -> float:
        """How late a peer may be that counts as punctual: as Sluice, or as is promised where a target can be met."""
        return late_most(self.ours)

    def cheapest(self) -> Run | None:
        """The cheapest setting of a peer that is as punctual."""
        found = [run for run in self.peers if run.late_fraction <= self.late_most]
        return min(found, key=lambda run: run.cost_ratio, default=None)

    def better_peers(self) -> list[Run]:
        """Settings of peers that are both cheaper and less late."""
        return better_than(self.ours, self.peers)


def late_most(ours: Run) -> float:
    """The largest share of late messages of a peer that is as punctual as Sluice."""
    conditions = ours.conditions
    can_be_met = conditions.target_wait_s >= conditions.boot_s + SPARE_S
    return max(ours.late_fraction, LATE_PROMISED) if can_be_met else ours.late_fraction


def results(found: Sequence[Case], claimed: str) -> str:
    """The page's part between the marks, in Markdown.

    Args:
        found: every case.
        claimed: what is claimed of the comparison.
    """
    parts = [_opening(found), claimed]
    for world in dict.fromkeys(case.world for case in found):
        here = [case for case in found if case.world == world]
        parts += [
            f"## Target wait {world[0]:g} s, boot {world[1]:g} s",
            _promise(here),
            _picture_of_cost(world),
            _table(here),
            _peers_table(here),
        ]
    return "\n\n".join(parts)


def _picture_of_cost(world: World) -> str:
    target_s, boot_s = world
    return f"![Cost against lateness at a target wait of {target_s:g} s and a boot of {boot_s:g} s]({picture(world)})"


def picture(world: World) -> str:
    """Where a world's picture is, from the page."""
    return f"img/cost-{world[0]:g}-{world[1]:g}.png"


def _opening(found: Sequence[Case]) -> str:
    settings_each = sum(len(settings(name)) for name in GRIDS)
    seed = found[0].conditions.seed
    undecided = sum(case.undecided for case in found)
    part = "" if not undecided else f" **Not all settings are tried yet: {undecided:,} are missing.**"
    return (
        "`make planner-docs` writes this section. Sluice runs with its defaults and is given the target wait only. It"
        f" is compared with eight peers in {settings_each} settings, which are also given the seconds per message, and"
        " each trace is compared with the best settings in hindsight. A setting runs until it is certain to be later"
        " than a punctual one may be, or dearer than both Sluice and the best of that peer. *Cost* is instance-hours"
        " divided by the instance-hours of the work alone. *Of the bound* is Sluice's cost divided by the *bound*, a"
        " proven lower limit: no policy that is never late costs less. *Late* is the share of messages that waited"
        " longer than the target wait, the first hours of learning included. *Clairvoyant* is a policy that knows the"
        " trace: the bound in whole instances. The simulated world is described in"
        f" [backtest.md](backtest.md); its seed is {seed}.{part}\n\n"
        "![A flash crowd: arrivals, capacity and waits](img/crowd.png)"
    )


def _promise(here: Sequence[Case]) -> str:
    """The summary of a world: what is promised of it, and whether it holds."""
    cost = geometric_mean(case.ours.cost_ratio for case in here)
    worst = max(here, key=lambda case: case.ours.late_fraction)
    outperformed = [case.trace.name for case in here if case.better_peers()]
    where = f" ({', '.join(outperformed)})" if outperformed else ""
    of_bound = geometric_mean(case.of_bound for case in here)
    lines = [
        f"* Sluice's cost, geometric mean over {len(here)} traces: **{of_bound:.3f}** of the bound, **{cost:.3f}**.",
        f"* Worst share of late messages: **{share(worst.ours.late_fraction)}** ({worst.trace.name}).",
        f"* Traces on which a setting of a peer is cheaper and no later: **{len(outperformed)}**{where}.",
    ]
    if _can_be_met(here[0]):
        later = [case.trace.name for case in here if case.ours.late_fraction > LATE_PROMISED]
        lines.append(
            f"* Goals in this world: at most {LATE_PROMISED:.1%} late on every trace "
            + ("(met)" if not later else f"(not met on {', '.join(later)})")
            + f", and a mean cost of at most {COST_PROMISED:g} ({'met' if cost <= COST_PROMISED else 'not met'})."
        )
    else:
        lines.append("* No launch is in time in this world: messages that were not forecast are late under any policy.")
    return "\n".join(lines)


def _table(here: Sequence[Case]) -> str:
    rows = [
        (
            "trace",
            "Sluice, of the bound",
            "Sluice",
            "late",
            "cheapest peer that is as punctual",
            "late",
            "clairvoyant",
            "bound",
        )
    ]
    rows += [
        (
            f"{case.trace.name}{' (a peer is better)' if case.better_peers() else ''}",
            f"{case.of_bound:.3f}",
            f"{case.ours.cost_ratio:.3f}",
            share(case.ours.late_fraction),
            *_peer(case.cheapest()),
            "" if case.clairvoyant is None else f"{case.clairvoyant.cost_ratio:.3f}",
            f"{case.bound:.3f}",
        )
        for case in here
    ]
    return markdown(rows, "lrrrlrrr")


def _peer(run: Run | None) -> tuple[str, str]:
    return ("none", "") if run is None else (f"{run.cost_ratio:.3f} `{setting(run)}`", share(run.late_fraction))


def setting(run: Run) -> str:
    """Its policy and what was set of it, as `make` reads it."""
    return label(run.policy, run.params)


def _peers_table(here: Sequence[Case]) -> str:
    """Each peer, tuned for each trace to be as punctual as Sluice."""
    rows = [
        ("peer, tuned for each trace", "traces on which it is as punctual", "its cost on these, divided by Sluice's")
    ]
    for name in GRIDS:
        ratios = []
        for case in here:
            punctual = [run for run in case.peers if run.policy == name and run.late_fraction <= case.late_most]
            if punctual:
                ratios.append(best(punctual, case.late_most).cost_ratio / case.ours.cost_ratio)
        rows.append((f"`{name}`", f"{len(ratios)} of {len(here)}", f"{geometric_mean(ratios):.2f}" if ratios else ""))
    as_punctual = (
        f"*As punctual* means no later than Sluice on that trace, or at most {LATE_PROMISED:.1%} late."
        if _can_be_met(here[0])
        else "*As punctual* means no later than Sluice on that trace."
    )
    return f"{markdown(rows, 'lrr')}\n\n{as_punctual}"


def _can_be_met(case: Case) -> bool:
    target_s, boot_s = case.world
    return target_s >= boot_s + SPARE_S


def markdown(rows: Sequence[tuple[str, ...]], align: str) -> str:
    """A table: its head, its rows, and l or r for each column."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    marks = "|" + "|".join("---:" if each == "r" else "---" for each in align) + "|"
    return "\n".join([head, marks, *body])


def share(late: float) -> str:
    """A share in percent; zero and almost zero differ."""
    return "0%" if late == 0.0 else f"{late:.3%}" if late < 0.01 else f"{late:.1%}"
