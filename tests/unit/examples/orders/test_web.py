"""The front end: what it accepts, what it refuses, and what it answers while a service is away."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from examples.orders.orders.contract import Attribute
from examples.orders.orders.order import parse_body
from examples.orders.orders.sqs import QueueError
from examples.orders.orders.store import Delivery, Store
from examples.orders.orders.web import MAX_BODY_BYTES, MAX_LOAD, FrontEnd
from tests.support.orders_fakes import MemoryQueue, make_order, new_store


@dataclass(slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: str

    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


class Site:
    """The front end, called as its server calls it, without a socket."""

    def __init__(self, directory: Path) -> None:
        self.queue = MemoryQueue()
        self.store = new_store(directory)
        self.database = directory / "orders.db"
        self.app = FrontEnd(self.queue, self.store).app()

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Send one request."""
        path, _, query = path.partition("?")
        sent: list[dict[str, Any]] = []
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        }
        parts = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            return parts.pop(0) if parts else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        async def call() -> None:
            await self.app(scope, receive, send)

        asyncio.run(call())
        return Answer(
            sent[0]["status"],
            {name.decode(): value.decode() for name, value in sent[0]["headers"]},
            b"".join(message.get("body", b"") for message in sent[1:]).decode(),
        )

    def get(self, path: str) -> Answer:
        """GET."""
        return self.ask("GET", path)

    def post(self, path: str, data: object) -> Answer:
        """POST a JSON object."""
        return self.ask("POST", path, json.dumps(data).encode(), content_type="application/json")

    def submit(self, fields: Mapping[str, object], accept: str = "text/html,*/*") -> Answer:
        """POST the form, as a browser does."""
        body = urlencode(fields).encode()
        return self.ask("POST", "/orders", body, content_type="application/x-www-form-urlencoded", accept=accept)

    def sent(self) -> list[dict[str, Any]]:
        """The orders that were enqueued."""
        return [json.loads(body) for body in self.queue.bodies()]

    def lose_the_queue(self) -> None:
        """From now on, no call to the queue succeeds."""

        def fail(_: str) -> None:
            raise QueueError("http://queue cannot be reached: check the network and AWS_ENDPOINT_URL")

        self.queue.fail = fail


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A front end over a queue and a database."""
    made = Site(tmp_path)
    yield made
    made.store.close()


ORDER = {"customer": "Ada", "sku": "kettle", "quantity": 2}


def store_one(store: Store) -> str:
    """Store an order, and return its id."""
    order = make_order()
    store.process(order, Delivery(1.0, 2.0, 1, 0, "i-1"))
    return order.order_id


def test_order_is_enqueued_and_only_that_when_it_is_good(site: Site) -> None:
    """202 with the id, once the queue has it; the database is not touched."""
    answer = site.post("/orders", ORDER)
    assert answer.status == 202
    order_id = answer.json()["order_id"]
    assert answer.headers["location"] == f"/orders/{order_id}"
    assert site.sent() == [ORDER | {"order_id": order_id}]
    assert site.store.totals().orders_count == 0


def test_order_keeps_its_id_when_the_client_names_it(site: Site) -> None:
    """A client that is not sure may send the same order again."""
    for _ in range(2):
        assert site.post("/orders", ORDER | {"order_id": "client-chosen-1"}).json()["order_id"] == "client-chosen-1"
    assert [order["order_id"] for order in site.sent()] == ["client-chosen-1"] * 2


def test_order_is_enqueued_when_its_item_is_unknown(site: Site) -> None:
    """What there is in stock is the consumer's to know: the front end works without the database."""
    site.database.unlink()
    assert site.post("/orders", ORDER | {"sku": "sku-13"}).status == 202


def test_fields_are_named_when_they_are_wrong(site: Site) -> None:
    """Every one of them, and nothing is enqueued."""
    answer = site.post("/orders", {"customer": "", "sku": "UPPER", "quantity": -1})
    assert answer.status == 422
    assert set(answer.json()["errors"]) == {"customer", "sku", "quantity"}
    assert site.sent() == []


