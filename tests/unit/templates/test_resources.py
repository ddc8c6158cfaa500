"""What the stack makes: wiring, limits that AWS would refuse, and what must outlive a mistake."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sluice.aws import SETTINGS
from sluice.redriving.jobs.slices import SLICE_S
from sluice.telemetry import LIMITS, NEEDS_OPERATOR
from sluice_tools.cfn import Resolved, Template
from tests.support.telemetry_names import WRITERS, metrics_of

ROOT = Path(__file__).resolve().parents[3]
STACK = Template.load(ROOT / "template.yaml")
FLEET = Template.load(ROOT / "fleet.yaml")
QUEUE = Template.load(ROOT / "queue.yaml")
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
ASKED = {
    "QueueUrl": URL,
    "DeadLetterQueueUrl": f"{URL}-dead-letters",
    "GroupName": "workers",
    "TargetWaitSeconds": "60",
}
FUNCTIONS = ("Planner", "Drainer", "Redriver", "Operator", "Console")
TOPIC = "arn:aws:sns:eu-west-1:123456789012:ops"
LAMBDA = "arn:aws:lambda:eu-west-1:123456789012:function:sluice"
SCALING = {"OldestMessage", "IdleBacklog"}  # alarms for the planner; all others are for people
SILENCE = {"NoTicks", "PlannerSilent"}  # these go off where there is no data
EVERY_ALARM = {"Detail": "fleet", "WakeUpAlarms": "true"}


def stack(**extra: str) -> Resolved:
    """The stack as deployed with these parameters."""
    return STACK.resolve(ASKED | extra)


def fleet(**extra: str) -> Resolved:
    """One fleet as deployed with these parameters."""
    return FLEET.resolve(ASKED | {"FleetName": "orders"} | extra)


# --------------------------------------------------------------------------- functions


@pytest.mark.parametrize("name", [*FUNCTIONS, "Onboarding"])
def test_function_is_observable_when_deployed(name: str) -> None:
    """JSON lines in a log group that forgets, traces on request, and the name that fleet.yaml and people go by."""
    found = stack(LogRetentionDays="90").properties(name)
    logs = stack(LogRetentionDays="90").properties(f"{name}Logs")
    common = STACK.body["Globals"]["Function"]

    assert found["FunctionName"] == f"sluice-{name.lower()}"
    assert found["CodeUri"] == f"functions/{name.lower()}"
    assert found["LoggingConfig"] == {"LogGroup": f"<{name}Logs>"}
    assert (logs["LogGroupName"], logs["RetentionInDays"]) == (f"/aws/lambda/sluice-{name.lower()}", "90")
    assert found["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] == f"sluice-{name.lower()}"
    assert (common["Runtime"], common["Handler"], common["Tracing"]) == ("python3.13", "app.handler", "PassThrough")
    assert common["LoggingConfig"]["LogFormat"] == "JSON"


@pytest.mark.parametrize(
    ("level", "passed"), [("DEBUG", "DEBUG"), ("INFO", "INFO"), ("WARNING", "INFO"), ("ERROR", "INFO")]
)
def test_metrics_pass_lambdas_filter_when_logs_are_few(level: str, passed: str) -> None:
    """Lambda takes an embedded metric for a line of level INFO: only Powertools may be stricter."""
    common = STACK.body["Globals"]["Function"]
    found = stack(LogLevel=level)

    assert found.value(common["LoggingConfig"]["ApplicationLogLevel"]) == passed
    assert found.value(common["LoggingConfig"]["SystemLogLevel"]) == ("INFO" if level == "DEBUG" else "WARN")
    assert found.value(common["Environment"]["Variables"]["LOG_LEVEL"]) == level


def test_environment_is_whole_when_ports_connect() -> None:
    """What sluice.aws.connect asks for is set, to this stack's own."""
    variables = stack().value(STACK.body["Globals"]["Function"]["Environment"]["Variables"])

    assert variables["SLUICE_TABLE"] == "<Ledger>"
    assert variables["SLUICE_BUCKET"] == "<Archive>"
    assert variables["SLUICE_FLEETS_PATH"] == "/sluice/sluice/fleets/"
    assert fleet().properties("Document")["Name"].startswith(variables["SLUICE_FLEETS_PATH"])
    assert set(SETTINGS) <= set(variables)
    assert "SLUICE_MINUTE_S" not in variables, "on AWS a minute is a minute: the sandbox sets it by itself"


