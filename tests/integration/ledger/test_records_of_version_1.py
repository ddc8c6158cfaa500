"""Records as 0.1.0 wrote them, without a version: what was learned and held survives, and nothing is lost unseen.

tests/unit/records/ledger_v1.json has the items of a whole fleet, as DynamoDB's API gives them (bytes in base64).
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sluice.aws.ledger.forms import RECORD_VERSION
from sluice.aws.ledger.keys import message_key
from sluice.model.consumers import UNNAMED, BootState, Consumer, ConsumerStatus, LastReport
from sluice.model.decisions import Action, ReasonCode
from sluice.model.draining import (
    Deadline,
    Drain,
    DrainCause,
    DrainOutcome,
    DrainState,
    Heartbeats,
    HookAction,
    LifecycleAction,
    Retention,
    SignsOfLife,
    StopCommand,
)
from sluice.model.planning import Estimate, Memory, RateMemory, TimedLaunch
from sluice.model.redrive_jobs import JobAction, JobPhase, JobState
from sluice.model.redriving import (
    BatchClaimRecord,
    Claim,
    Excerpt,
    FailureGroup,
    HandledLetter,
    LastRedrive,
    QuarantineEntry,
    Remembered,
)
from sluice.ports.ledger import Ledger
from tests.integration.contract_worlds import AwsWorld, moto_world
from tests.support.planner_steps import keep_memory
from tests.support.redrive_jobs import redrive_job

FLEET = "orders"
AT = 1_767_225_600.25
RECORDS = Path(__file__).parents[2] / "unit" / "records" / "ledger_v1.json"


def items_of_version_1() -> list[dict[str, Any]]:
    """The items, with bytes as boto3 takes them; those of single messages under the keys that ADR 0075 gives them."""
    items: list[dict[str, Any]] = json.loads(RECORDS.read_text(encoding="utf-8"))
    for item in items:
        if "B" in item.get("data", {}):
            item["data"] = {"B": base64.b64decode(item["data"]["B"])}
        if kind_of(item) in {"message", "quarantine", "quarantine-of", "retry"}:
            sk = item["sk"]["S"]
            item.update(message_key(FLEET, sk.rpartition("#")[2], sk))
    return items


def kind_of(item: dict[str, Any]) -> str:
    """What kind of record an item is, by its sort key."""
    return str(item["sk"]["S"]).split("#")[0]


world = moto_world


def put(world: AwsWorld, *items: dict[str, Any]) -> Ledger:
    """Put items into the table as they are; the ledger over it."""
    for item in items:
        world.client("dynamodb").put_item(TableName=world.environ["SLUICE_TABLE"], Item=item)
    return world.ports.ledger


def stored(world: AwsWorld) -> list[dict[str, Any]]:
    """Every item in the table."""
    found: list[dict[str, Any]] = world.client("dynamodb").scan(TableName=world.environ["SLUICE_TABLE"])["Items"]
    return found


def of_fleets(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The fleets' own records, without the indexes over all fleets."""
    return [item for item in items if item["pk"]["S"].startswith("fleet#")]


def a_drain(instance_id: str, state: DrainState, stop: StopCommand, **changes: Any) -> Drain:
    """A drain as it was written with every field."""
    return Drain(
        fleet=FLEET,
        instance_id=instance_id,
        state=state,
        cause=DrainCause.SPOT,
        started_at=AT - 300,
        deadline=Deadline(AT + 600),
        updated_at=AT,
        action=LifecycleAction(HookAction("consumers", "drain", instance_id, "token"), AT - 290, "WarmPool"),
        stop=stop,
        heartbeats=Heartbeats(AT - 30, 4),
        signs=SignsOfLife(AT - 12, 7.0),
        note="asked to stop",
        version=1,
        **changes,
    )


def an_entry(number: int, attributes: tuple[tuple[str, str], ...] = (), **changes: Any) -> QuarantineEntry:
    """A quarantined message as it was written."""
    return QuarantineEntry(
        fleet=FLEET,
        failure_group="cause-1",
        message_id=f"m-{number}",
        key=f"orders/2026/01/01/m-{number}.json",
        cause="card declined",
        at=AT - 2000 + number,
        first_sent_at=AT - 9000,
        attempt=3,
        source="arn:aws:sqs:eu-central-1:123456789012:orders",
        size_bytes=12,
        excerpt=Excerpt('{"order": 1}', attributes),
        **changes,
    )


