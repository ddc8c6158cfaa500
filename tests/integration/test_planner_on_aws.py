"""The planner over the ports on AWS, as moto plays it: what it keeps between invocations is really kept."""

from typing import Any

from functions.planner import app
from sluice.chains import ChainRunner, StepEnd
from sluice.memory.work_queue import MemoryWorkQueue
from sluice.model.decisions import Action, OutcomeStatus
from sluice.model.frozen import replace
from sluice.model.planning import Memory
from sluice.model.redriving import Message
from sluice.model.timing import Timing
from sluice.planning.service import Invocation, PlannerService
from sluice.planning.shards import KIND
from tests.integration.contract_worlds import AwsWorld, moto_world
from tests.support.planner_steps import changed, keep_memory

MINUTE = {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}


world = moto_world


def ticked(world: AwsWorld) -> dict[str, Any]:
    """A round of fleet orders as the schedule and the work queue bring it; the decision with its outcome."""
    ports = replace(world.ports, work=MemoryWorkQueue(world.now))
    runner = ChainRunner(ports.ledger.chains, ports.work, world.now)
    invocation = Invocation("invocation", world.now() + 30.0, "sluice")
    service = PlannerService(ports, world.now, Timing(), invocation, app.logger)
    assert service.respond(MINUTE) == {"shards": 1, "assigned": True}
    [chain] = world.ports.ledger.chains.chains(KIND)
    assert runner.run(chain.step, world.now() + 30.0, service.step) is StepEnd.RESTED
    [(decision, outcome)] = world.ports.ledger.decisions.decisions("orders", 1)
    return {"want": decision.want, "sentence": decision.sentence, "outcome": outcome.status, "answer": outcome.answer}


def make_fleet(world: AwsWorld, max_size: int = 5) -> tuple[str, str]:
    """A fleet's queue and group."""
    queue, group = world.make_queue(), world.make_group(max_size=max_size)
    hints = {"seconds_per_message": 10, "lead_time_s": 60}
    document = {"queue": queue, "group": group, "target_wait_s": 120, "hints": hints}
    world.put_document("orders", document)
    return queue, group


def test_planner_when_orders_come_and_go_on_aws(world: AwsWorld) -> None:
    """From zero up for a backlog, held by the memory kept in the ledger, and down to zero once it is worked off."""
    queue, group = make_fleet(world)
    assert ticked(world)["sentence"] == "Holding at 0: no message is waiting. No instance is needed."
    world.ports.queue.send(queue, [Message(id=f"m{i}", body="{}") for i in range(9)], [0.0] * 9)
    world.pass_time(10.0)

    scaled_out = ticked(world)
    assert (scaled_out["outcome"], world.ports.group.read(group).desired) == (OutcomeStatus.APPLIED, scaled_out["want"])
    assert 1 <= scaled_out["want"] <= 5

    for message in world.ports.queue.receive(queue, 10, 30.0):
        world.ports.queue.delete(queue, [message.receipt])
    sizes = []
    for _ in range(4):
        world.pass_time(58.0)
        sizes.append(ticked(world)["want"])
    assert sizes[-1] == 0
    assert world.ports.group.read(group).desired == 0
    memory = world.ports.ledger.planner_state.memory("orders")
    assert len(memory.samples) >= 5
    decided = world.ports.ledger.decisions.decisions("orders", 10)
    scaled_out_at = min(decision.at for decision, _ in decided if decision.action is Action.SCALE_OUT)
    assert any(decision.action is Action.SCALE_IN and decision.at > scaled_out_at for decision, _ in decided)
    assert [outcome.status for _, outcome in decided].count(OutcomeStatus.APPLIED) >= 2


def test_memory_when_it_has_gone_through_the_ledger(world: AwsWorld) -> None:
    """What a tick has learned comes back as it was, so that the next goes on from there."""
    make_fleet(world)
    ticked(world)
    kept = world.ports.ledger.planner_state.memory("orders")
    assert kept != Memory()
    learned = changed(
        kept,
        first_unit=("i-1", 1.5, 2.5),
        forecasts=((1.0, (("level", 2.0),)),),
        chosen=("hour", 3.0, 0.5),
    )
    keep_memory(world.ports.ledger, "orders", learned)
    assert world.ports.ledger.planner_state.memory("orders") == learned


def test_planner_when_the_queue_does_not_exist(world: AwsWorld) -> None:
    """A missing queue is named with what to do, the group is left alone, and nothing raises."""
    queue, group = make_fleet(world)
    world.put_document("orders", {"queue": queue + "x", "group": group, "target_wait_s": 120})
    told = ticked(world)
    assert told["outcome"] == OutcomeStatus.FAILED
    assert queue.rpartition("/")[2] + "x" in told["answer"]
    assert world.ports.group.read(group).desired == 0


def test_planner_when_the_group_does_not_exist(world: AwsWorld) -> None:
    """A missing group likewise: its decision says that nothing can be decided."""
    queue, _ = make_fleet(world)
    world.put_document("orders", {"queue": queue, "group": "nobody", "target_wait_s": 120})
    told = ticked(world)
    assert told["outcome"] == OutcomeStatus.FAILED
    assert "nobody" in told["sentence"]
