"""One CloudFormation stack: its state, a change set of it, and what happens while that is carried out."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from sluice_tools.deploy.changes import NESTED, Change, changes_of

CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
"""Roles, roles with names, and the transform with its nested fleet."""
LOOK_S = 2.0
"""Between two looks at a stack or a change set."""
EMPTY = ("didn't contain changes", "No updates are to be performed")
"""How CloudFormation says that there is nothing to change."""
CANCELLED = ("cancelled", "canceled")
"""Of a resource that was given up because another one failed."""
REVIEWED = "REVIEW_IN_PROGRESS"
"""Of a stack that has nothing but a change set to make it."""


class StackError(Exception):
    """The stack cannot be changed, or a change failed; each of `problems` is a sentence."""

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to one resource.

    Attributes:
        path: its logical id, below those of nested stacks, such as Fleet/Hook.
        kind: its type.
        status: CloudFormation's own, such as CREATE_COMPLETE.
        reason: what it says about it; empty where it says nothing.
    """

    path: str
    kind: str
    status: str
    reason: str = ""

    @property
    def is_failure(self) -> bool:
        """Whether the resource failed by itself."""
        return self.status.endswith("_FAILED") and not any(word in self.reason.lower() for word in CANCELLED)

    @property
    def sentence(self) -> str:
        """The event in words."""
        done = {
            "CREATE_COMPLETE": "is made", "UPDATE_COMPLETE": "is changed", "DELETE_COMPLETE": "is deleted",
            "DELETE_SKIPPED": "stays in the account",
        }.get(self.status)  # fmt: skip
        if done:
            return f"{self.path} ({self.kind}) {done}."
        if self.is_failure:
            return f"{self.path} ({self.kind}) failed: {self.reason or self.status}"
        return f"{self.path} ({self.kind}): {self.status}{f': {self.reason}' if self.reason else ''}"


