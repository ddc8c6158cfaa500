"""Faults for chaos tests: any single call of any port fails before or after it took effect."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from sluice.ports.ledger import Ledger
from sluice.ports.stack import Ports

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


class Crash(BaseException):
    """The process dies here. A BaseException, so that no `except Exception` survives it."""


class When(StrEnum):
    """Whether a call that fails has taken effect."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a port, as `decide` gets to see it."""

    port: str  # the port's class, such as "MemoryQueue"
    method: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    index: int  # how many calls were made before it, over all ports that share the decision


@dataclass(frozen=True, slots=True)
class Fault:
    """How a call fails."""

    when: When
    error: BaseException


type Decide = Callable[[Call], Fault | None]

# What a port does without a call of its own: the calls are those of the work that it is given.
NO_CALLS = frozenset({"rounds", "begin"})


class _Counted:
    """Numbers the calls of all ports that share one decision."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._index = 0

    def __call__(self, port: str, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Fault | None:
        call = Call(port, method, args, kwargs, self._index)
        self._index += 1
        return self._decide(call)


class _Faulty:
    def __init__(self, port: object, decide: _Counted) -> None:
        self._port = port
        self._decide = decide

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._port, name)
        if not callable(attribute) or name in NO_CALLS:
            return attribute

        @wraps(attribute)
        def call(*args: Any, **kwargs: Any) -> Any:
            fault = self._decide(type(self._port).__name__, name, args, kwargs)
            if fault and fault.when is When.BEFORE:
                raise fault.error
            answer = getattr(self._port, name)(*args, **kwargs)
            if fault:
                raise fault.error
            return answer

        self.__dict__[name] = call  # found there from now on, without coming here
        return call


def faulty[P](port: P, decide: Decide) -> P:
    """The same port, but `decide` is asked at each call whether and how it fails."""
    return cast("P", _Faulty(port, _Counted(decide)))


def faulty_ports(ports: Ports, decide: Decide) -> Ports:
    """The same ports, all faulty, their calls numbered together: `call.index` names a point of one run.

    The given ports stay as they are: tests read the world through them.
    """
    counted = _Counted(decide)
    wrapped = _all_faulty(ports, counted)
    ledger = Ledger(**_all_faulty(ports.ledger, counted))
    return Ports(**wrapped | {"ledger": ledger})


def _all_faulty(ports: "DataclassInstance", decide: _Counted) -> dict[str, Any]:
    """What each field of a record of ports becomes, by name."""
    return {field.name: _Faulty(getattr(ports, field.name), decide) for field in fields(ports)}


def at_call(index: int, when: When, error: BaseException) -> Decide:
    """Fail just the call of that number, and no other."""
    return lambda call: Fault(when, error) if call.index == index else None
