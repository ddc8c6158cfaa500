"""An operator's redrives by the deployed functions and their own IAM: SQS's move tasks, edits, what was let go of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest

from sluice.model.redriving import QuarantineEntry
from sluice.ports.stack import Ports
from sluice_tools.iam_audit import calls
from sluice_tools.sandbox.packages import delete_stack, deploy_package
from sluice_tools.sandbox.sandbox import REGION, ROOT

pytestmark = pytest.mark.sandbox

Eventually = Callable[..., Any]

FLEET = "parcels"
# A load is the messages of one second: 20 calls each to receive, send and delete, four at a time. So slow an SQS makes
# that 1.5 s on any machine, and SQS's move task is faster. The check of how long dead letters have left hides 400 of
# them while it is under way, for longer the slower SQS is, and a move task ends once it sees no more. What is left
# after a load takes the move task 9 s, in which a busy machine has to begin the process that pauses it.
SLOW_S = 0.1
COUNT = 2_000
RATE_PER_S = 200


@dataclass(frozen=True)
class Parcels:
    """A fleet whose dead letters wait for an operator, in encrypted queues; nobody consumes it but the tests."""

    deployed: Any
    queue: str
    dead_letters: str
    key: str  # the ARN of the queues' key

    @cached_property
    def ports(self) -> Ports:
        """The stack's records, as root reads them."""
        ports: Ports = self.deployed.ports()
        return ports

    def asked(self, kind: str, **fields: Any) -> dict[str, Any]:
        """The operator function's answer to a request; the test fails if it refused."""
        answer: dict[str, Any] = self.deployed.invoke("operator", {kind: {"fleet": FLEET, **fields}})
        assert "error" not in answer, answer
        return answer

    def on_the_command_line(self, *arguments: str) -> dict[str, Any]:
        """The same by `sluice`, its JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "sluice_tools.cli", *arguments, "--fleet", FLEET, "--json"],
            cwd=ROOT,
            env=os.environ | self.deployed.sandbox.env(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2_000:]
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def put_dead(self, *bodies: str, cause: str = "Unpaid: the customer has not paid") -> None:
        """Dead letters, as a consumer that stamps them."""
        stamps = {
            "sluice.cause": {"DataType": "String", "StringValue": cause},
            "shop": {"DataType": "String", "StringValue": "Berlin"},
            "seal": {"DataType": "Binary.raw", "BinaryValue": b"\x00\xff"},
        }
        sqs = self.deployed.sandbox.client("sqs")
        some = 1 if len(bodies[0]) > 10_000 else 10
        for first in range(0, len(bodies), some):
            entries = [
                {"Id": str(n), "MessageBody": body, "MessageAttributes": stamps}
                for n, body in enumerate(bodies[first : first + some])
            ]
            answer = sqs.send_message_batch(QueueUrl=self.dead_letters, Entries=entries)
            assert len(answer["Successful"]) == len(entries)

    @contextmanager
    def slow(self) -> Iterator[None]:
        """SQS is slow meanwhile, on any machine."""
        sandbox = self.deployed.sandbox
        sandbox.admin("POST", "delays/AmazonSQS", {"seconds": SLOW_S})
        try:
            yield
        finally:
            sandbox.admin("POST", "delays/AmazonSQS", {"seconds": 0})

    def take(self) -> list[dict[str, Any]]:
        """Take what is in the queue, as its consumer would."""
        sqs, taken = self.deployed.sandbox.client("sqs"), []
        while messages := sqs.receive_message(
            QueueUrl=self.queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages", []):
            for message in messages:
                sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
                taken.append(message)
        return taken

    def redrive(self, message_id: str, eventually: Eventually) -> None:
        """Send one message back, and wait for it: the answer comes while the redriver's step may be at another job."""
        job = self.on_the_command_line("redrive", "start", "--message", message_id)["job"]

        def sent() -> bool:
            now = self.asked("status", job_id=job["id"])["job"]
            assert now["state"] in {"running", "watching", "done"}, now  # it is watched for a second
            return now["state"] != "running" and bool(now["sent_count"] == 1)

        eventually(sent)

    def count(self, url: str) -> int:
        """How many messages wait in a queue."""
        sqs = self.deployed.sandbox.client("sqs")
        names = ["ApproximateNumberOfMessages"]
        return int(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"][names[0]])

    def held(self) -> tuple[QuarantineEntry, ...]:
        """The quarantine's index."""
        return self.ports.ledger.quarantine.quarantined(FLEET)[0]


@pytest.fixture(scope="module")
def parcels(deployed: Any) -> Iterator[Parcels]:
    """A further fleet by fleet.yaml alone, its queues under a key of their own."""
    sandbox = deployed.sandbox
    sqs, autoscaling = sandbox.client("sqs"), sandbox.client("autoscaling")
    key = sandbox.client("kms").create_key()["KeyMetadata"]["Arn"]
    encrypted = {"KmsMasterKeyId": key, "MaximumMessageSize": "1048576"}
    dead = sqs.create_queue(QueueName=f"{FLEET}-dead", Attributes=encrypted)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
    queue = sqs.create_queue(QueueName=FLEET, Attributes=encrypted | {"RedrivePolicy": redrive})["QueueUrl"]
    (first,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[deployed.orders["GroupName"]])[
        "AutoScalingGroups"
    ]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=f"{FLEET}-workers",
        MinSize=0,
        MaxSize=0,
        LaunchTemplate={name: first["LaunchTemplate"][name] for name in ("LaunchTemplateId", "Version")},
        AvailabilityZones=["eu-central-1a"],
    )
    deploy_package(
        sandbox,
        ROOT / "fleet.yaml",
        f"sluice-{FLEET}",
        {
            "QueueUrl": queue,
            "DeadLetterQueueUrl": dead,
            "GroupName": f"{FLEET}-workers",
            "TargetWaitSeconds": "300",
            "FleetName": FLEET,
            "Settings": json.dumps({"redrive": {"mode": "manual", "edits": True, "canary_wait_s": 1}}),
        },
    )
    yield Parcels(deployed, queue, dead, key)
    delete_stack(sandbox, f"sluice-{FLEET}")


