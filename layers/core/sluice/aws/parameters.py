"""The fleets' documents in Parameter Store: every parameter under a path is one, named by the rest of its path."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking, code_of
from sluice.config.history import DocumentVersion
from sluice.model.frozen import dataclass

if TYPE_CHECKING:
    from types_boto3_ssm.type_defs import ParameterTypeDef

PAGE = 10  # the most that GetParametersByPath gives at once
HISTORY_PAGE = 50  # the most that GetParameterHistory gives at once; Parameter Store keeps 100 versions


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """One document as it stands in Parameter Store."""

    text: str
    version: int
    modified_at: float  # epoch seconds


class ParameterDocuments:
    """Reads the documents themselves. Of 1,000 documents that takes 100 calls, and all callers have 40 a second.

    https://docs.aws.amazon.com/general/latest/gr/ssm.html (GetParametersByPath)

    Args:
        clients: where the client comes from.
        path: such as /sluice/prod/fleets/.
    """

    def __init__(self, clients: Clients, path: str) -> None:
        self._clients = clients
        self.path = path if path.endswith("/") else f"{path}/"

    def all(self) -> dict[str, StoredDocument]:
        """Every document by name."""
        thing = Thing("ssm", f"parameters under {self.path}", "deploy the stack, which writes the first of them")
        with asking(thing):
            pages = self._clients.ssm.get_paginator("get_parameters_by_path").paginate(
                Path=self.path, Recursive=True, WithDecryption=True, PaginationConfig={"PageSize": PAGE}
            )
            return {
                parameter["Name"].removeprefix(self.path): _document(parameter)
                for page in pages
                for parameter in page["Parameters"]
            }

    def one(self, name: str) -> StoredDocument | None:
        """A document by name, if there is one."""
        with asking(Thing("ssm", f"parameter {self.path}{name}", "write the fleet's document again")):
            try:
                answer = self._clients.ssm.get_parameter(Name=f"{self.path}{name}", WithDecryption=True)
            except ClientError as error:
                if code_of(error) == "ParameterNotFound":
                    return None
                raise
        return _document(answer["Parameter"])

    def history(self, name: str) -> tuple[DocumentVersion, ...]:
        """Every version of a document that is kept, oldest first.

        https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetParameterHistory.html
        """
        thing = Thing("ssm", f"history of parameter {self.path}{name}", "write the fleet's document again")
        with asking(thing):
            pages = self._clients.ssm.get_paginator("get_parameter_history").paginate(
                Name=f"{self.path}{name}", WithDecryption=True, PaginationConfig={"PageSize": HISTORY_PAGE}
            )
            return tuple(
                DocumentVersion(entry["Version"], entry["Value"], entry["LastModifiedDate"].timestamp())
                for page in pages
                for entry in page["Parameters"]
            )


def _document(parameter: "ParameterTypeDef") -> StoredDocument:
    return StoredDocument(parameter["Value"], parameter["Version"], parameter["LastModifiedDate"].timestamp())
