"""queue.yaml, one further queue of a fleet: word for word what fleet.yaml has for its queue, nothing of the group."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sluice.config.fleet import Fleet, parse_all
from sluice_tools.cfn import Resolved, Template, refused

ROOT = Path(__file__).resolve().parents[3]
STACK = Template.load(ROOT / "template.yaml")
FLEET = Template.load(ROOT / "fleet.yaml")
QUEUE = Template.load(ROOT / "queue.yaml")
FIRST = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders-urgent"
ASKED = {"QueueUrl": URL, "DeadLetterQueueUrl": f"{URL}-dead", "TargetWaitSeconds": "30", "FleetName": "orders"}
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ops"
# Everything that adds anything.
WHOLE = ASKED | {"AlarmTopicArn": TOPIC, "Detail": "fleet", "WakeUpAlarms": "true"}
OF_THE_QUEUE = {"OldestMessage", "IdleBacklog", "MessagesExpiring", "DeadLettersExpiring"}  # of fleet.yaml's alarms
OF_THE_FLEET = {
    "NoTicks",
    "DrainsExpired",
    "DrainsInterrupted",
    "InstanceRetained",
    "QuarantineGrowing",
    "DeadLettersLifeUsed",
}


def queue(**extra: str) -> Resolved:
    """One queue as deployed with these parameters."""
    return QUEUE.resolve(ASKED | extra)


def fleet_with(**extra: str) -> Fleet:
    """The fleet as Sluice reads it, once fleet.yaml and queue.yaml have written their documents."""
    prefix = "/sluice/sluice/fleets/"
    first = FLEET.resolve({"QueueUrl": FIRST, "GroupName": "workers", "TargetWaitSeconds": "60", "FleetName": "orders"})
    written = [resolved.properties("Document") for resolved in (first, queue(**extra))]
    assert all(one["Name"].startswith(prefix) for one in written)
    (fleet,), invalid = parse_all({one["Name"].removeprefix(prefix): one["Value"] for one in written})
    assert invalid == ()
    return fleet


def same(left: Any, right: Any) -> bool:
    """Whether two resources are alike but for what they are called, and whether they are made."""
    names = {"AlarmName", "AlarmDescription", "PolicyName", "Description"}

    def bare(resource: dict[str, Any]) -> dict[str, Any]:
        kept = {key: value for key, value in resource.items() if key != "Condition"}
        kept["Properties"] = {key: value for key, value in resource["Properties"].items() if key not in names}
        return kept

    return bare(left) == bare(right)


# --------------------------------------------------------------------------- one text with fleet.yaml


def test_parameters_are_worded_as_the_fleets_when_they_are_the_same() -> None:
    """Who deploys a queue reads nothing twice that means something else."""
    for name in set(QUEUE.parameters) & set(FLEET.parameters) - {"FleetName"}:
        assert QUEUE.parameters[name] == FLEET.parameters[name], name
    assert {name for name, spec in QUEUE.parameters.items() if "Default" not in spec} == {
        "QueueUrl", "TargetWaitSeconds", "FleetName",
    }  # fmt: skip


def test_parameters_are_described_and_bounded_when_asked_for() -> None:
    """Each says what it is, and CloudFormation refuses what makes no sense, in words."""
    for name, spec in QUEUE.parameters.items():
        assert len(spec["Description"]) > 10, name
        assert "Default" not in spec or refused(spec, str(spec["Default"])) is None, name
        if "AllowedValues" not in spec:
            bounded = {"MinValue", "MaxValue"} if spec["Type"] == "Number" else {"AllowedPattern"}
            assert bounded <= set(spec), name
            assert spec["ConstraintDescription"].startswith("must be "), name


@pytest.mark.parametrize("name", sorted(OF_THE_QUEUE))
def test_alarm_is_the_fleets_when_it_is_of_the_queue(name: str) -> None:
    """The same metrics, thresholds and actions, by this queue's name: a change to one is a change to both."""
    assert same(QUEUE.resources[name], FLEET.resources[name])
    parameters = WHOLE | {"GroupName": "workers"}
    mine, theirs = QUEUE.resolve(WHOLE).properties(name), FLEET.resolve(parameters).properties(name)
    assert mine["AlarmName"] == f"{theirs['AlarmName']}-orders-urgent"
    assert "orders-urgent" in mine["AlarmDescription"]
    differing = {key for key in mine if mine[key] != theirs[key]}
    assert differing == {"AlarmName", "AlarmDescription"}


def test_every_alarm_of_the_fleet_is_either_the_queues_or_the_fleets() -> None:
    """An alarm that fleet.yaml gets must be decided on here."""
    assert set(FLEET.resolve(WHOLE | {"GroupName": "g"}).of_type("AWS::CloudWatch::Alarm")) == (
        OF_THE_QUEUE | OF_THE_FLEET
    )
    assert set(QUEUE.resolve(WHOLE).of_type("AWS::CloudWatch::Alarm")) == OF_THE_QUEUE
    assert set(queue().of_type("AWS::CloudWatch::Alarm")) == set()


