"""A redrive job as flat JSON, for operators' requests and for who reads."""

from dataclasses import asdict
from typing import Any

from sluice.model.redrive_jobs import RedriveJob
from sluice.redriving.jobs.rules import forecast

PARTS = frozenset({"selection", "target", "progress", "pacing", "lease", "move", "version", "release"})
RUNNERS_OWN = ("cursor", "looked", "sends_singly")


def job_to_answer(job: RedriveJob, now: float) -> dict[str, Any]:
    """A job as flat JSON, without what only its runners need, and with how far it is (`jobs.rules.forecast`)."""
    fields = {name: value for name, value in asdict(job).items() if name not in PARTS}
    fields |= asdict(job.selection) | asdict(job.progress) | asdict(job.pacing)
    fields |= {"to": job.target.fleet, "to_queue": job.target.queue, "held_until": job.held_until(now)}
    for name in RUNNERS_OWN:
        del fields[name]
    seen = forecast(job, now)
    fields |= {"done_fraction": round(seen.done_fraction, 4), "left_s": seen.left_s}
    return {name: _listed(value) for name, value in fields.items()}


def _listed(value: Any) -> Any:
    """Tuples as the lists that JSON makes of them."""
    if isinstance(value, tuple):
        return [_listed(one) for one in value]
    return {name: _listed(one) for name, one in value.items()} if isinstance(value, dict) else value
