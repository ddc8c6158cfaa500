"""The consumer's helper: when it leaves, what it says and how often, and how it lets go. No network, no waiting."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from examples.consumer.sluice_consumer import EARLY_S, IDLE_AFTER_S, NAME, READY_FOR_S, Lifecycle, MetadataError
from sluice.model.consumers import CONSUMER_NAME

START = 1_800_000_000.0
STATE = "autoscaling/target-lifecycle-state"
SPOT = "spot/instance-action"


class FakeMetadata:
    """What the instance can read about itself; an exception in place of an entry is raised."""

    def __init__(self) -> None:
        self.items: dict[str, Any] = {STATE: "InService"}

    def read(self, item: str) -> str | None:
        """One entry."""
        found = self.items.get(item)
        if isinstance(found, Exception):
            raise found
        return None if found is None else str(found)


class FakeAws:
    """Auto Scaling and EventBridge: remember, and fail as told."""

    def __init__(self) -> None:
        self.words: list[tuple[str, int]] = []
        self.names: set[str | None] = set()
        self.completions: list[dict[str, str]] = []
        self.refusals: list[Exception] = []
        self.mute: Exception | None = None
        self.after_completion: Any = lambda: None

    def put_events(self, Entries: list[dict[str, str]]) -> dict[str, Any]:  # noqa: N803 - boto3's own names
        """A report."""
        if self.mute:
            raise self.mute
        (entry,) = Entries
        assert (entry["Source"], entry["DetailType"]) == ("sluice.consumer", "Sluice Consumer Report")
        detail = json.loads(entry["Detail"])
        assert (detail["group"], detail["instance-id"]) == ("workers", "i-1")
        self.words.append((detail["state"], detail["in-flight"]))
        self.names.add(detail.get("consumer"))
        return {"FailedEntryCount": 0, "Entries": [{}]}

    def complete_lifecycle_action(self, **request: str) -> None:
        """A completion."""
        if self.refusals:
            raise self.refusals.pop(0)
        self.completions.append(request)
        self.after_completion()


class Stage:
    """One consumer's lifecycle on a clock that stands still."""

    def __init__(self, consumer: str | None = None) -> None:
        self.now = START
        self.metadata = FakeMetadata()
        self.aws = FakeAws()
        self.lifecycle = Lifecycle(
            self.metadata,  # type: ignore[arg-type] # what is used of it
            "workers",
            "i-1",
            "sluice-drain",
            consumer=consumer,
            autoscaling=self.aws,
            events=self.aws,
            clock=lambda: self.now,
        )

    def tick(self, seconds: float = 1.0) -> None:
        """Time passes; both of its threads' work is done once."""
        self.now += seconds
        self.lifecycle.look()
        self.lifecycle.tell()

    @property
    def said(self) -> list[str]:
        """The words so far."""
        return [word for word, _ in self.aws.words]


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A consumer in service, with no pauses between its tries."""
    for name in ("POLL_S", "RETRY_S"):
        monkeypatch.setattr(f"examples.consumer.sluice_consumer.{name}", 0.0)
    return Stage()


def refused(message: str) -> ClientError:
    """Auto Scaling's refusal."""
    return ClientError({"Error": {"Code": "ValidationError", "Message": message}}, "CompleteLifecycleAction")


@pytest.mark.parametrize("state", ["Terminated", "Warmed:Stopped", "Warmed:Hibernated"])
def test_consumer_leaves_when_its_instance_is_to_go(stage: Stage, state: str) -> None:
    """To its end or to a warm pool: nothing new is taken."""
    stage.tick()
    assert not stage.lifecycle.leaving
    stage.metadata.items[STATE] = state
    stage.tick()
    assert stage.lifecycle.leaving
    assert stage.lifecycle.left_s() is None
    assert stage.lifecycle.fits(86_400)


@pytest.mark.parametrize("state", ["Warmed:Stopped", "Warmed:Running", "Warmed:Hibernated"])
def test_consumer_waits_when_its_instance_is_new_and_goes_to_a_warm_pool(stage: Stage, state: str) -> None:
    """It says that it is ready, for the launch hook that holds it; takes nothing; and says so anew on its way out."""
    stage.metadata.items[STATE] = state
    stage.aws.refusals = [refused("No active Lifecycle Action found with instance ID i-1")] * 100
    stage.tick()
    assert stage.lifecycle.in_pool
    assert not stage.lifecycle.leaving
    assert stage.said == ["ready"]
    stage.tick(EARLY_S + READY_FOR_S)
    asked_count = len(stage.aws.refusals)
    for _ in range(5):
        stage.tick(3_600)
    assert stage.said == ["ready"], "not for as long as it stands there"
    assert len(stage.aws.refusals) == asked_count, "nor does it ask for ever"
    stage.metadata.items[STATE] = "InService"
    stage.tick()
    assert not stage.lifecycle.in_pool
    assert stage.said == ["ready", "ready"]
    stage.metadata.items[STATE] = state
    stage.tick()
    assert stage.lifecycle.leaving, "now it goes back"


