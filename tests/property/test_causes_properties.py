"""What holds of causes for every text: bounded, never raising, codes apart and numbers together."""

import base64
import json
import re
from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from sluice.config.cause_patterns import covers, names, one_line, unmatchable_problem
from sluice.redriving.causes.masking import CAUSE_LIMIT, masked
from sluice.redriving.causes.stack_traces import condensed, read_exception
from sluice.redriving.failure_groups import failure_group
from tests.support.redrive_worlds import letter

PARTS = (
    "\n", "\n", "Traceback (most recent call last):", '  File "/app/a.py", line 7, in f', "KeyError: 'a'", "panic: ",
    "\tat a.B.c(B.java:7)", "Caused by: ", " ---> ", "   at A.B() in /x.cs:line 7", "goroutine 1 [running]:",
    "main.f()", "\t/app/m.go:12", "    at f (/a.js:1:2)", "  [cause]: Error: x", "HTTP 503", "'", '"', "<", "/", "\\",
    ":", "@", "0x", "a@b.c", "1.2.3.4", " ", "é", "  | ", "  +-+---------------- 1 ----------------",
    "The above exception was the direct cause of the following exception:",
)  # fmt: skip
parts = st.sampled_from(PARTS)
texts = st.one_of(st.text(max_size=80), st.lists(st.one_of(parts, st.text(max_size=5)), max_size=30).map("".join))
numbers = st.integers(0, 10**12)
TEMPLATES = (
    "HTTP {}", "HTTP/1.1 {} from the shop", "status {}", "status code: {}", "statusCode={}", '{{"status": {}}}', "{}",
    "Request failed with status code {}", "HTTPError: {} at last", "server returned {}", "responded with {}.",
    "http{}Exception: down", "response code '{}'", "error {} from upstream",
    "{}: busy", "failed with {}", "httpStatus: {}", "[{}] busy",
)  # fmt: skip


@given(texts)
def test_cause_is_a_printable_line_when_a_text_says_anything(said: str) -> None:
    """Whatever it says: no error, a line within its limit, the same each time, and from the ledger's form as well."""
    raised = read_exception(said)
    assert all(line.isprintable() and len(line) <= 1_000 for line in (*raised.chain, raised.line, raised.place))
    group = failure_group(letter(cause=said))
    assert group.words.isprintable()
    assert 0 < len(group.words) <= CAUSE_LIMIT
    assert failure_group(letter("other", cause=said)).said == group.said
    assert len(condensed(said)) <= 6_000


@given(st.sampled_from(TEMPLATES), st.integers(100, 599), st.integers(100, 599))
def test_causes_differ_when_their_status_codes_do(template: str, one: int, other: int) -> None:
    """Two status codes never share a key, however they are said."""
    first, second = (failure_group(letter(cause=template.format(code))) for code in (one, other))
    assert (first.id == second.id) is (one == other)


@given(st.from_regex(r"[0-9A-Z]{5}", fullmatch=True), st.from_regex(r"[0-9A-Z]{5}", fullmatch=True))
def test_causes_differ_when_their_sql_states_do(one: str, other: str) -> None:
    """As PDO, drivers of Go and PostgreSQL say them."""
    for template in ("SQLSTATE[{}]: no", "failed (SQLSTATE {})", "sql state: {}"):
        first, second = (failure_group(letter(cause=template.format(state))) for state in (one, other))
        assert (first.id == second.id) is (one == other)


@given(
    st.sampled_from(
        [
            "order {} not found",
            "HTTP 503 after {} tries",
            "row {} of table x",
            "no item #{}",
            "sku-{} is sold out",
            "{} items failed",
        ]
    ),
    numbers,
    numbers,
)
def test_cause_is_the_same_when_only_a_number_differs(template: str, one: int, other: int) -> None:
    """A number that is no code is data, even where it looks like a status."""
    assert (
        failure_group(letter(cause=template.format(one))).id == failure_group(letter(cause=template.format(other))).id
    )


