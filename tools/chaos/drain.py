"""Whole drains by the shipped drainer, with faults before and after every call of every port.

Faults end at a seeded moment; then everything must come to its end by sweeps. What must hold, whatever happens:

    an instance is released by us only when its consumer is done, its deadline has passed, or a person said so
    no drain is on record as done while its consumer works
    no heartbeat comes after the deadline
    a hook times out on a working consumer only where faults kept heartbeats away
    once it is quiet, who has stopped is released soon, and in the end every drain is
"""

from random import Random

from functions.drainer import app
from sluice.config import DrainPolicy, DrainVia
from sluice.draining import HOOKLESS_KEPT_S, OWED, SPOT_NOTICE_S, UNDER_WAY
from sluice.memory import Call
from sluice.model import DrainState, HookAction
from tools.chaos._drain_world import SKEW_S, STALL_S, SWEEP_S, Chances, World
from tools.chaos._stage import START
from tools.chaos.report import Report

PROMPT_S = 420.0  # the longest pause between two stops, the grace of an intent, a sweep, a command's delivery, twice
OWED_S = 2 * SWEEP_S + 10.0  # after the faults: a release that is owed is given by the next sweep, or the one after
POLICIES = (
    {"deadline_s": 300.0, "hook_timeout_s": 120.0, "heartbeat_s": 45.0},
    {"deadline_s": 900.0, "hook_timeout_s": 120.0, "heartbeat_s": 60.0},
    {"deadline_s": 1200.0, "hook_timeout_s": 900.0, "heartbeat_s": 45.0},
    {"deadline_s": 60.0, "hook_timeout_s": 120.0, "heartbeat_s": 30.0},
    {"deadline_s": 600.0, "hook_timeout_s": 30.0, "heartbeat_s": 10.0},  # shorter than a sweep's minute
)


class Judge:
    """Holds what the drainer does against the truth."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.on_call = self.on_call
        world.on_end = self.on_end

    def on_call(self, call: Call) -> None:
        """What the drainer is about to do must be allowed."""
        world = self._world
        if call.method == "keep_drain":
            drain = call.args[0]
            if drain.state is DrainState.DONE and world.consumers[drain.instance_id].working:
                world.violate(f"{drain.instance_id}: on record as done while its consumer works")
        elif call.method == "complete_hook":
            action = call.args[0]
            if self._is_active(action) and not self._may_release(action.instance_id):
                world.violate(f"{action.instance_id}: released before its consumer was done and before its deadline")
        elif call.method == "heartbeat":
            drain = world.truth.ledger.drain(world.fleet.name, call.args[0].instance_id)
            if drain and drain.state in UNDER_WAY and world.now > drain.deadline_at + 2 * STALL_S + SKEW_S:
                world.violate(f"{drain.instance_id}: a heartbeat after its deadline")

    def _is_active(self, action: HookAction) -> bool:
        """Whether completing this action would have an effect."""
        return any(
            waiting.instance_id == action.instance_id and action.token in {None, waiting.token}
            for waiting in self._world.waiting()
        )

    def _may_release(self, instance_id: str) -> bool:
        """Whether an instance's release interrupts nobody, or was ordered, or is due."""
        world = self._world
        done = not world.consumers[instance_id].working
        return done or instance_id in world.let_go or world.now >= self._deadline_of(instance_id)

    def _deadline_of(self, instance_id: str) -> float:
        """The earliest that an instance's deadline can truly be."""
        world, deadline_s = self._world, self._world.policy.deadline_s
        deadlines = [world.waiting_since[instance_id] + deadline_s] if instance_id in world.waiting_since else []
        if instance_id in world.noticed_at:
            deadlines.append(world.noticed_at[instance_id] + min(SPOT_NOTICE_S, deadline_s))
        return min(deadlines) - 2 * SKEW_S - 1.0  # an event's time has whole seconds

    def on_end(self, instance_id: str, at: float) -> None:
        """An instance has ended: its consumer interrupted only if it was due, or if faults kept heartbeats away."""
        world = self._world
        due = instance_id in world.let_go or at >= self._deadline_of(instance_id)
        if due or not world.consumers[instance_id].working:
            return
        world.counts["timed out"] += 1
        timeout_s = world.policy.hook_timeout_s
        if timeout_s >= 2 * SWEEP_S and at - world.troubled_at > timeout_s + SWEEP_S:
            world.violate(f"{instance_id}: its hook timed out under drain though nothing had failed")

    def check_prompt(self) -> None:
        """Some time after the faults: whoever has stopped has been released, deadline or not, and nothing is owed."""
        world = self._world
        for drain in world.truth.ledger.drains(world.fleet.name):
            owed = drain.state in OWED and drain.hook is not None and self._is_active(drain.hook)
            if owed and world.now > max(drain.updated_at, world.quiet_at) + OWED_S:
                world.violate(f"{drain.instance_id}: its release is owed and not given")
        if world.policy.via is DrainVia.SELF:
            return  # it is the consumer's to complete, and one that died leaves it to the deadline
        for action in world.waiting():
            stopped_at = world.consumers[action.instance_id].stopped_at
            found = world.truth.ledger.drain(world.fleet.name, action.instance_id)
            unheard = action.instance_id in world.truth.instances.without_agent
            if unheard or (found and found.command_id in world.lost_commands):
                continue  # unknown until the deadline or the command's end, whatever an earlier command has done
            if stopped_at is not None and world.now > max(stopped_at, world.quiet_at) + PROMPT_S:
                world.violate(f"{action.instance_id}: its consumer has stopped, and it is not released")

    def check_all_over(self) -> None:
        """At the end nobody waits and every drain is released."""
        for action in self._world.waiting():
            self._world.violate(f"{action.instance_id}: still waits at the end")
        for drain in self._world.truth.ledger.drains(self._world.fleet.name):
            if drain.state is not DrainState.RELEASED:
                self._world.violate(f"{drain.instance_id}: its drain is {drain.state} at the end")

    def is_over(self) -> bool:
        """Whether nothing is left to happen but sweeps."""
        world = self._world
        drains = world.truth.ledger.drains(world.fleet.name)
        at_rest = world.now > world.quiet_at and world.planned_count() <= 1
        return at_rest and not world.waiting() and all(drain.state is DrainState.RELEASED for drain in drains)


