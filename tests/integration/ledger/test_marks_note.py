"""The note that says whether a fleet has claims of single messages (marks): it is never missing while there are some.

Memory has no such note, so that only DynamoDB's ledger is tried here.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from threading import Condition
from typing import Any, cast

import pytest

from sluice.aws.clients import Clients
from sluice.aws.ledger.keys import SHARDS, claim_key, key
from sluice.aws.ledger.send_claims import DynamoSendClaims
from sluice.aws.table import Item, Table, typed_all
from sluice.model.redriving import BatchClaimRecord, Claim
from sluice.ports.ledger.send_claims import SEND_CLAIM_KEPT_S
from sluice.ports.stack import Ports
from sluice.redriving.sending_claims import MarkedBatchClaim, MessageClaims, RoundsClaim
from tests.integration.contract_worlds import AwsWorld, moto_world
from tests.integration.ledger.samples import AT, FLEET

NOTE = "retries"
DAY_S = 86_400.0
CALLS_MAX = 9  # more than anyone makes before it has claimed and read the claims of others

world = moto_world


def table_of(world: AwsWorld) -> Table:
    """The ledger's table."""
    return Table(Clients(world.environ), world.environ["SLUICE_TABLE"])


class CountedTable:
    """A table that counts what is asked of it."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._table, name)
        if not callable(member):
            return member

        def counted(*args: Any, **options: Any) -> Any:
            if name != "get_batch" or args[0]:
                self.calls[name] += 1
            return member(*args, **options)

        return counted


def counted(world: AwsWorld) -> tuple[DynamoSendClaims, Counter[str]]:
    """The claims as a process sees them that has just begun, and its calls."""
    table = CountedTable(table_of(world))
    return DynamoSendClaims(cast("Table", table)), table.calls


def note_of(world: AwsWorld) -> float | None:
    """Until when the fleet may have marks, as its note says."""
    item = table_of(world).get(key(FLEET, NOTE))
    return float(item["marked_until"]["N"]) if item else None


def test_no_marks_are_read_when_a_fleet_has_none(world: AwsWorld) -> None:
    """They are looked for once; after that, whoever asks for 200 messages makes one call."""
    ids = [f"m-{number}" for number in range(200)]
    first, calls = counted(world)
    assert first.claims_of(FLEET, ids, AT) == {}
    assert calls == {"query": 1 + SHARDS, "put": 1}
    assert note_of(world) == 0.0
    calls.clear()
    assert first.claims_of(FLEET, ids, AT) == {}
    assert calls == {"query": 1}
    another, calls = counted(world)
    assert another.claims_of(FLEET, ids, AT + 1) == {}
    assert calls == {"query": 1}


def test_marks_are_read_until_the_last_of_them_has_passed(world: AwsWorld) -> None:
    """What a process that has just begun reads is what others have marked, also where none had been marked before."""
    reader, calls = counted(world)
    assert reader.claims_of(FLEET, ["a"], AT) == {}
    marker, _ = counted(world)
    assert marker.claim_sends(FLEET, ["a", "b"], AT + 60, AT) == {"a": Claim.GRANTED, "b": Claim.GRANTED}
    marker.confirm_sends(FLEET, ["b"], AT + 70)
    assert reader.claims_of(FLEET, ["a", "b"], AT + 71) == {"a": Claim.DOUBTFUL, "b": Claim.SENT}
    last = AT + 70 + SEND_CLAIM_KEPT_S
    assert reader.claims_of(FLEET, ["b"], last - 1) == {"b": Claim.SENT}
    calls.clear()
    assert reader.claims_of(FLEET, ["b"], last + DAY_S) == {}
    assert calls == {"query": 1}


def test_marks_of_an_earlier_version_are_found(world: AwsWorld) -> None:
    """It wrote no note: whoever asks first looks for marks of the fleet, whichever message they are of."""
    figures = {"claimed_at": AT, "until_at": AT + 60, "sent_at": AT, "ttl": int(AT + SEND_CLAIM_KEPT_S)}
    table_of(world).put(claim_key(FLEET, "z") | typed_all(figures))
    first, calls = counted(world)
    assert first.claims_of(FLEET, ["a"], AT + 1) == {}
    assert calls["get_batch"] == 1
    another, calls = counted(world)
    assert another.claims_of(FLEET, ["z"], AT + 2) == {"z": Claim.SENT}
    assert calls == {"query": 1, "get_batch": 1}


def test_note_is_written_once_a_day_by_each_process(world: AwsWorld) -> None:
    """It goes before the first mark, and is later than each of them; another process's clock never takes it back."""
    marker, calls = counted(world)
    for number in range(24):
        at = AT + number * 3_600
        marker.claim_sends(FLEET, [f"m-{number}"], at + 60, at)
        marker.confirm_sends(FLEET, [f"m-{number}"], at + 1)
        noted = note_of(world)
        assert noted is not None
        assert noted > at + 1 + SEND_CLAIM_KEPT_S
    assert calls["update"] == 1
    marker.claim_sends(FLEET, ["next"], AT + DAY_S + 60, AT + DAY_S + 1)
    assert calls["update"] == 2
    late = note_of(world)
    behind, calls = counted(world)
    behind.claim_sends(FLEET, ["behind"], AT + 60, AT)
    assert calls["update"] == 1
    assert note_of(world) == late


