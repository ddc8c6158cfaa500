"""Work side by side in a story: one piece goes on at a time, and the seed's dice say which, at each call of a port."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sluice.memory import Crash

HUNG_S = 60.0  # a piece that gets no turn for so long is stuck: virtual time waits for nothing


@dataclass(slots=True)
class _Piece[Result]:
    """One piece of work, in a thread that waits for its turn."""

    work: Callable[[], Result]
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    ended: bool = False
    results: list[Result] = field(default_factory=list)
    error: BaseException | None = None


class Turns[Result]:
    """The pieces of one process: when one of them crashes, so do the others, each at its next call.

    Args:
        works: what is to be done.
        choose: the dice: one of so many, from 0.
    """

    def __init__(self, works: Sequence[Callable[[], Result]], choose: Callable[[int], int]) -> None:
        self._choose = choose
        self._pieces = [_Piece(work) for work in works]
        self._mine = threading.local()
        self._over = threading.Semaphore(0)
        self.crashed = False

    def run(self) -> list[Result]:
        """All of them to their end; their results in order, or what the first of those that failed raised."""
        threads = [threading.Thread(target=self._take_part, args=(piece,), daemon=True) for piece in self._pieces]
        for thread in threads:
            thread.start()
        self._next().turn.release()
        _wait(self._over)
        for thread in threads:
            thread.join()
        errors = [piece.error for piece in self._pieces if piece.error is not None]
        for error in sorted(errors, key=lambda error: not isinstance(error, Crash)):
            raise error
        return [result for piece in self._pieces for result in piece.results]

    def pass_on(self) -> None:
        """Called by whoever has the turn: it may be another's now, and this returns when it is the caller's again."""
        mine: _Piece[Result] = self._mine.piece
        following = self._next()
        if following is not mine:
            following.turn.release()
            _wait(mine.turn)

    def _next(self) -> _Piece[Result]:
        there = [piece for piece in self._pieces if not piece.ended]
        return there[self._choose(len(there))]

    def _take_part(self, piece: _Piece[Result]) -> None:
        self._mine.piece = piece
        _wait(piece.turn)
        try:
            piece.results.append(piece.work())
        except BaseException as error:  # it is raised by `run`
            piece.error = error
            self.crashed |= isinstance(error, Crash)
        piece.ended = True
        if all(one.ended for one in self._pieces):
            self._over.release()
        else:
            self._next().turn.release()


def _wait(turn: threading.Semaphore) -> None:
    if not turn.acquire(timeout=HUNG_S):
        raise RuntimeError("a piece of work that is done side by side never got its turn again")
