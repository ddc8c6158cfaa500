"""The smoke test's durations and counts: AWS's, and the same in a sandbox whose minutes are shorter."""

from dataclasses import dataclass, replace

from sluice_tools.sandbox.emulator.settings import Settings

MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class SmokeSettings:
    """Durations in seconds, rates per second; the defaults are those for AWS."""

    minute_s: float = MINUTE_S
    target_wait_s: float = 120.0
    work_s: float = 4.0  # one order's work, before its transaction
    concurrency: int = 2  # orders one consumer works on at once
    max_consumers: int = 4
    burst: int = 240  # orders at once: one consumer would work on them for 8 minutes
    steady_per_s: float = 0.4  # all the while, so that those who are to go have work
    poison: int = 2
    visibility_s: float = 60.0
    tick_s: float = 10.0
    lead_time_s: float = 90.0  # believed until it was measured: launch, installation of packages, first message
    stabilization_window_s: float = 60.0
    drain_deadline_s: float = 300.0
    retry_base_s: float = 10.0
    canary_wait_s: float = 30.0
    look_s: float = 5.0  # between two looks of whoever waits
    late_lines_s: float = 30.0  # an invocation that outlives its function's deletion writes its log lines by then
    patience_s: float = 900.0  # for one step of the story
    stack_patience_s: float = 900.0  # for one stack to be made or deleted

    @classmethod
    def sandbox(cls, minute_s: float) -> "SmokeSettings":
        """The same story where a minute lasts `minute_s` seconds.

        What waits for this machine rather than for AWS keeps its seconds: the work that is patiently waited for.
        """
        of = cls()
        share = minute_s / MINUTE_S
        return replace(
            of,
            minute_s=minute_s,
            target_wait_s=of.target_wait_s * share,
            work_s=of.work_s * share,
            steady_per_s=of.steady_per_s / share,
            visibility_s=max(6.0, of.visibility_s * share),
            tick_s=max(1.0, of.tick_s * share),
            lead_time_s=of.lead_time_s * share,
            stabilization_window_s=of.stabilization_window_s * share,
            retry_base_s=max(1.0, of.retry_base_s * share),
            canary_wait_s=of.canary_wait_s * share,
            look_s=0.5,
            late_lines_s=10.0,
            patience_s=180.0,
            stack_patience_s=300.0,
        )

    def emulator(self) -> Settings:
        """The emulator's share of them."""
        share = self.minute_s / MINUTE_S
        return Settings(
            minute_s=self.minute_s,
            metric_delay_s=MINUTE_S * share,
            boot_s=40.0 * share,
            health_period_s=2.0,
            stop_grace_s=30.0,
        )
