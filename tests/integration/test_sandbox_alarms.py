"""Alarms in the sandbox: evaluated on their clock, over metric math, and heard by functions, topics and rules."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice_tools.cfn import Template
from sluice_tools.sandbox.sandbox import ROOT, Sandbox

pytestmark = pytest.mark.sandbox

EVENT = "events.amazonaws.com"
ALARM = "lambda.alarms.cloudwatch.amazonaws.com"


@pytest.fixture
def cloudwatch(sandbox: Sandbox) -> Any:
    """A client of the sandbox's CloudWatch."""
    return sandbox.client("cloudwatch")


@pytest.fixture
def put(cloudwatch: Any, unique: Callable[[str], str]) -> Any:
    """Put alarms on metric ``depth`` of a namespace of their own: above 10, one period unless told otherwise."""

    def put(**settings: Any) -> str:
        name = unique("alarm")
        common = {
            "AlarmName": name,
            "Namespace": name,
            "MetricName": "depth",
            "Statistic": "Maximum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 10.0,
            "ComparisonOperator": "GreaterThanThreshold",
        }
        if "Metrics" in settings:
            for member in ("Namespace", "MetricName", "Statistic", "Period"):
                del common[member]
        cloudwatch.put_metric_alarm(**common | settings)
        return name

    return put


@pytest.fixture
def publish(cloudwatch: Any) -> Any:
    """Publish one value now."""

    def publish(namespace: str, value: float, metric: str = "depth", **dimensions: str) -> None:
        datum = {
            "MetricName": metric,
            "Value": value,
            "Dimensions": [{"Name": name, "Value": text} for name, text in dimensions.items()],
        }
        cloudwatch.put_metric_data(Namespace=namespace, MetricData=[datum])

    return publish


@pytest.fixture
def state(cloudwatch: Any) -> Any:
    """The state of an alarm."""

    def state(name: str) -> str:
        return str(cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]["StateValue"])

    return state


# --- evaluation ---


def test_alarm_follows_its_metric(put: Any, publish: Any, state: Any, eventually: Any) -> None:
    """INSUFFICIENT_DATA, then ALARM on a breach, then OK, and INSUFFICIENT_DATA when the data ends."""
    name = put()
    assert state(name) == "INSUFFICIENT_DATA"

    publish(name, 11)
    eventually(lambda: state(name) == "ALARM")
    eventually(lambda: publish(name, 1) or state(name) == "OK")
    eventually(lambda: state(name) == "INSUFFICIENT_DATA")


def test_alarm_is_of_its_own_dimensions(put: Any, publish: Any, state: Any, eventually: Any) -> None:
    """A breach under other dimensions does not concern it."""
    name = put(Dimensions=[{"Name": "QueueName", "Value": "mine"}])

    publish(name, 99, QueueName="other")
    publish(name, 1, QueueName="mine")

    eventually(lambda: state(name) == "OK")


def test_alarm_rings_when_enough_points_breach(put: Any, publish: Any, state: Any, eventually: Any) -> None:
    """Two of three: points on the right side first, then breaches until there are two."""
    name = put(EvaluationPeriods=3, DatapointsToAlarm=2)
    eventually(lambda: publish(name, 1) or state(name) == "OK")

    eventually(lambda: publish(name, 12) or state(name) == "ALARM")


@pytest.mark.parametrize(("treatment", "expected"), [("breaching", "ALARM"), ("notBreaching", "OK")])
def test_missing_data_is_treated_as_asked(put: Any, state: Any, eventually: Any, treatment: str, expected: str) -> None:
    """With no data at all, the treatment alone decides."""
    name = put(TreatMissingData=treatment)

    eventually(lambda: state(name) == expected)


