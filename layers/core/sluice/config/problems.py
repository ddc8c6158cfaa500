"""What is wrong with a fleet's document, in words: the field, what it was, what it may be, and the remedy."""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

QUEUE_URL = "a queue URL, such as https://sqs.eu-west-1.amazonaws.com/123456789012/orders"

# What would be right, for the fields whose pattern says too little to an operator.
PATTERNS = {
    "name": "1 to 63 letters, digits and hyphens, the first no hyphen",
    "queue": QUEUE_URL,
    "dead_letter_queue": QUEUE_URL,
    "group": "an Auto Scaling group's name, 1 to 255 characters without colons and control characters",
    "unit": "a systemd unit's name, such as consumer.service",
    "container": "a container's name: letters, digits, underscores, dots and hyphens, the first a letter or digit",
    "document": "a Run Command document's name: 3 to 128 letters, digits, underscores, dots and hyphens",
    "hook": "a lifecycle hook's name: 1 to 255 letters, digits, hyphens, underscores and slashes",
}
# What would be right, by pydantic's kind of fault.
KINDS = {
    "model_type": "a JSON object",
    "tuple_type": "a JSON list",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
}
SHOWN = 80  # characters of a wrong value that an error repeats

# A number as https://www.rfc-editor.org/rfc/rfc8259#section-6 has it. CloudFormation takes 05 and .5 for numbers, too,
# which the stored document could not hold.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
# A number that JSON does not know, where a value begins: leading zeros, or no digit before the point.
_INVALID_NUMBER = re.compile(r"[:\[,]\s*(-?(?:0[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?=\s*[,}\]])")


class ConfigError(ValueError):
    """A fleet document that cannot be used; `problems` has every fault, each naming its field."""

    def __init__(self, name: str, problems: tuple[str, ...]) -> None:
        self.name = name
        self.problems = problems
        super().__init__(f"fleet {name!r}: " + "; ".join(problems))


def number(value: object) -> object:
    """A number, or text that is one as JSON writes it; for pydantic, which checks the rest.

    Raises:
        ValueError: true, false, or text that is no number.
    """
    if isinstance(value, bool):  # Python takes them for 1 and 0
        raise ValueError(f"must be a number (got {str(value).lower()})")  # noqa: TRY004 - pydantic reports ValueError
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        raise ValueError(
            f"must be a number as JSON writes it, such as {_as_json(value) or '60 or 0.5'} (got {value!r})"
        )
    return value


def flag(value: object) -> object:
    """True or false, or the same as text, as a template's parameter has it.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ValueError(f"must be true or false (got {shorten(value)})")


def _as_json(text: str) -> str | None:
    """What somebody meant who wrote 05 or .5; None where that is not clear."""
    found = re.fullmatch(r"(-?)0*([0-9]*)(\.[0-9]+)?", text)
    if not found or not (found[2] or found[3]):
        return None
    return f"{found[1]}{found[2] or '0'}{found[3] or ''}"


def read_object(field: str, document: object) -> Mapping[str, Any]:
    """A mapping, or the JSON text of one.

    Raises:
        ValueError: it is neither; the text is a problem of `field`.
    """
    if isinstance(document, str):
        try:
            document = json.loads(document, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:  # no JSON, numbers too long, nesting too deep
            raise ValueError(f"{field}: not JSON: {error}{_remedy(str(document))}") from error
    if not isinstance(document, Mapping):
        raise ValueError(f"{field}: must be a JSON object (got {shorten(document)})")  # noqa: TRY004 - one kind of error
    return document


def _without_duplicates(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object without two fields of one name, of which Python would keep the last without an error."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object; leave one of them out")
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON number")


def _remedy(text: str) -> str:
    """What to write in place of what is seen to have been meant."""
    if not text.strip():
        return "; write {} for no settings"
    if text.strip() == "{":  # SAM CLI ends a value at a quote that stands by itself
        return "; a command line needs quotes around it, as docs/settings.md shows"
    if text.lstrip().startswith("{'"):  # a mapping of a parameters file, as SAM CLI writes it
        return "; write it as one text with double quotes within, as docs/settings.md shows"
    found = _INVALID_NUMBER.search(text[:100_000])
    if found and (meant := _as_json(found[1].rstrip("."))):
        return f"; write {meant} in place of {found[1]}"
    return ""


def describe_fault(fault: Any, fields: Mapping[str, Sequence[str]]) -> list[str]:
    """One of pydantic's faults as `field: what would be right (got ...)`; a section's own check may hold several.

    Args:
        fault: of ValidationError.errors().
        fields: the names of each section's fields, the document's own under "".
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
        said = text.removeprefix("Value error, ").split("\n")
        # What a section says begins with the field; what a field says does not.
        return [_join(path, problem) for problem in said]
    if kind in KINDS:
        return [f"{path}: must be {KINDS[kind]} (got {shorten(fault['input'])})"]
    right = PATTERNS.get(parts[-1]) if parts and kind in {"string_pattern_mismatch", "string_type"} else None
    said_right = (
        f"must be {right}" if right else text.replace("Input should", "must", 1).replace("String should", "must", 1)
    )
    return [f"{path or 'document'}: {said_right} (got {shorten(fault['input'])})"]


def _join(path: str, problem: str) -> str:
    """A problem under the path of where it was found."""
    if problem.startswith("must "):
        return f"{path or 'document'}: {problem}"
    return f"{path}.{problem}" if path else problem


def shorten(value: object) -> str:
    """A wrong value, as far as an error repeats it."""
    try:
        return repr(value)[:SHOWN]
    except (ValueError, RecursionError):  # an integer of thousands of digits, nesting too deep
        return f"a {type(value).__name__} too large to show"
