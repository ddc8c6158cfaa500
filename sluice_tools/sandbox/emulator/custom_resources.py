"""What CloudFormation asks of a custom resource's answer, where ministack takes anything.

AWS pages (AWSCloudFormation/latest): UserGuide/crpg-ref-responses.html (the required fields, 4,096 bytes) and
TemplateReference/cfn-lambda-function-code-cfnresponsemodule.html (the presigned URL is signed without a content type:
the module sends an empty one). An answer that CloudFormation cannot use fails the resource.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_app = Host("app", "_handle_post_body_shortcuts")
_custom = Host("services.cloudformation.custom_resource", "deliver_response", "_pending")

ANSWERS_PATH = "/_ministack/cfn-response/"
BODY_MAX_BYTES = 4_096
REQUIRED = ("Status", "PhysicalResourceId", "StackId", "RequestId", "LogicalResourceId")
ID_MAX_BYTES = 1_024

log = logging.getLogger("sandbox.custom-resources")


def install() -> None:
    """Look at each answer before CloudFormation does."""
    original = _app["_handle_post_body_shortcuts"]

    async def handle(method: str, path: str, headers: Mapping[str, str], body: bytes, *rest: Any) -> Any:
        if method != "PUT" or not path.startswith(ANSWERS_PATH):
            return await original(method, path, headers, body, *rest)
        if headers.get("content-type"):
            log.warning("an answer came with a content type, which its URL is not signed for")
            return 403, {"Content-Type": "application/xml"}, b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
        problem = refused(body)
        answer = {"Status": "FAILED", "Reason": problem} if problem else json.loads(body)
        if not _custom["deliver_response"](path.removeprefix(ANSWERS_PATH), answer):
            log.warning("an answer came that nobody waits for")
        return 200, {}, b""

    _app["_handle_post_body_shortcuts"] = handle


def refused(body: bytes) -> str | None:
    """What CloudFormation has against an answer, or None."""
    if len(body) > BODY_MAX_BYTES:
        return f"Response object is too long: {len(body)} bytes, of {BODY_MAX_BYTES}"
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        return "Response is not a JSON object"
    needed = REQUIRED if answer.get("Status") == "SUCCESS" else (*REQUIRED, "Reason")
    for name in needed:
        if not isinstance(answer.get(name), str) or not answer[name]:
            return f"Vendor response doesn't contain {name} attribute"
    if answer["Status"] not in ("SUCCESS", "FAILED") or len(answer["PhysicalResourceId"].encode()) > ID_MAX_BYTES:
        return f"Invalid Status {answer['Status']!r} or PhysicalResourceId"
    return None