STOP = StopCommand(asked_at=AT - 280, asked_count=3, unanswered_count=1, failed_count=1, retry_at=AT + 20)
DRAINS = (
    a_drain("i-1", DrainState.STOPPING, replace(STOP, command_id="c-1")),
    a_drain("i-2", DrainState.RETAINED, STOP, retention=Retention(requested=True, since=AT - 5)),
    a_drain("i-3", DrainState.RELEASED, replace(STOP, killed=True), outcome=DrainOutcome.LATE),
    Drain(FLEET, "i-4", DrainState.NOTICED, DrainCause.TERMINATE, AT, Deadline(AT + 900), AT, version=1),
)
CONSUMER = Consumer(
    fleet=FLEET,
    instance_id="i-1",
    boot=BootState.WORKING,
    updated_at=AT,
    launched_at=AT - 100,
    ready_at=AT - 60,
    first_message_at=AT - 50,
    hook=HookAction("consumers", "launch", "i-1", "token"),
    hook_at=AT - 99,
    reports=(LastReport(UNNAMED, ConsumerStatus.BUSY, AT - 1, 2),),
    protected=True,
    measured=True,
    version=1,
)
ENTRIES = (
    an_entry(1, attributes=(("country", "FR"),), expires_at=AT + 86_400),
    an_entry(2, message_group="customer 7"),
)
GROUP = FailureGroup(
    fleet=FLEET,
    id="cause-1",
    cause="card declined",
    count=2,
    seen_count=3,
    first_seen_at=AT - 3000,
    last_seen_at=AT - 1998,
    sample='{"order": 1}',
    version=8,
    hours=((490_895, 3),),
    minutes=((29_453_726, 3),),
    muted_at=AT,
    last_redrive=LastRedrive("job-1", AT - 1000, sent_count=2, returned_count=1),
    failed_retry_count=1,
)
JOB = redrive_job(
    id="job-1",
    fleet=FLEET,
    state=JobState.PAUSED,
    requested_at=AT - 1000,
    requested_by="ada",
    updated_at=AT,
    failure_group="cause-1",
    message_id="m-1",
    message_ids=("m-1", "m-2"),
    cause="card*",
    quarantined_from=AT - 5000,
    quarantined_to=AT,
    attribute=("country", "FR"),
    muted_groups=("cause-9",),
    to="invoices",
    to_queue="priority",
    queue="standard",
    from_dead_letters=True,
    again=True,
    rate_per_s=2.5,
    phase=JobPhase.MOVE,
    cursor="001767223600250#m-1",
    next_at=AT + 30,
    selected_count=9,
    sent_count=5,
    failed_count=1,
    doubtful_count=1,
    returned_count=1,
    stopped_groups=("cause-8",),
    note="paused by ada",
    version=1,
    measured_per_s=80.0,
    handle="handle",
    waiting_count=4,
    actions=(JobAction(AT - 10, "ada", "paused"),),
)


def the_lease(ledger: Ledger) -> object:
    """Whether another planner gets the lease while it is held, and once it has ended."""
    return [ledger.leases.acquire(FLEET, "planner-2", at + 60, at) for at in (AT, AT + 61)]


def the_planner_state(ledger: Ledger) -> object:
    """What was learned, how long launches took, and what was lost."""
    memory = ledger.planner_state.memory(FLEET)
    return memory.learned_at, memory.service_rate.estimate, memory.from_ledger.timed, memory.from_ledger.unread


def the_decisions(ledger: Ledger) -> object:
    """What was decided, and why."""
    found = ledger.decisions.decisions(FLEET, 10)
    return [(one.id, one.action, tuple(reason.code for reason in one.reasons), done.answer) for one, done in found]


def the_claims(ledger: Ledger) -> object:
    """How each message's sending stands."""
    return dict(ledger.send_claims.claims_of(FLEET, ["m-3", "m-4", "m-5", "m-6", "m-9"], AT))


