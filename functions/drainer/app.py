"""Lifecycle, Spot and Run Command events, consumers' reports, a sweep each minute, or a person's word -> drain steps.

`sluice.draining` judges, and `sluice.launching` what consumers say of themselves; `sluice.drain_steps` and
`sluice.minding` write their records and carry out their actions, `sluice.sweeping` finds what was missed. Here what
came in is read, and given to the drain that it is about. What fails is logged and left to the sweep. Only what is not
on record yet, and what no sweep can find, is given back to Lambda to try again.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from sluice import notices
from sluice.config import QUEUES_PATH, Fleet
from sluice.drain_events import CommandTold, Release, Spot, Terminating, Tick
from sluice.drain_news import our_hook, reported
from sluice.drain_steps import DrainRunner
from sluice.drain_telling import Record, Teller, Unit
from sluice.draining import UNDER_WAY
from sluice.launching import Launching, Said
from sluice.log import keep_from
from sluice.minding import Minder
from sluice.model import CommandStatus, Drain
from sluice.ports import LoadedFleets, PortError, Ports, TryLaterError
from sluice.sweeping import SWEEP_S, Shift, Sweeper, outruns_sweep

# What a sweep leaves of the function's own timeout, to finish the step it is at.
MARGIN_S = 5.0
# Many instances end at once, and each is told of alone: the documents are not read anew for each. Parameter Store
# gives an account 40 reads a second.
FLEETS_KEPT_S = 60.0
# A consumer with nothing to do stops so fast that the command's end may be told before its id is on record.
RACE_S = 0.5

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer()
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Sluice"))

type Answer = dict[str, Any]


@dataclass(slots=True)
class FleetBook:
    """The fleets' documents, kept for a while between invocations."""

    ports: Ports
    now: Callable[[], float]
    _fleets: tuple[Fleet, ...] = ()
    _unread: tuple[PortError, ...] = ()
    _read_at: float | None = None

    def all(self, kept_s: float = FLEETS_KEPT_S) -> tuple[Fleet, ...]:
        """Every fleet, as read at most `kept_s` ago; one whose document is invalid as its last usable version says.

        Raises what the port raises.
        """
        if self._read_at is None or self.now() - self._read_at >= kept_s:
            loaded = self.ports.fleets.load(last_usable=True)
            _tell_invalid(loaded)
            self._fleets = (*loaded.fleets, *(each.fleet for each in loaded.drain_only))
            self._unread, self._read_at = loaded.unread, self.now()
        return self._fleets

    def managing(self, group: str) -> Fleet | None:
        """The fleet of a group; one that is not known yet is looked up anew.

        Raises:
            PortError: none is known, and the group may be that of a fleet whose document is invalid and whose earlier
                versions could not be read.
        """
        for kept_s in (FLEETS_KEPT_S, 0.0):
            if found := next((fleet for fleet in self.all(kept_s) if fleet.group == group), None):
                return found
        if self._unread:
            raise self._unread[0]
        return None

    def named(self, name: str) -> Fleet | None:
        """The fleet of that name, as of now."""
        return next((fleet for fleet in self.all(0.0) if fleet.name == name), None)


