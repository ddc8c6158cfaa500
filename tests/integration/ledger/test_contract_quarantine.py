"""The Quarantine port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from dataclasses import replace

from sluice.aws.ledger.keys import message_key
from sluice.ports.ledger import Ledger
from tests.integration.ledger.samples import AT, FLEET, ids, letter


def test_quarantine_size_is_kept_as_messages_come_and_go(ledger: Ledger) -> None:
    """One read, whatever the groups; a message that is indexed twice or let go twice counts once."""
    assert ledger.quarantine.quarantine_size(FLEET) == 0
    entries = [letter(n, f"g-{n % 3}") for n in range(7)]
    assert all(ledger.quarantine.quarantine(entry) for entry in entries)
    assert not ledger.quarantine.quarantine(entries[0])
    assert (
        ledger.quarantine.quarantine_size(FLEET)
        == sum(group.count for group in ledger.failure_groups.failure_groups(FLEET))
        == 7
    )
    assert ledger.quarantine.remove_entry(entries[0])
    assert not ledger.quarantine.remove_entry(entries[0])
    ledger.quarantine.remove_entries(entries[:5])
    assert (
        ledger.quarantine.quarantine_size(FLEET)
        == sum(group.count for group in ledger.failure_groups.failure_groups(FLEET))
        == 2
    )
    assert ledger.quarantine.quarantine_size("other") == 0


def test_quarantined_message_is_counted_once_when_repeated(ledger: Ledger) -> None:
    """The second indexing of a message, even at another time, changes nothing."""
    ledger.failure_groups.note_failure(FLEET, "g-1", "declined", "one", AT)
    assert ledger.quarantine.quarantine(letter(1))
    assert not ledger.quarantine.quarantine(letter(1, at=AT + 500))
    group = ledger.failure_groups.failure_group(FLEET, "g-1")
    assert group is not None
    assert (group.count, group.seen_count) == (1, 1)
    assert ledger.quarantine.quarantined_message(FLEET, "m-001") == letter(1)
    assert ledger.quarantine.quarantined(FLEET) == ((letter(1),), None)


def test_quarantine_makes_the_group_when_it_was_not_noted(ledger: Ledger) -> None:
    """A crash between the two leaves no message without its group."""
    assert ledger.quarantine.quarantine(letter(1))
    group = ledger.failure_groups.failure_group(FLEET, "g-1")
    assert group is not None
    assert (group.count, group.seen_count, group.cause, group.sample) == (1, 0, "card declined", "{\u20ac")
    assert (group.first_seen_at, group.last_seen_at) == (AT + 1, AT + 1)


def test_index_is_paged_oldest_first(ledger: Ledger) -> None:
    """Over all failure groups or one, by pages that neither repeat nor leave out."""
    for number in (3, 1, 4, 0, 2):
        ledger.quarantine.quarantine(letter(number, "g-even" if number % 2 == 0 else "g-odd"))
    pages, after = [], None
    for _ in range(3):
        page, after = ledger.quarantine.quarantined(FLEET, limit=2, after=after)
        pages.append(ids(page))
    assert pages == [["m-000", "m-001"], ["m-002", "m-003"], ["m-004"]]
    assert after is None
    page, after = ledger.quarantine.quarantined(FLEET, "g-even", limit=2)
    assert ids(page) == ["m-000", "m-002"]
    page, after = ledger.quarantine.quarantined(FLEET, "g-even", limit=2, after=after)
    assert (ids(page), after) == (["m-004"], None)
    assert ledger.quarantine.quarantined("other") == ((), None)


def test_index_is_paged_oldest_first_when_ids_are_unlike_and_when_they_are_alike(ledger: Ledger) -> None:
    """Also where all of a page lies in one of the ledger's partitions, which ids decide."""
    shard = message_key(FLEET, "m-000", "")["pk"]
    alike = [n for n in range(400) if message_key(FLEET, f"m-{n:03d}", "")["pk"] == shard][:20]
    unlike = [n for n in range(400, 420) if message_key(FLEET, f"m-{n:03d}", "")["pk"] != shard]
    for number in (*unlike, *reversed(alike)):
        assert ledger.quarantine.quarantine(letter(number))
    expected = [f"m-{number:03d}" for number in (*alike, *unlike)]
    for limit in (1, 15, 100):
        found: list[str] = []
        page, after = ledger.quarantine.quarantined(FLEET, limit=limit)
        while True:
            found += ids(page)
            assert len(page) == limit or after is None
            if after is None:
                break
            page, after = ledger.quarantine.quarantined(FLEET, limit=limit, after=after)
        assert found == expected


def test_index_has_no_next_page_when_the_last_is_just_full(ledger: Ledger) -> None:
    """None says that there is no more, also at the boundary."""
    for number in range(4):
        ledger.quarantine.quarantine(letter(number))
    _, after = ledger.quarantine.quarantined(FLEET, limit=2)
    page, after = ledger.quarantine.quarantined(FLEET, limit=2, after=after)
    assert (ids(page), after) == (["m-002", "m-003"], None)