def variables_read(text: str) -> set[str]:
    """The names of the environment's variables that a module reads by name."""
    read: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        source: ast.expr | None = None
        if isinstance(node, ast.Subscript):
            source, name = node.value, node.slice
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "get"
            and node.args
        ):
            source, name = node.func.value, node.args[0]
        if source is not None and ast.unparse(source).endswith("environ") and isinstance(name, ast.Constant):
            read.add(str(name.value))
    return read


def test_variables_when_those_that_functions_read_are_held_to_the_template() -> None:
    """The stack sets each: nobody edits a function by hand, and the next deployment would undo it."""
    paths = [path for folder in ("functions", "layers/core/sluice") for path in (ROOT / folder).rglob("*.py")]
    read = set().union(*(variables_read(path.read_text()) for path in paths))
    functions = [each.get("Environment", {}) for each in stack().of_type("AWS::Serverless::Function").values()]
    sets = {
        name for each in (*functions, STACK.body["Globals"]["Function"]["Environment"]) for name in each["Variables"]
    }

    assert {"TICK_SECONDS", "LOG_LEVEL", "SLUICE_OPERATOR_ARN"} <= read
    assert read - sets == {"AWS_REGION", "AWS_PROFILE", "SLUICE_MINUTE_S"}, "Lambda's own, a caller's, the emulator's"


@pytest.mark.parametrize("name", ["Planner", "Drainer", "Redriver", "RedriveJobs"])
def test_failure_is_kept_when_a_function_gives_up(name: str) -> None:
    """Events that a function failed on for good are put aside, and an alarm tells."""
    config = stack().properties(name)["EventInvokeConfig"]

    assert config["DestinationConfig"]["OnFailure"] == {"Type": "SQS", "Destination": "<Failures.Arn>"}
    assert 60 <= config["MaximumEventAgeInSeconds"] <= 21_600  # Lambda's bounds
    assert stack().properties("FailuresWaiting")["Dimensions"] == [
        {"Name": "QueueName", "Value": "<Failures.QueueName>"}
    ]
    assert stack().properties("Failures")["SqsManagedSseEnabled"] is True


def test_mapping_is_accepted_when_the_queue_has_sqss_defaults() -> None:
    """Lambda refuses a mapping on a queue whose visibility timeout is under the function's timeout."""
    assert stack().properties("Redriver")["Timeout"] <= 30


def test_jobs_have_a_minute_for_a_slice_and_the_batch_at_its_end() -> None:
    """The redriver's own code and role, in a function that no dead-letter queue bounds."""
    jobs, redriver = stack().properties("RedriveJobs"), stack().properties("Redriver")

    assert jobs["FunctionName"] == "sluice-redrive-jobs"
    assert (jobs["CodeUri"], jobs["Role"]) == (redriver["CodeUri"], redriver["Role"])
    assert jobs["LoggingConfig"] == redriver["LoggingConfig"]
    assert jobs["Environment"] == redriver["Environment"]
    assert jobs["Timeout"] == 60 >= SLICE_S + 30
    assert set(jobs["Events"]) == {"Minute"}


def test_redriver_hears_when_a_consumer_tells_why_it_failed() -> None:
    """By the one event that docs/redriving.md describes."""
    pattern = stack().properties("Redriver")["Events"]["Failure"]["Properties"]["Pattern"]

    assert (pattern["source"], pattern["detail-type"]) == (["sluice.consumer"], ["Sluice Message Failure"])


