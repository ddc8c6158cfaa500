"""The planner's handler over ports in memory: its requests, leases, several ticks a minute, faults and reports."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.planner import app
from sluice.config.fleet import Fleet
from sluice.memory import Call, Decide, Fault, MemoryPorts, When, faulty_ports, memory_ports
from sluice.model.planning import Action, Memory, OutcomeStatus, ReasonCode
from sluice.model.redriving import Message
from sluice.model.shadow import Shadow
from sluice.model.timing import Timing
from sluice.planning.service import Invocation, PlannerService
from sluice.planning.shadow.scorecard import score
from sluice.planning.tick import LEASE_S
from sluice.ports.errors import NeedsFixError, RefusedError, TryLaterError
from sluice.ports.stack import Ports
from sluice.telemetry import Record

EVENTS = Path(__file__).parents[2] / "events"
START = 1_800_000_000.0
MINUTE = {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}


def a_fleet(name: str = "orders", **more: Any) -> Fleet:
    """A fleet whose queue is <name> and whose group is <name>-consumers."""
    document: dict[str, Any] = {
        "name": name,
        "queue": f"https://sqs.eu-central-1.amazonaws.com/000000000000/{name}",
        "group": f"{name}-consumers",
        "target_wait_s": 120,
        "hints": {"seconds_per_message": 1, "lead_time_s": 60},
    }
    return Fleet.model_validate(document | more)


class Day:
    """A day at the planner: a clock, the ports, and invocations that sleep in the clock's time."""

    def __init__(self, *fleets: Fleet, decide: Decide = lambda _: None, boot_s: float = 60.0) -> None:
        self.now = START
        self.fleets = fleets or (a_fleet(),)
        self.ports: MemoryPorts = memory_ports(self.clock, self.fleets, lag_s=90.0)
        for fleet in self.fleets:
            self.ports.group.create(fleet.group, max_size=50, boot_s=boot_s)
        self.calls: Counter[str] = Counter()
        self.decide = decide
        self.seen = faulty_ports(self.ports, self._count)
        self.sent = 0
        self.invocations = 0
        self.meanwhile: Callable[[], None] = lambda: None
        self.records: list[Record] = []

    def clock(self) -> float:
        """Epoch seconds."""
        return self.now

    def _count(self, call: Call) -> Fault | None:
        self.calls[f"{call.port}.{call.method}"] += 1
        return self.decide(call)

    def sleep(self, seconds: float) -> None:
        """Let time pass, and what happens in it."""
        self.now += seconds
        self.meanwhile()

    def send(self, count: int, name: str = "orders") -> None:
        """Put messages into a fleet's queue."""
        messages = [Message(id=f"m{self.sent + i}", body="{}") for i in range(count)]
        self.sent += count
        url = f"https://sqs.eu-central-1.amazonaws.com/000000000000/{name}"
        assert not self.ports.queue.send(url, messages, [0.0] * count).failed

    def invoke(
        self, payload: object, *, shift_s: float = 55.0, tick_s: float = 10.0, ports: Ports | None = None
    ) -> Any:
        """One invocation of the planner."""
        self.invocations += 1
        invocation = Invocation(f"invocation-{self.invocations}", self.now + shift_s, self.sleep, "sluice")
        service = PlannerService(ports or self.seen, self.clock, Timing(tick_s), invocation, app.logger)
        try:
            return service.respond(payload)
        finally:
            self.records += service.records

    def desired(self, name: str = "orders") -> int:
        """A group's desired capacity."""
        return self.ports.group.read(f"{name}-consumers").desired

    def counted(self, metric: str, fleet: str | None = "orders") -> float:
        """A metric's sum."""
        return sum(each.value for each in self.records if (each.fleet, each.name) == (fleet, metric))


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The log's lines so far, read back from their JSON."""
    stream = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", stream)
    app.logger.setLevel("INFO")
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def failing(method: str, error: Exception, *, of: str | None = None) -> Decide:
    """Every call of a port's method fails, or only those about one fleet."""

    def decide(call: Call) -> Fault | None:
        about = of is None or any(of in str(arg) for arg in call.args)
        return Fault(When.BEFORE, error) if f"{call.port}.{call.method}" == method and about else None

    return decide


# ------------------------------------------------------------------------------------------------ what wakes it


NEWS = {"planner-launch-successful", "planner-launch-unsuccessful", "planner-document-changed"}  # none asks for a tick
ASKING = [path for path in sorted(EVENTS.glob("planner-*.json")) if path.stem not in NEWS]


