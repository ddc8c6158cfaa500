"""Whether the visibility timeout fits the work, by what the planner of a deployed fleet has noted in the ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from shlex import quote

from botocore.exceptions import BotoCoreError, ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import code_of
from sluice.aws.ledger import dynamo_ledger
from sluice.config.fleet import Fleet
from sluice.model.decisions import Decision, ReasonCode
from sluice.model.planning import Memory
from sluice.model.timing import Timing
from sluice.onboarding.account import QueueRecord
from sluice.planning.learning.learn import estimate
from sluice.planning.visibility import time_in_flight
from sluice.ports.errors import PortError
from sluice.wording import capitalised, duration, exactly

VISIBILITY_MOST_S = (
    43_200  # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
)
REPORTED = (ReasonCode.VISIBILITY_SHORT, ReasonCode.HIDDEN_LONG)


def learned_warnings(
    clients: Clients, stack: str, fleet: Fleet, queues: Mapping[str, object], now: float
) -> tuple[str, ...]:
    """What the ledger says of the fleet's visibility timeouts, as sentences; of a stack without planner none.

    Args:
        clients: with a caller's credentials, who may read the planner's configuration and the ledger's table.
        stack: the Sluice stack's name.
        fleet: a fleet of that stack.
        queues: what is known of its queues, by URL.
        now: epoch seconds.
    """
    try:
        planner = clients.lambda_.get_function_configuration(FunctionName=f"{stack}-planner")
        ledger = dynamo_ledger(clients, planner["Environment"]["Variables"]["SLUICE_TABLE"])
        memory = ledger.planner_state.memory(fleet.name)
        decisions = ledger.decisions.decisions(fleet.name, 1)
    except ClientError as error:
        if code_of(error) == "ResourceNotFoundException":
            return ()
        return (f"What the planner has learned of fleet {fleet.name} was not checked: {error}",)
    except (BotoCoreError, PortError) as error:
        return (f"What the planner has learned of fleet {fleet.name} was not checked: {error}",)
    records = [each for source in fleet.sources if isinstance(each := queues.get(source.queue), QueueRecord)]
    return judged(fleet, records, memory, decisions[0][0] if decisions else None, now)


def judged(
    fleet: Fleet, queues: list[QueueRecord], memory: Memory, decision: Decision | None, now: float
) -> tuple[str, ...]:
    """What the last decision says of visibility timeouts, and those that are shorter than a message is in flight.

    Args:
        fleet: whose queues they are.
        queues: as SQS describes them.
        memory: what the planner has learned.
        decision: the fleet's last one on record, if any.
        now: epoch seconds.
    """
    reasons = [] if decision is None else [each for each in decision.reasons if each.code in REPORTED]
    at = "" if decision is None else f"{datetime.fromtimestamp(decision.at, UTC):%Y-%m-%d %H:%M} UTC"
    found = [f"{capitalised(reason.sentence)}. The fleet's decision of {at} says so." for reason in reasons]
    flight = time_in_flight(estimate(memory, fleet, Timing(), now))
    if flight is None or any(reason.code is ReasonCode.VISIBILITY_SHORT for reason in reasons):
        return tuple(found)
    for queue in queues:
        if queue.visibility_s < flight.mean_s:
            proposed_s = min(VISIBILITY_MOST_S, int(6 * flight.mean_s))
            found.append(
                f"A message of fleet {fleet.name} is in flight for {duration(flight.mean_s)} on average, as the planner"
                f" has learned, and queue {queue.name} has a visibility timeout of {exactly(queue.visibility_s)}."
                " Consumers must extend it while they work, or a message is worked on twice. To raise it instead: aws"
                f" sqs set-queue-attributes --queue-url {quote(queue.url)} --attributes VisibilityTimeout={proposed_s}"
            )
    return tuple(found)
