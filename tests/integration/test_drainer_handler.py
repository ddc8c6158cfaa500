"""The drainer's handler as Lambda invokes it, and operators' releases."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from functions.drainer import app
from functions.operator import app as operator_app
from sluice.chains import event_of
from sluice.draining.fleet_directory import FleetDirectory
from sluice.model.draining import (
    DrainState,
)
from sluice.redriving import context
from sluice.telemetry import Detail, Record, Scope, Unit, emit, summed
from tests.support.drainer_day import EVENTS, SWEEP, Day, a_fleet
from tests.support.widget_html import parse

# --------------------------------------------------------------------------- operators' releases


def test_operator_releases_an_instance_when_it_hangs() -> None:
    """An operator's request, on record or not; the instance goes on at once."""
    day = Day(size=2)
    known, unknown = day.instances()
    day.invoke(day.terminate(known))
    day.terminate(unknown)
    for instance_id in (known, unknown):
        response = day.release(instance_id)
        assert (response["state"], instance_id in day.instances()) == ("released", False)
    assert day.metrics()["DrainsExpired"] == 0, "an operator's release is not an expiry"


def test_operator_is_answered_when_there_is_no_such_fleet() -> None:
    """The field is named, what was asked, and what there is."""
    day = Day()
    response = day.release("i-1", "odrers")
    assert response == {"error": "release.fleet: there is no fleet odrers; there is orders"}


def test_operator_is_answered_when_the_instance_is_not_in_the_group() -> None:
    """Nothing is said to be released that the group does not have, and nothing is put on record."""
    day = Day(a_fleet(), a_fleet("mail"))
    (other,) = day.instances(day.fleets[1])
    unknown = day.release("i-0000000000000dead")
    assert unknown == {
        "error": "release.instance_id: i-0000000000000dead is in no Auto Scaling group, not in orders-consumers, the"
        " group of fleet orders. Nothing was released"
    }
    assert "is in Auto Scaling group mail-consumers, not in orders-consumers" in day.release(other)["error"]
    assert day.ports.ledger.drains.all_of("orders") == ()
    assert day.metrics()["DrainsReleased"] == 0


def test_operator_is_answered_when_nothing_holds_the_instance() -> None:
    """An instance in service works on; a drain that is over is not released twice."""
    day = Day()
    (instance_id,) = day.instances()
    assert "is InService in orders-consumers, where no lifecycle hook holds it" in day.release(instance_id)["error"]
    day.invoke(day.terminate(instance_id))
    assert day.release(instance_id)["state"] == "released"
    assert "is in no Auto Scaling group" in day.release(instance_id)["error"]


# --------------------------------------------------------------------------- Lambda's entry


class Context:
    """What Lambda gives a handler, as far as it is looked at."""

    function_name = "sluice-drainer"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:sluice-drainer"
    aws_request_id = "5b0c2d1e-0000-4000-8000-000000000000"

    def get_remaining_time_in_millis(self) -> int:
        """Of the function's timeout."""
        return 60_000


def test_handler_logs_and_measures_when_lambda_invokes_it(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    drainer_log: Callable[[], list[dict[str, Any]]],
) -> None:
    """JSON lines with fleet and instance, and embedded metrics by fleet, from one real payload."""
    day = Day()
    monkeypatch.setattr(app, "_ports", lambda: day.ports)
    monkeypatch.setattr(app, "_directory", lambda: FleetDirectory(day.ports, day.clock, app.logger))
    monkeypatch.setenv("SLUICE_DETAIL", "fleet")
    (instance_id,) = day.instances()
    response = app.handler(day.terminate(instance_id), Context())
    assert response["state"] == "stopping"
    steps = [line for line in drainer_log() if line.get("drain")]
    assert [line["drain"] for line in steps] == ["noticed", "stopping"]
    assert all((line["fleet"], line["instance_id"]) == ("orders", instance_id) for line in steps)
    (blob,) = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "_aws" in line]
    directive = blob["_aws"]["CloudWatchMetrics"][0]
    assert directive["Namespace"] == "Sluice"
    assert "fleet" in directive["Dimensions"][0]
    assert (blob["fleet"], blob["DrainsStarted"]) == ("orders", [1.0])


def test_handler_does_a_chains_step_when_the_planner_hands_it_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step that the record waits for is done; the file's own is stale."""
    day = Day()
    monkeypatch.setattr(app, "_ports", lambda: day.ports)
    monkeypatch.setattr(app, "_directory", lambda: FleetDirectory(day.ports, day.clock, app.logger))
    monkeypatch.setattr(app.time, "time", day.clock)
    (instance_id,) = day.instances()
    day.terminate(instance_id)  # its event is lost
    day.invoke(SWEEP)
    (step,) = day.ports.work.receive("drains")
    assert app.handler(json.loads((EVENTS / "drainer-chain-step.json").read_text()), Context()) == {"step": "stale"}
    assert app.handler(json.loads(event_of(step)), Context()) == {"step": "rested"}
    assert day.state(instance_id) is DrainState.STOPPING
    (chain,) = day.ports.ledger.chains.chains("drains")
    assert (chain.version, chain.at_work_until) == (3, 0.0)


def test_metrics_are_one_blob_a_fleet_when_several_were_at_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Counts are summed, durations kept one by one."""
    count, seconds = Unit.COUNT, Unit.SECONDS
    records: list[Record] = [
        Record("orders", "HeartbeatsSent", count, 1),
        Record("mail", "HeartbeatsSent", count, 1),
        Record("orders", "HeartbeatsSent", count, 1),
        Record("orders", "DrainDuration", seconds, 4.5),
        Record("orders", "DrainDuration", seconds, 9.0),
    ]
    emit(app.metrics, summed(records), Scope("sluice", Detail.FLEET))
    blobs = {blob["fleet"]: blob for blob in map(json.loads, capsys.readouterr().out.splitlines())}
    assert blobs["orders"]["HeartbeatsSent"] == [2.0]
    assert blobs["orders"]["DrainDuration"] == [4.5, 9.0]
    assert blobs["mail"]["HeartbeatsSent"] == [1.0]


def test_button_of_the_widget_releases_and_is_answered_as_html() -> None:
    """The same request as an operator's by hand: what came of it, or what is wrong, for a popup."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    pages = []
    for fleet in ("orders", "nobody"):
        payload = {"release": {"fleet": fleet, "instance_id": instance_id}, "widgetContext": {"theme": "dark"}}
        limits = context.RedriveInvocation(f"press-{fleet}", day.now + 30, day.now + 25, day.wait, lambda: 0.5)
        pages.append(operator_app.respond(payload, operator_app.service(day.seen, day.clock, limits), "arn"))
    assert isinstance(pages[0], str)
    assert isinstance(pages[1], str)
    assert parse(pages[0]).text.startswith(
        f"{instance_id}: instance released: its consumer was not known to have stopped."
    )
    assert "sl-dark" in pages[0]
    assert day.state(instance_id) is DrainState.RELEASED
    assert "The request failed." in pages[1]
    assert "there is no fleet" in pages[1]
