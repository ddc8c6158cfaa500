"""The database of orders: stock, orders and payments, changed together or not at all.

Invariant: an order that is in `orders` has its items taken from `stock` and its payment in `payments`, once each, since
the three are written in one transaction whose first statement claims the order's id. A second delivery of the same
order finds the id taken and changes nothing. So a consumer may crash anywhere, and simply be sent the order again.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, LiteralString

from .databases import Database, DataRefusedError, Transaction
from .order import Order, RejectedError

SCHEMA: Final[Sequence[LiteralString]] = (
    # `received` is all that ever came in: what is missing from the shelf must be what orders took (see `audit`).
    """CREATE TABLE IF NOT EXISTS stock (
        sku TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        price_cents BIGINT NOT NULL CHECK (price_cents >= 0),
        received BIGINT NOT NULL,
        on_hand BIGINT NOT NULL CHECK (on_hand >= 0)
    )""",
    """CREATE TABLE IF NOT EXISTS orders (
        order_id TEXT PRIMARY KEY,
        customer TEXT NOT NULL,
        sku TEXT NOT NULL REFERENCES stock (sku),
        quantity BIGINT NOT NULL CHECK (quantity > 0),
        sent_at DOUBLE PRECISION NOT NULL,
        started_at DOUBLE PRECISION NOT NULL,
        stored_at DOUBLE PRECISION NOT NULL,
        receive_count BIGINT NOT NULL,
        attempts BIGINT NOT NULL,
        worked_by TEXT NOT NULL
    )""",
    # Not unique by order: `audit` has to be able to see a second charge. The order's id, claimed in the same
    # transaction, is what prevents one.
    """CREATE TABLE IF NOT EXISTS payments (
        order_id TEXT NOT NULL REFERENCES orders (order_id),
        amount_cents BIGINT NOT NULL,
        taken_at DOUBLE PRECISION NOT NULL
    )""",
    # A note for the page, written after the fact: the dead-letter queue has the order itself.
    """CREATE TABLE IF NOT EXISTS dead_letters (
        order_id TEXT PRIMARY KEY,
        cause TEXT NOT NULL,
        noted_at DOUBLE PRECISION NOT NULL
    )""",
    "CREATE INDEX IF NOT EXISTS orders_stored_at ON orders (stored_at)",
    "CREATE INDEX IF NOT EXISTS payments_order_id ON payments (order_id)",
)

MAX_IDS: Final = 200
"""Orders looked up in one call: ample for a page, and one statement each."""


class Result(StrEnum):
    """What processing an order came to."""

    STORED = "stored"
    ALREADY_STORED = "already_stored"


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an order came to be worked on; stored with it, so that waits can be read from the database alone.

    Attributes:
        sent_at: First enqueued, epoch seconds.
        started_at: Work began, epoch seconds.
        receive_count: Times this message was received, at least 1.
        attempts: Times Sluice had sent it back before.
        worked_by: Instance or process that worked on it.
    """

    sent_at: float
    started_at: float
    receive_count: int
    attempts: int
    worked_by: str


@dataclass(frozen=True, slots=True)
class Item:
    """One kind of thing that can be ordered."""

    sku: str
    name: str
    price_cents: int
    on_hand: int


@dataclass(frozen=True, slots=True)
class StoredOrder:
    """An order that is done."""

    order_id: str
    customer: str
    sku: str
    quantity: int
    amount_cents: int
    wait_s: float
    stored_at: float
    worked_by: str


@dataclass(frozen=True, slots=True)
class Totals:
    """What the database holds in sum."""

    orders_count: int
    payments_cents: int
    stock: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Audit:
    """What the database says about whether every order was done once; see `Store.audit`.

    Attributes:
        stored: Orders.
        charged_twice: Orders with more than one payment.
        unpaid: Orders without a payment.
        stock_wrong: Items of which more, or fewer, are missing than orders took.
        waits_s: Sent to started, of each order that Sluice never sent back, in seconds, ascending.
    """

    stored: int
    charged_twice: int
    unpaid: int
    stock_wrong: tuple[str, ...]
    waits_s: tuple[float, ...]

    @property
    def holds(self) -> bool:
        """Each order was paid once and its items taken once."""
        return not (self.charged_twice or self.unpaid or self.stock_wrong)


