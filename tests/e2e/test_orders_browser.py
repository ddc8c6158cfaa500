"""The order page in headless Chromium, over a queue in memory, a real database and a real consumer.

`make pictures` makes the documents' picture by one of them.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect

from examples.orders.orders.consumer import Consumer
from examples.orders.orders.handling import Handler
from examples.orders.orders.sqs import QueueError
from examples.orders.orders.store import Store
from examples.orders.orders.visibility import VisibilityExtender
from examples.orders.orders.web import FrontEnd
from tests.support.chromium import launched
from tests.support.orders_fakes import MemoryQueue, MemoryWorkLog, new_store

pytestmark = pytest.mark.browser

PICTURE = Path(__file__).parents[2] / "docs/img/order-page.png"
LONG_S = 30.0
"""Until a start or a stop is given up."""


@dataclass(slots=True)
class Shop:
    """The page's address, what is behind it, and what a browser complained about."""

    url: str
    queue: MemoryQueue
    store: Store
    database: Path
    consume: Callable[[], None]
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    yield from launched()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A served page; its consumer starts when the test wants it to."""
    queue, store = MemoryQueue(), new_store(tmp_path)
    worklog = MemoryWorkLog()
    consumer = Consumer(
        queue,
        store,
        Handler(queue, store, worklog, "i-1"),  # type: ignore[arg-type]
        VisibilityExtender(queue, 30),
        worklog,  # type: ignore[arg-type]
        concurrency=2,
    )
    consuming = threading.Thread(target=consumer.run)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(FrontEnd(queue, store).app(), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    serving.start()
    deadline = time.monotonic() + LONG_S
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
    yield Shop(url, queue, store, tmp_path / "orders.db", consuming.start)
    consumer.stop()
    if consuming.ident is not None:
        consuming.join(LONG_S)
    server.should_exit = True
    serving.join(LONG_S)
    listener.close()
    store.close()


@pytest.fixture
def page(browser: Browser, shop: Shop) -> Iterator[Page]:
    """The page, opened; anything that a browser's console complains about is kept."""
    context = browser.new_context()
    opened = context.new_page()
    opened.on("console", lambda message: shop.complaints.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: shop.complaints.append(str(error)))
    opened.goto(shop.url)
    yield opened
    context.close()


def fill_in(page: Page, customer: str = "Ada", sku: str = "kettle", quantity: str = "2") -> None:
    """Fill in the form and send it."""
    page.get_by_label("Your name").fill(customer)
    page.get_by_label("Item").fill(sku)
    page.get_by_label("Quantity").fill(quantity)
    page.get_by_role("button", name="Order", exact=True).click()


