"""What protects the stack: keys, rules that hear one account alone, what is put aside, and strings by partition."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sluice.aws.work_queue import FUNCTION_SETTINGS
from sluice.model.chain import KINDS
from sluice_tools.cfn import Resolved, Template

ROOT = Path(__file__).resolve().parents[3]
STACK, FLEET, QUEUE = (Template.load(ROOT / f"{name}.yaml") for name in ("template", "fleet", "queue"))
URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"
ASKED = {"QueueUrl": URL, "DeadLetterQueueUrl": f"{URL}-dead", "TargetWaitSeconds": "60"}
GROUP = {"GroupName": "workers"}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
ROLES = ("Planner", "Drainer", "Redriver", "Operator", "Console", "Onboarding")
USED = ("dynamodb", "s3", "sqs")


def stack(**extra: str) -> Resolved:
    """The stack as deployed with these parameters."""
    return STACK.resolve(ASKED | GROUP | {"AlarmEmail": "ops@example.com"} | extra)


def rules() -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """Every rule with a pattern: its name, its pattern, and its target with what becomes of undelivered events."""
    for name, function in stack().of_type("AWS::Serverless::Function").items():
        for event, found in function.get("Events", {}).items():
            if found["Type"] == "EventBridgeRule":
                yield f"{name}.{event}", found["Properties"]["Pattern"], found["Properties"]


# --------------------------------------------------------------------------- events


def test_rules_hear_their_own_account_alone() -> None:
    """A bus that takes other accounts' events brings none of them to Sluice."""
    found = list(rules())
    assert len(found) >= 6
    for name, pattern, _ in found:
        assert pattern["account"] == ["123456789012"], name