def test_page_goes_on_when_its_last_entry_was_let_go(ledger: Ledger) -> None:
    """A cursor is a place, not an entry: redriving a page does not lose the next."""
    for number in range(4):
        ledger.quarantine.quarantine(letter(number))
    page, after = ledger.quarantine.quarantined(FLEET, limit=2)
    for entry in page:
        assert ledger.quarantine.remove_entry(entry)
    assert ids(ledger.quarantine.quarantined(FLEET, limit=2, after=after)[0]) == ["m-002", "m-003"]


def test_failure_groups_keep_apart_when_one_name_begins_with_the_other(ledger: Ledger) -> None:
    """No group's page holds another's messages."""
    ledger.quarantine.quarantine(letter(1, "g"))
    ledger.quarantine.quarantine(letter(2, "g#1"))
    ledger.quarantine.quarantine(letter(3, "g/\u00e9"))
    assert ids(ledger.quarantine.quarantined(FLEET, "g")[0]) == ["m-001"]
    assert ids(ledger.quarantine.quarantined(FLEET, "g#1")[0]) == ["m-002"]
    assert ids(ledger.quarantine.quarantined(FLEET, "g/\u00e9")[0]) == ["m-003"]


def test_let_go_takes_a_message_out_once(ledger: Ledger) -> None:
    """Out of the index and the group's count, whatever the caller's copy says; the second time it was gone."""
    ledger.quarantine.quarantine(letter(1))
    ledger.quarantine.quarantine(letter(2))
    assert ledger.quarantine.remove_entry(replace(letter(1), failure_group="g-wrong", at=AT + 77))
    assert not ledger.quarantine.remove_entry(letter(1))
    assert ids(ledger.quarantine.quarantined(FLEET)[0]) == ["m-002"]
    assert ids(ledger.quarantine.quarantined(FLEET, "g-1")[0]) == ["m-002"]
    assert ledger.quarantine.quarantined_message(FLEET, "m-001") is None
    group = ledger.failure_groups.failure_group(FLEET, "g-1")
    assert group is not None
    assert group.count == 1


def test_message_can_be_quarantined_again_when_it_was_let_go(ledger: Ledger) -> None:
    """Unless it was sent: then a repeated dead letter is the same one, and not indexed again."""
    ledger.quarantine.quarantine(letter(1))
    ledger.quarantine.remove_entry(letter(1))
    assert ledger.quarantine.quarantine(letter(1))
    ledger.quarantine.remove_entry(letter(1))
    ledger.send_claims.claim_sends(FLEET, ["m-001"], AT + 60, AT)
    ledger.send_claims.confirm_sends(FLEET, ["m-001"], AT)
    assert not ledger.quarantine.quarantine(letter(1))
    assert ledger.quarantine.quarantined(FLEET) == ((), None)


def test_message_group_is_held_while_any_of_it_is_quarantined(ledger: Ledger) -> None:
    """By the failure group that came first, until the last message is let go; then anew."""
    assert ledger.quarantine.held_in(FLEET, "customer 7") is None
    ledger.quarantine.quarantine(letter(1, "g-1", message_group="customer 7"))
    ledger.quarantine.quarantine(letter(2, "g-2", message_group="customer 7"))
    ledger.quarantine.quarantine(letter(3, "g-3", message_group="customer 8"))
    assert ledger.quarantine.held_in(FLEET, "customer 7") == "g-1"
    ledger.quarantine.remove_entry(letter(1))
    assert ledger.quarantine.held_in(FLEET, "customer 7") == "g-1"
    ledger.quarantine.remove_entry(letter(2))
    assert ledger.quarantine.held_in(FLEET, "customer 7") is None
    ledger.quarantine.quarantine(letter(4, "g-4", message_group="customer 7"))
    assert ledger.quarantine.held_in(FLEET, "customer 7") == "g-4"
    assert ledger.quarantine.held_in("other", "customer 7") is None


def test_many_are_let_go_when_some_of_them_are_gone(ledger: Ledger) -> None:
    """Out of the index and of their groups' counts and holds, each once."""
    for n in range(30):
        ledger.quarantine.quarantine(letter(n, "g-even" if n % 2 == 0 else "g-odd"))
    ledger.quarantine.quarantine(letter(30, "g-held", message_group="customer 7"))
    ledger.quarantine.remove_entry(letter(3, "g-odd"))
    ledger.quarantine.remove_entries([letter(n, "g-even" if n % 2 == 0 else "g-odd") for n in range(28)])
    ledger.quarantine.remove_entries([letter(30, "g-held", message_group="customer 7")])
    ledger.quarantine.remove_entries([])
    assert ids(ledger.quarantine.quarantined(FLEET)[0]) == ["m-028", "m-029"]
    assert {group.id: group.count for group in ledger.failure_groups.failure_groups(FLEET)} == {
        "g-even": 1,
        "g-odd": 1,
        "g-held": 0,
    }
    assert ledger.quarantine.held_in(FLEET, "customer 7") is None
