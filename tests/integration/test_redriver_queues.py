"""Several queues on one fleet: each dead letter goes back to the queue it came from, told by SQS or by its consumer."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from functions.operator import app as operator_app
from functions.redriver import app
from sluice.config.fleet import Fleet, parse
from sluice.memory import Call, Fault, MemoryPorts, When, faulty_ports, memory_ports, queue_url
from sluice.model.redrive_jobs import JobPhase, JobState, RedriveJob
from sluice.model.redriving import Attribute
from sluice.ports.errors import LostAnswerError, TryLaterError
from sluice.ports.stack import Ports
from sluice.redriving.commands import ANSWER_S
from sluice.redriving.context import MARGIN_S, RedriveInvocation
from sluice.redriving.dead_letters import PAUSED_RECHECK_S
from sluice.redriving.failure_groups import CAUSE, SOURCE
from sluice.redriving.jobs.rules import MOVE_COUNT_MIN
from sluice_tools.chaos.redrive_queue import as_record
from tests.support.redrive_chains import go_on
from tests.support.redrive_jobs import redrive_job
from tests.support.redrive_worlds import SOON, START, text

VISIBILITY_S = 60.0
DAY_S = 86_400.0
SETTLED_S = 400.0  # the target wait, and all receives of a copy
TICK = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}


def a_fleet(*, shared: bool = False, fifo: bool = False, paused: tuple[str, ...] = (), **redrive: Any) -> Fleet:
    """Orders, urgent ones and all others, whose dead-letter queue is one, or one for each."""
    suffix = ".fifo" if fifo else ""

    def source(name: str) -> dict[str, Any]:
        dead = "dead" if shared else f"{name}-dead"
        return {
            "queue": queue_url(name + suffix),
            "dead_letter_queue": queue_url(dead + suffix),
            "paused": name in paused,
        }

    policy = {"base_delay_s": 0, "canary_wait_s": 0, **redrive}
    document = {"queues": [source("urgent"), source("other")], "group": "consumers", "target_wait_s": 60}
    return parse("orders", {**document, "redrive": policy})


@dataclass
class World:
    """The stack in memory, and the clock that its invocations go by."""

    fleet: Fleet = field(default_factory=a_fleet)
    now: float = START
    invocations: int = 0
    ports: MemoryPorts = field(init=False)

    def __post_init__(self) -> None:
        self.ports = memory_ports(lambda: self.now, [self.fleet])
        for url in self.fleet.dead_letter_queues:
            self.ports.queue.create(url, visibility_s=VISIBILITY_S)
        for source in self.fleet.sources:
            self.ports.queue.create(source.queue, visibility_s=VISIBILITY_S, dead_letter=source.dead_letter_queue)

    def change(self, fleet: Fleet) -> None:
        """Another document for the fleet."""
        self.fleet = fleet
        self.ports.fleets.put(fleet.name, fleet)

    def ask(self, event: dict[str, Any], ports: Ports | None = None) -> dict[str, Any]:
        """The answer to an event, by an invocation that begins now."""
        self.invocations += 1
        invocation = RedriveInvocation(
            name=f"invocation-{self.invocations}",
            until=self.now + SOON,
            stop_at=self.now + SOON - MARGIN_S,
            uniform=lambda: 0.5,
        )
        if {"Records", "source", "step"}.isdisjoint(event):
            answered = operator_app.service(ports or self.ports, lambda: self.now, invocation).answer(event)
        else:
            answered = app.service(ports or self.ports, lambda: self.now, invocation).respond(event)
        if "Records" not in event:
            self.go_on(ports)
        if "job" in answered and "status" not in event:
            return self.operator("status", job_id=answered["job"]["id"])
        return answered

    def go_on(self, ports: Ports | None = None) -> None:
        """What the jobs' queue hands over within some seconds."""

        def move_clock(at: float) -> None:
            self.now = at

        go_on(self.ports.work, lambda: self.now, move_clock, lambda event: self.ask(event, ports), ANSWER_S)

    def operator(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The answer to an operator's request about the fleet."""
        return self.ask({kind: {"fleet": "orders", "requested_by": "ada", **fields}})

    def url(self, name: str) -> str:
        """The URL of a queue."""
        return queue_url(f"{name}.fifo" if self.fleet.fifo else name)

    def fail(self, name: str, body: str, group: str = "g", **attributes: str) -> None:
        """A message of a queue that its consumer gives back until SQS dead-letters it."""
        url, queue = self.url(name), self.ports.queue
        marks = {key: text(value) for key, value in attributes.items()}
        fifo = {"message_group": group, "deduplication": f"{name}-{body}"} if self.fleet.fifo else {}
        queue.put(url, body, attributes=marks, **fifo)
        self.give_back(name)
        assert body not in self.bodies(name)

    def give_back(self, name: str) -> None:
        """What waits in a queue is received and given back until SQS dead-letters it."""
        url, queue = self.url(name), self.ports.queue
        for _ in range(4):
            for message in queue.receive(url, 1, 30):
                queue.hide(url, message.receipt, 0)

    def stamp(self, dead: str, body: str, source: str | None, cause: str = "Broken: it is") -> str:
        """A dead letter that its consumer has put into a dead-letter queue, and stamped or not; its id."""
        stamps: dict[str, Attribute] = {CAUSE: text(cause)} | ({SOURCE: text(source)} if source else {})
        return self.ports.queue.put(self.url(dead), body, attributes=stamps)

    def arn(self, name: str) -> str:
        """The ARN of a queue."""
        return self.ports.queue.facts(self.url(name)).arn

    def poll(self, *names: str, ports: Ports | None = None) -> list[str]:
        """One round of Lambda's poller of dead-letter queues; the bodies of those that it was told to leave."""
        left: list[str] = []
        for name in names:
            received = self.ports.queue.receive(self.url(name), 10, VISIBILITY_S)
            answer = self.ask({"Records": [as_record(message, self.arn(name)) for message in received]}, ports)
            kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]} if received else set()
            left += [message.body for message in received if message.id in kept]
            gone = [message.receipt for message in received if message.id not in kept]
            self.ports.queue.delete(self.url(name), gone)
        return left

    def bodies(self, name: str) -> list[str]:
        """The bodies in a queue."""
        return [message.body for message in self.ports.queue.messages(self.url(name))]

    def held(self) -> dict[str, str | None]:
        """The bodies in quarantine, each with the source on its entry."""
        entries = self.ports.ledger.quarantine.quarantined("orders")[0]
        return {self.ports.archive.load(entry.key).body: entry.source for entry in entries}

    def quarantine(self, **by_queue: tuple[str, ...]) -> None:
        """Messages of each queue, in quarantine."""
        policy = self.fleet.redrive
        self.change(self.fleet.model_copy(update={"redrive": policy.model_copy(update={"max_retries": 0})}))
        for name, bodies in by_queue.items():
            for body in bodies:
                self.fail(name, body)
                self.poll(*{source.dead_letter_queue.rpartition("/")[2].removesuffix(".fifo")
                            for source in self.fleet.sources if source.dead_letter_queue})  # fmt: skip
                self.now += 1
        self.change(self.fleet.model_copy(update={"redrive": policy}))
        assert set(self.held()) >= {body for bodies in by_queue.values() for body in bodies}

    def job(self) -> RedriveJob:
        """The one job on record."""
        (job,) = self.ports.ledger.jobs.jobs("orders")
        return job


