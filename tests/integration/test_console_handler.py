"""The console's handler: events in, HTML out, over ports in memory and over AWS as moto plays it."""

import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.client
import moto
import pytest

from functions.console import app
from sluice.aws import connect, stack_ports
from sluice.memory import Call, Fault, When, faulty_ports
from sluice.model.draining import DrainState
from sluice.model.need import OperatorNeed
from sluice.model.observed import Mode
from sluice.model.shadow import Shadow, Span, Tally
from sluice.planning import shards
from sluice.planning.shadow.scorecard import added
from sluice.ports.errors import NeedsFixError, RefusedError, TryLaterError
from sluice.ports.stack import Ports
from sluice.widget import service
from sluice.widget.service import WidgetService
from sluice.widget.view import UTC_CLOCK, WidgetSettings
from tests.support.planner_steps import a_memory, keep_memory
from tests.support.widget_html import Page, parse
from tests.support.widget_scenes import (
    CONSOLE_ARN,
    NOW,
    OPERATOR_ARN,
    afternoon,
    decision,
    drains,
    fleet,
    jobs,
    outcome,
)
from tests.support.widget_world import World, make_world

EVENTS = Path(__file__).parents[2] / "events"
SETTINGS = WidgetSettings(CONSOLE_ARN, OPERATOR_ARN, "/sluice/test/fleets/")
READS = {"load", "decisions", "all_of", "failure_groups", "jobs", "noted"}
LARGEST_BYTES = 60_000  # of a page of the overview, style sheet included: Lambda answers with at most 6 MB
READS_OF_ALL = {"load", "noted", "chains", "unreleased", "decisions", "quarantine_size"}


@pytest.fixture
def world() -> World:
    """Two fleets in memory, with an afternoon in the ledger."""
    return make_world()


def show(event: object, ports: Ports, settings: WidgetSettings = SETTINGS) -> Page:
    """The widget for an event, parsed; it must be well-formed."""
    page = parse(WidgetService(lambda: ports, lambda: NOW, settings).respond(event).text)
    assert page.problems == []
    return page


def context(**changes: object) -> dict[str, Any]:
    """A widgetContext of the last hour, as a dashboard sends it."""
    given = json.loads((EVENTS / "console-render.json").read_text())["widgetContext"]
    given["timeRange"] = {"mode": "relative", "start": (NOW - 3600) * 1000, "end": NOW * 1000, "relativeStart": 3600000}
    return {**given, **changes}


# --------------------------------------------------------------------------- the two events of a dashboard


def test_describe_when_asked_answers_documentation_and_touches_nothing() -> None:
    """A description is Markdown, and is given before any port is made."""
    event = json.loads((EVENTS / "console-describe.json").read_text())

    def no_ports() -> Ports:
        raise AssertionError("a description needs no ports")

    text = WidgetService(no_ports, lambda: NOW, SETTINGS).respond(event).text
    assert text.startswith("## Sluice")
    assert "| **fleet** |" in text


def test_render_when_asked_by_a_dashboard_shows_the_fleet_over_its_zoom(world: World) -> None:
    """The event that a dashboard sends shows its fleet, over the time range that is zoomed into."""
    event = json.loads((EVENTS / "console-render.json").read_text())
    zoom = event["widgetContext"]["timeRange"]["zoom"]
    at = zoom["end"] / 1000 - 60
    made = decision(at, sentence="Inside the zoom.")
    outside = decision(zoom["end"] / 1000 + 60, sentence="Outside the zoom.")
    for one in (made, outside):
        world.ports.ledger.decisions.record_all([(one, outcome(one))])
    page = show(event, world.ports)
    assert page.all("h2")[0].text == "orders"
    assert "Inside the zoom." in page.text
    assert "Outside the zoom." not in page.text


def test_render_when_asked_reads_and_never_writes(world: World) -> None:
    """Of all that the ports can do, the console uses what reads."""
    seen: list[str] = []

    def note(call: Call) -> Fault | None:
        seen.append(call.method)
        return None

    show({"fleet": "orders", "widgetContext": context()}, faulty_ports(world.ports, note))
    assert set(seen) == READS


