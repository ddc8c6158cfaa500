"""The widget in a real browser, in a page that hosts it as CloudWatch does, over handlers and ports in memory.

Screenshots go to build/screenshots. `test_widget_views.py` checks how each view looks and reads.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from sluice.draining.state_machine import UNDER_WAY
from sluice.memory import Hook
from sluice.model.need import OperatorNeed
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Attribute, Excerpt, Message, QuarantineEntry
from sluice.widget.messages import PopupContext, render_message_detail
from sluice.widget.page import render
from sluice.widget.view import Theme
from sluice_tools.demo.sandbox import DASHBOARD_VIEW
from sluice_tools.sandbox.widget_page import make_page, serving
from tests.support.chromium import launched
from tests.support.widget_scenes import CONSOLE_ARN, HARM, NOW, OPERATOR_ARN, failure_groups, fleet, harmed
from tests.support.widget_world import World, make_world

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "screenshots"
PATIENCE_MS = 20_000  # a browser on a loaded machine
GROUP = failure_groups()[0]
HARM_ARN = "arn:aws:lambda:eu-central-1:000000000000:function:harm"

# Every element of the widget with the names of its attributes, but for the tags that stand for hidden characters.
SKELETON = """[...document.querySelectorAll('#widget *')].filter(e => !e.classList.contains('sl-tag'))
    .map(e => e.localName + ' ' + e.getAttributeNames().sort().join(' '))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    yield from launched()


@pytest.fixture
def world() -> World:
    """The stack behind the page."""
    return make_world()


@pytest.fixture
def url(world: World) -> Iterator[str]:
    """The host page's address."""
    with serving(make_page(world, CONSOLE_ARN, params={"fleet": "orders"}, title="Sluice")) as address:
        yield address


type OpenPage = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[OpenPage]:
    """Opens the host page at NOW; any error of the page, and any request to elsewhere, fails the test."""
    faults: list[str] = []
    opened: list[Any] = []

    def opener(*, width: int = 1_440, scale: float = 1, **wished: str) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900}, device_scale_factor=scale, timezone_id="UTC"
        )
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.clock.set_fixed_time(datetime.fromtimestamp(NOW, UTC))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.on(
            "request", lambda request: None if request.url.startswith((url, "data:")) else faults.append(request.url)
        )
        page.goto(url + "?" + "&".join(f"{name}={value}" for name, value in wished.items()))
        page.locator("#widget .sl").wait_for()
        return page

    yield opener
    for context in opened:
        context.close()
    assert faults == []


