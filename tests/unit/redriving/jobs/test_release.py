"""Automatic releases: a burst of a cause that passes is held, tried by canaries, and let go without an operator."""

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from sluice.memory import Call, Crash, Fault, When, faulty_ports
from sluice.model.redrive_jobs import JobState, RedriveJob, Selection
from sluice.model.redriving import Attribute
from sluice.ports.errors import TryLaterError
from sluice.redriving.failure_groups import CAUSE, SOURCE
from sluice.redriving.jobs.lifecycle import create_job, stop_job
from sluice.redriving.message_copy import FIRST_SENT_AT
from tests.support.redrive_worlds import START, World, fleet, text

BUSY = "HTTP 503: busy"
MINUTE = 60.0
HOUR = 3_600.0
STEP_S = 20.0
BURST = 20  # the default's burst_count


@dataclass
class Outage:
    """A fleet whose consumer fails on every message until a time, and stamps why."""

    until: float
    cause: str = BUSY
    world: World = field(default_factory=World)
    done: list[str] = field(default_factory=list)
    tried: list[float] = field(default_factory=list)  # when a message of a job failed

    def live(self, until: float) -> None:
        """Consumer, poller and jobs go on until a time."""
        while self.world.now < until:
            self._consume()
            while self.world.process():
                pass
            self.world.slice().work(self.world.now + 1.0)
            self.world.now += STEP_S

    def _consume(self) -> None:
        world = self.world
        while received := world.ports.queue.receive(world.queue, 10, MINUTE):
            for message in received:
                if world.now >= self.until:
                    self.done.append(message.body)
                else:
                    stamps = {
                        CAUSE: text(self.cause),
                        SOURCE: text(world.to.arn),
                        FIRST_SENT_AT: Attribute("Number", f"{message.first_sent_at:.3f}"),
                    }
                    world.ports.queue.put(
                        world.dead_letters, message.body, attributes=dict(message.attributes) | stamps
                    )
                    self.tried.append(world.now)
                world.ports.queue.delete(world.queue, [message.receipt])

    def burst(self, count: int) -> list[str]:
        """So many messages fail at once; their bodies."""
        bodies = [f"order-{number}" for number in range(count)]
        for body in bodies:
            self.world.put_dead(body, sluice_cause=self.cause)
        return bodies

    @property
    def release(self) -> RedriveJob:
        """The only job on record."""
        (job,) = self.world.ports.ledger.jobs.jobs("orders")
        return job


def outage(until: float, cause: str = BUSY, **redrive: Any) -> Outage:
    """An outage of a fleet with the default's policy, but for what is given."""
    policy: dict[str, Any] = {"base_delay_s": 300.0, "canary_wait_s": None, **redrive}
    return Outage(until, cause, World(fleet(**policy)))


def held(count: int, until: float = START + 24 * HOUR, **redrive: Any) -> Outage:
    """A burst that is held, with nothing retried before: all dead letters after the first are one burst."""
    there = outage(until, burst_count=1, **redrive)
    there.burst(count)
    while there.world.process():
        pass
    assert len(there.world.index()) == count
    return there


def test_an_outage_of_forty_minutes_ends_without_an_operator() -> None:
    """500 messages fail with HTTP 503: they are held, tried by a few, and all completed once, by nobody's hand."""
    there = outage(START + 40 * MINUTE)
    bodies = there.burst(500)
    there.live(START + 3 * HOUR)
    assert sorted(there.done) == sorted(bodies)
    assert there.world.index() == ()
    assert there.release.state is JobState.DONE
    assert there.release.requested_by == "Sluice"
    # At most three retries of the first few before the burst was one, and three canaries for each of five tries.
    assert len(there.tried) <= 3 * BURST + 5 * 3


def test_a_cause_that_does_not_pass_is_never_released_by_itself() -> None:
    """A burst of a wrong message, or of what the policy calls permanent, stays until an operator decides."""
    for cause, policy in (("KeyError: 'street'", {}), (BUSY, {"permanent": ("HTTP 503*",)})):
        there = outage(START + 24 * HOUR, cause, max_retries=0, **policy)
        there.burst(30)
        there.live(START + 2 * HOUR)
        assert len(there.world.index()) == 30
        assert there.world.ports.ledger.jobs.jobs("orders") == ()


def test_a_canary_that_comes_back_waits_twice_as_long_and_at_last_for_an_operator() -> None:
    """Three messages are tried after 2, 4, 8 minutes and so on; after twelve hours nothing is tried any more."""
    there = held(10)
    there.live(START + 13 * HOUR)
    tries = sorted(set(there.tried))
    waits = [after - before for before, after in pairwise([START, *tries])]
    assert len(there.tried) == 3 * len(tries)
    assert all(after >= 1.8 * before for before, after in pairwise(waits[:-1]))
    assert tries[-1] == pytest.approx(START + 12 * HOUR, abs=5 * MINUTE)
    assert there.release.state is JobState.STOPPED
    assert "waits for an operator" in there.release.note
    assert len(there.world.index()) == 10