@pytest.mark.parametrize("path", ASKING, ids=lambda path: path.stem)
def test_planner_when_an_event_of_the_repository_comes(path: Path) -> None:
    """Every payload in events/ but news ticks fleet orders; all but the dry run set its capacity."""
    day = Day()
    day.send(420)
    answer = day.invoke(json.loads(path.read_text()))
    assert [ticked["fleet"] for ticked in answer["ticks"]] == ["orders"]
    assert day.desired() == (0 if path.stem == "planner-operator" else 8)  # 420 / (112.8 - 60)


def test_events_when_the_folder_is_listed() -> None:
    """There is a payload for each trigger: the parametrised test above is not empty."""
    names = {path.stem for path in EVENTS.glob("planner-*.json")}
    assert {"planner-schedule-tick", "planner-alarm-direct-alarm", "planner-alarm-direct-ok"} <= names


def test_launches_are_noted_when_their_events_come() -> None:
    """The next ticks know of them; a stranger's is left out, and no fleet is ticked for any."""
    day = Day(a_fleet(group="orders-consumers"))
    for name in sorted(NEWS):
        answer = day.invoke(json.loads((EVENTS / f"{name}.json").read_text()))
        assert "ticks" not in answer
    stranger = json.loads((EVENTS / "planner-launch-successful.json").read_text())
    stranger["detail"] |= {"AutoScalingGroupName": "strangers", "ActivityId": "another"}
    assert day.invoke(stranger) == {"group": "strangers", "noted": False}
    launches = day.ports.ledger.launch_log.launches(day.now)
    assert [(one.group, one.failure is None) for one in launches] == [
        ("orders-consumers", True),
        ("orders-consumers", False),
    ]
    assert day.calls["MemoryFleets.refresh"] == 1


def test_event_comes_again_when_it_could_not_be_kept() -> None:
    """The handler raises the ledger's error, so that Lambda brings it again; the schedule's minute goes on."""
    day = Day(a_fleet(group="orders-consumers"))
    day.decide = failing("MemoryLaunchLog.note_launch_event", TryLaterError("throttled"))
    with pytest.raises(TryLaterError, match="throttled"):
        day.invoke(json.loads((EVENTS / "planner-launch-successful.json").read_text()))
    day.decide = failing("MemoryFleets.refresh", TryLaterError("throttled"))
    with pytest.raises(TryLaterError, match="throttled"):
        day.invoke(json.loads((EVENTS / "planner-document-changed.json").read_text()))
    assert [ticked["fleet"] for ticked in day.invoke(MINUTE)["ticks"]] == ["orders"]


@pytest.mark.parametrize(
    "payload",
    [
        {},
        [],
        "tick",
        None,
        7,
        {"detail-type": "EC2 Instance State-change Notification", "detail": {}},
        {"detail-type": "CloudWatch Alarm State Change", "detail": {"alarmName": "x", "state": {"value": "OK"}}},
        {"alarmData": {"alarmName": 5, "state": []}},
        {"alarmData": None},
        {"alarmData": {"alarmName": "x", "state": {"value": "ALARM"}, "configuration": {"metrics": [7, {}]}}},
        {"fleet": 3},
        {"fleet": "orders", "dry_run": "yes"},
        {"fleet": "orders", "force": True},
        {"fleet": "nobody"},
        {"Records": [{"body": "x"}]},
    ],
)
def test_planner_when_a_payload_is_none_of_ours(payload: object, log: Callable[[], list[dict[str, Any]]]) -> None:
    """It is told what is wrong, logged and dropped: nothing raises, so that nothing retries, and nothing is changed."""
    day = Day()
    day.send(420)
    answer = day.invoke(payload)
    assert answer["dropped"]
    assert day.desired() == 0
    assert any(line["level"] == "WARNING" and line["problems"] == answer["dropped"] for line in log())


def test_alarm_when_several_fleets_are_there() -> None:
    """An alarm ticks the fleet whose queue it watches; without a queue the one in its name."""
    day = Day(a_fleet(), a_fleet("orders-eu"), a_fleet("mails"))

    def alarm(name: str, queue: str | None = None) -> list[str]:
        metric = {"metric": {"namespace": "AWS/SQS", "dimensions": {"QueueName": queue}}}
        configuration = {"metrics": [{"id": "age", "metricStat": metric}] if queue else []}
        data = {"alarmName": name, "state": {"value": "OK"}, "configuration": configuration}
        return [ticked["fleet"] for ticked in day.invoke({"alarmData": data})["ticks"]]

    assert alarm("anything", "mails") == ["mails"]
    assert alarm("sluice-orders-idle-backlog") == ["orders"]
    assert alarm("sluice-orders-eu-idle-backlog") == ["orders-eu"]