def shoot(page: Page, name: str) -> None:
    """Keep a picture for people to look at."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


def owned(page: Page) -> bool:
    """Whether any script of a text ran."""
    return bool(page.evaluate("window.owned !== undefined"))


# --------------------------------------------------------------------------- looks


@pytest.mark.parametrize("theme", list(Theme))
@pytest.mark.parametrize(("columns", "name"), [("8", "third"), ("12", "half"), ("24", "full")])
def test_widget_when_hosted_fits_its_width(open_page: OpenPage, theme: Theme, columns: str, name: str) -> None:
    """At a third, half and full width, in both themes, nothing sticks out and the cleaning takes nothing away."""
    page = open_page(theme=str(theme))
    page.select_option("#width", columns)
    expect(page.locator("#widget")).to_have_attribute("data-shown", "2")
    widget = page.locator("#widget")
    assert widget.evaluate("e => e.scrollWidth <= e.clientWidth")
    assert widget.get_attribute("data-removed") == ""
    assert page.locator(f"#widget .sl-{theme}").count() == 1
    picture = page.locator("#widget svg.sl-chart").first.bounding_box()
    assert picture is not None
    assert picture["height"] > 200
    shoot(page, f"widget-{name}-{theme}")


def test_widget_when_unfolded_shows_reasons_figures_and_sample(open_page: OpenPage) -> None:
    """Decisions and samples unfold without any script."""
    page = open_page(theme="light")
    page.select_option("#width", "12")
    expect(page.locator("#widget")).to_have_attribute("data-shown", "2")  # shown anew: what was unfolded is folded
    sample = page.locator("#widget pre").first
    expect(sample).to_be_hidden()
    page.locator("#widget .sl-sample summary").first.click()
    expect(sample).to_be_visible()
    expect(sample).to_contain_text('"currency": "XTS"')
    figures = page.locator("#widget table").first
    expect(figures).to_be_hidden()
    page.locator("#widget .sl-rows summary").first.click()
    expect(figures).to_be_visible()
    expect(figures).to_contain_text("Completed by one unit")
    shoot(page, "widget-unfolded")


def test_widget_when_the_time_range_changes_is_asked_for_it(open_page: OpenPage, world: World) -> None:
    """The page's time range, zone and width reach the function, as a dashboard's do."""
    page = open_page()
    page.select_option("#range", "3600")
    expect(page.locator("#widget")).to_have_attribute("data-shown", "2")
    endpoint, event = world.invoked[-1]
    context = event["widgetContext"]
    assert endpoint == CONSOLE_ARN
    assert event["fleet"] == "orders"
    assert context["timeRange"] == {
        "mode": "relative", "start": (NOW - 3600) * 1000, "end": NOW * 1000, "relativeStart": 3_600_000
    }  # fmt: skip
    assert context["timezone"] == {"label": "UTC", "offsetISO": "+00:00", "offsetInMinutes": 0}
    assert context["width"] == page.locator("#widget").evaluate("e => e.clientWidth")


def test_tabs_when_pressed_show_the_other_fleet(open_page: OpenPage) -> None:
    """Another fleet is one press away, and back."""
    page = open_page()
    page.get_by_role("button", name="invoices").click()
    expect(page.locator("#widget h2")).to_have_text("invoices")
    page.get_by_role("button", name="orders").click()
    expect(page.locator("#widget h2")).to_have_text("orders")


def test_all_fleets_when_pressed_are_searched_and_lead_to_one(open_page: OpenPage, world: World) -> None:
    """The overview, a search that is typed into its form, and a fleet of the table: without any script of ours."""
    world.ports.ledger.needs.note(OperatorNeed("NothingReceived", "orders", NOW - 20, 1.0))
    page = open_page()
    page.get_by_role("button", name="All 2 fleets").click()
    expect(page.locator("#widget h2")).to_have_text("Fleets")
    names = page.locator("#widget button.sl-name")
    expect(names).to_have_text(["orders", "invoices"])
    page.get_by_label("Search fleets by name").fill("INV")
    page.get_by_role("button", name="Search").click()
    expect(names).to_have_text(["invoices"])
    page.get_by_role("button", name="Show all").click()
    expect(names).to_have_text(["orders", "invoices"])
    names.first.click()
    expect(page.locator("#widget h2")).to_have_text("orders")
    expect(page.locator("#widget")).to_contain_text("Messages wait, and no consumer takes any")


@pytest.mark.parametrize("theme", list(Theme))
def test_page_and_its_dialogs_when_seen_by_axe_have_no_violation(open_page: OpenPage, theme: Theme) -> None:
    """The widget within a page, an answer in a popup, and a question, in both themes."""
    page = open_page(theme=str(theme), range="900")
    page.select_option("#width", "8")
    expect(page.locator("#widget")).to_have_attribute("data-shown", "2")

    def violations() -> list[str]:
        found = Axe().run(page).response["violations"]
        return [f"{one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]

    assert violations() == []
    page.locator("#widget").get_by_role("button", name="Dry run", exact=True).first.click()
    expect(page.locator("#popup")).to_contain_text("Nothing was sent by this dry run.")
    assert violations() == []
    page.locator("#answer").get_by_role("button", name="Redrive", exact=True).click()
    expect(page.locator("#question")).to_contain_text("\u201cinvalid-currency: no exchange rate for XTS\u201d")
    assert violations() == []


# --------------------------------------------------------------------------- buttons


def test_dry_run_when_pressed_tells_what_would_be_sent_and_sends_nothing(open_page: OpenPage, world: World) -> None:
    """A dry run opens a popup with the count, and leaves the queue empty and the quarantine full."""
    page = open_page()
    page.locator("#widget").get_by_role("button", name="Dry run", exact=True).first.click()
    popup = page.locator("#popup")
    expect(popup).to_contain_text("Dry run: 41 messages would be sent")
    expect(popup).to_contain_text("Nothing was sent by this dry run.")
    endpoint, event = world.invoked[-1]
    assert endpoint == OPERATOR_ARN
    assert event["redrive"] == {"fleet": "orders", "failure_group": GROUP.id, "dry_run": True}
    assert world.ports.queue.messages(fleet().queue) == ()
    assert page.locator("#answer").get_attribute("data-removed") == ""
    shoot(page, "widget-dry-run")


def test_messages_when_pressed_are_listed_and_shown_whole(open_page: OpenPage, world: World) -> None:
    """A group's messages in a popup, one of them whole, and nothing acted on."""
    page = open_page()
    page.locator("#widget").get_by_role("button", name="Messages").first.click()
    popup = page.locator("#popup")
    expect(popup).to_contain_text("20 of 41 messages, first quarantined first")
    shoot(page, "widget-messages")
    popup.get_by_role("button", name="Whole message").first.click()
    entry = world.ports.ledger.quarantine.quarantined("orders", GROUP.id)[0][0]
    expect(popup).to_contain_text(f"Message {entry.message_id}")
    expect(popup).to_contain_text(world.ports.archive.load(entry.key).body[:60])
    assert page.locator("#answer").get_attribute("data-removed") == ""
    assert {endpoint for endpoint, _ in world.invoked} == {CONSOLE_ARN}
    shoot(page, "widget-message")