def test_action_is_completed_when_a_consumer_starts_anew_on_an_instance_that_goes_back(stage: Stage) -> None:
    """Its former self died at work: nobody else would tell the group, and it holds nothing."""
    stage.metadata.items[STATE] = "Warmed:Stopped"
    for _ in range(3):
        stage.tick()
    assert [request["InstanceId"] for request in stage.aws.completions] == ["i-1"]
    assert not stage.lifecycle.leaving


def test_consumer_leaves_when_its_instance_is_terminated_in_its_warm_pool(stage: Stage) -> None:
    """It never served: there is nothing to wait for any more."""
    stage.metadata.items[STATE] = "Warmed:Running"
    stage.tick()
    stage.metadata.items[STATE] = "Warmed:Terminated"
    stage.tick()
    assert stage.lifecycle.leaving
    assert not stage.lifecycle.in_pool


def test_consumer_stays_when_the_metadata_does_not_answer(stage: Stage) -> None:
    """Unknown is not the end."""
    stage.metadata.items[STATE] = MetadataError("no answer")
    stage.tick()
    assert not stage.lifecycle.leaving


def test_work_is_weighed_when_spot_takes_the_instance(stage: Stage) -> None:
    """What still fits is done, the rest is for others."""
    stage.metadata.items[SPOT] = json.dumps({"action": "terminate", "time": "2027-01-15T08:02:00Z"})
    stage.tick(0.0)
    assert stage.lifecycle.leaving
    assert stage.lifecycle.left_s() == 120
    stage.now += 60
    assert stage.lifecycle.fits(60)
    assert not stage.lifecycle.fits(61)


def test_rest_is_given_back_when_spots_two_minutes_are_nearly_over(stage: Stage) -> None:
    """What is done in time is not given back, what is in hand is, once; one failure stops no other."""
    stage.metadata.items[SPOT] = json.dumps({"action": "terminate", "time": "2027-01-15T08:02:00Z"})
    returned: list[str] = []

    def fail() -> None:
        returned.append("failed")
        raise OSError

    with stage.lifecycle.working(lambda: returned.append("done in time")):
        stage.tick(0.0)
    with (
        stage.lifecycle.working(fail),
        stage.lifecycle.working(lambda: returned.append("given back")),
        stage.lifecycle.working(),
    ):
        stage.tick(109)
        assert returned == []
        stage.tick(1)
        stage.tick(1)
    assert returned == ["failed", "given back"]


def test_nothing_is_given_back_when_the_group_lets_it_finish(stage: Stage) -> None:
    """A termination waits for the consumer: there is no end to be in time for."""
    returned: list[str] = []
    with stage.lifecycle.working(lambda: returned.append("given back")):
        stage.metadata.items[STATE] = "Terminated"
        stage.tick(3_600)
        stage.tick(3_600)
    assert returned == []


def test_words_are_few_when_work_comes_and_goes(stage: Stage) -> None:
    """Ready, busy at once, idle only after a while without work; repeated as often as it must be."""
    stage.tick()
    stage.tick(14)
    stage.tick(1)
    assert stage.said == ["ready", "ready"]
    for _ in range(10):
        with stage.lifecycle.working():
            stage.tick(0.5)
        stage.tick(0.5)
    assert stage.aws.words[2:] == [("busy", 1)]
    stage.tick(IDLE_AFTER_S)
    stage.tick(3_600)
    assert stage.said[2:] == ["busy", "idle"]
    with stage.lifecycle.working():
        stage.tick()
        stage.tick(59)
        stage.tick(1)
    assert stage.said[4:] == ["busy", "busy"], "once a minute: three minutes of silence would be a crash"


def test_ready_is_not_said_for_ever_when_no_work_comes(stage: Stage) -> None:
    """As long as a boot may take; then the instance is in service, and idle is no news."""
    for _ in range(200):
        stage.tick(15)
    assert stage.said == ["ready"] * len(stage.said)
    assert len(stage.said) == pytest.approx(READY_FOR_S / 15, abs=2)


def test_work_goes_on_when_nothing_can_be_said(stage: Stage) -> None:
    """Reports are a courtesy: no error of theirs reaches the consumer, and the word is said again later."""
    stage.aws.mute = EndpointConnectionError(endpoint_url="https://events")
    with stage.lifecycle.working():
        stage.tick()
    stage.aws.mute = None
    stage.tick(60)
    assert stage.said == ["idle"]


