"""The events of the drains' world as EventBridge delivers them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sluice.memory import Command, InstanceChange
from sluice.model.consumers import ConsumerStatus
from sluice.model.draining import HookAction


def lifecycle_event(action: HookAction, change: InstanceChange) -> dict[str, Any]:
    """An instance waits at a hook, on its way in or out."""
    launching = change.aws_state.startswith("Pending")
    return {
        "detail-type": f"EC2 Instance-{'launch' if launching else 'terminate'} Lifecycle Action",
        "source": "aws.autoscaling",
        "time": _iso(change.at),
        "detail": {
            "LifecycleActionToken": action.token,
            "AutoScalingGroupName": action.group,
            "LifecycleHookName": action.hook,
            "EC2InstanceId": action.instance_id,
            "LifecycleTransition": f"autoscaling:EC2_INSTANCE_{'LAUNCHING' if launching else 'TERMINATING'}",
            "Origin": "EC2" if launching else "AutoScalingGroup",
            "Destination": "AutoScalingGroup" if launching else change.destination,
        },
    }


def command_event(command: Command, aws_status: str, at: float) -> dict[str, Any]:
    """A command changed its status on one instance."""
    return {
        "detail-type": "EC2 Command Invocation Status-change Notification",
        "source": "aws.ssm",
        "time": _iso(at),
        "detail": {"command-id": command.id, "instance-id": command.instance_id, "status": aws_status},
    }


def spot_event(instance_id: str, at: float) -> dict[str, Any]:
    """EC2 takes an instance back."""
    return {
        "detail-type": "EC2 Spot Instance Interruption Warning",
        "source": "aws.ec2",
        "time": _iso(at),
        "detail": {"instance-id": instance_id, "instance-action": "terminate"},
    }


def health_event(instance_ids: Sequence[str], code: str, at: float) -> dict[str, Any]:
    """AWS Health: EC2 has scheduled something for these instances."""
    return {
        "detail-type": "AWS Health Event",
        "source": "aws.health",
        "time": _iso(at),
        "detail": {
            "service": "EC2",
            "eventTypeCategory": "scheduledChange",
            "eventTypeCode": f"AWS_EC2_{code.upper().replace('-', '_')}_SCHEDULED",
            "affectedEntities": [{"entityValue": one} for one in instance_ids],
        },
    }


def report_event(
    group: str, instance_id: str, status: ConsumerStatus, at: float, consumer: str | None = None
) -> dict[str, Any]:
    """A consumer says something of itself, by its name if its instance runs several."""
    named = {} if consumer is None else {"consumer": consumer}
    return {
        "detail-type": "Sluice Consumer Report",
        "source": "sluice.consumer",
        "time": _iso(at),
        "detail": {"group": group, "instance-id": instance_id, "state": status.value} | named,
    }


def sweep_event() -> dict[str, Any]:
    """The schedule's minute."""
    return {"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}}


def _iso(at: float) -> str:
    """As AWS writes it: whole seconds."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
