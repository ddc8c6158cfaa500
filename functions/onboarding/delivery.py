"""The delivery of the answer that CloudFormation waits for: once, and in several attempts. No layer is imported."""

import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from answer import Answer, response

PUT_ATTEMPTS = 5
PUT_TIMEOUT_S = 5.0
PUT_PAUSE_S = 0.5  # before the second attempt, and twice as long before each further one

logger = logging.getLogger("sluice.onboarding")

Put = Callable[[str, bytes], None]


class UnansweredError(RuntimeError):
    """The answer could not be delivered. Lambda invokes the function again."""


class Reply:
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
