"""Moto's account for recordings: a ledger, the work queue, and fleets with their groups, queues and documents."""

import json
from datetime import UTC, datetime

import boto3

from sluice.aws.work_queue import QUEUE_SETTING
from sluice_tools.costs.calls import Item

REGION = "us-east-1"
UNITS = 4  # instances of a busy fleet
PER_MINUTE = 18.0  # messages that a busy fleet gets, as `pass_tick` sends them


class Account:
    """An account in which moto is at work.

    Args:
        fleets: how many.
        busy: whether they have messages and instances.
    """

    def __init__(self, fleets: int, *, busy: bool) -> None:
        self._busy = busy
        self._sqs = boto3.client("sqs", region_name=REGION)
        self._metrics = boto3.client("cloudwatch", region_name=REGION)
        self._table = boto3.client("dynamodb", region_name=REGION)
        self._table.create_table(
            TableName="ledger",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
        )
        self.work = {QUEUE_SETTING: self._sqs.create_queue(QueueName="sluice-work")["QueueUrl"]}
        self._queues = self._make_fleets(fleets)

    def _make_fleets(self, fleets: int) -> list[str]:
        groups, machines = boto3.client("autoscaling", region_name=REGION), boto3.client("ec2", region_name=REGION)
        template = machines.create_launch_template(
            LaunchTemplateName="t",
            LaunchTemplateData={
                "ImageId": machines.describe_images()["Images"][0]["ImageId"],
                "InstanceType": "t3.micro",
            },
        )["LaunchTemplate"]["LaunchTemplateId"]
        urls = []
        for number in range(fleets):
            name = f"fleet-{number:03d}"
            url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
            urls.append(url)
            groups.create_auto_scaling_group(
                AutoScalingGroupName=name,
                LaunchTemplate={"LaunchTemplateId": template},
                MinSize=0,
                MaxSize=20,
                DesiredCapacity=UNITS if self._busy else 0,
                AvailabilityZones=[f"{REGION}a"],
            )
            document = {"name": name, "queue": url, "group": name, "target_wait_s": 120, "mode": "act"}
            boto3.client("ssm", region_name=REGION).put_parameter(
                Name=f"/sluice/sluice/fleets/{name}", Value=json.dumps(document), Type="String"
            )
        return urls

    def item(self, table: str, key: Item) -> Item | None:
        """An item as it is now."""
        found: Item | None = self._table.get_item(TableName=table, Key=key).get("Item")
        return found

    def pass_tick(self, number: int, now: float) -> None:
        """What happens between two rounds: counts of busy fleets change, and each minute SQS tells its metrics."""
        for url in self._queues if self._busy else ():
            self._sqs.send_message_batch(
                QueueUrl=url, Entries=[{"Id": str(i), "MessageBody": "x"} for i in range(2 + number % 3)]
            )
            received = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=2 + (number + 1) % 3)
            for message in received.get("Messages", ()):
                self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        if number % 6 == 0:
            for url in self._queues:
                self._publish(url.rpartition("/")[2], now - 60.0)

    def _publish(self, queue: str, at: float) -> None:
        per_minute = PER_MINUTE if self._busy else 0.0
        figures = {
            "NumberOfMessagesSent": per_minute,
            "NumberOfMessagesReceived": per_minute,
            "NumberOfMessagesDeleted": per_minute,
            "ApproximateAgeOfOldestMessage": 5.0 if self._busy else 0.0,
        }
        self._metrics.put_metric_data(
            Namespace="AWS/SQS",
            MetricData=[
                {
                    "MetricName": name,
                    "Value": value,
                    "Timestamp": datetime.fromtimestamp(at, UTC),
                    "Dimensions": [{"Name": "QueueName", "Value": queue}],
                }
                for name, value in figures.items()
            ],
        )
