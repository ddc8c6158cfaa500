"""What is late in a world although a change is known as soon as it shows."""

import pytest

from sluice_tools.backtest.worlds import informed
from sluice_tools.backtest.worlds.catalogue import WORLDS


def test_late_shares_when_a_hint_is_wrong() -> None:
    """A policy that knows it once the first instance is in service is in time; Sluice learns the rate by counts."""
    change = next(each for each in informed.CHANGES if each.world == "slower-than-believed")
    late, known = informed.late_shares(change, 3)
    assert late == pytest.approx(0.133, abs=0.01)
    assert known == 0.0


def test_changes_are_of_worlds_that_there_are() -> None:
    """Each is a world of its own."""
    assert len({change.world for change in informed.CHANGES}) == len(informed.CHANGES)
    assert {change.world for change in informed.CHANGES} <= set(WORLDS)


def test_main_prints_a_row_for_each_change(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """By seed, and what the first half hour of the limited database cost."""
    monkeypatch.setattr("sys.argv", ["informed", "--seeds", "2"])
    monkeypatch.setattr(informed, "late_shares", lambda _, seed: (0.1 * seed, 0.0))
    monkeypatch.setattr(informed, "hours_before_it_is_known", lambda seed: (10.0 + seed, 20.0))
    informed.main()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[1:3] for line in printed[2:5]] == [["10.0%, 20.0%", "0.0%, 0.0%"]] * 3
    assert printed[-1] == "`capped-downstream`: 11.0, 12.0 instance-hours in the first 30 minutes, 20.0, 20.0 then"
