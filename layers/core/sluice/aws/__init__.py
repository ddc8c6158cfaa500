"""The ports on AWS; `connect` is the one place where they are put together."""

import os
from collections.abc import Mapping
from functools import cache

from sluice.aws.archive import S3Archive
from sluice.aws.clients import Clients
from sluice.aws.document_copy import DocumentCopy
from sluice.aws.fleets import SsmFleets
from sluice.aws.group import AsgGroup
from sluice.aws.instances import SsmInstances
from sluice.aws.ledger import dynamo_ledger
from sluice.aws.parameters import ParameterDocuments
from sluice.aws.queue import SqsQueue
from sluice.aws.signals import PERIOD_S, CloudWatchSignals
from sluice.aws.table import Table
from sluice.aws.topic import SnsTopic
from sluice.aws.work_queue import SqsWorkQueue
from sluice.ports.errors import NeedsFixError
from sluice.ports.stack import Ports

__all__ = [
    "AsgGroup",
    "Clients",
    "CloudWatchSignals",
    "ParameterDocuments",
    "S3Archive",
    "SqsQueue",
    "SqsWorkQueue",
    "SsmFleets",
    "SsmInstances",
    "connect",
    "stack_ports",
]

SETTINGS = ("SLUICE_STACK", "SLUICE_FLEETS_PATH", "SLUICE_TABLE", "SLUICE_BUCKET")


def connect(environ: Mapping[str, str]) -> Ports:
    """Every port of a stack. Nothing is asked of AWS and no client is made until a port is used.

    Args:
        environ: SLUICE_STACK, SLUICE_FLEETS_PATH, SLUICE_TABLE and SLUICE_BUCKET; SLUICE_MINUTE_S where an emulator's
            minute, and so the period of SQS's metrics, is shorter; for functions that send steps of chains,
            SLUICE_WORK_QUEUE; for the one that hands them over, SLUICE_DRAINS_FUNCTION and SLUICE_JOBS_FUNCTION; for
            the one that notifies operators, SLUICE_TOPIC, which is empty where the stack has no topic; and the AWS_...
            variables of `Clients`.

    Raises:
        NeedsFixError: a setting is missing or cannot be used; the text names it.
    """
    missing = [name for name in SETTINGS if not environ.get(name)]
    if missing:
        raise NeedsFixError(f"environment: {', '.join(missing)} must be set, as the stack's template does")
    period = environ.get("SLUICE_MINUTE_S") or str(PERIOD_S)
    if not period.isdecimal() or int(period) == 0:
        raise NeedsFixError(f"environment: SLUICE_MINUTE_S must be whole seconds, at least 1, not {period!r}")
    clients = Clients(environ)
    return Ports(
        fleets=SsmFleets(
            ParameterDocuments(clients, environ["SLUICE_FLEETS_PATH"]),
            DocumentCopy(Table(clients, environ["SLUICE_TABLE"])),
        ),
        group=AsgGroup(clients),
        signals=CloudWatchSignals(clients, int(period)),
        queue=SqsQueue(clients),
        archive=S3Archive(clients, environ["SLUICE_BUCKET"]),
        instances=SsmInstances(clients, environ["SLUICE_STACK"]),
        work=SqsWorkQueue(clients, environ),
        topic=SnsTopic(clients, environ.get("SLUICE_TOPIC", "")),
        ledger=dynamo_ledger(clients, environ["SLUICE_TABLE"]),
    )


@cache
def stack_ports() -> Ports:
    """The ports of the stack that this function belongs to, by its environment; made once in a process."""
    return connect(os.environ)
