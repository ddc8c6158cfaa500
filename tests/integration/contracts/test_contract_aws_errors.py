"""Errors of the ports on AWS: split by what to do about them, the fix named, and nothing sent twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    ParamValidationError,
    ReadTimeoutError,
)

from sluice.aws import SqsQueue, connect
from sluice.aws.clients import ATTEMPTS, Clients
from sluice.aws.errors import Thing, asking
from sluice.aws.table import CONFLICT_ATTEMPTS, Table
from sluice.model.draining import HookAction, HookResult, StopOrder
from sluice.model.launches import Launch
from sluice.model.queue_metrics import QueueMetrics
from sluice.model.redriving import Message
from sluice.ports.aws_services import EARLIER_FAILED
from sluice.ports.errors import ConflictError, LostAnswerError, NeedsFixError, PortError, RefusedError, TryLaterError
from sluice.ports.stack import Ports
from sluice.redriving.letter_results import LetterOutcome
from sluice_tools.sandbox.sandbox import Sandbox
from tests.integration.contract_worlds import FAKE, AwsWorld
from tests.support import redrive_worlds
from tests.support.metrics import metrics_of

QUEUE = "https://sqs.eu-central-1.amazonaws.com/123456789012/orders"
THING = Thing("sqs", f"queue {QUEUE}", "create it")
SETTINGS = {"SLUICE_STACK": "s", "SLUICE_TABLE": "t", "SLUICE_BUCKET": "b", "SLUICE_FLEETS_PATH": "/sluice/s/fleets/"}


def answer(code: str, status: int = 400, operation: str = "SendMessageBatch", message: str = "said AWS") -> ClientError:
    """An error as botocore raises it for an answer."""
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, operation)


def translated(error: Exception) -> PortError:
    """What leaves the edge for an error of botocore."""
    with pytest.raises(PortError) as caught, asking(THING):
        raise error
    assert caught.value.__cause__ is error
    assert QUEUE in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("ThrottlingException", 400, TryLaterError),
        ("RequestThrottled", 403, TryLaterError),
        ("ProvisionedThroughputExceededException", 400, TryLaterError),
        ("KmsThrottled", 400, TryLaterError),
        ("OverLimit", 403, TryLaterError),
        ("ScalingActivityInProgress", 400, TryLaterError),
        ("ResourceContention", 500, TryLaterError),
        ("TransactionConflictException", 400, TryLaterError),
        ("InternalFailure", 500, LostAnswerError),
        ("ServiceUnavailable", 503, LostAnswerError),
        ("SomethingNew", 502, LostAnswerError),
        ("RequestTimeout", 400, LostAnswerError),
        ("ConditionalCheckFailedException", 400, ConflictError),
        ("ValidationError", 400, RefusedError),
        ("InvalidParameterValue", 400, RefusedError),
        ("SomethingNew", 400, RefusedError),
        ("AccessDenied", 403, NeedsFixError),
        ("KMS.AccessDeniedException", 400, NeedsFixError),
        ("SomethingNew", 403, NeedsFixError),
        ("AWS.SimpleQueueService.NonExistentQueue", 400, NeedsFixError),
        ("QueueDoesNotExist", 400, NeedsFixError),
        ("ResourceNotFoundException", 400, NeedsFixError),
        ("NoSuchBucket", 404, NeedsFixError),
        ("KmsDisabled", 400, NeedsFixError),
        ("KMS.DisabledException", 400, NeedsFixError),
        ("KMS.NotFoundException", 400, NeedsFixError),
        ("KMS.OptInRequired", 400, NeedsFixError),
        ("KMS.ThrottlingException", 400, TryLaterError),
        ("InvalidClientTokenId", 403, NeedsFixError),
        ("ExpiredToken", 400, NeedsFixError),
    ],
)
def test_answer_is_split_by_what_to_do_about_it(code: str, status: int, kind: type[PortError]) -> None:
    """Later, never, by an operator, or read again: by the code, else by the status."""
    error = translated(answer(code, status))
    assert type(error) is kind
    assert code in str(error)


def test_lost_answer_is_to_be_tried_later() -> None:
    """Who does not care whether it went through treats it like a throttled request."""
    assert isinstance(translated(answer("InternalError", 500)), TryLaterError)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ReadTimeoutError(endpoint_url=QUEUE), LostAnswerError),
        (ConnectionClosedError(endpoint_url=QUEUE), LostAnswerError),
        (ConnectTimeoutError(endpoint_url=QUEUE), TryLaterError),
        (EndpointConnectionError(endpoint_url=QUEUE), TryLaterError),
        (ParamValidationError(report="no"), RefusedError),
        (NoCredentialsError(), NeedsFixError),
        (NoRegionError(), NeedsFixError),
    ],
)
def test_silence_is_split_by_whether_anything_was_asked(error: BotoCoreError, kind: type[PortError]) -> None:
    """What never reached AWS is told from what may have."""
    assert type(translated(error)) is kind


@pytest.mark.parametrize(
    ("operation", "message", "action"),
    [
        ("SendMessageBatch", "Access to the resource is denied.", "sqs:SendMessage"),
        ("DeleteMessageBatch", "Access to the resource is denied.", "sqs:DeleteMessage"),
        ("SendMessageBatch", "User: x is not authorized to perform: sqs:sendmessage on resource: y", "sqs:SendMessage"),
        ("SendMessageBatch", "User: x is not authorized to perform: kms:GenerateDataKey on y", "kms:GenerateDataKey"),
        ("GetQueueAttributes", "no", "sqs:GetQueueAttributes"),
    ],
)
def test_denial_names_the_action_to_grant(operation: str, message: str, action: str) -> None:
    """As a policy spells it, whatever the operation is called."""
    error = translated(answer("AccessDenied", 403, operation, message))
    assert f"{action} is not allowed: grant it to this function's role" in str(error)


# --------------------------------------------------------------------------- one request, or several


class Recorder(ThreadingHTTPServer):
    """A server that counts requests and answers each as `reply` does; None closes the connection without a word."""

    daemon_threads = True

    def __init__(self, reply: Callable[[], tuple[int, dict[str, str]] | None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.reply = reply
        self.count = 0
        self.user_agents: list[str] = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def environ(self) -> dict[str, str]:
        """Settings that lead to this server."""
        return {**FAKE, **SETTINGS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}"}


class Handler(BaseHTTPRequestHandler):
    """One request to a Recorder."""

    def do_POST(self) -> None:
        """Count it, and answer."""
        server = cast("Recorder", self.server)
        self.rfile.read(int(self.headers["Content-Length"]))
        server.count += 1
        server.user_agents.append(self.headers["User-Agent"])
        replied = server.reply()
        if replied is None:
            self.close_connection = True
            return
        status, document = replied
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[], tuple[int, dict[str, str]] | None]], Recorder]]:
    """Start recorders; all end with the test."""
    servers: list[Recorder] = []

    def start(reply: Callable[[], tuple[int, dict[str, str]] | None]) -> Recorder:
        servers.append(Recorder(reply))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
        server.thread.join()


Serve = Callable[[Callable[[], tuple[int, dict[str, str]] | None]], Recorder]
REPLIES: dict[str, Callable[[], tuple[int, dict[str, str]] | None]] = {
    "silence": lambda: None,
    "fault": lambda: (500, {"__type": "com.amazonaws.sqs#InternalError", "message": "sorry"}),
    "throttled": lambda: (400, {"__type": "com.amazonaws.sqs#ThrottlingException", "message": "slow down"}),
}


@pytest.mark.parametrize(
    ("reply", "kind"), [("silence", LostAnswerError), ("fault", LostAnswerError), ("throttled", TryLaterError)]
)
def test_sending_is_asked_once_whatever_comes_back(serve: Serve, reply: str, kind: type[PortError]) -> None:
    """A sending whose answer is lost is not repeated: the message may be in the queue already."""
    server = serve(REPLIES[reply])
    with pytest.raises(TryLaterError) as caught:
        connect(server.environ()).queue.send(QUEUE, [Message(id="m", body="b")], [0.0])
    assert type(caught.value) is kind
    assert server.count == 1


def test_every_service_is_told_who_asks(serve: Serve) -> None:
    """Sluice, by botocore: that is what CloudTrail and AWS's support go by."""
    server = serve(REPLIES["fault"])
    ports = connect(server.environ())
    for ask in (
        lambda: ports.queue.send(QUEUE, [Message(id="m", body="b")], [0.0]),
        lambda: ports.ledger.jobs.jobs("f"),
    ):
        with pytest.raises(LostAnswerError):
            ask()
    assert len(server.user_agents) == server.count > 1
    for user_agent in server.user_agents:
        assert user_agent.startswith("Botocore/")
        assert " sluice" in user_agent  # where Powertools is imported, it adds itself behind


