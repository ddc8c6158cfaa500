"""What a stack uses in a month, by what was recorded of one round, and by what its templates make.

| part | where it comes from |
|---|---|
| calls, ledger units, log bytes and seconds of a round and of a schedule's minute | recorded.json |
| polls of queues that are empty | AWS's documentation of event source mappings |
| alarms and the metrics in them | template.yaml and fleet.yaml |

What happens now and then is left out: scaling activities, drains, dead letters, redrives, and people at the dashboard.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from math import ceil, exp
from pathlib import Path

from sluice.model.timing import READ_PERIODS
from sluice_tools.cfn import Template
from sluice_tools.deploy.build import template_file

RECORDED = Path(__file__).parent / "recorded.json"

MONTH_S = 730 * 3_600.0
MINUTES = MONTH_S / 60
SHARD_SIZE = 50  # fleets, as `sluice.planning.shards` makes them
LEDGER_GB = 0.001  # of one fleet: memory, decisions of some days, failure groups
# A poll of an empty queue ends after 20 s. Lambda polls by five at least where a mapping has a maximum concurrency, and
# by as few as two where it has none and its traffic is low. A message ends one of the polls that wait, and its poller's
# next one begins. https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
POLL_S = 20.0
POLLERS = {True: 5, False: 2}
FIGURES = ("write_units", "read_units", "metrics_read", "log_bytes", "seconds", "series", "invocations")


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the invocations of a tick used, or of a minute: on average, all of them together."""

    calls: Mapping[str, float] = field(default_factory=dict)  # by service and operation, such as "sqs.SendMessage"
    write_units: float = 0.0
    read_units: float = 0.0
    metrics_read: float = 0.0
    log_bytes: float = 0.0
    seconds: float = 0.0  # that Lambda bills, with the function's memory
    series: float = 0.0  # a fleet's own metrics that had data
    invocations: float = 0.0  # a shard has more than one a tick where counts jump

    def times(self, factor: float) -> "Recorded":
        """The same, so many times."""
        return self.plus(self, factor - 1.0)

    def plus(self, other: "Recorded", factor: float = 1.0) -> "Recorded":
        """Both together, the other one so many times."""
        names = [*self.calls, *(name for name in other.calls if name not in self.calls)]
        return Recorded(
            {name: self.calls.get(name, 0.0) + factor * other.calls.get(name, 0.0) for name in names},
            self.write_units + factor * other.write_units,
            self.read_units + factor * other.read_units,
            self.metrics_read + factor * other.metrics_read,
            self.log_bytes + factor * other.log_bytes,
            self.seconds + factor * other.seconds,
            self.series + factor * other.series,
            self.invocations + factor * other.invocations,
        )

    def of_service(self, service: str) -> float:
        """How many calls of one service."""
        return sum(count for name, count in self.calls.items() if name.startswith(f"{service}."))


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded: rounds over a shard of one and of many fleets, idle and busy, and what each minute brings."""

    rounds: Mapping[str, Mapping[int, Recorded]]  # of a tick: "idle" and "busy"; by the shard's fleets
    minutes: Mapping[str, Recorded]  # by function; "stale" is a step that came for nothing

    def round_of(self, fleets: float, hot: float) -> Recorded:
        """A tick of a shard of so many fleets, of which a share is busy.

        What a shard costs and what each of its fleets adds are taken from the two sizes that were recorded.
        """
        small, large = sorted(self.rounds["idle"])
        adds = {
            load: sizes[large].plus(sizes[small], -1.0).times(1.0 / (large - small))
            for load, sizes in self.rounds.items()
        }
        round_ = Recorded()
        for load, share in (("idle", 1.0 - hot), ("busy", hot)):
            shard = self.rounds[load][small].plus(adds[load], -float(small))
            round_ = round_.plus(shard.plus(adds[load], fleets), share)
        return round_

    def to_json(self) -> str:
        """As kept in recorded.json."""

        def plain(one: Recorded) -> dict[str, object]:
            kept: dict[str, object] = {"calls": {name: round(n, 3) for name, n in sorted(one.calls.items()) if n}}
            for name in FIGURES:
                kept[name] = round(float(getattr(one, name)), 4)
            return kept

        rounds = {load: {str(size): plain(one) for size, one in sizes.items()} for load, sizes in self.rounds.items()}
        return json.dumps({"rounds": rounds, "minutes": {n: plain(one) for n, one in self.minutes.items()}}, indent=1)


def load(path: Path = RECORDED) -> Recording:
    """Read what was recorded."""
    found = json.loads(path.read_text())
    return Recording(
        {load: {int(size): Recorded(**one) for size, one in sizes.items()} for load, sizes in found["rounds"].items()},
        {name: Recorded(**one) for name, one in found["minutes"].items()},
    )


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack whose cost is asked for."""

    fleets: int
    hot_hours: float = 24.0  # of a day, of each fleet
    detail: str = "stack"
    tick_s: float = 10.0
    dead_letters: bool = True  # whether each fleet has a dead-letter queue
    slow_launches: bool = False  # whether launches take longer than the target wait: metrics are read each period

    @property
    def hot(self) -> float:
        """The share of time in which a fleet is busy."""
        return self.hot_hours / 24.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What a stack uses in a month."""

    steps: float  # messages of the work queue that were handled
    polls: float  # receives of empty queues
    gb_seconds: float  # of Lambda
    work: Recorded  # of all invocations together
    series: float
    alarm_metrics: float
    ledger_gb: float


def usage(stack: Stack, recording: Recording) -> Usage:
    """What a stack uses in a month."""
    shards = ceil(stack.fleets / SHARD_SIZE)
    ticks = recording.round_of(stack.fleets / shards, stack.hot).times(shards * MONTH_S / stack.tick_s)
    if stack.slow_launches:
        more = ticks.metrics_read * (READ_PERIODS - 1.0)
        ticks = replace(ticks, metrics_read=ticks.metrics_read + more)
    stale = recording.minutes["stale"].times(shards * MINUTES)
    work = ticks.plus(stale)
    for name, minute in recording.minutes.items():
        if name != "stale":
            work = work.plus(minute, MINUTES)
    steps = ticks.invocations + stale.invocations
    return Usage(
        steps=steps,
        polls=polls(stack, steps),
        gb_seconds=work.seconds * memory_mb() / 1_024,
        work=work,
        series=_series(stack, recording) if stack.detail == "fleet" else 0.0,  # the stack's have none while all is well
        alarm_metrics=alarm_metrics(stack),
        ledger_gb=LEDGER_GB * stack.fleets,
    )


def _series(stack: Stack, recording: Recording) -> float:
    size = max(recording.rounds["idle"])
    idle, busy = (recording.rounds[load][size].series / size for load in ("idle", "busy"))
    return stack.fleets * (idle + stack.hot * (busy - idle))


def template_of(name: str) -> Template:
    """One of the project's templates."""
    return Template.load(template_file(f"{name}.yaml"))


