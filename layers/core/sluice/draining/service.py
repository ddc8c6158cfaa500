"""The drainer's service: one invocation's event -> steps of drains, records of consumers, or a sweep; and a response.

    an event --> payloads --> is it so, says AWS? --> the drain it is about, advanced by an event --> a response
    a step of a fleet's chain --> a round over its drains under way --> the next step

`sluice.draining.state_machine` decides, `sluice.draining.executor` writes its records and carries out its actions,
`sluice.draining.rounds` keeps drains going, `sluice.draining.sweep` finds what was missed, `sluice.consumers.tracker`
does the same for consumers' own reports.

It takes what AWS sends and nothing else: operators ask the operator function. Whoever may invoke it can forge an event,
so that one counts only where AWS itself says the same: an instance is drained where Auto Scaling has it waiting at a
hook, for a Spot interruption where it is a Spot Instance of a fleet's group, and for an event of AWS Health
where EC2 has scheduled something. Consumers' reports count of instances
of the group that they name.

What fails is logged and left to the drain's chain. Only what is not on record yet, and what no sweep can find, is
raised, for Lambda to invoke again.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sluice.chains import ChainRunner
from sluice.config.fleet import Fleet
from sluice.consumers.state_machine import LaunchStarted, ReportReceived
from sluice.consumers.tracker import ARRIVING, ConsumerTracker
from sluice.draining import payloads
from sluice.draining.events import (
    CommandReported,
    Event,
    FoundPoolWaiting,
    FoundWaiting,
    SpotInterruption,
    Terminating,
    Tick,
    event_for_state,
)
from sluice.draining.executor import DrainExecutor
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.following import KIND, DrainFollower, chain_id
from sluice.draining.holding import WaitingHolder
from sluice.draining.observations import our_hook, reported
from sluice.draining.rounds import DrainRounds
from sluice.draining.scheduled import ScheduledReplacer
from sluice.draining.stop_report import advice, read_output
from sluice.draining.sweep import Sweeper
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.chain import Chain, Next
from sluice.model.consumers import Consumer, ConsumerStatus
from sluice.model.draining import UNDER_WAY, CommandStatus, Drain
from sluice.model.payload_error import PayloadError
from sluice.ports.errors import PortError, TryLaterError
from sluice.ports.ledger import DrainerLedger
from sluice.ports.stack import Ports
from sluice.telemetry import Log, Record

# An event may be here before Auto Scaling's own answers show what it reports: the group is looked at again after that.
GROUP_LAG_S = 5.0
# What an invocation leaves of the function's own timeout, to finish what it is at.
MARGIN_S = 5.0
# A step that is so late did not come: queue and hand-over take a second or two.
OVERDUE_S = 15.0

# Reports that change nothing about a drain: for these it is not read.
NOT_OF_DRAINS = frozenset({ConsumerStatus.READY, ConsumerStatus.IDLE})

type Response = dict[str, Any]


@dataclass(slots=True)
class DrainService:
    """One invocation's work on drains, payload by payload. `records` are its metrics."""

    ports: Ports[DrainerLedger]
    now: Callable[[], float]
    until: float  # epoch seconds: nothing more is begun then
    directory: FleetDirectory
    log: Log
    held_at: dict[str, float] = field(default_factory=dict)  # kept between invocations, as `WaitingHolder` has it
    telemetry: DrainTelemetry = field(init=False)
    executor: DrainExecutor = field(init=False)
    runner: ChainRunner = field(init=False)
    follower: DrainFollower = field(init=False)
    holder: WaitingHolder = field(init=False)
    replacer: ScheduledReplacer = field(init=False)

    def __post_init__(self) -> None:
        self.telemetry = DrainTelemetry(self.log)
        self.executor = DrainExecutor(self.ports, self.now, self.until, self.telemetry)
        self.runner = ChainRunner(self.ports.ledger.chains, self.ports.work, self.now)
        self.follower = DrainFollower(self.runner, self.telemetry)
        self.holder = WaitingHolder(self.ports, self.now, self.until, self.telemetry, self.held_at)
        self.replacer = ScheduledReplacer(self.ports, self.now, self.until, self.telemetry)

    @property
    def ends_at(self) -> float:
        """When Lambda ends this invocation, in epoch seconds."""
        return self.until + MARGIN_S

    @property
    def records(self) -> list[Record]:
        """The metrics so far."""
        return self.telemetry.records

    def take_step(self, event: Mapping[str, Any]) -> Response:
        """Do a step of a fleet's chain that the planner hands over; how it ended."""
        return self.runner.take_handed(event, KIND, self.ends_at, self._step, self.log)

    def _step(self, chain: Chain) -> Next | None:
        """Do a step of a fleet's chain; the chain of a fleet whose document is gone ends.

        Raises:
            PortError: the fleets' documents cannot be read.
        """
        name = chain.id.removeprefix(f"{KIND}/")
        fleet = self.directory.known(name)
        if fleet is None:
            self.log.warning("the fleet has no document any more: its drains are left alone", fleet=name)
            return None
        rounds = DrainRounds(self.ports, self.now, self.until, self.executor, self.holder, self.telemetry)
        return rounds.step(fleet, chain)

    def respond(self, event: object) -> Response:
        """Handle an event's payloads, each by itself; what came of them.

        An event that is not understood is logged and dropped: Lambda would only bring it again.

        Raises:
            PortError, ExceptionGroup: as `handle`, after the other payloads of a batch.
        """
        try:
            found = payloads.parse(event, self.now())
        except PayloadError as error:
            self.log.warning("payload is not understood and was dropped", problems=error.problems)
            return {"dropped": error.problems}
        responses: list[Response] = []
        failure: PortError | None = None
        for payload in found:
            try:
                responses.append(self.handle(payload))
            except PortError as error:
                log = self.log.warning if isinstance(error, TryLaterError) else self.log.error
                log("nothing is on record yet: Lambda invokes the function again", problem=str(error))
                failure = error
        if failure:
            raise failure
        return responses[0] if len(responses) == 1 else {"answers": responses}

    def handle(self, payload: payloads.Payload) -> Response:
        """Do what one payload asks for; what came of it, for whoever invoked.

        Raises:
            PortError: nothing is on record, or nothing could be swept. Lambda tries twice more; then its alarm and the
                queue for failures know of it.
            ExceptionGroup: a sweep met unexpected errors; every fleet has been swept all the same.
        """
        response: Response
        match payload:
            case payloads.HookPayload():
                response = self._at_hook(payload)
            case payloads.SpotPayload():
                response = self._interrupted(payload)
            case payloads.CommandPayload():
                response = self._command_ended(payload)
            case payloads.ReportPayload():
                response = self._reported(payload)
            case payloads.SweepPayload():
                response = {"swept": self._sweep()}
            case payloads.RebalancePayload():
                self.log.info("rebalance recommendation: no drain begins for it", instance_id=payload.instance_id)
                response = {"noted": "rebalance recommendation", "instance_id": payload.instance_id}
            case payloads.HealthPayload():
                response = self.replacer.answer(payload.instance_ids, self.directory)
            case payloads.TestPayload():
                self.log.info("test notification of Auto Scaling received")
                response = {"noted": "test notification"}
        return response

    # ----------------------------------------------------------------- the sweep

    def _sweep(self) -> int:
        """Find what was missed, and do the steps that did not come; how many fleets there are.

        Raises:
            PortError, ExceptionGroup: as `handle`.
        """
        fleets = self.directory.all(0.0)
        try:
            chains = self.ports.ledger.chains.chains(KIND)
        except PortError:
            self.holder.hold(fleets)
            raise
        sweeper = Sweeper(self.ports, self.now, self.until, self.follower, self.holder, self.replacer, self.telemetry)
        try:
            sweeper.sweep(fleets, {chain.id for chain in chains})
        finally:
            stuck = self._do_overdue(chains)
            self.holder.hold([fleet for fleet in fleets if chain_id(fleet.name) in stuck])
        return len(fleets)

    def _do_overdue(self, chains: Iterable[Chain]) -> set[str]:
        """Do the steps that are overdue: steps come by way of the planner, and drains go on while it cannot run.

        Returns:
            The ids of the chains whose steps could not be done.
        """
        stuck: set[str] = set()
        for chain in sorted(chains, key=lambda one: one.due_at):
            now = self.now()
            if now >= self.until or now < chain.due_at + OVERDUE_S:
                break
            if chain.at_work_until <= now:
                late_s = round(now - chain.due_at)
                self.log.warning("a step of drains did not come: the sweep does it", chain=chain.id, late_s=late_s)
                if self.runner.do(chain.step, self.ends_at, self._step, self.log) is None:
                    stuck.add(chain.id)
        return stuck

    # ----------------------------------------------------------------- an instance waits at a hook

    def _at_hook(self, payload: payloads.HookPayload) -> Response:
        hook = payload.hook
        fleet = self.directory.managing(hook.group, look_again=True)
        ours = fleet and (fleet.launch.hook if payload.launching else fleet.drain.hook)
        if fleet is None or hook.hook != ours:
            self.log.info("lifecycle action of another tool's hook: ignored", group=hook.group, hook=hook.hook)
            return {"ignored": f"lifecycle action of hook {hook.hook} of group {hook.group} is not ours"}
        if not self._waits(fleet, payload):
            return self._leave(fleet, payload)
        if payload.launching:
            launch = self._track(fleet, hook.instance_id, LaunchStarted(hook, payload.at), None)
            return _boot_response(fleet, hook.instance_id, launch)
        event = Terminating(fleet.name, hook, payload.at, payload.destination)
        return to_response(fleet, hook.instance_id, self._advance(fleet, hook.instance_id, event, None))

    def _waits(self, fleet: Fleet, payload: payloads.HookPayload) -> bool:
        """Whether Auto Scaling itself says that the instance waits at such a hook.

        Raises:
            PortError: Auto Scaling does not say.
        """
        instance_id = payload.hook.instance_id
        member = self.ports.group.membership(instance_id)
        if member is None or member.group != fleet.group:
            return False
        if payload.launching:
            return member.aws_state in ARRIVING and not member.aws_state.endswith(":Proceed")
        found = event_for_state(fleet.name, our_hook(fleet, instance_id), member.aws_state)
        return isinstance(found, FoundWaiting | FoundPoolWaiting)

    def _leave(self, fleet: Fleet, payload: payloads.HookPayload) -> Response:
        """Auto Scaling's answers may lag behind its event: look at the group again in a moment."""
        self.log.warning(
            "Auto Scaling does not show the instance waiting at a hook: it is read again in a moment",
            fleet=fleet.name,
            instance_id=payload.hook.instance_id,
        )
        if not payload.launching:
            self.follower.check_by(fleet, self.now() + GROUP_LAG_S)
        return {
            "left": f"Auto Scaling does not show instance {payload.hook.instance_id} waiting at a hook of group"
            f" {fleet.group}: it is drained once it does"
        }

    # ----------------------------------------------------------------- Spot, commands and consumers

    def _interrupted(self, payload: payloads.SpotPayload) -> Response:
        instance_id = payload.instance_id
        member = self.ports.group.membership(instance_id)
        fleet = None if member is None else self.directory.managing(member.group)
        if fleet is None:
            return {"ignored": f"instance {instance_id} is in no fleet's group"}
        if not self.ports.instances.is_spot(instance_id):
            self.log.warning(
                "Spot interruption ignored: EC2 says that the instance is no Spot Instance",
                fleet=fleet.name,
                instance_id=instance_id,
            )
            return {"ignored": f"EC2 says that instance {instance_id} is no Spot Instance"}
        drain = self._advance(fleet, instance_id, SpotInterruption(fleet.name, instance_id, payload.at), None)
        return to_response(fleet, instance_id, drain)

    def _command_ended(self, payload: payloads.CommandPayload) -> Response:
        instance_id = payload.instance_id
        if payload.status in {CommandStatus.PENDING, CommandStatus.RUNNING}:
            return {"ignored": f"command {payload.command_id} has not ended: {payload.aws_status}"}
        try:
            drain = self.ports.ledger.drains.of_command(payload.command_id, instance_id)
            fleet = None if drain is None else self.directory.known(drain.fleet)
            if drain is None or fleet is None:
                return {"ignored": f"no drain under way has command {payload.command_id}"}
            status = self._status_of(fleet, payload)
            event = CommandReported(payload.command_id, status, self._advice(fleet, payload, status))
            return to_response(fleet, instance_id, self._advance(fleet, instance_id, event, drain))
        except PortError as error:
            self.log.warning(
                "a command's end could not be handled: left to the drain's chain",
                problem=str(error),
                instance_id=instance_id,
            )
            return {"left": str(error)}

    def _status_of(self, fleet: Fleet, payload: payloads.CommandPayload) -> CommandStatus:
        """The event's Failed covers Undeliverable and Terminated, which do not say how the consumer is: ask."""
        if payload.status is not CommandStatus.FAILED:
            return payload.status
        try:
            return self.ports.instances.command(payload.command_id, payload.instance_id)
        except PortError as error:
            self.telemetry.failed(fleet, "a command's status could not be read", error, instance_id=payload.instance_id)
            return payload.status

    def _advice(self, fleet: Fleet, payload: payloads.CommandPayload, status: CommandStatus) -> str:
        """What there is to mend in how the fleet's units stop, by the first stop that this process sees; or nothing."""
        first = (fleet.name, fleet.drain.order)
        ended = status in {CommandStatus.SUCCEEDED, CommandStatus.KILLED}
        if not ended or fleet.drain.container or first in self.directory.stops_read:
            return ""
        try:
            output = self.ports.instances.stop_output(payload.command_id, payload.instance_id)
        except PortError as error:
            self.telemetry.failed(fleet, "a stop's output could not be read", error, instance_id=payload.instance_id)
            return ""
        self.directory.stops_read.add(first)
        return " ".join(advice(read_output(output), fleet.drain.deadline_s))

    def _reported(self, payload: payloads.ReportPayload) -> Response:
        report = payload.report
        fleet = self.directory.managing(payload.group) or self._drained_from(payload.group, report.instance_id)
        if fleet is None:
            return {"ignored": f"group {payload.group} is no fleet's"}
        instance_id = report.instance_id
        known = self.ports.ledger.consumers.consumer(fleet.name, instance_id)
        if known is None:
            # An instance without a record must be in the group: a report makes no record of anything else.
            member = self.ports.group.membership(instance_id)
            if member is None or member.group != payload.group:
                self.log.warning(
                    "consumer's report ignored: its instance is not in the fleet's group",
                    fleet=fleet.name,
                    instance_id=instance_id,
                )
                return {"ignored": f"instance {instance_id} is not in group {payload.group}"}
        consumer = self._track(fleet, instance_id, ReportReceived(report), known)
        response = _boot_response(fleet, instance_id, consumer)
        event = None if consumer is None or report.status in NOT_OF_DRAINS else reported(consumer)
        if event is None:
            return response
        drain = self.ports.ledger.drains.drain(fleet.name, instance_id)
        if drain is None or drain.state not in UNDER_WAY:
            return response
        return response | to_response(fleet, instance_id, self._advance(fleet, instance_id, event, drain))

    def _drained_from(self, group: str, instance_id: str) -> Fleet | None:
        """The fleet that drains an instance of a group that was its group when the drain began, and is no longer."""
        entries = self.ports.ledger.drains.unreleased()
        for name in (entry.fleet for entry in entries if entry.instance_id == instance_id):
            drain = self.ports.ledger.drains.drain(name, instance_id)
            if drain is not None and drain.hook is not None and drain.hook.group == group:
                return self.directory.known(name)
        return None

    # ----------------------------------------------------------------- records

    def _track(
        self, fleet: Fleet, instance_id: str, event: LaunchStarted | ReportReceived, known: Consumer | None
    ) -> Consumer | None:
        """Put on record what an event makes of a consumer; the record as it is now."""
        tracker = ConsumerTracker(self.ports, fleet, self.now)
        consumer = tracker.apply(instance_id, event, known)
        self.telemetry.consumers_tracked(fleet, tracker.result)
        return consumer

    def _advance(self, fleet: Fleet, instance_id: str, event: Event, drain: Drain | None) -> Drain | None:
        """Advance a drain by an event and by the time, and have it looked at when it needs it; the record as it is."""
        after = self.executor.advance_drain(fleet, instance_id, (event, Tick()), drain)
        self.follower.follow(fleet, after, drain)
        return after


def to_response(fleet: Fleet, instance_id: str, drain: Drain | None) -> Response:
    """Where an instance's drain stands, as JSON."""
    state = {"state": drain.state.value, "note": drain.note} if drain else {"state": None}
    return {"fleet": fleet.name, "instance_id": instance_id, **state}


def _boot_response(fleet: Fleet, instance_id: str, consumer: Consumer | None) -> Response:
    """How far an instance has come on its way into service, as JSON."""
    return {"fleet": fleet.name, "instance_id": instance_id, "boot": consumer and consumer.boot.value}
