"""Lifecycle, Spot and Run Command events, consumers' reports, or a sweep each minute -> drain steps.

`sluice.draining.state_machine` judges, and `sluice.consumers.state_machine` what consumers say of themselves;
`sluice.draining.executor` and `sluice.consumers.tracker` write their records and carry out their actions,
`sluice.draining.sweep` finds what was missed. Here what came in is read, and given to the drain that it is about.
What fails is logged and left to the sweep. Only what is not on record yet, and what no sweep can find, is given back
to Lambda to try again.

It takes what AWS sends and nothing else: people ask the operator function. Whoever may invoke it can forge an event, so
that one counts only where AWS itself says the same: an instance is drained where Auto Scaling has it waiting at a hook,
and for a Spot interruption where it is a Spot Instance of a fleet's group. What consumers say counts of instances of
the group that they name.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer

from sluice.aws import stack_ports as _ports
from sluice.config.fleet import Fleet
from sluice.consumers.state_machine import LaunchStarted, ReportReceived
from sluice.consumers.tracker import ARRIVING, ConsumerTracker
from sluice.draining import payloads
from sluice.draining.events import (
    CommandReported,
    FoundPoolWaiting,
    FoundWaiting,
    InstanceGone,
    SpotInterruption,
    Terminating,
    Tick,
    event_for_state,
)
from sluice.draining.executor import DrainExecutor
from sluice.draining.fleet_directory import FleetDirectory
from sluice.draining.observations import our_hook, reported
from sluice.draining.state_machine import UNDER_WAY
from sluice.draining.sweep import SWEEP_S, Shift, Sweeper, may_time_out_before_sweep
from sluice.draining.telemetry import DrainTelemetry
from sluice.model.draining import CommandStatus, Drain
from sluice.model.payload_error import PayloadError
from sluice.operator.releases import to_response
from sluice.ports.errors import PortError, TryLaterError
from sluice.ports.ledger import DrainerLedger
from sluice.ports.stack import Ports
from sluice.redriving.context import Answer
from sluice.telemetry import Record, emit, keep_from, summed

# What a sweep leaves of the function's own timeout, to finish the step it is at.
MARGIN_S = 5.0
# An event may be here before Auto Scaling's own answers show what it tells of: pauses between the questions.
GROUP_LAG_PAUSES_S = (1.0, 2.0, 4.0)
# A consumer with nothing to do stops so fast that the command's end may be told before its id is on record.
COMMAND_RECORD_LAG_S = 0.5

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer()
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Sluice"))


@dataclass(slots=True)
class Drainer:
    """One invocation's work on drains, notice by notice."""

    ports: Ports[DrainerLedger]
    now: Callable[[], float]
    shift: Shift
    book: FleetDirectory
    telemetry: DrainTelemetry = field(init=False)
    runner: DrainExecutor = field(init=False)
    sweeper: Sweeper = field(init=False)

    def __post_init__(self) -> None:
        self.telemetry = DrainTelemetry(logger)
        self.runner = DrainExecutor(self.ports, self.now, self.shift.until, self.telemetry)
        self.sweeper = Sweeper(self.ports, self.now, self.shift, self.runner, self.telemetry)

    @property
    def tally(self) -> list[Record]:
        """What was counted so far."""
        return self.telemetry.tally

    def handle(self, notice: payloads.Notice) -> Answer:
        """Do what one notice asks for; what came of it, for whoever invoked.

        Raises:
            PortError: nothing is on record, or nothing could be swept. Lambda tries twice more; then its alarm and the
                queue for failures know of it.
            ExceptionGroup: a sweep met what it never should have; every fleet has been swept all the same.
        """
        told: Answer
        match notice:
            case payloads.HookNotice():
                told = self._hook(notice)
            case payloads.SpotNotice():
                told = self._spot(notice)
            case payloads.CommandNotice():
                told = self._command(notice)
            case payloads.ReportNotice():
                told = self._report(notice)
            case payloads.SweepNotice():
                fleets = self.book.all(0.0)
                self.sweeper.sweep(fleets)
                told = {"swept": [fleet.name for fleet in fleets]}
            case payloads.RebalanceNotice():
                logger.info("rebalance recommendation noted: nothing is drained for it", instance_id=notice.instance_id)
                told = {"noted": "rebalance recommendation", "instance_id": notice.instance_id}
            case payloads.TestNotice():
                logger.info("Auto Scaling's test notification has arrived")
                told = {"noted": "test notification"}
        return told

    def _hook(self, notice: payloads.HookNotice) -> Answer:
        hook = notice.hook
        fleet = self.book.managing(hook.group)
        ours = fleet and (fleet.launch.hook if notice.launching else fleet.drain.hook)
        if fleet is None or hook.hook != ours:
            logger.info("a lifecycle action that is not ours: left alone", group=hook.group, hook=hook.hook)
            return {"ignored": f"lifecycle action of hook {hook.hook} of group {hook.group} is not ours"}
        if not self._waits(fleet, notice):
            logger.warning(
                "Auto Scaling does not have the instance waiting at a hook: left to the sweep",
                fleet=fleet.name,
                instance_id=hook.instance_id,
            )
            return {
                "left": f"instance {hook.instance_id} does not wait at a hook of group {hook.group}, as far as Auto"
                " Scaling says: the sweep drains it if it does"
            }
        if notice.launching:
            return self._launching(fleet, notice)
        event = Terminating(fleet.name, hook, notice.at, notice.destination)
        drain = self.runner.advance_drain(fleet, hook.instance_id, (event, Tick()), None)
        if drain is not None and drain.state in UNDER_WAY and may_time_out_before_sweep(fleet):
            self.sweeper.tick_on([fleet])
        return to_response(fleet, hook.instance_id, drain)

    def _waits(self, fleet: Fleet, notice: payloads.HookNotice) -> bool:
        """Whether Auto Scaling itself says that the instance waits at such a hook; asked again while it may lag.

        Raises:
            PortError: Auto Scaling does not say.
        """
        hook = notice.hook
        for pause_s in (0.0, *GROUP_LAG_PAUSES_S):
            if pause_s:
                self.shift.sleep(pause_s)
            member = self.ports.group.membership(hook.instance_id)
            if member is None or member.group != fleet.group:
                return False
            if notice.launching:
                if member.aws_state in ARRIVING and member.aws_state.endswith(":Wait"):
                    return True
                if member.aws_state not in ARRIVING:
                    return False
                continue
            sight = event_for_state(fleet.name, our_hook(fleet, hook.instance_id), member.aws_state)
            if isinstance(sight, FoundWaiting | FoundPoolWaiting):
                return True
            if isinstance(sight, InstanceGone):
                return False
        return False

    def _launching(self, fleet: Fleet, notice: payloads.HookNotice) -> Answer:
        tracker = ConsumerTracker(self.ports, fleet, self.now)
        noted = tracker.apply(notice.hook.instance_id, LaunchStarted(notice.hook, notice.at))
        self.telemetry.tracked(fleet, tracker.result)
        return {"fleet": fleet.name, "instance_id": notice.hook.instance_id, "boot": noted and noted.boot.value}

    def _report(self, notice: payloads.ReportNotice) -> Answer:
        fleet, report = self.book.managing(notice.group), notice.report
        if fleet is None:
            return {"ignored": f"group {notice.group} is no fleet's"}
        known = self.ports.ledger.consumers.consumer(fleet.name, report.instance_id)
        if known is None:
            # What nobody has heard of yet must be in the group: a report makes no record of anything else.
            member = self.ports.group.membership(report.instance_id)
            if member is None or member.group != fleet.group:
                logger.warning(
                    "a report of an instance that its group does not have: ignored",
                    fleet=fleet.name,
                    instance_id=report.instance_id,
                )
                return {"ignored": f"instance {report.instance_id} is not in group {fleet.group}"}
        tracker = ConsumerTracker(self.ports, fleet, self.now)
        noted = tracker.apply(report.instance_id, ReportReceived(report), known)
        self.telemetry.tracked(fleet, tracker.result)
        told = {"fleet": fleet.name, "instance_id": report.instance_id, "boot": noted and noted.boot.value}
        event = reported(report.status, report.at)
        if event is None:
            return told
        drain = self.ports.ledger.drains.drain(fleet.name, report.instance_id)
        if drain is None or drain.state not in UNDER_WAY:
            return told
        drain = self.runner.advance_drain(fleet, report.instance_id, (event, Tick()), drain)
        return told | to_response(fleet, report.instance_id, drain)

    def _spot(self, notice: payloads.SpotNotice) -> Answer:
        member = self.ports.group.membership(notice.instance_id)
        fleet = None if member is None else self.book.managing(member.group)
        if fleet is None:
            return {"ignored": f"instance {notice.instance_id} is in no fleet's group"}
        if not self.ports.instances.is_spot(notice.instance_id):
            logger.warning(
                "a Spot interruption of what EC2 says is no Spot Instance: ignored",
                fleet=fleet.name,
                instance_id=notice.instance_id,
            )
            return {"ignored": f"instance {notice.instance_id} is no Spot Instance, says EC2"}
        event = SpotInterruption(fleet.name, notice.instance_id, notice.at)
        drain = self.runner.advance_drain(fleet, notice.instance_id, (event, Tick()), None)
        return to_response(fleet, notice.instance_id, drain)

    def _command(self, notice: payloads.CommandNotice) -> Answer:
        if notice.status in {CommandStatus.PENDING, CommandStatus.RUNNING}:
            return {"ignored": f"command {notice.command_id} has not ended: {notice.word}"}
        try:
            for fleet in self.book.all():
                drain = self._commanded(fleet, notice)
                if drain is None:
                    continue
                event = CommandReported(notice.command_id, self._refined(fleet, notice))
                drain = self.runner.advance_drain(fleet, notice.instance_id, (event, Tick()), drain)
                return to_response(fleet, notice.instance_id, drain)
        except PortError as error:
            logger.warning("a command's end is left to the sweep", problem=str(error), instance_id=notice.instance_id)
            return {"left": str(error)}
        return {"ignored": f"command {notice.command_id} is of no drain under way"}

    def _commanded(self, fleet: Fleet, notice: payloads.CommandNotice) -> Drain | None:
        """The drain that the command belongs to, if it is this fleet's."""
        drain = self.ports.ledger.drains.drain(fleet.name, notice.instance_id)
        if drain and drain.state in UNDER_WAY and drain.command_id is None:
            self.shift.sleep(COMMAND_RECORD_LAG_S)
            drain = self.ports.ledger.drains.drain(fleet.name, notice.instance_id)
        return drain if drain and drain.command_id == notice.command_id else None

    def _refined(self, fleet: Fleet, notice: payloads.CommandNotice) -> CommandStatus:
        """The event's Failed covers Undeliverable and Terminated, which say nothing of the consumer: ask."""
        if notice.status is not CommandStatus.FAILED:
            return notice.status
        try:
            return self.ports.instances.command(notice.command_id, notice.instance_id)
        except PortError as error:
            self.telemetry.failed(fleet, "a command's status could not be read", error, instance_id=notice.instance_id)
            return notice.status