# --------------------------------------------------------------------------- dead letters as they come


@pytest.mark.parametrize("fifo", [False, True])
def test_dead_letters_of_a_shared_queue_go_back_to_their_own(fifo: bool) -> None:
    """SQS says of what it moved itself where that came from."""
    world = World(a_fleet(shared=True, fifo=fifo))
    for name, body in (("urgent", "u1"), ("other", "o1"), ("urgent", "u2")):
        world.fail(name, body)
    for _ in range(4 if fifo else 1):  # of a FIFO message group one at a time
        kept = world.poll("dead")
        world.now += SETTLED_S
    assert kept == []
    assert (world.bodies("urgent"), world.bodies("other"), world.bodies("dead")) == (["u1", "u2"], ["o1"], [])


@pytest.mark.parametrize("first", ["urgent", "other"])
def test_batch_is_settled_in_turn_when_nothing_tells_where_one_of_it_came_from(first: str) -> None:
    """On FIFO queues that may be the same as of what is behind it in its message group, which follows it."""
    world = World(a_fleet(shared=True, fifo=True))
    for body, group, source in (("a", "h", first), ("x", "g", None), ("c", "g", first), ("d", "i", first)):
        stamps = {CAUSE: text("Broken: it is")} | ({SOURCE: text(world.arn(source))} if source else {})
        world.ports.queue.put(world.url("dead"), body, attributes=stamps, message_group=group, deduplication=body)
    assert world.poll("dead") == ["a", "d"], "sent, and held until their copies have settled"
    assert (world.bodies(first), list(world.held())) == (["a", "d"], ["x", "c"])


def retried_once(room: bool) -> World:
    """One FIFO dead-letter queue of two queues: `u1` is retried, another queue's letter and `u2` are behind it."""
    world = World(a_fleet(shared=True, fifo=True))
    full = {} if room else {f"a{number}": "x" for number in range(10)}
    world.fail("urgent", "u1", **full)
    world.fail("other", "o1")
    world.fail("urgent", "u2")
    world.poll("dead")
    return world


@pytest.mark.parametrize("room", [True, False])
def test_retry_that_comes_back_goes_first_when_another_queues_letter_is_between(room: bool) -> None:
    """Also where it had no room for Sluice's attributes, and is known by its body alone."""
    world = retried_once(room)
    assert world.bodies("urgent") == ["u1"]
    world.give_back("urgent")
    assert world.bodies("dead") == ["u1", "o1", "u2", "u1"]
    world.now += SETTLED_S
    world.poll("dead")
    assert (world.bodies("urgent"), world.bodies("other")) == (["u1"], [])