@dataclass(slots=True)
class Drainer:
    """One invocation's work on drains, notice by notice."""

    ports: Ports
    now: Callable[[], float]
    shift: Shift
    book: FleetBook
    teller: Teller = field(init=False)
    runner: DrainRunner = field(init=False)
    sweeper: Sweeper = field(init=False)

    def __post_init__(self) -> None:
        self.teller = Teller(logger)
        self.runner = DrainRunner(self.ports, self.now, self.shift.until, self.teller)
        self.sweeper = Sweeper(self.ports, self.now, self.shift, self.runner, self.teller)

    @property
    def tally(self) -> list[Record]:
        """What was counted so far."""
        return self.teller.tally

    def handle(self, notice: notices.Notice) -> Answer:
        """Do what one notice asks for; what came of it, for whoever invoked.

        Raises:
            PortError: nothing is on record, or nothing could be swept. Lambda tries twice more; then its alarm and the
                queue for failures know of it.
            ExceptionGroup: a sweep met what it never should have; every fleet has been swept all the same.
        """
        told: Answer
        match notice:
            case notices.HookNotice():
                told = self._hook(notice)
            case notices.SpotNotice():
                told = self._spot(notice)
            case notices.CommandNotice():
                told = self._command(notice)
            case notices.ReleaseNotice():
                told = self._release(notice)
            case notices.ReportNotice():
                told = self._report(notice)
            case notices.SweepNotice():
                fleets = self.book.all(0.0)
                self.sweeper.sweep(fleets)
                told = {"swept": [fleet.name for fleet in fleets]}
            case notices.RebalanceNotice():
                logger.info("rebalance recommendation noted: nothing is drained for it", instance_id=notice.instance_id)
                told = {"noted": "rebalance recommendation", "instance_id": notice.instance_id}
            case notices.TestNotice():
                logger.info("Auto Scaling's test notification has arrived")
                told = {"noted": "test notification"}
        return told

    def _hook(self, notice: notices.HookNotice) -> Answer:
        hook = notice.hook
        fleet = self.book.managing(hook.group)
        ours = fleet and (fleet.launch.hook if notice.launching else fleet.drain.hook)
        if fleet is None or hook.hook != ours:
            logger.info("a lifecycle action that is not ours: left alone", group=hook.group, hook=hook.hook)
            return {"ignored": f"lifecycle action of hook {hook.hook} of group {hook.group} is not ours"}
        if notice.launching:
            return self._launching(fleet, notice)
        event = Terminating(fleet.name, hook, notice.at, notice.destination)
        drain = self.runner.pursue(fleet, hook.instance_id, (event, Tick()), None)
        if drain is not None and drain.state in UNDER_WAY and outruns_sweep(fleet):
            self.sweeper.tick_on([fleet])
        return _told(fleet, hook.instance_id, drain)

    def _launching(self, fleet: Fleet, notice: notices.HookNotice) -> Answer:
        minder = Minder(self.ports, fleet, self.now)
        noted = minder.note(notice.hook.instance_id, Launching(notice.hook, notice.at))
        self.teller.minded(fleet, minder.minded)
        return {"fleet": fleet.name, "instance_id": notice.hook.instance_id, "boot": noted and noted.boot.value}

    def _report(self, notice: notices.ReportNotice) -> Answer:
        fleet, report = self.book.managing(notice.group), notice.report
        if fleet is None:
            return {"ignored": f"group {notice.group} is no fleet's"}
        minder = Minder(self.ports, fleet, self.now)
        noted = minder.note(report.instance_id, Said(report))
        self.teller.minded(fleet, minder.minded)
        told = {"fleet": fleet.name, "instance_id": report.instance_id, "boot": noted and noted.boot.value}
        event = reported(report.word, report.at)
        if event is None:
            return told
        drain = self.ports.ledger.drain(fleet.name, report.instance_id)
        if drain is None or drain.state not in UNDER_WAY:
            return told
        drain = self.runner.pursue(fleet, report.instance_id, (event, Tick()), drain)
        return told | _told(fleet, report.instance_id, drain)

    def _spot(self, notice: notices.SpotNotice) -> Answer:
        fleet = self._owner(notice.instance_id)
        if fleet is None:
            return {"ignored": f"instance {notice.instance_id} is in no fleet's group"}
        event = Spot(fleet.name, notice.instance_id, notice.at)
        return _told(fleet, notice.instance_id, self.runner.pursue(fleet, notice.instance_id, (event, Tick()), None))

    def _owner(self, instance_id: str) -> Fleet | None:
        """The fleet whose group has the instance. TryLaterError if that could not be found out."""
        doubt: TryLaterError | None = None
        for fleet in self.book.all():
            try:
                reading = self.ports.group.read(fleet.group)
            except TryLaterError as error:
                doubt = error
                continue
            except PortError as error:
                self.teller.failed(fleet, "a fleet's group could not be read", error)
                continue
            if any(instance.id == instance_id for instance in reading.instances):
                return fleet
        if doubt:
            raise doubt
        return None

    def _command(self, notice: notices.CommandNotice) -> Answer:
        if notice.status in {CommandStatus.PENDING, CommandStatus.RUNNING}:
            return {"ignored": f"command {notice.command_id} has not ended: {notice.word}"}
        try:
            for fleet in self.book.all():
                drain = self._commanded(fleet, notice)
                if drain is None:
                    continue
                event = CommandTold(notice.command_id, self._refined(fleet, notice))
                drain = self.runner.pursue(fleet, notice.instance_id, (event, Tick()), drain)
                return _told(fleet, notice.instance_id, drain)
        except PortError as error:
            logger.warning("a command's end is left to the sweep", problem=str(error), instance_id=notice.instance_id)
            return {"left": str(error)}
        return {"ignored": f"command {notice.command_id} is of no drain under way"}

    def _commanded(self, fleet: Fleet, notice: notices.CommandNotice) -> Drain | None:
        """The drain that the command belongs to, if it is this fleet's."""
        drain = self.ports.ledger.drain(fleet.name, notice.instance_id)
        if drain and drain.state in UNDER_WAY and drain.command_id is None:
            self.shift.sleep(RACE_S)
            drain = self.ports.ledger.drain(fleet.name, notice.instance_id)
        return drain if drain and drain.command_id == notice.command_id else None

    def _refined(self, fleet: Fleet, notice: notices.CommandNotice) -> CommandStatus:
        """The event's Failed covers Undeliverable and Terminated, which say nothing of the consumer: ask."""
        if notice.status is not CommandStatus.FAILED:
            return notice.status
        try:
            return self.ports.instances.command(notice.command_id, notice.instance_id)
        except PortError as error:
            self.teller.failed(fleet, "a command's status could not be read", error, instance_id=notice.instance_id)
            return notice.status

    def _release(self, notice: notices.ReleaseNotice) -> Answer:
        try:
            fleet = self.book.named(notice.fleet)
            if fleet is None:
                return {"problem": f"release.fleet: there is no fleet {notice.fleet!r}"}
            drain = self.ports.ledger.drain(fleet.name, notice.instance_id)
            event = Release(fleet.name, our_hook(fleet, notice.instance_id))
            return _told(fleet, notice.instance_id, self.runner.pursue(fleet, notice.instance_id, (event,), drain))
        except PortError as error:
            logger.exception("an operator's release failed", fleet=notice.fleet, instance_id=notice.instance_id)
            return {"problem": str(error)}


