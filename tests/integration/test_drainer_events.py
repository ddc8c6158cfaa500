"""The drainer over ports in memory: every event that AWS sends, and what a drain costs in calls."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sluice.draining.deadlines import STATUS_CHECK_AFTER_S
from sluice.draining.service import Response
from sluice.memory import (
    Call,
    Command,
    Fault,
    Hook,
    When,
)
from sluice.model.draining import (
    CommandStatus,
    DrainOutcome,
    DrainState,
    HookAction,
    StopOrder,
)
from sluice.ports.errors import TryLaterError
from tests.support.drainer_day import EVENTS, START, Day, a_fleet, commanded, finish, report, spot, terminating

# --------------------------------------------------------------------------- the common path, and what it costs


def test_drain_takes_twelve_calls_and_its_chain_four_when_its_events_come() -> None:
    """10:00 terminating, 10:10 stopped: two invocations, and a step of the chain, which finds nothing under way.

    The first drain of a fleet in a process takes another one, for what its stop has printed.
    """
    day = Day()
    (instance_id,) = day.instances()
    day.directory.stops_read.add((day.fleet.name, day.fleet.drain.order))
    response = day.invoke(day.terminate(instance_id))
    assert response["state"] == "stopping"
    day.wait(10)
    response = finish(day, day.ports.instances.commands[0])
    assert response["state"] == "released"
    assert day.instances() == []
    assert day.calls == {
        "MemoryFleets.load": 1,
        "MemoryGroup.membership": 1,
        "MemoryDrains.keep_drain": 4,
        "MemoryDrains.of_command": 1,
        "MemoryInstances.stop": 1,
        "MemoryGroup.complete_hook": 1,
        "MemoryChains.ask": 1,
        "MemoryChains.start": 1,
        "MemoryWorkQueue.send": 1,
    }
    assert day.metrics() == {"DrainsStarted": 1, "DrainsReleased": 1, "DrainsCompleted": 1, "DrainDuration": 10}
    day.calls.clear()
    day.wait(60)
    assert day.calls == {
        "MemoryChains.claim": 1,
        "MemoryDrains.unreleased_of": 1,
        "MemoryGroup.read_all": 1,
        "MemoryConsumers.consumers": 1,
        "MemoryChains.end": 1,
    }


def test_five_hundred_terminations_all_complete_when_they_come_at_once() -> None:
    """A whole fleet goes: every instance is drained and released, at nine calls each and a share of the sweeps."""
    day = Day(size=500)
    events = [day.terminate(instance_id) for instance_id in day.instances()]
    for event in events:
        day.invoke(event)
    day.sweep(0)
    for command in day.ports.instances.commands:
        finish(day, command)
    day.sweep(55)
    assert day.instances() == []
    drains = day.ports.ledger.drains.all_of("orders")
    assert len(drains) == 500
    assert {drain.outcome for drain in drains} == {DrainOutcome.COMPLETED}
    assert sum(day.calls.values()) / 500 <= 9.1
    assert day.calls["MemoryFleets.load"] == 3, "the documents are kept between invocations"


def test_five_hundred_terminations_share_their_stops_when_the_sweep_finds_them() -> None:
    """Every event is lost: found by one sweep, stopped by ten commands of fifty, looked at by ten calls."""
    day = Day(size=500)
    for instance_id in day.instances():
        day.terminate(instance_id)
    day.wait(60)
    day.at(80, lambda: [day.ports.instances.answer(one, CommandStatus.SUCCEEDED) for one in day.instances()])
    day.sweep(55)
    assert day.instances() == []
    assert {drain.outcome for drain in day.ports.ledger.drains.all_of("orders")} == {DrainOutcome.COMPLETED}
    assert day.calls["MemoryInstances.stop"] == 10
    assert max(Counter(command.id for command in day.ports.instances.commands).values()) == 50
    assert day.calls["MemoryInstances.commands_of"] <= 20
    assert sum(day.calls.values()) / 500 <= 8


def test_others_are_stopped_when_one_of_fifty_has_no_agent() -> None:
    """Run Command refuses the whole request for one id: it is narrowed down, and the others are asked at once."""
    day = Day(size=50)
    agentless = day.instances()[17]
    day.ports.instances.without_agent.add(agentless)
    for instance_id in day.instances():
        day.terminate(instance_id)
    day.sweep(1)
    states = {drain.instance_id: drain.state for drain in day.ports.ledger.drains.all_of("orders")}
    assert states.pop(agentless) is DrainState.NOTICED
    assert set(states.values()) == {DrainState.STOPPING}
    assert day.calls["MemoryInstances.stop"] <= 13, "twice for each halving"
    note = day.ports.ledger.drains.drain("orders", agentless)
    assert note is not None
    assert "InvalidInstanceId" in note.note


def test_notice_is_recorded_before_its_effect_and_the_effect_before_its_result() -> None:
    """Intent, effect, result: what a crash may cut off is always in this order."""
    order: list[str] = []
    day = Day(decide=lambda call: order.append(call.method))  # type: ignore[arg-type,return-value] # None: no fault
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    finish(day, day.ports.instances.commands[0])
    noticed = ["load", "membership", "keep_drain", "stop", "keep_drain", "ask", "start", "send"]
    assert order == [*noticed, "of_command", "stop_output", "keep_drain", "complete_hook", "keep_drain"]


# --------------------------------------------------------------------------- every event


FILES = sorted(file for file in EVENTS.glob("drainer-*.json") if file.stem != "drainer-chain-step")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_event_file_is_handled_when_it_comes(file: Path) -> None:
    """Whatever is in events/ is answered without an error, on an empty group and on its own instance."""
    payload = file.read_text()
    assert Day().invoke(json.loads(payload))
    day = Day(a_fleet())
    (instance_id,) = day.instances()
    day.ports.group.terminate(day.fleet.group, instance_id, decrement=True)
    response = day.invoke(json.loads(payload.replace("i-0c0ffee1234567890", instance_id)))
    assert "dropped" not in response
    assert "problem" not in response


@pytest.mark.parametrize(
    "payload",
    [{}, [], "text", None, {"detail-type": "EC2 Instance State-change Notification"}, {"Records": []}, {"release": {}}],
)
def test_payload_is_dropped_without_a_retry_when_it_is_none_of_ours(payload: object) -> None:
    """Malformed or unknown: answered with what is wrong, and not raised, so that Lambda does not bring it back."""
    day = Day()
    assert day.invoke(payload)["dropped"]
    assert not day.calls


def test_lifecycle_action_is_left_alone_when_its_hook_is_anothers() -> None:
    """Two hooks on one group: completing the other's would end its wait in its place."""
    day = Day()
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    event["detail"]["LifecycleHookName"] = "log-collector"
    assert "is not ours" in day.invoke(event)["ignored"]
    assert day.state(instance_id) is None


