"""Run Command in the drains' world: a stop reaches its instance soon, or never."""

from typing import TYPE_CHECKING

from sluice.memory import (
    Command,
)
from sluice.model.draining import CommandStatus
from sluice_tools.chaos.drain_events import command_event
from sluice_tools.chaos.drain_scene import BEGIN_S, Consumer

if TYPE_CHECKING:
    from sluice_tools.chaos.drain_world import World


class StopCommands:
    """Stops that the drainer has sent."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def command_sent(self, command: Command) -> None:
        """Run Command has taken a stop: it reaches the instance soon, or never."""
        world = self.world
        consumer = world.consumers[command.instance_id]  # of this life of the instance: its end ends the command too
        world.tell(f"command {command.id[:8]} to stop {command.instance_id}")
        if world.happens(world.chances.instances.lost_command):
            # Never received: it stays pending until both of its timeouts are over.
            expired_s = BEGIN_S + command.timeout_s
            world.after(expired_s, lambda: self._end_command(command, consumer, CommandStatus.UNKNOWN, "TimedOut"))
        else:
            world.after(world.rng.uniform(0.05, 3.0), lambda: self._begin_stop(command, consumer))

    def _begin_stop(self, command: Command, consumer: Consumer) -> None:
        """SIGTERM, or no answer from a machine that is gone."""
        world = self.world
        if consumer.dead_at is not None:
            return
        command.status = CommandStatus.RUNNING
        if consumer.siblings:
            world.behaviour.ask_all(command.instance_id, consumer)
        consumer.asked_at = world.now if consumer.asked_at is None else consumer.asked_at
        if consumer.stubborn:
            world.after(5.0, lambda: self._end_command(command, consumer, CommandStatus.FAILED, "Failed"))
            return
        ends_at = command.sent_at + command.timeout_s
        finished_at = max((each.asked_at or 0.0) + each.work_s for each in consumer.all)
        left_s = max(0.0, finished_at - world.now)
        if consumer.hangs or world.now + left_s > ends_at:
            late_s = max(0.0, ends_at - world.now)
            world.after(late_s, lambda: self._end_command(command, consumer, CommandStatus.UNKNOWN, "TimedOut"))
        if not consumer.hangs:
            world.after(left_s, lambda: self._end_command(command, consumer, CommandStatus.SUCCEEDED, "Success"))

    def _end_command(self, command: Command, consumer: Consumer, status: CommandStatus, aws_status: str) -> None:
        """A command ends, unless it had, or its machine is gone."""
        world = self.world
        if consumer.dead_at is not None:
            return
        if status is CommandStatus.SUCCEEDED and consumer.ended_at is None:
            for each in consumer.all:
                each.stopped_at = each.stopped_at or world.now
            world.tell(f"{command.instance_id}: its consumer has stopped")
        if command.status in {CommandStatus.PENDING, CommandStatus.RUNNING}:
            command.status = status
            world.cloud.deliver(command_event(command, aws_status, world.now), f"command {command.id[:8]} {aws_status}")
