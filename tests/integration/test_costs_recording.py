"""The figures that `sluice cost` multiplies are those of the shipped code: some are recorded anew and compared."""

from __future__ import annotations

import pytest

from sluice_tools.costs import usage
from sluice_tools.costs.recording import record_minutes, record_rounds

TICKS = 18  # one reading of CloudWatch's metrics


@pytest.mark.slow
@pytest.mark.parametrize("load", ["idle", "busy"])
def test_calls_are_the_recorded_ones_when_a_shard_is_ticked(load: str) -> None:
    """Per service and operation, and the table's units. Where this fails: python -m sluice_tools.costs.recording."""
    kept = usage.load().rounds[load][1]
    found = record_rounds(1, busy=load == "busy", counted=TICKS, timed=1)
    assert set(found.calls) == set(kept.calls)
    for name, count in kept.calls.items():
        assert found.calls[name] == pytest.approx(count, rel=0.15, abs=0.12), name
    assert found.write_units == pytest.approx(kept.write_units, rel=0.15)
    assert found.read_units == pytest.approx(kept.read_units, rel=0.15, abs=0.2)
    assert found.metrics_read == pytest.approx(kept.metrics_read, abs=0.05)
    assert found.invocations == pytest.approx(kept.invocations, rel=0.1)


@pytest.mark.slow
def test_calls_are_the_recorded_ones_when_the_minute_comes() -> None:
    """Of each function, and of a step that came for nothing."""
    found, kept = record_minutes(), usage.load().minutes
    assert set(found) == set(kept)
    for name, minute in kept.items():
        assert {call: round(count, 3) for call, count in found[name].calls.items() if count} == minute.calls, name
