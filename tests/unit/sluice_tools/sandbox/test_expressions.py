"""The sandbox reads each of DynamoDB's expressions once, and gives every caller a list of its own."""

from __future__ import annotations

from sluice_tools.sandbox.emulator.expressions import reading_once


def test_expression_is_read_once_and_each_caller_has_its_own_list() -> None:
    """A caller may take tokens away: the next one still gets all of them."""
    read: list[str] = []

    def tokenize(expression: str) -> list[str]:
        read.append(expression)
        return expression.split()

    tokens_of = reading_once(tokenize)
    first = tokens_of("pk = :pk")
    first.clear()

    assert tokens_of("pk = :pk") == ["pk", "=", ":pk"]
    assert tokens_of("sk = :sk") == ["sk", "=", ":sk"]
    assert read == ["pk = :pk", "sk = :sk"]
