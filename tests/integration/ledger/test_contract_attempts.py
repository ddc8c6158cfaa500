"""The Attempts port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from dataclasses import replace

from sluice.model.redriving import HandledLetter, Remembered
from sluice.ports.ledger import Ledger
from sluice.ports.ledger.attempts import ATTEMPTS_KEPT_S, STAMPED_KEPT_S
from tests.integration.contract_worlds import World
from tests.integration.ledger.samples import FLEET


def letter(world: World, letter_id: str = "m-1", *, stamped: bool = True) -> HandledLetter:
    """A dead letter that was retried now."""
    return HandledLetter(letter_id, 1, world.now(), world.now() + 30, stamped, True, world.now() - 60, None)


def test_handled_letters_are_remembered_by_their_body(world: World, ledger: Ledger) -> None:
    """Each by itself and as it was written last; none of another body or another fleet."""
    first, second = letter(world), letter(world, "m-2")
    assert ledger.attempts.handled(FLEET, ["k"], world.now()) == {"k": ()}
    ledger.attempts.remember(FLEET, [Remembered("k", first), Remembered("k", second), Remembered("k-2", first)])
    ledger.attempts.remember(FLEET, [Remembered("k", replace(first, attempts=2))])
    found = ledger.attempts.handled(FLEET, ["k", "k-2", "k-3"], world.now())
    assert found == {"k": (replace(first, attempts=2), second), "k-2": (first,), "k-3": ()}
    assert ledger.attempts.handled("other", ["k"], world.now()) == {"k": ()}


def test_retry_is_forgotten_when_a_dead_letter_answers_it(world: World, ledger: Ledger) -> None:
    """The new record takes its place, or none does."""
    third = letter(world, "m-3")
    ledger.attempts.remember(FLEET, [Remembered("k", letter(world)), Remembered("k", letter(world, "m-2"))])
    ledger.attempts.remember(FLEET, [Remembered("k", third, "m-1"), Remembered("k", None, "m-2")])
    assert ledger.attempts.handled(FLEET, ["k"], world.now()) == {"k": (third,)}
    ledger.attempts.remember(FLEET, [Remembered("k", None, "m-1")])
    assert ledger.attempts.handled(FLEET, ["k"], world.now()) == {"k": (third,)}


def test_handled_letters_are_forgotten_in_time(world: World, ledger: Ledger) -> None:
    """One whose copy carries its count after a day, others when no copy can be in a queue any more."""
    ledger.attempts.remember(
        FLEET, [Remembered("k", letter(world)), Remembered("k", letter(world, "m-2", stamped=False))]
    )

    def left(after_s: float) -> list[str]:
        return [one.letter_id for one in ledger.attempts.handled(FLEET, ["k"], world.now() + after_s)["k"]]

    assert left(STAMPED_KEPT_S - 60) == ["m-1", "m-2"]
    assert left(STAMPED_KEPT_S + 60) == ["m-2"]
    assert left(ATTEMPTS_KEPT_S + 60) == []
