"""The judgments about dead letters: failure groups, verdicts, the copy that is sent back, order and pace."""

import re
from dataclasses import replace
from typing import Any

import pytest

from sluice.config.fleet import Otherwise, RedrivePolicy
from sluice.model.redrive_jobs import JobState
from sluice.model.redriving import Attribute, Message, Verdict, VerdictKind
from sluice.ports.aws_services import QueueFacts
from sluice.redriving.causes.masking import masked
from sluice.redriving.failure_groups import SOURCE, Cause, failure_group
from sluice.redriving.jobs.rules import CATCH_UP_S, batch_limit, next_send_at, overlaps, with_return
from sluice.redriving.letter_history import LetterPast
from sluice.redriving.message_copy import (
    ATTEMPTS,
    COPY_OF,
    FIRST_SENT_AT,
    CarriedCount,
    Origin,
    body_key,
    carried_count,
    copy_of,
    first_sent_at,
    origin_of,
    send_rounds,
)
from sluice.redriving.verdict import DeadLetterHistory, backoff_s, judge
from tests.support.redrive_jobs import changed_job, redrive_job
from tests.support.redrive_worlds import START, letter, text

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
QUEUE = QueueFacts(url=URL, arn=ARN, fifo=False, retention_s=345_600, max_bytes=1_000)
FIFO = replace(QUEUE, url=f"{URL}.fifo", arn=f"{ARN}.fifo", fifo=True)
POLICY = RedrivePolicy(max_retries=3, base_delay_s=10, max_delay_s=60)
NEW = DeadLetterHistory()


def judged(
    message: Message, policy: RedrivePolicy, to: QueueFacts, history: DeadLetterHistory = NEW, uniform: float = 0.5
) -> Verdict:
    """The verdict on a message that SQS has moved from its queue, in its own failure group."""
    if not (message.source or message.attribute(SOURCE)):
        message = replace(message, source=to.arn)
    return judge(message, policy, to, failure_group(message), history=history, uniform=uniform)


JOB = redrive_job(
    id="job-1",
    fleet="orders",
    state=JobState.RUNNING,
    requested_at=START,
    requested_by="a test",
    updated_at=START,
    rate_per_s=4.0,
)


# --------------------------------------------------------------------------- failure groups


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("UnknownItem: sku-13", "UnknownItem: sku-77"),
        ("order 4711 not found", "order 3 not found"),
        ("timeout after 3.5 s", "timeout after 12,000 s"),
        ("no row 550e8400-e29b-41d4-a716-446655440000", "no row 00000000-0000-4000-8000-000000000001"),
        ("at 0x7f3a2b", "at 0x1"),
        ("digest deadbeef01 differs", "digest 0123456789abcdef0123456789abcdef differs"),
        ("at 2026-11-24T02:15:00Z", "at 2025-01-01 00:00:00.123+01:00"),
        ("trace 01ARZ3NDEKTSV4RRFFQ69G5FAV", "trace a8f3x"),
        ("customer c17", "customer c3"),
        ("Late:  twice   spaced", "late: twice spaced"),
        ("first line\nsecond line of 17", "first line\r\nanother"),
    ],
)
def test_failure_group_is_the_same_when_causes_differ_in_ids_numbers_times_or_case(one: str, other: str) -> None:
    """Like goes with like."""
    assert failure_group(letter(cause=one)).id == failure_group(letter(cause=other)).id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("UnknownItem: sku-13", "UnknownCustomer: sku-13"),
        ("KeyError: 'price'", "KeyError: 'sku'"),
        ("stock below zero", "stock above zero"),
    ],
)
def test_failure_group_differs_when_causes_differ_in_words(one: str, other: str) -> None:
    """What is different stays apart."""
    assert failure_group(letter(cause=one)).id != failure_group(letter(cause=other)).id


def test_failure_group_says_the_masked_cause_in_words_and_not_in_its_id_when_one_is_stamped() -> None:
    """An operator recognises a group by its words; its id, which is in logs, is of its kind and a hash."""
    group = failure_group(letter(cause="UnknownItem: sku-13"))
    assert (group.words, group.id) == ("UnknownItem: sku-<n>", "cause-955ab66109c2")


