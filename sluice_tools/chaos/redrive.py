"""Dead letters and redrives by the shipped redriver, in virtual time, with faults before and after every call.

The world is a queue and its dead-letter queue (or two queues with two of those, or one for both; one of the two may
be paused for a while), the archive and the ledger in memory; a producer, a consumer that fails on poison until it is
fixed, Lambda's poller of the dead-letter queues (partial answers, lost deletes, double deliveries, receipts that
expire), the work queue of redrive jobs (steps that are lost, doubled, late and out of order, and ten minutes without
it), the schedule's minute, an operator who redrives, stops and asks twice, somebody who looks at dead letters and so
hides them for a while, outages of which bursts are held and released, and move tasks that SQS refuses. Each call of a
port takes time, in which
anything that falls due happens, other invocations of the redriver included. Faults end at a seeded moment; then all
must be worked on in the end.

Of a FIFO message group dead letters are retried one at a time, in order (`redrive_order`). Its batches too are handed
over twice now and then.

At every instant: each message that is not worked on is somewhere, and at most one copy of it is in its queue; in the
end none was worked on twice but by an operator's `again`. Nothing is sent to another queue than its own, and nothing
to a paused one unless an operator says so. No job is stopped, or said to have come back, unless a copy that it sent was
in a dead-letter queue; none whose copy was there before the end of its watch is done; and none is at work for ever.
"""

from dataclasses import replace
from enum import StrEnum
from functools import partial
from random import Random
from typing import Any

from functions.operator import app as operator_app
from functions.redriver import app
from sluice.config.fleet import Fleet, RedriveMode, RedrivePolicy
from sluice.memory import queue_url
from sluice_tools.chaos.redrive_operator import World
from sluice_tools.chaos.redrive_queue import Chances
from sluice_tools.chaos.redrive_scene import START, TICK_S
from sluice_tools.chaos.redrive_work import WorkChances
from sluice_tools.chaos.report import Report

DOWN_S = 600.0  # of the work queue, once


class Sharing(StrEnum):
    """How many queues there are, and how many dead-letter queues."""

    ONE_QUEUE = "one queue"
    SHARED = "two queues, one dead-letter queue"
    OWN = "two queues, a dead-letter queue for each"


def _queues(suffix: str, sharing: Sharing) -> dict[str, Any]:
    """The part of the fleet's document that names its queues."""
    dead = queue_url(f"orders-dead{suffix}")
    if sharing is Sharing.ONE_QUEUE:
        return {"queue": queue_url(f"orders{suffix}"), "dead_letter_queue": dead}
    urgent = {
        "queue": queue_url(f"urgent{suffix}"),
        "dead_letter_queue": dead if sharing is Sharing.SHARED else queue_url(f"urgent-dead{suffix}"),
        "priority": 1,
    }
    return {"queues": [{"queue": queue_url(f"orders{suffix}"), "dead_letter_queue": dead}, urgent]}


