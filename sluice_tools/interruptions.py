"""What Ctrl-C, SIGTERM and a lost terminal do to a tool that ends in order: they interrupt it, or are put off."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INSISTED = 3
"""Signals during an end in order that cut it short all the same: once or twice may be impatience."""


class Interrupted(BaseException):
    """A signal asked for the end; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn the signals into `Interrupted`, raised where the main thread is."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(number)

    with _handled(interrupt):
        yield


@contextmanager
def undisturbed(say: Callable[[str], None]) -> Iterator[None]:
    """Let the removal go on through the same signals; the third one ends it.

    Args:
        say: called with what a signal did.
    """
    count = 0

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count >= INSISTED:
            raise Interrupted(number)
        say(f"The removal goes on. Interrupt {INSISTED - count} more times to leave the rest in the account.")

    with _handled(interrupt):
        yield


@contextmanager
def ending_in_order(stopping: str, stopped: str) -> Iterator[None]:
    """Run a block that the first signal ends: what it has started ends with it, however often a signal comes again.

    Args:
        stopping: printed when the signal comes.
        stopped: printed once everything has ended.
    """
    came = False

    def interrupt(number: int, _frame: FrameType | None) -> None:
        nonlocal came
        if came:
            return
        came = True
        _print_at_once(stopping)
        raise Interrupted(number)

    with _handled(interrupt):
        try:
            yield
        except Interrupted:
            _print_at_once(stopped)


def _print_at_once(line: str) -> None:
    """Print from a signal handler: what was interrupted may be using Python's buffer, and the terminal may be gone."""
    try:
        os.write(sys.stdout.fileno(), f"\n{line}\n".encode())
    except OSError:
        return


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in SIGNALS}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
