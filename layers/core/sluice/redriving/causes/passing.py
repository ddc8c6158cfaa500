"""Causes that pass by themselves, by what is said of them: a peer that is away, late or busy.

They decide only whether a burst is held and released (`verdict`), and a policy's own patterns come first. A cause that
is held and does not pass waits for an operator in the end, as any other does. So what drivers, clients and services say
in an ordinary outage is here, however it is spelt, and nothing that a message's own content may cause as well.
https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
"""

import re
from typing import Final

from sluice.redriving.causes.status_codes import codes_in

# Within a code, with the words that make it one: `HTTP 503`, `status: 503`; but neither -503 of DB2 nor ORA-00504.
_STATUS: Final = re.compile(r"(?<![\d-])(?:429|502|503|504)(?!\d)")
_SAID: Final = (
    # late
    "time[_-]?out", "timed out", "deadline exceeded",
    # busy
    "throttl", "too many (?:requests|connections|clients)", "rate (?:limit|exceeded)", "request limit exceeded",
    "throughput exceeded", "slow down", "deadlock (?:found|detected)",
    # away
    "service unavailable", "bad gateway", r"(?:code = |StatusCode\.)unavailable", "(?-i:14 UNAVAILABLE:)",
    "database system is (?:starting up|shutting down)", "terminating connection",
    # the way to it
    "connection (?:was )?(?:refused|reset|closed|aborted)", "(?:closed|lost) (?:the )?connection",
    "ECONN(?:REFUSED|RESET|ABORTED)", "EPIPE", "broken pipe", "socket hang up", "gone away", "TNS:",
    "communications link failure", "(?:actively refused|forcibly closed)", "end of file on communication channel",
    "(?:can't|could not|cannot|unable to|failed to) connect", "no route to host", "EHOSTUNREACH", "ENETUNREACH",
    "EAI_AGAIN", "temporary failure in name resolution",
    r"SQLSTATE\W{0,3}(?:08|40)[0-9A-Z]{3}",  # the standard's classes: connection exception, transaction rollback
)  # fmt: skip
# Names are written together, apart, or with signs between: SlowDown, slow down, DEADLINE_EXCEEDED, end-of-file.
_PASSING: Final = re.compile("|".join(said.replace(" ", r"[\s_-]?") for said in _SAID), re.IGNORECASE)


def passes_by_itself(*lines: str) -> bool:
    """Whether one of the lines that say a cause names one that passes by itself."""
    return any(_PASSING.search(line) or any(_STATUS.search(code) for code in codes_in(line)) for line in lines)
