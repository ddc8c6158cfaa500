"""Checks of what a drain needs: Run Command's document, and agents on the instances that answer it."""

from collections.abc import Iterator, Mapping
from shlex import quote

from sluice.config.fleet import DrainVia
from sluice.model.observed import Mode
from sluice.onboarding.account import AGENTS_AT_ONCE, GroupRecord, RoleRecord
from sluice.onboarding.check_context import CheckContext
from sluice.onboarding.facts import Unread
from sluice.onboarding.findings import Finding, FindingCode, Severity

CORE_POLICY = "AmazonSSMManagedInstanceCore"
# Managed policies that let the agent do its work; the second is AWS's older one.
# https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-instance-permissions.html
AGENT_POLICIES = frozenset({CORE_POLICY, "AmazonEC2RoleforSSM", "AdministratorAccess"})
ONLINE = "Online"


def drain_findings(context: CheckContext) -> Iterator[Finding]:
    """What keeps Run Command from stopping a consumer; nothing where consumers watch for themselves."""
    if context.fleet.drain.via is not DrainVia.SSM:
        return
    yield from _document(context)
    group, agents = context.facts.group, context.facts.agents
    if not isinstance(group, GroupRecord):
        return
    asked = group.in_service[:AGENTS_AT_ONCE]
    silent = [] if isinstance(agents, Unread) else [one for one in asked if agents.get(one) != ONLINE]
    if isinstance(agents, Mapping) and asked and not silent:
        return  # every agent answers: whatever lets it do so is in place
    permission = list(_permission(context, group))
    yield from permission
    if silent:
        none = len(silent) == len(asked)
        # Each sign by itself may have an innocent reason: agents register a minute after boot, and permissions may come
        # from elsewhere. Both together have none.
        surely = none and bool(permission) and context.fleet.mode is Mode.ACT
        yield context.finding(
            FindingCode.AGENT_SILENT,
            Severity.PROBLEM if surely else Severity.WARNING,
            f"The SSM agent of {len(silent)} of {len(asked)} instances of group {group.name} does not answer:"
            f" {', '.join(silent[:5])}{', ...' if len(silent) > 5 else ''}.",
            "Their consumers cannot be asked to stop: each scale-in would wait until drain.deadline_s. An instance"
            " of the"
            " last minutes may only need time; else the agent is not installed, may not speak, or has no way to Systems"
            " Manager's endpoints. This shows how they stand.",
            f"ssm describe-instance-information --filters Key=InstanceIds,Values={','.join(silent)}",
        )


def _document(context: CheckContext) -> Iterator[Finding]:
    document, prefix = context.fleet.drain.document, f"{context.stack}-"
    if document is not None and not document.startswith(prefix):
        copy = f"{prefix}{document}"
        yield context.problem(
            FindingCode.DOCUMENT_NAME,
            f"{context.field_name('drain.document')}: must begin with {prefix!r}, the stack's name (got {document!r}).",
            "The stack may run no other documents, and hears of no other's end. Copy its content under such a name, and"
            " name that.",
            f"ssm create-document --document-type Command --name {quote(copy)} --content"
            f' "$({context.aws} ssm get-document --name {quote(document)} --query Content --output text)"',
        )


def _permission(context: CheckContext, group: GroupRecord) -> Iterator[Finding]:
    profile, role = context.facts.profile, context.facts.role
    if group.launch is None or isinstance(profile, Unread) or isinstance(role, Unread):
        return
    if profile is None or role is None:
        what = (
            f"Instances of group {group.name} get no instance profile."
            if profile is None
            else f"Instance profile {profile} of group {group.name} does not exist or has no role."
        )
        yield context.warning(
            FindingCode.PROFILE_MISSING,
            what,
            "Without a role their SSM agent may not speak to Systems Manager, unless Default Host Management"
            " Configuration"
            " is on: consumers could not be asked to stop. Name a profile whose role has the policy in a new version of"
            " the launch template. This tells whether that configuration is on.",
            # https://docs.aws.amazon.com/systems-manager/latest/userguide/fleet-manager-default-host-management-configuration.html
            "ssm get-service-setting --setting-id /ssm/managed-instance/default-ec2-instance-management-role",
        )
    elif isinstance(role, RoleRecord) and not role.policies & AGENT_POLICIES:
        yield context.warning(
            FindingCode.ROLE_WITHOUT_SSM,
            f"Role {role.name} of group {group.name}'s instances has not the policy {CORE_POLICY}.",
            "Their SSM agent needs what it allows to be asked to stop a consumer; a policy of your own may allow"
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
