"""Whose account it is, in which region, and what of it belongs to this smoke test: names with a prefix, and a tag."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ProfileNotFound

from sluice_tools.smoke.waiting import SmokeError

TAG = "sluice:smoke"
"""Every resource that can have tags has this one, with the prefix as its value. CloudFormation hands a stack's tags on,
to the instances of a group too: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-resource-tags.html
"""
PREFIX = re.compile(r"[a-z][a-z0-9-]{1,20}[a-z0-9]")
"""At most 22 characters: with the longest function and region a role's name has 64."""


@dataclass(frozen=True, slots=True)
class Names:
    """Every name that does not come from a stack's outputs."""

    prefix: str
    account: str
    region: str

    def __post_init__(self) -> None:
        """Refuse a prefix of which no names can be made.

        Raises:
            SmokeError: It cannot be used; the message says what may be.
        """
        if not PREFIX.fullmatch(self.prefix) or "--" in self.prefix:
            raise SmokeError(
                f"--prefix: {self.prefix!r} cannot be used; give 3 to 22 lower-case letters, digits and single "
                "hyphens, a letter first, such as sluice-smoke-ab12"
            )

    @property
    def base(self) -> str:
        """The stack with network and database."""
        return f"{self.prefix}-base"

    @property
    def orders(self) -> str:
        """The stack of examples/orders."""
        return f"{self.prefix}-orders"

    @property
    def sluice(self) -> str:
        """Sluice's own stack."""
        return f"{self.prefix}-sluice"

    @property
    def stacks(self) -> tuple[str, str, str]:
        """The three stacks, in the order in which they can be deleted."""
        return self.sluice, self.orders, self.base

    @property
    def bucket(self) -> str:
        """The bucket for code, sent orders and work logs: bucket names are one name space for all accounts."""
        return f"{self.prefix}-{self.account}-{self.region}"

    @property
    def database_parameter(self) -> str:
        """The Systems Manager parameter with the database's URL."""
        return f"/{self.prefix}/database-url"

    @property
    def tags(self) -> list[dict[str, str]]:
        """The tag, as most services take it."""
        return [{"Key": TAG, "Value": self.prefix}]


class Account:
    """The caller's account in one region."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """Nothing is asked of AWS yet.

        Args:
            environ: the variables that AWS's own tools read: AWS_PROFILE or keys, AWS_REGION, AWS_ENDPOINT_URL.

        Raises:
            SmokeError: There is no region, or no such profile.
        """
        get = environ.get
        try:
            self._session = boto3.session.Session(
                aws_access_key_id=get("AWS_ACCESS_KEY_ID"),
                aws_secret_access_key=get("AWS_SECRET_ACCESS_KEY"),
                aws_session_token=get("AWS_SESSION_TOKEN"),
                region_name=get("AWS_REGION") or get("AWS_DEFAULT_REGION"),
                profile_name=None if get("AWS_ACCESS_KEY_ID") else get("AWS_PROFILE"),
            )
        except ProfileNotFound as error:
            raise SmokeError(f"AWS_PROFILE: {error}") from error
        region = self._session.region_name
        if not region:
            raise SmokeError(
                "AWS_REGION: no region is set; give the one to run in, such as AWS_REGION=eu-west-1 make aws-smoke"
            )
        self.region: str = region
        self.endpoint = get("AWS_ENDPOINT_URL") or None
        # SAM CLI and Sluice's own ports read the variables themselves.
        self.environ = {**environ, "AWS_REGION": region, "AWS_DEFAULT_REGION": region}
        self.client = cache(self._client)

    def _client(self, service: str) -> Any:
        return self._session.client(  # type: ignore[call-overload] # any service
            service, endpoint_url=self.endpoint, config=Config(retries={"mode": "standard", "total_max_attempts": 6})
        )

    def identity(self) -> tuple[str, str]:
        """(account's number, caller's ARN).

        Raises:
            SmokeError: There are no credentials, or AWS does not take them.
        """
        try:
            answer = self.client("sts").get_caller_identity()
        except NoCredentialsError as error:
            raise SmokeError(
                "AWS credentials: none were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. "
                "Without an account: make aws-smoke SANDBOX=1"
            ) from error
        except (BotoCoreError, ClientError) as error:
            raise SmokeError(f"AWS credentials: AWS does not take them: {error}") from error
        return str(answer["Account"]), str(answer["Arn"])


def code_of(error: ClientError) -> str:
    """AWS's code for an error."""
    return str(error.response["Error"]["Code"])


def tagged(tags: object, prefix: str) -> bool:
    """Whether tags, as a list of Key and Value or as a mapping, say that something is this smoke test's."""
    if isinstance(tags, Mapping):
        return tags.get(TAG) == prefix
    return isinstance(tags, list) and any(tag.get("Key") == TAG and tag.get("Value") == prefix for tag in tags)
