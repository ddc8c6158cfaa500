"""What an account and region hold, for the checks of `sluice.onboarding`. Reads only."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from sluice.aws.clients import Clients
from sluice.aws.errors import MISSING, Thing, asking, code_of
from sluice.aws.tags import parts
from sluice.config.fleet import parse_all
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
from sluice.onboarding.tags import TAG

if TYPE_CHECKING:
    from types_boto3_autoscaling.type_defs import AutoScalingGroupTypeDef, ScalingPolicyTypeDef

ROOT = "/sluice/"  # Parameter Store: /sluice/<stack>/fleets/<document>
PAGE = 10  # the most that GetParametersByPath gives at once
# Besides `MISSING`: KMS and IAM have codes of their own. Service pages: API_DescribeKey, API_GetInstanceProfile.
ABSENT = MISSING | {"NotFoundException", "NoSuchEntity"}


def _thing(service: str, name: str) -> Thing:
    return Thing(service, name, "create it, or correct its name", asker="whoever makes this check")


class AwsAccount:
    """The Account port. Each method's page of AWS is the operation's own in the service's API reference."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def queue(self, url: str) -> QueueRecord | None:
        """The queue. AWS answers alike for a missing queue and for one of another account that may not be read."""
        with asking(_thing("sqs", f"queue {url}")):
            answer = _found(partial(self._clients.sqs.get_queue_attributes, QueueUrl=url, AttributeNames=["All"]))
        if answer is None:
            return None
        found: dict[str, str] = {str(name): value for name, value in answer.get("Attributes", {}).items()}
        redrive = json.loads(found.get("RedrivePolicy") or "{}")
        receives = redrive.get("maxReceiveCount")
        return QueueRecord(
            url=url,
            arn=found["QueueArn"],
            visibility_s=float(found["VisibilityTimeout"]),
            retention_s=float(found["MessageRetentionPeriod"]),
            key_id=found.get("KmsMasterKeyId") or None,
            dead_letter_arn=redrive.get("deadLetterTargetArn"),
            max_receive_count=None if receives is None else int(receives),
        )

    def queue_tag(self, url: str) -> str | None:
        """The value of a queue's tag sluice:stack."""
        with asking(_thing("sqs", f"tags of queue {url}")):
            return self._clients.sqs.list_queue_tags(QueueUrl=url).get("Tags", {}).get(TAG)

    def instance_tags(self, instance_ids: Sequence[str]) -> Mapping[str, str]:
        """The value of the tag sluice:stack of each instance that has it."""
        found: dict[str, str] = {}
        with asking(_thing("ec2", "tags of instances")):
            for some in parts(instance_ids):
                asked = [{"Name": "resource-id", "Values": some}, {"Name": "key", "Values": [TAG]}]
                for page in self._clients.ec2.get_paginator("describe_tags").paginate(Filters=asked):
                    found |= {tag["ResourceId"]: tag["Value"] for tag in page["Tags"]}
        return found

    def key(self, key_id: str) -> KeyRecord | None:
        """The KMS key of an alias, an id or an ARN."""
        with asking(_thing("kms", f"KMS key {key_id}")):
            answer = _found(partial(self._clients.kms.describe_key, KeyId=key_id))
        if answer is None:
            return None
        found = answer["KeyMetadata"]
        return KeyRecord(found["Arn"], found["KeyState"], managed_by_aws=found.get("KeyManager") == "AWS")

    def key_policy(self, key_arn: str) -> str:
        """The key's policy, as JSON text."""
        with asking(_thing("kms", f"policy of KMS key {key_arn}")):
            return str(self._clients.kms.get_key_policy(KeyId=key_arn, PolicyName="default")["Policy"])

    def group(self, name: str) -> GroupRecord | None:
        """The Auto Scaling group."""
        with asking(_thing("autoscaling", f"Auto Scaling group {name}")):
            answer = self._clients.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])
        if not answer["AutoScalingGroups"]:
            return None
        found = answer["AutoScalingGroups"][0]
        instances = found.get("Instances", ())
        tag = next((one for one in found.get("Tags", ()) if one.get("Key") == TAG), None)
        return GroupRecord(
            name=name,
            min_size=found["MinSize"],
            max_size=found["MaxSize"],
            in_service=tuple(one["InstanceId"] for one in instances if one["LifecycleState"] == "InService"),
            instances=tuple(one["InstanceId"] for one in instances),
            tag=tag.get("Value", "") if tag else None,
            tags_instances=bool(tag and tag.get("PropagateAtLaunch")),
            suspended=frozenset(one.get("ProcessName", "") for one in found.get("SuspendedProcesses", ())),
            protects_new=bool(found.get("NewInstancesProtectedFromScaleIn")),
            warm_pool="WarmPoolConfiguration" in found,
            launch=_launch_source(found),
        )

    def scaling_policies(self, group: str) -> tuple[ScalingPolicy, ...]:
        """Every scaling policy of a group."""
        with asking(_thing("autoscaling", f"scaling policies of group {group}")):
            pages = self._clients.autoscaling.get_paginator("describe_policies").paginate(AutoScalingGroupName=group)
            found = [policy for page in pages for policy in page["ScalingPolicies"]]
        return tuple(
            ScalingPolicy(
                policy["PolicyName"],
                policy.get("PolicyType") or "SimpleScaling",
                enabled=policy.get("Enabled", True),
                forecast_only=_sets_nothing(policy),
            )
            for policy in found
        )

    def scheduled_actions(self, group: str) -> tuple[ScheduledAction, ...]:
        """The scheduled actions of a group."""
        with asking(_thing("autoscaling", f"scheduled actions of group {group}")):
            pages = self._clients.autoscaling.get_paginator("describe_scheduled_actions").paginate(
                AutoScalingGroupName=group
            )
            found = [action for page in pages for action in page["ScheduledUpdateGroupActions"]]
        return tuple(
            ScheduledAction(
                action["ScheduledActionName"],
                action.get("Recurrence") or "",
                action.get("DesiredCapacity"),
                action.get("MinSize"),
                action.get("MaxSize"),
            )
            for action in found
        )

    def hooks(self, group: str) -> tuple[HookRecord, ...]:
        """Every lifecycle hook of a group."""
        with asking(_thing("autoscaling", f"lifecycle hooks of group {group}")):
            found = self._clients.autoscaling.describe_lifecycle_hooks(AutoScalingGroupName=group)["LifecycleHooks"]
        return tuple(
            HookRecord(hook["LifecycleHookName"], hook["LifecycleTransition"], float(hook["HeartbeatTimeout"]))
            for hook in found
        )

    def launch(self, source: LaunchSource) -> LaunchRecord:
        """What a launch from there gives to its instances."""
        named: Any
        version: str | None
        data: Mapping[str, Any]
        metadata: Mapping[str, Any]
        if source.template_id:
            with asking(_thing("ec2", f"launch template {source.template_id}")):
                answer = self._clients.ec2.describe_launch_template_versions(
                    LaunchTemplateId=source.template_id, Versions=[source.version]
                )
            versions = answer["LaunchTemplateVersions"][:1]
            data = versions[0]["LaunchTemplateData"] if versions else {}
            version = str(versions[0]["VersionNumber"]) if versions else None
            profile = data.get("IamInstanceProfile", {})
            named, metadata = profile.get("Name") or profile.get("Arn"), data.get("MetadataOptions", {})
        else:
            with asking(_thing("autoscaling", f"launch configuration {source.configuration}")):
                found = self._clients.autoscaling.describe_launch_configurations(
                    LaunchConfigurationNames=[source.configuration or ""]
                )["LaunchConfigurations"]
            named = found[0].get("IamInstanceProfile") if found else None
            metadata = found[0].get("MetadataOptions", {}) if found else {}
            version = None
        return LaunchRecord(
            profile=str(named).rpartition("/")[2] if named else None,  # an ARN ends with the path and the name
            metadata_on=metadata.get("HttpEndpoint") != "disabled",
            hop_limit=metadata.get("HttpPutResponseHopLimit"),
            version=version,
        )

    def profile_role(self, profile: str) -> RoleRecord | None:
        """The role in an instance profile."""
        with asking(_thing("iam", f"instance profile {profile}")):
            answer = _found(partial(self._clients.iam.get_instance_profile, InstanceProfileName=profile))
        if answer is None or not answer["InstanceProfile"]["Roles"]:
            return None
        role = str(answer["InstanceProfile"]["Roles"][0]["RoleName"])
        with asking(_thing("iam", f"policies of role {role}")):
            pages = self._clients.iam.get_paginator("list_attached_role_policies").paginate(RoleName=role)
            names = frozenset(str(policy["PolicyName"]) for page in pages for policy in page["AttachedPolicies"])
        return RoleRecord(role, names)

    def agents(self, instance_ids: Sequence[str]) -> Mapping[str, str]:
        """AWS's PingStatus of each instance's SSM agent."""
        with asking(_thing("ssm", "SSM agents")):
            pages = self._clients.ssm.get_paginator("describe_instance_information").paginate(
                Filters=[{"Key": "InstanceIds", "Values": list(instance_ids)}]
            )
            return {
                one["InstanceId"]: one.get("PingStatus", "")
                for page in pages
                for one in page["InstanceInformationList"]
            }

    def fleets(self) -> tuple[FleetRecord, ...]:
        """The fleets of every Sluice stack."""
        documents: dict[str, dict[str, str]] = {}
        with asking(_thing("ssm", f"parameters under {ROOT}")):
            pages = self._clients.ssm.get_paginator("get_parameters_by_path").paginate(
                Path=ROOT, Recursive=True, PaginationConfig={"PageSize": PAGE}
            )
            for page in pages:
                for parameter in page["Parameters"]:
                    stack, _, name = parameter["Name"].removeprefix(ROOT).partition("/fleets/")
                    if name and "/" not in stack:
                        documents.setdefault(stack, {})[name] = parameter["Value"]
        return tuple(
            FleetRecord(stack, fleet) for stack, of_stack in documents.items() for fleet in parse_all(of_stack)[0]
        )

    def alarm_exists(self, name: str) -> bool:
        """Whether there is an alarm of that name."""
        with asking(_thing("cloudwatch", f"alarm {name}")):
            answer = self._clients.cloudwatch.describe_alarms(
                AlarmNames=[name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
        return bool(answer.get("MetricAlarms") or answer.get("CompositeAlarms"))


def _found[T](call: Callable[[], T]) -> T | None:
    """What a call answers; None where AWS answers that there is no such thing."""
    try:
        return call()
    except ClientError as error:
        if code_of(error) in ABSENT:
            return None
        raise


def _sets_nothing(policy: "ScalingPolicyTypeDef") -> bool:
    """Whether it is predictive scaling that forecasts only, which is what a policy does that names no mode.

    https://docs.aws.amazon.com/autoscaling/ec2/APIReference/API_PredictiveScalingConfiguration.html
    """
    configuration = policy.get("PredictiveScalingConfiguration", {})
    return policy.get("PolicyType") == "PredictiveScaling" and configuration.get("Mode") != "ForecastAndScale"


def _launch_source(group: "AutoScalingGroupTypeDef") -> LaunchSource | None:
    """What a group launches from; of a mixed instances policy the template that its overrides build on."""
    mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
    template = group.get("LaunchTemplate") or mixed
    if template.get("LaunchTemplateId"):
        return LaunchSource(template["LaunchTemplateId"], template.get("Version") or "$Default")
    if configuration := group.get("LaunchConfigurationName"):
        return LaunchSource(configuration=configuration)
    return None
