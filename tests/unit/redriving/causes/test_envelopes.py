"""What services and frameworks wrap messages in is opened to what it carries, and to the error that it names."""

import base64
import gzip
import json
from random import Random
from typing import Any

import pytest

from sluice.config.cause_patterns import names
from sluice.model.redriving import Attribute, VerdictKind
from sluice.redriving.causes.envelopes import BYTES_LIMIT, open_body
from sluice.redriving.causes.payload_pointers import payload_pointer
from sluice.redriving.failure_groups import failure_group
from sluice.redriving.verdict import DeadLetterHistory, judge
from tests.support.redrive_worlds import World, letter, text
from tests.unit.redriving.test_judging import POLICY, QUEUE


def packed(value: object) -> str:
    """A value as JSON in base64, as Kombu sends it to SQS."""
    return base64.b64encode(json.dumps(value).encode()).decode()


def celery(number: int, task: str = "shop.tasks.charge", *, whole: bool = True) -> str:
    """A task as Celery's SQS transport sends it."""
    arguments = [
        [f"order-{number}"],
        {"amount": number},
        {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
    ]
    value = {
        "body": packed(arguments),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": task, "id": f"0{number}", "retries": 0, "argsrepr": f"('order-{number}',)"},
        "properties": {"correlation_id": f"0{number}", "delivery_tag": "a8f3", "body_encoding": "base64"},
    }
    return packed(value) if whole else json.dumps(value)


def sns(message: str) -> str:
    """A notification of a topic, without raw message delivery."""
    return json.dumps({
        "Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324", "Message": message,
        "TopicArn": "arn:aws:sns:eu-west-1:123456789012:orders", "Timestamp": "2026-11-24T02:15:00.000Z",
        "SignatureVersion": "1", "Signature": "EXAMPLE", "UnsubscribeURL": "https://sns.eu-west-1.amazonaws.com/?x=1",
    })  # fmt: skip


def s3(key: str, bucket: str = "uploads-17", event: str = "ObjectCreated:Put") -> str:
    """An event notification of S3."""
    record = {
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-west-1", "eventTime": "2026-11-24T02:15:00Z",
        "eventName": event, "userIdentity": {"principalId": "A1"}, "responseElements": {"x-amz-request-id": "C3"},
        "s3": {"bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"}, "object": {"key": key, "size": 1_024}},
    }  # fmt: skip
    return json.dumps({"Records": [record]})


def event(detail: dict[str, Any], kind: str = "OrderPlaced") -> str:
    """An event of EventBridge."""
    return json.dumps({
        "version": "0", "id": "17793124-05d4-b198-2fde-7ededc63b103", "detail-type": kind, "source": "shop.orders",
        "account": "123456789012", "time": "2026-11-24T02:15:00Z", "region": "eu-west-1", "detail": detail,
    })  # fmt: skip