@pytest.mark.parametrize("room", [True, False])
def test_retry_that_comes_back_goes_first_also_when_its_next_retry_could_not_be_sent(room: bool) -> None:
    """That retry is remembered before it is sent; another queue's letter is between."""
    world = retried_once(room)
    world.give_back("urgent")
    world.now += SETTLED_S

    def fails(call: Call) -> Fault | None:
        return Fault(When.BEFORE, TryLaterError("slow down")) if call.method == "send" else None

    world.poll("dead", ports=faulty_ports(world.ports, fails))
    assert (world.bodies("urgent"), world.bodies("dead")[-1]) == ([], "u1")
    world.now += SETTLED_S
    world.poll("dead")
    assert world.bodies("urgent") == ["u1"]


def test_what_follows_waits_for_a_retry_whose_mark_could_not_be_written() -> None:
    """Its letter stays hidden as any other's whose copy is under way; another queue's letter is between."""
    world = World(a_fleet(shared=True, fifo=True))
    for name, body in (("urgent", "u1"), ("other", "o1"), ("urgent", "u2")):
        world.fail(name, body)

    def fails(call: Call) -> Fault | None:
        return Fault(When.AFTER, LostAnswerError("no answer")) if call.method == "confirm_sends" else None

    assert world.poll("dead", ports=faulty_ports(world.ports, fails)) == ["u1", "o1", "u2"]
    world.now += VISIBILITY_S + 1
    assert world.poll("dead") == [], "hidden for as long as the copy may take"
    assert (world.bodies("urgent"), world.bodies("other")) == (["u1"], [])


def test_message_group_stays_as_a_whole_when_one_of_it_does() -> None:
    """A FIFO batch in which another queue's message stands between: no later one goes before one that is kept."""
    world = World(a_fleet(shared=True, fifo=True))
    for body, group, source in (("a", "g", "other"), ("u", "k", "urgent"), ("b", "g", "other"), ("c", "h", "other")):
        stamps = {CAUSE: text("Broken: it is"), SOURCE: text(world.arn(source))}
        world.ports.queue.put(world.url("dead"), body, attributes=stamps, message_group=group, deduplication=body)

    def fails(call: Call) -> Fault | None:
        first = call.method == "send" and call.args[1][0].body == "a"
        return Fault(When.BEFORE, TryLaterError("slow down")) if first else None

    assert world.poll("dead", ports=faulty_ports(world.ports, fails)) == ["a", "b", "u", "c"]
    assert (world.bodies("other"), world.bodies("urgent")) == (["c"], ["u"])


def test_stamped_dead_letters_of_a_shared_queue_go_back_to_their_own() -> None:
    """A consumer that dead-letters by itself stamps the ARN or the URL."""
    world = World(a_fleet(shared=True))
    world.stamp("dead", "o1", world.arn("other"))
    world.stamp("dead", "u1", world.url("urgent"))
    assert world.poll("dead") == []
    assert (world.bodies("urgent"), world.bodies("other")) == (["u1"], ["o1"])


def test_sqs_is_believed_where_a_message_says_otherwise() -> None:
    """What a producer writes into a message sends it nowhere else."""
    world = World(a_fleet(shared=True))
    world.fail("other", "o1", **{SOURCE: world.arn("urgent")})
    world.poll("dead")
    assert (world.bodies("urgent"), world.bodies("other")) == ([], ["o1"])


def test_dead_letter_is_quarantined_when_nothing_tells_which_of_two_queues_it_came_from() -> None:
    """Nothing is guessed, then or by a redrive of all; an operator says where it goes."""
    world = World(a_fleet(shared=True))
    message_id = world.stamp("dead", "x", None)
    assert world.poll("dead") == []
    assert (world.bodies("urgent"), world.bodies("other"), world.held()) == ([], [], {"x": ""})
    world.now += 1
    job = world.operator("redrive", all=True)["job"]
    assert (job["failed_count"], job["sent_count"], world.held()) == (1, 0, {"x": ""})
    assert f"{message_id}: nothing says which of urgent, other it came from; to_queue says where" in job["note"]
    assert world.operator("redrive", message_id=message_id, to_queue="other")["job"]["sent_count"] == 1
    assert (world.bodies("other"), world.held()) == (["x"], {})


@pytest.mark.parametrize("shared", [False, True])
def test_dead_letter_is_quarantined_when_it_came_from_none_of_the_queues(shared: bool) -> None:
    """Also one that lies in the dead-letter queue of another queue of the same fleet than it says."""
    world = World(a_fleet(shared=shared))
    source = "arn:aws:sqs:local:000000000000:invoices" if shared else world.arn("other")
    world.stamp("dead" if shared else "urgent-dead", "x", source)
    assert world.poll("dead" if shared else "urgent-dead") == []
    assert (world.bodies("urgent"), world.bodies("other"), world.held()) == ([], [], {"x": source})
    (group,) = world.ports.ledger.failure_groups.failure_groups("orders")
    assert (group.cause, group.count) == ("Broken: it is", 1)


