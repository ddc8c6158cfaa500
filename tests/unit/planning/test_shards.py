"""Assignment of fleets to shards: no fleet moves, no shard grows beyond its size, and emptied shards end."""

import random

from sluice.planning.shards import SHARD_MAX, SPREAD, Shard, assign, first_round_at, shard_id, shard_of

SHARD = Shard(("a", "b", "c"), round_at=100.0, again=("b",), asked=2, by="one", failing=(("c", 90.0),))


def test_fleets_when_there_is_no_shard_yet() -> None:
    """They fill shards of fifty, one after another."""
    names = [f"f{number:03d}" for number in range(120)]
    assigned = assign({}, names)
    assert [(chain_id, len(fleets)) for chain_id, fleets in assigned.items()] == [
        ("ticks/0000", SHARD_MAX),
        ("ticks/0001", SHARD_MAX),
        ("ticks/0002", 20),
    ]
    assert sorted(name for fleets in assigned.values() for name in fleets) == names


def test_new_fleet_when_several_shards_have_room() -> None:
    """It goes into the fullest: the other may end once its fleets are gone."""
    assigned = assign({"ticks/0000": ("a",), "ticks/0001": ("b", "c")}, ["a", "b", "c", "d"])
    assert assigned == {"ticks/0000": ("a",), "ticks/0001": ("b", "c", "d")}


def test_shard_when_its_fleets_are_gone() -> None:
    """It has no names any more, which is how its chain is told to end; no other fleet moves into its place."""
    assert assign({"ticks/0000": ("a",), "ticks/0001": ("b",)}, ["b"]) == {"ticks/0000": (), "ticks/0001": ("b",)}


def test_new_shard_when_a_number_is_free() -> None:
    """It takes the lowest."""
    full = tuple(f"f{number}" for number in range(SHARD_MAX))
    assert assign({"ticks/0001": full}, [*full, "new"])["ticks/0000"] == ("new",)


def test_fleet_when_two_shards_name_it() -> None:
    """As after a table was restored: the first keeps it, so that two never act on it."""
    assert assign({"ticks/0001": ("a", "b"), "ticks/0000": ("a",)}, ["a", "b"]) == {
        "ticks/0000": ("a",),
        "ticks/0001": ("b",),
    }


def test_fleets_when_they_come_and_go_at_random() -> None:
    """Over a thousand minutes each fleet is in one shard at a time, never in another, and no shard is too large."""
    chance = random.Random(7)
    there: dict[str, tuple[str, ...]] = {}
    fleets: set[str] = set()
    homes: dict[str, str | None] = {}
    for _ in range(1_000):
        gone = set(chance.sample(sorted(fleets), min(len(fleets), chance.randrange(4))))
        fleets = (fleets - gone) | {f"f{chance.randrange(400)}" for _ in range(chance.randrange(6))}
        there = {chain_id: names for chain_id, names in assign(there, fleets).items() if names}
        assert sorted(name for names in there.values() for name in names) == sorted(fleets)
        assert max((len(names) for names in there.values()), default=0) <= SHARD_MAX
        homes = {name: home for name, home in homes.items() if name in fleets}
        for name in fleets:
            assert homes.setdefault(name, shard_of(there, name)) == shard_of(there, name)
    assert len(there) > 1


def test_shard_when_it_goes_through_a_chains_data() -> None:
    """It comes back as it was."""
    assert Shard.of(SHARD.to_text()) == SHARD


def test_order_when_some_fleets_were_looked_at() -> None:
    """Those go to the end, in their order; who was left out is first. One that has left the shard does not return."""
    assert SHARD.looked_at(["b", "a", "gone"]).fleets == ("c", "b", "a")
    assert SHARD.looked_at([]).fleets == ("a", "b", "c")


def test_order_when_fleets_join_and_leave() -> None:
    """New ones are first, the others keep their places; nobody looks again at one that has left."""
    changed = SHARD.with_fleets(("c", "a", "new"))
    assert (changed.fleets, changed.again, changed.round_at) == (("new", "a", "c"), (), 100.0)


def test_first_rounds_when_there_are_many_shards() -> None:
    """They are spread over a tick."""
    dues = [first_round_at(shard_id(number), 10.0, 1_000.0) for number in range(SPREAD)]
    assert dues == [1_000.0 + number for number in range(10)]


def test_failing_fleet_when_its_ticks_go_on_failing_and_then_succeed() -> None:
    """It is known since when; one that was not ticked at all failed as well, and a success ends it."""
    later = SHARD.with_results(("a", "b", "c"), {"a"}, 110.0)
    assert later.failing == (("b", 110.0), ("c", 90.0))
    assert Shard.of(later.to_text()) == later
    assert later.with_results(("a", "b", "c"), {"a", "b", "c"}, 120.0).failing == ()
