"""The answer to a custom resource's request, and the response's body that CloudFormation takes. No layer is imported.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

BODY_MAX_BYTES = 4_096  # of the response, by the page above
ID_MAX_BYTES = 1_024  # of each id that is copied into the response; AWS's own ids take a few hundred bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to CloudFormation: problems, or the values that Fn::GetAtt returns."""

    problems: tuple[str, ...] = ()
    data: Mapping[str, str] = field(default_factory=dict)


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
