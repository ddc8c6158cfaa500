"""The last reports of an instance's consumers: whose counts, how many there are, and when one is forgotten."""

import pytest

from sluice.consumers.protection import BUSY_TIMEOUT_S, is_busy
from sluice.consumers.reports import FORGET_AFTER_S, is_later, with_report, without_silent
from sluice.draining.events import DrainReported
from sluice.draining.observations import reported
from sluice.model.consumers import (
    CONSUMERS_MAX,
    OVERFLOW,
    UNNAMED,
    BootState,
    Consumer,
    ConsumerStatus,
    LastReport,
    Report,
)

NOW = 1_000_000.0
READY, FAILED, BUSY = ConsumerStatus.READY, ConsumerStatus.FAILED, ConsumerStatus.BUSY
IDLE, DRAINING, DONE = ConsumerStatus.IDLE, ConsumerStatus.DRAINING, ConsumerStatus.DONE


def an_instance(*reports: LastReport) -> Consumer:
    """An instance whose consumers reported that."""
    return Consumer("orders", "i-1", BootState.WORKING, NOW, reports=reports)


def of(name: str, status: ConsumerStatus, at: float = NOW) -> LastReport:
    """The last report of the consumer with that name."""
    return LastReport(name, status, at)


def heard(*reports: tuple[str, ConsumerStatus, float]) -> tuple[LastReport, ...]:
    """What is on record after reports, in the order in which they arrived."""
    known: tuple[LastReport, ...] = ()
    for name, status, at in reports:
        report = Report("i-1", status, at, consumer=name)
        if is_later(report, known):
            known = with_report(known, report)
    return known


@pytest.mark.parametrize(
    ("reports", "event"),
    [
        ((), None),
        ((of("a", DONE),), DrainReported(NOW, done=True)),
        ((of("a", DONE), of("b", BUSY, NOW - 5)), DrainReported(NOW - 5, done=False)),
        ((of("a", DONE), of("b", DRAINING, NOW - 5)), DrainReported(NOW - 5, done=False, draining_at=NOW - 5)),
        ((of("a", BUSY), of("b", DRAINING, NOW - 5)), DrainReported(NOW, done=False, draining_at=NOW - 5)),
        ((of("a", DONE), of("b", IDLE, NOW - 5_000)), None),
        ((of("a", DONE), of("b", READY)), None),
        ((of(UNNAMED, DONE), of("b", DRAINING)), DrainReported(NOW, done=False, draining_at=NOW)),
        ((of("a", DONE), of("b", DONE, NOW - 30)), DrainReported(NOW - 30, done=True)),
        ((of("a", DONE), of("b", FAILED, NOW - 900)), DrainReported(NOW, done=True)),
        ((of("a", FAILED),), None),
        ((of("a", DONE), of(OVERFLOW, BUSY, NOW - 400)), DrainReported(NOW - 400, done=False)),
    ],
)
def test_instance_is_done_when_all_its_known_consumers_are(
    reports: tuple[LastReport, ...], event: DrainReported | None
) -> None:
    """One that is at work, idle or not heard of since holds the instance; one that failed to start does not."""
    assert reported(an_instance(*reports)) == event


def test_instance_is_busy_when_any_of_its_consumers_is() -> None:
    """The idle report of one does not undo the busy report of another, which counts for three minutes."""
    assert is_busy(an_instance(of("a", BUSY, NOW - 60), of("b", IDLE)), NOW)
    assert not is_busy(an_instance(of("a", IDLE, NOW - 60), of("b", IDLE)), NOW)
    assert not is_busy(an_instance(of("a", BUSY, NOW - BUSY_TIMEOUT_S), of("b", IDLE)), NOW)


def test_reports_are_ordered_for_each_consumer_when_they_come_doubled_late_or_out_of_order() -> None:
    """A report that is older than another consumer's is news all the same."""
    arrived = (("a", DONE, NOW), ("b", BUSY, NOW - 40), ("a", BUSY, NOW - 10), ("a", DONE, NOW), ("b", IDLE, NOW - 50))
    assert heard(*arrived) == (of("a", DONE), of("b", BUSY, NOW - 40))


def test_record_stays_bounded_when_an_instance_has_more_consumers_than_it_holds() -> None:
    """Those above the bound are counted together as busy, whatever they report; no known one is dropped for them."""
    known = heard(*((f"w-{number}", IDLE, NOW) for number in range(CONSUMERS_MAX + 5)))
    assert len(known) == CONSUMERS_MAX + 1
    assert known[-1] == of(OVERFLOW, BUSY)
    further = with_report(known, Report("i-1", DONE, NOW + 60, consumer="w-66"))
    assert further[-1] == of(OVERFLOW, BUSY, NOW + 60), "nothing is known of the others above the bound"
    assert len(further) == CONSUMERS_MAX + 1
    assert is_busy(an_instance(*further), NOW + 60)
    all_done = tuple(of(each.consumer, DONE) for each in further[:-1])
    assert reported(an_instance(*all_done, further[-1])) == DrainReported(NOW + 60, done=False)


def test_consumer_that_ended_makes_room_when_the_record_is_full() -> None:
    """The one that ended first goes, and names that change with each start never fill the record."""
    known = heard(*((f"pid-{number}", DONE, NOW + number) for number in range(3 * CONSUMERS_MAX)))
    assert [each.consumer for each in known] == [f"pid-{2 * CONSUMERS_MAX + number}" for number in range(CONSUMERS_MAX)]


@pytest.mark.parametrize("status", [DONE, FAILED, BUSY, DRAINING])
def test_consumer_is_forgotten_when_it_is_silent_on_an_instance_in_service(status: ConsumerStatus) -> None:
    """It ended, or it crashed: after a quarter of an hour it holds no later drain."""
    known = (of("a", status), of("b", IDLE, NOW - 86_000), of("c", READY, NOW - 86_000))
    assert without_silent(known, NOW + FORGET_AFTER_S - 1) == known
    assert without_silent(known, NOW + FORGET_AFTER_S) == known[1:], "idle and ready are not repeated"
