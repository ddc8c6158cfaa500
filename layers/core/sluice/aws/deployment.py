"""What a deployment asks of its stack and of the queues that it names, once the function's role is in force."""

from collections.abc import Callable, Mapping
from time import monotonic, sleep

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import DENIED, code_of
from sluice.aws.parameters import ParameterDocuments
from sluice.aws.queue import SqsQueue
from sluice.ports.errors import PortError, TryLaterError

# The first deployment makes this function's role right before its use, and IAM is eventually consistent:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
GRANT_PROPAGATION_S = 60.0
GRANT_RETRY_PAUSE_S = 3.0


class AwsDeployment:
    """The Deployment port of `sluice.onboarding.deployment`.

    Args:
        clients: where clients come from.
        path: of the stack's documents, such as /sluice/prod/fleets/.
        elapsed: seconds, from any start.
        pause: waits for so many seconds.
    """

    def __init__(
        self,
        clients: Clients,
        path: str,
        elapsed: Callable[[], float] = monotonic,
        pause: Callable[[float], None] = sleep,
    ) -> None:
        self._documents = ParameterDocuments(clients, path)
        self._queue = SqsQueue(clients)
        self._elapsed = elapsed
        self._pause = pause
        self._until: float | None = None  # of all that is asked

    def documents(self) -> Mapping[str, str]:
        """Every document of the stack: name -> JSON text."""
        return {name: document.text for name, document in self._documents.all().items()}

    def retention_s(self, queue_url: str) -> float:
        """How long a queue keeps a message, in seconds; asked again for a while where it is not allowed yet."""
        return self.once_granted(lambda: self._queue.facts(queue_url).retention_s)

    def once_granted[T](self, call: Callable[[], T]) -> T:
        """The answer to a call that is safe to repeat; it is made again for a while where it is not allowed yet.

        Raises:
            PortError: the last error, once that while is over or if waiting would not help.
        """
        if self._until is None:
            self._until = self._elapsed() + GRANT_PROPAGATION_S
        while True:
            try:
                return call()
            except PortError as error:
                if not _may_pass(error) or self._elapsed() + GRANT_RETRY_PAUSE_S > self._until:
                    raise
            self._pause(GRANT_RETRY_PAUSE_S)


def _may_pass(error: PortError) -> bool:
    """Whether the same question may be answered in a moment."""
    cause = error.__cause__
    return isinstance(error, TryLaterError) or (isinstance(cause, ClientError) and code_of(cause) in DENIED)