# By the kinds of records that are read: what reads them, and what 0.1.0 had written.
SURVIVORS: dict[tuple[str, ...], tuple[Callable[[Ledger], object], object]] = {
    ("lease",): (the_lease, [False, True]),
    ("state",): (
        the_planner_state,
        (
            AT,
            Estimate(0.5, 60.0, AT),
            tuple(TimedLaunch(f"i-{n}", AT - 100 + n, AT - 60 + n, AT - 50 + n, AT - 49 + n, n) for n in (1, 2)),
            (),
        ),
    ),
    ("decision",): (
        the_decisions,
        [
            ("d3", Action.HOLD, (ReasonCode.COLD_START,), "200"),
            (
                "d2",
                Action.SCALE_IN,
                (
                    ReasonCode.NEED,
                    ReasonCode.BUSY_CAPACITY,
                    ReasonCode.SCALE_IN_FLOOR,
                    ReasonCode.STABILIZATION_WINDOW,
                ),
                "200",
            ),
            ("d1", Action.SCALE_OUT, (ReasonCode.NEED, ReasonCode.GROUP_MAX), "200"),
        ],
    ),
    ("drain",): (lambda ledger: ledger.drains.all_of(FLEET), DRAINS),
    ("consumer",): (lambda ledger: ledger.consumers.consumers(FLEET), (CONSUMER,)),
    ("group",): (lambda ledger: ledger.failure_groups.failure_groups(FLEET), (GROUP,)),
    ("counts",): (lambda ledger: ledger.quarantine.quarantine_size(FLEET), 2),
    ("message",): (lambda ledger: [ledger.quarantine.quarantined_message(FLEET, f"m-{n}") for n in (1, 2)], [*ENTRIES]),
    ("quarantine",): (lambda ledger: ledger.quarantine.quarantined(FLEET), (ENTRIES, None)),
    ("quarantine-of",): (lambda ledger: ledger.quarantine.quarantined(FLEET, "cause-1"), (ENTRIES, None)),
    ("hold",): (lambda ledger: ledger.quarantine.held_in(FLEET, "customer 7"), "cause-1"),
    ("retry", "retries"): (
        the_claims,
        {"m-3": Claim.BUSY, "m-4": Claim.SENT, "m-5": Claim.BUSY, "m-6": Claim.SENT},
    ),
    ("cause",): (lambda ledger: dict(ledger.causes.causes(FLEET, ["m-7", "m-8"])), {"m-7": "card declined"}),
    # A count by all that a message said: nothing has that key any more, and it ends within 14 days.
    ("attempts",): (lambda ledger: ledger.attempts.handled(FLEET, ["k-1"], AT), {"k-1": ()}),
    ("job",): (lambda ledger: ledger.jobs.jobs(FLEET), (JOB,)),
}
UNREAD = {("lease",), ("attempts",)}  # a lease is not read: conditions use it
KINDS = [kind for kinds in SURVIVORS for kind in kinds]


def test_records_of_version_1_are_of_every_kind() -> None:
    """No kind of record goes untested, and none has a version."""
    items = items_of_version_1()
    assert {kind_of(item) for item in items} == set(KINDS)
    assert not any(RECORD_VERSION in item or RECORD_VERSION in item.get("data", {}).get("S", "") for item in items)