def test_render_when_the_fleet_is_in_shadow_mode_reads_its_score_from_the_memory(world: World) -> None:
    """What the planner kept is shown; of a fleet that acts it is not even read; a fault is told in its place."""
    tally = Tally(7200.0, 2.0, 30.0, (98.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0))
    ours = replace(tally, unit_s=3600.0, waits=(100.0,))
    span = Span(NOW - 3600, 3600.0, 100.0, acting=tally, shadow=ours)
    keep_memory(world.ports.ledger, "orders", a_memory(shadow=added(Shadow(target_wait_s=60.0, at=NOW - 60), span)))
    world.ports.fleets.put("orders", fleet(mode=Mode.SHADOW))
    text = show({"fleet": "orders"}, world.ports).text
    assert "Sluice would have used 1.0 instance-hours instead of 2.0 and kept 100% within 60 s instead of 98%." in text

    def deny(call: Call) -> Fault | None:
        return Fault(When.BEFORE, NeedsFixError("grant dynamodb:GetItem")) if call.method == "memory" else None

    denied = show({"fleet": "orders"}, faulty_ports(world.ports, deny)).text
    assert "The shadow comparison could not be read. grant dynamodb:GetItem" in denied
    world.ports.fleets.put("orders", fleet())
    assert "Shadow comparison" not in show({"fleet": "orders"}, faulty_ports(world.ports, deny)).text


def test_render_when_no_fleet_is_named_shows_all_or_the_only_one(world: World) -> None:
    """`{}`, as from the Lambda console, is a whole request. `view: fleet` shows one all the same: the first by name."""
    assert show({}, world.ports).all("h2")[0].text == "Fleets"
    one = show({"view": "fleet"}, world.ports)
    assert one.all("h2")[0].text == "invoices"
    assert [event for _, event in one.actions] == [{"view": "fleets"}, {"fleet": "orders"}]
    world.ports.fleets.drop("invoices")
    assert show({}, world.ports).all("h2")[0].text == "orders"
    assert show({"view": "fleets"}, world.ports).all("h2")[0].text == "Fleets"


def test_render_when_in_a_zone_theme_and_width_follows_them(world: World) -> None:
    """Times are in the dashboard's zone, colours in its theme, the picture as wide as the widget."""
    zone = {"label": "Local", "offsetISO": "-03:30", "offsetInMinutes": -210}
    page = show({"fleet": "orders", "widgetContext": context(timezone=zone, theme="dark", width=500)}, world.ports)
    assert "sl-dark" in page.elements[0].classes
    assert "as of 10:59:40 UTC-03:30" in page.text
    assert page.all("svg")[0].attributes["width"] == "492"


