"""Which earlier version of an invalid document a fleet's instances are drained by.

An instance that terminates does not wait until somebody has mended a document: without a fleet that knows its group,
its lifecycle hook would time out and its work would be killed. So the newest version that can be used serves for
draining, and for nothing else.
"""

from collections.abc import Iterable

from sluice.config.fleet import ConfigError, Fleet, parse
from sluice.model.frozen import dataclass


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """One version of a document, as Parameter Store keeps it."""

    number: int  # counts up from 1
    text: str
    written_at: float  # epoch seconds


@dataclass(frozen=True, slots=True)
class DrainOnly:
    """A fleet whose document is invalid: its instances are drained as the last usable version of it says."""

    fleet: Fleet
    document: str  # the name of the document at fault, as in its ConfigError
    written_at: float  # when the version that is used was written, epoch seconds


def last_usable(name: str, versions: Iterable[DocumentVersion], others: Iterable[Fleet]) -> DrainOnly | None:
    """The newest version of a document that can be used for draining; None if there is none.

    A version that claims the name or the group of another fleet cannot be used: that fleet's own document says how its
    instances are drained. A queue that another fleet consumes too is in the way of planning alone.

    Args:
        name: of the document.
        versions: in any order.
        others: the fleets whose names and groups are taken.
    """
    taken = list(others)
    names, groups = {fleet.name for fleet in taken}, {fleet.group for fleet in taken}
    for version in sorted(versions, key=lambda each: each.number, reverse=True):
        try:
            fleet = parse(name, version.text)
        except ConfigError:
            continue
        if fleet.name not in names and fleet.group not in groups:
            return DrainOnly(fleet, name, version.written_at)
    return None