def test_action_is_completed_when_the_consumer_has_let_go(stage: Stage) -> None:
    """Done is said, the action completed, and the process stays until it is stopped."""
    stage.metadata.items[STATE] = "Terminated"
    stage.tick()
    stage.aws.after_completion = stage.lifecycle.stop
    stage.lifecycle.leave()
    assert stage.said == ["draining", "done"]
    assert stage.aws.completions == [
        {
            "AutoScalingGroupName": "workers",
            "LifecycleHookName": "sluice-drain",
            "InstanceId": "i-1",
            "LifecycleActionResult": "CONTINUE",
        }
    ]


def test_completion_is_repeated_when_the_group_does_not_wait_yet(stage: Stage) -> None:
    """The metadata is ahead of the group by a moment; a throttled call is tried again too."""
    stage.metadata.items[STATE] = "Terminated"
    stage.tick()
    stage.aws.refusals = [refused("No active Lifecycle Action found with instance ID i-1"), refused("Rate exceeded")]
    stage.aws.after_completion = stage.lifecycle.stop
    stage.lifecycle.leave()
    assert len(stage.aws.completions) == 1


def test_completion_is_given_up_when_somebody_was_faster(stage: Stage) -> None:
    """Sluice has completed the action: after a while nobody waits any more, and that is a success."""
    stage.metadata.items[STATE] = "Terminated"
    stage.tick()

    class Late(list[Exception]):
        def pop(self, _index: int = 0) -> Exception:  # type: ignore[override] # only ever asked for the first
            stage.now += 30
            if stage.now > START + EARLY_S + 10:
                stage.lifecycle.stop()
            return refused("No active Lifecycle Action found with instance ID i-1")

        def __bool__(self) -> bool:
            return True

    stage.aws.refusals = Late()
    stage.lifecycle.leave()
    assert stage.aws.completions == []


def test_consumer_with_a_name_leaves_the_completion_to_sluice() -> None:
    """Another consumer of the instance may be at work: this one reports that it is done, and no more."""
    stage = Stage("worker@1.service")
    stage.metadata.items[STATE] = "Terminated"
    stage.tick()
    stage.lifecycle.stop()
    stage.lifecycle.leave()
    stage.tick(60)
    assert stage.said == ["draining", "done", "done"]
    assert stage.aws.names == {"worker@1.service"}
    assert stage.aws.completions == []


def test_consumer_with_a_name_completes_nothing_when_its_instance_stands_in_a_warm_pool() -> None:
    """The lifecycle action that is active may wait for another consumer of the instance."""
    stage = Stage("worker@1.service")
    stage.metadata.items[STATE] = "Warmed:Stopped"
    for _ in range(3):
        stage.tick()
    assert stage.aws.completions == []


def test_name_is_refused_when_sluice_would_not_take_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused when the consumer starts, and not by a report that is dropped."""
    monkeypatch.setenv("SLUICE_CONSUMER", "worker 1")
    with pytest.raises(ValueError, match="consumer: must be a name"):
        Lifecycle.watch(hook="sluice-drain", group="workers")
    assert NAME == CONSUMER_NAME


def test_consumer_ends_when_its_instance_is_back_from_a_warm_pool(stage: Stage) -> None:
    """Its supervisor starts it anew."""
    stage.tick()
    stage.metadata.items[STATE] = "Warmed:Stopped"
    stage.tick()
    stage.aws.after_completion = lambda: stage.metadata.items.update({STATE: "InService"})
    stage.lifecycle.leave()
    assert len(stage.aws.completions) == 1


def test_nothing_is_completed_when_the_process_was_stopped(stage: Stage) -> None:
    """Run Command waits for the unit's end, and Sluice completes: done is said, no more."""
    stage.tick()
    stage.lifecycle.stop()
    stage.tick()
    assert stage.lifecycle.wait(0)
    stage.lifecycle.leave()
    assert stage.said == ["ready", "draining", "done"]
    assert stage.aws.completions == []


def test_replacement_is_asked_for_when_it_will_never_be_ready(stage: Stage) -> None:
    """A consumer that cannot start says so, and its launch is abandoned."""
    stage.lifecycle.give_up()
    assert stage.said == ["failed"]


def test_group_is_asked_for_when_nobody_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tags in instance metadata are off unless the launch template turns them on."""
    monkeypatch.setenv("INSTANCE_ID", "i-1")
    monkeypatch.delenv("SLUICE_GROUP", raising=False)
    monkeypatch.setattr("examples.consumer.sluice_consumer.Metadata.read", lambda _self, _item: None)
    with pytest.raises(MetadataError, match="group: name it, or set SLUICE_GROUP"):
        Lifecycle.watch(hook="sluice-drain")