@pytest.mark.parametrize("body", ["hunter2 is my password", '{"hunter2": 1}', '{"hunter2', "[1]", ""])
def test_failure_group_id_holds_no_word_of_a_message_when_no_cause_is_stamped(body: str) -> None:
    """Kind and hash alone, whatever the body is."""
    assert re.fullmatch(r"(json|text)-[0-9a-f]{12}", failure_group(letter(body)).id)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ('{"id": 1, "items": [{"sku": "a"}]}', '{"items": [{"sku": "b"}, {"sku": "c"}], "id": 2}', True),
        ('{"id": 1}', '{"id": "1"}', False),
        ('{"id": 1, "note": null}', '{"id": 1, "note": "x"}', False),
        ('{"4711": {"n": 1}}', '{"4712": {"n": 5}}', True),
        ("order 17 please", "order 18 please", True),
        ("order 17 please", "cancel 17 please", False),
        ('{"id": 1', '{"id": 2', True),
        ("[1, 2]", "[3]", True),
        ("[]", "{}", False),
    ],
)
def test_failure_group_follows_the_body_s_shape_when_no_cause_is_stamped(one: str, other: str, same: bool) -> None:
    """Without a cause the shape of the body speaks, not its values."""
    assert (failure_group(letter(one)).id == failure_group(letter(other)).id) is same


def test_failure_group_tells_queues_and_attributes_apart_when_no_cause_is_stamped() -> None:
    """Where a message came from and what its producer calls its attributes are part of the fingerprint."""
    plain = letter("hello", source=ARN)
    elsewhere = letter("hello", source=f"{ARN}-2")
    typed = letter("hello", source=ARN, attributes={"tenant": text("a")})
    other_value = letter("hello", source=ARN, attributes={"tenant": text("b")})
    stamped_source = letter("hello", attributes={SOURCE: text(URL)})
    assert len({failure_group(message).id for message in (plain, elsewhere, typed)}) == 3
    assert failure_group(typed).id == failure_group(other_value).id
    assert failure_group(plain).id == failure_group(stamped_source).id


def test_failure_group_is_found_in_a_line_when_the_body_is_a_bomb() -> None:
    """Nesting, giant numbers and lone surrogates are grouped like anything else."""
    for body in ("[" * 200_000, '{"a":' * 100_000, '{"n":' + "9" * 50_000 + "}", "\ud800 lone", "", "\x00\x1b[31m"):
        group = failure_group(letter(body))
        assert len(group.id) <= 64
        assert group.words.isprintable()


def test_masked_shows_no_hidden_characters_when_a_cause_holds_some() -> None:
    """Escapes and bidi overrides of a cause do not reach a log or a page."""
    assert masked("pay\u202eload \x1b[31mred\u200bdone") == "pay load [<id> done"


# --------------------------------------------------------------------------- what a message carries


@pytest.mark.parametrize(
    ("stamp", "count"),
    [("0", 0), ("7", 7), ("-1", None), ("3.0", None), ("1e3", None), ("9" * 9, None), ("²", None), ("", None)],
)
@pytest.mark.parametrize("kind", ["Number", "String", "Number.java.lang.Integer"])
def test_carried_count_reads_only_a_plain_count_when_the_stamp_may_be_forged(
    stamp: str, count: int | None, kind: str
) -> None:
    """A producer can stamp what it likes; only a small whole number is a count, and anything else is at its limit."""
    carried = carried_count(letter(attributes={ATTEMPTS: Attribute(kind, stamp)}), QUEUE)
    assert (carried.count, carried.readable, carried.sealed) == (count, count is not None, False)
    assert carried_count(letter(), QUEUE) == CarriedCount()
    verdict = judged(letter(), POLICY, QUEUE, DeadLetterHistory(LetterPast(POLICY.max_retries, readable=False)), 0.5)
    assert "cannot be read" in verdict.sentence


def test_stamps_are_not_a_message_s_own_when_it_inherited_them() -> None:
    """A child that is published with its parent's attributes, or the same body in another queue, begins anew."""
    copy = copy_of(letter("parent", id="m-1"), 3, QUEUE, ("job-1", "a-group"))
    assert copy is not None
    assert (carried_count(copy.message, QUEUE).count, origin_of(copy.message, QUEUE)) == (
        3,
        Origin("m-1", "job-1", "a-group"),
    )
    child = replace(copy.message, id="m-2", body="child", first_sent_at=START)
    elsewhere = replace(QUEUE, arn=f"{ARN}-2")
    for message, queue in ((child, QUEUE), (copy.message, elsewhere)):
        assert carried_count(message, queue) == CarriedCount()
        assert origin_of(message, queue) is None
    assert first_sent_at(child, QUEUE) == START
    assert first_sent_at(copy.message, QUEUE) == START - 100


