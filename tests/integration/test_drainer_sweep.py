"""The drainer's sweep and rounds over ports in memory: missed events, heartbeats, signs of life, and what is kept."""

from collections.abc import Callable
from typing import Any

import pytest

from sluice.config.fleet import Fleet, LaunchPolicy
from sluice.memory import (
    Call,
    Fault,
    Hook,
    When,
)
from sluice.model.chain import Chain
from sluice.model.consumers import BootState, Consumer
from sluice.model.draining import (
    CommandStatus,
    CompleteHook,
    DrainOutcome,
    DrainState,
    HookAction,
)
from sluice.model.redriving import Message
from sluice.ports.errors import TryLaterError
from tests.support.drainer_day import START, SWEEP, Day, a_fleet, report

# --------------------------------------------------------------------------- the sweep


def test_missed_termination_is_found_when_its_event_was_lost() -> None:
    """Delivery is best effort; the group's own list is not."""
    day = Day()
    (instance_id,) = day.instances()
    day.terminate(instance_id)  # and its event goes astray
    day.wait(60)
    day.at(80, lambda: day.ports.instances.answer(instance_id, CommandStatus.SUCCEEDED))
    day.sweep(55)
    assert day.state(instance_id) is DrainState.RELEASED


def test_drain_is_released_when_its_instance_has_left_by_itself() -> None:
    """Terminated behind our back: the record says so, and the metric too."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.ports.group.complete_hook(HookAction(day.fleet.group, day.fleet.drain.hook, instance_id), app_continue())
    day.sweep(55)
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.outcome) == (DrainState.RELEASED, DrainOutcome.GONE)


def app_continue() -> Any:
    """CONTINUE, as another tool would say it."""
    return CompleteHook(HookAction("", "", "")).result


def test_sweep_keeps_the_hook_alive_when_its_timeout_is_shorter_than_a_minute() -> None:
    """Hook timeout 30 s, heartbeats every 10: the chain does not wait for a sweep."""
    day = Day(a_fleet(hook_timeout_s=30, heartbeat_s=10, deadline_s=600))
    (instance_id,) = day.instances()
    event = day.terminate(instance_id)
    day.invoke(event)
    day.wait(251)
    assert day.now > START + 250
    assert day.instances() == [instance_id]
    assert day.state(instance_id) is DrainState.STOPPING
    assert day.metrics()["HeartbeatsSent"] >= 25


def test_hook_is_kept_alive_when_a_heartbeat_is_due_more_often_than_a_retry() -> None:
    """Heartbeats of five seconds; one that failed is sent again after five seconds, and not after ten."""
    failed = iter([Fault(When.BEFORE, TryLaterError("throttled"))])
    day = Day(
        a_fleet(hook_timeout_s=12, heartbeat_s=5, deadline_s=600),
        decide=lambda call: next(failed, None) if call.method == "heartbeat" else None,
    )
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.wait(55)
    assert day.instances() == [instance_id]
    assert day.metrics()["HeartbeatsSent"] >= 9


def test_heartbeats_end_and_the_instance_goes_when_the_deadline_passes() -> None:
    """A consumer that ignores SIGTERM holds its instance until the deadline, and not longer."""
    day = Day(a_fleet(deadline_s=300))
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    while day.instances() and day.now < START + 1_000:
        day.sweep(55)
        day.wait(60 - (day.now - START) % 60)
    assert 300 <= day.now - START <= 370
    assert day.metrics()["DrainsExpired"] == 1
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert drain.heartbeats.count <= 300 / 45


def test_one_chain_goes_on_when_two_sweeps_come_together() -> None:
    """What both send again does one step: heartbeats are not doubled."""
    day = Day()
    (instance_id,) = day.instances()
    day.terminate(instance_id)
    for _ in range(2):
        day.invoke(SWEEP)
    day.wait(40)
    day.invoke(SWEEP)
    day.invoke(SWEEP)
    day.wait(60)
    assert day.metrics()["HeartbeatsSent"] == 3, "one when it is found, and then one in 45 s"
    assert len(day.ports.ledger.chains.chains("drains")) == 1


def test_drains_go_on_when_their_chain_is_lost() -> None:
    """The chain's record is gone, and then its message is lost: the sweep goes on from the index, and does the step."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    (chain,) = day.ports.ledger.chains.chains("drains")
    assert day.ports.ledger.chains.end(chain)
    day.ports.work.messages.clear()
    day.wait(60)
    assert day.metrics()["HeartbeatsSent"] == 0
    day.sweep()
    assert day.metrics()["HeartbeatsSent"] == 1
    day.ports.work.messages.clear()
    day.wait(60)
    assert day.metrics()["HeartbeatsSent"] == 1
    day.invoke(SWEEP)
    assert day.metrics()["HeartbeatsSent"] == 2, "its message was lost: the sweep does the step itself"


