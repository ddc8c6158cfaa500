"""Every payload of events/ on the deployed functions; in Lambda's own containers tests/release invokes one of each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sluice_tools.local_invoke import EVENTS, events

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize("name", [path.stem for path in events()])
def test_function_answers_when_deployed(deployed: Any, name: str) -> None:
    """As Lambda invokes it, in a process of its own with the stack's layers, environment and role: nothing raises."""
    deployed.invoke(name.partition("-")[0], json.loads((EVENTS / f"{name}.json").read_text()))