def build(seed: int) -> World:
    """The world of a seed: from calm (one in five: nothing fails) to very bad."""
    rng = Random(seed)  # noqa: S311 - a story must be told again the same from its seed; nothing here is secret
    via = rng.choice((DrainVia.SSM, DrainVia.SSM, DrainVia.SELF))
    policy = DrainPolicy(via=via, **rng.choice(POLICIES))
    badness = rng.choice((0.0, 0.3, 1.0, 1.0, 2.0))
    chances = Chances(
        fault=rng.choice((0.0, 0.02, 0.1, 0.25)) * badness,
        crash=rng.uniform(0.1, 0.6),
        lost=rng.choice((0.0, 0.2, 0.5)) * badness,
        doubled=rng.choice((0.0, 0.3)) * badness,
        late=rng.choice((0.0, 0.3)) * badness,
        sweep_lost=rng.choice((0.0, 0.1, 0.4)) * badness,
        stall=rng.choice((0.0, 0.02)) * badness,
        lost_command=rng.choice((0.0, 0.2)) * badness,
        no_agent=rng.choice((0.0, 0.2)) * badness,
        stubborn=rng.choice((0.0, 0.1)) * badness,
        hangs=rng.choice((0.0, 0.1)) * badness,
        spot=rng.choice((0.0, 0.0, 0.5)) if badness else 0.0,
        operator=rng.choice((0.0, 0.0, 0.5)) if badness else 0.0,
    )
    return World(rng, policy, chances, quiet_at=START + rng.uniform(300, 900))


def run(seed: int) -> Report:
    """Play one seed to its end."""
    app.logger.setLevel("CRITICAL")  # the story is told here
    world = build(seed)
    judge = Judge(world)
    world.tell(f"seed {seed}: {world.policy!r}, {world.chances!r}")
    world.after(world.rng.uniform(0, SWEEP_S), world.sweep)
    for _ in range(world.rng.randint(1, 5)):
        world.after(world.rng.uniform(0, 400), world.shrink)
    if world.happens(world.chances.operator):
        world.after(world.rng.uniform(50, 600), world.operate)
    end_at = world.quiet_at + 2 * world.policy.deadline_s + HOOKLESS_KEPT_S + 5 * SWEEP_S
    while world.now < end_at and not judge.is_over():
        world.pass_until(world.now + SWEEP_S / 2)
        judge.check_prompt()
    judge.check_all_over()
    return Report(seed, tuple(world.violations), tuple(world.story), dict(world.counts))
