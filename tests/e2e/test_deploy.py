"""The stack as SAM CLI deploys it: whole, answering every payload, at work for a fleet, with IAM enough, none spare."""

from __future__ import annotations

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from sluice.chains import ChainRunner
from sluice_tools.cfn import Template
from sluice_tools.iam_audit import audit_stack
from sluice_tools.local_invoke import events
from sluice_tools.sandbox.packages import delete_stack, deploy_package
from sluice_tools.sandbox.sandbox import REGION, ROOT
from tests.support.deployed_stacks import both_stacks, consume, deploy_guided

pytestmark = pytest.mark.sandbox

Eventually = Callable[..., Any]


@pytest.fixture(scope="module")
def deployed() -> Iterator[Any]:
    """Both stacks, Sluice by SAM CLI, for this file alone: it looks at what a first deployment makes."""
    with both_stacks(deploy_guided) as made:
        yield made


def resources(deployed: Any, stack: str) -> dict[str, dict[str, Any]]:
    """A stack's resources by logical id."""
    found = deployed.sandbox.client("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    return {one["LogicalResourceId"]: one for one in found}


def desired(deployed: Any) -> int:
    """The group's desired capacity."""
    groups = deployed.sandbox.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[deployed.orders["GroupName"]]
    )
    return int(groups["AutoScalingGroups"][0]["DesiredCapacity"])


def instances(deployed: Any) -> dict[str, str]:
    """Lifecycle state by instance id."""
    groups = deployed.sandbox.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=[deployed.orders["GroupName"]]
    )
    return {one["InstanceId"]: one["LifecycleState"] for one in groups["AutoScalingGroups"][0]["Instances"]}


def in_ledger(deployed: Any, partition: str) -> list[dict[str, Any]]:
    """The items of one of the ledger's partitions."""
    answer = deployed.sandbox.client("dynamodb").query(
        TableName=deployed.sluice["LedgerTable"],
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": partition}},
    )
    return list(answer["Items"])


def archived(deployed: Any) -> list[str]:
    """Keys of the messages in quarantine."""
    listed = deployed.sandbox.client("s3").list_objects_v2(Bucket=deployed.sluice["ArchiveBucket"])
    return [found["Key"] for found in listed.get("Contents", [])]


def test_every_resource_is_made_when_deployed(deployed: Any) -> None:
    """Both templates' resources, the nested fleet's included, are complete."""
    stack = resources(deployed, "sluice")
    nested = resources(deployed, stack["Fleet"]["PhysicalResourceId"])

    assert {one["ResourceStatus"] for one in (*stack.values(), *nested.values())} == {"CREATE_COMPLETE"}
    written = set(Template.load(ROOT / "template.yaml").resolve(deployed.parameters).resources)
    # A layer's logical id gets its content's hash from the SAM transform.
    assert {name for name in written if not name.endswith("Layer")} <= set(stack)
    assert sum(one["ResourceType"] == "AWS::Lambda::LayerVersion" for one in stack.values()) == 2
    fleet = Template.load(ROOT / "fleet.yaml")
    asked = {name: value for name, value in deployed.parameters.items() if name in fleet.parameters}
    assert set(fleet.resolve(asked | {"WakeUpAlarms": "true"}).resources) == set(nested)  # as the first fleet has


def test_functions_import_botocore_from_their_layer_when_deployed(deployed: Any) -> None:
    """In the locked version, from beside the layer's other libraries: not what the runtime has itself."""
    functions = deployed.sandbox.client("lambda")
    names = [
        one["PhysicalResourceId"]
        for one in resources(deployed, "sluice").values()
        if "Lambda::F" in one["ResourceType"]
    ]
    configs = [functions.get_function_configuration(FunctionName=name) for name in names]
    assert len({json.dumps(config["Layers"]) for config in configs}) == 1
    code = (
        "import botocore, boto3, pydantic\n"
        "def handler(event, context):\n"
        "    files = [botocore.__file__, boto3.__file__, pydantic.__file__]\n"
        "    return {'version': botocore.__version__, 'from': [path.rpartition('/python/')[0] for path in files]}\n"
    )
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("app.py", code)
    functions.create_function(
        FunctionName="sluice-imports",
        Runtime=configs[0]["Runtime"],
        Role=configs[0]["Role"],
        Handler="app.handler",
        Code={"ZipFile": archive.getvalue()},
        Layers=[layer["Arn"] for layer in configs[0]["Layers"]],
    )
    told = deployed.invoke("imports", {})
    functions.delete_function(FunctionName="sluice-imports")

    lock = (ROOT / "requirements/runtime.txt").read_text()
    assert f"\nbotocore=={told['version']} " in lock
    ours, runtimes, deps = told["from"]
    assert ours == deps != runtimes