def lost_step(late_s: float) -> tuple[Day, Chain]:
    """A drain whose step is so many seconds overdue, and whose message was lost."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    (chain,) = day.ports.ledger.chains.chains("drains")
    day.ports.work.messages.clear()
    day.now = chain.due_at + late_s
    return day, chain


@pytest.mark.parametrize(("late_s", "done_count"), [(14.0, 0), (16.0, 1)])
def test_sweep_does_a_step_when_it_is_overdue(late_s: float, done_count: int) -> None:
    """Steps come by way of the planner: while that fails, drains go on from minute to minute."""
    day, _ = lost_step(late_s)
    before = day.calls["MemoryChains.claim"]
    day.invoke(SWEEP)
    assert day.calls["MemoryChains.claim"] - before == done_count


def test_sweep_leaves_a_step_alone_when_a_worker_is_at_it() -> None:
    """Whoever has the chain goes on with it, or Lambda ends that worker."""
    day, chain = lost_step(30)
    assert day.ports.ledger.chains.claim(chain.step, day.now + 60, day.now)
    before = day.calls["MemoryChains.claim"]
    day.invoke(SWEEP)
    assert day.calls["MemoryChains.claim"] == before


def test_other_steps_are_done_when_the_sweep_meets_an_error() -> None:
    """What the sweep raises at its end does not keep drains waiting."""
    day, _ = lost_step(30)

    def broken(call: Call) -> Fault | None:
        return Fault(When.BEFORE, ValueError("broken")) if call.method == "fleets" else None

    day.decide = broken
    with pytest.raises(ValueError, match="broken"):
        day.invoke(SWEEP)
    day.decide = lambda _: None
    assert day.metrics()["HeartbeatsSent"] == 1


def test_chain_ends_when_its_fleet_has_no_document_any_more(drainer_log: Callable[[], list[dict[str, Any]]]) -> None:
    """No policy is left to drain by; the log names the fleet."""
    day = Day(a_fleet(), a_fleet("mail"))
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.ports.fleets.drop("orders")
    day.wait(120)
    assert day.ports.ledger.chains.chains("drains") == ()
    (line,) = [line for line in drainer_log() if "has no document any more" in line["message"]]
    assert line["fleet"] == "orders"


@pytest.mark.parametrize("count", [1, 400])
def test_sweep_costs_six_calls_when_nothing_is_to_be_done(count: int) -> None:
    """Documents, chains, index, groups, EC2's events, and which fleets have consumers: no call more for a fleet more.

    In memory `read_all` is one call; on AWS it is one for a hundred groups.
    """
    day = Day(*(a_fleet(f"fleet-{number}") for number in range(count)), size=0)
    day.sweep(55)
    reads = ("MemoryFleets.load", "MemoryChains.chains", "MemoryDrains.unreleased", "MemoryGroup.read_all")
    assert day.calls == dict.fromkeys((*reads, "MemoryInstances.scheduled", "MemoryConsumers.fleets"), 1)


def test_consumers_are_read_only_of_fleets_that_have_any() -> None:
    """A launch hook, or a consumer that ever reported; its activities only where a launch is under way."""
    hooked = a_fleet("hooked").model_copy(update={"launch": LaunchPolicy(hook="sluice-ready")})
    day = Day(hooked, a_fleet("reporting"), a_fleet("silent"))
    (instance_id,) = day.instances(day.fleets[1])
    day.invoke(report(instance_id, "busy", day.now, "reporting-consumers"))
    day.calls.clear()
    read: list[str] = []
    day.decide = lambda call: read.append(call.args[0]) if call.method == "consumers" else None
    day.wait(600)  # its start is not asked for any more
    day.sweep()
    assert sorted(read) == ["hooked", "reporting"]
    assert day.calls["MemoryGroup.launches"] == 0


def test_sweep_stops_at_its_time_when_there_is_more_than_it_can_do() -> None:
    """What is left is the next sweep's, for which the chains that were made cost nothing."""
    day = Day(*(a_fleet(f"fleet-{number}") for number in range(30)))
    for fleet in day.fleets:
        day.terminate(*day.instances(fleet), fleet)

    def slow(_: Call) -> Fault | None:
        day.now += 1.0
        return None

    day.decide = slow
    day.invoke(SWEEP, lasts_s=30)
    assert day.now < START + 40
    made = len(day.ports.ledger.chains.chains("drains"))
    assert 0 < made < 30
    day.decide = lambda _: None
    day.sweep(30)
    assert len(day.ports.ledger.drains.unreleased()) == 30


