"""What a user is asked when deploying: few questions, described and bounded, and a document that says them all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sluice.config.fleet import ConfigError, Fleet, parse
from sluice.model.observed import Mode
from sluice_tools.cfn import Template, refused

ROOT = Path(__file__).resolve().parents[3]
STACK = Template.load(ROOT / "template.yaml")
FLEET = Template.load(ROOT / "fleet.yaml")
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
ASKED = {"QueueUrl": URL, "DeadLetterQueueUrl": f"{URL}-dead-letters", "GroupName": "orders", "TargetWaitSeconds": "60"}
ALONE = ASKED | {"FleetName": "orders"}
# What config.py reads, and so no pattern of the template's: onboarding refuses what is wrong, with a remedy.
READ_BY_THE_CODE = {"Settings"}

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
        if "AllowedValues" in spec or name in READ_BY_THE_CODE:
            continue
        bounded = {"MinValue", "MaxValue"} if spec["Type"] == "Number" else {"AllowedPattern"}
        assert bounded <= set(spec), name
        assert spec["ConstraintDescription"].startswith("must be "), name
        assert "Default" not in spec or refused(spec, str(spec["Default"])) is None, name


def test_four_questions_are_enough_when_deploying_guided() -> None:
    """Queue, dead-letter queue, group and target wait come first, then the mode, which is shadow; at most 19 in all."""
    names = list(STACK.parameters)

    assert len(names) <= 19
    assert names[:5] == [*ASKED, "Mode"]
    assert STACK.parameters["Mode"]["Default"] == FLEET.parameters["Mode"]["Default"] == "shadow"
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
        if name in {"SluiceStack", "AlarmTopicArn", "WakeUpAlarms"}:  # of the stack's own making
            continue
        assert nested[name] == {"Ref": name}
        mine = dict(STACK.parameters[name])
        if name == "Detail":  # the stack's says what it is for all fleets
            assert (mine["Default"], mine["AllowedValues"]) == (spec["Default"], spec["AllowedValues"])
            continue
        if name == "FleetName":  # a further fleet must be named, the first need not
            assert mine.pop("Default") == "main"
        assert mine == spec, name


def test_first_fleet_gets_the_topic_when_alarms_are_mailed() -> None:
    """Alarms of the fleet go where those of the stack go: to the mail's topic, or to one of the user's own."""
    topic = "arn:aws:sns:eu-west-1:123456789012:ops"

    def passed(**extra: str) -> str:
        return str(STACK.resolve(ASKED | extra).properties("Fleet")["Parameters"]["AlarmTopicArn"])

    assert passed() == ""
    assert passed(AlarmEmail="ops@example.com") == "<AlarmTopic>"
    assert passed(AlarmTopicArn=topic, AlarmEmail="ops@example.com") == topic


def test_document_is_a_fleet_when_defaults_are_taken() -> None:
    """What fleet.yaml writes by default is what sluice.config has by default, but for the names and the mode."""
    fleet = document(ALONE)

    assert (fleet.name, fleet.queue, fleet.dead_letter_queue, fleet.group, fleet.target_wait_s) == (
        "orders", URL, f"{URL}-dead-letters", "orders", 60,
    )  # fmt: skip
    assert (fleet.drain.hook, fleet.mode) == ("sluice-drain", Mode.SHADOW)
    plain = Fleet(name="orders", queue=URL, dead_letter_queue=f"{URL}-dead-letters", group="orders", target_wait_s=60)
    assert fleet.model_copy(update={"mode": plain.mode}) == plain


def test_document_says_so_when_everything_is_set() -> None:
    """Each parameter reaches its field, and Settings reach all others."""
    settings = {
        "hints": {"seconds_per_message": 2.5, "concurrency": 7, "lead_time_s": 90},
        "limits": {
            "stale_after_s": 240, "stabilization_window_s": 600, "max_step": 3, "max_messages_per_s": 12.5,
            "veto_alarm": 'db "busy"', "instance_hours_per_day": 48, "catch_up": 2,
        },
        "drain": {
            "via": "self", "deadline_s": 600, "hook_timeout_s": 60, "heartbeat_s": 20, "container": "work",
            "document": "other-Stop", "stop_timeout_s": 400, "longest_s": 6000, "silence_s": 300, "keep_failed": True,
            "hourly_cost": 0.5,
        },
        "redrive": {
            "mode": "manual", "max_retries": 0, "rate_per_s": 0.5, "base_delay_s": 5, "max_delay_s": 60,
            "canary_count": 4, "canary_wait_s": 1.5, "edits": True, "move_tasks": False,
            "transient": ["timeout*", "Throttl?ing"], "permanent": ["KeyError: 'street'"], "otherwise": "quarantine",
            "burst_count": 7, "burst_window_s": 90, "release_within_s": 3600, "quarantine_before_s": 7200,
        },
    }  # fmt: skip
    fleet = document(
        ALONE
        | {
            "DeadLetterQueueUrl": "", "Mode": "act", "DrainUnit": "work@1.service", "SluiceStack": "other",
            "ReadySeconds": "240", "Settings": json.dumps(settings),
        }
    )  # fmt: skip

    assert fleet.model_dump(mode="json") == {
        "name": "orders", "queue": URL, "dead_letter_queue": None, "queues": [], "group": "orders", "target_wait_s": 60,
        "mode": "act",
        "hints": settings["hints"],
        "limits": settings["limits"],
        "drain": settings["drain"] | {"unit": "work@1.service", "hook": "other-drain"},
        "launch": {"hook": "other-ready"},
        "redrive": settings["redrive"],
    }  # fmt: skip


@pytest.mark.parametrize("extra", [{}, {"DeadLetterQueueUrl": "", "ReadySeconds": "60", "Settings": '{"limits": {}}'}])
def test_what_is_checked_is_what_is_stored(extra: dict[str, str]) -> None:
    """The custom resource reads the same document that the functions will."""
    found = FLEET.resolve(ALONE | extra)
    checked = found.properties("Checked")

    assert parse(checked["Name"], checked["Document"]) == document(ALONE | extra)
    assert found.resources["Document"]["DependsOn"] == "Checked"


@pytest.mark.parametrize("extra", [{}, {"DeadLetterQueueUrl": "", "ReadySeconds": "60", "Settings": '{"limits": {}}'}])
def test_first_fleet_is_checked_where_sam_tells_why(extra: dict[str, str]) -> None:
    """The same document as in the nested stack, before that begins: of a nested stack's failure only a name is told."""
    first = STACK.resolve(ASKED | extra)
    nested = FLEET.resolve(first.properties("Fleet")["Parameters"])
    mine, theirs = first.properties("Checked"), nested.properties("Checked")

    assert mine.pop("ServiceToken") == "<Onboarding.Arn>"
    assert theirs.pop("ServiceToken").endswith(":function:sluice-onboarding")
    assert mine == theirs
    assert "Checked" in STACK.resources["Fleet"]["DependsOn"]


