"""At an operator's request, one quarantined message is sent back with another body, or a deleted one is restored.

Editing is off unless the fleet's policy says `edits`. The original stays in the archive, where it was; the index
forgets it once the edited copy is surely sent (`sender`), and the job on record says who did it, and where the
original is.

Restoring makes a new message of what the archive last kept under a key, removed since or not: quarantined under an id
of its own, since the mark of the first says that it was sent.
"""

import re
from collections.abc import Callable

from sluice.config.fleet import Fleet
from sluice.model.frozen import dataclass, replace
from sluice.model.payload_error import PayloadError
from sluice.model.redrive_jobs import JobAction, JobPhase, JobProgress, JobState, RedriveJob, Selection
from sluice.model.redriving import Message, QuarantineEntry
from sluice.ports.aws_services import archive_key
from sluice.ports.errors import RefusedError
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.failure_groups import Cause, failure_group, source_of
from sluice.redriving.group_admission import admit_to_group
from sluice.redriving.jobs.lifecycle import paused_note
from sluice.redriving.jobs.rules import sent
from sluice.redriving.letter_history import remembered
from sluice.redriving.letter_results import excerpt_of
from sluice.redriving.message_copy import carried_count, copy_of, first_sent_at
from sluice.redriving.sender import OutgoingMessage, Sender, SendOutcome
from sluice.redriving.source_queues import QueueRoute, route_asked_for, route_of_letter, watch_s

_ID = re.compile(r"[A-Za-z0-9-]{1,80}")


@dataclass(frozen=True, slots=True)
class Editor:
    """One invocation that acts on single messages of a fleet.

    Attributes:
        routes: the fleet's queues.
        name: the invocation, which a job is called after.
        until: when this process is surely gone.
    """

    ports: Ports[RedriverLedger]
    fleet: Fleet
    routes: tuple[QueueRoute, ...]
    name: str
    until: float
    now: Callable[[], float]

    def send_edited(self, message_id: str, body: str, by: str) -> RedriveJob:
        """Send a quarantined message back with another body; a job that is done, for the record.

        Raises:
            PayloadError: the policy forbids it, there is no such message, or it cannot be sent.
            PortError: AWS does not let us; nothing was sent, or the message is in doubt.
        """
        if not self.fleet.redrive.edits:
            raise PayloadError(f"edit: fleet {self.fleet.name} does not allow it; redrive.edits of its Settings does")
        if not body:
            raise PayloadError("edit.body: must not be empty, since SQS takes no empty message")
        entry = self.ports.ledger.quarantine.quarantined_message(self.fleet.name, message_id)
        if entry is None:
            raise PayloadError(f"message_id: no message {message_id} is in fleet {self.fleet.name}'s quarantine")
        if entry.message_group is not None:
            raise PayloadError("message_id: a FIFO message is sent in the order of its message group, not by itself")
        original = self.ports.archive.load(entry.key)
        source = entry.source or source_of(original)
        route = route_asked_for(entry.source, original, self.routes)
        if route is None:
            names = ", ".join(one.name for one in self.routes)
            raise PayloadError(
                f"message_id: nothing says that it came from {names}"
                + (f", but from {source[:200]}" if source else "")
                + "; redrive it with to_queue instead"
            )
        attempt = entry.attempt + 1
        copy = copy_of(replace(original, body=body), attempt, route.to, (self.name, entry.failure_group))
        if copy is None:
            raise PayloadError(
                f"edit.body: with it the message is more than its queue takes ({route.to.max_bytes} bytes)"
            )
        now = self.now()
        remember = remembered(copy.message, route.to, attempt, now, due_at=now, stamped=copy.carries_attempts)
        sender = Sender(self.ports, self.fleet.name, route.to, self.until, self.now)
        (send_result,) = sender.send([OutgoingMessage(copy.message, remember=remember)])
        if send_result.outcome is SendOutcome.EARLIER:
            raise PayloadError(f"message_id: {message_id} was sent back before; it is only still listed")
        if not send_result.is_in_queue:
            raise PayloadError(f"message_id: {message_id} was not sent: {send_result.reason}")
        self.ports.ledger.quarantine.remove_entry(entry)
        return self._record(entry, by, route)

    def _record(self, entry: QuarantineEntry, by: str, route: QueueRoute) -> RedriveJob:
        more = f" {paused_note([route.name])}" if route.paused else ""
        now = self.now()
        job = RedriveJob(
            id=self.name,
            fleet=self.fleet.name,
            state=JobState.RUNNING,
            requested_at=now,
            requested_by=by,
            updated_at=now,
            selection=Selection(message_id=entry.message_id),
            progress=JobProgress(JobPhase.RAMP, selected_count=1, sent_count=1),
            note=f"Sent with another body. The original is kept in the archive under {entry.key}.{more}",
            actions=(JobAction(now, by, "sent it with another body"),),
        )
        return self.ports.ledger.jobs.keep_job(sent(job, now, watch_s(self.fleet.redrive, [route])))

    def restore(self, key: str, by: str) -> QuarantineEntry:
        """Quarantine anew what the archive last kept under a key.

        Raises:
            PayloadError: nothing was ever kept there, or it is no key of the fleet.
            PortError: AWS does not let us.
        """
        if not key.startswith(f"{self.fleet.name}/"):
            raise PayloadError(f"key: must begin with {self.fleet.name}/, as the archive's keys of the fleet do")
        try:
            former = self.ports.archive.former(key)
        except RefusedError as error:
            raise PayloadError(f"key: {error}") from error
        now = self.now()
        base = former.id if _ID.fullmatch(former.id) else "restored"
        message = replace(former, id=f"{base}-r{round(now * 1_000)}")
        entry = self._kept(message, f"restored by {by}"[:200], now)
        if not self.ports.ledger.quarantine.quarantine(entry):
            raise PayloadError(f"key: {key} was restored at this very moment")
        return entry

    def _kept(self, message: Message, cause: str, at: float) -> QuarantineEntry:
        """A message in the archive, and its entry for the index, which is yet to be written."""
        ports, fleet = self.ports, self.fleet
        own = failure_group(message, cause)
        route = route_of_letter(message, self.routes)
        message_group = message.message_group if (route.to.fifo if route else fleet.fifo) else None
        held_in = ports.ledger.quarantine.held_in(fleet.name, message_group) if message_group is not None else None
        if (
            held_in is not None
        ):  # with the others of its message group, so that a redrive of theirs does not overtake it
            group = ports.ledger.failure_groups.failure_group(fleet.name, held_in)
            own = Cause(held_in, group.cause if group else held_in)
            at = max(at, group.last_seen_at if group else at)
        into = own if held_in is not None else admit_to_group(ports, fleet.name, own, at)
        return QuarantineEntry(
            fleet=fleet.name,
            failure_group=into.id,
            message_id=message.id,
            key=ports.archive.store(fleet.name, message),
            cause=own.words,
            said=own.as_said,
            at=at,
            first_sent_at=first_sent_at(message, route.to if route else None),
            attempt=(carried_count(message, route.to).count if route else None) or 0,
            source=source_of(message) or (route.to.arn if route else ""),
            size_bytes=message.size_bytes,
            excerpt=excerpt_of(message),
            message_group=message_group,
        )


def key_of(fleet: str, message_id: str, sent_at: float) -> str:
    """The archive's key of a message, by its id and the time of its first sending."""
    return archive_key(fleet, Message(message_id, "", first_sent_at=sent_at))
