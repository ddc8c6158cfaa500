"""docs/settings.md and docs/settings.schema.json: what the code says, word for word."""

from __future__ import annotations

import json

import pytest

from sluice.config.fleet import Settings, parse
from sluice.config.settings import PARAMETER_OF
from sluice_tools.settings_docs import PAGE_PATH, SCHEMA_PATH, page, schema

LEAST = {"queue": "https://sqs.eu-west-1.amazonaws.com/123456789012/orders", "group": "g", "target_wait_s": 60}
FIELDS = [
    (section, name, spec)
    for section, reference in schema()["properties"].items()
    for name, spec in schema()["$defs"][reference["$ref"].rpartition("/")[2]]["properties"].items()
]


def test_page_and_schema_are_as_made_when_the_code_changes() -> None:
    """`make settings-docs` was run."""
    assert PAGE_PATH.read_text() == page()
    assert json.loads(SCHEMA_PATH.read_text()) == schema()


def test_every_field_is_described_when_listed() -> None:
    """In a sentence, with its unit; and what a parameter gives is not among them."""
    assert len(FIELDS) > 30
    for section, name, spec in FIELDS:
        assert spec["description"].endswith("."), name
        assert f"{section}.{name}" not in PARAMETER_OF
        if name.endswith("_s"):
            assert "second" in spec["description"], name
        assert f"| `{name}` |" in page()
    assert set(schema()["properties"]) == set(Settings.model_fields)


@pytest.mark.parametrize(("section", "name", "spec"), FIELDS, ids=[f"{one[0]}.{one[1]}" for one in FIELDS])
def test_bound_of_the_schema_is_the_codes_when_a_number(section: str, name: str, spec: dict[str, object]) -> None:
    """What the schema allows at each end is read, unless another field forbids it; what is beyond is refused."""
    options = spec.get("anyOf", [spec])
    assert isinstance(options, list)
    numbers = [dict(one) | {key: spec[key] for key in ("minimum",) if key in spec} for one in options]
    for key, step in (("minimum", -1e-3), ("maximum", 1e-3), ("exclusiveMinimum", 0.0)):
        for one in numbers:
            if key in one:
                found = problems(section, name, float(one[key]) + step)
                assert found.startswith(f"settings.{section}.{name}: must be"), (key, found)
                if key != "exclusiveMinimum":
                    assert "or equal to" not in problems(section, name, one[key]), key


def problems(section: str, name: str, value: object) -> str:
    """What is wrong with one field, or an empty text."""
    try:
        parse("orders", LEAST | {"settings": {section: {name: value}}})
    except ValueError as error:
        return str(error).removeprefix("fleet 'orders': ")
    return ""
