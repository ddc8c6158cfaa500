"""What a port raises, by what to do about it: try later, reject, or fix the configuration."""

from collections.abc import Callable


class PortError(Exception):
    """Anything a port can raise."""


class TryLaterError(PortError):
    """Throttled, timed out or AWS at fault: the same call may go through later."""


class LostAnswerError(TryLaterError):
    """The request may have gone through: its answer was lost. Only a repeatable request may simply be repeated."""


class RefusedError(PortError):
    """AWS refuses this very request; repeating it is of no use."""


class NeedsFixError(PortError):
    """A missing queue, group or permission: the text names it and says what to create or grant."""


class ConflictError(PortError):
    """Another wrote the record first: read it again."""


def answer_of[T](call: Callable[[], T]) -> T | PortError:
    """What a call of a port answers, or the error that it raises: for where one failure is not the others'."""
    try:
        return call()
    except PortError as error:
        return error
