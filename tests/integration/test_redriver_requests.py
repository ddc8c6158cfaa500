"""What operators, consumers and the schedule ask of the redriver, by the events that they send."""

from typing import Any

import pytest

from functions.operator import app as operator_app
from functions.redriver import app
from sluice.model.redrive_jobs import JobState
from sluice.redriving.context import MARGIN_S, RedriveInvocation
from sluice_tools.chaos.redrive_queue import as_record
from tests.support.redrive_chains import go_on
from tests.support.redrive_worlds import SOON, World, fleet

GROUP = {"all": True}


def asked(world: World, event: dict[str, Any]) -> dict[str, Any]:
    """The answer to an event, by an invocation that begins now."""
    world.invocations += 1
    invocation = RedriveInvocation(
        name=f"invocation-{world.invocations}",
        until=world.now + SOON,
        stop_at=world.now + SOON - MARGIN_S,
        uniform=lambda: 0.5,
    )
    world.ports.fleets.put(world.fleet.name, world.fleet)
    if {"Records", "source", "step"}.isdisjoint(event):
        answered = operator_app.service(world.ports, world.clock, invocation).answer(event)
    else:
        answered = app.service(world.ports, world.clock, invocation).respond(event)
    if {"Records", "step"}.isdisjoint(event):
        go_on(world.ports.work, world.clock, world.set_clock, lambda step: asked(world, step), SOON)
    if "job" in answered and "status" not in event:
        return asked(world, request("status", job_id=answered["job"]["id"]))
    return answered


def request(kind: str, **fields: Any) -> dict[str, Any]:
    """An operator's request about the fleet."""
    return {kind: {"fleet": "orders", "requested_by": "ada", **fields}}


def tick(world: World) -> dict[str, Any]:
    """The schedule's minute."""
    return asked(world, {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}})


def test_job_is_paused_resumed_and_stopped_when_a_person_says_so() -> None:
    """Each is answered with the job, how far it is, and who did what."""
    world = World(fleet(canary_wait_s=600))
    world.quarantine(*"abcde")
    job = asked(world, request("redrive", all=True, rate_per_s=1))["job"]
    assert (job["state"], job["sent_count"], job["done_fraction"]) == ("running", 1, 0.2)
    assert job["left_s"] > 600
    paused = asked(world, request("pause", job_id=job["id"]))["job"]
    assert (paused["state"], paused["left_s"]) == ("paused", None)
    world.now += 3_600
    tick(world)
    assert len(world.bodies()) == 1
    assert asked(world, request("resume", job_id=job["id"]))["job"]["sent_count"] > 1
    stopped = asked(world, request("stop", job_id=job["id"]))["job"]
    assert [action["action"] for action in stopped["actions"]][:3] == ["asked for it", "paused it", "resumed it"]
    assert {action["by"] for action in stopped["actions"]} == {"ada"}


def test_selection_is_taken_when_a_request_narrows_it() -> None:
    """By cause, time and attribute; times in either form."""
    world = World()
    world.quarantine_with("a", "KeyError: 'street'", shop="Berlin")
    world.quarantine_with("b", "KeyError: 'street'", shop="Paris")
    dry = asked(
        world, request("redrive", cause="keyerror*", attribute={"name": "shop", "value": "Paris"}, dry_run=True)
    )
    assert (dry["selected_count"], dry["groups"][0]["count"], dry["complete"]) == (1, 1, True)
    times = {"quarantined_from": "2027-01-15T08:00:00Z", "quarantined_to": world.now - 1}
    assert asked(world, request("redrive", **times, dry_run=True))["selected_count"] == 1
    job = asked(world, request("redrive", cause="keyerror*", attribute={"name": "shop", "value": "Paris"}))["job"]
    assert (job["state"], world.bodies()) == ("done", ["b"])


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        ("redrive", {"quarantined_from": "yesterday"}, "quarantined_from: must be epoch seconds, or a time such as"),
        ("redrive", {"quarantined_from": "2026-11-24T14:00:00"}, "must say its time zone"),
        ("redrive", {"message_id": "m", "cause": "x"}, "go with no message_id"),
        ("redrive", {"all": True, "cause": "x", "from": "dead-letter-queue"}, "a queue cannot be searched"),
        ("redrive", {"attribute": {"name": "shop"}}, "redrive.attribute.value: is required"),
        ("redrive", {"all": True, "to": "nobody"}, "fleet: there is no fleet nobody"),
        ("pause", {"job_id": "none"}, "job_id: fleet orders has no job none"),
        ("resume", {}, "resume.job_id: is required"),
        ("mute", {"failure_group": "none"}, "failure_group: fleet orders has no none"),
        ("edit", {"message_id": "m", "body": "b"}, "redrive.edits of its Settings"),
        ("restore", {"key": "orders/none.json"}, "nothing was ever kept under orders/none.json"),
        ("quarantine", {}, "its redrive.mode is auto"),
        ("peek", {}, "in which dead letters are taken as they come"),
        ("peek", {"limit": 101}, "peek.limit: input should be less than or equal to 100"),
    ],
)
def test_request_is_answered_with_what_would_be_right(kind: str, fields: dict[str, Any], problem: str) -> None:
    """Naming the field; nothing is raised, since Lambda would hide the text."""
    assert problem in asked(World(), request(kind, **fields))["error"]