@pytest.mark.parametrize(
    ("stamp", "first"), [("1700000000.5", 1_700_000_000.5), ("nan", START), ("inf", START), ("-1", START), ("x", START)]
)
def test_first_sent_at_falls_back_to_sqs_s_own_time_when_the_stamp_is_unusable(stamp: str, first: float) -> None:
    """The true age survives redrives, and nonsense does not replace it."""
    message = letter(attributes={FIRST_SENT_AT: Attribute("Number", stamp)}, first_sent_at=START)
    assert first_sent_at(message, QUEUE) == first


@pytest.mark.parametrize(
    ("stamp", "origin"),
    [
        ("m-1", Origin("m-1")),
        ("m-1/job-1/a-group-12ab", Origin("m-1", "job-1", "a-group-12ab")),
        ("m-1/job-1", None),
        ("m-1/job-1/", None),
        ("m 1", None),
        ("../../x", None),
        ("m" * 101, None),
    ],
)
def test_origin_of_reads_only_what_sluice_could_have_written_when_the_stamp_may_be_forged(
    stamp: str, origin: Origin | None
) -> None:
    """What is read from a stamp becomes a key of the ledger: it has the form of one, or is nothing."""
    message_id, *job = stamp.split("/")
    copy = copy_of(letter("b", id=message_id), 1, QUEUE, tuple(job) or None)
    assert copy is not None
    assert origin_of(copy.message, QUEUE) == origin
    assert origin_of(letter("b", attributes={COPY_OF: text(stamp)}), QUEUE) == origin  # without its seal


def test_body_key_is_of_the_body_and_the_queue_alone() -> None:
    """A consumer may copy the body without attributes; on FIFO queues a message group is a line of its own."""
    plain = letter("a", attributes={"x": text("1")})
    fifo = replace(QUEUE, fifo=True)
    assert body_key(plain, QUEUE) == body_key(letter("a", id="m-2", message_group="g"), QUEUE)
    assert body_key(plain, fifo) != body_key(letter("a", message_group="g"), fifo)
    assert (
        len({body_key(plain, QUEUE), body_key(letter("b"), QUEUE), body_key(plain, replace(QUEUE, arn=f"{ARN}-2"))})
        == 3
    )


# --------------------------------------------------------------------------- the copy


def test_copy_of_keeps_the_message_and_drops_the_stamps_of_the_failure_when_it_is_sent_back() -> None:
    """A copy is the message whole, with its count, its origin and its age, and without its last cause."""
    own = {"scan": Attribute("Binary.png", binary=b"\x00\xff"), "weight": Attribute("Number.kg", "1.250")}
    message = letter("body", attributes={**own, SOURCE: text(ARN)}, cause="Broken: it is")
    copy = copy_of(message, 2, QUEUE, ("job-1", "a-group"))
    assert copy is not None
    assert copy.carries_attempts
    assert (copy.message.id, copy.message.body) == (message.id, "body")
    assert dict(copy.message.attributes) == own | {
        ATTEMPTS: Attribute(dict(copy.message.attributes)[ATTEMPTS].type, "2"),
        COPY_OF: Attribute(dict(copy.message.attributes)[COPY_OF].type, "m-1/job-1/a-group"),
        FIRST_SENT_AT: Attribute("Number", f"{START - 100:.3f}"),
    }


def test_copy_of_takes_the_older_age_along_when_the_message_carries_one() -> None:
    """The first sending is that of the first copy, not of the last."""
    old = Attribute("Number", "1700000000.000")
    copy = copy_of(letter(attributes={FIRST_SENT_AT: old}), 1, QUEUE)
    assert copy is not None
    assert dict(copy.message.attributes)[FIRST_SENT_AT] == old


