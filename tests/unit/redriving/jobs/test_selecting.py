"""What a redrive is about: groups, causes, times, attributes, ids; where to; paused, resumed, and how far it is."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sluice.memory import Call, Fault, When, faulty_ports
from sluice.model.payload_error import PayloadError
from sluice.model.redrive_jobs import JobPhase, JobState, RedriveJob, Selection
from sluice.ports.aws_services import MOVE_MAX_PER_S
from sluice.ports.errors import NeedsFixError, PortError, RefusedError, TryLaterError
from sluice.redriving.jobs.lifecycle import create_job, pause_job, resume_job, stop_job
from sluice.redriving.jobs.move_task import watch_move
from sluice.redriving.jobs.preview import preview, target_in
from sluice.redriving.jobs.rules import MOVE_COUNT_MIN, MOVE_NOTE, forecast
from tests.support.redrive_jobs import changed_job, redrive_job
from tests.support.redrive_worlds import SOON, START, World, fleet

ALL = Selection()


def filled() -> World:
    """Four messages in two failure groups, a second apart, from two shops."""
    world = World(fleet(canary_count=1))
    for body, cause, shop in (
        ("a", "UnknownItem: tea-1", "Berlin"),
        ("b", "KeyError: 'street'", "Berlin"),
        ("c", "UnknownItem: tea-2", "Paris"),
        ("d", "KeyError: 'street'", "Paris"),
    ):
        world.quarantine_with(body, cause, shop=shop)
    return world


SELECTIONS: tuple[tuple[Selection, list[str]], ...] = (
    (ALL, ["a", "b", "c", "d"]),
    (Selection(cause="unknownitem*"), ["a", "c"]),
    (Selection(cause="*street*", attribute=("shop", "Paris")), ["d"]),
    (Selection(attribute=("shop", "Berlin")), ["a", "b"]),
    (Selection(quarantined_from=START + 1), ["b", "c", "d"]),
    (Selection(quarantined_from=START + 1, quarantined_to=START + 3), ["b", "c"]),
)


@pytest.mark.parametrize(("selection", "bodies"), SELECTIONS)
def test_job_sends_just_what_is_selected_when_it_is_narrowed(selection: Selection, bodies: list[str]) -> None:
    """The dry run counts it, the job sends it, and the rest stays."""
    world = filled()
    seen = preview(world.ports, world.fleet, selection, world.now)
    assert (seen.count, sum(group.count for group in seen.groups)) == (len(bodies), len(bodies))
    job = world.work(create_job(world.ports, world.fleet, selection, world.job()))
    assert (job.state, job.progress.sent_count, sorted(world.bodies())) == (JobState.DONE, len(bodies), bodies)
    assert world.held_bodies() == [body for body in "abcd" if body not in bodies]


def test_job_sends_the_messages_that_are_listed_when_ids_are_given() -> None:
    """In their order, canaries first, whatever groups they are in."""
    world = filled()
    ids = {world.ports.archive.load(entry.key).body: entry.message_id for entry in world.index()}
    selection = Selection(message_ids=(ids["d"], ids["a"]))
    assert preview(world.ports, world.fleet, selection, world.now).count == 2
    job = world.work(create_job(world.ports, world.fleet, selection, world.job()))
    assert (job.state, world.bodies(), world.held_bodies()) == (JobState.DONE, ["d", "a"], ["b", "c"])
    with pytest.raises(PayloadError, match="message_id: no message"):
        create_job(world.ports, world.fleet, selection, world.job(id="job-2"))


def test_selection_that_holds_nothing_is_refused() -> None:
    """A job about nothing would only be found to be done."""
    world = filled()
    with pytest.raises(PayloadError, match="nothing of that is in fleet orders's quarantine"):
        create_job(world.ports, world.fleet, Selection(cause="nobody*"), world.job())


def test_group_is_left_out_of_all_when_it_is_muted() -> None:
    """Unless it is named, or was seen again since."""
    world = filled()
    muted = next(
        group for group in world.ports.ledger.failure_groups.failure_groups("orders") if "street" in group.cause
    )
    world.ports.ledger.failure_groups.mute_group("orders", muted.id, world.now)
    seen = preview(world.ports, world.fleet, ALL, world.now)
    assert (seen.count, seen.muted_groups) == (2, (muted.id,))
    assert preview(world.ports, world.fleet, Selection(failure_group=muted.id), world.now).count == 2
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    assert (job.state, job.progress.sent_count, world.held_bodies()) == (JobState.DONE, 2, ["b", "d"])
    world.quarantine_with("e", "KeyError: 'street'")
    assert preview(world.ports, world.fleet, ALL, world.now).count == 3


def fifo_world(*letters: tuple[str, str, str]) -> World:
    """A FIFO quarantine of (body, message group, shop), in this order."""
    world = World(fleet(fifo=True, max_retries=0))
    for body, message_group, shop in letters:
        world.put_dead(body, message_group=message_group, sluice_cause="Broken: it is", shop=shop)
        world.process()
        world.now += 1
    return world


def test_fifo_job_sends_what_is_selected_up_to_the_first_that_is_not() -> None:
    """Behind that one it would overtake; what stays is told before, and is in order for the next redrive."""
    world = fifo_world(("a1", "a", "x"), ("b1", "b", "y"), ("a2", "a", "y"), ("b2", "b", "x"), ("a3", "a", "x"))
    selection = Selection(attribute=("shop", "x"))
    seen = preview(world.ports, world.fleet, selection, world.now)
    assert (seen.count, seen.behind_count) == (1, 2)
    job = world.work(create_job(world.ports, world.fleet, selection, world.job()))
    assert (job.state, world.bodies(), world.held_bodies()) == (JobState.DONE, ["a1"], ["b1", "a2", "b2", "a3"])
    assert "2 more match, behind messages of their message group that do not: they stay." in job.note
    with pytest.raises(PayloadError, match="attribute: all 2 that match stand behind messages of their FIFO message"):
        create_job(world.ports, world.fleet, selection, world.job(id="job-2"))
    world.now += 1
    world.work(create_job(world.ports, world.fleet, ALL, world.job(id="job-3")))
    assert (world.bodies(), world.held_bodies()) == (["a1", "b1", "a2", "b2", "a3"], [])


def test_fifo_messages_are_sent_by_id_in_their_order_or_not_at_all() -> None:
    """Whatever the order in which they are named; one that would overtake is refused with the one it would overtake."""
    world = fifo_world(("a1", "a", "x"), ("a2", "a", "x"), ("b1", "b", "x"), ("a3", "a", "x"))
    a1, a2, b1, a3 = (entry.message_id for entry in world.index())
    with pytest.raises(PayloadError, match=f"message_ids: {a3} would overtake {a2} of its FIFO message group; name"):
        create_job(world.ports, world.fleet, Selection(message_ids=(a3, a1)), world.job())
    job = world.work(create_job(world.ports, world.fleet, Selection(message_ids=(b1, a2, a1)), world.job()))
    assert (job.state, world.bodies(), world.held_bodies()) == (JobState.DONE, ["a1", "b1", "a2"], ["a3"])


@pytest.mark.parametrize("seed", range(40))
def test_fifo_order_is_kept_whatever_a_narrowed_job_selects(seed: int) -> None:
    """Sent and left, one after the other, are each message group as it was; and no invocation knows of the last one."""
    random = Random(seed)
    letters = [(f"{n:02d}", random.choice("abc"), random.choice("xy")) for n in range(random.randint(1, 24))]
    world = fifo_world(*letters)
    since = random.choice([None, START + random.randint(0, 20)])
    selection = Selection(attribute=("shop", "x"), quarantined_from=since)
    seen = preview(world.ports, world.fleet, selection, world.now)
    if not seen.count:
        return
    job = create_job(world.ports, world.fleet, selection, world.job(rate_per_s=random.choice([1, 3])))
    while job.state is JobState.RUNNING:
        world.now += SOON + 1
        job = world.work(job, budget_s=1.0)
    sent, held = world.bodies(), world.held_bodies()
    assert (job.state, len(sent)) == (JobState.DONE, seen.count)
    for message_group in "abc":
        mine = [body for body, of, _ in letters if of == message_group]
        assert [body for body in (*sent, *held) if body in mine] == mine
    assert all(shop == "x" for body, _, shop in letters if body in sent)
    behind = [
        body for at, (body, _, shop) in enumerate(letters)
        if body in held and shop == "x" and START + at >= (since or 0)
    ]  # fmt: skip
    assert len(behind) == seen.behind_count


# --------------------------------------------------------------------------- another queue


def test_job_sends_to_another_fleets_queue_when_that_is_asked_for() -> None:
    """Of the same kind, by the fleet's name; what came from elsewhere goes there too."""
    world = filled()
    other = replace_fleet(world, "invoices")
    create_job(world.ports, world.fleet, ALL, world.job(), target_in(other, None))
    world.fleet_to = other
    job = world.ports.ledger.jobs.job("orders", "job-1")
    assert job is not None
    assert job.target.fleet == "invoices"
    world.work(job)
    assert (sorted(world.bodies(other.queue)), world.bodies()) == (["a", "b", "c", "d"], [])