def test_alarm_watches_an_expression(put: Any, publish: Any, state: Any, eventually: Any, cloudwatch: Any) -> None:
    """An alarm on Metrics: visible messages while no capacity is desired."""

    def metric(name: str, metric_id: str, namespace: str) -> dict[str, Any]:
        stat = {"Metric": {"Namespace": namespace, "MetricName": name}, "Period": 60, "Stat": "Maximum"}
        return {"Id": metric_id, "MetricStat": stat, "ReturnData": False}

    namespace = put()
    name = put(
        Metrics=[
            {"Id": "idle", "Expression": "IF(visible > 0 AND FILL(desired, 0) < 1, 1, 0)", "ReturnData": True},
            metric("visible", "visible", namespace),
            metric("desired", "desired", namespace),
        ],
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
    )

    publish(namespace, 5, "visible")
    eventually(lambda: state(name) == "ALARM")

    described = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    assert [query["Id"] for query in described["Metrics"]] == ["idle", "visible", "desired"]
    assert "MetricName" not in described

    def staffed() -> bool:
        publish(namespace, 5, "visible")
        publish(namespace, 1, "desired")
        return bool(state(name) == "OK")

    eventually(staffed)


# --- what a transition sets off ---


def test_function_is_invoked_when_it_is_an_alarm_action(
    put: Any, publish: Any, make_recorder: Any, eventually: Any, sandbox: Sandbox
) -> None:
    """The direct action's event is CloudWatch's own, for ALARM and for OK."""
    function = make_recorder()
    function.permit(ALARM, "arn:aws:cloudwatch:eu-central-1:000000000000:alarm:*")
    name = put(
        AlarmActions=[function.arn], OKActions=[function.arn], AlarmDescription="too deep", TreatMissingData="ignore"
    )

    publish(name, 11)
    event = eventually(function.seen)[0]

    assert (event["source"], event["accountId"], event["region"]) == ("aws.cloudwatch", "000000000000", "eu-central-1")
    assert event["alarmArn"] == f"arn:aws:cloudwatch:eu-central-1:000000000000:alarm:{name}"
    data = event["alarmData"]
    assert (data["alarmName"], data["state"]["value"]) == (name, "ALARM")
    assert data["previousState"]["value"] == "INSUFFICIENT_DATA"
    assert "greater than the threshold (10)" in data["state"]["reason"]
    assert json.loads(data["state"]["reasonData"])["recentDatapoints"] == [11.0]
    assert data["configuration"]["description"] == "too deep"
    stat = data["configuration"]["metrics"][0]["metricStat"]
    assert stat["metric"] == {"namespace": name, "name": "depth", "dimensions": {}}
    assert (stat["period"], stat["stat"]) == (60, "Maximum")

    eventually(lambda: publish(name, 1) or len(function.seen()) == 2)
    assert function.seen()[1]["alarmData"]["state"]["value"] == "OK"
    assert function.seen()[1]["alarmData"]["previousState"]["value"] == "ALARM"


def test_function_is_not_invoked_when_it_does_not_permit_alarms(
    put: Any, publish: Any, make_recorder: Any, eventually: Any, sandbox: Sandbox
) -> None:
    """Without a statement for CloudWatch's principal nothing arrives; one for another alarm does not help."""
    function = make_recorder()
    function.permit(ALARM, "arn:aws:cloudwatch:eu-central-1:000000000000:alarm:another")
    name = put(AlarmActions=[function.arn])

    publish(name, 11)

    eventually(lambda: f"{ALARM} may not invoke {function.arn}" in sandbox.log_path.read_text())
    assert function.seen() == []


def test_transition_is_an_event(put: Any, publish: Any, catch_events: Any, eventually: Any) -> None:
    """Rules get the state change with both states and the configuration."""
    caught = catch_events({"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"]})
    name = put()

    publish(name, 11)
    event = eventually(lambda: [e for e in caught() if e["detail"]["alarmName"] == name])[0]

    assert event["resources"] == [f"arn:aws:cloudwatch:eu-central-1:000000000000:alarm:{name}"]
    assert event["detail"]["state"]["value"] == "ALARM"
    assert event["detail"]["previousState"]["value"] == "INSUFFICIENT_DATA"
    assert event["detail"]["configuration"]["metrics"][0]["metricStat"]["metric"]["name"] == "depth"


def test_topic_is_told_when_it_is_an_alarm_action(
    sandbox: Sandbox, put: Any, publish: Any, eventually: Any, unique: Any
) -> None:
    """SNS actions go on as ministack does them."""
    sns, sqs = sandbox.client("sns"), sandbox.client("sqs")
    url = sqs.create_queue(QueueName=unique("told"))["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = sns.create_topic(Name=unique("topic"))["TopicArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage"}
    policy = {"Version": "2012-10-17", "Statement": [allow | {"Resource": queue}]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    name = put(AlarmActions=[topic])

    publish(name, 11)

    message = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))[0]
    assert json.loads(json.loads(message["Body"])["Message"])["AlarmName"] == name