def test_dead_letter_queue_of_its_own_does_not_say_where_an_unstamped_message_belongs() -> None:
    """Other services may use it as well, so that an operator says where the message goes."""
    world = World(a_fleet(max_retries=3))
    world.stamp("other-dead", "x", None)
    world.poll("other-dead")
    assert world.held() == {"x": ""}
    world.now += 1
    assert world.operator("redrive", queue="other")["error"].startswith("all: nothing of that is in fleet orders's")
    assert world.operator("redrive", all=True, to_queue="other")["job"]["sent_count"] == 1
    assert world.bodies("other") == ["x"]


def test_one_queues_dead_letters_go_on_when_another_is_gone() -> None:
    """One bad queue never stops the others."""
    world = World()
    world.fail("urgent", "u1")
    world.fail("other", "o1")
    world.ports.queue.drop(world.url("other"))
    assert world.poll("urgent-dead", "other-dead") == ["o1"]
    assert (world.bodies("urgent"), world.bodies("other-dead")) == (["u1"], ["o1"])


# --------------------------------------------------------------------------- a paused queue


@pytest.mark.parametrize("fifo", [False, True])
def test_dead_letters_of_a_paused_queue_wait_and_go_back_once_it_is_not(fifo: bool) -> None:
    """Hidden for some minutes at a time, beside another queue's that go on."""
    world = World(a_fleet(shared=True, fifo=fifo, paused=("other",)))
    world.fail("other", "o1", "a")
    world.fail("urgent", "u1", "b")
    assert world.poll("dead") == (["o1", "u1"] if fifo else ["o1"])  # a FIFO one is held until its copy has settled
    assert (world.bodies("urgent"), world.bodies("other")) == (["u1"], [])
    world.now += PAUSED_RECHECK_S - 1
    assert world.poll("dead") == []
    world.now += 1
    assert world.poll("dead") == ["o1"]
    world.change(a_fleet(shared=True, fifo=fifo))
    world.now += PAUSED_RECHECK_S
    assert world.poll("dead") == (["o1"] if fifo else [])
    world.now += SETTLED_S
    assert world.poll("dead") == []
    assert (world.bodies("other"), world.bodies("dead"), world.held()) == (["o1"], [], {})


def test_dead_letter_of_a_paused_queue_is_put_away_before_sqs_deletes_it() -> None:
    """A quarter of its retention before: no pause loses a message."""
    world = World(a_fleet(paused=("other",)))
    world.fail("other", "o1")
    world.now += 3 * DAY_S - 5
    assert world.poll("other-dead") == ["o1"]
    world.now += 5  # not hidden for as long as otherwise: it might not be there any more
    assert world.poll("other-dead") == []
    assert (world.held(), world.bodies("other-dead")) == ({"o1": world.arn("other")}, [])
    (entry,) = world.ports.ledger.quarantine.quarantined("orders")[0]
    assert entry.attempt == 0


def test_dead_letter_that_no_retry_helps_is_quarantined_when_its_queue_is_paused() -> None:
    """Only what would be sent back waits."""
    world = World(a_fleet(paused=("other",), max_retries=0))
    world.fail("other", "o1")
    assert world.poll("other-dead") == []
    assert world.held() == {"o1": world.arn("other")}


def test_person_is_told_when_a_redrive_goes_into_a_paused_queue() -> None:
    """Before, by the dry run, and by the job; it is done all the same, on an operator's request."""
    world = World()
    world.quarantine(other=("o1",))
    world.change(a_fleet(paused=("other",)))
    dry = world.operator("redrive", all=True, dry_run=True)
    assert (dry["paused_queues"], dry["queues"], dry["selected_count"]) == (["other"], ["urgent", "other"], 1)
    job = world.operator("redrive", all=True)["job"]
    assert (job["sent_count"], world.bodies("other")) == (1, ["o1"])
    assert "Paused: other. What is sent there waits until it is not." in job["note"]
    assert world.operator("redrive", queue="urgent", dry_run=True)["paused_queues"] == []


def test_return_is_counted_once_when_it_waits_for_a_paused_queue() -> None:
    """It is looked at again and again, and its job was stopped the first time."""
    world = World(a_fleet(canary_wait_s=600, max_retries=3))
    world.quarantine(other=("o1", "o2", "o3", "o4", "o5"))
    world.operator("redrive", all=True)
    assert world.job().progress.sent_count == 3
    world.change(a_fleet(paused=("other",), canary_wait_s=600))
    for _ in range(4):
        for message in world.ports.queue.receive(world.url("other"), 1, 30):
            if message.body == "o1":
                world.ports.queue.hide(world.url("other"), message.receipt, 0)
    (back,) = [one for one in world.ports.queue.messages(world.url("other-dead")) if one.body == "o1"]
    assert back.source == world.arn("other")
    for _ in range(3):
        assert world.poll("other-dead") == ["o1"]
        world.now += PAUSED_RECHECK_S
    assert (world.job().progress.returned_count, len(world.job().progress.stopped_groups)) == (1, 1)