@pytest.mark.parametrize("name", ["Planner", "Drainer", "RedriveJobs"])
def test_minute_comes_when_nothing_else_does(name: str) -> None:
    """Every function that looks after something does so each minute; one missed is made good by the next."""
    minute = stack().properties(name)["Events"]["Minute"]

    assert (minute["Type"], minute["Properties"]["Schedule"]) == ("Schedule", "rate(1 minute)")
    assert minute["Properties"]["RetryPolicy"] == {"MaximumRetryAttempts": 0}


def test_drainer_hears_when_instances_are_about_to_go() -> None:
    """Hooks, Spot, rebalance, scheduled events, commands' ends and reports; a command on its way is no news."""
    events = stack().properties("Drainer")["Events"]
    kinds = {
        kind
        for found in events.values()
        if found["Type"] == "EventBridgeRule"
        for kind in found["Properties"]["Pattern"]["detail-type"]
    }

    assert kinds == {
        "AWS Health Event",
        "EC2 Instance-launch Lifecycle Action",
        "EC2 Instance-terminate Lifecycle Action",
        "EC2 Spot Instance Interruption Warning",
        "EC2 Instance Rebalance Recommendation",
        "EC2 Command Invocation Status-change Notification",
        "Sluice Consumer Report",
    }
    health = events["Health"]["Properties"]["Pattern"]
    assert health["source"] == ["aws.health"]
    assert health["detail"] == {"service": ["EC2"], "eventTypeCategory": ["scheduledChange"]}
    detail = events["RunCommand"]["Properties"]["Pattern"]["detail"]
    assert detail["document-name"] == [{"prefix": "sluice-"}]
    assert "InProgress" in detail["status"][0]["anything-but"]


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_architecture_is_a_choice_when_deploying(architecture: str) -> None:
    """Functions take the parameter; both layers serve either."""
    found = stack(Architecture=architecture)

    assert found.value(STACK.body["Globals"]["Function"]["Architectures"]) == [architecture]
    for layer in found.of_type("AWS::Serverless::LayerVersion").values():
        assert architecture in layer["CompatibleArchitectures"]


# --------------------------------------------------------------------------- the fleet


def test_hook_is_attached_when_a_fleet_is_deployed() -> None:
    """The termination hook, on the group, under the name that the fleet's document gives."""
    found = fleet(SluiceStack="blue")

    assert found.properties("Hook") == {
        "AutoScalingGroupName": "workers",
        "LifecycleHookName": "blue-drain",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_TERMINATING",
        "HeartbeatTimeout": "<Checked.HookTimeoutSeconds>",
        "DefaultResult": "CONTINUE",
    }
    assert json.loads(found.properties("Document")["Value"])["drain"]["hook"] == "blue-drain"


def test_launch_hook_is_attached_when_instances_are_to_be_ready_first() -> None:
    """What is not ready in time is abandoned, so that the group replaces it with nobody's help."""
    found = fleet(ReadySeconds="300", SluiceStack="blue")

    assert found.properties("ReadyHook") == {
        "AutoScalingGroupName": "workers",
        "LifecycleHookName": "blue-ready",
        "LifecycleTransition": "autoscaling:EC2_INSTANCE_LAUNCHING",
        "HeartbeatTimeout": "300",
        "DefaultResult": "ABANDON",
    }
    assert json.loads(found.properties("Document")["Value"])["launch"]["hook"] == "blue-ready"
    assert "ReadyHook" not in fleet().resources


def test_drainer_is_called_when_an_instance_of_a_fleet_waits() -> None:
    """One rule serves every fleet: it names the hooks as fleet.yaml calls them, and no group."""
    (event,) = [
        event["Properties"]
        for event in stack().properties("Drainer")["Events"].values()
        if event["Properties"].get("Pattern", {}).get("source") == ["aws.autoscaling"]
    ]
    hooks = [fleet(ReadySeconds="300").properties(name)["LifecycleHookName"] for name in ("Hook", "ReadyHook")]

    assert event["Pattern"]["detail"] == {"LifecycleHookName": hooks}
    assert event["Pattern"]["account"] == ["123456789012"]
    assert set(event["Pattern"]["detail-type"]) == {
        "EC2 Instance-terminate Lifecycle Action", "EC2 Instance-launch Lifecycle Action",
    }  # fmt: skip
    assert event["RetryPolicy"]["MaximumRetryAttempts"] > 0


