"""What is wrong with a sentence for people: its numbers, its units and its words."""

import re

from tests.support.words import Text, find

NOUNS = (
    "message",
    "instance",
    "queue",
    "receive",
    "problem",
    "warning",
    "day",
    "hour",
    "minute",
    "second",
    "byte",
    "character",
    "agent",
    "hook",
)
MANY = re.compile(rf"(?<![\d.,:/-])1 (?:{'|'.join(NOUNS)})s\b")
ONE = re.compile(rf"(?<![\d.,:/-])(?!1 )\d[\d.,]* (?:{'|'.join(NOUNS)})\b(?![-'])")
EPOCH = re.compile(r"(?<![\w/:])1[6-9]\d{8}(?:\.\d+)?(?![\w/])")


def faults(text: str) -> list[str]:
    """Everything that is wrong with a sentence, or several; nothing if they are right.

    They must be without private words, "1 messages", "2 message", epoch seconds, two spaces, and Python's None, True
    or False.
    """
    found = [f"plural after one: {one[0]!r}" for one in MANY.finditer(text)]
    found += [f"singular after several: {one[0]!r}" for one in ONE.finditer(text)]
    found += [f"epoch seconds: {one[0]!r}" for one in EPOCH.finditer(text)]
    found += [f"Python's own word: {one[0]!r}" for one in re.finditer(r"\b(?:None|True|False)\b(?!:)", text)]
    found += [f"private word: {each.word!r}; write {each.instead}" for each in find(text, Text.PAGE)]
    found += ["two spaces"] if "  " in text else []
    return found
