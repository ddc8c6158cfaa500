"""Lifecycle, Spot and Run Command events, consumers' reports, a sweep each minute, or a person's word -> drain steps.

`sluice.draining` judges, and `sluice.launching` what consumers say of themselves; here their records are written and
their actions carried out, in the order they ask for. What fails is logged and left to the sweep, which goes on from the
ledger and the group's own list alone. Only what is not on record yet, and what no sweep can find, is given back to
Lambda to try again.
"""

import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import batched
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

from sluice import notices
from sluice.config import Fleet
from sluice.drain_events import (
    Beaten,
    CommandTold,
    Completed,
    EndAnswered,
    Ended,
    Event,
    Gone,
    InFlight,
    PoolWaiting,
    Release,
    Reported,
    Retained,
    Sight,
    Spot,
    StopSent,
    StopUnanswered,
    Terminating,
    Tick,
    Waiting,
    seen,
)
from sluice.draining import LOOK_AFTER_S, UNDER_WAY, advance, needs_look, needs_signs
from sluice.launching import Launching, Said
from sluice.minding import Minder, halved
from sluice.model import (
    CommandStatus,
    CompleteHook,
    Consumer,
    ConsumerWord,
    Drain,
    DrainAction,
    DrainState,
    EndInstance,
    GroupReading,
    HookAction,
    Lifecycle,
    SendHeartbeat,
    StopConsumer,
)
from sluice.ports import STOPPED_AT_ONCE, ConflictError, NeedsFixError, PortError, Ports, RefusedError, TryLaterError

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
# How long stops are gathered to be asked for together: far less than the grace in which an intent waits for its effect.
GATHER_S = 2.0
# A consumer with nothing to do stops so fast that the command's end may be told before its id is on record.
RACE_S = 0.5

logger = Logger()
tracer = Tracer()
metrics = Metrics(namespace=os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "Sluice"))

# What a consumer says that is a sign of life of its drain.
AT_WORK = frozenset({ConsumerWord.BUSY, ConsumerWord.DRAINING})
# States in which nothing is to be done for a drain but to look now and then.
AT_REST = frozenset({DrainState.RETAINED, DrainState.RELEASED})

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
class Course:
    """One drain, and what is still to be made of it."""

    instance_id: str
    record: Drain | None
    pending: deque[Event]
    stop: StopConsumer | None = None  # to be asked for, together with others
    failed: bool = False  # no instant retries: ticks are left out