@pytest.fixture(autouse=True)
def nothing_is_refused(parcels: Parcels) -> Iterator[None]:
    """Whatever a test asks for, the own IAM of redriver and operator is enough for it."""
    sandbox = parcels.deployed.sandbox
    before = len(sandbox.calls())
    yield
    made = calls(sandbox.calls()[before:], "sluice", REGION)
    assert [call for call in made if call.function in {"redriver", "operator"} and not call.allowed] == []


def check_reads(parcels: Parcels, entry: QuarantineEntry) -> None:
    """Commands that read show it, and the console function's own IAM is enough for them."""
    before = len(parcels.deployed.sandbox.calls())
    ids = ("--group", entry.failure_group)
    assert [one["message_id"] for one in parcels.on_the_command_line("messages", "list", *ids)["messages"]] == [
        entry.message_id
    ]
    shown = parcels.on_the_command_line("messages", "show", entry.message_id)["message"]
    assert (shown["body"], shown["message_attributes"]["seal"]["binary_base64"]) == ('{"sku": "tea-oolon"}', "AP8=")
    (group,) = parcels.on_the_command_line("groups", "show", entry.failure_group)["groups"]
    assert group["count"] == 1
    (fleet,) = parcels.on_the_command_line("status")["fleets"]
    assert (fleet["fleet"], fleet["quarantined_count"]) == (FLEET, 1)
    assert "decisions" in parcels.on_the_command_line("decisions")
    assert parcels.on_the_command_line("redrive", "list")["jobs"] == []
    made = [
        call
        for call in calls(parcels.deployed.sandbox.calls()[before:], "sluice", REGION)
        if call.function == "console"
    ]
    assert made
    assert [call for call in made if not call.allowed] == []


def test_dead_letter_is_edited_redriven_and_restored_when_a_person_says_so(
    parcels: Parcels, eventually: Eventually
) -> None:
    """Taken in, sent back with another body; the original brought back, sent, and brought back though it was let go."""
    parcels.put_dead('{"sku": "tea-oolon"}')
    (seen,) = parcels.on_the_command_line("dlq", "peek")["messages"]
    assert (seen["sample"], seen["attributes"]) == ('{"sku": "tea-oolon"}', {"shop": "Berlin"})
    assert parcels.count(parcels.dead_letters) == 1, "it was given back at once"
    assert parcels.asked("quarantine")["quarantined_count"] == 1
    (entry,) = parcels.held()
    check_reads(parcels, entry)

    job = parcels.asked("edit", message_id=entry.message_id, body='{"sku": "tea-oolong"}', requested_by="ada")["job"]
    (sent,) = parcels.take()
    assert (job["state"], job["requested_by"], sent["Body"]) == ("watching", "ada", '{"sku": "tea-oolong"}')
    assert sent["MessageAttributes"]["seal"]["BinaryValue"] == b"\x00\xff"
    assert parcels.held() == ()
    assert parcels.ports.archive.load(entry.key).body == '{"sku": "tea-oolon"}'

    restored = parcels.asked("restore", key=entry.key)["message_id"]
    (held,) = parcels.held()
    assert held.message_id == restored != entry.message_id
    parcels.redrive(restored, eventually)
    assert [message["Body"] for message in parcels.take()] == ['{"sku": "tea-oolon"}']

    assert parcels.on_the_command_line("archive", "restore", held.key)["fleet"] == FLEET
    (again,) = parcels.held()
    assert parcels.ports.archive.load(again.key).body == '{"sku": "tea-oolon"}'
    parcels.redrive(again.message_id, eventually)
    assert len(parcels.take()) == 1