@pytest.mark.parametrize(
    ("own_count", "retried", "redriven"),
    [
        (5, {ATTEMPTS, COPY_OF, FIRST_SENT_AT}, {ATTEMPTS, COPY_OF, FIRST_SENT_AT}),
        # With the origin as well, the consumer would have no room for cause and source when it fails again.
        (6, {ATTEMPTS, FIRST_SENT_AT}, {ATTEMPTS, COPY_OF, FIRST_SENT_AT}),
        (7, {ATTEMPTS, COPY_OF, FIRST_SENT_AT}, {ATTEMPTS, COPY_OF, FIRST_SENT_AT}),  # it has none in any case
        (8, {ATTEMPTS, FIRST_SENT_AT}, {ATTEMPTS, COPY_OF}),
        (9, {ATTEMPTS}, {ATTEMPTS}),
        (10, set(), set()),
    ],
)
def test_copy_of_stamps_in_order_of_use_when_attributes_run_out(
    own_count: int, retried: set[str], redriven: set[str]
) -> None:
    """Ten attributes are all there is: the count matters most, and none of the message's own is dropped."""
    own = {f"a{i}": text("x") for i in range(own_count)}
    for stamped, job in ((retried, None), (redriven, ("job-1", "a-group"))):
        copy = copy_of(letter("b", attributes=own), 1, QUEUE, job)
        assert copy is not None
        names = {name for name, _ in copy.message.attributes}
        assert names == set(own) | stamped
        assert copy.carries_attempts is (ATTEMPTS in stamped)


