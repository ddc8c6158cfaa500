"""Transactions on a PostgreSQL server."""

import contextlib
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, LiteralString
from urllib.parse import urlsplit

import psycopg

from .databases import (
    BEGIN_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    LOCK_TIMEOUT_S,
    TRANSACTION_TIMEOUT_S,
    DatabaseUnavailableError,
    DataRefusedError,
    Transaction,
)

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
    is_cut = threading.Event()

    def cut() -> None:
        is_cut.set()
        with contextlib.suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(after_s, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except psycopg.OperationalError as error:
        if is_cut.is_set():
            raise _NoAnswerError(f"no answer within {after_s:g} s") from error
        raise
    finally:
        timer.cancel()
        timer.join()
        link.close()