# --------------------------------------------------------------------------- an operator's redrives


@pytest.mark.parametrize("shared", [False, True])
def test_redrive_of_all_sends_each_message_to_its_own_queue(shared: bool) -> None:
    """One job, watched and stopped as one."""
    world = World(a_fleet(shared=shared))
    world.quarantine(urgent=("u1", "u2"), other=("o1",))
    job = world.operator("redrive", all=True)["job"]
    assert (job["state"], job["sent_count"], world.held()) == ("done", 3, {})
    assert (sorted(world.bodies("urgent")), world.bodies("other")) == (["u1", "u2"], ["o1"])


@pytest.mark.parametrize("named", ["urgent", "https://sqs.local.amazonaws.com/000000000000/urgent"])
def test_redrive_sends_what_came_from_one_queue_when_that_is_named(named: str) -> None:
    """By its name or its URL; what came from another stays."""
    world = World(a_fleet(shared=True))
    world.quarantine(urgent=("u1", "u2"), other=("o1",))
    assert world.operator("redrive", queue=named, dry_run=True)["selected_count"] == 2
    job = world.operator("redrive", queue=named, all=True)["job"]
    assert (job["queue"], job["sent_count"], sorted(world.bodies("urgent"))) == ("urgent", 2, ["u1", "u2"])
    assert set(world.held()) == {"o1"}


def test_two_redrives_run_beside_each_other_when_they_are_of_two_queues() -> None:
    """They select nothing in common; one of all does with either."""
    world = World(a_fleet(canary_wait_s=600, canary_count=1))
    world.quarantine(urgent=("u1", "u2"), other=("o1", "o2"))
    assert world.operator("redrive", queue="urgent")["job"]["state"] == "running"
    assert world.operator("redrive", queue="other")["job"]["state"] == "running"
    assert "is sending some of these already" in world.operator("redrive", all=True)["error"]
    assert "is sending some of these already" in world.operator("redrive", queue="other")["error"]


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        ("redrive", {"queue": "urgnt"}, "queue: fleet orders has no queue urgnt; it has urgent, other"),
        ("redrive", {"all": True, "to_queue": "x"}, "to_queue: fleet orders has no queue x; it has urgent, other"),
        ("redrive", {"message_id": "m", "queue": "other"}, "queue, cause, quarantined_from"),
        ("redrive", {"all": True, "to": "mail"}, "to_queue: is required, since fleet mail has several queues: a, b"),
        ("redrive", {"all": True, "to": "mail", "to_queue": "c"}, "to_queue: fleet mail has no queue c; it has a, b"),
        ("redrive", {"all": True, "to": "mail", "to_queue": "b"}, "all: nothing is in fleet orders's quarantine"),
        ("peek", {"queue": "urgnt"}, "queue: fleet orders has no queue urgnt; it has urgent, other"),
        ("quarantine", {"queue": "urgnt"}, "queue: fleet orders has no queue urgnt; it has urgent, other"),
    ],
)
def test_request_is_answered_with_the_queues_that_there_are(kind: str, fields: dict[str, Any], problem: str) -> None:
    """A name that is none names its field."""
    world = World(a_fleet(mode="manual"))
    world.ports.fleets.put(
        "mail", {"queues": [{"queue": queue_url("a")}, {"queue": queue_url("b")}], "group": "m", "target_wait_s": 9}
    )
    assert problem in world.operator(kind, **fields)["error"]


def test_redrive_sends_to_one_queue_of_another_fleet_when_both_are_named() -> None:
    """Whichever queue it came from."""
    world = World()
    for name in "ab":
        world.ports.queue.create(queue_url(name))
    queues = [{"queue": queue_url("a")}, {"queue": queue_url("b"), "paused": True}]
    world.ports.fleets.put("mail", {"queues": queues, "group": "m", "target_wait_s": 9})
    world.quarantine(urgent=("u1",), other=("o1",))
    job = world.operator("redrive", all=True, to="mail", to_queue="b")["job"]
    assert (job["to"], job["to_queue"], sorted(world.bodies("b"))) == ("mail", "b", ["o1", "u1"])
    assert "Paused: b." in job["note"]


def test_job_waits_when_the_queue_that_it_names_is_no_more() -> None:
    """It is neither sent elsewhere nor lost, and goes on when the queue is back."""
    world = World(a_fleet(canary_wait_s=30, canary_count=1))
    world.quarantine(urgent=("u1", "u2", "u3"))
    world.operator("redrive", queue="urgent")
    whole = world.fleet
    world.change(whole.model_copy(update={"queues": whole.queues[1:]}))
    world.now += 60
    assert world.ask(TICK) == {"chains_made": []}
    assert (world.job().state, world.job().progress.sent_count) == (JobState.RUNNING, 1)
    world.change(whole)
    for _ in range(3):
        world.now += 60
        world.ask(TICK)
    assert (world.job().state, sorted(world.bodies("urgent"))) == (JobState.DONE, ["u1", "u2", "u3"])


