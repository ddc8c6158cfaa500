"""Lifecycle, Spot and Run Command events, a sweep each minute, or a person's word -> steps of drains.

`sluice.draining` judges; here its records are written and its actions carried out, in the order it asks for. What
fails is logged and left to the sweep, which goes on from the ledger and the group's own list alone. Only what is not
on record yet, and what no sweep can find, is given back to Lambda to try again.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from sluice import notices
from sluice.config import Fleet
from sluice.draining import (
    UNDER_WAY,
    Beaten,
    CommandTold,
    Completed,
    Event,
    Gone,
    Release,
    Spot,
    StopSent,
    StopUnanswered,
    Terminating,
    Tick,
    Waiting,
    advance,
    needs_look,
    seen,
)
from sluice.model import (
    CommandStatus,
    CompleteHook,
    Drain,
    DrainAction,
    DrainState,
    HookAction,
    SendHeartbeat,
    StopConsumer,
)
from sluice.ports import ConflictError, NeedsFixError, PortError, Ports, TryLaterError

# How often the stack's schedule sweeps; a sweep that ticks on ends before the next one comes, with time to spare.
SWEEP_PERIOD_S = 60.0
SWEEP_S = 55.0
# What a sweep leaves of the function's own timeout, to finish the step it is at.
MARGIN_S = 5.0
# Many instances end at once, and each is told of alone: the documents are not read anew for each. Parameter Store
# gives an account 40 reads a second.
FLEETS_KEPT_S = 60.0
# Two or three invocations may meet over one drain; more than this many lost races means something else is wrong.
CONFLICTS_MAX = 5
# A consumer with nothing to do stops so fast that the command's end may be told before its id is on record.
RACE_S = 0.5

logger = Logger()
tracer = Tracer()
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Sluice"))

type Record = tuple[str, str, MetricUnit, float]  # fleet, metric, unit, value
type Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Shift:
    """How long an invocation may go on ticking, and how."""

    until: float
    tick_s: float
    owner: str
    sleep: Callable[[float], None]


@dataclass(slots=True)
class FleetBook:
    """The fleets' documents, kept for a while between invocations."""

    ports: Ports
    now: Callable[[], float]
    _fleets: tuple[Fleet, ...] = ()
    _read_at: float | None = None

    def all(self, kept_s: float = FLEETS_KEPT_S) -> tuple[Fleet, ...]:
        """Every usable fleet, as read at most `kept_s` ago. Raises what the port raises."""
        if self._read_at is None or self.now() - self._read_at >= kept_s:
            loaded = self.ports.fleets.load()
            for error in loaded.invalid:
                logger.error("a fleet's document is invalid: skipped", fleet=error.name, problems=error.problems)
            self._fleets, self._read_at = loaded.fleets, self.now()
        return self._fleets

    def managing(self, group: str) -> Fleet | None:
        """The fleet of a group; one that is not known yet is looked up anew."""
        for kept_s in (FLEETS_KEPT_S, 0.0):
            if found := next((fleet for fleet in self.all(kept_s) if fleet.group == group), None):
                return found
        return None

    def named(self, name: str) -> Fleet | None:
        """The fleet of that name, as of now."""
        return next((fleet for fleet in self.all(0.0) if fleet.name == name), None)


