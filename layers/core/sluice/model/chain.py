"""A chain: work that goes on by a delayed message to itself. `sluice.chains` has the protocol."""

from sluice.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """What a message of a work queue asks for: the next step of a chain, at the version that it was sent for."""

    chain_id: str
    version: int

    @property
    def kind(self) -> str:
        """The kind of its chain."""
        return kind_of(self.chain_id)


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain's record. Times are epoch seconds."""

    id: str  # `<kind>/<name>`, such as "ticks/0003" or "drains/orders"
    version: int  # one on with each claim and each rest
    due_at: float  # when its next step is due
    at_work_until: float = 0.0  # while a worker is at a step: when Lambda ends that worker; 0 between two steps
    asked: int = 0  # how often an earlier step was asked for
    data: str = "{}"  # what its workers carry from step to step: the kind's own, as JSON
    assignment: str = "{}"  # what it works on: the kind's own, as JSON; set by others, also while a worker is at a step

    @property
    def kind(self) -> str:
        """The first part of the id, which says whose function it is."""
        return kind_of(self.id)

    @property
    def step(self) -> Step:
        """The step that a message sent now would ask for."""
        return Step(self.id, self.version)


@dataclass(frozen=True, slots=True)
class Next:
    """What a step's worker says of the next one."""

    due_at: float  # epoch seconds
    data: str = "{}"


KINDS = ("ticks", "drains", "jobs")


def kind_of(chain_id: str) -> str:
    """The kind of the chain with that id."""
    return chain_id.partition("/")[0]