def lambda_record(payload: object, condition: str = "RetriesExhausted") -> str:
    """A record of an asynchronous invocation."""
    return json.dumps({
        "version": "1.0", "timestamp": "2026-11-24T02:15:00.123Z", "requestPayload": {"order": 17},
        "requestContext": {
            "requestId": "e4b46cbf", "functionArn": "arn:aws:lambda:eu-west-1:123456789012:function:charge:$LATEST",
            "condition": condition, "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "responsePayload": payload,
    })  # fmt: skip


def fault(number: int) -> str:
    """A fault as MassTransit publishes it."""
    inner = {
        "exceptionType": "Npgsql.PostgresException",
        "message": "40001: conflict",
        "stackTrace": "",
    }
    exception = {
        "exceptionType": "Acme.OrderFailed", "message": f"order {number}", "innerException": inner,
        "stackTrace": "   at Acme.Orders.Consumer.Consume(ConsumeContext`1 context) in /src/Consumer.cs:line 31",
    }  # fmt: skip
    return json.dumps({
        "messageId": "0c9b0000", "messageType": ["urn:message:MassTransit:Fault[[Acme:SubmitOrder]]"],
        "message": {"faultId": "1", "faultedMessageId": "2", "exceptions": [exception], "message": {"orderId": number}},
    })  # fmt: skip


def laravel(number: int, job: str = "App\\Jobs\\ChargeOrder") -> str:
    """A job as Laravel queues it."""
    return json.dumps({
        "uuid": f"8f{number}", "displayName": job, "job": "Illuminate\\Queue\\CallQueuedHandler@call", "maxTries": None,
        "data": {"commandName": job, "command": f'O:20:"App\\Jobs\\ChargeOrder":1:{{s:2:"id";i:{number};}}'},
    })  # fmt: skip


def cloud_event(data: dict[str, Any], kind: str = "com.acme.order.placed") -> str:
    """A CloudEvent in its JSON format."""
    return json.dumps({"specversion": "1.0", "type": kind, "source": "/shop", "id": "A234", "data": data})


def dramatiq(number: int, trace: str | None = None) -> str:
    """A message as dramatiq queues it."""
    options = {"retries": 20} | ({"traceback": trace} if trace else {})
    return json.dumps({
        "queue_name": "default", "actor_name": "charge", "args": [number], "kwargs": {}, "options": options,
        "message_id": f"8f{number}", "message_timestamp": 1_795_510_800_000 + number,
    })  # fmt: skip


CARRIED = [
    (celery(7), "Celery task shop.tasks.charge"),
    (celery(7, whole=False), "Celery task shop.tasks.charge"),
    (packed({"task": "shop.charge", "id": "1", "args": [], "kwargs": {}}), "Celery task shop.charge"),
    (s3("in/2026/a.csv"), "S3 event ObjectCreated:Put of bucket uploads-17"),
    (sns(s3("in/2026/a.csv")), "SNS notification, S3 event ObjectCreated:Put of bucket uploads-17"),
    (sns('{"order": 17}'), "SNS notification, JSON object order"),
    (sns("order 17 is late"), "SNS notification, text order <n> is late"),
    (event({"order": 17}), "event OrderPlaced of shop.orders, JSON object order"),
    (cloud_event({"order": 17}), "CloudEvent com.acme.order.placed, JSON object order"),
    (laravel(7), r"Laravel job App\Jobs\ChargeOrder"),
    (dramatiq(7), "dramatiq actor charge"),
    ('{"job_class": "ChargeJob", "arguments": [17]}', "Active Job ChargeJob"),
    ('{"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "up"}', "S3 event s3:TestEvent of bucket up"),
    (packed({"order": 17}), "JSON object order"),
    (base64.b64encode(gzip.compress(b'{"order": 17}')).decode(), "JSON object order"),
    (base64.urlsafe_b64encode(json.dumps({"order": "????>>>>"}).encode()).decode().rstrip("="), "JSON object order"),
    (base64.encodebytes(json.dumps({"order": "x" * 90}).encode()).decode(), "JSON object order"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "carried"), CARRIED, ids=[carried[:40] for _, carried in CARRIED])
def test_envelope_when_it_is_opened(body: str, carried: str) -> None:
    """The group's title names what the body carries."""
    assert failure_group(letter(body)).words == f"No cause stamped: {carried}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (celery(7), celery(70)),
        (celery(7), celery(700)),
        (celery(7), celery(7, whole=False)),
        (sns(celery(7)), sns(celery(70))),
        (s3("a.csv"), s3("customers/17/photo.png")),
        (event({"order": 1}), event({"order": 2})),
        (laravel(7), laravel(1_234)),
        (cloud_event({"order": 1}), cloud_event({"order": 2})),
        (dramatiq(7), dramatiq(71)),
        (lambda_record({"errorMessage": "order 7", "errorType": "OrderFailed"}),
         lambda_record({"errorMessage": "order 8", "errorType": "OrderFailed"})),
        (fault(7), fault(8)),
    ],
)  # fmt: skip
def test_group_is_the_same_when_an_envelope_carries_the_same(one: str, other: str) -> None:
    """Whatever the padding of base64, the key of an object and the ids of an envelope are."""
    assert one != other
    assert failure_group(letter(one)).id == failure_group(letter(other)).id


