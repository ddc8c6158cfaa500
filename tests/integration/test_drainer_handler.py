"""The drainer's handler over ports in memory: every event, the sweep, faults, and what a drain costs in calls."""

import io
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functions.drainer import app
from functions.operator import app as operator_app
from sluice.config.fleet import DrainPolicy, Fleet, LaunchPolicy
from sluice.consumers.tracker import ConsumerTracker
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.sweep import Shift
from sluice.memory import (
    Call,
    Command,
    Decide,
    Fault,
    Hook,
    MemoryPorts,
    Transition,
    When,
    faulty_ports,
    memory_ports,
)
from sluice.model.consumers import BootState
from sluice.model.draining import (
    CommandStatus,
    CompleteHook,
    DrainOutcome,
    DrainState,
    HookAction,
    HookResult,
    StopOrder,
)
from sluice.model.observed import GroupReading, Instance, Lifecycle
from sluice.model.planning import TimedLaunch
from sluice.model.redriving import Message
from sluice.ports.errors import LostAnswerError, NeedsFixError, TryLaterError
from sluice.redriving import context
from sluice.telemetry import Record, Unit, emit, summed
from tests.support.widget_html import parse

EVENTS = Path(__file__).parents[2] / "events"
START = 1_800_000_000.0
SWEEP = {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}


def a_fleet(name: str = "orders", **drain: Any) -> Fleet:
    """A fleet whose group is <name>-consumers."""
    return Fleet(
        name=name,
        queue=f"https://sqs.eu-central-1.amazonaws.com/000000000000/{name}",
        group=f"{name}-consumers",
        target_wait_s=60,
        drain=DrainPolicy(**drain),
    )


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[dict[str, Any]]]:
    """The log's lines so far, read back from their JSON."""
    stream = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", stream)
    app.logger.setLevel("INFO")
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


class Day:
    """A day at the drainer: a clock, the ports, and invocations that sleep in the clock's time."""

    def __init__(self, *fleets: Fleet, size: int = 1, decide: Decide = lambda _: None) -> None:
        self.now = START
        self.fleets = fleets or (a_fleet(),)
        self.fleet = self.fleets[0]
        self.ports: MemoryPorts = memory_ports(self.clock, self.fleets)
        for fleet in self.fleets:
            hooks = (Hook(fleet.drain.hook, timeout_s=fleet.drain.hook_timeout_s),)
            self.ports.group.create(fleet.group, max_size=1_000, desired=size, hooks=hooks)
        self.calls: Counter[str] = Counter()
        self.decide = decide
        self.seen = faulty_ports(self.ports, self._count)
        self.book = FleetDirectory(self.seen, self.clock, app.logger)
        self.tally: list[Record] = []
        self.agenda: list[tuple[float, Callable[[], object]]] = []
        self.invocations = 0

    def clock(self) -> float:
        """Epoch seconds."""
        return self.now

    def _count(self, call: Call) -> Fault | None:
        self.calls[f"{call.port}.{call.method}"] += 1
        return self.decide(call)

    def at(self, later_s: float, what: Callable[[], object]) -> None:
        """Let something happen so long after the start, while the drainer sleeps or `wait` lets time pass."""
        self.agenda = sorted([*self.agenda, (START + later_s, what)], key=lambda entry: entry[0])

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        end_at = self.now + seconds
        while self.agenda and self.agenda[0][0] <= end_at:
            at, what = self.agenda.pop(0)
            self.now = max(self.now, at)
            what()
        self.now = max(self.now, end_at)

    def invoke(self, payload: object, *, shift_s: float = 55.0, tick_s: float = 10.0) -> app.Answer:
        """One invocation of the drainer."""
        self.invocations += 1
        shift = Shift(self.now + shift_s, tick_s, f"invocation-{self.invocations}", self.wait)
        drainer = app.Drainer(self.seen, self.clock, shift, self.book)
        try:
            return app.answer(payload, drainer)
        finally:
            self.tally += drainer.tally

    def release(self, instance_id: str, fleet: str = "orders") -> Any:
        """An operator releases an instance."""
        self.invocations += 1
        shift = context.Shift(f"request-{self.invocations}", self.now + 30, self.now + 25, self.wait, lambda: 0.5)
        operator = operator_app.service(self.seen, self.clock, shift)
        try:
            return operator.answer({"release": {"fleet": fleet, "instance_id": instance_id}})
        finally:
            self.tally += operator.tally

    def instances(self, fleet: Fleet | None = None) -> list[str]:
        """The ids of a group's instances."""
        return [instance.id for instance in self.ports.group.read((fleet or self.fleet).group).instances]

    def terminate(self, instance_id: str, fleet: Fleet | None = None) -> dict[str, Any]:
        """The group ends an instance; the event that tells of it."""
        group = (fleet or self.fleet).group
        self.ports.group.terminate(group, instance_id, decrement=True)
        action = next(action for action in self.ports.group.waiting(group) if action.instance_id == instance_id)
        return terminating(action, self.now)

    def state(self, instance_id: str) -> DrainState | None:
        """Where an instance's drain stands."""
        drain = self.ports.ledger.drains.drain(self.fleet.name, instance_id)
        return drain.state if drain else None

    def metrics(self) -> Counter[str]:
        """What was counted, by metric."""
        sums: Counter[str] = Counter()
        for _, name, _, value in self.tally:
            sums[name] += int(value)
        return sums


def terminating(action: HookAction, at: float) -> dict[str, Any]:
    """EventBridge's event of a lifecycle action."""
    event: dict[str, Any] = json.loads((EVENTS / "drainer-terminating.json").read_text())
    event["time"] = app.time.strftime("%Y-%m-%dT%H:%M:%SZ", app.time.gmtime(at))
    event["detail"] |= {
        "LifecycleActionToken": action.token,
        "AutoScalingGroupName": action.group,
        "LifecycleHookName": action.hook,
        "EC2InstanceId": action.instance_id,
    }
    return event


