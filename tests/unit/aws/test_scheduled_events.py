"""What EC2 answers about scheduled events, as AWS's own model of the call has it."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import botocore.session
import pytest
from botocore.stub import Stubber

from sluice.aws.clients import Clients
from sluice.aws.instances import SCHEDULED, SsmInstances
from sluice.model.draining import ScheduledEvent

EARLIER, LATER = datetime(2026, 12, 8, 9, 0, tzinfo=UTC), datetime(2026, 12, 9, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ([], None),
        ([("instance-retirement", LATER, "The instance is running on degraded hardware")], "instance-retirement"),
        ([("system-maintenance", EARLIER, "Network")], None),
        ([("instance-stop", EARLIER, "[Completed] The instance was stopped")], None),
        ([("system-reboot", EARLIER, "[Canceled] Scheduled reboot")], None),
        ([("system-reboot", LATER, "Reboot"), ("instance-stop", EARLIER, "Stop")], "instance-stop"),
        ([("instance-stop", EARLIER, "Stop"), ("system-reboot", LATER, "Reboot")], "instance-stop"),
    ],
)
def test_event_is_scheduled_when_it_interrupts_and_is_not_over(
    events: list[tuple[str, datetime, str]], found: str | None
) -> None:
    """The first of an instance's events counts; maintenance, and what is completed or canceled, does not."""
    client = botocore.session.get_session().create_client(
        "ec2", "eu-central-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    answer: list[dict[str, Any]] = [
        {"Code": code, "NotBefore": at, "Description": description} for code, at, description in events
    ]
    instances = SsmInstances(cast("Clients", SimpleNamespace(ec2=client)), "sluice")
    with Stubber(client) as stub:
        stub.add_response(
            "describe_instance_status",
            {"InstanceStatuses": [{"InstanceId": "i-1", "Events": answer}, {"InstanceId": "i-2"}]},
            {"Filters": [{"Name": "event.code", "Values": list(SCHEDULED)}]},
        )
        at = {code: at for code, at, _ in events}
        expected = {} if found is None else {"i-1": ScheduledEvent("i-1", found, at[found].timestamp())}
        assert instances.scheduled() == expected
