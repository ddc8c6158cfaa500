"""The Needs port on DynamoDB."""

import logging
from collections.abc import Callable, Sequence

from sluice.aws.ledger.forms import UnreadableError
from sluice.aws.ledger.keys import PAST_ALL, ttl
from sluice.aws.ledger.records import NEED, REPORTED_NEEDS, ReportedNeeds, attributes, logged, name_of
from sluice.aws.table import Item, Table, Value, number, text, typed_all
from sluice.model.need import OperatorNeed, ReportedNeed
from sluice.ports.ledger.needs import NEEDS_KEPT_S

logger = logging.getLogger(__name__)

NOTED = "noted#"  # before the reason and the fleet


class DynamoNeeds:
    """The Needs port: an item for each reason and fleet, and one of what was reported, all in one partition."""

    def __init__(self, table: Table, now: Callable[[], float]) -> None:
        self._table = table
        self._now = now

    def note(self, need: OperatorNeed) -> None:
        """Note what a function saw."""
        figures: dict[str, Value] = {
            "reason": need.reason,
            "fleet": need.fleet,
            "seen_at": need.seen_at,
            "figure": need.value,
            "ttl": ttl(need.seen_at + NEEDS_KEPT_S),
        }
        self._table.put(_key(f"{NOTED}{need.reason}#{need.fleet}") | typed_all(figures | NEED.written))

    def noted(self) -> tuple[OperatorNeed, ...]:
        """Everything that was seen lately."""
        since = self._now() - NEEDS_KEPT_S
        found = [_need(item) for item in self._table.query("needs", NOTED, f"{NOTED}{PAST_ALL}")]
        return tuple(need for need in found if need.seen_at > since)

    def reported(self) -> tuple[ReportedNeed, ...]:
        """What notices reported last. What cannot be read is logged, and reported again."""
        item = self._table.get(_key("reported"))
        if item is None:
            return ()
        try:
            return logged(REPORTED_NEEDS.from_text(text(item, "data")), name_of(item)).needs
        except UnreadableError as error:
            logger.warning("ledger record needs reported %s: what it reported is reported again", error)
            return ()

    def keep_reported(self, reported: Sequence[ReportedNeed]) -> None:
        """Keep what a notice reported."""
        self._table.put(_key("reported") | typed_all({"data": REPORTED_NEEDS.to_text(ReportedNeeds(tuple(reported)))}))


def _key(sk: str) -> Item:
    return typed_all({"pk": "needs", "sk": sk})


def _need(item: Item) -> OperatorNeed:
    found = attributes(NEED, item)
    return OperatorNeed(text(found, "reason"), text(found, "fleet"), number(found, "seen_at"), number(found, "figure"))