def test_mute_when_confirmed_mutes_the_group(open_page: OpenPage, world: World) -> None:
    """It is folded away with its messages kept, and can be taken out again."""
    page = open_page()
    page.locator("#widget").get_by_role("button", name="Mute").first.click()
    page.locator("#yes").click()
    expect(page.locator("#popup")).to_contain_text("is muted; its 41 messages stay in quarantine.")
    group = world.ports.ledger.failure_groups.failure_group("orders", GROUP.id)
    assert group is not None
    assert (group.is_muted, group.count) == (True, 41)


def test_redrive_when_cancelled_calls_nothing(open_page: OpenPage, world: World) -> None:
    """Who does not confirm has done nothing."""
    page = open_page()
    before = len(world.invoked)
    page.locator("#widget").get_by_role("button", name="Redrive", exact=True).first.click()
    expect(page.locator("#question")).to_have_text(
        "Send 41 quarantined messages of \u201cinvalid-currency: no exchange rate for XTS\u201d of fleet orders back"
        " to the queue, at most 10 messages a second?"
    )
    shoot(page, "widget-confirm")
    page.locator("#no").click()
    expect(page.locator("#confirm")).to_be_hidden()
    expect(page.locator("#popup")).to_be_hidden()
    assert len(world.invoked) == before


def test_redrive_when_confirmed_sends_and_is_shown_and_can_be_stopped(open_page: OpenPage, world: World) -> None:
    """A confirmed redrive sends its first messages, appears in the widget as a job, and is stopped by a press."""
    page = open_page()
    page.locator("#widget").get_by_role("button", name="Redrive", exact=True).first.click()
    page.locator("#yes").click()
    expect(page.locator("#popup")).to_contain_text("of 41 messages sent")
    shoot(page, "widget-redrive")

    (job,) = [job for job in world.ports.ledger.jobs.jobs("orders") if job.state is JobState.RUNNING]
    sent = world.ports.queue.messages(fleet().queue)
    assert job.selection.failure_group == GROUP.id
    assert job.requested_by == "the widget"
    assert len(sent) == job.progress.sent_count > 0
    assert {message.body for message in sent} == {GROUP.sample}

    page.locator("#close").click()
    page.locator("#refresh").click()
    expect(page.locator("#widget")).to_contain_text("1 running")
    expect(page.locator("#widget")).to_contain_text(f"{job.progress.sent_count} of 41 messages sent")
    expect(page.locator("#widget")).to_contain_text(f"{41 - job.progress.sent_count} in quarantine")
    page.locator("#widget").get_by_role("button", name="Stop", exact=True).click()
    page.locator("#yes").click()
    expect(page.locator("#popup")).to_contain_text("Stopped by the widget.")
    stopped = world.ports.ledger.jobs.job("orders", job.id)
    assert stopped is not None
    assert stopped.state is JobState.STOPPED