def commanded(command: Command, word: str) -> dict[str, Any]:
    """EventBridge's event of a command's end."""
    event: dict[str, Any] = json.loads((EVENTS / "drainer-run-command-success.json").read_text())
    event["detail"] |= {"command-id": command.id, "instance-id": command.instance_id, "status": word}
    return event


def spot(instance_id: str, at: float) -> dict[str, Any]:
    """EventBridge's event of a Spot interruption."""
    event: dict[str, Any] = json.loads((EVENTS / "drainer-spot-interruption.json").read_text())
    event["time"] = app.time.strftime("%Y-%m-%dT%H:%M:%SZ", app.time.gmtime(at))
    event["detail"]["instance-id"] = instance_id
    return event


def finish(
    day: Day, command: Command, status: CommandStatus = CommandStatus.SUCCEEDED, word: str = "Success"
) -> app.Answer:
    """A command ends, and its event comes."""
    command.status = status
    return day.invoke(commanded(command, word))


# --------------------------------------------------------------------------- the common path, and what it costs


def test_drain_takes_at_most_nine_calls_when_its_events_come() -> None:
    """10:00 terminating, 10:02 stopped: two invocations, nine calls with the documents read, released at once."""
    day = Day()
    (instance_id,) = day.instances()
    told = day.invoke(day.terminate(instance_id))
    assert told["state"] == "stopping"
    day.wait(20)
    told = finish(day, day.ports.instances.commands[0])
    assert told["state"] == "released"
    assert day.instances() == []
    assert day.calls == {
        "MemoryFleets.load": 1,
        "MemoryGroup.membership": 1,
        "MemoryDrains.keep_drain": 4,
        "MemoryDrains.drain": 1,
        "MemoryInstances.stop": 1,
        "MemoryGroup.complete_hook": 1,
    }
    assert day.metrics() == {"DrainsStarted": 1, "DrainsReleased": 1, "DrainsCompleted": 1, "DrainDuration": 20}


def test_five_hundred_terminations_all_complete_when_they_come_at_once() -> None:
    """A whole fleet goes: every instance is drained and released, at eight calls each and a share of the sweeps."""
    day = Day(size=500)
    events = [day.terminate(instance_id) for instance_id in day.instances()]
    for event in events:
        day.invoke(event)
    day.invoke(SWEEP, shift_s=0)
    for command in day.ports.instances.commands:
        finish(day, command)
    day.invoke(SWEEP)
    assert day.instances() == []
    drains = day.ports.ledger.drains.drains("orders")
    assert len(drains) == 500
    assert {drain.outcome for drain in drains} == {DrainOutcome.COMPLETED}
    assert sum(day.calls.values()) / 500 <= 9
    assert day.calls["MemoryFleets.load"] == 3, "the documents are kept between invocations"


def test_five_hundred_terminations_share_their_stops_when_the_sweep_finds_them() -> None:
    """Every event is lost: found by one sweep, stopped by ten commands of fifty, looked at by ten calls."""
    day = Day(size=500)
    for instance_id in day.instances():
        day.terminate(instance_id)
    day.wait(60)
    day.at(80, lambda: [day.ports.instances.answer(one, CommandStatus.SUCCEEDED) for one in day.instances()])
    day.invoke(SWEEP)
    assert day.instances() == []
    assert {drain.outcome for drain in day.ports.ledger.drains.drains("orders")} == {DrainOutcome.COMPLETED}
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
    day.invoke(SWEEP, shift_s=1)
    states = {drain.instance_id: drain.state for drain in day.ports.ledger.drains.drains("orders")}
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
    noticed = ["load", "membership", "keep_drain", "stop", "keep_drain"]
    assert order == [*noticed, "drain", "keep_drain", "complete_hook", "keep_drain"]


# --------------------------------------------------------------------------- every event


@pytest.mark.parametrize("file", sorted(EVENTS.glob("drainer-*.json")), ids=lambda file: file.stem)
def test_each_event_file_is_handled_when_it_comes(file: Path) -> None:
    """Whatever is in events/ is answered without an error, on an empty group and on its own instance."""
    payload = file.read_text()
    assert Day().invoke(json.loads(payload))
    day = Day(a_fleet())
    (instance_id,) = day.instances()
    day.ports.group.terminate(day.fleet.group, instance_id, decrement=True)
    told = day.invoke(json.loads(payload.replace("i-0c0ffee1234567890", instance_id)))
    assert "dropped" not in told
    assert "problem" not in told


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
    day.invoke(SWEEP)
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
    broken: Any, log: Callable[[], list[dict[str, Any]]]
) -> None:
    """Its event, its command's end and the sweep go by the last usable version; the log has every problem."""
    day = Day()
    day.ports.fleets.put("orders", broken)
    day.wait(120)
    (first,) = day.instances()
    assert day.invoke(day.terminate(first))["state"] == "stopping"
    day.invoke(SWEEP, shift_s=1.0)
    assert day.state(first) is DrainState.STOPPING
    day.ports.instances.answer(first, CommandStatus.SUCCEEDED)
    assert day.invoke(commanded(day.ports.instances.commands[0], "Success"))["state"] == "released"
    assert first not in day.instances()
    lines = [line for line in log() if line["message"].startswith("a fleet's document is invalid")]
    assert lines
    assert {line["fleet"] for line in lines} == {"orders"}
    assert {line["version_written_at"] for line in lines} == {"2027-01-15T08:00:00+00:00"}
    assert all(line["problems"] for line in lines)


