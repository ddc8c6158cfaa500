"""Reads the account for one fleet, fact by fact: what cannot be read is a fact of its own and never an error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from shlex import quote

from sluice.config.fleet import DrainVia, Fleet, QueuePolicy
from sluice.onboarding.account import (
    AGENTS_AT_ONCE,
    Account,
    FleetRecord,
    GroupRecord,
    HookRecord,
    KeyRecord,
    QueueRecord,
    RoleRecord,
    ScalingPolicy,
    ScheduledAction,
)
from sluice.ports.errors import PortError

# One call of the AWS adapter ends within 25 s, however silent the service (sluice.aws.clients): with less time left
# none is begun, so that whoever asks can still answer.
CALL_S = 28.0


@dataclass(frozen=True, slots=True)
class Unread:
    """A fact that could not be read."""

    what: str  # such as "scaling policies of group workers"
    why: str  # what AWS answered
    command: str  # the AWS CLI's arguments with which somebody who may can look


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of the account; a field that nobody needed to ask for is None or empty."""

    queues: Mapping[str, QueueRecord | Unread | None] = field(default_factory=dict)  # by URL; None: does not exist
    keys: Mapping[str, KeyRecord | Unread | None] = field(default_factory=dict)  # by KmsMasterKeyId
    key_policies: Mapping[str, str | Unread] = field(default_factory=dict)  # by the key's ARN
    group: GroupRecord | Unread | None = None
    policies: tuple[ScalingPolicy, ...] | Unread = ()
    actions: tuple[ScheduledAction, ...] | Unread = ()
    hooks: tuple[HookRecord, ...] | Unread = ()
    profile: str | Unread | None = None
    role: RoleRecord | Unread | None = None
    agents: Mapping[str, str] | Unread = field(default_factory=dict)
    fleets: tuple[FleetRecord, ...] | Unread = ()
    alarm: bool | Unread | None = None
    read: tuple[str, ...] = ()  # what was looked at, in words
    unread: tuple[Unread, ...] = ()


@dataclass(slots=True)
class _Reader:
    """Asks, and keeps account of what was read and what was not."""

    time_left_s: Callable[[], float]
    read: list[str] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)

    def ask[T](self, what: str, command: str, call: Callable[[], T]) -> T | Unread:
        if self.time_left_s() < CALL_S:
            return self._failed(Unread(what, "there was no time left to ask", command))
        try:
            answer = call()
        except PortError as error:
            return self._failed(Unread(what, str(error), command))
        self.read.append(what)
        return answer

    def _failed(self, unread: Unread) -> Unread:
        self.unread.append(unread)
        return unread


