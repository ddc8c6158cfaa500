"""An account in memory, for the checks of `sluice.onboarding`: what it holds is put into its fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sluice.onboarding.account import (
    FleetRecord,
    GroupRecord,
    HookRecord,
    KeyRecord,
    LaunchRecord,
    LaunchSource,
    QueueRecord,
    RoleRecord,
    ScalingPolicy,
    ScheduledAction,
)
from sluice.ports.errors import NeedsFixError


@dataclass(slots=True)
class MemoryAccount:
    """The ports Account and TagWriter. `refuses` names the methods whose caller lacks the permission."""

    queues: dict[str, QueueRecord] = field(default_factory=dict)  # by URL
    keys: dict[str, KeyRecord] = field(default_factory=dict)  # by alias, id or ARN
    key_policies: dict[str, str] = field(default_factory=dict)  # by ARN
    groups: dict[str, GroupRecord] = field(default_factory=dict)
    policies: dict[str, tuple[ScalingPolicy, ...]] = field(default_factory=dict)  # by group, as the next two
    actions: dict[str, tuple[ScheduledAction, ...]] = field(default_factory=dict)
    group_hooks: dict[str, tuple[HookRecord, ...]] = field(default_factory=dict)
    launches: dict[LaunchSource, LaunchRecord] = field(default_factory=dict)
    roles: dict[str, RoleRecord] = field(default_factory=dict)  # by instance profile
    ping_status: dict[str, str] = field(default_factory=dict)  # by instance
    stacks_fleets: tuple[FleetRecord, ...] = ()
    alarms: frozenset[str] = frozenset()
    tags: dict[str, str] = field(default_factory=dict)  # the tag sluice:stack, by a queue's URL or an instance's id
    refuses: frozenset[str] = frozenset()

    def _may(self, method: str) -> None:
        if method in self.refuses:
            raise NeedsFixError(f"{method}: is not allowed: grant it to whoever makes this check")

    def queue(self, url: str) -> QueueRecord | None:
        """The queue."""
        self._may("queue")
        return self.queues.get(url)

    def queue_tag(self, url: str) -> str | None:
        """The queue's tag."""
        self._may("queue_tag")
        return self.tags.get(url)

    def instance_tags(self, instance_ids: Sequence[str]) -> Mapping[str, str]:
        """The instances' tags."""
        self._may("instance_tags")
        return {one: self.tags[one] for one in instance_ids if one in self.tags}

    def tag_queue(self, url: str, stack: str) -> None:
        """Set the tag on a queue."""
        self._may("tag_queue")
        self.tags[url] = stack

    def untag_queue(self, url: str) -> None:
        """Remove it from a queue."""
        self.tags.pop(url, None)

    def tag_group(self, name: str, stack: str) -> None:
        """Set the tag on a group."""
        self._may("tag_group")
        self.groups[name] = replace(self.groups[name], tag=stack, tags_instances=True)

    def untag_group(self, name: str) -> None:
        """Remove it from a group."""
        self.groups[name] = replace(self.groups[name], tag=None, tags_instances=False)

    def tag_instances(self, instance_ids: Sequence[str], stack: str) -> None:
        """Set the tag on instances."""
        self._may("tag_instances")
        self.tags |= dict.fromkeys(instance_ids, stack)

    def untag_instances(self, instance_ids: Sequence[str], stack: str) -> None:
        """Remove it from instances."""
        for one in instance_ids:
            if self.tags.get(one) == stack:
                del self.tags[one]

    def key(self, key_id: str) -> KeyRecord | None:
        """The KMS key."""
        self._may("key")
        return self.keys.get(key_id)

    def key_policy(self, key_arn: str) -> str:
        """The key's policy."""
        self._may("key_policy")
        return self.key_policies[key_arn]

    def group(self, name: str) -> GroupRecord | None:
        """The Auto Scaling group."""
        self._may("group")
        return self.groups.get(name)

    def scaling_policies(self, group: str) -> tuple[ScalingPolicy, ...]:
        """Every scaling policy of a group."""
        self._may("scaling_policies")
        return self.policies.get(group, ())

    def scheduled_actions(self, group: str) -> tuple[ScheduledAction, ...]:
        """The scheduled actions of a group."""
        self._may("scheduled_actions")
        return self.actions.get(group, ())

    def hooks(self, group: str) -> tuple[HookRecord, ...]:
        """Every lifecycle hook of a group."""
        self._may("hooks")
        return self.group_hooks.get(group, ())

    def launch(self, source: LaunchSource) -> LaunchRecord:
        """What a launch gives to its instances."""
        self._may("launch")
        return self.launches.get(source, LaunchRecord())

    def profile_role(self, profile: str) -> RoleRecord | None:
        """The role in an instance profile."""
        self._may("profile_role")
        return self.roles.get(profile)

    def agents(self, instance_ids: Sequence[str]) -> Mapping[str, str]:
        """How the instances' agents stand."""
        self._may("agents")
        return {one: self.ping_status[one] for one in instance_ids if one in self.ping_status}

    def fleets(self) -> tuple[FleetRecord, ...]:
        """The fleets of every Sluice stack."""
        self._may("fleets")
        return self.stacks_fleets

    def alarm_exists(self, name: str) -> bool:
        """Whether there is an alarm of that name."""
        self._may("alarm_exists")
        return name in self.alarms
