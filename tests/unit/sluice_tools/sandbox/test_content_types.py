"""A service's metadata, read from the beginning of its model."""

from __future__ import annotations

import botocore.session

from sluice_tools.sandbox.emulator.content_types import model

SERVICES = (
    "autoscaling", "cloudformation", "cloudwatch", "dynamodb", "ec2", "events", "iam", "kms", "lambda", "logs", "s3",
    "scheduler", "sns", "sqs", "ssm", "sts",
)  # fmt: skip


def test_metadata_is_botocores_when_read_from_the_beginning_of_a_model() -> None:
    """Of every service that the sandbox's users call, in the version that botocore takes."""
    session = botocore.session.get_session()
    for service in SERVICES:
        found = model(service)
        assert found is not None, service
        assert found.metadata == session.get_service_model(service).metadata


def test_model_is_none_when_the_service_is_unknown() -> None:
    """Some that ministack serves are unknown to botocore."""
    assert model("no-such-service") is None
