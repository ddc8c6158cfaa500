"""CloudFormation's request to a custom resource, and the answer that it waits for. Needs only Python itself.

A stack waits for the answer for up to an hour. So this module answers whatever happens. It imports no layer: a missing
or broken layer must not prevent the answer.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

import json
import logging
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

BODY_MAX_BYTES = 4_096  # of the response, by the page above
ID_MAX_BYTES = 1_024  # of each id that is copied into the response; AWS's own ids take a few hundred bytes
PUT_ATTEMPTS = 5
PUT_TIMEOUT_S = 5.0
PUT_PAUSE_S = 0.5  # before the second attempt, and twice as long before each further one
# When only this much of the function's time is left, it answers without the check: enough for every attempt.
GUARD_S = 40.0

logger = logging.getLogger("sluice.onboarding")
logger.setLevel(os.environ.get("LOG_LEVEL", "INFO"))


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to CloudFormation: problems, or the values that Fn::GetAtt returns."""

    problems: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)


class UnansweredError(RuntimeError):
    """The answer could not be delivered. Lambda invokes the function again."""


Check = Callable[[Mapping[str, Any], Mapping[str, Any] | None], Answer]
Put = Callable[[str, bytes], None]


def respond(event: object, remaining_s: float, check: Check, put: Put | None = None) -> Mapping[str, Any]:
    """Answer a request once.

    Args:
        event: CloudFormation's request.
        remaining_s: the time of the function that is left, in seconds.
        check: takes the resource's properties and those that they replace (None on creation), and returns the answer.
            Whatever it raises becomes a problem. It is not called for deletions, which succeed at once.
        put: delivers a body to the presigned URL.

    Returns:
        The response that was sent, or that would be sent if the request had a ResponseURL.

    Raises:
        UnansweredError: no attempt to deliver the answer succeeded.
    """
    request = event if isinstance(event, Mapping) else {}
    url = request.get("ResponseURL")
    kind = request.get("RequestType")
    logger.info("request %s", json.dumps({**request, "ResponseURL": "(presigned)"}, default=str)[:8_000])
    if not isinstance(url, str) or not url.startswith(("https://", "http://")):
        logger.error("the request has no ResponseURL: it is not from CloudFormation, and the answer is only returned")
        answer = Answer() if kind == "Delete" else _checked(kind, request, check)
        return response(request, answer)
    reply = _Reply(request, url, put or put_once)
    if kind == "Delete":
        return reply.send(Answer())
    guard = threading.Timer(max(0.0, remaining_s - GUARD_S), reply.send, [_late()])
    guard.daemon = True
    guard.start()
    try:
        answer = _checked(kind, request, check)
    finally:
        guard.cancel()
    return reply.send(answer)


def _checked(kind: object, request: Mapping[str, Any], check: Check) -> Answer:
    properties, old = request.get("ResourceProperties"), request.get("OldResourceProperties")
    before = (old if isinstance(old, Mapping) else {}) if kind == "Update" else None
    if kind not in ("Create", "Update") or not isinstance(properties, Mapping):
        return Answer((f"RequestType: must be Create, Update or Delete, with ResourceProperties (got {kind!r})",))
    try:
        return check(properties, before)
    except BaseException as error:  # SystemExit as well: CloudFormation waits for an answer
        logger.exception("the check failed")
        what = f"The check itself failed with {type(error).__name__}: {error}"
        return Answer((f"{what}. This is a fault of Sluice or its layers; see the onboarding function's log.",))


def _late() -> Answer:
    return Answer(("AWS did not answer in time about the queues, the group and the stack's documents; deploy again.",))


class _Reply:
    """The answer to one request: the first of several callers sends it."""

    def __init__(self, request: Mapping[str, Any], url: str, put: Put) -> None:
        self._request = request
        self._url = url
        self._put = put
        self._lock = threading.Lock()
        self._sent: Mapping[str, Any] | None = None

    def send(self, answer: Answer) -> Mapping[str, Any]:
        """Deliver the answer, unless another one was delivered before; returns the delivered one."""
        with self._lock:
            if self._sent is None:
                body = response(self._request, answer)
                self._deliver(json.dumps(body).encode())
                self._sent = body
                logger.info("answered %s", json.dumps(body))
            return self._sent

    def _deliver(self, body: bytes) -> None:
        for attempt in range(PUT_ATTEMPTS):
            if attempt:
                time.sleep(PUT_PAUSE_S * 2 ** (attempt - 1))
            try:
                self._put(self._url, body)
            except Exception as error:  # the next attempt may succeed, whatever the error
                # The error's text may hold the presigned URL, with which anyone could answer.
                logger.warning("attempt %d to answer failed with %s", attempt + 1, type(error).__name__)
            else:
                return
        raise UnansweredError(f"the answer could not be delivered to CloudFormation in {PUT_ATTEMPTS} attempts")


def put_once(url: str, body: bytes) -> None:
    """One PUT to a presigned URL, which is signed without a content type.

    Raises:
        OSError: the PUT failed. urllib's errors are OSErrors.
    """
    headers = {"Content-Type": "", "Content-Length": str(len(body))}
    request = urllib.request.Request(url, data=body, method="PUT", headers=headers)  # noqa: S310 - of CloudFormation
    with urllib.request.urlopen(request, timeout=PUT_TIMEOUT_S):  # noqa: S310
        pass


def response(request: Mapping[str, Any], answer: Answer) -> dict[str, Any]:
    """The response's body, at most 4,096 bytes as JSON: a longer reason is cut, and says so.

    The physical id stays as it was, because CloudFormation would take another id for a replacement and delete the old
    resource.
    """
    ids = {name: str(request.get(name, ""))[:ID_MAX_BYTES] for name in ("StackId", "RequestId", "LogicalResourceId")}
    stack = ids["StackId"].partition(":stack/")[2].partition("/")[0] or "stack"
    first = f"{stack}-{ids['LogicalResourceId'] or 'checked'}"
    body: dict[str, Any] = {
        "Status": "FAILED" if answer.problems else "SUCCESS",
        **ids,
        "PhysicalResourceId": str(request.get("PhysicalResourceId") or first)[:ID_MAX_BYTES],
    }
    if not answer.problems:
        return body | {"Data": dict(answer.data)}
    count = len(answer.problems)
    reason = f"{count} problem{'' if count == 1 else 's'}: " + " | ".join(answer.problems)
    room = BODY_MAX_BYTES - len(json.dumps(body | {"Reason": ""}))
    return body | {"Reason": _cut(reason, room)}


def _cut(text: str, room: int) -> str:
    """As much of a text as fits into `room` bytes of JSON."""

    def size(part: str) -> int:
        return len(json.dumps(part)) - 2

    if size(text) <= room:
        return text
    end = " ... (cut here; the onboarding function's log has the whole text)"
    low, high = 0, len(text)
    while low < high:  # binary search for the longest beginning that fits
        middle = (low + high + 1) // 2
        if size(text[:middle] + end) <= room:
            low = middle
        else:
            high = middle - 1
    return text[:low] + end
