"""The end of the stack: `sam delete`. Last by name, since the other tests of the deployed stack need it."""

from __future__ import annotations

from typing import Any

import pytest

from tools.sandbox.sandbox import REGION

pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("stack")]


def test_records_alone_remain_when_the_stack_is_deleted(deployed: Any) -> None:
    """Functions, roles, hook, alarms and rules go; ledger and archive stay."""
    sandbox = deployed.sandbox

    sandbox.sam(
        "delete", "--stack-name", "sluice", "--no-prompts", "--region", REGION, log=sandbox.directory / "delete.log"
    )

    assert sandbox.client("lambda").list_functions()["Functions"] == []
    assert sandbox.client("lambda").list_event_source_mappings()["EventSourceMappings"] == []
    hooks = sandbox.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=deployed.orders["GroupName"])
    assert hooks["LifecycleHooks"] == []
    assert sandbox.client("cloudwatch").describe_alarms(AlarmNamePrefix="sluice-")["MetricAlarms"] == []
    assert sandbox.client("events").list_rules(NamePrefix="sluice-")["Rules"] == []
    roles = sandbox.client("iam").list_roles()["Roles"]
    assert [role["RoleName"] for role in roles if role["RoleName"].startswith("sluice-")] == []
    assert sandbox.client("ssm").get_parameters_by_path(Path="/sluice/sluice/fleets/")["Parameters"] == []
    assert deployed.sluice["LedgerTable"] in sandbox.client("dynamodb").list_tables()["TableNames"]
    buckets = [bucket["Name"] for bucket in sandbox.client("s3").list_buckets()["Buckets"]]
    assert deployed.sluice["ArchiveBucket"] in buckets
