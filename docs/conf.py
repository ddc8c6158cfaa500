"""The documentation's site, made by `make docs`: the repository's own Markdown files, in sections by subject.

Sphinx reads the repository's root, so that every link is the same on GitHub and on the site. A page that is in no
section fails the build, and so does a link or an anchor that leads nowhere. Sphinx and MyST-Parser are developed by
several people, and MyST reads CommonMark and names anchors as GitHub does. MkDocs has had no release since 2024, its
theme gets fixes only, and their successor Zensical is younger than a year.
"""

import html
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MERMAID = ROOT / ".envs/diagrams/node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js"
"""Draws diagrams in the reader's browser. It is one file, which the site has itself; `make docs` fetches it by npm."""
# As large as its text needs; a wide one is scrolled.
MERMAID_SETTINGS = {
    "startOnLoad": True,
    "theme": "neutral",
    "themeVariables": {"fontSize": "12px"},
    "flowchart": {"useMaxWidth": False},
    "state": {"useMaxWidth": False},
}

project = "Sluice"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]
root_doc = "README"
include_patterns = ["*.md", "docs/**.md", "examples/*/README.md"]
suppress_warnings = ["misc.highlighting_failure"]  # examples leave parts out, which no grammar knows

myst_heading_anchors = 4  # as GitHub names them

if MERMAID.exists():  # without npm diagrams stay what they are in the Markdown: text
    myst_fence_as_directive = ["mermaid"]
    html_static_path = [str(MERMAID)]

html_theme = "furo"
html_title = f"Sluice {release}"
html_copy_source = False
html_show_copyright = False

SECTIONS: dict[str, tuple[str, ...]] = {
    "Begin": (
        "docs/install",
        "docs/transcript",
        "docs/deploying",
        "docs/shadow-mode",
        "docs/consumers",
        "docs/guides/*",
    ),
    "Run it": (
        "docs/operations",
        "docs/widget",
        "docs/decisions",
        "docs/cli",
        "docs/settings",
        "docs/grafana",
        "docs/scale",
    ),
    "How it works": ("docs/planner", "docs/planner-rules", "docs/draining", "docs/redriving", "docs/glossary"),
    "Does it pay?": ("docs/backtest", "docs/comparison", "docs/ablations"),
    "Examples": ("examples/*/README", "docs/aws-smoke"),
    "The project": ("docs/architecture", "docs/adr/README", "CONTRIBUTING", "SECURITY", "CHANGELOG", "RELEASE"),
}
"""Caption -> its pages, without `.md`; a pattern stands for the pages that match it, by name."""


def pages(root: Path, patterns: tuple[str, ...]) -> list[str]:
    """The pages of a section that are there, without `.md`."""
    found = [sorted(root.glob(f"{pattern}.md")) for pattern in patterns]
    return [str(page.relative_to(root).with_suffix("")) for pages in found for page in pages]


def toctree(caption: str, entries: list[str]) -> str:
    """A section of the navigation, as MyST writes it; nothing without pages."""
    if not entries:
        return ""
    lines = "\n".join(f"/{entry}" for entry in entries)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{lines}\n```\n"


def add_navigation(app: Any, name: str, source: list[str]) -> None:
    """Add the sections to the first page, and the decisions to their index: GitHub would show them as code."""
    root = Path(app.srcdir)
    if name == root_doc:
        source[0] += "".join(toctree(caption, pages(root, patterns)) for caption, patterns in SECTIONS.items())
    if name == "docs/adr/README":
        source[0] += toctree("Decision records", pages(root, ("docs/adr/0*",)))


def diagram_directive() -> type:
    """What makes a diagram in Mermaid's language, which GitHub draws as well, an element that Mermaid replaces."""
    from docutils import nodes  # noqa: PLC0415 - tests read this file where Sphinx is not installed
    from docutils.parsers.rst import Directive  # noqa: PLC0415

    class Diagram(Directive):
        has_content = True

        def run(self) -> list[nodes.Node]:
            text = html.escape("\n".join(self.content))
            style = "background: white; overflow-x: auto"  # its lines are dark, in either theme
            return [nodes.raw("", f'<pre class="mermaid" style="{style}">{text}</pre>', format="html")]

    return Diagram


def add_mermaid(app: Any, _name: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Load what draws diagrams on pages that have some: it is 3 MB."""
    if '<pre class="mermaid"' in context.get("body", ""):
        app.add_js_file(MERMAID.name)
        app.add_js_file(None, body=f"mermaid.initialize({json.dumps(MERMAID_SETTINGS)})")


def add_first_page(app: Any, error: Exception | None) -> None:
    """The README is what a browser opens first."""
    if error is None and app.builder.name == "html":
        shutil.copy(app.outdir / f"{root_doc}.html", app.outdir / "index.html")


def setup(app: Any) -> None:
    """Sphinx's entry point."""
    app.add_directive("mermaid", diagram_directive())
    app.connect("source-read", add_navigation)
    app.connect("html-page-context", add_mermaid)
    app.connect("build-finished", add_first_page)
