"""What differs from message to message is taken out of causes, and what tells causes apart is kept."""

import pytest

from sluice.config.cause_patterns import covers, names, unmatchable_problem
from sluice.redriving.causes.masking import masked
from sluice.redriving.causes.status_codes import codes_in
from sluice.redriving.failure_groups import failure_group
from tests.support.redrive_worlds import letter

SHOWN = [
    # Codes are kept.
    ("HTTP 503 Service Unavailable", "HTTP 503 Service Unavailable"),
    ("HTTP 400: bad request for order 4711", "HTTP 400: bad request for order <n>"),
    ("HTTP/1.1 502", "HTTP/1.1 502"),
    ("Request failed with status code 429", "Request failed with status code 429"),
    ("HTTP error 404 on try 3", "HTTP error 404 on try <n>"),
    ("Response status code does not indicate success: 503 (Service Unavailable).",
     "Response status code does not indicate success: 503 (Service Unavailable)."),
    ("The remote server returned an error: (503) Server Unavailable.",
     "The remote server returned an error: (503) Server Unavailable."),
    ("upstream returned 503", "upstream returned 503"),
    ("503 Server Error: Service Unavailable for url: https://pay.acme.com/orders/17?token=a8f",
     "503 Server Error: Service Unavailable for url: https://pay.acme.com/<path>"),
    ('{"code": "ECONNRESET", "status": 503, "order": 17}', '{"code": "ECONNRESET", "status": 503, "order": <n>}'),
    ('503 SERVICE_UNAVAILABLE "no stock"', '503 SERVICE_UNAVAILABLE "<name>"'),
    ('{"exception": {"class": "App\\\\X", "message": "order 17 failed"}}',
     '{"exception": {"class": "App\\\\X", "message": "order <n> failed"}}'),
    ("SQLSTATE[42S02]: Base table or view not found", "SQLSTATE[42S02]: Base table or view not found"),
    ("SQLSTATE[HY000] [2002] Connection refused", "SQLSTATE[HY000] [2002] Connection refused"),
    ('duplicate key "k17" (SQLSTATE 23505)', 'duplicate key "<name>" (SQLSTATE 23505)'),
    ("ORA-00942: table or view does not exist", "ORA-00942: table or view does not exist"),
    ("Error 1205 (HY000): Lock wait timeout exceeded", "Error 1205 (HY000): Lock wait timeout exceeded"),
    ("SQL error: SQLCODE=-911, SQLSTATE=40001", "SQL error: SQLCODE=-911, SQLSTATE=40001"),
    ("Npgsql.PostgresException (0x80004005): 23505: twice", "Npgsql.PostgresException (0x80004005): 23505: twice"),
    ("[Errno 111] Connection refused", "[Errno 111] Connection refused"),
    ("connect ECONNREFUSED 10.0.3.17:5432", "connect ECONNREFUSED <ip>"),
    ("exit status 137", "exit status 137"),
    ("14 UNAVAILABLE: No connection established", "14 UNAVAILABLE: No connection established"),
    ("Exception from HRESULT: 0x80131904", "Exception from HRESULT: 0x80131904"),
    ("Msg 1205, Level 13, State 51, Line 7", "Msg 1205, Level 13, State 51, Line <n>"),
    ("E11000 duplicate key error", "E11000 duplicate key error"),
    ("Http503Exception: down", "Http503Exception: down"),
    ("503: busy", "503: busy"),
    ("[503] busy with order 17", "[503] busy with order <n>"),
    ("the request failed with 503", "the request failed with 503"),
    ("responseStatus: 503", "responseStatus: 503"),
    ("Log4jException: bad layout", "Log4jException: bad layout"),
    # Numbers that count or name something are not codes.
    ("order 404 not found", "order <n> not found"),
    ("error: 17 items failed", "error: <n> items failed"),
    ("got 503 items", "got <n> items"),
    ("postal code 10115 is unknown", "postal code <n> is unknown"),
    ("timeout after 1m30s", "timeout after <n>"),
    ("timeout after 250ms", "timeout after <n>"),
    # Addresses, paths, names, times.
    ("User 'alice@example.com' not found", "User '<name>' not found"),
    ("cannot mail to anna.s+x@mail.example.co.uk today", "cannot mail to <email> today"),
    ('customer "Anna Schmidt" has no address', 'customer "<name>" has no address'),
    ("Kunde \u201eAnna Schmidt\u201c hat keine Adresse", "Kunde \u201e<name>\u201c hat keine Adresse"),
    ("client \u2039Anna\u203a inconnu", "client \u2039<name>\u203a inconnu"),
    ('Get "https://pay.acme.com/orders/17": EOF', 'Get "https://pay.acme.com/<path>": EOF'),
    ("No such file or directory: /var/data/2026/11/in.csv", "No such file or directory: <path>"),
    (r"cannot open C:\Users\Anna\order.txt", "cannot open <path>"),
    ("no key orders/2026/11/24/file.csv in the bucket", "no key <path> in the bucket"),
    ("login to postgres://shop:hunter2@db.local:5432/orders failed", "login to postgres://db.local/<path> failed"),
    ("broke at 24/Nov/2026:02:15:00 +0000", "broke at <time>"),
    ("broke on 2026/11/24 02:15:00", "broke on <time>"),
    ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc expired", "token <id> expired"),
    ('strconv.Atoi: parsing "abc": invalid syntax', 'strconv.Atoi: parsing "<name>": invalid syntax'),
    ("peer 2001:db8::17 is gone", "peer <ip> is gone"),
    # Quoted names of the code's own tell causes apart, and so do quoted sentences.
    ("KeyError: 'street'", "KeyError: 'street'"),
    ("KeyError('street')", "KeyError('street')"),
    ('column "city" does not exist', 'column "city" does not exist'),
    ("Cannot read properties of null (reading 'street')", "Cannot read properties of null (reading 'street')"),
    ("OperationalError('could not connect to server')", "OperationalError('could not connect to server')"),
    ("Customer's order isn't there", "Customer's order isn't there"),
    ("application/json is no I/O error", "application/json is no I/O error"),
    (r"App\Jobs\ChargeOrder failed", r"App\Jobs\ChargeOrder failed"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "shown"), SHOWN, ids=[said[:40] for said, _ in SHOWN])
