"""The orders database on a real PostgreSQL server: all that is true of any, and a server that goes away."""

import itertools
import signal
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from examples.orders.orders import postgres
from examples.orders.orders.databases import CONNECT_TIMEOUT_S, Database, DatabaseUnavailableError
from examples.orders.orders.postgres import PostgresDatabase
from examples.orders.orders.store import Result, Store
from tests.support.orders_fakes import make_order
from tests.support.orders_services import PostgresMissing, PostgresServer
from tests.support.orders_store_cases import DELIVERY, StoreCases

pytestmark = pytest.mark.postgres

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One server for all of these tests."""
    try:
        made = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    with made:
        yield made


@pytest.fixture
def url(server: PostgresServer) -> str:
    """An empty database of its own."""
    return server.new_database(f"orders {next(_numbers)}").replace(" ", "%20")


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    """An empty database."""
    made = PostgresDatabase(url)
    yield made
    made.close()


@pytest.fixture
def store(database: Database) -> Store:
    """A store on that database."""
    made = Store(database)
    made.create()
    return made


class TestPostgresStore(StoreCases):
    """On PostgreSQL."""

    def test_order_is_done_once_when_the_server_crashes_and_recovers(
        self, server: PostgresServer, store: Store
    ) -> None:
        """While it is down the error says try later; afterwards the same store goes on."""
        before, during = make_order(), make_order()
        store.process(before, DELIVERY)
        server.stop(signal.SIGQUIT)
        try:
            for use in (store.probe, lambda: store.process(during, DELIVERY), store.totals):
                with pytest.raises(DatabaseUnavailableError, match=r"PostgreSQL at 127\.0\.0\.1"):
                    use()
        finally:
            server.start()
        store.probe()
        assert store.process(before, DELIVERY) is Result.ALREADY_STORED
        assert store.process(during, DELIVERY) is Result.STORED
        assert store.audit().holds

    def test_call_ends_in_time_when_the_server_hangs(
        self, server: PostgresServer, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A frozen server acknowledges and never answers: the connection is broken from this side."""
        monkeypatch.setattr(postgres, "BEGIN_TIMEOUT_S", 0.3)
        store.probe()
        server.freeze()
        try:
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailableError, match="no answer within"):
                store.process(make_order(), DELIVERY)
            assert time.monotonic() - began < 5
            began = time.monotonic()
            with pytest.raises(DatabaseUnavailableError):  # a new connection is not accepted either
                store.process(make_order(), DELIVERY)
            assert time.monotonic() - began < CONNECT_TIMEOUT_S + 5
        finally:
            server.thaw()
        assert store.process(make_order(), DELIVERY) is Result.STORED

    def test_call_ends_in_time_when_the_server_hangs_in_the_middle(
        self, server: PostgresServer, store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same once the transaction has begun."""
        monkeypatch.setattr(postgres, "TRANSACTION_TIMEOUT_S", 0.5)

        def freeze_halfway() -> None:
            with database.transaction() as transaction:
                server.freeze()
                transaction.rows("SELECT 1 FROM orders")

        try:
            with pytest.raises(DatabaseUnavailableError, match=r"no answer within 0\.5 s"):
                freeze_halfway()
        finally:
            server.thaw()
        assert store.process(make_order(), DELIVERY) is Result.STORED

    def test_order_is_stored_at_once_when_its_connection_was_closed_while_idle(
        self, server: PostgresServer, store: Store
    ) -> None:
        """A restart between two orders costs nothing: a connection that is found closed is replaced."""
        store.probe()
        server.stop()
        server.start()
        assert store.process(make_order(), DELIVERY) is Result.STORED

    def test_order_waits_its_turn_and_gives_up_in_time_when_a_row_is_locked(
        self, url: str, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another transaction that holds an item for too long is an outage of that item, not a fault of the order."""
        monkeypatch.setattr(postgres, "LOCK_TIMEOUT_S", 0.2)
        store.close()
        with psycopg.connect(url) as holder:
            holder.execute("SELECT 1 FROM stock WHERE sku = 'kettle' FOR UPDATE")
            with pytest.raises(DatabaseUnavailableError, match="lock timeout"):
                store.process(make_order(sku="kettle"), DELIVERY)
            assert store.process(make_order(sku="tea-green"), DELIVERY) is Result.STORED
        assert store.process(make_order(sku="kettle"), DELIVERY) is Result.STORED

    def test_order_is_stored_once_when_its_first_worker_is_cut_off_before_the_commit(
        self, url: str, store: Store
    ) -> None:
        """The server ends the session in the middle: rolled back there, tried again here."""
        order = make_order(sku="kettle")
        reached, go_on = threading.Event(), threading.Event()
        errors: list[Exception] = []

        def clock() -> float:
            reached.set()
            assert go_on.wait(20)
            return 5.0

        def work() -> None:
            cut = Store(PostgresDatabase(url), clock)
            try:
                cut.process(order, DELIVERY)
            except DatabaseUnavailableError as error:
                errors.append(error)

        worker = threading.Thread(target=work)
        worker.start()
        assert reached.wait(20)
        with psycopg.connect(url, autocommit=True) as operator:
            operator.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE state = 'idle in transaction' AND datname = current_database()"
            )
        go_on.set()
        worker.join(20)
        assert len(errors) == 1
        assert store.find([order.order_id]) == []
        assert store.process(order, DELIVERY) is Result.STORED
        assert store.audit().holds

    def test_order_waits_when_the_server_is_a_standby(self, server: PostgresServer, store: Store) -> None:
        """In the middle of a failover: it answers, and reads, but takes no orders, and the probe knows."""
        store.close()
        server.stop()
        server.start(standby=True)
        try:
            with pytest.raises(DatabaseUnavailableError, match="recovery"):
                store.probe()
            with pytest.raises(DatabaseUnavailableError, match="recovery"):
                store.process(make_order(), DELIVERY)
            assert store.totals().orders_count == 0
        finally:
            server.stop()
            server.start()
        assert store.process(make_order(), DELIVERY) is Result.STORED

    def test_password_stays_out_of_the_error_when_the_server_refuses(self, server: PostgresServer) -> None:
        """Errors go into logs."""
        secret = f"postgresql://nobody:hunter2@127.0.0.1:{server.port}/none"
        with pytest.raises(DatabaseUnavailableError) as caught:
            Store(PostgresDatabase(secret)).probe()
        assert "hunter2" not in str(caught.value)