def test_hook_is_on_the_group_when_deployed(deployed: Any) -> None:
    """Auto Scaling waits for the drain of every instance that it terminates."""
    (hook,) = deployed.sandbox.client("autoscaling").describe_lifecycle_hooks(
        AutoScalingGroupName=deployed.orders["GroupName"]
    )["LifecycleHooks"]

    assert (hook["LifecycleHookName"], hook["LifecycleTransition"], hook["HeartbeatTimeout"]) == (
        "sluice-drain", "autoscaling:EC2_INSTANCE_TERMINATING", 1800,
    )  # fmt: skip
    assert deployed.sluice["LifecycleHook"] == hook["LifecycleHookName"]


def test_mapping_is_on_when_the_mode_is_auto(deployed: Any) -> None:
    """Dead letters come to the redriver, in batches whose answers are read entry by entry."""
    function = deployed.sluice["RedriverFunction"]
    mappings = deployed.sandbox.client("lambda").list_event_source_mappings(FunctionName=function)
    (mapping,) = mappings["EventSourceMappings"]

    assert mapping["State"] == "Enabled"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["EventSourceArn"] == deployed.orders["DeadLetterQueueArn"]


def test_fleet_does_its_work_when_messages_come(deployed: Any, eventually: Eventually) -> None:
    """Woken from zero; dead letters quarantined and redriven; drained to zero. All of it under the functions' own IAM.

    So each grant is used, and no call refused: what the policies allow is enough, and nothing is spare.
    """
    sqs, url = deployed.sandbox.client("sqs"), deployed.orders["QueueUrl"]

    for number in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=f"order {number}")
    eventually(lambda: desired(deployed) > 0)
    eventually(lambda: "InService" in instances(deployed).values())
    assert sorted(consume(deployed)) == ["order 0", "order 1", "order 2"]

    sqs.send_message(
        QueueUrl=deployed.orders["DeadLetterQueueUrl"],
        MessageBody="poison",
        MessageAttributes={
            "sluice.cause": {"DataType": "String", "StringValue": "unknown sku"},
            "seal": {"DataType": "Binary.raw", "BinaryValue": b"\x00\xff"},
        },
    )
    eventually(lambda: archived(deployed))
    request = {"fleet": "orders", "all": True}
    assert deployed.invoke("operator", {"redrive": request | {"dry_run": True}})
    assert archived(deployed), "a dry run sends nothing"
    deployed.invoke("operator", {"redrive": request})
    assert eventually(lambda: consume(deployed)) == ["poison"]
    eventually(lambda: not archived(deployed))

    eventually(lambda: desired(deployed) == 0)
    eventually(lambda: not instances(deployed))
    eventually(lambda: in_ledger(deployed, "launches"))
    documents = in_ledger(deployed, "documents")
    assert {"document#orders", "head"} <= {item["sk"]["S"] for item in documents}
    assert any("checked_at" in item for item in documents), "the copy is whole"
    page = deployed.invoke("console", {"fleet": "orders", "widgetContext": {}})
    assert "orders" in page

    report = audit_stack(deployed.sandbox.client("iam"), deployed.sandbox.calls(), "sluice", REGION)
    assert report.holds, str(report)


@pytest.mark.parametrize("path", events(), ids=lambda path: path.stem)
def test_function_answers_when_given_a_payload(deployed: Any, path: Path) -> None:
    """Every payload of events/, in Lambda's place with Lambda's role; none makes a function raise."""
    deployed.invoke(path.stem.partition("-")[0], json.loads(path.read_text()))


