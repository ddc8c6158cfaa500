"""What the ledger remembers of dead letters as they are processed, and is to remember (`letter_history` judges it)."""

from collections.abc import Callable, Sequence
from dataclasses import field

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import HandledLetter, Message, Remembered, Verdict, VerdictKind
from sluice.ports.aws_services import QueueFacts
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.letter_history import LetterPast, past_of, remembered, return_window_s
from sluice.redriving.message_copy import body_key


@dataclass(slots=True)
class LetterPasts:
    """The pasts of a fleet's dead letters that would go back to one queue, of one batch after another."""

    ports: Ports[RedriverLedger]
    fleet: Fleet
    to: QueueFacts
    now: Callable[[], float]
    _handled: dict[str, tuple[HandledLetter, ...]] = field(default_factory=dict)  # by the key of their body
    _beside: dict[str, tuple[HandledLetter, ...]] = field(default_factory=dict)  # the same of this batch
    _taken: dict[str, LetterPast] = field(default_factory=dict)  # by message id

    def read(self, messages: Sequence[Message]) -> None:
        """Read what the ledger remembers of a batch's bodies.

        Raises:
            PortError: the ledger does not say.
        """
        keys = list(dict.fromkeys(body_key(message, self.to) for message in messages))
        self._beside = {}
        self._handled = dict(self.ports.ledger.attempts.handled(self.fleet.name, keys, self.now()))

    def look_at(self, message: Message) -> LetterPast:
        """What is known of a dead letter from before."""
        key = body_key(message, self.to)
        return past_of(
            message,
            self.to,
            self._handled[key],
            self._beside.get(key, ()),
            window_s=return_window_s(self.fleet, self.to.visibility_s),
            limit=self.fleet.redrive.max_retries,
        )

    def take(self, message: Message) -> LetterPast:
        """The same of one that is judged. What it takes, the retry that it answers, is no other's."""
        key, past = body_key(message, self.to), self.look_at(message)
        self._handled[key] = tuple(one for one in self._handled[key] if one is not past.answers)
        self._taken[message.id] = past
        return past

    def taken(self, message: Message) -> LetterPast:
        """What was taken for a dead letter."""
        return self._taken[message.id]

    def add(self, message: Message, verdict: Verdict) -> None:
        """Add a dead letter that was judged, for what of its batch has the same body."""
        if letter := self.to_remember(message, verdict).letter:
            key = body_key(message, self.to)
            self._beside[key] = (*self._beside.get(key, ()), letter)

    def to_remember(self, message: Message, verdict: Verdict, *, stamped: bool = True) -> Remembered:
        """What the ledger is to remember of a dead letter.

        Of one that is quarantined that is needed only for what is the same message: SQS moved it, and its consumer
        copied it.
        """
        now, past = self.now(), self._taken[message.id]
        retried = verdict.kind is VerdictKind.RETRY
        whole = remembered(
            message,
            self.to,
            verdict.attempt,
            now,
            due_at=now + verdict.delay_s if retried else None,
            stamped=stamped,
            answers=past.answers,
        )
        # Where it may have been sent before, what becomes of that copy is still to be known by that.
        copied = (message.source is None or past.answers is not None) and not past.is_retried
        return whole if retried or (copied and past.twin is None) else replace(whole, letter=None)

    def retried_at(self, message: Message) -> float | None:
        """When a message was sent back before, or was to be; None if it was not."""
        handled = self._handled.get(body_key(message, self.to), ())
        return next((one.at for one in handled if one.letter_id == message.id and one.due_at is not None), None)
