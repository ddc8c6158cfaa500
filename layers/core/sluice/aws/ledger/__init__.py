"""The ledger in DynamoDB: one table, a class for each subject. `sluice.aws.ledger.keys` lists its records."""

from collections.abc import Callable
from time import time

from sluice.aws.clients import Clients
from sluice.aws.ledger.attempts import DynamoAttempts
from sluice.aws.ledger.causes import DynamoCauses
from sluice.aws.ledger.chains import DynamoChains
from sluice.aws.ledger.consumers import DynamoConsumers
from sluice.aws.ledger.decisions import DynamoDecisions
from sluice.aws.ledger.drains import DynamoDrains
from sluice.aws.ledger.failure_groups import DynamoFailureGroups
from sluice.aws.ledger.jobs import DynamoJobs
from sluice.aws.ledger.launch_log import DynamoLaunchLog
from sluice.aws.ledger.leases import DynamoLeases
from sluice.aws.ledger.needs import DynamoNeeds
from sluice.aws.ledger.planner_state import DynamoPlannerState
from sluice.aws.ledger.quarantine import DynamoQuarantine
from sluice.aws.ledger.queue_metrics import DynamoQueueMetrics
from sluice.aws.ledger.send_claims import DynamoSendClaims
from sluice.aws.table import Table
from sluice.ports.ledger import Ledger


def dynamo_ledger(clients: Clients, table_name: str, now: Callable[[], float] = time) -> Ledger:
    """The ledger over a table. Nothing is asked of AWS until a method is called.

    Args:
        clients: AWS's clients.
        table_name: the table, as the stack makes it.
        now: the time, in epoch seconds.
    """
    table = Table(clients, table_name)
    groups = DynamoFailureGroups(table)
    return Ledger(
        chains=DynamoChains(table),
        leases=DynamoLeases(table),
        planner_state=DynamoPlannerState(table),
        launch_log=DynamoLaunchLog(table),
        queue_metrics=DynamoQueueMetrics(table),
        needs=DynamoNeeds(table, now),
        decisions=DynamoDecisions(table),
        drains=DynamoDrains(table),
        consumers=DynamoConsumers(table),
        failure_groups=groups,
        quarantine=DynamoQuarantine(table, groups, now),
        causes=DynamoCauses(table),
        send_claims=DynamoSendClaims(table),
        attempts=DynamoAttempts(table),
        jobs=DynamoJobs(table),
    )
