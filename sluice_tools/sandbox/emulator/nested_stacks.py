"""Nested stacks that fail, as AWS tells of them: the parent learns what failed, and not why; the child is undone.

AWS pages: AWSCloudFormation/latest/UserGuide/using-cfn-nested-stacks.html and stack-failure-options.html (what was made
is rolled back). The texts are those of stack events as people report them ("Embedded stack ... was not successfully
created", "Received response status [FAILED] from custom resource. Message returned").
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from sluice_tools.sandbox.emulator.host import Host

_provisioners = Host(
    "services.cloudformation.provisioners",
    "_RESOURCE_HANDLERS", "_custom_resource_create", "_custom_resource_update",
)  # fmt: skip
_cloudformation = Host("services.cloudformation", "_stacks", "_stack_events")
_stacks = Host("services.cloudformation.stacks", "_add_event")

STACK = "AWS::CloudFormation::Stack"


def install() -> None:
    """Wrap the handlers of custom resources and of nested stacks."""
    for name in ("_custom_resource_create", "_custom_resource_update"):
        _provisioners[name] = _worded(_provisioners[name])
    handlers: dict[str, Any] = _provisioners["_RESOURCE_HANDLERS"][STACK]
    create = handlers["create"]

    def created(logical_id: str, props: Mapping[str, Any], parent: str) -> Any:
        before = set(_cloudformation["_stacks"])
        try:
            return create(logical_id, props, parent)
        except Exception as error:
            child = next(iter(set(_cloudformation["_stacks"]) - before), None)
            if child is None:
                raise
            raise ValueError(_undone(child, handlers["delete"])) from error

    handlers["create"] = created


def _worded(call: Any) -> Any:
    """A custom resource's failure in CloudFormation's words."""

    @functools.wraps(call)
    def worded(*arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except RuntimeError as error:
            raise RuntimeError(
                f"Received response status [FAILED] from custom resource. Message returned: {error}"
            ) from error

    return worded


def _undone(name: str, delete: Any) -> str:
    """Undo a nested stack that could not be created, and return the reason for its parent."""
    child = _cloudformation["_stacks"][name]
    stack_id = child["StackId"]
    failed = [
        event["LogicalResourceId"]
        for event in _cloudformation["_stack_events"][stack_id]
        if event["ResourceStatus"] == "CREATE_FAILED" and event["LogicalResourceId"] != name
    ]
    why = f"The following resource(s) failed to create: [{', '.join(failed)}]. "
    add_event = _stacks["_add_event"]
    add_event(stack_id, name, name, STACK, "ROLLBACK_IN_PROGRESS", why, stack_id)
    delete(stack_id, {})
    add_event(stack_id, name, name, STACK, "ROLLBACK_COMPLETE", "", stack_id)
    return f"Embedded stack {stack_id} was not successfully created: {why}"
