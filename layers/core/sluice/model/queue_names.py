"""Which queue a URL, an ARN or a name means: a queue has many spellings, and is one queue in each.

The hosts of SQS's URLs are today's (`sqs.eu-west-1.amazonaws.com`), those for FIPS (`sqs-fips.`), for both versions of
IP (`sqs.eu-west-1.api.aws`) and of VPC endpoints (`vpce-1-2.sqs.eu-west-1.vpce.amazonaws.com`), and the older
`queue.amazonaws.com` and `eu-west-1.queue.amazonaws.com`, which older SDKs still write.
https://docs.aws.amazon.com/general/latest/gr/sqs-service.html
"""

import re

from sluice.model.frozen import dataclass

_NAME = r"(?P<name>[A-Za-z0-9_-]{1,80}(?:\.fifo)?)"
_ARN = re.compile(rf"arn:[a-z-]+:sqs:(?P<region>[a-z0-9-]+):(?P<account>\d{{12}}):{_NAME}")
# Some configurations leave the scheme out, or have the one by which Celery names its transport.
_URL = re.compile(
    rf"(?:(?i:https?|sqs)://)?(?P<host>[A-Za-z0-9.-]+)(?::\d+)?/(?:queue/)?(?P<account>\d{{12}})/{_NAME}/?"
)
_BARE = re.compile(_NAME)
_HOST = re.compile(r"(?:[a-z0-9-]+\.)?sqs(?:-fips)?\.(?!amazonaws\.)(?P<region>[a-z0-9-]+)\.[a-z0-9.-]+")
_OLDER_HOST = re.compile(r"(?:(?P<region>[a-z0-9-]+)\.)?queue\.amazonaws\.com(?:\.cn)?")
_OLDEST_REGION = "us-east-1"  # of queue.amazonaws.com, which names none


@dataclass(frozen=True, slots=True)
class QueueIdentity:
    """What a spelling says of a queue; None where it does not say it."""

    name: str
    account: str | None = None
    region: str | None = None


def identify(spelling: str) -> QueueIdentity | None:
    """The queue that a URL, an ARN or a name means; None for any other text."""
    spelling = spelling.strip()
    if arn := _ARN.fullmatch(spelling):
        return QueueIdentity(arn["name"], arn["account"], arn["region"])
    if url := _URL.fullmatch(spelling):
        return QueueIdentity(url["name"], url["account"], _region(url["host"].lower()))
    return QueueIdentity(spelling) if _BARE.fullmatch(spelling) else None


def same_queue(one: str, other: str) -> bool:
    """Whether two spellings mean one queue, as far as both say it: a bare name has no account and no region."""
    if one == other:
        return True
    first, second = identify(one), identify(other)
    if first is None or second is None or first.name != second.name:
        return False
    return _agree(first.account, second.account) and _agree(first.region, second.region)


def _region(host: str) -> str | None:
    if known := _HOST.fullmatch(host):
        return known["region"]
    if older := _OLDER_HOST.fullmatch(host):
        return older["region"] or _OLDEST_REGION
    return None  # an emulator, or a name of the user's own


def _agree(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other
