"""The relay between containers and this machine's loopback, here from loopback to loopback."""

from __future__ import annotations

import http.server
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from sluice_tools import docker_relay


class Echo(http.server.BaseHTTPRequestHandler):
    """Answers with what it is sent."""

    def do_POST(self) -> None:
        """Send the body back."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    """A server's URL."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}"
        httpd.shutdown()
        thread.join()


def test_answers_pass_when_asked_through_the_relay(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, both ways, and no longer than the context lasts."""
    monkeypatch.setattr(docker_relay, "bridge_address", lambda: "127.0.0.1")
    body = bytes(range(256)) * 4_096

    with docker_relay.container_url(server) as url:
        assert url != server
        with urllib.request.urlopen(url, data=body, timeout=20) as answer:
            assert answer.read() == body

    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, data=body, timeout=20)


def test_host_has_dockers_name_when_the_bridge_is_elsewhere(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker Desktop keeps the bridge in a virtual machine: its address cannot be listened on here."""
    monkeypatch.setattr(docker_relay, "bridge_address", lambda: "192.0.2.1")  # of no machine (RFC 5737)
    port = server.rpartition(":")[2]

    with docker_relay.container_url(server) as url:
        assert url == f"http://host.docker.internal:{port}"


def test_url_is_refused_when_it_names_no_port() -> None:
    """A relay needs to know where to."""
    with pytest.raises(ValueError, match="must name a port"), docker_relay.container_url("http://127.0.0.1"):
        pass
