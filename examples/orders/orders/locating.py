"""Finds the database: by a URL, from the environment or, since it may hold a password, from Systems Manager."""

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .databases import Database
from .settings import DEFAULT_DATABASE_URL, SettingsError
from .sqlite import SqliteDatabase

if TYPE_CHECKING:
    from types_boto3_ssm import SSMClient

SSM_CONFIG: Final = Config(connect_timeout=3, read_timeout=10, retries={"mode": "standard"})
"""Asked once, at the start; systemd starts the program again where it is not answered."""


def open_database(url: str) -> Database:
    """Make the database that a URL names; nothing is connected yet.

    Args:
        url: `sqlite:///relative/path`, `sqlite:////absolute/path`, or what libpq takes: `postgresql://...`.

    Raises:
        ValueError: The URL is neither, with what would be right; it is not repeated, since it may hold a password.
    """
    scheme, _, rest = url.partition("://")
    if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
        return SqliteDatabase(Path(unquote(rest[1:])))
    if scheme in {"postgresql", "postgres"}:
        # A third of a process's start, which those that use SQLite do without.
        import psycopg  # noqa: PLC0415

        from .postgres import PostgresDatabase  # noqa: PLC0415

        try:
            psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # Its text repeats the URL, password and all.
            raise ValueError("not a URL that PostgreSQL's client library can read") from None
        return PostgresDatabase(url)
    raise ValueError("give sqlite:///path/to/file.db or postgresql://user:password@host/database")


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