@pytest.mark.parametrize(
    "source", ["arn:aws:sqs:local:210987654321:orders", "arn:aws:sqs:us-east-1:000000000000:orders"]
)
def test_dead_letter_of_a_namesake_elsewhere_goes_only_where_a_person_sends_it(source: str) -> None:
    """A queue of the same name in another account or region is another queue: kept, and never sent to this one."""
    world = World()
    world.put_dead("a", sluice_source=source)
    (result,) = world.process()
    assert (result.outcome, world.held_bodies()) == ("quarantined", ["a"])
    assert f"it came from {source}" in result.reason
    world.now += 1
    job = world.work(create_job(world.ports, world.fleet, ALL, world.job()))
    assert (job.progress.failed_count, world.bodies(), world.held_bodies()) == (1, [], ["a"])
    assert f"came from {source}, none of orders; to_queue says where to send it" in job.note
    world.fleet_to = replace_fleet(world, "invoices")
    world.work(create_job(world.ports, world.fleet, ALL, world.job(id="job-2"), target_in(world.fleet_to, None)))
    assert (world.bodies(world.fleet_to.queue), world.held_bodies()) == (["a"], [])


def test_job_to_a_queue_of_another_kind_is_refused() -> None:
    """A standard message has no message group, a FIFO one would lose its order."""
    world = filled()
    with pytest.raises(PayloadError, match=r"to: must be a standard queue, as orders is; orders\.fifo of fleet"):
        create_job(world.ports, world.fleet, ALL, world.job(), target_in(fleet(fifo=True), None))


