"""The local dashboard page's server: what it passes on to Lambda, and what it refuses."""

import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.sandbox.widget_page import make_page, serving


class StandInLambda:
    """Answers as Lambda does: an answer, a function's error, or a refusal."""

    def __init__(self) -> None:
        self.invoked: list[tuple[str, Any]] = []

    def invoke(self, *, FunctionName: str, Payload: bytes) -> Mapping[str, Any]:  # noqa: N803 - AWS's names
        """Invoke by what the name says."""
        self.invoked.append((FunctionName, json.loads(Payload)))
        match FunctionName:
            case "failing":
                return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorMessage": "no such table"}')}
            case "forbidden":
                said = {"Error": {"Code": "AccessDeniedException", "Message": "not allowed to lambda:InvokeFunction"}}
                raise ClientError(said, "Invoke")  # type: ignore[arg-type]
            case "silent":
                return {"Payload": io.BytesIO(b"")}
        return {"Payload": io.BytesIO(b'"<p>\\ud800</p>"')}


@pytest.fixture(scope="module")
def client() -> StandInLambda:
    """What the page invokes."""
    return StandInLambda()


@pytest.fixture(scope="module")
def url(client: StandInLambda) -> Iterator[str]:
    """The page's address."""
    with serving(make_page(client, "console", params={"fleet": "orders"}, title="Orders")) as address:
        yield address


def ask(url: str, body: bytes | None = None, **headers: str) -> tuple[int, str, Mapping[str, str]]:
    """Ask the page; status, text and headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, body, named)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(), error.headers


def invoke(url: str, endpoint: str) -> tuple[int, Any]:
    """Invoke a function as the page's script does; status and what the page is told."""
    body = json.dumps({"endpoint": endpoint, "event": {"n": 1}}).encode()
    status, text, _ = ask(f"{url}invoke", body, content_type="application/json")
    return status, json.loads(text)


def test_page_when_opened_allows_no_script_but_its_own(url: str) -> None:
    """The page and its files come with a policy that lets nothing else run or load."""
    for path in ("", "host.js", "host.css"):
        status, text, headers = ask(url + path)
        assert (status, bool(text)) == (200, True)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
    assert json.loads(ask(f"{url}settings")[1]) == {
        "function": "console",
        "params": {"fleet": "orders"},
        "title": "Orders",
    }


def test_invoke_when_a_function_answers_passes_it_on_as_it_came(url: str, client: StandInLambda) -> None:
    """The event goes to the function, its answer back, half a surrogate pair included; no answer is null."""
    assert invoke(url, "console") == (200, {"payload": "<p>\ud800</p>"})
    assert client.invoked[-1] == ("console", {"n": 1})
    assert invoke(url, "silent") == (200, {"payload": None})


def test_invoke_when_a_function_fails_or_is_forbidden_says_why(url: str) -> None:
    """A function's error and AWS's refusal are told with the function's name."""
    assert invoke(url, "failing") == (502, {"error": 'failing failed: {"errorMessage": "no such table"}'})
    status, told = invoke(url, "forbidden")
    assert status == 502
    assert "forbidden could not be invoked" in told["error"]
    assert "lambda:InvokeFunction" in told["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"endpoint": "console"}', b'{"endpoint": "console", "event": 7}'])
def test_invoke_when_malformed_is_refused(body: bytes, url: str, client: StandInLambda) -> None:
    """What is no call is refused and calls nothing."""
    before = len(client.invoked)
    assert ask(f"{url}invoke", body, content_type="application/json")[0] == 400
    assert len(client.invoked) == before


def test_invoke_when_from_another_site_is_refused(url: str, client: StandInLambda) -> None:
    """Neither a form of another site nor a name made to resolve here can call a function."""
    before = len(client.invoked)
    body = json.dumps({"endpoint": "console", "event": {}}).encode()
    assert ask(f"{url}invoke", body, content_type="text/plain")[0] == 415
    assert ask(f"{url}invoke", body, content_type="application/json", host="evil.example")[0] == 400
    assert len(client.invoked) == before
