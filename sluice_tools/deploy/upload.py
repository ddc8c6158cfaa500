"""Uploads a template and the code that it names to a bucket, under names that are the contents' digests.

What is there already is not uploaded again, so the same build of Sluice is the same template to CloudFormation.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from sluice_tools.cfn import Template
from sluice_tools.deploy.build import CODE, archive_of

FIRST_REGION = "us-east-1"
"""The one region that may not be named: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucketConfiguration.html"""
TAG = {"Key": "sluice:bucket", "Value": "deployments"}
"""Of the bucket that `sluice deploy` makes."""


class BucketError(Exception):
    """The bucket cannot be used; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Where uploads go.

    Attributes:
        s3: a client of S3.
        name: the bucket's name.
        region: the bucket's region, which is the stack's.
        domain: the partition's domain, such as amazonaws.com.
        prefix: what every key begins with, before a slash.
        owner: the account that must own the bucket; None for whichever does.
    """

    s3: Any
    name: str
    region: str
    domain: str = "amazonaws.com"
    prefix: str = "sluice"
    owner: str | None = None

    @property
    def _owned(self) -> dict[str, str]:
        """The condition that the bucket is the owner's: somebody else may have made one of this name before.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
        """
        return {} if self.owner is None else {"ExpectedBucketOwner": self.owner}

    def make(self) -> bool:
        """Make the bucket where it is missing: private, with a tag; whether it was missing.

        Raises:
            BucketError: the bucket is somebody else's, or in another region.
        """
        try:
            self.s3.head_bucket(Bucket=self.name, **self._owned)
        except ClientError as error:
            if _status(error) != 404:
                raise BucketError(f"bucket {self.name} cannot be used: {_why(error)}") from error
        else:
            return False
        where: dict[str, Any] = {}
        if self.region != FIRST_REGION:
            where = {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        self.s3.create_bucket(Bucket=self.name, **where)
        every = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        self.s3.put_public_access_block(
            Bucket=self.name, PublicAccessBlockConfiguration=dict.fromkeys(every, True), **self._owned
        )
        self.s3.put_bucket_tagging(Bucket=self.name, Tagging={"TagSet": [TAG]}, **self._owned)
        return True

    def put(self, content: bytes, suffix: str) -> str:
        """Upload something unless it is there; its key.

        Raises:
            BucketError: the bucket is missing, or S3 refused it.
        """
        key = f"{self.prefix}/{hashlib.sha256(content).hexdigest()}{suffix}"
        with self._uploading():
            try:
                self.s3.head_object(Bucket=self.name, Key=key, **self._owned)
            except ClientError as error:
                # Whoever may not list the bucket gets 403 for what is missing:
                # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
                if _status(error) not in {403, 404}:
                    raise
                self.s3.put_object(Bucket=self.name, Key=key, Body=content, **self._owned)
        return key

    def put_as(self, content: bytes, path: str) -> str:
        """Upload something under a name; its key.

        Raises:
            BucketError: the bucket is missing, or S3 refused it.
        """
        key = f"{self.prefix}/{path}"
        with self._uploading():
            self.s3.put_object(Bucket=self.name, Key=key, Body=content, **self._owned)
        return key

    @contextmanager
    def _uploading(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise BucketError(f"nothing can be uploaded to bucket {self.name}: {_why(error)}") from error

    def url(self, key: str) -> str:
        """The URL of an object, as CloudFormation takes it for a template."""
        return f"https://s3.{self.region}.{self.domain}/{self.name}/{key}"


def upload(folder: Path, name: str, bucket: Bucket) -> str:
    """Upload a template with all that it names.

    Args:
        folder: what `build` made.
        name: one of the templates in it, such as template.yaml.
        bucket: where to.

    Returns:
        The URL of the uploaded template.

    Raises:
        BucketError: the bucket cannot be used.
    """
    return bucket.url(bucket.put(_document(folder, name, bucket), ".template"))


def publish_templates(folder: Path, names: Sequence[str], version: str, bucket: Bucket) -> dict[str, str]:
    """Upload templates under their own names in a folder of the version, with all that they name.

    Args:
        folder: what `build` made.
        names: the templates.
        version: the folder in the bucket, below its prefix.
        bucket: where to.

    Returns:
        The URL of each.

    Raises:
        BucketError: the bucket cannot be used.
    """
    return {name: bucket.url(bucket.put_as(_document(folder, name, bucket), f"{version}/{name}")) for name in names}


def _document(folder: Path, name: str, bucket: Bucket) -> bytes:
    """A template with what it names uploaded, as JSON."""
    body = packed(Template.load(folder / name).body, folder, bucket)
    return json.dumps(body, separators=(",", ":")).encode()


def packed(body: Mapping[str, Any], folder: Path, bucket: Bucket) -> dict[str, Any]:
    """A template's body that names uploaded code and templates in place of the checkout's folders and files."""
    resources = {}
    for logical_id, resource in body["Resources"].items():
        properties = dict(resource.get("Properties", {}))
        for key in CODE:
            if isinstance(properties.get(key), str):
                archive = (folder / "code" / archive_of(properties[key])).read_bytes()
                properties[key] = f"s3://{bucket.name}/{bucket.put(archive, '.zip')}"
        if resource["Type"] == "AWS::Serverless::Application":
            properties["Location"] = upload(folder, properties["Location"], bucket)
        resources[logical_id] = {**resource, "Properties": properties} if properties else resource
    return {**body, "Resources": resources}


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _why(error: ClientError) -> str:
    """What S3 said, in words: answers to HEAD have no text."""
    return {
        301: "it is in another region than the stack",
        403: "it is another account's, or you may not use it",
        404: "there is no such bucket",
    }.get(_status(error), str(error))