def test_launching_is_left_alone_when_it_comes() -> None:
    """A launch is nobody's drain."""
    day = Day()
    assert "is not ours" in day.invoke(json.loads((EVENTS / "drainer-launching.json").read_text()))["ignored"]


def test_new_fleet_is_found_when_its_document_came_after_the_last_reading() -> None:
    """Documents are kept for a minute, but an event of an unknown group looks again."""
    day = Day()
    day.sweep(55)
    late = a_fleet("late")
    day.ports.fleets.put("late", late)
    day.ports.group.create(late.group, desired=1, hooks=(Hook(late.drain.hook, timeout_s=120),))
    (instance_id,) = day.instances(late)
    assert day.invoke(day.terminate(instance_id, late))["state"] == "stopping"


def test_fleet_goes_on_when_anothers_document_is_invalid() -> None:
    """One that never was valid is named in the log; nothing is drained for it."""
    day = Day()
    day.ports.fleets.put("broken", {"queue": "no URL"})
    (instance_id,) = day.instances()
    assert day.invoke(day.terminate(instance_id))["state"] == "stopping"


@pytest.mark.parametrize("broken", ["{not JSON", {"queue": "no URL"}])
def test_instance_is_drained_when_its_fleets_document_was_broken(
    broken: Any, drainer_log: Callable[[], list[dict[str, Any]]]
) -> None:
    """Its event, its command's end and the sweep go by the last usable version; the log has every problem."""
    day = Day()
    day.ports.fleets.put("orders", broken)
    day.wait(120)
    (first,) = day.instances()
    assert day.invoke(day.terminate(first))["state"] == "stopping"
    day.sweep(1)
    assert day.state(first) is DrainState.STOPPING
    day.ports.instances.answer(first, CommandStatus.SUCCEEDED)
    assert day.invoke(commanded(day.ports.instances.commands[0], "Success"))["state"] == "released"
    assert first not in day.instances()
    lines = [line for line in drainer_log() if line["message"].startswith("a fleet's document is invalid")]
    assert lines
    assert {line["fleet"] for line in lines} == {"orders"}
    assert {line["version_written_at"] for line in lines} == {"2027-01-15T08:00:00+00:00"}
    assert all(line["problems"] for line in lines)


