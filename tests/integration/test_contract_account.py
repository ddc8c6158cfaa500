"""The Account port's contract. moto knows nothing of SSM agents, and the emulator nothing of warm pools."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any, override

import pytest
from botocore.exceptions import ClientError

from sluice.aws import Clients
from sluice.aws.account import AwsAccount
from sluice.aws.tags import AwsTagWriter
from sluice.config.fleet import parse
from sluice.memory.account import MemoryAccount
from sluice.onboarding.account import (
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
from sluice.onboarding.queue_checks import leaves_access_to_iam
from sluice.onboarding.tags import TagWriter
from sluice.ports.errors import NeedsFixError, RefusedError
from sluice_tools.sandbox.sandbox import Sandbox
from tests.integration.contract_worlds import EMULATOR, EVERYWHERE, FAKE, MEMORY, MOTO, REGION, AwsWorld, open_world

TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
TRUST = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
POLICY = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
_numbers = itertools.count(1)


def unique(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{next(_numbers)}-{time.monotonic_ns() % 1_000_000_000}"


class Planter:
    """A world in memory: an account, and what a test puts there."""

    account: Account
    tags: TagWriter

    def __init__(self) -> None:
        self.account = self.tags = self._memory = MemoryAccount()

    def queue(
        self, name: str, visibility_s: int = 30, key_id: str | None = None, dead_letters: str | None = None
    ) -> str:
        """A queue that keeps messages for a day; its URL."""
        url = f"https://sqs.{REGION}.amazonaws.com/123456789012/{name}"
        dead_arn = None if dead_letters is None else self._memory.queues[dead_letters].arn
        arn = f"arn:aws:sqs:{REGION}:123456789012:{name}"
        receives = None if dead_arn is None else 4
        self._memory.queues[url] = QueueRecord(url, arn, visibility_s, 86_400, key_id, dead_arn, receives)
        return url

    def key(self, alias: str, *, enabled: bool = True) -> str:
        """A KMS key of the account's with an alias and AWS's default policy; its ARN."""
        arn = f"arn:aws:kms:{REGION}:123456789012:key/{unique('key')}"
        statement = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*"}
        self._memory.keys[alias] = self._memory.keys[arn] = KeyRecord(arn, "Enabled" if enabled else "Disabled")
        self._memory.key_policies[arn] = json.dumps({"Statement": [statement]})
        return arn

    def group(self, name: str, profile: str | None = None, hop_limit: int | None = None) -> None:
        """A group of 1 to 4 with a launch template; one that names a hop limit turns the metadata service off."""
        launch = LaunchSource(f"lt-{name}", "1")
        ids = ("i-0123456789abcdef0",)
        self._memory.groups[name] = GroupRecord(name, 1, 4, ids, ids, launch=launch)
        self._memory.launches[launch] = LaunchRecord(profile, hop_limit is None, hop_limit, version="1")
        self._memory.ping_status["i-0123456789abcdef0"] = "Online"

    def suspend_and_protect(self, name: str) -> None:
        """Its Launch process is suspended, and new instances are protected."""
        old = self._memory.groups[name]
        self._memory.groups[name] = GroupRecord(
            name,
            old.min_size,
            old.max_size,
            old.in_service,
            suspended=frozenset({"Launch"}),
            protects_new=True,
            launch=old.launch,
        )

    def step_policy(self, group: str, name: str) -> None:
        """A step scaling policy."""
        self._memory.policies[group] = (ScalingPolicy(name, "StepScaling"),)

    def action(self, group: str, name: str) -> None:
        """A scheduled action that sets the desired capacity to 2 at 8 each morning."""
        self._memory.actions[group] = (ScheduledAction(name, "0 8 * * *", 2),)

    def hook(self, group: str, name: str) -> None:
        """A termination hook of 90 seconds."""
        self._memory.group_hooks[group] = (HookRecord(name, TERMINATING, 90),)

    def profile(self, name: str, *policies: str) -> None:
        """An instance profile with a role of the same name that has these policies."""
        self._memory.roles[name] = RoleRecord(name, frozenset(policy.rpartition("/")[2] for policy in policies))

    def document(self, stack: str, name: str, document: dict[str, Any]) -> None:
        """A fleet's document."""
        self._memory.stacks_fleets += (FleetRecord(stack, parse(name, document)),)

    def alarm(self, name: str) -> None:
        """An alarm."""
        self._memory.alarms |= {name}