def test_fleets_silence_is_told_when_ticks_stop_and_not_before_the_first(
    put: Any, publish: Any, make_recorder: Any, state: Any, eventually: Any
) -> None:
    """fleet.yaml's own alarm: silent from a first deployment on, told of once ticks have come and ended."""
    function = make_recorder()
    function.permit(ALARM, "arn:aws:cloudwatch:*:*:alarm:*")
    asked = {
        "QueueUrl": "https://sqs.eu-central-1.amazonaws.com/000000000000/orders",
        "GroupName": "workers",
        "TargetWaitSeconds": "60",
        "FleetName": "orders",
        "AlarmTopicArn": "arn:aws:sns:eu-central-1:000000000000:alarms",
        "Detail": "fleet",
    }
    fleet = Template.load(ROOT / "fleet.yaml").resolve(asked)
    ours = fleet.properties("NoTicks")
    settings = {
        name: ours[name] for name in ("Statistic", "Period", "EvaluationPeriods", "Threshold", "ComparisonOperator")
    } | {name: [function.arn] for name, value in ours.items() if value == [asked["AlarmTopicArn"]]}
    as_others = put(**settings, TreatMissingData="breaching")
    name = put(**settings, TreatMissingData=ours["TreatMissingData"])

    def told() -> list[dict[str, Any]]:
        return [event["alarmData"] for event in function.seen() if event["alarmData"]["alarmName"] == name]

    eventually(lambda: state(as_others) == "ALARM")  # by then so many periods have gone by without a tick
    eventually(lambda: any(event["alarmData"]["alarmName"] == as_others for event in function.seen()))
    assert state(name) == "INSUFFICIENT_DATA"
    assert told() == []

    eventually(lambda: publish(name, 1) or state(name) == "OK")
    eventually(lambda: state(name) == "INSUFFICIENT_DATA")
    states = eventually(lambda: [one["state"]["value"] for one in told()] if len(told()) == 2 else None)
    assert states == ["OK", "INSUFFICIENT_DATA"]


def test_actions_are_silent_when_disabled(
    put: Any, publish: Any, make_recorder: Any, state: Any, eventually: Any
) -> None:
    """ActionsEnabled false: the state changes, nobody is invoked."""
    function = make_recorder()
    function.permit(ALARM, "arn:aws:cloudwatch:*:*:alarm:*")
    silent, loud = put(AlarmActions=[function.arn], ActionsEnabled=False), put(AlarmActions=[function.arn])

    publish(silent, 11)
    eventually(lambda: state(silent) == "ALARM")
    publish(loud, 11)

    seen = eventually(function.seen)
    assert [event["alarmData"]["alarmName"] for event in seen] == [loud]


# --- rules, schedules and retries ---


def test_rule_does_not_invoke_when_the_function_does_not_permit_it(
    sandbox: Sandbox, make_recorder: Any, eventually: Any, unique: Any
) -> None:
    """A rule's function must permit EventBridge for that rule."""
    events = sandbox.client("events")
    permitting, other = make_recorder(), make_recorder()
    rule = unique("rule")
    arn = events.put_rule(Name=rule, EventPattern=json.dumps({"source": ["mine"], "detail": {"n": [rule]}}))["RuleArn"]
    permitting.permit(EVENT, arn)
    other.permit(EVENT, arn + "-not")
    events.put_targets(Rule=rule, Targets=[{"Id": "a", "Arn": permitting.arn}, {"Id": "b", "Arn": other.arn}])

    events.put_events(Entries=[{"Source": "mine", "DetailType": "x", "Detail": json.dumps({"n": rule})}])

    eventually(permitting.seen)
    eventually(lambda: f"{EVENT} may not invoke {other.arn}" in sandbox.log_path.read_text())
    assert other.seen() == []