def test_mapping_is_the_fleets_when_it_is_of_the_queue() -> None:
    """Word for word."""
    assert same(QUEUE.resources["DeadLetters"], FLEET.resources["DeadLetters"])


# --------------------------------------------------------------------------- what it makes


def test_queue_is_the_fleets_when_its_document_is_written() -> None:
    """Under the fleet's own document, with its target, priority and pause; the first queue keeps the fleet's target."""
    fleet = fleet_with(Priority="5", Paused="true", TargetWaitSeconds="45")

    first, further = fleet.sources
    assert (first.queue, first.target_wait_s, first.priority, first.paused) == (FIRST, 60, 0, False)
    assert (further.queue, further.dead_letter_queue) == (URL, f"{URL}-dead")
    assert (further.target_wait_s, further.priority, further.paused) == (45, 5, True)
    assert fleet_with(DeadLetterQueueUrl="").sources[1].dead_letter_queue is None


@pytest.mark.parametrize(("name", "value"), QUEUE.bounds)
def test_document_is_a_queue_when_a_parameter_is_at_its_bound(name: str, value: str) -> None:
    """CloudFormation never lets through what Sluice would refuse."""
    assert len(fleet_with(**{name: value}).sources) == 2


def test_text_is_refused_when_it_could_break_out() -> None:
    """No free text can end a JSON string, add a wildcard to an ARN or name a variable of IAM."""
    texts = {
        name: spec
        for name, spec in QUEUE.parameters.items()
        if spec["Type"] == "String" and "AllowedValues" not in spec
    }
    assert len(texts) == 5
    for name, spec in texts.items():
        for bad in ('"', "\\", "$", "{", "\n", "*", "?", ","):
            assert refused(spec, ASKED.get(name, "a") + bad) is not None, (name, bad)


def test_paused_queue_wakes_nobody_and_its_messages_expiry_is_told() -> None:
    """What waits in it must not be lost for that."""
    found = queue(Paused="true", WakeUpAlarms="true", Detail="fleet")

    assert not {"OldestMessage", "IdleBacklog"} & set(found.resources)
    assert {"Document", "MessagesExpiring", "DeadLetters", "DeadLettersExpiring"} <= set(found.resources)


def test_dead_letters_are_mapped_once_when_the_queue_shares_them() -> None:
    """Lambda refuses a second mapping of the same queue; whose queue it is first has mapping, grants and alarm."""
    found = queue(SharesDeadLetters="true")

    assert not {"DeadLetters", "DeadLettersExpiring"} & set(found.resources)
    assert json.loads(found.properties("Document")["Value"])["dead_letter_queue"] == f"{URL}-dead"


def test_dead_letters_come_when_the_fleets_mode_is_auto() -> None:
    """The custom resource reads the fleet's own document and tells."""
    assert queue().properties("DeadLetters")["Enabled"] == "<Checked.RedriveEnabled>"


def test_what_is_checked_is_what_is_stored() -> None:
    """The custom resource reads the same document, under the same name, that the functions will."""
    found = queue(Priority="5", Paused="true", TargetWaitSeconds="45")
    checked, stored = found.properties("Checked"), found.properties("Document")
    prefix = "/sluice/sluice/fleets/"

    assert stored["Name"] == prefix + checked["Name"]
    fleet = {"orders": FLEET.resolve(ASKED | {"QueueUrl": FIRST, "GroupName": "g"}).properties("Document")["Value"]}
    assert parse_all(fleet | {checked["Name"]: checked["Document"]}) == parse_all(
        fleet | {checked["Name"]: stored["Value"]}
    )
    assert found.resources["Document"]["DependsOn"] == "Checked"


def test_nothing_is_made_for_dead_letters_when_there_are_none() -> None:
    """A queue without a dead-letter queue is a queue too."""
    assert not {"DeadLetters", "DeadLettersExpiring"} & set(queue(DeadLetterQueueUrl="").resources)


def test_functions_are_named_as_the_stack_names_them() -> None:
    """By convention, since a further queue is a stack of its own."""
    text = json.dumps(queue(WakeUpAlarms="true").resources)
    for role in ("planner", "redriver"):
        assert f"sluice-{role}" in text
    assert QUEUE.resources["Document"]["DependsOn"] == "Checked"


def test_runbook_knows_the_alarm_when_it_rings() -> None:
    """docs/operations.md says what to do about each, by the alarm's name."""
    runbook = (ROOT / "docs/operations.md").read_text()

    for alarm in QUEUE.resolve(WHOLE).of_type("AWS::CloudWatch::Alarm").values():
        name = alarm["AlarmName"].removeprefix("sluice-orders-").removesuffix("-orders-urgent")
        assert f"`<fleet>-{name}`" in runbook
    assert "`<fleet>-oldest-message-<queue>`" in runbook
