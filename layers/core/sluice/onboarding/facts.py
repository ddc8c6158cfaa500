"""Reads the account for one fleet, fact by fact. What cannot be read is recorded as `Unread`, and is never an error."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
    LaunchRecord,
    LaunchSource,
    QueueRecord,
    RoleRecord,
    ScalingPolicy,
    ScheduledAction,
)
from sluice.ports.errors import PortError

# One call of the AWS adapter ends within 25 s even if the service does not answer (sluice.aws.clients). With less time
# left no call is begun, so that the caller can still answer.
CALL_S = 28.0


@dataclass(frozen=True, slots=True)
class Unread:
    """A fact that could not be read."""

    what: str  # such as "scaling policies of group workers"
    why: str  # AWS's answer
    command: str  # the AWS CLI's arguments that show the fact to a user who may read it


@dataclass(frozen=True, slots=True)
class TagFacts:
    """The tag sluice:stack of the queues, by URL, and of the group's instances, by id; the group's is in its record."""

    queues: Mapping[str, str | Unread | None] = field(default_factory=dict)  # None: no such tag
    instances: Mapping[str, str] | Unread = field(default_factory=dict)  # of those that have it


@dataclass(frozen=True, slots=True)
class Facts:
    """What was read of the account. A field that the fleet does not need is None or empty."""

    queues: Mapping[str, QueueRecord | Unread | None] = field(default_factory=dict)  # by URL; None: does not exist
    keys: Mapping[str, KeyRecord | Unread | None] = field(default_factory=dict)  # by KmsMasterKeyId
    key_policies: Mapping[str, str | Unread] = field(default_factory=dict)  # JSON text by the key's ARN
    group: GroupRecord | Unread | None = None
    policies: tuple[ScalingPolicy, ...] | Unread = ()
    actions: tuple[ScheduledAction, ...] | Unread = ()
    hooks: tuple[HookRecord, ...] | Unread = ()
    launch: LaunchRecord | Unread | None = None
    role: RoleRecord | Unread | None = None
    agents: Mapping[str, str] | Unread = field(default_factory=dict)  # PingStatus by instance id
    fleets: tuple[FleetRecord, ...] | Unread = ()
    alarm: bool | Unread | None = None  # whether the veto alarm exists
    tags: TagFacts = field(default_factory=TagFacts)
    read: tuple[str, ...] = ()  # what was read, in words
    unread: tuple[Unread, ...] = ()


@dataclass(slots=True)
class _Reader:
    """Calls the account, and lists what was read and what was not."""

    account: Account
    time_left_s: Callable[[], float]
    read: list[str] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)

    def ask[T](self, what: str, command: str, call: Callable[[], T]) -> T | Unread:
        if self.time_left_s() < CALL_S:
            return self._failed(Unread(what, "no time was left to ask AWS", command))
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
        fleet: the fleet to be checked.
        account: the account and region to read.
        time_left_s: returns the seconds that are left. With less than CALL_S nothing more is asked.
        queues_alone: read nothing but the queues and their keys.

    Returns:
        The facts. No PortError leaves this function: each is an `Unread` in the place of its fact, and in `unread`.
    """
    reader = _Reader(account, time_left_s)
    facts = _with_keys(fleet, Facts(queues=_read_queues(fleet, reader)), reader)
    if not queues_alone:
        facts = _with_group(fleet, facts, reader)
        facts = _with_agents(fleet, facts, reader)
        facts = _with_fleets_and_alarm(fleet, facts, reader)
    facts = _with_tags(facts, reader)
    return replace(facts, read=tuple(reader.read), unread=tuple(reader.unread))


# --------------------------------------------------------------------------- queues and their keys


def _read_queues(fleet: Fleet, reader: _Reader) -> dict[str, QueueRecord | Unread | None]:
    kinds = {source.queue: "queue" for source in fleet.sources}
    kinds |= dict.fromkeys(fleet.dead_letter_queues, "dead-letter queue")
    return {
        url: reader.ask(
            f"{kind} {url.rpartition('/')[2]}",
            f"sqs get-queue-attributes --attribute-names All --queue-url {quote(url)}",
            partial(reader.account.queue, url),
        )
        for url, kind in kinds.items()
    }


def _with_keys(fleet: Fleet, facts: Facts, reader: _Reader) -> Facts:
    """The facts with the KMS keys that the redriver needs, and the policies of those that AWS does not manage."""
    key_ids = dict.fromkeys(record.key_id for record in _redriven_queues(fleet, facts.queues) if record.key_id)
    keys = {
        key_id: reader.ask(
            f"KMS key {key_id}", f"kms describe-key --key-id {quote(key_id)}", partial(reader.account.key, key_id)
        )
        for key_id in key_ids
    }
    arns = dict.fromkeys(key.arn for key in keys.values() if isinstance(key, KeyRecord) and not key.managed_by_aws)
    policies = {
        arn: reader.ask(
            f"policy of KMS key {arn}", f"kms get-key-policy --key-id {arn}", partial(reader.account.key_policy, arn)
        )
        for arn in arns
    }
    return replace(facts, keys=keys, key_policies=policies)