def test_instance_is_released_by_hand_when_its_fleets_document_was_broken() -> None:
    """The dashboard's button works on: the operator's word is about draining alone."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.ports.fleets.put("orders", "broken")
    told = day.release(instance_id)
    assert told["state"] == "released"


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
    told = day.invoke(spot(instance_id, day.now))
    assert (told["fleet"], told["state"]) == ("orders", "stopping")
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
    assert "is no Spot Instance, says EC2" in day.invoke(spot(day.instances()[0], day.now))["ignored"]
    assert day.ports.instances.commands == []
    assert day.ports.ledger.drains.drains("orders") == ()


def test_terminating_event_is_left_to_the_sweep_when_its_instance_is_in_service() -> None:
    """A forged one begins nothing; Auto Scaling is asked for some seconds, since its answers may lag."""
    day = Day()
    (instance_id,) = day.instances()
    event = terminating(HookAction(day.fleet.group, day.fleet.drain.hook, instance_id, "forged"), day.now)
    assert "as far as Auto Scaling says" in day.invoke(event)["left"]
    assert day.now == START + 7
    assert (day.calls["MemoryGroup.membership"], day.ports.ledger.drains.drains("orders")) == (4, ())
    assert day.ports.instances.commands == []


def test_terminating_event_drains_when_auto_scalings_answers_lag_behind_it() -> None:
    """An event that is ahead of what Auto Scaling shows is not lost, and waits for no sweep."""
    day = Day()
    (instance_id,) = day.instances()
    token = HookAction(day.fleet.group, day.fleet.drain.hook, instance_id, None)
    day.at(2.5, lambda: day.terminate(instance_id))
    assert day.invoke(terminating(token, day.now))["state"] == "stopping"
    assert day.now == START + 3


def test_terminating_event_comes_again_when_auto_scaling_cannot_be_asked() -> None:
    """Nothing is on record yet: Lambda tries again, and the sweep finds the instance meanwhile."""
    day = Day(
        decide=lambda call: Fault(When.BEFORE, TryLaterError("throttled")) if call.method == "membership" else None
    )
    event = day.terminate(day.instances()[0])
    with pytest.raises(TryLaterError):
        day.invoke(event)
    day.invoke(SWEEP, shift_s=1)
    assert len(day.ports.instances.commands) == 1


def test_report_makes_no_record_when_the_group_does_not_have_the_instance() -> None:
    """Whoever may put reports on the bus can say something of the group's own instances alone."""
    day = Day(a_fleet(), a_fleet("mail"))
    (other,) = day.instances(day.fleets[1])
    for stranger in (other, "i-0000000000000dead"):
        assert "is not in group orders-consumers" in day.invoke(report(stranger, "busy", day.now))["ignored"]
    assert day.ports.ledger.consumers.consumers("orders") == ()


def test_failed_command_is_looked_into_when_its_event_says_only_failed() -> None:
    """Undeliverable is told as Failed: that is unknown, and asked again without counting as the unit's failure."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    finish(day, day.ports.instances.commands[0], CommandStatus.UNKNOWN, "Failed")
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.failed_count, drain.unanswered_count) == (DrainState.STOPPING, 0, 1)


def test_success_is_not_missed_when_it_comes_before_its_commands_id_is_on_record() -> None:
    """An idle consumer stops in no time: the event overtakes the result, and is looked at twice."""
    day = Day()
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    early: list[app.Answer] = []

    def overtake(call: Call) -> Fault | None:
        stopped = call.method == "keep_drain" and call.args[0].state is DrainState.STOPPING
        if stopped and not early:
            command = day.ports.instances.commands[0]
            command.status = CommandStatus.SUCCEEDED
            early.append({})
            day.at(0.1, lambda: day.ports.ledger.drains.keep_drain(call.args[0]))
            early[0] = day.invoke(commanded(command, "Success"))
        return None

    day.decide = overtake
    day.invoke(event)
    assert early[0]["state"] == "released"
    assert day.state(instance_id) is DrainState.RELEASED


def test_command_is_ignored_when_it_is_nobodys_drain() -> None:
    """Patching goes by Run Command too."""
    day = Day()
    stray = Command("c-1", day.instances()[0], StopOrder("patch"), day.now, 60)
    assert "of no drain under way" in day.invoke(commanded(stray, "Success"))["ignored"]


# --------------------------------------------------------------------------- the sweep


def test_missed_termination_is_found_when_its_event_was_lost() -> None:
    """Delivery is best effort; the group's own list is not."""
    day = Day()
    (instance_id,) = day.instances()
    day.terminate(instance_id)  # and its event goes astray
    day.wait(60)
    day.at(80, lambda: day.ports.instances.answer(instance_id, CommandStatus.SUCCEEDED))
    day.invoke(SWEEP)
    assert day.state(instance_id) is DrainState.RELEASED
    assert day.now < START + 100, "released within the sweep's own minute, with no event at all"


def test_drain_is_released_when_its_instance_has_left_by_itself() -> None:
    """Terminated behind our back: the record says so, and the metric too."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.ports.group.complete_hook(HookAction(day.fleet.group, day.fleet.drain.hook, instance_id), app_continue())
    day.invoke(SWEEP)
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.outcome) == (DrainState.RELEASED, DrainOutcome.GONE)


def app_continue() -> Any:
    """CONTINUE, as another tool would say it."""
    return CompleteHook(HookAction("", "", "")).result


def test_sweep_keeps_the_hook_alive_when_its_timeout_is_shorter_than_a_minute() -> None:
    """Hook timeout 30 s, heartbeats every 10: neither the event's own invocation nor the sweeps let it lapse."""
    day = Day(a_fleet(hook_timeout_s=30, heartbeat_s=10, deadline_s=600))
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    day.invoke(event)  # stays until the next sweep has surely begun
    for _ in range(5):
        day.invoke(SWEEP)
    assert day.now > START + 250
    assert day.instances() == [instance_id]
    assert day.state(instance_id) is DrainState.STOPPING
    assert day.metrics()["HeartbeatsSent"] >= 25