def replace_fleet(world: World, name: str) -> Any:
    """Another fleet with a queue of its own."""
    queue = world.fleet.queue.replace("orders", name)
    world.ports.queue.create(queue)
    return world.fleet.model_copy(update={"name": name, "queue": queue, "dead_letter_queue": None})


# --------------------------------------------------------------------------- paused, resumed, stopped


def test_job_goes_on_where_it_was_when_it_is_resumed() -> None:
    """Nothing is sent in between; who did what is on the record."""
    world = filled()
    create_job(world.ports, world.fleet, ALL, world.job(rate_per_s=1))
    job = world.work(pause_job(world.ports, world.fleet, "job-1", "ada", world.now))
    assert (job.state, job.note, world.bodies()) == (JobState.PAUSED, "Paused by ada.", [])
    with pytest.raises(PayloadError, match="is paused: only one that is running can be paused"):
        pause_job(world.ports, world.fleet, "job-1", "ada", world.now)
    with pytest.raises(PayloadError, match="job job-1 is sending some of these already"):
        create_job(world.ports, world.fleet, ALL, world.job(id="job-2"))
    world.now += 3_600
    job = world.work(resume_job(world.ports, world.fleet, "job-1", "bob", world.now))
    assert (job.state, len(world.bodies())) == (JobState.DONE, 4)
    assert [(one.by, one.action) for one in job.actions] == [
        ("a test", "asked for it"), ("ada", "paused it"), ("bob", "resumed it"),
    ]  # fmt: skip
    with pytest.raises(PayloadError, match="is done: only one that is paused can be resumed"):
        resume_job(world.ports, world.fleet, "job-1", "bob", world.now)


def test_slice_ends_when_its_only_job_is_paused_meanwhile() -> None:
    """Its runner keeps the operator's pause when it writes its own progress, and no slice is due."""
    world = filled()
    job = create_job(world.ports, world.fleet, ALL, world.job(rate_per_s=1))

    def pause(call: Call) -> Fault | None:
        if call.method == "send":
            pause_job(world.ports, world.fleet, "job-1", "ada", world.now)
        return None

    assert world.slice(faulty_ports(world.ports, pause)).work(world.now + 20) is None
    after = world.ports.ledger.jobs.job("orders", job.id)
    assert after is not None
    assert (after.state, after.progress.sent_count, len(world.bodies())) == (JobState.PAUSED, 1, 1)


def test_paused_job_can_be_stopped_for_good() -> None:
    """A job that is over cannot be brought back."""
    world = filled()
    create_job(world.ports, world.fleet, ALL, world.job())
    pause_job(world.ports, world.fleet, "job-1", "ada", world.now)
    assert stop_job(world.ports, world.fleet, "job-1", "bob", world.now).state is JobState.STOPPED
    with pytest.raises(PayloadError):
        resume_job(world.ports, world.fleet, "job-1", "bob", world.now)