def test_person_when_a_dry_run_is_asked_for() -> None:
    """A dry run decides as a tick would, and changes, keeps and records nothing."""
    day = Day()
    day.send(420)
    [ticked] = day.invoke({"fleet": "orders", "dry_run": True})["ticks"]
    assert (ticked["want"], ticked["outcome"]) == (8, OutcomeStatus.SHADOW)
    assert "420 messages are waiting" in ticked["sentence"]
    assert ticked["reasons"][0]["code"] == ReasonCode.NEED
    assert day.desired() == 0
    assert day.ports.ledger.decisions.decisions("orders", 10) == ()
    assert day.ports.ledger.planner_state.memory("orders").samples == ()
    assert not {call for call in day.calls if "keep" in call or "record" in call or "acquire" in call}


# ------------------------------------------------------------------------------------------------ ticks


def test_tick_when_orders_wait_at_zero(log: Callable[[], list[dict[str, Any]]]) -> None:
    """The group scales out; decision and outcome are recorded, the memory kept, the lease returned, all is logged."""
    day = Day()
    day.send(420)
    day.invoke(MINUTE, shift_s=1.0)
    assert day.desired() == 8
    [(decision, outcome)] = day.ports.ledger.decisions.decisions("orders", 10)
    assert (decision.want, decision.raw_need, outcome.status) == (8, 8, OutcomeStatus.APPLIED)
    assert outcome.at == decision.at
    memory = day.ports.ledger.planner_state.memory("orders")
    assert (decision.action, memory.needs.needs) == (Action.SCALE_OUT, ((START, 8),))
    assert day.ports.ledger.leases.acquire("orders", "another", START + 9, START)
    told = [line for line in log() if line["message"] == decision.sentence]
    assert [(line["fleet"], line["tick"], line["outcome"], line["want"]) for line in told] == [
        ("orders", decision.id, "applied", 8)
    ]
    assert (day.counted("TicksSucceeded"), day.counted("Desired"), day.counted("Backlog")) == (1, 8, 420)


def test_tick_when_a_part_of_the_memory_cannot_be_read(log: Callable[[], list[dict[str, Any]]]) -> None:
    """It is told in the log and in a metric, once: what is kept then is whole."""
    day = Day()
    problem = "field surprises of the planner's memory is not known and was left out"
    day.ports.ledger.planner_state.keep_memory("orders", Memory(unread=(problem,)))
    day.invoke(MINUTE, shift_s=1.0)
    day.invoke(MINUTE, shift_s=1.0)
    assert [line["problems"] for line in log() if "what was learned" in line["message"]] == [[problem]]
    assert day.counted("MemoryFieldsUnread") == 1
    assert day.ports.ledger.planner_state.memory("orders").unread == ()


def test_minute_when_a_fleet_is_hot() -> None:
    """It is ticked on every ten seconds until the minute is over, for instances as they come up."""
    day = Day()
    day.send(420)
    day.invoke(MINUTE)
    decided = day.ports.ledger.decisions.decisions("orders", 20)
    assert [decision.at - START for decision, _ in reversed(decided)] == [0, 10, 20, 30, 40, 50]
    assert day.desired() == 8
    assert day.now == START + 50


def test_minute_when_a_fleet_is_cold() -> None:
    """One short tick, no sleep, and few calls: what an idle fleet costs, where its target leaves a minute to look."""
    day = Day(a_fleet(target_wait_s=300))
    day.invoke(MINUTE)
    assert day.now == START
    assert day.calls == Counter(
        {
            "MemoryFleets.refresh": 1,
            "MemoryFleets.load": 1,
            "MemoryLeases.acquire": 1,
            "MemoryQueue.read": 1,
            "MemorySignals.read": 1,
            "MemoryGroup.read": 1,
            "MemoryPlannerState.memory": 1,
            "MemoryDecisions.record": 1,
            "MemoryPlannerState.keep_memory": 1,
            "MemoryLeases.release": 1,
        }
    )