def test_sweep_ticks_faster_when_a_heartbeat_is_due_more_often() -> None:
    """Heartbeats of five seconds are kept although ticks are of ten."""
    day = Day(a_fleet(hook_timeout_s=10, heartbeat_s=5, deadline_s=600))
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id), tick_s=10)
    assert day.instances() == [instance_id]
    assert day.metrics()["HeartbeatsSent"] >= 9


def test_heartbeats_end_and_the_instance_goes_when_the_deadline_passes() -> None:
    """A consumer that ignores SIGTERM holds its instance until the deadline, and not longer."""
    day = Day(a_fleet(deadline_s=300))
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    while day.instances() and day.now < START + 1_000:
        day.invoke(SWEEP)
        day.wait(60 - (day.now - START) % 60)
    assert 300 <= day.now - START <= 370
    assert day.metrics()["DrainsExpired"] == 1
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert drain.heartbeat_count <= 300 / 45


def test_one_sweep_ticks_on_when_two_come_together() -> None:
    """A second sweep looks once, finds the lease taken, and goes."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    ended: list[float] = []
    day.at(15, lambda: (day.invoke(SWEEP), ended.append(day.now - START)))
    day.invoke(SWEEP)
    assert ended == [15]
    assert day.now - START == pytest.approx(50)


def test_quiet_fleet_costs_four_calls_when_swept() -> None:
    """No drains, no waiting instance: documents, both kinds of records, group; no lease, no tick."""
    day = Day()
    day.invoke(SWEEP)
    reads = ("MemoryFleets.load", "MemoryDrains.drains", "MemoryConsumers.consumers", "MemoryGroup.read")
    assert day.calls == dict.fromkeys(reads, 1)
    assert day.now == START


def test_heartbeat_is_sent_when_the_group_cannot_be_read() -> None:
    """A throttled Describe costs no heartbeat: the ledger is enough to go on."""
    day = Day(decide=lambda call: Fault(When.BEFORE, TryLaterError("throttled")) if call.method == "read" else None)
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.wait(50)
    day.invoke(SWEEP, shift_s=1)
    assert day.metrics()["HeartbeatsSent"] == 1
    assert day.metrics()["DrainCallsFailed"] == 1


def test_other_fleets_are_swept_when_one_is_broken() -> None:
    """A missing group, then a fault nobody thought of: the next fleet's missed termination is found all the same."""
    day = Day(a_fleet("broken"), a_fleet())
    day.fleet = day.fleets[1]
    (instance_id,) = day.instances()
    day.terminate(instance_id)
    day.ports.group.drop("broken-consumers")
    day.invoke(SWEEP, shift_s=1)
    assert day.state(instance_id) is DrainState.STOPPING
    day.decide = lambda call: Fault(When.BEFORE, ZeroDivisionError()) if call.args[:1] == ("broken",) else None
    day.wait(60)
    with pytest.raises(ExceptionGroup):
        day.invoke(SWEEP, shift_s=1)
    assert day.metrics()["HeartbeatsSent"] == 2, "one when found, one in the broken sweep"


def test_log_names_the_fleet_when_its_sweep_meets_what_nobody_thought_of(
    log: Callable[[], list[dict[str, Any]]],
) -> None:
    """Also where it was met in the midst of one drain, whose own keys of the log end with it."""
    day = Day()
    (instance_id,) = day.instances()
    day.terminate(instance_id)
    day.decide = lambda call: Fault(When.BEFORE, ZeroDivisionError()) if call.method == "keep_drain" else None
    with pytest.raises(ExceptionGroup):
        day.invoke(SWEEP, shift_s=1)
    (line,) = [line for line in log() if line["message"] == "drains could not be swept"]
    assert (line["level"], line.get("fleet")) == ("ERROR", "orders")


def test_sweep_stops_at_its_time_when_there_is_more_than_it_can_do() -> None:
    """What is left is the next sweep's, which begins with the most urgent."""
    day = Day(size=30)
    for instance_id in day.instances():
        day.terminate(instance_id)

    def slow(_: Call) -> Fault | None:
        day.now += 1.0
        return None

    day.decide = slow
    day.invoke(SWEEP, shift_s=20)
    assert START + 20 <= day.now < START + 30
    found = len(day.ports.ledger.drains.drains("orders"))
    assert 0 < found < 30
    day.invoke(SWEEP, shift_s=20)
    assert len(day.ports.ledger.drains.drains("orders")) > found


# --------------------------------------------------------------------------- signs of life, and what is kept


def test_instance_goes_at_once_when_its_machine_has_ended() -> None:
    """A crash: nobody answers, and EC2 says that the machine is gone. No deadline is waited for."""
    day = Day()
    (instance_id,) = day.instances()
    day.ports.instances.machines_ended.add(instance_id)
    day.invoke(day.terminate(instance_id))
    assert day.state(instance_id) is DrainState.NOTICED
    day.wait(60)
    day.invoke(SWEEP)
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.outcome) == (DrainState.RELEASED, DrainOutcome.COMPLETED)
    assert day.metrics()["DrainsExpired"] == 0


def test_long_job_is_held_while_it_is_heard_of_and_not_after() -> None:
    """Silence of five minutes, a deadline of two hours: the command runs for one, then nothing is heard any more."""
    day = Day(a_fleet(deadline_s=7_200, silence_s=300))
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.ports.instances.answer(instance_id, CommandStatus.RUNNING)
    day.at(3_600, lambda: setattr(day.ports.instances.commands[0], "status", CommandStatus.PENDING))
    while day.instances() and day.now < START + 7_200:
        day.invoke(SWEEP)
        day.wait(60 - (day.now - START) % 60)
    assert 3_600 + 240 <= day.now - START <= 3_600 + 420
    assert day.metrics()["DrainsExpired"] == 1


