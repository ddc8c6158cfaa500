"""What the checks know of an account: plain records, and the port that reads them one by one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sluice.config.fleet import Fleet


@dataclass(frozen=True, slots=True)
class QueueRecord:
    """A queue's attributes, as far as a fleet depends on them."""

    url: str
    arn: str
    visibility_s: float
    retention_s: float
    key_id: str | None = None  # KmsMasterKeyId as the queue has it: an alias, an id or an ARN
    dead_letter_arn: str | None = None  # where its RedrivePolicy points
    max_receive_count: int | None = None

    @property
    def name(self) -> str:
        """The queue's name."""
        return self.arn.rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class LaunchSource:
    """What a group launches from: a launch template's version, or a launch configuration."""

    template_id: str | None = None
    version: str = "$Default"
    configuration: str | None = None


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """What a launch gives to its instances; of the metadata service what the template itself says."""

    profile: str | None = None  # the instance profile's name
    metadata_on: bool = True
    hop_limit: int | None = None  # None: the account's or the image's default holds
    version: str | None = None  # the number of the launch template's version, also where the group names it $Latest


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """An Auto Scaling group."""

    name: str
    min_size: int
    max_size: int
    in_service: tuple[str, ...] = ()
    instances: tuple[str, ...] = ()  # in whatever state
    tag: str | None = None  # the value of its tag sluice:stack
    tags_instances: bool = False  # whether the instances that it launches get that tag
    suspended: frozenset[str] = frozenset()
    protects_new: bool = False
    warm_pool: bool = False
    launch: LaunchSource | None = None


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """A scaling policy of a group; `kind` is AWS's PolicyType."""

    name: str
    kind: str
    enabled: bool = True
    forecast_only: bool = False  # predictive scaling that changes nothing


@dataclass(frozen=True, slots=True)
class ScheduledAction:
    """A scheduled action of a group; what it leaves as it is is None."""

    name: str
    recurrence: str = ""
    desired: int | None = None
    min_size: int | None = None
    max_size: int | None = None


@dataclass(frozen=True, slots=True)
class HookRecord:
    """A lifecycle hook of a group."""

    name: str
    transition: str
    timeout_s: float


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A KMS key; `state` is AWS's KeyState."""

    arn: str
    state: str = "Enabled"
    managed_by_aws: bool = False


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """The role of an instance profile, and the names of the managed policies attached to it."""

    name: str
    policies: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FleetRecord:
    """A fleet of any Sluice stack in the account and region."""

    stack: str
    fleet: Fleet


class Account(Protocol):
    """What an account and region hold. What does not exist is None; every method may raise a PortError and no other."""

    def queue(self, url: str) -> QueueRecord | None:
        """The queue."""
        ...

    def queue_tag(self, url: str) -> str | None:
        """The value of a queue's tag sluice:stack; None without that tag."""
        ...

    def instance_tags(self, instance_ids: Sequence[str]) -> Mapping[str, str]:
        """The value of the tag sluice:stack of each instance that has it."""
        ...

    def key(self, key_id: str) -> KeyRecord | None:
        """The KMS key of an alias (`alias/...`), an id or an ARN."""
        ...

    def key_policy(self, key_arn: str) -> str:
        """The key's policy, as JSON text."""
        ...

    def group(self, name: str) -> GroupRecord | None:
        """The Auto Scaling group."""
        ...

    def scaling_policies(self, group: str) -> tuple[ScalingPolicy, ...]:
        """Every scaling policy of a group, those that are disabled as well."""
        ...

    def scheduled_actions(self, group: str) -> tuple[ScheduledAction, ...]:
        """The scheduled actions of a group that have not run for good."""
        ...

    def hooks(self, group: str) -> tuple[HookRecord, ...]:
        """Every lifecycle hook of a group."""
        ...

    def launch(self, source: LaunchSource) -> LaunchRecord:
        """What a launch from there gives to its instances."""
        ...

    def profile_role(self, profile: str) -> RoleRecord | None:
        """The role in an instance profile."""
        ...

    def agents(self, instance_ids: Sequence[str]) -> Mapping[str, str]:
        """AWS's PingStatus of the SSM agent of each instance, at most AGENTS_AT_ONCE; none of those never heard."""
        ...

    def fleets(self) -> tuple[FleetRecord, ...]:
        """The fleets of every Sluice stack, whose documents can be used."""
        ...

    def alarm_exists(self, name: str) -> bool:
        """Whether there is an alarm of that name."""
        ...


# https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_DescribeInstanceInformation.html: a page has at
# most 50. Whether agents answer at all shows in fewer.
AGENTS_AT_ONCE = 50
