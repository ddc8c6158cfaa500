"""The fleets' documents in Parameter Store."""

from collections.abc import Callable
from time import monotonic

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking
from sluice.config import parse_all
from sluice.ports import LoadedFleets

# A burst of events, or the ticks of one invocation, read the documents once; a change is seen by the next minute.
CACHED_S = 15.0
PAGE = 10  # the most that GetParametersByPath gives at once


class SsmFleets:
    """The Fleets port: every parameter under a path is one document, named by the rest of its path.

    Args:
        clients: where the client comes from.
        path: such as /sluice/prod/fleets/.
        elapsed: seconds, from any start: for the cache alone.
    """

    def __init__(self, clients: Clients, path: str, elapsed: Callable[[], float] = monotonic) -> None:
        self._clients = clients
        self._path = path if path.endswith("/") else f"{path}/"
        self._elapsed = elapsed
        self._loaded: tuple[float, LoadedFleets] | None = None

    def load(self) -> LoadedFleets:
        """Every document, valid or not."""
        now = self._elapsed()
        if self._loaded and now - self._loaded[0] < CACHED_S:
            return self._loaded[1]
        loaded = LoadedFleets(*parse_all(self.documents()))
        self._loaded = (now, loaded)
        return loaded

    def documents(self) -> dict[str, str]:
        """Every document as it stands there now: the rest of its path -> JSON text."""
        thing = Thing("ssm", f"parameters under {self._path}", "deploy the stack, which writes the first of them")
        documents: dict[str, str] = {}
        with asking(thing):
            pages = self._clients.ssm.get_paginator("get_parameters_by_path").paginate(
                Path=self._path, Recursive=True, WithDecryption=True, PaginationConfig={"PageSize": PAGE}
            )
            for page in pages:
                for parameter in page["Parameters"]:
                    documents[parameter["Name"].removeprefix(self._path)] = parameter["Value"]
        return documents
