"""AWS's quotas that many fleets share, as token buckets.

| what | how many | source |
|---|---|---|
| Parameter Store's reads | 40 a second | https://docs.aws.amazon.com/general/latest/gr/ssm.html |
| GetMetricData | 50 a second | https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html |
| DescribeAutoScalingGroups | 20 a second | assumed: AWS says that there is a token bucket, and no figures |
| messages in flight | 120,000 | https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/ |
| functions at once | 1,000 | https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html |
"""

from dataclasses import dataclass, field

PER_SECOND = {"ssm": 40.0, "cloudwatch.GetMetricData": 50.0, "autoscaling.DescribeAutoScalingGroups": 20.0}
IN_FLIGHT = 120_000
ACCOUNT_CONCURRENCY = 1_000


@dataclass(slots=True)
class Bucket:
    """So many calls a second, and a second's worth at once."""

    per_s: float
    tokens: float = field(init=False)
    at: float = 0.0
    taken: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        """It begins full."""
        self.tokens = self.per_s

    def take(self, now: float) -> bool:
        """Whether a call may be made now; if not it is throttled."""
        self.tokens = min(self.per_s, self.tokens + max(0.0, now - self.at) * self.per_s)
        self.at = max(self.at, now)
        if self.tokens < 1.0:
            self.refused += 1
            return False
        self.tokens -= 1.0
        self.taken += 1
        return True

    def wait_s(self, now: float, count: float) -> float:
        """How long so many calls take in a row that are tried until they are answered; they are taken."""
        self.tokens = min(self.per_s, self.tokens + max(0.0, now - self.at) * self.per_s)
        self.at = max(self.at, now)
        self.tokens -= count
        self.taken += int(count)
        return max(0.0, -self.tokens / self.per_s)


def buckets() -> dict[str, Bucket]:
    """A full bucket for each quota of calls."""
    return {name: Bucket(per_s) for name, per_s in PER_SECOND.items()}