def test_minute_when_the_functions_time_is_short() -> None:
    """With little time left no further tick is begun."""
    day = Day()
    day.send(420)
    day.invoke(MINUTE, shift_s=25.0)
    assert len(day.ports.ledger.decisions.decisions("orders", 20)) == 3


def test_hour_when_traffic_comes_and_goes() -> None:
    """Minute after minute the group follows its queue from zero up and back to zero, unaided."""
    day = Day(boot_s=30.0)
    taken: list[int] = []

    def consume() -> None:
        working = sum(1 for i in day.ports.group.read("orders-consumers").instances if i.aws_state == "InService")
        for _ in range(working):
            received = day.ports.queue.receive(day.fleets[0].queue, 10, 30.0)
            day.ports.queue.delete(day.fleets[0].queue, [message.receipt for message in received])
            taken.append(len(received))

    day.meanwhile = consume
    sizes = []
    for minute in range(14):
        day.now = START + 60.0 * minute
        if minute < 5:
            day.send(300)
        consume()
        day.invoke(MINUTE)
        sizes.append(day.desired())
    assert sum(taken) == 1500
    assert max(sizes) >= 4
    assert sizes[-1] == 0
    statuses = {outcome.status for _, outcome in day.ports.ledger.decisions.decisions("orders", 200)}
    assert statuses == {OutcomeStatus.APPLIED, OutcomeStatus.UNCHANGED}


def test_tick_when_the_fleet_is_in_shadow_mode() -> None:
    """The decision is recorded as it would be acted on, and the group is left alone."""
    day = Day(a_fleet(mode="shadow"))
    day.send(420)
    day.invoke(MINUTE, shift_s=1.0)
    [(decision, outcome)] = day.ports.ledger.decisions.decisions("orders", 10)
    assert (decision.want, outcome.status) == (8, OutcomeStatus.SHADOW)
    assert day.desired() == 0
    assert day.calls["MemoryGroup.set_desired"] == 0
    assert day.counted("Desired") == 0
    assert day.counted("Wanted") == 8


def test_hour_when_the_fleet_is_in_shadow_mode(log: Callable[[], list[dict[str, Any]]]) -> None:
    """The fleet as it would be scales out, works the queue off that nobody else does, and both are scored and told."""
    day = Day(a_fleet(mode="shadow"))
    day.now -= 30.0
    day.send(420)
    day.now += 30.0
    for _ in range(15):
        began = day.now
        answer = day.invoke(MINUTE)
        day.now = began + 60.0
    [ticked] = answer["ticks"]
    assert day.desired() == 0
    assert day.calls["MemoryGroup.set_desired"] == 0
    assert ticked["current"] == 0
    assert ticked["want"] > 0  # of the real fleet, whose backlog nobody works off
    shadow = day.ports.ledger.planner_state.memory("orders").shadow
    scored = score(shadow)
    assert scored is not None
    assert (scored.acting.late_fraction, scored.acting.launches, scored.acting.unit_hours) == (1.0, 0, 0.0)
    assert scored.shadow.late_fraction < 0.1
    assert scored.shadow.launches >= 8
    assert ticked["shadow"]["sentence"] == scored.sentence
    assert ticked["shadow"]["want"] == 0  # it is done
    assert any(line.get("shadow", {}).get("sentence") == scored.sentence for line in log())
    assert day.counted("ShadowUnits") > 0 == day.counted("ActingUnits")
    assert day.counted("ShadowLate") == pytest.approx(scored.shadow.late_fraction * 420, abs=0.5)
    assert day.counted("ActingWait") == 0  # nothing was started
    assert {record.name for record in day.records} >= {"ShadowWait", "ActingLate", "ScoredMessages"}


def test_minute_when_only_the_fleet_as_it_would_be_is_hot() -> None:
    """The real fleet is calm, the other launches: it is ticked on, or its score would be coarser than acting."""
    day = Day(a_fleet(mode="shadow", target_wait_s=300))
    day.send(420)
    day.invoke(MINUTE, shift_s=1.0)
    received = day.ports.queue.receive(day.fleets[0].queue, 10, 30.0)
    while received:
        day.ports.queue.delete(day.fleets[0].queue, [message.receipt for message in received])
        received = day.ports.queue.receive(day.fleets[0].queue, 10, 30.0)
    day.now += 10.0
    day.invoke(MINUTE, shift_s=35.0)
    decided = [decision for decision, _ in day.ports.ledger.decisions.decisions("orders", 20)]
    assert len(decided) == 5
    assert not any(decision.tick_again for decision in decided[:-1])


