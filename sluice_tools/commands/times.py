"""Times as they are typed: a moment with its zone, or how long ago."""

import re
import time
from datetime import datetime

from sluice_tools.commands.frame import UsageError
from sluice_tools.commands.output import LATEST

AGO = re.compile(r"([0-9]{1,6})([smhd])")
UNIT_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def moment(flag: str, text: str) -> float:
    """A time in epoch seconds.

    Args:
        flag: the option, as typed.
        text: such as 2026-11-24T14:00:00Z, or 90m, 2h or 3d: so long ago.

    Raises:
        UsageError: it is neither.
    """
    if ago := AGO.fullmatch(text):
        return max(0.0, time.time() - int(ago[1]) * UNIT_S[ago[2]])
    try:
        read = datetime.fromisoformat(text)
        if read.tzinfo is not None and 0 <= read.timestamp() <= LATEST:
            return read.timestamp()
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        f"{flag}: must be a time with its zone, such as 2026-11-24T14:00:00Z, or how long ago, such as 90m, 2h or 3d"
        f" (got {text[:80]!r})"
    )