def test_order_turns_from_waiting_to_stored_when_a_consumer_comes(page: Page, shop: Shop) -> None:
    """The list is live: what was charged, how long it waited, and the stock that is left."""
    fill_in(page)
    expect(page.get_by_role("status")).to_have_text("Order " + shop_order_id(shop) + " is accepted.")
    row = page.locator("#orders tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text("waiting")
    expect(page.locator("#waiting")).to_have_text("1")
    shop.consume()
    expect(row).to_contain_text("stored", timeout=LONG_S * 1000)
    expect(row).to_contain_text("2 \N{MULTIPLICATION SIGN} kettle")
    expect(row).to_contain_text("€98.00")
    expect(page.locator("#orders_count")).to_have_text("1")
    expect(page.locator("#stock")).to_contain_text("999,998")
    expect(page.locator("#waiting")).to_have_text("0")
    assert shop.complaints == []


def shop_order_id(shop: Shop) -> str:
    """The id of the one order that was sent."""
    deadline = time.monotonic() + LONG_S
    while not shop.queue.bodies():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (body,) = shop.queue.bodies()
    return body.split('"')[3]


def test_order_is_pictured_as_dead_lettered_with_its_cause_when_its_item_is_not_sold(page: Page, shop: Shop) -> None:
    """An item that is not sold: the list says so within its next look, and turns once the item is there."""
    fill_in(page)
    expect(page.locator("#orders tbody tr")).to_have_count(1)
    fill_in(page, sku="teapot-glass")
    shop.consume()
    row = page.locator("#orders tbody tr").first
    expect(row.locator(".badge")).to_have_text("dead-lettered", timeout=LONG_S * 1000)
    expect(row).to_contain_text("UnknownItem: teapot-glass")
    expect(page.locator("#dead_letters")).to_have_text("1")
    expect(page.locator(".badge.stored")).to_have_count(1, timeout=LONG_S * 1000)
    if os.environ.get("SLUICE_UPDATE_DOCS") == "1":
        page.set_viewport_size({"width": 1_000, "height": 760})
        page.screenshot(path=PICTURE)
    shop.store.restock("teapot-glass", "Teapot, glass", 990, 10)
    shop.queue.redrive()
    expect(row.locator(".badge")).to_have_text("stored", timeout=LONG_S * 1000)
    expect(row).not_to_contain_text("UnknownItem")
    assert shop.complaints == []


def test_problems_stand_beside_their_fields_when_these_are_wrong(page: Page, shop: Shop) -> None:
    """Named, described and focused for whoever cannot see the colour; gone once they are put right."""
    fill_in(page, sku="No Item", quantity="0")
    item, quantity = page.get_by_label("Item"), page.get_by_label("Quantity")
    expect(item).to_have_attribute("aria-invalid", "true")
    expect(item).to_have_accessible_description(
        "give an item such as 'tea-green': lower-case letters and digits, joined by '-'"
    )
    expect(item).to_be_focused()
    expect(quantity).to_have_accessible_description("give a whole number from 1 to 1000")
    expect(page.get_by_label("Your name")).to_have_attribute("aria-invalid", "false")
    assert shop.queue.bodies() == []
    fill_in(page)
    expect(page.get_by_role("status")).to_contain_text("is accepted")
    expect(item).to_have_attribute("aria-invalid", "false")
    assert len(shop.queue.bodies()) == 1


def test_orders_differ_when_the_form_is_sent_twice(page: Page, shop: Shop) -> None:
    """Two wishes are two orders, although the same form made them."""
    fill_in(page)
    expect(page.locator("#orders tbody tr")).to_have_count(1)
    fill_in(page)
    expect(page.locator("#orders tbody tr")).to_have_count(2)
    shop.consume()
    expect(page.locator("#orders_count")).to_have_text("2", timeout=LONG_S * 1000)
    assert len(shop.store.stored_ids()) == 2


def test_load_is_sent_and_worked_off_when_its_button_is_pressed(page: Page, shop: Shop) -> None:
    """As many as asked for, and refused beside the field where that is too many."""
    count, button = page.get_by_label("Number of orders"), page.get_by_role("button", name="Send load")
    count.fill("5001")
    button.click()
    expect(count).to_have_accessible_description("give a whole number from 1 to 5000")
    assert shop.queue.bodies() == []
    count.fill("123")
    button.click()
    expect(page.get_by_role("status")).to_have_text("123 orders are accepted.")
    shop.consume()
    expect(page.locator("#orders_count")).to_have_text("123", timeout=LONG_S * 1000)
    assert shop.complaints == []


def test_markup_stays_text_when_a_customer_or_an_item_is_called_so(page: Page, shop: Shop) -> None:
    """Neither what is typed nor what the database answers can run."""
    evil = "<img src=x onerror=document.title='owned'>"
    shop.store.restock("evil", evil, 100, 10)
    fill_in(page, customer=evil, sku="evil")
    shop.consume()
    expect(page.locator("#orders tbody tr")).to_contain_text("stored", timeout=LONG_S * 1000)
    expect(page.locator("#stock")).to_contain_text(evil)
    assert page.locator("img").count() == 0
    assert page.title() == "Orders"


def test_page_says_so_when_the_database_or_the_queue_is_away(page: Page, shop: Shop) -> None:
    """Orders are accepted without the database, and refused in words without the queue."""
    expect(page.locator("#stock")).to_contain_text("kettle")
    shop.database.rename(shop.database.with_suffix(".away"))
    expect(page.get_by_role("alert")).to_contain_text("Orders are accepted and wait in the queue")
    fill_in(page)
    expect(page.get_by_role("status")).to_contain_text("is accepted")

    def away(_: str) -> None:
        raise QueueError("there is no queue")

    shop.queue.fail = away
    fill_in(page)
    expect(page.get_by_role("status")).to_contain_text("there is no queue")
    expect(page.get_by_label("Your name")).to_have_value("Ada")
    assert len(shop.queue.bodies()) == 1


def test_form_works_when_there_is_no_script(browser: Browser, shop: Shop) -> None:
    """A plain form: refused with what is wrong, then accepted, and sent again by a reload it is the same order."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(shop.url)
    fill_in(page, customer='Zoë "<b>"', quantity="0")
    expect(page.get_by_label("Quantity")).to_have_accessible_description("give a whole number from 1 to 1000")
    expect(page.get_by_label("Your name")).to_have_value('Zoë "<b>"')
    page.get_by_label("Quantity").fill("1")
    page.get_by_role("button", name="Order", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("is accepted")
    page.reload()
    expect(page.get_by_role("status")).to_contain_text("is accepted")
    assert len(shop.queue.bodies()) == 2
    assert len(set(shop.queue.bodies())) == 1
    context.close()


# Contrast as WCAG 2.2 has it (success criterion 1.4.3): relative luminances, of text and of the ground behind it.
CONTRASTS = """
() => {
  const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, place) => sum + v * [0.2126, 0.7152, 0.0722][place], 0);
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parts(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour.slice(0, 3);
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if ((!own && element.tagName !== "INPUT") || !element.checkVisibility()) continue;
    const [a, b] = [light(parts(getComputedStyle(element).color).slice(0, 3)), light(ground(element))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([contrast, `${element.tagName} ${element.id} ${element.textContent.trim().slice(0, 30)}`]);
  }
  return found;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1100])
def test_text_can_be_read_when_the_page_is_light_or_dark_wide_or_narrow(
    browser: Browser, shop: Shop, scheme: str, width: int
) -> None:
    """Every text has a contrast of at least 4.5, problems and badges included, and nothing is cut off at the side."""
    context = browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": width, "height": 800}
    )
    page = context.new_page()
    page.goto(shop.url)
    fill_in(page)
    expect(page.locator(".badge.waiting")).to_have_count(1)
    shop.consume()
    expect(page.locator(".badge.stored")).to_have_count(1, timeout=LONG_S * 1000)
    fill_in(page, sku="an-item-that-is-not-in-the-catalogue")
    expect(page.locator(".badge.dead-lettered")).to_have_count(1, timeout=LONG_S * 1000)
    found = page.evaluate(CONTRASTS)
    fill_in(page, customer="", sku="", quantity="0")
    expect(page.get_by_label("Quantity")).to_have_attribute("aria-invalid", "true")
    found += page.evaluate(CONTRASTS)
    assert len(found) > 40
    assert [text for contrast, text in found if contrast < 4.5] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    grounds = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (grounds == "rgb(16, 22, 22)") == (scheme == "dark")
    context.close()