@pytest.mark.parametrize("reply", REPLIES)
def test_reading_is_asked_again_when_it_fails(serve: Serve, reply: str) -> None:
    """What is harmless to repeat is repeated a few times before it is given up."""
    server = serve(REPLIES[reply])
    with pytest.raises(TryLaterError):
        connect(server.environ()).queue.read(QUEUE, 0.0)
    assert server.count == ATTEMPTS


def test_sending_was_surely_in_vain_when_nobody_listens(serve: Serve) -> None:
    """No connection, no doubt."""
    server = serve(REPLIES["silence"])
    environ = server.environ()
    server.shutdown()
    server.server_close()
    with pytest.raises(TryLaterError) as caught:
        connect(environ).queue.send(QUEUE, [Message(id="m", body="b")], [0.0])
    assert type(caught.value) is TryLaterError


# --------------------------------------------------------------------------- batches that fail in part


class FakeSqs:
    """SendMessageBatch that answers or raises, batch by batch, and remembers what it was asked."""

    def __init__(self, *replies: Exception | None) -> None:
        self.replies = list(replies)
        self.asked: list[list[str]] = []

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        """Answer with the next reply; every entry succeeded where that is None."""
        assert QueueUrl.startswith(QUEUE)
        self.asked.append([entry["MessageBody"] for entry in Entries])
        reply = self.replies.pop(0)
        if reply is not None:
            raise reply
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}


