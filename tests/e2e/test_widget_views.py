"""How each view of the widget looks and reads in Chromium: nothing is cut, axe finds nothing, the keyboard reaches all.

The views are rendered from scenes, without a server. `make pictures` makes the documentation's pictures from them.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from sluice.widget.view import Theme
from tests.support.chromium import launched
from tests.support.widget_views import POPUPS, VIEWS

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "docs" / "img" if os.environ.get("SLUICE_UPDATE_DOCS") == "1" else ROOT / "build" / "screenshots"
MARGIN_PX = 8
WIDTHS_PX = (420, 480, 1_300)  # a third of a dashboard on two screens, and the whole
POPUP_PX = 600
# What a view is made of depends on its width, its colors on the theme: axe sees each, of the main views every pair.
AXE_AT = {Theme.LIGHT: (420,), Theme.DARK: (600, 1_300)}
MAIN = frozenset({"fleet", "trouble", "overview"})
GROUNDS = {Theme.LIGHT: "#ffffff", Theme.DARK: "#0f1b2a"}
PICTURE_MAX_BYTES = 150_000
# Of each view: its width in the documentation, and how much of its height.
PICTURED = {
    "overview": ("widget-overview", 900, 640),
    "fleet": ("widget-fleet", 1_000, 640),
    "trouble": ("widget-trouble", 420, 900),
    "shadow": ("widget-shadow", 1_000, 620),
    "empty": ("widget-empty", 640, 420),
    "new-fleet": ("widget-new-fleet", 640, 640),
    "no-dead-letters": ("widget-no-dead-letters", 1_000, 640),
    "overview-narrow": ("widget-overview-narrow", 420, 640),
    "message": ("widget-message", 600, 640),
}
SCENE_OF = {"overview-narrow": "overview"}  # a second picture of a view

# Elements that stick out of the widget or of the element that holds them, and texts that are cut.
CUT = """() => {
  const root = document.querySelector('.sl'), edge = root.getBoundingClientRect(), found = [];
  for (const e of root.querySelectorAll('*')) {
    if (e.closest('.sl-hear, style, cwdb-action') || e.closest('svg') !== null && e.localName !== 'svg') continue;
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    if (!box.width || style.display === 'inline') continue;
    const what = e.localName + '.' + e.className.toString() + ': ' + e.textContent.slice(0, 40);
    if (box.right > edge.right + 1 || box.left < edge.left - 1) found.push('sticks out: ' + what);
    if (e.localName !== 'svg' && e.scrollWidth > e.clientWidth + 1) found.push('cut: ' + what);
  }
  return found;
}"""
# Words of the chart that cover one another, or leave the picture.
COVERED = """() => {
  const found = [], svg = document.querySelector('svg.sl-chart');
  if (!svg) return found;
  const edge = svg.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  for (const [i, [text, a]] of boxes.entries()) {
    if (a.right > edge.right + 1 || a.left < edge.left - 1) found.push(text + ' leaves the picture');
    for (const [other, b] of boxes.slice(i + 1))
      if (a.left < b.right && b.left < a.right && a.top + 2 < b.bottom - 2 && b.top + 2 < a.bottom - 2)
        found.push(text + ' covers ' + other);
  }
  return found;
}"""
# What the focus is on, and whether that shows.
FOCUSED = """() => {
  const e = document.activeElement, style = getComputedStyle(e);
  const places = [...document.querySelectorAll('.sl *')];
  return [places.indexOf(e), e.localName, style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0];
}"""
REACHABLE = "button:not([disabled]), summary, input, pre"  # of these what is not folded away


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """One page of a headless Chromium; whatever it requests fails the test."""
    for browser in launched():
        yield from _page_of(browser)


def _page_of(browser: Browser) -> Iterator[Page]:
    requested: list[str] = []
    opened = browser.new_page(timezone_id="UTC", java_script_enabled=True)
    opened.on("request", lambda request: requested.append(request.url))
    yield opened
    opened.close()
    assert requested == []


def put(page: Page, html: str, theme: Theme, width: int) -> None:
    """Show a piece of HTML as a dashboard does, on its ground."""
    page.set_viewport_size({"width": width, "height": 900})
    page.set_content(
        f"<!doctype html><html lang=en><title>Dashboard</title><body style='margin:0;background:{GROUNDS[theme]}'>"
        f"<main style='padding:{MARGIN_PX}px'><h1 style='position:absolute;clip-path:inset(50%)'>Dashboard</h1>{html}"
        "</main></body></html>"
    )


def unfold(page: Page) -> None:
    """Open what is folded, of each list the first two: axe and the measuring see what shows alone, and like is like."""
    page.evaluate(
        "document.querySelectorAll('details').forEach(e => { const item = e.closest('li');"
        " e.open = !item || [...item.parentNode.children].indexOf(item) < 2 })"
    )


def violations(page: Page) -> list[str]:
    """What axe finds, as rule and element."""
    found: dict[str, Any] = Axe().run(page).response
    return [f"{one['id']}: {node['html'][:160]}" for one in found["violations"] for node in one["nodes"]]


SCENES = {
    **{name: ("view", made) for name, made in VIEWS.items()},
    **{name: ("popup", made) for name, made in POPUPS.items()},
}


@pytest.mark.parametrize("theme", list(Theme))
@pytest.mark.parametrize("name", list(SCENES))
def test_view_when_shown_is_whole_and_accessible(page: Page, name: str, theme: Theme) -> None:
    """At a third of a dashboard and at the whole, unfolded: nothing is cut or covered, and axe finds nothing."""
    kind, made = SCENES[name]
    for width in WIDTHS_PX if kind == "view" else (WIDTHS_PX[0], POPUP_PX):
        put(page, made(theme, width - 2 * MARGIN_PX), theme, width)
        assert page.evaluate(COVERED) == [], width
        assert page.evaluate(CUT) == [], width
        unfold(page)
        assert page.evaluate(CUT) == [], width
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if width in AXE_AT[theme] or (name in MAIN and width != WIDTHS_PX[1]):
            assert violations(page) == [], width


@pytest.mark.parametrize("name", ["fleet", "trouble", "several-queues", "overview", "message"])
def test_keyboard_when_it_goes_through_a_view_reaches_everything_in_order(page: Page, name: str) -> None:
    """Tab goes from top to bottom, leaves nothing out that can be pressed or scrolled, and is seen where it is."""
    put(page, SCENES[name][1](Theme.LIGHT, 404), Theme.LIGHT, 420)
    unfold(page)
    expected = page.evaluate(
        "s => { const all = [...document.querySelectorAll('.sl *')];"
        " return [...document.querySelectorAll(s)].filter(e => e.checkVisibility()).map(e => all.indexOf(e)) }",
        REACHABLE,
    )
    visited = []
    for _ in expected:
        page.keyboard.press("Tab")
        place, tag, shows = page.evaluate(FOCUSED)
        assert shows, tag
        visited.append(place)
    assert visited == expected
    assert len(visited) >= 2
    assert page.locator(".sl [tabindex]:not([tabindex='0'])").count() == 0


@pytest.mark.parametrize("name", list(PICTURED))
def test_view_when_documented_is_pictured(page: Page, name: str) -> None:
    """The documentation's pictures are of these views, and each is small enough to be read online."""
    file, width, height = PICTURED[name]
    _, made = SCENES[SCENE_OF.get(name, name)]
    put(page, made(Theme.LIGHT, width - 2 * MARGIN_PX), Theme.LIGHT, width)
    PICTURES.mkdir(parents=True, exist_ok=True)
    whole = int(page.evaluate("Math.ceil(document.querySelector('main').getBoundingClientRect().height)"))
    path = PICTURES / f"{file}.png"
    page.set_viewport_size({"width": width, "height": min(height, whole)})
    page.screenshot(path=path)
    assert 5_000 < path.stat().st_size < PICTURE_MAX_BYTES


def test_pictures_of_the_widget_are_all_there() -> None:
    """Each is in docs/img, and on the widget's page."""
    shown = (ROOT / "docs" / "widget.md").read_text()
    for file, _, _ in PICTURED.values():
        assert (ROOT / "docs" / "img" / f"{file}.png").stat().st_size < PICTURE_MAX_BYTES
        assert f"img/{file}.png" in shown
