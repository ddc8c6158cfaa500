"""EventBridge and Lambda in the drains' world: events arrive, functions are invoked, and calls of ports fail."""

import json
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

from functions.operator import app as operator_app
from sluice.chains import ChainRunner, event_of
from sluice.draining.following import KIND
from sluice.draining.service import MARGIN_S, DrainService
from sluice.memory import (
    Call,
    Crash,
    Fault,
    When,
)
from sluice.model.chain import Step
from sluice.model.consumers import ConsumerStatus
from sluice.ports.errors import LostAnswerError, NeedsFixError, PortError, TryLaterError
from sluice.redriving.context import RedriveInvocation
from sluice_tools.chaos.drain_away import Part
from sluice_tools.chaos.drain_events import sweep_event
from sluice_tools.chaos.drain_scene import LAMBDA_S, RETRIES_S, SKEW_S, STALL_S, SWEEP_S

if TYPE_CHECKING:
    from sluice_tools.chaos.drain_world import World


class StoryLog:
    """The drainer's log: the story has its calls, and an error that nobody expected is a finding."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def debug(self, msg: str, **_: Any) -> None:
        """Left out."""

    info = warning = error = debug

    def exception(self, msg: str, **_: Any) -> None:
        """The story must go on to tell it."""
        self._world.violate(f"{msg}: {sys.exception()!r}")

    def append_context_keys(self, **_: Any) -> AbstractContextManager[None]:
        """Keys are not kept."""
        return nullcontext()


class DrainCloud:
    """Delivers events, invokes the drainer and the operator function, and lets calls fail."""

    def __init__(self, world: "World") -> None:
        self.world = world

    def deliver(self, payload: dict[str, Any], label: str) -> None:
        """Send an event on its way to the drainer: once as a rule, soon as a rule."""
        world = self.world
        if world.happens(world.chances.lost):
            world.tell(f"event lost: {label}")
            return
        for _ in range(2 if world.happens(world.chances.doubled) else 1):
            late = world.happens(world.chances.late)
            delay_s = world.rng.uniform(10, 400) if late else world.rng.uniform(0.1, 1.5)
            world.after(delay_s, lambda: self._invoke(payload, label))

    def sweep(self) -> None:
        """The schedule's minute, with a little jitter."""
        world = self.world
        world.after(SWEEP_S + world.rng.uniform(-1, 1), self.sweep)
        if world.happens(world.chances.sweep_lost):
            world.troubled_at = world.now
            world.tell("sweep lost")
        else:
            self._invoke(sweep_event(), "sweep", ())

    def planner_minute(self) -> None:
        """The planner's schedule: the steps of all chains are sent again, in case they were lost."""
        world = self.world
        world.after(SWEEP_S + world.rng.uniform(-1, 1), self.planner_minute)
        if world.happens(world.chances.sweep_lost):
            world.troubled_at = world.now
            world.tell("the planner's minute lost")
            return

        def work(now: Callable[[], float]) -> None:
            chains = world.ports.ledger.chains
            with suppress(ExceptionGroup):  # what could not be sent comes a minute later
                ChainRunner(chains, world.ports.work, now).reseed(chains.chains(KIND))

        self._run(work, "the planner's minute")

    def operate(self) -> None:
        """An operator releases an instance that waits."""
        world = self.world
        waiting = world.waiting()
        if waiting:
            self.release(world.rng.choice(waiting).instance_id)

    def release(self, instance_id: str) -> None:
        """An operator releases this instance."""
        self.world.released_by_operator.add(instance_id)
        request = {"release": {"fleet": "orders", "instance_id": instance_id}}
        self._invoke(request, f"release {instance_id}", ())

    def take(self, step: Step, label: str) -> bool:
        """The drainer takes a step of a chain that is handed over; whether it did not crash."""
        event = json.loads(event_of(step))

        def work(now: Callable[[], float]) -> None:
            self._service(now, now() + LAMBDA_S).take_step(event)

        return self._run(work, label)

    def _invoke(self, payload: dict[str, Any], label: str, retries_s: tuple[float, ...] = RETRIES_S) -> None:
        """One invocation of the drainer, or of the operator function for a release; again later if it fails."""
        world = self.world
        name = f"invocation-{world.counts['invocations']}"
        faults = world.counts["faults"]

        def work(now: Callable[[], float]) -> None:
            if "release" in payload:
                lasts = RedriveInvocation.started(name, now(), 30.0, 60.0, uniform=world.rng.random)
                operator_app.service(world.ports, now, lasts).answer(payload)
            else:
                self._service(now, now() + LAMBDA_S).respond(payload)

        succeeded = self._run(work, label)
        if succeeded and payload.get("source") == "sluice.consumer":
            self._note_known(payload["detail"]["instance-id"])
        heard = payload.get("detail", {}).get("state") in {ConsumerStatus.BUSY, ConsumerStatus.DRAINING}
        if heard and succeeded and faults == world.counts["faults"]:
            instance_id = payload["detail"]["instance-id"]
            said_at = datetime.fromisoformat(payload["time"]).timestamp()
            world.delivered_at[instance_id] = max(said_at, world.delivered_at.get(instance_id, 0.0))
            if payload["detail"]["state"] == ConsumerStatus.DRAINING:
                world.progress_at[instance_id] = max(said_at, world.progress_at.get(instance_id, 0.0))
        if not succeeded and retries_s:
            world.after(retries_s[0], lambda: self._invoke(payload, label, retries_s[1:]))

    def _note_known(self, instance_id: str) -> None:
        """Note which consumers of an instance have a report on record that they made in this life of theirs."""
        world = self.world
        record = world.truth.ledger.consumers.consumer(world.fleet.name, instance_id)
        on_record = {} if record is None else {each.consumer: each.at for each in record.reports}
        for each in world.consumers[instance_id].all:
            first_at = int(each.status_first_at) if each.status_first_at is not None else None
            if each.known_at is None and first_at is not None and on_record.get(each.name or "", 0.0) >= first_at:
                each.known_at = world.now

    def _service(self, now: Callable[[], float], ends_at: float) -> DrainService:
        """The drainer, with what its process remembers."""
        world = self.world
        return DrainService(
            world.ports, now, ends_at - MARGIN_S, world.directory, StoryLog(world), held_at=world.held_at
        )

    def _run(self, work: Callable[[Callable[[], float]], None], label: str) -> bool:
        """One invocation, whose clock is a little wrong; whether it went well."""
        world = self.world
        world.counts["invocations"] += 1
        if world.absence.now_of(Part.FUNCTIONS):
            world.tell(f"{label}: no function runs")
            return False
        skew_s = world.rng.uniform(-SKEW_S, SKEW_S)
        world.running.append(label)
        try:
            work(lambda: world.now + skew_s)
        except Crash:
            world.tell("crashes")
            world.crash()
            return False
        except PortError as error:
            world.tell(f"fails: {error}")
            return False
        except Exception as error:
            # Anything else is a finding, and the story must go on to tell it.
            world.violate(f"the drainer raised {error!r}")
        finally:
            world.running.pop()
        return True

    def before_call(self, call: Call) -> Fault | None:
        """Every call: time passes, `on_call` sees it, and it may fail before or after its effect."""
        world = self.world
        world.counts["calls"] += 1
        stalled = world.happens(world.chances.stall * world.share)
        world.sleep(world.rng.uniform(2, STALL_S) if stalled else world.share * world.rng.uniform(0.005, 0.05))
        world.on_call(call)
        if stalled:
            world.troubled_at = world.now
        if world.absence.fails(call):
            world.tell(f"{call.method}{_short(call)}: the {world.absence.part} are away")
            return Fault(When.BEFORE, TryLaterError("away"))
        completes = call.method == "complete_hook"
        if not world.happens(max(world.chances.fault, world.chances.completion if completes else 0.0)):
            world.tell(f"{call.method}{_short(call)}")
            return None
        world.counts["faults"] += 1
        world.troubled_at = world.now
        when = world.rng.choice((When.BEFORE, When.AFTER))
        error: BaseException
        if world.rng.random() < world.chances.crash:
            error = Crash()
        elif when is When.AFTER:
            error = LostAnswerError("answer lost")
        else:
            error = world.rng.choice((TryLaterError, NeedsFixError))("throttled, or not allowed")
        world.tell(f"{call.method}{_short(call)}: {type(error).__name__} {when.value} it took effect")
        return Fault(when, error)


def _short(call: Call) -> str:
    """A call's arguments, as far as a story needs them."""
    if call.method == "keep_drain":
        drain = call.args[0]
        return f"({drain.instance_id} {drain.state} v{drain.version}: {drain.note})"
    texts = [getattr(argument, "instance_id", argument) for argument in call.args]
    return f"({', '.join(str(text)[:40] for text in texts)})"
