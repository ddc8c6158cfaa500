"""Finds the database: its URL is in the environment, or, since it holds a password, in a Systems Manager parameter."""

from typing import TYPE_CHECKING, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .databases import Database, open_database
from .settings import DEFAULT_DATABASE_URL, SettingsError

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient

SSM_CONFIG: Final = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard"})
"""Asked once, at the start; systemd starts the program again where it is not answered."""


def locate_database(url: str | None, parameter: str | None, client: "SSMClient | None" = None) -> Database:
    """Make the database that is named; it is not connected yet.

    Args:
        url: DATABASE_URL, which goes before the parameter.
        parameter: DATABASE_URL_PARAMETER, the name of a parameter (SecureString) that holds the URL.
        client: boto3's; made where it is not given.

    Raises:
        SettingsError: What was given is no URL, or the parameter cannot be read; the text names the variable.
    """
    named = "DATABASE_URL"
    if not url and parameter:
        named = "DATABASE_URL_PARAMETER"
        url = _read(parameter, client)
    try:
        return open_database(url or DEFAULT_DATABASE_URL)
    except ValueError as error:
        raise SettingsError(f"{named}: {error}") from error


def _read(parameter: str, client: "SSMClient | None") -> str:
    try:
        ssm = client or boto3.client("ssm", config=SSM_CONFIG)
        return ssm.get_parameter(Name=parameter, WithDecryption=True)["Parameter"]["Value"].strip()
    except ClientError as error:
        code = error.response["Error"]["Code"]
        advice = {
            "ParameterNotFound": "there is none of this name: put the database's URL there",
            "AccessDeniedException": "not allowed: grant ssm:GetParameter on it, and kms:Decrypt on its key",
        }.get(code, str(error))
        raise SettingsError(f"DATABASE_URL_PARAMETER: {parameter}: {advice}") from error
    except BotoCoreError as error:
        raise SettingsError(f"DATABASE_URL_PARAMETER: {parameter}: {error}") from error
