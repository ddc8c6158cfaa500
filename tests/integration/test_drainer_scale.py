"""A thousand fleets that drain at the same time, over ports in memory: heartbeats, and what they cost in calls."""

import sys

from sluice.model.draining import CommandStatus, Drain, DrainState
from tests.support.drainer_day import SWEEP, Day, a_fleet

FLEETS = 1_000
MINUTES = 3
# What a step may be late: SQS delays by whole seconds, and each invocation of the test takes no time.
LATE_S = 2.0


def test_every_draining_instance_gets_its_heartbeats_when_there_are_a_thousand_fleets() -> None:
    """Every event is lost: one sweep finds them all, and no hook's timeout is reached, at any place in the list."""
    day = Day(*(a_fleet(f"fleet-{number:04}") for number in range(FLEETS)))
    for fleet in day.fleets:
        for instance_id in day.instances(fleet):
            day.terminate(instance_id, fleet)
    day.invoke(SWEEP)
    sweep = dict(day.calls)
    day.wait(1)
    for command in day.ports.instances.commands:
        command.status = CommandStatus.RUNNING
    day.calls.clear()
    longest_s = 0.0
    for _ in range(MINUTES):
        for _ in range(6):
            day.wait(10)
            beats = (drain.heartbeats.last_at for drain in unreleased(day))
            longest_s = max(longest_s, *(day.now - (at or 0.0) for at in beats))
        day.invoke(SWEEP)
    for fleet in day.fleets:
        states = [instance.aws_state for instance in day.ports.group.read(fleet.group).instances]
        assert states == ["Terminating:Wait"], fleet.name
    assert {drain.state for drain in unreleased(day)} == {DrainState.STOPPING}
    assert longest_s <= day.fleet.drain.heartbeat_interval_s + LATE_S
    per_minute = {call: round(count / FLEETS / MINUTES, 2) for call, count in sorted(day.calls.items())}
    say(f"\n{FLEETS} fleets, one draining instance each. The sweep that found them: {sweep}")
    say(f"calls a fleet and minute: {sum(per_minute.values()):.1f}, {per_minute}")
    say(f"longest time without a heartbeat: {longest_s:.0f} s of {day.fleet.drain.hook_timeout_s:.0f} s")
    # Full checks once a minute, heartbeats, and in the first two minutes the command's status each ten seconds.
    assert sum(per_minute.values()) < 40


def say(line: str) -> None:
    """A figure, for whoever runs this with `-s`."""
    sys.stdout.write(f"{line}\n")


def unreleased(day: Day) -> list[Drain]:
    """Every drain that is not over."""
    drains = day.ports.ledger.drains
    found = [drains.drain(entry.fleet, entry.instance_id) for entry in drains.unreleased()]
    assert len(found) == FLEETS
    return [drain for drain in found if drain is not None]
