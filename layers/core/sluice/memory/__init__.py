"""Every port in memory: for the simulator, chaos tests and dry runs. Time is a clock that the caller holds."""

from collections.abc import Iterable

from sluice.config.fleet import Fleet
from sluice.memory.clock import Clock
from sluice.memory.edges import Command, MemoryArchive, MemoryFleets, MemoryInstances, MemorySignals
from sluice.memory.faults import Call, Crash, Decide, Fault, When, at_call, faulty, faulty_ports
from sluice.memory.group import MemoryGroup
from sluice.memory.group_state import Hook, InstanceChange, LifecycleTransition
from sluice.memory.ledger import memory_ledger
from sluice.memory.queue import MemoryQueue, queue_url
from sluice.memory.topic import MemoryTopic
from sluice.memory.work_queue import MemoryWorkQueue
from sluice.model.frozen import dataclass
from sluice.ports.ledger import Ledger
from sluice.ports.stack import Ports

__all__ = [
    "Call",
    "Clock",
    "Command",
    "Crash",
    "Decide",
    "Fault",
    "Hook",
    "InstanceChange",
    "LifecycleTransition",
    "MemoryArchive",
    "MemoryFleets",
    "MemoryGroup",
    "MemoryInstances",
    "MemoryPorts",
    "MemoryQueue",
    "MemorySignals",
    "MemoryTopic",
    "MemoryWorkQueue",
    "When",
    "at_call",
    "faulty",
    "faulty_ports",
    "memory_ports",
    "queue_url",
]


@dataclass(frozen=True, slots=True)
class MemoryPorts(Ports[Ledger]):
    """The ports, with what only those in memory can do."""

    fleets: MemoryFleets
    group: MemoryGroup
    signals: MemorySignals
    queue: MemoryQueue
    archive: MemoryArchive
    instances: MemoryInstances
    work: MemoryWorkQueue
    topic: MemoryTopic
    ledger: Ledger


def memory_ports(clock: Clock, fleets: Iterable[Fleet] = (), *, lag_s: float = 0.0) -> MemoryPorts:
    """Ports over an empty world, and for each fleet its document, its queues and its group.

    The queues have SQS's defaults, dead-lettering after three receives where the fleet names a dead-letter queue; the
    group is empty, 0 to 10 instances that boot at once, with the fleet's hook. `create` makes others.

    Args:
        clock: the time, for all of them.
        fleets: the fleets to begin with.
        lag_s: how late the signals are.
    """
    queue, ledger = MemoryQueue(clock), memory_ledger(clock)
    ports = MemoryPorts(
        fleets=MemoryFleets(clock),
        # Launch events reach the ledger at once, as if the planner had been invoked with each.
        group=MemoryGroup(clock, launched=lambda launch: ledger.launch_log.note_launch_event(launch, clock())),
        signals=MemorySignals(queue, lag_s),
        queue=queue,
        archive=MemoryArchive(),
        instances=MemoryInstances(clock),
        work=MemoryWorkQueue(clock),
        topic=MemoryTopic(),
        ledger=ledger,
    )
    for fleet in fleets:
        ports.fleets.put(fleet.name, fleet)
        for url in fleet.dead_letter_queues:
            queue.create(url)
        for source in fleet.sources:
            queue.create(source.queue, dead_letter=source.dead_letter_queue)
        ports.group.create(fleet.group, hooks=(Hook(fleet.drain.hook, timeout_s=fleet.drain.hook_timeout_s),))
    return ports
