"""The Chains port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from sluice.model.chain import Chain, Step
from sluice.ports.ledger import Ledger
from tests.integration.ledger.samples import AT

ID = "ticks/0001"


def test_chain_is_at_version_1_when_it_was_started(ledger: Ledger) -> None:
    """Its record is what was asked for, and is read back as that."""
    chain = ledger.chains.start(ID, AT + 10, '{"fleets":["orders"]}')

    assert chain == Chain(ID, 1, AT + 10, data='{"fleets":["orders"]}')
    assert ledger.chains.chain(ID) == chain
    assert ledger.chains.chain("ticks/0002") is None


def test_chain_is_not_started_when_it_exists(ledger: Ledger) -> None:
    """The first record stays."""
    ledger.chains.start(ID, AT, "{}")

    assert ledger.chains.start(ID, AT + 50, '{"other":1}') is None
    assert ledger.chains.chain(ID) == Chain(ID, 1, AT)


def test_step_is_claimed_once_when_its_message_comes_twice(ledger: Ledger) -> None:
    """The second copy names a version that is past."""
    ledger.chains.start(ID, AT, "{}")

    assert ledger.chains.claim(Step(ID, 1), AT + 30, AT) == Chain(ID, 2, AT, at_work_until=AT + 30)
    assert ledger.chains.claim(Step(ID, 1), AT + 31, AT + 1) is None


def test_step_is_not_claimed_while_a_worker_is_at_it(ledger: Ledger) -> None:
    """A message of the present version waits until the worker must have ended."""
    ledger.chains.start(ID, AT, "{}")
    ledger.chains.claim(Step(ID, 1), AT + 30, AT)

    assert ledger.chains.claim(Step(ID, 2), AT + 59, AT + 29) is None
    taken = ledger.chains.claim(Step(ID, 2), AT + 60, AT + 30)
    assert taken is not None
    assert (taken.version, taken.at_work_until) == (3, AT + 60)


def test_step_is_not_claimed_when_there_is_no_chain(ledger: Ledger) -> None:
    """A late message of a chain that ended makes no record."""
    assert ledger.chains.claim(Step(ID, 1), AT + 30, AT) is None
    assert ledger.chains.chain(ID) is None


def test_chain_rests_one_version_on_when_its_step_is_done(ledger: Ledger) -> None:
    """Nobody is at work any more, and the next step's time and data are on record."""
    ledger.chains.start(ID, AT, "{}")
    claimed = ledger.chains.claim(Step(ID, 1), AT + 30, AT)
    assert claimed is not None

    rested = ledger.chains.rest(claimed, AT + 10, '{"n":2}')

    assert rested == Chain(ID, 3, AT + 10, data='{"n":2}')
    assert ledger.chains.chain(ID) == rested
    assert ledger.chains.claim(Step(ID, 3), AT + 40, AT + 10) is not None


def test_chain_does_not_rest_when_another_worker_took_it_over(ledger: Ledger) -> None:
    """A worker that was away for too long changes nothing."""
    ledger.chains.start(ID, AT, "{}")
    slow = ledger.chains.claim(Step(ID, 1), AT + 30, AT)
    assert slow is not None
    ledger.chains.claim(Step(ID, 2), AT + 60, AT + 30)

    assert ledger.chains.rest(slow, AT + 40, '{"slow":1}') is None
    assert not ledger.chains.end(slow)
    there = ledger.chains.chain(ID)
    assert there is not None
    assert (there.version, there.data) == (3, "{}")


def test_chain_neither_rests_nor_ends_when_it_was_asked_for_since(ledger: Ledger) -> None:
    """The worker reads that, and the next step is due at once."""
    ledger.chains.start(ID, AT, "{}")
    claimed = ledger.chains.claim(Step(ID, 1), AT + 30, AT)
    assert claimed is not None
    asked = ledger.chains.ask(ID)

    assert asked == Chain(ID, 2, AT, at_work_until=AT + 30, asked=1)
    assert ledger.chains.rest(claimed, AT + 10, "{}") is None
    assert not ledger.chains.end(claimed)
    assert asked is not None
    assert ledger.chains.rest(asked, AT + 1, "{}") == Chain(ID, 3, AT + 1, asked=1)


def test_assignment_is_set_while_a_worker_is_at_a_step(ledger: Ledger) -> None:
    """The worker neither loses it nor ends the chain in ignorance of it; its own data are untouched."""
    ledger.chains.start(ID, AT, '{"n":1}', '{"fleets":["orders"]}')
    claimed = ledger.chains.claim(Step(ID, 1), AT + 30, AT)
    assert claimed is not None
    assert claimed.assignment == '{"fleets":["orders"]}'

    assigned = ledger.chains.assign(ID, '{"fleets":["orders","mails"]}')

    assert assigned == Chain(ID, 2, AT, AT + 30, 1, '{"n":1}', '{"fleets":["orders","mails"]}')
    assert ledger.chains.chain(ID) == assigned
    assert ledger.chains.rest(claimed, AT + 10, '{"n":2}') is None
    assert not ledger.chains.end(claimed)
    assert assigned is not None
    rested = ledger.chains.rest(assigned, AT + 1, '{"n":2}')
    assert rested == Chain(ID, 3, AT + 1, 0.0, 1, '{"n":2}', '{"fleets":["orders","mails"]}')
    assert ledger.chains.assign("ticks/0002", "{}") is None


def test_chain_is_gone_when_it_ended(ledger: Ledger) -> None:
    """It can be started anew then."""
    ledger.chains.start(ID, AT, "{}")
    claimed = ledger.chains.claim(Step(ID, 1), AT + 30, AT)
    assert claimed is not None

    assert ledger.chains.end(claimed)
    assert ledger.chains.chain(ID) is None
    assert not ledger.chains.end(claimed)
    assert ledger.chains.ask(ID) is None
    assert ledger.chains.start(ID, AT + 5, "{}") == Chain(ID, 1, AT + 5)


def test_chains_are_listed_by_kind_in_the_order_of_their_ids(ledger: Ledger) -> None:
    """One kind's list holds nothing of another's, also where one name begins with the other."""
    for chain_id in ("ticks/0002", "ticks/0001", "drains/orders", "ticks-like/0001"):
        ledger.chains.start(chain_id, AT, "{}")

    assert [chain.id for chain in ledger.chains.chains("ticks")] == ["ticks/0001", "ticks/0002"]
    assert [chain.id for chain in ledger.chains.chains("drains")] == ["drains/orders"]
    assert ledger.chains.chains("jobs") == ()
