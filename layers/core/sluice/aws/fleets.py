"""The fleets' documents in Parameter Store."""

from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking
from sluice.config.fleet import QUEUES_PATH, parse_all
from sluice.config.history import DocumentVersion, DrainOnly, last_usable
from sluice.ports.aws_services import LoadedFleets
from sluice.ports.errors import PortError

if TYPE_CHECKING:
    from types_boto3_ssm.type_defs import ParameterTypeDef

# A burst of events, or the ticks of one invocation, read the documents once; a change is seen by the next minute.
CACHED_S = 15.0
PAGE = 10  # the most that GetParametersByPath gives at once
HISTORY_PAGE = 50  # the most that GetParameterHistory gives at once; Parameter Store keeps 100 versions


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
        self._numbers: dict[str, int] = {}  # of the versions that were read last, by document
        self._histories: dict[tuple[str, int], tuple[DocumentVersion, ...]] = {}  # by document and its last version

    def load(self, *, last_usable: bool = False) -> LoadedFleets:
        """Every document, valid or not."""
        now = self._elapsed()
        if self._loaded is None or now - self._loaded[0] >= CACHED_S:
            parameters = self._parameters()
            self._numbers = {name: parameter["Version"] for name, parameter in parameters.items()}
            documents = {name: parameter["Value"] for name, parameter in parameters.items()}
            self._loaded = (now, LoadedFleets(*parse_all(documents)))
        loaded = self._loaded[1]
        return self._for_draining(loaded) if last_usable and loaded.invalid else loaded

    def documents(self) -> dict[str, str]:
        """Every document as it stands there now: the rest of its path -> JSON text."""
        return {name: parameter["Value"] for name, parameter in self._parameters().items()}

    def _parameters(self) -> "dict[str, ParameterTypeDef]":
        """Every document's parameter as it stands there now, by the rest of its path."""
        thing = Thing("ssm", f"parameters under {self._path}", "deploy the stack, which writes the first of them")
        with asking(thing):
            pages = self._clients.ssm.get_paginator("get_parameters_by_path").paginate(
                Path=self._path, Recursive=True, WithDecryption=True, PaginationConfig={"PageSize": PAGE}
            )
            return {
                parameter["Name"].removeprefix(self._path): parameter
                for page in pages
                for parameter in page["Parameters"]
            }

    def _for_draining(self, loaded: LoadedFleets) -> LoadedFleets:
        """The same with the last usable version of each invalid document."""
        names = [bad.name for bad in loaded.invalid if QUEUES_PATH not in bad.name]
        self._histories = {
            key: versions
            for key, versions in self._histories.items()
            if key[0] in names and key[1] == self._numbers[key[0]]
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
        """Every version of a document that is kept. It is asked for once a version, since earlier ones do not change.

        https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameterHistory.html
        """
        key = (name, self._numbers[name])
        if key not in self._histories:
            thing = Thing("ssm", f"history of parameter {self._path}{name}", "write the fleet's document again")
            with asking(thing):
                pages = self._clients.ssm.get_paginator("get_parameter_history").paginate(
                    Name=f"{self._path}{name}", WithDecryption=True, PaginationConfig={"PageSize": HISTORY_PAGE}
                )
                self._histories[key] = tuple(
                    DocumentVersion(entry["Version"], entry["Value"], entry["LastModifiedDate"].timestamp())
                    for page in pages
                    for entry in page["Parameters"]
                )
        return self._histories[key]
