"""What the ports on AWS write and ask beyond what every port does: records, lives, commands, caches."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import botocore.client
import pytest

from sluice.aws import AsgGroup, CloudWatchSignals, SsmInstances, connect
from sluice.aws.clients import Clients
from sluice.aws.ledger.failure_groups import FULL_KEPT_S, RECOUNT_S
from sluice.aws.ledger.keys import key
from sluice.aws.table import Table
from sluice.model.decisions import Action, Decision, Outcome, OutcomeStatus
from sluice.model.draining import (
    CommandStatus,
    Deadline,
    Drain,
    DrainCause,
    DrainState,
    Heartbeats,
    HookAction,
    LifecycleAction,
    NothingToFinish,
    SignsOfLife,
    StopCommand,
    StopOrder,
)
from sluice.model.observed import GroupReading, Lifecycle, Mode
from sluice.model.planning import ArrivalMemory, FromLedger, History, Memory, QueueSample, TimedLaunch
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Attribute, Excerpt, HandledLetter, Message, QuarantineEntry, Remembered
from sluice.model.timing import SPARE_SAMPLES, Timing
from sluice.ports.errors import NeedsFixError, RefusedError
from sluice.ports.ledger.attempts import ATTEMPTS_KEPT_S
from sluice.ports.ledger.decisions import DECISIONS_KEPT_S
from sluice.ports.ledger.drains import DRAINS_KEPT_S
from sluice.ports.ledger.failure_groups import EMPTY_GROUPS_KEPT_S
from sluice.ports.ledger.jobs import JOBS_KEPT_S
from sluice.ports.ledger.planner_state import LAUNCHES_KEPT
from sluice.ports.ledger.send_claims import SEND_CLAIM_KEPT_S
from sluice.redriving.failure_groups import GROUPS_MAX, OVERFLOW
from tests.integration.contract_worlds import AwsWorld, moto_world
from tests.support.planner_steps import keep_memory
from tests.support.redrive_jobs import redrive_job

AT = 1_767_225_600.0
RECORDS = Path(__file__).parents[1] / "unit" / "records"


world = moto_world


def items(world: AwsWorld) -> dict[str, dict[str, Any]]:
    """Everything in the ledger, by sk."""
    found = world.client("dynamodb").scan(TableName=world.environ["SLUICE_TABLE"])["Items"]
    return {item["sk"]["S"]: item for item in found}


def put_raw(world: AwsWorld, sk: str, data: dict[str, Any]) -> None:
    """Put a record as another version of Sluice, or an operator, may have written it."""
    item = {"pk": {"S": "fleet#orders"}, "sk": {"S": sk}, "data": data}
    world.client("dynamodb").put_item(TableName=world.environ["SLUICE_TABLE"], Item=item)


def drain(state: DrainState, instance_id: str = "i-1") -> Drain:
    """A drain in a state."""
    return Drain("orders", instance_id, state, DrainCause.TERMINATE, AT, Deadline(AT + 900), AT)


def decision(at: float = AT) -> Decision:
    """A decision."""
    return Decision("d1", "orders", at, Mode.ACT, Action.HOLD, 1, 1, 1, (), (), "hold at 1")


# --------------------------------------------------------------------------- the ledger's records


def test_records_live_as_long_as_they_are_of_use(world: AwsWorld) -> None:
    """What is over and done with carries its end; a drain under way, a lease and a memory carry none."""
    ledger = world.ports.ledger
    ledger.decisions.record_all([(decision(), Outcome(AT, OutcomeStatus.UNCHANGED))])
    ledger.drains.keep_drain(drain(DrainState.STOPPING, "i-under-way"))
    ledger.drains.keep_drain(drain(DrainState.RELEASED, "i-released"))
    ledger.attempts.remember("orders", [Remembered("k", HandledLetter("m", 1, AT, AT, False, True, AT, AT))])
    ledger.jobs.keep_job(redrive_job("j", "orders", JobState.DONE, AT, "someone", AT))
    ledger.send_claims.claim_sends("orders", ["m"], AT + 60, AT)
    ledger.send_claims.confirm_sends("orders", ["never-claimed"], AT)
    ledger.leases.acquire("orders", "o", AT + 60, AT)
    keep_memory(ledger, "orders", Memory())
    lives = {sk: float(item["ttl"]["N"]) - AT for sk, item in items(world).items() if "ttl" in item}
    assert lives == {
        "decision#001767225600000#d1": DECISIONS_KEPT_S,
        "drain#i-released": DRAINS_KEPT_S,
        "letter#k#m": ATTEMPTS_KEPT_S,
        "job#j": JOBS_KEPT_S,
        "retry#m": SEND_CLAIM_KEPT_S,
        "retry#never-claimed": SEND_CLAIM_KEPT_S,
    }
    assert all(lives[sk] % 1 == 0 for sk in lives)


def test_drain_lives_on_when_it_is_taken_up_again(world: AwsWorld) -> None:
    """A released drain that is no longer released carries no end."""
    released = world.ports.ledger.drains.keep_drain(drain(DrainState.RELEASED))
    world.ports.ledger.drains.keep_drain(replace(released, state=DrainState.STOPPING))
    assert "ttl" not in items(world)["drain#i-1"]


def test_record_reads_as_json(world: AwsWorld) -> None:
    """An operator who looks into the table finds words, not numbers and blobs."""
    world.ports.ledger.drains.keep_drain(drain(DrainState.STOPPING))
    found = json.loads(items(world)["drain#i-1"]["data"]["S"])
    assert (found["state"], found["cause"], found["deadline"]["at"]) == ("stopping", "terminate", AT + 900)


def test_record_is_read_when_another_version_wrote_it(world: AwsWorld) -> None:
    """Fields that are not known yet are left out, fields that were not known then have their defaults."""
    written = world.ports.ledger.drains.keep_drain(drain(DrainState.STOPPING))
    found = json.loads(items(world)["drain#i-1"]["data"]["S"])
    del found["note"]
    put_raw(world, "drain#i-1", {"S": json.dumps({**found, "of_tomorrow": [1]})})
    assert world.ports.ledger.drains.drain("orders", "i-1") == written


def test_drain_goes_on_when_version_2_began_it(world: AwsWorld) -> None:
    """Its deadline comes back, and that there is nothing to finish: both had fields of their own."""
    nothing = NothingToFinish("it has no unit consumer.service", AT + 3)
    began = replace(
        drain(DrainState.STOPPING),
        deadline=Deadline(AT + 900, AT + 7_200),
        signs=SignsOfLife(AT + 2, 3.0, nothing),
    )
    written = world.ports.ledger.drains.keep_drain(began)
    found = json.loads(items(world)["drain#i-1"]["data"]["S"])
    deadline, nothing_found = found.pop("deadline"), found["signs"].pop("nothing")
    found |= {"deadline_at": deadline["at"], "longest_at": deadline["longest_at"], "nothing": nothing_found}
    put_raw(world, "drain#i-1", {"S": json.dumps({**found, "record_version": 2})})
    assert world.ports.ledger.drains.drain("orders", "i-1") == written


def test_drain_goes_on_when_an_earlier_version_began_it(world: AwsWorld) -> None:
    """A drain under way survives an upgrade: each part is read from the flat record, and written in the new form."""
    text = (RECORDS / "drain_v1.json").read_text()
    put_raw(world, "drain#i-1", {"S": text})
    hook = HookAction("consumers", "sluice-drain", "i-1", "t-1")
    found = world.ports.ledger.drains.drain("orders", "i-1")
    assert found == Drain(
        "orders",
        "i-1",
        DrainState.STOPPING,
        DrainCause.TERMINATE,
        AT,
        Deadline(AT + 900),
        AT + 90,
        action=LifecycleAction(hook, 1_767_225_599.0, "WarmPool"),
        stop=StopCommand("c-1", AT, asked_count=2, unanswered_count=1),
        heartbeats=Heartbeats(AT + 45, 1),
        signs=SignsOfLife(1_767_225_650.0, 7.0),
        note="its consumer was asked to stop by command c-1",
        version=3,
    )
    early = json.loads(text) | {"hook": None, "hook_at": None, "destination": "EC2", "instance_id": "i-2"}
    put_raw(world, "drain#i-2", {"S": json.dumps(early)})
    of_spot = world.ports.ledger.drains.drain("orders", "i-2")
    assert of_spot is not None
    assert of_spot.action is None, "no lifecycle action was known yet"
    put_raw(world, "drain#i-3", {"S": json.dumps(json.loads(text) | {"hook_at": None})})
    undated = world.ports.ledger.drains.drain("orders", "i-3")
    assert undated is not None
    assert undated.action == LifecycleAction(hook, AT, "WarmPool"), "as the drain's own beginning stood for it"


def test_record_that_cannot_be_read_does_not_hide_the_others(world: AwsWorld, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and named with its key where it is asked for by itself."""
    world.ports.ledger.drains.keep_drain(drain(DrainState.STOPPING, "i-2"))
    put_raw(world, "drain#i-1", {"S": '{"state": "asleep"}'})
    assert [d.instance_id for d in world.ports.ledger.drains.all_of("orders")] == ["i-2"]
    assert "fleet#orders drain#i-1 cannot be read" in caplog.text
    with pytest.raises(NeedsFixError, match="fleet#orders drain#i-1 cannot be read as a Drain"):
        world.ports.ledger.drains.drain("orders", "i-1")