def test_event_is_put_aside_when_its_function_does_not_permit_the_rule(
    sandbox: Sandbox, make_recorder: Any, eventually: Any, unique: Any
) -> None:
    """In the dead-letter queue of the target, with why, where that queue's policy lets EventBridge send; else lost."""
    events, sqs = sandbox.client("events"), sandbox.client("sqs")
    function = make_recorder()
    urls = [sqs.create_queue(QueueName=unique("aside"))["QueueUrl"] for _ in range(2)]
    open_arn, closed_arn = (
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"] for url in urls
    )
    stack = Template.load(ROOT / "template.yaml").resolve(
        {
            "QueueUrl": "https://sqs.eu-central-1.amazonaws.com/000000000000/orders",
            "GroupName": "workers",
            "TargetWaitSeconds": "60",
        },
        Region="eu-central-1",
        AccountId="000000000000",
    )
    policy = json.dumps(stack.properties("FailuresPolicy")["PolicyDocument"]).replace("<Failures.Arn>", open_arn)
    sqs.set_queue_attributes(QueueUrl=urls[0], Attributes={"Policy": policy})
    rule = unique("rule")
    arn = events.put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))["RuleArn"]
    targets = [
        {"Id": f"to-{number}", "Arn": function.arn, "DeadLetterConfig": {"Arn": queue}}
        for number, queue in enumerate((open_arn, closed_arn))
    ]
    events.put_targets(Rule=rule, Targets=targets)

    events.put_events(Entries=[{"Source": rule, "DetailType": "x", "Detail": "{}"}])

    ask = {"QueueUrl": urls[0], "MessageAttributeNames": ["All"]}
    message = eventually(lambda: sqs.receive_message(**ask).get("Messages"))[0]
    assert json.loads(message["Body"])["source"] == rule
    assert {name: value["StringValue"] for name, value in message["MessageAttributes"].items()} == {
        "RULE_ARN": arn,
        "TARGET_ARN": function.arn,
        "ERROR_CODE": "NO_PERMISSIONS",
    }
    eventually(lambda: f"the policy of {closed_arn} does not let {EVENT} send" in sandbox.log_path.read_text())
    assert not sqs.receive_message(QueueUrl=urls[1]).get("Messages")
    assert function.seen() == []


def test_event_is_delivered_again_when_the_function_fails(
    sandbox: Sandbox, make_recorder: Any, eventually: Any, unique: Any
) -> None:
    """Two retries, then the event is in the function's dead-letter queue."""
    events, sqs = sandbox.client("events"), sandbox.client("sqs")
    function = make_recorder(fails=3)
    url = sqs.create_queue(QueueName=unique("dead"))["QueueUrl"]
    dead = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    iam = sandbox.client("iam")
    allow = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": dead}
    iam.put_role_policy(
        RoleName=function.name,
        PolicyName="dead",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    sandbox.client("lambda").update_function_configuration(
        FunctionName=function.name, DeadLetterConfig={"TargetArn": dead}
    )
    rule = unique("rule")
    arn = events.put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))["RuleArn"]
    function.permit(EVENT, arn)
    events.put_targets(Rule=rule, Targets=[{"Id": "a", "Arn": function.arn}])

    events.put_events(Entries=[{"Source": rule, "DetailType": "x", "Detail": "{}"}])

    message = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"), within_s=60)[0]
    assert json.loads(message["Body"])["source"] == rule
    assert len(eventually(lambda: function.seen() if len(function.seen()) == 3 else None)) == 3


