"""The redriver's handler: every event of events/, over ports in memory and over AWS as moto plays it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import botocore.client
import moto
import pytest

from functions.operator import app as operator_app
from functions.redriver import app
from sluice.aws import connect
from sluice.config.fleet import Fleet
from sluice.memory import Call, Fault, MemoryPorts, When, faulty_ports, memory_ports, queue_url
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Excerpt, Message, QuarantineEntry
from sluice.ports.errors import NeedsFixError, TryLaterError
from sluice.ports.stack import Ports
from sluice.redriving.commands import ANSWER_S
from sluice.redriving.context import GRACE_S, MARGIN_S, RedriveInvocation
from sluice.redriving.message_copy import first_sent_at
from sluice.redriving.payloads import read_record
from sluice.telemetry import Record
from tests.support.redrive_chains import go_on
from tests.support.redrive_worlds import letter, polled, text
from tests.support.widget_html import parse

EVENTS = Path(__file__).parents[2] / "events"
NOW = 1_795_510_900.0  # just after the dead letters of events/ were received
INVOCATION_S = 30.0
OPERATOR_ARN = "arn:aws:lambda:eu-central-1:000000000000:function:sluice-operator"
GROUP = json.loads((EVENTS / "operator-redrive-group.json").read_text())["redrive"]["failure_group"]
MESSAGE_ID = json.loads((EVENTS / "operator-redrive-message.json").read_text())["redrive"]["message_id"]
BATCHES = sorted(path.stem for path in EVENTS.glob("redriver-dead-letters-*.json"))


def event(name: str) -> dict[str, Any]:
    """A payload of events/, moved to the region that queues in memory are in."""
    loaded: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_text().replace("eu-central-1", "local"))
    return loaded


def a_fleet(name: str = "orders", suffix: str = "", **redrive: Any) -> Fleet:
    """A fleet with the queues that the events name."""
    return Fleet(
        name=name,
        queue=queue_url(f"{name}{suffix}"),
        dead_letter_queue=queue_url(f"orders-dead-letters{suffix}"),
        group=f"{name}-consumers",
        target_wait_s=60,
        redrive={"canary_wait_s": 0.0, **redrive},
    )


@dataclass
class World:
    """The stack in memory, and the clock that its invocations go by."""

    fleet: Fleet = field(default_factory=a_fleet)
    now: float = NOW
    invocations: int = 0
    records: list[Record] = field(default_factory=list)
    ports: MemoryPorts = field(init=False)

    def __post_init__(self) -> None:
        self.ports = memory_ports(lambda: self.now, [self.fleet])

    def respond(self, asked: object, ports: Ports | None = None, name: str | None = None) -> Any:
        """One invocation; jobs that an operator asks for then go on in their chain for some seconds."""
        self.invocations += 1
        invocation = RedriveInvocation(
            name=name or f"invocation-{self.invocations}",
            until=self.now + INVOCATION_S + GRACE_S,
            stop_at=self.now + INVOCATION_S - MARGIN_S,
            uniform=lambda: 0.5,
        )
        if isinstance(asked, dict) and {"Records", "source", "step"}.isdisjoint(asked):
            operator = operator_app.service(ports or self.ports, lambda: self.now, invocation)
            answered = operator_app.respond(asked, operator, OPERATOR_ARN)
            self.records += operator.records
            self.go_on(ports)
            return self.latest(answered)
        redriver = app.service(ports or self.ports, lambda: self.now, invocation)
        if isinstance(asked, dict) and asked.get("Records") and asked["Records"][0].get("eventSource") == "aws:sqs":
            asked = polled(self.ports.queue, asked)
        told = redriver.respond(asked)
        self.records += redriver.records
        return told

    def go_on(self, ports: Ports | None = None, within_s: float = ANSWER_S) -> None:
        """What the jobs' queue hands over within some seconds."""

        def move_clock(at: float) -> None:
            self.now = at

        go_on(self.ports.work, lambda: self.now, move_clock, lambda event: self.respond(event, ports), within_s)

    def latest(self, answered: Any) -> Any:
        """An answer with its job as it stands now; any other answer as it is."""
        if not isinstance(answered, dict) or "job" not in answered:
            return answered
        asked = {"status": {"fleet": answered["job"]["fleet"], "job_id": answered["job"]["id"]}}
        invocation = RedriveInvocation("status", self.now + 1, self.now + 1, lambda: 0.5)
        return operator_app.service(self.ports, lambda: self.now, invocation).answer(asked)

    def quarantine(self, *ids: str, group: str = GROUP, cause: str = "UnknownItem: sku-<n>") -> None:
        """Put messages into quarantine."""
        for message_id in ids:
            message = letter(f"body of {message_id}", id=message_id)
            key = self.ports.archive.store(self.fleet.name, message)
            entry = QuarantineEntry(
                self.fleet.name, group, message_id, key, cause, self.now - 10, None, 3, None, 2, Excerpt("sample")
            )
            assert self.ports.ledger.quarantine.quarantine(entry)

    def sent(self, name: str = "orders", suffix: str = "") -> tuple[Message, ...]:
        """What is in a fleet's queue."""
        return self.ports.queue.messages(queue_url(f"{name}{suffix}"))

    def counted(self, metric: str) -> float:
        """The sum of a metric so far."""
        return sum(value for _, name, _, value in self.records if name == metric)


