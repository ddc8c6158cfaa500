"""Takes out of a cause what differs from message to message: ids, numbers, times, addresses, paths and names.

What is left is the title of a failure group, and what its key is made of. So that two causes are one where they are the
same but for their data, and two where their codes or their words differ, a line is read once from left to right, and at
each place the first kind of `_KINDS` that fits decides. Codes come first (`status_codes`): they are kept as they are.

Quoted texts are names (`customer 'Anna Schmidt'`) but for these, which are read on like any other text: what the code
itself is called in errors that are about code (`KeyError: 'street'`, `column "city"`), whole sentences, addresses, what
a JSON key says to be the error, and what holds a code. So `KeyError: 'street'` and `KeyError: 'city'` are two causes.
"""

import re
from functools import lru_cache
from typing import Final

from sluice.config.cause_patterns import LINE_LIMIT, one_line
from sluice.redriving.causes.status_codes import CODE_PATTERN, ERROR_NAMES, codes_in

CAUSE_LIMIT = 200  # characters of a cause: it is a line on a page, not a stack trace
CODES_MAX = 3  # codes behind the end of a title that still tell groups apart
_NAME_WORDS = 4  # a quoted text of more words is a sentence
_NAME_LENGTH = 80

_MONTH: Final = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_CLOCK: Final = r"\d\d?:\d\d(?::\d\d)?(?:[.,]\d+)?(?:\s?[AP]M\b)?"
_ZONE: Final = r"(?:\s?(?:Z\b|UTC|GMT|[+-]\d\d:?\d\d(?!\d)))?"
_DATE: Final = (
    rf"(?:\d{{4}}[-/]\d\d?[-/]\d\d?|\d\d?[-/.]\d\d?[-/.]\d{{4}}|\d\d?[-/\s]{_MONTH}[-/\s]\d{{4}}"
    rf"|{_MONTH}\s\d\d?(?:,?\s\d{{4}})?(?=\s\d|,\s\d))"
)
_UNIT: Final = r"(?:ns|[uµμ]s|ms|s|sec|min|m|h|d|[kmgt]i?b?|b|%|°c?)"
_IP6: Final = (
    r"(?<![\w:])(?=[a-f:]*\d)(?:(?=[0-9a-f]*:[0-9a-f:]*:)(?=[0-9a-f:]*::|(?:[0-9a-f]{1,4}:){7})"
    r"[0-9a-f:]{3,39}(?:\.\d{1,3}){0,3}(?:%\w{1,20})?)(?![\w:])"
)
_QUOTES: Final = ("''", '""', "``", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c", "«»", "\u2039\u203a")
_QUOTED: Final = r"(?<!\w)(?:" + "|".join(rf"{left}[^{right}]{{1,300}}{right}(?!\w)" for left, right in _QUOTES) + ")"
_SEGMENT: Final = r"[\w.@%+=:,~-]"
_PATH: Final = "|".join(
    (
        rf"(?<![\w/.:@])(?:~|\.{{1,2}})?/{_SEGMENT}{{1,255}}(?:/{_SEGMENT}{{0,255}}){{0,40}}",
        r"(?<![\w\\])[a-z]:[\\/][^\s\"'<>|]{1,400}",  # of Windows: C:\orders\17.txt, \\host\share
        r"(?<![\w\\])\\\\[\w.$-]{1,64}\\[^\s\"'<>|]{1,400}",
        r"(?<![\w/.:@-])[\w.-]{1,100}(?:/[\w.@%+=-]{1,255}){2,40}",  # orders/2026/11, but not application/json
        r"(?<![\w/.:@-])[\w-]{1,100}/[\w@%+=-]{1,255}\.[a-z]\w{0,4}(?!\w)",
    )
)
_KINDS: Final = (
    ("keep", rf"(?:[\"'](?=\w{{1,40}}[\"']\s?[:=]))?(?:{CODE_PATTERN})"),
    # Names of classes and functions of failures, such as Log4jException, keep their digits.
    ("name", r"(?<![\w$])[a-z_][\w$]{0,100}(?:error|exception|fault|failure|violation)(?!\w)"),
    ("masked", r"<(?:n|id|time|email|path|url|ip|name)>"),
    ("time", rf"(?<!\w)(?:{_DATE}(?:(?:[T,:]|\s)?\s?{_CLOCK}{_ZONE})?|{_CLOCK}{_ZONE})(?!\w)"),
    ("email", r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,8}"),
    ("url", r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{1,20}://[^\s\"'<>)\]}]{0,500}"),
    ("id", r"(?<![0-9a-z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9a-z])"),
    ("ip", r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?::\d{1,5})?(?![\w.]*\d)"),
    ("ip6", _IP6),
    ("quote", _QUOTED),
    ("path", _PATH),
    ("id", r"(?<!\w)eyJ[\w-]{8,500}\.[\w-]{2,500}(?:\.[\w-]{0,500})?"),  # a JSON Web Token
    ("id", r"(?<!\w)0x[0-9a-f]+(?!\w)"),
    ("id", r"(?<!\w)(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}(?!\w)"),
    ("n", rf"(?<!\w)(?:\d+(?:[.,:]\d+)*{_UNIT}?)+(?!\w)"),
    # Letters and digits in turns, such as 01ARZ3NDEK or a8f3x, are an identifier; letters with a number at their end,
    # such as order17 or s3, keep the letters.
    ("id", r"(?<!\w)(?:[^\W\d]+\d+|\d+)[^\W\d]\w*"),
    ("n", r"\d+(?:[.,:]\d+)*"),
)  # fmt: skip
_ANY: Final = re.compile("|".join(f"(?P<{kind}_{i}>{one})" for i, (kind, one) in enumerate(_KINDS)), re.IGNORECASE)
_WORTH_MASKING: Final = re.compile("[\\d\"'`\u201c\u201e\u2018«\u2039@/\\\\<]")
# Errors about the code itself: what they quote is a name of the code's own.
_CODE_ERRORS: Final = re.compile(
    r"\b(?:KeyError|AttributeError|NameError|ImportError|ModuleNotFoundError|UnboundLocalError|TypeError|ReferenceError"
    r"|SyntaxError|NoSuchMethodError|NoSuchFieldError|ClassNotFoundException|NoClassDefFoundError|KeyNotFoundException"
    r"|MissingMethodException|NotImplementedError|ArgumentNullException|MissingFieldException)\b"
)
# And the nouns with which any other says that it quotes one.
_CODE_NOUN: Final = re.compile(
    r"(?:attribute|columns?|tables?|relation|constraint|index|modules?|property|reading|fields?|methods?|function|type"
    r"|class|parameters?|param|argument|keyword|variable|package|schema|codec|operator|enum|header|setting|for key|tag"
    r"|code|errno|status|state|reason|syscall|missing|required)[\s:=\[(]{1,3}$",
    re.IGNORECASE,
)
# And the keys of JSON whose values say what went wrong.
_CAUSE_KEY: Final = re.compile(
    r"[\"'](?:error|message|error_?message|exception|detail|reason|title|cause|error_?type|type|class)[\"']\s?:\s?$",
    re.IGNORECASE,
)
_IDENTIFIER: Final = re.compile(r"(?:[^\W\d]|<)[\w.$<>]*")
_HOST: Final = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^/?#]*@)?([^/?#:]*)(:\d+)?([/?#].*)?$", re.IGNORECASE)


def first_line(text: str) -> str:
    """The first line that says anything, on one line as `one_line` makes it."""
    return one_line(next((line for line in text[: 4 * LINE_LIMIT].splitlines() if line.strip()), ""))


def masked(text: str) -> str:
    """The first line of a text that says anything, with what differs from message to message masked.

    What it names of codes behind its first CAUSE_LIMIT characters stands at its end, so that it tells causes apart.
    """
    return _masked(text[: 4 * LINE_LIMIT])


@lru_cache(maxsize=512)  # dead letters come with few causes, keys and queues, again and again
def _masked(text: str) -> str:
    line = first_line(text)
    whole = mask_line(line)
    if len(whole) <= CAUSE_LIMIT:
        return whole
    return with_codes(whole, codes_in(line))


def with_codes(title: str, codes: tuple[str, ...]) -> str:
    """A title within its limit that names these codes as well, where it does not already."""
    missing = [code[:40] for code in codes if code not in title[:CAUSE_LIMIT]][:CODES_MAX]
    if not missing:
        return title[:CAUSE_LIMIT].rstrip()
    more = f" … {', '.join(missing)}"
    return title[: CAUSE_LIMIT - len(more)].rstrip() + more


def mask_line(line: str) -> str:
    """One line with what differs from message to message masked, at its whole length."""
    if not _WORTH_MASKING.search(line):
        return line
    about_code = _CODE_ERRORS.search(line)
    code_from = about_code.start() if about_code else len(line)

    def mask(match: re.Match[str]) -> str:
        kind = (match.lastgroup or "").partition("_")[0]
        match kind:
            case "keep" | "name" | "masked":
                return match[0]
            case "quote":
                return _mask_quoted(match, match.start() > code_from)
            case "url":
                return _mask_url(match[0])
            case "ip6":
                return "<ip>"
            case _:
                return f"<{kind}>"

    return _ANY.sub(mask, line)


def _mask_quoted(match: re.Match[str], about_code: bool) -> str:
    quoted, line, start = match[0], match.string, match.start()
    left, content, right = quoted[0], quoted[1:-1], quoted[-1]
    if not content.strip():
        return quoted
    if content in ERROR_NAMES or content.startswith("ERR_"):
        return quoted
    before = line[max(0, start - 24) : start]
    names_code = _IDENTIFIER.fullmatch(content) and (about_code or _CODE_NOUN.search(before))
    # A JSON key, and the argument with which Python shows an exception: KeyError('street'), OSError('no route').
    is_key = (
        _IDENTIFIER.fullmatch(content)
        and re.search(r"[{,]\s?$", before)
        and re.match(r"\s?:", line[match.end() : match.end() + 2])
    )
    is_argument = re.search(r"(?:Error|Exception|Failure)\($", before) and " " in content
    is_sentence = len(content.split()) > _NAME_WORDS or len(content) > _NAME_LENGTH
    says = is_argument or is_sentence or _CAUSE_KEY.search(before) or "://" in content  # an address names a service
    if names_code or is_key or says or codes_in(content):
        return f"{left}{mask_line(content)}{right}"
    return f"{left}<name>{right}"


def _mask_url(url: str) -> str:
    """Scheme and host stay: they say which service failed. Whoever logs in, port, path and query do not."""
    parts = _HOST.match(url)
    if parts is None:
        return "<url>"
    host = mask_line(parts[2]) if parts[2] else "<name>"
    path = parts[4] or ""
    return parts[1] + host + (path if path in {"", "/"} else "/<path>")