# --------------------------------------------------------------------------- how far it is


@pytest.mark.parametrize(
    ("changes", "fraction", "left_s"),
    [
        ({}, 0.25, 75.0),
        ({"next_at": START + 30}, 0.25, 105.0),
        ({"measured_per_s": 0.5}, 0.25, 150.0),
        ({"measured_per_s": 50.0}, 0.25, 75.0),
        ({"state": JobState.PAUSED}, 0.25, None),
        ({"state": JobState.DONE}, 1.0, None),
        ({"selected_count": 0}, 1.0, 0.0),
        ({"sent_count": 140}, 1.0, 0.0),
    ],
)
def test_forecast_tells_how_far_and_how_long(changes: dict[str, Any], fraction: float, left_s: float | None) -> None:
    """By its rate or its pace, whichever is slower, after what it waits for."""
    job = redrive_job(
        "j", "orders", JobState.RUNNING, START, "x", START, selected_count=100, sent_count=20, failed_count=5,
        rate_per_s=1.0,
    )  # fmt: skip
    seen = forecast(changed_job(job, **changes), START)
    assert (seen.done_fraction, seen.left_s) == (fraction, left_s)


# --------------------------------------------------------------------------- SQS's own move


def dead(count: int, **policy: Any) -> World:
    """So many dead letters in a queue that Sluice does not take by itself."""
    world = World(fleet(mode="manual", canary_count=1, **policy))
    for n in range(count):
        world.ports.queue.put(world.dead_letters, f"m{n}")
    return world


def moving(world: World, pace_per_s: float) -> RedriveJob:
    """A job whose canary is sent and watched, and that was timed at a pace."""
    job = create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job(rate_per_s=10_000))
    runner = world.runner()
    ramp = runner.step(job)
    assert ramp.progress.phase is JobPhase.RAMP
    return world.ports.ledger.jobs.keep_job(changed_job(ramp, measured_per_s=pace_per_s))


def test_move_task_brings_the_rest_back_when_it_is_faster() -> None:
    """The canary is ours, the rest is SQS's own: at most 500 a second."""
    world = dead(MOVE_COUNT_MIN + 1)
    job = world.work(moving(world, MOVE_MAX_PER_S - 1))
    assert (job.state, job.progress.sent_count, job.progress.phase) == (
        JobState.DONE,
        MOVE_COUNT_MIN + 1,
        JobPhase.MOVE,
    )
    assert len(world.bodies()) == MOVE_COUNT_MIN + 1
    assert "SQS's own move task" in job.note


@pytest.mark.parametrize(
    ("count", "pace_per_s", "policy"),
    [
        (MOVE_COUNT_MIN + 1, MOVE_MAX_PER_S + 1, {}),
        (MOVE_COUNT_MIN, MOVE_MAX_PER_S - 1, {}),
        (MOVE_COUNT_MIN + 1, MOVE_MAX_PER_S - 1, {"move_tasks": False}),
    ],
)
def test_move_task_is_not_used_when_it_is_not_faster_or_not_wanted(
    count: int, pace_per_s: float, policy: dict[str, Any]
) -> None:
    """Few messages, a job that is as fast itself, or a policy that wants every copy counted."""
    world = dead(count, **policy)
    job = world.work(moving(world, pace_per_s))
    assert (job.state, job.progress.sent_count, world.ports.queue.moves(world.dead_letters)) == (
        JobState.DONE,
        count,
        (),
    )


def test_move_task_is_not_used_when_something_was_left_behind() -> None:
    """It would take that along: here a letter of EventBridge, which never was in the fleet's queue."""
    world = World(fleet(mode="manual", canary_count=1))
    left = world.put_dead("left behind", moved=False, RULE_ARN="arn", ERROR_CODE="NO_PERMISSIONS")
    for n in range(MOVE_COUNT_MIN + 2):
        world.ports.queue.put(world.dead_letters, f"m{n}")
    job = moving(world, MOVE_MAX_PER_S - 1)
    assert job.progress.failed_count == 1
    job = world.work(job)
    assert job.progress.sent_count == MOVE_COUNT_MIN + 2
    assert world.ports.queue.moves(world.dead_letters) == ()
    assert [message.id for message in world.ports.queue.messages(world.dead_letters)] == [left]


