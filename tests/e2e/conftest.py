"""What the tests of deployments share: their patience."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from tests.support import waiting


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Call something until it answers truthfully, and return that answer; fail after ``within_s``."""
    return functools.partial(waiting.eventually, within_s=60.0)
