"""The Attempts port on DynamoDB."""

from collections.abc import Mapping, Sequence
from itertools import islice

from sluice.aws.ledger.keys import PAST_ALL, key, partition, ttl
from sluice.aws.ledger.records import HANDLED_LETTER, readable
from sluice.aws.table import Item, Table, Value, number, typed_all
from sluice.model.redriving import HandledLetter, Remembered
from sluice.ports.ledger.attempts import HANDLED_MAX, kept_s


class DynamoAttempts:
    """The Attempts port: a record for each handled dead letter, so that writers of one body do not meet."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def handled(self, fleet: str, keys: Sequence[str], now: float) -> Mapping[str, tuple[HandledLetter, ...]]:
        """What is remembered of each body."""
        return {body_key: self._handled(fleet, body_key, now) for body_key in dict.fromkeys(keys)}

    def _handled(self, fleet: str, body_key: str, now: float) -> tuple[HandledLetter, ...]:
        prefix = f"letter#{body_key}#"
        found = self._table.query(partition(fleet), prefix, f"{prefix}{PAST_ALL}", page=HANDLED_MAX)
        live = (item for item in islice(found, HANDLED_MAX) if number(item, "ttl") > now)
        return tuple(readable(HANDLED_LETTER, live))

    def remember(self, fleet: str, remembered: Sequence[Remembered]) -> None:
        """Write records, and then remove those that they answer: a crash between the two leaves one too many."""
        items: dict[str, Item] = {}
        for one in remembered:
            if one.letter is not None:
                figures: dict[str, Value] = {
                    "data": HANDLED_LETTER.to_text(one.letter),
                    "ttl": ttl(one.letter.at + kept_s(one.letter)),
                }
                sk = f"letter#{one.key}#{one.letter.letter_id}"
                items[sk] = key(fleet, sk) | typed_all(figures)
        for error in filter(None, self._table.put_batch(list(items.values()))):
            raise error
        answered = {f"letter#{one.key}#{one.answered_id}" for one in remembered if one.answered_id is not None}
        for sk in sorted(answered - items.keys()):
            self._table.delete(key(fleet, sk))
