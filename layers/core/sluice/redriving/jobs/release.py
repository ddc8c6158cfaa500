"""Automatic releases: a burst of a cause that passes by itself is held, and let go by Sluice once a canary passes.

A release is a redrive job of Sluice's own, of one failure group (`rules.put_off` has how it goes on). Its canaries are
sent after a burst window, after twice that where one comes back, and so on until `release_within_s` is over. A group
has one record of a release. The letters are quarantined first, and deleted from the dead-letter queue only once the
release is on record: a crash between the two repeats both.

What an operator stops, or takes over by a redrive of the same messages, and what came back until its last try, is an
operator's: for `release_within_s` from then on no release of the group is opened.
"""

from collections.abc import Iterable
from functools import partial

from sluice.config.fleet import Fleet
from sluice.model.frozen import replace
from sluice.model.redrive_jobs import JobAction, JobPacing, JobState, RedriveJob, Release, Selection
from sluice.ports.errors import ConflictError
from sluice.ports.ledger import JobLedger
from sluice.ports.stack import Ports
from sluice.redriving.jobs.lifecycle import ACTIVE_STATES, update_job

BY = "Sluice"  # who asks for a release


def keep_releases(ports: Ports[JobLedger], fleet: Fleet, failure_groups: Iterable[str], now: float) -> bool:
    """See that each failure group, letters of which were just held, has a release that takes them.

    Returns:
        Whether a release was opened.

    Raises:
        PortError: it is not on record.
    """
    opened = False
    for failure_group in failure_groups:
        new = _new(fleet, failure_group, now)
        amend = partial(_with_more, new=new, now=now)
        job = update_job(ports, fleet.name, new.id, amend)
        if job is None:
            try:
                job = ports.ledger.jobs.keep_job(new)
            except ConflictError:  # another batch was first
                job = update_job(ports, fleet.name, new.id, amend)
        opened |= job is not None and job.requested_at == now
    return opened


def _new(fleet: Fleet, failure_group: str, now: float) -> RedriveJob:
    wait_s = fleet.redrive.burst_window_s
    due_at = now + wait_s
    return RedriveJob(
        id=f"release-{failure_group}",
        fleet=fleet.name,
        state=JobState.RUNNING,
        requested_at=now,
        requested_by=BY,
        updated_at=now,
        selection=Selection(failure_group=failure_group),
        pacing=JobPacing(fleet.redrive.rate_per_s, due_at),
        actions=(JobAction(now, BY, "held it"),),
        release=Release(wait_s, due_at, now + fleet.redrive.release_within_s),
    )


def _with_more(job: RedriveJob, new: RedriveJob, now: float) -> RedriveJob:
    """The group's release after more of the group was held: it takes that along, or is begun again."""
    assert job.release is not None
    assert new.release is not None
    if job.state in ACTIVE_STATES or job.state is JobState.WATCHING:
        return job if now < job.release.due_at else replace(job, release=replace(job.release, more=True))
    if job.state is JobState.STOPPED and now - job.updated_at < new.release.until - now:
        return job
    return replace(new, version=job.version)
