"""Whole drains by the shipped drainer, with faults before and after every call of every port.

Faults end at a seeded moment; then everything must come to its end by sweeps. What must hold, whatever happens:

    an instance is released by us only when all of its known consumers are done, its deadline has passed, or an operator
    asked for it
    no drain is on record as done while its consumer works
    no heartbeat comes after the deadline
    a hook times out on a working consumer only where faults kept heartbeats away: not where the functions, the ledger
    or Parameter Store are away for ten minutes, as long as the hook's timeout allows
    an instance that says it is at work is not given up for silent, nor at its deadline while it makes progress
    an instance is let into service only when its consumer is ready, and soon then
    a busy instance is protected from scale-in, and none is for long after its last report
    a drain under way is checked again within a minute of its last fault
    an instance that never booted is not waited for until its deadline
    an instance that EC2 is to reboot, stop or retire is drained before that, and loses no work that it had time for
    once it is quiet, who has stopped is released soon, and in the end every drain is, or its instance is retained
"""

import sys
from random import Random

from functions.drainer import app
from functions.operator import app as operator_app
from sluice.config.fleet import DrainPolicy, DrainVia
from sluice.consumers.protection import BUSY_TIMEOUT_S
from sluice.draining.deadlines import NO_ACTION_KEPT_S, RETENTION_CHECK_S, SPOT_NOTICE_S
from sluice.draining.nothing_to_finish import BOOT_WITHIN_S, GRACE_S
from sluice.memory import Call
from sluice.model.consumers import ConsumerStatus
from sluice.model.draining import AT_REST, RELEASE_OWED, UNDER_WAY, Drain, DrainState, HookAction, HookResult
from sluice.model.observed import Lifecycle
from sluice_tools.chaos.drain_away import Part
from sluice_tools.chaos.drain_scene import (
    LAUNCH_HOOK,
    PROMPT_S,
    REPEAT_S,
    SKEW_S,
    STALL_S,
    SWEEP_S,
    TALK_S,
    Chances,
    InstanceChances,
    Scene,
)
from sluice_tools.chaos.drain_world import World
from sluice_tools.chaos.report import Report
from sluice_tools.chaos.stage import START

HEARD_S = REPEAT_S + 2 * SWEEP_S + 30.0  # from a report to what the sweep makes of it, once nothing fails
CHECKED_S = SWEEP_S + 15.0  # the sweep's jitter, wrong clocks, and what the calls of some drains take
OWED_S = CHECKED_S + 10.0  # a release that is owed is given by the next round
NOTHING_S = GRACE_S + PROMPT_S  # an instance with nothing to finish: found by a full check, and by another
ENDED_S = 2 * SWEEP_S + 10.0  # a machine that ended is found by a full check, of a drain that a sweep may have to find
DEEP = 50_000  # frames: invocations that meet are stacked on one another, and hundreds may
MANY = 20  # instances, from which on a group is emptied at once
POLICIES = (
    {"deadline_s": 300.0, "hook_timeout_s": 120.0, "heartbeat_s": 45.0},
    {"deadline_s": 900.0, "hook_timeout_s": 120.0, "heartbeat_s": 60.0},
    {"deadline_s": 1200.0, "hook_timeout_s": 900.0, "heartbeat_s": 45.0},
    {"deadline_s": 1800.0, "silence_s": 300.0, "hook_timeout_s": 120.0, "heartbeat_s": 45.0},
    {"deadline_s": 300.0, "hook_timeout_s": 120.0, "heartbeat_s": 45.0, "keep_failed": True},
    {"deadline_s": 300.0, "longest_s": 1500.0, "hook_timeout_s": 120.0, "heartbeat_s": 45.0},
    {"deadline_s": 60.0, "hook_timeout_s": 120.0, "heartbeat_s": 30.0},
    {"deadline_s": 600.0, "hook_timeout_s": 30.0, "heartbeat_s": 10.0},  # shorter than a sweep's minute
    {"deadline_s": 3600.0},  # as it is by default
    {
        "deadline_s": 1800.0,
        "hook_timeout_s": 300.0,
    },  # holds without the ledger, not without functions
)