@pytest.mark.parametrize(("size", "fits", "carries"), [(500, True, True), (1_000, True, False), (1_001, False, False)])
def test_copy_of_is_none_only_when_the_bare_message_is_more_than_the_queue_takes(
    size: int, fits: bool, carries: bool
) -> None:
    """At the size limit a message still goes, unstamped; above it no queue would take it."""
    copy = copy_of(letter("é" * (size // 2) + "x" * (size % 2)), 1, QUEUE)
    assert (copy is not None) is fits
    assert (copy is not None and copy.carries_attempts) is carries


# --------------------------------------------------------------------------- the verdict


@pytest.mark.parametrize(
    ("attempts", "kind", "attempt"),
    [
        (0, VerdictKind.RETRY, 1),
        (2, VerdictKind.RETRY, 3),
        (3, VerdictKind.QUARANTINE, 3),
        (99, VerdictKind.QUARANTINE, 99),
    ],
)
def test_judge_retries_max_retries_times_when_a_message_keeps_failing(
    attempts: int, kind: VerdictKind, attempt: int
) -> None:
    """Three retries, then quarantine."""
    verdict = judged(letter(), POLICY, QUEUE, DeadLetterHistory(LetterPast(attempts), None), 0.5)
    assert (verdict.kind, verdict.attempt) == (kind, attempt)


def test_judge_quarantines_at_once_when_the_policy_allows_no_retry() -> None:
    """max_retries 0 turns retries off."""
    verdict = judged(letter(), RedrivePolicy(max_retries=0), QUEUE, DeadLetterHistory(LetterPast(0), None), 0.0)
    assert verdict.kind is VerdictKind.QUARANTINE


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (ARN, "retry"),
        (URL, "retry"),
        ("https://eu-west-1.queue.amazonaws.com/123456789012/orders", "retry"),
        ("https://vpce-1a-2b.sqs.eu-west-1.vpce.amazonaws.com/123456789012/orders", "retry"),
        ("orders", "retry"),
        (f"{ARN}-2", "quarantine"),
        (ARN.replace("123456789012", "210987654321"), "quarantine"),  # a namesake in another account
        (ARN.replace("eu-west-1", "us-east-1"), "quarantine"),  # ... in another region
        (URL.replace("123456789012", "210987654321"), "quarantine"),
    ],
)
def test_judge_sends_back_only_to_where_a_message_came_from(source: str, kind: str) -> None:
    """A shared dead-letter queue does not mix its sources up."""
    for message in (letter(source=source), letter(attributes={SOURCE: text(source)})):
        assert judged(message, POLICY, QUEUE, DeadLetterHistory(LetterPast(0), None), 0.5).kind == kind


def test_judge_believes_sqs_over_the_message_when_they_name_different_sources() -> None:
    """What SQS tells cannot be forged by a producer."""
    message = letter(source=ARN, attributes={SOURCE: text(f"{ARN}-2")})
    assert judged(message, POLICY, QUEUE, DeadLetterHistory(LetterPast(0), None), 0.5).kind is VerdictKind.RETRY


def test_judge_quarantines_whole_when_a_message_is_more_than_its_queue_takes() -> None:
    """It is kept and said why; nothing is cut off."""
    verdict = judged(letter("x" * 1_001), POLICY, QUEUE, DeadLetterHistory(LetterPast(0), None), 0.5)
    assert verdict.kind is VerdictKind.QUARANTINE
    assert "1001 bytes" in verdict.sentence


def test_judge_follows_into_the_same_group_when_an_earlier_message_of_the_message_group_is_there() -> None:
    """FIFO: what is behind a quarantined message waits behind it, in its failure group."""
    held = Cause("first-12ab", "First: it was")
    verdict = judged(letter(cause="Other: it is"), POLICY, FIFO, DeadLetterHistory(held_in=held), 0.5)
    assert (verdict.kind, verdict.failure_group, verdict.cause) == (VerdictKind.QUARANTINE, held.id, held.words)


@pytest.mark.parametrize("waited_s", [0.0, 7.0, 1_000.0])
def test_judge_counts_the_wait_in_a_fifo_dead_letter_queue(waited_s: float) -> None:
    """FIFO queues know no delay per message: the dead letter waits where it is, and what it has waited counts."""
    history = DeadLetterHistory(LetterPast(2), waited_s=waited_s)
    backoff = backoff_s(POLICY, 2, 0.5)
    assert backoff > 7
    assert judged(letter(message_group="g"), POLICY, FIFO, history, 0.5).delay_s == max(0.0, backoff - waited_s)
    assert judged(letter(message_group="g"), POLICY, QUEUE, history, 0.5).delay_s == backoff


@pytest.mark.parametrize(
    ("attempts", "uniform", "delay_s"),
    [(0, 0.0, 5.0), (0, 0.5, 7.5), (1, 0.5, 15.0), (2, 0.0, 20.0), (3, 0.0, 30.0), (99, 0.5, 45.0)],
)
def test_backoff_s_is_a_share_of_the_exponential_delay_when_retries_add_up(
    attempts: int, uniform: float, delay_s: float
) -> None:
    """Between half and all of min(60, 10 * 2^redrives)."""
    assert backoff_s(POLICY, attempts, uniform) == delay_s


def test_retries_outlast_an_ordinary_outage_by_default() -> None:
    """A quarter of an hour at least, and half an hour at most."""
    policy = RedrivePolicy()
    for uniform, total_s in ((0.0, 900.0), (1.0, 1_800.0)):
        assert sum(backoff_s(policy, attempt, uniform) for attempt in range(policy.max_retries)) == total_s


# --------------------------------------------------------------------------- order, pace, jobs


def test_rounds_send_one_of_each_message_group_when_the_queue_is_fifo() -> None:
    """Within a message group each waits for the one before it; groups do not wait for each other."""
    messages = [letter(message_group=group) for group in ("a", "b", "a", "a", "c", "b")]
    assert send_rounds(messages, FIFO) == ((0, 1, 4), (2, 5), (3,))


def test_rounds_are_one_when_the_queue_is_standard() -> None:
    """On a standard queue a message group is a tenant, and orders nothing."""
    messages = [letter(message_group=group) for group in ("a", "a", None)]
    assert send_rounds(messages, QUEUE) == ((0, 1, 2),)
    assert send_rounds([], QUEUE) == ()


POLICY_OF_CAUSES = RedrivePolicy(permanent=("UnknownItem*", "*schema*"), transient=("timeout*",), burst_count=5)


@pytest.mark.parametrize(
    ("cause", "recent_count", "kind", "said"),
    [
        ("UnknownItem: no item tea-7", 1, VerdictKind.QUARANTINE, "permanent"),
        ("bad SCHEMA: version 3", 1, VerdictKind.QUARANTINE, "permanent"),
        ("KeyError: 'street'", 4, VerdictKind.RETRY, "Retry 1"),
        ("KeyError: 'street'", 5, VerdictKind.QUARANTINE, "tripped, with 5 dead letters"),
        ("timeout: payment", 4, VerdictKind.RETRY, "Retry 1"),
        ("timeout: payment", 500, VerdictKind.QUARANTINE, "passes by itself"),
    ],
)
def test_judge_goes_by_the_policy_when_it_names_causes(
    cause: str, recent_count: int, kind: VerdictKind, said: str
) -> None:
    """Permanent causes are not retried, a group that bursts is not, and a burst of transient ones is held."""
    verdict = judged(letter(cause=cause), POLICY_OF_CAUSES, QUEUE, DeadLetterHistory(recent_count=recent_count))
    assert verdict.kind is kind
    assert said in verdict.sentence


@pytest.mark.parametrize(
    ("cause", "policy", "held"),
    [
        ("HTTP 503: busy", {}, True),
        ("HTTPError: 503 Service Unavailable", {}, True),
        ("x.Root: Connection refused", {}, True),
        ("Read timed out", {}, True),
        ("ThrottlingException: Rate exceeded", {}, True),
        ("HTTP 400: no such order", {}, False),
        ("KeyError: 'street'", {}, False),
        ("KeyError: 'street'", {"transient": ("KeyError*",)}, True),
        ("HTTP 503: busy", {"permanent": ("HTTP 503*",)}, False),
        ("HTTP 503: busy", {"otherwise": Otherwise.QUARANTINE}, False),
        ("HTTP 503: busy", {"release_within_s": 0}, False),
    ],
)
def test_judge_holds_a_burst_when_its_cause_passes_by_itself(cause: str, policy: dict[str, Any], held: bool) -> None:
    """The policy's lists speak first; without them a peer that is away, late or busy passes by itself."""
    history = DeadLetterHistory(recent_count=20)
    verdict = judged(letter(cause=cause), RedrivePolicy(**policy), QUEUE, history)
    assert (verdict.kind, verdict.held) == (VerdictKind.QUARANTINE, held)


OUTAGES = (
    # A status, as clients, servers and logs write it.
    "upstream returned 503", "HTTP/1.1 503", "HTTPError: 503", "HTTP error 502 from payments",
    '{"status": 503, "order": 17}', "statusCode: 503", "StatusCode=504", "[503] busy", "Http503Exception: down",
    "Request failed with status code 429", "504 Gateway Time-out",
    # AWS's own errors.
    "ServiceUnavailableException: try later", "TooManyRequestsException: no", "ThrottledException",
    "An error occurred (ProvisionedThroughputExceededException) when calling the PutItem operation",
    "An error occurred (SlowDown) when calling the PutObject operation", "RequestLimitExceeded: no", "Rate exceeded",
    'EndpointConnectionError: Could not connect to the endpoint URL: "https://x"',
    # Late.
    'Get "https://pay": context deadline exceeded', "rpc error: code = DeadlineExceeded desc = x",
    "4 DEADLINE_EXCEEDED: Deadline exceeded", "ESOCKETTIMEDOUT", "dial tcp 10.0.0.1:5432: i/o timeout",
    # Connections that were refused, reset or lost.
    "psycopg2.OperationalError: server closed the connection unexpectedly", "MySQL server has gone away",
    "(2013, 'Lost connection to MySQL server during query')", "(2003, \"Can't connect to MySQL server on 'db' (111)\")",
    "CommunicationsException: Communications link failure", "redis.ConnectionError: Connection closed by server.",
    "('Connection aborted.', RemoteDisconnected('Remote end closed connection without response'))", "socket hang up",
    "write EPIPE", "java.io.IOException: Broken pipe", "[Errno 113] No route to host", "SQLSTATE[08006] [7] gone",
    "SocketException (10061): No connection could be made because the target machine actively refused it.",
    "SocketException (10054): An existing connection was forcibly closed by the remote host.",
    "14 UNAVAILABLE: No connection established", "rpc error: code = Unavailable desc = closing",
    "ORA-12541: TNS:no listener", "ORA-03113: end-of-file on communication channel",
    # Names that are not found for now, and databases that start, end or are full.
    "getaddrinfo EAI_AGAIN db", "[Errno -3] Temporary failure in name resolution",
    "FATAL: the database system is starting up", "FATAL: terminating connection due to administrator command",
    "FATAL: sorry, too many clients already", "Too many connections", "Deadlock found when trying to get lock",
)  # fmt: skip


@pytest.mark.parametrize("cause", OUTAGES)
def test_judge_holds_a_burst_of_an_ordinary_outage(cause: str) -> None:
    """As drivers, clients and services say that a peer is away, late or busy, with the policy's defaults."""
    verdict = judged(letter(cause=cause), RedrivePolicy(), QUEUE, DeadLetterHistory(recent_count=20))
    assert (verdict.kind, verdict.held) == (VerdictKind.QUARANTINE, True)


@pytest.mark.parametrize(
    "cause",
    [
        "HTTP 404", "HTTP 500: boom", "order 503 not found", "got 503 items", "SQLCODE=-503, SQLSTATE=42912",
        "ORA-00504: no", "Error 1503: no", "SQLSTATE[23505]: duplicate key", "item 17 is unavailable",
        "LimitExceeded: the message is too large", "item 14 unavailable", "order time out of range",
        "no such host: pay.acme.example", "exit status 137",
    ],
)  # fmt: skip
def test_judge_holds_no_burst_of_a_cause_that_only_reads_like_an_outage(cause: str) -> None:
    """Numbers that are no status, and what does not pass by itself: an operator decides at once."""
    verdict = judged(letter(cause=cause), RedrivePolicy(), QUEUE, DeadLetterHistory(recent_count=20))
    assert (verdict.kind, verdict.held) == (VerdictKind.QUARANTINE, False)


def test_judge_retries_a_transient_burst_when_nothing_is_released_by_itself() -> None:
    """release_within_s 0: who releases nothing lets transient causes go on with their retries."""
    policy = RedrivePolicy(transient=("timeout*",), burst_count=5, release_within_s=0)
    history = DeadLetterHistory(recent_count=500)
    assert judged(letter(cause="timeout: db"), policy, QUEUE, history).kind is VerdictKind.RETRY


CHAIN = "x.Outer: it broke\n\tat x.Y.z(Y.java:7)\nCaused by: x.Root: no\n"


@pytest.mark.parametrize(
    ("pattern", "cause", "kind"),
    [
        ("HTTP 503*", "HTTP 503: busy", VerdictKind.RETRY),
        ("HTTP 503*", "HTTP 400: no such order", VerdictKind.QUARANTINE),
        ("order 17 is late", "order 17 is late", VerdictKind.RETRY),
        ("order <n> is late", "order 17 is late", VerdictKind.RETRY),
        ("[Errno 111]*", "[Errno 111] Connection refused", VerdictKind.RETRY),
        ("[[]Errno 111]*", "[Errno 111] Connection refused", VerdictKind.QUARANTINE),
        ("x.Outer: it broke", CHAIN, VerdictKind.RETRY),
        ("x.Root: no", CHAIN, VerdictKind.RETRY),
        ("x.Root: no in x.Y.z (Y.java)", CHAIN, VerdictKind.RETRY),
        ("*Y.java:7*", CHAIN, VerdictKind.QUARANTINE),
    ],
)
def test_judge_sees_the_cause_as_it_was_said_when_a_pattern_names_it(
    pattern: str, cause: str, kind: VerdictKind
) -> None:
    """Patterns see the raw cause, each exception of its chain, and the group's title; brackets are brackets."""
    policy = RedrivePolicy(transient=(pattern,), otherwise=Otherwise.QUARANTINE)
    assert judged(letter(cause=cause), policy, QUEUE).kind is kind


@pytest.mark.parametrize("body", ['{"order": 17}', "[1]", "pay order 17", '{"order'])
def test_judge_never_trips_a_group_by_shape_alone(body: str) -> None:
    """Messages of one form have no cause in common that is known: a thousand of them are retried like one."""
    history = DeadLetterHistory(recent_count=1_000)
    assert judged(letter(body), RedrivePolicy(burst_count=5), QUEUE, history).kind is VerdictKind.RETRY
    stamped = letter(body, cause="KeyError: 'street'")
    assert judged(stamped, RedrivePolicy(burst_count=5), QUEUE, history).kind is VerdictKind.QUARANTINE


def test_judge_retries_transient_causes_alone_when_the_rest_is_for_quarantine() -> None:
    """`otherwise: quarantine` turns the policy round; retries still come to an end."""
    policy = RedrivePolicy(transient=("timeout*",), otherwise=Otherwise.QUARANTINE, max_retries=2)
    assert judged(letter(cause="odd"), policy, QUEUE).kind is VerdictKind.QUARANTINE
    assert judged(letter(), policy, QUEUE).kind is VerdictKind.QUARANTINE
    assert (
        judged(letter(cause="Timeout: db"), policy, QUEUE, DeadLetterHistory(LetterPast(1))).kind is VerdictKind.RETRY
    )
    assert (
        judged(letter(cause="Timeout: db"), policy, QUEUE, DeadLetterHistory(LetterPast(2))).kind
        is VerdictKind.QUARANTINE
    )


def test_judge_never_trips_when_the_policy_says_so() -> None:
    """burst_count 0: every message is retried by itself."""
    policy = RedrivePolicy(burst_count=0)
    assert judged(letter(cause="odd"), policy, QUEUE, DeadLetterHistory(recent_count=9_999)).kind is VerdictKind.RETRY


@pytest.mark.parametrize(
    ("rate_per_s", "count", "fifo_count"),
    [(0.01, 1, 1), (0.9, 1, 1), (4.0, 4, 4), (9.99, 9, 9), (50, 50, 10), (10_000, 500, 10)],
)
def test_due_is_a_second_s_worth_and_a_load_at_most_when_a_job_may_send(
    rate_per_s: float, count: int, fifo_count: int
) -> None:
    """No second sees more than the rate, or one message; FIFO loads are small, since a doubt holds others up."""
    job = changed_job(JOB, rate_per_s=rate_per_s)
    assert (batch_limit(job, QUEUE), batch_limit(job, FIFO)) == (count, fifo_count)


def test_paced_catches_up_with_seconds_and_not_with_a_minute() -> None:
    """A message's delay has whole seconds; a minute in which nothing was sent is no credit for a burst."""
    pacing = changed_job(JOB, next_at=START).pacing
    assert next_send_at(pacing, 4, began_at=START + 1.3) == START + 1
    assert next_send_at(pacing, 4, began_at=START + 60) == START + 60 - CATCH_UP_S + 1
    assert next_send_at(changed_job(JOB, next_at=START + 5).pacing, 4, began_at=START) == START + 6


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, True),
        ({}, {"failure_group": "a"}, True),
        ({"failure_group": "a"}, {"failure_group": "a"}, True),
        ({"failure_group": "a"}, {"failure_group": "b"}, False),
        ({"message_id": "m"}, {"message_id": "m"}, True),
        ({"message_id": "m"}, {"message_id": "n"}, False),
        ({"message_id": "m"}, {}, True),
        ({"message_id": "m"}, {"failure_group": "a"}, False),
        ({"from_dead_letters": True}, {}, False),
        ({"from_dead_letters": True}, {"from_dead_letters": True}, True),
    ],
)
def test_overlap_is_seen_when_two_jobs_select_the_same(
    one: dict[str, object], other: dict[str, object], expected: bool
) -> None:
    """A second request for what is being sent is refused; for anything else it is not."""
    first, second = changed_job(JOB, **one), changed_job(JOB, **other)  # type: ignore[arg-type] # the table's
    assert overlaps(first, second) is expected
    assert overlaps(second, first) is expected


def test_returned_stops_the_job_when_it_is_for_one_failure_group() -> None:
    """A group that fails again is stopped at once."""
    job = with_return(changed_job(JOB, failure_group="a"), "a", "Message m came back.", START + 9)
    assert (job.state, job.progress.returned_count, job.progress.stopped_groups) == (JobState.STOPPED, 1, ("a",))
    assert job.note == "Stopped: a message it sent failed again. Message m came back."


def test_returned_leaves_that_group_out_when_the_job_is_for_all() -> None:
    """The other groups go on."""
    job = with_return(with_return(JOB, "a", "", START), "a", "", START)
    assert (job.state, job.progress.returned_count, job.progress.stopped_groups) == (JobState.RUNNING, 2, ("a",))


@pytest.mark.parametrize("state", [JobState.STOPPED, JobState.PAUSED, JobState.WATCHING, JobState.CAME_BACK])
def test_returned_is_noted_and_changes_nothing_else_when_the_job_sends_nothing(state: JobState) -> None:
    """A late return is on record."""
    job = with_return(changed_job(JOB, state=state, failure_group="a", note="3 of 3 sent."), "a", "", START)
    assert (job.state, job.progress.returned_count, job.note) == (state, 1, "3 of 3 sent.")