def test_drain_when_released_goes_on_at_a_persons_word(open_page: OpenPage, world: World) -> None:
    """Nothing happens before the confirmation; then the drainer has it on record, and the popup says so."""
    group, policy = world.ports.group, fleet().drain
    group.create(fleet().group, desired=1, hooks=(Hook(policy.hook, timeout_s=policy.hook_timeout_s),))
    (instance,) = group.read(fleet().group).instances
    group.set_desired(fleet().group, 0)  # and its hook holds it
    known = min(
        (d for d in world.ports.ledger.drains.all_of("orders") if d.state in UNDER_WAY), key=lambda d: d.started_at
    )
    held = replace(known, instance_id=instance.id, action=None, started_at=known.started_at - 60, version=0)
    oldest = world.ports.ledger.drains.keep_drain(held)
    page = open_page()
    page.locator("#widget").get_by_role("button", name="Release", exact=True).first.click()
    expect(page.locator("#confirm")).to_contain_text("messages that it is processing are interrupted")
    assert world.ports.ledger.drains.drain("orders", oldest.instance_id) == oldest
    page.locator("#yes").click()
    expect(page.locator("#popup")).to_contain_text(oldest.instance_id)
    released = world.ports.ledger.drains.drain("orders", oldest.instance_id)
    assert released is not None
    assert released.state not in UNDER_WAY
    assert not owned(page)


