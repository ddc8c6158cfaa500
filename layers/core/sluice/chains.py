"""Chains: work that goes on by a delayed message to itself, in place of a function that sleeps.

Ticks of a shard, drains of a fleet and its redrive jobs are chains. A chain is a record in the ledger, and a message in
the work queue that names the record's version:

    message (id, n) --> claim: version n -> n+1, no other worker at it --> the step's work
                    --> rest: n+1 -> n+2, due later --> message (id, n+2), delayed until then

The function of ticks takes the messages. It does its own steps, and hands those of another kind to their function by an
event, which may be lost, doubled and late as a message may.

Invariants. `sluice_tools.chaos.chain_exploration` visits every interleaving of this module's own code, and
`sluice_tools.chaos.chains` runs it under faults:

1. A message whose version is not the record's does nothing. So doubled, late and reordered messages are harmless.
2. Two workers are never at one chain, and no two begin the same version. A worker has a chain until the end of its own
   invocation, at which Lambda ends it; only then may another claim it.
3. A chain whose message or event was lost, or whose worker died, goes on by the next `reseed`, a minute later at most.
   What `reseed` sends is stale where the chain is alive.
4. A step that is asked for (`bring_forward`, `wake`) begins after the request: at once, or after the step at work. A
   step that had begun before is no answer to it.
5. What a chain works on (`assign`) may be set at any time. A step works on what was set when it began, and one that
   begins after the assignment follows. No assignment is lost, also where the chain ends meanwhile.

Nothing here waits. What a message delayed by more than 15 minutes would do, a step each 15 minutes does.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from sluice.model.chain import KINDS, Chain, Next, Step, kind_of
from sluice.model.frozen import dataclass
from sluice.model.payload_error import PayloadError
from sluice.ports.errors import PortError
from sluice.ports.ledger.chains import Chains
from sluice.ports.work_queue import LONGEST_DELAY_S, WorkQueue
from sluice.telemetry import Log

# After a step that raised an error, so that one that always does costs little.
RETRY_S = 10.0
# By how much the clocks of two workers may differ: a step that comes before another worker must have ended is stale.
CLOCKS_DIFFER_S = 5.0

type Work = Callable[[Chain], Next | None]
type Answer = dict[str, Any]


class StepEnd(StrEnum):
    """What became of a message."""

    STALE = "stale"  # its version was not the record's: nothing was done
    RESTED = "rested"  # the next step is on its way
    UNSENT = "unsent"  # the next step is on record, and its message could not be sent: the reseed sends it
    ENDED = "ended"  # there is no next step
    TAKEN_OVER = "taken over"  # the work took longer than it may, and another worker goes on


@dataclass(slots=True)
class ChainRunner:
    """Runs chains over the ledger and the work queue."""

    chains: Chains
    work: WorkQueue
    now: Callable[[], float]

    def run(self, step: Step, until: float, work: Work) -> StepEnd:
        """Do one step of a chain, if the message is still what the record waits for.

        Args:
            step: what the message asks for.
            until: when this invocation is ended at the latest, in epoch seconds.
            work: does the step; answers when the next one is due, or None if the chain is over.

        Raises:
            PortError: the ledger failed. The message should come again.
            Exception: what `work` raised, after the chain was put to rest for RETRY_S.
        """
        chain = self.chains.claim(step, until, self.now())
        if chain is None:
            return StepEnd.STALE
        try:
            following = work(chain)
        except Exception:
            self._finish(chain, Next(self.now() + RETRY_S, chain.data))
            raise
        return self._finish(chain, following)

    def take(self, records: Sequence[Mapping[str, Any]], kind: str, until: float, work: Work, log: Log) -> Answer:
        """Do the steps of an SQS batch, each by itself, and hand over those of another kind.

        https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html

        Args:
            records: the batch's records.
            kind: which chains this function runs.
            until: when this invocation is ended at the latest, in epoch seconds.
            work: does a step; as `run` takes it.
            log: takes what failed.

        Returns:
            Lambda's partial batch response. It names the messages whose chains the ledger could not tell of, or that
            could not be handed over: they come again. What is no step, and a step whose work failed, does not: the
            latter's chain has a next step.
        """
        again: list[str] = []
        for record in records:
            try:
                step = read_step(str(record.get("body", "")))
            except PayloadError as error:
                log.warning("a message of the work queue is not understood and was dropped", problems=error.problems)
                continue
            try:
                if step.kind == kind:
                    self._do(step, until, work, log)
                else:
                    self.work.hand_over(step)
            except PortError as error:
                log.warning("a chain's step could not be done: it comes again", chain=step.chain_id, problem=str(error))
                again.append(str(record.get("messageId", "")))
        return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in again]}

    def take_handed(self, event: Mapping[str, Any], kind: str, until: float, work: Work, log: Log) -> Answer:
        """Do a step that was handed over; how it ended.

        Args:
            event: as `event_of` makes it.
            kind: which chains this function runs.
            until: when this invocation is ended at the latest, in epoch seconds.
            work: does the step; as `run` takes it.
            log: takes what failed.
        """
        try:
            step = _step_in(event["step"], (kind,))
        except PayloadError as error:
            log.warning("a step that was handed over is not understood and was dropped", problems=error.problems)
            return {"dropped": list(error.problems)}
        return {"step": self.do(step, until, work, log)}

    def do(self, step: Step, until: float, work: Work, log: Log) -> StepEnd | None:
        """Do a step that no message brought; how it ended, or None where the ledger or its work failed.

        What the ledger cannot tell of is left to the next reseed. So nothing is raised that Lambda would repeat, a
        minute later, with a step that is stale by then.
        https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
        """
        try:
            return self._do(step, until, work, log)
        except PortError as error:
            log.warning(
                "a chain's step could not be done: left to the next reseed", chain=step.chain_id, problem=str(error)
            )
            return None

    def _do(self, step: Step, until: float, work: Work, log: Log) -> StepEnd | None:
        """Do a step, and log how it ended; None where its work failed.

        Raises:
            PortError: the ledger failed.
        """
        try:
            end = self.run(step, until, work)
        except PortError:
            raise
        except Exception:  # one chain must not stop the others
            log.exception("unexpected error in a chain's step", chain=step.chain_id)
            return None
        if end in {StepEnd.UNSENT, StepEnd.TAKEN_OVER}:
            log.warning("a chain goes on by the next reseed", chain=step.chain_id, end=end)
        elif end is StepEnd.STALE:
            log.debug("a stale step was dropped", chain=step.chain_id)
        return end

    def _finish(self, chain: Chain, following: Next | None) -> StepEnd:
        """Put a chain to rest or end it; at once due again where it was asked for while the work was under way."""
        while True:
            if following is None:
                if self.chains.end(chain):
                    return StepEnd.ENDED
            else:
                due_at = min(following.due_at, self.now() + LONGEST_DELAY_S)
                rested = self.chains.rest(chain, due_at, following.data)
                if rested is not None:
                    return self._send_rested(rested)
            there = self.chains.chain(chain.id)
            if there is None or there.version != chain.version:
                return StepEnd.TAKEN_OVER
            following = Next(self.now(), chain.data if following is None else following.data)
            chain = there

    def _send_rested(self, chain: Chain) -> StepEnd:
        try:
            self._send(chain, chain.due_at)
        except PortError:
            return StepEnd.UNSENT
        return StepEnd.RESTED

    def start(self, chain_id: str, due_at: float, data: str = "{}", assignment: str = "{}") -> bool:
        """Make a chain and send its first step; False if it exists already.

        Raises:
            PortError: it could not be made; or it was made and not sent, which the next reseed makes good.
        """
        chain = self.chains.start(chain_id, due_at, data, assignment)
        if chain is None:
            return False
        self._send(chain, due_at)
        return True

    def bring_forward(self, chain_id: str, at: float | None = None) -> bool:
        """Have a chain's next step begin now, or as soon as the step at work is over; False if there is no such chain.

        Args:
            chain_id: the chain.
            at: when it is to begin at the latest, in epoch seconds; None: now.

        Raises:
            PortError: it could not be asked for, or its message could not be sent.
        """
        return self._send_asked(self.chains.ask(chain_id), at)

    def _send_asked(self, chain: Chain | None, at: float | None) -> bool:
        """Send the step of a chain that was asked for, unless its worker or its own message serves; False if none."""
        if chain is None:
            return False
        if chain.at_work_until <= self.now() and (at is None or at < chain.due_at):
            self._send(chain, self.now() if at is None else at)
        return True

    def wake(self, chain_id: str, data: str = "{}", at: float | None = None) -> None:
        """Have a chain's next step begin now, and make the chain first if there is none.

        Args:
            chain_id: the chain.
            data: a new chain's.
            at: when the step is to begin at the latest, in epoch seconds; None: now.

        Raises:
            PortError: as `start` and `bring_forward`.
        """
        while not self.bring_forward(chain_id, at) and not self.start(chain_id, self.now() if at is None else at, data):
            pass  # it ended, and began again, between the two calls

    def assign(self, chain_id: str, assignment: str, first_at: float, data: str = "{}") -> None:
        """Set what a chain works on, and have its next step begin now; make the chain first if there is none.

        Args:
            chain_id: the chain.
            assignment: what it works on.
            first_at: when a new chain's first step is due, in epoch seconds.
            data: a new chain's.

        Raises:
            PortError: as `start` and `bring_forward`.
        """
        while not self._send_asked(self.chains.assign(chain_id, assignment), None):
            if self.start(chain_id, first_at, data, assignment):
                return

    def reseed(self, chains: Sequence[Chain]) -> None:
        """Send the step that each chain waits for, in case its own message was lost.

        The message arrives when the step is due, or when the worker at it must have ended.

        Raises:
            ExceptionGroup: some messages could not be sent; the others were.
        """
        failed: list[PortError] = []
        for chain in chains:
            try:
                self._send(chain, max(chain.due_at, chain.at_work_until + CLOCKS_DIFFER_S))
            except PortError as error:
                failed.append(error)
        if failed:
            raise ExceptionGroup(f"the steps of {len(failed)} of {len(chains)} chains could not be sent", failed)

    def _send(self, chain: Chain, at: float) -> None:
        self.work.send(chain.step, min(max(0.0, at - self.now()), LONGEST_DELAY_S))


def next_on_grid(due_at: float, period_s: float, now: float) -> float:
    """The first time after now that is a whole number of periods after `due_at`: a late step delays no later one."""
    return due_at + ((now - due_at) // period_s + 1) * period_s


def message_of(step: Step) -> str:
    """The body of a step's message."""
    return json.dumps({"chain": step.chain_id, "version": step.version}, separators=(",", ":"))