def test_tick_when_a_shadow_missed_ticks_or_acts_scores_nothing(log: Callable[[], list[dict[str, Any]]]) -> None:
    """After a gap it says that it begins anew; a fleet that acts, and a dry run, keep no shadow."""
    day = Day(a_fleet(mode="shadow", target_wait_s=300))
    day.invoke(MINUTE)
    day.now += 600.0
    [ticked] = day.invoke(MINUTE)["ticks"]
    assert "no tick for 600 s" in ticked["shadow"]["restarted"]
    kept = day.ports.ledger.planner_state.memory("orders").shadow
    day.now += 60.0
    day.invoke({"fleet": "orders", "dry_run": True})
    assert day.ports.ledger.planner_state.memory("orders").shadow == kept
    acting = Day()
    assert "shadow" not in acting.invoke(MINUTE)["ticks"][0]
    assert acting.ports.ledger.planner_state.memory("orders").shadow == Shadow()


def test_tick_when_the_fleet_is_paused() -> None:
    """A paused fleet is held, once a minute, and says so."""
    day = Day(a_fleet(mode="paused"))
    day.send(420)
    [ticked] = day.invoke(MINUTE)["ticks"]
    assert (ticked["want"], ticked["outcome"]) == (0, OutcomeStatus.UNCHANGED)
    assert "paused" in ticked["sentence"]
    assert day.now == START


def test_tick_when_the_veto_alarm_is_on_or_missing(log: Callable[[], list[dict[str, Any]]]) -> None:
    """The alarm is asked: on, it forbids scaling out; one that does not exist is named, and forbids nothing."""
    day = Day(a_fleet(limits={"veto_alarm": "db-busy"}))
    day.send(420)
    day.ports.signals.set_alarm("db-busy", on=True)
    day.invoke(MINUTE, shift_s=1.0)
    assert day.desired() == 0
    assert day.counted("Limit.downstream") == 1
    missing = Day(a_fleet(limits={"veto_alarm": "db-bussy"}))
    missing.send(420)
    missing.invoke(MINUTE, shift_s=1.0)
    assert missing.desired() == 8
    assert any("db-bussy does not exist" in line.get("problem", "") for line in log())


# ------------------------------------------------------------------------------------------------ the lease


def test_lease_when_an_alarm_comes_during_a_hot_minute(log: Callable[[], list[dict[str, Any]]]) -> None:
    """While one invocation ticks a fleet, another finds it busy, says so, and does nothing."""
    day = Day()
    day.send(420)
    answers: list[Any] = []

    def alarm() -> None:
        if not answers:
            answers.append(day.invoke(json.loads((EVENTS / "planner-alarm-direct-alarm.json").read_text())))

    day.meanwhile = alarm
    day.invoke(MINUTE)
    assert answers == [{"ticks": [{"fleet": "orders", "outcome": OutcomeStatus.BUSY}]}]
    assert day.counted("TicksBusy") == 1
    assert len(day.ports.ledger.decisions.decisions("orders", 20)) == 6
    assert any(line["message"] == "another planner has the fleet's lease" for line in log())


def test_lease_when_the_other_planner_lets_go_within_the_minute() -> None:
    """The schedule takes a busy fleet over as soon as it can, so that it is never left alone for long."""
    day = Day()
    day.send(420)
    assert day.ports.ledger.leases.acquire("orders", "an alarm's", START + 25.0, START)
    day.invoke(MINUTE)
    decided = [decision.at - START for decision, _ in reversed(day.ports.ledger.decisions.decisions("orders", 20))]
    assert decided == [30, 40, 50]


def test_lease_when_a_planner_died() -> None:
    """A lease runs out by itself within the next minute."""
    day = Day()
    day.send(420)
    assert day.ports.ledger.leases.acquire("orders", "dead", START + LEASE_S, START)
    day.now = START + LEASE_S + 1
    assert day.invoke(MINUTE, shift_s=1.0)["ticks"][0]["outcome"] == OutcomeStatus.APPLIED


# ------------------------------------------------------------------------------------------------ trouble


