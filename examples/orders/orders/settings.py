"""What the environment says: read once, every problem reported at once, each naming its variable."""

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

IMDS_URL: Final = "http://169.254.169.254"
"""The instance metadata service (source: "Access instance metadata for an EC2 instance", Amazon EC2 User Guide)."""


DEFAULT_DATABASE_URL: Final = "sqlite:///orders.db"
"""A file in the working directory, where no database is named."""


class SettingsError(Exception):
    """The environment is not right; the text has one line for each variable that is wrong."""


@dataclass(frozen=True, slots=True)
class SelfDrain:
    """How a consumer drains by itself: what it completes once it is done.

    Attributes:
        imds_url: SLUICE_IMDS, base URL of the instance metadata service.
        instance_id: INSTANCE_ID; None where the metadata service is to be asked.
        group_name: GROUP_NAME, the Auto Scaling group.
        hook_name: LIFECYCLE_HOOK, its termination lifecycle hook.
    """

    imds_url: str
    instance_id: str | None
    group_name: str
    hook_name: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Of the consumer and of the front end.

    Attributes:
        queue_url: QUEUE_URL.
        dead_letter_queue_url: DEAD_LETTER_QUEUE_URL; without it, failures are left to the redrive policy.
        database_url: DATABASE_URL, or None.
        database_url_parameter: DATABASE_URL_PARAMETER, the Systems Manager parameter that holds it, or None.
        instance: INSTANCE_ID, else the host's name.
        concurrency: CONCURRENCY, orders worked on at a time.
        work_s: WORK_S, time that each order takes besides the database: a stand-in for real work.
        work_s_by_sku: WORK_S_BY_SKU, the same for items that take another time, such as `carpet-silk=20,rug=5`.
        visibility_s: VISIBILITY_S, how long an order stays hidden when its consumer dies; extended while it works.
        receive_wait_s: RECEIVE_WAIT_S, long poll; the most that a drain waits for a poll under way.
        work_log: WORK_LOG, a file to append to; standard output without it.
        work_log_bucket: WORK_LOG_BUCKET, the S3 bucket that gets a copy of that file once the consumer is drained.
        self_drain: What DRAIN_VIA=self needs; None with DRAIN_VIA=ssm.
        host: HOST of the front end.
        port: PORT of the front end; 0 takes a free one.
    """

    queue_url: str
    dead_letter_queue_url: str | None
    database_url: str | None
    database_url_parameter: str | None
    instance: str
    concurrency: int
    work_s: float
    work_s_by_sku: Mapping[str, float]
    visibility_s: int
    receive_wait_s: int
    work_log: Path | None
    work_log_bucket: str | None
    self_drain: SelfDrain | None
    host: str
    port: int


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: Names every variable that is wrong and what would be right.
    """
    reader = _Reader(environment)
    settings = Settings(
        queue_url=reader.text("QUEUE_URL", "", "the order queue's URL"),
        dead_letter_queue_url=environment.get("DEAD_LETTER_QUEUE_URL") or None,
        database_url=environment.get("DATABASE_URL") or None,
        database_url_parameter=environment.get("DATABASE_URL_PARAMETER") or None,
        instance=environment.get("INSTANCE_ID") or socket.gethostname(),
        concurrency=reader.number("CONCURRENCY", 4, 1, 64, int),
        work_s=reader.number("WORK_S", 0.0, 0.0, 3600.0, float),
        work_s_by_sku=reader.seconds_by_sku("WORK_S_BY_SKU"),
        # At least 6 s, so that a third of it, the interval of extensions, is longer than a slow call.
        visibility_s=reader.number("VISIBILITY_S", 60, 6, 43200, int),
        receive_wait_s=reader.number("RECEIVE_WAIT_S", 10, 1, 20, int),
        work_log=Path(environment["WORK_LOG"]) if environment.get("WORK_LOG") else None,
        work_log_bucket=reader.work_log_bucket(),
        self_drain=reader.self_drain(),
        host=environment.get("HOST") or "127.0.0.1",
        port=reader.number("PORT", 8000, 0, 65535, int),
    )
    if reader.problems:
        raise SettingsError("\n".join(reader.problems))
    return settings


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self.problems: list[str] = []

    def seconds_by_sku(self, name: str) -> dict[str, float]:
        found: dict[str, float] = {}
        for pair in filter(None, self._environment.get(name, "").split(",")):
            sku, _, text = pair.partition("=")
            try:
                seconds = float(text)
            except ValueError:
                seconds = -1.0
            if not sku.strip() or not 0.0 <= seconds <= 3600.0:
                self.problems.append(f"{name}: give items with 0 to 3600 seconds each, as in carpet-silk=20,rug=5")
                break
            found[sku.strip()] = seconds
        return found

    def text(self, name: str, default: str, what: str) -> str:
        value = self._environment.get(name) or default
        if not value:
            self.problems.append(f"{name}: give {what}")
        return value

    def number[N: (int, float)](self, name: str, default: N, least: N, most: N, convert: Callable[[str], N]) -> N:
        text = self._environment.get(name) or str(default)
        try:
            value = convert(text)
        except ValueError:
            value = None
        if value is None or not least <= value <= most:
            kind = "whole number" if convert is int else "number"
            self.problems.append(f"{name}: give a {kind} from {least} to {most}, not {text!r}")
            return default
        return value

    def work_log_bucket(self) -> str | None:
        bucket = self._environment.get("WORK_LOG_BUCKET") or None
        if bucket and not self._environment.get("WORK_LOG"):
            self.problems.append("WORK_LOG: give the file that is to be copied to WORK_LOG_BUCKET")
        return bucket

    def self_drain(self) -> SelfDrain | None:
        via = self._environment.get("DRAIN_VIA") or "ssm"
        if via not in {"ssm", "self"}:
            self.problems.append(f"DRAIN_VIA: give 'ssm' or 'self', not {via!r}")
        if via != "self":
            return None
        return SelfDrain(
            imds_url=self.text("SLUICE_IMDS", IMDS_URL, "the metadata service's URL").rstrip("/"),
            instance_id=self._environment.get("INSTANCE_ID") or None,
            group_name=self.text("GROUP_NAME", "", "the Auto Scaling group's name, for DRAIN_VIA=self"),
            hook_name=self.text("LIFECYCLE_HOOK", "", "the termination hook's name, for DRAIN_VIA=self"),
        )