def test_last_fleet_is_held_when_messages_in_flight_become_fewer() -> None:
    """No agent, no report: with nobody in service only the draining can have finished them."""
    day = Day(a_fleet(deadline_s=7_200, silence_s=120))
    (instance_id,) = day.instances()
    day.ports.instances.without_agent.add(instance_id)
    url = day.fleet.queue
    sent = [Message(str(number), "work") for number in range(4)]
    day.ports.queue.send(url, sent, [0.0] * 4)
    receipts = [message.receipt for message in day.ports.queue.receive(url, 4, visibility_s=40_000)]
    for number, receipt in enumerate(receipts):
        day.at(100 + 100 * number, lambda receipt=receipt: day.ports.queue.delete(url, [receipt]))
    day.invoke(day.terminate(instance_id))
    while day.instances() and day.now < START + 2_000:
        day.invoke(SWEEP)
        day.wait(60 - (day.now - START) % 60)
    assert 500 <= day.now - START <= 660


@pytest.mark.parametrize(("gone", "held_s"), [(False, (500, 660)), (True, (100, 240))])
def test_last_fleet_is_held_when_messages_in_flight_become_fewer_in_any_queue(
    gone: bool, held_s: tuple[int, int]
) -> None:
    """Of all its queues together, a paused one's too; what cannot be counted in one of them is no sign at all."""
    urls = [f"https://sqs.eu-central-1.amazonaws.com/000000000000/{name}" for name in ("orders", "night", "gone")]
    queues = [{"queue": url, "paused": url.endswith("night")} for url in urls]
    one = a_fleet(deadline_s=7_200, silence_s=120)
    day = Day(Fleet.model_validate({**one.model_dump(exclude={"queue", "dead_letter_queue"}), "queues": queues}))
    (instance_id,) = day.instances()
    day.ports.instances.without_agent.add(instance_id)
    if gone:
        day.ports.queue.drop(urls[2])
    for number in range(4):
        url = urls[number % 2]
        day.ports.queue.send(url, [Message(str(number), "work")], [0.0])
        (message,) = day.ports.queue.receive(url, 1, visibility_s=40_000)
        day.at(100 + 100 * number, lambda url=url, receipt=message.receipt: day.ports.queue.delete(url, [receipt]))
    day.invoke(day.terminate(instance_id))
    while day.instances() and day.now < START + 2_000:
        day.invoke(SWEEP)
        day.wait(60 - (day.now - START) % 60)
    assert held_s[0] <= day.now - START <= held_s[1]


def test_failed_drain_is_kept_and_counted_until_a_person_lets_it_go() -> None:
    """Past its deadline: abandoned, retained, told of each minute with age and cost, terminated by a release."""
    day = Day(a_fleet(deadline_s=60, keep_failed=True, hourly_cost=2.0))
    hooks = (Hook(day.fleet.drain.hook, timeout_s=120),)
    day.ports.group.create(day.fleet.group, desired=1, hooks=hooks, retains=True)
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.invoke(SWEEP)
    day.invoke(SWEEP)
    assert day.state(instance_id) is DrainState.RETAINED
    assert day.ports.group.read(day.fleet.group).instances[0].aws_state == "Terminating:Retained"
    day.wait(3_600)
    before = len(day.tally)
    day.invoke(SWEEP)
    told = {name: value for _, name, _, value in day.tally[before:]}
    assert told["InstancesRetained"] == 1
    assert told["RetainedAge"] == pytest.approx(3_650, abs=60)
    assert told["RetainedCost"] == pytest.approx(2.0, abs=0.1)
    told_back = day.release(instance_id)
    assert told_back["state"] == "retained"
    day.invoke(SWEEP)
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.outcome) == (DrainState.RELEASED, DrainOutcome.TERMINATED)
    assert day.metrics()["DrainsRetained"] == 1


# --------------------------------------------------------------------------- what consumers say


def report(instance_id: str, state: str, at: float, group: str = "orders-consumers") -> dict[str, Any]:
    """A consumer's own event."""
    event: dict[str, Any] = json.loads((EVENTS / "drainer-consumer-busy.json").read_text())
    event["time"] = app.time.strftime("%Y-%m-%dT%H:%M:%SZ", app.time.gmtime(at))
    event["detail"] |= {"group": group, "instance-id": instance_id, "state": state}
    return event


def with_launch_hook() -> Day:
    """A fleet whose instances count once their consumers are ready; the first is on its way."""
    day = Day(a_fleet().model_copy(update={"launch": LaunchPolicy(hook="sluice-ready")}), size=0)
    ready = Hook("sluice-ready", Transition.LAUNCHING, timeout_s=300)
    day.ports.group.create(day.fleet.group, boot_s=40, hooks=(Hook(day.fleet.drain.hook), ready))
    day.ports.group.set_desired(day.fleet.group, 1)
    day.wait(40)
    return day


def test_instance_counts_when_its_consumer_is_ready() -> None:
    """Held, ready, in service; launch to first message is measured and stays in the ledger."""
    day = with_launch_hook()
    (instance_id,) = day.instances()
    event = json.loads((EVENTS / "drainer-launching.json").read_text())
    action = day.ports.group.waiting(day.fleet.group)[0]
    event["detail"] |= {
        "LifecycleActionToken": action.token,
        "AutoScalingGroupName": action.group,
        "LifecycleHookName": action.hook,
        "EC2InstanceId": instance_id,
    }
    assert day.invoke(event)["boot"] == "booting"
    day.invoke(SWEEP)
    assert day.ports.group.read(day.fleet.group).instances[0].aws_state == "Pending:Wait"
    day.wait(20)
    assert day.invoke(report(instance_id, "ready", day.now))["boot"] == "ready"
    assert day.ports.group.read(day.fleet.group).instances[0].aws_state == "InService"
    day.wait(5)
    day.invoke(report(instance_id, "busy", day.now))
    assert day.metrics()["LaunchToFirstMessage"] == 65
    assert day.metrics()["LaunchToReady"] == 60
    known = day.ports.ledger.consumers.consumer("orders", instance_id)
    assert known is not None
    assert (known.launched_at, known.first_message_at) == (START, START + 65)
    day.invoke(report(instance_id, "busy", day.now))
    noted = TimedLaunch(instance_id, START, START + 60, START + 65, START + 65, number=1)
    assert day.ports.ledger.planner_state.memory("orders").timed == (noted,), "for the planner, once"