def test_fleets_when_some_documents_are_invalid(log: Callable[[], list[dict[str, Any]]]) -> None:
    """An invalid document is reported by name with all its problems, once an invocation; the others go on."""
    day = Day()
    day.ports.fleets.put("broken", {"queue": "nowhere", "target_wait_s": -1, "colour": "red"})
    day.send(420)
    day.invoke(MINUTE)
    lines = [line for line in log() if line.get("fleet") == "broken"]
    assert len(lines) == 1
    problems = " ".join(lines[0]["problems"])
    assert all(field in problems for field in ("queue", "target_wait_s", "colour", "group"))
    assert day.desired() == 8
    assert day.counted("InvalidFleets", None) == 1


def test_fleet_is_left_as_it_is_when_its_document_was_broken() -> None:
    """The last usable version is for draining alone: the planner does not ask for it, and sets no capacity by it."""
    day = Day()
    day.send(420)
    day.ports.fleets.put(day.fleets[0].name, "broken")
    assert day.invoke(MINUTE) == {"ticks": []}
    assert day.desired() == 0


@pytest.mark.parametrize(
    ("method", "outcome"),
    [
        ("MemoryQueue.read", OutcomeStatus.FAILED),
        ("MemoryGroup.read", OutcomeStatus.FAILED),
        ("MemoryGroup.set_desired", OutcomeStatus.FAILED),
        ("MemorySignals.read", OutcomeStatus.APPLIED),
    ],
)
def test_tick_when_a_permission_is_missing(method: str, outcome: OutcomeStatus, log: Any) -> None:
    """It is logged with what to grant and recorded; the other fleets do not notice. Scaling out needs no metrics."""
    error = NeedsFixError("grant sqs:GetQueueAttributes on orders")
    day = Day(a_fleet(), a_fleet("mails"), decide=failing(method, error, of="/orders"))
    if method.startswith("MemoryGroup"):
        day.decide = failing(method, error, of="orders-consumers")
    day.send(420)
    day.send(420, "mails")
    day.invoke(MINUTE, shift_s=1.0)
    [(_, recorded)] = day.ports.ledger.decisions.decisions("orders", 10)
    assert recorded.status == outcome
    assert "grant sqs:GetQueueAttributes" in recorded.answer
    assert any(line["level"] == "ERROR" and "grant" in line.get("problem", "") for line in log())
    assert day.desired("mails") == 8
    assert day.counted("TicksFailed") == (outcome is OutcomeStatus.FAILED)
    assert day.counted("TicksSucceeded", "mails") == 1


@pytest.mark.parametrize("method", ["acquire", "memory", "keep_memory", "record"])
def test_tick_when_the_ledger_is_throttled(method: str) -> None:
    """What may go through later is tried again within the minute, and the fleet is served then."""
    day = Day()
    day.send(420)
    day.decide = lambda call: (
        Fault(When.BEFORE, TryLaterError("throttled")) if call.method == method and day.now == START else None
    )
    day.invoke(MINUTE)
    assert day.desired() == 8
    assert day.counted("TicksFailed") == 1
    assert day.counted("TicksSucceeded") == 5


def test_tick_when_a_lease_cannot_be_given_back() -> None:
    """It runs out by itself: no failure of the tick."""
    day = Day(a_fleet(target_wait_s=300), decide=failing("MemoryLeases.release", TryLaterError("throttled")))
    assert day.invoke(MINUTE)["ticks"][0]["outcome"] == OutcomeStatus.UNCHANGED
    assert day.counted("TicksSucceeded") == 1


def test_tick_when_one_fleet_meets_a_bug(log: Callable[[], list[dict[str, Any]]]) -> None:
    """An error that nobody foresaw is logged with its traceback; the other fleets are ticked, and nothing raises."""
    day = Day(a_fleet(), a_fleet("mails"), decide=failing("MemoryQueue.read", ZeroDivisionError("oh"), of="/orders"))
    day.send(420, "mails")
    day.invoke(MINUTE, shift_s=1.0)
    assert day.desired("mails") == 8
    assert day.counted("TicksFailed") == 1
    assert any("ZeroDivisionError" in line.get("exception", "") for line in log())
    assert day.ports.ledger.leases.acquire("orders", "another", START + 9, START)


def test_scale_out_when_the_group_refuses() -> None:
    """A refusal is recorded with AWS's words, and what was learned is kept."""
    day = Day(decide=failing("MemoryGroup.set_desired", RefusedError("ScalingActivityInProgress")))
    day.send(420)
    day.invoke(MINUTE, shift_s=1.0)
    [(decision, outcome)] = day.ports.ledger.decisions.decisions("orders", 10)
    assert (decision.want, outcome.status, outcome.answer) == (8, OutcomeStatus.FAILED, "ScalingActivityInProgress")
    assert day.ports.ledger.planner_state.memory("orders").needs


