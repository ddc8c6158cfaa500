"""Copies a drained consumer's work log to S3, so that an audit can read it after the instance is gone."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PREFIX: Final = "work-log/"
"""Of the keys; the template's role may put objects under it and nowhere else."""

S3_CONFIG: Final = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard"})
"""The instance waits for it before it goes: some seconds, and no more."""


class CopyError(Exception):
    """The copy could not be made; the text says why."""


def copy_work_log(path: Path, bucket: str, instance: str, client: "S3Client | None" = None) -> str:
    """Copy a work log, in place of an earlier copy of the same log.

    Args:
        path: The work log.
        bucket: Where the copy goes.
        instance: Whose log it is.
        client: boto3's; made where it is not given.

    Returns:
        The copy's key.

    Raises:
        CopyError: S3 did not take it, or the log cannot be read.
    """
    key = f"{PREFIX}{instance}/{path.name}"
    try:
        s3 = client or boto3.client("s3", config=S3_CONFIG)
        s3.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
    except (ClientError, BotoCoreError, OSError) as error:
        raise CopyError(f"WORK_LOG_BUCKET: no copy of {path} in {bucket}: {error}") from error
    return key
