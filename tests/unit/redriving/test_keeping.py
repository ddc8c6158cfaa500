"""Single messages at an operator's request (edited, restored), and dead letters that wait for one until they expire."""

import pytest

from sluice.memory import Fault, When, faulty_ports
from sluice.model.payload_error import PayloadError
from sluice.model.redrive_jobs import JobState, Selection
from sluice.ports.errors import LostAnswerError, TryLaterError
from sluice.ports.stack import Ports
from sluice.redriving.jobs.lifecycle import create_job
from sluice.redriving.letter_results import LetterOutcome
from sluice.redriving.message_copy import ATTEMPTS
from sluice.redriving.message_editor import Editor, key_of
from sluice.redriving.retention import RetentionGuard, is_due, is_turn
from sluice.redriving.source_queues import QueueRoute
from sluice.redriving.verdict import left_s, margin_s
from tests.support.redrive_worlds import SOON, START, World, fleet, letter

DAY_S = 86_400.0
RETENTION_S = 4 * DAY_S


def editor(world: World, ports: Ports | None = None) -> Editor:
    """An invocation that begins now."""
    routes = (QueueRoute(world.fleet, world.to),)
    return Editor(ports or world.ports, world.fleet, routes, "edit-1", world.now + SOON, world.clock)


# --------------------------------------------------------------------------- edited


def test_message_goes_back_with_another_body_and_the_original_is_kept() -> None:
    """Attributes go along, the index forgets it, the archive does not, and the record says who did it."""
    world = World(fleet(edits=True))
    message_id = world.quarantine_with('{"sku": "tea-oolon"}', "UnknownItem: tea-oolon", shop="Berlin")
    key = world.index()[0].key
    job = editor(world).send_edited(message_id, '{"sku": "tea-oolong"}', "ada")
    (sent,) = world.ports.queue.messages(world.fleet.queue)
    assert (sent.body, sent.attribute("shop"), sent.attribute(ATTEMPTS)) == ('{"sku": "tea-oolong"}', "Berlin", "1")
    assert (world.index(), world.ports.archive.load(key).body) == ((), '{"sku": "tea-oolon"}')
    assert (job.state, job.progress.sent_count, job.requested_by) == (JobState.DONE, 1, "ada")
    assert key in job.note
    assert world.ports.ledger.jobs.job("orders", "edit-1") == job


def test_edit_is_refused_unless_the_policy_allows_it() -> None:
    """Off by default, and the text names the parameter."""
    world = World()
    message_id = world.quarantine_with("a", "Broken")
    with pytest.raises(PayloadError, match=r"redrive\.edits of its Settings"):
        editor(world).send_edited(message_id, "b", "ada")
    assert world.bodies() == []


@pytest.mark.parametrize(("body", "problem"), [("", "must not be empty"), ("x" * 2_000, "more than its queue takes")])
def test_edit_is_refused_when_the_queue_would_not_take_it(body: str, problem: str) -> None:
    """The message stays as it was."""
    world = World(fleet(edits=True), max_bytes=1_024)
    message_id = world.quarantine_with("a", "Broken")
    with pytest.raises(PayloadError, match=problem):
        editor(world).send_edited(message_id, body, "ada")
    assert world.held_bodies() == ["a"]


def test_edited_message_is_in_doubt_when_the_answer_is_lost() -> None:
    """It stays in quarantine, and neither an edit nor a redrive sends it a second time by itself."""
    world = World(fleet(edits=True))
    message_id = world.quarantine_with("a", "Broken")
    ports = faulty_ports(
        world.ports, lambda call: Fault(When.AFTER, LostAnswerError("lost")) if call.method == "send" else None
    )
    with pytest.raises(PayloadError, match="whether it was sent is unknown"):
        editor(world, ports).send_edited(message_id, "b", "ada")
    world.now += SOON + 1
    with pytest.raises(PayloadError, match="may have been sent before"):
        editor(world).send_edited(message_id, "c", "ada")
    assert (world.bodies(), world.held_bodies()) == (["b"], ["a"])


def test_edit_of_a_fifo_message_is_refused() -> None:
    """It would overtake the others of its message group, or hold them up."""
    world = World(fleet(fifo=True, edits=True))
    (message_id,) = world.quarantine("a", message_group="g")
    with pytest.raises(PayloadError, match="in the order of its message group"):
        editor(world).send_edited(message_id, "b", "ada")


# --------------------------------------------------------------------------- restored


def test_message_is_quarantined_anew_when_it_is_restored() -> None:
    """Under an id of its own, so that it can be sent again although the first one was."""
    world = World()
    message_id = world.quarantine_with("a", "Broken: it is", shop="Berlin")
    world.work(create_job(world.ports, world.fleet, Selection(), world.job()))
    assert (world.bodies(), world.index()) == (["a"], ())
    entry = editor(world).restore(key_of("orders", message_id, START), "ada")
    assert entry.message_id.startswith(f"{message_id}-r")
    assert (world.held_bodies(), entry.cause) == (["a"], "Broken: it is")
    job = world.work(create_job(world.ports, world.fleet, Selection(), world.job(id="job-2")))
    assert (job.state, world.bodies()) == (JobState.DONE, ["a", "a"])


