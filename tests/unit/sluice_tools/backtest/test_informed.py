"""What is late in a world although a change is known as soon as it shows."""

import pytest

from sluice_tools.backtest.worlds import informed
from sluice_tools.backtest.worlds.catalogue import WORLDS
from sluice_tools.sources import CHECKOUT


def test_late_shares_when_a_hint_is_wrong() -> None:
    """A policy that knows it once the first instance is in service is in time; Sluice learns the rate by counts."""
    change = next(each for each in informed.CHANGES if each.world == "slower-than-believed")
    late, known = informed.late_shares(change, 3)
    assert late == pytest.approx(0.133, abs=0.01)
    assert known == 0.0


@pytest.mark.slow
def test_page_has_what_the_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of the two worlds that are simulated within a second each."""
    page, seeds = (CHECKOUT / "docs/backtest.md").read_text(encoding="utf-8").splitlines(), (1, 2, 3)
    monkeypatch.setattr(informed, "FIRST_BURSTS", ("first-burst",))
    monkeypatch.setattr(informed, "CHANGES", informed.CHANGES[:1])
    assert informed.cost_table(seeds)[-1] in page
    assert informed.table(seeds)[-1] in page


def test_changes_are_of_worlds_that_there_are() -> None:
    """Each is a world of its own."""
    assert len({change.world for change in informed.CHANGES}) == len(informed.CHANGES)
    assert {change.world for change in informed.CHANGES} <= set(WORLDS)


def test_costs_when_a_fleet_has_both_hints() -> None:
    """The first burst of a fleet that is not known takes more than what is left of it with hints."""
    unknown, hinted = informed.costs("first-burst", 1)
    assert unknown == pytest.approx(2.6, abs=0.1)
    assert hinted == pytest.approx(1.5, abs=0.1)


def test_hours_before_it_is_known() -> None:
    """Most of what back-off costs is that of the first quarter of an hour; the rest is one unit for two hours."""
    first, rest = informed.hours_before_it_is_known("back-off", 1)
    assert first == pytest.approx(4.7, abs=0.2)
    assert rest == pytest.approx(1.9, abs=0.1)


def test_batch_costs_hardly_more_than_with_batches_known_as_they_arrive() -> None:
    """A boot is paid for each two or three messages, whoever launches once a batch is there."""
    ours, known = informed.batch_costs(2)
    assert ours == pytest.approx(2.6, abs=0.05)
    assert known == pytest.approx(2.2, abs=0.05)


def test_main_prints_a_row_for_each_world(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """By seed: what is late, what is dear, and what was so before it could be known."""
    monkeypatch.setattr("sys.argv", ["informed", "--seeds", "2"])
    monkeypatch.setattr(informed, "late_shares", lambda _, seed: (0.1 * seed, 0.0))
    monkeypatch.setattr(informed, "costs", lambda _, seed: (2.0 * seed, 1.5))
    monkeypatch.setattr(informed, "hours_before_it_is_known", lambda _, seed: (10.0 + seed, 20.0))
    monkeypatch.setattr(informed, "batch_costs", lambda seed: (2.0 + seed, 2.0))
    informed.main()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1:3] for line in printed[2:5]] == [["10.0%, 20.0%", "0.0%, 0.0%"]] * 3
    assert printed[8:11] == [f"| `{name}` | 2.0, 4.0 | 1.5, 1.5 |" for name in informed.FIRST_BURSTS]
    assert printed[12:] == [
        "`capped-downstream`: 11.0, 12.0 instance-hours in the first 30 minutes, 20.0, 20.0 then",
        "`capped-downstream-long`: 11.0, 12.0 instance-hours in the first 50 minutes, 20.0, 20.0 then",
        "`back-off`: 11.0, 12.0 instance-hours in the first 15 minutes, 20.0, 20.0 then",
        "`heavy-tailed-batches-slow-boot`: 3.0, 4.0 times the work; 2.0, 2.0 where each batch is known as it arrives",
    ]