def test_buttons_when_reached_by_keyboard_work(open_page: OpenPage, world: World) -> None:
    """Buttons take the focus and act on Enter."""
    page = open_page()
    page.locator("#widget").get_by_role("button", name="Dry run all", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#popup")).to_contain_text("Dry run: 47 messages would be sent")
    assert world.invoked[-1][1]["redrive"] == {"fleet": "orders", "all": True, "dry_run": True}


def test_redrive_when_the_redriver_refuses_shows_why(open_page: OpenPage, world: World) -> None:
    """What cannot be done is told in the popup."""
    page = open_page()
    button = page.locator("#widget").get_by_role("button", name="Dry run", exact=True).first
    expect(button).to_be_visible()
    for entry in world.ports.ledger.quarantine.quarantined("orders", GROUP.id)[0]:
        world.ports.ledger.quarantine.remove_entry(entry)
    button.click()
    expect(page.locator("#popup")).to_contain_text("The request failed.")
    expect(page.locator("#popup")).to_contain_text("messages in quarantine")


# --------------------------------------------------------------------------- harm


def test_widget_when_texts_mean_harm_has_just_its_own_elements(open_page: OpenPage, world: World) -> None:
    """In Chromium too every text stays text: the same elements as with plain words, no script run, nothing cleaned."""

    def answer(event: dict[str, Any]) -> str:
        return render(harmed(HARM.get(event["name"], "plain words")), Theme.LIGHT, 668)

    world.others[HARM_ARN] = answer
    page = open_page()
    page.select_option("#width", "12")

    def shown(name: str) -> list[str]:
        page.evaluate("([arn, name]) => call(at('widget'), arn, {name})", [HARM_ARN, name])
        skeleton: list[str] = page.evaluate(SKELETON)
        return skeleton

    def answer_whole(event: dict[str, Any]) -> str:
        text = HARM.get(event["name"], "plain words")
        entry = QuarantineEntry(
            "orders", "g", "m", "k", text, NOW, NOW, 1, text, 5, Excerpt(text[:500], ((text, text),))
        )
        message = Message("m", text, "", ((text, Attribute("String", text)),), NOW, 1, text, text)
        return render_message_detail(entry, message, PopupContext("orders", NOW, operator_arn=OPERATOR_ARN))

    world.others[HARM_ARN] = answer_whole
    whole = shown("plain")
    for name in HARM:
        if name != "empty":
            assert shown(name) == whole, name
            assert page.locator("#widget").get_attribute("data-removed") == "", name
            assert not owned(page), name

    world.others[HARM_ARN] = answer
    plain = shown("plain")
    assert len(plain) > 100
    for name in HARM:
        if name == "empty":
            continue
        assert shown(name) == plain, name
        widget = page.locator("#widget")
        assert widget.get_attribute("data-removed") == "", name
        assert widget.evaluate("e => e.scrollWidth <= e.clientWidth"), name
        assert not owned(page), name
        for details in page.locator("#widget summary").all()[:3]:
            details.hover()
        assert not owned(page), name
        if name in {"button", "bidi-override", "stacked-marks", "long-word"}:
            page.evaluate("document.querySelectorAll('#widget details').forEach(e => { e.open = true })")
            shoot(page, f"widget-harm-{name}")


def test_page_when_a_widget_means_harm_strips_what_runs(browser: Browser, world: World) -> None:
    """The host page takes out scripts, frames, <use>, handlers and script addresses, as CloudWatch says it does."""
    raw = "\n".join(text for name, text in HARM.items() if name not in {"huge", "comment", "tag-end", "style", "cdata"})
    world.others[HARM_ARN] = lambda _: (
        f"<p id=mark>shown</p>{raw}<svg><use href='#x'></use><a xlink:href=' java\tscript:window.owned=1'>x</a></svg>"
        "<form action=javascript:window.owned=1><button formaction=' JavaScript:window.owned=1'>go</button></form>"
        "<iframe src=https://example.com></iframe><object data=x></object><base href=https://example.com/>"
        "<a href=https://example.com/ onclick=window.owned=1>a link stays</a><p style='color:red'>so does style</p>"
    )
    with serving(make_page(world, HARM_ARN)) as address:
        page = browser.new_page()
        page.goto(address)
        page.locator("#mark").wait_for()
        for forbidden in ("script", "iframe", "use", "object", "base", "link", "embed", "meta"):
            assert page.locator(f"#widget {forbidden}").count() == 0, forbidden
        assert (
            page.evaluate(
                "[...document.querySelectorAll('#widget *')].flatMap(e => [...e.attributes])"
                ".filter(a => a.name.startsWith('on') || /script:/i.test(a.value.replace(/\\s/g, ''))).length"
            )
            == 0
        )
        removed = page.locator("#widget").get_attribute("data-removed") or ""
        for name in ("script", "iframe", "use", "img onerror", "a href", "a xlink:href", "form action"):
            assert name in removed.split(", "), name
        assert page.get_by_text("a link stays").get_attribute("href") == "https://example.com/"
        assert page.get_by_text("so does style").get_attribute("style") == "color:red"
        assert not owned(page)
        page.close()


# --------------------------------------------------------------------------- the page's other duties


def test_page_when_a_function_answers_json_or_fails_shows_it(browser: Browser, world: World) -> None:
    """Markdown and JSON answers are shown as text, and a failure in the widget's place."""
    answers: list[Any] = [{"markdown": "# <b>words</b>"}, {"count": 3}]
    world.others[HARM_ARN] = lambda _: answers.pop(0)
    failing = replace(world, others={HARM_ARN: lambda _: answers.pop(0)})
    with serving(make_page(failing, HARM_ARN)) as address:
        page = browser.new_page()
        page.goto(address)
        expect(page.locator("#widget pre")).to_have_text("# <b>words</b>")
        page.locator("#refresh").click()
        expect(page.locator("#widget pre")).to_contain_text('"count": 3')
        assert page.locator("#widget b").count() == 0
        page.close()


def test_dashboard_shows_15_minutes_every_10_s_when_make_sandbox_opens_it(open_page: OpenPage) -> None:
    """The address that it prints sets both, and the page has both to choose from."""
    page = open_page(**dict(parse_qsl(urlsplit(DASHBOARD_VIEW).query, strict_parsing=True)))

    shown = page.evaluate("['range', 'every'].map((id) => document.getElementById(id).selectedOptions[0].text)")

    assert shown == ["15 minutes", "10 s"]