@pytest.fixture
def world() -> World:
    """One fleet, nothing dead yet."""
    return World()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[StringIO]:
    """What the redriver logs."""
    written = StringIO()
    monkeypatch.setattr(app.logger.registered_handler, "stream", written)
    level = app.logger.log_level
    app.logger.setLevel("INFO")
    yield written
    app.logger.setLevel(level)


def test_dead_letters_stay_in_their_queue_when_the_fleets_document_was_broken(world: World) -> None:
    """The last usable version of a document is for draining alone."""
    batch = event(BATCHES[0])
    world.ports.fleets.put(world.fleet.name, "broken")
    answered = world.respond(batch)
    assert [failure["itemIdentifier"] for failure in answered["batchItemFailures"]] == [
        record["messageId"] for record in batch["Records"]
    ]
    assert world.sent() == ()


def failing(ports: MemoryPorts, method: str, error: Exception) -> Ports:
    """The ports, a method of which always fails."""
    return faulty_ports(ports, lambda call: Fault(When.BEFORE, error) if call.method == method else None)


# --------------------------------------------------------------------------- dead letters


@pytest.mark.parametrize("name", BATCHES)
def test_batch_is_sent_back_whole_when_each_message_may_be_retried(name: str) -> None:
    """Text, binary and FIFO dead letters arrive in their queue with all they had; FIFO ones go one by one."""
    batch = event(name)
    world = World(a_fleet(suffix=".fifo" if "fifo" in name else "", base_delay_s=0))
    held = [{"itemIdentifier": record["messageId"]} for record in batch["Records"] if "fifo" in name]
    assert world.respond(batch) == {"batchItemFailures": held}
    suffix = ".fifo" if "fifo" in name else ""
    received = [read_record(record) for record in batch["Records"]]
    received = received[:1] if suffix else received  # both are of one FIFO message group
    for message, dead in zip(world.sent(suffix=suffix), received, strict=True):
        assert (message.body, message.message_group) == (dead.body, dead.message_group)
        own = {name: value for name, value in dead.attributes if not name.startswith("sluice.")}
        assert own.items() <= dict(message.attributes).items()
        assert message.attribute("sluice.attempts") == str(1 + int(dead.attribute("sluice.attempts") or 0))
        assert first_sent_at(message, None) == first_sent_at(dead, None)
    assert world.counted("Retried") == len(received)


def test_batch_keeps_binary_attributes_byte_by_byte_when_it_is_sent_back(world: World) -> None:
    """Base64 of the event becomes the bytes that the producer sent."""
    world.respond(event("redriver-dead-letters-binary"))
    (message,) = world.sent()
    attributes = dict(message.attributes)
    assert (attributes["invoice"].type, attributes["invoice"].binary) == ("Binary.pdf", bytes(range(16)))
    assert (attributes["weight"].type, attributes["weight"].text) == ("Number.kg", "1.250")
    assert attributes["shop"].text == "Zürich \N{EN DASH} 東京"