@pytest.mark.parametrize(
    "data", [{"S": "{}"}, {"B": b"not compressed"}, {"B": zlib.compress(b"[1]")}], ids=["text", "raw", "list"]
)
def test_memory_is_empty_when_it_cannot_be_read(world: AwsWorld, data: dict[str, Any]) -> None:
    """What was learned can be learned again: a fleet is not stopped by it, and it is reported."""
    put_raw(world, "state", data)
    read = world.ports.ledger.planner_state.memory("orders")
    assert replace(read, from_ledger=FromLedger()) == Memory()
    assert len(read.from_ledger.unread) == 1


def test_memory_is_written_as_far_as_it_changed(world: AwsWorld) -> None:
    """A tick writes what is recent; what was learned is written, and read by another process, only where it is new."""
    ledger = world.ports.ledger
    learned = Memory(learned_at=AT, arrivals=ArrivalMemory(History(60.0, AT, (1.0,) * 1440)))
    keep_memory(ledger, "orders", learned)
    state = items(world)["state"]
    world.client("dynamodb").delete_item(TableName=world.environ["SLUICE_TABLE"], Key=key("orders", "state"))
    later = replace(learned, learned_at=AT + 10.0)
    keep_memory(ledger, "orders", later)
    assert "state" not in items(world), "it was neither written nor read again"
    assert ledger.planner_state.memories(["orders"]) == (later,)
    world.client("dynamodb").put_item(TableName=world.environ["SLUICE_TABLE"], Item=state)
    other = connect(world.environ).ledger
    assert other.planner_state.memories(["orders"]) == (later,)
    known = replace(later, arrivals=ArrivalMemory(History(60.0, AT, (2.0,) * 1440)))
    keep_memory(other, "orders", known)
    assert ledger.planner_state.memories(["orders"]) == (known,), "the digest says that another process wrote it"


