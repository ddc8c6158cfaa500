"""Assignment of fleets to shards: no fleet moves, no shard grows beyond its size, and emptied shards end."""

import json
import random

from sluice.model.chain import Chain
from sluice.planning.shards import HELD_S, SHARD_MAX, SPREAD, Assignment, Shard, assign, first_round_at, shard_id

SHARD = Shard(100.0, put_off=("c", "b"), again=("b",), asked=2, by="one", failing=(("c", 90.0),), late=(("b", 2.5),))
NOW = 1_000.0


def of(*names: str) -> Assignment:
    """A shard with these fleets."""
    return Assignment(names)


def chain(shard: Shard, assignment: Assignment) -> Chain:
    """A shard's chain."""
    return Chain("ticks/0000", 1, 0.0, data=shard.to_text(), assignment=assignment.to_text())


def test_fleets_when_there_is_no_shard_yet() -> None:
    """They fill shards of fifty, one after another."""
    names = [f"f{number:03d}" for number in range(120)]
    assigned = assign({}, names, NOW)
    assert [(chain_id, each.size) for chain_id, each in assigned.items()] == [
        ("ticks/0000", SHARD_MAX),
        ("ticks/0001", SHARD_MAX),
        ("ticks/0002", 20),
    ]
    assert sorted(name for each in assigned.values() for name in each.fleets) == names


def test_new_fleet_when_several_shards_have_room() -> None:
    """It goes into the fullest: the other may end once its fleets are gone."""
    assigned = assign({"ticks/0000": of("a"), "ticks/0001": of("b", "c")}, ["a", "b", "c", "d"], NOW)
    assert assigned == {"ticks/0000": of("a"), "ticks/0001": of("b", "c", "d")}


def test_shard_when_its_fleets_are_gone() -> None:
    """Their places are kept until no round can have them; no other fleet moves into the shard."""
    after = assign({"ticks/0000": of("a"), "ticks/0001": of("b")}, ["b"], NOW)
    assert after == {"ticks/0000": Assignment(gone=(("a", NOW),)), "ticks/0001": of("b")}
    assert assign(after, ["b"], NOW + HELD_S - 1.0) == after
    assert assign(after, ["b"], NOW + HELD_S) == {"ticks/0000": of(), "ticks/0001": of("b")}


def test_fleet_when_it_comes_back() -> None:
    """It is in its shard again while a round may still have it, and else wherever there is room."""
    there = {"ticks/0000": of("b", "c"), "ticks/0001": Assignment(("a",), (("gone", NOW),))}
    back = assign(there, ["a", "b", "c", "gone"], NOW + HELD_S - 1.0)
    assert back == {"ticks/0000": of("b", "c"), "ticks/0001": of("a", "gone")}
    later = assign(assign(there, ["a", "b", "c"], NOW + HELD_S), ["a", "b", "c", "gone"], NOW + HELD_S)
    assert later == {"ticks/0000": of("b", "c", "gone"), "ticks/0001": of("a")}


def test_new_fleet_when_a_shard_is_full_of_those_that_are_gone() -> None:
    """They may all come back, so that none takes their places."""
    full = Assignment(("a",), tuple((f"f{number}", NOW) for number in range(SHARD_MAX - 1)))
    assert assign({"ticks/0000": full}, ["a", "new"], NOW)["ticks/0001"] == of("new")


def test_new_shard_when_a_number_is_free() -> None:
    """It takes the lowest."""
    full = tuple(f"f{number}" for number in range(SHARD_MAX))
    assert assign({"ticks/0001": of(*full)}, [*full, "new"], NOW)["ticks/0000"] == of("new")


def test_fleet_when_two_shards_name_it() -> None:
    """As after a table was restored: the first keeps it, so that two never act on it."""
    assert assign({"ticks/0001": of("a", "b"), "ticks/0000": of("a")}, ["a", "b"], NOW) == {
        "ticks/0000": of("a"),
        "ticks/0001": of("b"),
    }


def test_fleets_when_they_come_and_go_at_random() -> None:
    """Over a thousand minutes no fleet is in a second shard before its rounds in the first are over."""
    chance = random.Random(7)
    there: dict[str, Assignment] = {}
    fleets: set[str] = set()
    homes: dict[str, tuple[str, float]] = {}  # where each was last, and when
    moved = 0
    for minute in range(1_000):
        now = NOW + 60.0 * minute
        gone = set(chance.sample(sorted(fleets), min(len(fleets), chance.randrange(4))))
        fleets = (fleets - gone) | {f"f{chance.randrange(400)}" for _ in range(chance.randrange(6))}
        there = {chain_id: each for chain_id, each in assign(there, fleets, now).items() if each.size}
        assert sorted(name for each in there.values() for name in each.fleets) == sorted(fleets)
        assert max((each.size for each in there.values()), default=0) <= SHARD_MAX
        for chain_id, each in there.items():
            for name in each.fleets:
                home, at = homes.get(name, (chain_id, now))
                assert home == chain_id or now - at >= HELD_S
                moved += home != chain_id
                homes[name] = (chain_id, now)
    assert len(there) > 1
    assert moved > 0, "some have come back after so long that they may be anywhere"


def test_shard_when_it_goes_through_a_chains_data() -> None:
    """It comes back as it was."""
    assignment = Assignment(("a", "b"), (("c", 90.0),))
    there = chain(SHARD, assignment)
    assert (Shard.of(there), Assignment.of(there)) == (SHARD, assignment)


def test_order_when_some_fleets_were_put_off() -> None:
    """Those are first, in their order; one that has left the shard does not return."""
    assert SHARD.in_order(("a", "b", "c", "new")) == ("c", "b", "a", "new")
    assert SHARD.in_order(("a", "b")) == ("b", "a")


def test_first_rounds_when_there_are_many_shards() -> None:
    """They are spread over a tick."""
    dues = [first_round_at(shard_id(number), 10.0, 1_000.0) for number in range(SPREAD)]
    assert dues == [1_000.0 + number for number in range(10)]


def test_failing_fleet_when_its_ticks_go_on_failing_and_then_succeed() -> None:
    """It is known since when; one that was not ticked at all failed as well, and a success ends it."""
    later = SHARD.with_results(("a", "b", "c"), {"a"}, 110.0)
    assert later.failing == (("b", 110.0), ("c", 90.0))
    assert Shard.of(chain(later, of())) == later
    assert later.with_results(("a", "b", "c"), {"a", "b", "c"}, 120.0).failing == ()


def test_late_fleet_when_its_messages_are_in_time_again() -> None:
    """It is known by how many target waits; one that was not ticked stays as it was, and one that left is forgotten."""
    later = SHARD.with_lateness(("a", "b", "c"), {"a": 1.04, "c": 1.26})
    assert later.late == (("b", 2.5), ("a", 1.1), ("c", 1.3))
    assert later.with_lateness(("a", "c"), {"a": 1.0}).late == (("c", 1.3),)
    assert Shard.of(chain(later, of())) == later


def test_shard_when_an_earlier_version_wrote_it() -> None:
    """It knows of no late fleet."""
    data = {name: value for name, value in json.loads(SHARD.to_text()).items() if name != "late"}
    assert Shard.of(Chain("ticks/0000", 1, 0.0, data=json.dumps(data))).late == ()