@pytest.fixture
def operator_only(deployed: Any) -> Any:
    """A Lambda client of an operator who may invoke the operator function, and nothing else."""
    iam, name = deployed.sandbox.client("iam"), "an-operator"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}}
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    arn = f"arn:aws:lambda:{REGION}:000000000000:function:{deployed.sluice['OperatorFunction']}"
    allow = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_role_policy(RoleName=name, PolicyName="press-buttons", PolicyDocument=document)
    sts = deployed.sandbox.client("sts")
    keys = sts.assume_role(RoleArn=role["Role"]["Arn"], RoleSessionName="operator")["Credentials"]
    return deployed.sandbox.client(
        "lambda",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
    )


@pytest.mark.parametrize(("kind", "function"), [("drains", "drainer"), ("jobs", "redrive-jobs")])
def test_step_is_handed_to_its_function_when_the_planner_receives_it(
    deployed: Any, kind: str, function: str, eventually: Eventually
) -> None:
    """A chain of no fleet has no work, so that its own function ends it, soon after the work queue had its step."""
    sandbox = deployed.sandbox
    work_queue = sandbox.client("sqs").get_queue_url(QueueName="sluice-work")["QueueUrl"]
    ports = deployed.ports(SLUICE_WORK_QUEUE=work_queue)
    before = len(sandbox.calls())
    assert ChainRunner(ports.ledger.chains, ports.work, time.time).start(f"{kind}/nobody", time.time())
    eventually(lambda: ports.ledger.chains.chain(f"{kind}/nobody") is None, within_s=14.0)  # before the sweep would
    handed = [call for call in sandbox.calls()[before:] if call["action"] == "lambda:InvokeFunction"]
    assert any(
        call["allowed"] and "sluice-planner-" in call["principal"] and call["resource"].endswith(f":sluice-{function}")
        for call in handed
    )


FORGED = (
    "redriver-dead-letters-text", "drainer-terminating", "drainer-launching", "drainer-spot-interruption",
    "drainer-run-command-success",
)  # fmt: skip


def test_user_may_only_press_buttons_when_granted_the_operator(deployed: Any, operator_only: Any) -> None:
    """Redriver and drainer refuse the caller, the operator refuses what AWS sends, and forgeries move nothing."""
    dry_run = {"redrive": {"fleet": "orders", "all": True, "dry_run": True}}
    taken = operator_only.invoke(FunctionName=deployed.sluice["OperatorFunction"], Payload=json.dumps(dry_run))
    assert json.load(taken["Payload"])["dry_run"] is True
    for output in ("RedriverFunction", "DrainerFunction", "PlannerFunction", "ConsoleFunction"):
        with pytest.raises(ClientError, match="AccessDenied"):
            operator_only.invoke(FunctionName=deployed.sluice[output], Payload=json.dumps(dry_run))

    before, kept = len(deployed.sandbox.calls()), archived(deployed)
    dead_letters = f"arn:aws:sqs:{REGION}:000000000000:orders-dead-letters"
    for name in FORGED:
        text = (ROOT / f"events/{name}.json").read_text()
        for event in {text, text.replace(dead_letters, deployed.orders["DeadLetterQueueArn"])}:
            refused = operator_only.invoke(FunctionName=deployed.sluice["OperatorFunction"], Payload=event)
            assert "event: must be one request" in json.load(refused["Payload"])["error"]
            deployed.invoke(name.partition("-")[0], json.loads(event))  # by one who may
    made = [call for call in deployed.sandbox.calls()[before:] if call["allowed"]]
    effects = {
        "sqs:SendMessage", "s3:PutObject", "ssm:SendCommand", "autoscaling:CompleteLifecycleAction",
        "autoscaling:RecordLifecycleActionHeartbeat",
    }  # fmt: skip
    functions = [call for call in made if "-redriver-" in call["principal"] or "-drainer-" in call["principal"]]
    own = ":sluice-work"  # the work queue, by which chains go on
    effective = [call for call in functions if call["action"] in effects and not call["resource"].endswith(own)]
    assert effective == []
    assert archived(deployed) == kept


