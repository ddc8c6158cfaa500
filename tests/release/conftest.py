"""What the tests of a release share: their patience, and the smoke test's account."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support import waiting
from tests.support.smoke_place import Place, planted_place


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Call something until it answers truthfully, and return that answer; fail after ``within_s``."""
    return functools.partial(waiting.eventually, within_s=60.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The smoke test's account, with other people's things in it."""
    with planted_place(tmp_path_factory.mktemp("smoke")) as made:
        yield made


@pytest.fixture(scope="module")
def before(place: Place) -> dict[str, set[str]]:
    """What is in the smoke test's account before any run."""
    return place.everything()
