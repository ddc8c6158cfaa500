"""The problems of a fleet's document as sentences: the field, its value, what it may be, and the remedy."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

QUEUE_URL = "a queue URL, such as https://sqs.eu-west-1.amazonaws.com/123456789012/orders"

# What a field may be, for the fields whose regular expression would not tell a user.
PATTERNS = {
    "name": "1 to 63 letters, digits and hyphens, not beginning with a hyphen",
    "queue": QUEUE_URL,
    "dead_letter_queue": QUEUE_URL,
    "group": "an Auto Scaling group's name: 1 to 255 characters without colons or control characters",
    "unit": "systemd units' names, such as consumer.service or worker@*.service, separated by spaces or commas",
    "container": "a container's name: letters, digits, underscores, dots and hyphens, beginning with a letter or digit",
    "document": "a Run Command document's name: 3 to 128 letters, digits, underscores, dots and hyphens",
    "hook": "a lifecycle hook's name: 1 to 255 letters, digits, hyphens, underscores and slashes",
}
# What a field may be, by pydantic's kind of fault.
KINDS = {
    "model_type": "a JSON object",
    "dataclass_type": "a JSON object",
    "tuple_type": "a JSON list",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
}
SHOWN = 80  # an error repeats at most so many characters of a wrong value, which may be any text

# A number by https://www.rfc-editor.org/rfc/rfc8259#section-6. CloudFormation also takes 05 and .5 for numbers, which
# the stored document could not hold.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# At the start of a value, a number that JSON does not allow: it has leading zeros, or no digit before the point.
_INVALID_NUMBER = re.compile(r"[:\[,]\s*(-?(?:0[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?=\s*[,}\]])")


class ConfigError(ValueError):
    """A fleet's document that cannot be used. `problems` has every fault, each beginning with its field."""

    def __init__(self, name: str, problems: tuple[str, ...]) -> None:
        self.name = name
        self.problems = problems
        super().__init__(f"fleet {name!r}: " + "; ".join(problems))


class _JsonFaultError(ValueError):
    """A text that Python reads and JSON does not allow."""


def number(value: object) -> object:
    """Let a number pass, or text that JSON would read as a number; pydantic checks the rest.

    Raises:
        ValueError: the value is true, false, or another text.
    """
    if isinstance(value, bool):  # to Python they are 1 and 0
        raise ValueError(f"must be a number (got {str(value).lower()})")  # noqa: TRY004 - pydantic reports ValueError
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError(
            f"must be a number as JSON writes it, such as {_as_json(value) or '60 or 0.5'} (got {value!r})"
        )
    return value


def flag(value: object) -> object:
    """True or false from a boolean, or from the text of one: a template's parameter is text.

    Raises:
        ValueError: the value is something else.
    """
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ValueError(f"must be true or false (got {shorten(value)})")


def _as_json(text: str) -> str | None:
    """A number such as 05 or .5 as JSON writes it; None if the text is no such number."""
    found = re.fullmatch(r"(-?)0*([0-9]*)(\.[0-9]+)?", text)
    if not found or not (found[2] or found[3]):
        return None
    return f"{found[1]}{found[2] or '0'}{found[3] or ''}"


def read_object(field: str, document: object) -> Mapping[str, Any]:
    """A mapping from a mapping, or from the JSON text of an object.

    Raises:
        ValueError: the document is neither. The error's text is a problem of `field`.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
        except RecursionError as error:
            raise ValueError(f"{field}: must be JSON (its lists and objects are nested too deeply)") from error
        except ValueError as error:
            # Python's own text about a number of thousands of digits would tell a user of Python's limits.
            known = isinstance(error, json.JSONDecodeError | _JsonFaultError)
            fault = str(error) if known else "one of its numbers is too long"
            raise ValueError(f"{field}: must be JSON ({fault}){_remedy(str(document))}") from error
    if not isinstance(document, Mapping):
        raise ValueError(f"{field}: must be a JSON object (got {shorten(document)})")  # noqa: TRY004 - one kind of error
    return document


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object without repeated names: of two values with one name, Python would keep the last without an error."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _JsonFaultError(f"{twice!r} is there twice in one object; leave one of them out")
    return found


def _no_constant(text: str) -> NoReturn:
    raise _JsonFaultError(f"{text} is not a JSON number")


def _remedy(text: str) -> str:
    """How to mend a text that is not JSON, if its fault is a common one."""
    if not text.strip():
        return "; write {} for no settings"
    if text.strip() == "{":  # SAM CLI ends a value at a quote that stands by itself
        return "; on a command line, put quotes around it as docs/settings.md shows"
    if text.lstrip().startswith("{'"):  # a mapping of a parameters file, as SAM CLI writes it
        return "; write it as one text with double quotes inside, as docs/settings.md shows"
    found = _INVALID_NUMBER.search(text[:100_000])
    if found and (meant := _as_json(found[1].rstrip("."))):
        return f"; write {meant} in place of {found[1]}"
    return ""


def describe_fault(fault: Any, fields: Mapping[str, Sequence[str]]) -> list[str]:
    """One of pydantic's faults as sentences: `field: what it must be (got ...)`.

    Args:
        fault: an entry of ValidationError.errors().
        fields: the names of each section's fields. Those of the document itself are under "".

    Returns:
        One problem, or several if a section's own check found several.
    """
    parts = [str(part) for part in fault["loc"]]
    path = ".".join(parts)
    kind, text = fault["type"], str(fault["msg"])
    if kind == "missing":
        return [f"{path}: is required"]
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(parts[-1], fields.get(".".join(parts[:-1]), ()), n=1)
        return [f"{path}: is not a field of a fleet" + (f" (did you mean {near[0]}?)" if near else "")]
    if kind == "value_error":
        # A problem from a section's check begins with the field; a problem from a field's check does not.
        return [_join(path, problem) for problem in text.removeprefix("Value error, ").split("\n")]
    if kind in KINDS:
        return [f"{path}: must be {KINDS[kind]} (got {shorten(fault['input'])})"]
    if kind == "too_long" and isinstance(fault["input"], list | tuple):
        return [f"{path}: must have at most {fault['ctx']['max_length']} entries (got {len(fault['input'])})"]
    pattern = PATTERNS.get(parts[-1]) if parts and kind in {"string_pattern_mismatch", "string_type"} else None
    rule = (
        f"must be {pattern}" if pattern else text.replace("Input should", "must", 1).replace("String should", "must", 1)
    )
    return [f"{path or 'document'}: {rule} (got {shorten(fault['input'])})"]


def _join(path: str, problem: str) -> str:
    """A problem under the path of the field or section where it was found."""
    if problem.startswith("must "):
        return f"{path or 'document'}: {problem}"
    return f"{path}.{problem}" if path else problem


def shorten(value: object) -> str:
    """A wrong value as an error repeats it: JSON's null, true and false, and at most SHOWN characters."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    try:
        return repr(value)[:SHOWN]
    except (ValueError, RecursionError):  # an integer of thousands of digits, or nesting that is too deep
        return "a value that is too large to show"
