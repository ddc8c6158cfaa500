"""What the run proves, and how long AWS itself took: read from AWS, the database and the consumers' own work logs."""

import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sluice.model.draining import Drain
from sluice_tools.smoke.account import Account

if TYPE_CHECKING:
    from sluice_tools.smoke.story import Story

SENT_KEY = "sent/order-ids.txt"
WORK_LOGS = "work-log/"
"""Where drained consumers put their work logs (examples/orders/orders/worklog_copy.py)."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Counts of messages, instances and drains, in the order in which they are printed."""

    sent: int
    stored: int
    lost: int
    database_holds: bool  # each order paid once, each item taken from stock once
    in_queues: int  # messages that are still in the queue or the dead-letter queue
    quarantined: int
    redriven: int
    still_quarantined: int
    peak_consumers: int
    instances: int
    drained: int  # consumers that said, in their work logs, that they were drained
    drained_at_work: int  # of those, those that had orders to finish when they were asked to stop
    interrupted: int  # orders that a consumer began and did not end
    silent: int  # instances that were launched, and left no work log

    def failures(self, poison: int) -> list[str]:
        """What does not hold, in words; empty where everything does.

        Args:
            poison: how many poison orders were sent.
        """
        checks = (
            (self.lost == 0, f"{self.lost} orders were lost"),
            (self.stored == self.sent, f"{self.stored} orders are stored, {self.sent} were sent"),
            (self.database_holds, "the database contradicts itself: see `orders.admin audit` in the audit's file"),
            (self.in_queues == 0, f"{self.in_queues} messages are still in the queues"),
            (self.quarantined == poison, f"{self.quarantined} orders were quarantined, {poison} were poison"),
            (self.redriven == poison, f"{self.redriven} orders were sent back, {poison} were quarantined"),
            (self.still_quarantined == 0, f"{self.still_quarantined} orders are still quarantined"),
            (self.peak_consumers >= 2, f"there were {self.peak_consumers} consumers at the most, 2 were needed"),
            (self.drained > 0, "no consumer was drained"),
            (self.interrupted == 0, f"{self.interrupted} orders were interrupted"),
            (self.silent == 0, f"{self.silent} instances left no work log: what they did is not known"),
        )
        return [sentence for held, sentence in checks if not held]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long one thing took, each time that it happened; seconds."""

    what: str
    seconds: tuple[float, ...]

    def in_words(self) -> str:
        """Median, and the range where there is more than one."""
        if not self.seconds:
            return "not seen"
        if len(self.seconds) == 1:
            return f"{self.seconds[0]:.1f} s"
        low, high = min(self.seconds), max(self.seconds)
        return f"{statistics.median(self.seconds):.1f} s ({low:.1f} to {high:.1f}, {len(self.seconds)} times)"


@dataclass(frozen=True, slots=True)
class WorkLogs:
    """All consumers' work logs in one."""

    first_started_at: dict[str, float]  # instance -> epoch seconds of its first message
    wrote: frozenset[str]  # instances with a work log
    drained: int
    drained_at_work: int
    interrupted: int


def read_work_logs(lines: Iterable[str]) -> WorkLogs:
    """Sum work logs up (their lines: examples/orders/orders/worklog.py)."""
    first: dict[str, float] = {}
    wrote: set[str] = set()
    open_work: dict[tuple[str, int, str], int] = {}
    drained = at_work = 0
    for line in lines:
        entry = json.loads(line)
        instance = str(entry["instance"])
        wrote.add(instance)
        work = (instance, int(entry["process"]), str(entry.get("message_id")))
        match entry["event"]:
            case "started":
                first[instance] = min(first.get(instance, math.inf), float(entry["at"]))
                open_work[work] = open_work.get(work, 0) + 1
            case "finished":
                open_work[work] = open_work.get(work, 0) - 1
            case "draining":
                at_work += entry["working"] > 0
            case "drained":
                drained += 1
            case _:
                pass
    return WorkLogs(first, frozenset(wrote), drained, at_work, sum(count for count in open_work.values() if count > 0))


class MetricDelay:
    """How late CloudWatch tells of messages that were sent."""

    def __init__(self, cloudwatch: Any, queue: str, period_s: float) -> None:
        """Watch a queue's NumberOfMessagesSent, of which SQS sends one figure a period of `period_s` seconds."""
        self._cloudwatch, self._queue, self._period_s = cloudwatch, queue, period_s
        self._period_at: float | None = None
        self.delay_s: float | None = None  # from the end of the period until its figure could be read

    def sent(self, at: float, count: int) -> None:
        """At this time `count` messages were sent."""
        if count > 0:
            self._period_at = math.floor(at / self._period_s) * self._period_s

    def look(self, now: float) -> None:
        """Whether the figure is there by now; nothing is asked before its period is over."""
        if self.delay_s is not None or self._period_at is None or now < self._period_at + self._period_s:
            return
        answer = self._cloudwatch.get_metric_data(
            MetricDataQueries=[
                {
                    "Id": "sent",
                    "MetricStat": {
                        "Metric": {
                            "Namespace": "AWS/SQS",
                            "MetricName": "NumberOfMessagesSent",
                            "Dimensions": [{"Name": "QueueName", "Value": self._queue}],
                        },
                        "Period": int(self._period_s),
                        "Stat": "Sum",
                    },
                }
            ],
            StartTime=datetime.fromtimestamp(self._period_at, UTC),
            EndTime=datetime.fromtimestamp(self._period_at + self._period_s, UTC),
        )
        if any(value > 0 for value in answer["MetricDataResults"][0]["Values"]):
            self.delay_s = now - (self._period_at + self._period_s)


