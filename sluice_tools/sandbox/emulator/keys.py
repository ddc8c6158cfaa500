"""KMS keys as the checks of an account read them: AWS's own keys behind predefined aliases, policies by key alone.

AWS pages (kms/latest): APIReference/API_DescribeKey.html (a predefined AWS alias that has no key yet is given an AWS
managed key), APIReference/API_GetKeyPolicy.html (a key's id or ARN, no alias).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_kms = Host("services.kms", "_describe_key", "_get_key_policy", "_create_key", "_aliases", "_alias_arn", "_keys")
_responses = Host("core.responses", "error_response_json")

AWS_ALIAS = re.compile(r"^(?:arn:[a-z-]+:kms:[a-z0-9-]+:\d{12}:)?(alias/aws/[a-z0-9-]+)$")
MANAGER = "_sandbox_key_manager"
"""Where a key's record says who manages it; ministack knows the customer's alone."""

Answer = tuple[int, dict[str, str], bytes]


def install() -> None:
    """Take the place of two of ministack's handlers."""
    describe, policy = _kms["_describe_key"], _kms["_get_key_policy"]

    def describe_key(data: Mapping[str, Any]) -> Answer:
        alias = AWS_ALIAS.match(str(data.get("KeyId", "")))
        if alias:
            _ensure_managed(alias[1])
        status, headers, body = describe(data)
        if status != 200:
            return status, headers, body
        answer = json.loads(body)
        record = _kms["_keys"][answer["KeyMetadata"]["KeyId"]]
        answer["KeyMetadata"]["KeyManager"] = record.get(MANAGER, "CUSTOMER")
        return status, headers, json.dumps(answer).encode()

    def get_key_policy(data: Mapping[str, Any]) -> Answer:
        key_id = str(data.get("KeyId", ""))
        if "alias/" in key_id:
            refused: Answer = _responses["error_response_json"]("NotFoundException", f"Invalid keyId '{key_id}'", 400)
            return refused
        found: Answer = policy(data)
        return found

    _kms["_describe_key"] = describe_key
    _kms["_get_key_policy"] = get_key_policy


def _ensure_managed(alias: str) -> None:
    """Make the AWS managed key of a predefined alias, unless it is there."""
    arn = _kms["_alias_arn"](alias)
    if arn in _kms["_aliases"]:
        return
    _, _, body = _kms["_create_key"]({"Description": f"Default key of {alias.removeprefix('alias/aws/')}"})
    key_id = json.loads(body)["KeyMetadata"]["KeyId"]
    _kms["_keys"][key_id][MANAGER] = "AWS"
    _kms["_aliases"][arn] = key_id