def test_boot_is_replaced_when_its_consumer_gives_up_or_says_nothing() -> None:
    """Given up: at once. Silent: by the hook's own timeout, with nobody's help; and the loss is counted."""
    day = with_launch_hook()
    (first,) = day.instances()
    day.invoke(report(first, "failed", day.now))
    assert day.ports.group.read(day.fleet.group).instances[0].aws_state == "Terminating:Wait"
    day.wait(60)
    second = next(key for key in day.instances() if key != first)
    day.invoke(SWEEP, shift_s=1)
    day.wait(300)
    day.invoke(SWEEP, shift_s=1)
    states = {i.id: i.aws_state for i in day.ports.group.read(day.fleet.group).instances}
    assert states[second] == "Terminating:Wait"
    assert day.metrics()["BootsLost"] == 2


def test_busy_instances_are_protected_and_the_group_takes_an_idle_one() -> None:
    """A hundred and twenty busy consumers, one idle: three calls; the scale-in takes the idle one."""
    day = Day(size=121)
    *busy, idle = day.instances()
    for instance_id in busy:
        day.invoke(report(instance_id, "busy", day.now))
    day.invoke(report(idle, "idle", day.now))
    day.invoke(SWEEP)
    assert day.calls["MemoryGroup.protect"] == 3
    day.ports.group.set_desired(day.fleet.group, 120)
    assert [action.instance_id for action in day.ports.group.waiting(day.fleet.group)] == [idle]
    day.wait(10)
    day.invoke(report(busy[0], "idle", day.now))
    day.invoke(SWEEP, shift_s=1)
    free = [i.id for i in day.ports.group.read(day.fleet.group).instances if not i.protected]
    assert set(free) == {busy[0], idle}
    day.wait(180)
    day.invoke(SWEEP, shift_s=1)
    assert not any(i.protected for i in day.ports.group.read(day.fleet.group).instances), "all others have crashed"
    assert day.metrics()["InstancesProtected"] == 120
    assert day.metrics()["ProtectionsLifted"] == 120


def test_others_are_protected_when_one_has_just_left_service() -> None:
    """Auto Scaling refuses the whole request for one id: narrowed down."""
    day = Day(size=20)
    for instance_id in day.instances():
        day.invoke(report(instance_id, "busy", day.now))
    left = day.instances()[3]
    truth = day.ports.group.read(day.fleet.group)
    day.ports.group.terminate(day.fleet.group, left, decrement=True)
    late = ConsumerTracker(day.ports, day.fleet, day.clock)
    late.sweep(day.ports.ledger.consumers.consumers("orders"), truth)
    protected = {i.id for i in day.ports.group.read(day.fleet.group).instances if i.protected}
    assert protected == {*day.instances()} - {left}


def test_drain_is_done_when_its_consumer_says_so() -> None:
    """No agent is needed: its own word releases it."""
    day = Day(a_fleet(via="self"))
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.wait(20)
    assert day.invoke(report(instance_id, "draining", day.now))["state"] == "stopping"
    day.wait(20)
    assert day.invoke(report(instance_id, "done", day.now))["state"] == "released"
    assert day.instances() == []


def test_drain_is_done_when_the_word_of_it_came_before_its_record() -> None:
    """An idle consumer sees its end before the drainer does: the sweep puts the two together."""
    day = Day(a_fleet(via="self"))
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    day.wait(2)
    day.invoke(report(instance_id, "done", day.now))
    day.invoke(event)
    assert day.state(instance_id) is DrainState.STOPPING
    day.invoke(SWEEP, shift_s=1)
    assert day.state(instance_id) is DrainState.RELEASED


def test_report_is_ignored_when_the_group_is_no_fleets() -> None:
    """Any consumer of the account may speak."""
    assert "is no fleet's" in Day().invoke(report("i-1", "busy", START, "others"))["ignored"]


# --------------------------------------------------------------------------- faults


def test_event_comes_again_when_nothing_is_on_record() -> None:
    """The ledger is down as the first event comes: Lambda is to bring it back."""
    day = Day(decide=lambda call: Fault(When.BEFORE, TryLaterError("down")) if call.method == "keep_drain" else None)
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    with pytest.raises(TryLaterError):
        day.invoke(event)
    day.decide = lambda _: None
    assert day.invoke(event)["state"] == "stopping"


@pytest.mark.parametrize(
    "payload", [SWEEP, terminating(HookAction("orders-consumers", "h", "i-1"), START)], ids=["sweep", "terminating"]
)
def test_function_fails_for_all_to_see_when_the_documents_may_not_be_read(payload: dict[str, Any]) -> None:
    """Nothing can be done without them: raised, so that the alarm on the function's errors goes off."""
    denied = NeedsFixError("ssm:GetParametersByPath is not allowed: grant it")
    day = Day(decide=lambda call: Fault(When.BEFORE, denied) if call.method == "load" else None)
    with pytest.raises(NeedsFixError):
        day.invoke(payload)


def test_event_is_not_brought_back_when_it_is_on_record() -> None:
    """A failure after the first record is the sweep's to make good."""
    writes: list[int] = []

    def second_write_fails(call: Call) -> Fault | None:
        if call.method != "keep_drain":
            return None
        writes.append(1)
        return Fault(When.BEFORE, TryLaterError("throttled")) if len(writes) == 2 else None

    day = Day(decide=second_write_fails)
    (instance_id,) = day.instances()
    assert day.invoke(day.terminate(instance_id))["state"] == "noticed"
    day.wait(60)
    day.at(61, lambda: day.ports.instances.answer(instance_id, CommandStatus.SUCCEEDED))
    day.invoke(SWEEP)
    assert day.state(instance_id) is DrainState.RELEASED


