"""One sandbox a test process, with the seconds of its AWS made short."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.sandbox import sandbox as sandbox_module
from tools.sandbox.emulator.settings import Settings
from tools.sandbox.sandbox import Sandbox

SHORT = Settings(
    minute_s=2.0,
    metric_delay_s=0.2,
    boot_s=0.3,
    stop_grace_s=5.0,
    health_period_s=0.3,
    hook_min_s=1,
    spot_notice_s=1.0,
    command_delivery_s=1.0,
)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """The running emulator, extended and with authorisation on."""
    if problem := sandbox_module.missing():
        pytest.skip(f"SANDBOX TESTS NOT RUN: {problem}")
    with Sandbox(SHORT) as running:
        yield running
