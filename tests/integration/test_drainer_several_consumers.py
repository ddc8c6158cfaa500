"""Several consumers on one instance over ports in memory: what one reports says nothing of the others."""

import pytest

from sluice.model.consumers import BootState
from sluice.model.draining import CommandStatus, DrainState
from tests.support.drainer_day import Day, a_fleet, report, with_launch_hook


def say(day: Day, instance_id: str, **states: str) -> None:
    """Each consumer, by name, reports its state."""
    for name, state in states.items():
        day.invoke(report(instance_id, state, day.now, consumer=name))


def is_protected(day: Day, instance_id: str) -> bool:
    """Whether the group protects the instance from scale-in."""
    instances = day.ports.group.read(day.fleet.group).instances
    return next(instance.protected for instance in instances if instance.id == instance_id)


def test_instance_is_held_when_one_of_two_consumers_is_done_and_the_other_is_at_work() -> None:
    """Scenario: the idle consumer is done at once; its instance is released when the other one is done as well."""
    day = Day(a_fleet(via="self"))
    (instance_id,) = day.instances()
    say(day, instance_id, a="idle", b="busy")
    day.wait(5)
    day.invoke(day.terminate(instance_id))
    day.wait(2)
    say(day, instance_id, b="draining", a="done")
    for _ in range(5):
        day.wait(60)
        assert day.state(instance_id) is DrainState.STOPPING
        say(day, instance_id, b="draining", a="done")
    day.wait(10)
    say(day, instance_id, b="done")
    assert day.state(instance_id) is DrainState.RELEASED
    assert "DrainsExpired" not in day.metrics()


@pytest.mark.parametrize("status", ["busy", "idle", "ready"])
def test_deadline_decides_when_a_consumer_died_without_a_word(status: str) -> None:
    """Nothing tells that it ended: its instance is held, and no longer than the deadline."""
    day = Day(a_fleet(via="self", deadline_s=600))
    (instance_id,) = day.instances()
    say(day, instance_id, a="idle", b=status)
    day.wait(5)
    day.invoke(day.terminate(instance_id))
    day.wait(2)
    say(day, instance_id, a="done")
    day.wait(590)
    assert day.state(instance_id) is DrainState.STOPPING
    day.wait(15)
    assert day.state(instance_id) is DrainState.RELEASED
    assert day.metrics()["DrainsExpired"] == 1


def test_silence_decides_when_the_fleet_has_a_longest_silence() -> None:
    """The consumer that is done gives no sign of life for the one that died."""
    day = Day(a_fleet(via="self", deadline_s=7_200, silence_s=300))
    (instance_id,) = day.instances()
    say(day, instance_id, a="idle", b="busy")
    day.wait(5)
    day.invoke(day.terminate(instance_id))
    for _ in range(5):
        say(day, instance_id, a="done")
        day.wait(62)
    assert day.state(instance_id) is DrainState.RELEASED


def test_running_stop_is_waited_for_when_all_known_consumers_report_done() -> None:
    """Scenario: Run Command stops two units, of which one reports nothing. The stop's own end counts."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.ports.instances.answer(instance_id, CommandStatus.RUNNING)
    day.wait(5)
    day.invoke(report(instance_id, "done", day.now))
    day.wait(120)
    assert day.state(instance_id) is DrainState.STOPPING
    day.ports.instances.commands[-1].status = CommandStatus.SUCCEEDED
    day.wait(65)
    assert day.state(instance_id) is DrainState.RELEASED


def test_consumers_end_the_drain_when_no_stop_can_be_delivered() -> None:
    """Without an agent no stop is under way for long: once it is known lost, the consumers' reports count."""
    day = Day()
    (instance_id,) = day.instances()
    say(day, instance_id, a="idle", b="idle")
    day.wait(5)
    day.invoke(day.terminate(instance_id))
    day.wait(2)
    say(day, instance_id, a="done", b="done")
    assert day.state(instance_id) is DrainState.STOPPING, "the stop may be on its way"
    day.wait(130)
    assert day.state(instance_id) is DrainState.RELEASED
    assert "DrainsExpired" not in day.metrics()