def test_one_permission_serves_when_any_fleets_alarm_calls() -> None:
    """By the names' beginning, from this account; a fleet's stack adds none, since a function's policy has 20 KB."""
    (permission,) = stack().of_type("AWS::Lambda::Permission").values()

    assert permission["FunctionName"] == "<Planner>"
    assert permission["Principal"] == "lambda.alarms.cloudwatch.amazonaws.com"
    assert permission["SourceAccount"] == "123456789012", "another account's alarm of that name must not call"
    arn, any_end = permission["SourceArn"][:-1], permission["SourceArn"][-1]
    assert (arn, any_end) == ("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:sluice-", "*")
    further = {"QueueUrl": URL, "TargetWaitSeconds": "60", "FleetName": "orders"}
    for resolved in (fleet(**EVERY_ALARM), QUEUE.resolve(further | EVERY_ALARM)):
        assert not resolved.of_type("AWS::Lambda::Permission")
        assert not resolved.of_type("AWS::Events::Rule"), "the stack's rules serve every fleet"
        calling = [one for one in alarms(resolved).values() if f"{LAMBDA}-planner" in one.get("AlarmActions", ())]
        assert len(calling) == len(SCALING)
        assert all(one["AlarmName"].startswith("sluice-orders-") for one in calling)


def test_planner_is_woken_when_waiting_or_idle() -> None:
    """Older than half the target wait; the first messages in a queue that was idle."""
    found = fleet(TargetWaitSeconds="90", WakeUpAlarms="true")
    oldest, idle = found.properties("OldestMessage"), found.properties("IdleBacklog")

    assert (oldest["Metrics"][0]["Expression"], oldest["Threshold"]) == ("age * 2", "90")
    assert oldest["Metrics"][1]["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "QueueName", "Value": "orders"}]
    assert (idle["Namespace"], idle["MetricName"]) == ("AWS/SQS", "ApproximateNumberOfMessagesVisible")
    for alarm in (oldest, idle):
        assert alarm["AlarmActions"] == alarm["OKActions"] == [f"{LAMBDA}-planner"]
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"


def test_wake_up_alarms_are_the_first_fleets_when_nothing_else_is_asked_for() -> None:
    """The first fleet has them in either detail; a further one costs nothing for alarms unless it asks for them."""
    for detail in ("stack", "fleet"):
        assert stack(Detail=detail).properties("Fleet")["Parameters"]["WakeUpAlarms"] == "true"
    assert alarms(fleet()) == {}
    assert set(alarms(fleet(WakeUpAlarms="true"))) == SCALING


def test_dead_letters_come_when_the_mode_is_auto() -> None:
    """With manual they stay in their queue, so that the SQS console's own redrive works as ever."""
    mapping = fleet().properties("DeadLetters")

    assert mapping["Enabled"] == "<Checked.RedriveEnabled>"
    assert mapping["EventSourceArn"] == "arn:aws:sqs:eu-west-1:123456789012:orders-dead-letters"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] <= 10  # FIFO, and others without a window


def test_nothing_is_made_for_dead_letters_when_there_are_none() -> None:
    """A queue without a dead-letter queue is a fleet too."""
    found = fleet(DeadLetterQueueUrl="", **EVERY_ALARM)

    assert not {"DeadLetters", "DeadLettersExpiring"} & set(found.resources)
    assert stack(DeadLetterQueueUrl="").properties("Fleet")["Parameters"]["DeadLetterQueueUrl"] == ""


def test_fleet_waits_when_functions_are_made() -> None:
    """The nested fleet names functions by convention, so the order must be said; the stack checks and tags first."""
    assert set(STACK.resources["Fleet"]["DependsOn"]) == {
        "Checked", "PlannerAlarmCalls", "Planner", "Drainer", "Redriver", "Operator", "Onboarding",
    }  # fmt: skip


# --------------------------------------------------------------------------- alarms