def test_memory_takes_few_write_units(world: AwsWorld) -> None:
    """A busy fleet's recent part, with as many samples as are kept, is at most two kilobytes, and an idle one's one."""
    chance = Random(5)
    count = Timing().sample_count
    busy = tuple(
        QueueSample(
            round(AT + 10.0 * n + chance.random(), 3), chance.randrange(900), chance.randrange(90), 9.0, True, 12.5
        )
        for n in range(count - SPARE_SAMPLES)
    )
    idle = tuple(
        QueueSample(round(AT + 10.0 * n + chance.random(), 3), 0.0, 0.0, 0.0, True, 0.0) for n in range(len(busy))
    )
    for name, samples in (("busy", busy), ("idle", idle)):
        keep_memory(world.ports.ledger, name, Memory(learned_at=AT, samples=samples))
    found = world.client("dynamodb").scan(TableName=world.environ["SLUICE_TABLE"])["Items"]
    sizes = {item["pk"]["S"]: len(item["data"]["B"]) + len("fleet#busyrecentpksklearneddata") for item in found}
    assert sizes["fleet#busy"] <= 2 * 1024
    assert sizes["fleet#idle"] <= 1024


def test_launch_that_cannot_be_read_does_not_hide_the_others(world: AwsWorld, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the others keep their numbers; so do they where the memory itself cannot be read."""
    for number in range(3):
        world.ports.ledger.planner_state.note_launch("orders", TimedLaunch(f"i-{number}", AT, AT, AT, AT))
    found = items(world)["state"]
    found["launches"]["L"][1] = {"S": "{}"}
    world.client("dynamodb").put_item(TableName=world.environ["SLUICE_TABLE"], Item=found)
    numbers = {
        launch.instance_id: launch.number
        for launch in world.ports.ledger.planner_state.memory("orders").from_ledger.timed
    }
    assert numbers == {"i-0": 1, "i-2": 3}
    assert "fleet#orders state cannot be read as a TimedLaunch" in caplog.text


def test_launches_stay_bounded_when_two_are_noted_at_once(world: AwsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finds more than it has counted leaves the taking away to whoever added them."""
    ledger, update = world.ports.ledger, Table.update
    others = iter([TimedLaunch("i-other", AT, AT, AT, AT)])

    def meet(table: Table, key: Any, expression: str, values: Any, condition: str | None = None) -> Any:
        if expression.startswith("REMOVE") and (launch := next(others, None)):
            ledger.planner_state.note_launch("orders", launch)
        return update(table, key, expression, values, condition)

    monkeypatch.setattr(Table, "update", meet)
    for number in range(2 * LAUNCHES_KEPT):
        ledger.planner_state.note_launch("orders", TimedLaunch(f"i-{number}", AT, AT, AT, AT))
    there = [json.loads(entry["S"])["instance_id"] for entry in items(world)["state"]["launches"]["L"]]
    assert there == [*(f"i-{number}" for number in range(LAUNCHES_KEPT + 1, 2 * LAUNCHES_KEPT)), "i-other"]


def test_infinite_figure_survives(world: AwsWorld) -> None:
    """A float is kept as it is, whatever it is."""
    endless = replace(drain(DrainState.STOPPING), deadline=Deadline(float("inf")))
    world.ports.ledger.drains.keep_drain(endless)
    assert world.ports.ledger.drains.drain("orders", "i-1") == replace(endless, version=1)


def test_more_decisions_are_read_than_one_page_holds(world: AwsWorld) -> None:
    """DynamoDB answers 1 MB at a time; a day of decisions is more."""
    wide = replace(decision(), sentence="x" * 300_000)
    for number in range(5):
        at = AT + number
        world.ports.ledger.decisions.record_all(
            [(replace(wide, id=f"d{number}", at=at), Outcome(at, OutcomeStatus.UNCHANGED))]
        )
    found = world.ports.ledger.decisions.decisions("orders", 10)
    assert [d.id for d, _ in found] == ["d4", "d3", "d2", "d1", "d0"]


# --------------------------------------------------------------------------- the archive's documents


def test_document_is_json_with_bytes_in_base64(world: AwsWorld) -> None:
    """What is kept can be read, and sent again, without Sluice."""
    letter = Message(
        "m", "body \u20ac", "r", (("b", Attribute("Binary", None, b"\xff")), ("t", Attribute("String", "x")))
    )
    key = world.ports.archive.store("orders", letter)
    bucket = world.environ["SLUICE_BUCKET"]
    found = world.client("s3").get_object(Bucket=bucket, Key=key)
    document = json.loads(found["Body"].read())
    assert found["ContentType"] == "application/json"
    assert (document["format"], document["id"], document["body"]) == (1, "m", "body \u20ac")
    assert document["attributes"] == {
        "b": {"type": "Binary", "binary": base64.b64encode(b"\xff").decode()},
        "t": {"type": "String", "text": "x"},
    }
    assert key == "orders/undated/m.json"


@pytest.mark.parametrize(
    "document",
    [b"", b"\xff", b"[]", b"{}", b'{"id": 1}', b'{"attributes": 7}', b'{"id":"m","body":"b","attributes":{"a":1}}'],
)
def test_loading_is_refused_when_the_document_is_no_message(world: AwsWorld, document: bytes) -> None:
    """Something else under a key is refused by name."""
    world.client("s3").put_object(Bucket=world.environ["SLUICE_BUCKET"], Key="orders/x.json", Body=document)
    with pytest.raises(RefusedError, match=r"orders/x\.json is not a message"):
        world.ports.archive.load("orders/x.json")


# --------------------------------------------------------------------------- Run Command


class FakeSsm:
    """SendCommand and ListCommandInvocations that remember and answer."""

    def __init__(self, *invocations: dict[str, Any]) -> None:
        self.invocations = list(invocations)
        self.sent: dict[str, Any] = {}

    def send_command(self, **request: Any) -> dict[str, Any]:
        """Remember the request."""
        self.sent = request
        return {"Command": {"CommandId": "c-1"}}

    def get_paginator(self, operation: str) -> FakeSsm:
        """The pages of what there is."""
        assert operation == "list_command_invocations"
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        """Answer with what there is, an invocation a page."""
        assert request.pop("Details") is True
        assert request in ({"CommandId": "c-1", "InstanceId": "i-1"}, {"CommandId": "c-1"})
        return [{"CommandInvocations": [invocation]} for invocation in self.invocations]


def instances_on(ssm: FakeSsm) -> SsmInstances:
    """The Instances port over a fake."""
    return SsmInstances(cast("Clients", SimpleNamespace(ssm=ssm)), "sluice")


@pytest.mark.parametrize(
    ("timeout_s", "execution_s"), [(0.5, "1"), (45.2, "46"), (900.0, "900"), (10_000_000.0, "172800")]
)
def test_command_is_held_to_run_commands_bounds(timeout_s: float, execution_s: str) -> None:
    """It may take as long as ours allows, as far as Systems Manager does; it begins within 30 s or never."""
    ssm = FakeSsm()
    assert instances_on(ssm).stop(["i-1", "i-2"], StopOrder(), timeout_s) == "c-1"
    assert ssm.sent["TimeoutSeconds"] == 30
    assert ssm.sent["Parameters"] == {
        "unit": ["consumer.service"], "container": [""], "executionTimeout": [execution_s]
    }  # fmt: skip
    assert ssm.sent["InstanceIds"] == ["i-1", "i-2"]
    assert ssm.sent["DocumentName"] == "sluice-stop"


def test_document_is_given_names_and_no_script() -> None:
    """What it may run is its author's to say; one of the user's takes what the stack's own takes."""
    ssm = FakeSsm()
    order = StopOrder("worker.service", container="worker", document="sluice-stop-worker")
    instances_on(ssm).stop(["i-1"], order, 600.0)
    assert ssm.sent["DocumentName"] == "sluice-stop-worker"
    assert ssm.sent["Parameters"] == {
        "unit": ["worker.service"], "container": ["worker"], "executionTimeout": ["600"]
    }  # fmt: skip


BEGUN = datetime(2026, 11, 24, 14, tzinfo=UTC)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("steps", "status"),
    [
        ([], CommandStatus.PENDING),
        ([{"Status": "InProgress", "ResponseCode": -1}], CommandStatus.PENDING),
        ([{"Status": "InProgress", "ResponseCode": -1, "ResponseStartDateTime": NEVER}], CommandStatus.PENDING),
        ([{"Status": "InProgress", "ResponseCode": -1, "ResponseStartDateTime": BEGUN}], CommandStatus.RUNNING),
    ],
)
def test_command_runs_when_its_step_has_begun(steps: list[dict[str, Any]], status: CommandStatus) -> None:
    """In progress is said of what was sent as well: only the step's own start tells that it began."""
    ssm = FakeSsm({"InstanceId": "i-1", "Status": "InProgress", "CommandPlugins": steps})
    assert instances_on(ssm).command("c-1", "i-1") is status