def test_first_record_counts_once_when_its_answer_was_lost() -> None:
    """The write went through and its answer did not: the event comes again, meets its own record, and goes on."""
    lost = iter([Fault(When.AFTER, LostAnswerError("lost"))])
    day = Day(decide=lambda call: next(lost, None) if call.method == "keep_drain" else None)
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    with pytest.raises(TryLaterError):
        day.invoke(event)
    day.wait(60)
    assert day.invoke(event)["state"] == "stopping"
    assert len(day.ports.instances.commands) == 1


def test_completion_is_repeated_when_its_answer_was_lost() -> None:
    """The action was completed; a second completion finds none active, and that is a success."""
    lost = iter([Fault(When.AFTER, LostAnswerError("lost"))])
    day = Day(decide=lambda call: next(lost, None) if call.method == "complete_hook" else None)
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    assert finish(day, day.ports.instances.commands[0])["state"] == "done"
    day.decide = lambda call: Fault(When.BEFORE, TryLaterError("throttled")) if call.method == "read" else None
    day.invoke(SWEEP, shift_s=1)  # without a reading that would show it gone
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.outcome) == (DrainState.RELEASED, DrainOutcome.LATE)


def test_missing_permission_is_told_and_tried_on_when_a_stop_is_refused(
    log: Callable[[], list[dict[str, Any]]],
) -> None:
    """The log names what to grant; the drain waits, and goes on once it is granted."""
    refused = NeedsFixError("ssm:SendCommand is not allowed: grant it")
    day = Day(decide=lambda call: Fault(When.BEFORE, refused) if call.method == "stop" else None)
    (instance_id,) = day.instances()
    assert day.invoke(day.terminate(instance_id))["state"] == "noticed"
    told = next(line for line in log() if line["level"] == "ERROR")
    assert told["problem"] == "ssm:SendCommand is not allowed: grant it"
    assert (told["fleet"], told["instance_id"]) == ("orders", instance_id)
    day.decide = lambda _: None
    day.wait(30)
    day.invoke(SWEEP, shift_s=1)
    assert day.state(instance_id) is DrainState.STOPPING


# --------------------------------------------------------------------------- people


def test_operator_releases_an_instance_when_it_hangs() -> None:
    """A person's word, on record or not; the instance goes on at once."""
    day = Day(size=2)
    known, unknown = day.instances()
    day.invoke(day.terminate(known))
    day.terminate(unknown)
    for instance_id in (known, unknown):
        told = day.release(instance_id)
        assert (told["state"], instance_id in day.instances()) == ("released", False)
    assert day.metrics()["DrainsExpired"] == 0, "an operator's release is not an expiry"


def test_operator_is_told_when_there_is_no_such_fleet() -> None:
    """The field is named, what was asked, and what there is."""
    day = Day()
    told = day.release("i-1", "odrers")
    assert told == {"error": "release.fleet: there is no fleet odrers; there is orders"}


def test_operator_is_told_when_the_instance_is_not_in_the_group() -> None:
    """Nothing is said to be released that the group does not have, and nothing is put on record."""
    day = Day(a_fleet(), a_fleet("mail"))
    (other,) = day.instances(day.fleets[1])
    unknown = day.release("i-0000000000000dead")
    assert unknown == {
        "error": "release.instance_id: i-0000000000000dead is in no Auto Scaling group, not in orders-consumers, the"
        " group of fleet orders: nothing was released"
    }
    assert "is in Auto Scaling group mail-consumers, not in orders-consumers" in day.release(other)["error"]
    assert day.ports.ledger.drains.drains("orders") == ()
    assert day.metrics()["DrainsReleased"] == 0


def test_operator_is_told_when_nothing_holds_the_instance() -> None:
    """An instance in service works on; a drain that is over is not released twice."""
    day = Day()
    (instance_id,) = day.instances()
    assert "is InService in orders-consumers: no hook holds it there" in day.release(instance_id)["error"]
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
    log: Callable[[], list[dict[str, Any]]],
) -> None:
    """JSON lines with fleet and instance, and embedded metrics by fleet, from one real payload."""
    day = Day()
    monkeypatch.setattr(app, "_ports", lambda: day.ports)
    monkeypatch.setattr(app, "_book", lambda: FleetDirectory(day.ports, day.clock, app.logger))
    (instance_id,) = day.instances()
    told = app.handler(day.terminate(instance_id), Context())
    assert told["state"] == "stopping"
    steps = [line for line in log() if line.get("drain")]
    assert [line["drain"] for line in steps] == ["noticed", "stopping"]
    assert all((line["fleet"], line["instance_id"]) == ("orders", instance_id) for line in steps)
    (blob,) = [line for line in map(json.loads, capsys.readouterr().out.splitlines()) if "_aws" in line]
    directive = blob["_aws"]["CloudWatchMetrics"][0]
    assert directive["Namespace"] == "Sluice"
    assert "fleet" in directive["Dimensions"][0]
    assert (blob["fleet"], blob["DrainsStarted"]) == ("orders", [1.0])


def test_metrics_are_one_blob_a_fleet_when_several_were_at_it(capsys: pytest.CaptureFixture[str]) -> None:
    """Counts are summed, durations kept one by one."""
    count, seconds = Unit.COUNT, Unit.SECONDS
    tally: list[Record] = [
        Record("orders", "HeartbeatsSent", count, 1),
        Record("mail", "HeartbeatsSent", count, 1),
        Record("orders", "HeartbeatsSent", count, 1),
        Record("orders", "DrainDuration", seconds, 4.5),
        Record("orders", "DrainDuration", seconds, 9.0),
    ]
    emit(app.metrics, summed(tally))
    blobs = {blob["fleet"]: blob for blob in map(json.loads, capsys.readouterr().out.splitlines())}
    assert blobs["orders"]["HeartbeatsSent"] == [2.0]
    assert blobs["orders"]["DrainDuration"] == [4.5, 9.0]
    assert blobs["mail"]["HeartbeatsSent"] == [1.0]