def test_message_goes_to_another_fleet_when_that_is_asked_for() -> None:
    """The dry run suggests fleets with a queue of the same kind; the job's later minutes know it too."""
    world = World(fleet(canary_wait_s=30, canary_count=1))
    for name in ("invoices", "parcels.fifo"):
        other = {"queue": world.fleet.queue.replace("orders", name), "group": name, "target_wait_s": 60}
        world.ports.fleets.put(name.partition(".")[0], other)
        world.ports.queue.create(str(other["queue"]))
    world.quarantine("a", "b", "c")
    dry = asked(world, request("redrive", all=True, dry_run=True))
    assert (dry["other_fleets"], dry["to"]) == (["invoices"], "orders")
    job = asked(world, request("redrive", all=True, to="invoices"))["job"]
    assert (job["to"], job["state"]) == ("invoices", "running")
    world.now += 60
    tick(world)
    assert asked(world, request("status", job_id=job["id"]))["job"]["state"] == "done"
    assert len(world.bodies(world.fleet.queue.replace("orders", "invoices"))) == 3
    assert "to: must be a standard queue" in asked(world, request("redrive", all=True, to="parcels"))["error"]


def test_group_is_muted_and_unmuted_when_an_operator_asks() -> None:
    """Its messages stay; a redrive of all leaves it out meanwhile."""
    world = World()
    world.quarantine("a")
    (group,) = world.ports.ledger.failure_groups.failure_groups("orders")
    assert "is muted; its 1 message stays" in asked(world, request("mute", failure_group=group.id))["note"]
    dry = asked(world, request("redrive", all=True, dry_run=True))
    assert (dry["selected_count"], dry["muted_groups"]) == (0, [group.id])
    assert "is unmuted" in asked(world, request("mute", failure_group=group.id, undo=True))["note"]
    assert asked(world, request("redrive", all=True, dry_run=True))["selected_count"] == 1


def test_message_is_edited_and_restored_when_that_is_allowed() -> None:
    """Both are on record with who asked for it."""
    world = World(fleet(edits=True))
    (message_id,) = world.quarantine("a")
    key = world.index()[0].key
    job = asked(world, request("edit", message_id=message_id, body="b"))["job"]
    assert (job["requested_by"], job["sent_count"], world.bodies()) == ("ada", 1, ["b"])
    restored = asked(world, request("restore", key=key))
    assert (world.held_bodies(), restored["message_id"]) == (["a"], world.index()[0].message_id)


def test_cause_is_noted_when_a_consumer_tells_it() -> None:
    """By the name, ARN or URL of the queue; what it says is bounded, and of no other fleet."""
    world = World()
    detail = {"message_id": "m-1", "cause": "KeyError: 'street'\n" + "x" * 9_000}
    event = {"source": "sluice.consumer", "detail-type": "Sluice Message Failure"}
    for queue in ("orders", world.to.arn, world.fleet.queue):
        assert asked(world, event | {"detail": detail | {"queue": queue}}) == {"noted": ["orders"]}
    told = world.ports.ledger.causes.causes("orders", ["m-1"])["m-1"]
    assert told.startswith("KeyError: 'street'")
    assert len(told) == 2_000
    assert "no fleet has the queue" in asked(world, event | {"detail": detail | {"queue": "invoices"}})["error"]
    assert "detail.queue: is required" in asked(world, event | {"detail": detail})["error"]


