"""Checks of what drains need: the metadata service, and for Run Command its document and SSM agents that answer."""

import json
from collections.abc import Iterator, Mapping
from shlex import quote

from sluice.config.fleet import DrainVia
from sluice.model.observed import Mode
from sluice.onboarding.account import AGENTS_AT_ONCE, GroupRecord, LaunchRecord, LaunchSource, RoleRecord
from sluice.onboarding.check_context import CheckContext
from sluice.onboarding.facts import Unread
from sluice.onboarding.findings import Finding, FindingCode, Severity
from sluice.wording import count

CORE_POLICY = "AmazonSSMManagedInstanceCore"
# Managed policies that let the agent do its work; the second is AWS's older one.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-instance-permissions.html
AGENT_POLICIES = frozenset({CORE_POLICY, "AmazonEC2RoleforSSM", "AdministratorAccess"})
ONLINE = "Online"


def drain_findings(context: CheckContext) -> Iterator[Finding]:
    """What keeps a consumer from being stopped, or from stopping by itself."""
    yield from _metadata(context)
    if context.fleet.drain.via is not DrainVia.SSM:
        return
    yield from _document(context)
    group, agents = context.facts.group, context.facts.agents
    if not isinstance(group, GroupRecord):
        return
    asked = group.in_service[:AGENTS_AT_ONCE]
    silent = [] if isinstance(agents, Unread) else [one for one in asked if agents.get(one) != ONLINE]
    if isinstance(agents, Mapping) and asked and not silent:
        return  # every agent answers, so nothing that it needs is missing
    permission = list(_permission(context, group))
    yield from permission
    if silent:
        none = len(silent) == len(asked)
        # Each sign by itself may have a harmless cause: agents register a minute after boot, and an instance may get
        # its permissions in another way. Both signs together have none.
        surely = none and bool(permission) and context.fleet.mode is Mode.ACT
        yield context.finding(
            FindingCode.AGENT_SILENT,
            Severity.PROBLEM if surely else Severity.WARNING,
            f"The SSM agent does not answer on {len(silent)} of {count(len(asked), 'instance')} of group"
            f" {group.name}: {', '.join(silent[:5])}{', ...' if len(silent) > 5 else ''}.",
            "Run Command cannot stop the consumers there: each scale-in would wait until drain.deadline_s. An instance"
            " that was launched in the last minutes may only need time. Otherwise its agent is not installed, lacks"
            " permissions, or cannot reach Systems Manager's endpoints. The command shows the agents' state.",
            f"ssm describe-instance-information --filters Key=InstanceIds,Values={','.join(silent)}",
        )


def _metadata(context: CheckContext) -> Iterator[Finding]:
    """The launch's metadata options. A container is one network hop further away than its instance.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-options.html
    """
    launch, group = context.facts.launch, context.facts.group
    if not isinstance(launch, LaunchRecord) or not isinstance(group, GroupRecord) or group.launch is None:
        return
    container = context.fleet.drain.container
    if not launch.metadata_on:
        yield context.warning(
            FindingCode.METADATA_OFF,
            f"Group {group.name} launches instances without the instance metadata service.",
            "SSM agents and consumers get their credentials from it, and the consumers' helper reads there that its"
            f" instance is to leave. {_METADATA_CURE}",
            _metadata_command(group.launch, launch.version, in_container=container is not None),
        )
    elif launch.hop_limit == 1 and container is not None:
        yield context.warning(
            FindingCode.METADATA_HOP_LIMIT,
            f"Instances of group {group.name} answer metadata requests over 1 network hop, and container {container}"
            " is 2 hops away.",
            "The consumer in the container gets no credentials there and cannot learn that its instance is to leave,"
            f" unless the container uses the host's network. {_METADATA_CURE}",
            _metadata_command(group.launch, launch.version, in_container=True),
        )


_METADATA_CURE = (
    "Make the new version the one that the group launches. Instances that run already are changed by"
    " modify-instance-metadata-options with the same options."
)


def _metadata_command(source: LaunchSource, version: str | None, *, in_container: bool) -> str:
    """The AWS CLI's arguments that allow metadata: by a new version of the launch template, or on an instance.

    The version that the new one is based on is named by its number: that `$Latest` is taken there is not documented.
    https://docs.aws.amazon.com/cli/latest/reference/ec2/create-launch-template-version.html

    Args:
        source: what the group launches from.
        version: the number of its version, as far as it is known.
        in_container: whether the consumer runs in a container.
    """
    if source.template_id is None:  # a launch configuration cannot be changed
        hops = " --http-put-response-hop-limit 2" if in_container else ""
        return f"ec2 modify-instance-metadata-options --http-endpoint enabled{hops} --instance-id <instance>"
    options = {"HttpEndpoint": "enabled"} | ({"HttpPutResponseHopLimit": 2} if in_container else {})
    data = quote(json.dumps({"MetadataOptions": options}))
    return (
        f"ec2 create-launch-template-version --launch-template-id {source.template_id}"
        f" --source-version {quote(version or source.version)} --launch-template-data {data}"
    )


def _document(context: CheckContext) -> Iterator[Finding]:
    document, prefix = context.fleet.drain.document, f"{context.stack}-"
    if document is not None and not document.startswith(prefix):
        copy = f"{prefix}{document}"
        yield context.problem(
            FindingCode.DOCUMENT_NAME,
            f"{context.field_name('drain.document')}: must begin with {prefix!r}, the stack's name (got {document!r}).",
            "The stack may not run other documents, and does not learn when they end. Copy the document under such a"
            " name with the command, and set drain.document to that name.",
            f"ssm create-document --document-type Command --name {quote(copy)} --content"
            f' "$({context.aws} ssm get-document --name {quote(document)} --query Content --output text)"',
        )


def _permission(context: CheckContext, group: GroupRecord) -> Iterator[Finding]:
    launch, role = context.facts.launch, context.facts.role
    if not isinstance(launch, LaunchRecord) or isinstance(role, Unread):
        return
    profile = launch.profile
    if profile is None or role is None:
        what = (
            f"Group {group.name} launches instances without an instance profile."
            if profile is None
            else f"Instance profile {profile} of group {group.name} does not exist or has no role."
        )
        yield context.warning(
            FindingCode.PROFILE_MISSING,
            what,
            "Without a role their SSM agents may not use Systems Manager, unless Default Host Management Configuration"
            " is on: Run Command could not stop their consumers. Add a profile whose role has the policy"
            f" {CORE_POLICY} to a new version of the launch template. The command shows whether that configuration is"
            " on.",
            # https://docs.aws.amazon.com/systems-manager/latest/userguide/fleet-manager-default-host-management-configuration.html
            "ssm get-service-setting --setting-id /ssm/managed-instance/default-ec2-instance-management-role",
        )
    elif isinstance(role, RoleRecord) and not role.policies & AGENT_POLICIES:
        yield context.warning(
            FindingCode.ROLE_WITHOUT_SSM,
            f"Role {role.name} of group {group.name}'s instances does not have the policy {CORE_POLICY}.",
            "Their SSM agents need its permissions for Run Command to stop a consumer. A policy of your own may allow"
            " the same.",
            f"iam attach-role-policy --role-name {quote(role.name)} --policy-arn {_policy_arn(context)}",
        )


def _policy_arn(context: CheckContext) -> str:
    """The policy's ARN in the partition of the fleet's queues."""
    records = (
        record for record in context.facts.queues.values() if record is not None and not isinstance(record, Unread)
    )
    partition = next((record.arn.split(":")[1] for record in records), "aws")
    return f"arn:{partition}:iam::aws:policy/{CORE_POLICY}"
