"""Dead letters as they arrive: each is judged, then sent back or quarantined, and only then deleted.

`process` says which of a batch may be deleted from the dead-letter queue; whoever received the batch deletes just those
(Lambda does, by the batch's partial answer). What it does not name as gone stays in the dead-letter queue and comes
again. Order of effects for each message, so that after a crash at any point it is in at least one place:

* retry: what is in `sender`, then gone; on FIFO queues gone once its copy has settled (`fifo_order`);
* quarantine: the body into the archive, then the index and the group's count in one transaction, then gone.

What would be sent back to a paused queue waits in the dead-letter queue, hidden for some minutes at a time, and is
quarantined before SQS deletes it. What is to be quarantined is, paused or not.

A copy that comes back proves that it was sent, which ends a doubt about that (`sender`), and stops the redrive job
that sent it. Both are noted first: the job must stop even if the rest fails.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import field

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import Claim, Message, Verdict, VerdictKind
from sluice.ports.aws_services import QueueFacts
from sluice.ports.errors import PortError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving import fifo_order, letter_results
from sluice.redriving.failure_groups import Cause, queue_name
from sluice.redriving.jobs.lifecycle import report_return
from sluice.redriving.jobs.release import keep_releases
from sluice.redriving.letter_groups import LetterGroups
from sluice.redriving.letter_pasts import LetterPasts
from sluice.redriving.letter_results import DeadLetterResult, LetterOutcome
from sluice.redriving.message_copy import Origin, copy_of, is_unstamped, origin_of, send_rounds
from sluice.redriving.sender import OutgoingMessage, Sender, SendOutcome, SendResult, resolve_doubts
from sluice.redriving.verdict import DeadLetterHistory, judge, left_s, margin_s

# How long what waits for a paused queue is hidden: once it goes on, that is the latest that its dead letters do.
PAUSED_RECHECK_S = 600.0
# The index is in order of milliseconds: at the same one, messages of a FIFO message group would be in no order.
INDEX_STEP_S = 0.001


@dataclass(slots=True)
class DeadLetterProcessor:
    """Processes a fleet's dead letters: sends each back or quarantines it.

    Attributes:
        to: the fleet's queue; of several, the one that these dead letters came from, as far as is known.
        until: when this process is surely gone.
        retention_s: how long the dead-letter queue keeps a message from its first sending, where that is known.
        uniform: a random number, 0 <= uniform < 1.
        others: names of the other queues that share the dead-letter queue.
        paused: nothing takes from the queue.
    """

    ports: Ports[RedriverLedger]
    fleet: Fleet
    to: QueueFacts
    until: float
    now: Callable[[], float]
    uniform: Callable[[], float]
    retention_s: float | None = None
    others: tuple[str, ...] = ()
    paused: bool = False
    opened_release: bool = False  # by the last batch: the chain of the fleet's jobs is to be woken
    _indexed_at: float = 0.0
    _cut: fifo_order.Cut = field(default_factory=fifo_order.Cut)
    _waits: fifo_order.GroupWaits = field(default_factory=fifo_order.GroupWaits)
    _groups: LetterGroups = field(init=False)
    _pasts: LetterPasts = field(init=False)

    def __post_init__(self) -> None:
        self._groups = LetterGroups(self.ports, self.fleet, self.now)
        self._pasts = LetterPasts(self.ports, self.fleet, self.to, self.now)

    def process(self, messages: Sequence[Message], batch: Sequence[Message] = ()) -> tuple[DeadLetterResult, ...]:
        """Process messages of a batch, by default all; what became of each, in their order. Raises no PortError."""
        try:
            self._groups.read_causes(messages)
            self._pasts.read(messages)
        except PortError as error:
            reason = f"could not be judged: {error}"
            return tuple(DeadLetterResult(message.id, LetterOutcome.KEPT, reason) for message in messages)
        self._cut = fifo_order.cut_of(batch or messages) if self.to.fifo else fifo_order.Cut()
        order = fifo_order.arranged(messages, self.to, self._pasts.look_at)
        results = self._process_rounds([messages[i] for i in order], batch or messages)
        return self._with_releases([results[order.index(i)] for i in range(len(messages))])

    def _process_rounds(self, messages: Sequence[Message], batch: Sequence[Message]) -> dict[int, DeadLetterResult]:
        """Process a batch in rounds; of a FIFO message group nothing goes on behind what stays or waits."""
        results: dict[int, DeadLetterResult] = {}
        self._waits = fifo_order.GroupWaits()
        kept_groups: set[str | None] = set()  # message groups, on FIFO queues
        for indexes in send_rounds(messages, self.to):
            judged: list[tuple[int, Message, Verdict]] = []
            for i in indexes:
                message = messages[i]
                if message.message_group in kept_groups:
                    results[i] = DeadLetterResult(
                        message.id, LetterOutcome.KEPT, "a message before it in its message group is kept"
                    )
                    continue
                try:
                    if (left_s := self._settles_in_s(message)) > 0:
                        results[i] = self._wait(message, left_s, f"its retry settles within {left_s:.0f} s")
                    else:
                        judged.append((i, message, self._judge(message)))
                except PortError as error:
                    results[i] = DeadLetterResult(message.id, LetterOutcome.KEPT, f"could not be judged: {error}")
            results |= self._apply(judged)
            if self.to.fifo:
                kept_groups |= {messages[i].message_group for i in indexes if not results[i].may_be_deleted}
                kept_groups |= set(self._waits.heads)
        if self.fleet.dead_letter_queue:
            gone = {messages[i].id for i, result in results.items() if result.may_be_deleted}
            self._waits.hide(self.ports.queue, self.fleet.dead_letter_queue, batch, gone)
        return results

    def _with_releases(self, results: Sequence[DeadLetterResult]) -> tuple[DeadLetterResult, ...]:
        """What became of a batch, once what is held has a release on record; without one it stays in its queue."""
        held = [one.verdict for one in results if one.may_be_deleted and one.verdict and one.verdict.held]
        try:
            groups = dict.fromkeys(verdict.failure_group for verdict in held)
            self.opened_release = keep_releases(self.ports, self.fleet, groups, self.now())
        except PortError as error:
            kept, why = LetterOutcome.KEPT, f"its release could not be noted: {error}"
            return tuple(replace(one, outcome=kept, reason=why) if one.verdict in held else one for one in results)
        return tuple(results)

    def quarantine(self, messages: Sequence[Message], why: str) -> tuple[DeadLetterResult, ...]:
        """Quarantine messages whatever the policy says of them; what became of each. Never raises a PortError."""
        results: list[DeadLetterResult] = []
        for message in messages:
            try:
                self._groups.read_causes([message])
                self._pasts.read([message])
                attempts = self._pasts.take(message).attempts
                self._note_copy(message)
                own = self._groups.own(message)
                into = self._held_in(message) or own
                verdict = Verdict(VerdictKind.QUARANTINE, into.id, into.words, why, attempts, said=own.as_said)
            except PortError as error:
                results.append(DeadLetterResult(message.id, LetterOutcome.KEPT, f"could not be quarantined: {error}"))
                continue
            results.append(self._put_in_quarantine(message, verdict))
        return tuple(results)

    def _judge(self, message: Message) -> Verdict:
        """The verdict on a message, by what the ledger remembers; the job that sent it is noted as failed again."""
        past = self._pasts.take(message)
        self._note_copy(message)
        own = self._groups.own(message)
        history = DeadLetterHistory(
            past,
            self._held_in(message),
            self._groups.recent_count(own),
            self.others,
            fifo_order.waited_s(message, self.now()),
        )
        uniform = fifo_order.uniform_of(message.id) if self.to.fifo else self.uniform()
        verdict = judge(message, self.fleet.redrive, self.to, own, history=history, uniform=uniform)
        self._pasts.add(message, verdict)
        return verdict

    def _note_copy(self, message: Message) -> None:
        """A copy that comes back was sent, which ends a doubt about that, and it is noted on the job that sent it."""
        if origin := origin_of(message, self.to):
            resolve_doubts(self.ports, self.fleet.name, [origin.message_id], self.now())
            self._report_return(origin, message)
        elif (canary := self._pasts.taken(message).answers) and canary.job_id and is_unstamped(message):
            # Its consumer copied it without its stamps. What SQS moved with an equal body may be a message of its own.
            self._report_return(Origin(canary.letter_id, canary.job_id, canary.failure_group), message)

    def _held_in(self, message: Message) -> Cause | None:
        """The failure group that holds earlier messages of a FIFO message group."""
        if message.message_group is None or not self.to.fifo:
            return None
        group_id = self.ports.ledger.quarantine.held_in(self.fleet.name, message.message_group)
        if group_id is None:
            return None
        group = self.ports.ledger.failure_groups.failure_group(self.fleet.name, group_id)
        if group:  # hosts' clocks differ: what follows is indexed behind all that was seen of the group
            self._indexed_at = max(self._indexed_at, group.last_seen_at)
        return Cause(group_id, group.cause if group else group_id)

    def _report_return(self, origin: Origin, message: Message) -> None:
        """Note on a redrive job that a message it sent came back."""
        # What waits in the dead-letter queue is received again and again, and counted once.
        waits = self.paused or self.to.fifo
        before = self.ports.ledger.jobs.job(self.fleet.name, origin.job_id) if waits and origin.job_id else None
        if before is None or origin.failure_group not in before.progress.stopped_groups:
            report_return(self.ports, self.fleet.name, origin, message.id, self.now())

    def _apply(self, judged: Sequence[tuple[int, Message, Verdict]]) -> dict[int, DeadLetterResult]:
        """Send what is to be retried, quarantine the rest."""
        results: dict[int, DeadLetterResult] = {}
        retries = [(i, message, verdict) for i, message, verdict in judged if verdict.kind is VerdictKind.RETRY]
        if self.paused:
            paused = f"queue {queue_name(self.to.url)} is paused"
            results |= {i: self._keep_waiting(one, verdict, PAUSED_RECHECK_S, paused) for i, one, verdict in retries}
        elif self.to.fifo:
            results |= {i: result for i, one, verdict in retries if (result := self._keep_in_order(one, verdict))}
        retries = [retry for retry in retries if retry[0] not in results]
        sender = Sender(self.ports, self.fleet.name, self.to, self.until, self.now)
        send_results = sender.send([self._outgoing(message, verdict) for _, message, verdict in retries])
        for (i, message, verdict), send_result in zip(retries, send_results, strict=True):
            results[i] = self._result_of(message, verdict, send_result)
        for i, message, verdict in judged:
            if i not in results:
                results[i] = self._put_in_quarantine(message, verdict)
        return results

    def _keep_in_order(self, message: Message, verdict: Verdict) -> DeadLetterResult | None:
        """What of a FIFO queue is not to be sent back now, so that its message group keeps its order; or None."""
        if verdict.delay_s > 0:
            return self._keep_waiting(message, verdict, verdict.delay_s, verdict.sentence)
        if message.message_group != self._cut.message_group:
            return None
        if self._cut.is_all:
            return self._put_in_quarantine(message, letter_results.quarantined_instead(verdict, fifo_order.MANY_WAIT))
        return self._keep_waiting(
            message, verdict, fifo_order.LOOK_AGAIN_S, "more of its message group may wait behind it"
        )

    def _keep_waiting(self, message: Message, verdict: Verdict, wait_s: float, reason: str) -> DeadLetterResult:
        """Keep what is to be sent back later, unless SQS is about to delete it."""
        left = left_s(message, self.retention_s, self.now())
        if left is not None and self.retention_s:
            wait_s = min(wait_s, left - margin_s(self.fleet.redrive, self.retention_s))
        if wait_s <= 0:
            why = "its queue is paused" if self.paused else "its retry would be later"
            return self._put_in_quarantine(
                message, letter_results.quarantined_instead(verdict, f"{why}, and SQS would delete it")
            )
        return self._wait(message, wait_s, reason, verdict)

    def _wait(self, message: Message, wait_s: float, reason: str, verdict: Verdict | None = None) -> DeadLetterResult:
        """Hide a message for a while, on FIFO queues with what follows it in its message group."""
        if self.to.fifo:
            self._waits.add(message, wait_s)
        elif self.fleet.dead_letter_queue:
            with suppress(PortError):  # then it is received again sooner
                self.ports.queue.hide(self.fleet.dead_letter_queue, message.receipt, wait_s)
        return DeadLetterResult(message.id, LetterOutcome.KEPT, reason, verdict)

    def _settles_in_s(self, message: Message) -> float:
        """How long the copy of a FIFO message that was sent may still be under way, in seconds; or a PortError."""
        at = self._pasts.retried_at(message) if self.to.fifo else None
        left = 0.0 if at is None else at + fifo_order.settles_within_s(self.fleet, self.to) - self.now()
        if left <= 0:
            return 0.0
        marks = self.ports.ledger.send_claims.claims_of(self.fleet.name, [message.id], self.now())
        return left if marks.get(message.id) is Claim.SENT else 0.0

    def _outgoing(self, message: Message, verdict: Verdict) -> OutgoingMessage:
        copy = copy_of(message, verdict.attempt, self.to)
        assert copy is not None, "judge quarantines what its queue would not take"
        remember = self._pasts.to_remember(message, verdict, stamped=copy.carries_attempts)
        return OutgoingMessage(copy.message, verdict.delay_s, remember)

    def _result_of(self, message: Message, verdict: Verdict, send_result: SendResult) -> DeadLetterResult:
        """What becomes of a dead letter after the attempt to send it back."""
        match send_result.outcome:
            case SendOutcome.SENT:
                unnoted = self._groups.note(message, verdict)
                reason = " ".join(part for part in (verdict.sentence, send_result.reason, unnoted) if part)
                if self.to.fifo:
                    self._waits.add(message, fifo_order.settles_within_s(self.fleet, self.to))
                # Held even if its mark could not be written: what comes later in its message group waits behind it, and
                # it is in quarantine, in doubt, before that goes.
                return DeadLetterResult(message.id, LetterOutcome.RETRIED, reason, verdict, is_held=self.to.fifo)
            case SendOutcome.EARLIER:
                return DeadLetterResult(message.id, LetterOutcome.GONE, "it was sent back before", verdict)
            case SendOutcome.REFUSED | SendOutcome.DOUBTFUL:
                return self._put_in_quarantine(message, letter_results.quarantined_instead(verdict, send_result.reason))
            case _:
                return DeadLetterResult(message.id, LetterOutcome.KEPT, send_result.reason, verdict)

    def _put_in_quarantine(self, message: Message, verdict: Verdict) -> DeadLetterResult:
        """Store, then index."""
        ledger = self.ports.ledger
        try:
            verdict = self._groups.counted_in(verdict)
            key = self.ports.archive.store(self.fleet.name, message)
            self._indexed_at = max(self.now(), self._indexed_at + INDEX_STEP_S)
            entry = letter_results.quarantine_entry(
                self.fleet.name, message, verdict, self.to, key=key, at=self._indexed_at, retention_s=self.retention_s
            )
            if self._pasts.taken(message).is_copy and not entry.source:
                entry = replace(entry, source=self.to.arn)
            if not ledger.quarantine.quarantine(entry):
                return DeadLetterResult(
                    message.id, LetterOutcome.GONE, "it was quarantined or sent back before", verdict
                )
        except PortError as error:
            return DeadLetterResult(message.id, LetterOutcome.KEPT, f"could not be quarantined: {error}", verdict)
        remember = self._pasts.to_remember(message, verdict)
        if remember.letter or remember.answered_id:
            with suppress(PortError):  # what comes with the same body is then counted on from it once more
                ledger.attempts.remember(self.fleet.name, [remember])
        pointer_only, unnoted = (
            letter_results.POINTER_ONLY if entry.excerpt.payload else "",
            self._groups.note(message, verdict),
        )
        reason = " ".join(filter(None, (verdict.sentence, pointer_only, unnoted)))
        return DeadLetterResult(message.id, LetterOutcome.QUARANTINED, reason, verdict)
