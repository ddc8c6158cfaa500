"""The FailureGroups port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

from sluice.model.redriving import LastRedrive
from sluice.ports.ledger import Ledger
from sluice.redriving.failure_groups import GROUPS_MAX, OVERFLOW
from tests.integration.ledger.samples import AT, FLEET


def test_failure_is_counted_as_seen(ledger: Ledger) -> None:
    """The first makes the group, later ones add to it and bring its cause, sample and last time up to date."""
    assert ledger.failure_groups.failure_group(FLEET, "g-1") is None
    first = ledger.failure_groups.note_failure(FLEET, "g-1", "declined", "one", AT)
    assert (first.seen_count, first.count, first.first_seen_at, first.last_seen_at) == (1, 0, AT, AT)
    assert first.failed_retry_count == 0
    second = ledger.failure_groups.note_failure(FLEET, "g-1", "card declined", "two", AT + 5, again=True)
    assert second.failed_retry_count == 1, "it had been sent back before"
    assert (second.seen_count, second.first_seen_at, second.last_seen_at) == (2, AT, AT + 5)
    assert (second.cause, second.sample) == ("card declined", "two")
    assert ledger.failure_groups.failure_group(FLEET, "g-1") == second


def test_groups_are_admitted_until_there_are_as_many_as_may_be(ledger: Ledger) -> None:
    """What is there stays usable; what would be one too many is refused, of this fleet alone."""
    assert all(ledger.failure_groups.admit_group(FLEET, f"g-{n}", "declined", AT) for n in range(GROUPS_MAX))
    assert ledger.failure_groups.admit_group(FLEET, "g-7", "declined", AT + 1)
    assert not ledger.failure_groups.admit_group(FLEET, "g-new", "declined", AT + 1)
    assert ledger.failure_groups.admit_group("other", "g-new", "declined", AT + 1)
    ledger.failure_groups.note_failure(FLEET, OVERFLOW.id, OVERFLOW.words, "one", AT + 1)
    assert len(ledger.failure_groups.failure_groups(FLEET)) == GROUPS_MAX + 1
    assert ledger.failure_groups.failure_group(FLEET, "g-new") is None
    made = ledger.failure_groups.failure_group(FLEET, "g-7")
    assert made is not None
    assert (made.count, made.seen_count, made.cause, made.first_seen_at) == (0, 0, "declined", AT)


def test_failure_is_counted_in_its_hour_and_minute(ledger: Ledger) -> None:
    """The trend of some days by the hour, and of some minutes by the minute: what is older is left out."""
    hour, minute = int(AT // 3_600), int(AT // 60)
    for at in (AT, AT + 1, AT + 61, AT + 3_600):
        group = ledger.failure_groups.note_failure(FLEET, "g-1", "declined", "one", at)
    assert group.hours == ((hour, 3), (hour + 1, 1))
    assert group.minutes == ((minute + 60, 1),)
    assert group.seen_within(120, AT + 3_600) == 1
    for n in range(40):
        group = ledger.failure_groups.note_failure(FLEET, "g-1", "declined", "one", AT + 3_600 * (60 + n))
    assert group.hours == tuple((hour + n, 1) for n in range(28, 100) if n >= 60)
    assert (group.seen_count, len(group.minutes)) == (44, 1)
    assert ledger.failure_groups.failure_group(FLEET, "g-1") == group


def test_redrive_of_a_group_is_counted_anew_with_each_job(ledger: Ledger) -> None:
    """How the last one went; what comes back of an earlier one no longer counts."""
    ledger.failure_groups.note_redriven(FLEET, "g-1", "j-1", 3, AT)
    assert ledger.failure_groups.failure_group(FLEET, "g-1") is None
    ledger.failure_groups.note_failure(FLEET, "g-1", "declined", "one", AT)
    ledger.failure_groups.note_redriven(FLEET, "g-1", "j-1", 3, AT + 1)
    ledger.failure_groups.note_redriven(FLEET, "g-1", "j-1", 7, AT + 2)
    ledger.failure_groups.note_returned(FLEET, "g-1", "j-1")
    group = ledger.failure_groups.failure_group(FLEET, "g-1")
    assert group is not None
    assert group.last_redrive == LastRedrive("j-1", AT + 1, 10, 1)
    ledger.failure_groups.note_redriven(FLEET, "g-1", "j-2", 2, AT + 9)
    ledger.failure_groups.note_returned(FLEET, "g-1", "j-1")
    group = ledger.failure_groups.failure_group(FLEET, "g-1")
    assert group is not None
    assert group.last_redrive == LastRedrive("j-2", AT + 9, 2, 0)


def test_archived_group_comes_back_when_it_is_seen_again(ledger: Ledger) -> None:
    """It is muted until then, or until an operator unmutes it."""
    assert ledger.failure_groups.mute_group(FLEET, "g-1", AT) is None
    ledger.failure_groups.note_failure(FLEET, "g-1", "declined", "one", AT)
    group = ledger.failure_groups.mute_group(FLEET, "g-1", AT + 5)
    assert group is not None
    assert (group.muted_at, group.is_muted) == (AT + 5, True)
    assert not ledger.failure_groups.note_failure(FLEET, "g-1", "declined", "two", AT + 6).is_muted
    group = ledger.failure_groups.mute_group(FLEET, "g-1", None)
    assert group is not None
    assert (group.muted_at, group.seen_count) == (None, 2)


def test_failure_groups_come_most_recently_seen_first(ledger: Ledger) -> None:
    """Every group of one fleet."""
    for number in range(3):
        ledger.failure_groups.note_failure(FLEET, f"g-{number}", "cause", "sample", AT + number)
    ledger.failure_groups.note_failure(FLEET, "g-0", "cause", "sample", AT + 10)
    ledger.failure_groups.note_failure("other", "g-9", "cause", "sample", AT + 11)
    assert [group.id for group in ledger.failure_groups.failure_groups(FLEET)] == ["g-0", "g-2", "g-1"]
