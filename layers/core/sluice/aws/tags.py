"""Sets and removes the tag `sluice:stack`, for deployments and `sluice enroll`."""

from collections.abc import Iterator, Sequence

from sluice.aws.clients import Clients
from sluice.aws.errors import Thing, asking
from sluice.onboarding.tags import TAG

# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateTags.html: at most 1,000 resources in a call. The
# filter by which tags are read takes 200 values, so that one size serves both.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
INSTANCES_AT_ONCE = 200


def parts(instance_ids: Sequence[str]) -> Iterator[list[str]]:
    """The instances in parts that one call takes."""
    for start in range(0, len(instance_ids), INSTANCES_AT_ONCE):
        yield list(instance_ids[start : start + INSTANCES_AT_ONCE])


def _thing(service: str, name: str) -> Thing:
    return Thing(service, f"tag {TAG} of {name}", "run sluice enroll with other credentials", asker="whoever sets it")


class AwsTagWriter:
    """The TagWriter port. Each method's page of AWS is the operation's own in the service's API reference."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def tag_queue(self, url: str, stack: str) -> None:
        """Set the tag on a queue."""
        with asking(_thing("sqs", f"queue {url}")):
            self._clients.sqs.tag_queue(QueueUrl=url, Tags={TAG: stack})

    def untag_queue(self, url: str) -> None:
        """Remove it from a queue."""
        with asking(_thing("sqs", f"queue {url}")):
            self._clients.sqs.untag_queue(QueueUrl=url, TagKeys=[TAG])

    def tag_group(self, name: str, stack: str) -> None:
        """Set the tag on a group, and on each instance that it will launch."""
        with asking(_thing("autoscaling", f"group {name}")):
            self._clients.autoscaling.create_or_update_tags(
                Tags=[
                    {
                        "ResourceId": name,
                        "ResourceType": "auto-scaling-group",
                        "Key": TAG,
                        "Value": stack,
                        "PropagateAtLaunch": True,
                    }
                ]
            )

    def untag_group(self, name: str) -> None:
        """Remove it from a group."""
        with asking(_thing("autoscaling", f"group {name}")):
            self._clients.autoscaling.delete_tags(
                Tags=[{"ResourceId": name, "ResourceType": "auto-scaling-group", "Key": TAG}]
            )

    def tag_instances(self, instance_ids: Sequence[str], stack: str) -> None:
        """Set the tag on instances."""
        with asking(_thing("ec2", "the instances")):
            for some in parts(instance_ids):
                self._clients.ec2.create_tags(Resources=some, Tags=[{"Key": TAG, "Value": stack}])

    def untag_instances(self, instance_ids: Sequence[str], stack: str) -> None:
        """Remove it from those instances on which it has this value."""
        with asking(_thing("ec2", "the instances")):
            for some in parts(instance_ids):
                self._clients.ec2.delete_tags(Resources=some, Tags=[{"Key": TAG, "Value": stack}])