@pytest.mark.parametrize("size", [40, 41, 42, 9_000])
def test_group_is_the_same_when_a_body_is_binary_data(size: int) -> None:
    """Protobuf, Avro or pickle in base64, in one line or in several, of any length and padding."""
    rng = Random(size)
    bodies = [rng.randbytes(size + extra) for extra in range(3)]
    encoded = [*(base64.b64encode(body).decode() for body in bodies), base64.encodebytes(bodies[0]).decode()]
    assert {failure_group(letter(body)).words for body in encoded} == {
        "No cause stamped: text of binary data in base64"
    }
    assert failure_group(letter("CustomerIsNotFound")).id != failure_group(letter("OrderIsNotFoundAnywhere")).id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (celery(7), celery(7, "shop.tasks.refund")),
        (s3("a.csv"), s3("a.csv", bucket="uploads-18")),
        (s3("a.csv"), s3("a.csv", event="ObjectRemoved:Delete")),
        (event({"order": 1}), event({"order": 1}, kind="OrderPaid")),
        (laravel(7), laravel(7, "App\\Jobs\\RefundOrder")),
        (cloud_event({"order": 1}), cloud_event({"order": 1}, kind="com.acme.order.paid")),
        (sns('{"order": 1}'), sns('{"invoice": 1}')),
        (
            lambda_record({"errorMessage": "no", "errorType": "A"}),
            lambda_record({"errorMessage": "no", "errorType": "B"}),
        ),
    ],
)
def test_group_is_another_when_an_envelope_carries_something_else(one: str, other: str) -> None:
    """A task, an event and a bucket are kinds of messages."""
    assert failure_group(letter(one)).id != failure_group(letter(other)).id


def test_pattern_for_an_error_in_a_lambda_record_begins_with_a_star() -> None:
    """Its line begins with the condition, as docs/redriving.md says."""
    cause = failure_group(letter(lambda_record({"errorMessage": "'street'", "errorType": "KeyError"})))
    lines = (cause.words, *cause.said)
    found = [pattern for pattern in ("KeyError: *", "*KeyError: *", "RetriesExhausted: *") if names([pattern], *lines)]
    assert found == ["*KeyError: *", "RetriesExhausted: *"]


PYTHON_TRACE = "Traceback (most recent call last):\n  File \"/app/tasks.py\", line 7, in charge\nKeyError: 'street'\n"
ERRORS = [
    (
        lambda_record({
            "errorMessage": "'street'", "errorType": "KeyError", "requestId": "e4",
            "stackTrace": ['  File "/var/task/orders/app.py", line 7, in handler\n    order["street"]\n'],
        }),
        "RetriesExhausted: KeyError: 'street' in handler (orders/app.py)",
    ),
    (
        lambda_record({
            "errorType": "TypeError", "errorMessage": "x is not a function",
            "trace": ["TypeError: x is not a function", "    at charge (file:///var/task/charge.mjs:3:9)"],
        }),
        "RetriesExhausted: TypeError: x is not a function in charge (task/charge.mjs)",
    ),
    (
        lambda_record({
            "errorType": "com.acme.ChargeFailed", "errorMessage": "order 7",
            "stackTrace": ["com.acme.orders.Handler.handleRequest(Handler.java:12)"],
            "cause": {
                "errorType": "java.net.ConnectException", "errorMessage": "Connection refused",
                "stackTrace": ["java.base/sun.nio.ch.Net.poll(Native Method)", "com.acme.Client.post(Client.java:7)"],
            },
        }),
        "java.net.ConnectException: Connection refused in com.acme.Client.post (Client.java)",
    ),
    (lambda_record(None, "EventAgeExceeded"), "EventAgeExceeded"),
    (
        fault(7),
        "Npgsql.PostgresException: 40001: conflict in Acme.Orders.Consumer.Consume (src/Consumer.cs)",
    ),
    (dramatiq(7, PYTHON_TRACE), "KeyError: 'street' in charge (app/tasks.py)"),
    ('{"errorType": "Runtime.ExitError", "errorMessage": "exit status 137"}', "Runtime.ExitError: exit status 137"),
    (sns(lambda_record({"errorMessage": "no", "errorType": "A"})), "RetriesExhausted: A: no"),
    (
        json.dumps({"messageType": ["urn:message:Acme:SubmitOrder"], "message": {"orderId": 7},
                    "headers": {"MT-Fault-ExceptionType": "Acme.OrderFailed", "MT-Fault-Message": "HTTP 503"}}),
        "Acme.OrderFailed: HTTP 503",
    ),
    (
        json.dumps({"Body": "PHhtbC8+", "Headers": {
            "NServiceBus.EnclosedMessageTypes": "Acme.SubmitOrder, Acme, Version=1.0.0.0",
            "NServiceBus.ExceptionInfo.ExceptionType": "System.TimeoutException",
            "NServiceBus.ExceptionInfo.Message": "gone",
            "NServiceBus.ExceptionInfo.StackTrace":
                "System.TimeoutException: gone\r\n   at Acme.Handler.Handle(Order o) in C:\\src\\Handler.cs:line 9",
        }}),
        "System.TimeoutException: gone in Acme.Handler.Handle (src/Handler.cs)",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "cause"), ERRORS, ids=[cause[:40] for _, cause in ERRORS])