def _redriven_queues(fleet: Fleet, queues: Mapping[str, QueueRecord | Unread | None]) -> list[QueueRecord]:
    """The queues with a dead-letter queue, and these. Only the redriver needs keys, and it uses no other queues."""
    sources: list[QueuePolicy] = [source for source in fleet.sources if source.dead_letter_queue]
    urls = [source.queue for source in sources] + [source.dead_letter_queue or "" for source in sources]
    return [record for url in urls if isinstance(record := queues.get(url), QueueRecord)]


# --------------------------------------------------------------------------- the group


def _with_group(fleet: Fleet, facts: Facts, reader: _Reader) -> Facts:
    """The facts with the Auto Scaling group, and whatever else sets its size or holds its instances."""
    name, account = fleet.group, reader.account
    group = reader.ask(
        f"Auto Scaling group {name}",
        f"autoscaling describe-auto-scaling-groups --auto-scaling-group-names {quote(name)}",
        lambda: account.group(name),
    )
    if group is None:
        return facts
    of_group = f"--auto-scaling-group-name {quote(name)}"
    return replace(
        facts,
        group=group,
        policies=reader.ask(
            f"scaling policies of group {name}",
            f"autoscaling describe-policies {of_group}",
            lambda: account.scaling_policies(name),
        ),
        actions=reader.ask(
            f"scheduled actions of group {name}",
            f"autoscaling describe-scheduled-actions {of_group}",
            lambda: account.scheduled_actions(name),
        ),
        hooks=reader.ask(
            f"lifecycle hooks of group {name}",
            f"autoscaling describe-lifecycle-hooks {of_group}",
            lambda: account.hooks(name),
        ),
    )


# --------------------------------------------------------------------------- Run Command


def _with_agents(fleet: Fleet, facts: Facts, reader: _Reader) -> Facts:
    """The facts with the launch of instances, and what Run Command needs: its profile's role, agents that answer."""
    group = facts.group
    if not isinstance(group, GroupRecord):
        return facts
    launch: LaunchRecord | Unread | None = None
    role: RoleRecord | Unread | None = None
    agents: Mapping[str, str] | Unread = {}
    if (source := group.launch) is not None:
        launch = reader.ask(
            f"launch settings of group {group.name}",
            _command_for(source),
            lambda: reader.account.launch(source),
        )
    if fleet.drain.via is not DrainVia.SSM:
        return replace(facts, launch=launch)
    if isinstance(launch, LaunchRecord) and (name := launch.profile):
        role = reader.ask(
            f"role of instance profile {name}",
            f"iam get-instance-profile --instance-profile-name {quote(name)}",
            lambda: reader.account.profile_role(name),
        )
    if instance_ids := group.in_service[:AGENTS_AT_ONCE]:
        agents = reader.ask(
            f"SSM agents of group {group.name}",
            f"ssm describe-instance-information --filters Key=InstanceIds,Values={','.join(instance_ids)}",
            lambda: reader.account.agents(instance_ids),
        )
    return replace(facts, launch=launch, role=role, agents=agents)


def _command_for(launch: LaunchSource) -> str:
    """The AWS CLI's arguments that show a launch template's version, or a launch configuration."""
    if launch.template_id:
        return (
            f"ec2 describe-launch-template-versions --launch-template-id {launch.template_id}"
            f" --versions {quote(launch.version)}"
        )
    return (
        f"autoscaling describe-launch-configurations --launch-configuration-names {quote(launch.configuration or '')}"
    )


# --------------------------------------------------------------------------- other fleets, the veto alarm


def _with_fleets_and_alarm(fleet: Fleet, facts: Facts, reader: _Reader) -> Facts:
    """The facts with the fleets of every Sluice stack, and whether the fleet's veto alarm exists."""
    fleets = reader.ask(
        "fleets of all Sluice stacks in the account and region",
        "ssm get-parameters-by-path --path /sluice/ --recursive",
        reader.account.fleets,
    )
    alarm: bool | Unread | None = None
    if name := fleet.limits.veto_alarm:
        alarm = reader.ask(
            f"alarm {name}",
            f"cloudwatch describe-alarms --alarm-types CompositeAlarm MetricAlarm --alarm-names {quote(name)}",
            lambda: reader.account.alarm_exists(name),
        )
    return replace(facts, fleets=fleets, alarm=alarm)


# --------------------------------------------------------------------------- tags


def _with_tags(facts: Facts, reader: _Reader) -> Facts:
    """The facts with the tags of the queues that exist, and of the group's instances if those were asked for."""
    account = reader.account
    queues = {
        url: reader.ask(
            f"tags of queue {record.name}",
            f"sqs list-queue-tags --queue-url {quote(url)}",
            partial(account.queue_tag, url),
        )
        for url, record in facts.queues.items()
        if isinstance(record, QueueRecord)
    }
    instances: Mapping[str, str] | Unread = {}
    if isinstance(facts.group, GroupRecord) and (ids := facts.group.instances):
        instances = reader.ask(
            f"tags of the instances of group {facts.group.name}",
            f"ec2 describe-tags --filters Name=resource-id,Values={','.join(ids)}",
            partial(account.instance_tags, ids),
        )
    return replace(facts, tags=TagFacts(queues, instances))
