"""The Archive port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from sluice.model.redriving import Attribute, Message
from sluice.ports.aws_services import Archive
from sluice.ports.errors import RefusedError
from tests.integration.contract_worlds import EVERYWHERE, AwsWorld, World, open_world

LETTER = Message(
    id="5c1d0a6e-0000-4000-8000-000000000001",
    body='{"order": "\u20ac 12 \U0001f600", "n": 1}\n',
    receipt="a receipt of today",
    attributes=(
        ("blob", Attribute("Binary.png", None, b"\x00\xff\x89")),
        ("count", Attribute("Number", "12.50")),
        ("sluice.cause", Attribute("String", "card declined")),
    ),
    first_sent_at=1_767_225_599.5,
    receive_count=4,
    source="arn:aws:sqs:eu-central-1:123456789012:orders.fifo",
    message_group="customer 7",
    deduplication="d-1",
)


@pytest.fixture(params=EVERYWHERE)
def archive(request: pytest.FixtureRequest) -> Iterator[Archive]:
    """Each world's archive in turn, its bucket made."""
    for world in open_world(request):
        if isinstance(world, AwsWorld):
            world.make_bucket()
        yield world.ports.archive


def test_message_is_kept_whole(archive: Archive) -> None:
    """All but the receipt, which is of no use later, comes back; the key tells fleet, day and message."""
    key = archive.store("orders", LETTER)
    assert key == "orders/2025/12/31/5c1d0a6e-0000-4000-8000-000000000001.json"
    assert archive.load(key) == replace(LETTER, receipt="")


def test_message_is_kept_once_when_stored_again(archive: Archive) -> None:
    """A repeated storing, even by a later receive, finds the same key."""
    key = archive.store("orders", LETTER)
    assert archive.store("orders", replace(LETTER, receipt="another", receive_count=5)) == key
    assert archive.load(key).body == LETTER.body


def test_message_is_kept_when_its_body_is_at_the_limit(archive: Archive) -> None:
    """1 MiB, the largest message there is."""
    letter = replace(LETTER, body="\u20ac" * 349_525, attributes=())
    assert archive.load(archive.store("orders", letter)).body == letter.body


def test_loading_is_refused_when_nothing_is_kept(archive: Archive) -> None:
    """A key of a message that is not there, or no longer, is refused by name."""
    with pytest.raises(RefusedError, match=r"orders/2026/01/01/none\.json"):
        archive.load("orders/2026/01/01/none.json")


def test_removed_message_is_gone(archive: Archive) -> None:
    """Removing is final, and harmless when repeated."""
    key = archive.store("orders", LETTER)
    archive.remove(key)
    archive.remove(key)
    with pytest.raises(RefusedError):
        archive.load(key)


def test_many_are_loaded_and_removed_when_one_of_them_is_not_there(archive: Archive) -> None:
    """What cannot be read is told in its place; removing what is gone harms nothing."""
    letters = [replace(LETTER, id=f"5c1d0a6e-0000-4000-8000-{n:012d}", body=f"body {n}") for n in range(12)]
    keys = [archive.store("orders", letter) for letter in letters]
    found = archive.load_all([*keys, "orders/2026/01/01/none.json"])
    assert [found[key] for key in keys] == [replace(letter, receipt="") for letter in letters]
    assert isinstance(found["orders/2026/01/01/none.json"], RefusedError)
    archive.remove_all([*keys[1:], "orders/2026/01/01/none.json"])
    archive.remove_all([])
    left = archive.load_all(keys)
    assert [key for key in keys if isinstance(left[key], Message)] == keys[:1]


def test_former_message_is_found_when_it_was_let_go_of(world_with_versions: World) -> None:
    """The last version under a key, removed or not; another key that begins like it is none of it."""
    archive = world_with_versions.ports.archive
    key = archive.store("orders", LETTER)
    assert archive.former(key).body == LETTER.body
    archive.remove(key)
    assert archive.former(key) == replace(LETTER, receipt="")
    world_with_versions.pass_time(1.0)
    archive.remove_all([archive.store("orders", replace(LETTER, body="later"))])
    assert archive.former(key).body == "later"
    with pytest.raises(RefusedError, match="nothing was ever kept under"):
        archive.former(key.removesuffix(".json"))


@pytest.fixture(params=EVERYWHERE)
def world_with_versions(request: pytest.FixtureRequest) -> Iterator[World]:
    """Each world in turn, its bucket with versions as the stack's has them."""
    for world in open_world(request):
        if isinstance(world, AwsWorld):
            world.make_bucket()
            s3 = world.client("s3")
            for bucket in s3.list_buckets()["Buckets"]:
                s3.put_bucket_versioning(Bucket=bucket["Name"], VersioningConfiguration={"Status": "Enabled"})
        yield world