@pytest.mark.parametrize(
    ("body", "content_type", "status", "field"),
    [
        (b"{", "application/json", 422, "body"),
        (b"[]", "application/json", 422, "body"),
        (b"\xff", "application/json", 422, "body"),
        (b"[" * 50_000, "application/json", 422, "body"),
        (b"a=\xff", "application/x-www-form-urlencoded", 422, "body"),
        (b"&".join(b"a=1" for _ in range(60)), "application/x-www-form-urlencoded", 422, "body"),
        (b"{}", "text/plain", 415, "Content-Type"),
        (b"x" * (MAX_BODY_BYTES + 1), "application/json", 413, "body"),
    ],
)
def test_body_is_refused_when_it_is_not_one_of_ours(
    site: Site, body: bytes, content_type: str, status: int, field: str
) -> None:
    """The answer says which part of the request is wrong."""
    answer = site.ask("POST", "/orders", body, content_type=content_type)
    assert answer.status == status
    assert field in answer.json()["errors"]


def test_answer_says_what_to_do_when_the_queue_is_away(site: Site) -> None:
    """503, when to come back, that nothing was accepted, and what an operator looks at."""
    site.lose_the_queue()
    answer = site.post("/orders", ORDER)
    assert answer.status == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["error"] == "queue_unavailable"
    assert "AWS_ENDPOINT_URL" in answer.json()["detail"]
    assert site.post("/orders/load", {"count": 3}).status == 503


def test_page_comes_back_filled_in_when_a_field_is_wrong(site: Site) -> None:
    """Without script the form shows each problem beside its field, keeps what was typed, and stays one order."""
    answer = site.submit({"customer": "Ada & <b>", "sku": "kettle", "quantity": "none", "order_id": "form-order-1"})
    assert answer.status == 422
    assert answer.headers["content-type"].startswith("text/html")
    assert 'value="Ada &amp; &lt;b&gt;"' in answer.body
    assert 'value="form-order-1"' in answer.body
    assert "give a whole number from 1 to 1000" in answer.body
    assert answer.body.count('aria-invalid="true"') == 1
    assert site.sent() == []


def test_page_says_so_when_an_order_is_accepted(site: Site) -> None:
    """And offers the next order under another id."""
    answer = site.submit(ORDER | {"order_id": "form-order-1"})
    assert answer.status == 202
    assert "Order form-order-1 is accepted." in answer.body
    assert 'value="form-order-1"' not in answer.body
    assert [order["order_id"] for order in site.sent()] == ["form-order-1"]


def test_page_keeps_the_order_when_the_queue_is_away(site: Site) -> None:
    """Sent again, it is the same order."""
    site.lose_the_queue()
    answer = site.submit(ORDER | {"order_id": "form-order-1"})
    assert answer.status == 503
    assert "was not accepted" in answer.body
    assert 'value="form-order-1"' in answer.body


@pytest.mark.parametrize("field", ["customer", "sku", "quantity", "order_id"])
def test_markup_stays_text_when_it_is_typed_into_a_field(site: Site, field: str) -> None:
    """Whatever the field, and also as string.Template's own syntax."""
    evil = '"><script>alert(1)</script>$notice${customer}'
    answer = site.submit(ORDER | {"order_id": "form-order-1", "quantity": "x", field: evil})
    assert answer.status == 422
    assert "<script>alert" not in answer.body
    assert field == "order_id" or "$notice${customer}" in answer.body


def test_form_answers_json_when_a_program_asks(site: Site) -> None:
    """A form without a browser behind it gets what a JSON request gets."""
    answer = site.submit(ORDER, accept="*/*")
    assert answer.status == 202
    assert answer.json()["status"] == "waiting"


@pytest.mark.parametrize("path", ["/", "/stats", "/static/orders.js", "/orders", "/nothing"])
def test_answers_forbid_foreign_script_when_they_are_shown(site: Site, path: str) -> None:
    """Whatever the answer, a browser runs only the page's own script."""
    policy = site.get(path).headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy


def test_load_enqueues_as_many_as_asked_for(site: Site) -> None:
    """Each an order of its own, and good."""
    answer = site.post("/orders/load", {"count": 25})
    assert answer.status == 202
    assert (answer.json()["accepted"], answer.json()["refused"]) == (25, 0)
    assert [order["order_id"] for order in site.sent()] == answer.json()["order_ids"]
    assert len(set(answer.json()["order_ids"])) == 25
    for body in site.queue.bodies():
        parse_body(body)