def test_edited_message_goes_back_to_its_own_queue() -> None:
    """With the word that it waits there, where the queue is paused; one of which nothing tells is refused."""
    world = World(a_fleet(shared=True, edits=True))
    world.quarantine(other=("o1",))
    (entry,) = world.ports.ledger.quarantine.quarantined("orders")[0]
    world.change(a_fleet(shared=True, edits=True, paused=("other",)))
    job = world.operator("edit", message_id=entry.message_id, body="better")["job"]
    assert (world.bodies("other"), world.bodies("urgent")) == (["better"], [])
    assert "Paused: other." in job["note"]
    unknown = world.stamp("dead", "x", None)
    world.poll("dead")
    refused = world.operator("edit", message_id=unknown, body="better")["error"]
    assert "nothing says that it came from urgent, other; redrive it with to_queue instead" in refused


def test_message_is_restored_to_the_queue_it_came_from() -> None:
    """The archive knows what SQS said."""
    world = World(a_fleet(shared=True))
    world.quarantine(other=("o1",))
    (entry,) = world.ports.ledger.quarantine.quarantined("orders")[0]
    world.operator("redrive", all=True)
    world.now += 1
    assert world.bodies("other") == ["o1"]
    world.operator("restore", key=entry.key)
    assert world.held() == {"o1": world.arn("other")}
    world.now += 1
    world.operator("redrive", all=True)
    assert (world.bodies("other"), world.bodies("urgent")) == (["o1", "o1"], [])


def test_cause_is_noted_when_the_consumer_of_any_queue_tells_it() -> None:
    """Its messages' failure group is that cause."""
    world = World()
    world.fail("other", "o1")
    (dead,) = world.ports.queue.messages(world.url("other-dead"))
    detail = {"queue": world.url("other"), "message_id": dead.id, "cause": "KeyError: 'street'"}
    told = {"source": "sluice.consumer", "detail-type": "Sluice Message Failure", "detail": detail}
    assert world.ask(told) == {"noted": ["orders"]}
    world.poll("other-dead")
    assert [group.cause for group in world.ports.ledger.failure_groups.failure_groups("orders")] == [
        "KeyError: 'street'"
    ]


def test_fifo_order_is_kept_by_queue_when_one_is_chosen() -> None:
    """A message group of the same name in another queue holds nothing up; an earlier one of this queue does."""
    world = World(a_fleet(shared=True, fifo=True))
    world.quarantine(other=("o1",), urgent=("u1", "u2"))
    assert world.operator("redrive", queue="urgent.fifo", dry_run=True)["selected_count"] == 2
    job = world.operator("redrive", queue="urgent.fifo")["job"]
    assert (job["state"], world.bodies("urgent"), set(world.held())) == ("done", ["u1", "u2"], {"o1"})
    world.now += 700  # past SQS's deduplication
    world.fail("other", "o2")
    world.poll("dead")
    world.now += 1
    entry = next(
        one
        for one in world.ports.ledger.quarantine.quarantined("orders")[0]
        if one.attempt == 0 and one.at > world.now - 2
    )
    assert "would overtake" in world.operator("redrive", message_id=entry.message_id)["error"]


def test_message_of_unknown_source_holds_up_what_is_behind_it_in_its_message_group() -> None:
    """Found by chaos: it may have come from the same queue, and within one load those that can go went first."""
    world = World(a_fleet(shared=True, fifo=True, max_retries=0, canary_count=1))
    for body, group, source in (("a", "h", "other"), ("b", "h", "other"), ("x", "g", None), ("c", "g", "other")):
        stamps = {CAUSE: text("Broken: it is")} | ({SOURCE: text(world.arn(source))} if source else {})
        world.ports.queue.put(world.url("dead"), body, attributes=stamps, message_group=group, deduplication=body)
        world.poll("dead")
        world.now += 1
    job = world.operator("redrive", all=True)["job"]
    assert (job["state"], world.bodies("other"), set(world.held())) == ("stopped", ["a", "b"], {"x", "c"})
    (lost,) = [one for one in world.ports.ledger.quarantine.quarantined("orders")[0] if one.source == ""]
    world.operator("redrive", message_id=lost.message_id, to_queue="other.fifo")
    world.operator("redrive", all=True)
    assert (finish_all(world), world.bodies("other")) == ({}, ["a", "b", "x", "c"])


def finish_all(world: World) -> dict[str, str | None]:
    """What is in quarantine some minutes later."""
    for _ in range(5):
        world.now += 60
        world.ask(TICK)
    return world.held()


def test_fifo_messages_of_two_queues_go_back_in_the_order_of_each() -> None:
    """One job for both; within each message group of each queue as they came."""
    world = World(a_fleet(shared=True, fifo=True))
    world.quarantine(urgent=("u1", "u2"), other=("o1", "o2"))
    job = world.operator("redrive", all=True)["job"]
    for _ in range(5):
        world.now += 60
        world.ask(TICK)
    assert (world.job().state, job["failed_count"]) == (JobState.DONE, 0)
    assert (world.bodies("urgent"), world.bodies("other")) == (["u1", "u2"], ["o1", "o2"])


