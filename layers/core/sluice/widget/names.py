"""What operators read in dialogs: names in place of ids, in characters that mean nothing to any markup.

AWS does not document how a dashboard shows a confirmation: as text or as HTML. So a name in it keeps letters, digits
and a few marks, from left to right, and nothing that opens an element, an entity, an attribute or a template.
"""

import re
import unicodedata

from sluice.model.redriving import FailureGroup

NAME_MAX_CHARACTERS = 80  # two lines of a dialog
_MARKS = frozenset(" .,:;_-/()=#+@%*")
_LEFT_TO_RIGHT = frozenset({"L", "EN"})  # letters and digits that do not turn the words around them
_PLAIN_ID = re.compile(r"[A-Za-z0-9._-]{1,80}")
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{8,17}")


def plain_name(text: str) -> str:
    """A text from outside in plain characters, on one line; every other character is a space. Empty if none is left."""
    beginning = text[: 4 * NAME_MAX_CHARACTERS]
    words = "".join(character if _is_plain(character) else " " for character in beginning).split()
    name = " ".join(words)
    return (
        name
        if len(name) <= NAME_MAX_CHARACTERS
        else f"{name[: NAME_MAX_CHARACTERS - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}"
    )


def _is_plain(character: str) -> bool:
    is_word = unicodedata.category(character)[0] in "LN" and unicodedata.bidirectional(character) in _LEFT_TO_RIGHT
    return is_word or character in _MARKS


def group_name(group: FailureGroup) -> str:
    """A failure group by its cause, in quotation marks; by its id where no cause is left in plain characters."""
    if name := plain_name(group.cause):
        return quoted(name)
    return f"failure group {group.id}" if _PLAIN_ID.fullmatch(group.id) else "this failure group"


def quoted(name: str) -> str:
    """A plain name in quotation marks, which it cannot hold itself."""
    return f"\N{LEFT DOUBLE QUOTATION MARK}{name}\N{RIGHT DOUBLE QUOTATION MARK}"


def instance_name(instance_id: str) -> str:
    """Such as "instance i-0a41c9d2e83f5b617"; "this instance" where the id is none of EC2's."""
    return f"instance {instance_id}" if _INSTANCE_ID.fullmatch(instance_id) else "this instance"
