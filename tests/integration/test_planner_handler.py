"""The planner's handler over ports in memory: shards and their steps, requests, faults and reports."""

import io
import json
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from functions.planner import app
from sluice.chains import message_of, records_of
from sluice.config.fleet import Fleet
from sluice.memory import Call, Crash, Decide, Fault, MemoryPorts, When, at_call, faulty_ports, memory_ports
from sluice.model.chain import KINDS, Step
from sluice.model.decisions import Action, Decision, Outcome, OutcomeStatus, ReasonCode
from sluice.model.need import OperatorNeed
from sluice.model.redriving import Message
from sluice.model.shadow import Shadow
from sluice.model.timing import Timing
from sluice.notices import Noter
from sluice.planning.service import Invocation, PlannerService, Warmth
from sluice.planning.shadow.scorecard import score
from sluice.planning.shards import HELD_S, KIND, SHARD_MAX, Assignment, Shard
from sluice.ports.errors import NeedsFixError, PortError, RefusedError, TryLaterError
from sluice.ports.ledger.planner_state import learned_of
from sluice.telemetry import Record, needs_operator
from tests.support.planner_steps import a_memory, keep_memory

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
    """A day at the planner: a clock, the ports, and invocations by the schedule, by steps and by requests."""

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
        self.warm = Warmth()
        self.records: list[Record] = []
        self.noter = Noter()

    def clock(self) -> float:
        """Epoch seconds."""
        return self.now

    def _count(self, call: Call) -> Fault | None:
        self.calls[f"{call.port}.{call.method}"] += 1
        return self.decide(call)

    def send(self, count: int, name: str = "orders") -> None:
        """Put messages into a fleet's queue."""
        messages = [Message(id=f"m{self.sent + i}", body="{}") for i in range(count)]
        self.sent += count
        url = f"https://sqs.eu-central-1.amazonaws.com/000000000000/{name}"
        assert not self.ports.queue.send(url, messages, [0.0] * count).failed

    def invoke(self, payload: Any, *, tick_s: float = 10.0, lasts_s: float = 30.0) -> Any:
        """One invocation of the planner."""
        self.invocations += 1
        invocation = Invocation(f"invocation-{self.invocations}", self.now + lasts_s, "sluice")
        service = PlannerService(self.seen, self.clock, Timing(tick_s), invocation, app.logger, self.warm)
        try:
            records = records_of(payload) if isinstance(payload, dict) else []
            return service.take(records) if records else service.respond(payload)
        finally:
            self.records += service.records
            if records:
                self.noter.note(service.records, self.ports.ledger.needs, self.now, app.logger)

    def steps(self, **more: float) -> int:
        """Deliver the steps that may be received now; how many there were."""
        steps = self.ports.work.receive(KIND)
        for step in steps:
            self.invoke(an_event(step), **more)
        return len(steps)

    def tick(self, **more: float) -> None:
        """The schedule's minute, and the steps that are due."""
        self.invoke(MINUTE, **more)
        self.steps(**more)

    def live(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Go on for so long, second by second: the schedule comes each minute, and steps when they are due."""
        until = self.now + seconds
        while self.now < until:
            if self.now % 60.0 == 0.0:
                self.invoke(MINUTE)
            self.steps()
            self.now += 1.0
            if self.now % 10.0 == 0.0:
                meanwhile()

    def deploy(self, fleet: Fleet) -> None:
        """A further fleet, with its queue and group."""
        self.ports.fleets.put(fleet.name, fleet)
        self.ports.queue.create(fleet.queue)
        self.ports.group.create(fleet.group)

    def shards(self) -> dict[str, tuple[str, ...]]:
        """The fleets of each shard."""
        return {chain.id: Assignment.of(chain).fleets for chain in self.ports.ledger.chains.chains(KIND)}

    def desired(self, name: str = "orders") -> int:
        """A group's desired capacity."""
        return self.ports.group.read(f"{name}-consumers").desired

    def decided(self, name: str = "orders") -> list[tuple[Decision, Outcome]]:
        """The decisions on record, the first one first."""
        return list(reversed(self.ports.ledger.decisions.decisions(name, 1_000)))

    def ticks(self, name: str = "orders") -> list[float]:
        """When the fleet was ticked, in seconds since the start, as far as its samples go back."""
        [known] = [memories for _, _, memories, _ in self.warm._known.values() if name in memories]
        return [sample.at - START for sample in known[name].samples]

    def counted(self, metric: str, fleet: str | None = "orders") -> float:
        """A metric's sum."""
        return sum(each.value for each in self.records if (each.fleet, each.name) == (fleet, metric))


def an_event(step: Step) -> dict[str, Any]:
    """A batch of the work queue with one step."""
    return {"Records": [{"eventSource": "aws:sqs", "messageId": "m1", "body": message_of(step)}]}


@pytest.fixture(autouse=True)
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The log's lines so far, read back from their JSON."""
    stream = io.StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", stream)
    app.logger.setLevel("INFO")
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def failing(method: str, error: BaseException, *, of: str | None = None) -> Decide:
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
    """Every payload in events/ but news brings on a round of fleet orders, or answers at once: the dry run."""
    day = Day()
    day.tick()
    day.send(420)
    day.now += 5.0
    answer = day.invoke(json.loads(path.read_text()))
    assert "dropped" not in answer
    assert "problem" not in answer
    assert day.steps() == (0 if path.stem in {"planner-operator", "planner-schedule-minute", "planner-step"} else 1)
    if path.stem == "planner-operator":
        assert [ticked["fleet"] for ticked in answer["ticks"]] == ["orders"]
        assert day.desired() == 0
        return
    day.now += 6.0
    day.steps()
    assert day.desired() >= 8  # 420 / (112.8 - 60), or a little more where they waited for a round


def test_events_when_the_folder_is_listed() -> None:
    """There is a payload for each trigger: the parametrised test above is not empty."""
    names = {path.stem for path in EVENTS.glob("planner-*.json")}
    assert names - NEWS == {
        "planner-schedule-minute",
        "planner-step",
        "planner-alarm-direct-alarm",
        "planner-alarm-direct-ok",
        "planner-operator",
    }


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
    assert day.invoke(MINUTE) == {"shards": 1, "assigned": True}


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
        {"fleet": "nobody", "dry_run": True},
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


@pytest.mark.parametrize("body", ["x", "{}", '{"chain": "archives/orders", "version": 1}', '{"chain": "ticks/0000"}'])
def test_step_when_a_message_is_none_of_ours(body: str, log: Callable[[], list[dict[str, Any]]]) -> None:
    """It is logged and deleted: it would not become better."""
    event = {"Records": [{"eventSource": "aws:sqs", "messageId": "m1", "body": body}]}
    assert Day().invoke(event) == {"batchItemFailures": []}
    assert any("not understood" in line["message"] for line in log())


def test_alarm_when_several_fleets_are_there() -> None:
    """An alarm is about the fleet in its name; else about the one whose queue it watches."""
    day = Day(a_fleet(), a_fleet("orders-eu"), a_fleet("mails"))
    day.tick()

    def alarm(name: str, queue: str | None = None) -> list[str]:
        metric = {"metric": {"namespace": "AWS/SQS", "dimensions": {"QueueName": queue}}}
        configuration = {"metrics": [{"id": "age", "metricStat": metric}] if queue else []}
        data = {"alarmName": name, "state": {"value": "OK"}, "configuration": configuration}
        answer: list[str] = day.invoke({"alarmData": data})["brought_forward"]
        return answer

    assert alarm("anything", "mails") == ["mails"]
    loads = day.calls["MemoryFleets.load"]
    assert alarm("sluice-orders-idle-backlog") == ["orders"]
    assert alarm("sluice-orders-eu-idle-backlog") == ["orders-eu"]
    assert day.calls["MemoryFleets.load"] == loads, "the name says it without any document"


def test_alarm_when_it_comes_between_two_rounds() -> None:
    """The fleet's shard is ticked at once, and the grid of its ticks stays as it was."""
    day = Day()
    day.tick()
    day.send(420)
    day.now += 4.0
    day.invoke(json.loads((EVENTS / "planner-alarm-direct-alarm.json").read_text()))
    assert day.steps() == 1
    assert day.desired() == 8
    day.live(30.0)
    assert day.ticks() == [0, 4, 6, 10, 20, 30]


def test_person_when_a_dry_run_is_asked_for() -> None:
    """A dry run decides as a tick would, and changes, keeps and records nothing."""
    day = Day()
    day.send(420)
    [ticked] = day.invoke({"fleet": "orders", "dry_run": True})["ticks"]
    assert (ticked["want"], ticked["outcome"]) == (8, OutcomeStatus.SHADOW)
    assert "420 messages are waiting" in ticked["sentence"]
    assert ticked["reasons"][0]["code"] == ReasonCode.NEED
    assert day.desired() == 0
    assert day.decided() == []
    assert day.ports.ledger.planner_state.memory("orders").samples == ()
    assert not {call for call in day.calls if "keep" in call or "record" in call or "acquire" in call or "note" in call}


def test_person_when_a_tick_of_every_fleet_is_asked_for() -> None:
    """Each shard is brought forward once, whatever the number of its fleets."""
    day = Day(*(a_fleet(f"f{number:02d}") for number in range(SHARD_MAX + 2)))
    day.live(5.0)
    answer = day.invoke({"dry_run": False})
    assert len(answer["brought_forward"]) == SHARD_MAX + 2
    assert day.steps() == 2


# ------------------------------------------------------------------------------------------------ shards


def test_minute_when_fleets_come_and_go() -> None:
    """New fleets fill shards; a shard ends some time after its last fleet, and nobody ticks what is gone."""
    day = Day(*(a_fleet(f"f{number:02d}") for number in range(SHARD_MAX)))
    day.tick()
    assert {name: len(fleets) for name, fleets in day.shards().items()} == {"ticks/0000": SHARD_MAX}
    day.deploy(a_fleet("late"))
    day.now += 60.0
    day.tick()
    day.now += 1.0  # the rounds of shards are spread over a tick
    day.steps()
    assert day.shards()["ticks/0001"] == ("late",)
    assert day.ticks("late") == [61]
    day.ports.fleets.drop("late")
    day.ports.fleets.drop("f00")
    day.now += 59.0
    day.tick()
    assert {name: len(fleets) for name, fleets in day.shards().items()} == {"ticks/0000": 49, "ticks/0001": 0}
    day.now += HELD_S
    day.tick()
    assert list(day.shards()) == ["ticks/0000"]
    assert day.ticks("f00")[-1] == 60
    day.ports.fleets.put("f00", day.fleets[0])
    day.now += 60.0
    day.tick()
    assert "f00" in day.shards()["ticks/0000"]
    assert day.ticks("f00")[-1] == 1_140


def test_minute_when_another_invocation_assigns() -> None:
    """Chains go on, and nothing is assigned twice."""
    day = Day()
    assert day.ports.ledger.leases.acquire("#shards", "another", START + 25.0, START)
    assert day.invoke(MINUTE) == {"shards": 0, "assigned": False}
    day.now += 60.0
    assert day.invoke(MINUTE) == {"shards": 1, "assigned": True}


def test_minute_when_nothing_is_to_be_assigned() -> None:
    """It takes no lease and writes nothing: so it costs what it reads, however long it runs."""
    day = Day()
    day.invoke(MINUTE)
    day.now += 60.0
    calls = Counter(day.calls)
    assert day.invoke(MINUTE) == {"shards": 1, "assigned": True}
    assert day.calls - calls == Counter(
        {
            "MemoryChains.chains": len(KINDS),
            "MemoryWorkQueue.send": 1,
            "MemoryFleets.refresh": 1,
            "MemoryFleets.load": 1,
            "MemoryNeeds.noted": 1,
            "MemoryNeeds.reported": 1,
        }
    )


def test_minute_sends_the_steps_of_every_kind_again() -> None:
    """Chains of drains and redrive jobs have no other schedule that does."""
    day = Day()
    for kind in ("drains", "jobs"):
        day.ports.ledger.chains.start(f"{kind}/mails", START + 5.0, "{}")
    day.invoke(MINUTE)
    day.now += 5.0
    sent = day.ports.work.receive()
    assert {step.chain_id for step in sent} == {"ticks/0000", "drains/mails", "jobs/mails"}
    day.invoke({"Records": [record for step in sent for record in an_event(step)["Records"]]})
    assert {step.chain_id for step in day.ports.work.handed} == {"drains/mails", "jobs/mails"}


def test_minute_when_the_chains_of_one_kind_cannot_be_read(log: Callable[[], list[dict[str, Any]]]) -> None:
    """The other kinds' steps are sent."""
    day = Day()
    day.ports.ledger.chains.start("drains/mails", START, "{}")
    day.ports.ledger.chains.start("jobs/mails", START, "{}")

    def broken(call: Call) -> Fault | None:
        of_drains = call.method == "chains" and call.args == ("drains",)
        return Fault(When.BEFORE, TryLaterError("throttled")) if of_drains else None

    day.decide = broken
    day.invoke(MINUTE)
    assert {step.chain_id for step in day.ports.work.receive()} == {"ticks/0000", "jobs/mails"}
    assert any(line["message"] == "the chains could not be read" and line["kind"] == "drains" for line in log())


def test_new_fleet_when_a_round_of_its_shard_is_under_way() -> None:
    """It is assigned without a wait, and the next round begins as soon as the one under way is over."""
    day = Day()
    day.tick()
    day.now += 10.0

    def comes_meanwhile(call: Call) -> Fault | None:
        if call.method == "read_all" and "mails" not in day.shards()["ticks/0000"]:
            day.deploy(a_fleet("mails"))
            day.decide = lambda _: None
            assert day.invoke(MINUTE) == {"shards": 1, "assigned": True}
        return None

    day.decide = comes_meanwhile
    day.steps()
    assert day.shards() == {"ticks/0000": ("orders", "mails")}
    assert (day.ticks("orders"), day.decided("mails")) == ([0, 10], [])
    day.steps()
    assert (day.ticks("orders"), day.ticks("mails")) == ([0, 10], [10])


def test_new_fleet_when_its_shards_worker_is_dead() -> None:
    """It is assigned in the first minute, and ticked as soon as Lambda must have ended the worker."""
    day = Day()
    day.live(60.0)
    chain = day.ports.ledger.chains.chains(KIND)[0]
    assert day.ports.ledger.chains.claim(chain.step, day.now + 30.0, day.now), "and then it dies"
    day.deploy(a_fleet("mails"))
    day.live(40.0)
    assert min(day.ticks("mails")) <= 96.0


def test_fleet_when_it_comes_back_while_a_round_has_it() -> None:
    """Minutes that come one after another move it to no other shard, though a fuller one has room."""
    day = Day(*(a_fleet(f"f{number:02d}") for number in range(SHARD_MAX + 1)))
    day.tick()
    [home] = [chain for chain in day.ports.ledger.chains.chains(KIND) if "f50" in Assignment.of(chain).fleets]
    assert day.ports.ledger.chains.claim(home.step, day.now + 30.0, day.now), "a round that takes its time"
    for name in ("f00", "f50"):
        day.ports.fleets.drop(name)
    day.invoke(MINUTE)
    day.now += HELD_S - 10.0
    day.ports.fleets.put("new", a_fleet("new"))
    day.invoke(MINUTE)
    day.ports.fleets.put("f50", day.fleets[50])
    day.invoke(MINUTE)
    assert [name for name, fleets in day.shards().items() if "f50" in fleets] == [home.id]


def test_step_when_it_is_delivered_twice() -> None:
    """The second finds another version: a fleet is ticked once, by one planner."""
    day = Day()
    day.invoke(MINUTE)
    [step] = day.ports.work.receive(KIND)
    day.invoke(an_event(step))
    calls = Counter(day.calls)
    assert day.invoke(an_event(step)) == {"batchItemFailures": []}
    assert day.calls - calls == Counter({"MemoryChains.claim": 1})


def test_step_when_the_ledger_does_not_answer() -> None:
    """Lambda brings the message again: the chain may still wait for it."""
    day = Day()
    day.invoke(MINUTE)
    [step] = day.ports.work.receive(KIND)
    day.decide = failing("MemoryChains.claim", TryLaterError("throttled"))
    assert day.invoke(an_event(step)) == {"batchItemFailures": [{"itemIdentifier": "m1"}]}


@pytest.mark.parametrize("after_s", [0.0, 3.0, 9.0])
def test_shard_when_its_messages_are_lost(after_s: float) -> None:
    """Every fleet is looked at again within a minute of the loss, whenever it happens."""
    day = Day()
    day.live(60.0 + after_s)
    day.ports.work.messages.clear()
    lost_at = day.now - START
    day.live(62.0)
    assert min(at for at in day.ticks() if at >= lost_at) <= lost_at + 60.0


def test_shard_when_its_worker_dies() -> None:
    """Its invocation's end frees the shard, and the next minute's step goes on."""
    day = Day()
    day.live(60.0)
    chain = day.ports.ledger.chains.chains(KIND)[0]
    assert day.ports.ledger.chains.claim(chain.step, day.now + 30.0, day.now), "and then it dies"
    day.live(62.0)
    assert next(at for at in day.ticks() if at >= 60.0) <= 120.0


@pytest.mark.parametrize("when", When)
@pytest.mark.parametrize("error", [TryLaterError("throttled"), Crash()], ids=["throttled", "crash"])
def test_fleets_when_any_single_call_fails(when: When, error: BaseException) -> None:
    """Wherever a call fails, or the process dies at it, each fleet is ticked again within a minute, by one planner."""
    count = sum(_life_with(lambda _: None).calls.values())
    assert count > 50
    for index in range(count):
        day = _life_with(at_call(index, when, error))
        last = max(day.started.values())
        assert last <= START + 40.0 + 60.0, (index, day.started)
        assert min(day.desired(name) for name in ("orders", "mails")) >= 8, index
        assert len(set(day.claims)) == len(day.claims), "a version is worked on once"


def _life_with(decide: Decide) -> "LossyDay":
    """Twenty seconds of two fleets under a fault, then messages, and as long as it may take until they are seen."""
    slow = {"seconds_per_message": 10, "lead_time_s": 60}  # so that few messages take many instances
    day = LossyDay(a_fleet(hints=slow), a_fleet("mails", hints=slow), decide=decide)
    day.live(20.0)
    day.send(42)
    day.send(42, "mails")
    day.live(82.0)
    return day


class LossyDay(Day):
    """A day whose invocations may die; `started` has when each fleet's capacity was set, `claims` what was begun."""

    def __init__(self, *fleets: Fleet, decide: Decide) -> None:
        super().__init__(*fleets, decide=decide)
        self.started: dict[str, float] = {}
        self.claims: list[tuple[str, int]] = []
        self.seen = faulty_ports(self.ports, self._numbered)

    def _numbered(self, call: Call) -> Fault | None:
        fault = self._count(call)
        if call.method == "set_desired" and not (fault and fault.when is When.BEFORE):
            self.started.setdefault(call.args[0], self.now)
        if call.method == "claim" and not (fault and fault.when is When.BEFORE):
            step = call.args[0]
            there = self.ports.ledger.chains.chain(step.chain_id)
            if there is not None and there.version == step.version and there.at_work_until <= self.now:
                self.claims.append((step.chain_id, step.version))
        return fault

    def invoke(self, payload: Any, **more: float) -> Any:
        """One invocation; if its process dies, the next begins in a new one."""
        try:
            return super().invoke(payload, **more)
        except Crash:
            self.warm = Warmth()
            return {}
        except PortError:
            assert payload is MINUTE, "Lambda brings it again, and the next minute does the same"
            return {}


# ------------------------------------------------------------------------------------------------ ticks


def test_tick_when_orders_wait_at_zero(log: Callable[[], list[dict[str, Any]]]) -> None:
    """The group scales out; decision and outcome are recorded, the memory is kept, and all is logged."""
    day = Day()
    day.send(420)
    day.tick()
    assert day.desired() == 8
    [(decision, outcome)] = day.decided()
    assert (decision.want, decision.raw_need, outcome.status) == (8, 8, OutcomeStatus.APPLIED)
    assert outcome.at == decision.at
    memory = day.ports.ledger.planner_state.memory("orders")
    assert (decision.action, memory.needs.needs) == (Action.SCALE_OUT, ((START, 8),))
    told = [line for line in log() if line["message"] == decision.sentence]
    assert [(line["fleet"], line["tick"], line["outcome"], line["want"]) for line in told] == [
        ("orders", decision.id, "applied", 8)
    ]
    assert (day.counted("TicksSucceeded"), day.counted("Desired"), day.counted("Backlog")) == (1, 8, 420)


def test_tick_when_a_part_of_the_memory_cannot_be_read(log: Callable[[], list[dict[str, Any]]]) -> None:
    """It is told in the log and in a metric, once: what is kept then is whole."""
    day = Day()
    problem = "field surprises of the planner's memory is not known and was left out"
    keep_memory(day.ports.ledger, "orders", a_memory(unread=(problem,)))
    day.tick()
    day.now += 10.0
    day.tick()
    assert [line["problems"] for line in log() if "what was learned" in line["message"]] == [[problem]]
    assert day.counted("MemoryFieldsUnread") == 1
    assert day.ports.ledger.planner_state.memory("orders").from_ledger.unread == ()


@pytest.mark.parametrize("waiting", [0, 420])
def test_minute_when_time_goes_by(waiting: int) -> None:
    """Every fleet is ticked each ten seconds, with work or without."""
    day = Day()
    day.send(waiting)
    day.live(60.0)
    ticks = [at for at in day.ticks() if at % 10.0 == 0.0]
    assert ticks == [0, 10, 20, 30, 40, 50]
    assert day.desired() == (8 if waiting else 0)


def test_round_when_fifty_fleets_are_idle() -> None:
    """What a round costs: one call of each port for all of them; what the process knows is not read, nor written."""
    day = Day(*(a_fleet(f"f{number:02d}") for number in range(SHARD_MAX)))
    day.live(15.0)
    day.calls.clear()
    day.live(10.0)
    day.calls.pop("MemoryWorkQueue.send")
    assert day.calls == Counter(
        {
            "MemoryFleets.load": 1,
            "MemoryChains.claim": 1,
            "MemoryChains.rest": 1,
            "MemoryQueue.read_all": 1,
            "MemoryGroup.read_all": 1,
            "MemoryDecisions.record_all": 1,
            "MemoryPlannerState.keep_memories": 1,
        }
    )


def test_ledger_when_nothing_changes() -> None:
    """An idle fleet's decision and memory are written each third minute; one that changes is written at once."""
    day = Day()
    day.live(371.0)
    assert [decision.at - START for decision, _ in day.decided()] == [0, 180, 360]
    kept = day.ports.ledger.planner_state.memory("orders")
    assert kept.learned_at == START + 360.0
    day.send(420)
    day.live(10.0)
    assert day.decided()[-1][0].at == START + 380.0
    assert day.ports.ledger.planner_state.memory("orders").learned_at >= START + 380.0
    day.live(130.0)
    at = [decision.at for decision, _ in day.decided()]
    assert max(after - before for before, after in pairwise(at[-4:])) <= 70.0, "a fleet with messages: once a minute"


def test_ledger_when_metrics_teach_something_of_an_idle_fleet() -> None:
    """It is written with the next decision, and again only when it has changed."""
    day = Day()
    day.live(361.0)
    known, kept = next(iter(day.warm._known.values()))[2]["orders"], day.ports.ledger.planner_state.memory("orders")
    assert learned_of(known) == learned_of(kept)


def test_process_when_it_has_the_shard_again() -> None:
    """It goes on with what it wrote; another process, and it itself after another had the shard, read the ledger."""
    day = Day()
    day.live(11.0)
    assert day.calls["MemoryPlannerState.memories"] == 1
    other = Warmth()
    day.warm, warm = other, day.warm
    day.live(10.0)
    assert day.calls["MemoryPlannerState.memories"] == 2
    day.warm = warm
    day.live(10.0)
    assert day.calls["MemoryPlannerState.memories"] == 3
    assert day.calls["MemoryQueueMetrics.queue_metrics"] == 3
    day.live(20.0)
    assert day.calls["MemoryPlannerState.memories"] == 3
    assert day.calls["MemoryQueueMetrics.queue_metrics"] == 3


def test_count_when_it_jumps() -> None:
    """A fleet whose count jumped is looked at again after two seconds, alone; then the grid of ticks goes on."""
    day = Day(a_fleet(), a_fleet("mails"))
    day.live(5.0)
    day.send(20)
    day.live(6.0)
    day.send(400)
    day.live(14.0)
    assert day.ticks("orders") == [0, 10, 12, 20]
    assert day.ticks("mails") == [0, 10, 20]
    [scaled_out] = [decision.at - START for decision, _ in day.decided() if decision.want == 8 > decision.current]
    assert scaled_out == 12.0


def test_round_when_the_functions_time_is_short(log: Callable[[], list[dict[str, Any]]]) -> None:
    """No tick is begun near the invocation's end; the fleets left out are the first ones of the next round."""
    day = Day(*(a_fleet(f"f{number}") for number in range(4)))
    for number in range(4):
        day.send(420, f"f{number}")

    def slow(call: Call) -> Fault | None:
        if call.method == "set_desired":
            day.now += 6.0
        return None

    day.decide = slow
    day.tick(lasts_s=20.0)
    assert [day.desired(f"f{number}") for number in range(4)] == [8, 8, 0, 0]
    assert [line["fleets"] for line in log() if "time is over" in line["message"]] == [["f2", "f3"]]
    assert day.counted("FleetsPutOff", None) == 2
    [chain] = day.ports.ledger.chains.chains(KIND)
    assert Shard.of(chain).put_off == ("f2", "f3")
    day.now = START + 20.0
    day.tick(lasts_s=20.0)
    assert [day.desired(f"f{number}") > 0 for number in range(4)] == [True] * 4


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

    sizes = []
    for minute in range(14):
        if minute < 5:
            day.send(300)
        consume()
        day.live(60.0, consume)
        sizes.append(day.desired())
    assert sum(taken) == 1500
    assert max(sizes) >= 4
    assert sizes[-1] == 0
    statuses = {outcome.status for _, outcome in day.decided()}
    assert statuses == {OutcomeStatus.APPLIED, OutcomeStatus.UNCHANGED}


def test_tick_when_the_fleet_is_in_shadow_mode() -> None:
    """The decision is recorded as it would be acted on, and the group is left alone."""
    day = Day(a_fleet(mode="shadow"))
    day.send(420)
    day.tick()
    [(decision, outcome)] = day.decided()
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
    day.live(15.0 * 60.0)
    day.now += 1.0
    [ticked] = day.invoke({"fleet": "orders", "dry_run": True})["ticks"]
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
    assert ticked["shadow"]["want"] == 0  # it is done
    assert any(line.get("shadow", {}).get("sentence") == scored.sentence for line in log())
    assert day.counted("ShadowUnits") > 0 == day.counted("ActingUnits")
    assert day.counted("ShadowLate") == pytest.approx(scored.shadow.late_fraction * 420, abs=0.5)
    assert day.counted("ActingWait") == 0  # nothing was started
    assert {record.name for record in day.records} >= {"ShadowWait", "ActingLate", "ScoredMessages"}


def test_tick_when_a_shadow_missed_ticks_or_acts_scores_nothing(log: Callable[[], list[dict[str, Any]]]) -> None:
    """After a gap it says that it begins anew; a fleet that acts, and a dry run, keep no shadow."""
    day = Day(a_fleet(mode="shadow", target_wait_s=300))
    day.tick()
    day.now += 600.0
    day.tick()
    assert any("no tick for 600 s" in line.get("shadow", {}).get("restarted", "") for line in log())
    kept = day.ports.ledger.planner_state.memory("orders").shadow
    day.now += 60.0
    day.invoke({"fleet": "orders", "dry_run": True})
    assert day.ports.ledger.planner_state.memory("orders").shadow == kept
    acting = Day()
    acting.tick()
    assert acting.ports.ledger.planner_state.memory("orders").shadow == Shadow()


def test_tick_when_the_fleet_is_paused() -> None:
    """A paused fleet is held, and says so."""
    day = Day(a_fleet(mode="paused"))
    day.send(420)
    day.tick()
    [(decision, outcome)] = day.decided()
    assert (decision.want, outcome.status) == (0, OutcomeStatus.UNCHANGED)
    assert "paused" in decision.sentence


def test_tick_when_the_veto_alarm_is_on_or_missing(log: Callable[[], list[dict[str, Any]]]) -> None:
    """The alarm is asked: on, it forbids scaling out; so does one that does not exist, and it is named."""
    day = Day(a_fleet(limits={"veto_alarm": "db-busy"}))
    day.send(420)
    day.ports.signals.set_alarm("db-busy", on=True)
    day.tick()
    assert day.desired() == 0
    assert day.counted("Limit.downstream") == 1
    missing = Day(a_fleet(limits={"veto_alarm": "db-bussy"}))
    missing.send(420)
    missing.tick()
    assert missing.desired() == 0
    assert any("db-bussy does not exist" in line.get("problem", "") for line in log())


# ------------------------------------------------------------------------------------------------ trouble


def test_fleets_when_some_documents_are_invalid(log: Callable[[], list[dict[str, Any]]]) -> None:
    """An invalid document is reported by name with all its problems, once a minute; the others go on."""
    day = Day()
    day.ports.fleets.put("broken", {"queue": "nowhere", "target_wait_s": -1, "colour": "red"})
    day.send(420)
    day.live(59.0)
    lines = [line for line in log() if line.get("fleet") == "broken"]
    assert len(lines) == 1
    problems = " ".join(lines[0]["problems"])
    assert all(field in problems for field in ("queue", "target_wait_s", "colour", "group"))
    assert day.desired() == 8
    assert day.counted("InvalidFleets", "broken") == 1


def test_fleet_is_left_as_it_is_when_its_document_was_broken() -> None:
    """The last usable version is for draining alone: the planner does not ask for it, and sets no capacity by it."""
    day = Day()
    day.send(420)
    day.ports.fleets.put(day.fleets[0].name, "broken")
    day.tick()
    assert day.decided() == []
    assert day.desired() == 0


@pytest.mark.parametrize(
    ("method", "outcome"),
    [
        ("MemoryQueue.read_all", OutcomeStatus.FAILED),
        ("MemoryGroup.read_all", OutcomeStatus.FAILED),
        ("MemoryGroup.set_desired", OutcomeStatus.FAILED),
        ("MemorySignals.read_all", OutcomeStatus.APPLIED),
    ],
)
def test_tick_when_a_permission_is_missing(method: str, outcome: OutcomeStatus, log: Any) -> None:
    """It is logged with what to grant, once, and recorded. Scaling out needs no metrics."""
    day = Day(decide=failing(method, NeedsFixError("grant sqs:GetQueueAttributes on orders")))
    day.send(420)
    day.tick()
    [(_, recorded)] = day.decided()
    assert recorded.status == outcome
    assert "grant sqs:GetQueueAttributes" in recorded.answer
    assert [line["level"] for line in log() if "grant" in line.get("problem", "")] == ["ERROR"]
    assert day.counted("TicksFailed") == (outcome is OutcomeStatus.FAILED)


def test_tick_when_what_one_fleet_names_is_missing(log: Callable[[], list[dict[str, Any]]]) -> None:
    """Its own tick fails and says why; the other fleets of the round do not notice."""
    day = Day(a_fleet(), a_fleet("mails"), a_fleet("bills"))
    day.ports.fleets.put("orders", a_fleet(queue="https://sqs.eu-central-1.amazonaws.com/000000000000/gone"))
    day.ports.fleets.put("bills", a_fleet("bills", group="nobody"))
    day.send(420, "mails")
    day.tick()
    assert day.desired("mails") == 8
    assert [day.decided(name)[0][1].status for name in ("orders", "bills")] == [OutcomeStatus.FAILED] * 2
    assert any("gone" in line.get("problem", "") for line in log())
    assert day.counted("TicksSucceeded", "mails") == 1


@pytest.mark.parametrize("method", ["memories", "keep_memories", "record_all"])
def test_tick_when_the_ledger_is_throttled(method: str) -> None:
    """What may go through later is tried again ten seconds later, and the fleet is served then."""
    day = Day()
    day.send(420)
    day.decide = lambda call: (
        Fault(When.BEFORE, TryLaterError("throttled")) if call.method == method and day.now == START else None
    )
    day.live(59.0)
    assert day.desired() == 8
    assert day.ports.ledger.planner_state.memory("orders").samples
    assert day.counted("TicksSucceeded") >= 5


def test_step_when_documents_cannot_be_read() -> None:
    """It is counted, and the chain goes on: the next step is due in ten seconds, and serves the fleet."""
    day = Day()
    day.invoke(MINUTE)
    day.send(420)
    day.decide = failing("MemoryFleets.load", TryLaterError("throttled"))
    day.steps()
    assert day.counted("RoundsFailed", None) == 1
    day.decide = lambda _: None
    day.live(12.0)
    assert day.desired() == 8


@pytest.mark.parametrize("service", ["MemoryQueue.read_all", "MemoryGroup.read_all", "MemorySignals.read_all"])
def test_round_when_a_service_is_silent(service: str, log: Callable[[], list[dict[str, Any]]]) -> None:
    """It is asked once, told once for all fleets, and every fleet is ticked without what it knows."""
    names = [f"f{number:02d}" for number in range(SHARD_MAX)]
    day = Day(*(a_fleet(name) for name in names))

    def silent(call: Call) -> Fault | None:
        if f"{call.port}.{call.method}" != service:
            return None
        day.now += 2.0
        return Fault(When.BEFORE, TryLaterError("does not answer"))

    day.decide = silent
    day.tick()
    assert day.calls[service] == 1
    assert day.now == START + 2.0
    assert all(len(day.decided(name)) == 1 for name in names)
    told = [line for line in log() if line.get("problem") == "does not answer"]
    assert [line.get("others") for line in told] == [SHARD_MAX - 1]


def test_round_when_setting_the_capacity_is_silent() -> None:
    """One fleet waits for the silence; the others do not ask, and are served by the next round."""
    day = Day(*(a_fleet(f"f{number}") for number in range(5)))
    for number in range(5):
        day.send(420, f"f{number}")

    def silent(call: Call) -> Fault | None:
        if call.method != "set_desired" or day.now >= START + 9.0:
            return None
        day.now += 2.0
        return Fault(When.BEFORE, TryLaterError("does not answer"))

    day.decide = silent
    day.tick()
    assert (day.now, day.calls["MemoryGroup.set_desired"]) == (START + 2.0, 1)
    day.now = START + 10.0
    day.steps()
    assert [day.desired(f"f{number}") for number in range(5)] == [8] * 5


def test_tick_when_one_fleet_meets_a_bug(log: Callable[[], list[dict[str, Any]]]) -> None:
    """An error that nobody foresaw is logged with its traceback; the other fleets are ticked, and nothing raises."""
    day = Day(
        a_fleet(), a_fleet("mails"), decide=failing("MemoryQueue.read_all", ZeroDivisionError("oh"), of="/orders")
    )
    day.send(420, "mails")
    day.tick()
    assert day.desired("mails") == 8
    assert day.counted("TicksFailed") == 1
    assert any("ZeroDivisionError" in line.get("exception", "") for line in log())


def test_age_of_the_last_tick_when_a_fleets_ticks_go_on_failing() -> None:
    """It grows until one succeeds, and no other fleet has one: above five minutes the fleet needs an operator."""
    day = Day(
        a_fleet(), a_fleet("mails"), decide=failing("MemoryQueue.read_all", ZeroDivisionError("oh"), of="/orders")
    )
    day.live(330.0)
    ages = [each.value for each in day.records if (each.fleet, each.name) == ("orders", "TickAge")]
    assert ages == sorted(ages)
    assert ages[-1] == pytest.approx(320.0, abs=10.0)
    assert needs_operator(day.records) == {"TickAge": ("orders",)}
    day.decide = lambda _: None
    day.records.clear()
    day.live(60.0)
    assert needs_operator(day.records) == {}


def late_fleets(day: Day) -> dict[str, float]:
    """Fleets that are late by the chains of the rounds, and by how many target waits."""
    return {name: waits for chain in day.ports.ledger.chains.chains(KIND) for name, waits in Shard.of(chain).late}


def test_late_fleet_when_messages_wait_too_long_and_when_none_waits() -> None:
    """The shard's chain names it, for the overview of all fleets, with how many target waits the message has waited."""
    day = Day(a_fleet(), a_fleet("mails"))
    day.tick()
    assert late_fleets(day) == {}
    day.send(40, "mails")
    day.live(600.0)
    assert set(late_fleets(day)) == {"mails"}
    assert late_fleets(day)["mails"] > 1.0


def test_age_of_the_last_tick_when_rounds_stand_still() -> None:
    """The minute's invocation says it of every fleet of the shard, since no round can."""
    day = Day(a_fleet(), a_fleet("mails"))
    day.tick()
    day.now += 400.0
    day.invoke(MINUTE)
    assert needs_operator(day.records) == {"TickAge": ("mails", "orders")}


def test_operators_are_told_once_when_a_fleet_fails_and_once_when_it_recovers() -> None:
    """The notices name the fleet; a minute between them tells nothing."""
    day = Day(a_fleet(), a_fleet("mails"))
    day.decide = failing("MemoryDecisions.record_all", TryLaterError("throttled"))
    day.live(60.0)
    day.decide = lambda call: (
        Fault(When.BEFORE, NeedsFixError("grant it"))
        if call.method == "read_all" and call.port == "MemoryGroup"
        else None
    )
    day.live(300.0)
    assert day.ports.topic.notices == []
    day.live(300.0)
    [(subject, text)] = day.ports.topic.notices
    assert subject == "Sluice sluice: 2 fleets need an operator"
    assert "No tick has succeeded for 5 minutes, so the group keeps its size: fleets mails and orders (since " in text
    day.decide = lambda _: None
    day.live(420.0)
    assert [subject for subject, _ in day.ports.topic.notices] == [
        "Sluice sluice: 2 fleets need an operator",
        "Sluice sluice: 2 fleets no longer need an operator",
    ]


def test_operators_are_told_when_a_document_becomes_invalid_and_is_deleted() -> None:
    """What the minute itself finds needs no record."""
    day = Day()
    day.tick()
    day.ports.fleets.put("mails", {"queue": "no URL"})
    day.now += 60.0
    day.tick()
    day.now += 60.0
    day.tick()
    day.ports.fleets.drop("mails")
    day.now += 60.0
    day.tick()
    begin, end = day.ports.topic.notices
    assert begin[0] == "Sluice sluice: fleet mails needs an operator"
    assert "The fleet's document is invalid, so the fleet is not scaled: fleet mails" in begin[1]
    assert end[0] == "Sluice sluice: fleet mails no longer needs an operator"
    assert end[1].endswith("Deleted while in need of an operator: fleet mails.\n")


@pytest.mark.parametrize("method", ["MemoryNeeds.noted", "MemoryTopic.publish", "MemoryChains.chains"])
def test_minute_fails_when_operators_cannot_be_told(method: str) -> None:
    """The alarm on the function's errors tells that; the next minute tells the rest."""
    day = Day()
    day.tick()
    day.ports.ledger.needs.note(OperatorNeed("Quarantined", "orders", day.now, 1.0))
    day.decide = failing(method, NeedsFixError("grant sns:Publish"))
    with pytest.raises(NeedsFixError):
        day.invoke(MINUTE)
    day.decide = lambda _: None
    day.now += 60.0
    day.tick()
    assert [subject for subject, _ in day.ports.topic.notices] == ["Sluice sluice: fleet orders needs an operator"]


def test_operators_are_told_again_when_the_process_died_after_the_notice() -> None:
    """Twice is better than never."""
    day = LossyDay(a_fleet(), decide=lambda _: None)
    day.tick()
    day.ports.ledger.needs.note(OperatorNeed("DrainsExpired", "orders", day.now, 1.0))
    day.decide = failing("MemoryNeeds.keep_reported", Crash())
    day.tick()
    day.decide = lambda _: None
    day.now += 60.0
    day.tick()
    day.now += 60.0
    day.tick()
    assert [subject for subject, _ in day.ports.topic.notices] == 2 * ["Sluice sluice: fleet orders needs an operator"]


@pytest.mark.parametrize("kind", ["drains", "jobs"])
def test_steps_that_are_late_when_another_function_fails(kind: str) -> None:
    """Of drains and redrive jobs the planner tells, since who fails cannot."""
    day = Day()
    assert day.ports.ledger.chains.start(f"{kind}/mails", START, "{}") is not None
    day.now += 290.0
    day.invoke(MINUTE)
    assert needs_operator(day.records) == {}
    day.now += 20.0
    day.invoke(MINUTE)
    assert needs_operator(day.records)["StepAge"] == ("mails",)


def test_message_that_expires_when_half_of_its_time_is_over() -> None:
    """By the oldest message's age and what SQS says of the queue's retention, which the counts' call brings along."""
    day = Day(a_fleet(mode="paused"))
    day.send(1)
    retention_s = day.ports.queue.facts(day.fleets[0].queue).retention_s
    day.now += 0.49 * retention_s
    day.live(120.0)
    assert needs_operator(day.records) == {}
    day.now += 0.02 * retention_s
    day.records.clear()
    day.live(360.0)
    assert needs_operator(day.records)["MessageLifeUsed"] == ("orders",)


def test_scale_out_when_the_group_refuses() -> None:
    """A refusal is recorded with AWS's words, and what was learned is kept."""
    day = Day(decide=failing("MemoryGroup.set_desired", RefusedError("ScalingActivityInProgress")))
    day.send(420)
    day.tick()
    [(decision, outcome)] = day.decided()
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
    day.tick()
    [(decision, _)] = day.decided()
    figures = {figure.name: figure.value for figure in decision.figures}
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
    day.tick()
    day.send(1, "orders-urgent")
    day.now += 5.0
    metric = {"namespace": "AWS/SQS", "dimensions": {"QueueName": "orders-urgent"}}
    data = {
        "alarmName": "anything",
        "state": {"value": "ALARM"},
        "configuration": {"metrics": [{"metricStat": {"metric": metric}}]},
    }
    day.invoke({"alarmData": data})
    day.steps()
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
    day.tick()
    assert day.desired() == 4
    assert any("gone" in str(line.get("problem")) for line in log())
    day.send(900, "orders-urgent")
    day.now += 10.0
    day.tick()
    assert day.desired() > 4


def test_tick_when_no_queue_of_several_can_be_read() -> None:
    """A silent SQS or CloudWatch is said once, and holds the fleet."""
    error = TryLaterError("SQS does not answer")
    day = Day(a_shared_fleet(), decide=failing("MemoryQueue.read_all", error))
    day.ports.group.set_desired("orders-consumers", 4)
    day.tick()
    [(decision, outcome)] = day.decided()
    assert (outcome.status, decision.want, outcome.answer) == (OutcomeStatus.FAILED, 4, "SQS does not answer")


def test_hour_when_a_fleet_of_several_queues_is_in_shadow_mode(log: Callable[[], list[dict[str, Any]]]) -> None:
    """The fleet as it would be works off what nobody does, of the queues that are consumed; it is scored and told."""
    day = Day(a_shared_fleet(mode="shadow", hints={"seconds_per_message": 1, "lead_time_s": 60}))
    day.now -= 30.0
    day.send(400, "orders")
    day.send(60, "orders-urgent")
    day.send(9000, "returns")
    day.now += 30.0
    day.live(15.0 * 60.0)
    day.now += 1.0
    [ticked] = day.invoke({"fleet": "orders", "dry_run": True})["ticks"]
    assert (day.desired(), day.calls["MemoryGroup.set_desired"]) == (0, 0)
    shadow = day.ports.ledger.planner_state.memory("orders").shadow
    assert [queue.name for queue in shadow.queues] == ["orders", "orders-urgent"]
    scored = score(shadow)
    assert scored is not None
    assert (scored.acting.messages, scored.acting.late_fraction) == (pytest.approx(460), 1.0)
    assert scored.shadow.messages == pytest.approx(460)
    assert scored.shadow.late_fraction < 0.15
    assert scored.shadow.launches >= 4
    assert "in time instead of 0%" in scored.sentence
    assert ticked["shadow"]["want"] == 0  # it is done, though returns wait
    assert any("in time instead of 0%" in line.get("shadow", {}).get("sentence", "") for line in log())
    assert day.counted("ShadowUnits") > 0 == day.counted("ActingUnits")
    assert day.counted("ShadowLate") == pytest.approx(scored.shadow.late_fraction * 460, abs=0.5)
    assert {record.name for record in day.records} >= {"ShadowWait", "ActingWait", "ActingLate", "ScoredMessages"}


def test_planner_when_fleets_cannot_be_loaded(log: Callable[[], list[dict[str, Any]]]) -> None:
    """Without documents nothing can be done; it says what to grant, and fails, which the function's alarm tells."""
    day = Day(decide=failing("MemoryFleets.load", NeedsFixError("grant ssm:GetParametersByPath")))
    with pytest.raises(NeedsFixError, match="grant"):
        day.invoke(MINUTE)
    assert any("grant" in line.get("problem", "") for line in log())


# ------------------------------------------------------------------------------------------------ Lambda's entry


class Context:
    """What Lambda gives a handler."""

    function_name = "sluice-planner"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:sluice-planner"
    aws_request_id = "7d1c2a8e"

    def get_remaining_time_in_millis(self) -> int:
        """Enough for a round."""
        return 30_000


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
    assert app.handler(MINUTE, Context()) == {"shards": 1, "assigned": True}
    [step] = day.ports.work.receive(KIND)
    assert app.handler(an_event(step), Context()) == {"batchItemFailures": []}
    assert day.desired() == 8
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
    ],
)
def test_timing_when_the_environment_tells_it(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], timing: Timing
) -> None:
    """Ticks and minutes are the stack's; how late metrics are is CloudWatch's, and nothing sets it."""
    for name in ("TICK_SECONDS", "SLUICE_MINUTE_S"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert app.timing() == timing