def test_event_is_dropped_when_its_function_is_deleted_before_the_retry(
    sandbox: Sandbox, make_recorder: Any, eventually: Any, unique: Any
) -> None:
    """The code does not run again, and its log group is not made anew."""
    events, logs = sandbox.client("events"), sandbox.client("logs")
    function = make_recorder(fails=3)
    rule = unique("rule")
    arn = events.put_rule(Name=rule, EventPattern=json.dumps({"source": [rule]}))["RuleArn"]
    function.permit(EVENT, arn)
    events.put_targets(Rule=rule, Targets=[{"Id": "a", "Arn": function.arn}])
    group = f"/aws/lambda/{function.name}"

    events.put_events(Entries=[{"Source": rule, "DetailType": "x", "Detail": "{}"}])
    eventually(lambda: logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"])
    sandbox.client("lambda").delete_function(FunctionName=function.name)
    logs.delete_log_group(logGroupName=group)

    eventually(lambda: f"{function.name} was deleted: its event is dropped" in sandbox.log_path.read_text())
    assert logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"] == []


def test_schedule_fires_each_short_minute(sandbox: Sandbox, make_recorder: Any, eventually: Any, unique: Any) -> None:
    """rate(1 minute) is as long as the settings say."""
    events = sandbox.client("events")
    function = make_recorder()
    rule = unique("rule")
    arn = events.put_rule(Name=rule, ScheduleExpression="rate(1 minute)")["RuleArn"]
    function.permit(EVENT, arn)
    began = time.monotonic()
    events.put_targets(Rule=rule, Targets=[{"Id": "a", "Arn": function.arn, "Input": '{"tick": true}'}])

    eventually(lambda: len(function.seen()) >= 3, within_s=60)
    events.delete_rule(Name=rule)

    assert time.monotonic() - began > 1.5 * sandbox.settings.minute_s
    assert function.seen()[0] == {"tick": True}


# --- reading ---


def window(minutes: int = 5) -> dict[str, datetime]:
    """The last minutes, for GetMetricData."""
    now = datetime.now(UTC)
    return {"StartTime": now - timedelta(minutes=minutes), "EndTime": now + timedelta(minutes=1)}


def test_metric_data_is_computed_and_ordered(cloudwatch: Any, publish: Any, unique: Any) -> None:
    """Expressions in GetMetricData; newest first unless asked; hidden queries stay hidden."""
    namespace = unique("math")
    at = datetime.now(UTC).replace(second=0, microsecond=0)
    for minutes_ago, value in ((2, 4.0), (1, 6.0)):
        cloudwatch.put_metric_data(
            Namespace=namespace,
            MetricData=[{"MetricName": "m", "Value": value, "Timestamp": at - timedelta(minutes=minutes_ago)}],
        )
    stat = {"Metric": {"Namespace": namespace, "MetricName": "m"}, "Period": 60, "Stat": "Sum"}
    queries = [
        {"Id": "m", "MetricStat": stat, "ReturnData": False},
        {"Id": "twice", "Expression": "m * 2", "Label": "doubled"},
    ]

    newest = cloudwatch.get_metric_data(MetricDataQueries=queries, **window())["MetricDataResults"]
    oldest = cloudwatch.get_metric_data(MetricDataQueries=queries, ScanBy="TimestampAscending", **window())

    assert [(result["Id"], result["Label"], result["Values"]) for result in newest] == [
        ("twice", "doubled", [12.0, 8.0])
    ]
    assert oldest["MetricDataResults"][0]["Values"] == [8.0, 12.0]
    assert oldest["MetricDataResults"][0]["Timestamps"][0] == at - timedelta(minutes=2)


def test_metric_data_is_refused_when_the_expression_is_wrong(cloudwatch: Any) -> None:
    """The error names the query and what is wrong with it."""
    with pytest.raises(ClientError, match=r"Error in expression 'e'.*no such id"):
        cloudwatch.get_metric_data(MetricDataQueries=[{"Id": "e", "Expression": "nothing + 1"}], **window())


def test_log_line_becomes_metrics_when_it_embeds_them(
    sandbox: Sandbox, cloudwatch: Any, eventually: Any, unique: Any
) -> None:
    """Embedded metric format in a log stream is published with its dimensions."""
    logs = sandbox.client("logs")
    group = unique("group")
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="stream")
    now_ms = int(time.time() * 1000)
    line = {
        "_aws": {
            "Timestamp": now_ms,
            "CloudWatchMetrics": [
                {
                    "Namespace": group,
                    "Dimensions": [["fleet"]],
                    "Metrics": [{"Name": "ticks", "Unit": "Count"}, {"Name": "waits", "Unit": "Seconds"}],
                }
            ],
        },
        "fleet": "orders",
        "ticks": 1,
        "waits": [2.0, 4.0],
    }
    events = [{"timestamp": now_ms, "message": json.dumps(line)}, {"timestamp": now_ms, "message": '{"_aws": 1}'}]
    logs.put_log_events(logGroupName=group, logStreamName="stream", logEvents=events)

    dimensions = [{"Name": "fleet", "Value": "orders"}]
    metric = {"Namespace": group, "MetricName": "waits", "Dimensions": dimensions}
    query = {"Id": "waits", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Average"}}
    result = eventually(lambda: cloudwatch.get_metric_data(MetricDataQueries=[query], **window())["MetricDataResults"])

    assert result[0]["Values"] == [3.0]