@pytest.mark.parametrize(
    ("code", "status"), [(137, CommandStatus.KILLED), (5, CommandStatus.MISSING), (1, CommandStatus.FAILED)]
)
def test_failure_is_told_apart_when_the_document_says_how_it_ended(code: int, status: CommandStatus) -> None:
    """The stop document's own exit codes: a consumer that was killed, one that is not there, a stop that failed."""
    steps = [{"Status": "Failed", "ResponseCode": code, "ResponseStartDateTime": BEGUN}]
    ssm = FakeSsm({"InstanceId": "i-1", "Status": "Failed", "StatusDetails": "Failed", "CommandPlugins": steps})
    assert instances_on(ssm).command("c-1", "i-1") is status


def test_output_of_a_stop_is_its_steps_output() -> None:
    """Empty while the command is not listed, and for a step that has printed nothing."""
    steps = [{"Status": "Success", "Output": "sluice-stop unit=a.service"}, {"Status": "Success"}]
    ssm = FakeSsm({"InstanceId": "i-1", "Status": "Success", "CommandPlugins": steps})
    assert instances_on(ssm).stop_output("c-1", "i-1") == "sluice-stop unit=a.service"
    assert instances_on(FakeSsm()).stop_output("c-1", "i-1") == ""


def test_command_is_told_by_instance_over_pages() -> None:
    """One look at all that it was sent to."""
    ssm = FakeSsm({"InstanceId": "i-1", "Status": "Success"}, {"InstanceId": "i-2", "Status": "InProgress"})
    told = instances_on(ssm).commands_of("c-1")
    assert told == {"i-1": CommandStatus.SUCCEEDED, "i-2": CommandStatus.PENDING}


