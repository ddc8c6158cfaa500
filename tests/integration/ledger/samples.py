"""Sample records of the ledger, for its contracts."""

from sluice.model.redriving import Excerpt, QuarantineEntry

FLEET = "orders"
AT = 1_767_225_600.25


def letter(
    number: int, group: str = "g-1", at: float | None = None, message_group: str | None = None
) -> QuarantineEntry:
    """An index entry."""
    return QuarantineEntry(
        fleet=FLEET,
        failure_group=group,
        message_id=f"m-{number:03d}",
        key=f"orders/2026/01/01/m-{number:03d}.json",
        cause="card declined",
        at=AT + number if at is None else at,
        first_sent_at=AT - 60,
        attempt=3,
        source="arn:aws:sqs:eu-central-1:123456789012:orders",
        size_bytes=12,
        excerpt=Excerpt("{\u20ac"),
        message_group=message_group,
    )


def ids(entries: tuple[QuarantineEntry, ...]) -> list[str]:
    """Message ids."""
    return [entry.message_id for entry in entries]
