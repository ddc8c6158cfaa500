"""A local page in the place of a CloudWatch dashboard: it hosts the custom widget, buttons included.

`sluice_tools/sandbox/widget_host/` is the page itself; here it is served, and its calls are passed on to Lambda. It is
made for one user on one machine: it listens on the loopback address, and whoever reaches it may invoke functions with
its client's credentials.
"""

import argparse
import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import boto3
import uvicorn
from botocore.exceptions import BotoCoreError, ClientError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

HOST = "127.0.0.1"
START_TIMEOUT_S = 20.0  # uvicorn listens within a second; a loaded machine may need more
_FILES = Path(__file__).parent / "widget_host"
# Nothing from elsewhere, and no script but the page's own, even if its cleaning should miss one.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class LambdaClient(Protocol):
    """What of a boto3 Lambda client is used."""

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 - AWS's names
        """Invoke a function and wait for its answer."""
        ...


def make_page(
    client: LambdaClient, function: str, *, params: Mapping[str, Any] | None = None, title: str = "Sluice"
) -> Starlette:
    """The page as an ASGI application.

    Args:
        client: invokes the functions.
        function: name or ARN of the widget's function.
        params: the widget's own parameters, such as `{"fleet": "orders"}`.
        title: the widget's title.
    """
    settings = {"function": function, "params": dict(params or {}), "title": title}

    async def read_settings(_: Request) -> Response:
        return JSONResponse(settings)

    async def invoke(request: Request) -> Response:
        # Another site's page can send a form here, but no JSON: for that the browser would ask first, and be refused.
        if request.headers.get("content-type") != "application/json":
            return JSONResponse({"error": "content-type must be application/json"}, 415)
        try:
            asked = await request.json()
            endpoint, event = str(asked["endpoint"]), dict(asked["event"])
        except (ValueError, TypeError, KeyError) as error:
            return JSONResponse({"error": f"must be an object with endpoint and event: {error!r}"}, 400)
        return await run_in_threadpool(_invoke, client, endpoint, event)

    def file(name: str) -> Route:
        async def read(_: Request) -> Response:
            headers = {"content-security-policy": _POLICY, "cache-control": "no-store"}
            return FileResponse(_FILES / name, headers=headers)

        return Route("/" if name == "index.html" else f"/{name}", read)

    return Starlette(
        routes=[
            *[file(name) for name in ("index.html", "host.css", "host.js")],
            Route("/settings", read_settings),
            Route("/invoke", invoke, methods=["POST"]),
        ],
        # Keeps out pages whose name was made to resolve to this machine.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
    )


def _invoke(client: LambdaClient, endpoint: str, event: Mapping[str, Any]) -> Response:
    """Invoke a function and pass on what it answers, or why it did not."""
    try:
        answer = client.invoke(FunctionName=endpoint, Payload=json.dumps(event).encode())
        text = answer["Payload"].read()
    except (BotoCoreError, ClientError) as error:
        return JSONResponse({"error": f"{endpoint} could not be invoked: {error}"}, 502)
    if answer.get("FunctionError"):
        return JSONResponse({"error": f"{endpoint} failed: {text.decode(errors='replace')}"}, 502)
    # As it came: what an answer escapes, such as half a surrogate pair, could not be encoded again.
    return Response(b'{"payload": ' + (text or b"null") + b"}", media_type="application/json")


@contextlib.contextmanager
def serving(page: Starlette, port: int = 0) -> Iterator[str]:
    """Serve a page in a thread of its own; its address.

    Args:
        page: as made by `make_page`.
        port: 0 takes a free one.

    Raises:
        TimeoutError: it does not listen within START_TIMEOUT_S.
    """
    server = uvicorn.Server(uvicorn.Config(page, host=HOST, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, name="widget-page", daemon=True)
    thread.start()
    deadline = time.monotonic() + START_TIMEOUT_S
    while not server.started:
        if time.monotonic() > deadline or not thread.is_alive():
            raise TimeoutError(f"the widget's page does not listen on {HOST}:{port}")
        time.sleep(0.02)
    try:
        yield f"http://{HOST}:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()


def main(arguments: list[str] | None = None) -> int:
    """Serve the page until it is interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m sluice_tools.sandbox.widget_page", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("function", help="name or ARN of the console function")
    parser.add_argument("--endpoint-url", help="Lambda's endpoint; without it AWS's own, or AWS_ENDPOINT_URL")
    parser.add_argument("--region", help="the function's region")
    parser.add_argument("--fleet", help="the fleet to show first")
    parser.add_argument("--port", type=int, default=0, help="a free one by default")
    asked = parser.parse_args(arguments)
    client = boto3.client("lambda", endpoint_url=asked.endpoint_url, region_name=asked.region)
    params = {"fleet": asked.fleet} if asked.fleet else {}
    with serving(make_page(client, asked.function, params=params), asked.port) as url:
        print(f"The widget is at {url} (Ctrl-C stops it)")
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
