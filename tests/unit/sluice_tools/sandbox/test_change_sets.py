"""What the sandbox's change sets say of replacements."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import pytest

from sluice_tools.sandbox.emulator.change_sets import ALWAYS, SOMETIMES, recreation_of


@cache
def schemas() -> dict[str, Any]:
    """AWS's schemas of the table's resource types, as cfn-lint brings them along."""
    texts = [path.read_text() for path in files("cfnlint").joinpath("data/schemas/resources").iterdir()]
    found = [json.loads(text) for text in texts if any(f'"{kind}"' in text for kind in ALWAYS)]
    return {schema["typeName"]: schema for schema in found if schema.get("typeName") in ALWAYS}


@pytest.mark.parametrize("kind", sorted(ALWAYS))
def test_table_when_it_is_compared_with_awss_schemas(kind: str) -> None:
    """The same properties replace a resource, always or in some cases."""
    for field, table in (("createOnlyProperties", ALWAYS), ("conditionalCreateOnlyProperties", SOMETIMES)):
        stated = {path.split("/")[2] for path in schemas()[kind].get(field) or ()}
        assert table.get(kind, frozenset()) == stated, field
    assert set(SOMETIMES) <= set(ALWAYS)


def test_recreation_when_a_property_changes() -> None:
    """Never, always or in some cases; of a type that is not in the table the emulator says it."""
    asked = [("Alarm", "Threshold"), ("Alarm", "AlarmName"), ("Unknown", "Name")]
    assert [recreation_of(f"AWS::CloudWatch::{kind}", name) for kind, name in asked] == ["Never", "Always", None]
    assert recreation_of("AWS::SSM::Document", "Content") == "Conditionally"