def event_of(step: Step) -> str:
    """The event by which a step is handed over."""
    return f'{{"step":{message_of(step)}}}'


def is_handed_step(event: Mapping[str, Any]) -> bool:
    """Whether an event hands a step over."""
    return isinstance(event.get("step"), Mapping)


def read_step(body: str, kinds: Sequence[str] = KINDS) -> Step:
    """The step in a message's body.

    Args:
        body: the message's.
        kinds: which chains the reader takes steps of.

    Raises:
        PayloadError: it is none of a chain of these kinds.
    """
    try:
        found = json.loads(body)
    except ValueError as error:
        raise PayloadError(f"message: must be a chain's step as JSON ({error})") from error
    return _step_in(found, kinds)


def _step_in(found: object, kinds: Sequence[str]) -> Step:
    match found:
        case {"chain": str(chain_id), "version": int(version)} if kind_of(chain_id) in kinds and version > 0:
            return Step(chain_id, version)
    raise PayloadError(f'message: must be {{"chain": "{" or ".join(kinds)}/...", "version": 1 or more}}')


def records_of(event: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The records of an SQS batch that Lambda hands over; none of any other event.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    records = event.get("Records")
    if not isinstance(records, list):
        return []
    return [each for each in records if isinstance(each, Mapping) and each.get("eventSource") == "aws:sqs"]
