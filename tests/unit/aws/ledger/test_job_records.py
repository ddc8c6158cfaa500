"""Redrive jobs of earlier versions: what each state becomes."""

import json

import pytest

from sluice.aws.ledger.forms import RECORD_VERSION
from sluice.aws.ledger.records import JOB
from sluice.model.redrive_jobs import JobState


@pytest.mark.parametrize(
    ("state", "stopped_groups", "sent_count", "becomes"),
    [
        ("running", [], 2, JobState.RUNNING),
        ("done", [], 5, JobState.DONE),
        ("stopped", [], 2, JobState.STOPPED),
        ("stopped", ["g-1"], 2, JobState.STOPPED),
        ("stopped", ["g-1"], 5, JobState.CAME_BACK),
    ],
)
def test_job_of_version_3_is_read(state: str, stopped_groups: list[str], sent_count: int, becomes: JobState) -> None:
    """It had one word for a job that was stopped and for one whose messages came back after all of them were sent."""
    record = {
        RECORD_VERSION: 3,
        "id": "job-1",
        "fleet": "orders",
        "state": state,
        "requested_at": 1.0,
        "requested_by": "ada",
        "updated_at": 2.0,
        "progress": {"selected_count": 5, "sent_count": sent_count, "stopped_groups": stopped_groups},
    }
    read = JOB.from_text(json.dumps(record))
    assert (read.value.state, read.problems) == (becomes, ())
    assert JOB.from_text(JOB.to_text(read.value)).value == read.value
