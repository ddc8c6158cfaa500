"""What these contracts share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sluice_tools.sandbox.sandbox import Sandbox
from tests.support import short_sandbox


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    """One emulator for all files of this package, whose tests leave nothing in it that goes on."""
    yield from short_sandbox.running()
