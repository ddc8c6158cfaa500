"""Sluice, or what it needs, is away for ten minutes while twenty instances drain: none is killed for it."""

from collections.abc import Iterable
from typing import Any

import pytest

from sluice.memory import Call, Command, Fault, Hook, When, faulty_ports
from sluice.model.draining import CommandStatus, DrainOutcome, DrainState
from sluice.ports.errors import PortError, TryLaterError
from tests.support.drainer_day import Day, a_fleet

AWAY_S = 600
WORK_S = 1_500  # what each consumer takes to finish: longer than anything is away
DEADLINE_S = 3_600
SIZE = 20
DEFAULT: dict[str, Any] = {"hook_timeout_s": 1_800, "heartbeat_s": None}
SHORT: dict[str, Any] = {"hook_timeout_s": 120, "heartbeat_s": 45}


class Drained(Day):
    """Twenty instances that drain, the ports that are away from one minute on, and a sweep each minute."""

    def __init__(self, away: Iterable[str], **drain: Any) -> None:
        super().__init__(a_fleet(deadline_s=DEADLINE_S, **drain), size=SIZE)
        self.away = frozenset(away)
        self.decide = self._fails
        self.began_at = self.now
        self.waiting = self.instances()

    def is_away(self, what: str) -> bool:
        """Whether it is away now."""
        return what in self.away and 60 <= self.now - self.began_at < 60 + AWAY_S

    def _fails(self, call: Call) -> Fault | None:
        ledger = {type(getattr(self.ports.ledger, name)).__name__ for name in ("drains", "chains", "consumers")}
        away = (call.port == "MemoryFleets" and self.is_away("parameters")) or (
            call.port in ledger and self.is_away("ledger")
        )
        return Fault(When.BEFORE, TryLaterError("away")) if away else None

    def pass_minutes(self, minutes: int) -> None:
        """Sweeps and steps come, as far as the function is there to take them."""
        for _ in range(minutes):
            if self.is_away("function"):
                self.ports.work.messages.clear()  # what came meanwhile is tried in vain, and lost
                self.now += 60
                self.ports.group.settle()
                continue
            try:
                self.sweep()
            except PortError:  # Lambda invokes again, and tells an alarm of it
                assert self.is_away("ledger")
            self.wait(60)
            self.ports.group.settle()

    def begin(self) -> None:
        """The group ends every instance, and its events come."""
        for instance_id in self.waiting:
            self.invoke(self.terminate(instance_id))
            self.ports.instances.answer(instance_id, CommandStatus.RUNNING)

    def check_held(self) -> None:
        """All twenty are still there, at their work."""
        there = {one.id: one.aws_state for one in self.ports.group.read(self.fleet.group).instances}
        assert there == dict.fromkeys(self.waiting, "Terminating:Wait")

    def check_finished(self) -> None:
        """Each consumer finishes, and its drain is completed by Sluice."""

        def finish(command: Command) -> None:
            command.status = CommandStatus.SUCCEEDED

        for command in self.ports.instances.commands:
            finish(command)
        self.ports.instances.on_stop = finish  # some are asked again: their hook may have timed out meanwhile
        self.pass_minutes(3)
        drains = [self.ports.ledger.drains.drain("orders", instance_id) for instance_id in self.waiting]
        assert {(drain.state, drain.outcome) for drain in drains if drain} == {
            (DrainState.RELEASED, DrainOutcome.COMPLETED)
        }


@pytest.mark.parametrize(
    ("away", "drain"),
    [
        pytest.param(["function"], DEFAULT, id="function"),
        pytest.param(["ledger"], SHORT, id="ledger"),
        pytest.param(["parameters"], SHORT, id="parameters"),
        pytest.param(["ledger", "parameters"], SHORT, id="ledger and parameters"),
        pytest.param(["function", "ledger", "parameters"], DEFAULT, id="all of it"),
    ],
)
def test_nobody_is_killed_when_it_is_away_for_ten_minutes(away: list[str], drain: dict[str, Any]) -> None:
    """Without ledger and documents even hooks of two minutes hold; without the function, those of the default do."""
    day = Drained(away, **drain)
    day.begin()
    day.pass_minutes(WORK_S // 60)
    day.check_held()
    day.check_finished()


def test_everybody_is_killed_when_the_function_is_away_and_the_hook_is_short() -> None:
    """What the default was once: three minutes were enough. That is why a short hook is told by `sluice doctor`."""
    day = Drained(["function"], **SHORT)
    day.begin()
    day.pass_minutes(4)
    assert day.instances() == []


def test_instance_is_held_when_its_drain_began_while_the_ledger_was_away() -> None:
    """Nothing of it can be put on record: its event is refused, and the sweep holds it until the ledger is back."""
    day = Drained(["ledger"], **SHORT)
    day.pass_minutes(2)
    for instance_id in day.waiting:
        with pytest.raises(TryLaterError):
            day.invoke(day.terminate(instance_id))
    day.pass_minutes(8)
    day.check_held()
    day.pass_minutes(5)
    day.check_held()
    day.check_finished()


def test_instances_are_held_when_the_ledger_can_be_read_and_not_written() -> None:
    """A chain that cannot be claimed sends no heartbeat: the sweep does."""
    day = Drained([], **SHORT)
    day.begin()
    writes = {"claim", "keep_drain", "start", "ask", "rest", "end"}
    day.decide = lambda call: Fault(When.BEFORE, TryLaterError("away")) if call.method in writes else None
    day.pass_minutes(10)
    day.check_held()
    day.decide = lambda _: None
    day.check_finished()


def test_each_instance_gets_one_heartbeat_an_interval_when_the_ledger_is_away() -> None:
    """The function remembers whom it has held: Auto Scaling is not asked for all of them each minute."""
    day = Drained(["ledger"], hook_timeout_s=900, heartbeat_s=300)
    day.begin()
    day.pass_minutes(1)
    before = day.calls["MemoryGroup.heartbeat"]
    day.pass_minutes(10)
    assert SIZE * 2 <= day.calls["MemoryGroup.heartbeat"] - before <= SIZE * 3


def test_instance_of_another_tools_hook_is_not_asked_for_each_minute_when_the_ledger_is_away() -> None:
    """Our hook does not hold it: one probe an interval tells."""
    day = Drained(["ledger"], hook_timeout_s=900, heartbeat_s=300)
    day.ports.group.drop(day.fleet.group)
    day.ports.group.create(day.fleet.group, max_size=SIZE, desired=SIZE, hooks=(Hook("logs", timeout_s=3_600),))
    day.pass_minutes(2)
    for instance_id in day.instances():
        day.terminate(instance_id)
    before = day.calls["MemoryGroup.heartbeat"]
    day.pass_minutes(4)
    assert day.calls["MemoryGroup.heartbeat"] - before <= SIZE


def test_first_invocation_fails_when_no_document_was_ever_read() -> None:
    """A process that knows no group can hold nobody: the alarm of the function's failures is told."""
    day = Day()
    day.seen = faulty_ports(
        day.ports, lambda call: Fault(When.BEFORE, TryLaterError("away")) if call.port == "MemoryFleets" else None
    )
    day.directory.ports = day.seen
    with pytest.raises(TryLaterError):
        day.sweep()


def test_chain_goes_on_when_its_fleets_document_cannot_be_read() -> None:
    """A fleet that is not known while documents are away is not one whose document is gone."""
    day = Drained(["parameters"], **SHORT)
    day.begin()
    day.directory._fleets = ()
    day.pass_minutes(5)
    assert day.ports.ledger.chains.chains("drains")