# --------------------------------------------------------------------------- several queues


def a_shared_fleet(**more: Any) -> Fleet:
    """Fleet orders with its queue, urgent orders in a minute, and returns that are paused."""
    account = "https://sqs.eu-central-1.amazonaws.com/000000000000"
    queues = [
        {"queue": f"{account}/orders"},
        {"queue": f"{account}/orders-urgent", "target_wait_s": 90, "priority": 1},
        {"queue": f"{account}/returns", "paused": True},
    ]
    document = a_fleet().model_dump(exclude={"queue"}) | {"queues": queues, "hints": {"seconds_per_message": 1}}
    return Fleet.model_validate(document | more)


def test_tick_when_a_fleet_has_several_queues(log: Callable[[], list[dict[str, Any]]]) -> None:
    """One decision for all of them, by what is consumed; two calls read them all, however many there are."""
    day = Day(a_shared_fleet())
    day.send(400, "orders")
    day.send(60, "orders-urgent")
    day.send(9000, "returns")
    day.invoke({"fleet": "orders"}, shift_s=5.0)
    (decision,) = day.ports.ledger.decisions.decisions("orders", 10)
    figures = {figure.name: figure.value for figure in decision[0].figures}
    assert (figures["visible"], figures["visible in orders-urgent"], figures["visible in returns"]) == (460, 60, 9000)
    assert 0 < day.desired() == max(figures["need of orders"], figures["need of orders-urgent"])
    assert "need of returns" not in figures
    assert (day.calls["MemoryQueue.read_all"], day.calls["MemorySignals.read_all"]) == (1, 1)
    assert any("460 messages are waiting" in line["message"] for line in log())
    memory = day.ports.ledger.planner_state.memory("orders")
    assert [queue.name for queue in memory.queues] == ["orders", "orders-urgent", "returns"]


def test_alarm_when_it_is_of_any_of_a_fleets_queues() -> None:
    """Urgent orders wake the fleet as orders do."""
    day = Day(a_shared_fleet())
    day.send(1, "orders-urgent")
    metric = {"namespace": "AWS/SQS", "dimensions": {"QueueName": "orders-urgent"}}
    data = {
        "alarmName": "anything",
        "state": {"value": "ALARM"},
        "configuration": {"metrics": [{"metricStat": {"metric": metric}}]},
    }
    day.invoke({"alarmData": data}, shift_s=5.0)
    assert day.desired() == 1


def test_tick_when_one_of_several_queues_does_not_exist(log: Callable[[], list[dict[str, Any]]]) -> None:
    """It is told of, nothing scales in, and the others are served."""
    account = "https://sqs.eu-central-1.amazonaws.com/000000000000"
    fleet = a_shared_fleet()
    day = Day(fleet)
    missing = fleet.model_copy(
        update={"queues": (*fleet.queues[:2], fleet.queues[2].model_copy(update={"queue": f"{account}/gone"}))}
    )
    day.ports.fleets.put("orders", missing)
    day.ports.group.set_desired("orders-consumers", 4)
    day.invoke({"fleet": "orders"}, shift_s=5.0)
    assert day.desired() == 4
    assert any("gone" in str(line.get("problem")) for line in log())
    day.send(900, "orders-urgent")
    day.now += 10.0
    day.invoke({"fleet": "orders"}, shift_s=5.0)
    assert day.desired() > 4


def test_tick_when_no_queue_of_several_can_be_read() -> None:
    """A silent SQS or CloudWatch is said once, and holds the fleet."""
    error = TryLaterError("SQS does not answer")
    day = Day(a_shared_fleet(), decide=lambda call: Fault(When.BEFORE, error) if call.method == "read_all" else None)
    day.ports.group.set_desired("orders-consumers", 4)
    told = day.invoke({"fleet": "orders"}, shift_s=5.0)["ticks"][0]
    assert (told["outcome"], told["want"], told["answer"]) == (OutcomeStatus.FAILED, 4, "SQS does not answer")


