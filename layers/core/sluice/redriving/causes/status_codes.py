"""Numbers that say what kind of failure it is: they tell causes apart, and are never masked.

HTTP 400 and HTTP 503 are two causes, `order 400` and `order 503` are one. A number is a code if the words beside it
say so: a noun before it (`HTTP`, `status code`, `SQLSTATE`, `errno`, `exit status`), a vendor's prefix (`ORA-00942`),
or the reason phrase behind it (`503 Service Unavailable`). Everywhere else it counts or names something.
"""

import errno
import re
from http import HTTPStatus
from typing import Final

# Between a noun and its number: `status: 503`, `"status":503`, `[Errno 111]`, `SQLSTATE[42S02]`, `code '1205'`.
_GAP: Final = r"""["'\]]{0,2}\s?(?:[:=#-]|is|was|no\.?|number)?\s?[\["'(]?"""
_STATUS: Final = r"[1-5]\d\d(?!\w|[.,]\d)"
_NUMBER: Final = r"-?(?:0x[0-9a-f]{1,8}|\d{1,6})(?!\w|[.,]\d)"
_PREPOSITION: Final = r"\s(?:from|for|on|by|while|when|at|after|in|during|to)\b"
# A number after these is a code only where the sentence does not go on to count something: `error: 17 items`.
_NOT_COUNTED: Final = rf"(?=\s?(?:$|[.,;:)\]\"'(]|-\s|{_PREPOSITION}))"
_BEFORE_CODE: Final = (
    "status|error|exit|response|return|result|reason|http|err|fault|failure|vendor|grpc|server|native|sub|completion"
    "|close|condition"
)
# As they are written in status lines. In small letters some of them follow other numbers: `order 404 not found`.
# Spring writes `503 SERVICE_UNAVAILABLE`.
_PHRASES: Final = "|".join(
    f"{re.escape(status.phrase)}|{status.name}" for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST
)
_CLEAR_PHRASES: Final = (
    "service unavailable|internal server error|bad gateway|gateway time-?out|bad request|too many requests"
    "|request time-?out|(?:client|server) error|server unavailable"
)
_AHEAD: Final = r"\)?\s?[:-]?\s?"

_CODES: Final = (
    # What vendors number behind a prefix: Oracle, MySQL, IBM MQ, DB2, Microsoft Entra, MongoDB; and E2BIG.
    (
        r"(?-i:(?<!\w)(?:(?:ORA|TNS|PLS|SP2|DPY|DPI|RMAN|KUP|DRG|MY)-\d{1,6}|(?:AMQ|JMSWMQ|AADSTS)\d{4,7}"
        r"|SQL\d{4,5}[NWC]|E11000|E2BIG|ERR_\w*)(?!\w))"
    ),
    # Five letters or digits; PHP adds the driver's own number.
    rf"(?<![a-z])SQL\s?state{_GAP}[0-9a-z]{{5}}\b(?:\]\s?\[-?\d{{1,5}}\])?",
    # Npgsql.PostgresException (0x80004005): 23505: duplicate key
    r"(?<!\w)\w{0,20}(?:postgres|sql|db)\w{0,20}(?:exception|error)(?:\s\(0x[0-9a-f]{8}\))?:\s(?-i:[0-9A-Z]{5})(?=:)",
    r"(?-i:(?<=\()(?:(?:HY|HV|XX|P0|F0|IM)[0-9A-Z]{3}|\d[0-9A-Z][A-Z]\d\d|\d[A-Z]\d{3})(?=\)))",
    # HTTP/1.1 503, HTTP error 503, Http503Exception.
    rf"(?<![a-z])https?(?:/\d(?:\.\d)?)?(?:[\s_-]?(?:status|error|response))?(?:[\s_-]?code)?{_GAP}{_STATUS}",
    r"(?<![a-z])https?_?[1-5]\d\d(?!\d)[a-z_]*",
    # Status 503, responseCode=503, error code: 1205, exit status 1, [Errno 111], rc=5.
    rf"(?:{_BEFORE_CODE})[\s_-]?code{_GAP}{_NUMBER}",
    (
        r"(?<![a-z])(?:(?:(?:http|response|error)[\s_-]?)?status|exit(?:ed)?(?:\s(?:status|with))?|signal|errno|win\s?error|wsa\s?error|hresult|sql\s?code"
        rf"|ret\s?code|rc|gaierror){_GAP}{_NUMBER}"
    ),
    r"(?<!\w)(?:msg|level|state|severity|class)\s\d{1,5}(?=,\s(?:level|state|line|procedure)|,?$|\))",  # SQL Server
    # A code that no other word before it explains: `postal code 10115` is none.
    rf"(?:^|(?<=[\[(\{{<,;:=\"'.|-])|(?<=[\[({{,;:=|-]\s)|(?<=\bwith\s)|(?<=\band\s))[\"']?code{_GAP}{_NUMBER}",
    # Error 1205 (HY000), Error: 503, error 404 from upstream; ERROR: 17 items is none.
    rf"(?<![a-z])(?:error|err|failure|fault){_GAP}-?\d{{1,5}}(?!\w|[.,]\d){_NOT_COUNTED}",
    # HTTPError: 503, ApiException: (404).
    (
        r"(?<!\w)\w{0,40}(?:http|status|api|response|request|client|server|web)\w{0,20}(?:error|exception)\W{1,3}"
        + _STATUS
    ),
    (
        r"(?<!\w)(?:returned|failed\swith|responded(?:\swith)?|answered(?:\swith)?|replied(?:\swith)?|got|received|response|gave"
        rf"|upstream|unexpected|success)(?:\s(?:an?|was|is))?[\s:=(]{{1,3}}{_STATUS}{_NOT_COUNTED}"
    ),
    rf"(?<![\w.,])[1-5]\d\d(?={_AHEAD}(?:(?-i:{_PHRASES})|{_CLEAR_PHRASES})\b)",
    r"(?-i:(?<![\w.,])\d{1,2}(?=\s[A-Z]{4,}(?:_[A-Z]+)*:))",  # gRPC in Node: `14 UNAVAILABLE: ...`
    r"(?<=\()0x[89c][0-9a-f]{7}(?=\))",  # HRESULT and NTSTATUS: `(0x80004005)`
    r"^[1-5]\d\d(?=$|:\s|\s-\s)|^\[[1-5]\d\d\](?=\s|$)",  # 503, 503: busy, 503 - busy, [503] busy
)
CODE_PATTERN: Final = "|".join(f"(?:{one})" for one in _CODES)
_CODE: Final = re.compile(CODE_PATTERN, re.IGNORECASE)
_DIGIT: Final = re.compile(r"\d")

# https://docs.python.org/3/library/errno.html, and what Node adds: https://nodejs.org/api/dns.html#error-codes
ERROR_NAMES: Final = frozenset(errno.errorcode.values()) | {
    "ENOTFOUND", "ENODATA", "EAI_AGAIN", "ESERVFAIL", "ESOCKETTIMEDOUT", "EAUTH", "EPARSE",
}  # fmt: skip


def codes_in(line: str) -> tuple[str, ...]:
    """The codes that a line names with the nouns that make them codes, each once: `HTTP 503`, `SQLSTATE[42S02]`."""
    if not _DIGIT.search(line):
        return ()
    return tuple(dict.fromkeys(match[0] for match in _CODE.finditer(line)))