def alarms(resolved: Resolved) -> dict[str, dict[str, Any]]:
    """Every alarm."""
    return resolved.of_type("AWS::CloudWatch::Alarm")


def test_people_are_told_when_sluice_itself_is_ill() -> None:
    """Every alarm for people goes to the topic, with all-clear; without a topic, to nobody."""
    found = alarms(stack(AlarmTopicArn=TOPIC)) | alarms(fleet(AlarmTopicArn=TOPIC, **EVERY_ALARM))
    for name, alarm in found.items():
        if name not in SCALING:
            assert alarm["AlarmActions"] == alarm["OKActions"] == [TOPIC], name
    for name, alarm in (alarms(stack()) | alarms(fleet(**EVERY_ALARM))).items():
        assert name in SCALING or "AlarmActions" not in alarm, name
    mailed = stack(AlarmEmail="ops@example.com")
    assert alarms(mailed)["RedriverErrors"]["AlarmActions"] == ["<AlarmTopic>"]
    assert mailed.properties("AlarmTopic")["Subscription"] == [{"Protocol": "email", "Endpoint": "ops@example.com"}]


def test_alarms_are_those_promised_when_deployed() -> None:
    """The stack's serve every fleet: errors, late drains, quarantine growing. A fleet's own cost more."""
    assert set(alarms(stack())) == {
        "PlannerErrors", "RedriverErrors", "FailuresWaiting", "PlannerSilent",
    }  # fmt: skip
    assert set(alarms(fleet(**EVERY_ALARM))) == SCALING | {
        "NoTicks", "DrainsExpired", "DrainsInterrupted", "InstanceRetained", "QuarantineGrowing", "MessagesExpiring",
        "DeadLettersExpiring", "DeadLettersLifeUsed",
    }  # fmt: skip
    for name, alarm in (alarms(stack()) | alarms(fleet(**EVERY_ALARM))).items():
        assert alarm["TreatMissingData"] == ("missing" if name in SILENCE else "notBreaching"), name
        assert len(alarm["AlarmDescription"]) > 20
    # Silence is INSUFFICIENT_DATA, in which a new alarm begins: it tells when ticks stop, not before the first.
    ticks = alarms(fleet(AlarmTopicArn=TOPIC, **EVERY_ALARM))["NoTicks"]
    assert ticks["InsufficientDataActions"] == [TOPIC]
    assert ticks["Period"] * ticks["EvaluationPeriods"] == 300


def test_planner_tells_operators_when_the_stack_has_a_topic() -> None:
    """It publishes to the topic of the alarms and to no other; without a topic it may publish nowhere."""
    for parameters, arn in (({"AlarmTopicArn": TOPIC}, TOPIC), ({"AlarmEmail": "ops@example.com"}, "<AlarmTopic>")):
        found = stack(**parameters)
        assert found.properties("Planner")["Environment"]["Variables"]["SLUICE_TOPIC"] == arn
        granted = dict(published(found))
        assert granted == {"PlannerRole": arn}
    assert stack().properties("Planner")["Environment"]["Variables"]["SLUICE_TOPIC"] == ""
    assert published(stack()) == []