class AwsPlanter(Planter):
    """moto or the emulator."""

    def __init__(self, world: AwsWorld) -> None:
        self._world = world
        self.account = AwsAccount(Clients(world.environ))
        self.tags = AwsTagWriter(Clients(world.environ))

    @override
    def queue(
        self, name: str, visibility_s: int = 30, key_id: str | None = None, dead_letters: str | None = None
    ) -> str:
        attributes = {"VisibilityTimeout": str(visibility_s), "MessageRetentionPeriod": "86400"}
        if key_id is not None:
            attributes["KmsMasterKeyId"] = key_id
        if dead_letters is not None:
            arn = self._world.ports.queue.facts(dead_letters).arn
            attributes["RedrivePolicy"] = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "4"})
        url: str = self._world.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    @override
    def key(self, alias: str, *, enabled: bool = True) -> str:
        kms = self._world.client("kms")
        made = kms.create_key()["KeyMetadata"]
        kms.create_alias(AliasName=alias, TargetKeyId=made["KeyId"])
        if not enabled:
            kms.disable_key(KeyId=made["KeyId"])
        return str(made["Arn"])

    @override
    def group(self, name: str, profile: str | None = None, hop_limit: int | None = None) -> None:
        tags = [{"Key": "sluice:sandbox-command", "Value": "exec sleep 1000"}]
        metadata = {"HttpEndpoint": "disabled", "HttpPutResponseHopLimit": hop_limit}
        self._world.client("ec2").create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={
                "ImageId": "ami-12c6146b",
                "InstanceType": "t3.nano",
                "TagSpecifications": [{"ResourceType": "instance", "Tags": tags}],
                **({"IamInstanceProfile": {"Name": profile}} if profile else {}),
                **({"MetadataOptions": metadata} if hop_limit else {}),
            },
        )
        self._world.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=1,
            MaxSize=4,
            LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
            AvailabilityZones=[f"{REGION}a"],
        )

    @override
    def suspend_and_protect(self, name: str) -> None:
        autoscaling = self._world.client("autoscaling")
        autoscaling.suspend_processes(AutoScalingGroupName=name, ScalingProcesses=["Launch"])
        autoscaling.update_auto_scaling_group(AutoScalingGroupName=name, NewInstancesProtectedFromScaleIn=True)

    @override
    def step_policy(self, group: str, name: str) -> None:
        self._world.client("autoscaling").put_scaling_policy(
            AutoScalingGroupName=group,
            PolicyName=name,
            PolicyType="StepScaling",
            AdjustmentType="ChangeInCapacity",
            StepAdjustments=[{"MetricIntervalLowerBound": 0.0, "ScalingAdjustment": 1}],
        )

    @override
    def action(self, group: str, name: str) -> None:
        self._world.client("autoscaling").put_scheduled_update_group_action(
            AutoScalingGroupName=group, ScheduledActionName=name, Recurrence="0 8 * * *", DesiredCapacity=2
        )

    @override
    def hook(self, group: str, name: str) -> None:
        self._world.client("autoscaling").put_lifecycle_hook(
            AutoScalingGroupName=group, LifecycleHookName=name, LifecycleTransition=TERMINATING, HeartbeatTimeout=90
        )

    @override
    def profile(self, name: str, *policies: str) -> None:
        iam = self._world.client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [TRUST]}))
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        for policy in policies:
            iam.attach_role_policy(RoleName=name, PolicyArn=policy)

    @override
    def document(self, stack: str, name: str, document: dict[str, Any]) -> None:
        path = f"/sluice/{stack}/fleets/{name}"
        self._world.client("ssm").put_parameter(Name=path, Value=json.dumps(document), Type="String")

    @override
    def alarm(self, name: str) -> None:
        self._world.set_alarm(name, on=False)


@pytest.fixture
def managed_policies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Moto knows AWS's own policies, all 1,500; asked for before `there`, since that takes it half a second."""
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")


@pytest.fixture(params=EVERYWHERE)
def there(request: pytest.FixtureRequest) -> Iterator[Planter]:
    """Each world in turn."""
    for world in open_world(request):
        yield AwsPlanter(world) if isinstance(world, AwsWorld) else Planter()


def test_nothing_is_found_when_it_does_not_exist(there: Planter) -> None:
    """None, and no error: that something is missing is what the checks are for."""
    account = there.account

    assert account.queue(f"https://sqs.{REGION}.amazonaws.com/123456789012/none") is None
    assert account.key("alias/none") is None
    assert account.group("none") is None
    assert account.profile_role("none") is None
    assert not account.alarm_exists("none")