def test_load_is_of_one_item_when_it_is_named(site: Site) -> None:
    """So that poison can be made on purpose."""
    site.post("/orders/load", {"count": 3, "sku": "sku-13", "quantity": 1})
    assert [(order["sku"], order["quantity"]) for order in site.sent()] == [("sku-13", 1)] * 3


def test_load_says_what_was_refused_when_the_queue_takes_only_some(site: Site) -> None:
    """Only what SQS confirmed is accepted."""

    def send(bodies: Sequence[str], **_: Attribute) -> list[bool]:
        return [number % 2 == 0 for number in range(len(bodies))]

    site.queue.send = send  # type: ignore[method-assign]
    answer = site.post("/orders/load", {"count": 5}).json()
    assert (answer["accepted"], answer["refused"], len(answer["order_ids"])) == (3, 2, 3)


@pytest.mark.parametrize("count", [0, -1, MAX_LOAD + 1, True, "many", "7", 1.5, None])
def test_load_is_refused_when_its_count_is_out_of_bounds(site: Site, count: object) -> None:
    """The field is named, and nothing is enqueued."""
    answer = site.post("/orders/load", {"count": count})
    assert answer.status == 422
    assert list(answer.json()["errors"]) == ["count"]
    assert site.sent() == []


def test_load_is_refused_when_its_item_cannot_be_one(site: Site) -> None:
    """The same checks as for one order."""
    answer = site.post("/orders/load", {"count": 2, "sku": "No Item"})
    assert (answer.status, list(answer.json()["errors"])) == (422, ["sku"])


def test_status_is_the_databases_when_it_is_asked_for(site: Site) -> None:
    """Stored with its charge, dead-lettered with its cause, else waiting; several at once, in the order asked."""
    order_id = store_one(site.store)
    site.store.note_dead_letter("failed-id", "UnknownItem: sku-13")
    site.store.note_dead_letter(order_id, "UnknownItem: tea-green")  # before somebody added the item
    stored = site.get(f"/orders/{order_id}").json()
    assert (stored["status"], stored["amount_cents"], stored["wait_s"]) == ("stored", 1780, 1.0)
    assert site.get("/orders/unknown-id").json() == {"status": "waiting", "order_id": "unknown-id"}
    several = site.get(f"/orders?id=unknown-id&id={order_id}&id=failed-id").json()["orders"]
    assert [(order["order_id"], order["status"], order.get("cause")) for order in several] == [
        ("unknown-id", "waiting", None),
        (order_id, "stored", None),
        ("failed-id", "dead-lettered", "UnknownItem: sku-13"),
    ]
    assert site.get("/orders").json()["orders"] == [stored]
    too_many = site.get("/orders?" + "&".join(f"id={number}" for number in range(201)))
    assert (too_many.status, list(too_many.json()["errors"])) == (422, ["id"])


def test_stats_count_database_and_queue(site: Site) -> None:
    """Totals of one, message counts of the other."""
    store_one(site.store)
    site.post("/orders/load", {"count": 4})
    stats = site.get("/stats").json()
    assert stats["database"]["orders_count"] == 1
    assert stats["database"]["payments_cents"] == 1780
    assert stats["queue"] == {"waiting": 4, "in_work": 0, "delayed": 0, "dead_letters": 0}
    assert stats["problems"] == []


def test_stats_say_what_is_away_and_give_the_rest(site: Site) -> None:
    """One that does not answer takes nothing else down."""
    site.store.close()
    site.database.rename(site.database.with_suffix(".away"))
    stats = site.get("/stats").json()
    assert stats["database"] is None
    assert stats["queue"]["waiting"] == 0
    assert "Orders are accepted" in stats["problems"][0]
    assert site.get("/orders/some-order-id").status == 503
    assert site.get("/orders/some-order-id").json()["error"] == "database_unavailable"
    site.lose_the_queue()
    stats = site.get("/stats").json()
    assert (stats["database"], stats["queue"], len(stats["problems"])) == (None, None, 2)
    assert site.get("/").status == 200


@pytest.mark.parametrize("path", ["/static/../web.py", "/static/..%2fweb.py", "/orders/", "/favicon.ico"])
def test_nothing_is_served_beside_the_page(site: Site, path: str) -> None:
    """The package's own files stay where they are."""
    assert site.get(path).status in {307, 404}