@dataclass(kw_only=True)
class Stack:
    """A stack by its name.

    Attributes:
        cloudformation: a client.
        name: the stack's name.
        pause: waits for so many seconds.
    """

    cloudformation: Any
    name: str
    pause: Callable[[float], None] = time.sleep

    def describe(self) -> Mapping[str, Any] | None:
        """The stack as CloudFormation describes it; None if there is none, or only a change set for one."""
        try:
            found = self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return None if found["StackStatus"] in {REVIEWED, "DELETE_COMPLETE"} else dict(found)

    def refuse_unless_changeable(self, described: Mapping[str, Any] | None) -> None:
        """Say what must be done first where CloudFormation would take no change set.

        Raises:
            StackError: the stack is being changed, or its last change left it where it cannot be changed.
        """
        if described is None:
            return
        status = described["StackStatus"]
        remedy = f"aws cloudformation delete-stack --stack-name {self.name}"
        if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED"}:
            raise StackError(
                f"stack {self.name} is {status}: it never worked, or was deleted in part. Delete it first: {remedy}"
            )
        if status == "UPDATE_ROLLBACK_FAILED":
            remedy = f"aws cloudformation continue-update-rollback --stack-name {self.name}"
            raise StackError(f"stack {self.name} is {status}. Let CloudFormation go back first: {remedy}")
        if status.endswith("_IN_PROGRESS"):
            raise StackError(f"stack {self.name} is {status}: another deployment is under way. Repeat once it is over")

    def prepare(
        self, url: str, parameters: Sequence[Mapping[str, Any]], *, exists: bool
    ) -> tuple[str, list[Change]] | None:
        """Make a change set, and wait until CloudFormation knows what it would do.

        Args:
            url: the uploaded template.
            parameters: from `for_change_set`.
            exists: whether it is an update.

        Returns:
            The change set's ARN and its changes; None where nothing would change.

        Raises:
            StackError: CloudFormation refused it.
        """
        made = self.cloudformation.create_change_set(
            StackName=self.name, ChangeSetName=f"sluice-{uuid.uuid4()}", TemplateURL=url, Parameters=list(parameters),
            ChangeSetType="UPDATE" if exists else "CREATE", Capabilities=list(CAPABILITIES),
        )["Id"]  # fmt: skip
        pages = [self._describe_change_set(made)]
        while pages[0]["Status"] in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
            self.pause(LOOK_S)
            pages = [self._describe_change_set(made)]
        if pages[0]["Status"] != "CREATE_COMPLETE":
            reason = pages[0].get("StatusReason", pages[0]["Status"])
            self.discard(made, exists=exists)
            if any(words in reason for words in EMPTY):
                return None
            raise StackError(f"CloudFormation cannot change stack {self.name}: {reason}")
        while token := pages[-1].get("NextToken"):
            pages.append(self._describe_change_set(made, NextToken=token))
        return made, changes_of(change for page in pages for change in page.get("Changes", []))

    def _describe_change_set(self, change_set: str, **page: str) -> Mapping[str, Any]:
        return dict(self.cloudformation.describe_change_set(ChangeSetName=change_set, StackName=self.name, **page))

    def discard(self, change_set: str, *, exists: bool) -> None:
        """Delete a change set that is not carried out, and the empty stack that CloudFormation made for it."""
        self.cloudformation.delete_change_set(ChangeSetName=change_set, StackName=self.name)
        if not exists:
            self.cloudformation.delete_stack(StackName=self.name)

    def carry_out(self, change_set: str, tell: Callable[[Event], None]) -> None:
        """Carry out a change set, and follow it to its end.

        Args:
            change_set: its ARN.
            tell: called with each event that ends something, in order.

        Raises:
            StackError: the change failed; with what failed first, and what became of the stack.
        """
        follower = _Follower(self.cloudformation, self.name)
        self.cloudformation.execute_change_set(ChangeSetName=change_set, StackName=self.name)
        failures: list[Event] = []
        while True:
            status = str(self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"])
            for event in follower.news():
                failures += [event] if event.is_failure else []
                if not event.status.endswith("_IN_PROGRESS"):
                    tell(event)
            # Before anything of it began, the status is that of the last change.
            if follower.began and not status.endswith("_IN_PROGRESS"):
                break
            self.pause(LOOK_S)
        if status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
            # That a nested stack failed says nothing beside what failed in it.
            causes = [one for one in failures if not any(other.path.startswith(f"{one.path}/") for other in failures)]
            raise StackError(*dict.fromkeys(one.sentence for one in causes), _became(self.name, status))


class _Follower:
    """Reads what is new of a stack's events, and of its nested stacks'."""

    def __init__(self, cloudformation: Any, name: str) -> None:
        """Leave out what happened before now."""
        self._cloudformation = cloudformation
        self._paths = {name: ""}  # of the stack and its nested ones
        before = list(self._pages(name))
        self._seen = {event["EventId"] for event in before}
        # By CloudFormation's own clock. A nested stack's last change ended before its parent's.
        self._since = max((event["Timestamp"] for event in before), default=None)
        self.began = False

    def news(self) -> list[Event]:
        """What happened since the last call, the oldest first."""
        found: list[tuple[Any, Event]] = []
        waiting = list(self._paths)
        for stack in waiting:  # which nested stacks are added to
            path = self._paths[stack]
            for event in self._pages(stack):
                if self._since is not None and event["Timestamp"] < self._since:
                    break  # they come newest first
                if event["EventId"] in self._seen:
                    continue
                self._seen.add(event["EventId"])
                self.began = True
                physical_id = event.get("PhysicalResourceId", "")
                if physical_id == event["StackId"]:
                    continue  # of the stack as a whole, which its parent's events and its status tell
                below = f"{path}{event['LogicalResourceId']}"
                if event["ResourceType"] == NESTED and physical_id and physical_id not in self._paths:
                    self._paths[physical_id] = f"{below}/"
                    waiting.append(physical_id)
                reason = event.get("ResourceStatusReason", "")
                found.append((event["Timestamp"], Event(below, event["ResourceType"], event["ResourceStatus"], reason)))
        found.reverse()  # of events at one time, those that came first stay first
        return [event for _, event in sorted(found, key=lambda one: one[0])]

    def _pages(self, stack: str) -> Iterator[Mapping[str, Any]]:
        """A stack's events, the newest first."""
        for page in self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=stack):
            yield from page["StackEvents"]


def _became(name: str, status: str) -> str:
    if status == "UPDATE_ROLLBACK_COMPLETE":
        return f"Stack {name} is as it was before ({status})."
    if status == "ROLLBACK_COMPLETE":
        delete = f"aws cloudformation delete-stack --stack-name {name}"
        return f"Nothing of stack {name} is left but its name ({status}). Delete that before you deploy again: {delete}"
    return f"Stack {name} is {status}."