def test_move_task_brings_a_dead_letter_queue_back_when_it_is_faster(parcels: Parcels, eventually: Eventually) -> None:
    """After the canary and one load that was timed; ended by a pause, and all is counted in the end."""
    parcels.put_dead(*(f"parcel {n}" for n in range(COUNT)))
    before = len(parcels.deployed.sandbox.calls())

    asked = ("redrive", "start", "--all", "--from-dead-letter-queue", "--rate", str(RATE_PER_S))
    assert parcels.on_the_command_line(*asked, "--dry-run")["selected_count"] == COUNT

    def moving() -> bool:
        now = parcels.asked("status", job_id=job["id"])["job"]
        assert now["state"] == "running", now
        return bool(now["phase"] == "move")

    with parcels.slow():
        job = parcels.on_the_command_line(*asked)["job"]
        eventually(moving)
    paused = parcels.on_the_command_line("redrive", "pause", job["id"])["job"]
    assert (paused["state"], paused["phase"]) == ("paused", "ramp")
    (task,) = parcels.ports.queue.moves(parcels.dead_letters)
    assert task.cancelled
    assert (parcels.count(parcels.queue), parcels.count(parcels.dead_letters)) == (
        paused["sent_count"], COUNT - paused["sent_count"],
    )  # fmt: skip

    parcels.on_the_command_line("redrive", "resume", job["id"])
    done = parcels.on_the_command_line("redrive", "watch", job["id"])["job"]
    assert (done["state"], done["sent_count"], done["failed_count"]) == ("done", COUNT, 0), done
    assert (parcels.count(parcels.queue), parcels.count(parcels.dead_letters)) == (COUNT, 0)
    assert [action["action"] for action in done["actions"]] == ["asked for it", "paused it", "resumed it"]
    made = calls(parcels.deployed.sandbox.calls()[before:], "sluice", REGION)
    arn = parcels.ports.queue.facts(parcels.dead_letters).arn
    for action in ("StartMessageMoveTask", "ListMessageMoveTasks", "CancelMessageMoveTask"):
        assert any((call.action, call.resource) == (f"sqs:{action}", arn) for call in made), action
    parcels.deployed.sandbox.client("sqs").purge_queue(QueueUrl=parcels.queue)


def test_key_is_the_redrivers_to_use_only_through_queues_when_queues_are_encrypted(parcels: Parcels) -> None:
    """As deployed: the condition names SQS, and by itself no function may ask the key anything.

    The emulator's SQS encrypts nothing and asks no key, so that more than the policies cannot be shown here.
    """
    iam = parcels.deployed.sandbox.client("iam")

    role = f"sluice-redriver-{REGION}"
    document = iam.get_role_policy(RoleName=role, PolicyName="work")["PolicyDocument"]
    (grant,) = [one for one in document["Statement"] if "kms:Decrypt" in one["Action"]]
    assert grant["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert grant["Resource"] == f"{parcels.key.rpartition('/')[0]}/*"
    assert grant["Condition"] == {"StringEquals": {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"}}
    for function in ("planner", "drainer", "redriver", "operator", "console"):
        answer = iam.simulate_principal_policy(
            PolicySourceArn=iam.get_role(RoleName=f"sluice-{function}-{REGION}")["Role"]["Arn"],
            ActionNames=["kms:Decrypt", "kms:GenerateDataKey"],
            ResourceArns=[parcels.key],
        )
        assert {result["EvalDecision"] for result in answer["EvaluationResults"]} == {"implicitDeny"}, function
