"""A redrive out of quarantine on DynamoDB's limits: capacity units a message, by partition, computed from its calls."""

from __future__ import annotations

import sys
import time
from collections import Counter
from random import Random
from uuid import UUID

import pytest

from sluice.aws.ledger.keys import message_key
from sluice.config.fleet import Fleet, parse
from sluice.model.redrive_jobs import JobPacing, JobState, RedriveJob, Selection
from sluice.model.redriving import Attribute, Excerpt, Message, QuarantineEntry
from sluice.redriving.jobs.lifecycle import create_job
from sluice.redriving.jobs.runner import Runner
from sluice.redriving.jobs.slices import Slice
from sluice.redriving.verdict import sample_of, selectable_attributes
from sluice_tools.bench_redrive import dead_letter
from tests.integration.contract_worlds import AwsWorld, moto_world
from tests.support.capacity import PARTITION_READS_PER_S, PARTITION_WRITES_PER_S, Units, counted

RATE_PER_S = 1_000.0
CANARIES = 3
COUNT = 120  # moto copies its whole table for each transaction
rng = Random(15)


world = moto_world


def quarantined(world: AwsWorld) -> Fleet:
    """A fleet with messages in quarantine, each an order of half a kilobyte with three attributes of its own."""
    dead = world.make_queue()
    queue = world.make_queue(dead_letter=dead)
    document = {
        "queue": queue, "dead_letter_queue": dead, "group": "g", "target_wait_s": 60,
        "redrive": {"canary_wait_s": 0, "canary_count": CANARIES},
    }  # fmt: skip
    fleet = parse("orders", document)
    arn = world.ports.queue.facts(queue).arn
    for number in range(COUNT):
        sent = dead_letter(number)
        attributes = {name: Attribute("String", one["StringValue"]) for name, one in sent["MessageAttributes"].items()}
        message = Message(
            f"{number:08x}-0000-4000-8000-000000000000", sent["MessageBody"], attributes=tuple(attributes.items())
        )
        entry = QuarantineEntry(
            "orders", "UnknownItem-0123456789ab", message.id, world.ports.archive.store("orders", message),
            "UnknownItem: no item tea-<n> in the catalogue", world.now() - 1, None, 3, arn, message.size_bytes,
            Excerpt(sample_of(message), selectable_attributes(message)),
        )  # fmt: skip
        assert world.ports.ledger.quarantine.quarantine(entry)
    return fleet


def redriven(world: AwsWorld, fleet: Fleet) -> Units:
    """The units of a whole job, canaries and all, that sends every message."""
    now = time.time()
    asked = RedriveJob("job-1", "orders", JobState.RUNNING, now, "ada", now, pacing=JobPacing(RATE_PER_S))
    create_job(world.ports, fleet, Selection(), asked)
    runner = Runner(world.ports, fleet, world.ports.queue.facts(fleet.queue or ""), "i", now + 600, time.time)

    def failed(_: RedriveJob, error: Exception) -> None:
        raise error

    with counted() as units:
        while following := Slice(world.ports.ledger.jobs, "orders", lambda _: runner, time.time, failed).work(
            now + 600
        ):
            world.pass_time(max(0.0, following.due_at - time.time()))
    job = world.ports.ledger.jobs.job("orders", "job-1")
    assert job is not None
    assert (job.state, job.progress.sent_count) == (JobState.DONE, COUNT)
    return units


def hottest(units: Counter[str]) -> float:
    """Units a second of the hottest partition key at RATE_PER_S.

    Few messages hit the shards unevenly, where many do not: of those the largest share is taken.
    """
    shares = Counter(
        message_key("orders", str(UUID(int=rng.getrandbits(128), version=4)), "")["pk"]["S"] for _ in range(20_000)
    )
    (largest,) = (count / shares.total() for _, count in shares.most_common(1))
    sharded = sum(count for pk, count in units.items() if pk in shares)
    alone = max(count for pk, count in units.items() if pk not in shares)
    return max(alone, sharded * largest) / COUNT * RATE_PER_S


def test_redrive_out_of_quarantine_holds_a_thousand_messages_a_second(
    world: AwsWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """No partition key takes much more than half of what a partition of DynamoDB takes."""
    units = redriven(world, quarantined(world))
    writes, reads = (found.total() / COUNT * RATE_PER_S for found in (units.writes, units.reads))
    lines = (
        f"A redrive out of quarantine at {RATE_PER_S:,.0f} messages a second, of {len(units.writes)} partition keys:",
        f"  write units: {writes:,.0f}, on the hottest {hottest(units.writes):,.0f} of {PARTITION_WRITES_PER_S:,}",
        f"  read units: {reads:,.0f}, on the hottest {hottest(units.reads):,.0f} of {PARTITION_READS_PER_S:,}",
        f"  calls a message: {sum(units.calls.values()) / COUNT:.2f}, {dict(units.calls)}",
    )
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(lines) + "\n")
    assert hottest(units.writes) <= 0.6 * PARTITION_WRITES_PER_S
    assert hottest(units.reads) <= 0.6 * PARTITION_READS_PER_S
    # A new table takes 4,000 write units a second, and doubles within 30 minutes.
    # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/on-demand-capacity-mode.html
    assert writes <= 2 * 4_000
