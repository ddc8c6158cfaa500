"""Notices: one names the fleets that begin to need an operator, another says when that is over, in plain sentences."""

from __future__ import annotations

from typing import Any

import pytest

from sluice.memory import Fault, When, faulty
from sluice.memory.ledger.needs import MemoryNeeds
from sluice.model.need import OperatorNeed, ReportedNeed
from sluice.notices import (
    HELD_S,
    HELD_USUALLY_S,
    REASONS,
    REPEAT_S,
    SUBJECT_MAX,
    WITHOUT_ALARM,
    Change,
    Noter,
    changes,
    named,
    needs_in,
    present,
    write,
)
from sluice.ports.errors import TryLaterError
from sluice.telemetry import LIMITS, Detail, Record, Unit

NOW = 1_795_512_060.0  # 2026-11-24 09:21 UTC
FLEETS = frozenset({"orders", "mails", "invoices"})


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __getattr__(self, level: str) -> Any:
        return lambda message, **_: self.lines.append(f"{level}: {message}")


def record(reason: str, fleet: str | None, times: float = 2.0) -> Record:
    """A figure that is above its limit, so many times."""
    return Record(fleet, reason, Unit.NONE, max(LIMITS[reason], 1.0) * times)


def test_reasons_when_they_are_compared_with_the_limits() -> None:
    """Whatever may need an operator has its sentences."""
    assert list(REASONS) == list(LIMITS)


@pytest.mark.parametrize("reason", REASONS)
def test_notice_when_one_fleet_needs_an_operator(reason: str) -> None:
    """Its subject names the fleet; its text says what happened, since when, and what to do."""
    reported = ReportedNeed(reason, "orders", NOW)
    notice = write(Change(began=[reported]), "blue")
    assert notice.subject == "Sluice blue: fleet orders needs an operator"
    first, _, happened, to_do = notice.text.splitlines()
    assert first == "Fleet orders needs an operator in the stack blue."
    assert happened.endswith(": fleet orders (since 2026-11-24 09:21 UTC).")
    assert happened[0].isupper()
    assert to_do.startswith("What to do: ")
    assert "{" not in to_do


@pytest.mark.parametrize("reason", REASONS)
def test_notice_when_a_fleet_has_recovered(reason: str) -> None:
    """It says what is well again, and when that had begun."""
    notice = write(Change(over=[ReportedNeed(reason, "orders", NOW)]), "blue")
    assert notice.subject == "Sluice blue: fleet orders no longer needs an operator"
    assert notice.text.splitlines()[2].endswith(": fleet orders (it had begun at 2026-11-24 09:21 UTC).")


def test_notice_when_several_fleets_have_several_reasons() -> None:
    """The reasons are in one order, each with its fleets, and since when the first of them."""
    began = [
        ReportedNeed("Quarantined", "orders", NOW),
        ReportedNeed("TickAge", "mails", NOW - 360.0),
        ReportedNeed("TickAge", "orders", NOW - 600.0),
    ]
    over = [ReportedNeed("InvalidFleets", "invoices", NOW - 7_200.0)]
    assert write(Change(began, over, ["old"]), "blue").text.splitlines() == [
        "2 fleets need an operator in the stack blue.",
        "",
        (
            "No tick has succeeded for 5 minutes, so the group keeps its size: fleets mails and orders"
            " (since 2026-11-24 09:11 UTC)."
        ),
        (
            "What to do: Read the lines with the fleet's name in the log of blue-planner. They say what failed and"
            " what to mend."
        ),
        "",
        "Messages were quarantined: fleet orders (since 2026-11-24 09:21 UTC).",
        (
            "What to do: Open the dashboard, which has their failure groups. Mend the cause, then redrive the group,"
            " with a dry run first."
        ),
        "",
        "The fleet's document is valid again: fleet invoices (it had begun at 2026-11-24 07:21 UTC).",
        "",
        "Deleted while in need of an operator: fleet old.",
    ]


def test_names_when_there_are_many() -> None:
    """A notice has ten of them at most, and how many more there are."""
    names = [f"f{number:02d}" for number in range(14)]
    assert named(names[:10]) == "fleets f00, f01, f02, f03, f04, f05, f06, f07, f08 and f09"
    assert named(names) == "fleets f00, f01, f02, f03, f04, f05, f06, f07, f08 and 5 more"


