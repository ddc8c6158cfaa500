"""CloudFormation's request to a custom resource, and the answer that it waits for. Needs only Python itself.

A stack waits for the answer for up to an hour. So this module answers whatever happens. It imports no layer: a missing
or broken layer must not prevent the answer.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html
"""

import json
import logging
import os
import threading
from collections.abc import Callable, Mapping
from typing import Any

from answer import Answer, response
from delivery import Put, Reply, put_once

# When only this much of the function's time is left, it answers without the check: enough for every attempt.
GUARD_S = 40.0

logger = logging.getLogger("sluice.onboarding")
logger.setLevel(os.environ.get("LOG_LEVEL", "INFO"))

Check = Callable[[Mapping[str, Any], Mapping[str, Any] | None], Answer]


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
    reply = Reply(request, url, put or put_once)
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