def gather(story: "Story") -> tuple[Audit, list[Timing], dict[str, Any]]:
    """The audit, AWS's own times, and what the database's own audit said; the fleet is at zero by now."""
    deployment = story.deployment
    account, names = deployment.account, deployment.names
    s3 = account.client("s3")
    sent = story.traffic.sent
    s3.put_object(Bucket=names.bucket, Key=SENT_KEY, Body="\n".join(sorted(sent)).encode())
    said: dict[str, Any] = json.loads(deployment.admin("audit", "--sent", f"s3://{names.bucket}/{SENT_KEY}"))
    logs = read_work_logs(_work_log_lines(s3, names.bucket))
    launches = _launches(account, deployment.orders["GroupName"])
    instances = story.instances | set(launches)
    queues = (deployment.orders["QueueUrl"], deployment.orders["DeadLetterQueueUrl"])
    lost = len(said["not_stored"])
    audit = Audit(
        sent=len(sent),
        stored=len(sent) - lost,
        lost=lost,
        database_holds=not (said["charged_twice"] or said["unpaid"] or said["stock_wrong"]),
        in_queues=sum(_messages(account, queue) for queue in queues),
        quarantined=story.quarantined,
        redriven=story.redriven,
        still_quarantined=sum(group.count for group in story.ports.ledger.failure_groups.failure_groups("orders")),
        peak_consumers=story.peak,
        instances=len(instances),
        drained=logs.drained,
        drained_at_work=logs.drained_at_work,
        interrupted=logs.interrupted,
        silent=len(instances - logs.wrote),
    )
    return audit, _timings(story, launches, logs, sorted(instances)), said


def _work_log_lines(s3: Any, bucket: str) -> Iterable[str]:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=WORK_LOGS):
        for found in page.get("Contents", ()):
            yield from s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read().decode().splitlines()


def _messages(account: Account, queue_url: str) -> int:
    names = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    ]
    answer = account.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=names)
    return sum(int(answer["Attributes"][name]) for name in names)


def _launches(account: Account, group: str) -> dict[str, tuple[float, float]]:
    """Instance -> (launch asked for, in service), epoch seconds, by the group's own activities."""
    found = {}
    pages = account.client("autoscaling").get_paginator("describe_scaling_activities")
    for page in pages.paginate(AutoScalingGroupName=group):
        for activity in page["Activities"]:
            # "Launching a new EC2 instance: i-...":
            # https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-verify-scaling-activity.html
            kind, _, instance = activity["Description"].partition(": ")
            if kind.startswith("Launching") and activity["StatusCode"] == "Successful":
                found[instance] = (activity["StartTime"].timestamp(), activity["EndTime"].timestamp())
    return found


def _timings(
    story: "Story", launches: dict[str, tuple[float, float]], logs: WorkLogs, instances: Sequence[str]
) -> list[Timing]:
    drains: list[Drain] = list(story.ports.ledger.drains.all_of("orders"))
    asked, ran = _commands(story.deployment.account, instances)
    first = logs.first_started_at
    return [
        Timing("launch asked for, until in service", tuple(end - start for start, end in launches.values())),
        Timing(
            "in service, until its first message",
            tuple(first[one] - end for one, (_, end) in launches.items() if one in first),
        ),
        Timing(
            "launch asked for, until its first message (Sluice's lead time)",
            tuple(first[one] - start for one, (start, _) in launches.items() if one in first),
        ),
        Timing(
            "end of a metric's minute, until CloudWatch has it",
            () if story.metric.delay_s is None else (story.metric.delay_s,),
        ),
        Timing(
            "lifecycle action begun, until Sluice has its event",
            tuple(drain.started_at - drain.action.began_at for drain in drains if drain.action is not None),
        ),
        Timing("Run Command asked for, until it starts", asked),
        Timing("Run Command started, until it ends (the consumer's own drain)", ran),
    ]


def _commands(account: Account, instances: Sequence[str]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Asked to started, and started to ended, of every command on the consumers."""
    ssm = account.client("ssm")
    asked, ran = [], []
    for instance in instances:
        for page in ssm.get_paginator("list_command_invocations").paginate(InstanceId=instance):
            for invocation in page["CommandInvocations"]:
                # https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html
                answer = ssm.get_command_invocation(CommandId=invocation["CommandId"], InstanceId=instance)
                if not answer.get("ExecutionStartDateTime"):
                    continue
                started = datetime.fromisoformat(answer["ExecutionStartDateTime"]).timestamp()
                asked.append(max(0.0, started - invocation["RequestedDateTime"].timestamp()))
                if answer.get("ExecutionEndDateTime"):
                    ran.append(datetime.fromisoformat(answer["ExecutionEndDateTime"]).timestamp() - started)
    return tuple(asked), tuple(ran)


def as_dict(audit: Audit, timings: Sequence[Timing]) -> dict[str, Any]:
    """Both as one JSON object: figures by name, and each time's seconds."""
    return asdict(audit) | {
        "aws_seconds": {timing.what: [round(one, 2) for one in timing.seconds] for timing in timings}
    }
