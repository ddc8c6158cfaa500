"""Work side by side in a story: one piece goes on at a time, and the seed's dice say which, at each call of a port."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sluice.memory import Crash

HUNG_S = 60.0  # a piece that gets no turn for so long is stuck: virtual time waits for nothing


@dataclass(slots=True, eq=False)
class _Piece:
    """One piece of work, in a thread that waits for its turn; or whoever began the pieces."""

    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    waits_for: "_Piece | None" = None
    ended: bool = False
    results: list[Any] = field(default_factory=list)
    error: BaseException | None = None

    @property
    def can_go_on(self) -> bool:
        """Whether it may have the turn."""
        return not self.ended and (self.waits_for is None or self.waits_for.ended)


class Turns:
    """The pieces of one process, and their caller: when one of them crashes, so do the others, each at its next call.

    Args:
        choose: the dice: one of so many, from 0.
    """

    def __init__(self, choose: Callable[[int], int]) -> None:
        self._choose = choose
        self._caller = _Piece()
        self._pieces = [self._caller]
        self._mine = threading.local()
        self._mine.piece = self._caller
        self.crashed = False

    def begin[Result](self, work: Callable[[], Result]) -> Callable[[], Result]:
        """Begin a piece, which goes on when it gets the turn; what waits for its end and returns its result."""
        piece = _Piece()
        self._pieces = [*(one for one in self._pieces if not one.ended), piece]
        threading.Thread(target=self._take_part, args=(piece, work), daemon=True).start()
        return partial(self._wait_for, piece)

    def pass_on(self) -> None:
        """Called by whoever has the turn: it may be another's now, and this returns when it is the caller's again."""
        mine: _Piece = self._mine.piece
        following = self._next()
        if following is not mine:
            following.turn.release()
            _wait(mine.turn)

    def end(self) -> None:
        """The caller has ended, or crashed: what it left behind crashes with it."""
        left = [piece for piece in self._pieces if piece is not self._caller and not piece.ended]
        assert self.crashed or not left, "nobody waited for a piece of work"
        for piece in left:
            self._wait_until(piece)

    def _wait_for(self, piece: _Piece) -> Any:
        self._wait_until(piece)
        if piece.error is not None:
            raise piece.error
        return piece.results[0]

    def _wait_until(self, piece: _Piece) -> None:
        """Go on when a piece has ended and the dice say so."""
        mine: _Piece = self._mine.piece
        mine.waits_for = piece
        self.pass_on()
        mine.waits_for = None

    def _next(self) -> _Piece:
        there = [piece for piece in self._pieces if piece.can_go_on]
        return there[self._choose(len(there))] if len(there) > 1 else there[0]

    def _take_part(self, piece: _Piece, work: Callable[[], Any]) -> None:
        self._mine.piece = piece
        _wait(piece.turn)
        try:
            piece.results.append(work())
        except BaseException as error:  # it is raised to whoever waits for it
            piece.error = error
            self.crashed |= isinstance(error, Crash)
        piece.ended = True
        self._next().turn.release()


def _wait(turn: threading.Semaphore) -> None:
    if not turn.acquire(timeout=HUNG_S):
        raise RuntimeError("a piece of work that is done side by side never got its turn again")
