"""Checks of the tag `sluice:stack`: a stack may use only what has it, and nothing that another stack has tagged."""

from collections.abc import Iterator
from shlex import quote

from sluice.onboarding.account import GroupRecord, QueueRecord
from sluice.onboarding.check_context import CheckContext
from sluice.onboarding.facts import Unread
from sluice.onboarding.findings import Finding, FindingCode
from sluice.onboarding.tags import TAG
from sluice.wording import count

IDS_SHOWN = 50  # instances in a command; a second run finds the others


def tag_findings(context: CheckContext) -> Iterator[Finding]:
    """Which of the queues, the group and its instances lack the stack's tag, and which have another stack's."""
    for url, tag in context.facts.tags.queues.items():
        record = context.facts.queues.get(url)
        if isinstance(record, QueueRecord) and not isinstance(tag, Unread):
            remedy = f"sqs tag-queue --queue-url {quote(url)} --tags {TAG}={context.stack}"
            yield from _resource(context, f"Queue {record.name}", tag, remedy)
    group = context.facts.group
    if isinstance(group, GroupRecord):
        yield from _group(context, group)
        yield from _instances(context, group)


def _resource(context: CheckContext, what: str, tag: str | None, remedy: str) -> Iterator[Finding]:
    if tag is not None and tag != context.stack:
        yield context.problem(
            FindingCode.OTHER_STACKS_TAG,
            f"{what} has the tag {TAG}={tag}, and this stack is {context.stack}.",
            f"It belongs to stack {tag}. If that stack does not use it any more, the command gives it to this one.",
            remedy,
        )
    elif tag is None and not context.will_tag:
        yield context.problem(
            FindingCode.UNTAGGED,
            f"{what} does not have the tag {TAG}={context.stack}.",
            "The stack's roles may use only what has it. The command sets it; sluice enroll sets all that are missing.",
            remedy,
        )


def _group(context: CheckContext, group: GroupRecord) -> Iterator[Finding]:
    tag = f"ResourceId={group.name},ResourceType=auto-scaling-group,Key={TAG},Value={context.stack}"
    remedy = f"autoscaling create-or-update-tags --tags {quote(f'{tag},PropagateAtLaunch=true')}"
    yield from _resource(context, f"Group {group.name}", group.tag, remedy)
    if group.tag == context.stack and not group.tags_instances and not context.will_tag:
        yield context.problem(
            FindingCode.UNTAGGED,
            f"Group {group.name} does not pass its tag {TAG} on to the instances that it launches.",
            "Run Command reaches only instances that have the tag. The command makes the group pass it on.",
            remedy,
        )


def _instances(context: CheckContext, group: GroupRecord) -> Iterator[Finding]:
    tags = context.facts.tags.instances
    if isinstance(tags, Unread):
        return
    for instance_id in group.instances:
        tag = tags.get(instance_id)
        if tag is not None and tag != context.stack:
            remedy = f"ec2 create-tags --resources {instance_id} --tags Key={TAG},Value={context.stack}"
            yield from _resource(context, f"Instance {instance_id} of group {group.name}", tag, remedy)
    untagged = [instance_id for instance_id in group.instances if instance_id not in tags]
    if untagged and not context.will_tag:
        ids = " ".join(untagged[:IDS_SHOWN])
        yield context.problem(
            FindingCode.UNTAGGED,
            f"{count(len(untagged), 'instance')} of group {group.name} started without the tag {TAG}={context.stack}.",
            "Run Command reaches only instances that have the tag: it could not stop their consumers.",
            f"ec2 create-tags --resources {ids} --tags Key={TAG},Value={context.stack}",
        )
