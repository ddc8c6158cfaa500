"""The FailureGroups port in memory."""

from sluice.memory.clock import Clock
from sluice.model.frozen import replace
from sluice.model.redriving import FailureGroup, LastRedrive, QuarantineEntry
from sluice.ports.ledger.failure_groups import EMPTY_GROUPS_KEPT_S, TREND_HOURS, TREND_MINUTES
from sluice.redriving.failure_groups import GROUPS_MAX, OVERFLOW, group_cause


class MemoryFailureGroups:
    """The FailureGroups port: groups by fleet and id."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._groups: dict[tuple[str, str], FailureGroup] = {}

    def failure_group(self, fleet: str, group_id: str) -> FailureGroup | None:
        """A failure group."""
        group = self._groups.get((fleet, group_id))
        if group and group.count <= 0 and group.last_seen_at + EMPTY_GROUPS_KEPT_S <= self._clock():
            del self._groups[fleet, group_id]
            return None
        return group

    def failure_groups(self, fleet: str) -> tuple[FailureGroup, ...]:
        """Every failure group of a fleet, most recently seen first."""
        ids = [group_id for owner, group_id in self._groups if owner == fleet]
        groups = [group for group_id in ids if (group := self.failure_group(fleet, group_id))]
        return tuple(sorted(groups, key=lambda group: (-group.last_seen_at, group.id)))

    def admit_group(self, fleet: str, group_id: str, cause: str, now: float) -> bool:
        """Whether a failure group may be used; it is made if there are not too many."""
        if self.failure_group(fleet, group_id):
            return True
        if sum(group.id != OVERFLOW.id for group in self.failure_groups(fleet)) >= GROUPS_MAX:
            return False
        self._groups[fleet, group_id] = FailureGroup(fleet, group_id, cause, 0, 0, now, now)
        return True

    def note_failure(
        self, fleet: str, group_id: str, cause: str, sample: str, now: float, *, again: bool = False
    ) -> FailureGroup:
        """Count one more dead letter of a group as seen."""
        group = self.failure_group(fleet, group_id) or FailureGroup(fleet, group_id, cause, 0, 0, now, now)
        noted = replace(
            group,
            cause=cause,
            sample=sample,
            seen_count=group.seen_count + 1,
            failed_retry_count=group.failed_retry_count + again,
            last_seen_at=now,
            hours=counted(group.hours, int(now // 3_600), TREND_HOURS),
            minutes=counted(group.minutes, int(now // 60), TREND_MINUTES),
            version=group.version + 1,
        )
        self._groups[fleet, group_id] = noted
        return noted

    def note_redriven(self, fleet: str, group_id: str, job_id: str, count: int, now: float) -> None:
        """Count messages of a group that a job sent back."""
        group = self._groups.get((fleet, group_id))
        if group is None:
            return
        last = group.last_redrive
        if last is None or last.job_id != job_id:
            last = LastRedrive(job_id, now, sent_count=0)
        last = replace(last, sent_count=last.sent_count + count)
        self._groups[fleet, group_id] = replace(group, last_redrive=last, version=group.version + 1)

    def note_returned(self, fleet: str, group_id: str, job_id: str) -> None:
        """Count one of them that came back."""
        group = self._groups.get((fleet, group_id))
        last = group.last_redrive if group else None
        if group and last and last.job_id == job_id:
            last = replace(last, returned_count=last.returned_count + 1)
            self._groups[fleet, group_id] = replace(group, last_redrive=last, version=group.version + 1)

    def mute_group(self, fleet: str, group_id: str, at: float | None) -> FailureGroup | None:
        """Mute a failure group, or unmute it."""
        group = self._groups.get((fleet, group_id))
        if group:
            group = self._groups[fleet, group_id] = replace(group, muted_at=at, version=group.version + 1)
        return group

    def add_quarantined(self, entry: QuarantineEntry) -> None:
        """Count a quarantined message in its group, which is made if it is missing."""
        group = self.failure_group(entry.fleet, entry.failure_group) or FailureGroup(
            fleet=entry.fleet,
            id=entry.failure_group,
            cause=group_cause(entry.failure_group, entry.cause),
            count=0,
            seen_count=0,
            first_seen_at=entry.at,
            last_seen_at=entry.at,
            sample=entry.excerpt.sample,
        )
        key = entry.fleet, entry.failure_group
        self._groups[key] = replace(group, count=group.count + 1, version=group.version + 1)

    def remove_quarantined(self, entry: QuarantineEntry) -> None:
        """Take a message that left quarantine out of its group's count."""
        key = entry.fleet, entry.failure_group
        group = self._groups[key]
        self._groups[key] = replace(group, count=group.count - 1, version=group.version + 1)


def counted(series: tuple[tuple[int, int], ...], place: int, kept: int) -> tuple[tuple[int, int], ...]:
    """A series of counts with one more at a place (an hour or a minute since 1970), cut to the last `kept` places."""
    counts = dict(series)
    counts[place] = counts.get(place, 0) + 1
    return tuple(sorted((at, count) for at, count in counts.items() if at > place - kept))
