"""The worlds that every contract of the ledger is held in: memory, moto and the emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sluice.ports.ledger import Ledger
from sluice_tools.sandbox.sandbox import Sandbox
from tests.integration.contract_worlds import EVERYWHERE, AwsWorld, World, open_world
from tests.support import short_sandbox


@pytest.fixture(scope="package")
def sandbox() -> Iterator[Sandbox]:
    """One emulator for all files of this package, whose tests leave nothing in it that goes on."""
    yield from short_sandbox.running()


@pytest.fixture(params=EVERYWHERE)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in turn, its table made."""
    for opened in open_world(request):
        if isinstance(opened, AwsWorld):
            opened.make_table()
        yield opened


@pytest.fixture
def ledger(world: World) -> Ledger:
    """That world's ledger."""
    return world.ports.ledger
