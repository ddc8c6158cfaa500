"""Quarantined messages in S3: one JSON document each, with all that sending the message again takes.

The bucket's own default decides on encryption.
"""

import base64
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking, code_of, from_answer
from sluice.model.redriving import Attribute, Message
from sluice.ports.aws_services import archive_key
from sluice.ports.errors import NeedsFixError, PortError, RefusedError, answer_of

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import ErrorTypeDef

FORMAT = 1
AT_ONCE = 8  # readings under way together: S3 answers each in some 20 ms, and botocore keeps ten connections
# Of one key there are few: it is stored again when a dead letter comes twice.
VERSIONS_LISTED = 100
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
DELETED_AT_ONCE = 1_000


class S3Archive:
    """The Archive port."""

    def __init__(self, clients: Clients, bucket: str) -> None:
        self._clients = clients
        self._bucket = bucket

    def store(self, fleet: str, message: Message) -> str:
        """Keep a message; its key."""
        key = archive_key(fleet, message)
        with asking(self._thing(key)):
            self._clients.s3.put_object(
                Bucket=self._bucket, Key=key, Body=to_document(message), ContentType="application/json"
            )
        return key

    def load(self, key: str) -> Message:
        """The message under a key."""
        with asking(self._thing(key)):
            try:
                document = self._clients.s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            except ClientError as error:
                if code_of(error) == "NoSuchKey":
                    raise RefusedError(f"archive: nothing is kept under {key}") from error
                if code_of(error) == "AccessDenied":
                    # S3 answers this for a key that is not there, too, to those who may not list.
                    raise NeedsFixError(
                        f"{self._thing(key).name}: grant s3:GetObject to this function's role; where that is"
                        " granted, the key does not exist, and s3:ListBucket would let S3 say so"
                    ) from error
                raise
        return from_document(key, document)

    def remove(self, key: str) -> None:
        """Let go of a message."""
        with asking(self._thing(key)):
            self._clients.s3.delete_object(Bucket=self._bucket, Key=key)

    def former(self, key: str) -> Message:
        """The last version under a key, delete markers left out."""
        with asking(self._thing(key)):
            answer = self._clients.s3.list_object_versions(Bucket=self._bucket, Prefix=key, MaxKeys=VERSIONS_LISTED)
            # A key is a prefix of others as well. Of versions of one second the first listed is the newest.
            versions = [one for one in answer.get("Versions", []) if one["Key"] == key]
            version = max(versions, key=lambda one: one["LastModified"])["VersionId"] if versions else None
            if version is None:
                raise RefusedError(f"archive: nothing was ever kept under {key}, or it was ArchiveDays ago")
            found = self._clients.s3.get_object(Bucket=self._bucket, Key=key, VersionId=version)
            return from_document(key, found["Body"].read())

    def load_all(self, keys: Sequence[str]) -> dict[str, Message | PortError]:
        """The messages under keys, some at a time, or what is in the way of each."""

        def load(key: str) -> Message | PortError:
            return answer_of(partial(self.load, key))

        if len(keys) <= 1:
            return {key: load(key) for key in keys}
        _ = self._clients.s3  # made here once, rather than by each thread
        with ThreadPoolExecutor(min(len(keys), AT_ONCE)) as pool:
            return dict(zip(keys, pool.map(load, keys), strict=True))

    def remove_all(self, keys: Sequence[str]) -> None:
        """Let go of many, a thousand a call."""
        for some in batched(dict.fromkeys(keys), DELETED_AT_ONCE, strict=False):
            with asking(self._thing(some[0])):
                answer = self._clients.s3.delete_objects(
                    Bucket=self._bucket, Delete={"Objects": [{"Key": key} for key in some], "Quiet": True}
                )
            for error in answer.get("Errors", []):
                raise self._refusal(error)

    def _refusal(self, error: "ErrorTypeDef") -> PortError:
        """The port error for one key that was not deleted, though the call went well."""
        thing = self._thing(error.get("Key", ""))
        answer = {"Error": {"Code": error.get("Code", ""), "Message": error.get("Message", "")}}
        return from_answer(ClientError(answer, "DeleteObjects"), thing)  # type: ignore[arg-type]  # botocore's own shape

    def _thing(self, key: str) -> Thing:
        return Thing("s3", f"bucket {self._bucket}, key {key}", "deploy the stack, which makes the bucket")


def to_document(message: Message) -> bytes:
    """A message as JSON. Text that is no valid Unicode keeps its escapes; bytes are in base64."""
    document = {
        "format": FORMAT,
        "id": message.id,
        "body": message.body,
        "attributes": {name: _attribute(value) for name, value in message.attributes},
        "first_sent_at": message.first_sent_at,
        "receive_count": message.receive_count,
        "source": message.source,
        "message_group": message.message_group,
        "deduplication": message.deduplication,
        "trace": message.trace,
    }
    return json.dumps(document, indent=1).encode()


def from_document(key: str, document: bytes) -> Message:
    """The message of a document; RefusedError if it is none."""
    try:
        found = json.loads(document)
        return Message(
            id=found["id"],
            body=found["body"],
            attributes=tuple(sorted((name, _from_attribute(value)) for name, value in found["attributes"].items())),
            first_sent_at=found["first_sent_at"],
            receive_count=found["receive_count"],
            source=found["source"],
            message_group=found["message_group"],
            deduplication=found["deduplication"],
            trace=found.get("trace"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(f"archive: {key} is not a message as Sluice writes them: {error!r}") from error


def _attribute(value: Attribute) -> dict[str, str | None]:
    if value.binary is not None:
        return {"type": value.type, "binary": base64.b64encode(value.binary).decode()}
    return {"type": value.type, "text": value.text}


def _from_attribute(found: dict[str, Any]) -> Attribute:
    if "binary" in found:
        return Attribute(found["type"], None, base64.b64decode(found["binary"], validate=True))
    return Attribute(found["type"], found["text"])
