"""The Topic port on SNS."""

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking


class SnsTopic:
    """The Topic port.

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
        with asking(
            Thing("sns", f"topic {self._arn}", "create it, or deploy the stack with the ARN of one that exists")
        ):
            self._clients.sns.publish(TopicArn=self._arn, Subject=subject, Message=text)