def test_title_when_a_cause_is_masked(said: str, shown: str) -> None:
    """Codes and words stay, data goes, and masking what is masked changes nothing."""
    assert masked(said) == shown
    assert masked(shown) == shown


def test_titles_when_a_code_stands_behind_the_end() -> None:
    """A title is cut at its limit, and a code behind it still tells groups apart, in key and title."""
    long = "could not hand the order over to the next service, which said that it would not take it " * 3
    one, other = (failure_group(letter(cause=f"{long} status: {status}")) for status in (400, 503))
    assert one.id != other.id
    assert one.words.endswith("… status: 400")
    assert len(one.words) <= 200


def test_groups_when_a_code_stands_in_a_further_line() -> None:
    """`Request failed` and then a status: each status is a group."""
    one, other, same = (
        failure_group(letter(cause=f"Request failed\n  order: {order}\n  status: {status}"))
        for order, status in ((1, 400), (2, 503), (3, 400))
    )
    assert one.id == same.id != other.id
    assert one.words == "Request failed … status: 400"


def test_codes_when_a_line_names_several() -> None:
    """Each once, with the words that make it a code."""
    assert codes_in("HTTP 503, then SQLSTATE[40001], then HTTP 503 for order 17") == ("HTTP 503", "SQLSTATE[40001")


@pytest.mark.parametrize(
    ("pattern", "said", "matches"),
    [
        ("HTTP 503*", "HTTP 503: busy", True),
        ("HTTP 503*", "HTTP 400: no", False),
        ("[Errno 111]*", "[Errno 111] Connection refused", True),
        ("[Errno 111]*", "E", False),
        ("keyerror: 'street'", "KeyError: 'street'", True),
        ("order 17 *", "Order 17 is late", True),
        ("a*b?d", "a x b1d", True),
    ],
)
def test_pattern_when_compared_with_what_was_said(pattern: str, said: str, matches: bool) -> None:
    """`*` and `?` alone stand for others; brackets are brackets."""
    assert names([pattern], said) is matches


@pytest.mark.parametrize(
    ("pattern", "instead"),
    [
        (" timeout*", "timeout*"),
        ("timeout* ", "timeout*"),
        ("no  route*", "no route*"),
        ("no\troute*", "no route*"),
        ("first\nsecond", "first second"),
        ("bell\x07*", "bell *"),
    ],
)
def test_problem_when_a_pattern_can_never_match(pattern: str, instead: str) -> None:
    """What no line holds is refused, with what would be right."""
    problem = unmatchable_problem(pattern)
    assert problem is not None
    assert problem.endswith(f"; write {instead!r}")
    assert unmatchable_problem(instead) is None


@pytest.mark.parametrize(
    ("wide", "narrow", "certain"),
    [
        ("*", "anything ?*", True),
        ("timeout*", "Timeout: db*", True),
        ("*timeout*", "a timeout", True),
        ("t?meout*", "timeout", True),
        ("timeout", "timeout*", False),
        ("timeout?", "timeout*", False),
        ("a*b", "a*c", False),
        ("a*b*", "a*b", True),
        ("a", "a", True),
        ("a?", "a", False),
        ("**a", "*a", True),
        ("a?c", "a*c", False),
    ],
)
def test_pattern_when_another_covers_it(wide: str, narrow: str, certain: bool) -> None:
    """A pattern is covered where each cause that it matches is surely matched by the other."""
    assert covers(wide, narrow) is certain
