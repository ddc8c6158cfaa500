"""Dead letters of other services: known by their form, given their own cause, and never sent into the fleet's queue."""

import json

import pytest

from sluice.model.redrive_jobs import JobState, RedriveJob
from sluice.model.redriving import Attribute
from sluice.redriving.foreign_letters import foreign_letter
from tests.support.redrive_worlds import World, letter, text

FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:ship"
RULE: dict[str, Attribute] = {
    "RULE_ARN": text("arn:aws:events:eu-west-1:123456789012:rule/nightly"),
    "TARGET_ARN": text(FUNCTION),
    "ERROR_CODE": text("NO_PERMISSIONS"),
    "ERROR_MESSAGE": text("User is not authorized to perform lambda:InvokeFunction"),
    "RETRY_ATTEMPTS": Attribute("Number", "185"),
}
SCHEDULE = {
    "SCHEDULE_ARN": text("arn:aws:scheduler:eu-west-1:123456789012:schedule/default/nightly"),
    "TARGET_ARN": text(FUNCTION),
    "ERROR_CODE": text("AWS.Scheduler.InternalServerError"),
    "IS_PAYLOAD_TRUNCATED": text("false"),
}
INVOCATION = {
    "RequestID": text("4e3a-1"),
    "ErrorCode": Attribute("Number", "200"),
    "ErrorMessage": text("KeyError: 'street'"),
}
DESTINATION = {
    "version": "1.0",
    "requestContext": {"requestId": "e4", "functionArn": FUNCTION, "condition": "RetriesExhausted"},
    "requestPayload": {"order": 7},
    "responseContext": {"statusCode": 200, "functionError": "Unhandled"},
    "responsePayload": {"errorMessage": "no such sku", "errorType": "UnknownItem"},
}
PIPE = {
    "context": {
        "partnerResourceArn": "arn:aws:pipes:eu-west-1:123456789012:pipe/p",
        "condition": "RetryAttemptsExhausted",
    }
}
TOPIC = {
    "Type": "Notification",
    "MessageId": "22b8",
    "TopicArn": "arn:aws:sns:eu-west-1:123456789012:orders",
    "Message": '{"order": 7}',
    "Timestamp": "2026-11-24T14:00:00.000Z",
}
FOREIGN: list[tuple[str, dict[str, Attribute], str, str]] = [
    ('{"detail-type": "Scheduled Event"}', RULE, "an EventBridge rule", "NO_PERMISSIONS"),
    ('{"order": 7}', SCHEDULE, "an EventBridge schedule", "AWS.Scheduler.InternalServerError"),
    ('{"order": 7}', INVOCATION, "an asynchronous invocation of a Lambda function", "KeyError: 'street'"),
    (json.dumps(DESTINATION), {}, "a destination of a Lambda function", "RetriesExhausted: UnknownItem: no such sku"),
    (json.dumps(PIPE), {}, "an EventBridge pipe", "RetryAttemptsExhausted"),
    (json.dumps(TOPIC), {}, "a subscription of an SNS topic", ""),
]


def redrive_of_everything(world: World) -> RedriveJob:
    """A job that is about the whole quarantine."""
    return world.ports.ledger.jobs.keep_job(world.job())


@pytest.mark.parametrize(("body", "attributes", "sender", "cause"), FOREIGN)
def test_foreign_letter_is_quarantined_with_its_own_cause_when_it_says_no_queue(
    body: str, attributes: dict[str, Attribute], sender: str, cause: str
) -> None:
    """It never was in the fleet's queue, and a redrive of everything leaves it where it is, with the reason."""
    world = World()
    world.put_dead(body, moved=False, **attributes)
    (result,) = world.process()
    assert (result.outcome, world.bodies()) == ("quarantined", [])
    assert f"it has the form of what {sender} could not deliver" in result.reason
    (entry,) = world.index()
    assert (cause in entry.cause, entry.source) == (True, "")
    job = world.work(redrive_of_everything(world))
    assert (job.progress.failed_count, world.bodies()) == (1, [])
    assert "to_queue" in job.note
    assert job.state is JobState.DONE


@pytest.mark.parametrize(("body", "attributes", "sender", "cause"), FOREIGN)
def test_letter_of_a_foreign_form_goes_back_when_sqs_moved_it_from_the_queue(
    body: str, attributes: dict[str, Attribute], sender: str, cause: str
) -> None:
    """A fleet's queue may take what EventBridge, Lambda and SNS send: SQS says that the letter was in it."""
    assert foreign_letter(letter(body, attributes=attributes)) is not None
    world = World()
    world.put_dead(body, **attributes)
    assert [result.outcome for result in world.process()] == ["retried"]
    assert world.bodies() == [body]


@pytest.mark.parametrize(
    "body",
    [
        "tick",
        "{",
        '{"requestContext": 1}',
        '{"requestContext": {"functionArn": 1, "condition": "x"}}',
        json.dumps({"Type": "Notification", "TopicArn": "a"}),
        '{"TopicArn": ' + "[" * 100_000,
    ],
)
def test_letter_of_no_form_is_quarantined_when_nothing_says_its_queue(body: str) -> None:
    """SQS did not move it and nobody stamped it; an operator who sends it back means the one queue that there is."""
    world = World()
    world.put_dead(body, moved=False)
    (result,) = world.process()
    assert result.outcome == "quarantined"
    assert "nothing says that it came from queue orders" in result.reason
    job = world.work(redrive_of_everything(world))
    assert (job.progress.sent_count, world.bodies()) == (1, [body])
