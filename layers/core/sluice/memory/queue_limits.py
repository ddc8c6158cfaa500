"""SQS's quotas, and what it refuses.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

from sluice.model.redriving import Message
from sluice.ports.aws_services import QueueFacts
from sluice.ports.errors import RefusedError

MAX_ATTRIBUTES = 10
MAX_BYTES = 1_048_576
MAX_DELAY_S = 900.0
MAX_VISIBILITY_S = 43_200.0
MAX_IN_FLIGHT = 120_000


def check_visibility(seconds: float) -> None:
    """Refuse a visibility timeout that SQS refuses."""
    if not 0 <= seconds <= MAX_VISIBILITY_S:
        raise RefusedError(
            f"InvalidParameterValue: a visibility timeout is 0 to {MAX_VISIBILITY_S:g} s, not {seconds:g}"
        )


def fault_of(facts: QueueFacts, message: Message, wait_s: float) -> str | None:
    """Why SQS refuses a message, as its error reads; None if it accepts it."""
    size, count = message.size_bytes, len(message.attributes)
    if not message.body:
        return "MissingParameter: a message must have a body"
    if size > facts.max_bytes:
        return f"InvalidParameterValue: a message has at most {facts.max_bytes} bytes, not {size}"
    if count > MAX_ATTRIBUTES:
        return f"InvalidParameterValue: a message has at most {MAX_ATTRIBUTES} attributes, not {count}"
    if not 0 <= wait_s <= MAX_DELAY_S:
        return f"InvalidParameterValue: a delay is 0 to {MAX_DELAY_S:g} s, not {wait_s:g}"
    if facts.fifo and message.message_group is None:
        return "MissingParameter: a FIFO queue asks for a message group"
    lacks_id = facts.fifo and message.deduplication is None
    return "InvalidParameterValue: a FIFO queue asks for a deduplication id" if lacks_id else None