@pytest.mark.parametrize(
    ("count", "policy", "said"),
    [(MOVE_COUNT_MIN + 1, {}, True), (MOVE_COUNT_MIN, {}, False), (MOVE_COUNT_MIN + 1, {"move_tasks": False}, False)],
)
def test_plan_says_what_a_move_task_takes_along_when_one_may_follow(
    count: int, policy: dict[str, Any], said: bool
) -> None:
    """Before the job starts, and in its record from the beginning."""
    world = dead(count, **policy)
    assert preview(world.ports, world.fleet, Selection(from_dead_letters=True), world.now).move_task is said
    job = create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job())
    assert (MOVE_NOTE in job.note) is said


def test_move_task_is_ended_when_the_dead_letter_queue_fills_again() -> None:
    """It stamps nothing, so that nothing tells whose they are: canaries are sent one by one, and judge the job."""
    world = dead(5_000)
    job = moving(world, 1.0)
    runner = world.runner()
    moved = runner.step(job)
    assert moved.progress.phase is JobPhase.MOVE
    world.now += 1
    first = runner.step(moved)
    for n in range(600):
        world.ports.queue.put(world.dead_letters, f"again {n}")
    last = runner.step(first)
    assert (last.state, last.progress.phase, last.move) == (JobState.RUNNING, JobPhase.CANARY, None)
    assert "The dead-letter queue filled again while SQS's own move task ran" in last.note
    assert not world.ports.queue.moves(world.dead_letters)[0].running
    job = world.work(changed_job(last, version=0), budget_s=60)
    assert (job.state, job.progress.sent_count) == (JobState.DONE, 5_000)


@pytest.mark.parametrize("hidden_first", [False, True])
def test_move_task_goes_on_when_another_reader_shows_what_it_hid(hidden_first: bool) -> None:
    """What is hidden counts as there, so that a queue which only shows it again has not filled."""
    world = dead(5_000)
    job = moving(world, 1.0)
    if hidden_first:
        world.ports.queue.receive(world.dead_letters, 400, 5.0)
    runner = world.runner()
    step = runner.step(job)
    for _ in range(3):
        world.now += 3
        step = runner.step(step)
        assert step.progress.phase is JobPhase.MOVE


def test_move_task_is_ended_when_its_job_is_paused() -> None:
    """And what it moved stays moved; the job goes on by itself when it is resumed."""
    world = dead(3_000)
    job = moving(world, 1.0)
    runner = world.runner()
    runner.step(job)
    world.now += 1
    pause_job(world.ports, world.fleet, "job-1", "ada", world.now)
    assert not world.ports.queue.moves(world.dead_letters)[0].running
    world.now += 60
    left_count = len(world.bodies(world.dead_letters))
    assert 2_000 < left_count < 3_000
    job = resume_job(world.ports, world.fleet, "job-1", "ada", world.now)
    assert (job.progress.phase, job.move, job.progress.sent_count) == (JobPhase.RAMP, None, 3_000 - left_count)
    world.now += SOON + 1
    job = world.work(world.ports.ledger.jobs.keep_job(changed_job(job, measured_per_s=None)), budget_s=600.0)
    assert (job.state, job.progress.sent_count, len(world.bodies())) == (JobState.DONE, 3_000, 3_000)


@pytest.mark.parametrize("phase", [JobPhase.RAMP, JobPhase.MOVE], ids=["begins", "watches"])
def test_move_task_is_ended_when_its_job_is_paused_in_the_midst_of_a_step(phase: JobPhase) -> None:
    """Whether the step begins the task, of which the operator's request cannot know, or looks at it."""
    world = dead(3_000)
    runner = world.runner()
    job = moving(world, 1.0)
    if phase is JobPhase.MOVE:
        job = runner.step(job)
        world.now += 1

    def meet(call: Call) -> Fault | None:
        if call.method == "keep_job" and world.ports.ledger.jobs.job("orders", "job-1").state is JobState.RUNNING:  # type: ignore[union-attr]
            pause_job(world.ports, world.fleet, "job-1", "ada", world.now)
            world.now += 1
        return None

    paused = replace(runner, ports=faulty_ports(world.ports, meet)).step(job)
    assert (paused.state, paused.progress.phase, paused.move) == (JobState.PAUSED, JobPhase.RAMP, None)
    assert not world.ports.queue.moves(world.dead_letters)[0].running
    world.now += SOON + 1
    assert paused.progress.sent_count == len(world.bodies())
    assert paused == world.ports.ledger.jobs.job("orders", "job-1")


