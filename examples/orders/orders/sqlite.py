"""Transactions on SQLite, the embedded database: one file, on one machine."""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, LiteralString, cast

from .databases import LOCK_TIMEOUT_S, DatabaseUnavailableError, DataRefusedError, Transaction

MODE_RETRY_PAUSE_S = 0.01


class SqliteDatabase:
    """One file, in write-ahead-log mode: many readers and one writer at a time, on one machine.

    Source for what WAL allows: https://www.sqlite.org/wal.html.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mine = threading.local()
        # SQLite has one writer at a time and no queue for it; threads of one process need not fight over that.
        self._writer = threading.Lock()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See `Database.transaction`."""
        if not self._writer.acquire(timeout=LOCK_TIMEOUT_S):
            raise DatabaseUnavailableError(f"{self._path}: another thread has been writing for {LOCK_TIMEOUT_S:.0f} s")
        try:
            # IMMEDIATE takes the write lock first: a transaction that upgrades later cannot wait, only fail.
            with self._begun("BEGIN IMMEDIATE") as transaction:
                yield transaction
        finally:
            self._writer.release()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        """See `Database.reading`."""
        with self._begun("BEGIN") as transaction:
            yield transaction

    @contextlib.contextmanager
    def _begun(self, begin: LiteralString) -> Iterator[Transaction]:
        with self._translated():
            connection = self._connection()
            connection.execute(begin)
            try:
                yield _SqliteTransaction(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def create(self, schema: Sequence[LiteralString], fill: Callable[[Transaction], None]) -> None:
        """See `Database.create`."""
        with self._translated():
            self._use_write_ahead_log()
            with self.transaction() as transaction:
                for statement in schema:
                    transaction.rows(statement)
                fill(transaction)

    def _use_write_ahead_log(self) -> None:
        """Set the mode, which is kept in the file and can only be changed outside a transaction.

        SQLite ends a deadlock at once, whatever the connection's timeout is, and two that change the mode at the same
        moment are one (https://www.sqlite.org/c3ref/busy_handler.html). So the change is tried again.
        """
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        with contextlib.closing(self._connect("rwc")) as connection:
            while True:
                try:
                    connection.execute("PRAGMA journal_mode = WAL")
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                        raise
                    time.sleep(MODE_RETRY_PAUSE_S)
                else:
                    return

    def close(self) -> None:
        """See `Database.close`."""
        connection: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if connection is not None:
            connection.close()
            self._mine.connection = None

    def _connection(self) -> sqlite3.Connection:
        # A file that was moved away and put back, or restored, is another file: an old connection would go on
        # writing to the one that nobody reads.
        identity = self._identity()
        if getattr(self._mine, "connection", None) is None or self._mine.identity != identity:
            self.close()
            # Never "rwc": an absent file is a database that is down. A fresh, empty one would swallow orders.
            self._mine.connection = self._connect("rw")
            self._mine.identity = identity
        return cast("sqlite3.Connection", self._mine.connection)

    def _identity(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise DatabaseUnavailableError(
                f"{self._path}: {error.strerror}; put it back, or make it: python -m orders.admin init"
            ) from error
        return status.st_dev, status.st_ino

    def _connect(self, mode: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}", uri=True, timeout=LOCK_TIMEOUT_S, isolation_level=None
        )
        # The message is deleted after the commit: the commit has to survive a loss of power.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        return connection

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.IntegrityError, sqlite3.DataError) as error:
            raise DataRefusedError(str(error)) from error
        except sqlite3.Error as error:
            self.close()
            if "no such table" in str(error):
                raise DatabaseUnavailableError(
                    f"{self._path} has no tables for orders yet: python -m orders.admin init"
                ) from error
            raise DatabaseUnavailableError(f"{self._path}: {error}") from error


class _SqliteTransaction:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, sql: LiteralString, /, **values: object) -> Sequence[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()
