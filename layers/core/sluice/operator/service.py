"""Answers one request of an operator: what may be asked for, and what is refused.

An operator's requests come from the widget, the command line or a direct invocation. `sluice.redriving.commands`
answers those about dead letters, `sluice.operator.releases` answers the releases of instances.

Permission follows from this list. AWS's own events (batches of records, lifecycle, Spot and Run Command events,
schedules, consumers' reports) are refused here: the redriver and the drainer take them. So whoever may invoke the
operator function can do what its requests do, and nothing else.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from sluice.chains import ChainRunner
from sluice.draining.executor import DrainExecutor
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.following import DrainFollower
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.frozen import dataclass
from sluice.operator.releases import Releaser
from sluice.ports.ledger import OperatorLedger
from sluice.ports.stack import Ports
from sluice.redriving.commands import JOB_COMMANDS, OperatorCommands
from sluice.redriving.context import Answer, RedriveContext

WIDGET: Final = "widgetContext"  # CloudWatch adds this key to the event of a widget's button
# An error repeats at most so many of an event's keys, and so many characters of them: an event may hold anything.
KEYS_SHOWN = 20
KEYS_SHOWN_CHARACTERS = 500


@dataclass(slots=True)
class OperatorService(RedriveContext):
    """One invocation at work on one request."""

    ports: Ports[OperatorLedger]

    def requests(self) -> Mapping[str, Callable[[object, str], Answer]]:
        """Every request by its key: each takes what was asked and who asks, and returns the answer."""
        commands = OperatorCommands(self)
        # The releases' metric records go to this invocation's own tally.
        telemetry = DrainTelemetry(self.log, self.records)
        executor = DrainExecutor(self.ports, self.now, self.invocation.until, telemetry)
        follower = DrainFollower(ChainRunner(self.ports.ledger.chains, self.ports.work, self.now), telemetry)
        releaser = Releaser(self.ports, FleetDirectory(self.ports, self.now, self.log), executor, follower, self.log)
        return {
            "redrive": commands.redrive,
            "status": commands.job_status,
            **{kind: partial(commands.act_on_job, kind) for kind in JOB_COMMANDS},
            "mute": commands.mute_group,
            "edit": commands.edit,
            "restore": commands.restore,
            "quarantine": commands.quarantine,
            "peek": commands.peek_dead_letters,
            "release": releaser.release,
        }

    def answer(self, event: object) -> Answer:
        """Do what a request asks.

        Args:
            event: `{"<request>": {...}}`, from a widget with `widgetContext` beside it.

        Returns:
            The answer as JSON; `{"error": ...}` where the event is no request, or the request failed.
        """
        requests = self.requests()
        keys = [str(key) for key in event if key != WIDGET] if isinstance(event, Mapping) else [type(event).__name__]
        if isinstance(event, Mapping) and len(keys) == 1 and keys[0] in requests:
            (kind,) = keys
            requested_by = "the widget" if WIDGET in event else "an invoke"
            return self.tried(kind, lambda: requests[kind](event[kind], requested_by))
        found = ", ".join(sorted(keys)[:KEYS_SHOWN])[:KEYS_SHOWN_CHARACTERS] or "nothing"
        self.log.warning("refused an event that is not an operator's request", keys=sorted(keys)[:KEYS_SHOWN])
        return {
            "error": "event: must be one request, such as"
            ' {"redrive": {"fleet": ..., "all": true}} or {"release": {"fleet": ..., "instance_id": ...}}'
            f" (got {found}). The requests are {', '.join(requests)}. Only the redriver and the drainer take what AWS"
            " sends (SQS batches, lifecycle, Spot and Run Command events, schedules, consumers' reports)"
        }