def test_cause_when_an_envelope_says_why(body: str, cause: str) -> None:
    """The error that a service or a framework writes into an envelope is the cause, and such a group may trip."""
    group = failure_group(letter(body))
    assert group.words == cause
    assert group.is_known
    assert failure_group(letter(body, cause="Stamped: it is")).words == "Stamped: it is"


@pytest.mark.parametrize(
    "body",
    [
        sns("[" * 200_000),
        sns(sns(sns(sns(sns(sns(sns("deep"))))))),
        base64.b64encode(b"[" * 400_000).decode(),
        base64.b64encode(gzip.compress(b"0" * 10 * BYTES_LIMIT)).decode(),
        "A" * 1_000_000,
        "A" * 999_999,
        packed(packed(packed(packed({"a": 1})))),
        json.dumps({"Records": [[]]}),
        json.dumps({"Records": []}),
        json.dumps({"headers": {"task": ""}, "body": 1}),
        json.dumps({"job": "", "data": {}}),
        json.dumps({"messageType": [1], "message": None}),
        json.dumps({"messageType": ["x"], "message": {"exceptions": [{"innerException": {"innerException": []}}]}}),
        json.dumps({"requestContext": {"functionArn": "", "condition": ""}, "responsePayload": {"errorMessage": ""}}),
        json.dumps({"errorMessage": "x" * 500_000, "errorType": "\u202e", "stackTrace": [1, None, '  File "\ud800']}),
        json.dumps({"specversion": "1.0", "type": "\x1b[31m\n", "source": "", "id": "", "data_base64": "!!!!"}),
        '{"a":' * 100_000,
        "H4sI" + "A" * 400,
    ],
    ids=range(18),
)
def test_group_when_an_envelope_is_hostile(body: str) -> None:
    """Bombs, loops, and types that nobody expects: a printable line and a plain id, within bounds."""
    group = failure_group(letter(body))
    assert group.words.isprintable()
    assert len(group.words) <= 200
    assert len(open_body(body).names) <= 5


def test_group_of_an_envelope_never_trips_when_it_says_no_cause() -> None:
    """A task's name is a kind of message, and no cause."""
    message = letter(celery(7), source=QUEUE.arn)
    history = DeadLetterHistory(recent_count=1_000)
    verdict = judge(message, POLICY, QUEUE, failure_group(message), history=history, uniform=0.5)
    assert verdict.kind is VerdictKind.RETRY


# --------------------------------------------------------------------------- pointers to S3

POINTERS = [
    '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"big-orders","s3Key":"7f/a b&<c>"}]',
    '["com.amazon.sqs.javamessaging.MessageS3Pointer",{"s3BucketName":"big-orders","s3Key":"7f/a b&<c>"}]',
    '{"S3BucketName":"big-orders","S3Key":"7f/a b&<c>"}',
]


@pytest.mark.parametrize("body", POINTERS)
@pytest.mark.parametrize("size", ["ExtendedPayloadSize", "SQSLargePayloadSize"])
def test_pointer_when_it_is_quarantined(body: str, size: str) -> None:
    """Its record names the object, the log says that it is not kept, and says nothing of where it is."""
    world = World()
    world.put_dead(body, moved=False, **{size: Attribute("Number", "300000")})
    (result,) = world.process()
    assert result.outcome == "quarantined"
    assert "Its body is an object in S3, which Sluice does not keep" in result.reason
    assert "big-orders" not in result.reason
    (entry,) = world.index()
    assert entry.excerpt.payload == "s3://big-orders/7f/a b&<c>"
    assert entry.cause.startswith("No cause stamped: body in S3 bucket big-orders")


@pytest.mark.parametrize(
    "body",
    [
        '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"UP/../x","s3Key":"k"}]',
        '["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"big-orders","s3Key":7}]',
        '["software.amazon.payloadoffloading.PayloadS3Pointer"]',
        '["another.Class",{"s3BucketName":"big-orders","s3Key":"k"}]',
        '["' + "x" * 5_000,
        "[" * 3_000,
        '{"s3BucketName":"big-orders","s3Key":"k"}',
    ],
)
def test_pointer_is_none_when_a_body_only_looks_like_one(body: str) -> None:
    """A class and an object with a bucket and a key, or a size that says that the body was put elsewhere."""
    assert payload_pointer(letter(body)) is None
    assert payload_pointer(letter(body, attributes={"size": text("7")})) is None
