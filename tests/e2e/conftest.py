"""Both stacks deployed into an emulator of their own, once for all the tests that need them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from tests.support import waiting
from tests.support.deployed_stacks import STACK, Deployed, both_stacks
from tests.support.smoke_place import Place, planted_place
from tools.sandbox.packages import deploy_package
from tools.sandbox.sandbox import ROOT, Sandbox


@pytest.fixture(scope="session")
def deployed() -> Iterator[Deployed]:
    """The example and Sluice beside it. Instances are idle processes: it is the test that consumes."""

    def deploy_sluice(sandbox: Sandbox, parameters: Mapping[str, str]) -> None:
        deploy_package(sandbox, ROOT / "template.yaml", STACK, parameters)

    with both_stacks(deploy_sluice) as made:
        yield made


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