@pytest.mark.parametrize(
    "template", [STACK, FLEET, Template.load(ROOT / "queue.yaml")], ids=["template", "fleet", "queue"]
)
def test_stack_is_deleted_without_a_word_of_the_check(template: Template) -> None:
    """A fleet's stack can be deleted after the functions are gone; a check that waited for them would hang it."""
    checked = template.resources["Checked"]

    assert checked["DeletionPolicy"] == checked["UpdateReplacePolicy"] == "Retain"
    assert int(checked["Properties"]["ServiceTimeout"]) <= 300


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("ReadySeconds", ["", "30", "99", "7200"], ["29", "7201", "9"]),
        (
            "DrainUnit",
            ["consumer.service", "work@1.service work@2.service", "a,b", "w@*.service"],
            ["", 'a"b', "a\\x2db", "a\tb"],
        ),
    ],
)
def test_value_is_bounded_when_the_template_itself_needs_it(name: str, good: list[str], bad: list[str]) -> None:
    """A hook's timeout, and what would break the document's JSON."""
    assert [value for value in good if refused(FLEET.parameters[name], value)] == []
    assert [value for value in bad if not refused(FLEET.parameters[name], value)] == []
    for value in good:
        assert document(ALONE | {name: value})


@pytest.mark.parametrize(("name", "value"), FLEET.bounds)
def test_document_is_a_fleet_when_a_parameter_is_at_its_bound(name: str, value: str) -> None:
    """CloudFormation never lets through what Sluice would refuse."""
    assert document(ALONE | {name: value})