@cache
def memory_mb() -> int:
    """The functions' memory, in MB."""
    return int(template_of("template").body["Globals"]["Function"]["MemorySize"])


def polls(stack: Stack, steps: float) -> float:
    """Receives of empty queues in a month: the work queue's, with so many messages, and each dead-letter queue's."""
    work, dead = (
        POLLERS["ScalingConfig" in template_of(template).resources[name]["Properties"]]
        for template, name in (("template", "Steps"), ("fleet", "DeadLetters"))
    )
    return empty_polls(work, steps) + (stack.fleets * empty_polls(dead, 0.0) if stack.dead_letters else 0.0)


def empty_polls(pollers: int, messages: float) -> float:
    """Receives of a queue in a month that end without a message.

    Args:
        pollers: how many requests wait at the queue at a time.
        messages: of a month, at any times; each ends any of the requests.
    """
    longest = MONTH_S / POLL_S
    each = messages / pollers / longest  # messages for a poller within the time of a poll
    if each == 0.0:
        return pollers * longest
    return messages * exp(-each) / (1.0 - exp(-each))


def alarm_metrics(stack: Stack) -> float:
    """The metrics that the alarms of a stack and of its fleets look at: an alarm is billed by these."""
    queue = "https://sqs.us-east-1.amazonaws.com/123456789012/q"
    asked = {"QueueUrl": queue, "GroupName": "g", "TargetWaitSeconds": "60", "Detail": stack.detail}
    if stack.dead_letters:
        asked["DeadLetterQueueUrl"] = f"{queue}-dead"
    first = {"FleetName": "f"}
    counts = [
        _alarm_metrics_of(template_of(name), asked | more)
        for name, more in (("template", {}), ("fleet", first | {"WakeUpAlarms": "true"}), ("fleet", first))
    ]
    return counts[0] + counts[1] + (stack.fleets - 1) * counts[2]


def _alarm_metrics_of(template: Template, parameters: Mapping[str, str]) -> int:
    alarms = template.resolve(parameters).of_type("AWS::CloudWatch::Alarm").values()
    return sum(sum("MetricStat" in metric for metric in alarm.get("Metrics", ())) or 1 for alarm in alarms)
