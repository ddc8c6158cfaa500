"""CloudFormation is answered by a real PUT, and even when the layers are missing."""

from __future__ import annotations

import http.server
import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def load(name: str) -> ModuleType:
    """A module of functions/onboarding, which Lambda finds beside its handler."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"functions/onboarding/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


custom_resource = load("custom_resource")
respond = custom_resource.respond
STACK = "arn:aws:cloudformation:eu-west-1:123456789012:stack/sluice-Fleet-1ABC/0a1b2c3d"


def request(kind: str = "Create", **more: Any) -> dict[str, Any]:
    """CloudFormation's request."""
    return {
        "RequestType": kind,
        "ResponseURL": "https://cloudformation-custom-resource-response.s3.amazonaws.com/?signature=secret",
        "StackId": STACK,
        "RequestId": "r-1",
        "ResourceType": "Custom::SluiceFleet",
        "LogicalResourceId": "Checked",
        "ResourceProperties": {"Name": "orders", "Document": {}},
        **more,
    }


def fine(_properties: Any, _before: Any) -> Any:
    """A check that finds nothing."""
    return custom_resource.Answer(data={"HookTimeoutSeconds": "120"})


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
