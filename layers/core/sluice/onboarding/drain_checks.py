"""Checks of what a drain by Run Command needs: its document, and SSM agents that answer on the instances."""

from collections.abc import Iterator, Mapping
from shlex import quote

from sluice.config.fleet import DrainVia
from sluice.model.observed import Mode
from sluice.onboarding.account import AGENTS_AT_ONCE, GroupRecord, RoleRecord
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
    """What keeps Run Command from stopping a consumer. Nothing is checked if consumers stop by themselves."""
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
    profile, role = context.facts.profile, context.facts.role
    if group.launch is None or isinstance(profile, Unread) or isinstance(role, Unread):
        return
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