@pytest.mark.parametrize("name", BATCHES)
def test_batch_is_quarantined_by_cause_when_retries_are_off(name: str) -> None:
    """Each is kept whole and counted in its failure group; delivered once more, nothing changes."""
    batch = event(name)
    world = World(a_fleet(suffix=".fifo" if "fifo" in name else "", max_retries=0))
    for _ in range(2):
        assert world.respond(batch) == {"batchItemFailures": []}
        entries = world.ports.ledger.quarantine.quarantined("orders")[0]
        received = [read_record(record) for record in batch["Records"]]
        assert [entry.message_id for entry in entries] == [message.id for message in received]
        for entry, message in zip(entries, received, strict=True):
            kept = world.ports.archive.load(entry.key)
            assert (kept.body, kept.attributes) == (message.body, message.attributes)
        groups = world.ports.ledger.failure_groups.failure_groups("orders")
        assert sum(group.count for group in groups) == len(received)
    assert world.counted("Quarantined") == len(received)


def test_batch_names_just_what_failed_when_the_archive_fails_for_one(world: World) -> None:
    """Lambda deletes the others."""
    world = World(a_fleet(max_retries=0))
    batch = event("redriver-dead-letters-text")
    first = batch["Records"][0]["messageId"]

    def decide(call: Call) -> Fault | None:
        failed = call.method == "store" and call.args[1].id == first
        return Fault(When.BEFORE, TryLaterError("slow down")) if failed else None

    answered = world.respond(batch, faulty_ports(world.ports, decide))
    assert answered == {"batchItemFailures": [{"itemIdentifier": first}]}
    assert len(world.ports.ledger.quarantine.quarantined("orders")[0]) == len(batch["Records"]) - 1


@pytest.mark.parametrize("method", ["load", "facts"])
def test_batch_stays_whole_when_the_fleets_or_the_queue_cannot_be_read(method: str, world: World) -> None:
    """Nothing is judged without knowing where it belongs; nothing is lost."""
    batch = event("redriver-dead-letters-text")
    answered = world.respond(batch, failing(world.ports, method, NeedsFixError("grant it")))
    ids = [record["messageId"] for record in batch["Records"]]
    assert answered == {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in ids]}


def test_batch_stays_in_its_queue_when_no_fleet_has_it(world: World, log: StringIO) -> None:
    """A mapping that nobody asked for is said, with what to do about it."""
    batch = json.loads(json.dumps(event("redriver-dead-letters-text")).replace("orders-dead-letters", "others-dead"))
    assert len(world.respond(batch)["batchItemFailures"]) == len(batch["Records"])
    assert world.sent() == ()
    assert "name the queue as dead_letter_queue in a fleet's document" in log.getvalue()


def test_batch_goes_on_with_the_others_when_one_record_is_malformed(world: World) -> None:
    """A record that is no message is named as failed, so that it is not deleted."""
    batch = event("redriver-dead-letters-text")
    batch["Records"][0] = {"messageId": "m-0", "eventSource": "aws:sqs"}
    assert world.respond(batch) == {"batchItemFailures": [{"itemIdentifier": "m-0"}]}
    assert len(world.sent()) == len(batch["Records"]) - 1


def test_batch_is_sorted_out_by_source_when_two_fleets_share_a_dead_letter_queue(world: World) -> None:
    """Each goes back to the queue it came from, and what came from neither is quarantined."""
    returns = a_fleet("returns")
    world.ports.queue.create(returns.queue)
    world.ports.fleets.put("returns", returns)
    batch = event("redriver-dead-letters-binary")
    records = []
    for number, source in enumerate(("orders", "returns", "strangers")):
        record = json.loads(json.dumps(batch["Records"][0]))
        record["messageId"] = f"m-{number}"
        record["attributes"]["DeadLetterQueueSourceArn"] = f"arn:aws:sqs:local:000000000000:{source}"
        records.append(record)
    assert world.respond({"Records": records}) == {"batchItemFailures": []}
    assert (len(world.sent("orders")), len(world.sent("returns"))) == (1, 1)
    (entry,) = world.ports.ledger.quarantine.quarantined("orders")[0]
    assert entry.message_id == "m-2"


# --------------------------------------------------------------------------- requests


def test_redrive_all_sends_everything_when_asked(world: World) -> None:
    """The whole quarantine goes back, and who asked is on record."""
    world.quarantine(MESSAGE_ID, "m-2")
    world.quarantine("m-3", group="other-12ab", cause="Other: it is")
    answered = world.respond(event("operator-redrive-all"))["job"]
    assert (answered["state"], answered["sent_count"], answered["requested_by"]) == ("done", 3, "an invoke")
    assert len(world.sent()) == 3
    assert world.ports.ledger.quarantine.quarantined("orders")[0] == ()
    assert world.counted("Redriven") == 3
    (job,) = world.ports.ledger.jobs.jobs("orders")
    assert (job.state, job.pacing.rate_per_s, job.requested_by) == (JobState.DONE, 10, "an invoke")