def test_button_of_the_widget_releases_and_is_answered_as_html() -> None:
    """The same request as a person's by hand: what came of it, or what is wrong, for a popup."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    pages = []
    for fleet in ("orders", "nobody"):
        payload = {"release": {"fleet": fleet, "instance_id": instance_id}, "widgetContext": {"theme": "dark"}}
        shift = context.Shift(f"press-{fleet}", day.now + 30, day.now + 25, day.wait, lambda: 0.5)
        pages.append(operator_app.respond(payload, operator_app.service(day.seen, day.clock, shift), "arn"))
    assert isinstance(pages[0], str)
    assert isinstance(pages[1], str)
    assert parse(pages[0]).text.startswith(f"{instance_id}: released: its deadline has passed.")
    assert "sl-dark" in pages[0]
    assert day.state(instance_id) is DrainState.RELEASED
    assert "Not done." in pages[1]
    assert "there is no fleet" in pages[1]


# --------------------------------------------------------------------------- warm pools


def with_warm_pool(*hooks: Hook, **launch: Any) -> Day:
    """A fleet whose instances go back to a warm pool, one of them in service."""
    day = Day(a_fleet().model_copy(update={"launch": LaunchPolicy(**launch)}), size=0)
    drain = Hook(day.fleet.drain.hook, timeout_s=day.fleet.drain.hook_timeout_s)
    day.ports.group.create(day.fleet.group, desired=1, hooks=(drain, *hooks), warm_pool=True)
    return day


def state_of(day: Day, instance_id: str) -> str:
    """The group's own word for an instance's state."""
    instances = day.ports.group.read(day.fleet.group).instances
    return next(instance.aws_state for instance in instances if instance.id == instance_id)


@pytest.mark.parametrize("told", [True, False], ids=["told", "event lost"])
def test_consumer_finishes_when_its_instance_goes_back_to_its_warm_pool(told: bool) -> None:
    """Scenario: AWS holds it in Warmed:Pending:Wait, among the pool's states; it is at work and must not be let go."""
    day = with_warm_pool()
    (instance_id,) = day.instances()
    day.ports.group.set_desired(day.fleet.group, 0)
    (action,) = day.ports.group.waiting(day.fleet.group)
    if told:
        event = terminating(action, day.now)
        event["detail"] |= {"Origin": "AutoScalingGroup", "Destination": "WarmPool"}
        day.invoke(event)
    for _ in range(4):  # longer than the hook's timeout: heartbeats alone hold it
        day.invoke(SWEEP)
        day.wait(5)
        assert state_of(day, instance_id) == "Warmed:Pending:Wait"
        assert day.state(instance_id) is DrainState.STOPPING
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert drain.command_id is not None
    day.ports.instances.answer(instance_id, CommandStatus.SUCCEEDED)
    day.invoke(SWEEP)
    assert state_of(day, instance_id) == "Warmed:Stopped"
    assert day.state(instance_id) is DrainState.RELEASED

    day.wait(600)
    day.ports.group.set_desired(day.fleet.group, 1)
    day.invoke(SWEEP)
    assert (state_of(day, instance_id), day.state(instance_id)) == ("InService", DrainState.RELEASED)
    day.ports.group.set_desired(day.fleet.group, 0)
    day.invoke(terminating(day.ports.group.waiting(day.fleet.group)[0], day.now))
    assert day.state(instance_id) is DrainState.STOPPING, "it leaves a second time"


def test_new_instance_is_left_alone_when_a_launch_hook_holds_it_before_the_warm_pool() -> None:
    """It waits in the same state as one that goes back: our hook does not hold it, so nothing is stopped on it."""
    day = with_warm_pool(Hook("theirs", timeout_s=3_600))
    (instance_id,) = day.instances()
    day.ports.group.set_desired(day.fleet.group, 0)
    (ours,) = [action for action in day.ports.group.waiting(day.fleet.group) if action.hook != "theirs"]
    day.ports.group.complete_hook(ours, HookResult.CONTINUE)
    day.wait(100)
    day.invoke(SWEEP, shift_s=1)
    assert state_of(day, instance_id) == "Warmed:Pending:Wait"
    assert day.state(instance_id) is None
    assert day.calls["Instances.stop"] == 0


def test_boot_is_let_into_the_warm_pool_when_its_consumer_is_ready() -> None:
    """The sweep tells a new instance from one that goes back: it is not lost, and its launch hook is completed."""
    day = with_warm_pool(launch_hook := Hook("sluice-ready", Transition.LAUNCHING, timeout_s=600), hook="sluice-ready")
    (instance_id,) = day.instances()
    tracker = ConsumerTracker(day.ports, day.fleet, day.clock)
    held = Instance(instance_id, Lifecycle.OUT_OF_SERVICE, "Warmed:Pending:Wait", launched_at=START)
    reading = GroupReading(day.fleet.group, day.now + 1, 1, 0, 10, (held,))
    tracker.sweep((), reading)
    (known,) = day.ports.ledger.consumers.consumers("orders")
    assert (known.boot, known.hook) == (BootState.BOOTING, HookAction(day.fleet.group, launch_hook.name, instance_id))
    tracker.sweep((known,), replace(reading, at=day.now + 60))
    assert tracker.result.lost == []
    tracker.sweep((known,), replace(reading, at=day.now + 60), frozenset({instance_id}))
    assert tracker.result.lost == [instance_id], "one that has a drain is on its way out"