CATALOGUE: Final = (
    ("tea-green", "Green tea, 100 g", 890),
    ("tea-black", "Black tea, 100 g", 740),
    ("cup-small", "Cup, 0.2 l", 1250),
    ("cup-large", "Cup, 0.4 l", 1590),
    ("kettle", "Kettle, 1.2 l", 4900),
    ("strainer", "Strainer, steel", 680),
)
"""What a new database sells: sku, name, price in cents."""

FIRST_STOCK: Final = 1_000_000
"""Of each item: no load that the page can send empties it."""


class Store:
    """Orders on a database. Safe to use from several threads."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(self) -> None:
        """Make the tables, and fill the stock where it is empty; safe to repeat and to race."""
        self._database.create(SCHEMA, _fill_stock)

    def probe(self) -> None:
        """Ask whether an order could be processed now.

        Raises:
            DatabaseUnavailableError: It could not.
        """
        with self._database.transaction() as transaction:
            transaction.rows("SELECT 1 FROM orders LIMIT 1")

    def process(self, order: Order, delivery: Delivery) -> Result:
        """Take the items from stock and the payment from the customer, in one transaction, once for each order id.

        Returns:
            `ALREADY_STORED` where this order was processed before; nothing was changed then.

        Raises:
            RejectedError: It can never succeed as things stand: `UnknownItem`, `OutOfStock`, `OrderIdReused` (another
                order has this id) or `DataRefused`. Nothing was changed.
            DatabaseUnavailableError: Try again later. It may have been processed, or not.
        """
        try:
            with self._database.transaction() as transaction:
                return self._process(transaction, order, delivery)
        except DataRefusedError as error:
            raise RejectedError("DataRefused", str(error).splitlines()[0]) from error

    def _process(self, transaction: Transaction, order: Order, delivery: Delivery) -> Result:
        item = transaction.rows("SELECT price_cents FROM stock WHERE sku = :sku", sku=order.sku)
        if not item:
            raise RejectedError("UnknownItem", order.sku)
        now = self._clock()
        claimed = transaction.rows(
            """INSERT INTO orders VALUES (:order_id, :customer, :sku, :quantity, :sent_at, :started_at, :stored_at,
                                          :receive_count, :attempts, :worked_by)
               ON CONFLICT (order_id) DO NOTHING RETURNING order_id""",
            **asdict(order),
            **asdict(delivery),
            stored_at=now,
        )
        if not claimed:
            return _compare(transaction, order)
        taken = transaction.rows(
            """UPDATE stock SET on_hand = on_hand - :quantity WHERE sku = :sku AND on_hand >= :quantity
               RETURNING price_cents""",
            sku=order.sku,
            quantity=order.quantity,
        )
        if not taken:
            raise RejectedError("OutOfStock", order.sku)
        transaction.rows(
            "INSERT INTO payments VALUES (:order_id, :amount_cents, :taken_at)",
            order_id=order.order_id,
            amount_cents=taken[0][0] * order.quantity,
            taken_at=now,
        )
        return Result.STORED

    def note_dead_letter(self, order_id: str, cause: str) -> None:
        """Keep why an order was dead-lettered, in the place of what was noted of it before.

        Raises:
            DatabaseUnavailableError: Try again later, or do without.
            DataRefusedError: The database will never take this cause.
        """
        with self._database.transaction() as transaction:
            transaction.rows(
                """INSERT INTO dead_letters VALUES (:order_id, :cause, :noted_at)
                   ON CONFLICT (order_id) DO UPDATE SET cause = excluded.cause, noted_at = excluded.noted_at""",
                order_id=order_id,
                cause=cause,
                noted_at=self._clock(),
            )

    def dead_letters(self, order_ids: Iterable[str]) -> dict[str, str]:
        """Order id -> cause, of those among these ids that were dead-lettered and are not stored since.

        At most `MAX_IDS` are looked up.
        """
        with self._database.reading() as transaction:
            found = [
                transaction.rows(
                    """SELECT order_id, cause FROM dead_letters d WHERE order_id = :order_id
                       AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.order_id = d.order_id)""",
                    order_id=order_id,
                )
                for order_id in list(order_ids)[:MAX_IDS]
            ]
        return {order_id: cause for rows in found for order_id, cause in rows}

    def restock(self, sku: str, name: str, price_cents: int, count: int) -> None:
        """Receive `count` of an item, which may be new to the catalogue; its name and price are set."""
        with self._database.transaction() as transaction:
            _receive(transaction, sku, name, price_cents, count)

    def find(self, order_ids: Iterable[str]) -> list[StoredOrder]:
        """The orders among these ids that are done; at most `MAX_IDS` are looked up."""
        with self._database.reading() as transaction:
            found = [
                transaction.rows(f"{_STORED_ORDER} WHERE o.order_id = :order_id", order_id=order_id)
                for order_id in list(order_ids)[:MAX_IDS]
            ]
        return [StoredOrder(*row) for rows in found for row in rows]

    def recent(self, count: int) -> list[StoredOrder]:
        """The orders done last, newest first."""
        with self._database.reading() as transaction:
            rows = transaction.rows(f"{_STORED_ORDER} ORDER BY o.stored_at DESC LIMIT :count", count=count)
        return [StoredOrder(*row) for row in rows]

    def totals(self) -> Totals:
        """Counts and stock, all of one moment."""
        with self._database.reading() as transaction:
            orders_count = transaction.rows("SELECT count(*) FROM orders")[0][0]
            payments_cents = transaction.rows("SELECT coalesce(sum(amount_cents), 0) FROM payments")[0][0]
            stock = transaction.rows("SELECT sku, name, price_cents, on_hand FROM stock ORDER BY sku")
        return Totals(orders_count, int(payments_cents), tuple(Item(*row) for row in stock))

    def stored_ids(self) -> set[str]:
        """The ids of all orders that are done."""
        with self._database.reading() as transaction:
            return {order_id for (order_id,) in transaction.rows("SELECT order_id FROM orders")}

    def audit(self) -> Audit:
        """Check, from what is stored and all of one moment, that every order was done once."""
        with self._database.reading() as transaction:
            (stored,) = transaction.rows("SELECT count(*) FROM orders")[0]
            twice = transaction.rows("SELECT order_id FROM payments GROUP BY order_id HAVING count(*) > 1")
            unpaid = transaction.rows(
                """SELECT order_id FROM orders o
                   WHERE NOT EXISTS (SELECT 1 FROM payments p WHERE p.order_id = o.order_id)"""
            )
            wrong = transaction.rows(
                """SELECT sku FROM stock s WHERE received - on_hand
                   <> (SELECT coalesce(sum(quantity), 0) FROM orders o WHERE o.sku = s.sku) ORDER BY sku"""
            )
            waits = transaction.rows(
                "SELECT started_at - sent_at AS wait_s FROM orders WHERE attempts = 0 ORDER BY wait_s"
            )
        return Audit(
            stored,
            len(twice),
            len(unpaid),
            tuple(sku for (sku,) in wrong),
            tuple(max(0.0, wait_s) for (wait_s,) in waits),
        )

    def close(self) -> None:
        """Close this thread's connection."""
        self._database.close()