words = st.text(st.sampled_from("abcxyz019_"), min_size=1, max_size=6)
addresses = st.builds("{}.{}+x@{}.example.com".format, words, words, st.sampled_from(["mail", "shop-7"]))
paths = st.lists(words, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
people = st.sampled_from(["Anna", "Jörg Müller", "José da Silva", "李小龙", "Ann-Marie Smith", "ACME Ltd 2"])
hosts = st.ip_addresses().filter(lambda host: any(c.isdigit() for c in str(host)))
data = st.tuples(addresses, st.uuids(), hosts, paths, people, st.datetimes())


@given(data, data)
def test_cause_is_the_same_when_only_what_identifies_differs(
    one: tuple[object, ...], other: tuple[object, ...]
) -> None:
    """E-mail addresses, UUIDs, IP addresses, paths, quoted names and times are data."""
    template = "mail to {} of {} at {} with {} for '{}' failed {} ago"
    title = masked(template.format(*one))
    assert (
        title
        == masked(template.format(*other))
        == "mail to <email> of <id> at <ip> with <path> for '<name>' failed <time> ago"
    )


@given(st.text(min_size=1, max_size=30), texts)
def test_pattern_matches_nothing_when_it_is_refused(pattern: str, said: str) -> None:
    """What is refused matches no line; what is not refused matches at least itself, as a line."""
    if unmatchable_problem(pattern):
        assert not names([pattern], one_line(said))
    else:
        assert names([pattern], pattern)


@given(
    st.text(st.sampled_from("ab*?"), max_size=6), st.text(st.sampled_from("ab*?"), max_size=6),
    st.text(st.sampled_from("ab"), max_size=8),
)  # fmt: skip
def test_pattern_is_matched_by_the_one_that_covers_it(wide: str, narrow: str, line: str) -> None:
    """Nothing that the narrow one matches escapes the wide one."""
    if covers(wide, narrow) and fnmatchcase(line, narrow):
        assert fnmatchcase(line, wide)


@given(texts)
def test_group_id_holds_no_word_when_a_cause_says_anything(said: str) -> None:
    """Ids are in logs and metrics."""
    assert re.fullmatch(r"(cause|json|text)-[0-9a-f]{12}", failure_group(letter(json.dumps(said), cause=said)).id)


KEYS = (
    "Type", "TopicArn", "MessageId", "Message", "detail-type", "source", "detail", "id", "specversion", "type", "data",
    "requestContext", "functionArn", "condition", "responsePayload", "errorMessage", "errorType", "stackTrace",
    "Records", "eventSource", "eventName", "s3", "bucket", "name", "headers", "task", "body", "actor_name", "args",
    "kwargs", "options", "traceback", "job", "displayName", "messageType", "message", "exceptions", "innerException",
    "exceptionType", "Headers", "NServiceBus.EnclosedMessageTypes", "context", "partnerResourceArn", "properties",
    "body_encoding", "job_class",
)  # fmt: skip
WORDS = ("Notification", "aws:s3", "base64", "x", "", "eyJhIjogMX0gICAgICAgICAg", "Amazon S3")
said = st.one_of(st.sampled_from(WORDS), texts)
values: st.SearchStrategy[object] = st.recursive(
    st.one_of(st.none(), st.integers(), said),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=8)),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(KEYS), values, max_size=12), st.integers(0, 3))
def test_group_is_found_when_an_envelope_holds_anything(value: dict[str, object], wrapped: int) -> None:
    """Whatever stands where an envelope has its parts: no error, a plain id and a printable line."""
    body = json.dumps(value)
    for _ in range(wrapped):
        body = base64.b64encode(json.dumps({"Type": "Notification", "Message": body}).encode()).decode()
    group = failure_group(letter(body))
    assert re.fullmatch(r"(cause|json|text)-[0-9a-f]{12}", group.id)
    assert group.words.isprintable()
    assert 0 < len(group.words) <= CAUSE_LIMIT


@given(st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,3}", fullmatch=True), st.integers(0), st.integers(0))
def test_group_of_a_task_is_the_same_when_its_arguments_differ(task: str, one: int, other: int) -> None:
    """Whatever the padding of its base64 is."""

    def sent(number: int) -> str:
        body = base64.b64encode(json.dumps([[number], {}, {}]).encode()).decode()
        value = {"body": body, "headers": {"task": task, "id": f"{number}"}, "properties": {"body_encoding": "base64"}}
        return base64.b64encode(json.dumps(value).encode()).decode()

    first, second = failure_group(letter(sent(one))), failure_group(letter(sent(other)))
    assert first == second
    assert first.words.endswith(f"Celery task {task}")