def test_redrive_group_sends_that_group_alone_when_asked(world: World) -> None:
    """The others stay."""
    world.quarantine("m-1", "m-2")
    world.quarantine("m-3", group="other-12ab")
    answered = world.respond(event("operator-redrive-group"))["job"]
    assert (answered["sent_count"], answered["failure_group"]) == (2, GROUP)
    group = world.ports.ledger.failure_groups.failure_group("orders", GROUP)
    assert group is not None
    assert answered["failure_group_cause"] == group.cause
    assert [entry.message_id for entry in world.ports.ledger.quarantine.quarantined("orders")[0]] == ["m-3"]


def test_redrive_message_sends_that_message_alone_when_asked(world: World) -> None:
    """One message, by its id."""
    world.quarantine("m-1", MESSAGE_ID)
    assert world.respond(event("operator-redrive-message"))["job"]["sent_count"] == 1
    assert [message.body for message in world.sent()] == [f"body of {MESSAGE_ID}"]


def test_redrive_dry_run_counts_and_writes_nothing_when_asked(world: World) -> None:
    """A dry run reads alone."""
    world.quarantine("m-1", "m-2")
    calls: list[str] = []

    def note(call: Call) -> Fault | None:
        calls.append(call.method)
        return None

    answered = world.respond(event("operator-redrive-dry-run"), faulty_ports(world.ports, note))
    assert answered["dry_run"] is True
    assert (answered["selected_count"], answered["rate_per_s"]) == (2, 10.0)
    assert [(group["failure_group"], group["count"]) for group in answered["groups"]] == [(GROUP, 2)]
    assert json.loads(json.dumps(answered)) == answered
    assert set(calls) <= {"load", "failure_groups"}
    assert world.ports.ledger.jobs.jobs("orders") == ()


@pytest.mark.parametrize(
    ("asked", "problems"),
    [
        ({}, ["redrive.fleet: is required"]),
        ({"fleet": "orders"}, ["name one of all (true), failure_group, message_id and message_ids"]),
        ({"fleet": "orders", "all": True, "message_id": "m"}, ["name one of all"]),
        ({"fleet": "orders", "all": True, "rate_per_s": 0}, ["redrive.rate_per_s: input should be greater"]),
        (
            {"fleet": "orders", "all": True, "rate_per_s": "fast"},
            ["redrive.rate_per_s: input should be a valid number"],
        ),
        ({"fleet": "orders", "all": True, "dryrun": True}, ["redrive.dryrun: is not a field of a request"]),
        ({"fleet": "orders", "all": "perhaps", "from": "x"}, ["redrive.all: ", "redrive.from: "]),
        ({"fleet": "orders", "failure_group": "g", "from": "dead-letter-queue"}, ["a queue cannot be searched"]),
        ({"fleet": "nobody", "all": True}, ["fleet: there is no fleet nobody; there is orders"]),
        ({"fleet": "broken", "all": True}, ["fleet: the document of broken cannot be used", "target_wait_s"]),
        ({"fleet": "orders", "all": True}, ["nothing is in fleet orders's quarantine"]),
        ({"fleet": "orders", "failure_group": "none"}, ["failure_group: fleet orders has no none"]),
        ({"fleet": "orders", "message_id": "none"}, ["message_id: no message none"]),
        ({"fleet": "orders", "all": True, "from": "dead-letter-queue"}, ["redrive.mode auto"]),
        ("all", ["redrive: "]),
        (None, ["redrive: "]),
    ],
)
def test_redrive_answers_what_would_be_right_when_a_request_is_wrong(
    asked: object, problems: list[str], world: World
) -> None:
    """A mistake is answered by field, raises nothing and begins nothing."""
    world.ports.fleets.put("broken", {"queue": queue_url("broken"), "group": "g"})
    answered = world.respond({"redrive": asked})
    assert list(answered) == ["error"]
    for problem in problems:
        assert problem in answered["error"]
    assert world.ports.ledger.jobs.jobs("orders") == ()


def test_redrive_names_what_to_grant_when_aws_refuses(world: World) -> None:
    """A missing permission is a sentence in the answer."""
    world.quarantine("m-1")
    ports = failing(world.ports, "keep_job", NeedsFixError("table sluice: grant dynamodb:PutItem"))
    assert world.respond(event("operator-redrive-all"), ports) == {"error": "table sluice: grant dynamodb:PutItem"}