class Judge:
    """Holds what the drainer does against the truth."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._checked_at = START  # by the last round over the fleet's drains
        self._followed_since: dict[str, float] = {}  # when the lifecycle action of each drain came on record
        world.on_call = self.on_call
        world.on_end = self.on_end

    def on_call(self, call: Call) -> None:
        """What the drainer is about to do must be allowed."""
        world = self._world
        if call.method == "unreleased_of":
            self._checked_at = world.now
        elif call.method == "keep_drain":
            drain = call.args[0]
            if drain.action is not None:
                self._followed_since.setdefault(drain.instance_id, world.now)
            if drain.state is DrainState.DONE and world.is_awaited(drain.instance_id):
                world.violate(f"{drain.instance_id}: on record as done while its consumer works")
            if drain.state is DrainState.EXPIRED:
                self._check_silent(drain.instance_id, drain.deadline.at)
                self._check_progress(drain)
        elif call.method == "complete_hook":
            action, result = call.args
            if action.hook == LAUNCH_HOOK:
                self._check_let_in(action, result)
            elif self._is_active(action) and not self._may_release(action.instance_id):
                world.violate(f"{action.instance_id}: released before its consumer was done and before its deadline")
        elif call.method == "heartbeat":
            self._check_beats(call.args[0])

    def _check_beats(self, hook: HookAction) -> None:
        """A heartbeat is sent only before its drain's deadline."""
        world = self._world
        drain = world.truth.ledger.drains.drain(world.fleet.name, hook.instance_id)
        if hook.token is None and world.now < world.last_trouble_at(world.now) + SWEEP_S:
            return  # while no record can be had, no deadline can
        if drain and drain.state in UNDER_WAY and world.now > drain.deadline.at + 2 * STALL_S + SKEW_S:
            world.violate(f"{drain.instance_id}: a heartbeat after its deadline")

    def _check_silent(self, instance_id: str, deadline_at: float) -> None:
        """Given up before its deadline: then nothing that it said can have come through."""
        world, silence_s = self._world, self._world.policy.silence_s
        heard_at = world.delivered_at.get(instance_id, -1.0)
        draining = heard_at > world.waiting_since.get(instance_id, world.now) + 2 * SKEW_S + 1.0
        early = instance_id not in world.released_by_operator and world.now < deadline_at - 2 * SKEW_S
        if silence_s is not None and draining and early and world.now < heard_at + silence_s - 2 * STALL_S - SKEW_S:
            world.violate(f"{instance_id}: given up for silent though it has spoken")

    def _check_progress(self, drain: Drain) -> None:
        """Given up though it has said, since the drain began, that it makes progress: only at its bound."""
        world, policy, instance_id = self._world, self._world.policy, drain.instance_id
        said_at = world.progress_at.get(instance_id, -1.0)
        began_at = world.waiting_since.get(instance_id, world.now)
        excused = instance_id in world.released_by_operator or instance_id in world.noticed_at
        if excused or policy.silence_s is not None or said_at <= began_at + 2 * SKEW_S + 1.0:
            return
        held_until = min(said_at + policy.deadline_s, began_at + policy.bound_s) - 2 * STALL_S - 2 * SKEW_S
        if world.now < held_until:
            world.violate(f"{instance_id}: given up at its deadline though it makes progress")

    def _check_let_in(self, action: HookAction, result: HookResult) -> None:
        """A launch goes on only for a consumer that is ready, and is abandoned only for one that gave up."""
        consumer = self._world.consumers[action.instance_id]
        active = self._is_active(action)
        if active and result is HookResult.CONTINUE and consumer.ready_at is None:
            self._world.violate(f"{action.instance_id}: let into service before its consumer was ready")
        if active and result is HookResult.ABANDON and not consumer.gives_up:
            self._world.violate(f"{action.instance_id}: its launch was abandoned though it had not given up")

    def _is_active(self, action: HookAction) -> bool:
        """Whether completing this action would have an effect: AWS refuses the token of an earlier one."""
        return any(
            waiting.instance_id == action.instance_id and action.token in {None, waiting.token}
            for waiting in self._world.waiting(action.hook)
        )

    def _may_release(self, instance_id: str) -> bool:
        """Whether an instance's release interrupts nobody, or was ordered, or is due."""
        world = self._world
        done = not world.is_awaited(instance_id)
        return done or instance_id in world.released_by_operator or world.now >= self._deadline_of(instance_id)

    def _deadline_of(self, instance_id: str) -> float:
        """The earliest that an instance's deadline can truly be."""
        world, policy = self._world, self._world.policy
        deadline_s = policy.deadline_s if policy.silence_s is None else min(policy.deadline_s, policy.silence_s)
        deadlines = [world.waiting_since[instance_id] + deadline_s] if instance_id in world.waiting_since else []
        if instance_id in world.noticed_at:
            deadlines.append(world.noticed_at[instance_id] + min(SPOT_NOTICE_S, deadline_s))
        return min(deadlines) - 2 * SKEW_S - 1.0  # an event's time has whole seconds

    def on_end(self, instance_id: str, at: float) -> None:
        """An instance has ended: its consumer interrupted only if it was due, or if faults kept heartbeats away."""
        world = self._world
        consumer = world.consumers.get(instance_id)
        if consumer is None or not world.is_awaited(instance_id) or instance_id in world.excused:
            return
        if world.waiting_since.get(instance_id) is None and world.hook_removed:
            return  # nothing was left to hold it
        if instance_id in world.released_by_operator or at >= self._deadline_of(instance_id):
            return
        world.counts["timed out"] += 1
        timeout_s = world.policy.hook_timeout_s
        # An event that is lost is found by the sweep, which may be too late for a shorter timeout.
        drain = world.truth.ledger.drains.drain(world.fleet.name, instance_id)
        under_way = drain is not None and drain.state in UNDER_WAY
        followed = under_way and self._followed_since.get(instance_id, at) < at - timeout_s
        if (timeout_s >= 2 * SWEEP_S or followed) and at - world.last_deadly_at(at) > timeout_s + SWEEP_S:
            world.violate(f"{instance_id}: its hook timed out under drain though nothing had failed")

    def check_followed(self) -> None:
        """Whatever fails: a drain under way is checked again a minute later, by a round or by an event about it."""
        world = self._world
        if world.running or world.absence.now_of(Part.FUNCTIONS):
            return
        for drain in world.truth.ledger.drains.unreleased_of(world.fleet.name):
            since = max(self._checked_at, world.last_trouble_at(world.now), drain.updated_at)
            if drain.state not in AT_REST and world.now > since + CHECKED_S:
                world.violate(f"{drain.instance_id}: its drain was not checked for {world.now - since:.0f} s")

    def check_prompt(self) -> None:
        """Some time after the faults: whoever has stopped has been released, deadline or not, and nothing is owed."""
        world = self._world
        for drain in world.truth.ledger.drains.all_of(world.fleet.name):
            owed = drain.state in RELEASE_OWED and drain.hook is not None and self._is_active(drain.hook)
            if owed and world.now > max(drain.updated_at, world.last_trouble_at(world.now)) + OWED_S:
                world.violate(f"{drain.instance_id}: its release is owed and not given")
        for action in world.waiting():
            dead_at = world.consumers[action.instance_id].dead_at
            ended = dead_at is not None and action.instance_id in world.truth.instances.machines_ended
            since = max(world.waiting_since[action.instance_id], dead_at or 0.0, world.quiet_at)
            if ended and world.now > since + ENDED_S:
                world.violate(f"{action.instance_id}: its machine has ended, and it is not released")
        for action in world.waiting():
            consumer = world.consumers[action.instance_id]
            stopped_at = consumer.ended_at
            died = not consumer.siblings or any(each.dies for each in consumer.all)
            if world.policy.via is DrainVia.SELF and died:
                continue  # it is the consumer's to complete, and one that died leaves it to the deadline
            if action.instance_id in world.truth.instances.without_agent:
                continue  # unknown until the deadline
            since = max(world.waiting_since[action.instance_id], world.quiet_at)
            if stopped_at is not None and world.now > max(stopped_at, since) + PROMPT_S:
                world.violate(f"{action.instance_id}: its consumer has stopped, and it is not released")
            launched_at = world.truth.instances.never_registered.get(action.instance_id)
            if launched_at is not None and world.now > max(since, launched_at + BOOT_WITHIN_S) + NOTHING_S:
                world.violate(f"{action.instance_id}: it never booted, and it is waited for")

    def check_in_service(self) -> None:
        """Some time after the faults: ready ones are in service, busy ones are protected, and none is for long."""
        world = self._world
        since_s = world.now - world.quiet_at
        for action in world.waiting(LAUNCH_HOOK):
            ready_at = world.consumers[action.instance_id].ready_at
            if ready_at is not None and world.now > max(ready_at, world.quiet_at) + HEARD_S:
                world.violate(f"{action.instance_id}: its consumer is ready, and it is not in service")
        for instance in world.truth.group.read(world.fleet.group).instances:
            consumer = world.consumers.get(instance.id)
            if consumer is None or instance.state is not Lifecycle.IN_SERVICE:
                continue
            long_since = [
                each.status for each in consumer.all if world.now > max(each.status_since, world.quiet_at) + HEARD_S
            ]
            busy = ConsumerStatus.BUSY in long_since and consumer.working
            if since_s < TALK_S and busy and not instance.protected:
                world.violate(f"{instance.id}: busy for long and not protected")
            if long_since == [ConsumerStatus.IDLE] * len(consumer.all) and instance.protected:
                world.violate(f"{instance.id}: idle for long and still protected")
            if since_s > TALK_S + BUSY_TIMEOUT_S + 3 * SWEEP_S and instance.protected:
                world.violate(f"{instance.id}: protected long after its last report")

    def release_retained(self) -> None:
        """An operator has seen enough of what was kept."""
        world = self._world
        for drain in world.truth.ledger.drains.all_of(world.fleet.name):
            if drain.state is DrainState.RETAINED:
                world.cloud.release(drain.instance_id)

    def check_all_over(self) -> None:
        """At the end nobody waits and every drain is released."""
        for action in self._world.waiting():
            self._world.violate(f"{action.instance_id}: still waits at the end")
        for drain in self._world.truth.ledger.drains.all_of(self._world.fleet.name):
            if drain.state is not DrainState.RELEASED:
                self._world.violate(f"{drain.instance_id}: its drain is {drain.state} at the end")
        if chains := self._world.truth.ledger.chains.chains("drains"):
            self._world.violate(f"{chains[0].id}: goes on though no drain is under way")

    def is_over(self) -> bool:
        """Whether nothing is left to happen but the next sweep and the planner's next minute."""
        world = self._world
        drains = world.truth.ledger.drains.all_of(world.fleet.name)
        over = {DrainState.RELEASED, DrainState.RETAINED}
        quiet_s = TALK_S + BUSY_TIMEOUT_S + 4 * SWEEP_S if world.scene.talking else 0.0
        at_rest = world.now > world.quiet_at + quiet_s and world.planned_count() <= 2
        held = world.waiting() or world.waiting(LAUNCH_HOOK)
        return at_rest and not held and all(drain.state in over for drain in drains)


