"""Reports to Sluice why a message failed, in one line; one file to copy, beside `sluice_consumer.py`.

A consumer that moves what it cannot process to the dead-letter queue itself stamps the copy it sends:

    attributes = stamped(message["MessageAttributes"], error, queue_url, sent_at)
    sqs.send_message(QueueUrl=dead_letters, MessageBody=message["Body"], MessageAttributes=attributes)

A consumer that leaves the dead-lettering to SQS (it lets the message time out until `maxReceiveCount`) reports the
cause in an event that names the message. Sluice keeps it for 14 days, by the id that the message keeps:

    except Exception as error:
        tell(events, queue="orders", message_id=message["MessageId"], error=error)
        raise

The cause should begin with what kind of failure it is (`KeyError`, `UnknownItem`): ids, numbers and times in it are
masked, so that like causes are one group. It is data to Sluice: shown escaped, cut, and never interpreted. `tell` needs
`events:PutEvents` with the condition `events:source` = `sluice.consumer`, and never raises: without
the report, the failure group has no name.
"""

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger("sluice.failures")

SOURCE: Final = "sluice.consumer"
DETAIL_TYPE: Final = "Sluice Message Failure"
CAUSE_LIMIT: Final = 2_000  # characters: what Sluice reads of it
ATTRIBUTES_MAX: Final = 10  # SQS: of a message


def cause_of(error: BaseException) -> str:
    """An exception as a cause: `KeyError: 'street'`, on one line."""
    said = " ".join(str(error).split())
    return (f"{type(error).__name__}: {said}" if said else type(error).__name__)[:CAUSE_LIMIT]


def tell(events: Any, *, queue: str, message_id: str, error: BaseException | str) -> bool:
    """Tell why a message failed; whether that was sent.

    Args:
        events: boto3's EventBridge client.
        queue: URL, ARN or name of the queue the message was received from.
        message_id: its MessageId.
        error: the exception, or the cause as a text.
    """
    cause = error[:CAUSE_LIMIT] if isinstance(error, str) else cause_of(error)
    detail = {"queue": queue, "message_id": message_id, "cause": cause}
    entry = {"Source": SOURCE, "DetailType": DETAIL_TYPE, "Detail": json.dumps(detail)}
    try:
        answer = events.put_events(Entries=[entry])
    except (BotoCoreError, ClientError) as problem:
        log.warning("the cause of a failure could not be reported: %s", problem)
        return False
    if answer.get("FailedEntryCount"):
        log.warning("EventBridge refused the cause of a failure: %s", answer["Entries"][0].get("ErrorMessage"))
        return False
    return True


def stamped(
    attributes: Mapping[str, Any], error: BaseException | str, queue: str, first_sent_at: float | None = None
) -> dict[str, Any]:
    """A message's attributes with the cause, its queue and its first sending, as far as there is room for them.

    Args:
        attributes: as boto3 received them.
        error: the exception, or the cause as a text.
        queue: URL or ARN of the queue it was received from.
        first_sent_at: when it was first sent (SentTimestamp / 1000), epoch seconds.
    """
    cause = error[:CAUSE_LIMIT] if isinstance(error, str) else cause_of(error)
    stamps = {
        "sluice.cause": {"DataType": "String", "StringValue": cause},
        "sluice.source": {"DataType": "String", "StringValue": queue},
    }
    if first_sent_at is not None:
        stamps["sluice.first_sent_at"] = {"DataType": "Number", "StringValue": f"{first_sent_at:.3f}"}
    # What a consumer received is what it may send, but for the lists that boto3 never fills.
    kept = {
        name: {key: part for key, part in value.items() if key in {"DataType", "StringValue", "BinaryValue"}}
        for name, value in attributes.items()
    }
    for name, stamp in stamps.items():
        # A first sending that is known already stays; the cause is the last one.
        if name in kept and name == "sluice.first_sent_at":
            continue
        if name in kept or len(kept) < ATTRIBUTES_MAX:
            kept[name] = stamp
    return kept
