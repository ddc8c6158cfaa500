"""Both stacks deployed into an emulator of their own, once for the built functions and the documents followed on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.deployed_stacks import Deployed, both_packages


@pytest.fixture(scope="package")
def deployed() -> Iterator[Deployed]:
    """The example and Sluice beside it. Its functions run every two seconds, so it ends with the package."""
    with both_packages() as made:
        yield made
