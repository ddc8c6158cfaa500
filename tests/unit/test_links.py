"""Every link of a document, and every setting that it names, leads somewhere."""

import json
import re
from pathlib import Path
from typing import Any

from tests.support.pasted import documents

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*documents(), *sorted(ROOT.glob("docs/adr/*.md")), ROOT / "CHANGELOG.md", ROOT / "RELEASE.md"]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings: lower case, without punctuation, hyphens for spaces."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere, on GitHub or on the site, which has no page for a folder."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]*`", "", text)
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.is_file() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    return wrong


def test_links_when_followed() -> None:
    """File and heading are there, of every page."""
    assert {str(page.relative_to(ROOT)): found for page in PAGES if (found := broken(page))} == {}


def test_broken_when_a_link_leads_nowhere(tmp_path: Path) -> None:
    """A missing file, a missing heading and a folder are named; links out of the repository and code are left alone."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A title, with words\n[a](#a-title-with-words) [b](#gone) [c](gone.md) [d](https://example.org) `[e](gone)`\n"
        "[f](../)\n"
    )
    assert broken(page) == ["#gone", "gone.md", "../"]


def settings(schema: dict[str, Any], node: dict[str, Any], prefix: str = "") -> set[str]:
    """The settings below a node of the JSON Schema, by their dotted names."""
    found = set()
    for name, field in node.get("properties", {}).items():
        refs = [one["$ref"] for one in (field, *field.get("anyOf", [])) if "$ref" in one]
        section = schema["$defs"][refs[0].rpartition("/")[2]] if refs else field
        found |= {prefix + name} | settings(schema, section, f"{prefix}{name}.")
    return found


def test_settings_when_a_page_names_them() -> None:
    """Each is a field of the published JSON Schema: a renamed setting is renamed on every page."""
    schema = json.loads((ROOT / "docs/settings.schema.json").read_text())
    known = settings(schema, schema)
    assert "drain.deadline_s" in known
    files = r"(?!py\b|env\b|service\b)"  # names of files begin like settings
    for page in [*PAGES, *ROOT.glob("*.yaml")]:
        named = set(re.findall(rf"\b(?:hints|limits|drain|redrive)\.{files}[a-z_]+", page.read_text()))
        assert named <= known, page
