"""Where the layer tells what it does: the log that a handler hands over."""

from contextlib import AbstractContextManager
from logging import getLogger  # noqa: TID251 - a level is set here, nothing is logged
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


def keep_from(level: str | None, name: str) -> None:
    """Keep the lines of the logger of that name from a level on, such as WARNING; None: as it is.

    The stack's LogLevel cannot be Lambda's own filter, which takes a line without a level, such as a metric, for INFO
    (https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html): it stays at INFO or DEBUG.
    Powertools would go by that filter alone (AWS_LAMBDA_LOG_LEVEL), and even its `setLevel` does.
    """
    if level:
        getLogger(name).setLevel(level)
