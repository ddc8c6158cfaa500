"""Causes: why messages failed, as consumers reported it in events apart from the messages."""

from collections.abc import Mapping, Sequence
from typing import Protocol

CAUSES_KEPT_S = 14 * 86_400.0  # SQS's longest retention: no message lives longer


class Causes(Protocol):
    """The reported causes of a fleet's messages, by message id."""

    def keep_cause(self, fleet: str, message_id: str, cause: str, now: float) -> None:
        """Keep the cause of a message's failure for CAUSES_KEPT_S. A later report replaces an earlier one."""
        ...

    def causes(self, fleet: str, message_ids: Sequence[str]) -> Mapping[str, str]:
        """The causes by message id; messages without a report are left out."""
        ...