@dataclass(slots=True)
class Drainer:
    """One invocation's work on drains."""

    ports: Ports
    now: Callable[[], float]
    shift: Shift
    book: FleetBook
    tally: list[Record] = field(default_factory=list)

    # ----------------------------------------------------------------- notices

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
            case notices.SweepNotice():
                told = self._sweep()
            case notices.RebalanceNotice():
                logger.info("rebalance recommendation noted: nothing is drained for it", instance_id=notice.instance_id)
                told = {"noted": "rebalance recommendation", "instance_id": notice.instance_id}
            case notices.TestNotice():
                logger.info("Auto Scaling's test notification has arrived")
                told = {"noted": "test notification"}
        return told

    def _hook(self, notice: notices.HookNotice) -> Answer:
        hook = notice.hook
        fleet = None if notice.launching else self.book.managing(hook.group)
        if fleet is None or hook.hook != fleet.drain.hook:
            logger.info("a lifecycle action that is not ours: left alone", group=hook.group, hook=hook.hook)
            return {"ignored": f"lifecycle action of hook {hook.hook} of group {hook.group} is not ours"}
        event = Terminating(fleet.name, hook, notice.at, notice.destination)
        drain = self._pursue(fleet, hook.instance_id, (event, Tick()), None)
        if drain is not None and drain.state in UNDER_WAY and _outruns_sweep(fleet):
            self._tick_on([fleet])
        return _told(fleet, hook.instance_id, drain)

    def _spot(self, notice: notices.SpotNotice) -> Answer:
        fleet = self._owner(notice.instance_id)
        if fleet is None:
            return {"ignored": f"instance {notice.instance_id} is in no fleet's group"}
        event = Spot(fleet.name, notice.instance_id, notice.at)
        return _told(fleet, notice.instance_id, self._pursue(fleet, notice.instance_id, (event, Tick()), None))

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
                self._fail(fleet, "a fleet's group could not be read", error)
                continue
            if any(instance.id == instance_id for instance in reading.instances):
                return fleet
        if doubt:
            raise doubt
        return None

    def _command(self, notice: notices.CommandNotice) -> Answer:
        if notice.status is CommandStatus.PENDING:
            return {"ignored": f"command {notice.command_id} has not ended: {notice.word}"}
        try:
            for fleet in self.book.all():
                drain = self._commanded(fleet, notice)
                if drain is None:
                    continue
                event = CommandTold(notice.command_id, self._refined(fleet, notice))
                drain = self._pursue(fleet, notice.instance_id, (event, Tick()), drain)
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
        if notice.status is CommandStatus.FAILED:
            return self._looked(fleet, notice.instance_id, notice.command_id) or notice.status
        return notice.status

    def _release(self, notice: notices.ReleaseNotice) -> Answer:
        try:
            fleet = self.book.named(notice.fleet)
            if fleet is None:
                return {"problem": f"release.fleet: there is no fleet {notice.fleet!r}"}
            drain = self.ports.ledger.drain(fleet.name, notice.instance_id)
            event = Release(fleet.name, _our_hook(fleet, notice.instance_id))
            return _told(fleet, notice.instance_id, self._pursue(fleet, notice.instance_id, (event,), drain))
        except PortError as error:
            logger.exception("an operator's release failed", fleet=notice.fleet, instance_id=notice.instance_id)
            return {"problem": str(error)}

    # ----------------------------------------------------------------- the sweep

    def _sweep(self) -> Answer:
        """Every fleet once; then on, tick by tick, those with drains under way that no other invocation ticks."""
        strange: list[Exception] = []
        fleets = self.book.all(0.0)
        self._tick_on(self._round(fleets, strange, sweeping=True), strange)
        if strange:
            raise ExceptionGroup("the sweep went through, but not well", strange)
        return {"swept": [fleet.name for fleet in fleets]}

    def _tick_on(self, fleets: Iterable[Fleet], strange: list[Exception] | None = None) -> None:
        """Go on ticking until the shift is over or no drain is under way. One invocation a fleet: it takes a lease."""
        strange = [] if strange is None else strange
        busy = [fleet for fleet in fleets if self._take(fleet)]
        while busy:
            pause_s = min(self.shift.tick_s, *(fleet.drain.heartbeat_s for fleet in busy))
            if self.now() + pause_s > self.shift.until:
                break
            self.shift.sleep(pause_s)
            still = self._round(busy, strange)
            self._give_back(fleet for fleet in busy if fleet not in still)
            busy = still
        self._give_back(busy)

    def _take(self, fleet: Fleet) -> bool:
        """The lease on ticking a fleet's drains on. Without it nothing is lost but time."""
        try:
            return self.ports.ledger.acquire(_lease(fleet), self.shift.owner, self.shift.until, self.now())
        except PortError as error:
            logger.warning("drains are not ticked on in this minute", fleet=fleet.name, problem=str(error))
            return False

    def _give_back(self, fleets: Iterable[Fleet]) -> None:
        for fleet in fleets:
            try:
                self.ports.ledger.release(_lease(fleet), self.shift.owner)
            except PortError as error:  # it ends by itself
                logger.warning("a lease could not be given back", fleet=fleet.name, problem=str(error))

    def _round(self, fleets: Sequence[Fleet], strange: list[Exception], *, sweeping: bool = False) -> list[Fleet]:
        """One look at each fleet: those with drains under way, or of which we could not learn it."""
        busy = []
        for fleet in fleets:
            with logger.append_context_keys(fleet=fleet.name):
                try:
                    under_way = self._look_over(fleet, sweeping=sweeping)
                except PortError as error:
                    under_way = True
                    self._fail(fleet, "drains could not be swept", error)
                except Exception as error:
                    # One fleet never stops the others, whatever is wrong with it; _sweep raises it at the end.
                    under_way = False
                    logger.exception("drains could not be swept")
                    strange.append(error)
            if under_way:
                busy.append(fleet)
        return busy

    def _look_over(self, fleet: Fleet, *, sweeping: bool) -> bool:
        """Give every drain of a fleet what AWS says of it, and a tick. Whether any is under way still."""
        drains = {drain.instance_id: drain for drain in self.ports.ledger.drains(fleet.name)}
        sights = self._sights(fleet, drains)
        under_way = False
        for instance_id in sorted({*drains, *sights}, key=lambda key: _urgency(drains.get(key))):
            drain, sight = drains.get(instance_id), sights.get(instance_id)
            if (drain is None or drain.state is DrainState.RELEASED) and not isinstance(sight, Waiting):
                continue
            if self.now() >= self.shift.until:  # the next sweep begins with the most urgent
                return True
            try:
                news = self._news(fleet, drain, sight, sweeping=sweeping)
                drain = self._pursue(fleet, instance_id, (*news, Tick()), drain)
            except PortError as error:
                self._fail(fleet, "a drain could not be swept", error, instance_id=instance_id)
            under_way |= drain is not None and drain.state is not DrainState.RELEASED
        return under_way

    def _sights(self, fleet: Fleet, drains: Iterable[str]) -> dict[str, Waiting | Gone | None]:
        """What the group's reading tells of each instance, of those with a drain too; nothing if it cannot be read.

        Read after the ledger: an instance on record that the group lacks has left since. Without a reading drains
        still get their ticks, so that a throttled Describe costs no heartbeat.
        """
        try:
            reading = self.ports.group.read(fleet.group)
        except PortError as error:
            self._fail(fleet, "a fleet's group could not be read", error)
            return {}
        states: dict[str, str | None] = dict.fromkeys(drains)
        states |= {instance.id: instance.aws_state for instance in reading.instances}
        return {key: seen(fleet.name, _our_hook(fleet, key), state) for key, state in states.items()}

    def _news(
        self, fleet: Fleet, drain: Drain | None, sight: Waiting | Gone | None, *, sweeping: bool
    ) -> tuple[Event, ...]:
        """What AWS says of one instance: the group's word, and Run Command's where its event is overdue."""
        if isinstance(sight, Gone):
            return (sight,)
        news: tuple[Event, ...] = () if sight is None else (sight,)
        if drain and drain.command_id and needs_look(drain, self.now(), sweeping=sweeping):
            status = self._looked(fleet, drain.instance_id, drain.command_id)
            news = (*news, CommandTold(drain.command_id, status)) if status else news
        return news

    def _looked(self, fleet: Fleet, instance_id: str, command_id: str) -> CommandStatus | None:
        """How a command stands; None if that cannot be learnt now."""
        try:
            return self.ports.instances.command(command_id, instance_id)
        except PortError as error:
            self._fail(fleet, "a command's status could not be read", error, instance_id=instance_id)
            return None

    # ----------------------------------------------------------------- one drain

    def _pursue(self, fleet: Fleet, instance_id: str, events: Iterable[Event], record: Drain | None) -> Drain | None:
        """Advance a drain by events, in order, each with all that follows from it.

        Args:
            fleet: whose instance it is.
            instance_id: the instance.
            events: what happened to it. A Tick is left out after an action that failed: no instant retries.
            record: the drain as last read. None where none is expected: if there is one after all, writing tells.

        Raises:
            PortError: the ledger failed and nothing is on record. What fails later is logged.
        """
        pending = deque(events)
        failed = False
        with logger.append_context_keys(fleet=fleet.name, instance_id=instance_id):
            while pending:
                event = pending.popleft()
                if failed and isinstance(event, Tick):
                    continue
                try:
                    record, actions = self._write(fleet, instance_id, record, event)
                except PortError as error:
                    if record is None:
                        raise
                    self._fail(fleet, "a drain's record could not be written", error)
                    return record
                answers = [self._carry_out(fleet, action) for action in actions]
                failed |= None in answers
                pending.extendleft(answer for answer in reversed(answers) if answer is not None)
        return record

    def _write(
        self, fleet: Fleet, instance_id: str, record: Drain | None, event: Event
    ) -> tuple[Drain | None, tuple[DrainAction, ...]]:
        """Put on record what an event makes of a drain, and only then say what to do about it."""
        for _ in range(CONFLICTS_MAX):
            step = advance(record, event, fleet.drain, self.now())
            if step.drain is None or step.drain == record:
                return record, step.actions
            try:
                written = self.ports.ledger.keep_drain(step.drain)
            except ConflictError:
                record = self.ports.ledger.drain(fleet.name, instance_id)
                continue
            self._count(record, written, event)
            return written, step.actions
        raise TryLaterError(f"drain of {instance_id}: {CONFLICTS_MAX} others wrote it first")

    def _carry_out(self, fleet: Fleet, action: DrainAction) -> Event | None:
        """Do one thing to the world; its answer as an event, None if it failed and is due again at the next tick."""
        match action:
            case StopConsumer(instance_id, unit, timeout_s, ask):
                try:
                    return StopSent(ask, self.ports.instances.stop(instance_id, unit, timeout_s))
                except PortError as error:
                    self._fail(fleet, "a consumer could not be asked to stop", error)
                    return StopUnanswered(ask, str(error))
            case SendHeartbeat(hook, probe):
                try:
                    held = self.ports.group.heartbeat(hook)
                except PortError as error:
                    self._fail(fleet, "a heartbeat failed", error)
                    return None
                if held and not probe:
                    self.tally.append((fleet.name, "HeartbeatsSent", MetricUnit.Count, 1))
                return Beaten(hook, held, probe)
            case CompleteHook(hook, result):
                try:
                    return Completed(hook, self.ports.group.complete_hook(hook, result))
                except PortError as error:
                    self._fail(fleet, "a lifecycle action could not be completed", error)
                    return None

    # ----------------------------------------------------------------- what is told

    def _count(self, before: Drain | None, after: Drain, event: Event) -> None:
        """One log line and the metrics of a record that was written."""
        if isinstance(event, Beaten) and after.state in UNDER_WAY:
            return
        logger.info(after.note, drain=after.state, version=after.version, deadline_at=after.deadline_at)
        entered = before is None or before.state is not after.state
        if before is None or (before.state is DrainState.RELEASED and entered):
            self.tally.append((after.fleet, "DrainsStarted", MetricUnit.Count, 1))
        if entered and after.state is DrainState.EXPIRED and not isinstance(event, Release):
            self.tally.append((after.fleet, "DrainsExpired", MetricUnit.Count, 1))
        if entered and after.state is DrainState.RELEASED:
            self.tally.append((after.fleet, "DrainsReleased", MetricUnit.Count, 1))
            duration_s = max(0.0, after.updated_at - after.started_at)
            self.tally.append((after.fleet, "DrainDuration", MetricUnit.Seconds, duration_s))

    def _fail(self, fleet: Fleet, what: str, error: PortError, **keys: str) -> None:
        """A failure that the next tick or sweep makes good, or that a person must."""
        log = logger.error if isinstance(error, NeedsFixError) else logger.warning
        log(what, extra={"fleet": fleet.name, "problem": str(error), **keys})
        self.tally.append((fleet.name, "DrainCallsFailed", MetricUnit.Count, 1))


