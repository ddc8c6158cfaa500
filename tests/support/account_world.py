"""A fleet in an account where nothing is wrong, and what the checks say once something is."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

from sluice.config.fleet import Fleet, parse
from sluice.memory.account import MemoryAccount
from sluice.onboarding.account import (
    GroupRecord,
    HookRecord,
    KeyRecord,
    LaunchRecord,
    LaunchSource,
    QueueRecord,
    RoleRecord,
)
from sluice.onboarding.checks import check
from sluice.onboarding.facts import read_facts
from sluice.onboarding.findings import Finding

REGION = "eu-west-1"
HOST = f"https://sqs.{REGION}.amazonaws.com/123456789012/"
QUEUE, DEAD = f"{HOST}orders", f"{HOST}orders-dead"
ARN = f"arn:aws:sqs:{REGION}:123456789012:"
KEY = f"arn:aws:kms:{REGION}:123456789012:key/0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0"
GROUP = "workers"
TEMPLATE = LaunchSource("lt-1", "3")
OPEN_POLICY = json.dumps(
    {
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                "Action": "kms:*",
                "Resource": "*",
            }
        ]
    }
)
INSTANCES = ("i-0aaaaaaaaaaaaaaaa", "i-0bbbbbbbbbbbbbbbb")


def fleet_of(**fields: Any) -> Fleet:
    """A fleet in mode act that drains by Run Command."""
    document = {
        "queue": QUEUE,
        "dead_letter_queue": DEAD,
        "group": GROUP,
        "target_wait_s": 60,
        "mode": "act",
        "drain": {"hook": "sluice-drain"},
    }
    return parse("main", document | fields)


def sound() -> MemoryAccount:
    """An account in which that fleet can work."""
    return MemoryAccount(
        queues={
            QUEUE: QueueRecord(QUEUE, f"{ARN}orders", 60, 345_600, KEY, f"{ARN}orders-dead", 3),
            DEAD: QueueRecord(DEAD, f"{ARN}orders-dead", 60, 1_209_600, KEY),
        },
        keys={KEY: KeyRecord(KEY)},
        key_policies={KEY: OPEN_POLICY},
        groups={
            GROUP: GroupRecord(GROUP, 0, 10, INSTANCES, INSTANCES, tag="sluice", tags_instances=True, launch=TEMPLATE)
        },
        tags=dict.fromkeys((QUEUE, DEAD, *INSTANCES), "sluice"),
        group_hooks={GROUP: (HookRecord("sluice-drain", "autoscaling:EC2_INSTANCE_TERMINATING", 1_800),)},
        launches={TEMPLATE: LaunchRecord("worker")},
        roles={"worker": RoleRecord("worker-role", frozenset({"AmazonSSMManagedInstanceCore"}))},
        ping_status=dict.fromkeys(INSTANCES, "Online"),
    )


type Change = Callable[[MemoryAccount], None]


def queue(url: str, **changes: Any) -> Change:
    """Another queue than the sound one."""

    def change(account: MemoryAccount) -> None:
        account.queues[url] = replace(account.queues[url], **changes)

    return change


def group(**changes: Any) -> Change:
    """Another group than the sound one."""

    def change(account: MemoryAccount) -> None:
        account.groups[GROUP] = replace(account.groups[GROUP], **changes)

    return change


def setting(name: str, value: Any) -> Change:
    """Something else in one of the account's fields; under the group's name where the field is by group."""

    def change(account: MemoryAccount) -> None:
        setattr(account, name, {GROUP: value} if isinstance(value, tuple) and name != "stacks_fleets" else value)

    return change


def launched(**changes: Any) -> Change:
    """Another launch than the sound one."""

    def change(account: MemoryAccount) -> None:
        account.launches[TEMPLATE] = replace(account.launches[TEMPLATE], **changes)

    return change


def both(*changes: Change) -> Change:
    """Several changes."""

    def change(account: MemoryAccount) -> None:
        for one in changes:
            one(account)

    return change


def findings(
    account: MemoryAccount,
    fleet: Fleet | None = None,
    *,
    will_tag: bool = False,
    time_left_s: Callable[[], float] = lambda: inf,
) -> tuple[Finding, ...]:
    """What the checks find in an account."""
    asked = fleet or fleet_of()
    facts = read_facts(asked, account, time_left_s)
    return check(asked, facts, stack="sluice", region=REGION, will_tag=will_tag)