def test_redrive_begins_one_job_when_a_request_is_repeated(world: World) -> None:
    """A button pressed twice, and an invocation that Lambda repeats, send nothing twice."""
    world = World(a_fleet(canary_count=1, canary_wait_s=300))
    world.quarantine("m-1", "m-2")
    first = world.respond(event("operator-redrive-all"), name="request-1")
    assert first["job"]["state"] == "running"
    for name in ("request-1", "request-2"):
        assert (
            "job request-1 is sending some of these already"
            in world.respond(event("operator-redrive-all"), name=name)["error"]
        )
    assert len(world.sent()) == 1


def test_redrive_goes_on_by_steps_of_its_chain_when_it_does_not_end_within_a_request(world: World) -> None:
    """A request answers soon; messages of the jobs' queue send the rest, at the job's rate, and wait for no minute."""
    world.quarantine(*(f"m-{i}" for i in range(60)))
    answered = world.respond({"redrive": {"fleet": "orders", "all": True, "rate_per_s": 2}})
    assert answered["job"]["state"] == "running"
    assert world.now - NOW <= ANSWER_S
    world.go_on(within_s=120)
    (job,) = world.ports.ledger.jobs.jobs("orders")
    assert (job.state, job.progress.sent_count, len(world.sent())) == (JobState.DONE, 60, 60)
    assert job.updated_at - NOW == 60 / 2 - 1
    assert world.counted("Redriven") == 60
    assert world.ports.ledger.chains.chains("jobs") == ()


def test_redrive_goes_on_within_a_minute_when_its_chain_was_lost(world: World) -> None:
    """The schedule makes a chain for running jobs that have none."""
    world = World(a_fleet(canary_count=1, canary_wait_s=30))
    world.quarantine("m-1", "m-2")
    world.respond(event("operator-redrive-all"))
    world.ports.work.messages.clear()
    (chain,) = world.ports.ledger.chains.chains("jobs")
    assert world.ports.ledger.chains.end(chain)
    world.now += 60
    assert world.respond(event("redriver-minute")) == {"chains_made": ["jobs/orders"]}
    world.go_on(within_s=1)
    (job,) = world.ports.ledger.jobs.jobs("orders")
    assert (job.state, len(world.sent())) == (JobState.WATCHING, 2)
    assert world.respond(event("redriver-minute")) == {"chains_made": []}


def test_redrive_begins_although_its_chain_could_not_be_made(world: World) -> None:
    """The job is on record; the request is answered with it, and the next minute makes its chain."""
    world.quarantine("m-1")
    answered = world.respond(event("operator-redrive-all"), failing(world.ports, "start", TryLaterError("slow down")))
    assert (answered["job"]["state"], world.sent()) == ("running", ())
    world.respond(event("redriver-minute"))
    world.go_on()
    assert len(world.sent()) == 1


def test_second_redrive_begins_at_once_when_the_first_one_waits(world: World) -> None:
    """The chain is brought forward: its function goes on now, and not when the first job is due."""
    world = World(a_fleet(canary_count=1, canary_wait_s=300))
    world.quarantine("m-1", "m-2")
    world.quarantine("m-3", group="other", cause="Other: it is")
    world.respond(event("operator-redrive-group"))
    world.go_on()
    began_at = world.now
    asked = {"redrive": {"fleet": "orders", "failure_group": "other"}}
    assert world.respond(asked)["job"]["state"] == "watching"
    (message,) = [one for one in world.sent() if one.body == "body of m-3"]
    assert (message.first_sent_at or 0) - began_at < 2


def test_jobs_wait_for_their_fleet_when_its_document_is_broken(world: World, log: StringIO) -> None:
    """They are looked at again each minute, and go on with the document."""
    world.quarantine(*(f"m-{i}" for i in range(30)))
    world.respond({"redrive": {"fleet": "orders", "all": True, "rate_per_s": 1}})
    world.ports.fleets.put("orders", "broken")
    world.go_on(within_s=300)
    assert "redrive jobs wait for their fleet's document" in log.getvalue()
    assert len(world.sent()) < 30
    world.ports.fleets.put("orders", world.fleet)
    world.go_on(within_s=120)
    assert len(world.sent()) == 30


