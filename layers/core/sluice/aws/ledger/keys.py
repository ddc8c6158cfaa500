"""The keys of the ledger's items, and the forms of time in them.

One partition a fleet, pk `fleet#<name>`; sk says what a record is:

| sk | is | lives |
|---|---|---|
| `lease` | who plans now: holder, until_at | |
| `state` | the planner's memory, JSON compressed in `data`; launches, launch_count: the last timed ones | |
| `decision#<at ms>#<id>` | a decision with its outcome | 30 days |
| `drain#<instance>` | a drain, at a version | released: 7 days |
| `consumer#<instance>` | what an instance's consumer said, and how it came into service, at a version | 1 day |
| `group#<id>` | a failure group, its figures as attributes, so that they are added to in place | empty: 14 days |
| `counts` | held_count: messages in quarantine; group_count: failure groups, made anew at counted_at | |
| `message#<message id>` | a quarantined message: the one record that says it is there | |
| `quarantine#<at ms>#<message id>` | the same, in the order of time | |
| `quarantine-of#<group>#<at ms>#<message id>` | the same, in the order of time within a failure group | |
| `hold#<message group>` | a FIFO message group with quarantined messages: failure_group, count | |
| `retries#<batch claim>` | a mark for each of many: `data` {claimed, sent}, claimed_at, until_at | 14 days |
| `retry#<message id>` | the mark that a message is being sent again, or was: claimed_at, until_at, sent_at | 14 days |
| `cause#<message id>` | why a message failed, as its consumer reported by event | 14 days |
| `attempts#<message key>` | redrives of a message that cannot carry the count itself | 14 days |
| `job#<id>` | a redrive job, at a version | 30 days |

Records are JSON in `data` unless said otherwise. Versions are compared by DynamoDB at the moment of writing. What is
past its `ttl` may still be there for some days: claims look at the time themselves, the others do no harm by it.
"""

import math
from urllib.parse import quote

from sluice.aws.table import Item, typed_all

PAST_ALL = "\U0010ffff"  # sorts after everything that a key can hold
MS_DIGITS = 15  # milliseconds until the year 33658, so that text sorts as time does


def partition(fleet: str) -> str:
    """The partition of a fleet's records."""
    return f"fleet#{fleet}"


def key(fleet: str, sk: str) -> Item:
    """The key of a fleet's record."""
    return typed_all({"pk": partition(fleet), "sk": sk})


def ms(at: float) -> str:
    """A time (epoch seconds) as milliseconds, in digits that sort as time does."""
    return f"{round(max(at, 0.0) * 1000):0{MS_DIGITS}d}"


def ttl(at: float) -> int:
    """Whole epoch seconds, as DynamoDB's time to live takes them."""
    return math.ceil(at)


def quoted(group_id: str) -> str:
    """A failure group's id without `#`, so that no id's keys lie among another's."""
    return quote(group_id, safe="")


def counts_key(fleet: str) -> Item:
    """The record of a fleet's counts."""
    return key(fleet, "counts")


def mark_sk(message_id: str) -> str:
    """The mark of a message that is being sent again, or was."""
    return f"retry#{message_id}"