def _our_hook(fleet: Fleet, instance_id: str) -> HookAction:
    return HookAction(fleet.group, fleet.drain.hook, instance_id)


def _lease(fleet: Fleet) -> str:
    """Beside the planner's lease, under a name that no fleet can have."""
    return f"{fleet.name}/drains"


def _outruns_sweep(fleet: Fleet) -> bool:
    """Whether the hook may time out before the next sweep has sent a heartbeat."""
    return fleet.drain.hook_timeout_s < SWEEP_PERIOD_S + fleet.drain.heartbeat_s


def _urgency(drain: Drain | None) -> float:
    """Instances without a record first (their hook's clock runs unseen), then by the last heartbeat."""
    if drain is None:
        return 0.0
    return drain.heartbeat_at or drain.hook_at or drain.started_at


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


def emit(tally: Iterable[Record]) -> None:
    """The tally as embedded metrics: one blob for each fleet."""
    by_fleet: dict[str, list[Record]] = {}
    for record in tally:
        by_fleet.setdefault(record[0], []).append(record)
    for fleet, records in by_fleet.items():
        metrics.add_dimension("fleet", fleet)
        counts: Counter[str] = Counter()
        for _, name, unit, value in records:
            if unit is MetricUnit.Count:
                counts[name] += int(value)
            else:
                metrics.add_metric(name, unit, value)
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
        emit(drainer.tally)