@pytest.mark.parametrize(
    ("status", "details", "folded"),
    [
        ("Pending", "Pending", CommandStatus.PENDING),
        ("InProgress", "In Progress", CommandStatus.PENDING),
        ("Delayed", "Delayed", CommandStatus.PENDING),
        ("Cancelling", "Cancelling", CommandStatus.PENDING),
        ("Success", "Success", CommandStatus.SUCCEEDED),
        ("Failed", "Failed", CommandStatus.FAILED),
        ("Failed", "", CommandStatus.FAILED),
        ("Failed", "Undeliverable", CommandStatus.UNKNOWN),
        ("Failed", "Terminated", CommandStatus.UNKNOWN),
        ("Failed", "Access Denied", CommandStatus.UNKNOWN),
        ("Failed", "Invalid Platform", CommandStatus.UNKNOWN),
        ("TimedOut", "Delivery Timed Out", CommandStatus.UNKNOWN),
        ("TimedOut", "Execution Timed Out", CommandStatus.UNKNOWN),
        ("Cancelled", "Cancelled", CommandStatus.UNKNOWN),
        ("SomethingNew", "Something New", CommandStatus.UNKNOWN),
    ],
)
def test_status_is_folded_to_what_a_drain_needs(status: str, details: str, folded: CommandStatus) -> None:
    """A command that ran and failed is told from one of which nobody knows whether it ran."""
    ssm = FakeSsm({"Status": status, "StatusDetails": details})
    assert instances_on(ssm).command("c-1", "i-1") is folded


