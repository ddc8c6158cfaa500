"""The example's own programs on the emulator's queues: told to stop, killed, poisoned, and without their database."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from examples.orders.orders import contract
from examples.orders.orders.locating import open_database
from examples.orders.orders.order import Order
from examples.orders.orders.store import Store
from examples.orders.orders.worklog import read_worklog
from sluice_tools.sandbox.sandbox import Sandbox
from tests.support.orders_fakes import make_order
from tests.support.orders_services import (
    EXAMPLE,
    OrdersProcess,
    PostgresMissing,
    PostgresServer,
    orders_processes,
    run_admin,
)

pytestmark = pytest.mark.sandbox

VISIBILITY_S = 6
"""The shortest that the consumer takes: how long a killed consumer's order stays hidden."""


@dataclass(slots=True)
class Shop:
    """Queue, dead-letter queue, database and the programs that use them."""

    sqs: Any
    queue_url: str
    dead_letter_url: str
    store: Store
    environment: dict[str, str]
    start: Callable[..., OrdersProcess]

    def send(self, *orders: Order) -> None:
        """Enqueue orders."""
        for order in orders:
            self.sqs.send_message(QueueUrl=self.queue_url, MessageBody=order.body())

    def counts(self) -> tuple[int, int, int]:
        """Messages waiting, in work, and in the dead-letter queue."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        main, dead = (
            self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
            for url in (self.queue_url, self.dead_letter_url)
        )
        return int(main[names[0]]), int(main[names[1]]), int(dead[names[0]])

    def receive(self, url: str) -> list[dict[str, Any]]:
        """Receive from one of the queues, with everything."""
        answer = self.sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def done(self, *orders: Order) -> Callable[[], bool]:
        """Whether these orders are in the database, and the queue is empty."""
        wanted = {order.order_id for order in orders}
        return lambda: wanted <= self.store.stored_ids() and self.counts()[:2] == (0, 0)


def open_shop(sandbox: Sandbox, name: str, database_url: str, directory: Path, **variables: object) -> Iterator[Shop]:
    """Make the queues and the tables; the programs that are left at the end are killed."""
    sqs = sandbox.client("sqs")
    dead_url = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    dead_arn = sqs.get_queue_attributes(QueueUrl=dead_url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 5})
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": policy})["QueueUrl"]
    environment = sandbox.env() | {
        "QUEUE_URL": url,
        "DEAD_LETTER_QUEUE_URL": dead_url,
        "DATABASE_URL": database_url,
        "RECEIVE_WAIT_S": "1",
        "VISIBILITY_S": str(VISIBILITY_S),
        "PORT": "0",
    }
    environment |= {key: str(value) for key, value in variables.items()}
    store = Store(open_database(database_url))
    store.create()  # as `orders.admin init` does, which test_orders_admin.py runs
    with orders_processes(directory, environment) as start:
        yield Shop(sqs, url, dead_url, store, environment, start)
    store.close()


@pytest.fixture
def shop(sandbox: Sandbox, unique: Callable[[str], str], tmp_path: Path) -> Iterator[Shop]:
    """A shop with its database in a file."""
    yield from open_shop(sandbox, unique("orders"), f"sqlite:///{tmp_path}/orders.db", tmp_path)


def test_begun_order_is_finished_and_the_rest_left_when_the_consumer_is_told_to_stop(shop: Shop) -> None:
    """SIGTERM in the middle of two orders: both are stored, exit code 0, the third waits for someone else."""
    orders = [make_order() for _ in range(2)]
    shop.send(*orders)
    consumer = shop.start("consumer", WORK_S=1.5, CONCURRENCY=2)
    consumer.until(lambda: len(consumer.lines("started")) == 2)
    later = make_order()
    shop.send(later)
    consumer.terminate()
    assert consumer.exit_code() == 0
    assert shop.store.stored_ids() == {order.order_id for order in orders}
    assert shop.counts() == (1, 0, 0)
    (drained,) = consumer.lines("drained")
    assert drained["outcomes"] == {"stored": 2}
    assert drained["interrupted"] == 0
    audit = read_worklog(consumer.out.read_text().splitlines())
    assert (audit.started, audit.interrupted, audit.drains) == (2, (), 1)


def test_order_is_done_once_when_its_consumer_is_killed_in_the_middle(shop: Shop) -> None:
    """SIGKILL: the message comes back after its visibility, and another consumer does it, once."""
    order = make_order(quantity=3)
    shop.send(order)
    killed = shop.start("consumer", WORK_S=30)
    killed.until(lambda: killed.lines("started"))
    killed.kill()
    assert shop.counts() == (0, 1, 0)
    consumer = shop.start("consumer")
    consumer.until(shop.done(order))
    consumer.terminate()
    assert consumer.exit_code() == 0
    audit = shop.store.audit()
    assert (audit.stored, audit.charged_twice, audit.holds) == (1, 0, True)
    assert consumer.lines("started")[0]["receive_count"] == 2
    lines = killed.out.read_text().splitlines() + consumer.out.read_text().splitlines()
    assert [instance for instance, _ in read_worklog(lines).interrupted] == ["consumer-1"]


def test_order_is_delivered_once_when_it_takes_longer_than_its_visibility(shop: Shop) -> None:
    """Extended while it is worked on: a second, idle consumer never sees it."""
    order = make_order()
    shop.send(order)
    first = shop.start("consumer", WORK_S=VISIBILITY_S * 1.5)
    first.until(lambda: first.lines("started"))
    second = shop.start("consumer")
    first.until(shop.done(order))
    assert second.lines("started") == []
    assert first.lines("started")[0]["receive_count"] == 1


def test_poison_is_dead_lettered_with_its_cause_and_stored_after_the_fix(shop: Shop) -> None:
    """The cause travels with the message; the fix is an item in stock; the message is sent back as it is."""
    good, poison = make_order(), make_order(sku="sku-13")
    shop.send(good, poison)
    shop.sqs.send_message(QueueUrl=shop.queue_url, MessageBody="not an order")
    consumer = shop.start("consumer")
    consumer.until(lambda: shop.done(good)() and shop.counts() == (0, 0, 2))
    queue_arn = shop.sqs.get_queue_attributes(QueueUrl=shop.queue_url, AttributeNames=["QueueArn"])
    dead = {message["Body"]: message for message in shop.receive(shop.dead_letter_url)}
    attributes = dead[poison.body()]["MessageAttributes"]
    assert attributes[contract.CAUSE]["StringValue"] == "UnknownItem: sku-13"
    assert attributes[contract.SOURCE]["StringValue"] == queue_arn["Attributes"]["QueueArn"]
    age_s = time.time() - float(attributes[contract.FIRST_SENT_AT]["StringValue"])
    assert 0 <= age_s < 60
    cause = dead["not an order"]["MessageAttributes"][contract.CAUSE]["StringValue"]
    assert cause == "InvalidOrder: body: give one JSON object"

    fix = run_admin(shop.environment, "stock", "sku-13", "--price-cents", "1300", "--count", "10")
    assert fix.returncode == 0, fix.stderr
    attributes[contract.ATTEMPTS] = {"DataType": "Number", "StringValue": "1"}
    shop.sqs.send_message(QueueUrl=shop.queue_url, MessageBody=poison.body(), MessageAttributes=attributes)
    consumer.until(shop.done(good, poison))
    with shop.store._database.reading() as transaction:
        rows = transaction.rows(
            "SELECT attempts, sent_at FROM orders WHERE order_id = :order_id", order_id=poison.order_id
        )
    assert rows == [(1, pytest.approx(time.time() - age_s, abs=60))]
    assert rows[0][1] == float(attributes[contract.FIRST_SENT_AT]["StringValue"])


def test_orders_wait_in_the_queue_when_the_database_is_locked(shop: Shop) -> None:
    """An outage of the embedded database: nothing is dead-lettered, and all is stored when it is over."""
    held = subprocess.Popen(
        [sys.executable, "-m", "orders.admin", "lock", "--seconds", "600"],
        env=shop.environment | {"PYTHONPATH": str(EXAMPLE)},
        stdout=subprocess.PIPE,
    )
    try:
        assert held.stdout is not None
        assert b"locked" in held.stdout.readline()
        orders = [make_order() for _ in range(12)]
        shop.send(*orders)
        consumer = shop.start("consumer")
        consumer.until(lambda: consumer.err.read_text().count("nothing is received") >= 1)
        assert shop.counts() == (12, 0, 0)
        assert consumer.lines("started") == []
    finally:
        held.kill()
        held.wait(30)
    consumer.until(shop.done(*orders))
    assert {line["receive_count"] for line in consumer.lines("started")} == {1}
    assert shop.store.audit().holds


def test_settings_are_named_when_they_are_wrong(shop: Shop) -> None:
    """Exit code 2, at once, with a line for each."""
    for module in ("consumer", "web"):
        wrong = shop.start(module, QUEUE_URL="", CONCURRENCY="many")
        assert wrong.exit_code() == 2
        assert [line.partition(":")[0] for line in wrong.err.read_text().splitlines()] == ["QUEUE_URL", "CONCURRENCY"]
        no_database = shop.start(module, DATABASE_URL="mysql://x")
        assert no_database.exit_code() == 2
        assert no_database.err.read_text().startswith("DATABASE_URL: give sqlite:///")


def test_consumer_says_what_is_wrong_and_can_be_stopped_when_there_is_no_queue(shop: Shop) -> None:
    """It tries again, since the queue may come; a drain does not wait for it."""
    consumer = shop.start("consumer", QUEUE_URL=shop.queue_url + "-none")
    consumer.until(lambda: "there is no queue" in consumer.err.read_text())
    consumer.terminate()
    assert consumer.exit_code() == 0


# --- with the front end ---


def ask(url: str, data: object = None) -> tuple[int, Any]:
    """GET, or POST a JSON object."""
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_order_is_accepted_stored_and_shown_when_all_is_well(shop: Shop) -> None:
    """From the form to the database, through the queue."""
    web = shop.start("web")
    url = web.until(lambda: web.lines("listening"))[0]["url"]
    assert not url.endswith(":0/")
    status, answer = ask(url + "orders", {"customer": "Ada", "sku": "kettle", "quantity": 2})
    assert status == 202
    order_id = answer["order_id"]
    assert ask(url + f"orders/{order_id}")[1]["status"] == "waiting"
    _, load = ask(url + "orders/load", {"count": 57})
    assert load["accepted"] == 57
    assert ask(url + "stats")[1]["queue"]["waiting"] == 58
    consumer = shop.start("consumer")
    consumer.until(lambda: ask(url + "stats")[1]["database"]["orders_count"] == 58)
    stored = ask(url + f"orders/{order_id}")[1]
    assert (stored["status"], stored["amount_cents"], stored["worked_by"]) == ("stored", 9800, "consumer-2")
    assert shop.store.stored_ids() == {order_id, *load["order_ids"]}
    web.terminate()
    assert web.exit_code() == 0


def test_answer_is_503_when_the_queue_is_not_there(shop: Shop) -> None:
    """Not reachable at all, and reachable but absent: each says what to look at."""
    for variables, advice in [
        ({"QUEUE_URL": shop.queue_url + "-none"}, "there is no queue"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "check the network and AWS_ENDPOINT_URL"),
    ]:
        web = shop.start("web", **variables)
        url = web.until(partial(web.lines, "listening"))[0]["url"]
        status, answer = ask(url + "orders", {"customer": "Ada", "sku": "kettle", "quantity": 2})
        assert status == 503
        assert advice in answer["detail"]


# --- with PostgreSQL ---


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    try:
        made = PostgresServer()
    except PostgresMissing as missing:
        pytest.skip(str(missing))
    with made:
        yield made


@pytest.fixture
def postgres_shop(
    sandbox: Sandbox, unique: Callable[[str], str], tmp_path: Path, server: PostgresServer
) -> Iterator[Shop]:
    """A shop with its database on that server."""
    name = unique("orders-postgres")
    yield from open_shop(sandbox, name, server.new_database(name), tmp_path, WORK_S=0.05)


@pytest.mark.postgres
def test_every_order_is_done_once_when_the_database_crashes_in_the_middle(
    postgres_shop: Shop, server: PostgresServer
) -> None:
    """Two consumers, forty orders, and a server that crashes and recovers: waits, no losses, no dead letters."""
    shop = postgres_shop
    first = [make_order() for _ in range(20)]
    shop.send(*first)
    consumers = [shop.start("consumer") for _ in range(2)]
    consumers[0].until(lambda: len(shop.store.stored_ids()) >= 5)
    server.stop()
    try:
        second = [make_order() for _ in range(20)]
        shop.send(*second)
        for consumer in consumers:
            consumer.until(partial(consumer.complained, "nothing is received"))
    finally:
        server.start()
    consumers[0].until(shop.done(*first, *second))
    for consumer in consumers:
        consumer.terminate()
    assert [consumer.exit_code() for consumer in consumers] == [0, 0]
    audit = shop.store.audit()
    assert (audit.stored, audit.charged_twice, audit.holds) == (40, 0, True)
    assert shop.counts() == (0, 0, 0)
    receives = [line["receive_count"] for consumer in consumers for line in consumer.lines("started")]
    assert max(receives) <= 3, "an outage must not wear out the receive count"


@pytest.mark.postgres
def test_drain_ends_in_time_when_the_database_hangs(postgres_shop: Shop, server: PostgresServer) -> None:
    """A frozen server in the middle of an order: the consumer returns the order, and leaves."""
    shop = postgres_shop
    warm, order = make_order(), make_order()
    shop.send(warm)
    consumer = shop.start("consumer", WORK_S=1)
    consumer.until(shop.done(warm))
    shop.send(order)
    consumer.until(lambda: len(consumer.lines("started")) == 2)
    server.freeze()
    try:
        consumer.terminate()
        assert consumer.exit_code(within_s=25) == 0
    finally:
        server.thaw()
    (drained,) = consumer.lines("drained")
    assert drained["outcomes"] == {"stored": 1, "returned": 1}
    assert drained["interrupted"] == 0
    again = shop.start("consumer")
    again.until(shop.done(order))
    assert shop.store.audit().holds


@pytest.mark.postgres
def test_orders_are_done_once_when_consumers_are_killed_again_and_again(postgres_shop: Shop) -> None:
    """Four kills in the middle of work over sixty orders, each sent twice: every order once, no charge twice."""
    shop = postgres_shop
    orders = [make_order(quantity=1) for _ in range(60)]
    with ThreadPoolExecutor(4) as senders:
        list(senders.map(shop.send, orders + orders))
    for _ in range(4):
        consumer = shop.start("consumer", CONCURRENCY=8, WORK_S=0.1)
        consumer.until(partial(consumer.began, 12))
        consumer.kill()
    consumer = shop.start("consumer", CONCURRENCY=8, WORK_S=0)
    consumer.until(lambda: shop.counts()[:2] == (0, 0))
    # Killed four times with one message is possible, five receives are allowed: none may be dead-lettered.
    assert shop.counts() == (0, 0, 0)
    assert shop.store.stored_ids() == {order.order_id for order in orders}
    audit = shop.store.audit()
    assert (audit.stored, audit.charged_twice, audit.unpaid, audit.stock_wrong) == (60, 0, 0, ())
