"""How a consumer's stop ended and what it printed, over ports in memory."""

import pytest

from sluice.memory import Call, Fault, When
from sluice.model.draining import CommandStatus, DrainOutcome, DrainState
from sluice.ports.errors import TryLaterError
from tests.support.drainer_day import Day, a_fleet, commanded

SHORT = (
    "sluice-stop unit=consumer.service kill_mode=control-group stop_timeout_s=90\nunit consumer.service has stopped\n"
)
ADVICE = (
    "Unit consumer.service has a TimeoutStopSec of 90 s, which is shorter than drain.deadline_s (15 min). Sluice raises"
    " it for its own stops alone: set TimeoutStopSec=900 in the unit"
)


def stop(day: Day, instance_id: str, status: CommandStatus = CommandStatus.SUCCEEDED) -> str:
    """Drain an instance whose stop ends like that; the note of the drain."""
    day.ports.instances.outputs[instance_id] = SHORT
    day.invoke(day.terminate(instance_id))
    day.wait(5)
    day.ports.instances.answer(instance_id, status)
    (command,) = [one for one in day.ports.instances.commands if one.instance_id == instance_id]
    day.invoke(commanded(command, "Success" if status is CommandStatus.SUCCEEDED else "Failed"))
    drain = day.ports.ledger.drains.drain(day.fleet.name, instance_id)
    assert drain is not None
    return drain.note


def test_drain_is_interrupted_and_counted_once_when_its_consumer_was_killed() -> None:
    """It is neither completed nor expired, the instance is released at once, and an operator is told."""
    day = Day()
    (instance_id,) = day.instances()
    note = stop(day, instance_id, CommandStatus.KILLED)
    assert note.startswith("instance released: unit consumer.service was killed before it had finished")
    day.sweep(then_s=1_000)
    drain = day.ports.ledger.drains.drain("orders", instance_id)
    assert drain is not None
    assert (drain.state, drain.outcome) == (DrainState.RELEASED, DrainOutcome.INTERRUPTED)
    counted = day.metrics()
    assert (counted["DrainsInterrupted"], counted["DrainsReleased"]) == (1, 1)
    assert not {"DrainsCompleted", "DrainsExpired", "DrainsGone", "DrainsLate"} & {*counted}


def test_killed_consumer_is_told_when_the_event_is_lost() -> None:
    """A round reads the command's status by itself."""
    day = Day()
    (instance_id,) = day.instances()
    day.invoke(day.terminate(instance_id))
    day.wait(5)
    day.ports.instances.answer(instance_id, CommandStatus.KILLED)
    day.wait(120)
    assert day.state(instance_id) is DrainState.RELEASED
    assert day.metrics()["DrainsInterrupted"] == 1


def test_first_drain_of_a_fleet_says_what_to_mend_in_its_unit() -> None:
    """Later ones of the same process say no more, and read no more."""
    day = Day(size=3)
    first, *others = day.instances()
    assert stop(day, first) == f"instance released: its consumer has stopped. {ADVICE}"
    assert [stop(day, other) for other in others] == ["instance released: its consumer has stopped"] * 2
    assert sum(count for call, count in day.calls.items() if call.endswith("stop_output")) == 1


def test_drain_ends_when_a_stops_output_cannot_be_read() -> None:
    """The next drain says it."""
    failing = True

    def decide(call: Call) -> Fault | None:
        away = Fault(When.BEFORE, TryLaterError("ThrottlingException"))
        return away if failing and call.method == "stop_output" else None

    day = Day(size=2, decide=decide)
    first, second = day.instances()
    assert stop(day, first) == "instance released: its consumer has stopped"
    failing = False
    assert stop(day, second) == f"instance released: its consumer has stopped. {ADVICE}"


@pytest.mark.parametrize("drain", [{"container": "worker"}, {"deadline_s": 90, "longest_s": 90}])
def test_nothing_is_said_when_there_is_nothing_to_mend(drain: dict[str, object]) -> None:
    """A container has no unit, and a unit may have enough time."""
    day = Day(a_fleet(**drain))
    (instance_id,) = day.instances()
    assert stop(day, instance_id) == "instance released: its consumer has stopped"
