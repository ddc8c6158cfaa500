"""Some dead letters are viewed in their queue at an operator's request (manual mode), and given back at once.

SQS shows no message without receiving it. So some are received, hidden for some seconds, judged by what was asked for,
and given back at once; what cannot be given back reappears by itself. What it costs: each message's receive count is
one higher, which means nothing in a dead-letter queue, unless that has one of its own (then none is received); and
SQS's own redrive passes by what is hidden at that moment. It is what the SQS console's *Poll for messages* does. SQS
gives in no order, so that a peek shows some of a long queue. To choose among all, quarantine them.
"""

from collections.abc import Callable

from sluice.config.cause_patterns import names
from sluice.config.fleet import Fleet, RedriveMode
from sluice.model.frozen import dataclass
from sluice.model.payload_error import PayloadError
from sluice.model.redriving import Message
from sluice.ports.aws_services import QueueFacts
from sluice.ports.ledger import RedriverLedger
from sluice.ports.stack import Ports
from sluice.redriving.failure_groups import CAUSE, Cause, failure_group
from sluice.redriving.jobs.lifecycle import ACTIVE_STATES
from sluice.redriving.receiving import receive_many, show_again
from sluice.redriving.retention import HIDDEN_S
from sluice.redriving.verdict import SELECTABLE_LENGTH, left_s, selectable_attributes

PEEK_MAX = 100  # what an operator reads in a table


@dataclass(frozen=True, slots=True)
class Seen:
    """One dead letter in its queue."""

    message: Message
    group: Cause
    left_s: float | None  # until SQS deletes it


@dataclass(frozen=True, slots=True)
class Peek:
    """The dead letters that a peek found."""

    waiting_count: int | None  # in the queue, as SQS estimates it
    looked_at_count: int
    seen: tuple[Seen, ...]  # those of them that match


def peek(
    ports: Ports[RedriverLedger],
    fleet: Fleet,
    dead: QueueFacts,
    now: Callable[[], float],
    *,
    limit: int = PEEK_MAX,
    cause: str | None = None,
    attribute: tuple[str, str] | None = None,
) -> Peek:
    """Show some dead letters, and leave them where they are.

    Args:
        ports: the stack's.
        fleet: whose they are.
        dead: its dead-letter queue.
        now: epoch seconds.
        limit: how many to receive, at most PEEK_MAX.
        cause: a pattern, as for file names, that the cause must match.
        attribute: name and text of one of the producer's own attributes.

    Raises:
        PayloadError: the queue cannot be read now.
        PortError: AWS does not let us.
    """
    _check(ports, fleet, dead)
    visible = ports.queue.read(dead.url, now()).visible
    received = receive_many(ports.queue, dead.url, min(limit, PEEK_MAX), HIDDEN_S)
    try:
        reported = ports.ledger.causes.causes(fleet.name, [one.id for one in received if one.attribute(CAUSE) is None])
    finally:
        show_again(ports.queue, dead.url, [message.receipt for message in received])
    seen = [
        Seen(one, failure_group(one, reported.get(one.id, "")), left_s(one, dead.retention_s, now()))
        for one in received
    ]
    return Peek(
        None if visible is None else int(visible.value),
        len(received),
        tuple(one for one in seen if _matches(one, cause, attribute)),
    )


def _check(ports: Ports[RedriverLedger], fleet: Fleet, dead: QueueFacts) -> None:
    if fleet.redrive.mode is not RedriveMode.MANUAL:
        raise PayloadError(
            f"fleet: {fleet.name} has redrive.mode auto, in which dead letters are taken as they come:"
            " see its quarantine"
        )
    if dead.dead_letter_arn is not None:
        raise PayloadError(
            f"fleet: the dead-letter queue of {fleet.name} has a dead-letter queue of its own, and receiving counts"
            " towards its maxReceiveCount; put the dead letters into quarantine instead, and choose there"
        )
    for job in ports.ledger.jobs.jobs(fleet.name):
        if job.selection.from_dead_letters and job.state in ACTIVE_STATES:
            raise PayloadError(
                f"fleet: job {job.id} takes from the dead-letter queue of {fleet.name}, and would take what is shown"
                " for gone; wait for it, or stop it"
            )


def _matches(seen: Seen, cause: str | None, attribute: tuple[str, str] | None) -> bool:
    if cause is not None and not names([cause], seen.group.words, *seen.group.said):
        return False
    return attribute is None or (attribute[0], attribute[1][:SELECTABLE_LENGTH]) in selectable_attributes(seen.message)
