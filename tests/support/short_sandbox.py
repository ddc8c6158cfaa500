"""An emulator with the seconds of its AWS made short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sluice_tools.sandbox import sandbox as sandbox_module
from sluice_tools.sandbox.emulator.settings import Settings
from sluice_tools.sandbox.sandbox import Sandbox

SHORT = Settings(
    minute_s=1.0,
    metric_delay_s=0.2,
    boot_s=0.3,
    stop_grace_s=2.0,
    health_period_s=0.3,
    hook_min_s=1,
    spot_notice_s=3.0,
    command_delivery_s=1.0,
)


def running() -> Iterator[Sandbox]:
    """It, as long as whoever asks goes on; the test is skipped where it cannot run."""
    if problem := sandbox_module.missing():
        pytest.skip(f"SANDBOX TESTS NOT RUN: {problem}")
    with Sandbox(SHORT) as started:
        yield started