def test_dead_letters_are_looked_at_and_put_away_by_the_tick_in_manual_mode() -> None:
    """The metric says how much of its time the oldest has used; what is nearly over is in quarantine."""
    world = World(fleet(mode="manual", quarantine_before_s=3_600))
    world.ports.queue.create(world.dead_letters, retention_s=7_200)
    world.put_dead("old")
    world.now += 3_000
    for _ in range(10):  # in one of these minutes it is the fleet's turn
        tick(world)
        world.now += 60
    assert (world.held_bodies(), world.bodies(world.dead_letters)) == ([], ["old"])
    for _ in range(10):
        tick(world)
        world.now += 60
    assert (world.held_bodies(), world.bodies(world.dead_letters)) == (["old"], [])


def test_dead_letters_are_taken_in_when_a_person_says_so() -> None:
    """In manual mode, so that failure groups can be chosen among."""
    world = World(fleet(mode="manual"))
    world.put_dead("a")
    assert asked(world, request("quarantine"))["quarantined_count"] == 1
    assert asked(world, request("quarantine"))["note"] == "Nothing is in the dead-letter queue."
    job = asked(world, request("redrive", all=True))["job"]
    assert (job["state"], world.bodies()) == (JobState.DONE, ["a"])


def test_dead_letters_are_looked_at_and_left_where_they_are_when_a_person_looks_inside() -> None:
    """By cause and attribute; visible again at once, with their time left told and one receive more on each."""
    world = World(fleet(mode="manual"))
    world.put_dead("a", sluice_cause="KeyError: 'street'", shop="Berlin")
    world.put_dead("b", sluice_cause="KeyError: 'street'", shop="Paris")
    world.put_dead("c", sluice_cause="Broken")
    world.now += 600
    found = asked(world, request("peek", cause="keyerror*", attribute={"name": "shop", "value": "Paris"}))
    assert (found["looked_at_count"], found["waiting_count"]) == (3, 3)
    (seen,) = found["messages"]
    assert (seen["sample"], seen["cause"], seen["attributes"]) == ("b", "KeyError: 'street'", {"shop": "Paris"})
    assert seen["left_s"] == world.ports.queue.facts(world.dead_letters).retention_s - 600
    assert "receive count of each is one higher" in found["note"]
    assert {message.receive_count for message in world.receive()} == {2}
    assert (world.index(), world.bodies()) == ((), [])


def test_dead_letters_are_not_looked_at_when_that_would_count_or_disturb() -> None:
    """A dead-letter queue with one of its own would lose them to that; a redrive would take them for gone."""
    world = World(fleet(mode="manual", canary_wait_s=600, canary_count=1))
    for body in "abc":
        world.put_dead(body)
    job = asked(world, request("redrive", **{"all": True, "from": "dead-letter-queue"}))["job"]
    assert f"job {job['id']} takes from the dead-letter queue" in asked(world, request("peek"))["error"]
    asked(world, request("stop", job_id=job["id"]))
    assert asked(world, request("peek"))["looked_at_count"] == 2
    further = world.dead_letters.replace("dead", "dead-dead")
    world.ports.queue.create(further)
    world.ports.queue.create(world.dead_letters, dead_letter=further)
    assert "receiving counts towards its maxReceiveCount" in asked(world, request("peek"))["error"]


def test_redrive_to_another_fleet_came_back_when_that_fleet_s_dead_letters_are_its_copies() -> None:
    """A job is at work under its own fleet, and its copies come back to the dead-letter queue of the other."""
    world = World(fleet(canary_wait_s=60, max_retries=0))
    url = world.queue.replace("orders", "invoices")
    other = fleet(max_retries=0).model_copy(
        update={"name": "invoices", "queue": url, "dead_letter_queue": f"{url}-dead", "group": "invoices"}
    )
    world.ports.fleets.put("invoices", other)
    world.ports.queue.create(f"{url}-dead", visibility_s=60.0)
    world.ports.queue.create(url, visibility_s=60.0, dead_letter=f"{url}-dead")
    world.quarantine("a")
    job = asked(world, request("redrive", all=True, to="invoices"))["job"]
    assert (job["state"], world.bodies(url)) == ("watching", ["a"])
    for _ in range(4):
        world.ports.queue.receive(url, 10, 0)  # its consumer fails on it
    received = world.ports.queue.receive(f"{url}-dead", 10, 60.0)
    assert [one.body for one in received] == ["a"]
    arn = world.ports.queue.facts(f"{url}-dead").arn
    asked(world, {"Records": [as_record(one, arn) for one in received]})
    world.now += 120
    tick(world)
    job = asked(world, request("status", job_id=job["id"]))["job"]
    assert (job["state"], job["returned_count"]) == ("came-back", 1)