# --------------------------------------------------------------------------- fleets, signals, lifecycle


@pytest.mark.parametrize(("state", "on"), [("ALARM", True), ("OK", False), ("INSUFFICIENT_DATA", False)])
def test_composite_alarm_guards_too(state: str, on: bool) -> None:
    """CloudWatch lists composite alarms apart, and only when asked for them."""

    def describe_alarms(
        AlarmNames: list[str],  # noqa: N803 - boto's names
        AlarmTypes: list[str],  # noqa: N803
        MaxRecords: int,  # noqa: N803
    ) -> dict[str, Any]:
        assert (AlarmNames, "CompositeAlarm" in AlarmTypes, MaxRecords) == (["all"], True, 100)
        return {"MetricAlarms": [], "CompositeAlarms": [{"AlarmName": "all", "StateValue": state}]}

    clients = SimpleNamespace(of_ticks=SimpleNamespace(cloudwatch=SimpleNamespace(describe_alarms=describe_alarms)))
    assert CloudWatchSignals(cast("Clients", clients)).alarms_are_on(("all",)) == (on,)


@pytest.mark.parametrize(
    ("aws_state", "folded"),
    [
        ("Pending", Lifecycle.LAUNCHING),
        ("Pending:Wait", Lifecycle.LAUNCHING),
        ("Pending:Proceed", Lifecycle.LAUNCHING),
        ("InService", Lifecycle.IN_SERVICE),
        ("Terminating", Lifecycle.DRAINING),
        ("Terminating:Wait", Lifecycle.DRAINING),
        ("Terminating:Proceed", Lifecycle.DRAINING),
        ("Terminating:Retained", Lifecycle.OUT_OF_SERVICE),
        ("Terminated", Lifecycle.GONE),
        ("Standby", Lifecycle.OUT_OF_SERVICE),
        ("EnteringStandby", Lifecycle.OUT_OF_SERVICE),
        ("Detaching", Lifecycle.OUT_OF_SERVICE),
        ("Detached", Lifecycle.OUT_OF_SERVICE),
        ("Quarantined", Lifecycle.OUT_OF_SERVICE),
        ("Warmed:Pending", Lifecycle.OUT_OF_SERVICE),
        ("Warmed:Stopped", Lifecycle.OUT_OF_SERVICE),
        ("Warmed:Terminating:Wait", Lifecycle.OUT_OF_SERVICE),
        ("SomethingNew", Lifecycle.OUT_OF_SERVICE),
    ],
)
def test_lifecycle_is_folded_to_what_decisions_need(aws_state: str, folded: Lifecycle) -> None:
    """What is not known to launch, work or drain counts for nothing."""
    assert Lifecycle.of(aws_state) is folded