@pytest.fixture
def second_fleet(deployed: Any) -> Iterator[str]:
    """A further fleet in a stack of its own: its document's name."""
    sqs, autoscaling = deployed.sandbox.client("sqs"), deployed.sandbox.client("autoscaling")
    (first,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[deployed.orders["GroupName"]])[
        "AutoScalingGroups"
    ]
    template = {key: first["LaunchTemplate"][key] for key in ("LaunchTemplateId", "Version")}
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="invoice-workers",
        MinSize=0,
        MaxSize=1,
        LaunchTemplate=template,
        AvailabilityZones=["eu-central-1a"],
    )
    outputs = deploy_package(
        deployed.sandbox,
        ROOT / "fleet.yaml",
        "sluice-invoices",
        {
            "QueueUrl": sqs.create_queue(QueueName="invoices.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"],
            "DeadLetterQueueUrl": "",
            "GroupName": "invoice-workers",
            "TargetWaitSeconds": "300",
            "FleetName": "invoices",
        },
    )
    yield outputs["FleetDocument"]
    delete_stack(deployed.sandbox, "sluice-invoices")


def test_second_fleet_is_looked_after_when_added(deployed: Any, second_fleet: str, eventually: Eventually) -> None:
    """fleet.yaml alone: the same hook and alarms, tags, and no grant. Its end leaves no trace but the tags."""
    iam = deployed.sandbox.client("iam")

    assert second_fleet == "/sluice/sluice/fleets/invoices"
    hooks = deployed.sandbox.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName="invoice-workers")
    assert [hook["LifecycleHookName"] for hook in hooks["LifecycleHooks"]] == ["sluice-drain"]
    for function in ("planner", "drainer", "redriver", "operator"):
        role = f"sluice-{function}-{REGION}"
        assert sorted(iam.list_role_policies(RoleName=role)["PolicyNames"]) == ["run", "work"]
        assert iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"] == []
    (group,) = deployed.sandbox.client("autoscaling").describe_auto_scaling_groups(
        AutoScalingGroupNames=["invoice-workers"]
    )["AutoScalingGroups"]
    tags = [(tag["Key"], tag["Value"], tag["PropagateAtLaunch"]) for tag in group["Tags"]]
    assert ("sluice:stack", "sluice", True) in tags
    sqs = deployed.sandbox.client("sqs")
    url = sqs.get_queue_url(QueueName="invoices.fifo")["QueueUrl"]
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"]["sluice:stack"] == "sluice"
    decisions = eventually(
        lambda: deployed.sandbox.client("dynamodb").query(
            TableName=deployed.sluice["LedgerTable"],
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": "fleet#invoices"}, ":sk": {"S": "decision#"}},
        )["Items"]
    )
    assert decisions
    # The payloads tell of an instance that never was: no tag says that its group is the fleet's.
    never_was = "instance/i-0c0ffee1234567890"
    calls = [call for call in deployed.sandbox.calls() if "assumed-role/sluice-" in call["principal"]]
    assert calls
    assert [call for call in calls if not call["allowed"] and not call["resource"].endswith(never_was)] == []


@pytest.fixture
def urgent(deployed: Any) -> Iterator[dict[str, str]]:
    """A further queue of the first fleet, in a stack of its own: its URL, and the name of its document."""
    sqs = deployed.sandbox.client("sqs")
    dead = sqs.create_queue(QueueName="urgent-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    url = sqs.create_queue(QueueName="urgent", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    parameters = {
        "QueueUrl": url,
        "DeadLetterQueueUrl": dead,
        "FleetName": "orders",
        "TargetWaitSeconds": "10",
        "Priority": "5",
    }
    outputs = deploy_package(deployed.sandbox, ROOT / "queue.yaml", "sluice-urgent", parameters)
    yield {"url": url, "document": outputs["QueueDocument"]}
    delete_stack(deployed.sandbox, "sluice-urgent")
    documents = deployed.sandbox.client("ssm").get_parameters_by_path(Path="/sluice/sluice/fleets", Recursive=True)
    assert "/sluice/sluice/fleets/orders/queues/urgent" not in {one["Name"] for one in documents["Parameters"]}


