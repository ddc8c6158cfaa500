"""The fleets' documents, as every function reads them: from the copy in the ledger (docs/adr/0069)."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic, time

from sluice.aws.document_copy import CopyHead, DocumentCopy
from sluice.aws.parameters import ParameterDocuments, StoredDocument
from sluice.config.fleet import QUEUES_PATH, parse_all
from sluice.config.history import DocumentVersion, DrainOnly, last_usable
from sluice.ports.aws_services import LoadedFleets
from sluice.ports.errors import PortError, answer_of

# A burst of events, or the ticks of one process, look at the copy's revision once.
LOOKED_S = 5.0
# Parameter Store's events are best effort: what they miss is found by comparing everything.
CHECKED_S = 300.0
# A copy that was not compared for so long is not kept by any planner: Parameter Store is read, once in CACHED_S.
OVERDUE_S = 3.0 * CHECKED_S
CACHED_S = 15.0


class SsmFleets:
    """The Fleets port.

    Args:
        store: the documents themselves.
        copy: their copy in the ledger.
        elapsed: seconds, from any start: for the cache alone.
        now: epoch seconds.
    """

    def __init__(
        self,
        store: ParameterDocuments,
        copy: DocumentCopy,
        elapsed: Callable[[], float] = monotonic,
        now: Callable[[], float] = time,
    ) -> None:
        self._store = store
        self._copy = copy
        self._elapsed = elapsed
        self._now = now
        self._loaded: LoadedFleets | None = None
        self._looked_at = 0.0
        self._read_at = 0.0  # when Parameter Store was read last, for want of a copy
        self._revision: int | None = None  # of the copy that was loaded; None: Parameter Store was read
        self._versions: dict[str, int] = {}  # of the documents loaded, by name
        self._histories: dict[tuple[str, int], tuple[DocumentVersion, ...]] = {}  # by document and its last version

    def load(self, *, last_usable: bool = False) -> LoadedFleets:
        """Every document, valid or not."""
        at = self._elapsed()
        loaded = self._loaded
        if loaded is None or at - self._looked_at >= LOOKED_S:
            loaded = self._look(at)
            self._loaded, self._looked_at = loaded, at
        return self._for_draining(loaded) if last_usable and loaded.invalid else loaded

    def refresh(self, name: str | None = None) -> None:
        """Take a document's change into the copy; or compare all with Parameter Store, if it is time for that."""
        now = self._now()
        if name is not None:
            document = self._store.one(name)
            self._copy.change({} if document is None else {name: document}, () if document else (name,), now)
        else:
            head = self._copy.head()
            if head is not None and now - head.checked_at < CHECKED_S:
                self._loaded, self._looked_at = self._of_copy(head), self._elapsed()
                return
            if not self._copy.claim_check(now):
                return
            copied, there = self._copy.documents(), self._store.all()
            changed = {key: document for key, document in there.items() if copied.get(key) != document}
            self._copy.change(changed, copied.keys() - there.keys(), now)
            self._copy.note_check(now)
        self._looked_at, self._read_at = -LOOKED_S, -CACHED_S  # this process sees it at once

    def _look(self, at: float) -> LoadedFleets:
        """What is loaded now, from wherever it can be had: the copy, if it is kept, or Parameter Store."""
        head = answer_of(self._copy.head)
        if isinstance(head, CopyHead) and self._now() - head.checked_at < OVERDUE_S:
            return self._of_copy(head)
        if self._loaded is not None and self._revision is None and at - self._read_at < CACHED_S:
            return self._loaded
        stored = answer_of(self._store.all)
        if isinstance(stored, PortError):
            if isinstance(head, CopyHead):
                return self._of_copy(head)
            raise stored
        self._read_at = at
        return self._parsed(stored, None)

    def _of_copy(self, head: CopyHead) -> LoadedFleets:
        if self._loaded is not None and self._revision == head.revision:
            return self._loaded
        return self._parsed(self._copy.documents(), head.revision)

    def _parsed(self, documents: Mapping[str, StoredDocument], revision: int | None) -> LoadedFleets:
        self._revision = revision
        self._versions = {name: document.version for name, document in documents.items()}
        return LoadedFleets(*parse_all({name: document.text for name, document in documents.items()}))

    def _for_draining(self, loaded: LoadedFleets) -> LoadedFleets:
        """The same with the last usable version of each invalid document."""
        names = [bad.name for bad in loaded.invalid if QUEUES_PATH not in bad.name]
        self._histories = {
            key: versions
            for key, versions in self._histories.items()
            if key[0] in names and key[1] == self._versions[key[0]]
        }
        drain_only: list[DrainOnly] = []
        unread: list[PortError] = []
        for name in names:
            try:
                versions = self._history(name)
            except PortError as error:
                unread.append(error)
                continue
            others = (*loaded.fleets, *(each.fleet for each in drain_only))
            if found := last_usable(name, versions, others):
                drain_only.append(found)
        return replace(loaded, drain_only=tuple(drain_only), unread=tuple(unread))

    def _history(self, name: str) -> tuple[DocumentVersion, ...]:
        """A document's versions. They are asked for once a version, since earlier ones do not change."""
        key = (name, self._versions[name])
        if key not in self._histories:
            self._histories[key] = self._store.history(name)
        return self._histories[key]