def test_fifo_message_is_restored_to_where_its_message_group_is_held() -> None:
    """Behind those that are there, so that a redrive of their failure group takes it along in its turn."""
    world = World(fleet(fifo=True))
    (message_id,) = world.quarantine("a", cause="Broken: it is", message_group="g")
    key = world.index()[0].key
    world.work(create_job(world.ports, world.fleet, Selection(message_id=message_id), world.job()))
    world.quarantine("b", cause="KeyError", message_group="g")
    held = world.index()[0].failure_group
    entry = editor(world).restore(key, "ada")
    assert (entry.failure_group, entry.cause) == (held, "KeyError")
    world.now += 1
    job = world.work(create_job(world.ports, world.fleet, Selection(failure_group=held), world.job(id="job-2")))
    assert (job.state, world.bodies(), world.index()) == (JobState.DONE, ["a", "b", "a"], ())


def test_restore_says_so_when_nothing_is_kept_under_a_key() -> None:
    """Or when the key is another fleet's."""
    world = World()
    with pytest.raises(PayloadError, match="nothing was ever kept under"):
        editor(world).restore("orders/2027/01/15/none.json", "ada")
    with pytest.raises(PayloadError, match="must begin with orders/"):
        editor(world).restore("invoices/2027/01/15/none.json", "ada")


# --------------------------------------------------------------------------- before they expire


def waiting(*, fifo: bool = False, **policy: object) -> World:
    """A fleet whose dead letters wait for an operator, and are kept for four days."""
    world = World(fleet(fifo=fifo, **{"mode": "manual", **policy}))
    world.ports.queue.create(world.dead_letters, retention_s=RETENTION_S)
    world.ports.queue.create(world.fleet.queue, retention_s=RETENTION_S, dead_letter=world.dead_letters)
    return world


def guard(world: World, ports: Ports | None = None) -> RetentionGuard:
    """An invocation that begins now."""
    dead = world.ports.queue.facts(world.dead_letters)
    return RetentionGuard(ports or world.ports, world.fleet, dead, world.processor(ports), world.clock)


def dead_letter(world: World, body: str, after_s: float) -> None:
    """A message that SQS itself dead-letters so long after its sending: its time began with the latter."""
    world.ports.queue.put(world.fleet.queue, body)
    world.now += after_s
    for _ in range(4):
        world.ports.queue.receive(world.fleet.queue, 10, 0)


def test_dead_letter_is_put_away_before_sqs_deletes_it() -> None:
    """By the time of its first sending, which no metric tells; those with time left stay, and soon visible again."""
    world = waiting()
    dead_letter(world, "old", 2 * DAY_S)
    dead_letter(world, "young", 0)
    world.now += DAY_S + 1
    look = guard(world).check()
    assert look is not None
    assert [(one.outcome, one.reason) for one in look.quarantined] == [
        (LetterOutcome.QUARANTINED, "Quarantined before SQS deletes it.")
    ]
    assert look.checked_count == 2
    assert look.least_left_s == 3 * DAY_S - 1
    assert look.used_fraction == pytest.approx(0.75, abs=0.001)
    assert (world.held_bodies(), world.bodies(world.dead_letters)) == (["old"], ["young"])
    world.now += 60
    assert len(world.receive()) == 1


def test_quarantined_message_knows_what_time_sqs_had_left_it() -> None:
    """From its own first sending, which is what an operator sees beside it; here it does not run out."""
    world = waiting()
    dead_letter(world, "old", 3 * DAY_S)
    world.now += DAY_S - 60
    guard(world).check()
    (entry,) = world.index()
    assert entry.expires_at == START + RETENTION_S


def test_dead_letter_that_cannot_be_stored_stays_where_it_is() -> None:
    """Stored and indexed first, then deleted."""
    world = waiting()
    dead_letter(world, "old", RETENTION_S - 60)
    ports = faulty_ports(
        world.ports, lambda call: Fault(When.BEFORE, TryLaterError("no")) if call.method == "store" else None
    )
    look = guard(world, ports).check()
    assert look is not None
    assert [one.outcome for one in look.quarantined] == [LetterOutcome.KEPT]
    assert world.bodies(world.dead_letters) == ["old"]


def test_dead_letters_are_not_looked_at_while_a_redrive_takes_them() -> None:
    """What is hidden from it would be taken for gone."""
    world = waiting()
    dead_letter(world, "old", RETENTION_S - 60)
    create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job())
    assert guard(world).check() is None
    assert len(world.receive()) == 1


