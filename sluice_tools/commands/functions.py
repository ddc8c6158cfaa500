"""Asks the functions of a deployed stack, with the caller's own AWS credentials.

Commands that read ask the console function, commands that act ask the operator function. The caller needs
`lambda:InvokeFunction` on that function and nothing else.
"""

import json
from collections.abc import Mapping
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.commands.frame import RefusedError, UnreachableError

CONSOLE = "console"  # reads
OPERATOR = "operator"  # acts
# A function answers a request within ten seconds, and Lambda ends it after thirty.
READ_TIMEOUT_S = 40

type Answer = Mapping[str, Any]


def lambda_client(aws: AwsOptions) -> Any:
    """Lambda, for requests that are said once: repeating one whose answer was lost could begin a second job."""
    once: Any = {"total_max_attempts": 1, "mode": "standard"}
    return aws.client("lambda", Config(read_timeout=READ_TIMEOUT_S, retries=once))


def ask(aws: AwsOptions, name: str, request: Mapping[str, Any]) -> Answer:
    """Invoke a function of the stack and wait for its answer.

    Args:
        aws: the stack, and where it is.
        name: the function, such as OPERATOR.
        request: one request by its key, such as `{"stop": {"fleet": "orders", "job_id": "..."}}`.

    Raises:
        RefusedError: the function refused the request; with its reason.
        UnreachableError: the function could not be invoked, failed, or answered with what is no JSON object.
        UsageError: an option of `aws` cannot be used.
    """
    function = aws.function(name)
    client = lambda_client(aws)
    try:
        invoked = client.invoke(FunctionName=function, Payload=json.dumps(request).encode())
        payload = _parsed(invoked["Payload"].read())
    except ClientError as error:
        raise UnreachableError(*_refused(function, error)) from error
    except (BotoCoreError, ValueError, RecursionError, OSError) as error:
        raise UnreachableError(f"function {function} could not be invoked: {error}") from error
    if "FunctionError" in invoked or not isinstance(payload, Mapping):
        said = payload.get("errorMessage", payload) if isinstance(payload, Mapping) else payload
        raise UnreachableError(f"function {function} failed: {said}; its log says more")
    if "error" in payload:
        raise RefusedError(str(payload["error"]))
    return payload


def _parsed(text: bytes) -> Any:
    """JSON, without the numbers that JSON does not have."""

    def refuse(number: str) -> None:
        raise ValueError(f"its answer has {number}, which is no number of JSON")

    return json.loads(text, parse_constant=refuse)


def _refused(function: str, error: ClientError) -> tuple[str, ...]:
    """What a call of Lambda was refused for, and what helps."""
    problems = (f"function {function} could not be invoked: {error}",)
    match error.response.get("Error", {}).get("Code"):
        case "ResourceNotFoundException":
            return (*problems, "--stack names the stack, --region and --profile where it is")
        case "AccessDeniedException":
            return (*problems, f"grant lambda:InvokeFunction on {function}")
    return problems