def test_stop_ends_a_job_when_asked(world: World) -> None:
    """What was sent stays sent; the rest stays in quarantine, and who stopped it is said."""
    world = World(a_fleet(canary_count=1, canary_wait_s=300))
    world.quarantine("m-1", "m-2")
    job_id = world.respond(event("operator-redrive-all"))["job"]["id"]
    stop = {"stop": {"fleet": "orders", "job_id": job_id, "requested_by": "Ada"}}
    assert world.respond(stop)["job"]["state"] == "stopped"
    world.now += 600
    world.go_on(within_s=10)
    assert world.respond(event("redriver-minute")) == {"chains_made": []}
    (job,) = world.ports.ledger.jobs.jobs("orders")
    assert (job.note, len(world.sent())) == ("Stopped by Ada.", 1)
    assert "no job none-such" in world.respond({"stop": {"fleet": "orders", "job_id": "none-such"}})["error"]
    assert world.respond({"stop": {"fleet": "orders"}}) == {"error": "stop.job_id: is required"}


# --------------------------------------------------------------------------- the schedule, and what is none of ours


def test_size_of_the_quarantine_is_said_when_it_changes(world: World) -> None:
    """After dead letters were quarantined, and after some were sent back: never by a call for each fleet and minute."""
    world = World(a_fleet(max_retries=0))
    batch = event(BATCHES[0])
    world.respond(batch)
    size = len(batch["Records"])
    assert [value for _, name, _, value in world.records if name == "QuarantineSize"] == [size]
    world.records.clear()
    world.now += 1
    world.respond(event("operator-redrive-all"))
    assert [value for _, name, _, value in world.records if name == "QuarantineSize"][-1] == 0


def test_minute_asks_of_fleets_that_take_dead_letters_as_they_come_one_count_in_their_turn(world: World) -> None:
    """A fleet has one turn in ten minutes, in which nothing is received where no dead letter waits."""
    for number in range(50):
        fleet = a_fleet(f"fleet-{number}")
        fleet = fleet.model_copy(update={"dead_letter_queue": queue_url(f"fleet-{number}-dead")})
        world.ports.fleets.put(fleet.name, fleet)
        for url in (fleet.queue, fleet.dead_letter_queue):
            world.ports.queue.create(url or "")
    calls: list[str] = []

    def note(call: Call) -> Fault | None:
        calls.append(call.method)
        return None

    for _ in range(10):
        assert world.respond(event("redriver-minute"), faulty_ports(world.ports, note)) == {"chains_made": []}
        world.now += 60
    assert calls.count("read") == 51  # the world has a fleet of its own
    assert calls.count("facts") <= 2 * 51
    assert set(calls) == {"running_jobs", "load", "facts", "read"}


def test_minute_notes_a_dead_letter_queue_that_moves_its_messages_on(world: World) -> None:
    """A deployment cannot see what somebody changes later: a notice names the fleet, in either mode."""
    dead = world.fleet.dead_letter_queue or ""
    further = queue_url("further")
    world.ports.queue.create(further)
    world.ports.queue.create(dead, dead_letter=further)
    for _ in range(10):
        world.respond(event("redriver-minute"))
        world.now += 60
    assert [fleet for fleet, name, _, _ in world.records if name == "DeadLettersMoveOn"] == [world.fleet.name]


def test_minute_checks_all_waiting_dead_letters_in_ten_minutes(world: World) -> None:
    """Each fleet in manual mode has its turn; what a queue is, is asked once for all of them."""
    for number in range(20):
        fleet = a_fleet(f"manual-{number}", mode="manual")
        fleet = fleet.model_copy(update={"dead_letter_queue": queue_url(f"manual-{number}-dead")})
        world.ports.fleets.put(fleet.name, fleet)
        for url in (fleet.queue, fleet.dead_letter_queue):
            world.ports.queue.create(url or "")
    received: list[str] = []

    def note(call: Call) -> Fault | None:
        if call.method == "receive":
            received.append(call.args[0])
        return None

    for _ in range(10):
        world.respond(event("redriver-minute"), faulty_ports(world.ports, note))
        world.now += 60
    assert sorted(received) == sorted(queue_url(f"manual-{number}-dead") for number in range(20))