# --------------------------------------------------------------------------- manual mode


def finish(world: World) -> RedriveJob:
    """The one job, after some minutes."""
    for _ in range(20):
        if not world.job().state.is_at_work:
            break
        world.now += 60
        world.ask(TICK)
    return world.job()


@pytest.mark.parametrize("shared", [False, True])
def test_redrive_out_of_the_dead_letter_queues_empties_them_all(shared: bool) -> None:
    """One job out of one or two of them, each message to its own queue, canaries of each."""
    world = World(a_fleet(shared=shared, mode="manual", canary_count=1))
    for body in "abcde":
        world.fail("urgent", f"u{body}")
        world.fail("other", f"o{body}")
    dry = world.operator("redrive", all=True, dry_run=True, **{"from": "dead-letter-queue"})
    assert dry["selected_count"] == 10
    world.operator("redrive", all=True, **{"from": "dead-letter-queue"})
    job = finish(world)
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 10)
    assert sorted(world.bodies("urgent")) == ["ua", "ub", "uc", "ud", "ue"]
    assert sorted(world.bodies("other")) == ["oa", "ob", "oc", "od", "oe"]
    assert [world.bodies(url.rpartition("/")[2]) for url in world.fleet.dead_letter_queues if world] in ([[]], [[], []])


def test_canaries_are_taken_out_of_each_dead_letter_queue() -> None:
    """What is wrong with one queue's messages shows before the rest of them go."""
    world = World(a_fleet(mode="manual", canary_count=1, canary_wait_s=300))
    for body in "abc":
        world.fail("urgent", f"u{body}")
        world.fail("other", f"o{body}")
    world.operator("redrive", all=True, **{"from": "dead-letter-queue"})
    assert (len(world.bodies("urgent")), len(world.bodies("other"))) == (1, 1)


@pytest.mark.parametrize("dead", ["urgent-dead", "other-dead"])
def test_redrive_counts_what_went_when_another_dead_letter_queue_cannot_be_read(dead: str) -> None:
    """One bad queue neither stops the others nor hides what was sent out of them; its own go once it answers."""
    world = World(a_fleet(mode="manual", canary_count=1, canary_wait_s=300))
    for body in "abc":
        world.fail("urgent", f"u{body}")
        world.fail("other", f"o{body}")
    world.operator("redrive", all=True, **{"from": "dead-letter-queue"})

    def silent(call: Call) -> Fault | None:
        reads = call.method == "receive" and call.args[0] == world.url(dead)
        return Fault(When.BEFORE, TryLaterError("SQS is silent")) if reads else None

    world.now += 300
    world.ask(TICK, faulty_ports(world.ports, silent))
    job = world.job()
    assert (job.state, job.progress.sent_count, job.note) == (
        JobState.RUNNING,
        4,
        "A dead-letter queue was left out: SQS is silent",
    )
    assert sorted(len(world.bodies(name)) for name in ("urgent", "other")) == [1, 3]
    job = finish(world)
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 6)
    assert (len(world.bodies("urgent")), len(world.bodies("other"))) == (3, 3)


def test_redrive_out_of_one_dead_letter_queue_leaves_the_other() -> None:
    """By the name of its queue."""
    world = World(a_fleet(mode="manual"))
    world.fail("urgent", "u1")
    world.fail("other", "o1")
    world.operator("redrive", all=True, queue="other", **{"from": "dead-letter-queue"})
    assert (finish(world).progress.sent_count, world.bodies("other"), world.bodies("urgent-dead")) == (
        1,
        ["o1"],
        ["u1"],
    )


@pytest.mark.parametrize("kind", ["redrive", "quarantine"])
def test_one_queue_cannot_be_chosen_out_of_a_shared_dead_letter_queue(kind: str) -> None:
    """A queue cannot be searched; the text says what to do instead."""
    world = World(a_fleet(mode="manual", shared=True))
    fields = {"all": True, "from": "dead-letter-queue"} if kind == "redrive" else {}
    error = world.operator(kind, queue="urgent", **fields)["error"]
    assert error.startswith("queue: urgent shares its dead-letter queue with other, and a queue cannot be searched")


def test_dead_letter_of_unknown_source_stays_when_a_shared_queue_is_redriven() -> None:
    """It is not sent to either; told where to, it goes."""
    world = World(a_fleet(mode="manual", shared=True))
    world.stamp("dead", "x", None)
    world.fail("other", "o1")
    world.operator("redrive", all=True, **{"from": "dead-letter-queue"})
    job = finish(world)
    assert (job.progress.sent_count, job.progress.failed_count, world.bodies("dead")) == (1, 1, ["x"])
    world.now += 300
    asked = {"all": True, "from": "dead-letter-queue", "to_queue": "urgent"}
    sent = world.operator("redrive", **asked)["job"]
    assert (sent["sent_count"], world.bodies("urgent"), world.bodies("dead")) == (1, ["x"], [])


