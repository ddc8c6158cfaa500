"""What is true of the orders database, whichever it is; run on SQLite and on PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, LiteralString

import pytest

from examples.orders.orders.databases import Database, DatabaseUnavailableError
from examples.orders.orders.order import RejectedError
from examples.orders.orders.store import CATALOGUE, FIRST_STOCK, Delivery, Result, Store
from tests.support.orders_fakes import make_order

DELIVERY = Delivery(sent_at=100.0, started_at=102.5, receive_count=1, attempts=0, worked_by="i-1")


def on_hand(store: Store, sku: str) -> int:
    """Of one item."""
    return next(item.on_hand for item in store.totals().stock if item.sku == sku)


def execute(database: Database, sql: LiteralString, **values: object) -> None:
    """Run one statement in a transaction of its own."""
    with database.transaction() as transaction:
        transaction.rows(sql, **values)


class StoreCases:
    """Needs fixtures `database`, empty, and `store`, with its tables and first stock on that database."""

    def test_order_is_stored_paid_and_taken_from_stock_when_it_is_new(self, store: Store) -> None:
        """One transaction changes all three."""
        order = make_order(sku="kettle", quantity=3)
        assert store.process(order, DELIVERY) is Result.STORED
        (stored,) = store.find([order.order_id])
        assert (stored.order_id, stored.customer, stored.sku, stored.quantity) == (order.order_id, "Ada", "kettle", 3)
        assert stored.amount_cents == 3 * 4900
        assert stored.wait_s == 2.5
        assert stored.worked_by == "i-1"
        assert on_hand(store, "kettle") == FIRST_STOCK - 3
        totals = store.totals()
        assert (totals.orders_count, totals.payments_cents) == (1, 3 * 4900)
        assert [item.sku for item in totals.stock] == sorted(sku for sku, *_ in CATALOGUE)

    def test_nothing_changes_when_an_order_is_delivered_again(self, store: Store) -> None:
        """The second delivery is recognised; the audit sees one charge and the stock that one order took."""
        order = make_order()
        store.process(order, DELIVERY)
        before = (store.totals(), store.find([order.order_id]))
        again = replace(DELIVERY, started_at=999.0, receive_count=2, worked_by="i-2")
        assert [store.process(order, again) for _ in range(3)] == [Result.ALREADY_STORED] * 3
        assert (store.totals(), store.find([order.order_id])) == before
        assert store.audit().holds

    def test_last_cause_is_kept_when_an_order_is_dead_lettered_again(self, store: Store) -> None:
        """One note an order, and none of what is stored."""
        order = make_order()
        for cause in ("UnknownItem: kettle", "OutOfStock: kettle"):
            store.note_dead_letter("order-x", cause)
            store.note_dead_letter(order.order_id, cause)
        store.process(order, DELIVERY)
        assert store.dead_letters(["order-x", order.order_id, "order-y"]) == {"order-x": "OutOfStock: kettle"}

    def test_one_of_many_is_stored_when_they_race(self, store: Store) -> None:
        """The same order, delivered to eight workers at one moment, is done once."""
        order = make_order(quantity=5)
        gate = threading.Barrier(8)

        def process(_: int) -> Result:
            gate.wait(10)
            try:
                return store.process(order, DELIVERY)
            finally:
                store.close()

        with ThreadPoolExecutor(8) as workers:
            results = sorted(workers.map(process, range(8)))
        assert results == [Result.ALREADY_STORED] * 7 + [Result.STORED]
        assert on_hand(store, "tea-green") == FIRST_STOCK - 5
        assert store.audit().holds

    def test_stock_adds_up_when_many_orders_race_for_it(self, store: Store) -> None:
        """Of twenty orders for the last twelve cups exactly twelve get one, and none is half done."""
        store.restock("cup-last", "The last cups", 100, 12)

        def process(_: int) -> str:
            try:
                return store.process(make_order(sku="cup-last", quantity=1), DELIVERY)
            except RejectedError as error:
                return error.cause
            finally:
                store.close()

        with ThreadPoolExecutor(6) as workers:
            results = list(workers.map(process, range(20)))
        assert results.count("stored") == 12
        assert results.count("OutOfStock: cup-last") == 8
        audit = store.audit()
        assert audit.stored == 12
        assert audit.holds

    @pytest.mark.parametrize(
        ("changes", "cause"),
        [
            ({"sku": "sku-13"}, "UnknownItem: sku-13"),
            ({"sku": "rare", "quantity": 2}, "OutOfStock: rare"),
        ],
    )
    def test_order_is_rejected_whole_when_it_cannot_succeed(
        self, store: Store, changes: dict[str, Any], cause: str
    ) -> None:
        """The cause is named, and neither stock nor payments nor orders change."""
        store.restock("rare", "A rare thing", 100, 1)
        before = store.totals()
        with pytest.raises(RejectedError) as caught:
            store.process(make_order(**changes), DELIVERY)
        assert caught.value.cause == cause
        assert store.totals() == before

    def test_rejected_order_succeeds_when_a_person_has_fixed_the_stock(self, store: Store) -> None:
        """Adding the item is the fix; the same order goes through then."""
        order = make_order(sku="sku-13", quantity=1)
        with pytest.raises(RejectedError):
            store.process(order, DELIVERY)
        store.restock("sku-13", "Thing 13", 1300, 10)
        assert store.process(order, DELIVERY) is Result.STORED
        store.restock("sku-13", "Thing 13, renamed", 1400, 5)
        assert on_hand(store, "sku-13") == 14
        assert store.audit().holds

    def test_order_is_rejected_when_its_id_is_anothers(self, store: Store) -> None:
        """A different order under a used id must not vanish as a repetition."""
        order = make_order()
        store.process(order, DELIVERY)
        with pytest.raises(RejectedError, match="OrderIdReused"):
            store.process(replace(order, quantity=order.quantity + 1), DELIVERY)
        assert store.audit().holds

    def test_text_is_kept_when_it_is_odd(self, store: Store) -> None:
        """What a customer is called is data, in every script, and quotes are no syntax."""
        order = make_order(customer="Zoë '); DROP TABLE orders; -- %s :name 名前 🫖")
        store.process(order, DELIVERY)
        assert store.find([order.order_id])[0].customer == order.customer
        assert store.process(order, DELIVERY) is Result.ALREADY_STORED

    def test_orders_are_listed_newest_first_when_recent_ones_are_asked_for(
        self, database: Database, store: Store
    ) -> None:
        """By the time they were stored."""
        times = iter([30.0, 10.0, 20.0])
        timed = Store(database, clock=lambda: next(times))
        orders = [make_order() for _ in range(3)]
        for order in orders:
            timed.process(order, DELIVERY)
        recent = store.recent(2)
        assert [order.order_id for order in recent] == [orders[0].order_id, orders[2].order_id]
        assert store.stored_ids() == {order.order_id for order in orders}
        assert store.find(["unknown-id"]) == []

    def test_create_changes_nothing_when_it_is_repeated(self, database: Database, store: Store) -> None:
        """Every consumer may run it at its start, at one moment, and nothing is filled up again."""
        store.process(make_order(quantity=7), DELIVERY)
        before = store.totals()

        def create(_: int) -> None:
            again = Store(database)
            again.create()
            again.close()

        with ThreadPoolExecutor(4) as workers:
            list(workers.map(create, range(8)))
        assert store.totals() == before

    def test_create_makes_one_schema_when_many_race_on_an_empty_database(self, database: Database) -> None:
        """The first consumers of a fleet start at one moment."""
        gate = threading.Barrier(6)

        def create(_: int) -> None:
            gate.wait(10)
            Store(database).create()
            database.close()

        with ThreadPoolExecutor(6) as workers:
            list(workers.map(create, range(6)))
        totals = Store(database).totals()
        assert [item.on_hand for item in totals.stock] == [FIRST_STOCK] * len(CATALOGUE)

    def test_probe_says_what_to_do_when_there_are_no_tables(self, database: Database) -> None:
        """An unprepared database is unavailable, which heals; the order is not at fault."""
        database.create([], lambda transaction: None)
        with pytest.raises(DatabaseUnavailableError, match=r"python -m orders\.admin init"):
            Store(database).probe()
        Store(database).create()
        Store(database).probe()

    def test_nothing_is_left_when_the_process_fails_in_the_middle(self, store: Store, database: Database) -> None:
        """A crash between the statements leaves what was before."""
        before = store.totals()

        def fail_halfway() -> None:
            with database.transaction() as transaction:
                transaction.rows("UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'kettle'")
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail_halfway()
        assert store.totals() == before
        store.probe()

    @pytest.mark.parametrize(
        ("damage", "seen"),
        [
            ("INSERT INTO payments VALUES (:order_id, 1, 1)", "charged_twice"),
            ("DELETE FROM payments WHERE order_id = :order_id", "unpaid"),
            ("UPDATE stock SET on_hand = on_hand - 1 WHERE sku = 'kettle' AND :order_id <> ''", "stock_wrong"),
        ],
    )
    def test_audit_fails_when_an_order_is_not_done_once(
        self, store: Store, database: Database, damage: LiteralString, seen: str
    ) -> None:
        """The audit is able to see each kind of damage that it rules out."""
        order = make_order(sku="kettle")
        store.process(order, DELIVERY)
        assert store.audit().holds
        execute(database, damage, order_id=order.order_id)
        audit = store.audit()
        assert not audit.holds
        assert getattr(audit, seen)

    def test_waits_leave_out_what_was_sent_back(self, store: Store) -> None:
        """The wait of a redriven order says when an operator fixed it, not how well the fleet was sized."""
        for wait_s, attempts in [(4.0, 0), (900.0, 1), (2.0, 0)]:
            store.process(make_order(), replace(DELIVERY, started_at=100.0 + wait_s, attempts=attempts))
        assert store.audit().waits_s == (2.0, 4.0)
