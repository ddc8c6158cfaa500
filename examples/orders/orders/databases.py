"""Transactions on a database, whichever it is: bounded in time, with errors that say what to do about them.

Every call ends within a few seconds, whatever the database does: a consumer that waits for a hung database could not
drain. What goes wrong is one of two things:

- `DatabaseUnavailableError`: the database is down, hung, locked, read-only, has no schema yet, or gave way to another
  transaction. Nothing is wrong with what was asked; ask again later. A broken connection at commit leaves the
  outcome unknown, which is the same to a caller whose transaction recognises that it was done before.
- `DataRefusedError`: the database will never take this data.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, LiteralString, Protocol

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

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Begin a transaction that writes; commit it when the block ends, roll it back when the block raises."""
        ...

    def reading(self) -> AbstractContextManager[Transaction]:
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
