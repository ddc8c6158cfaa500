"""DynamoDB's expressions, read once: ministack reads a key condition anew for each item of a partition.

A query of a partition with a hundred items took it 17 ms of a processor. On AWS a query finds its items by their order,
so that what else is in the partition costs it nothing (amazondynamodb/latest/developerguide/Query.html). What an
expression says does not change with the item: its tokens and its faults of grammar are kept, for each text.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_dynamodb = Host("services.dynamodb", "_tokenize", "_condition_syntax_error")

KEPT = 1_024
"""Texts: a client writes its values apart from its expressions, so that it has some dozens."""


def install() -> None:
    """Let ministack find what it has read before."""
    _dynamodb["_tokenize"] = reading_once(_dynamodb["_tokenize"])
    _dynamodb["_condition_syntax_error"] = lru_cache(KEPT)(_dynamodb["_condition_syntax_error"])


def reading_once(tokenize: Callable[[str], list[Any]]) -> Callable[[str], list[Any]]:
    """The tokens of an expression, in a list of the caller's own."""
    kept = lru_cache(KEPT)(lambda expression: tuple(tokenize(expression)))
    return lambda expression: list(kept(expression))