def test_minute_ends_in_time_when_there_are_too_many_to_check(world: World, log: StringIO) -> None:
    """It begins with another fleet each time, and says how many were left."""
    for number in range(20):
        world.ports.fleets.put(f"manual-{number}", a_fleet(f"manual-{number}", mode="manual", quarantine_before_s=60))

    def slowly(_: Call) -> Fault | None:
        world.now += 5
        return None

    began_at = world.now
    world.respond(event("redriver-minute"), faulty_ports(world.ports, slowly))
    assert world.now - began_at < INVOCATION_S
    assert "there was no time to check the waiting dead letters of all fleets" in log.getvalue()


@pytest.mark.parametrize(
    "strange",
    [
        {},
        [],
        None,
        "text",
        {"Records": []},
        {"Records": [{"eventSource": "aws:s3", "body": "secret"}]},
        {"Records": "many"},
        {"source": "aws.autoscaling", "detail-type": "EC2 Instance-terminate Lifecycle Action", "detail": {}},
        {"describe": True},
        *(json.loads(path.read_text()) for path in sorted(EVENTS.glob("operator-*.json"))),
    ],
)
def test_event_is_refused_and_said_when_aws_does_not_send_it(strange: object, world: World, log: StringIO) -> None:
    """Nothing is raised, which Lambda would repeat, and nothing is done."""
    invocation = RedriveInvocation("one", 1, 1, lambda: 0.5)
    answered = app.service(world.ports, lambda: world.now, invocation).respond(strange)
    assert answered["error"].startswith("event: must be an SQS batch")
    line = log.getvalue()
    assert "refused an event that AWS does not send" in line
    assert "secret" not in line


# --------------------------------------------------------------------------- the widget's button


def test_button_answers_html_when_the_widget_calls(world: World) -> None:
    """The same request from the widget, answered as a page that says how far it is."""
    world.quarantine("m-1", "m-2")
    page = parse(world.respond(event("operator-widget-button")))
    assert page.problems == []
    assert "2 of 2 messages sent" in page.text
    assert "requested by the widget" in page.text
    (job,) = world.ports.ledger.jobs.jobs("orders")
    assert job.requested_by == "the widget"


def test_button_offers_the_redrive_when_the_widget_asks_for_a_dry_run(world: World) -> None:
    """What would be sent is said, and one press sends just that."""
    world.quarantine("m-1", "m-2", cause="<cwdb-action>\u202eUnknownItem</cwdb-action>")
    asked = event("operator-widget-button")
    asked["redrive"]["dry_run"] = True
    page = parse(world.respond(asked))
    assert page.problems == []
    assert "Dry run: 2 messages would be sent" in page.text
    assert "<cwdb-action>U+202E" in page.text
    ((action, repeated),) = page.actions
    assert action.attributes["endpoint"] == OPERATOR_ARN
    assert repeated == {"redrive": {**asked["redrive"], "dry_run": False}}
    assert world.sent() == ()


def test_button_offers_to_stop_when_a_job_goes_on(world: World) -> None:
    """A job under way can be stopped from its own answer."""
    world = World(a_fleet(canary_count=1, canary_wait_s=300))
    world.quarantine("m-1", "m-2")
    page = parse(world.respond(event("operator-widget-button"), name="job-7"))
    assert page.problems == []
    ((_, pause), (_, stop)) = page.actions
    assert pause == {"pause": {"fleet": "orders", "job_id": "job-7"}}
    assert stop == {"stop": {"fleet": "orders", "job_id": "job-7"}}
    stopped = parse(world.respond({**stop, "widgetContext": {"theme": "dark"}}))
    assert "stopped" in stopped.text
    assert "sl-dark" in stopped.elements[0].classes


def test_button_answers_html_when_a_request_is_wrong(world: World) -> None:
    """An error is a page too, in which what was asked for is only text."""
    page = parse(
        world.respond({"redrive": {"fleet": "<script>alert(1)</script>", "all": True}, "widgetContext": {"theme": 7}})
    )
    assert page.problems == []
    assert "there is no fleet <script>alert(1)</script>" in page.text
    assert page.all("script") == []


