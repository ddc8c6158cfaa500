"""Commands for whoever runs the database: `python -m orders.admin init | stock | audit | lock`.

The database is the one that DATABASE_URL names, or the parameter that DATABASE_URL_PARAMETER names. `stock` is also
the fix for orders that were dead-lettered with `UnknownItem` or `OutOfStock`: once the item is there, they can be sent
back.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import boto3

from .databases import Database, DatabaseUnavailableError
from .locating import locate_database
from .settings import SettingsError
from .sqlite import SqliteDatabase
from .store import Store
from .worklog import read_worklog


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 where it did what it says, 1 where the database is unavailable or the audit does not hold, 2 where it was
        asked wrongly.
    """
    options = _parser().parse_args(arguments)
    try:
        database = locate_database(os.environ.get("DATABASE_URL"), os.environ.get("DATABASE_URL_PARAMETER"))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        return int(options.run(options, database))
    except DatabaseUnavailableError as error:
        print(error, file=sys.stderr)
        return 1


def _init(_: argparse.Namespace, database: Database) -> int:
    Store(database).create()
    return 0


def _stock(options: argparse.Namespace, database: Database) -> int:
    Store(database).restock(options.sku, options.name or options.sku, options.price_cents, options.count)
    return 0


def _audit(options: argparse.Namespace, database: Database) -> int:
    store = Store(database)
    audit = store.audit()
    answer: dict[str, Any] = asdict(audit)
    holds = audit.holds
    if options.sent:
        sent = set(_read(options.sent).split())
        answer["sent"] = len(sent)
        answer["not_stored"] = sorted(sent - store.stored_ids())
        holds = holds and not answer["not_stored"]
    if options.work_log:
        work = read_worklog(line for path in options.work_log for line in path.read_text().splitlines())
        answer["work"] = asdict(work)
        holds = holds and not work.interrupted
    print(json.dumps(answer | {"holds": holds}))
    return 0 if holds else 1


def _read(place: str) -> str:
    """A file's text, or that of an object in S3."""
    if not place.startswith("s3://"):
        return Path(place).read_text()
    bucket, _, key = place.removeprefix("s3://").partition("/")
    return boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read().decode()


def _lock(options: argparse.Namespace, database: Database) -> int:
    if not isinstance(database, SqliteDatabase):
        print("lock: only for SQLite; stop the PostgreSQL server instead", file=sys.stderr)
        return 2
    with database.transaction():
        print(json.dumps({"event": "locked", "seconds": options.seconds}), flush=True)
        time.sleep(options.seconds)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m orders.admin", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    init = commands.add_parser("init", help="make the tables and fill the stock; safe to repeat")
    init.set_defaults(run=_init)

    stock = commands.add_parser("stock", help="receive some of an item, which may be new")
    stock.add_argument("sku")
    stock.add_argument("--name", help="what the page calls it; its sku without this")
    stock.add_argument("--price-cents", type=_at_least(0), required=True)
    stock.add_argument("--count", type=_at_least(0), required=True)
    stock.set_defaults(run=_stock)

    audit = commands.add_parser("audit", help="check that every order was done once; prints one JSON object")
    audit.add_argument(
        "--sent", metavar="FILE", help="order ids that were sent, one a line; a file, or s3://bucket/key"
    )
    audit.add_argument(
        "--work-log", type=Path, metavar="FILE", action="append", help="a consumer's work log; may be repeated"
    )
    audit.set_defaults(run=_audit)

    lock = commands.add_parser("lock", help="hold SQLite's write lock: to consumers, the database is down")
    lock.add_argument("--seconds", type=float, required=True)
    lock.set_defaults(run=_lock)
    return parser


def _at_least(least: int) -> Any:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"give a whole number from {least} up")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main())
