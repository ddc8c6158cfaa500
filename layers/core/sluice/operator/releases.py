"""An operator's release of an instance: checked against its state in Auto Scaling, carried out and answered."""

from sluice.config.fleet import Fleet
from sluice.draining.events import FoundPoolWaiting, FoundRetained, FoundWaiting, OperatorRelease, event_for_state
from sluice.draining.executor import DrainExecutor
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.following import DrainFollower
from sluice.draining.observations import our_hook
from sluice.draining.service import to_response
from sluice.model.draining import UNDER_WAY, Drain
from sluice.model.frozen import dataclass
from sluice.model.payload_error import PayloadError
from sluice.ports.ledger import DrainerLedger
from sluice.ports.stack import Ports
from sluice.redriving.context import Answer
from sluice.redriving.payloads import ReleaseRequest, read_request
from sluice.telemetry import Log


@dataclass(frozen=True, slots=True)
class Releaser:
    """Releases instances within one invocation."""

    ports: Ports[DrainerLedger]
    directory: FleetDirectory
    executor: DrainExecutor
    follower: DrainFollower
    log: Log

    def release(self, asked: object, by: str) -> Answer:
        """Complete the lifecycle action of an instance, or end the instance that its group retained.

        Args:
            asked: the request, such as {"fleet": "orders", "instance_id": "i-0123456789abcdef0"}.
            by: who asks, if the request does not name anyone.

        Returns:
            The state of the instance's drain after that, as JSON.

        Raises:
            PayloadError: there is no such fleet, its group does not have the instance, or nothing holds the instance.
            PortError: AWS refuses a call or does not answer.
        """
        request = read_request(ReleaseRequest, "release", asked)
        fleet = self.directory.named(request.fleet)
        if fleet is None:
            names = ", ".join(sorted(one.name for one in self.directory.all())) or "none"
            raise PayloadError(f"release.fleet: there is no fleet {request.fleet}; there is {names}")
        record = self.ports.ledger.drains.drain(fleet.name, request.instance_id)
        self._check(fleet, request.instance_id, record)
        self.log.info(
            "releasing an instance at an operator's request",
            fleet=fleet.name,
            instance_id=request.instance_id,
            requested_by=request.requested_by or by,
        )
        event = OperatorRelease(fleet.name, our_hook(fleet, request.instance_id, record))
        after = self.executor.advance_drain(fleet, request.instance_id, (event,), record)
        self.follower.follow(fleet, after)
        return to_response(fleet, request.instance_id, after)

    def _check(self, fleet: Fleet, instance_id: str, record: Drain | None) -> None:
        """Refuse a release that nothing is there for.

        Raises:
            PayloadError: the group does not have the instance, or does not hold it.
        """
        member = self.ports.group.membership(instance_id)
        hook = our_hook(fleet, instance_id, record)
        if member is None or member.group != hook.group:
            where = "in no Auto Scaling group" if member is None else f"in Auto Scaling group {member.group}"
            raise PayloadError(
                f"release.instance_id: {instance_id} is {where}, not in {hook.group}, the group of fleet"
                f" {fleet.name}. Nothing was released"
            )
        held = event_for_state(fleet.name, hook, member.aws_state)
        under_way = record is not None and record.state in UNDER_WAY
        if not isinstance(held, FoundWaiting | FoundPoolWaiting | FoundRetained) and not under_way:
            raise PayloadError(
                f"release.instance_id: {instance_id} is {member.aws_state} in {fleet.group}, where no lifecycle hook"
                " holds it. Nothing was released"
            )
