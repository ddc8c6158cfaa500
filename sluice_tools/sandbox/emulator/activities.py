"""Scaling activities: what a group did, when and why, as DescribeScalingActivities tells it.

AWS pages: autoscaling/ec2/userguide/ec2-auto-scaling-verify-scaling-activity.html,
autoscaling/ec2/APIReference/API_Activity.html.
"""

from __future__ import annotations

import json
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Any

from sluice_tools.sandbox.emulator.events import Scope, iso_ms

KEPT = 500
"""Activities remembered per group; AWS keeps six weeks of them."""


@dataclass(slots=True)
class Activity:
    """One scaling activity, as DescribeScalingActivities tells it."""

    id: str
    group: str
    arn: str
    description: str
    cause: str
    started_at: float
    zone: str
    status: str = "InProgress"
    message: str = ""
    progress: int = 0
    ended_at: float | None = None

    def end(self, status: str, now: float, message: str = "") -> None:
        """Conclude it."""
        self.status, self.ended_at, self.message = status, now, message
        self.progress = 100

    def public(self) -> dict[str, Any]:
        """Its members by AWS's names."""
        members: dict[str, Any] = {
            "ActivityId": self.id,
            "AutoScalingGroupName": self.group,
            "Description": self.description,
            "Cause": self.cause,
            "StartTime": iso_ms(self.started_at),
            "StatusCode": self.status,
            "Progress": self.progress,
            "Details": json.dumps({"Availability Zone": self.zone}),
            "AutoScalingGroupARN": self.arn,
        }
        if self.ended_at is not None:
            members["EndTime"] = iso_ms(self.ended_at)
        if self.message:
            members["StatusMessage"] = self.message
        return members


class Activities:
    """Every group's activities, newest first; those of deleted groups stay."""

    def __init__(self) -> None:
        """None yet."""
        self._kept: dict[tuple[Scope, str], deque[Activity]] = {}

    def begin(
        self, scope: Scope, group: str, arn: str, description: str, *, cause: str, now: float, zone: str
    ) -> Activity:
        """A new activity, in progress."""
        activity = Activity(
            id=str(uuid.uuid4()),
            group=group,
            arn=arn,
            description=description,
            cause=cause,
            started_at=now,
            zone=zone,
        )
        self._kept.setdefault((scope, group), deque(maxlen=KEPT)).appendleft(activity)
        return activity

    def last(self, scope: Scope, group: str) -> Activity | None:
        """The group's newest activity, if any."""
        return next(iter(self._kept.get((scope, group), ())), None)

    def listed(self, scope: Scope, group: str | None) -> list[Activity]:
        """Those of one group or of all groups of a scope, newest first."""
        found = [
            activity
            for (owner, name), activities in self._kept.items()
            if owner == scope and group in (None, name)
            for activity in activities
        ]
        return sorted(found, key=lambda activity: activity.started_at, reverse=True)
