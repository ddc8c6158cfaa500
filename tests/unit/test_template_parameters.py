"""What a person is asked when deploying: described, bounded, and never a fleet document that Sluice would refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sluice.config import Fleet, parse
from tools.cfn import Template, refused

ROOT = Path(__file__).resolve().parents[2]
STACK = Template.load(ROOT / "template.yaml")
FLEET = Template.load(ROOT / "fleet.yaml")
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
ASKED = {"QueueUrl": URL, "DeadLetterQueueUrl": f"{URL}-dead-letters", "GroupName": "orders", "TargetWaitSeconds": "60"}
ALONE = ASKED | {"FleetName": "orders"}
# What else must change for a bound of one parameter to make sense: the hook can hold an instance no longer than this.
TOGETHER = {
    ("DrainDeadlineSeconds", "172800"): {"HookTimeoutSeconds": "7200"},
    ("HookTimeoutSeconds", "30"): {"HeartbeatSeconds": "15"},
    ("HeartbeatSeconds", "3600"): {"HookTimeoutSeconds": "7200"},
    ("RetryMaxSeconds", "0"): {"RetryBaseSeconds": "0"},
}

everything = pytest.mark.parametrize("template", [STACK, FLEET], ids=["template", "fleet"])


def document(parameters: dict[str, str]) -> Fleet:
    """The fleet that fleet.yaml writes for these parameters, as Sluice reads it."""
    name = parameters["FleetName"]
    return parse(name, FLEET.resolve(parameters).properties("Document")["Value"])


@everything
def test_parameters_are_described_and_bounded_when_asked_for(template: Template) -> None:
    """Each parameter says what it is, and CloudFormation refuses what makes no sense, in words."""
    for name, spec in template.parameters.items():
        assert len(spec["Description"]) > 10, name
        if "AllowedValues" in spec:
            continue
        bounded = {"MinValue", "MaxValue"} if spec["Type"] == "Number" else {"AllowedPattern"}
        assert bounded <= set(spec), name
        assert spec["ConstraintDescription"].startswith("must be "), name
        assert "Default" not in spec or refused(spec, str(spec["Default"])) is None, name


def test_four_questions_are_enough_when_deploying_guided() -> None:
    """Queue, dead-letter queue, group and target wait come first, and nothing else has to be answered."""
    names = list(STACK.parameters)

    assert names[:4] == list(ASKED)
    assert {name for name, spec in STACK.parameters.items() if "Default" not in spec} == set(ASKED) - {
        "DeadLetterQueueUrl"
    }
    assert STACK.resolve(ASKED)


def test_parameters_are_grouped_when_the_console_asks() -> None:
    """CloudFormation's console shows every parameter under a heading, none twice."""
    groups = STACK.body["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    shown = [name for group in groups for name in group["Parameters"]]

    assert sorted(shown) == sorted(STACK.parameters)


def test_fleet_is_defined_once_when_nested() -> None:
    """template.yaml asks for the same as fleet.yaml, in the same words, and passes all of it on."""
    nested = STACK.resources["Fleet"]["Properties"]["Parameters"]
    assert set(nested) == set(FLEET.parameters)

    for name, spec in FLEET.parameters.items():
        if name in {"SluiceStack", "AlarmTopicArn"}:  # of the stack's own making
            continue
        assert nested[name] == {"Ref": name}
        mine = dict(STACK.parameters[name])
        if name == "FleetName":  # a further fleet must be named, the first need not
            assert mine.pop("Default") == "main"
        assert mine == spec, name


def test_first_fleet_gets_the_topic_when_alarms_are_mailed() -> None:
    """Alarms of the fleet go where those of the stack go: to the mail's topic, or to one of the person's own."""
    topic = "arn:aws:sns:eu-west-1:123456789012:ops"

    def passed(**extra: str) -> str:
        return str(STACK.resolve(ASKED | extra).properties("Fleet")["Parameters"]["AlarmTopicArn"])

    assert passed() == ""
    assert passed(AlarmEmail="ops@example.com") == "<AlarmTopic>"
    assert passed(AlarmTopicArn=topic, AlarmEmail="ops@example.com") == topic


def test_document_is_a_fleet_when_defaults_are_taken() -> None:
    """What fleet.yaml writes by default is what sluice.config has by default, but for the names."""
    fleet = document(ALONE)

    assert (fleet.name, fleet.queue, fleet.dead_letter_queue, fleet.group, fleet.target_wait_s) == (
        "orders", URL, f"{URL}-dead-letters", "orders", 60,
    )  # fmt: skip
    assert fleet.drain.hook == "sluice-drain"
    plain = Fleet(name="orders", queue=URL, dead_letter_queue=f"{URL}-dead-letters", group="orders", target_wait_s=60)
    assert fleet == plain


def test_document_says_so_when_everything_is_set() -> None:
    """Every field of a fleet is a parameter, and each parameter reaches its field."""
    fleet = document(
        ALONE
        | {
            "DeadLetterQueueUrl": "", "Mode": "shadow", "SecondsPerMessage": "2.5", "Concurrency": "7",
            "LeadTimeSeconds": "90", "MaxStep": "3", "MaxMessagesPerSecond": "12.5", "VetoAlarmName": "db busy",
            "ShrinkWindowSeconds": "600", "StaleAfterSeconds": "240", "CatchUp": "2", "InstanceHoursPerDay": "48",
            "DrainVia": "self", "DrainUnit": "work@1.service", "DrainDeadlineSeconds": "600",
            "HookTimeoutSeconds": "60", "HeartbeatSeconds": "20", "RedriveMode": "manual", "MaxRedrives": "0",
            "RedriveRatePerSecond": "0.5", "RetryBaseSeconds": "5", "RetryMaxSeconds": "60", "CanaryCount": "4",
            "CanaryWaitSeconds": "1.5", "SluiceStack": "other", "DrainContainer": "work", "DrainDocument": "Stop-It",
            "StopTimeoutSeconds": "400", "DrainSilenceSeconds": "300", "KeepFailed": "true", "HourlyCost": "0.085",
            "ReadySeconds": "240", "TransientCauses": "timeout*, Throttl?ing", "PermanentCauses": "KeyError: 'street'",
            "OtherCauses": "quarantine", "BurstCount": "7", "BurstWindowSeconds": "90", "AllowEdits": "true",
            "MoveTasks": "false", "ArchiveBeforeSeconds": "7200",
        }
    )  # fmt: skip

    assert fleet.model_dump(mode="json") == {
        "name": "orders", "queue": URL, "dead_letter_queue": None, "queues": [], "group": "orders", "target_wait_s": 60,
        "mode": "shadow",
        "hints": {"seconds_per_message": 2.5, "concurrency": 7, "lead_time_s": 90},
        "limits": {
            "stale_after_s": 240, "shrink_window_s": 600, "max_step": 3, "max_messages_per_s": 12.5,
            "veto_alarm": "db busy", "instance_hours_per_day": 48, "catch_up": 2,
        },
        "drain": {
            "via": "self", "unit": "work@1.service", "hook": "other-drain", "deadline_s": 600, "hook_timeout_s": 60,
            "heartbeat_s": 20, "container": "work", "document": "Stop-It", "stop_timeout_s": 400, "silence_s": 300,
            "keep_failed": True, "hourly_cost": 0.085,
        },
        "launch": {"hook": "other-ready"},
        "redrive": {
            "mode": "manual", "max_redrives": 0, "rate_per_s": 0.5, "base_delay_s": 5, "max_delay_s": 60,
            "canary_count": 4, "canary_wait_s": 1.5, "edits": True, "move_tasks": False,
            "transient": ["timeout*", "Throttl?ing"], "permanent": ["KeyError: 'street'"], "otherwise": "quarantine",
            "burst_count": 7, "burst_window_s": 90, "archive_before_s": 7200,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("ShrinkWindowSeconds", ["", "0", "8.5", "9999", "10000", "86400"], ["86401", "90000", "1e3", "-1"]),
        ("CanaryWaitSeconds", ["", "0", "1.5", "999", "3600"], ["3601", "4000", "x"]),
        ("ArchiveBeforeSeconds", ["", "60", "99", "604800", "1209600"], ["59", "5", "1210000", "1.5"]),
        ("TransientCauses", ["", "a*, b?", "KeyError: 'x' (y)"], ['a"b', "a{b", "a\\b", "$x"]),
        ("InstanceHoursPerDay", ["", "1", "48.5"], ["0", "-1", "ten"]),
        ("MaxStep", ["", "1", "9999"], ["0", "1.5", "10000"]),
        ("DrainSilenceSeconds", ["", "120", "199", "900"], ["119", "60", "172801", "1.5"]),
        ("StopTimeoutSeconds", ["", "1", "900"], ["0", "172801", "x"]),
        ("ReadySeconds", ["", "30", "99", "7200"], ["29", "7201", "9"]),
        ("HourlyCost", ["", "0.05", "1.5", "1000"], ["0", "0.0", "-1", "1001"]),
        ("MaxMessagesPerSecond", ["", "1", "12.5", "0.05"], ["0", "0.0", "-1"]),
    ],
)
def test_optional_limit_is_bounded_when_given(name: str, good: list[str], bad: list[str]) -> None:
    """What may be left empty cannot be a Number; its pattern holds it to what Sluice takes."""
    assert [value for value in good if refused(FLEET.parameters[name], value)] == []
    assert [value for value in bad if not refused(FLEET.parameters[name], value)] == []
    for value in good:
        assert document(ALONE | {name: value})


@pytest.mark.parametrize(("name", "value"), FLEET.bounds)
def test_document_is_a_fleet_when_a_parameter_is_at_its_bound(name: str, value: str) -> None:
    """CloudFormation never lets through what Sluice would refuse."""
    assert document(ALONE | {name: value} | TOGETHER.get((name, value), {}))


@everything
def test_text_is_refused_when_it_could_break_out(template: Template) -> None:
    """No free text can end a JSON string, add a wildcard to an ARN or name a variable of IAM."""
    texts = [
        (name, spec)
        for name, spec in template.parameters.items()
        if spec["Type"] == "String" and "AllowedValues" not in spec
    ]
    assert len(texts) > 8
    for name, spec in texts:
        good = ALONE.get(name) or "a"
        # Patterns of causes are in the fleet's document alone, and in no ARN.
        patterns = name in {"TransientCauses", "PermanentCauses"}
        for bad in ('"', "\\", "$", "{", "\n", *(() if patterns else ("*", "?", ","))):
            assert refused(spec, good + bad) is not None or name == "AlarmEmail", (name, bad)
            assert refused(spec, bad) is not None, (name, bad)


@pytest.mark.parametrize("name", ["QueueUrl", "DeadLetterQueueUrl"])
@pytest.mark.parametrize(
    ("value", "good"),
    [
        (URL, True),
        (f"{URL}.fifo", True),
        ("https://sqs.cn-north-1.amazonaws.com.cn/123456789012/orders", True),
        ("http://127.0.0.1:40485/000000000000/orders", True),
        ("orders", False),
        ("arn:aws:sqs:eu-west-1:123456789012:orders", False),
        (f"{URL}/more", False),
        ("https://sqs.eu-west-1.amazonaws.com/1234/orders", False),
        (f"{URL}.fifo.fifo", False),
    ],
)
def test_queue_is_taken_when_its_url_is_one(name: str, value: str, good: bool) -> None:
    """The URL that the SQS console and the emulator show, and nothing that only looks like it."""
    assert (refused(FLEET.parameters[name], value) is None) is good


def test_deployment_is_refused_when_queue_and_dead_letter_queue_are_one() -> None:
    """A queue as its own dead-letter queue would feed the redriver with live messages."""
    (rule,) = FLEET.body["Rules"].values()

    assert rule["Assertions"][0]["Assert"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "QueueUrl"}, {"Ref": "DeadLetterQueueUrl"}]}]
    }


def test_document_is_one_line_of_json_when_written() -> None:
    """Parameter Store keeps at most 4 KB in a standard parameter."""
    text = FLEET.resolve(ALONE).properties("Document")["Value"]

    assert json.loads(text)["name"] == "orders"
    assert len(text) < 2_000
