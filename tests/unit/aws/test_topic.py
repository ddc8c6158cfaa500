"""The stack's topic: what subscribers of each protocol get."""

import json
from types import SimpleNamespace
from typing import Any

from sluice.aws.topic import SnsTopic

ARN = "arn:aws:sns:eu-central-1:123456789012:alarms"


def published(arn: str) -> list[dict[str, Any]]:
    """What SNS is asked for when a notice is published."""
    asked: list[dict[str, Any]] = []
    clients: Any = SimpleNamespace(sns=SimpleNamespace(publish=lambda **given: asked.append(given)))
    SnsTopic(clients, arn).publish("Sluice blue: fleet orders needs an operator", "What to do: read the log.\n")
    return asked


def test_notice_when_it_is_published() -> None:
    """Mail, queues and functions get its text; HTTPS, as chat channels do, a custom notification with the same text."""
    (asked,) = published(ARN)
    message = json.loads(asked.pop("Message"))
    subject = "Sluice blue: fleet orders needs an operator"
    assert asked == {"TopicArn": ARN, "Subject": subject, "MessageStructure": "json"}
    assert message["default"] == "What to do: read the log.\n"
    assert set(message) == {"default", "https"}
    assert json.loads(message["https"]) == {
        "version": "1.0",
        "source": "custom",
        "content": {
            "textType": "client-markdown",
            "title": subject,
            "description": "What to do: read the log.\n",
        },
    }


def test_notice_when_the_stack_has_no_topic() -> None:
    """Nothing is published."""
    assert published("") == []
