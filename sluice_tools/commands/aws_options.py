"""The options of every command that talks to AWS: one dataclass, which cyclopts flattens into each."""

import os
import re
from dataclasses import dataclass
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.session import Session
from botocore.utils import is_valid_endpoint_url
from cyclopts import Group, Parameter

from sluice_tools.commands.frame import UsageError

if TYPE_CHECKING:
    from sluice.aws import Clients

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
DEFAULT_STACK = "sluice"
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-using-console-create-stack-parameters.html
STACK_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9-]{0,127}")
REGION = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
COMMON = Group("Common options", sort_key=10)


@Parameter(name="*", group=COMMON)
@dataclass(frozen=True, kw_only=True)
class AwsOptions:
    """Which stack, in which account and region, and how the answer is printed.

    Attributes:
        stack: The Sluice stack's name: its functions are STACK-console, STACK-operator and so on.
        region: The AWS region; by default that of your AWS configuration.
        profile: The AWS profile.
        endpoint_url: An endpoint to use instead of AWS's, such as an emulator's.
        as_json: Print one JSON document.
    """

    stack: str = DEFAULT_STACK
    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False

    def function(self, name: str) -> str:
        """The name of one of the stack's functions, such as `operator`, as template.yaml makes it."""
        if not STACK_NAME.fullmatch(self.stack):
            raise UsageError(
                "--stack: must be a stack's name: a letter, then letters, digits and hyphens, at most 128 characters"
                f" (got {self.stack[:80]!r})"
            )
        return f"{self.stack}-{name}"

    @property
    def as_typed(self) -> str:
        """The options that differ from the defaults, for a line to paste; with a space before them."""
        given = {
            "--stack": self.stack if self.stack != DEFAULT_STACK else None,
            "--region": self.region,
            "--profile": self.profile,
            "--endpoint-url": self.endpoint_url,
        }
        return "".join(f" {flag} {quote(value)}" for flag, value in given.items() if value)

    def environ(self) -> dict[str, str]:
        """The environment with these options in it, as the AWS CLI understands both."""
        environ = dict(os.environ)
        if self.profile:
            # A profile that is given takes precedence over keys in the environment, as with the AWS CLI.
            environ = {name: value for name, value in environ.items() if name not in KEYS}
            environ["AWS_PROFILE"] = self.profile
        if self.endpoint_url:
            environ = {name: value for name, value in environ.items() if not name.startswith("AWS_ENDPOINT_URL")}
            environ["AWS_ENDPOINT_URL"] = self.endpoint_url
        return environ

    def session(self) -> tuple[Session, str]:
        """A session with the caller's credentials, and the region.

        Raises:
            UsageError: the profile cannot be used, or there is no region or there are no credentials.
        """
        environ = self.environ()
        try:
            session = Session(profile=environ.get("AWS_PROFILE"))
            found = self.region or environ.get("AWS_REGION") or session.get_config_variable("region")
            credentials = session.get_credentials()
        except BotoCoreError as error:
            raise UsageError(f"--profile: {error}") from error
        if not found:
            raise UsageError("--region: must be given where neither AWS_REGION nor your AWS profile names one")
        if not REGION.fullmatch(str(found)):
            raise UsageError(f"--region: must be a region's name, such as eu-west-1 (got {str(found)[:80]!r})")
        if credentials is None:
            raise UsageError(
                "--profile: no AWS credentials were found: name a profile, or set AWS_PROFILE or AWS_ACCESS_KEY_ID"
            )
        if self.endpoint_url and not is_valid_endpoint_url(self.endpoint_url):
            raise UsageError(
                f"--endpoint-url: must be a URL, such as http://localhost:4566 (got {self.endpoint_url[:80]!r})"
            )
        return session, str(found)

    def connect(self) -> tuple["Clients", str]:
        """Clients with the caller's credentials, and their region.

        Raises:
            UsageError: the options cannot be used.
        """
        from sluice.aws import Clients  # noqa: PLC0415  # most commands ask a function and need no port

        _, found = self.session()
        return Clients(self.environ() | {"AWS_REGION": found}), found

    def client(self, service: str, config: Config | None = None) -> Any:
        """A client of a service, for what `Clients` does not have.

        Raises:
            UsageError: the options cannot be used.
        """
        session, region = self.session()
        try:
            return session.create_client(service, region_name=region, config=config, endpoint_url=self.endpoint_url)
        except (BotoCoreError, ValueError) as error:
            raise UsageError(f"your AWS configuration cannot be used: {error}") from error
