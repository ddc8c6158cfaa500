"""What Sluice needs of the world, as Protocols, and the errors they raise, split by what to do about them.

Adapters: `sluice.memory` (simulator, chaos tests, dry run) and `sluice.aws`. A contract test holds all to the same
behaviour. Every method may raise the four errors below and no other.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Protocol

from sluice.model.consumers import Consumer
from sluice.model.draining import Drain
from sluice.model.frozen import dataclass
from sluice.model.planning import Decision, Memory, Outcome, TimedLaunch
from sluice.model.redriving import BatchClaimRecord, Claim, FailureGroup, QuarantineEntry, RedriveJob
from sluice.ports.aws_services import Archive, Fleets, Group, Instances, Queue, Signals

# How long the ledger keeps what is over and done with; DynamoDB deletes it some time after.
DECISIONS_KEPT_S = 30 * 86_400.0  # a month of decisions answers "why was it so large last week"
DRAINS_KEPT_S = 7 * 86_400.0  # released ones; late events of an instance come within hours
# Launches are read at every tick: no more than come in a minute as a rule. Of more at once the last ones tell enough.
LAUNCHES_KEPT = 16
CONSUMERS_KEPT_S = 86_400.0  # since last heard of: a day of launches is enough to learn the lead time from
ATTEMPTS_KEPT_S = 14 * 86_400.0  # SQS's longest retention: no message outlives it
CAUSES_KEPT_S = 14 * 86_400.0  # likewise
# How much of a failure group's trend is kept: three days by the hour, and the longest window of a burst by the minute.
TREND_HOURS = 72
TREND_MINUTES = 11
# A failure group without messages in quarantine, since it was last seen: until then a message of it that was sent back
# may come again (SQS's longest retention), and is known as failed again.
EMPTY_GROUPS_KEPT_S = 14 * 86_400.0
JOBS_KEPT_S = 30 * 86_400.0  # since last touched
SIGNALS_WINDOW_S = 3 * 3_600.0  # CloudWatch keeps 60 s points for 15 days, and answers 3 h of them in one page

# SQS keeps a message for 14 days at most, after a delay of 15 minutes at most: then no copy of it can be in a queue.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
SEND_CLAIM_KEPT_S = 14 * 86_400.0 + 900.0

# Ids of 36 characters: under 20 kB of a record's 400, and one write instead of 500.
BATCH_CLAIM_MAX = 500


class Ledger(Protocol):
    """The DynamoDB table: fleet state, decision records, drains, failure groups, quarantine index, redrive jobs."""

    # One planner at a time per fleet.
    def acquire(self, fleet: str, owner: str, until: float, now: float) -> bool:
        """Take or renew the fleet's lease until a time; False while another holds it."""
        ...

    def release(self, fleet: str, owner: str) -> None:
        """Give the lease back; harmless if it is not ours."""
        ...

    def memory(self, fleet: str) -> Memory:
        """The planner's memory; empty at first. In `timed` are the last launches noted, whatever was kept."""
        ...

    def keep_memory(self, fleet: str, memory: Memory) -> None:
        """Keep the memory, all but `timed`; only the lease's holder may."""
        ...

    def note_launch(self, fleet: str, launch: TimedLaunch) -> None:
        """Add a launch to those that the fleet's memory is read with, under the next number; anybody may.

        At least the last LAUNCHES_KEPT stay. Lost answers may note one twice.
        """
        ...

    def record(self, decision: Decision, outcome: Outcome) -> None:
        """Record a decision with its outcome; a repeated one overwrites itself."""
        ...

    def decisions(
        self, fleet: str, limit: int, since: float = 0.0, until: float = inf
    ) -> tuple[tuple[Decision, Outcome], ...]:
        """The last decisions made at `since` or later and at `until` or earlier, most recent first."""
        ...

    def drain(self, fleet: str, instance_id: str) -> Drain | None:
        """The drain of an instance, if any."""
        ...

    def drains(self, fleet: str) -> tuple[Drain, ...]:
        """Every drain on record, released ones too while they are kept."""
        ...

    def keep_drain(self, drain: Drain) -> Drain:
        """Write a drain if its version is still the ledger's (0: not there yet); the written one.

        Raises:
            ConflictError: another wrote it first.
        """
        ...

    def consumer(self, fleet: str, instance_id: str) -> Consumer | None:
        """What is known of an instance's consumer, if anything."""
        ...

    def consumers(self, fleet: str) -> tuple[Consumer, ...]:
        """Every consumer heard of in CONSUMERS_KEPT_S."""
        ...

    def keep_consumer(self, consumer: Consumer) -> Consumer:
        """Write a consumer's record if its version is still the ledger's; ConflictError otherwise."""
        ...

    def failure_group(self, fleet: str, group_id: str) -> FailureGroup | None:
        """A failure group, if any."""
        ...

    def failure_groups(self, fleet: str) -> tuple[FailureGroup, ...]:
        """Every failure group of a fleet, most recently seen first.

        One without messages in quarantine is forgotten EMPTY_GROUPS_KEPT_S after it was last seen.
        """
        ...

    def admit_group(self, fleet: str, group_id: str, cause: str, now: float) -> bool:
        """Whether a failure group may be used: it is there, or is made now, where the fleet has fewer than GROUPS_MAX.

        Groups that are counted into without it are made all the same: whoever counts asks first.
        """
        ...

    def quarantine_size(self, fleet: str) -> int:
        """How many messages are in quarantine, by a count that is kept: one read, however many there are."""
        ...

    def note_failure(
        self, fleet: str, group_id: str, cause: str, sample: str, now: float, *, again: bool = False
    ) -> FailureGroup:
        """Count one more dead letter of a group as seen, also in the hour and the minute of `now`.

        `again`: it had been sent back before.
        """
        ...

    # How the last redrive of a group goes: the first sending of another job begins anew.
    def note_redriven(self, fleet: str, group_id: str, job_id: str, count: int, now: float) -> None:
        """Count messages of a group that a job sent back."""
        ...

    def note_returned(self, fleet: str, group_id: str, job_id: str) -> None:
        """Count one of them that came back; none, if the job is not the last any longer."""
        ...

    def mute_group(self, fleet: str, group_id: str, at: float | None) -> FailureGroup | None:
        """Mute a failure group at a time (epoch seconds), or unmute it (None); the group, None if there is none."""
        ...

    def keep_cause(self, fleet: str, message_id: str, cause: str, now: float) -> None:
        """Remember why a message failed, as its consumer told apart from it; for CAUSES_KEPT_S, the last one wins."""
        ...

    def causes(self, fleet: str, message_ids: Sequence[str]) -> Mapping[str, str]:
        """The causes told of these messages."""
        ...

    def quarantine(self, entry: QuarantineEntry) -> bool:
        """Index a quarantined message and count it in its group, in one transaction.

        In the same transaction its FIFO message group, if it has one, is held in that failure group. False if the
        message was indexed already, or was sent again since (its mark says SENT): nothing is written then.
        """
        ...

    def quarantined(
        self, fleet: str, failure_group: str | None = None, limit: int = 100, after: str | None = None
    ) -> tuple[tuple[QuarantineEntry, ...], str | None]:
        """A page of the index, oldest first, and where to go on from (None: no more)."""
        ...

    def quarantined_message(self, fleet: str, message_id: str) -> QuarantineEntry | None:
        """One index entry by message id."""
        ...

    def remove_entry(self, entry: QuarantineEntry) -> bool:
        """Take a redriven message out of the index, its group's and its hold's count; False if it was gone."""
        ...

    def remove_entries(self, entries: Sequence[QuarantineEntry]) -> None:
        """The same for many, in few calls; those that were gone are none the worse. An error leaves some of them."""
        ...

    def held_in(self, fleet: str, message_group: str) -> str | None:
        """The failure group that holds quarantined messages of a FIFO message group; None if none is quarantined."""
        ...

    # One sending of a message at a time: a mark for each message id, written by condition before it is sent. Marks are
    # kept for SEND_CLAIM_KEPT_S after the claim, for as long as a copy of the message can be in any queue.
    def claim_sends(
        self, fleet: str, message_ids: Sequence[str], until: float, now: float, again: bool = False
    ) -> Mapping[str, Claim]:
        """Claim the sending of messages, each by itself, until a time after which the claimant is surely gone.

        GRANTED is given once: where there is no mark; with `again` (a person's word) also where it is DOUBTFUL.
        """
        ...

    def confirm_sends(self, fleet: str, message_ids: Sequence[str], now: float) -> None:
        """The claimed messages were sent."""
        ...

    def release_sends(self, fleet: str, message_ids: Sequence[str]) -> None:
        """The claimed messages were surely not sent: take the marks away. Harmless if there is none."""
        ...

    def send_claims(self, fleet: str, message_ids: Sequence[str], now: float) -> Mapping[str, Claim]:
        """How the sending of messages stands, without claiming it: BUSY, SENT or DOUBTFUL, of those with a mark."""
        ...

    # A consignment claims many messages by one record: for who holds them hidden in their queue, so that hardly anyone
    # else can be at them. It is written before the marks are read, and marks before the consignments: of two that claim
    # one message at the same moment at least one sees the other.
    def claim_batch(self, consignment: BatchClaimRecord, again: bool = False) -> Mapping[str, Claim]:
        """Claim the sending of what it claims, as `claim_sends` does, at most BATCH_CLAIM_MAX messages."""
        ...

    def record_batch_claim(self, consignment: BatchClaimRecord) -> None:
        """Write how it stands: what it no longer names is released, and one that names nothing is forgotten."""
        ...

    def attempts(self, fleet: str, message_key: str) -> int:
        """Redrives of a message so far, as remembered here for those that cannot carry it themselves."""
        ...

    def keep_attempts(self, fleet: str, message_key: str, attempts: int, now: float) -> None:
        """Remember a message's redrives."""
        ...

    def job(self, fleet: str, job_id: str) -> RedriveJob | None:
        """A redrive job, if any."""
        ...

    def jobs(self, fleet: str) -> tuple[RedriveJob, ...]:
        """Every redrive job on record, most recent first."""
        ...

    def keep_job(self, job: RedriveJob) -> RedriveJob:
        """Write a job if its version is still the ledger's; ConflictError otherwise."""
        ...


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port of one stack, as a handler gets them: `sluice.aws.connect` makes the real ones."""

    fleets: Fleets
    group: Group
    signals: Signals
    queue: Queue
    archive: Archive
    instances: Instances
    ledger: Ledger