def test_job_stops_when_somebody_else_ends_its_move_task() -> None:
    """They had a reason: what is left is not sent behind their back."""
    world = dead(3_000)
    runner = world.runner()
    job = moving(world, 1.0)
    job = runner.step(job)
    world.now += 1
    assert job.move is not None
    world.ports.queue.cancel_move(job.move.handle)  # type: ignore[union-attr] # it has begun
    last = runner.step(job)
    assert (last.state, last.note) == (JobState.STOPPED, "Stopped: SQS's move task was cancelled.")
    assert last.progress.sent_count == len(world.bodies()) < 3_000


def test_job_stands_as_it_did_when_the_move_task_cannot_be_started() -> None:
    """For a minute it is tried again."""
    world = dead(MOVE_COUNT_MIN + 1)
    ports = faulty_ports(
        world.ports,
        lambda call: Fault(When.BEFORE, TryLaterError("slow down")) if call.method == "start_move" else None,
    )
    job = world.work(moving(world, 1.0), ports)
    assert (job.state, job.progress.phase, job.progress.sent_count) == (JobState.RUNNING, JobPhase.RAMP, 1)
    job = world.work(job, ports, budget_s=600)
    assert (job.state, job.progress.sent_count) == (JobState.DONE, MOVE_COUNT_MIN + 1)
    assert "SQS did not start its own move task: slow down" in job.note


@pytest.mark.parametrize("method", ["start_move", "moves"])
@pytest.mark.parametrize("error", [RefusedError("not to a FIFO queue"), NeedsFixError("grant it")])
def test_job_goes_on_message_by_message_when_the_move_task_is_refused(method: str, error: PortError) -> None:
    """An optimisation that is refused holds no job; the job's record says why, and it is not asked for again."""
    world = dead(MOVE_COUNT_MIN + 1)
    asked: list[str] = []

    def refuse(call: Call) -> Fault | None:
        if call.method == method:
            asked.append(method)
        return Fault(When.BEFORE, error) if call.method == method else None

    job = world.work(moving(world, 1.0), faulty_ports(world.ports, refuse))
    assert (job.state, job.progress.sent_count, asked) == (JobState.DONE, MOVE_COUNT_MIN + 1, [method])
    why = f"SQS did not start its own move task: {error}"
    assert f"The rest is sent message by message. {why}." in job.note
    assert [(one.by, one.action) for one in job.actions[1:]] == [
        ("Sluice", f"sends message by message from here on. {why}")
    ]


def test_job_goes_on_message_by_message_when_the_move_task_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the task had moved counts, and the rest is sent."""
    world = dead(3_000)
    runner = world.runner()
    job = runner.step(moving(world, 1.0))
    world.now += 2
    (running,) = world.ports.queue.moves(world.dead_letters)
    failed = replace(running, running=False, problem="CouldNotDetermineMessageSource")
    world.ports.queue.cancel_move(running.handle or "")
    monkeypatch.setattr(world.ports.queue, "moves", lambda _: (failed,))
    job = watch_move(world.ports, world.dead_letters, job, world.clock)
    assert (job.progress.phase, job.move, job.progress.sent_count) == (JobPhase.RAMP, None, 1 + running.moved_count)
    assert "SQS's own move task failed: CouldNotDetermineMessageSource." in job.note


@pytest.mark.parametrize(("again_count", "state"), [(0, JobState.DONE), (7, JobState.CAME_BACK)])
def test_moved_job_is_not_done_when_the_dead_letter_queue_holds_what_may_be_its_own(
    again_count: int, state: JobState
) -> None:
    """SQS's move task stamps nothing: messages that were first sent since then may have come back."""
    world = dead(MOVE_COUNT_MIN + 1, canary_wait_s=30)
    job = create_job(world.ports, world.fleet, Selection(from_dead_letters=True), world.job(rate_per_s=10_000))
    world.now = world.runner().step(job).pacing.next_at
    ramp = world.ports.ledger.jobs.job("orders", job.id)
    assert ramp is not None
    job = world.work(world.ports.ledger.jobs.keep_job(changed_job(ramp, measured_per_s=1.0)))
    assert (job.state, job.progress.moved_count) == (JobState.WATCHING, MOVE_COUNT_MIN)
    for n in range(again_count):
        world.put_dead(f"again {n}")
    world.now = job.pacing.next_at
    job = world.work(job)
    assert job.state is state
    said = f"7 messages in the dead-letter queue may be of the {MOVE_COUNT_MIN} that SQS's own move task moved"
    assert (said in job.note) is bool(again_count)
