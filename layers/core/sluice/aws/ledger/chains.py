"""The Chains port on DynamoDB."""

from sluice.aws.ledger.keys import PAST_ALL, chain_key
from sluice.aws.ledger.records import CHAIN, attributes
from sluice.aws.table import Item, Table, Value, number, text, typed_all
from sluice.model.chain import Chain, Step

UNCHANGED = "#version = :version AND #asked = :asked"


class DynamoChains:
    """The Chains port: an item a chain, all of a kind in one partition."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def start(self, chain_id: str, due_at: float, data: str, assignment: str = "{}") -> Chain | None:
        """Make a chain."""
        chain = Chain(chain_id, 1, due_at, data=data, assignment=assignment)
        figures: dict[str, Value] = {"version": 1, "due_at": due_at, "at_work_until": 0.0, "asked": 0}
        item = chain_key(chain_id) | typed_all(figures | {"data": data, "assignment": assignment} | CHAIN.written)
        return chain if self._table.put(item, "attribute_not_exists(#pk)") else None

    def claim(self, step: Step, until: float, now: float) -> Chain | None:
        """Begin a step."""
        item = self._table.update(
            chain_key(step.chain_id),
            "SET #version = #version + :one, #at_work_until = :until",
            {":one": 1, ":until": until, ":version": step.version, ":now": now},
            "#version = :version AND #at_work_until <= :now",
        )
        return None if item is None else _chain(item)

    def rest(self, chain: Chain, due_at: float, data: str) -> Chain | None:
        """End a step."""
        item = self._table.update(
            chain_key(chain.id),
            "SET #version = #version + :one, #at_work_until = :no_one, #due_at = :due_at, #data = :data",
            {":one": 1, ":no_one": 0.0, ":due_at": due_at, ":data": data, **_as_read(chain)},
            UNCHANGED,
        )
        return None if item is None else _chain(item)

    def end(self, chain: Chain) -> bool:
        """Delete a chain."""
        return self._table.delete(chain_key(chain.id), UNCHANGED, _as_read(chain))

    def ask(self, chain_id: str) -> Chain | None:
        """Note that a chain is asked for."""
        item = self._table.update(
            chain_key(chain_id), "SET #asked = #asked + :one", {":one": 1}, "attribute_exists(#pk)"
        )
        return None if item is None else _chain(item)

    def assign(self, chain_id: str, assignment: str) -> Chain | None:
        """Set what a chain works on, and note that it is asked for."""
        item = self._table.update(
            chain_key(chain_id),
            "SET #asked = #asked + :one, #assignment = :assignment",
            {":one": 1, ":assignment": assignment},
            "attribute_exists(#pk)",
        )
        return None if item is None else _chain(item)

    def chain(self, chain_id: str) -> Chain | None:
        """A chain's record."""
        item = self._table.get(chain_key(chain_id))
        return None if item is None else _chain(item)

    def chains(self, kind: str) -> tuple[Chain, ...]:
        """Every chain of a kind."""
        return tuple(_chain(item) for item in self._table.query(f"chains#{kind}", kind, f"{kind}/{PAST_ALL}"))


def _as_read(chain: Chain) -> dict[str, Value]:
    return {":version": chain.version, ":asked": chain.asked}


def _chain(item: Item) -> Chain:
    found = attributes(CHAIN, item)
    return Chain(
        id=text(found, "sk"),
        version=int(number(found, "version")),
        due_at=number(found, "due_at"),
        at_work_until=number(found, "at_work_until"),
        asked=int(number(found, "asked")),
        data=text(found, "data"),
        assignment=text(found, "assignment"),
    )
