"""The documentation's site: what is wrong in a page fails `make docs`, and a new guide is on the site by itself."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from sluice_tools.sandbox.sandbox import ROOT
from tests.support.chromium import launched

PYTHON = ROOT / ".envs/docs/bin/python"
MERMAID = ROOT / ".envs/diagrams/node_modules/@mermaid-js/tiny"
PAGES = {
    "README.md": "# A project\n\n[a guide](docs/guides/first.md#a-part)\n",
    "docs/adr/README.md": "# Decisions\n",
    "docs/guides/first.md": "# First guide\n\n## A part\n\n[the code](../../example.py)\n",
    "example.py": "print()\n",
}


def build(directory: Path, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """The site of some pages, in `site`, by the command of the Makefile's own rule."""
    if not PYTHON.exists():
        pytest.skip("SITE NOT TESTED: run `make setup-docs`")
    for name, text in (PAGES | more).items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    printed = subprocess.run(
        ["make", "--always-make", "--dry-run", "docs"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.replace("\\\n", " ")
    (command,) = re.findall(r"^\.envs/docs/bin/python (-m sphinx .*) \. build/site$", printed, re.MULTILINE)
    words = command.replace("--conf-dir docs", f"--conf-dir {ROOT / 'docs'}").split()
    return subprocess.run(
        [PYTHON, *words, ".", "site"], cwd=directory, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.fixture
def browser() -> Iterator[Browser]:
    """Chromium."""
    yield from launched()


def test_page_is_named_when_something_in_it_leads_nowhere(tmp_path: Path) -> None:
    """A link to no file, a link to no heading, and a page that no section has."""
    done = build(
        tmp_path,
        {
            "docs/guides/second.md": "# Second guide\n\n[gone](gone.md)\n\n[no part](first.md#no-part)\n",
            "docs/forgotten.md": "# Forgotten\n",
        },
    )

    assert done.returncode != 0
    assert re.search(r"docs/guides/second\.md:3: WARNING: .*gone", done.stderr)
    assert re.search(r"docs/guides/second\.md:5: WARNING: .*no-part", done.stderr)
    assert re.search(r"docs/forgotten\.md: WARNING: document isn't included in any toctree", done.stderr)
    assert done.stderr.count("WARNING") == 3


def test_guide_is_in_the_navigation_when_it_is_new(tmp_path: Path) -> None:
    """Its folder is a section's; the README is what a browser opens first, and the search finds the guide."""
    done = build(tmp_path, {})

    assert (done.returncode, done.stderr) == (0, "")
    first = (tmp_path / "site/index.html").read_text()
    assert re.search(r'<a class="reference internal" href="docs/guides/first\.html">First guide</a>', first)
    assert "First guide" in (tmp_path / "site/searchindex.js").read_text()


@pytest.mark.browser
def test_diagram_is_a_picture_when_a_page_is_opened(tmp_path: Path, browser: Browser) -> None:
    """Each of the documents' diagrams, drawn by what the site itself has: nothing is fetched from elsewhere."""
    if not MERMAID.exists():
        pytest.skip("DIAGRAMS NOT TESTED: npm is missing, or run `make setup-docs`")
    pages = ("docs/architecture.md", "docs/draining.md")
    fence = re.compile(r"^```mermaid$.+?^```$", re.DOTALL | re.MULTILINE)
    diagrams = [one for page in pages for one in fence.findall((ROOT / page).read_text())]
    assert len(diagrams) == 4
    done = build(tmp_path, {"docs/guides/first.md": "\n\n".join(["# First guide", "## A part", *diagrams])})
    assert (done.returncode, done.stderr) == (0, "")

    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "site/docs/guides/first.html").as_uri())

    page.locator("pre.mermaid svg").nth(len(diagrams) - 1).wait_for()
    assert page.locator("pre.mermaid svg").count() == len(diagrams)
    assert page.get_by_text("Syntax error").count() == 0
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert "mermaid" not in (tmp_path / "site/index.html").read_text(), "a page without diagrams loads nothing for them"
