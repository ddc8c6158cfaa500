"""The stack's work queue on SQS, and the hand-over of a step by an asynchronous invocation.

The planner takes every message, since an idle queue costs as much as its pollers, and an event source mapping deletes
what its filter refuses, so that several functions cannot share a queue.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

import math
from collections.abc import Mapping

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking
from sluice.chains import event_of, message_of
from sluice.model.chain import Step
from sluice.ports.errors import NeedsFixError

QUEUE_SETTING = "SLUICE_WORK_QUEUE"  # the variable that holds the queue's URL
# The variables that hold the ARN of the function of each kind that the planner does not run itself.
FUNCTION_SETTINGS = {"drains": "SLUICE_DRAINS_FUNCTION", "jobs": "SLUICE_JOBS_FUNCTION"}


class SqsWorkQueue:
    """The WorkQueue port.

    Args:
        clients: where the clients come from.
        environ: the queue's URL and the functions' ARNs, by QUEUE_SETTING and FUNCTION_SETTINGS.
    """

    def __init__(self, clients: Clients, environ: Mapping[str, str]) -> None:
        self._clients = clients
        self._environ = environ

    def send(self, step: Step, delay_s: float) -> None:
        """Send a step. A send that is repeated by the client does no harm: the second one is stale."""
        url = self._setting(QUEUE_SETTING)
        with asking(Thing("sqs", f"work queue {url}", "deploy the stack, which makes it")):
            self._clients.sqs.send_message(QueueUrl=url, MessageBody=message_of(step), DelaySeconds=math.ceil(delay_s))

    def hand_over(self, step: Step) -> None:
        """Invoke the step's function. Lambda answers as soon as it has put the event into its own queue.

        https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html
        """
        function = self._setting(FUNCTION_SETTINGS.get(step.kind, ""), f"no function takes steps of {step.kind!r}")
        with asking(Thing("lambda", f"function {function}", "deploy the stack, which makes it")):
            self._clients.lambda_.invoke(FunctionName=function, InvocationType="Event", Payload=event_of(step).encode())

    def _setting(self, name: str, problem: str = "") -> str:
        value = self._environ.get(name)
        if not value:
            raise NeedsFixError(f"environment: {name} must be set, as the stack's template does" if name else problem)
        return value
