"""The fleet's document in the drains' world: the shipped reader, over Parameter Store and the ledger's copy of it.

While Parameter Store is away, a process that never read the document finds it in the copy (docs/adr/0069).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sluice.aws.document_copy import CopyHead, DocumentCopy
from sluice.aws.fleets import CHECKED_S, SsmFleets
from sluice.aws.parameters import ParameterDocuments, StoredDocument
from sluice.config.fleet import Fleet
from sluice.ports.aws_services import LoadedFleets
from sluice.ports.errors import TryLaterError
from sluice_tools.chaos.drain_away import Part
from sluice_tools.chaos.stage import START

if TYPE_CHECKING:
    from sluice_tools.chaos.drain_world import World

REVISION = 1  # nobody changes the document


class WorldParameters(ParameterDocuments):
    """Parameter Store, with one document in it."""

    def __init__(self, world: "World", fleet: Fleet) -> None:
        self._world = world
        self.documents = {fleet.name: StoredDocument(fleet.model_dump_json(), REVISION, START)}

    def all(self) -> dict[str, StoredDocument]:
        """Every document, unless Parameter Store is away."""
        if self._world.absence.now_of(Part.PARAMETERS):
            self._world.absence.asked_for_documents()
            raise TryLaterError("Parameter Store is away")
        return self.documents


class WorldCopy(DocumentCopy):
    """The copy in the ledger, which the planner compares with Parameter Store as long as it can be read."""

    def __init__(self, world: "World", documents: Mapping[str, StoredDocument]) -> None:
        self._world = world
        self._documents = dict(documents)

    def head(self) -> CopyHead | None:
        """Which state it has and when that was compared; None in a world where no planner has made it yet."""
        absence = self._world.absence
        if absence.now_of(Part.LEDGER):
            raise TryLaterError("the ledger is away")
        if not self._world.scene.copied:
            return None
        at = absence.from_at if absence.now_of(Part.PARAMETERS) else self._world.now
        return CopyHead(REVISION, at - (at - START) % CHECKED_S)

    def documents(self) -> dict[str, StoredDocument]:
        """Every document."""
        if self._world.absence.now_of(Part.LEDGER):
            raise TryLaterError("the ledger is away")
        return self._documents


class DrainDocuments:
    """The Fleets port of the drainer's process, which remembers what it read until it ends."""

    def __init__(self, world: "World", fleet: Fleet) -> None:
        self._world = world
        self._store = WorldParameters(world, fleet)
        self.begin_process()

    def begin_process(self) -> None:
        """A process begins: it has read nothing."""
        copy = WorldCopy(self._world, self._store.documents)
        self._fleets = SsmFleets(self._store, copy, self._world.clock, self._world.clock)

    def load(self, *, last_usable: bool = False) -> LoadedFleets:
        """Every document, from wherever it can be had."""
        loaded = self._fleets.load(last_usable=last_usable)
        self._world.absence.read_documents()
        return loaded

    def refresh(self, name: str | None = None) -> None:
        """Nobody asks the drainer to keep the copy."""
        raise NotImplementedError(name)
