"""How fast the sandbox's AWS runs: one frozen record, passed as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Self

SETTINGS_ENV = "SLUICE_SANDBOX_SETTINGS"
"""Environment variable that carries the settings to the emulator's process, as JSON."""

CALLS_ENV = "SLUICE_SANDBOX_CALLS"
"""Environment variable naming the JSONL file to which every checked AWS call is appended; unset: none."""

INSTANCES_ENV = "SLUICE_SANDBOX_INSTANCES"
"""Environment variable naming the directory for the instances' output, one file each."""


class SettingsError(ValueError):
    """Settings that cannot be used; the message lists every problem."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Durations of the emulated AWS, in real seconds.

    The defaults are AWS's own where AWS states one. Tests and the demo shorten them, and say so.
    """

    minute_s: float = 60.0
    """What a minute lasts for schedules, metric periods, alarm periods and Lambda's asynchronous retries."""
    metric_delay_s: float = 60.0
    """How late a metric's data point can be read after the period it belongs to."""
    boot_s: float = 60.0
    """From an instance's launch until its process starts."""
    stop_grace_s: float = 90.0
    """From SIGTERM to SIGKILL when an instance is terminated; systemd's own default."""
    health_period_s: float = 60.0
    """How often Auto Scaling looks at the health of its instances."""
    hook_min_s: int = 30
    """Least heartbeat timeout that PutLifecycleHook accepts."""
    spot_notice_s: float = 120.0
    """From a Spot interruption notice to the end of the instance."""
    command_delivery_s: float | None = None
    """Cap on the time Run Command tries to reach an instance; None: the command's own TimeoutSeconds."""

    def __post_init__(self) -> None:
        """Refuse what would stop the clock.

        Raises:
            SettingsError: A duration is negative, or a period is zero.
        """
        problems = [
            f"{name} must be more than 0 seconds, not {getattr(self, name)!r}"
            for name in ("minute_s", "health_period_s", "hook_min_s")
            if getattr(self, name) <= 0
        ]
        problems += [
            f"{name} must be at least 0 seconds, not {getattr(self, name)!r}"
            for name in ("metric_delay_s", "boot_s", "stop_grace_s", "spot_notice_s")
            if getattr(self, name) < 0
        ]
        if problems:
            raise SettingsError("; ".join(problems))

    def scaled(self, aws_s: float) -> float:
        """Real seconds that ``aws_s`` seconds of an AWS schedule or period last here."""
        return aws_s * self.minute_s / 60

    def to_json(self) -> str:
        """One JSON object with every field."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote; absent fields keep their defaults.

        Raises:
            SettingsError: Not an object, or fields that do not exist or cannot be used.
        """
        fields: Any = json.loads(text or "{}")
        if not isinstance(fields, dict):
            raise SettingsError(f"settings must be a JSON object, not {type(fields).__name__}")
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(fields) - known):
            raise SettingsError(f"no such settings: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
        return cls(**fields)
