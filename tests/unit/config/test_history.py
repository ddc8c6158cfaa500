"""Which version of an invalid document its fleet's instances are drained by."""

from __future__ import annotations

import json
from typing import Any

from sluice.config.fleet import parse
from sluice.config.history import DocumentVersion, last_usable


def document(name: str) -> dict[str, Any]:
    """A valid document."""
    queue = f"https://sqs.eu-central-1.amazonaws.com/123456789012/{name}"
    return {"queue": queue, "group": f"{name}-consumers", "target_wait_s": 60}


def version(number: int, **more: Any) -> DocumentVersion:
    """A version of fleet `one`, written at as many seconds as it has a number."""
    return DocumentVersion(number, json.dumps({**document("one"), **more}), float(number))


def test_newest_usable_version_is_taken_when_versions_come_in_any_order() -> None:
    """By their numbers: AWS does not promise an order."""
    versions = [version(3, target_wait_s=-1), version(2, target_wait_s=20), version(1, target_wait_s=10)]
    for order in (versions, versions[::-1]):
        found = last_usable("one", order, ())
        assert found is not None
        assert (found.fleet.target_wait_s, found.written_at, found.document) == (20, 2.0, "one")


def test_earlier_version_is_taken_when_the_newest_claims_another_fleets_group_or_name() -> None:
    """The other fleet's own document says how its instances are drained."""
    other = parse("two", document("two"))
    for claim in ({"group": other.group}, {"name": other.name}):
        found = last_usable("one", [version(1), version(2, **claim)], [other])
        assert found is not None
        assert found.written_at == 1.0
        assert last_usable("one", [version(2, **claim)], [other]) is None


def test_version_is_taken_when_only_its_queue_is_another_fleets_too() -> None:
    """Two fleets on one queue cannot be planned for; the instances of both can be drained."""
    other = parse("two", {**document("two"), "queue": document("one")["queue"]})
    found = last_usable("one", [version(1)], [other])
    assert found is not None
    assert found.fleet.group == "one-consumers"
