"""Every port of one stack, together."""

from sluice.model.frozen import dataclass
from sluice.ports.aws_services import Archive, Fleets, Group, Instances, Queue, Signals
from sluice.ports.ledger import Ledger
from sluice.ports.topic import Topic
from sluice.ports.work_queue import WorkQueue


@dataclass(frozen=True, slots=True)
class Ports[L = Ledger]:
    """The ports of one stack; `sluice.aws.connect` makes the real ones, `sluice.memory.memory_ports` those in memory.

    `L` is what of the ledger is used: a service takes `Ports[PlannerLedger]`, and can reach nothing else of it.
    """

    fleets: Fleets
    group: Group
    signals: Signals
    queue: Queue
    archive: Archive
    instances: Instances
    work: WorkQueue
    topic: Topic
    ledger: L