def test_queue_is_read_when_it_exists(there: Planter) -> None:
    """Its times, its key as it names it, and where its dead letters go."""
    key = there.key(alias := f"alias/{unique('queues')}")
    dead = there.queue(unique("dead"), visibility_s=45, key_id=key)
    url = there.queue(unique("orders"), key_id=alias, dead_letters=dead)

    record, dead_record = there.account.queue(url), there.account.queue(dead)

    assert record is not None
    assert dead_record is not None
    assert (record.url, record.name) == (url, url.rpartition("/")[2])
    assert (record.visibility_s, record.retention_s, record.key_id) == (30, 86_400, alias)
    assert (record.dead_letter_arn, record.max_receive_count) == (dead_record.arn, 4)
    assert (dead_record.visibility_s, dead_record.key_id, dead_record.dead_letter_arn) == (45, key, None)


@pytest.mark.parametrize("enabled", [True, False])
def test_key_is_read_when_named_by_alias_or_arn(there: Planter, enabled: bool) -> None:
    """The same key, its state, and a policy that leaves access to IAM as AWS's default does."""
    arn = there.key(alias := f"alias/{unique('key')}", enabled=enabled)

    assert there.account.key(alias) == there.account.key(arn) == KeyRecord(arn, "Enabled" if enabled else "Disabled")
    assert leaves_access_to_iam(there.account.key_policy(arn), arn)


def test_group_is_read_when_it_exists(there: Planter) -> None:
    """Its bounds, what it launches from, and what is unusual about it."""
    there.group(name := unique("group"))
    plain = there.account.group(name)
    there.suspend_and_protect(name)
    changed = there.account.group(name)

    assert plain is not None
    assert changed is not None
    assert (plain.min_size, plain.max_size, plain.suspended, plain.protects_new) == (1, 4, frozenset(), False)
    assert not plain.warm_pool
    assert plain.launch is not None
    assert plain.launch.template_id
    assert (changed.suspended, changed.protects_new) == (frozenset({"Launch"}), True)


def test_what_else_sets_the_size_is_read_when_there_is_any(there: Planter) -> None:
    """Policies, scheduled actions and hooks of this group, and of no other."""
    there.group(name := unique("group"))
    there.group(other := unique("group"))
    there.step_policy(name, "more")
    there.action(name, "mornings")
    there.hook(name, "drain")

    assert there.account.scaling_policies(name) == (ScalingPolicy("more", "StepScaling"),)
    assert there.account.scheduled_actions(name) == (ScheduledAction("mornings", "0 8 * * *", 2),)
    assert there.account.hooks(name) == (HookRecord("drain", TERMINATING, 90.0),)
    account = there.account
    assert (account.scaling_policies(other), account.scheduled_actions(other), account.hooks(other)) == ((), (), ())


def test_role_is_found_when_a_launch_gives_a_profile(managed_policies: None, there: Planter) -> None:
    """From the group's launch template to the policies of its instances' role."""
    there.profile(profile := unique("worker"), POLICY)
    there.group(name := unique("group"), profile)
    there.group(bare := unique("group"))
    there.group(closed := unique("group"), hop_limit=1)

    def launch(group: str) -> LaunchSource:
        found = there.account.group(group)
        assert found is not None
        assert found.launch is not None
        return found.launch

    assert there.account.launch(launch(name)) == LaunchRecord(profile, version="1")
    assert there.account.launch(launch(bare)) == LaunchRecord(version="1")
    assert there.account.launch(launch(closed)) == LaunchRecord(metadata_on=False, hop_limit=1, version="1")
    assert there.account.profile_role(profile) == RoleRecord(profile, frozenset({"AmazonSSMManagedInstanceCore"}))


def test_fleets_of_every_stack_are_read_when_they_are_valid(there: Planter) -> None:
    """Each with its stack's name."""
    queue = f"https://sqs.{REGION}.amazonaws.com/123456789012/orders"
    stacks = {unique("blue"): unique("workers"), unique("green"): unique("workers")}
    for stack, group in stacks.items():
        there.document(stack, "main", {"queue": queue, "group": group, "target_wait_s": 60, "mode": "shadow"})

    found = {one.stack: one.fleet.group for one in there.account.fleets() if one.stack in stacks}

    assert found == stacks


def test_alarm_exists_when_it_does(there: Planter) -> None:
    """By its name."""
    there.alarm(name := unique("alarm"))

    assert there.account.alarm_exists(name)


def test_queue_has_its_tag_until_it_is_removed(there: Planter) -> None:
    """The last value that was set; setting and removing it again changes nothing."""
    url = there.queue(unique("orders"))
    assert there.account.queue_tag(url) is None

    for stack in ("blue", "green", "green"):
        there.tags.tag_queue(url, stack)
        assert there.account.queue_tag(url) == stack
    for _ in range(2):
        there.tags.untag_queue(url)
        assert there.account.queue_tag(url) is None