@dataclass(frozen=True, slots=True)
class Look:
    """What AWS and consumers say of a fleet's instances, as of one round."""

    reading: GroupReading | None = None
    consumers: dict[str, Consumer] = field(default_factory=dict)
    ended: frozenset[str] = frozenset()
    in_flight: float | None = None
    commands: dict[str, dict[str, CommandStatus]] = field(default_factory=dict)


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
            case notices.ReportNotice():
                told = self._report(notice)
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
        fleet = self.book.managing(hook.group)
        ours = fleet and (fleet.launch.hook if notice.launching else fleet.drain.hook)
        if fleet is None or hook.hook != ours:
            logger.info("a lifecycle action that is not ours: left alone", group=hook.group, hook=hook.hook)
            return {"ignored": f"lifecycle action of hook {hook.hook} of group {hook.group} is not ours"}
        if notice.launching:
            return self._launching(fleet, notice)
        event = Terminating(fleet.name, hook, notice.at, notice.destination)
        drain = self._pursue(fleet, hook.instance_id, (event, Tick()), None)
        if drain is not None and drain.state in UNDER_WAY and _outruns_sweep(fleet):
            self._tick_on([fleet])
        return _told(fleet, hook.instance_id, drain)

    def _launching(self, fleet: Fleet, notice: notices.HookNotice) -> Answer:
        minder = Minder(self.ports, fleet, self.now)
        noted = minder.note(notice.hook.instance_id, Launching(notice.hook, notice.at))
        self._mind(fleet, minder)
        return {"fleet": fleet.name, "instance_id": notice.hook.instance_id, "boot": noted and noted.boot.value}

    def _report(self, notice: notices.ReportNotice) -> Answer:
        fleet, report = self.book.managing(notice.group), notice.report
        if fleet is None:
            return {"ignored": f"group {notice.group} is no fleet's"}
        minder = Minder(self.ports, fleet, self.now)
        noted = minder.note(report.instance_id, Said(report))
        self._mind(fleet, minder)
        told = {"fleet": fleet.name, "instance_id": report.instance_id, "boot": noted and noted.boot.value}
        if report.word not in {*AT_WORK, ConsumerWord.DONE}:
            return told
        drain = self.ports.ledger.drain(fleet.name, report.instance_id)
        if drain is None or drain.state not in UNDER_WAY:
            return told
        event = Reported(report.at, done=report.word is ConsumerWord.DONE)
        drain = self._pursue(fleet, report.instance_id, (event, Tick()), drain)
        return told | _told(fleet, report.instance_id, drain)

    def _mind(self, fleet: Fleet, minder: Minder) -> None:
        """Tell what came of minding a fleet's consumers."""
        minded = minder.minded
        for problem in minded.problems:
            self._fail(fleet, "a consumer could not be minded", problem)
        for instance_id in minded.let_in:
            logger.info("its consumer is ready: it counts", fleet=fleet.name, instance_id=instance_id)
        for instance_id in minded.lost:
            logger.warning("it left before its consumer was ready", fleet=fleet.name, instance_id=instance_id)
        for launch in minded.launches:
            self.tally.append((fleet.name, "LaunchToFirstMessage", MetricUnit.Seconds, launch.to_first_message_s))
            if launch.to_ready_s is not None:
                self.tally.append((fleet.name, "LaunchToReady", MetricUnit.Seconds, launch.to_ready_s))
        counts = {
            "BootsLost": len(minded.lost),
            "InstancesProtected": minded.protected_count,
            "ProtectionsLifted": minded.lifted_count,
        }
        self.tally += [(fleet.name, name, MetricUnit.Count, count) for name, count in counts.items() if count]

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
        if notice.status in {CommandStatus.PENDING, CommandStatus.RUNNING}:
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
        if notice.status is not CommandStatus.FAILED:
            return notice.status
        try:
            return self.ports.instances.command(notice.command_id, notice.instance_id)
        except PortError as error:
            self._fail(fleet, "a command's status could not be read", error, instance_id=notice.instance_id)
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
            try:
                under_way = self._look_over(fleet, sweeping=sweeping)
            except PortError as error:
                under_way = True
                self._fail(fleet, "drains could not be swept", error)
            except Exception as error:
                # One fleet never stops the others, whatever is wrong with it; _sweep raises it at the end.
                under_way = False
                logger.exception("drains could not be swept", fleet=fleet.name)
                strange.append(error)
            if under_way:
                busy.append(fleet)
        return busy

    def _look_over(self, fleet: Fleet, *, sweeping: bool) -> bool:
        """Give every drain of a fleet what is said of it, and a tick. Whether any is under way still."""
        drains = {drain.instance_id: drain for drain in self.ports.ledger.drains(fleet.name)}
        look = self._look(fleet, drains, sweeping=sweeping)
        sights = _sights(fleet, drains, look.reading)
        courses = []
        for instance_id in sorted({*drains, *sights}, key=lambda key: (_urgency(drains.get(key)), key)):
            drain, sight = drains.get(instance_id), sights.get(instance_id)
            over = drain is None or drain.state is DrainState.RELEASED
            if over and not isinstance(sight, Waiting | PoolWaiting | Retained):
                continue
            news = _news(drain, sight, look)
            tick = Tick(look.reading.retains if look.reading else None)
            courses.append(Course(instance_id, drain, deque((*news, tick))))
        if sweeping:
            self._count_retained(fleet, drains.values())
        waiting = deque(courses)
        while waiting:
            if self.now() >= self.shift.until:  # the next sweep begins with the most urgent
                return True
            self._pursue_some(fleet, waiting)
        return any(course.record is not None and course.record.state not in AT_REST for course in courses)

    def _look(self, fleet: Fleet, drains: dict[str, Drain], *, sweeping: bool) -> Look:
        """All that is to be asked for one round; what could not be learnt is missing, and costs no heartbeat.

        The group is read after the ledger: an instance on record that the group lacks has left since.
        """
        under_way = [drain for drain in drains.values() if drain.state in UNDER_WAY]
        reading = self._asked(fleet, "a fleet's group", lambda: self.ports.group.read(fleet.group))
        wanted = sorted(
            {d.command_id for d in under_way if d.command_id and needs_look(d, self.now(), sweeping=sweeping)}
        )
        commands = {}
        for command_id in wanted:
            told = self._asked(fleet, "a command's status", lambda: self.ports.instances.commands_of(command_id))  # noqa: B023 - it is called at once
            commands[command_id] = dict(told or {})
        if not sweeping:
            return Look(reading, commands=commands)
        told_by = self._asked(fleet, "what consumers said", lambda: self.ports.ledger.consumers(fleet.name)) or ()
        if reading is not None:
            minder = Minder(self.ports, fleet, self.now)
            minder.sweep(told_by, reading, frozenset(drain.instance_id for drain in under_way))
            self._mind(fleet, minder)
        ended: frozenset[str] = frozenset()
        if old := [d.instance_id for d in under_way if self.now() >= d.started_at + LOOK_AFTER_S]:
            ended = self._asked(fleet, "machines' states", lambda: self.ports.instances.ended(old)) or ended
        return Look(
            reading,
            {consumer.instance_id: consumer for consumer in told_by},
            ended,
            self._in_flight(fleet, under_way, reading),
            commands,
        )

    def _in_flight(self, fleet: Fleet, under_way: Sequence[Drain], reading: GroupReading | None) -> float | None:
        """Messages in flight, where that tells something: signs are wanted, and only drains are at work."""
        if reading is None or reading.count(Lifecycle.WORKING) + reading.count(Lifecycle.LAUNCHING):
            return None
        if not any(needs_signs(drain, fleet.drain) for drain in under_way):
            return None
        total = 0.0
        for source in fleet.sources:  # paused ones too: what was taken from one before is worked on still
            ask = partial(self.ports.queue.read, source.queue, self.now())
            queue = self._asked(fleet, f"queue {source.name}", ask)
            if queue is None or queue.in_flight is None:
                return None
            total += queue.in_flight.value
        return total

    def _asked[T](self, fleet: Fleet, what: str, ask: Callable[[], T]) -> T | None:
        """What AWS answers; None if that cannot be learnt now."""
        try:
            return ask()
        except PortError as error:
            self._fail(fleet, f"{what} could not be read", error)
            return None

    def _count_retained(self, fleet: Fleet, drains: Iterable[Drain]) -> None:
        """What is kept for inspection: how many, how long, at what cost. An alarm keeps them from being forgotten."""
        ages_s = [self.now() - d.retained_at for d in drains if d.state is DrainState.RETAINED and d.retained_at]
        if not ages_s:
            return
        self.tally.append((fleet.name, "InstancesRetained", MetricUnit.Count, len(ages_s)))
        self.tally.append((fleet.name, "RetainedAge", MetricUnit.Seconds, max(0.0, *ages_s)))
        if fleet.drain.hourly_cost is not None:
            cost = sum(ages_s) / 3_600 * fleet.drain.hourly_cost
            self.tally.append((fleet.name, "RetainedCost", MetricUnit.NoUnit, cost))

    # ----------------------------------------------------------------- one drain, and several

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
        course = Course(instance_id, record, deque(events))
        while course.pending:
            self._advance(fleet, course)
            self._stop(fleet, [course] if course.stop else [])
        return course.record

    def _pursue_some(self, fleet: Fleet, waiting: deque[Course]) -> None:
        """Advance the first of those that wait, and ask for their stops together; one that fails stops no other."""
        gather_until = min(self.now() + GATHER_S, self.shift.until)
        going: list[Course] = []
        while waiting and len(going) < STOPPED_AT_ONCE and (not going or self.now() < gather_until):
            going.append(waiting.popleft())
            self._advance_safely(fleet, going[-1])
        while stopping := [course for course in going if course.stop]:
            self._stop(fleet, stopping)
            for course in stopping:
                self._advance_safely(fleet, course)

    def _advance_safely(self, fleet: Fleet, course: Course) -> None:
        try:
            self._advance(fleet, course)
        except PortError as error:
            course.pending.clear()
            self._fail(fleet, "a drain could not be swept", error, instance_id=course.instance_id)

    def _advance(self, fleet: Fleet, course: Course) -> None:
        """Go on with a drain until nothing is pending, or a stop is to be asked for.

        Raises:
            PortError: the ledger failed and nothing is on record. What fails later is logged.
        """
        with logger.append_context_keys(fleet=fleet.name, instance_id=course.instance_id):
            while course.pending and course.stop is None:
                event = course.pending.popleft()
                if course.failed and isinstance(event, Tick):
                    continue
                try:
                    course.record, actions = self._write(fleet, course.instance_id, course.record, event)
                except PortError as error:
                    if course.record is None:
                        raise
                    self._fail(fleet, "a drain's record could not be written", error)
                    course.pending.clear()
                    return
                answers = []
                for action in actions:
                    if isinstance(action, StopConsumer):
                        course.stop = action  # always the last of a step: nothing is to be done after it
                    else:
                        answers.append(self._carry_out(fleet, action))
                course.failed |= None in answers
                course.pending.extendleft(answer for answer in reversed(answers) if answer is not None)

    def _stop(self, fleet: Fleet, courses: Sequence[Course]) -> None:
        """Ask consumers to stop, by as few commands as there can be; the answers are pending then.

        One command's time is the longest that any of them has: a drain's own deadline is kept by its ticks.
        """
        for some in batched(courses, STOPPED_AT_ONCE, strict=False):
            stops = {course.instance_id: course.stop for course in some if course.stop}
            sent = self._stop_at_once(fleet, list(stops), max(stop.timeout_s for stop in stops.values()))
            for course in some:
                stop, course.stop = course.stop, None
                if stop is not None:
                    command_id, why = sent[course.instance_id]
                    told = StopUnanswered(stop.ask, why) if command_id is None else StopSent(stop.ask, command_id)
                    course.pending.appendleft(told)

    def _stop_at_once(
        self, fleet: Fleet, instance_ids: Sequence[str], timeout_s: float
    ) -> dict[str, tuple[str | None, str]]:
        """Ask consumers to stop by one command, or by several where some are refused; each one's id, or why not."""
        told: dict[str, tuple[str | None, str]] = {}

        def ask(ids: Sequence[str]) -> None:
            try:
                command_id = self.ports.instances.stop(ids, fleet.drain.order, timeout_s)
            except PortError as error:
                told.update(dict.fromkeys(ids, (None, str(error))))
                raise
            told.update(dict.fromkeys(ids, (command_id, "")))

        try:
            taken = halved(instance_ids, ask)
        except PortError as error:
            self._fail(fleet, "a consumer could not be asked to stop", error, instance_id=", ".join(instance_ids))
            return {key: told.get(key, (None, str(error))) for key in instance_ids}
        for instance_id in {*instance_ids} - {*taken}:
            refused = RefusedError(told[instance_id][1])
            self._fail(fleet, "a consumer could not be asked to stop", refused, instance_id=instance_id)
        return told

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

    def _carry_out(self, fleet: Fleet, action: SendHeartbeat | CompleteHook | EndInstance) -> Event | None:
        """Do one thing to the world; its answer as an event, None if it failed and is due again at the next tick."""
        match action:
            case SendHeartbeat(hook, probe):
                try:
                    held = self.ports.group.heartbeat(hook)
                except PortError as error:
                    self._fail(fleet, "a heartbeat failed", error)
                    return None
                if held and not probe:
                    self.tally.append((fleet.name, "HeartbeatsSent", MetricUnit.Count, 1))
                return Beaten(hook, held, probe, fleet.name)
            case CompleteHook(hook, result):
                try:
                    return Completed(hook, self.ports.group.complete_hook(hook, result))
                except PortError as error:
                    self._fail(fleet, "a lifecycle action could not be completed", error)
                    return None
            case EndInstance(group, instance_id):
                try:
                    return EndAnswered(self.ports.group.end(group, instance_id))
                except PortError as error:
                    self._fail(fleet, "a retained instance could not be terminated", error)
                    return None

    # ----------------------------------------------------------------- what is told

    def _count(self, before: Drain | None, after: Drain, event: Event) -> None:
        """One log line and the metrics of a record that was written."""
        if before is not None and after.note == before.note and after.state is before.state:
            return  # a heartbeat or a sign of life
        logger.info(after.note, drain=after.state, version=after.version, deadline_at=after.deadline_at)
        entered = before is None or before.state is not after.state
        if before is None or (before.state is DrainState.RELEASED and entered):
            self.tally.append((after.fleet, "DrainsStarted", MetricUnit.Count, 1))
        if entered and after.state is DrainState.EXPIRED and not isinstance(event, Release):
            self.tally.append((after.fleet, "DrainsExpired", MetricUnit.Count, 1))
        if entered and after.state is DrainState.RETAINED:
            self.tally.append((after.fleet, "DrainsRetained", MetricUnit.Count, 1))
        if entered and after.state is DrainState.RELEASED:
            self.tally.append((after.fleet, "DrainsReleased", MetricUnit.Count, 1))
            if after.outcome is not None:
                self.tally.append((after.fleet, f"Drains{after.outcome.title()}", MetricUnit.Count, 1))
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