def test_further_queue_is_looked_after_when_added(
    deployed: Any, urgent: dict[str, str], eventually: Eventually
) -> None:
    """queue.yaml beside a fleet: it is woken for that queue, too, whose dead letters go back to it; IAM is enough."""
    sqs, url = deployed.sandbox.client("sqs"), urgent["url"]
    before, kept = len(deployed.sandbox.calls()), set(archived(deployed))
    assert urgent["document"] == "/sluice/sluice/fleets/orders/queues/urgent"
    function = deployed.sluice["RedriverFunction"]
    mappings = deployed.sandbox.client("lambda").list_event_source_mappings(FunctionName=function)[
        "EventSourceMappings"
    ]
    assert len({one["EventSourceArn"] for one in mappings if one["State"] == "Enabled"}) == len(mappings) == 2

    consume(deployed)
    eventually(lambda: desired(deployed) == 0)
    sqs.send_message(QueueUrl=url, MessageBody="now")
    eventually(lambda: desired(deployed) > 0)
    eventually(lambda: sqs.receive_message(QueueUrl=url, VisibilityTimeout=0).get("Messages"))
    eventually(lambda: not sqs.receive_message(QueueUrl=url).get("Messages"))  # SQS dead-letters what comes again
    (key,) = eventually(lambda: set(archived(deployed)) - kept)
    page = deployed.invoke("console", {"fleet": "orders", "widgetContext": {}})
    assert "urgent" in page

    answer = deployed.invoke("operator", {"redrive": {"fleet": "orders", "queue": "urgent", "dry_run": True}})
    assert (answer["selected_count"], answer["queues"]) == (1, ["urgent"])
    deployed.invoke("operator", {"redrive": {"fleet": "orders", "queue": "urgent"}})
    (back,) = eventually(lambda: sqs.receive_message(QueueUrl=url).get("Messages"))
    assert back["Body"] == "now"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=back["ReceiptHandle"])
    eventually(lambda: key not in archived(deployed))
    eventually(lambda: desired(deployed) == 0)
    refused = [call for call in deployed.sandbox.calls()[before:] if not call["allowed"]]
    # Neither is a fleet's: the payloads' instance never was, and the fleet of the invoices was deleted with its grants
    # while a planner was at work that had read its document.
    assert [one for one in refused if "i-0c0ffee" not in one["resource"] and "invoice" not in one["resource"]] == []


def test_stack_is_updated_in_place_when_parameters_change(deployed: Any) -> None:
    """From act to shadow: the document changes, and nothing is made anew; a second build is the same to the byte."""
    before = {name: one["PhysicalResourceId"] for name, one in resources(deployed, "sluice").items()}

    # The same prefix as `--guided` chose: what did not change is found where it is.
    changed = {**deployed.parameters, "Mode": "shadow"}
    folder = deployed.sandbox.directory / "built-again"
    deployed.sandbox.build(ROOT / "template.yaml", folder, log=folder.with_suffix(".log"))
    deployed.sandbox.deploy(folder, "sluice", changed, build=False, sam_args=("--s3-prefix", "sluice"))

    document = deployed.sandbox.client("ssm").get_parameter(Name=deployed.sluice["FleetDocument"])
    assert json.loads(document["Parameter"]["Value"])["mode"] == "shadow"
    after = {name: one["PhysicalResourceId"] for name, one in resources(deployed, "sluice").items()}
    assert before == after


def test_records_alone_remain_when_the_stack_is_deleted(deployed: Any) -> None:
    """`sam delete` ends this file: functions, roles, hook, alarms and rules go; ledger and archive stay."""
    sandbox = deployed.sandbox

    sandbox.sam(
        "delete", "--stack-name", "sluice", "--no-prompts", "--region", REGION, log=sandbox.directory / "delete.log"
    )

    assert sandbox.client("lambda").list_functions()["Functions"] == []
    assert sandbox.client("lambda").list_event_source_mappings()["EventSourceMappings"] == []
    hooks = sandbox.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=deployed.orders["GroupName"])
    assert hooks["LifecycleHooks"] == []
    assert sandbox.client("cloudwatch").describe_alarms(AlarmNamePrefix="sluice-")["MetricAlarms"] == []
    assert sandbox.client("events").list_rules(NamePrefix="sluice-")["Rules"] == []
    roles = sandbox.client("iam").list_roles()["Roles"]
    assert [role["RoleName"] for role in roles if role["RoleName"].startswith("sluice-")] == []
    assert sandbox.client("ssm").get_parameters_by_path(Path="/sluice/sluice/fleets/")["Parameters"] == []
    assert deployed.sluice["LedgerTable"] in sandbox.client("dynamodb").list_tables()["TableNames"]
    buckets = [bucket["Name"] for bucket in sandbox.client("s3").list_buckets()["Buckets"]]
    assert deployed.sluice["ArchiveBucket"] in buckets
