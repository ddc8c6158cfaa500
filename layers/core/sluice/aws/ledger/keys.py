"""The keys of the ledger's items, and the forms of time in them.

One partition a fleet, pk `fleet#<name>`; the sk names the kind of record:

| sk | is | lives |
|---|---|---|
| `lease` | who assigns fleets to shards, or sweeps: holder, until_at | |
| `recent` | the planner's memory as far as each tick changes it, compressed in `data`; learned: the state's digest | |
| `state` | what the planner learned of metrics, the same; launches, launch_count: the last measured ones | |
| `decision#<at ms>#<id>` | a decision with its outcome | 30 days |
| `drain#<instance>` | a drain, at a version | released: 7 days |
| `consumer#<instance>` | what an instance's consumer reported, and how it came into service, at a version | 1 day |
| `group#<id>` | a failure group, its figures as attributes, so that they are added to in place | empty: 14 days |
| `counts` | held_count: messages in quarantine; group_count: failure groups, counted again at counted_at | |
| `hold#<message group>` | a FIFO message group with quarantined messages: failure_group, count | |
| `retries` | marked_until: until when there may be a `retry#<message id>` of the fleet | |
| `retries#<batch claim>` | a claim of many messages: `data` {claimed, sent}, claimed_at, until_at | 14 days |
| `cause#<message id>` | why a message failed, as its consumer reported by event | 14 days |
| `letter#<body key>#<message id>` | a handled dead letter, for its like | 1 day; 14 if its copy has no count |
| `job#<id>` | a redrive job, at a version | 30 days |

What there is of single messages is spread over SHARDS partitions by the message's id, `fleet#<name>#q<shard>`, since
a redrive writes several of these for each message, and a partition of DynamoDB takes 1,000 write units a second:

| sk | is | lives |
|---|---|---|
| `message#<message id>` | a quarantined message: it is in quarantine while this record exists | |
| `quarantine#<at ms>#<message id>` | the same, in the order of time | |
| `quarantine-of#<group>#<at ms>#<message id>` | the same, in the order of time within a failure group | |
| `retry#<message id>` | the claim of a message that is or was sent again: claimed_at, until_at, sent_at | 14 days |

Records of the whole stack have partitions of their own:

| pk, sk | is | lives |
|---|---|---|
| `chains#<kind>`, the id | a chain: version, due_at, at_work_until, asked; JSON in data, assignment | its work |
| `consumers`, the fleet | fleet: one that ever had a consumer on record | |
| `unreleased`, `<fleet>#<instance>` | a drain that is not released: fleet, instance; retained_since | its drain |
| `command#<id>`, the instance | fleet: whose drain waits for this stop command | its drain; 7 days at most |
| `needs`, `noted#<reason>#<fleet>` | a fleet that needs an operator: reason, fleet, seen_at, figure | 1 day |
| `needs`, `reported` | which of these the last notice reported of, and since when | |
| `running-jobs`, `<fleet>#<job>` | a redrive job that is running | while it does |
| `launches`, `<noted at ms>#<activity>` | a launch that Auto Scaling's event reported | 1 hour |
| `documents`, `document#<name>` | a copy of a fleet's document: text in `data`, version, modified_at | the document |
| `documents`, `head` | the copy's revision, and when it was compared with Parameter Store: claimed_at, checked_at | |
| `metrics`, the shard | the newest metrics of a shard's queues, JSON compressed in `data` | 1 day |

Records are JSON in `data` unless their attributes are listed, and each has its form's `record_version`
(`sluice.aws.ledger.forms`). DynamoDB compares versions when it writes. It deletes an item within some days after its
`ttl`: claims compare the time themselves, and the other kinds do no harm meanwhile.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/howitworks-ttl.html
"""

import math
from functools import lru_cache
from urllib.parse import quote
from zlib import crc32

from sluice.aws.table import Item, typed_all
from sluice.model.chain import kind_of

BEFORE_ALL = " "  # sorts before everything that a key begins with; DynamoDB takes no empty text
RUNNING_JOBS = "running-jobs"
SHARDS = 16  # so that a redrive of 1,000 messages a second takes half of what each partition may
PAST_ALL = "\U0010ffff"  # sorts after everything that a key can hold
MS_DIGITS = 15  # milliseconds until the year 33658, so that text sorts as time does


def partition(fleet: str) -> str:
    """The partition of a fleet's records."""
    return f"fleet#{fleet}"


def key(fleet: str, sk: str) -> Item:
    """The key of a fleet's record."""
    return typed_all({"pk": partition(fleet), "sk": sk})


@lru_cache(maxsize=64)
def shards(fleet: str) -> tuple[str, ...]:
    """The partitions of a fleet's single messages.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-sharding.html
    """
    return tuple(f"{partition(fleet)}#q{number:02d}" for number in range(SHARDS))


def message_key(fleet: str, message_id: str, sk: str) -> Item:
    """The key of a record of a single message."""
    # Written out: a redrive makes several of these for each message.
    return {"pk": {"S": shards(fleet)[crc32(message_id.encode()) % SHARDS]}, "sk": {"S": sk}}


def chain_key(chain_id: str) -> Item:
    """The key of a chain's record."""
    return typed_all({"pk": f"chains#{kind_of(chain_id)}", "sk": chain_id})


def running_job_key(fleet: str, job_id: str) -> Item:
    """The key of a running job's place in the index."""
    return typed_all({"pk": RUNNING_JOBS, "sk": f"{fleet}#{job_id}"})


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


def claim_key(fleet: str, message_id: str) -> Item:
    """The claim of a message that is being sent again, or was."""
    return message_key(fleet, message_id, f"retry#{message_id}")