_STORED_ORDER: Final[LiteralString] = """
    SELECT o.order_id, o.customer, o.sku, o.quantity,
           (SELECT coalesce(sum(p.amount_cents), 0) FROM payments p WHERE p.order_id = o.order_id),
           o.started_at - o.sent_at, o.stored_at, o.worked_by
    FROM orders o
"""


def _fill_stock(transaction: Transaction) -> None:
    if not transaction.rows("SELECT 1 FROM stock LIMIT 1"):
        for sku, name, price_cents in CATALOGUE:
            _receive(transaction, sku, name, price_cents, FIRST_STOCK)


def _receive(transaction: Transaction, sku: str, name: str, price_cents: int, count: int) -> None:
    transaction.rows(
        """INSERT INTO stock VALUES (:sku, :name, :price_cents, :count, :count)
           ON CONFLICT (sku) DO UPDATE SET name = excluded.name, price_cents = excluded.price_cents,
             received = stock.received + excluded.received, on_hand = stock.on_hand + excluded.on_hand""",
        sku=sku,
        name=name,
        price_cents=price_cents,
        count=count,
    )


def _compare(transaction: Transaction, order: Order) -> Result:
    """The id is taken: by this very order, or by another one, which must not vanish as a mere repetition."""
    stored: list[Any] = [
        tuple(row)
        for row in transaction.rows(
            "SELECT customer, sku, quantity FROM orders WHERE order_id = :order_id", order_id=order.order_id
        )
    ]
    if stored != [(order.customer, order.sku, order.quantity)]:
        raise RejectedError("OrderIdReused", "another order has this order_id")
    return Result.ALREADY_STORED
