"""The failure groups of dead letters as they are processed: its own, the one it is counted in, what came lately."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.redriving import Message, Verdict, VerdictKind
from sluice.ports.errors import PortError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.failure_groups import CAUSE, Cause, failure_group, group_cause
from sluice.redriving.group_admission import admit_to_group
from sluice.redriving.verdict import sample_of, without_release


@dataclass(slots=True)
class LetterGroups:
    """The failure groups of a fleet's dead letters, of one batch after another."""

    ports: Ports[RedriverLedger]
    fleet: Fleet
    now: Callable[[], float]
    _reported_causes: Mapping[str, str] = field(default_factory=dict)  # by consumers' events, by message id
    _recent: dict[str, int] = field(default_factory=dict)  # dead letters lately, by failure group
    _admitted: dict[str, str] = field(default_factory=dict)  # failure group -> the one that it is counted in

    def read_causes(self, messages: Sequence[Message]) -> None:
        """Read the causes that consumers' events reported of a batch's messages.

        Raises:
            PortError: the ledger does not say.
        """
        unstamped = [message.id for message in messages if message.attribute(CAUSE) is None]
        self._reported_causes = self.ports.ledger.causes.causes(self.fleet.name, unstamped) if unstamped else {}

    def own(self, message: Message) -> Cause:
        """The failure group of a message's own cause."""
        return failure_group(message, self._reported_causes.get(message.id, ""))

    def recent_count(self, own: Cause) -> int:
        """Dead letters of a failure group within the policy's window, those of this batch up to now included.

        Raises:
            PortError: the ledger does not say.
        """
        policy = self.fleet.redrive
        if not policy.burst_count or not own.is_known:
            return 0
        if own.id not in self._recent:
            group = self.ports.ledger.failure_groups.failure_group(self.fleet.name, own.id)
            self._recent[own.id] = group.seen_within(policy.burst_window_s, self.now()) if group else 0
            if group:
                self._admitted[own.id] = own.id
        self._recent[own.id] += 1
        return self._recent[own.id]

    def counted_in(self, verdict: Verdict) -> Verdict:
        """A verdict with the failure group that it is counted in: its own, or the one of what would be too many.

        Raises:
            PortError: the ledger does not say.
        """
        if verdict.failure_group not in self._admitted:
            own = Cause(verdict.failure_group, verdict.cause)
            self._admitted[verdict.failure_group] = admit_to_group(self.ports, self.fleet.name, own, self.now()).id
        if (group_id := self._admitted[verdict.failure_group]) == verdict.failure_group:
            return verdict  # otherwise it is in the overflow, which has many causes: it is not released by itself
        return replace(without_release(verdict), failure_group=group_id)

    def note(self, message: Message, verdict: Verdict) -> str:
        """Count a dead letter in its failure group. A count that is lost harms nothing: it is said and no more."""
        sample, ledger = sample_of(message), self.ports.ledger
        again = verdict.attempt > (verdict.kind is VerdictKind.RETRY)  # a retry counts itself, and is to come
        try:
            group_id = self.counted_in(verdict).failure_group
            cause = group_cause(group_id, verdict.cause)
            ledger.failure_groups.note_failure(self.fleet.name, group_id, cause, sample, self.now(), again=again)
        except PortError as error:
            return f"(not counted in its failure group: {error})"
        return ""
