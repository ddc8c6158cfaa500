"""The smoke test's account."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.smoke_place import Place, planted_place


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The smoke test's account, with other people's things in it."""
    with planted_place(tmp_path_factory.mktemp("smoke")) as made:
        yield made


@pytest.fixture(scope="module")
def before(place: Place) -> dict[str, set[str]]:
    """What is in the smoke test's account before any run."""
    return place.everything()
