"""botocore's errors -> the ports' errors: split by what to do about them, the fix named where an operator must act."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    InvalidProxiesConfigError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProxyConnectionError,
    SSLError,
)

from sluice.ports.errors import ConflictError, LostAnswerError, NeedsFixError, PortError, RefusedError, TryLaterError

# Codes as services answer them, the last part after a dot. Sources: each service's "Common Errors" page, and
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html for what counts as throttling.
THROTTLED = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "KmsThrottled",
        "OverLimit",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
BUSY = frozenset({"ResourceContention", "ScalingActivityInProgress", "TransactionConflictException"})
AT_FAULT = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        "InternalServiceError",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
    }
)
DENIED = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "KmsAccessDenied",
        "NotAuthorized",
        "UnauthorizedOperation",
    }
)
MISSING = frozenset(
    {
        "InvalidAddress",
        "NoSuchBucket",
        "NonExistentQueue",
        "ParameterNotFound",
        "QueueDoesNotExist",
        "ResourceNotFound",
        "ResourceNotFoundException",
    }
)
BAD_KEY = frozenset({"KmsDisabled", "KmsInvalidKeyUsage", "KmsInvalidState", "KmsNotFound", "KmsOptInRequired"})
# SQS passes on errors of a queue's key by names of its older protocol: `KMS.DisabledException`, for instance.
OF_KEY = "KMS."
BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "OptInRequired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)

# What IAM calls the operations that do not share its name for them. The others are `<service>:<Operation>`.
IAM_ACTIONS = {
    "SendMessageBatch": "sqs:SendMessage",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "GetMetricData": "cloudwatch:GetMetricData",
    "DescribeAlarms": "cloudwatch:DescribeAlarms",
    "DeleteObjects": "s3:DeleteObject",
    "ListObjectVersions": "s3:ListBucketVersions",
    "TransactWriteItems": "dynamodb:PutItem, UpdateItem, DeleteItem and ConditionCheckItem",
}


@dataclass(frozen=True, slots=True)
class Thing:
    """What a call is about, for an error's text."""

    service: str  # IAM's prefix, such as "sqs"
    name: str  # in a sentence, such as "queue https://..."
    fix: str  # what to do where it does not exist
    asker: str = "this function's role"  # to whom a permission that is missing is to be granted


@contextmanager
def asking(thing: Thing) -> Iterator[None]:
    """Within it, every error of botocore leaves as one of the ports' errors."""
    try:
        yield
    except ClientError as error:
        raise from_answer(error, thing) from error
    except BotoCoreError as error:
        raise from_silence(error, thing) from error


def code_of(error: ClientError) -> str:
    """The answer's code, without the namespace that some services put before it."""
    return str(error.response.get("Error", {}).get("Code", "")).rpartition(".")[2]


def text_of(error: ClientError) -> str:
    """The answer's code and message, as AWS gave them."""
    answer = error.response.get("Error", {})
    return f"{answer.get('Code', 'no code')}: {answer.get('Message', 'no message')}"


def from_answer(error: ClientError, thing: Thing) -> PortError:
    """The port error for what AWS answered."""
    code, text = code_of(error), text_of(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in THROTTLED or code in BUSY:
        return TryLaterError(f"{thing.name}: {text}")
    if code in AT_FAULT or status >= 500:
        return LostAnswerError(f"{thing.name}: {text}")
    if code == "ConditionalCheckFailedException":
        return ConflictError(f"{thing.name}: {text}")
    return _to_fix(error, code, text, status, thing) or RefusedError(f"{thing.name}: {text}")


def _to_fix(error: ClientError, code: str, text: str, status: int, thing: Thing) -> NeedsFixError | None:
    """The error that an operator must put right, or None if it is not of that kind."""
    if code in BAD_KEY or (text.startswith(OF_KEY) and code not in DENIED):
        return NeedsFixError(f"{thing.name}: its KMS key cannot be used: enable it, and grant its use ({text})")
    if code in MISSING:
        return NeedsFixError(f"{thing.name} does not exist: {thing.fix} ({text})")
    if code in BAD_CREDENTIALS:
        return NeedsFixError(f"{thing.name}: the credentials are not accepted: renew or correct them ({text})")
    if code in DENIED or status == 403:
        action = denied_action(error, thing.service)
        return NeedsFixError(f"{thing.name}: {action} is not allowed: grant it to {thing.asker} ({text})")
    return None


def is_final(code: str) -> bool:
    """Whether an entry of a batch that failed with this code, by the sender's fault, will never be taken.

    Who may not use a queue or its key, or asks too much at once, is at fault as well; but that can be put right.
    """
    last = code.rpartition(".")[2]
    return not code.startswith((OF_KEY, "Kms")) and last not in THROTTLED | BUSY | AT_FAULT | DENIED | MISSING


def denied_action(error: ClientError, service: str) -> str:
    """The IAM action that was denied: as AWS names it in its answer, else derived from the operation."""
    named = re.search(r"perform:? ([a-z0-9-]+:[A-Za-z]+)", str(error.response.get("Error", {}).get("Message", "")))
    operation = str(error.operation_name)
    derived = IAM_ACTIONS.get(operation, f"{service}:{operation}")
    # AWS writes some actions in lower case (sqs:sendmessage): ours is the one to paste into a policy then.
    return named[1] if named and named[1].lower() != derived.lower() else derived


def from_silence(error: BotoCoreError, thing: Thing) -> PortError:
    """The port error for a request that got no answer, or could not be made."""
    text = f"{thing.name}: {error}"
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return NeedsFixError(f"{text}: give this process credentials, such as a role or AWS_ACCESS_KEY_ID")
    if isinstance(error, NoRegionError):
        return NeedsFixError(f"{text}: set AWS_REGION")
    if isinstance(error, InvalidProxiesConfigError):
        return NeedsFixError(f"{text}: correct HTTPS_PROXY")
    if isinstance(error, ConnectTimeoutError | EndpointConnectionError | ProxyConnectionError | SSLError):
        return TryLaterError(text)  # no connection came about, so nothing was asked
    if isinstance(error, HTTPClientError):
        return LostAnswerError(text)
    return RefusedError(text)  # parameters that botocore itself refuses, answers that it cannot read