# --------------------------------------------------------------------------- warm pools


class FakeAutoScaling:
    """A group with a warm pool of three pages' length, as AWS tells of it: the group itself names none of the pool."""

    def __init__(self, *, pool: bool) -> None:
        self.pool = pool
        self.asked: list[str] = []

    def member(self, instance_id: str, state: str) -> dict[str, Any]:
        """An instance."""
        return {
            "InstanceId": instance_id,
            "LifecycleState": state,
            "HealthStatus": "Healthy",
            "ProtectedFromScaleIn": False,
        }

    def groups(self) -> dict[str, Any]:
        """The group."""
        found = {
            "AutoScalingGroupName": "group",
            "DesiredCapacity": 1,
            "MinSize": 0,
            "MaxSize": 5,
            "Instances": [self.member("i-1", "InService")],
            "NewInstancesProtectedFromScaleIn": self.pool,
        }
        return {"AutoScalingGroups": [found | ({"WarmPoolConfiguration": {"MinSize": 1}} if self.pool else {})]}

    def describe_scaling_activities(self, **_: Any) -> dict[str, Any]:
        """Launched into the pool at first, and from it since, when another failed to launch into it: newest first."""
        words = (("into", AT + 950, "Failed"), ("from", AT + 900, "Successful"), ("into", AT, "Successful"))
        return {
            "Activities": [
                {
                    "AutoScalingGroupName": "group",
                    "ActivityId": f"{word}-{at}",
                    "Description": f"Launching a new EC2 instance {word} warm pool: i-1",
                    "StartTime": datetime.fromtimestamp(at, UTC),
                    "StatusCode": code,
                }
                for word, at, code in words
            ]
        }

    def get_paginator(self, name: str) -> Any:
        """Of groups, or of the pool's instances."""
        self.asked.append(name)
        if name == "describe_auto_scaling_groups":
            return SimpleNamespace(paginate=lambda **_: (self.groups(),))
        pages = [["i-2", "Warmed:Pending:Wait"], ["i-3", "Warmed:Stopped"], ["i-1", "InService"]]
        return SimpleNamespace(
            paginate=lambda **_: ({"Instances": [self.member(key, state)]} for key, state in pages),
        )


def test_group_is_read_with_its_warm_pool_when_it_has_one() -> None:
    """What goes back to the pool is held there already: without it, a drain would be taken for gone."""
    autoscaling = FakeAutoScaling(pool=True)
    reading = AsgGroup(cast("Clients", SimpleNamespace(autoscaling=autoscaling)), lambda: AT).read("group")
    assert {one.id: one.aws_state for one in reading.instances} == {
        "i-1": "InService",
        "i-2": "Warmed:Pending:Wait",
        "i-3": "Warmed:Stopped",
    }
    assert reading.count(Lifecycle.IN_SERVICE) == 1
    assert reading.instances[0].launched_at == AT + 900, "the launch from the pool, not that into it"
    assert reading.launch_failures == (), "a launch into the pool is none into service"
    assert reading.protects_new


def test_pool_is_not_asked_for_when_the_group_has_none() -> None:
    """It would be a call more for every tick of every fleet."""
    autoscaling = FakeAutoScaling(pool=False)
    reading = AsgGroup(cast("Clients", SimpleNamespace(autoscaling=autoscaling)), lambda: AT).read("group")
    assert [one.id for one in reading.instances] == ["i-1"]
    assert autoscaling.asked == ["describe_auto_scaling_groups"]


