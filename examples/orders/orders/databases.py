"""Transactions on SQLite and on PostgreSQL, each of them bounded in time, each error saying what to do about it.

Every call ends within a few seconds, whatever the database does: a consumer that waits for a hung database could not
drain. What goes wrong is one of two things:

- `DatabaseUnavailableError`: the database is down, hung, locked, read-only, has no schema yet, or gave way to another
  transaction. Nothing is wrong with what was asked; ask again later. A broken connection at commit leaves the
  outcome unknown, which is the same to a caller whose transaction recognises that it was done before.
- `DataRefusedError`: the database will never take this data.
"""

import contextlib
import os
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, LiteralString, Protocol, cast
from urllib.parse import unquote, urlsplit

import psycopg

CONNECT_TIMEOUT_S: Final = 2
"""A server that is there answers in milliseconds; the client library takes no less than 2 s."""

BEGIN_TIMEOUT_S: Final = 2.0
"""To begin a transaction, which waits for nothing."""

LOCK_TIMEOUT_S: Final = 3.0
"""Waiting for other transactions, each of which takes milliseconds: longer means that one of them is stuck."""

TRANSACTION_TIMEOUT_S: Final = 5.0
"""What follows, to the end of the transaction: room for one wait for a lock, and well below any visibility timeout."""

WORST_CASE_S: Final = CONNECT_TIMEOUT_S + BEGIN_TIMEOUT_S + TRANSACTION_TIMEOUT_S
"""The longest that any call takes."""


class DatabaseUnavailableError(Exception):
    """The database cannot do this now; the same request may succeed later, unchanged."""


class DataRefusedError(Exception):
    """The database will never take this data."""


class Transaction(Protocol):
    """An open transaction."""

    def rows(self, sql: LiteralString, /, **values: object) -> Sequence[tuple[Any, ...]]:
        """Run one statement, with `:name` in place of each value, and return the rows it answers."""
        ...


class Database(Protocol):
    """Where transactions run. Safe to use from several threads; each has its own connection."""

    def transaction(self) -> contextlib.AbstractContextManager[Transaction]:
        """Begin a transaction that writes; commit it when the block ends, roll it back when the block raises."""
        ...

    def reading(self) -> contextlib.AbstractContextManager[Transaction]:
        """Begin a transaction that only reads, from one snapshot; it does not wait for writers."""
        ...

    def create(self, schema: Sequence[LiteralString], fill: Callable[[Transaction], None]) -> None:
        """Run the schema's statements and `fill`, and make the database where it is a file.

        All of it is one transaction, and only one caller at a time is in it: safe to repeat and to race.
        """
        ...

    def close(self) -> None:
        """Close this thread's connection."""
        ...


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
        try:
            psycopg.conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # Its text repeats the URL, password and all.
            raise ValueError("not a URL that PostgreSQL's client library can read") from None
        return PostgresDatabase(url)
    raise ValueError("give sqlite:///path/to/file.db or postgresql://user:password@host/database")


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
            # The mode is kept in the file, and can only be changed outside a transaction.
            with contextlib.closing(self._connect("rwc")) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
            with self.transaction() as transaction:
                for statement in schema:
                    transaction.rows(statement)
                fill(transaction)

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


_CREATE_LOCK: Final = 7_345_112_001
"""Any number that nobody else uses for an advisory lock: IF NOT EXISTS alone does not survive a race."""