def queue_on(sqs: FakeSqs) -> SqsQueue:
    """The Queue port over a fake."""
    return SqsQueue(cast("Clients", SimpleNamespace(sqs_once=sqs)), at_once=1)


def letters(count: int) -> list[Message]:
    """Messages to send."""
    return [Message(id=f"m{number}", body=f"{number}") for number in range(count)]


def test_the_guilty_entry_is_found_when_a_batch_is_refused_as_a_whole() -> None:
    """Each entry is tried by itself, in order: one bad message never condemns the others."""
    sqs = FakeSqs(answer("BatchRequestTooLong"), None, answer("InvalidMessageContents"), None)
    sent = queue_on(sqs).send(QUEUE, letters(3), [0.0] * 3)
    assert sqs.asked == [["0", "1", "2"], ["0"], ["1"], ["2"]]
    assert sent.done == frozenset({0, 2})
    assert set(sent.failed) == {1} == set(sent.refused)


def test_first_batch_counts_when_the_second_is_throttled() -> None:
    """What was sent is answered as sent, the rest as failed for now."""
    sqs = FakeSqs(None, answer("ThrottlingException"), None)
    sent = queue_on(sqs).send(QUEUE, letters(21), [0.0] * 21)
    assert sent.done == frozenset({*range(10), 20})
    assert set(sent.failed) == set(range(10, 20))
    assert sent.refused == frozenset()


@pytest.mark.parametrize(
    ("code", "final"),
    [
        ("InvalidMessageContents", True),
        ("KMS.DisabledException", False),
        ("KmsAccessDenied", False),
        ("AccessDenied", False),
        ("RequestThrottled", False),
        ("AWS.SimpleQueueService.NonExistentQueue", False),
    ],
)
def test_entry_is_refused_for_good_only_when_it_is_the_messages_own_fault(code: str, final: bool) -> None:
    """SQS calls a key or a permission that is missing the sender's fault, too: the message may yet be sent."""

    class Failing(FakeSqs):
        def send_message_batch(self, **request: Any) -> dict[str, Any]:
            return {"Failed": [{"Id": "0", "Code": code, "SenderFault": True, "Message": "said AWS"}]}

    sent = queue_on(Failing()).send(QUEUE, letters(1), [0.0])
    assert set(sent.failed) == {0}
    assert code in sent.failed[0]
    assert sent.refused == (frozenset({0}) if final else frozenset())


