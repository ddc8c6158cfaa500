"""AWS clients, each made when first used, all from one botocore session.

They are botocore's own, not boto3's: Sluice calls no resources and no transfers, and leaving boto3 out makes a cold
start a tenth shorter (docs/adr/0003-clients-come-from-botocore-not-from-boto3.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.utils import parse_timestamp

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient
    from types_boto3_cloudwatch import CloudWatchClient
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_lambda import LambdaClient
    from types_boto3_s3 import S3Client
    from types_boto3_sqs import SQSClient
    from types_boto3_ssm import SSMClient

# AWS's endpoints in a region connect within milliseconds: two seconds mean that one host is gone, so try another.
CONNECT_TIMEOUT_S = 2.0
# The slowest call in use, GetMetricData, answers in a second or two. With the attempts below, one call ends within
# 25 s, so that a tick that meets a silent service still ends within its minute.
READ_TIMEOUT_S = 5.0
ATTEMPTS = 3  # botocore's standard mode: full-jitter backoff, throttling and lost answers included
# What a tick reads is asked for once, and is missing from the tick's snapshot where no answer comes: ten seconds later
# the next tick asks again, and a service that is silent costs the other fleets of a round no more than this.
TICK_TIMEOUT_S = 2.0
# For the clients that many messages go through: botocore's check of every attribute takes a quarter of a batch's time.
# Only `sluice.aws.queue` and `queue_messages` make requests to SQS, only `sluice.aws.table` does to DynamoDB, and mypy
# checks them by the services' types.
MANY = {"parameter_validation": False}


def read_timestamp(value: Any) -> datetime:
    """A timestamp of an answer, as botocore's own parser reads it (its hook `timestamp_parser`), but faster.

    Auto Scaling's answers are XML with a timestamp for each instance, process and activity, such as
    "2026-11-29T06:00:00.123Z". botocore gives each to dateutil, which takes 30 times as long as Python itself.
    """
    if isinstance(value, str) and value.endswith("Z") and value[10:11] == "T":
        try:
            return datetime.fromisoformat(value)
        except ValueError:  # a form that Python does not know
            pass
    parsed: datetime = parse_timestamp(value)
    return parsed


@dataclass(frozen=True, slots=True)
class Patience:
    """How long clients wait, in seconds, and how often they ask."""

    connect_s: float
    read_s: float
    attempts: int


USUAL = Patience(CONNECT_TIMEOUT_S, READ_TIMEOUT_S, ATTEMPTS)
OF_TICKS = Patience(TICK_TIMEOUT_S, TICK_TIMEOUT_S, 1)


class Clients:
    """The AWS clients of one process.

    Args:
        environ: AWS_REGION, and where set the credentials and endpoints (AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_SQS ...);
            what is not set is read where botocore always reads it.
        patience: how long they wait for answers.
    """

    def __init__(self, environ: Mapping[str, str], patience: Patience = USUAL) -> None:
        self._environ = environ
        self._patience = patience

    @cached_property
    def of_ticks(self) -> "Clients":
        """The same for what a tick reads: one attempt, of two seconds. Both share botocore's session."""
        clients = Clients(self._environ, OF_TICKS)
        clients._session = self._session
        return clients

    @cached_property
    def sqs(self) -> "SQSClient":
        """For all but sending."""
        client: SQSClient = self._make("sqs", **MANY)
        return client

    @cached_property
    def sqs_once(self) -> "SQSClient":
        """For sending: nothing is repeated when an answer is lost, since it would be sent twice."""
        client: SQSClient = self._make("sqs", attempts=1, **MANY)
        return client

    @cached_property
    def autoscaling(self) -> "AutoScalingClient":
        """Auto Scaling."""
        client: AutoScalingClient = self._make("autoscaling")
        return client

    @cached_property
    def cloudwatch(self) -> "CloudWatchClient":
        """CloudWatch."""
        client: CloudWatchClient = self._make("cloudwatch")
        return client

    @cached_property
    def dynamodb(self) -> "DynamoDBClient":
        """DynamoDB."""
        client: DynamoDBClient = self._make("dynamodb", **MANY)
        return client

    @cached_property
    def ec2(self) -> Any:
        """EC2, of which a single call is in use: its types are left out."""
        return self._make("ec2")

    @cached_property
    def iam(self) -> Any:
        """IAM, of which two reads are in use: its types are left out."""
        return self._make("iam")

    @cached_property
    def kms(self) -> Any:
        """KMS, likewise."""
        return self._make("kms")

    @cached_property
    def lambda_(self) -> "LambdaClient":
        """Lambda, to hand steps over. A repeated invocation does no harm: its step is stale."""
        client: LambdaClient = self._make("lambda")
        return client

    @cached_property
    def s3(self) -> "S3Client":
        """S3."""
        client: S3Client = self._make("s3")
        return client

    @cached_property
    def sns(self) -> Any:
        """SNS, of which a single call is in use: its types are left out."""
        return self._make("sns")

    @cached_property
    def ssm(self) -> "SSMClient":
        """Systems Manager."""
        client: SSMClient = self._make("ssm")
        return client

    @cached_property
    def _session(self) -> botocore.session.Session:
        # Named as a profile it goes before keys in the process's own environment; None is botocore's default.
        session = botocore.session.Session(profile=self._environ.get("AWS_PROFILE"))
        session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=read_timestamp)
        return session

    @cached_property
    def _user_agent(self) -> str:
        return f"{self._session.user_agent()} sluice"

    def _make(self, service: str, attempts: int | None = None, **settings: Any) -> Any:
        get = self._environ.get
        return self._session.create_client(
            service,
            region_name=get("AWS_REGION") or get("AWS_DEFAULT_REGION"),
            endpoint_url=get(f"AWS_ENDPOINT_URL_{service.upper()}") or get("AWS_ENDPOINT_URL"),
            aws_access_key_id=get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=get("AWS_SESSION_TOKEN"),
            config=Config(
                connect_timeout=self._patience.connect_s,
                read_timeout=self._patience.read_s,
                retries={"mode": "standard", "total_max_attempts": attempts or self._patience.attempts},
                # Given whole, since botocore would put it together anew for each call: a sixth of what a call costs it.
                user_agent=self._user_agent,
                **settings,
            ),
        )
