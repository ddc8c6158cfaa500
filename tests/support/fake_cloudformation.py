"""A CloudFormation of one stack, whose change sets do what a test says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

STACK_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/sluice/1"
NESTED_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/sluice-Fleet/2"
START = datetime(2026, 11, 29, tzinfo=UTC)

type Steps = Sequence[tuple[str, str, str]]
"""Logical id (below Fleet/ of the nested stack), status and reason of each event of a change."""


class FakeCloudFormation:
    """Events come one a look; `steps` are those of the next change, and `end` is the status that it leaves."""

    def __init__(self, status: str | None = None, parameters: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.parameters = dict(parameters or {})
        self.version = "0.1.0"
        self.changes: list[dict[str, Any]] = [_add("Planner", "AWS::Lambda::Function")]
        self.refusal: str | None = None
        self.steps: Steps = ()
        self.end = "CREATE_COMPLETE"
        self.created: list[dict[str, Any]] = []
        self.deleted: list[str] = []
        self.executed = 0
        self._waiting: list[dict[str, Any]] = []
        self._clock = START
        self._events = [self._event("sluice", "AWS::CloudFormation::Stack", status or "REVIEW_IN_PROGRESS", STACK_ID)]

    def describe_stacks(self, **_: Any) -> dict[str, Any]:
        """The stack; while a change goes on, the next of its events happens with each look."""
        if self.status is None:
            answer: Any = {"Error": {"Code": "ValidationError", "Message": "Stack with id sluice does not exist"}}
            raise ClientError(answer, "DescribeStacks")
        if self._waiting:
            self._events.append(self._waiting.pop(0))
            if not self._waiting:
                self.status = self.end
        given = [{"ParameterKey": name, "ParameterValue": value} for name, value in self.parameters.items()]
        outputs = [{"OutputKey": "Version", "OutputValue": self.version}] if self.version else []
        return {"Stacks": [{"StackStatus": self.status, "Parameters": given, "Outputs": outputs}]}

    def create_change_set(self, **arguments: Any) -> dict[str, Any]:
        """A change set, always under the same id."""
        self.created.append(arguments)
        if self.status is None:
            self.status = "REVIEW_IN_PROGRESS"
        return {"Id": "change-set"}

    def describe_change_set(self, **arguments: Any) -> dict[str, Any]:
        """Its changes, one a page."""
        if self.refusal is not None:
            return {"Status": "FAILED", "StatusReason": self.refusal}
        page = int(arguments.get("NextToken", "0"))
        more = {"NextToken": str(page + 1)} if page + 1 < len(self.changes) else {}
        return {"Status": "CREATE_COMPLETE", "Changes": self.changes[page : page + 1]} | more

    def delete_change_set(self, **_: Any) -> None:
        """Note it."""
        self.deleted.append("change set")

    def delete_stack(self, **_: Any) -> None:
        """Note it, and the stack is gone."""
        self.deleted.append("stack")
        self.status = None

    def execute_change_set(self, **_: Any) -> None:
        """Begin the change."""
        self.executed += 1
        kind = "CREATE" if self.status == "REVIEW_IN_PROGRESS" else "UPDATE"
        self.status = f"{kind}_IN_PROGRESS"
        self._waiting = [self._event("sluice", "AWS::CloudFormation::Stack", self.status, STACK_ID)]
        for path, status, reason in self.steps:
            stack_id = NESTED_ID if path.startswith("Fleet/") else STACK_ID
            is_stack = path == "Fleet"
            resource = "AWS::CloudFormation::Stack" if is_stack else "AWS::Lambda::Function"
            event = self._event(path.removeprefix("Fleet/"), resource, status, NESTED_ID if is_stack else path)
            self._waiting.append(event | {"StackId": stack_id, "ResourceStatusReason": reason})
        self._waiting.append(self._event("sluice", "AWS::CloudFormation::Stack", self.end, STACK_ID))

    def get_paginator(self, _: str) -> Any:
        """Of the one operation that is paged here."""
        return self

    def paginate(self, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803 - CloudFormation's own
        """A stack's events, the newest first, one a page."""
        stack_id = STACK_ID if StackName == "sluice" else StackName
        for event in reversed(self._events):
            if event["StackId"] == stack_id:
                yield {"StackEvents": [event]}

    def _event(self, name: str, kind: str, status: str, physical_id: str) -> dict[str, Any]:
        self._clock += timedelta(seconds=1)
        return {
            "EventId": str(self._clock), "StackId": STACK_ID, "LogicalResourceId": name, "ResourceType": kind,
            "ResourceStatus": status, "PhysicalResourceId": physical_id, "Timestamp": self._clock,
        }  # fmt: skip


def _add(name: str, kind: str) -> dict[str, Any]:
    return {"ResourceChange": {"Action": "Add", "LogicalResourceId": name, "ResourceType": kind}}