@pytest.mark.parametrize("code", ["KMS.AccessDeniedException", "KMS.DisabledException", "KmsNotFound"])
def test_dead_letters_stay_and_the_key_is_named_when_a_queues_key_refuses(code: str) -> None:
    """By the shipped redriver: nothing is sent, nothing is quarantined for it, and what to put right is said."""
    world = redrive_worlds.World()
    world.put_dead("a")
    message = "User: x is not authorized to perform: kms:GenerateDataKey on resource: y"
    sqs = queue_on(FakeSqs(answer(code, message=message)))
    ports = replace(world.ports, queue=SimpleNamespace(send=lambda _url, *given: sqs.send(QUEUE, *given)))
    (result,) = world.processor(cast("Ports", ports)).process(world.receive())
    assert (result.outcome, world.index()) == (LetterOutcome.KEPT, ())
    assert ("kms:GenerateDataKey" if "AccessDenied" in code else "its KMS key cannot be used") in result.reason
    world.now += redrive_worlds.VISIBILITY_S
    assert [one.outcome for one in world.process()] == [LetterOutcome.RETRIED]


def test_nothing_was_sent_when_an_error_is_raised() -> None:
    """Any error but a lost answer leaves the caller free to do it all again."""
    with pytest.raises(NeedsFixError):
        queue_on(FakeSqs(answer("AccessDenied", 403))).send(QUEUE, letters(2), [0.0] * 2)


def test_entries_are_in_doubt_when_the_answer_to_their_batch_alone_is_lost() -> None:
    """What other batches were answered stands; of these nothing is said. Where nothing else was said, it is raised."""
    sqs = FakeSqs(None, answer("InternalError", 500), answer("ThrottlingException"))
    sent = queue_on(sqs).send(QUEUE, letters(21), [0.0] * 21)
    assert (sent.done, set(sent.failed)) == (frozenset(range(10)), {20})
    with pytest.raises(LostAnswerError):
        queue_on(FakeSqs(answer("InternalError", 500))).send(QUEUE, letters(2), [0.0] * 2)


def test_nothing_is_sent_behind_a_fifo_batch_when_its_answer_is_lost() -> None:
    """It may have been sent, or not: whatever follows it waits."""
    sqs = FakeSqs(None, answer("InternalError", 500), None)
    messages = [replace(message, message_group="a") for message in letters(4)]
    sent = queue_on(sqs).send(QUEUE + ".fifo", messages, [0.0] * 4)
    assert sqs.asked == [["0"], ["1"]]
    assert (sent.done, sent.failed) == (frozenset({0}), {2: EARLIER_FAILED, 3: EARLIER_FAILED})


def test_calls_are_made_together_when_there_are_many() -> None:
    """As many at once as allowed, and every entry answered in its place."""
    both = threading.Barrier(2, timeout=30)  # broken, and so an error, unless two calls meet

    class Meeting(FakeSqs):
        def send_message_batch(self, **request: Any) -> dict[str, Any]:
            both.wait()
            return super().send_message_batch(**request)

    sqs = Meeting(None, None, None, None)
    queue = SqsQueue(cast("Clients", SimpleNamespace(sqs=sqs, sqs_once=sqs)), at_once=2)
    sent = queue.send(QUEUE, letters(40), [0.0] * 40)
    assert (sent.done, sent.failed) == (frozenset(range(40)), {})


def test_pieces_go_side_by_side_and_their_calls_one_after_another() -> None:
    """Two pieces meet at their first calls; within each, its own thread makes all calls: no more are under way."""
    both = threading.Barrier(2, timeout=30)  # broken, and so an error, unless two pieces meet
    callers: dict[str, set[int]] = {"a": set(), "b": set()}

    class Meeting(FakeSqs):
        def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            callers[QueueUrl[-1]].add(threading.get_ident())
            if Entries[0]["Id"] == "0":
                both.wait()
            return super().send_message_batch(QueueUrl, Entries)

    sqs = Meeting(*[None] * 8)
    queue = SqsQueue(cast("Clients", SimpleNamespace(sqs=sqs, sqs_once=sqs)), at_once=2)
    works = [lambda name=name: queue.send(QUEUE + name, letters(40), [0.0] * 40) for name in callers]
    pieces = [queue.begin(work) for work in works]
    answers = [wait_for() for wait_for in pieces]
    assert [answer.done for answer in answers] == [frozenset(range(40))] * 2
    assert [len(threads) for threads in callers.values()] == [1, 1]
    assert callers["a"] != callers["b"]