def test_dead_letters_that_are_taken_as_they_come_are_not_looked_at() -> None:
    """In auto mode none waits while Lambda takes them, and so nothing is received."""
    world = World()
    world.put_dead("a")
    world.receive()  # Lambda has it in flight
    called: list[str] = []
    assert guard(world, faulty_ports(world.ports, lambda call: called.append(call.method))).check() is None
    assert called == ["read"]


def test_dead_letters_are_secured_in_auto_mode_when_nobody_takes_them() -> None:
    """The mapping is off, or Lambda stopped or throttles the function: what nears its end is quarantined."""
    world = waiting(mode="auto")
    dead_letter(world, "old", 2 * DAY_S)
    dead_letter(world, "young", 0)
    world.now += DAY_S + 1
    look = guard(world).check()
    assert look is not None
    assert look.used_fraction == pytest.approx(0.75, abs=0.001)
    assert (world.held_bodies(), world.bodies(world.dead_letters)) == (["old"], ["young"])
    assert [message.body for message in world.receive()] == ["young"], "it is shown again at once"


@pytest.mark.parametrize("mode", ["auto", "manual"])
def test_dead_letters_are_not_looked_at_when_their_queue_would_move_them_on(mode: str) -> None:
    """A dead-letter queue with one of its own counts each look, and moves what was looked at out of sight."""
    world = waiting(mode=mode)
    further = f"{world.dead_letters}-further"
    world.ports.queue.create(further)
    world.ports.queue.create(world.dead_letters, retention_s=RETENTION_S, dead_letter=further, max_receive_count=1)
    world.put_dead("a")
    for _ in range(3):
        assert guard(world).check() is None
    assert (world.bodies(world.dead_letters), world.bodies(further)) == (["a"], [])


def test_dead_letters_are_taken_in_on_a_persons_word() -> None:
    """All of them, so that failure groups can be chosen among; by their own failure groups."""
    world = waiting()
    for n in range(3):
        world.put_dead(f"m{n}", sluice_cause="Broken: it is" if n else "KeyError")
    results = guard(world).quarantine_all(world.now + 8, "ada")
    assert [one.outcome for one in results] == [LetterOutcome.QUARANTINED] * 3
    assert (world.held_bodies(), world.bodies(world.dead_letters)) == (["m0", "m1", "m2"], [])
    assert {group.cause: group.count for group in world.ports.ledger.failure_groups.failure_groups("orders")} == {
        "Broken: it is": 2, "KeyError": 1,
    }  # fmt: skip


def test_dead_letters_are_received_forty_at_once() -> None:
    """By four calls of ten: as many as the adapter makes together."""
    world = waiting()
    for number in range(40):
        dead_letter(world, str(number), 0)
    calls: list[str] = []
    ports = faulty_ports(world.ports, lambda call: calls.append(call.method))
    assert len(guard(world, ports).quarantine_all(world.now + 8, "ada")) == 40
    assert calls.count("receive") == 2, "the second finds the queue empty"


def test_time_left_runs_from_the_first_sending() -> None:
    """As SQS counts it: what nobody knows is not guessed."""
    queue = waiting().ports.queue.facts(waiting().dead_letters)
    assert left_s(letter(first_sent_at=START - DAY_S), queue.retention_s, START) == RETENTION_S - DAY_S
    assert left_s(letter(first_sent_at=None), queue.retention_s, START) is None


@pytest.mark.parametrize(
    ("policy", "retention_s", "margin"),
    [({}, RETENTION_S, DAY_S), ({}, 3_600, 900), ({"quarantine_before_s": 60}, 1e6, 60)],
)
def test_margin_is_a_share_of_the_retention_unless_configured(
    policy: dict[str, float], retention_s: float, margin: float
) -> None:
    """A quarter, at most a day."""
    world = World(fleet(mode="manual", **policy))
    world.ports.queue.create(world.dead_letters, retention_s=retention_s)
    assert margin_s(world.fleet.redrive, world.ports.queue.facts(world.dead_letters).retention_s) == margin


def test_look_is_due_every_ten_minutes_or_each_minute_when_time_is_short() -> None:
    """A look costs some calls; where ten minutes are much of the margin, it is worth them."""
    policy = fleet(mode="manual").redrive
    assert not is_due(policy, RETENTION_S)
    assert is_due(policy, 3_600.0)
    assert is_due(fleet(mode="manual", quarantine_before_s=600).redrive, RETENTION_S)


def test_fleets_have_their_turns_in_different_minutes() -> None:
    """Each has one turn in ten minutes, and a thousand have about as many in each of them."""
    minutes = [START + 60 * n + 7 for n in range(10)]
    turns = [sum(is_turn(f"fleet-{number}", at, 60) for number in range(1_000)) for at in minutes]
    assert sum(turns) == 1_000
    assert max(turns) < 150
