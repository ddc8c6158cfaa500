"""Receives many messages of a queue in one go; SQS gives ten a call, and in no order."""

from collections.abc import Sequence
from contextlib import suppress
from math import inf

from sluice.model.redriving import Message
from sluice.ports.aws_services import Queue
from sluice.ports.errors import PortError

RECEIVED_BY_CALL = 10  # messages, the most that SQS gives
RECEIVED_AT_ONCE = 4 * RECEIVED_BY_CALL  # messages, by calls that the adapter makes together


def receive_many(
    queue: Queue,
    url: str,
    limit: int,
    hidden_s: float,
    *,
    wait_s: float = 0.0,
    bytes_max: float = inf,
    at_once: int = RECEIVED_AT_ONCE,
) -> list[Message]:
    """Receive as many messages as are wanted, are there, or fit into memory; each once, under its last receipt.

    Args:
        queue: SQS.
        url: the queue's URL.
        limit: how many messages at most.
        hidden_s: for how long each is hidden in its queue, in seconds.
        wait_s: how long the first call waits for messages, in seconds.
        bytes_max: no further calls are made once the messages have so many bytes.
        at_once: how many messages are asked for before those received are counted.

    Raises:
        PortError: nothing was received, and that was not for want of messages.
    """
    received: dict[str, Message] = {}
    size_bytes = 0
    while len(received) < limit and size_bytes < bytes_max:
        wanted = min(at_once, limit - len(received))
        try:
            some = queue.receive(url, wanted, hidden_s, 0.0 if received else wait_s)
        except PortError:
            if not received:
                raise
            break
        if not some:
            break
        received |= {message.id: message for message in some}
        size_bytes += sum(message.size_bytes for message in some)
    return list(received.values())


def show_again(queue: Queue, url: str, receipts: Sequence[str]) -> None:
    """Show received messages in their queue at once. Those with which that fails show by themselves, later."""
    if receipts:
        with suppress(PortError):
            queue.hold(url, receipts, 0.0)