def build(seed: int) -> World:
    """The world of a seed: from calm (one in five: nothing fails) to very bad."""
    rng = Random(seed)  # noqa: S311 - a run to be repeated, no secret
    suffix = rng.choice(("", "", ".fifo"))
    policy = RedrivePolicy(
        mode=rng.choice((RedriveMode.AUTO, RedriveMode.AUTO, RedriveMode.AUTO, RedriveMode.MANUAL)),
        max_retries=rng.choice((0, 1, 3)),
        base_delay_s=rng.choice((0, 5, 60)),
        max_delay_s=rng.choice((60, 300)),
        canary_count=rng.choice((1, 3)),
        canary_wait_s=rng.choice((0, 30, 90)),
        burst_count=rng.choice((0, 2, 20)),
        permanent=rng.choice(((), (), ("UnknownItem*",))),
        transient=rng.choice(((), (), ("No cause stamped*",))),
    )
    # Drawn by itself, so that the runs of seeds without stay as they were: all poison is an outage that passes.
    releases = Random(f"releases of {seed}")  # noqa: S311 - as above
    if releases.random() < 0.4:
        outage = {"transient": ("UnknownItem*",), "permanent": (), "burst_count": releases.choice((1, 2, 3))}
        policy = policy.model_copy(update=outage | {"burst_window_s": releases.choice((60.0, 120.0))})
    # As above: drawn by itself.
    several = Random(f"queues of {seed}")  # noqa: S311 - as above
    fleet = Fleet(
        name="orders",
        **_queues(suffix, several.choice((Sharing.ONE_QUEUE, Sharing.ONE_QUEUE, Sharing.SHARED, Sharing.OWN))),
        group="consumers",
        target_wait_s=60,
        redrive=policy,
    )
    badness = rng.choice((0.0, 0.3, 1.0, 1.0, 2.0))
    chances = Chances(
        fault=rng.choice((0.0, 0.02, 0.1, 0.25)) * badness,
        crash=rng.uniform(0.1, 0.6),
        stall=rng.choice((0.0, 0.02)) * badness,
        partial=rng.choice((0.0, 0.1, 0.3)) * badness,
        unspoken=rng.choice((0.0, 0.0, 0.1)) * badness,
        undeleted=rng.choice((0.0, 0.3)) * badness,
        doubled=rng.choice((0.0, 0.3)) * badness,
        tick_lost=rng.choice((0.0, 0.3)) * badness,
    )
    # As above: drawn by itself.
    others = Random(f"other readers of {seed}")  # noqa: S311 - as above
    chances = replace(chances, onlooker=badness > 0 and others.random() < 0.5, move_refused=others.random() < 0.5)
    quiet_at = START + rng.uniform(300, 1_200)
    # As above: drawn by itself.
    steps = Random(f"work queue of {seed}")  # noqa: S311 - as above
    down_from = steps.uniform(START, quiet_at) if steps.random() < 0.3 * badness else 0.0
    work = WorkChances(
        lost=steps.choice((0.0, 0.1, 0.3)) * badness,
        doubled=steps.choice((0.0, 0.1, 0.3)) * badness,
        late=steps.choice((0.0, 0.1, 0.3)) * badness,
        down_from=down_from,
        down_until=down_from + DOWN_S if down_from else 0.0,
    )
    world = World(rng, fleet, chances, quiet_at, work)
    world.habits = Random(f"habits of {seed}")  # noqa: S311 - as above
    return world


def run(seed: int) -> Report:
    """Play one seed to its end."""
    levels = [(one, one.log_level) for one in (app.logger, operator_app.logger)]
    for logger, _ in levels:
        logger.setLevel("CRITICAL")  # the run has a story of its own
    try:
        return _played(seed, build(seed))
    finally:
        for logger, level in levels:
            logger.setLevel(level)


def _put_foreign_letters(world: World) -> None:
    """Another service uses the dead-letter queue as well, now and then."""
    if world.fleet.redrive.mode is RedriveMode.AUTO and not world.fifo:  # EventBridge takes no FIFO queue for that
        for _ in range(world.habits.choice((0, 0, 1, 2))):
            url = world.habits.choice(world.fleet.dead_letter_queues)
            world.after(world.habits.uniform(0, 200), partial(world.put_foreign, url))


def _played(seed: int, world: World) -> Report:
    rng = world.rng
    world.tell(
        f"seed {seed}: {world.queues}, {world.fleet.dead_letter_queues}, {world.fleet.redrive!r}, {world.chances!r},"
        f" {world.work!r}"
    )
    for _ in range(rng.randint(1, 12)):
        world.after(rng.uniform(0, 200), world.produce)
    for _ in range(rng.randint(1, 2)):
        world.after(rng.uniform(0, 5), world.consume)
    if world.fleet.redrive.mode is RedriveMode.AUTO:
        for url in world.fleet.dead_letter_queues:
            for _ in range(2):  # as the stack's mapping: at most two at once
                world.after(rng.uniform(0, 15), partial(world.poll, url))
    world.onlook_all()
    _put_foreign_letters(world)
    world.after(rng.uniform(0, TICK_S), world.tick)
    world.after(rng.uniform(0, TICK_S), world.planner_minute)
    # The console's own redrive knows no marks: beside a job it would send again what that has sent and not yet deleted.
    by_console = world.fleet.redrive.mode is RedriveMode.MANUAL and rng.random() < 0.3
    for _ in range(rng.randint(0, 5)):
        world.after(rng.uniform(60, world.quiet_at - START), world.move_natively if by_console else world.ask)
    if len(world.queues) > 1 and rng.random() < 0.5:
        url = rng.choice(world.queues)
        world.after(rng.uniform(0, 300), partial(world.pause, url))
        world.after(world.quiet_at - START, partial(world.go_on, url))
        world.counts["paused"] += 1
    world.pass_until(world.quiet_at)
    for url in world.queues:
        world.go_on(url)
    world.settle()
    world.check_jobs()
    world.counts["orders"] = len(world.orders)
    if world.fifo:
        world.counts["message groups with dead letters"] = world.retries.message_group_count
    return Report(seed, tuple(world.violations), tuple(world.story), dict(world.counts))