def test_subject_when_names_are_long() -> None:
    """SNS takes a hundred characters of ASCII."""
    notice = write(Change(began=[ReportedNeed("TickAge", "x" * 63, NOW)]), "s" * 60)
    assert len(notice.subject) == SUBJECT_MAX


def test_notice_when_a_need_begins_goes_on_and_ends() -> None:
    """It is reported once that it began, by the figure's own age, and once that it is over."""
    need = OperatorNeed("TickAge", "orders", NOW, 310.0)
    change, reported = changes([need], [], FLEETS)
    assert change.began == reported == [ReportedNeed("TickAge", "orders", NOW - 310.0)]
    later = OperatorNeed("TickAge", "orders", NOW + 60.0, 370.0)
    change, reported = changes([later, OperatorNeed("DrainsExpired", "orders", NOW, 1.0)], reported, FLEETS)
    assert change.began == [ReportedNeed("DrainsExpired", "orders", NOW)]
    change, reported = changes([later], reported, FLEETS)
    assert (change.began, change.over) == ([], [ReportedNeed("DrainsExpired", "orders", NOW)])
    assert changes([later], reported, FLEETS)[0].is_none
    change, reported = changes([], reported, frozenset())
    assert (change.over, change.deleted, reported) == ([], ["orders"], [])


def test_need_when_it_was_not_seen_for_a_while() -> None:
    """It is over after the time that its reason has; one of a fleet that is no more is no need."""
    for reason in REASONS:
        held_s = HELD_S.get(reason, HELD_USUALLY_S)
        need = OperatorNeed(reason, "orders", NOW, 1.0)
        assert present([need], FLEETS, Detail.STACK, NOW + held_s - 1.0)
        assert not present([need], FLEETS, Detail.STACK, NOW + held_s)
    assert not present([OperatorNeed("TickAge", "gone", NOW, 400.0)], FLEETS, Detail.STACK, NOW)


def test_needs_when_fleets_have_alarms_of_their_own() -> None:
    """What these report is in no notice."""
    needs = [OperatorNeed(reason, "orders", NOW, 1.0) for reason in REASONS]
    left = {reason for reason, _ in present(needs, FLEETS, Detail.FLEET, NOW)}
    assert left == WITHOUT_ALARM
    assert left.isdisjoint({"TickAge", "MessageLifeUsed", "DrainsExpired", "RetainedAge", "Quarantined"})


def test_needs_in_records_when_some_are_above_their_limits() -> None:
    """The worst of each fleet and reason; what is of no fleet, or within its limit, is none."""
    records = [
        record("TickAge", "orders"),
        record("TickAge", "orders", 3.0),
        record("TickAge", "mails", 1.0),
        record("TickAge", None),
        Record("orders", "Need", Unit.COUNT, 1e9),
    ]
    assert needs_in(records, NOW) == (OperatorNeed("TickAge", "orders", NOW, 900.0),)


def test_need_is_noted_once_a_minute_when_it_goes_on() -> None:
    """A tick sees it six times as often."""
    needs, noter = MemoryNeeds(lambda: NOW), Noter()
    noter.note([record("TickAge", "orders")], needs, NOW, Lines())  # type: ignore[arg-type] # a log that keeps its lines
    noter.note([record("TickAge", "orders", 3.0)], needs, NOW + REPEAT_S - 1.0, Lines())  # type: ignore[arg-type]
    assert needs.noted() == (OperatorNeed("TickAge", "orders", NOW, 600.0),)
    noter.note([record("TickAge", "orders", 4.0)], needs, NOW + REPEAT_S, Lines())  # type: ignore[arg-type]
    assert needs.noted() == (OperatorNeed("TickAge", "orders", NOW + REPEAT_S, 1_200.0),)


def test_invocation_goes_on_when_its_needs_cannot_be_noted() -> None:
    """The log says so, and the next invocation tries again."""
    log, noter, needs = Lines(), Noter(), MemoryNeeds(lambda: NOW)
    silent = Fault(When.BEFORE, TryLaterError("DynamoDB does not answer"))
    records = [record("Quarantined", "orders"), record("Quarantined", "mails")]
    noter.note(records, faulty(needs, lambda _: silent), NOW, log)  # type: ignore[arg-type]
    assert log.lines == ["warning: no notice reports that a fleet needs an operator"]
    noter.note(records, needs, NOW + 1.0, log)  # type: ignore[arg-type]
    assert [need.fleet for need in needs.noted()] == ["mails", "orders"]