def build(seed: int) -> World:
    """The world of a seed: from calm (one in five: nothing fails) to very bad."""
    rng = Random(seed)  # noqa: S311 - a story must be the same again from its seed; nothing here is secret
    via = rng.choice((DrainVia.SSM, DrainVia.SSM, DrainVia.SELF))
    policy = DrainPolicy(via=via, **rng.choice(POLICIES))
    badness = rng.choice((0.0, 0.3, 1.0, 1.0, 2.0))
    chances = Chances(
        fault=rng.choice((0.0, 0.02, 0.1, 0.25)) * badness,
        completion=rng.choice((0.0, 0.0, 0.5)) * badness,
        crash=rng.uniform(0.1, 0.6),
        lost=rng.choice((0.0, 0.2, 0.5)) * badness,
        doubled=rng.choice((0.0, 0.3)) * badness,
        late=rng.choice((0.0, 0.3)) * badness,
        sweep_lost=rng.choice((0.0, 0.1, 0.4)) * badness,
        step_lost=rng.choice((0.0, 0.1, 0.4)) * badness,
        queue_down=rng.choice((0.0, 0.0, 0.0, 1.0)) if badness else 0.0,
        stall=rng.choice((0.0, 0.02)) * badness,
        instances=InstanceChances(
            lost_command=rng.choice((0.0, 0.2)) * badness,
            no_agent=rng.choice((0.0, 0.2)) * badness,
            stubborn=rng.choice((0.0, 0.1)) * badness,
            hangs=rng.choice((0.0, 0.1)) * badness,
            spot=rng.choice((0.0, 0.0, 0.5)) if badness else 0.0,
            operator=rng.choice((0.0, 0.0, 0.5)) if badness else 0.0,
            breaks=rng.choice((0.0, 0.3)) * badness,
            never_ready=rng.choice((0.0, 0.3)) * badness,
            never_boots=rng.choice((0.0, 0.0, 0.3)),
            hook_removed=rng.choice((0.0, 0.0, 0.0, 1.0)) if badness else 0.0,
        ),
    )
    scene = Scene(
        size=_size(rng),
        other_hook=rng.random() < 0.25,
        warm_pool=rng.random() < 0.2,
        retains=rng.random() < 0.5,
        launch_hook=rng.random() < 0.25,
        talking=(dice := rng.random()) < 0.4,
        several=dice < 0.2,
        away=rng.choice((*Part, *[None] * 6)),
        # Drawn by themselves, so that the runs of seeds stay as they were.
        scheduled=Random(f"scheduled events of {seed}").random() < 0.2,  # noqa: S311 - as above
        copied=Random(f"copy of {seed}").random() < 0.7,  # noqa: S311 - as above
    )
    return World(rng, policy, chances, quiet_at=START + rng.uniform(300, 900), scene=scene)