def test_pieces_go_on_when_one_of_them_fails() -> None:
    """Its error is raised to who waits for it; and the threads serve whoever comes next."""
    sqs = FakeSqs(None, None, None, None)
    queue = SqsQueue(cast("Clients", SimpleNamespace(sqs=sqs, sqs_once=sqs)), at_once=2)
    failed, ended = threading.Event(), threading.Event()

    def fail() -> None:
        failed.set()
        raise TryLaterError("slow down")

    def go_on() -> None:
        assert failed.wait(30)
        ended.set()

    failing, going_on = queue.begin(fail), queue.begin(go_on)
    with pytest.raises(TryLaterError):
        failing()
    going_on()
    assert ended.is_set()
    assert queue.send(QUEUE, letters(40), [0.0] * 40).done == frozenset(range(40))


@pytest.mark.parametrize(
    ("at_once", "count", "rounds"),
    [
        (4, 200, [(50,) * 4]),
        (4, 315, [(40,) * 4, (40, 40, 40, 35)]),
        (4, 275, [(40,) * 4, (30, 30, 30, 25)]),
        (4, 2_000, [(50,) * 4] * 10),
        (4, 199, [(50, 50, 50, 49)]),
        (4, 25, [(10, 10, 5)]),
        (4, 7, [(7,)]),
        (4, 0, [(0,)]),
        (1, 130, [(50,), (40,), (40,)]),
        (1, 49, [(49,)]),
    ],
)
def test_load_is_divided_into_rounds(at_once: int, count: int, rounds: list[tuple[int, ...]]) -> None:
    """Of whole batches, as many parts as calls may be under way, each as large as the others."""
    queue = SqsQueue(cast("Clients", SimpleNamespace()), at_once=at_once)
    assert list(queue.rounds(count)) == rounds


def test_fifo_batch_has_one_message_of_a_group() -> None:
    """SQS takes a batch's entries each by itself: two of one group in it could change places."""
    sqs = FakeSqs(None, answer("ThrottlingException"), None)
    messages = [replace(message, message_group=group) for message, group in zip(letters(5), "abbab", strict=True)]
    sent = queue_on(sqs).send(QUEUE + ".fifo", messages, [0.0] * 5)
    assert sqs.asked == [["0", "1"], ["2", "3"]]
    assert sent.done == frozenset({0, 1})
    assert (sent.failed[4], sent.refused) == (EARLIER_FAILED, frozenset())


# --------------------------------------------------------------------------- transactions that meet


class FakeDynamo:
    """TransactWriteItems that fails some times."""

    def __init__(self, *codes: list[str]) -> None:
        self.cancelled = list(codes)
        self.count = 0

    def transact_write_items(self, **_: Any) -> dict[str, Any]:
        """Cancelled for the next reasons, or written."""
        self.count += 1
        if not self.cancelled:
            return {}
        error = answer("TransactionCanceledException", 400, "TransactWriteItems")
        error.response["CancellationReasons"] = [{"Code": code} for code in self.cancelled.pop(0)]
        raise error


def table_on(dynamo: FakeDynamo) -> tuple[Table, list[float]]:
    """A table over a fake, and the pauses it makes."""
    pauses: list[float] = []
    return Table(cast("Clients", SimpleNamespace(dynamodb=dynamo)), "ledger", pauses.append), pauses


def test_transaction_is_tried_again_when_it_met_another() -> None:
    """After pauses that differ, so that the two do not meet again."""
    dynamo = FakeDynamo(["None", "TransactionConflict"], ["TransactionConflict", "None"])
    table, pauses = table_on(dynamo)
    assert table.transact([]) == frozenset()
    assert dynamo.count == 3
    assert len(set(pauses)) == 2


def test_transaction_is_for_later_when_it_meets_others_all_the_time() -> None:
    """It ends, and says so."""
    dynamo = FakeDynamo(*[["TransactionConflict"]] * 99)
    table, _ = table_on(dynamo)
    with pytest.raises(TryLaterError, match="table ledger"):
        table.transact([])
    assert dynamo.count == CONFLICT_ATTEMPTS


@pytest.mark.parametrize(
    ("reasons", "kind"),
    [(["ValidationError"], RefusedError), (["AccessDenied"], NeedsFixError), (["ThrottlingError"], TryLaterError)],
)
def test_transaction_fails_as_its_reasons_say(reasons: list[str], kind: type[PortError]) -> None:
    """What cancelled it is not always a condition."""
    table, pauses = table_on(FakeDynamo(reasons))
    with pytest.raises(kind):
        table.transact([])
    assert pauses == []