def test_render_when_more_was_decided_than_is_read_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reading is bounded, and a cut is told."""
    monkeypatch.setattr(service, "DECISIONS_MAX", 50)
    assert (
        "Only the most recent 50 decisions of this time range are shown" in show({"fleet": "orders"}, world.ports).text
    )
    monkeypatch.setattr(service, "DECISIONS_MAX", len(afternoon()))
    assert "Only the most recent" not in show({"fleet": "orders"}, world.ports).text


# --------------------------------------------------------------------------- wrong requests


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (None, "event: must be a JSON object"),
        ([1, 2], "event: must be a JSON object"),
        ("orders", "event: must be a JSON object"),
        ({"fleet": 7}, "fleet: input should be a valid string (got '7')"),
        ({"fleet": ["<b>orders</b>"]}, "(got \"['<b>orders</b>']\")"),
        ({"widgetContext": "wide"}, "widgetContext: input should be"),
        ({"widgetContext": {"timeRange": {"start": 1}}}, "widgetContext.timeRange.end: field required"),
        ({"widgetContext": {"timeRange": {"start": "x", "end": 2}}}, "widgetContext.timeRange.start:"),
        ({"widgetContext": {"timeRange": {"start": 5000, "end": 5000}}}, "its end must be after its start"),
        ({"widgetContext": {"timeRange": {"start": 0, "end": 1e300}}}, "widgetContext.timeRange.end:"),
        ({"widgetContext": {"timeRange": {"start": 0, "end": float("nan")}}}, "widgetContext.timeRange.end:"),
        ({"widgetContext": {"width": None}}, "widgetContext.width:"),
        ({"widgetContext": {"timezone": {"offsetISO": 7}}}, "widgetContext.timezone.offsetISO:"),
    ],
)
def test_render_when_an_event_is_malformed_says_what_is_wrong(event: object, said: str, world: World) -> None:
    """A malformed event is answered with every fault as a widget: no exception, no empty box."""
    page = show(event, world.ports)
    assert said in page.text
    assert page.text.startswith("This widget cannot be shown:")


def test_render_when_several_fields_are_wrong_names_each_in_the_dashboards_theme(world: World) -> None:
    """All faults at once, in the theme that could be read."""
    page = show({"fleet": 7, "widgetContext": {"theme": "dark", "width": "wide"}}, world.ports)
    assert len(page.all("li")) == 2
    assert "sl-dark" in page.elements[0].classes


def test_render_when_parameters_mean_nothing_shows_the_fleets_and_says_so(world: World) -> None:
    """A misspelt parameter hides nothing, and is told."""
    page = show({"flet": "orders", "key1": 1, "widgetContext": context()}, world.ports)
    assert "Unknown parameters: flet, key1." in page.text
    assert page.all("h2")[0].text == "Fleets"


@pytest.mark.parametrize("event", [{"widgetContext": {}}, {"widgetContext": {"theme": "sepia"}}, {"fleet": ""}])
def test_render_when_a_context_is_sparse_uses_defaults(event: object, world: World) -> None:
    """What a dashboard leaves out, or says in words we do not know, has a default."""
    page = show(event, world.ports)
    assert "sl-light" in page.elements[0].classes
    assert page.all("h2")[0].text == "Fleets"


def test_render_when_the_zone_is_unknown_says_that_times_are_utc(world: World) -> None:
    """An offset that cannot be read is not guessed."""
    page = show({"widgetContext": context(timezone={"offsetISO": "summer"})}, world.ports)
    assert "Time zone summer is not an offset such as +02:00: times are in UTC." in page.text


# --------------------------------------------------------------------------- wrong documents, missing permissions


def test_render_when_the_fleet_is_unknown_says_so_and_offers_the_others(world: World) -> None:
    """A fleet that is not there is named, escaped, with the others one press away."""
    page = show({"fleet": "<i>orders</i>"}, world.ports)
    assert "There is no fleet <i>orders</i> in this stack." in page.text
    assert [event for _, event in page.actions] == [{"view": "fleets"}, {"fleet": "invoices"}, {"fleet": "orders"}]


def test_render_when_a_document_is_invalid_lists_its_problems_and_shows_another(world: World) -> None:
    """An invalid fleet is listed by name with every problem, whichever fleet is shown."""
    world.ports.fleets.put("broken", {"queue": "nowhere", "target_wait_s": -1})
    for asked in ({"fleet": "orders"}, {"fleet": "broken"}):
        text = show(asked, world.ports).text
        assert "The document of fleet broken is invalid:" in text
        assert "No earlier version of the document is valid, so its instances are not drained either." in text
        for field in ("queue:", "group: is required", "target_wait_s:"):
            assert field in text
    assert "There is no fleet" not in show({"fleet": "broken"}, world.ports).text


def test_render_when_a_document_was_broken_tells_what_is_at_fault_and_what_its_instances_are_drained_by(
    world: World,
) -> None:
    """Every problem, the version's time, the fleet's drains, and no button that would be refused."""
    written_at = world.clock.now
    world.clock.now += 3_600
    world.ports.fleets.put("orders", {"queue": "nowhere", "target_wait_s": -1})
    page = show({"fleet": "orders"}, world.ports, replace(SETTINGS, operator_arn=OPERATOR_ARN))
    assert "The document of fleet orders is invalid:" in page.text
    for field in ("queue:", "group: is required", "target_wait_s:"):
        assert field in page.text
    assert "its dead letters stay in their queue" in page.text
    when = f"{UTC_CLOCK.day(written_at)} {UTC_CLOCK.second(written_at)} UTC"
    assert f"Its instances are still drained, by the version of the document from {when}." in page.text
    assert "only draining" in page.text
    assert not [event for _, event in page.actions if "redrive" in event]
    assert [event for _, event in page.actions if "release" in event]
    assert "SLUICE_OPERATOR_ARN" not in page.text
    assert "only draining" not in show({"fleet": "invoices"}, world.ports).text


def test_render_when_earlier_versions_cannot_be_read_says_what_to_grant(world: World) -> None:
    """It is not said that nothing is drained: nobody knows."""
    world.ports.fleets.put("orders", "broken")
    world.ports.fleets.history_lost = NeedsFixError("history: grant ssm:GetParameterHistory")
    text = show({"fleet": "orders"}, world.ports).text
    assert "grant ssm:GetParameterHistory" in text
    assert "are not drained" not in text


@pytest.mark.parametrize("error", [NeedsFixError, TryLaterError, RefusedError])
@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("load", "The fleets' documents"),
        ("decisions", "The decisions"),
        ("all_of", "The drains"),
        ("failure_groups", "The failure groups"),
        ("jobs", "The redrives"),
    ],
)
def test_render_when_a_part_cannot_be_read_shows_what_to_grant_and_all_else(
    method: str, part: str, error: type[Exception], world: World
) -> None:
    """A missing permission is shown in its place with what to grant; the other parts are shown as ever."""
    grant = "table sluice-ledger: grant dynamodb:Query to this function's role"
    fault = Fault(When.BEFORE, error(grant))
    page = show({"fleet": "orders"}, faulty_ports(world.ports, lambda call: fault if call.method == method else None))
    assert f"{part} could not be read. {grant}" in page.text
    shown = {
        "decisions": bool(page.all("svg", "sl-chart")),
        "all_of": "i-0a41c9d2e83f5b617" in page.text,
        "failure_groups": "invalid-currency" in page.text,
        "jobs": "two of the first three came back" in page.text,
    }
    assert shown == {name: method not in {name, "load"} for name in shown}


def test_render_when_the_stack_is_not_set_up_says_what_is_missing() -> None:
    """Without its settings the function still answers a widget that says what must be set."""
    page = parse(WidgetService(lambda: connect({}), lambda: NOW, SETTINGS).respond({}).text)
    assert page.text.startswith("This widget cannot read its stack:")
    assert "SLUICE_STACK, SLUICE_FLEETS_PATH, SLUICE_TABLE, SLUICE_BUCKET must be set" in page.text


# --------------------------------------------------------------------------- on AWS


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, str]]:
    """A table with an afternoon in it and a fleet's document, on moto; the function's environment is set."""
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "SLUICE_TABLE": "sluice-test-ledger",
        "SLUICE_BUCKET": "sluice-test-archive",
        "SLUICE_STACK": "test",
        "SLUICE_FLEETS_PATH": "/sluice/test/fleets/",
        "SLUICE_OPERATOR_ARN": OPERATOR_ARN,
        "POWERTOOLS_SERVICE_NAME": "sluice-console",
        "POWERTOOLS_METRICS_NAMESPACE": "Sluice",
    }
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stack_ports.cache_clear()
    monkeypatch.setattr(app.metrics.provider, "namespace", "Sluice")  # read from the environment at import
    with moto.mock_aws():
        boto3.client("dynamodb").create_table(
            TableName=environment["SLUICE_TABLE"],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        boto3.client("ssm").put_parameter(
            Name="/sluice/test/fleets/orders", Type="String", Value=fleet().model_dump_json()
        )
        yield environment
    stack_ports.cache_clear()


def test_handler_when_on_aws_shows_the_ledger_and_only_reads(
    stack: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole handler on AWS: what was written is shown, and its own calls are reads alone."""
    ledger = connect(stack).ledger
    for made, came_of in afternoon()[:40]:
        ledger.decisions.record_all([(made, came_of)])
    for drain in drains():
        if drain.state is not DrainState.RELEASED:
            ledger.drains.keep_drain(drain)
    ledger.jobs.keep_job(jobs()[0])
    ledger.failure_groups.note_failure("orders", "g1", "a cause", "<b>a sample</b>", NOW - 60)

    calls: set[str] = set()
    real = botocore.client.BaseClient._make_api_call

    def noted(self: Any, operation: str, arguments: Any) -> Any:
        calls.add(operation)
        return real(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
    lambda_context = SimpleNamespace(
        invoked_function_arn=CONSOLE_ARN,
        function_name="sluice-console",
        function_version="1",
        memory_limit_in_mb=512,
        aws_request_id="7e0a",
    )
    html = app.handler({"fleet": "orders", "widgetContext": context()}, lambda_context)

    page = parse(html)
    assert page.problems == []
    assert json.loads(json.dumps(html)) == html
    for words in (
        afternoon()[0][0].sentence,
        "i-0a41c9d2e83f5b617",
        "26 of 41 messages sent",
        "a cause",
        "<b>a sample</b>",
    ):
        assert words in page.text
    assert calls == {"GetItem", "GetParametersByPath", "Query"}
    ledger.needs.note(OperatorNeed("NothingReceived", "orders", time.time(), 1.0))
    calls.clear()
    fleets = parse(app.handler({"view": "fleets", "widgetContext": context()}, lambda_context))
    assert shown_fleets(fleets) == ["orders"]
    for words in ("1 of 1 needs an operator", "Messages wait, and no consumer takes any.", "Waiting440", "Draining2"):
        assert words in fleets.text
    assert calls <= {"GetItem", "GetParametersByPath", "Query"}  # the documents may be remembered

    calls.clear()
    event = json.loads((EVENTS / "console-status.json").read_text())
    told = app.handler(event, lambda_context)
    assert isinstance(told, dict)
    (fleet_status,) = told["fleets"]
    assert fleet_status["decision"]["sentence"] == afternoon()[0][0].sentence
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert calls <= {"GetItem", "GetParametersByPath", "Query"}
    printed = capsys.readouterr().out
    assert "WidgetProblems" not in printed, "a metric that is always zero costs money"
    assert "a sample" not in printed


def test_handler_when_the_table_is_missing_says_so_in_the_widget(stack: Mapping[str, str]) -> None:
    """A stack whose table is gone is answered with a widget that names it, not with a failure."""
    boto3.client("dynamodb").delete_table(TableName=stack["SLUICE_TABLE"])
    page = show({"fleet": "orders"}, connect(stack))
    assert "The decisions could not be read." in page.text
    assert stack["SLUICE_TABLE"] in page.text


def test_messages_of_a_group_are_listed_and_shown_whole_when_asked_for(world: World) -> None:
    """A page of the index, then one message out of the archive with its body; nothing is written."""
    entry = world.ports.ledger.quarantine.quarantined("orders")[0][0]
    listed = show({"fleet": "orders", "failure_group": entry.failure_group}, world.ports)
    assert entry.message_id in listed.text
    events = [event for _, event in listed.actions]
    assert {"fleet": "orders", "message_id": entry.message_id} in events
    assert {"redrive": {"fleet": "orders", "message_id": entry.message_id, "dry_run": False}} in events
    more = next(event for event in events if "after" in event)
    assert entry.message_id not in show(more, world.ports).text
    whole = show({"fleet": "orders", "message_id": entry.message_id}, world.ports)
    assert world.ports.archive.load(entry.key).body in whole.text
    assert "No message none is in the quarantine" in show({"fleet": "orders", "message_id": "none"}, world.ports).text


def test_groups_are_filtered_by_the_event_or_by_what_a_form_holds(world: World) -> None:
    """The button sends the form along; the event's own word, also an empty one, goes before it."""
    context = {"widgetContext": {"forms": {"all": {"sluice-filter": "XTS"}}}}
    filtered = show({"fleet": "orders", **context}, world.ports)
    assert "invalid-currency" in filtered.text
    assert "shipping_address" not in filtered.text
    assert "shipping_address" in show({"fleet": "orders", "filter": "", **context}, world.ports).text


# --------------------------------------------------------------------------- all fleets


def many_fleets(count: int) -> World:
    """A stack of so many fleets; three of them need an operator, one of these no more, and three are late."""
    world = make_world()
    for n in range(count - 2):
        world.ports.fleets.put(f"fleet-{n:03d}", fleet(f"fleet-{n:03d}"))
    ledger = world.ports.ledger
    ledger.needs.note(OperatorNeed("Quarantined", "fleet-150", NOW - 20, 3.0))
    ledger.needs.note(OperatorNeed("NothingReceived", "fleet-200", NOW - 20, 1.0))
    ledger.needs.note(OperatorNeed("DrainsExpired", "fleet-250", NOW - 20, 1.0))
    ledger.needs.note(OperatorNeed("TickAge", "fleet-100", NOW - 4_000, 400.0))  # that is over
    late = decision(NOW - 5, name="fleet-007", oldest_wait_s=75.0)
    ledger.decisions.record_all([(late, outcome(late))])
    for number, found in enumerate(((("fleet-280", 1.2), ("fleet-200", 9.0)), (("fleet-290", 3.4),))):
        ledger.chains.start(shards.shard_id(number), NOW, shards.Shard(NOW, late=found).to_text())
    return world


def shown_fleets(page: Page) -> list[str]:
    """The fleets of the table, from the top."""
    return [one.text for one in page.all("button", "sl-name")]


def test_fleets_when_hundreds_are_shown_worst_first_a_page_at_a_time() -> None:
    """Those that need an operator come first, over all pages; then the latest; one that is late since; then by name."""
    world = many_fleets(300)
    page = show({"view": "fleets"}, world.ports)
    needy, late = ["fleet-200", "fleet-250", "fleet-150"], ["fleet-290", "fleet-280", "fleet-007"]
    assert shown_fleets(page)[:7] == [*needy, *late, "fleet-000"]
    assert [row.text[:9] for row in page.all("tr")[1:] if re.search(r"\blate\b", row.text)] == ["fleet-200", *late]
    assert len(shown_fleets(page)) == 25
    assert "3 of 300 need an operator" in page.text
    assert "1 to 25 of 300 fleets" in page.text
    assert "Messages wait, and no consumer takes any." in page.text
    assert {"view": "fleets", "search": "", "page": 2} in [event for _, event in page.actions]
    html = WidgetService(lambda: world.ports, lambda: NOW, SETTINGS).respond({"view": "fleets"}).text
    assert len(html.encode()) < LARGEST_BYTES
    last = show({"view": "fleets", "page": 12}, world.ports)
    assert (shown_fleets(last)[0], shown_fleets(last)[-1]) == ("orders", "invoices")  # one has messages in quarantine
    assert "276 to 300 of 300 fleets" in last.text
    assert shown_fleets(show({"view": "fleets", "page": 99}, world.ports)) == shown_fleets(last)


def test_fleets_when_searched_are_those_with_the_text_in_their_name() -> None:
    """What was typed into the form counts, and a button takes it away; what is not found is said."""
    world = many_fleets(300)
    typed = {"view": "fleets", "widgetContext": context(forms={"all": {"sluice-fleets": "FLEET-1"}})}
    page = show(typed, world.ports)
    assert shown_fleets(page)[:2] == ["fleet-150", "fleet-100"]
    assert "1 to 25 of 100 fleets" in page.text
    assert page.all("input")[0].attributes["value"] == "FLEET-1"
    assert {"view": "fleets", "search": ""} in [event for _, event in page.actions]
    none = show({"view": "fleets", "search": "<b>"}, world.ports)
    assert "No fleet has <b> in its name." in none.text
    assert shown_fleets(none) == []


def test_fleets_when_shown_cost_the_same_at_thirty_and_at_three_hundred() -> None:
    """Reads are bounded by the page, and nothing is written."""
    counts = []
    for fleets in (30, 300):
        seen: list[str] = []

        def note(call: Call, seen: list[str] = seen) -> Fault | None:
            seen.append(call.method)
            return None

        show({"view": "fleets"}, faulty_ports(many_fleets(fleets).ports, note))
        assert set(seen) == READS_OF_ALL
        counts.append(len(seen))
    assert counts == [4 + 2 * 25] * 2


def test_fleets_when_a_row_is_shown_has_capacity_wait_quarantine_and_drains(world: World) -> None:
    """Each figure of a fleet is that of its own view."""
    page = show({"view": "fleets"}, world.ports)
    rows = {row.text.split(" ")[0]: " ".join(row.text.split()) for row in page.all("tr")[1:]}
    orders = next(text for name, text in rows.items() if name.startswith("orders"))
    for said in ("Capacity9 ", "Waiting440", "Oldest wait56 s", "target 60 s", "Quarantined47", "Draining2"):
        assert said in orders, said


def test_fleets_when_a_document_is_invalid_say_so_and_show_the_others(world: World) -> None:
    """Its problems are below the table."""
    world.ports.fleets.put("broken", {"queue": "nowhere", "target_wait_s": -1})
    page = show({"view": "fleets"}, world.ports)
    assert "The document of fleet broken is invalid:" in page.text
    assert {"orders", "invoices"} <= set(shown_fleets(page))


def test_fleets_when_something_cannot_be_read_are_shown_with_dashes(world: World) -> None:
    """The table stays, and the note says what to grant."""

    def deny(call: Call) -> Fault | None:
        denied = {"noted", "quarantine_size"}
        return Fault(When.BEFORE, NeedsFixError("grant dynamodb:Query")) if call.method in denied else None

    page = show({"view": "fleets"}, faulty_ports(world.ports, deny))
    assert "The needs of fleets could not be read. grant dynamodb:Query" in page.text
    assert page.text.count("The failure groups could not be read.") == 1
    assert "Quarantined\u2014" in page.text


def test_fleet_when_it_needs_an_operator_says_what_and_what_to_do(world: World) -> None:
    """The notice's own words, at the head of the fleet's view; another fleet's need is not shown."""
    world.ports.ledger.needs.note(OperatorNeed("NothingReceived", "orders", NOW - 20, 1.0))
    world.ports.ledger.needs.note(OperatorNeed("DrainsExpired", "invoices", NOW - 20, 1.0))
    page = show({"fleet": "orders"}, world.ports)
    assert "Needs an operator: Messages wait, and no consumer takes any, last found 20 s ago." in page.text
    assert "What to do: Read the fleet's last decision in the dashboard, and the consumer's own log" in page.text
    assert "deadline, before" not in page.text