def test_what_is_held_while_a_release_sends_is_released_after_it() -> None:
    """A second burst, while canaries of the first are watched, has a try of its own without another job."""
    there = held(10, until=START)
    there.live(START + 130)
    assert there.release.progress.sent_count == 3
    there.world.put_dead("late", sluice_cause=BUSY)
    there.live(START + HOUR)
    assert sorted(there.done) == sorted(["late", *(f"order-{number}" for number in range(10))])
    assert there.release.state is JobState.DONE


def test_an_operator_s_redrive_takes_the_place_of_a_release() -> None:
    """Who asks for the same messages is not refused, and what is held after that is left to them."""
    there = held(10)
    world = there.world
    group = there.release.selection.failure_group
    create_job(world.ports, world.fleet, Selection(failure_group=group), world.job())
    states = {job.id: job.state for job in world.ports.ledger.jobs.jobs("orders")}
    assert states == {"job-1": JobState.RUNNING, f"release-{group}": JobState.STOPPED}
    world.put_dead("late", sluice_cause=BUSY)
    world.process()
    assert world.ports.ledger.jobs.job("orders", f"release-{group}").state is JobState.STOPPED


def test_a_later_outage_is_held_again_when_the_release_before_is_over() -> None:
    """A group has one record of a release, which begins again; one that was stopped begins again after its time."""
    there = held(3, until=START)
    there.live(START + HOUR)
    assert there.release.state is JobState.DONE
    there.world.put_dead("later", sluice_cause=BUSY)
    there.world.process()
    assert there.release.state is JobState.RUNNING
    stop_job(there.world.ports, there.world.fleet, there.release.id, "a test", there.world.now)
    there.world.now += 13 * HOUR
    there.world.put_dead("much later", sluice_cause=BUSY)
    there.world.process()
    there.live(there.world.now + HOUR)
    assert sorted(there.done) == ["later", "much later", "order-0", "order-1", "order-2"]


def test_a_release_ends_when_the_setting_turns_it_off() -> None:
    """Nothing more is sent, and the job says why."""
    there = held(3, until=START)
    policy = there.world.fleet.redrive.model_copy(update={"release_within_s": 0.0})
    there.world.fleet = there.world.fleet.model_copy(update={"redrive": policy})
    there.live(START + HOUR)
    assert there.done == []
    assert there.release.state is JobState.STOPPED
    assert "release_within_s" in there.release.note


@pytest.mark.parametrize("method", ["store", "quarantine", "job", "keep_job"])
@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
@pytest.mark.parametrize("error", [Crash(), TryLaterError("a test")])
def test_a_crash_between_the_steps_of_holding_leaves_nothing_without_a_release(
    method: str, when: When, error: BaseException
) -> None:
    """A letter leaves the dead-letter queue only once it is in quarantine and its release is on record."""
    there = outage(START, burst_count=1)
    there.world.put_dead("a", sluice_cause=BUSY)
    failed = []

    def once(call: Call) -> Fault | None:
        if call.method != method or failed:
            return None
        failed.append(call)
        return Fault(when, error)

    with suppress(Crash):
        there.world.process(faulty_ports(there.world.ports, once))
    assert failed
    there.world.now += 61.0
    there.live(START + HOUR)
    assert there.done == ["a"]
    assert there.world.index() == ()


@pytest.mark.parametrize("method", ["send", "remove_entries", "keep_job", "failure_groups", "quarantined"])
@pytest.mark.parametrize("when", [When.BEFORE, When.AFTER])
def test_a_crash_in_a_try_of_a_release_leaves_it_going_on(method: str, when: When) -> None:
    """Whatever call of the canaries' step a process dies at, the job goes on, and only what is in doubt stays."""
    there = held(10, until=START)
    there.world.now = there.release.pacing.next_at
    failed = []

    def once(call: Call) -> Fault | None:
        if call.method != method or failed:
            return None
        failed.append(call)
        return Fault(when, Crash())

    with pytest.raises(Crash):
        there.world.slice(faulty_ports(there.world.ports, once)).work(there.world.now + 1.0)
    there.world.now += 61.0
    there.live(START + 2 * HOUR)
    assert {*there.done, *there.world.held_bodies()} == {f"order-{number}" for number in range(10)}
    assert len(there.done) == len(set(there.done)) >= 7
    assert there.release.state is JobState.DONE
