"""Commands that read: by the console function's own code over a stack in memory, and over many pages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from sluice.memory import Call, Fault, When, faulty_ports
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Attribute, Message
from sluice.ports.errors import NeedsFixError
from sluice.widget import reads
from sluice_tools import cli
from sluice_tools.commands.frame import ExitCode
from tests.support.stack_functions import StackFunctions
from tests.support.widget_scenes import NOW, decision, fleet, jobs, outcome
from tests.support.widget_world import World, make_world

READING = {"load", "decisions", "all_of", "failure_groups", "failure_group", "jobs", "job", "quarantined"} | {
    "quarantined_message"
}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """A stack in memory, whose console function the command asks; its clock is the command's."""
    made = make_world()
    monkeypatch.setattr("time.time", made.clock)

    def console(function: str, event: Mapping[str, Any]) -> object:
        assert function == "sluice-console", "reading commands ask the console function only"
        assert reads.is_read(event)
        return reads.read(event, lambda: made.ports, made.clock)

    StackFunctions(console).stand_in(monkeypatch)
    return made


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = ExitCode.DONE) -> str:
    """What a command prints."""
    assert cli.run(arguments) == code, capsys.readouterr().err
    return capsys.readouterr().out


def answered(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """A command's JSON: one document, whose times are ISO 8601."""
    found: dict[str, Any] = json.loads(shown(capsys, *arguments, "--json"))
    assert not re.search(r'"\w*_?at": \d', json.dumps(found))
    return found


def test_status_shows_capacity_decision_drains_and_redrives_when_fleets_are_at_work(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """All fleets, or one; a fleet that does not exist is refused with those that do."""
    running = replace(jobs(NOW)[0], id="job-running", state=JobState.RUNNING, version=0)
    world.ports.ledger.jobs.keep_job(running)
    out = shown(capsys, "status")
    told = answered(capsys, "status")

    assert [one["fleet"] for one in told["fleets"]] == ["invoices", "orders"]
    orders = told["fleets"][1]
    assert orders["decision"]["sentence"] in out
    assert (orders["mode"], orders["quarantined_count"]) == ("act", sum_of_quarantine(world))
    assert "job-running" in {job["id"] for job in orders["jobs"]}
    for drain in orders["drains"]:
        assert drain["instance_id"] in out
    assert orders["drains"]

    one = answered(capsys, "status", "--fleet", "invoices")
    assert [each["fleet"] for each in one["fleets"]] == ["invoices"]
    assert cli.run(["status", "--fleet", "none"]) == ExitCode.BAD
    assert "there is no fleet none; there is invoices, orders" in capsys.readouterr().err


def sum_of_quarantine(world: World) -> int:
    """How many messages of orders are in quarantine."""
    return sum(group.count for group in world.ports.ledger.failure_groups.failure_groups("orders"))


def test_status_has_every_fleet_when_there_are_many_pages(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A page each 25 fleets; fleets without a decision say so."""
    for number in range(60):
        world.ports.fleets.put(f"fleet-{number:02d}", fleet(f"fleet-{number:02d}"))
    names = [one["fleet"] for one in answered(capsys, "status")["fleets"]]
    assert names == sorted(names)
    assert len(names) == 62
    assert "fleet-59: no decision is on record yet." in shown(capsys, "status")


def test_status_is_bad_when_something_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A source that cannot be read and an invalid document are told, hide nothing else, and end with 1."""
    made = make_world()
    made.ports.fleets.put("broken", "{}")

    def deny(call: Call) -> Fault | None:
        return Fault(When.BEFORE, NeedsFixError("grant dynamodb:Query")) if call.method == "all_of" else None

    ports = faulty_ports(made.ports, deny)
    StackFunctions(lambda _, event: reads.read(event, lambda: ports, made.clock)).stand_in(monkeypatch)
    out = shown(capsys, "status", code=ExitCode.BAD)
    assert "problem: of fleet orders: drains: grant dynamodb:Query" in out
    assert "problem: the document of fleet broken is invalid:" in out
    assert "Scaling" in out or "messages" in out, "the decision is shown all the same"


def test_decisions_are_whole_when_there_are_many(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Pages are read until the limit; each is shown once, the latest first, with why where that is asked for."""
    for number in range(250):
        made = decision(NOW - 250 + number, sentence=f"Decision {number}.")
        world.ports.ledger.decisions.record_all([(made, outcome(made))])
    told = answered(capsys, "decisions", "--fleet", "orders", "--since", "249s", "--limit", "230")
    assert told["more"]
    times = [one["at"] for one in told["decisions"]]
    assert len(times) == 230
    assert times == sorted(times, reverse=True)
    assert {"reasons", "figures", "outcome"} <= set(told["decisions"][0])

    out = shown(capsys, "decisions", "--fleet", "orders", "--since", "249s", "--limit", "3")
    assert "There are more: these are the latest 3." in out
    assert [line for line in out.splitlines() if "Decision 249." in line]
    why = shown(capsys, "decisions", "--fleet", "orders", "--limit", "1", "--why")
    assert "need" in why
    assert told["decisions"][0]["figures"][0]["name"] in why

    assert "No decision of fleet invoices" in shown(
        capsys, "decisions", "--fleet", "invoices", "--since", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00Z"
    )


def test_groups_are_listed_and_shown_with_lines_to_paste(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Whole ids; the printed lines are commands that exist."""
    told = answered(capsys, "groups", "list", "--fleet", "orders")["groups"]
    out = shown(capsys, "groups", "list", "--fleet", "orders")
    assert all(one["failure_group"] in out for one in told)
    one = told[0]
    detail = shown(capsys, "groups", "show", one["failure_group"], "--fleet", "orders")
    assert one["failure_group"] in detail
    assert f"  sluice messages list --group {one['failure_group']} --fleet orders" in detail.splitlines()
    assert cli.run(["groups", "show", "none", "--fleet", "orders"]) == ExitCode.BAD
    assert "fleet orders has no failure group none" in capsys.readouterr().err
    assert "Fleet invoices has no failure groups." in shown(capsys, "groups", "list", "--fleet", "invoices")


def test_message_is_shown_whole_when_it_is_in_quarantine(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """Body line by line, attributes of every type; what the terminal would act on is not sent to it."""
    told = answered(capsys, "messages", "list", "--fleet", "orders")["messages"]
    assert len(told) == sum_of_quarantine(world)
    entry = world.ports.ledger.quarantine.quarantined_message("orders", told[0]["message_id"])
    assert entry is not None
    body = 'first\n\x1b[31m"second"'
    attributes = (("seal", Attribute("Binary.raw", binary=b"\x00\xff")), ("shop", Attribute("String", "Berlin")))
    key = world.ports.archive.store("orders", Message(id=entry.message_id, body=body, attributes=attributes))
    assert world.ports.ledger.quarantine.remove_entry(entry)
    world.ports.ledger.quarantine.quarantine(replace(entry, key=key, message_id="m-whole"))

    whole = answered(capsys, "messages", "show", "m-whole", "--fleet", "orders")["message"]
    assert whole["body"] == body
    assert whole["message_attributes"] == {
        "seal": {"type": "Binary.raw", "binary_base64": "AP8="},
        "shop": {"type": "String", "text": "Berlin"},
    }
    out = shown(capsys, "messages", "show", "m-whole", "--fleet", "orders")
    assert "first\n\N{REPLACEMENT CHARACTER}[31m" in out
    assert "Berlin (String)" in out
    limited = answered(capsys, "messages", "list", "--fleet", "orders", "--limit", "1")
    assert (len(limited["messages"]), limited["more"]) == (1, True)


def test_jobs_are_listed_when_there_were_some(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """With who asked for them; one can be watched."""
    (job,) = answered(capsys, "redrive", "list", "--fleet", "orders")["jobs"]
    out = shown(capsys, "redrive", "list", "--fleet", "orders")
    assert job["id"] in out
    assert job["requested_by"] in out
    assert "has had no redrive" in shown(capsys, "redrive", "list", "--fleet", "invoices")
    done = job["state"] == "done"
    assert cli.run(["redrive", "watch", job["id"], "--fleet", "orders"]) == (0 if done else 1)


def test_console_reads_and_never_writes_when_a_program_asks(world: World) -> None:
    """Of all that the ports can do, answers to programs use what reads."""
    seen: set[str] = set()

    def note(call: Call) -> Fault | None:
        seen.add(call.method)
        return None

    ports = faulty_ports(world.ports, note)
    (group, *_) = world.ports.ledger.failure_groups.failure_groups("orders")
    ((entry, *_), _) = world.ports.ledger.quarantine.quarantined("orders")
    (job,) = world.ports.ledger.jobs.jobs("orders")
    asked: dict[str, dict[str, object]] = {
        "status": {},
        "decisions": {"fleet": "orders"},
        "groups": {"fleet": "orders", "failure_group": group.id},
        "messages": {"fleet": "orders"},
        "message": {"fleet": "orders", "message_id": entry.message_id},
        "jobs": {"fleet": "orders"},
        "job": {"fleet": "orders", "job_id": job.id},
    }
    assert set(asked) == set(reads.READS)
    for name, fields in asked.items():
        answer = reads.read({name: fields}, lambda: ports, world.clock)
        assert "error" not in answer, answer
        json.dumps(answer, allow_nan=False)
    assert seen <= READING


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"status": 5}, "status: input should be a valid dictionary"),
        ({"decisions": {}}, "decisions.fleet: is required"),
        ({"decisions": {"fleet": "orders", "limit": 101}}, "decisions.limit:"),
        ({"decisions": {"fleet": "orders", "since": "noon"}}, "decisions.since:"),
        ({"messages": {"fleet": "orders", "page": 1}}, "messages.page: is not a field of a request"),
        ({"job": {"fleet": "orders", "job_id": "none"}}, "job_id: fleet orders has no job none"),
        ({"message": {"fleet": "orders", "message_id": "none"}}, "message_id: no message none"),
    ],
)
def test_read_is_refused_when_it_cannot_be_answered(event: dict[str, object], problem: str, world: World) -> None:
    """A sentence that names the field."""
    assert problem in reads.read(event, lambda: world.ports, world.clock)["error"]


@pytest.mark.parametrize("event", [{}, {"fleet": "orders"}, {"status": {}, "widgetContext": {}}, [], None, "status"])
def test_event_is_the_widgets_when_it_is_no_request(event: object) -> None:
    """A dashboard's events are answered with HTML as before."""
    assert not reads.is_read(event)
