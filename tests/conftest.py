"""What holds for every test process."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from tests.support import waiting

# A slow machine is no fault of what is tested.
settings.register_profile("without a deadline", settings(), deadline=None)
settings.load_profile("without a deadline")


gc.disable()  # until all is imported and collected: nearly nothing of that is garbage


def pytest_collection_finish() -> None:
    """Collect garbage more rarely: what was imported and collected stays, and took a fifteenth of the tests' time."""
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class _ByFileOrPackage(LoadFileScheduling):
    """A process takes a file at a time, or a folder that is a package: its files share what takes long to make."""

    def _split_scope(self, nodeid: str) -> str:
        """The file of a test, or its package."""
        file: str = super()._split_scope(nodeid)
        folder = Path(file).parent
        return str(folder) if (self.config.rootpath / folder / "__init__.py").exists() else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Where tests are given out by file (`--dist loadfile`), packages stay together."""
    return _ByFileOrPackage(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """Call something until it answers truthfully, and return that answer; fail after ``within_s``."""
    return functools.partial(waiting.eventually, within_s=60.0)
