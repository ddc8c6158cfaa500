"""What an instance costs an hour: as given, or by its type, or by the type of a group's instances."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from sluice_tools.costs import instances

if TYPE_CHECKING:
    from types_boto3_autoscaling import AutoScalingClient


@dataclass(frozen=True, slots=True)
class HourlyCost:
    """The price that a simulation's instance-hours are multiplied by."""

    dollars: float  # for an instance and hour
    basis: str  # whose price it is, for a sentence

    @property
    def sentence(self) -> str:
        """What the dollars beside instance-hours are."""
        return f"Dollars are instance-hours times ${self.dollars:g}, {self.basis}."

    def of(self, instance_hours: float) -> float:
        """Dollars, in cents' precision."""
        return round(instance_hours * self.dollars, 2)


def find(
    dollars: float | None, instance_type: str | None, group: str | None, autoscaling: "Callable[[], AutoScalingClient]"
) -> HourlyCost | str | None:
    """What an instance costs an hour: as the options say, else by the group's instances.

    Args:
        dollars: `--hourly-cost`.
        instance_type: `--instance-type`.
        group: `--group`; None: it was not given.
        autoscaling: the account's client; it is asked for only where the options do not say the price.

    Returns:
        The price; a string with the reason where the group does not say it; None where nothing says it.

    Raises:
        ValueError: the options cannot be used; the message begins with one.
        BotoCoreError: AWS could not be asked.
    """
    return given(dollars, instance_type) or (of_group(autoscaling(), group) if group is not None else None)


def given(dollars: float | None, instance_type: str | None) -> HourlyCost | None:
    """What the options say: `--hourly-cost`, `--instance-type`, or neither.

    Raises:
        ValueError: both are given, or there is no price of the type; the message begins with the option.
    """
    if dollars is not None and instance_type is not None:
        raise ValueError("--instance-type: must be left out with --hourly-cost; each says what an instance costs")
    if dollars is not None:
        return HourlyCost(dollars, "as --hourly-cost says")
    if instance_type is None:
        return None
    try:
        return _of_type(instance_type)
    except instances.UnknownTypeError as error:
        raise ValueError(f"--instance-type: {error}") from error


def of_group(autoscaling: "AutoScalingClient", group: str) -> HourlyCost | str:
    """The price of the type that a group's instances have; or why it is not known, for a sentence.

    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_DescribeAutoScalingGroups.html

    Args:
        autoscaling: the account's, in the group's region.
        group: its name.
    """
    try:
        found = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
    except ClientError as error:  # who may read the metrics need not be allowed to read the group
        return f"the group {group} could not be read: {error}"
    if not found:
        return f"there is no group {group} in this region"
    types = sorted({instance.get("InstanceType", "") for instance in found[0]["Instances"]})
    if len(types) != 1:
        has = f"instances of the types {' and '.join(types)}" if types else "no instance whose type could be read"
        return f"the group {group} has {has}"
    try:
        return _of_type(types[0])
    except instances.UnknownTypeError:
        return f"there is no price of the group's {types[0]} in the table"


def _of_type(instance_type: str) -> HourlyCost:
    table = instances.load()
    return HourlyCost(table.of(instance_type), table.basis(instance_type))
