"""What a simulated world is like: every number that is neither traffic nor policy."""

from dataclasses import dataclass
from enum import StrEnum

MINUTE_S = 60.0
# https://aws.amazon.com/ec2/pricing/on-demand/: by the second, with a minimum of 60 seconds
MINIMUM_BILLING_S = 60.0
# Above this many messages each becomes too small to follow by itself in seconds of computing; the queue is then fluid.
MESSAGES_MAX = 1_500_000


class ScaleInOrder(StrEnum):
    """Which instance goes first. AWS's default policy looks at the next billing hour: as good as random."""

    RANDOM = "random"
    OLDEST = "oldest"
    NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Conditions:
    """The world of a run. Times in seconds; shares between 0 and 1."""

    seconds_per_message: float = 1.0  # the mean of what one instance takes
    target_wait_s: float = 120.0
    boot_s: float = 60.0  # the mean, from launch to first message
    boot_spread: float = 0.1  # standard deviation of boots, as a share of the mean
    launch_failure: float = 0.0  # share of launches that come to nothing, after their boot
    drain_s: float = 5.0  # what an instance is paid for after its last message
    service_cv: float = 0.5  # standard deviation of service times, as a share of the mean (gamma)
    metric_late_s: tuple[float, float] = (60.0, 180.0)  # after its minute's end a metric is there
    count_noise: float = 0.03  # standard deviation of the live counts, as a share: they are approximate
    max_size: int = 100_000
    minimum_billing_s: float = MINIMUM_BILLING_S
    scale_in_order: ScaleInOrder = ScaleInOrder.RANDOM
    seed: int = 1
    messages_max: int = MESSAGES_MAX  # traces with more are simulated as a fluid

    def __post_init__(self) -> None:
        problems = [
            f"{name}: must be above 0 (got {value:g})"
            for name, value in (
                ("seconds_per_message", self.seconds_per_message),
                ("target_wait", self.target_wait_s),
            )
            if not value > 0
        ]
        problems += [
            f"{name}: must be at least 0 (got {value:g})"
            for name, value in (
                ("boot", self.boot_s),
                ("boot_spread", self.boot_spread),
                ("drain", self.drain_s),
                ("service_cv", self.service_cv),
                ("count_noise", self.count_noise),
            )
            if not value >= 0
        ]
        if not 0 <= self.launch_failure < 1:
            problems.append(f"launch_failure: must be at least 0 and below 1 (got {self.launch_failure:g})")
        if problems:
            raise ValueError("; ".join(problems))