def test_instance_is_released_by_hand_when_its_fleets_document_was_broken() -> None:
    """The dashboard's button works on: the operator's request is about draining alone."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.ports.fleets.put("orders", "broken")
    response = day.release(instance_id)
    assert response["state"] == "released"


def test_event_is_tried_again_when_earlier_versions_could_not_be_read() -> None:
    """Nobody knows whose group it is: Lambda tries again, rather than leave the instance to its hook's timeout."""
    day = Day()
    day.ports.fleets.put("orders", "broken")
    day.ports.fleets.history_lost = TryLaterError("history: throttled")
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    with pytest.raises(TryLaterError, match="throttled"):
        day.invoke(event)
    day.ports.fleets.history_lost = None
    assert day.invoke(event)["state"] == "stopping"


def test_spot_notice_drains_at_once_when_a_fleet_has_the_instance() -> None:
    """The notice has only the instance id: the fleet is the one whose group has it; the hook then joins."""
    day = Day(a_fleet("first"), a_fleet())
    instance_id = day.instances(day.fleets[1])[0]
    day.ports.instances.spot.add(instance_id)
    response = day.invoke(spot(instance_id, day.now))
    assert (response["fleet"], response["state"]) == ("orders", "stopping")
    command = day.ports.instances.commands[0]
    assert command.timeout_s == pytest.approx(120)
    day.wait(30)
    command.status = CommandStatus.SUCCEEDED
    assert day.invoke(commanded(command, "Success"))["state"] == "done"
    assert day.invoke(day.terminate(instance_id, day.fleets[1]))["state"] == "released"
    assert instance_id not in day.instances(day.fleets[1])


def test_spot_notice_is_ignored_when_no_fleet_has_the_instance() -> None:
    """Spot's notices are of the whole account."""
    day = Day()
    assert "is in no fleet's group" in day.invoke(spot("i-0000000000000dead", day.now))["ignored"]


@pytest.mark.parametrize("method", ["membership", "is_spot"])
def test_spot_notice_comes_again_when_aws_does_not_say_whose_it_is(method: str) -> None:
    """No sweep would find it: Lambda is to try again."""
    day = Day(decide=lambda call: Fault(When.BEFORE, TryLaterError("throttled")) if call.method == method else None)
    with pytest.raises(TryLaterError):
        day.invoke(spot(day.instances()[0], day.now))


def test_spot_notice_finds_its_fleet_when_anothers_group_is_missing() -> None:
    """One broken fleet never stops the others."""
    day = Day(a_fleet("first"), a_fleet())
    instance_id = day.instances(day.fleets[1])[0]
    day.ports.instances.spot.add(instance_id)
    day.ports.group.drop("first-consumers")
    assert day.invoke(spot(instance_id, day.now))["fleet"] == "orders"


def test_spot_notice_is_ignored_when_ec2_says_that_it_is_no_spot_instance() -> None:
    """A forged one stops no consumer."""
    day = Day()
    assert "is no Spot Instance" in day.invoke(spot(day.instances()[0], day.now))["ignored"]
    assert day.ports.instances.commands == []
    assert day.ports.ledger.drains.all_of("orders") == ()


def test_terminating_event_begins_nothing_when_its_instance_is_in_service() -> None:
    """A forged one; the group is read once more, since Auto Scaling's answers may lag, and then never again."""
    day = Day()
    (instance_id,) = day.instances()
    event = terminating(HookAction(day.fleet.group, day.fleet.drain.hook, instance_id, "forged"), day.now)
    assert "Auto Scaling does not show instance" in day.invoke(event)["left"]
    assert day.now == START, "nothing waits in the function"
    day.wait(60)
    asked = day.calls["MemoryGroup.membership"], day.calls["MemoryGroup.read_all"]
    assert (asked, day.ports.ledger.drains.all_of("orders")) == ((1, 1), ())
    assert day.ports.instances.commands == []
    assert day.ports.ledger.chains.chains("drains") == ()


def test_terminating_event_drains_when_auto_scalings_answers_lag_behind_it() -> None:
    """An event that is ahead of what Auto Scaling shows is not lost, and waits for no sweep."""
    day = Day()
    (instance_id,) = day.instances()
    token = HookAction(day.fleet.group, day.fleet.drain.hook, instance_id, None)
    day.at(2.5, lambda: day.terminate(instance_id))
    assert day.invoke(terminating(token, day.now))["left"]
    day.wait(5)
    assert day.state(instance_id) is DrainState.STOPPING


