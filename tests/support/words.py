"""Words that no text for people uses, with what to write instead: private words, and those that are not of the field.

docs/glossary.md has the words that are used. A word is looked for in four kinds of text: sentences that functions write
into decisions, logs and records; the widget's texts; pages (documents and templates); and code (names, docstrings and
comments).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto


class Text(Enum):
    """A kind of text."""

    DECISION = auto()
    WIDGET = auto()
    PAGE = auto()
    CODE = auto()


EVERYWHERE = frozenset(Text)
PROSE = frozenset({Text.DECISION, Text.WIDGET, Text.PAGE})
SENTENCES = frozenset({Text.DECISION, Text.WIDGET})
WIDGET = frozenset({Text.WIDGET})


@dataclass(frozen=True)
class Private:
    """A word, or a phrase, that is not used.

    Attributes:
        word: a regular expression in lower case; a space in it stands for any white space.
        instead: what to write.
        used_in: the kinds of text in which it is not used.
    """

    word: str
    instead: str
    used_in: frozenset[Text] = EVERYWHERE


PRIVATE = (
    Private("hygiene", "signal quality"),
    Private("sightings?", "sample"),
    Private("minding|minder|minded", "tracking, tracker"),
    Private("belonging", "source queue"),
    Private("persons?", "operator (somebody who asks Sluice for something), people"),
    Private("tellers?", "telemetry"),
    Private("told", "reported, said; given"),
    Private("wakes?|woken|woke|waking", "invoke, tick", PROSE),  # in code a thread is woken
    Private("desks?", "processor"),
    Private("keepers?", "guard"),
    Private("lanes", "order guard"),
    Private("beaten", "better"),
    Private("parcels?", "outgoing message"),
    Private("consign(?:ed|ments?)", "claim"),
    Private("kept back|keeps? back", "reserved, safety margin"),
    Private("way back", "route"),
    Private("put away", "quarantined"),
    Private("unproven", "cold start"),
    Private("stabilising", "stabilization window"),
    Private("lessons?", "evidence"),
    Private("spells?", "stretch, period"),
    Private("(?:a|the|each|every|next|at a|empty) looks?(?! at\\b)", "tick, check, sample"),
    Private("at sight", "once it has arrived"),
    Private("grow|grows|grew|grown|growth", "scale out", PROSE),
    Private("shrinks?|shrinking|shrank|shrunk", "scale in", PROSE),
    Private("let go(?: of)?|lets go(?: of)?|letting go", "released, deleted", PROSE),
    Private("goes by|go by|went by", "uses", PROSE),
    Private("looked at|looks after|look after|looked after", "checked, read; takes care of", PROSE),
    Private("anew", "again", PROSE),
    Private("of late(?! messages)", "recently", PROSE),
    Private("in hand", "in progress", PROSE),
    Private("nobody", "what is missing, as a subject: no instance, no operator", PROSE),
    Private("without a word", "without a message", PROSE),
    Private("word for word", "with the same text", PROSE),
    Private("'s word", "request, report", PROSE),
    Private("the house", "the code", PROSE),
    Private("hot", "busy; ticked every TickSeconds", PROSE),
    Private("cold(?! start)", "idle", PROSE),
    Private("tail", "busy capacity", PROSE),
    Private("belongs?", "is of, is in", SENTENCES),
    Private("sight", "sample", SENTENCES),
    Private("unlike", "in contrast to", SENTENCES),
    Private("hands", "actuators", SENTENCES),
    Private("case", "situation", SENTENCES),
    Private("said", "reported", SENTENCES),
    Private("word", "report", SENTENCES),
    Private("looks?|looked", "tick, check", SENTENCES),
    Private("shift", "invocation", SENTENCES),
    Private("wish", "wanted capacity", SENTENCES),
    Private("knot", "point", SENTENCES),
    Private("fluid", "amount", SENTENCES),
    Private("beside", "together with", SENTENCES),
    Private("people|somebody", "operator", WIDGET),
    Private("tells?|says?|words", "show, report, text", WIDGET),
    Private("mended", "fixed", WIDGET),
    Private("aside", "muted", WIDGET),
    Private("archived?", "quarantine", WIDGET),
    Private("tripped", "retries suspended", WIDGET),
    Private("dares?", "would change", WIDGET),
    Private("doubtful", "in doubt, uncertain", WIDGET),
    Private("ours|theirs", "Sluice's, the current scaling's", WIDGET),
    Private("seen|noticed|hit", "found, reached", WIDGET),
)


@dataclass(frozen=True)
class Found:
    """A private word in a text."""

    line: int
    word: str
    instead: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.word!r} is a private word; write: {self.instead}"


def find(text: str, kind: Text) -> Iterator[Found]:
    """The private words in a text of this kind, by line; a phrase may be broken over two lines, a name is its words."""
    if kind is Text.CODE:
        text = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", text)  # names are read word by word; lines stay where they are
    lowered = text.lower()
    for private in PRIVATE:
        if kind not in private.used_in:
            continue
        pattern = private.word.replace(" ", r"\s+(?:#\s+)?")
        for match in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", lowered):
            yield Found(lowered.count("\n", 0, match.start()) + 1, match[0], private.instead)
