"""Where the layer tells what it does: the log that a handler hands over."""

from contextlib import AbstractContextManager
from typing import Any, Protocol


class Log(Protocol):
    """Where it is told what is done, by ids and failure groups alone; Powertools' Logger is one."""

    def debug(self, msg: str, **keys: Any) -> None:
        """What is of use in a search for a fault."""

    def info(self, msg: str, **keys: Any) -> None:
        """What was done."""

    def warning(self, msg: str, **keys: Any) -> None:
        """What goes well by itself later."""

    def error(self, msg: str, **keys: Any) -> None:
        """What a person must put right, or nobody foresaw."""

    def exception(self, msg: str, **keys: Any) -> None:
        """An error, with the exception that is being handled."""

    def append_context_keys(self, **keys: Any) -> AbstractContextManager[None]:
        """Keys of each line written within. A key that was there before is gone after it: these do not nest."""