def test_batch_claim_is_noted_when_its_messages_get_marks(world: AwsWorld) -> None:
    """Before it claims, so that whoever reads no note afterwards has claimed before it."""
    claims, _ = counted(world)
    record = BatchClaimRecord(FLEET, "c-1", AT, AT + 60, ("a",))
    claims.record_batch_claim(record)
    assert note_of(world) is None
    claims.record_batch_claim(replace(record, name="c-2", gets_marks=True))
    assert note_of(world) == AT + SEND_CLAIM_KEPT_S + DAY_S


# ------------------------------------------------------------- two that claim one message at the same moment


class Turns:
    """Two that go on in turns: the first makes so many calls, then the second so many, then each to its end."""

    def __init__(self, first_count: int, second_count: int) -> None:
        self._phases: list[list[float]] = [[0, first_count], [1, second_count], [0, float("inf")], [1, float("inf")]]
        self._over: set[int] = set()
        self._changed = Condition()
        self._go_on()

    @contextmanager
    def taken(self, who: int) -> Iterator[None]:
        """Around each call: it begins once it is one's turn, and nobody else's begins before it has ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._phases[0][0] == who, timeout=30)
        try:
            yield
        finally:
            with self._changed:
                self._phases[0][1] -= 1
                self._changed_turns()

    def end(self, who: int) -> None:
        """One of them has ended."""
        with self._changed:
            self._over.add(who)
            self._changed_turns()

    def _go_on(self) -> None:
        while self._phases and (self._phases[0][1] <= 0 or self._phases[0][0] in self._over):
            del self._phases[0]

    def _changed_turns(self) -> None:
        self._go_on()
        self._changed.notify_all()


class TableInTurns:
    """A table each of whose calls waits for its turn. A query reads the note in one turn, and all else in the next."""

    def __init__(self, table: Table, turns: Turns, who: int) -> None:
        self._table, self._turns, self._who = table, turns, who

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._table, name)
        if not callable(member) or name in {"putting", "deleting", "updating", "checking"}:
            return member

        def in_turn(*args: Any, **options: Any) -> Any:
            with self._turns.taken(self._who):
                return member(*args, **options)

        return in_turn

    def query(self, pk: str, low: str, high: str, **options: Any) -> Iterator[Item]:
        """DynamoDB does not promise that all items of a query are read at one moment."""
        if low == NOTE:
            with self._turns.taken(self._who):
                notes = list(self._table.query(pk, NOTE, NOTE, **options))
            yield from notes
            low = f"{NOTE}#"
        with self._turns.taken(self._who):
            others = list(self._table.query(pk, low, high, **options))
        yield from others


type Actor = Callable[[Ports, str], bool]


def by_marks(ports: Ports, fleet: str) -> bool:
    """An automatic retry: whether it may send the message. Then it has, and its mark says so."""
    claims = MessageClaims(ports, fleet, AT + 60, lambda: AT)
    return sent_if_granted(claims.claim(["m"]), claims.record_results)


def by_batch_and_marks(ports: Ports, fleet: str) -> bool:
    """A redrive out of quarantine."""
    claims = MarkedBatchClaim(ports, fleet, "quarantine", AT + 60, lambda: AT)
    return sent_if_granted(claims.claim(["m"]), claims.record_results)


def by_rounds(ports: Ports, fleet: str) -> bool:
    """A redrive out of a dead-letter queue, which has not yet deleted what it sends."""
    claims = RoundsClaim(ports, fleet, (f"round-{number}" for number in itertools.count()), AT + 60, lambda: AT)
    claims.write(["m"])
    granted = sent_if_granted(claims.claims(), claims.record_results)
    claims.close()
    return granted


def sent_if_granted(claims: Any, record_results: Callable[..., None]) -> bool:
    """Whether the message was granted; what is granted is sent."""
    granted = claims["m"] is Claim.GRANTED
    record_results(["m"] if granted else [], [])
    return granted


def granted_count(ports: Ports, table: Table, fleet: str, actors: tuple[Actor, Actor], turns: Turns) -> int:
    """How many of two that begin to claim a message in turns may send it. What one has sent all others see."""

    def act(who: int) -> bool:
        claims = DynamoSendClaims(cast("Table", TableInTurns(table, turns, who)))
        try:
            return actors[who](replace(ports, ledger=replace(ports.ledger, send_claims=claims)), fleet)
        finally:
            turns.end(who)

    with ThreadPoolExecutor(2) as pool:
        granted = list(pool.map(act, (0, 1)))
    if any(granted):
        assert DynamoSendClaims(table).claims_of(fleet, ["m"], AT + 1) == {"m": Claim.SENT}
    return sum(granted)


@pytest.mark.slow
@pytest.mark.parametrize("marker", [by_marks, by_batch_and_marks])
@pytest.mark.parametrize("marker_first", [True, False], ids=["marker first", "rounds first"])
def test_message_is_sent_once_when_two_claim_it_at_the_same_moment(
    world: AwsWorld, marker: Actor, marker_first: bool
) -> None:
    """Whichever of the two goes on at whichever call of the other: never both may send it."""
    table = table_of(world)
    actors = (marker, by_rounds) if marker_first else (by_rounds, marker)
    seen: set[int] = set()
    for first_count, second_count in itertools.product(range(CALLS_MAX), range(1, CALLS_MAX)):
        fleet = f"{FLEET}-{first_count}-{second_count}"
        DynamoSendClaims(table).claims_of(fleet, [], AT)  # it is noted that the fleet has no marks
        granted = granted_count(world.ports, table, fleet, actors, Turns(first_count, second_count))
        assert granted <= 1, (first_count, second_count)
        seen.add(granted)
    assert 1 in seen


@pytest.mark.slow
@pytest.mark.parametrize("marker", [by_marks, by_batch_and_marks])
def test_message_is_sent_once_when_another_marks_it_while_marks_are_looked_for(world: AwsWorld, marker: Actor) -> None:
    """A fleet without a note: the other claims at any moment while its marks are looked for, or goes on then."""
    table = table_of(world)
    for marker_count, rounds_count in itertools.product((0, 1, 2, 4), range(1, CALLS_MAX + SHARDS)):
        fleet = f"{FLEET}-{marker_count}-{rounds_count}"
        turns = Turns(marker_count, rounds_count)
        assert granted_count(world.ports, table, fleet, (marker, by_rounds), turns) <= 1, (marker_count, rounds_count)
