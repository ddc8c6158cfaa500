"""Every page of the documentation has its place on the site, and no page has two."""

from __future__ import annotations

import runpy
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONF = runpy.run_path(str(ROOT / "docs/conf.py"))


def pages_of_sections(root: Path) -> list[str]:
    """The pages that the site's sections name, the decisions included."""
    patterns = [*CONF["SECTIONS"].values(), ("docs/adr/0*",)]
    return [page for section in patterns for page in CONF["pages"](root, section)]


def test_each_page_has_one_section() -> None:
    """A page that is missing here goes into SECTIONS of docs/conf.py."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md", "docs/*.md", "examples/*/README.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    there = [page.removesuffix(".md") for page in listed if not page.startswith(".github/") and (ROOT / page).exists()]

    assert set(there) - {"README"} - set(pages_of_sections(ROOT)) == set()
    assert [page for page, times in Counter(pages_of_sections(ROOT)).items() if times > 1] == []


def test_pages_when_their_titles_are_compared() -> None:
    """Each title stands for one page, so that the navigation says where each link leads."""
    pages = [page for page in pages_of_sections(ROOT) if not page.startswith("examples/")]
    titles = Counter((ROOT / f"{page}.md").read_text().partition("\n")[0] for page in pages)
    assert len(titles) > 100
    assert [title for title, times in titles.items() if times > 1 or not title.startswith("# ")] == []


@pytest.mark.parametrize("caption", CONF["SECTIONS"])
def test_section_has_pages_when_it_has_a_caption(caption: str) -> None:
    """None stands for nothing."""
    assert CONF["pages"](ROOT, CONF["SECTIONS"][caption]) != []