def test_pool_is_left_out_of_a_reading_of_all_groups_unless_asked_for() -> None:
    """No instance in a pool counts in a capacity, so that a tick need not pay a call for them."""
    autoscaling = FakeAutoScaling(pool=True)
    group = AsgGroup(cast("Clients", SimpleNamespace(of_ticks=SimpleNamespace(autoscaling=autoscaling))))
    (reading,) = group.read_all(("group",), AT)
    assert isinstance(reading, GroupReading)
    assert [one.id for one in reading.instances] == ["i-1"]
    (reading,) = group.read_all(("group",), AT, warm_pools=True)
    assert isinstance(reading, GroupReading)
    assert [one.id for one in reading.instances] == ["i-1", "i-2", "i-3"]


# --------------------------------------------------------------------------- failure groups


def test_groups_and_reads_are_bounded_when_a_thousand_texts_are_all_different(
    world: AwsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two hundred are made; after that each costs one read, and all groups are counted once an hour at most."""
    calls: Counter[str] = Counter()
    real = botocore.client.BaseClient._make_api_call  # type: ignore[attr-defined]

    def counted(self: Any, operation: str, arguments: Any) -> Any:
        calls[operation] += 1
        return real(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
    ledger = world.ports.ledger
    admitted = [ledger.failure_groups.admit_group("orders", f"text-{n}", "No cause stamped", AT) for n in range(1_000)]
    assert admitted == [True] * GROUPS_MAX + [False] * (1_000 - GROUPS_MAX)
    assert len(items(world)) == GROUPS_MAX + 1, "and the fleet's counts"
    assert (calls["GetItem"], calls["Query"]) == (1_001, 1)
    assert calls["TransactWriteItems"] <= GROUPS_MAX + 2


def test_group_expires_when_it_is_empty_and_stays_when_it_is_not(world: AwsWorld) -> None:
    """DynamoDB takes away what has a time to live: a group has one while nothing of it is in quarantine."""
    ledger, sk = world.ports.ledger, "group#g-1"
    ledger.failure_groups.note_failure("orders", "g-1", "declined", "one", AT)
    assert items(world)[sk]["ttl"] == {"N": str(math.ceil(AT + EMPTY_GROUPS_KEPT_S))}
    ledger.failure_groups.note_failure("orders", "g-1", "declined", "one", AT + 90_000)
    assert items(world)[sk]["ttl"] == {"N": str(math.ceil(AT + 90_000 + EMPTY_GROUPS_KEPT_S))}, "seen again a day later"
    entry = QuarantineEntry("orders", "g-1", "m-1", "key", "declined", AT, None, 3, None, 2, Excerpt("sample"))
    assert ledger.quarantine.quarantine(entry)
    assert "ttl" not in items(world)[sk]
    ledger.failure_groups.note_failure("orders", "g-1", "declined", "one", AT + 200_000)
    assert "ttl" not in items(world)[sk]
    assert ledger.quarantine.remove_entry(entry)
    assert "ttl" in items(world)[sk]


def test_groups_make_room_when_empty_ones_are_past_their_time(world: AwsWorld) -> None:
    """The count does not see what DynamoDB takes away: a full fleet is counted anew, once an hour at most."""
    ledger = world.ports.ledger
    for n in range(GROUPS_MAX):
        ledger.failure_groups.admit_group("orders", f"g-{n}", "declined", AT)
    entry = QuarantineEntry("orders", "g-0", "m-1", "key", "declined", AT, None, 3, None, 2, Excerpt("sample"))
    ledger.quarantine.quarantine(entry)
    ledger.failure_groups.note_failure("orders", OVERFLOW.id, OVERFLOW.words, "one", AT)
    assert not ledger.failure_groups.admit_group("orders", "g-new", "declined", AT + 1)
    later = AT + EMPTY_GROUPS_KEPT_S + max(RECOUNT_S, FULL_KEPT_S)
    assert ledger.failure_groups.admit_group("orders", "g-new", "declined", later)
    assert [group.id for group in ledger.failure_groups.failure_groups("orders")] == ["g-new", "g-0"], (
        "what is in quarantine stays"
    )