def test_protection_is_kept_when_one_consumer_is_idle_and_another_is_busy() -> None:
    """Scenario: the idle report of one lifted the protection that the busy report of the other had set."""
    day = Day(size=2)
    instance_id, _ = day.instances()
    say(day, instance_id, a="busy", b="busy")
    day.sweep(1)
    assert is_protected(day, instance_id)
    say(day, instance_id, b="idle")
    day.sweep(1)
    assert is_protected(day, instance_id)
    day.wait(10)
    say(day, instance_id, a="idle")
    day.sweep(1)
    assert not is_protected(day, instance_id)


def test_protection_ends_when_the_busy_consumer_crashed_beside_an_idle_one() -> None:
    """Three minutes after its last report: the idle consumer does not keep it up."""
    day = Day(size=2)
    instance_id, _ = day.instances()
    say(day, instance_id, a="busy", b="idle")
    day.sweep(1)
    assert is_protected(day, instance_id)
    day.wait(180)
    say(day, instance_id, b="idle")
    day.sweep(1)
    assert not is_protected(day, instance_id)


def test_later_drain_is_not_held_when_a_consumer_crashed_long_before() -> None:
    """It crashed in service and came back under another name: the sweep forgets the old one."""
    day = Day(a_fleet(via="self"))
    (instance_id,) = day.instances()
    say(day, instance_id, a="idle", pid7="busy")
    for _ in range(16):
        day.sweep(60)
        say(day, instance_id, pid9="busy")
    day.invoke(day.terminate(instance_id))
    day.wait(2)
    say(day, instance_id, a="done", pid9="done")
    assert day.state(instance_id) is DrainState.RELEASED


def test_instance_counts_when_the_first_of_its_consumers_is_ready() -> None:
    """The others may need longer; one that fails later takes nothing back."""
    day = with_launch_hook()
    (instance_id,) = day.instances()
    say(day, instance_id, a="ready")
    day.wait(1)
    say(day, instance_id, b="failed")
    assert day.ports.group.read(day.fleet.group).instances[0].aws_state == "InService"
    known = day.ports.ledger.consumers.consumer("orders", instance_id)
    assert known is not None
    assert (known.boot, [each.consumer for each in known.reports]) == (BootState.READY, ["a", "b"])


def test_job_of_two_hours_is_finished_when_its_consumer_reports_progress() -> None:
    """Scenario: a job of two hours is held, though its deadline is a quarter of an hour and a sibling is done."""
    day = Day(a_fleet(via="self", deadline_s=900))
    (instance_id,) = day.instances()
    say(day, instance_id, a="idle", b="busy")
    day.wait(5)
    day.invoke(day.terminate(instance_id))
    for _ in range(120):
        day.wait(60)
        say(day, instance_id, a="done", b="draining")
        assert day.state(instance_id) is DrainState.STOPPING
    day.wait(10)
    say(day, instance_id, b="done")
    assert day.state(instance_id) is DrainState.RELEASED
    metrics = day.metrics()
    assert (metrics["DrainsCompleted"], metrics.get("DrainsExpired", 0)) == (1, 0)


def test_job_is_finished_when_its_reports_are_lost_for_ten_minutes() -> None:
    """Sluice itself may be away for so long: one report holds for another deadline."""
    day = Day(a_fleet(via="self", deadline_s=900))
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    for _ in range(6):
        day.wait(60)
        day.invoke(report(instance_id, "draining", day.now))
        day.wait(600)
        assert day.state(instance_id) is DrainState.STOPPING


def test_drain_counts_once_when_it_expires() -> None:
    """Scenario: it was counted as expired and as completed."""
    day = Day(a_fleet(via="self", deadline_s=300))
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.wait(310)
    assert day.state(instance_id) is DrainState.RELEASED
    metrics = day.metrics()
    assert (metrics["DrainsExpired"], metrics.get("DrainsCompleted", 0), metrics["DrainsReleased"]) == (1, 0, 1)
