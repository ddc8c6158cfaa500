"""The Jobs port's contract: memory, moto and the emulator keep to the same behaviour."""

from __future__ import annotations

import pytest

from sluice.model.redrive_jobs import JobState, RedriveJob
from sluice.ports.errors import ConflictError
from sluice.ports.ledger import Ledger
from tests.integration.contract_worlds import World
from tests.integration.ledger.samples import AT, FLEET
from tests.support.redrive_jobs import changed_job, redrive_job


def job(number: int, at: float = AT) -> RedriveJob:
    """A redrive job."""
    return redrive_job(
        id=f"j-{number}",
        fleet=FLEET,
        state=JobState.RUNNING,
        requested_at=at,
        requested_by="an operator",
        updated_at=at,
        failure_group="g-1",
        rate_per_s=2.5,
        stopped_groups=("g-2",),
    )


def test_job_is_kept_at_its_version(world: World, ledger: Ledger) -> None:
    """Jobs are written like drains, and listed most recent first."""
    now = world.now()
    assert ledger.jobs.job(FLEET, "j-1") is None
    first = ledger.jobs.keep_job(job(1, now))
    assert first.version == 1
    ledger.jobs.keep_job(job(2, now + 1))
    second = ledger.jobs.keep_job(changed_job(first, state=JobState.STOPPED, sent_count=3))
    with pytest.raises(ConflictError):
        ledger.jobs.keep_job(changed_job(first, note="ours"))
    assert ledger.jobs.job(FLEET, "j-1") == second
    assert [j.id for j in ledger.jobs.jobs(FLEET)] == ["j-2", "j-1"]
    assert ledger.jobs.jobs("other") == ()


def test_watched_job_is_in_the_index_until_it_is_over(world: World, ledger: Ledger) -> None:
    """Its fleet's chain has it as long as it is sent or watched; every field of it is kept."""
    now = world.now()
    watched = ledger.jobs.keep_job(
        changed_job(
            job(1, now), state=JobState.WATCHING, looked=True, hidden_since=now, moved_count=7, moved_since=now,
            sends_singly=True,
        )
    )  # fmt: skip
    assert ledger.jobs.job(FLEET, "j-1") == watched
    assert ledger.jobs.running_jobs(FLEET) == ((FLEET, "j-1"),)
    ledger.jobs.keep_job(changed_job(watched, state=JobState.CAME_BACK))
    assert ledger.jobs.running_jobs(FLEET) == ()


def test_running_jobs_are_found_by_one_query_when_they_are_of_several_fleets(world: World, ledger: Ledger) -> None:
    """The index follows each write of a job: paused, resumed, stopped; a write that is refused leaves it as it was."""
    now = world.now()
    assert ledger.jobs.running_jobs() == ()
    first = ledger.jobs.keep_job(job(1, now))
    ledger.jobs.keep_job(job(2, now))
    ledger.jobs.keep_job(redrive_job("j-1", "another", JobState.RUNNING, now, "ada", now))
    ledger.jobs.keep_job(redrive_job("j-9", f"{FLEET}-2", JobState.DONE, now, "ada", now))
    assert ledger.jobs.running_jobs() == (("another", "j-1"), (FLEET, "j-1"), (FLEET, "j-2"))
    assert ledger.jobs.running_jobs(FLEET) == ((FLEET, "j-1"), (FLEET, "j-2"))
    paused = ledger.jobs.keep_job(changed_job(first, state=JobState.PAUSED))
    with pytest.raises(ConflictError):
        ledger.jobs.keep_job(changed_job(first, note="ours"))
    assert ledger.jobs.running_jobs(FLEET) == ((FLEET, "j-2"),)
    resumed = ledger.jobs.keep_job(changed_job(paused, state=JobState.RUNNING))
    with pytest.raises(ConflictError):
        ledger.jobs.keep_job(changed_job(paused, state=JobState.STOPPED))
    assert ledger.jobs.running_jobs(FLEET) == ((FLEET, "j-1"), (FLEET, "j-2"))
    ledger.jobs.keep_job(changed_job(resumed, state=JobState.DONE))
    assert ledger.jobs.running_jobs(FLEET) == ((FLEET, "j-2"),)
