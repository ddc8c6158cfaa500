"""Lambda's pollers and the schedule of redrive scenarios, invocations, and faults in every call of a port."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from functions.operator import app as operator_app
from functions.redriver import app
from sluice.chains import ChainRunner
from sluice.memory import Call, Crash, Fault, When
from sluice.model.redriving import Message
from sluice.ports.errors import LostAnswerError, NeedsFixError, PortError, TryLaterError
from sluice.redriving.context import GRACE_S, MARGIN_S, RedriveInvocation
from sluice.redriving.jobs.runner import MoveUse
from sluice.redriving.jobs.slices import KIND, SLICE_S
from sluice_tools.chaos.deterministic_threads import Turns
from sluice_tools.chaos.redrive_queue import as_record, call_summary, message_name
from sluice_tools.chaos.redrive_scene import JOBS_TIMEOUT_S, SKEW_S, STALL_S, TICK_S, TIMEOUT_S
from sluice_tools.chaos.redrive_traffic import Traffic


@dataclass(slots=True)
class Invocations(Traffic):
    """Invocations of the redriver and the operator function, which take time, fail and crash."""

    def pause(self, url: str) -> None:
        """An operator pauses a queue: its consumers stop taking from it, and the fleet's document says so."""
        self.paused[url] = self.now
        self.document()
        self.tell(f"{url} is paused")

    def go_on(self, url: str) -> None:
        """It is not paused any longer."""
        if self.paused.pop(url, None) is not None:
            self.document()
            self.tell(f"{url} goes on")

    def document(self) -> None:
        """Write the fleet's document anew."""
        queues = tuple(one.model_copy(update={"paused": one.queue in self.paused}) for one in self.fleet.queues)
        self.truth.fleets.put(self.fleet.name, self.fleet.model_copy(update={"queues": queues}))

    def poll(self, url: str) -> None:
        """Lambda's poller hands a batch of dead letters over, and deletes what the answer does not name."""
        self.after(self.rng.uniform(2, 15), partial(self.poll, url))
        received = self.truth.queue.receive(url, 10, TIMEOUT_S)
        if not received:
            return
        event = {"Records": [as_record(message, self.truth.queue.facts(url).arn) for message in received]}
        times = 2 if self.happens(self.chances.doubled) else 1
        if self.fifo:
            self.deliver_in_turn(url, event, received, times)
            return
        for _ in range(times):
            self.after(self.rng.uniform(0, 1), lambda: self.deliver(url, event, received))

    def deliver_in_turn(self, url: str, event: Mapping[str, Any], received: Sequence[Message], times: int) -> None:
        """Deliveries of one batch, none before the last is over: of a FIFO message group Lambda has one at a time.

        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
        """

        def next_one() -> None:
            self.deliver(url, event, received)
            if times > 1:
                self.counts["FIFO batches doubled"] += 1
                self.deliver_in_turn(url, event, received, times - 1)

        self.after(self.rng.uniform(0, 1), next_one)

    def deliver(self, url: str, event: Mapping[str, Any], received: Sequence[Message]) -> None:
        """One delivery of a batch."""
        answer = self.invoke(event, f"batch of {len(received)}")
        if answer is None:
            return
        kept = {failure["itemIdentifier"] for failure in answer["batchItemFailures"]}
        for message in received:
            if message.id not in kept and not self.happens(self.chances.undeleted):
                self.truth.queue.delete(url, [message.receipt])

    @property
    def moves(self) -> MoveUse:
        """When a move task is worth it: in a world of a dozen messages for a few of them."""
        return MoveUse(left_count_min=2, pace_count_min=1) if self.chances.move_refused else MoveUse()

    def onlook_all(self) -> None:
        """Somebody begins to look at every dead-letter queue now and then, in some worlds."""
        for url in self.fleet.dead_letter_queues if self.chances.onlooker else ():
            self.after(self.rng.uniform(0, 90), partial(self.onlook, url))

    def onlook(self, url: str) -> None:
        """Somebody looks at dead letters, as the SQS console does: they are hidden for some seconds."""
        self.after(self.rng.uniform(10, 90), partial(self.onlook, url))
        if self.now < self.quiet_at and (seen := self.truth.queue.receive(url, 10, self.rng.uniform(5, 30))):
            self.counts["looked at"] += len(seen)
            self.tell(f"somebody looks at {'+'.join(message_name(message.body) for message in seen)}")

    def tick(self) -> None:
        """The schedule's minute."""
        self.after(TICK_S + self.rng.uniform(-1, 1), self.tick)
        if not self.happens(self.chances.tick_lost):
            self.invoke({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}, "tick")

    def planner_minute(self) -> None:
        """The planner's schedule: the steps of all chains are sent again, in case they were lost."""
        self.after(TICK_S + self.rng.uniform(-1, 1), self.planner_minute)
        if not self.happens(self.chances.tick_lost):
            self.invoke({}, "reseed")

    def reseed(self, now: Callable[[], float]) -> dict[str, Any]:
        """The part of that minute which is about chains of redrive jobs."""
        chains = self.ports.ledger.chains
        with suppress(ExceptionGroup):  # what could not be sent comes a minute later
            ChainRunner(chains, self.ports.work, now).reseed(chains.chains(KIND))
        return {}

    def invoke(self, event: Mapping[str, Any], label: str) -> dict[str, Any] | None:
        """One invocation of the redriver, or for a request of the operator function; None if it gave no answer."""
        number = next(self._numbers)
        skew_s = self.rng.uniform(-SKEW_S, SKEW_S)
        ends_at = self.now + (JOBS_TIMEOUT_S if label.startswith(("step", "tick")) else TIMEOUT_S)

        def now() -> float:
            return self.now + skew_s

        invocation = RedriveInvocation(
            name=f"invocation-{number}",
            until=ends_at + skew_s + GRACE_S,
            stop_at=min(ends_at - MARGIN_S, self.now + SLICE_S) + skew_s,
            uniform=self.rng.random,
        )
        self.running.append((label, ends_at))
        self.turns.append(Turns(self.rng.randrange))
        self.counts["invocations"] += 1
        try:
            if label == "reseed":
                return self.reseed(now)
            if {"Records", "source", "step"}.isdisjoint(event):
                operator = operator_app.service(self.ports, now, invocation)
                operator.moves = self.moves
                return operator.answer(event)
            redriver = app.service(self.ports, now, invocation)
            redriver.moves = self.moves
            return redriver.respond(event)
        except Crash:
            self.turns[-1].crashed = True
            self.tell("crashes")
        except PortError as error:
            self.tell(f"fails: {error}")
        except Exception as error:
            self.violate(f"the redriver raised {error!r}")
        finally:
            self.turns[-1].end()
            self.turns.pop()
            self.running.pop()
            self.truth.queue.redriving = False
        return None

    # ----------------------------------------------------------------- every call of a port

    def meet(self, call: Call) -> Fault | None:
        """Time passes in a call, Lambda may end the invocation, and the call may fail, before or after its effect."""
        self.counts["calls"] += 1
        turns = self.turns[-1]
        turns.pass_on()
        if turns.crashed:
            return self.die(call)
        stalled = self.happens(self.chances.stall)
        self.pass_until(self.now + (self.rng.uniform(2, STALL_S) if stalled else self.rng.uniform(0.005, 0.05)))
        if self.now >= self.running[-1][1]:
            self.tell(f"{call.method}: Lambda ends the invocation")
            return Fault(When.BEFORE, Crash())
        self.check()
        if call.method == "send" and call.port == "PartialQueue":
            self.check_send(call)
        self.truth.queue.redriving = True
        if not self.happens(self.chances.fault):
            self.tell(f"{call.method}{call_summary(call)}")
            return None
        when = self.rng.choice((When.BEFORE, When.AFTER))
        error: BaseException
        if self.rng.random() < self.chances.crash:
            error = Crash()
        elif when is When.AFTER:
            error = LostAnswerError("answer lost")
        else:
            error = self.rng.choice((TryLaterError, NeedsFixError, LostAnswerError))("throttled, or not allowed")
        self.tell(f"{call.method}{call_summary(call)}: {type(error).__name__} {when.value} it took effect")
        self.counts["faults"] += 1
        return Fault(when, error)

    def die(self, call: Call) -> Fault:
        """A call was under way when its process crashed at another: nobody is left to read the answer."""
        if call.method == "send" and call.port == "PartialQueue":
            self.check_send(call)
        self.truth.queue.redriving = True
        when = self.rng.choice((When.BEFORE, When.AFTER))
        self.tell(f"{call.method}{call_summary(call)}: its process has crashed, {when.value} it took effect")
        return Fault(when, Crash())
