"""docs/settings.md and docs/settings.schema.json, made from the code: `make settings-docs`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sluice.config.fleet import Settings
from sluice.config.problems import PATTERNS
from sluice.config.redrive_section import CAUSES_MAX_BYTES
from sluice.config.settings import PARAMETER_OF

ROOT = Path(__file__).resolve().parents[1]
SCHEMA_PATH, PAGE_PATH = ROOT / "docs/settings.schema.json", ROOT / "docs/settings.md"

TITLES = {"hints": "Starting values", "limits": "Limits", "drain": "Draining", "redrive": "Dead letters"}
BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
PARAMETERS_FILE = """\
Mode: act
Settings: |
  {"limits": {"max_step": 4}, "drain": {"deadline_s": 1800, "hook_timeout_s": 300}}
"""
COMMAND_LINE = r""".envs/sam/bin/sam deploy --parameter-overrides 'Settings="{\"limits\":{\"max_step\":4}}"'"""
INTRODUCTION = f"""\
# Settings

The parameters of `template.yaml` and `fleet.yaml` shape the stack's resources, or need an answer from every user. All
other options of a fleet are fields of one parameter, `Settings`: a JSON object, by default `{{}}`. Each field has a
default, so name only the fields that you change:

```json
{{"limits": {{"max_step": 4}}, "drain": {{"deadline_s": 1800, "hook_timeout_s": 300}}}}
```

Keep the object in a file with the other parameters, such as `parameters.yaml`, and deploy with
`.envs/sam/bin/sam deploy --parameter-overrides file://parameters.yaml`:

```yaml
{PARAMETERS_FILE}```

`sam deploy --guided` takes the object as it is. On a command line SAM CLI needs quotes around it:

```sh
# needs an AWS account
{COMMAND_LINE}
```

Write numbers as JSON does: `5` and not `05`, `0.5` and not `.5`. A deployment reads the settings with the code that it
deploys. A wrong setting fails the deployment, and the stack's events name every wrong field with what it may be, such
as `settings.drain.deadline_s`. [settings.schema.json](settings.schema.json) describes the same fields as a JSON Schema,
for editors.

A CloudFormation parameter holds at most 4,096 bytes, and all settings together fit into it. For this,
`redrive.transient` and `redrive.permanent` take at most {CAUSES_MAX_BYTES:,} bytes together. If a fleet's document is
longer than 4 KB, it is an advanced parameter of Parameter Store, which costs a few cents a month.

This page is generated from the code by `make settings-docs`.
"""


def schema() -> dict[str, Any]:
    """The JSON Schema of Settings, without the fields that parameters give."""
    made = Settings.model_json_schema()
    for section, reference in made["properties"].items():
        fields = made["$defs"][reference["$ref"].rpartition("/")[2]]["properties"]
        for field in [name for name in fields if f"{section}.{name}" in PARAMETER_OF]:
            del fields[field]
    made = _standard(made)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **made,
        "title": "Settings of a Sluice fleet",
        "description": "The parameter Settings of template.yaml and fleet.yaml.",
    }


def _standard(node: Any) -> Any:
    """JSON Schema's names of bounds: pydantic leaves its own where a field may be null and has a validator."""
    if isinstance(node, dict):
        return {BOUNDS.get(key, key): _standard(child) for key, child in node.items()}
    return [_standard(child) for child in node] if isinstance(node, list) else node


def page() -> str:
    """docs/settings.md."""
    made = schema()
    parts = [INTRODUCTION]
    for section, title in TITLES.items():
        reference = made["properties"][section]["$ref"].rpartition("/")[2]
        parts += [f"## {title}: `{section}`\n", "| field | default | may be | meaning |\n|---|---|---|---|"]
        parts[-1] += "".join(
            f"\n| `{name}` | {_default(spec)} | {_bounds(name, spec, made['$defs'])} | {spec['description']} |"
            for name, spec in made["$defs"][reference]["properties"].items()
        )
        parts[-1] += "\n"
    return "\n".join(parts)


def _default(spec: Mapping[str, Any]) -> str:
    default = spec.get("default")
    if default is None:
        return "none"
    return f"`{json.dumps(int(default) if isinstance(default, float) and default.is_integer() else default)}`"


def _bounds(name: str, spec: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """What a field may be, in words."""
    if "$ref" in spec:
        return " or ".join(f"`{json.dumps(value)}`" for value in definitions[spec["$ref"].rpartition("/")[2]]["enum"])
    kinds = [kind for kind in spec.get("anyOf", [spec]) if kind.get("type") != "null"]
    merged = {**kinds[0], **{key: spec[key] for key in ("minimum", "type") if key in spec}}
    match merged["type"]:
        case "boolean":
            return "`true` or `false`"
        case "string":
            return PATTERNS[name] if "pattern" in merged else f"a text of 1 to {merged['maxLength']} characters"
        case "array":
            item = merged["items"]
            return f"a list of at most {merged['maxItems']} texts of at most {item['maxLength']} characters"
        case kind:
            words = "a whole number" if kind == "integer" else "a number"
            return " ".join([words, *_of_number(merged)])


def _of_number(spec: Mapping[str, Any]) -> Iterator[str]:
    """The bounds of a number, each in words."""
    above = spec.get("exclusiveMinimum")
    if above is not None:
        yield f"above {above:g}"
    if "maximum" in spec:
        least = f"from {spec['minimum']:,.10g} to" if "minimum" in spec else "and at most"
        yield f"{least} {spec['maximum']:,.10g}"
    elif "minimum" in spec:
        yield f"of at least {spec['minimum']:,.10g}"


def main() -> None:
    """Write both."""
    SCHEMA_PATH.write_text(json.dumps(schema(), indent=2) + "\n")
    PAGE_PATH.write_text(page())


if __name__ == "__main__":
    main()