@pytest.mark.parametrize("kinds", SURVIVORS, ids=", ".join)
def test_record_survives_when_version_1_wrote_it(
    world: AwsWorld, kinds: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """What was learned or held is read as it was, and nothing is reported as left out."""
    ledger = put(world, *(item for item in items_of_version_1() if kind_of(item) in kinds))
    read, expected = SURVIVORS[kinds]
    assert read(ledger) == expected
    assert caplog.messages == []


def test_failure_group_goes_on_when_version_1_began_it(world: AwsWorld) -> None:
    """Counts are added to those of version 1 in place, and what it muted can be unmuted."""
    ledger = put(world, *(item for item in items_of_version_1() if kind_of(item) == "group"))
    ledger.failure_groups.note_failure(FLEET, "cause-1", "card declined", "{}", AT - 1, again=True)
    ledger.failure_groups.note_returned(FLEET, "cause-1", "job-1")
    (group,) = ledger.failure_groups.failure_groups(FLEET)
    assert (group.seen_count, group.failed_retry_count, group.muted_at) == (4, 2, AT)
    assert group.last_redrive == LastRedrive("job-1", AT - 1000, sent_count=2, returned_count=2)
    unmuted = ledger.failure_groups.mute_group(FLEET, "cause-1", None)
    assert unmuted is not None
    assert unmuted.muted_at is None


def with_unknown_field(item: dict[str, Any]) -> dict[str, Any]:
    """An item as a version that is not known to this one may have written it: with one field more."""
    data = item.get("data", {})
    if "S" in data:
        return item | {"data": {"S": json.dumps(json.loads(data["S"]) | {"surprise": 1})}}
    if "B" in data:
        memory = json.loads(zlib.decompress(data["B"]))
        launches = {"L": [{"S": json.dumps(json.loads(one["S"]) | {"surprise": 1})} for one in item["launches"]["L"]]}
        return item | {
            "data": {"B": zlib.compress(json.dumps(memory | {"surprise": 1}).encode())},
            "launches": launches,
        }
    return item | {"surprise": {"N": "1"}}


@pytest.mark.parametrize("kinds", [kinds for kinds in SURVIVORS if kinds not in UNREAD], ids=", ".join)
def test_field_is_reported_when_it_is_not_known(
    world: AwsWorld, kinds: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """It is named in the log, with the record's key, and all else is read."""
    ledger = put(world, *(with_unknown_field(item) for item in items_of_version_1() if kind_of(item) in kinds))
    read, expected = SURVIVORS[kinds]
    found = read(ledger)
    if kinds == ("state",):
        assert isinstance(found, tuple)
        *rest, unread = found
        assert (*rest, ()) == expected
        assert unread == ("field surprise of the planner's memory is not known and was left out",)
    else:
        assert found == expected
    for kind in kinds:
        record = re.compile(rf"fleet#orders(#q\d\d)? {kind}\b.* surprise of ")
        assert any(record.search(line) for line in caplog.messages), kind


def test_version_is_reported_when_it_is_later(world: AwsWorld, caplog: pytest.LogCaptureFixture) -> None:
    """After a return to an earlier version of Sluice, records of the later one are read as far as they are known."""
    written = world.ports.ledger.drains.keep_drain(replace(DRAINS[0], version=0))
    (item,) = of_fleets(stored(world))
    later = item | {"data": {"S": json.dumps(json.loads(item["data"]["S"]) | {RECORD_VERSION: 99})}}
    assert put(world, later).drains.drain(FLEET, "i-1") == written
    (line,) = caplog.messages
    assert "fleet#orders drain#i-1" in line
    assert "of version 99" in line


def test_report_is_one_line_when_many_records_are_alike(world: AwsWorld, caplog: pytest.LogCaptureFixture) -> None:
    """A thousand records of another version do not fill the log."""
    ledger = put(world, *(with_unknown_field(item) for item in items_of_version_1() if kind_of(item) == "drain"))
    assert len(ledger.drains.all_of(FLEET)) == 4
    (line,) = caplog.messages
    assert line.startswith("ledger record fleet#orders drain#i-1 (and 3 more alike): field surprise of the drain ")


def version_of(item: dict[str, Any]) -> int | None:
    """The version that an item carries: as an attribute, or in its JSON."""
    data = item.get("data", {})
    text = zlib.decompress(data["B"]) if "B" in data else data.get("S")
    attribute = item.get(RECORD_VERSION, {}).get("N")
    return int(attribute) if attribute else json.loads(text or "{}").get(RECORD_VERSION)


def test_records_carry_a_version_when_they_are_written(world: AwsWorld) -> None:
    """Every kind that 0.1.0 wrote without one is written with one now."""
    ledger = world.ports.ledger
    ledger.leases.acquire(FLEET, "planner-1", AT + 60, AT)
    keep_memory(ledger, FLEET, Memory(service_rate=RateMemory(Estimate(0.5, 60.0, AT))))
    ledger.planner_state.note_launch(FLEET, TimedLaunch("i-1", AT, AT, AT, AT))
    (old,) = [item for item in items_of_version_1() if item["sk"]["S"].endswith("#d1")]
    decision, outcome = put(world, old).decisions.decisions(FLEET, 1)[0]
    ledger.decisions.record_all([(decision, outcome)])
    ledger.drains.keep_drain(Drain(FLEET, "i-4", DrainState.NOTICED, DrainCause.TERMINATE, AT, Deadline(AT + 900), AT))
    ledger.consumers.keep_consumer(Consumer(FLEET, "i-1", BootState.BOOTING, AT))
    ledger.failure_groups.admit_group(FLEET, "cause-2", "no stock", AT)
    ledger.failure_groups.note_failure(FLEET, "cause-3", "no street", "{}", AT)
    for entry in ENTRIES:
        ledger.quarantine.quarantine(entry)
    ledger.send_claims.claim_sends(FLEET, ["m-3"], AT + 60, AT)
    ledger.send_claims.confirm_sends(FLEET, ["m-4"], AT)
    ledger.send_claims.record_batch_claim(BatchClaimRecord(FLEET, "c-1", AT, AT + 60, ("m-5",)))
    ledger.causes.keep_cause(FLEET, "m-7", "card declined", AT)
    ledger.attempts.remember(FLEET, [Remembered("k-1", HandledLetter("m-9", 1, AT, AT, True, True, AT, AT))])
    ledger.jobs.keep_job(redrive_job("job-2", FLEET, JobState.RUNNING, AT, "ada", AT))
    found = [item for item in of_fleets(stored(world)) if kind_of(item) not in {"recent", "letter"}]  # 0.1.0 had none
    assert {kind_of(item) for item in found} == set(KINDS) - {"attempts"}
    assert [item["sk"]["S"] for item in found if version_of(item) is None] == []
    (state,) = [item for item in found if kind_of(item) == "state"]
    assert all(RECORD_VERSION in json.loads(one["S"]) for one in state["launches"]["L"])
