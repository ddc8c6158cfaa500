"""What three seeds say together of a setting that was chosen in hindsight."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from sluice_tools.backtest.conditions import Conditions
from sluice_tools.backtest.docs_claim import claim
from sluice_tools.backtest.policies import make
from sluice_tools.backtest.runs import Run
from sluice_tools.backtest.simulator import simulate
from sluice_tools.backtest.study import GRIDS, settings
from sluice_tools.backtest.traces import Trace
from sluice_tools.backtest.verdicts import NEEDED, SEEDS, WHOLE, SeedRuns, Verdict

MET, NOT_MET = (120.0, 60.0), (60.0, 180.0)
TRAFFIC = Trace("made", np.array([6]))

type Figures = tuple[float, float]  # cost and share late


def a_run(spec: str, figures: Figures) -> Run:
    """A run that cost and was late so much."""
    run = simulate(TRAFFIC, make(spec), Conditions(seconds_per_message=10.0))
    return replace(run, instance_hours=figures[0] * run.work_hours, late_fraction=figures[1])


def a_verdict(
    ours: Sequence[Figures], peers: Sequence[Mapping[str, Figures]], trace: str = "made", world: Figures = MET
) -> Verdict:
    """A case: with each seed Sluice's figures, and those of settings of peers."""
    return Verdict(
        trace,
        world,
        [
            SeedRuns(a_run("sluice", our), [a_run(spec, figures) for spec, figures in seed.items()])
            for our, seed in zip(ours, peers, strict=True)
        ],
    )


BETTER, WORSE, OURS = (1.1, 0.0), (1.3, 0.0), (1.2, 0.001)


@pytest.mark.parametrize(
    ("by_seed", "better"),
    [
        ([{"keda": BETTER}, {"keda": BETTER}, {}], ["keda"]),
        ([{"keda": BETTER}, {"keda": WORSE}, {"keda": BETTER}], ["keda"]),
        ([{"keda": WORSE}, {"keda": BETTER}, {"keda": BETTER}], ["keda"]),
        ([{"keda": BETTER}, {"keda": WORSE}, {"keda": WORSE}], []),
        ([{"keda": BETTER, "wpa": WORSE}, {"keda": WORSE, "wpa": BETTER}, {"keda": WORSE, "wpa": WORSE}], []),
        ([{"keda": BETTER, "wpa": BETTER}, {"keda": WORSE, "wpa": BETTER}, {}], ["wpa"]),
        ([{"keda": (1.1, 0.002)}, {"keda": (1.1, 0.002)}, {"keda": (1.1, 0.002)}], []),  # cheaper and later
    ],
)
def test_verdict_when_seeds_disagree(by_seed: Sequence[Mapping[str, Figures]], better: list[str]) -> None:
    """The same setting must be better with two of three; two settings with one each are chance."""
    assert a_verdict([OURS] * 3, by_seed).better() == better


@pytest.mark.parametrize(
    ("by_seed", "undecided"),
    [
        ([{"keda": BETTER, "wpa": WORSE}, {"keda": WORSE, "wpa": BETTER}], ["keda", "wpa"]),
        ([{"keda": BETTER, "wpa": WORSE}, {"keda": WORSE, "wpa": WORSE}], ["keda"]),
        ([{"keda": BETTER, "wpa": BETTER}, {"keda": BETTER, "wpa": WORSE}], []),  # lost already
        ([{"keda": WORSE}, {"keda": WORSE}], []),
    ],
)
def test_undecided_when_the_last_seed_decides(by_seed: Sequence[Mapping[str, Figures]], undecided: list[str]) -> None:
    """It runs with the settings that were better once, unless another was better twice."""
    assert a_verdict([OURS] * 2, by_seed).undecided() == undecided


def test_seeds_when_settings_are_left_out() -> None:
    """Whatever is better with enough of all seeds is better with one of those in which every setting runs."""
    assert len(SEEDS) - len(WHOLE) < NEEDED


def test_margin_when_punctual_peers_are_compared() -> None:
    """The cheapest of those late as seldom as asked for, whoever is cheaper and later; none where Sluice is later."""
    peers = [a_run("keda", (1.1, 0.01)), a_run("wpa", (1.5, 0.0)), a_run("little", (1.26, 0.001))]
    runs = SeedRuns(a_run("sluice", (1.2, 0.0005)), peers)
    assert runs.margin(0.001) == pytest.approx(1.05)
    assert runs.margin(0.0001) is None
    assert replace(runs, peers=peers[:1]).margin(0.001) is None


def test_claim_when_cases_are_lost() -> None:
    """It names grid, seeds, the margin at 0.1%, the lost cases with their figures, and what chance found."""
    lost = a_verdict([OURS] * 3, [{"keda": BETTER}, {"keda": WORSE}, {"keda": BETTER}], "crowd", NOT_MET)
    chance = a_verdict([OURS] * 3, [{"wpa": (1.19, 0.0)}, {"wpa": WORSE}, {"wpa": WORSE}], "steady")
    held = a_verdict([OURS, OURS, (1.4, 0.002)], [{"wpa": (1.26, 0.0)}, {"wpa": (1.5, 0.0)}, {}], "calm")
    text = claim([replace(lost, missing=3), chance, held])
    count = sum(len(settings(name)) for name in GRIDS)
    assert f"in 3 cases (3 traces in 2 worlds) with {count} settings of 8 peers" in text
    assert "with the seeds 1, 2 and 3" in text
    assert "at least 2 of 3 seeds" in text
    assert "**3 of these settings are not tried yet.**" in text
    assert "* Lost: **1 of 3**." in text
    figures = "seed 1: 1.1000 and 0% late against 1.2000 and 0.100%"
    assert f"  * crowd at a target wait of 60 s and a boot of 180 s: `keda` ({figures})." in text
    assert "better in 1 more: steady at a target wait of 120 s and a boot of 60 s." in text
    # (1.19 / 1.2 x 1.26 / 1.2) ** 0.5, of the cases whose target can be met.
    assert "0.1%, seed 1: the cheapest setting of a peer, chosen for each case in hindsight, costs **+2.0%**" in text
    assert "(geometric mean of 2 cases in which both are; from -0.8% to +5.0%)" in text
    assert "| target wait 120 s, boot 60 s | 1.200, 0.100% | 1.200, 0.100% | 1.296, 0.200% |" in text
    assert "graceful drain for free" in text
    assert "counts as an instance" in text
    assert "of 39 cases with loads of 0.1 to 6 instances, 15 were lost" in text
    assert "`up_tolerance,down_tolerance` (0.1, 0.1), (0.15, 0.15), (0.2, 0.2)" in text


def test_claim_when_nothing_is_lost() -> None:
    """It says so, and of how many."""
    text = claim([a_verdict([OURS] * 3, [{"keda": WORSE}, {"keda": WORSE}, {}])])
    assert "* Lost: **none of 1**." in text
    assert "With one seed only" not in text
    assert "not tried yet" not in text