def test_failed_conditions_are_named_by_index() -> None:
    """Also where another write of the transaction met a conflict: the condition decides."""
    table, _ = table_on(FakeDynamo(["None", "ConditionalCheckFailed", "TransactionConflict"]))
    assert table.transact([]) == frozenset({1})


# --------------------------------------------------------------------------- batches


class FakeBatches:
    """Batches of a table, of which some calls leave entries out: as many as `left_out` says, call by call."""

    def __init__(self, *left_out: int | ClientError) -> None:
        self.left_out = list(left_out)
        self.sizes: list[int] = []

    def _next(self, entries: list[Any]) -> tuple[list[Any], dict[str, Any]]:
        self.sizes.append(len(entries))
        left_out = self.left_out.pop(0) if self.left_out else 0
        if isinstance(left_out, ClientError):
            raise left_out
        done = len(entries) - left_out
        return entries[:done], {"ledger": entries[done:]} if left_out else {}

    def batch_write_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - botocore's name
        """Write some of them."""
        _, left = self._next(RequestItems["ledger"])
        return {"UnprocessedItems": left}

    def batch_get_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - botocore's name
        """Read some of them, last one first: DynamoDB answers in no order."""
        done, left = self._next(RequestItems["ledger"]["Keys"])
        unread = {"ledger": {"Keys": left["ledger"]}} if left else {}
        return {"Responses": {"ledger": done[::-1]}, "UnprocessedKeys": unread}


def batch_table(dynamo: FakeBatches) -> Table:
    """A table over it, which never waits."""
    return Table(cast("Clients", SimpleNamespace(dynamodb=dynamo)), "ledger", lambda _: None)


def records(count: int) -> list[dict[str, Any]]:
    """So many items."""
    return [{"pk": {"S": "p"}, "sk": {"S": f"s{number:03d}"}} for number in range(count)]


def test_batch_is_sent_again_as_far_as_it_was_left_out() -> None:
    """In calls of 25 writes and of 100 reads; every item is written, and each is read in its place."""
    writes, reads = FakeBatches(0, 7, 2), FakeBatches(0, 30)
    assert batch_table(writes).put_batch(records(60)) == (None,) * 60
    assert writes.sizes == [25, 25, 7, 2, 10]
    assert batch_table(reads).get_batch(records(140)) == records(140)
    assert reads.sizes == [100, 40, 30]


def test_batch_fails_for_what_is_left_out_again_and_again() -> None:
    """The others are written; of a reading nothing is known."""
    failed = batch_table(FakeBatches(2, 2, 2)).put_batch(records(5))
    assert failed[:3] == (None,) * 3
    assert all(isinstance(error, TryLaterError) for error in failed[3:])
    with pytest.raises(TryLaterError, match="2 items"):
        batch_table(FakeBatches(2, 2, 2)).get_batch(records(5))


def test_batch_fails_for_one_call_when_that_fails() -> None:
    """The writes of the other calls are made."""
    failed = batch_table(FakeBatches(answer("AccessDeniedException", 400))).put_batch(records(30))
    assert [type(error) for error in failed] == [NeedsFixError] * 25 + [type(None)] * 5


# --------------------------------------------------------------------------- settings and permissions


def test_no_client_is_made_until_a_port_is_used() -> None:
    """A cold start pays for what it uses, and for no more."""
    ports = connect({**FAKE, **SETTINGS})
    clients: Clients = ports.queue._clients  # type: ignore[attr-defined]
    made = {"sqs", "sqs_once", "autoscaling", "cloudwatch", "dynamodb", "s3", "ssm"}
    assert not made & set(vars(clients))
    assert clients.sqs is clients.sqs
    assert made & set(vars(clients)) == {"sqs"}


@pytest.mark.parametrize("name", SETTINGS)
def test_missing_setting_is_named(name: str) -> None:
    """Every one at once, in the words of the template."""
    with pytest.raises(NeedsFixError, match=name):
        connect({**FAKE, **{key: value for key, value in SETTINGS.items() if key != name}})
    with pytest.raises(NeedsFixError) as caught:
        connect(FAKE)
    assert all(setting in str(caught.value) for setting in SETTINGS)


