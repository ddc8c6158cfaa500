"""The orders database on SQLite: all that is true of any, and what only a file can do."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.orders.orders import sqlite
from examples.orders.orders.databases import Database, DatabaseUnavailableError
from examples.orders.orders.sqlite import SqliteDatabase
from examples.orders.orders.store import Result, Store
from tests.support.orders_fakes import make_order
from tests.support.orders_store_cases import DELIVERY, StoreCases


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is."""
    return tmp_path / "orders with space.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """An empty database."""
    made = SqliteDatabase(path)
    yield made
    made.close()


@pytest.fixture
def store(database: Database) -> Store:
    """A store on that database."""
    made = Store(database)
    made.create()
    return made


class TestSqliteStore(StoreCases):
    """On SQLite."""

    def test_file_is_in_wal_mode_and_fully_synchronous_when_it_is_used(
        self, store: Store, database: Database, path: Path
    ) -> None:
        """Readers do not wait for the writer, and a commit survives a loss of power."""
        with database.reading() as transaction:
            assert transaction.rows("PRAGMA journal_mode") == [("wal",)]
            assert transaction.rows("PRAGMA synchronous") == [(2,)]

    def test_no_empty_database_appears_when_the_file_is_gone(self, store: Store, path: Path) -> None:
        """A file that is away is an outage, not a new beginning: nothing may be stored beside what was."""
        order = make_order()
        store.process(order, DELIVERY)
        store.close()
        away = path.with_suffix(".away")
        path.rename(away)
        for use in (store.probe, lambda: store.process(order, DELIVERY), store.totals):
            with pytest.raises(DatabaseUnavailableError, match="put it back"):
                use()
        assert not path.exists()
        away.rename(path)
        assert store.process(order, DELIVERY) is Result.ALREADY_STORED

    def test_new_file_is_used_when_it_was_replaced(self, store: Store, path: Path) -> None:
        """An open connection must not go on writing to a file that was moved away."""
        order = make_order()
        store.process(order, DELIVERY)
        with sqlite3.connect(path) as checkpointing:
            checkpointing.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        checkpointing.close()
        shutil.copy(path, path.with_suffix(".copy"))
        for part in path.parent.glob(f"{path.name}*"):
            part.rename(part.with_name(f"old {part.name}"))
        path.with_suffix(".copy").rename(path)
        after = make_order()
        store.process(after, DELIVERY)
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as reading:
            ids = {row[0] for row in reading.execute("SELECT order_id FROM orders")}
        reading.close()
        assert ids == {order.order_id, after.order_id}

    def test_order_is_refused_in_time_when_the_file_is_locked(
        self, store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another process holds the write lock: an error that says try later, after a bounded wait."""
        monkeypatch.setattr(sqlite, "LOCK_TIMEOUT_S", 0.05)
        store.close()
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailableError, match="locked"):
            store.process(make_order(), DELIVERY)
        with pytest.raises(DatabaseUnavailableError, match="locked"):
            store.probe()
        assert store.totals().orders_count == 0  # readers go on
        holder.execute("ROLLBACK")
        holder.close()
        store.probe()

    def test_order_is_refused_in_time_when_another_thread_writes_for_long(
        self, store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Within one process it is the same."""
        monkeypatch.setattr(sqlite, "LOCK_TIMEOUT_S", 0.05)
        entered, leave = threading.Event(), threading.Event()

        def hold() -> None:
            with database.transaction():
                entered.set()
                assert leave.wait(10)
            database.close()

        holding = threading.Thread(target=hold)
        holding.start()
        assert entered.wait(10)
        with pytest.raises(DatabaseUnavailableError, match="writing for"):
            store.process(make_order(), DELIVERY)
        leave.set()
        holding.join(10)
        assert store.process(make_order(), DELIVERY) is Result.STORED

    def test_file_that_is_no_database_is_an_outage(self, path: Path) -> None:
        """Whoever put it there has to take it away; the orders are not at fault."""
        path.write_text("not a database, but long enough to be read as one" * 40)
        with pytest.raises(DatabaseUnavailableError, match="not a database"):
            Store(SqliteDatabase(path)).probe()

    def test_directory_that_is_missing_is_named(self, tmp_path: Path) -> None:
        """Making the database says why it cannot."""
        with pytest.raises(DatabaseUnavailableError, match="unable to open"):
            Store(SqliteDatabase(tmp_path / "no" / "orders.db")).create()


class Deadlocked(sqlite3.Connection):
    """Another connection changes the mode at the same moment, so that the first change fails at once."""

    left = 1

    def execute(self, sql: str, *parameters: object) -> sqlite3.Cursor:
        """Fail as SQLite does, as often as `left` says."""
        if sql == "PRAGMA journal_mode = WAL" and Deadlocked.left:
            Deadlocked.left -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return super().execute(sql, *parameters)


def test_create_goes_on_when_another_changes_the_mode_at_the_same_moment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of a fleet's first consumers: neither gives up."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite.sqlite3, "connect", lambda *given, **more: connect(*given, factory=Deadlocked, **more))

    Store(SqliteDatabase(path)).create()

    assert Deadlocked.left == 0
    assert connect(path).execute("PRAGMA journal_mode").fetchone() == ("wal",)
