"""The demo's short durations, printed with it, so that its seconds are not taken for AWS's."""

from dataclasses import dataclass

from sluice_tools.sandbox.emulator.settings import Settings


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """Durations in real seconds, rates per second; each beside what AWS has in its place."""

    target_wait_s: float = 20.0
    steady_per_s: float = 2.0
    burst_factor: int = 20
    burst_s: float = 8.0
    work_s: float = 0.5  # one order's work, before its transaction
    long_work_s: float = 20.0  # that of the order during which its instance is terminated
    consumers: int = 2  # of one instance
    concurrency: int = 1  # orders one consumer works on at once
    away_s: float = 15.0  # how long the drainer is away
    max_instances: int = 8
    visibility_s: int = 8  # after it SQS delivers a killed consumer's order again
    boot_s: float = 2.0
    tick_s: float = 1.0
    minute_s: float = 6.0
    metric_delay_s: float = 2.0
    stabilization_window_s: float = 8.0
    outage_s: float = 14.0
    max_retries: int = 2
    retry_base_s: float = 2.0
    canary_wait_s: float = 5.0

    @property
    def lead_time_s(self) -> float:
        """From a launch to the first order worked on: the boot, and a Python start."""
        return self.boot_s + 2

    @property
    def burst_count(self) -> int:
        """Orders of the burst: the longest that the queue can become."""
        return round(self.steady_per_s * self.burst_factor * self.burst_s)

    def sandbox(self) -> Settings:
        """The settings of the emulator."""
        return Settings(
            minute_s=self.minute_s,
            metric_delay_s=self.metric_delay_s,
            boot_s=self.boot_s,
            health_period_s=2.0,
            stop_grace_s=30.0,
        )

    def in_words(self) -> tuple[tuple[str, str, str], ...]:
        """(setting, here, on AWS), for the terminal and the page."""
        return (
            ("target wait", f"{self.target_wait_s:g} s", "your choice; at least 30 s above the boot time can be met"),
            ("instance boot", f"{self.boot_s:g} s and a Python start", "30 s to some minutes"),
            ("planner tick", f"every {self.tick_s:g} s", "every 10 s"),
            ("schedules and metric periods", f"a minute lasts {self.minute_s:g} s", "60 s"),
            ("metric delay", f"{self.metric_delay_s:g} s", "1 to 3 minutes"),
            ("stabilization window", f"{self.stabilization_window_s:g} s", "one lead time"),
            (
                "dead letters",
                f"{self.max_retries} retries, the first within {self.retry_base_s:g} s",
                "3, within 30 s",
            ),
            ("redrive's canary", f"watched for {self.canary_wait_s:g} s", "the target wait and a visibility timeout"),
            ("work per order", f"{self.work_s:g} s, {self.consumers} consumers an instance", "yours"),
            ("the one long order", f"{self.long_work_s:g} s", "yours, up to two days"),
        )
