"""CloudFormation is answered by a real PUT, and even when the layers are missing."""

from __future__ import annotations

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.onboarding_function import load, request

answer, _, custom_resource = map(load, ("answer", "delivery", "custom_resource"))
respond = custom_resource.respond


def fine(_properties: Any, _before: Any) -> Any:
    """A check that finds nothing."""
    return answer.Answer(data={"HookTimeoutSeconds": "120"})


@pytest.fixture
def server() -> Iterator[tuple[str, list[Any]]]:
    """A web server that takes PUT: its URL, and what came."""
    came: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            length = int(self.headers["Content-Length"])
            came.append((self.headers.get("Content-Type"), self.path, self.rfile.read(length)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as http_server:
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{http_server.server_port}/answer?signature=x", came
        http_server.shutdown()
        thread.join()


def test_put_has_no_content_type_when_delivered(server: tuple[str, list[Any]]) -> None:
    """The URL is signed without one: S3 would answer SignatureDoesNotMatch."""
    url, came = server

    respond(request(ResponseURL=url), 100.0, fine)

    ((content_type, path, body),) = came
    assert (content_type or "", path) == ("", "/answer?signature=x")
    assert json.loads(body)["Status"] == "SUCCESS"


def test_handler_answers_when_the_layers_are_missing(
    server: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the handler nor what answers for it imports a layer before somebody is to be answered."""
    url, came = server
    for name in [name for name in sys.modules if name == "sluice" or name.startswith("sluice.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sluice", None)  # as if there were none
    app = load("app")

    class Context:
        def get_remaining_time_in_millis(self) -> int:
            return 100_000

    app.handler(request(ResponseURL=url), Context())

    answer = json.loads(came[0][2])
    assert answer["Status"] == "FAILED"
    assert "sluice" in answer["Reason"]