def test_group_passes_its_tag_on_until_it_is_removed(there: Planter) -> None:
    """The tag that is set here reaches the instances that start later."""
    there.group(name := unique("group"))

    def tag() -> tuple[str | None, bool]:
        found = there.account.group(name)
        assert found is not None
        return found.tag, found.tags_instances

    assert tag() == (None, False)
    for _ in range(2):
        there.tags.tag_group(name, "blue")
        assert tag() == ("blue", True)
    there.tags.untag_group(name)
    assert tag() == (None, False)


def test_instances_have_their_tag_until_it_is_removed(there: Planter) -> None:
    """Only those that have it are told, and only the named value is removed."""
    there.group(name := unique("group"))
    until = time.monotonic() + 20
    while not (ids := there.account.group(name).instances) and time.monotonic() < until:  # type: ignore[union-attr]
        time.sleep(0.1)
    assert len(ids) == 1
    assert there.account.instance_tags(ids) == {}

    for _ in range(2):
        there.tags.tag_instances(ids, "blue")
        assert there.account.instance_tags((*ids, "i-0fedcba9876543210")) == {ids[0]: "blue"}
    there.tags.untag_instances(ids, "green")
    assert there.account.instance_tags(ids) == {ids[0]: "blue"}
    there.tags.untag_instances(ids, "blue")
    assert there.account.instance_tags(ids) == {}


@pytest.mark.parametrize("there", [MEMORY, EMULATOR], indirect=True)
def test_agent_is_online_when_its_instance_runs(there: Planter, request: pytest.FixtureRequest) -> None:
    """By instance; none of those that never spoke."""
    there.group(name := unique("group"))

    def in_service() -> tuple[str, ...]:
        found = there.account.group(name)
        return () if found is None else found.in_service

    eventually = request.getfixturevalue("eventually")
    (instance_id,) = eventually(in_service)

    assert there.account.agents([instance_id]) == {instance_id: "Online"}
    assert there.account.agents(["i-0ffffffffffffffff"]) == {}


@pytest.mark.parametrize("there", [MOTO], indirect=True)
def test_warm_pool_is_seen_when_there_is_one(there: AwsPlanter) -> None:
    """The group itself tells of it."""
    there.group(name := unique("group"))
    there._world.client("autoscaling").put_warm_pool(AutoScalingGroupName=name, MinSize=1)

    found = there.account.group(name)

    assert found is not None
    assert found.warm_pool


@pytest.mark.parametrize("there", [EMULATOR], indirect=True)
def test_key_is_awss_own_when_its_alias_is(there: Planter) -> None:
    """What SQS encrypts with where nobody chose a key needs no grant."""
    key = there.account.key("alias/aws/sqs")

    assert key is not None
    assert key.managed_by_aws
    assert there.account.key(key.arn) == key


@pytest.mark.parametrize("there", [EMULATOR], indirect=True)
def test_policy_is_refused_when_asked_by_alias(there: Planter) -> None:
    """AWS takes a key's id or ARN there; a check that passed an alias would fail at work."""
    there.key(alias := f"alias/{unique('key')}")

    with pytest.raises(RefusedError, match="Invalid keyId"):
        there.account.key_policy(alias)


@pytest.mark.sandbox
def test_permission_is_named_when_it_is_missing(sandbox: Sandbox) -> None:
    """Who may not read gets the action to grant, and to whom."""
    iam = sandbox.client("iam")
    iam.create_user(UserName=(name := unique("nobody")))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    environ = FAKE | {
        "AWS_ENDPOINT_URL": sandbox.url,
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }
    account = AwsAccount(Clients(environ))

    for call, action in (
        (lambda: account.group("any"), "autoscaling:DescribeAutoScalingGroups"),
        (lambda: account.key("alias/any"), "kms:DescribeKey"),
        (lambda: account.profile_role("any"), "iam:GetInstanceProfile"),
        (lambda: account.agents(["i-0123456789abcdef0"]), "ssm:DescribeInstanceInformation"),
    ):
        with pytest.raises(NeedsFixError, match=f"{action} is not allowed: grant it to whoever makes this check"):
            call()


@pytest.mark.sandbox
def test_policies_and_schedules_are_refused_when_they_are_wrong(sandbox: Sandbox) -> None:
    """The sandbox takes none for a group that is not there, and no schedule that sets nothing."""
    autoscaling = sandbox.client("autoscaling")

    with pytest.raises(ClientError, match="name not found"):
        autoscaling.put_scaling_policy(AutoScalingGroupName="none", PolicyName="p", ScalingAdjustment=1)
    with pytest.raises(ClientError, match="name not found"):
        autoscaling.put_scheduled_update_group_action(
            AutoScalingGroupName="none", ScheduledActionName="a", DesiredCapacity=1
        )