def test_hour_when_a_fleet_of_several_queues_is_in_shadow_mode(log: Callable[[], list[dict[str, Any]]]) -> None:
    """The fleet as it would be works off what nobody does, of the queues that are consumed; it is scored and told."""
    day = Day(a_shared_fleet(mode="shadow", hints={"seconds_per_message": 1, "lead_time_s": 60}))
    day.now -= 30.0
    day.send(400, "orders")
    day.send(60, "orders-urgent")
    day.send(9000, "returns")
    day.now += 30.0
    for _ in range(15):
        began = day.now
        answer = day.invoke(MINUTE)
        day.now = began + 60.0
    [ticked] = answer["ticks"]
    assert (ticked["outcome"], day.desired(), day.calls["MemoryGroup.set_desired"]) == (OutcomeStatus.SHADOW, 0, 0)
    shadow = day.ports.ledger.planner_state.memory("orders").shadow
    assert [queue.name for queue in shadow.queues] == ["orders", "orders-urgent"]
    scored = score(shadow)
    assert scored is not None
    assert (scored.acting.messages, scored.acting.late_fraction) == (pytest.approx(460), 1.0)
    assert scored.shadow.messages == pytest.approx(460)
    assert scored.shadow.late_fraction < 0.15
    assert scored.shadow.launches >= 4
    assert "in time instead of 0%" in scored.sentence
    assert ticked["shadow"]["sentence"] == scored.sentence
    assert ticked["shadow"]["want"] == 0  # it is done, though returns wait
    assert any(line.get("shadow", {}).get("sentence") == scored.sentence for line in log())
    assert day.counted("ShadowUnits") > 0 == day.counted("ActingUnits")
    assert day.counted("ShadowLate") == pytest.approx(scored.shadow.late_fraction * 460, abs=0.5)
    assert {record.name for record in day.records} >= {"ShadowWait", "ActingWait", "ActingLate", "ScoredMessages"}


def test_planner_when_fleets_cannot_be_loaded(log: Callable[[], list[dict[str, Any]]]) -> None:
    """Without documents nothing can be done; it says what to grant and does not raise."""
    day = Day(decide=failing("MemoryFleets.load", NeedsFixError("grant ssm:GetParametersByPath")))
    assert "grant" in day.invoke(MINUTE)["problem"]
    assert any("grant" in line.get("problem", "") for line in log())


# ------------------------------------------------------------------------------------------------ Lambda's entry


class Context:
    """What Lambda gives a handler."""

    function_name = "sluice-planner"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:sluice-planner"
    aws_request_id = "7d1c2a8e"

    def get_remaining_time_in_millis(self) -> int:
        """Too little for a second tick."""
        return 12_000


def test_handler_when_lambda_calls_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: Callable[[], list[dict[str, Any]]]
) -> None:
    """Ports, clock and time left go in; log lines carry the request, metrics come out as EMF, by fleet if asked for."""
    day = Day()
    day.now = app.time.time()
    day.send(420)
    monkeypatch.setattr(app, "_ports", lambda: day.ports)
    monkeypatch.setattr(app.metrics.provider, "service", "sluice-planner")
    monkeypatch.setenv("TICK_SECONDS", "10")
    monkeypatch.setenv("SLUICE_DETAIL", "fleet")
    answer = app.handler(MINUTE, Context())
    assert answer["ticks"][0]["want"] == 8
    assert all(line["function_request_id"] == "7d1c2a8e" for line in log())
    blobs = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    [of_fleet] = [blob for blob in blobs if blob.get("fleet") == "orders"]
    assert of_fleet["Backlog"] == [420.0]
    assert of_fleet["TicksSucceeded"] == [1.0]
    [dimensions] = of_fleet["_aws"]["CloudWatchMetrics"][0]["Dimensions"]
    assert sorted(dimensions) == ["fleet", "service"]  # as the alarms of fleet.yaml and the dashboard look for them


@pytest.mark.parametrize(
    ("environ", "timing"),
    [
        ({}, Timing(10.0, 60.0, 120.0, 60.0)),
        ({"TICK_SECONDS": "1"}, Timing(1.0, 60.0, 120.0, 60.0)),
        ({"TICK_SECONDS": "5", "SLUICE_MINUTE_S": "12"}, Timing(5.0, 12.0, 120.0, 60.0)),
        ({"METRIC_DELAY_SECONDS": "300"}, Timing(10.0, 60.0, 300.0, 60.0)),
    ],
)
def test_timing_when_the_environment_tells_it(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], timing: Timing
) -> None:
    """Ticks and minutes are the stack's, the metrics' delay may be told."""
    for name in ("TICK_SECONDS", "SLUICE_MINUTE_S", "METRIC_DELAY_SECONDS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert app.timing() == timing
