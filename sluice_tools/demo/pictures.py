"""Pictures of the order page and the dashboard's widget, taken in headless Chromium while the story goes on."""

import time
from dataclasses import dataclass

from playwright.sync_api import Error, Page, sync_playwright

from sluice_tools import chromium
from sluice_tools.demo.environment import FLEET, DemoEnvironment
from sluice_tools.order_traffic import Traffic
from sluice_tools.sandbox.widget_page import make_page, serving

PATIENCE_MS = 30_000
"""Each step takes below a second on an idle machine."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture."""

    caption: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Pictures:
    """What was taken, or why there is nothing."""

    taken: tuple[Picture, ...] = ()
    missing: str = "the story did not come to where they are taken"  # empty where they were taken


def take_pictures(demo: DemoEnvironment, traffic: Traffic, sku: str) -> Pictures:
    """Order something on the order page, and take a picture of it and one of the widget.

    A browser that is missing or fails must not end the story: the page says what went wrong instead.

    Args:
        demo: where both pages are.
        traffic: counts the order as one of its own.
        sku: what is ordered.
    """
    program = chromium.program()
    if program is None:
        return Pictures(missing="Chromium is not installed")
    widget = make_page(demo.sandbox.client("lambda"), demo.sluice["ConsoleFunction"], params={"fleet": FLEET})
    try:
        with sync_playwright() as playwright, serving(widget) as widget_url:
            browser = playwright.chromium.launch(executable_path=program, args=chromium.FLAGS)
            try:
                page = browser.new_page(viewport={"width": 900, "height": 700}, device_scale_factor=1.5)
                page.set_default_timeout(PATIENCE_MS)
                return Pictures((_order_page(page, demo.front_end_url, traffic, sku), _widget(page, widget_url)), "")
            finally:
                browser.close()
    except (Error, OSError, ValueError) as error:
        return Pictures(missing=f"Chromium failed: {str(error).splitlines()[0]}")


def _order_page(page: Page, url: str, traffic: Traffic, sku: str) -> Picture:
    page.goto(url)
    page.get_by_label("Your name").fill("Ada")
    page.get_by_label("Item").fill(sku)
    sent_at = time.time()
    with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
        page.get_by_role("button", name="Order", exact=True).click()
    traffic.note(answered.value.json()["order_id"], sent_at)
    page.locator(".badge.stored").wait_for()
    return Picture("The order page after the poison orders: an order placed on it is stored", page.screenshot())


def _widget(page: Page, url: str) -> Picture:
    page.goto(f"{url}?range=300")
    widget = page.locator("#widget .sl")
    widget.wait_for()
    return Picture("The dashboard's widget: the poison orders are quarantined by cause", widget.screenshot())
