"""What Auto Scaling answers about instance refreshes, as AWS's own model of the call has it."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import botocore.session
import pytest
from botocore.stub import Stubber

from sluice.aws.clients import Clients
from sluice.aws.group import AsgGroup

EARLIER, LATER = datetime(2026, 11, 29, 9, 0, tzinfo=UTC), datetime(2026, 11, 29, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("refreshes", "began_at"),
    [
        ([], None),
        ([{"Status": "Pending"}], None),
        ([{"Status": "InProgress", "StartTime": LATER}, {"Status": "Successful", "StartTime": EARLIER}], LATER),
        (
            [{"Status": "Cancelled", "StartTime": LATER}, {"Status": "RollbackInProgress", "StartTime": EARLIER}],
            EARLIER,
        ),
        ([{"Status": "Baking", "StartTime": EARLIER}], None),
        ([{"Status": "Cancelling", "StartTime": EARLIER}], None),
    ],
)
def test_refresh_is_under_way_when_it_replaces_instances(
    refreshes: list[dict[str, Any]], began_at: datetime | None
) -> None:
    """One that waits to begin, bakes or is cancelled replaces none."""
    client = botocore.session.get_session().create_client(
        "autoscaling", "eu-central-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    group = AsgGroup(cast("Clients", SimpleNamespace(autoscaling=client)))
    with Stubber(client) as stub:
        stub.add_response(
            "describe_instance_refreshes", {"InstanceRefreshes": refreshes}, {"AutoScalingGroupName": "consumers"}
        )
        assert group.refresh_began_at("consumers") == (None if began_at is None else began_at.timestamp())
