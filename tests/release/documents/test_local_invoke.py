"""One payload of each function by `sam local invoke`, in a container with Lambda's own layout.

It shows that what is built runs there: its layout, its layers, and that it reaches AWS. Each takes SAM CLI some
seconds, so all payloads run that way only by `python -m sluice_tools.local_invoke`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from sluice_tools.docker_relay import container_url
from sluice_tools.local_invoke import (
    FUNCTIONS,
    Result,
    events,
    invoke_all,
    missing,
    old_images_removed,
    sam_env,
    write_template,
)
from sluice_tools.sandbox.sandbox import ROOT

pytestmark = pytest.mark.sandbox

IN_CONTAINERS = (
    "console-render",
    "drainer-sweep",
    "onboarding-create",
    "operator-redrive-dry-run",
    "planner-operator",
    "redriver-minute",
)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Result]]:
    """One invocation of each function, by the payload's name; made two at a time."""
    if problem := missing():
        pytest.skip(f"LOCAL INVOKES NOT RUN: {problem}")
    deployed: Any = request.getfixturevalue("deployed")
    sandbox = deployed.sandbox
    folder = tmp_path_factory.mktemp("build")
    build = sandbox.build(ROOT / "template.yaml", folder / "sluice", log=folder / "sam.log").parent
    with container_url(deployed.sandbox.url) as endpoint, old_images_removed():
        template = write_template(build, "sluice", endpoint, deployed.sandbox.client("lambda"))
        yield {
            result.event: result
            for result in invoke_all(template, events(IN_CONTAINERS), sam_env(deployed.sandbox.url))
        }


@pytest.mark.docker
@pytest.mark.parametrize("name", IN_CONTAINERS)
def test_function_answers_when_invoked_locally(results: dict[str, Result], name: str) -> None:
    """In a container with Lambda's own layout: the layers are found, the emulator is reached, nothing raises."""
    assert results[name].error is None, results[name].answer


def test_each_function_has_a_payload_that_is_invoked_locally() -> None:
    """A further function needs one as well."""
    assert sorted(name.partition("-")[0] for name in IN_CONTAINERS) == sorted(FUNCTIONS)


@pytest.mark.docker
def test_answers_are_those_of_the_stack_when_invoked_locally(results: dict[str, Result]) -> None:
    """Not just no error: the container read the deployed fleet through the emulator."""
    assert results["drainer-sweep"].answer == {"swept": 1}
    assert [tick["fleet"] for tick in results["planner-operator"].answer["ticks"]] == ["orders"]
    assert "There is no fleet" not in results["console-render"].answer
    assert results["operator-redrive-dry-run"].answer["fleet"] == "orders"
