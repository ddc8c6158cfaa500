"""The stack's work queues on SQS: one for each kind of chain, since each has a function and a role of its own.

An event source mapping deletes what its filter refuses, so that several functions cannot share a queue.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

import math
from collections.abc import Mapping

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking
from sluice.chains import message_of
from sluice.model.chain import Step
from sluice.ports.errors import NeedsFixError

# The variable that holds the URL of each kind's queue.
QUEUE_SETTINGS = {"ticks": "SLUICE_TICKS_QUEUE", "drains": "SLUICE_DRAINS_QUEUE", "jobs": "SLUICE_JOBS_QUEUE"}


class SqsWorkQueue:
    """The WorkQueue port.

    Args:
        clients: where the client comes from.
        environ: the queues' URLs, by the names in QUEUE_SETTINGS.
    """

    def __init__(self, clients: Clients, environ: Mapping[str, str]) -> None:
        self._clients = clients
        self._environ = environ

    def send(self, step: Step, delay_s: float) -> None:
        """Send a step. A send that is repeated by the client does no harm: the second one is stale."""
        url = self._url(step.kind)
        with asking(Thing("sqs", f"work queue {url}", "deploy the stack, which makes it")):
            self._clients.sqs.send_message(QueueUrl=url, MessageBody=message_of(step), DelaySeconds=math.ceil(delay_s))

    def _url(self, kind: str) -> str:
        setting = QUEUE_SETTINGS.get(kind, "")
        url = self._environ.get(setting)
        if not url:
            raise NeedsFixError(f"environment: {setting or kind} must be set, as the stack's template does")
        return url