def _sights(fleet: Fleet, drains: Iterable[str], reading: GroupReading | None) -> dict[str, Sight | None]:
    """What the group's reading tells of each instance, of those with a drain too; nothing if there is none."""
    if reading is None:
        return {}
    states: dict[str, str | None] = dict.fromkeys(drains)
    states |= {instance.id: instance.aws_state for instance in reading.instances}
    return {key: seen(fleet.name, _our_hook(fleet, key), state) for key, state in states.items()}


def _news(drain: Drain | None, sight: Sight | None, look: Look) -> tuple[Event, ...]:
    """What is said of one instance: by its group, Run Command, EC2, its consumer and its queue."""
    if isinstance(sight, Gone):
        return (sight,)
    news: list[Event] = [] if sight is None else [sight]
    if drain is None or drain.state not in UNDER_WAY:
        return tuple(news)
    if drain.command_id and (status := look.commands.get(drain.command_id, {}).get(drain.instance_id)):
        news.append(CommandTold(drain.command_id, status))
    if drain.instance_id in look.ended:
        news.append(Ended())
    consumer = look.consumers.get(drain.instance_id)
    if consumer and consumer.word_at is not None and consumer.word in {*AT_WORK, ConsumerWord.DONE}:
        news.append(Reported(consumer.word_at, done=consumer.word is ConsumerWord.DONE))
    if look.in_flight is not None:
        news.append(InFlight(look.in_flight))
    return tuple(news)


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