@pytest.mark.parametrize("period", ["0", "1.5", "-6", "often"])
def test_metric_period_is_refused_when_not_whole_seconds(period: str) -> None:
    """It is for emulators, and a wrong one would read as silence."""
    with pytest.raises(NeedsFixError, match="SLUICE_MINUTE_S"):
        connect({**FAKE, **SETTINGS, "SLUICE_MINUTE_S": period})


COMMAND = "5c1d0a6e-0000-4000-8000-000000000001"
CALLS: dict[str, tuple[str, Callable[[Ports, str], object]]] = {
    "fleets.load": ("ssm:GetParametersByPath", lambda ports, _: ports.fleets.load()),
    "fleets.refresh": ("ssm:GetParameter", lambda ports, _: ports.fleets.refresh("one")),
    "group.launches": ("autoscaling:DescribeScalingActivities", lambda ports, _: ports.group.launches("g")),
    "group.refresh_began_at": (
        "autoscaling:DescribeInstanceRefreshes",
        lambda ports, _: ports.group.refresh_began_at("g"),
    ),
    "group.read": ("autoscaling:DescribeAutoScalingGroups", lambda ports, _: ports.group.read("g")),
    "group.set_desired": ("autoscaling:SetDesiredCapacity", lambda ports, _: ports.group.set_desired("g", 1)),
    "group.complete_hook": (
        "autoscaling:CompleteLifecycleAction",
        lambda ports, _: ports.group.complete_hook(HookAction("g", "h", "i-1"), HookResult.CONTINUE),
    ),
    "group.heartbeat": (
        "autoscaling:RecordLifecycleActionHeartbeat",
        lambda ports, _: ports.group.heartbeat(HookAction("g", "h", "i-1")),
    ),
    "signals.read_all": (
        "cloudwatch:GetMetricData",
        lambda ports, url: metrics_of(ports.signals, url, 1_800_000_000.0),
    ),
    "queue.read": ("sqs:GetQueueAttributes", lambda ports, url: ports.queue.read(url, 0.0)),
    "queue.receive": ("sqs:ReceiveMessage", lambda ports, url: ports.queue.receive(url, 1, 1.0)),
    "queue.send": ("sqs:SendMessage", lambda ports, url: ports.queue.send(url, letters(1), [0.0])),
    "queue.delete": ("sqs:DeleteMessage", lambda ports, url: ports.queue.delete(url, ["r"])),
    "queue.start_move": ("sqs:GetQueueAttributes", lambda ports, url: ports.queue.start_move(url, "arn", 1)),
    "queue.moves": ("sqs:GetQueueAttributes", lambda ports, url: ports.queue.moves(url)),
    "queue.hide": ("sqs:ChangeMessageVisibility", lambda ports, url: ports.queue.hide(url, "r", 1.0)),
    "queue.hold": ("sqs:ChangeMessageVisibility", lambda ports, url: ports.queue.hold(url, ["r"], 1.0)),
    "archive.store": ("s3:PutObject", lambda ports, _: ports.archive.store("orders", letters(1)[0])),
    "archive.load": ("s3:GetObject", lambda ports, _: ports.archive.load("key")),
    "archive.remove_all": ("s3:DeleteObject", lambda ports, _: ports.archive.remove_all(["key"])),
    "archive.remove": ("s3:DeleteObject", lambda ports, _: ports.archive.remove("key")),
    "instances.stop": ("ssm:SendCommand", lambda ports, _: ports.instances.stop(["i-1"], StopOrder(), 60.0)),
    "instances.command": ("ssm:ListCommandInvocations", lambda ports, _: ports.instances.command(COMMAND, "i-1")),
    "instances.commands_of": ("ssm:ListCommandInvocations", lambda ports, _: ports.instances.commands_of(COMMAND)),
    "instances.ended": ("ec2:DescribeInstances", lambda ports, _: ports.instances.ended(["i-1"])),
    "instances.unregistered": (
        "ssm:DescribeInstanceInformation",
        lambda ports, _: ports.instances.unregistered(["i-1"]),
    ),
    "instances.scheduled": ("ec2:DescribeInstanceStatus", lambda ports, _: ports.instances.scheduled()),
    "instances.is_spot": ("ec2:DescribeInstances", lambda ports, _: ports.instances.is_spot("i-1")),
    "group.membership": ("autoscaling:DescribeAutoScalingInstances", lambda ports, _: ports.group.membership("i-1")),
    "group.protect": (
        "autoscaling:SetInstanceProtection",
        lambda ports, _: ports.group.protect("g", ["i-1"], True),
    ),
    "group.end": (
        "autoscaling:TerminateInstanceInAutoScalingGroup",
        lambda ports, _: ports.group.end("g", "i-1"),
    ),
    "ledger.consumers.consumer": (
        "dynamodb:GetItem",
        lambda ports, _: ports.ledger.consumers.consumer("orders", "i-1"),
    ),
    "ledger.drains.drain": ("dynamodb:GetItem", lambda ports, _: ports.ledger.drains.drain("orders", "i-1")),
    "ledger.drains.all_of": ("dynamodb:Query", lambda ports, _: ports.ledger.drains.all_of("orders")),
    "ledger.planner_state.memories": (
        "dynamodb:BatchGetItem",
        lambda ports, _: ports.ledger.planner_state.memories(["orders"]),
    ),
    "ledger.launch_log.note_launch_event": (
        "dynamodb:PutItem",
        lambda ports, _: ports.ledger.launch_log.note_launch_event(Launch("g", "a", 1.0, 2.0), 2.0),
    ),
    "ledger.launch_log.launches": ("dynamodb:Query", lambda ports, _: ports.ledger.launch_log.launches(2.0)),
    "ledger.queue_metrics.queue_metrics": (
        "dynamodb:GetItem",
        lambda ports, _: ports.ledger.queue_metrics.queue_metrics("ticks/0000"),
    ),
    "ledger.queue_metrics.keep_queue_metrics": (
        "dynamodb:PutItem",
        lambda ports, _: ports.ledger.queue_metrics.keep_queue_metrics("ticks/0000", QueueMetrics()),
    ),
    "ledger.leases.acquire": (
        "dynamodb:PutItem",
        lambda ports, _: ports.ledger.leases.acquire("orders", "o", 2.0, 1.0),
    ),
    "ledger.leases.release": ("dynamodb:DeleteItem", lambda ports, _: ports.ledger.leases.release("orders", "o")),
    "ledger.failure_groups.note_failure": (
        "dynamodb:UpdateItem",
        lambda ports, _: ports.ledger.failure_groups.note_failure("orders", "g", "c", "s", 1.0),
    ),
}