def published(found: Template) -> list[tuple[str, Any]]:
    """The roles that may publish, and where."""
    return [
        (name, statement["Resource"])
        for name, role in found.of_type("AWS::IAM::Role").items()
        for policy in role["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "sns:" in str(statement["Action"])
    ]


def test_silent_planner_is_told_by_an_alarm() -> None:
    """No notice can say that nothing runs. Silence is INSUFFICIENT_DATA, in which a new alarm begins."""
    alarm = alarms(stack(AlarmTopicArn=TOPIC))["PlannerSilent"]
    assert (alarm["MetricName"], alarm["Threshold"]) == ("Invocations", 0)
    assert alarm["ComparisonOperator"] == "LessThanThreshold", "no count is below zero: only silence counts"
    assert alarm["InsufficientDataActions"] == alarm["OKActions"] == [TOPIC]
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 300


def test_expiry_is_told_when_half_the_retention_is_used() -> None:
    """Twice the age above the retention; a dead letter's age counts only from its move, so later would be too late."""
    found = alarms(fleet(Detail="fleet"))

    for name, queue, retention in (
        ("MessagesExpiring", "orders", "<Checked.RetentionSeconds>"),
        ("DeadLettersExpiring", "orders-dead-letters", "<Checked.DeadLetterRetentionSeconds>"),
    ):
        assert (found[name]["Metrics"][0]["Expression"], found[name]["Threshold"]) == ("age * 2", retention)
        assert found[name]["Metrics"][1]["MetricStat"]["Metric"]["Dimensions"][0]["Value"] == queue


def test_runbook_knows_the_alarm_when_it_rings() -> None:
    """docs/operations.md says what to do about each, by the alarm's name."""
    runbook = (ROOT / "docs/operations.md").read_text()

    for alarm in [*alarms(stack()).values(), *alarms(fleet(**EVERY_ALARM)).values()]:
        assert f"`{alarm['AlarmName'].removeprefix('sluice-').replace('orders-', '<fleet>-')}`" in runbook


# --------------------------------------------------------------------------- what is kept


def test_records_outlive_the_stack_when_it_is_deleted() -> None:
    """Ledger and archive hold what nobody has decided on yet: they are encrypted, restorable and stay."""
    ledger, archive = stack().properties("Ledger"), stack().properties("Archive")

    for name in ("Ledger", "Archive"):
        assert STACK.resources[name]["UpdateReplacePolicy"] == "Retain"
        # Retained but for a first deployment that fails, whose table and bucket nobody has used:
        # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
        assert STACK.resources[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert ledger["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert ledger["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert "SSESpecification" not in ledger, "AWS's own key encrypts it, for nothing"
    ours = stack(DataKmsKeyArn="arn:aws:kms:eu-west-1:123456789012:key/1").properties("Ledger")["SSESpecification"]
    assert (ours["SSEEnabled"], ours["SSEType"]) == (True, "KMS")
    # The bucket's policy protects it for as long as it is there.
    assert STACK.resources["ArchivePolicy"]["DeletionPolicy"] == STACK.resources["Archive"]["DeletionPolicy"]
    assert STACK.resources["ArchivePolicy"]["UpdateReplacePolicy"] == "Retain"
    assert [key["AttributeName"] for key in ledger["KeySchema"]] == ["pk", "sk"]
    assert archive["VersioningConfiguration"] == {"Status": "Enabled"}
    assert set(archive["PublicAccessBlockConfiguration"].values()) == {True}
    assert archive["OwnershipControls"]["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]


def test_quarantined_message_stays_when_days_go_by() -> None:
    """Nothing in quarantine expires; only the copy of what was let go does."""
    rules = stack(ArchiveDays="7").properties("Archive")["LifecycleConfiguration"]["Rules"]

    assert not any({"ExpirationInDays", "ExpirationDate", "Transitions"} & set(rule) for rule in rules)
    assert rules[0]["NoncurrentVersionExpiration"] == {"NoncurrentDays": "7"}


def test_archive_is_reached_by_tls_when_reached() -> None:
    """Anything else is denied, to everyone."""
    (statement,) = stack().properties("ArchivePolicy")["PolicyDocument"]["Statement"]

    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == ["<Archive.Arn>", "<Archive.Arn>/*"]


# --------------------------------------------------------------------------- metrics and the dashboard


def emitted() -> set[str]:
    """Every metric of a fleet that a function may write."""
    return set().union(*(metrics_of(function) for function in WRITERS))


def dashboard(detail: str = "stack") -> dict[str, Any]:
    """The dashboard's body."""
    return dict(json.loads(stack(FleetName="orders", Detail=detail).properties("Dashboard")["DashboardBody"]))


def test_metric_is_emitted_when_something_waits_for_it() -> None:
    """Alarms and graphs name metrics of namespace Sluice that the functions emit: by stack, or by fleet."""
    waited = set(re.findall(r'MetricName="(\w+)"', json.dumps(dashboard("fleet")).replace('\\"', '"')))
    for alarm in alarms(fleet(**EVERY_ALARM)).values():
        for metric in [
            alarm,
            *(one["MetricStat"]["Metric"] for one in alarm.get("Metrics", []) if "MetricStat" in one),
        ]:
            if metric.get("Namespace") == "Sluice":
                waited.add(metric["MetricName"])
                assert [one["Name"] for one in metric["Dimensions"]] == ["service", "fleet"]

    assert len(waited) > 9
    assert waited <= emitted()
    assert set(LIMITS) <= emitted()


def test_dashboard_shows_the_stacks_metrics_when_fleets_have_none() -> None:
    """No graph searches for a fleet's metrics; those of the stack are there by their dimensions."""
    shown = [
        metric for one in dashboard()["widgets"] for metric in one["properties"].get("metrics", []) if len(metric) > 1
    ]
    of_stack = [metric[1:6] for metric in shown if metric[0] == "Sluice"]

    assert "SEARCH" not in json.dumps(dashboard())
    assert of_stack == [
        [NEEDS_OPERATOR, "service", f"sluice-{name}", "stack", "sluice"] for name in ("planner", "drainer", "redriver")
    ]
    assert {metric[3] for metric in shown if metric[0] == "AWS/SQS"} == {
        "orders", "<WorkQueue.QueueName>",
    }  # fmt: skip


def test_dashboard_shows_the_widget_when_opened() -> None:
    """The console function, for this fleet, redrawn with the dashboard's time range."""
    (widget,) = [one for one in dashboard()["widgets"] if one["type"] == "custom"]

    assert widget["properties"]["endpoint"] == "<Console.Arn>"
    assert widget["properties"]["params"] == {"fleet": "orders"}
    assert widget["properties"]["updateOn"] == {"refresh": True, "resize": True, "timeRange": True}
    assert dashboard()["widgets"][2]["properties"]["annotations"]["horizontal"][0]["value"] == 60


@pytest.mark.parametrize("detail", ["stack", "fleet"])
def test_widgets_do_not_overlap_when_laid_out(detail: str) -> None:
    """24 columns, every cell taken at most once."""
    cells = [
        (x, y)
        for one in dashboard(detail)["widgets"]
        for x in range(one["x"], one["x"] + one["width"])
        for y in range(one["y"], one["y"] + one["height"])
    ]

    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


# --------------------------------------------------------------------------- builds


def test_layer_holds_all_that_functions_import_when_built() -> None:
    """By the lock, with hashes: botocore too, so that no function hangs on the version that the runtime has."""
    lock = (ROOT / "layers/deps/requirements.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==", lock, re.MULTILINE))

    assert (ROOT / "layers/deps/requirements.txt").resolve() == ROOT / "requirements/runtime.txt"
    assert locked >= {"aws-lambda-powertools", "pydantic", "htpy", "botocore", "urllib3"}
    assert "boto3" not in locked
    assert re.search(r"^botocore==\S+ \\\n +--hash=sha256:", lock, re.MULTILINE)


def test_models_of_all_services_are_kept_when_clients_of_them_are_made() -> None:
    """Each service that deployed code makes a client of is in services.txt, and the list is in order."""
    kept = (ROOT / "layers/deps/services.txt").read_text().splitlines()
    made = {
        call.args[0].value
        for directory in ("layers/core/sluice", "functions")
        for path in (ROOT / directory).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"_make", "create_client", "client"}
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }

    assert kept == sorted(set(kept))
    assert {"sqs", "ssm", "autoscaling", "ec2"} <= made <= set(kept)


def test_capabilities_are_set_when_deploying_by_configuration() -> None:
    """Named roles and a nested application: without these `sam deploy` would be refused."""
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())
    environments = [name for name, one in settings.items() if isinstance(one, dict) and "deploy" in one]
    assert environments == ["default", "local", "staging", "prod"]
    for name in environments:
        assert settings[name]["deploy"]["parameters"]["capabilities"].split() == [
            "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND",
        ]  # fmt: skip