@everything
def test_text_is_refused_when_it_could_break_out(template: Template) -> None:
    """No text can end a JSON string, and none in an ARN or a name can add a wildcard or a variable of IAM."""
    texts = [
        (name, spec)
        for name, spec in template.parameters.items()
        if spec["Type"] == "String" and "AllowedValues" not in spec and name not in READ_BY_THE_CODE
    ]
    assert len(texts) >= 7
    for name, spec in texts:
        good = ALONE.get(name) or "a"
        # A unit stands in the fleet's document alone, and in no ARN.
        for bad in ('"', "\\", "\n", *(() if name == "DrainUnit" else ("$", "{", "*", "?", ","))):
            assert refused(spec, good + bad) is not None or name == "AlarmEmail", (name, bad)
            assert refused(spec, bad) is not None, (name, bad)


@pytest.mark.parametrize("settings", ['{}, "mode": "act"', '{}, "group": "another"', '{}} {"x": {}', '{"drain": {}'])
def test_settings_break_out_of_nothing_when_they_are_no_object(settings: str) -> None:
    """They stand in the stored document as they are, so onboarding takes them for nothing but one JSON object."""
    checked = FLEET.resolve(ALONE | {"Settings": settings}).properties("Checked")

    with pytest.raises(ConfigError, match=r"settings: must be JSON \("):
        parse(checked["Name"], checked["Document"])


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


def test_document_is_stored_when_it_is_longer_than_a_standard_parameter() -> None:
    """Both lists of causes at their most, all else at its longest: over 4 KB, and no more than Parameter Store has."""
    settings = longest_settings()
    text = json.dumps(settings, separators=(",", ":"), ensure_ascii=False)
    stored = FLEET.resolve(ALONE | {"Settings": text}).properties("Document")

    assert len(text.encode()) <= 4_096, "a parameter of CloudFormation holds no more"
    assert 4_096 < len(stored["Value"].encode()) <= 8_192
    assert stored["Tier"] == "Intelligent-Tiering"
    assert parse("orders", stored["Value"]).redrive.transient == tuple(settings["redrive"]["transient"])


def longest_settings() -> dict[str, dict[str, Any]]:
    """Every field of Settings as long as it may be, and the causes as long as they may be together."""
    causes = [f"{number:02d}{'x' * 87}" for number in range(20)]
    return {
        "hints": {"seconds_per_message": 12345.678901, "concurrency": 10000, "lead_time_s": 1234.5678901},
        "limits": {
            "stale_after_s": 1234.5678901, "stabilization_window_s": 12345.678901, "max_step": 10000,
            "max_messages_per_s": 123456789.01, "veto_alarm": "\U0001f600" * 255, "catch_up": 12.345678901,
            "instance_hours_per_day": 12345678.901,
        },
        "drain": {
            "via": "self", "container": "c" * 128, "document": "d" * 128, "stop_timeout_s": 123456.78901,
            "deadline_s": 123456.78901, "longest_s": 123456.78901, "silence_s": 123456.78901, "hook_timeout_s": 7200,
            "heartbeat_s": 1234.5678901,
            "keep_failed": False, "hourly_cost": 123.45678901,
        },
        "redrive": {
            "mode": "manual", "max_retries": 100, "base_delay_s": 123.45678901, "max_delay_s": 123.45678901,
            "rate_per_s": 1234.5678901, "canary_count": 10, "canary_wait_s": 1234.5678901, "edits": False,
            "move_tasks": False, "otherwise": "quarantine", "burst_count": 100000, "burst_window_s": 123.45678901,
            "release_within_s": 123456.78901,
            "quarantine_before_s": 1123456.7891, "transient": causes[:10], "permanent": causes[10:],
        },
    }  # fmt: skip
