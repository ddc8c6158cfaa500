"""The front end: takes orders, and only enqueues them; what it shows, it reads from the database.

=====================  ======================================================================================
request                answer
=====================  ======================================================================================
`POST /orders`         JSON object or form; 202 with the order's id; 422 naming each field that is wrong
`POST /orders/load`    JSON object with `count`, and optional `sku` and `quantity`; 202 with the ids
`GET /orders/{id}`     `stored` and what was charged, `dead-lettered` and the cause, or `waiting`
`GET /orders`          the same for each `id` of the query; without one, the orders stored last
`GET /stats`           totals and stock from the database, message counts from the queue
`GET /`                the page; its form works without script as well
=====================  ======================================================================================

An order is accepted when SQS has confirmed it and not before: without the queue the answer is 503. Without the
database orders are accepted all the same, and wait in the queue.
"""

import asyncio
import html
import json
import logging
import signal
import socket
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from string import Template
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .databases import DatabaseUnavailableError
from .locating import locate_database
from .order import InvalidOrderError, Order, parse_order
from .settings import SettingsError, read_settings
from .sqs import QueueError, SqsQueue
from .store import CATALOGUE, MAX_IDS, Store, StoredOrder

PAGE: Final = Path(__file__).parent / "page"

MAX_BODY_BYTES: Final = 64 * 1024
"""An order has a few hundred."""

MAX_LOAD: Final = 5000
"""Orders of one load request: a few seconds of sending, ten a call."""

RECENT_COUNT: Final = 20
"""Orders listed where none is asked for."""

RETRY_AFTER_S: Final = 5
"""When to try again while the queue or the database is away."""

SENDERS_COUNT: Final = 8
"""Orders being sent to SQS at a time."""

READERS_COUNT: Final = 4
"""Database connections. Apart from the senders: requests that wait for a dead database must not keep orders out."""

GRACE_S: Final = 5
"""For requests under way when the front end is stopped."""

HEADERS: Final = {
    # The page loads its own style, script and data and nothing else; what an order says can never run.
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class OrderQueue(Protocol):
    """The part of `SqsQueue` that the front end needs."""

    def send(self, bodies: Sequence[str]) -> list[bool]:
        """See `SqsQueue.send`."""
        ...

    def depth(self) -> dict[str, int]:
        """See `SqsQueue.depth`."""
        ...


class BadRequestError(Exception):
    """The request is not one of ours.

    Attributes:
        problems: Field -> what would be right.
        status: HTTP status code.
    """

    def __init__(self, problems: Mapping[str, str], status: int = 422) -> None:
        self.problems = dict(problems)
        self.status = status
        super().__init__(str(self.problems))


class FrontEnd:
    """The endpoints, over one queue and one database."""

    def __init__(self, queue: OrderQueue, store: Store) -> None:
        self._queue = queue
        self._store = store
        self._page = Template((PAGE / "index.html").read_text())
        self._senders = ThreadPoolExecutor(SENDERS_COUNT, thread_name_prefix="sender")
        self._readers = ThreadPoolExecutor(READERS_COUNT, thread_name_prefix="reader")

    def app(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/", self.page),
                Route("/orders", self.place, methods=["POST"]),
                Route("/orders", self.list_orders),
                Route("/orders/load", self.load, methods=["POST"]),
                Route("/orders/{order_id}", self.show),
                Route("/stats", self.stats),
                Mount("/static", StaticFiles(directory=PAGE / "static")),
            ],
            exception_handlers={
                BadRequestError: _answer_bad_request,
                InvalidOrderError: _answer_bad_request,
                QueueError: _answer_queue_away,
                DatabaseUnavailableError: _answer_database_away,
            },
            middleware=[Middleware(_HeadersMiddleware)],
        )

    async def page(self, _: Request) -> Response:
        """The page, with an empty form."""
        return self._render({}, {}, notice="")

    async def place(self, request: Request) -> Response:
        """Enqueue one order."""
        data, is_form = await _read(request)
        # A client that may have to send an order twice names it; a second delivery changes nothing.
        data["order_id"] = data.get("order_id") or _new_id()
        wants_page = is_form and "text/html" in request.headers.get("accept", "")
        try:
            order = parse_order(data)
            await _on(self._senders, self._queue.send, [order.body()])
        except InvalidOrderError as error:
            if not wants_page:
                raise
            return self._render(data, error.problems, notice="This order was not sent.", status=422)
        except QueueError as error:
            if not wants_page:
                raise
            return self._render(data, {}, notice=f"This order was not accepted: {error}", status=503)
        if wants_page:
            return self._render({}, {}, notice=f"Order {order.order_id} is accepted.", status=202)
        location = {"Location": f"/orders/{order.order_id}"}
        return JSONResponse({"order_id": order.order_id, "status": "waiting"}, 202, location)

    async def load(self, request: Request) -> Response:
        """Enqueue many orders, of the item that is asked for or of all in turn."""
        data, _ = await _read(request)
        count = data.get("count")
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_LOAD:
            raise BadRequestError({"count": f"give a whole number from 1 to {MAX_LOAD}"})
        orders = [_load_order(data, number) for number in range(count)]
        confirmed = await _on(self._senders, self._queue.send, [order.body() for order in orders])
        accepted = [order.order_id for order, is_in in zip(orders, confirmed, strict=True) if is_in]
        answer = {"accepted": len(accepted), "refused": count - len(accepted), "order_ids": accepted}
        return JSONResponse(answer, 202)

    async def show(self, request: Request) -> Response:
        """One order's status."""
        (status,) = await _on(self._readers, self._statuses, [request.path_params["order_id"]])
        return JSONResponse(status)

    async def list_orders(self, request: Request) -> Response:
        """The status of the orders asked for, or of those stored last."""
        order_ids = request.query_params.getlist("id")
        if len(order_ids) > MAX_IDS:
            raise BadRequestError({"id": f"give at most {MAX_IDS} of them"})
        if order_ids:
            return JSONResponse({"orders": await _on(self._readers, self._statuses, order_ids)})
        recent = await _on(self._readers, self._store.recent, RECENT_COUNT)
        return JSONResponse({"orders": [_stored(order) for order in recent]})

    def _statuses(self, order_ids: Sequence[str]) -> list[dict[str, Any]]:
        """How each order stands.

        The front end cannot look into the queue: an order that was never sent looks like one that waits there.
        """
        found = {order.order_id: _stored(order) for order in self._store.find(order_ids)}
        for order_id, cause in self._store.dead_letters(one for one in order_ids if one not in found).items():
            found[order_id] = {"status": "dead-lettered", "order_id": order_id, "cause": cause}
        return [found.get(order_id) or {"status": "waiting", "order_id": order_id} for order_id in order_ids]

    async def stats(self, _: Request) -> Response:
        """Totals; what does not answer is null, with the reason in `problems`."""
        return JSONResponse(await _on(self._readers, self._stats))

    def _stats(self) -> dict[str, Any]:
        answer: dict[str, Any] = {"database": None, "queue": None, "problems": []}
        try:
            answer["database"] = asdict(self._store.totals())
        except DatabaseUnavailableError as error:
            answer["problems"].append(
                f"The database does not answer. Orders are accepted and wait in the queue. {error}"
            )
        try:
            answer["queue"] = self._queue.depth()
        except QueueError as error:
            answer["problems"].append(f"The queue does not answer. {error}")
        return answer

    def _render(
        self, values: Mapping[str, Any], problems: Mapping[str, str], *, notice: str, status: int = 200
    ) -> HTMLResponse:
        """The page; every text in it passes through `html.escape`, here and nowhere else."""
        texts: dict[str, object] = {
            # Kept when a form comes back, so that sending it again cannot order twice.
            "order_id": values.get("order_id") if values and "order_id" not in problems else _new_id(),
            "customer": values.get("customer", ""),
            "sku": values.get("sku", ""),
            "quantity": values.get("quantity", "1"),
            "notice": notice,
            "notice_kind": "bad" if status >= 400 else "good",
            "max_load": MAX_LOAD,
        }
        for field in ("customer", "sku", "quantity"):
            texts[f"{field}_problem"] = problems.get(field, "")
            texts[f"{field}_invalid"] = "true" if field in problems else "false"
        escaped = {name: html.escape(str(text)) for name, text in texts.items()}
        return HTMLResponse(self._page.substitute(escaped), status)


