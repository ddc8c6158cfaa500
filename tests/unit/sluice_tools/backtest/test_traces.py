"""Traces: coarse sources, moments within a minute, and generated shapes."""

import numpy as np
import pytest

from sluice_tools.backtest.generated_traces import SHAPES, generated_trace
from sluice_tools.backtest.traces import Trace, is_flat, roughened, times


def test_roughened_when_the_source_knew_five_minutes_at_a_time() -> None:
    """Counts per minute vary as Poisson's do, about the same mean."""
    blocks = np.random.default_rng(1).integers(5, 80, 500)
    coarse = Trace("coarse", np.repeat(blocks, 5))
    assert is_flat(coarse)
    rough = roughened(coarse, 1)
    assert not is_flat(rough)
    assert rough.total == pytest.approx(coarse.total, rel=0.02)
    assert np.var(rough.counts - coarse.counts) == pytest.approx(coarse.counts.mean(), rel=0.1)
    assert roughened(coarse, 1).counts.tolist() == rough.counts.tolist()


def test_roughened_when_the_source_knew_minutes() -> None:
    """What is fine stays as it is."""
    fine = Trace("fine", np.random.default_rng(1).poisson(20.0, 2000))
    assert roughened(fine, 1) is fine


def test_times_when_drawn() -> None:
    """Ascending, each within its minute, as many as the counts say."""
    trace = Trace("made", np.array([4, 0, 700]))
    at = times(trace, 1)
    assert np.all(np.diff(at) >= 0)
    assert np.bincount((at // 60).astype(int), minlength=3).tolist() == [4, 0, 700]
    assert at[4:].mean() == pytest.approx(150.0, abs=2.0)


@pytest.mark.parametrize("name", SHAPES)
def test_shape_when_generated(name: str) -> None:
    """Two days of minutes with some traffic; its seed decides."""
    trace = generated_trace(name, 1)
    assert trace.minutes == 2 * 1440
    assert trace.total > 10_000
    assert generated_trace(name, 1).counts.tolist() == trace.counts.tolist()
    assert generated_trace(name, 2).counts.tolist() != trace.counts.tolist()


def test_shapes_when_they_are_what_they_are_called() -> None:
    """One telling figure of each."""
    counts = {name: generated_trace(name, 1).counts for name in SHAPES}
    by_hour = counts["diurnal"].reshape(2, 24, 60).sum(axis=(0, 2))
    assert by_hour.max() > 4 * by_hour.min()
    assert counts["flash-crowd"].max() > 15 * np.median(counts["flash-crowd"])
    assert counts["hourly-batch"][::60].min() > 5 * np.delete(counts["hourly-batch"], np.s_[::60]).max()
    assert 0.2 < np.mean(counts["on-off"] == 0) < 0.8
    assert counts["step"][720] > 2 * counts["step"][100]
    assert counts["slow-ramp"][-100:].sum() > 10 * counts["slow-ramp"][:100].sum()
    assert counts["retry-storm"].max() > 8 * np.median(counts["retry-storm"])
    bursts = counts["bursts"].reshape(-1, 60).mean(axis=1)  # hourly means of independent minutes would hardly differ
    assert bursts.std() > 3 * counts["bursts"].std() / 60**0.5