def test_undelivered_events_are_put_aside_by_every_rule_and_schedule() -> None:
    """In the stack's failures queue; events are tried for an hour, what the next minute makes good is not."""
    for name, _, target in rules():
        assert target["DeadLetterConfig"]["Arn"] == "<Failures.Arn>", name
        assert target["RetryPolicy"] == {"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 3600}, name
    assert stack().properties("Failures")["QueueName"] == "sluice-failures"
    for name, function in stack().of_type("AWS::Serverless::Function").items():
        for event, found in function.get("Events", {}).items():
            if found["Type"] == "Schedule":
                assert found["Properties"]["DeadLetterConfig"]["Arn"] == "<Failures.Arn>", f"{name}.{event}"


def test_failures_queue_takes_events_of_this_accounts_rules_alone() -> None:
    """EventBridge sends in its own name: only the queue's policy can say on whose behalf."""
    policy = stack().properties("FailuresPolicy")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert policy["Queues"] == ["<Failures>"]
    assert (statement["Principal"], statement["Action"]) == ({"Service": "events.amazonaws.com"}, "sqs:SendMessage")
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws:events:eu-west-1:123456789012:rule/*"},
    }


def test_lambda_does_not_end_rounds_through_queues_that_sluice_bounds_itself() -> None:
    """Retries of one message, up to a hundred, are rounds of the redriver, and steps of a chain have no end at all."""
    functions = stack().of_type("AWS::Serverless::Function")
    allowed = {name for name, function in functions.items() if function.get("RecursiveLoop") == "Allow"}
    assert allowed == {"Planner", "Drainer", "Redriver", "RedriveJobs"}


def test_work_queue_fits_its_function_when_deployed() -> None:
    """One step at a time; its message is hidden for as long as Lambda asks for, and kept longer than any delay."""
    found = stack()
    steps = found.properties("Steps")
    assert found.of_type("AWS::Lambda::EventSourceMapping") == {"Steps": steps}, (
        "Lambda polls each mapping's queue, also an empty one"
    )
    assert (steps["EventSourceArn"], steps["FunctionName"]) == ("<WorkQueue.Arn>", "<Planner>")
    assert (steps["BatchSize"], steps["FunctionResponseTypes"]) == (1, ["ReportBatchItemFailures"])
    timeout = found.of_type("AWS::Serverless::Function")["Planner"]["Timeout"]
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    assert found.properties("WorkQueue")["VisibilityTimeout"] == 6 * timeout
    assert found.properties("WorkQueue")["MessageRetentionPeriod"] >= 4 * 900


def test_steps_have_no_bound_but_the_chains_own() -> None:
    """A bound would let one kind of steps keep another waiting, and Lambda poll an empty queue more often."""
    assert "ScalingConfig" not in stack().properties("Steps")
    assert "ReservedConcurrentExecutions" not in stack().of_type("AWS::Serverless::Function")["Planner"]


def test_steps_are_handed_to_the_functions_that_take_them() -> None:
    """Each kind of chain but the planner's own has its function, by the variable that the planner reads."""
    variables = stack().of_type("AWS::Serverless::Function")["Planner"]["Environment"]["Variables"]
    assert {kind: variables[name] for kind, name in FUNCTION_SETTINGS.items()} == {
        "drains": "<Drainer.Arn>",
        "jobs": "<RedriveJobs.Arn>",
    }
    assert {*FUNCTION_SETTINGS, "ticks"} == set(KINDS)


@pytest.mark.parametrize("function", ["Drainer", "RedriveJobs"])
def test_step_that_waits_at_lambda_ends_when_it_is_old(function: str) -> None:
    """It is stale by then: a minute later at most the reseed has sent the step again."""
    config = stack().of_type("AWS::Serverless::Function")[function]["EventInvokeConfig"]
    assert config["MaximumEventAgeInSeconds"] <= 3_600
    assert config["MaximumRetryAttempts"] <= 2


# --------------------------------------------------------------------------- the data's key


def keys(found: Resolved) -> dict[str, Any]:
    """The key of everything that the stack keeps, by logical id."""
    bucket = found.properties("Archive")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    return {
        "Ledger": found.properties("Ledger").get("SSESpecification", {}).get("KMSMasterKeyId"),
        "Archive": bucket["ServerSideEncryptionByDefault"].get("KMSMasterKeyID"),
        **{name: each.get("KmsMasterKeyId") for name, each in found.of_type("AWS::SQS::Queue").items()},
        **{name: each.get("KmsMasterKeyId") for name, each in found.of_type("AWS::SNS::Topic").items()},
        **{name: each.get("KmsKeyId") for name, each in found.of_type("AWS::Logs::LogGroup").items()},
    }


def test_all_that_is_kept_is_under_the_users_key_when_there_is_one() -> None:
    """Table, bucket, queue, topic and every log group; without one the defaults stay."""
    plain, ours = stack(), stack(DataKmsKeyArn=KEY)
    assert set(keys(ours).values()) == {KEY}
    assert set(keys(plain).values()) == {None}
    assert len(keys(ours)) >= 4 + len(ROLES)
    assert plain.properties("Failures")["SqsManagedSseEnabled"] is True
    assert "SqsManagedSseEnabled" not in ours.properties("Failures")
    by = {
        kind: found.properties("Archive")["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
        for kind, found in (("plain", plain), ("ours", ours))
    }
    assert by["plain"] == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    assert by["ours"]["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert by["ours"]["BucketKeyEnabled"] is True


def key_grants(found: Resolved, role: str) -> list[Mapping[str, Any]]:
    """By what a function's role may use a key."""
    return [
        statement
        for policy in found.properties(f"{role}Role")["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if str(statement["Action"]).find("kms:Decrypt") >= 0
    ]


@pytest.mark.parametrize("role", ROLES)
def test_key_is_used_only_through_what_the_function_uses(role: str) -> None:
    """By ledger, archive, failures queue and topic; the console only opens; without a key nothing is granted."""
    of_queues = key_grants(stack(), role)
    assert [one["Sid"] for one in of_queues] == (["QueueKeys"] if role in ("Redriver", "Operator") else [])
    grants = [one for one in key_grants(stack(DataKmsKeyArn=KEY), role) if one not in of_queues]
    if role == "Onboarding":  # it touches nothing that the stack keeps
        assert grants == []
        return
    if role == "Planner":
        (of_topic,) = [one for one in grants if one["Sid"] == "NoticesKey"]
        assert of_topic["Resource"] == KEY
        assert of_topic["Condition"] == {"StringEquals": {"kms:ViaService": "sns.eu-west-1.amazonaws.com"}}
        grants.remove(of_topic)
    (grant,) = grants
    assert grant["Resource"] == KEY
    assert list(grant["Condition"]) == ["StringEquals"]
    (via,) = grant["Condition"]["StringEquals"].values()
    services = USED[:2] if role == "Console" else USED
    assert via == [f"{service}.eu-west-1.amazonaws.com" for service in services]
    if role == "Console":
        assert grant["Action"] == ["kms:Decrypt", "kms:DescribeKey"]


@pytest.mark.parametrize(("data", "told"), [("", True), (KEY, False)])
def test_default_says_what_it_does_when_what_is_kept_has_no_key(data: str, told: bool) -> None:
    """An output of the deployment says whose key quarantined messages are under."""
    found = stack(DataKmsKeyArn=data)
    note = STACK.body["Outputs"]["DataKeyNote"]
    assert found.conditions[note["Condition"]] is told
    assert "AWS's own keys" in note["Value"]
    assert "a key of your own encrypts the queues" in STACK.parameters["DataKmsKeyArn"]["Description"]


def test_key_policy_is_documented_for_every_service_that_asks_in_its_own_name() -> None:
    """Logs, EventBridge and CloudWatch's alarms use the key by its policy alone, which no grant of ours replaces."""
    documented = (ROOT / "docs/operations.md").read_text()
    for principal in ("logs.<region>", "events.amazonaws.com", "cloudwatch.amazonaws.com"):
        assert principal in documented


# --------------------------------------------------------------------------- partitions


@pytest.mark.parametrize(
    ("partition", "region", "suffix", "console"),
    [
        ("aws", "eu-west-1", "amazonaws.com", "console.aws.amazon.com"),
        ("aws-us-gov", "us-gov-west-1", "amazonaws.com", "console.amazonaws-us-gov.com"),
        ("aws-cn", "cn-north-1", "amazonaws.com.cn", "console.amazonaws.cn"),
    ],
)
def test_strings_are_the_partitions_own(partition: str, region: str, suffix: str, console: str) -> None:
    """The dashboard's address, every ARN, and every service through which a key is used."""
    pseudo = {"Partition": partition, "Region": region, "URLSuffix": suffix}
    url = f"https://sqs.{region}.{suffix}/123456789012/orders"
    key = KEY.replace("aws:", f"{partition}:", 1).replace("eu-west-1", region)
    asked = ASKED | {"QueueUrl": url, "DeadLetterQueueUrl": f"{url}-dead"}
    found = STACK.resolve(asked | GROUP | {"DataKmsKeyArn": key}, **pseudo)
    address = found.value(STACK.body["Outputs"]["DashboardUrl"]["Value"])
    assert address == f"https://{console}/cloudwatch/home?region={region}#dashboards:name=sluice"
    for resolved in (
        found,
        FLEET.resolve(asked | GROUP | {"FleetName": "orders"}, **pseudo),
        QUEUE.resolve(asked | {"FleetName": "orders"}, **pseudo),
    ):
        text = str(resolved.resources)
        assert set(re.findall(r"arn:([a-z-]+):", text)) <= {partition}
        vias = re.findall(r"(?:sqs|s3|dynamodb)\.[a-z0-9-]+\.amazonaws[a-z.]+", text)
        assert vias, "queue URLs, and in template.yaml the services through which keys are used"
        assert {via.partition(".")[2] for via in vias} == {f"{region}.{suffix}"}


@pytest.mark.parametrize("name", ["template", "fleet", "queue"])
def test_no_arn_names_a_partition(name: str) -> None:
    """In the templates as written, comments and examples of URLs apart."""
    for line in (ROOT / f"{name}.yaml").read_text().splitlines():
        assert not re.search(r"arn:aws[a-z-]*:", line.partition("#")[0]), line