def _new_id() -> str:
    return str(uuid.uuid4())


def _load_order(wanted: Mapping[str, Any], number: int) -> Order:
    return parse_order(
        {
            "order_id": _new_id(),
            "customer": f"Load {number + 1}",
            "sku": wanted.get("sku", CATALOGUE[number % len(CATALOGUE)][0]),
            "quantity": wanted.get("quantity", 1 + number % 3),
        }
    )


def _stored(order: StoredOrder) -> dict[str, Any]:
    return {"status": "stored", **asdict(order)}


async def _on[**P, R](threads: ThreadPoolExecutor, call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    return await asyncio.get_running_loop().run_in_executor(threads, lambda: call(*args, **kwargs))


async def _read(request: Request) -> tuple[dict[str, Any], bool]:
    """The fields of a JSON object or of a form, and whether it was a form."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BadRequestError({"body": f"give at most {MAX_BODY_BYTES} bytes"}, 413)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/x-www-form-urlencoded":
            return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50)), True
        if kind == "application/json":
            data = json.loads(body)
            if isinstance(data, dict):
                return data, False
            raise BadRequestError({"body": "give one JSON object"})
    except (ValueError, RecursionError) as error:
        raise BadRequestError({"body": "give one JSON object, or a form's fields, in UTF-8"}) from error
    raise BadRequestError({"Content-Type": "give application/json or application/x-www-form-urlencoded"}, 415)


def _answer_bad_request(_: Request, error: Exception) -> Response:
    problems = error.problems if isinstance(error, BadRequestError | InvalidOrderError) else {}
    return JSONResponse({"errors": problems}, error.status if isinstance(error, BadRequestError) else 422)


def _answer_queue_away(_: Request, error: Exception) -> Response:
    return _away(
        "queue_unavailable",
        f"{error}. Nothing was accepted by this answer; send it again, an order_id of your own keeps it from being "
        "ordered twice.",
    )


def _answer_database_away(_: Request, error: Exception) -> Response:
    return _away("database_unavailable", f"{error}. Orders are accepted all the same, and wait in the queue.")


def _away(error: str, what_to_do: str) -> Response:
    return JSONResponse({"error": error, "detail": what_to_do}, 503, {"Retry-After": str(RETRY_AFTER_S)})


class _HeadersMiddleware:
    """Adds `HEADERS` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def main() -> int:
    """Serve until SIGTERM or SIGINT; 2 where the settings are wrong."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = read_settings()
        queue = SqsQueue(settings.queue_url, settings.dead_letter_queue_url, wait_s=0)
        store = Store(locate_database(settings.database_url, settings.database_url_parameter))
        app = FrontEnd(queue, store).app()
        listener = socket.create_server((settings.host, settings.port))
    except (SettingsError, QueueError) as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(f"HOST, PORT: {error}", file=sys.stderr)
        return 2
    host, port = listener.getsockname()[:2]
    print(json.dumps({"event": "listening", "url": f"http://{host}:{port}/"}), flush=True)
    # uvicorn ends what is under way, and then raises the signal again: that it was asked to stop is no failure.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=GRACE_S)
    uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
