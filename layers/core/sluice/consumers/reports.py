"""The last reports of an instance's consumers: how a new one is added, and which are dropped.

A consumer is known from its first report on. It counts until it is forgotten: a restarted consumer of the same name
takes the place of the one before it, and `without_silent` drops those that have ended or crashed on an instance that
stays in service. While an instance drains none is dropped, so that the deadline decides about a consumer that died.

A record holds CONSUMERS_MAX consumers. A further one takes the place of one that is done or failed. If there is none,
it is counted under OVERFLOW as busy, whatever it reports: its instance stays protected, and its drain does not end by
reports, but by its stop command or its deadline.
"""

from collections.abc import Iterable

from sluice.model.consumers import CONSUMERS_MAX, OVERFLOW, ConsumerStatus, LastReport, Report

# What a consumer reports once it holds no message and takes none.
ENDED = frozenset({ConsumerStatus.DONE, ConsumerStatus.FAILED})
# What a consumer repeats each minute, as long as it is so.
REPEATED = frozenset({ConsumerStatus.BUSY, ConsumerStatus.DRAINING})
# Reports may be missing for ten minutes, while Sluice itself is away.
FORGET_AFTER_S = 900.0


def is_later(report: Report, known: Iterable[LastReport]) -> bool:
    """Whether a report is later than the last one of the same consumer.

    Times have whole seconds. Of two reports in one second the more cautious one counts (`_rank`).
    """
    return all(
        (report.at, _rank(report.status)) > (last.at, _rank(last.status))
        for last in known
        if last.consumer == report.consumer
    )


def with_report(known: tuple[LastReport, ...], report: Report) -> tuple[LastReport, ...]:
    """The last reports with one more; those of other consumers stay, unless the record is full."""
    others = tuple(last for last in known if last.consumer != report.consumer)
    added = LastReport(report.consumer, report.status, report.at, report.in_flight)
    if len(others) < len(known) or sum(last.consumer != OVERFLOW for last in known) < CONSUMERS_MAX:
        return (*others, added)
    ended = [last for last in known if last.status in ENDED]
    if ended:
        oldest = min(ended, key=lambda last: last.at)
        return (*(last for last in known if last is not oldest), added)
    further_at = max([report.at, *(last.at for last in known if last.consumer == OVERFLOW)])
    return (
        *(last for last in known if last.consumer != OVERFLOW),
        LastReport(OVERFLOW, ConsumerStatus.BUSY, further_at),
    )


def without_silent(known: tuple[LastReport, ...], now: float) -> tuple[LastReport, ...]:
    """The reports of the consumers that may still run on an instance in service; `now` in epoch seconds.

    Dropped are those that ended, and those that would have to repeat their report and have not for FORGET_AFTER_S.
    """
    return tuple(last for last in known if last.status not in ENDED | REPEATED or now < last.at + FORGET_AFTER_S)


def _rank(status: ConsumerStatus) -> int:
    """The order of reports in one second: the greater one counts.

    An idle consumer that is taken for busy does no harm. A busy one that is taken for idle may lose its instance.
    """
    order = (
        ConsumerStatus.READY,
        ConsumerStatus.IDLE,
        ConsumerStatus.BUSY,
        ConsumerStatus.DRAINING,
        ConsumerStatus.DONE,
    )
    return order.index(status) if status in order else len(order)
