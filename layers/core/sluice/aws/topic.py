"""The Topic port on SNS."""

import json

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking


class SnsTopic:
    """The Topic port: subscribers get a notice as plain text, and over HTTPS in the form that chat channels show.

    https://docs.aws.amazon.com/sns/latest/api/API_Publish.html

    Args:
        clients: where the client comes from.
        arn: the topic's; empty where the stack has none.
    """

    def __init__(self, clients: Clients, arn: str) -> None:
        self._clients = clients
        self._arn = arn

    def publish(self, subject: str, text: str) -> None:
        """Publish a notice."""
        if not self._arn:
            return
        by_protocol = {"default": text, "https": json.dumps(_custom_notification(subject, text))}
        with asking(
            Thing("sns", f"topic {self._arn}", "create it, or deploy the stack with the ARN of one that exists")
        ):
            self._clients.sns.publish(
                TopicArn=self._arn, Subject=subject, Message=json.dumps(by_protocol), MessageStructure="json"
            )


def _custom_notification(subject: str, text: str) -> dict[str, object]:
    """A notice as Amazon Q Developer in chat applications shows it, which subscribes by HTTPS and drops plain text.

    https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    """
    content = {"textType": "client-markdown", "title": subject, "description": text}
    return {"version": "1.0", "source": "custom", "content": content}