def test_heartbeat_is_sent_when_the_group_cannot_be_read() -> None:
    """A throttled Describe costs no heartbeat: the ledger is enough to go on."""
    throttled = Fault(When.BEFORE, TryLaterError("throttled"))
    day = Day(decide=lambda call: throttled if call.method == "read_all" else None)
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.ports.instances.answer(instance_id, CommandStatus.RUNNING)
    day.wait(50)
    assert day.metrics()["HeartbeatsSent"] == 1
    assert day.metrics()["DrainCallsFailed"] >= 1


def test_other_fleets_are_swept_when_one_is_broken() -> None:
    """A missing group, then a fault nobody thought of: the next fleet's missed termination is found all the same."""
    day = Day(a_fleet("broken"), a_fleet())
    day.fleet = day.fleets[1]
    (instance_id,) = day.instances()
    (other,) = day.instances(day.fleets[0])
    day.terminate(instance_id)
    day.ports.group.drop("broken-consumers")
    day.sweep(1)
    assert day.state(instance_id) is DrainState.STOPPING
    day.ports.ledger.consumers.keep_consumer(Consumer("broken", other, BootState.READY, day.now))
    day.ports.group.create("broken-consumers")
    day.decide = lambda call: Fault(When.BEFORE, ZeroDivisionError()) if call.args[:1] == ("broken",) else None
    with pytest.raises(ExceptionGroup):
        day.sweep()
    day.wait(60)
    assert day.metrics()["HeartbeatsSent"] == 2, "one when found, one in the chain"


def test_log_names_the_chain_when_its_round_meets_an_unexpected_error(
    drainer_log: Callable[[], list[dict[str, Any]]],
) -> None:
    """In the midst of one drain, whose own keys of the log end with it. The chain tries again after a while."""
    day = Day()
    (instance_id,) = day.instances()
    day.terminate(instance_id)
    day.decide = lambda call: Fault(When.BEFORE, ZeroDivisionError()) if call.method == "keep_drain" else None
    day.sweep(1)
    (line,) = [line for line in drainer_log() if line["message"] == "unexpected error in a chain's step"]
    assert (line["level"], line.get("chain"), line.get("instance_id")) == ("ERROR", "drains/orders", None)
    day.decide = lambda _: None
    day.wait(10)
    assert day.state(instance_id) is DrainState.STOPPING


def test_round_stops_at_its_time_when_there_is_more_than_it_can_do() -> None:
    """What is left is the next step's, a second later, which begins with the most urgent."""
    day = Day(size=30)
    for instance_id in day.instances():
        day.terminate(instance_id)
    day.invoke(SWEEP)

    def slow(_: Call) -> Fault | None:
        day.now += 1.0
        return None

    day.decide = slow
    (step,) = day.ports.work.receive()
    day.take(step, lasts_s=20)
    assert START + 20 <= day.now < START + 30
    found = len(day.ports.ledger.drains.all_of("orders"))
    assert 0 < found < 30
    day.now += 2
    (step,) = day.ports.work.receive()
    day.take(step, lasts_s=20)
    assert len(day.ports.ledger.drains.all_of("orders")) > found


# --------------------------------------------------------------------------- signs of life, and what is kept


def test_instance_goes_at_once_when_its_machine_has_ended() -> None:
    """A crash: nobody answers, and EC2 says that the machine is gone. No deadline is waited for."""
    day = Day()
    (instance_id,) = day.instances()
    day.ports.instances.machines_ended.add(instance_id)
    day.invoke(day.terminate(instance_id))
    assert day.state(instance_id) is DrainState.NOTICED
    day.wait(60)
    day.sweep(55)
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
        day.sweep(55)
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
        day.sweep(55)
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
        day.sweep(55)
        day.wait(60 - (day.now - START) % 60)
    assert held_s[0] <= day.now - START <= held_s[1]


def test_failed_drain_is_kept_and_counted_until_an_operator_releases_it() -> None:
    """Past its deadline: abandoned, retained, counted each minute with age and cost, terminated by a release."""
    day = Day(a_fleet(deadline_s=60, keep_failed=True, hourly_cost=2.0))
    hooks = (Hook(day.fleet.drain.hook, timeout_s=120),)
    day.ports.group.create(day.fleet.group, desired=1, hooks=hooks, retains=True)
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.sweep(55)
    day.sweep(55)
    assert day.state(instance_id) is DrainState.RETAINED
    assert day.ports.group.read(day.fleet.group).instances[0].aws_state == "Terminating:Retained"
    day.wait(3_600)
    before = len(day.records)
    day.sweep(55)
    response = {name: value for _, name, _, value in day.records[before:]}
    assert response["InstancesRetained"] == 1
    assert response["RetainedAge"] == pytest.approx(3_650, abs=60)
    assert response["RetainedCost"] == pytest.approx(2.0, abs=0.1)
    second = day.release(instance_id)
    assert second["state"] == "retained"
    day.sweep(55)
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.outcome) == (DrainState.RELEASED, DrainOutcome.TERMINATED)
    assert day.metrics()["DrainsRetained"] == 1
