"""An account that reads each fact once: a deployment checks a document and its predecessor by the same facts."""

from collections.abc import Callable
from typing import Any, cast

from sluice.onboarding.account import Account
from sluice.ports.errors import PortError


class _CachedAccount:
    def __init__(self, account: Account) -> None:
        self._account = account
        self._answers: dict[tuple[str, tuple[Any, ...]], Any] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._account, name)

        def ask(*args: Any) -> Any:
            key = name, args
            if key not in self._answers:
                try:
                    self._answers[key] = method(*args)
                except PortError as error:
                    self._answers[key] = error
            answer = self._answers[key]
            if isinstance(answer, PortError):
                raise answer
            return answer

        return ask


def cached(account: Account) -> Account:
    """The same account, which repeats its first answer to each question, errors included."""
    return cast("Account", _CachedAccount(account))