def _size(rng: Random) -> int:
    """A few instances; now and then very many, all to go at once."""
    dice = rng.random()
    return 500 if dice < 0.001 else rng.randint(20, 60) if dice < 0.02 else rng.randint(1, 4)


def run(seed: int) -> Report:
    """Play one seed to its end."""
    for logger in (app.logger, operator_app.logger):
        logger.setLevel("CRITICAL")  # the story is kept here
    sys.setrecursionlimit(max(DEEP, sys.getrecursionlimit()))
    return play(build(seed), seed)


def play(world: World, seed: int = 0) -> Report:
    """Play a world to its end."""
    judge = Judge(world)
    world.tell(f"seed {seed}: {world.policy!r}, {world.chances!r}, {world.scene!r}")
    world.after(world.rng.uniform(0, SWEEP_S), world.cloud.sweep)
    world.after(world.rng.uniform(0, SWEEP_S), world.cloud.planner_minute)
    for _ in range(world.rng.randint(1, 5)):
        world.after(world.rng.uniform(0, 400), world.scale_in)
    if world.scene.warm_pool or world.scene.launch_hook:
        for _ in range(2):
            world.after(world.rng.uniform(100, 700), world.scale_out)
    if world.scene.size >= MANY:
        world.after(world.rng.uniform(60, 120), world.empty)
    if world.scene.scheduled:
        world.after(world.rng.uniform(30, 600), world.scheduled.schedule)
    if world.happens(world.chances.instances.operator):
        world.after(world.rng.uniform(50, 600), world.cloud.operate)
    if world.happens(world.chances.instances.hook_removed * 0.3):
        world.after(world.rng.uniform(50, 600), world.remove_hook)
    end_at = world.quiet_at + 2 * world.policy.deadline_s + NO_ACTION_KEPT_S + RETENTION_CHECK_S + TALK_S + 10 * SWEEP_S
    while world.now < max(end_at, world.scheduled.last_at + SWEEP_S) and not judge.is_over():
        world.pass_until(world.now + SWEEP_S / 2)
        world.scheduled.check()
        judge.check_followed()
        judge.check_prompt()
        judge.check_in_service()
    judge.release_retained()
    world.pass_until(world.now + 3 * SWEEP_S)
    judge.check_all_over()
    return Report(seed, tuple(world.violations), tuple(world.story), dict(world.counts))