def _tell_invalid(loaded: LoadedFleets) -> None:
    """One line for each invalid document, with what its fleet's instances are drained by."""
    written_at = {each.document: each.written_at for each in loaded.drain_only}
    for bad in loaded.invalid:
        if QUEUES_PATH in bad.name:
            logger.error(
                "a queue's document is invalid: its fleet goes on without it", queue=bad.name, problems=bad.problems
            )
        elif bad.name in written_at:
            logger.error(
                "a fleet's document is invalid: its instances are drained as the last usable version says",
                fleet=bad.name,
                problems=bad.problems,
                version_written_at=datetime.fromtimestamp(written_at[bad.name], UTC).isoformat(timespec="seconds"),
            )
        else:
            logger.error(
                "a fleet's document is invalid: its instances are not drained", fleet=bad.name, problems=bad.problems
            )
    for error in loaded.unread:
        logger.error("earlier versions of an invalid document could not be read", problem=str(error))


def _told(fleet: Fleet, instance_id: str, drain: Drain | None) -> Answer:
    state = {"state": drain.state.value, "note": drain.note} if drain else {"state": None}
    return {"fleet": fleet.name, "instance_id": instance_id, **state}


def answer(payload: object, drainer: Drainer) -> Answer:
    """Read a payload and handle its notices, each by itself; what came of them.

    Raises:
        PortError, ExceptionGroup: as `Drainer.handle`, after the other notices of a batch.
    """
    try:
        found = notices.read(payload, drainer.now())
    except notices.NoticeError as error:
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


def respond(payload: object, drainer: Drainer) -> Answer | str:
    """Answer a payload: as HTML for a popup where the widget's button sent it. Raises as `answer`."""
    answered = answer(payload, drainer)
    if not isinstance(payload, Mapping) or "widgetContext" not in payload:
        return answered
    from sluice.widget.drains import render_release  # noqa: PLC0415 - only a person's press needs the HTML's library

    return render_release(answered, payload)


def emit(tally: Iterable[Record]) -> None:
    """The tally as embedded metrics: one blob for each fleet."""
    by_fleet: dict[str, list[Record]] = {}
    for record in tally:
        by_fleet.setdefault(record[0], []).append(record)
    for fleet, records in by_fleet.items():
        metrics.add_dimension("fleet", fleet)
        counts: Counter[str] = Counter()
        for _, name, unit, value in records:
            if unit is Unit.COUNT:
                counts[name] += int(value)
            else:
                metrics.add_metric(name, MetricUnit(unit), value)
        for name, count in counts.items():
            metrics.add_metric(name, MetricUnit.Count, count)
        metrics.flush_metrics()


@cache
def _ports() -> Ports:
    from sluice.aws import connect  # noqa: PLC0415 - boto3 is imported after the handler is known to be needed

    return connect(os.environ)


@cache
def _book() -> FleetBook:
    return FleetBook(_ports(), time.time)


@tracer.capture_lambda_handler(capture_response=False)
@logger.inject_lambda_context(clear_state=True)
def handler(event: dict[str, Any], context: Any) -> Answer | str:
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
        return respond(event, drainer)
    finally:
        emit(drainer.tally)
