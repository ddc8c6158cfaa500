"""Every link of a document to a file of the repository, or to a heading in one, leads somewhere."""

import re
from pathlib import Path

import pytest

from tests.support.pasted import documents

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*documents(), *sorted(ROOT.glob("docs/adr/*.md")), ROOT / "CHANGELOG.md", ROOT / "RELEASE.md"]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives a page's headings: lower case, without punctuation, hyphens for spaces."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]*`", "", text)
    wrong = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_when_followed(page: Path) -> None:
    """File and heading are there."""
    assert broken(page) == []


def test_broken_when_a_link_leads_nowhere(tmp_path: Path) -> None:
    """A missing file and a missing heading are named; links out of the repository and code are left alone."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A title, with words\n[a](#a-title-with-words) [b](#gone) [c](gone.md) [d](https://example.org) `[e](gone)`\n"
    )
    assert broken(page) == ["#gone", "gone.md"]
