"""What holds of causes for every text: bounded, never raising, codes apart and numbers together."""

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


addresses = st.from_regex(r"[a-z0-9._+-]{1,20}@[a-z]{1,10}(\.[a-z]{2,5}){1,2}", fullmatch=True)
paths = st.from_regex(r"(/[A-Za-z0-9_.-]{1,8}){1,4}", fullmatch=True)
people = st.from_regex(r"[A-Z][a-zäöüéñ]{1,9}( [A-Z][a-z']{1,9}){0,2}", fullmatch=True).filter(
    lambda name: "'" not in name
)
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
