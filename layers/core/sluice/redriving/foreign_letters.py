"""Dead letters of other services than SQS: each service has a form of its own, which says who sent it, and why.

EventBridge (rules, Scheduler, Pipes), Lambda (dead-letter queues and destinations of asynchronous invocations) and SNS
(subscriptions) may all put what they could not deliver into the queue that is a fleet's dead-letter queue as well.
Such a letter never was in the fleet's queue. A form is no proof: a fleet's queue may be subscribed to a topic, and its
messages then look like SNS's. So it counts only where nothing else says where a letter came from (`source_queues`).

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
"""

from sluice.model.frozen import dataclass
from sluice.model.redriving import Message
from sluice.redriving.causes.envelopes import open_body

# What must stand in a body before it is read as JSON: bodies have up to a megabyte.
_KEYS = ('"requestContext"', '"TopicArn"', '"partnerResourceArn"')
_SENDERS = {  # by the kind of the outermost envelope
    "lambda": "a destination of a Lambda function",
    "pipe": "an EventBridge pipe",
    "sns": "a subscription of an SNS topic",
}


@dataclass(frozen=True, slots=True)
class ForeignLetter:
    """A dead letter that has the form of another service.

    Attributes:
        sender: the service, and what of it, for sentences.
        cause: why it could not be delivered, in the service's own words; "" where the service does not say it.
    """

    sender: str
    cause: str = ""


def foreign_letter(message: Message) -> ForeignLetter | None:
    """The service whose form a dead letter has, if it has any."""
    return _by_attributes(message) or _by_body(message.body)


def _by_attributes(message: Message) -> ForeignLetter | None:
    names = {name for name, _ in message.attributes}
    if names & {"RULE_ARN", "SCHEDULE_ARN"} and names & {"ERROR_CODE", "ERROR_MESSAGE"}:
        sender = "an EventBridge rule" if "RULE_ARN" in names else "an EventBridge schedule"
        return ForeignLetter(sender, _joined(message.attribute("ERROR_CODE"), message.attribute("ERROR_MESSAGE")))
    if names >= {"RequestID", "ErrorCode", "ErrorMessage"}:
        return ForeignLetter(
            "an asynchronous invocation of a Lambda function",
            _joined(f"ErrorCode {message.attribute('ErrorCode')}", message.attribute("ErrorMessage")),
        )
    return None


def _by_body(body: str) -> ForeignLetter | None:
    if not any(key in body for key in _KEYS):
        return None
    opened = open_body(body)
    sender = _SENDERS.get(opened.kind)
    return ForeignLetter(sender, opened.error) if sender else None


def _joined(*parts: str | None) -> str:
    return ": ".join(part for part in parts if part)
