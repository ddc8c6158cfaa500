"""What a port raises, by what to do about it: try later, give up this request, or fix the configuration."""

from collections.abc import Callable, Sequence


class PortError(Exception):
    """Anything a port can raise."""


class TryLaterError(PortError):
    """AWS throttled the call, did not answer in time, or failed: the same call may succeed later."""


class LostAnswerError(TryLaterError):
    """The request may have taken effect: its answer was lost. Repeat it only if a second effect does no harm."""


class RefusedError(PortError):
    """AWS refuses this request, and would refuse it again."""


class NeedsFixError(PortError):
    """A queue, group or permission is missing. The text names it, and says what to create or grant."""


class ConflictError(PortError):
    """Another writer changed the record first: read it again."""


def answer_of[T](call: Callable[[], T]) -> T | PortError:
    """What a call of a port returns, or the error that it raises: where one failure must not stop the others."""
    try:
        return call()
    except PortError as error:
        return error


def each_of[T](names: Sequence[str], call: Callable[[], Sequence[T | PortError]]) -> dict[str, T | PortError]:
    """What a call that is about several things answers for each, by name; where it raises an error, that for each.

    Nothing is called where there are no names.
    """
    if not names:
        return {}
    answers = answer_of(call)
    if isinstance(answers, PortError):
        return dict.fromkeys(names, answers)
    return dict(zip(names, answers, strict=True))