def test_terminating_event_comes_again_when_auto_scaling_cannot_be_asked() -> None:
    """Nothing is on record yet: Lambda tries again, and the sweep finds the instance meanwhile."""
    day = Day(
        decide=lambda call: Fault(When.BEFORE, TryLaterError("throttled")) if call.method == "membership" else None
    )
    event = day.terminate(day.instances()[0])
    with pytest.raises(TryLaterError):
        day.invoke(event)
    day.sweep(1)
    assert len(day.ports.instances.commands) == 1


def test_report_makes_no_record_when_the_group_does_not_have_the_instance() -> None:
    """Whoever may put reports on the bus can say something of the group's own instances alone."""
    day = Day(a_fleet(), a_fleet("mail"))
    (other,) = day.instances(day.fleets[1])
    for stranger in (other, "i-0000000000000dead"):
        assert "is not in group orders-consumers" in day.invoke(report(stranger, "busy", day.now))["ignored"]
    assert day.ports.ledger.consumers.consumers("orders") == ()


def test_failed_command_is_looked_into_when_its_event_says_only_failed() -> None:
    """Undeliverable is reported as Failed: that is unknown, and asked again without counting as the unit's failure."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    finish(day, day.ports.instances.commands[0], CommandStatus.UNKNOWN, "Failed")
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.stop.failed_count, drain.stop.unanswered_count) == (DrainState.STOPPING, 0, 1)


def test_success_is_not_missed_when_it_comes_before_its_commands_id_is_on_record() -> None:
    """The event overtakes the ledger, and finds no drain: the chain asks for the command's status soon after."""
    day = Day()
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    early: list[Response] = []

    def overtake(call: Call) -> Fault | None:
        stopped = call.method == "keep_drain" and call.args[0].state is DrainState.STOPPING
        if stopped and not early:
            command = day.ports.instances.commands[0]
            command.status = CommandStatus.SUCCEEDED
            early.append(day.invoke(commanded(command, "Success")))
        return None

    day.decide = overtake
    day.invoke(event)
    assert "no drain under way has command" in early[0]["ignored"]
    assert day.state(instance_id) is DrainState.STOPPING
    day.wait(STATUS_CHECK_AFTER_S)
    assert day.state(instance_id) is DrainState.RELEASED


def test_chain_is_brought_forward_when_an_event_makes_a_drain_due_sooner() -> None:
    """The stop failed: it is asked for again after ten seconds, and not with the next heartbeat."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.ports.instances.answer(instance_id, CommandStatus.RUNNING)
    day.wait(140)  # the command's status is not asked for often any more
    finish(day, day.ports.instances.commands[0], CommandStatus.FAILED, "Failed")
    day.wait(11)
    assert len(day.ports.instances.commands) == 2


def test_command_is_ignored_when_it_is_nobodys_drain() -> None:
    """Patching goes by Run Command too."""
    day = Day()
    stray = Command("c-1", day.instances()[0], StopOrder("patch"), day.now, 60)
    assert "no drain under way has command" in day.invoke(commanded(stray, "Success"))["ignored"]


@pytest.mark.parametrize("fleets", [1, 400])
def test_event_costs_the_same_at_any_number_of_fleets(fleets: int) -> None:
    """A stranger's Spot warning, a Spot warning of a group that is no fleet's, and a stray command: one call each."""
    day = Day(*(a_fleet(f"fleet-{number}") for number in range(fleets)))
    day.ports.group.create("strangers", desired=1)
    (stranger,) = [one.id for one in day.ports.group.read("strangers").instances]
    day.sweep()
    day.calls.clear()
    for instance_id in ("i-0000000000000dead", stranger):
        assert "is in no fleet's group" in day.invoke(spot(instance_id, day.now))["ignored"]
    assert day.calls == {"MemoryGroup.membership": 2}
    day.calls.clear()
    assert day.invoke(commanded(Command("c-1", "i-1", StopOrder("patch"), day.now, 60), "Success"))["ignored"]
    assert day.calls == {"MemoryDrains.of_command": 1}


def test_commands_end_finds_its_drain_when_there_are_many_fleets() -> None:
    """By the command's id, and not by asking every fleet."""
    day = Day(*(a_fleet(f"fleet-{number}") for number in range(400)))
    last = day.fleets[-1]
    (instance_id,) = day.instances(last)
    day.invoke(day.terminate(instance_id, last))
    day.calls.clear()
    assert finish(day, day.ports.instances.commands[0])["state"] == "released"
    assert day.calls == {
        "MemoryDrains.of_command": 1,
        "MemoryInstances.stop_output": 1,
        "MemoryDrains.keep_drain": 2,
        "MemoryGroup.complete_hook": 1,
    }