def answer(payload: object, drainer: Drainer) -> Answer:
    """Read a payload and handle its notices, each by itself; what came of them.

    Raises:
        PortError, ExceptionGroup: as `Drainer.handle`, after the other notices of a batch.
    """
    try:
        found = payloads.read(payload, drainer.now())
    except PayloadError as error:
        logger.warning("a payload that is none of ours: dropped", problems=error.problems)
        return {"dropped": error.problems}
    answers: list[Answer] = []
    again: PortError | None = None
    for notice in found:
        try:
            answers.append(drainer.handle(notice))
        except PortError as error:
            log = logger.warning if isinstance(error, TryLaterError) else logger.error
            log("nothing is on record yet: Lambda is to try again", problem=str(error))
            again = error
    if again:
        raise again
    return answers[0] if len(answers) == 1 else {"answers": answers}


@cache
def _book() -> FleetDirectory:
    return FleetDirectory(_ports(), time.time, logger)


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer:
    """Lambda's entry: read the invocation, decide and apply, tell."""
    started_at = time.time()
    left_s = context.get_remaining_time_in_millis() / 1000
    minute_s = float(os.environ.get("SLUICE_MINUTE_S", "60"))  # an emulator's may be shorter
    shift = Shift(
        until=started_at + min(SWEEP_S * minute_s / 60, left_s - MARGIN_S),
        tick_s=float(os.environ.get("TICK_SECONDS", "10")),
        owner=context.aws_request_id,
        sleep=time.sleep,
    )
    drainer = Drainer(_ports(), time.time, shift, _book())

    try:
        return answer(event, drainer)
    finally:
        emit(metrics, summed(drainer.tally))
