"""Both stacks deployed into an emulator of their own, once for all the tests of this package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from sluice_tools.sandbox.packages import deploy_package
from sluice_tools.sandbox.sandbox import ROOT, Sandbox
from tests.support.deployed_stacks import STACK, Deployed, both_stacks


@pytest.fixture(scope="package")
def deployed() -> Iterator[Deployed]:
    """The example and Sluice beside it. Instances are idle processes: it is the test that consumes.

    Its functions run every two seconds, so it ends with the package.
    """

    def deploy_sluice(sandbox: Sandbox, parameters: Mapping[str, str]) -> None:
        deploy_package(sandbox, ROOT / "template.yaml", STACK, parameters)

    with both_stacks(deploy_sluice) as made:
        yield made