# --------------------------------------------------------------------------- the whole handler


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mapping[str, str]]:
    """Queues, table, bucket and a fleet's document on moto; the function's environment is set."""
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "SLUICE_TABLE": "sluice-test-ledger",
        "SLUICE_BUCKET": "sluice-test-archive",
        "SLUICE_STACK": "test",
        "SLUICE_FLEETS_PATH": "/sluice/test/fleets/",
    }
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    app._ports.cache_clear()
    for module, function in ((app, "redriver"), (operator_app, "operator")):
        # Read from the environment at import.
        monkeypatch.setattr(module.metrics.provider, "namespace", "Sluice")
        monkeypatch.setattr(module.metrics.provider, "service", f"sluice-{function}")
    with moto.mock_aws():
        sqs = boto3.client("sqs")
        queue = sqs.create_queue(QueueName="orders")["QueueUrl"]
        dead = sqs.create_queue(QueueName="orders-dead-letters")["QueueUrl"]
        boto3.client("dynamodb").create_table(
            TableName=environment["SLUICE_TABLE"],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
            BillingMode="PAY_PER_REQUEST",
        )
        boto3.client("s3").create_bucket(
            Bucket=environment["SLUICE_BUCKET"], CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        document = {
            "queue": queue,
            "dead_letter_queue": dead,
            "group": "consumers",
            "target_wait_s": 60,
            "redrive": {"max_retries": 0, "canary_wait_s": 0},
        }
        boto3.client("ssm").put_parameter(Name="/sluice/test/fleets/orders", Type="String", Value=json.dumps(document))
        yield environment
    app._ports.cache_clear()


def a_context(name: str) -> SimpleNamespace:
    """What Lambda tells the handler of its invocation."""
    return SimpleNamespace(
        invoked_function_arn=OPERATOR_ARN,
        function_name="sluice-redriver",
        function_version="1",
        memory_limit_in_mb=512,
        aws_request_id=name,
        get_remaining_time_in_millis=lambda: 30_000,
    )


def test_handler_quarantines_and_redrives_when_on_aws(
    stack: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], log: StringIO
) -> None:
    """Dead letters to quarantine, a tick, a redrive: all on AWS, told in metrics and in a log that holds no body."""
    calls: set[str] = set()
    real = botocore.client.BaseClient._make_api_call

    def noted(self: Any, operation: str, arguments: Any) -> Any:
        calls.add(operation)
        return real(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", noted)
    monkeypatch.setenv("SLUICE_DETAIL", "fleet")
    batch = json.loads(
        (EVENTS / "redriver-dead-letters-binary.json").read_text().replace("000000000000", "123456789012")
    )

    ports = connect(stack)
    (fleet,) = ports.fleets.load().fleets
    dead_letters = fleet.dead_letter_queue or ""
    boto3.client("sqs").send_message(QueueUrl=dead_letters, MessageBody=batch["Records"][0]["body"])
    (in_flight,) = ports.queue.receive(dead_letters, 10, 30)
    batch["Records"][0]["receiptHandle"] = in_flight.receipt
    calls.clear()

    assert app.handler(batch, a_context("batch")) == {"batchItemFailures": []}
    assert app.handler(event("redriver-minute"), a_context("tick")) == {"chains_made": []}
    answered = operator_app.handler(event("operator-redrive-all"), a_context("request"))

    assert isinstance(answered, dict)
    assert (answered["job"]["state"], answered["job"]["sent_count"]) == ("done", 1)
    assert json.loads(json.dumps(answered)) == answered
    (message,) = ports.queue.receive(fleet.queue, 10, 30)
    assert message.body == batch["Records"][0]["body"]
    assert dict(message.attributes)["invoice"].binary == bytes(range(16))
    assert dict(message.attributes)["shop"] == text("Zürich \N{EN DASH} 東京")
    assert ports.ledger.quarantine.quarantined("orders")[0] == ()
    assert calls <= {
        "GetParametersByPath",
        "GetQueueAttributes",
        "SendMessageBatch",
        "ReceiveMessage",
        "ChangeMessageVisibilityBatch",
        "GetItem",
        "PutItem",
        "UpdateItem",
        "DeleteItem",
        "TransactWriteItems",
        "BatchGetItem",
        "BatchWriteItem",
        "Query",
        "PutObject",
        "GetObject",
        "DeleteObjects",
    }
    emitted = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    for name, function in (("Quarantined", "redriver"), ("QuarantineSize", "redriver"), ("Redriven", "operator")):
        blob = next(line for line in emitted if name in line and "fleet" in line)
        assert (blob["fleet"], blob["service"], blob[name]) == ("orders", f"sluice-{function}", [1])
    told = [json.loads(line) for line in log.getvalue().splitlines()]
    assert any(line["message"] == "dead letter quarantined" and line["attempt"] == 0 for line in told)
    assert "o-1004" not in json.dumps(told)