@pytest.mark.sandbox
def test_fleets_are_loaded_when_earlier_versions_of_one_may_not_be_read(sandbox: Sandbox) -> None:
    """What to grant is told beside the fleets, which are all there but the one whose document is invalid."""
    world = AwsWorld("emulator", sandbox.env(), sandbox=sandbox)
    world.make_table()
    world.put_document("bad", "{}")
    queue = "https://sqs.eu-central-1.amazonaws.com/000000000000/good"
    world.put_document("good", {"queue": queue, "group": "good", "target_wait_s": 60})
    iam, name = world.client("iam"), world.environ["SLUICE_TABLE"]
    iam.create_user(UserName=name)
    allow = {"Effect": "Allow", "Action": "ssm:GetParametersByPath", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=name, PolicyName="list", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    credentials = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    loaded = connect({**world.environ, **credentials}).fleets.load(last_usable=True)
    assert [fleet.name for fleet in loaded.fleets] == ["good"]
    assert loaded.drain_only == ()
    (error,) = loaded.unread
    assert isinstance(error, NeedsFixError)
    assert "ssm:GetParameterHistory is not allowed: grant it" in str(error)


@pytest.fixture(scope="module")
def nobody(sandbox: Sandbox) -> tuple[Ports, str]:
    """The ports of a user who may do nothing, and a queue that exists."""
    world = AwsWorld("emulator", sandbox.env(), sandbox=sandbox)
    world.make_table()
    world.make_bucket()
    iam = world.client("iam")
    name = world.environ["SLUICE_TABLE"]
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    environ = {
        **world.environ,
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    return connect(environ), world.make_queue()


@pytest.mark.sandbox
@pytest.mark.parametrize("call", CALLS)
def test_missing_permission_is_named_with_its_action(nobody: tuple[Ports, str], call: str) -> None:
    """Every call, made by one who may do nothing, says what to grant."""
    ports, url = nobody
    action, ask = CALLS[call]
    with pytest.raises(NeedsFixError) as caught:
        ask(ports, url)
    assert action in str(caught.value)
    assert "grant" in str(caught.value)
