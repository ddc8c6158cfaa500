"""The ledger in memory: versions, conflicts, leases, and the time each kind of record is kept."""

from sluice.memory.clock import Clock
from sluice.memory.ledger.attempts import MemoryAttempts
from sluice.memory.ledger.causes import MemoryCauses
from sluice.memory.ledger.chains import MemoryChains
from sluice.memory.ledger.consumers import MemoryConsumers
from sluice.memory.ledger.decisions import MemoryDecisions
from sluice.memory.ledger.drains import MemoryDrains
from sluice.memory.ledger.failure_groups import MemoryFailureGroups
from sluice.memory.ledger.jobs import MemoryJobs
from sluice.memory.ledger.launch_log import MemoryLaunchLog
from sluice.memory.ledger.leases import MemoryLeases
from sluice.memory.ledger.needs import MemoryNeeds
from sluice.memory.ledger.planner_state import MemoryPlannerState
from sluice.memory.ledger.quarantine import MemoryQuarantine
from sluice.memory.ledger.queue_metrics import MemoryQueueMetrics
from sluice.memory.ledger.send_claims import MemorySendClaims
from sluice.ports.ledger import Ledger


def memory_ledger(clock: Clock) -> Ledger:
    """An empty ledger."""
    groups, claims = MemoryFailureGroups(clock), MemorySendClaims()
    return Ledger(
        chains=MemoryChains(),
        leases=MemoryLeases(),
        planner_state=MemoryPlannerState(),
        launch_log=MemoryLaunchLog(),
        queue_metrics=MemoryQueueMetrics(),
        needs=MemoryNeeds(clock),
        decisions=MemoryDecisions(clock),
        drains=MemoryDrains(clock),
        consumers=MemoryConsumers(clock),
        failure_groups=groups,
        quarantine=MemoryQuarantine(groups, claims),
        causes=MemoryCauses(clock),
        send_claims=claims,
        attempts=MemoryAttempts(clock),
        jobs=MemoryJobs(clock),
    )