class PostgresDatabase:
    """A PostgreSQL server, of version 12 or newer."""

    def __init__(self, url: str) -> None:
        self._url = url
        # Without the password: this goes into errors, and from there into logs.
        parts = urlsplit(url)
        self._name = f"PostgreSQL at {parts.hostname or 'the local socket'}"
        self._mine = threading.local()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """See `Database.transaction`."""
        with self._begun("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE") as transaction:
            yield transaction

    @contextlib.contextmanager
    def reading(self) -> Iterator[Transaction]:
        """See `Database.reading`."""
        with self._begun("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as transaction:
            yield transaction

    @contextlib.contextmanager
    def _begun(self, begin: LiteralString) -> Iterator[Transaction]:
        with self._translated():
            connection = self._connection(begin)
            with _cut_off(connection, TRANSACTION_TIMEOUT_S):
                try:
                    yield _PostgresTransaction(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    # Where the connection is lost, the server rolls back by itself.
                    with contextlib.suppress(psycopg.Error):
                        connection.execute("ROLLBACK")
                    raise

    def create(self, schema: Sequence[LiteralString], fill: Callable[[Transaction], None]) -> None:
        """See `Database.create`."""
        with self.transaction() as transaction:
            transaction.rows("SELECT pg_advisory_xact_lock(:key)", key=_CREATE_LOCK)
            for statement in schema:
                transaction.rows(statement)
            fill(transaction)

    def close(self) -> None:
        """See `Database.close`."""
        connection: psycopg.Connection[tuple[Any, ...]] | None = getattr(self._mine, "connection", None)
        if connection is not None:
            connection.close()
            self._mine.connection = None

    def _connection(self, begin: LiteralString) -> psycopg.Connection[tuple[Any, ...]]:
        """This thread's connection, with the transaction begun."""
        connection: psycopg.Connection[tuple[Any, ...]] | None = getattr(self._mine, "connection", None)
        if connection is not None:
            try:
                with _cut_off(connection, BEGIN_TIMEOUT_S):
                    connection.execute(begin)
            except _NoAnswerError:
                raise
            except psycopg.OperationalError:
                # It was closed while nobody used it, by a restart or a failover: nothing was asked of it yet.
                self.close()
            else:
                return connection
        connection = self._mine.connection = self._connect()
        with _cut_off(connection, BEGIN_TIMEOUT_S):
            connection.execute(begin)
        return connection

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        lock_ms, statement_ms = int(LOCK_TIMEOUT_S * 1000), int(TRANSACTION_TIMEOUT_S * 1000)
        return psycopg.connect(
            self._url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="orders",
            options=(
                f"-c lock_timeout={lock_ms} -c statement_timeout={statement_ms}"
                f" -c idle_in_transaction_session_timeout={statement_ms}"
            ),
        )

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            raise DataRefusedError(str(error)) from error
        except psycopg.errors.UndefinedTable as error:
            raise DatabaseUnavailableError(
                f"{self._name} has no tables for orders yet: python -m orders.admin init"
            ) from error
        except psycopg.Error as error:
            self.close()
            raise DatabaseUnavailableError(f"{self._name}: {error}") from error


class _PostgresTransaction:
    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def rows(self, sql: LiteralString, /, **values: object) -> Sequence[tuple[Any, ...]]:
        cursor = self._connection.execute(_postgres_style(sql), values)
        return cursor.fetchall() if cursor.description else []


def _postgres_style(sql: LiteralString) -> LiteralString:
    # `:name` as SQLite has it, `%(name)s` as psycopg has it; the statements hold neither '%' nor '::'.
    return re.sub(r":(\w+)", r"%(\1)s", sql)


class _NoAnswerError(psycopg.OperationalError):
    """The server did not answer in time; nor would it at once on another connection."""


@contextlib.contextmanager
def _cut_off(connection: psycopg.Connection[Any], after_s: float) -> Iterator[None]:
    """Break the connection after a time, so that a server that never answers cannot hold the thread.

    The server's own timeouts do not help against a server that is itself stopped, nor does TCP's, while the kernel
    of that machine goes on acknowledging.
    """
    # A duplicate, since the connection may close its own and the number may then belong to another.
    link = socket.socket(fileno=os.dup(connection.fileno()))
    timer = threading.Timer(after_s, _shut, [link])
    timer.daemon = True
    timer.start()
    started_at = time.monotonic()
    try:
        yield
    except psycopg.OperationalError as error:
        if time.monotonic() - started_at >= after_s:
            raise _NoAnswerError(f"no answer within {after_s:g} s") from error
        raise
    finally:
        timer.cancel()
        timer.join()
        link.close()


def _shut(link: socket.socket) -> None:
    with contextlib.suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)