def slow(world: World, **changes: Any) -> RedriveJob:
    """A job out of the dead-letter queues that has been timed, much more slowly than SQS moves."""
    values: dict[str, Any] = {"cursor": "watched", "selected_count": 2 * MOVE_COUNT_MIN, "rate_per_s": 4.0} | changes
    job = redrive_job(
        "slow", "orders", JobState.RUNNING, world.now, "ada", world.now, from_dead_letters=True, measured_per_s=0.1,
        phase=JobPhase.RAMP, **values,
    )  # fmt: skip
    return world.ports.ledger.jobs.keep_job(job)


@pytest.mark.parametrize(
    ("shared", "queue", "moves"), [(True, None, 0), (False, None, 0), (False, "other", 1)],
    ids=["one shared", "two", "one of one queue"],
)  # fmt: skip
def test_sqs_moves_the_rest_only_of_a_dead_letter_queue_of_one_queue(
    shared: bool, queue: str | None, moves: int
) -> None:
    """A move goes to one destination, or to what each message says: of several queues it would mix the messages up."""
    world = World(a_fleet(mode="manual", shared=shared))
    for number in range(3):
        world.fail("other", f"o{number}")
    slow(world, queue=queue)
    world.ask(TICK)
    told = [move for url in world.fleet.dead_letter_queues for move in world.ports.queue.moves(url)]
    assert len(told) == moves
    world.now += 60
    world.ask(TICK)
    assert sorted(world.bodies("other")) == ["o0", "o1", "o2"]
    assert world.bodies("urgent") == []


def test_move_is_ended_when_a_person_stops_the_job() -> None:
    """Of the dead-letter queue of the queue that the job is about."""
    world = World(a_fleet(mode="manual"))
    for number in range(100):
        world.fail("other", f"o{number}")
    slow(world, queue="other", rate_per_s=1.0)
    world.ask(TICK)
    assert world.job().move is not None
    world.now += 20
    assert world.operator("stop", job_id="slow")["job"]["state"] == "stopped"
    (move,) = world.ports.queue.moves(world.url("other-dead"))
    assert (move.running, world.job().progress.sent_count) == (False, move.moved_count)
    assert 0 < len(world.bodies("other")) < 100


@pytest.mark.parametrize("shared", [False, True])
def test_look_inside_shows_the_dead_letters_of_one_queue_or_all(shared: bool) -> None:
    """Each with the name of its queue."""
    world = World(a_fleet(mode="manual", shared=shared))
    world.fail("urgent", "u1")
    world.fail("other", "o1")
    seen = world.operator("peek")
    assert sorted((one["queue"], one["sample"]) for one in seen["messages"]) == [("other", "o1"), ("urgent", "u1")]
    assert (seen["waiting_count"], seen["looked_at_count"]) == (2, 2)
    assert [one["sample"] for one in world.operator("peek", queue="other")["messages"]] == ["o1"]
    assert world.operator("peek", limit=1)["looked_at_count"] == 1


@pytest.mark.parametrize(("shared", "queue", "left"), [(False, "other", ["u1"]), (False, None, []), (True, None, [])])
def test_dead_letters_are_quarantined_when_a_person_says_so(shared: bool, queue: str | None, left: list[str]) -> None:
    """Of one queue or all, each with where it came from."""
    world = World(a_fleet(mode="manual", shared=shared))
    world.fail("urgent", "u1")
    world.fail("other", "o1")
    answer = world.operator("quarantine", **({"queue": queue} if queue else {}))
    sources = {"o1": world.arn("other"), "u1": world.arn("urgent")}
    assert answer["quarantined_count"] == 2 - len(left)
    assert world.held() == {body: source for body, source in sources.items() if body not in left}


def test_each_dead_letter_queue_is_looked_after_before_sqs_deletes() -> None:
    """By the schedule: what is near its end in any of them is quarantined, and another that is gone hides it not."""
    world = World(a_fleet(mode="manual"))
    world.fail("other", "o1")
    world.now += 3 * DAY_S + 1
    world.ports.queue.drop(world.url("urgent-dead"))
    for _ in range(10):  # in one of these minutes it is the fleet's turn
        world.ask(TICK)
        world.now += 60
    assert (world.held(), world.bodies("other-dead")) == ({"o1": world.arn("other")}, [])


def test_attempts_travel_with_a_message_through_its_own_queue() -> None:
    """A message that fails again and again is quarantined after as many retries as the policy gives, in every queue."""
    world = World(a_fleet(shared=True, max_retries=1))
    world.stamp("dead", "o1", world.arn("other"))
    world.poll("dead")
    (copy,) = world.ports.queue.messages(world.url("other"))
    world.ports.queue.delete(
        world.url("other"), [m.receipt for m in world.ports.queue.receive(world.url("other"), 1, 9)]
    )
    again = dict(copy.attributes) | {SOURCE: text(world.arn("other")), CAUSE: text("Broken: it is")}
    world.ports.queue.put(world.url("dead"), "o1", attributes=again)
    world.poll("dead")
    assert (world.bodies("other"), world.held()) == ([], {"o1": world.arn("other")})