def read_facts(
    fleet: Fleet, account: Account, time_left_s: Callable[[], float], *, queues_alone: bool = False
) -> Facts:
    """Read what the checks of a fleet need.

    Args:
        fleet: what was asked for.
        account: where to look.
        time_left_s: seconds that are left; with less than CALL_S nothing more is asked.
        queues_alone: ask for nothing but the queues and their keys.
    """
    reader = _Reader(time_left_s)
    queues = _read_queues(fleet, account, reader)
    keys = {
        key_id: reader.ask(
            f"KMS key {key_id}", f"kms describe-key --key-id {quote(key_id)}", partial(account.key, key_id)
        )
        for key_id in dict.fromkeys(record.key_id for record in _redriven(fleet, queues) if record.key_id)
    }
    own_keys = dict.fromkeys(k.arn for k in keys.values() if isinstance(k, KeyRecord) and not k.managed_by_aws)
    key_policies = {
        arn: reader.ask(
            f"policy of KMS key {arn}", f"kms get-key-policy --key-id {arn}", partial(account.key_policy, arn)
        )
        for arn in own_keys
    }
    if queues_alone:
        return Facts(
            queues=queues, keys=keys, key_policies=key_policies, read=tuple(reader.read), unread=tuple(reader.unread)
        )
    name = fleet.group
    of_group = f"--auto-scaling-group-name {quote(name)}"
    group = reader.ask(
        f"Auto Scaling group {name}",
        f"autoscaling describe-auto-scaling-groups --auto-scaling-group-names {quote(name)}",
        lambda: account.group(name),
    )
    policies: tuple[ScalingPolicy, ...] | Unread = ()
    actions: tuple[ScheduledAction, ...] | Unread = ()
    hooks: tuple[HookRecord, ...] | Unread = ()
    if group is not None:
        policies = reader.ask(
            f"scaling policies of group {name}",
            f"autoscaling describe-policies {of_group}",
            lambda: account.scaling_policies(name),
        )
        actions = reader.ask(
            f"scheduled actions of group {name}",
            f"autoscaling describe-scheduled-actions {of_group}",
            lambda: account.scheduled_actions(name),
        )
        hooks = reader.ask(
            f"lifecycle hooks of group {name}",
            f"autoscaling describe-lifecycle-hooks {of_group}",
            lambda: account.hooks(name),
        )
    profile, role, agents = _read_agents(fleet, group, account, reader)
    fleets = reader.ask(
        "fleets of all Sluice stacks in the account and region",
        "ssm get-parameters-by-path --path /sluice/ --recursive",
        account.fleets,
    )
    alarm: bool | Unread | None = None
    if veto := fleet.limits.veto_alarm:
        alarm = reader.ask(
            f"alarm {veto}",
            f"cloudwatch describe-alarms --alarm-types CompositeAlarm MetricAlarm --alarm-names {quote(veto)}",
            lambda: account.alarm_exists(veto),
        )
    return Facts(
        queues=queues,
        keys=keys,
        key_policies=key_policies,
        group=group,
        policies=policies,
        actions=actions,
        hooks=hooks,
        profile=profile,
        role=role,
        agents=agents,
        fleets=fleets,
        alarm=alarm,
        read=tuple(reader.read),
        unread=tuple(reader.unread),
    )


def _read_queues(fleet: Fleet, account: Account, reader: _Reader) -> dict[str, QueueRecord | Unread | None]:
    kinds = {source.queue: "queue" for source in fleet.sources}
    kinds |= dict.fromkeys(fleet.dead_letter_queues, "dead-letter queue")
    return {
        url: reader.ask(
            f"{kind} {url.rpartition('/')[2]}",
            f"sqs get-queue-attributes --attribute-names All --queue-url {quote(url)}",
            partial(account.queue, url),
        )
        for url, kind in kinds.items()
    }


def _redriven(fleet: Fleet, queues: Mapping[str, QueueRecord | Unread | None]) -> list[QueueRecord]:
    """The queues that the redriver works with: those with a dead-letter queue, and these. It alone needs their keys."""
    sources: list[QueuePolicy] = [source for source in fleet.sources if source.dead_letter_queue]
    urls = [source.queue for source in sources] + [source.dead_letter_queue or "" for source in sources]
    return [record for url in urls if isinstance(record := queues.get(url), QueueRecord)]


def _read_agents(
    fleet: Fleet, group: GroupRecord | Unread | None, account: Account, reader: _Reader
) -> tuple[str | Unread | None, RoleRecord | Unread | None, Mapping[str, str] | Unread]:
    """What Run Command needs: an instance profile with a role that lets the agent speak, and agents that do."""
    profile: str | Unread | None = None
    role: RoleRecord | Unread | None = None
    agents: Mapping[str, str] | Unread = {}
    if fleet.drain.via is not DrainVia.SSM or not isinstance(group, GroupRecord):
        return profile, role, agents
    if (launch := group.launch) is not None:
        command = (
            f"ec2 describe-launch-template-versions --launch-template-id {launch.template_id}"
            f" --versions {quote(launch.version)}"
            if launch.template_id
            else "autoscaling describe-launch-configurations --launch-configuration-names"
            f" {quote(launch.configuration or '')}"
        )
        profile = reader.ask(
            f"instance profile of group {group.name}", command, lambda: account.instance_profile(launch)
        )
    if isinstance(profile, str):
        name = profile
        role = reader.ask(
            f"role of instance profile {name}",
            f"iam get-instance-profile --instance-profile-name {quote(name)}",
            lambda: account.profile_role(name),
        )
    if asked := group.in_service[:AGENTS_AT_ONCE]:
        agents = reader.ask(
            f"SSM agents of group {group.name}",
            f"ssm describe-instance-information --filters Key=InstanceIds,Values={','.join(asked)}",
            lambda: account.agents(asked),
        )
    return profile, role, agents
