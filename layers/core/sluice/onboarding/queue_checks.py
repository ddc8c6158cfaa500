"""Checks of the queues: they exist, their dead-letter queues and times fit, and Sluice may use their keys."""

import json
import re
from collections.abc import Iterator, Mapping
from shlex import quote
from typing import Any

from sluice.config.fleet import QueuePolicy, RedriveMode
from sluice.onboarding.account import QueueRecord
from sluice.onboarding.check_context import CheckContext, seconds
from sluice.onboarding.facts import Unread
from sluice.onboarding.findings import Finding, FindingCode
from sluice.wording import count

# The redriver's Timeout in template.yaml. Lambda refuses a mapping to a queue whose visibility timeout is shorter:
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
REDRIVER_TIMEOUT_S = 30.0
# The proposed maxReceiveCount if a queue has no redrive policy. AWS advises at least 5.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
RECEIVES = 5
HOST = re.compile(r"^https?://(?:sqs\.([a-z0-9-]+)\.|([a-z0-9-]+)\.queue\.)amazonaws\.com")
# What the redriver asks of the queues' key, through SQS.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-key-management.html
KEY_OPERATIONS = ("Decrypt", "GenerateDataKey")


def queue_findings(context: CheckContext) -> Iterator[Finding]:
    """What is wrong with the fleet's queues, in the fleet's order, and then with their keys."""
    for source in context.fleet.sources:
        why = "without it there is nothing to scale for"
        yield from _existence(context, source.queue, FindingCode.QUEUE_MISSING, "queue", why)
        if source.dead_letter_queue:
            why = "without it no dead letter can be kept or redriven"
            code = FindingCode.DEAD_LETTER_QUEUE_MISSING
            yield from _existence(context, source.dead_letter_queue, code, "dead_letter_queue", why)
        queue = context.facts.queues.get(source.queue)
        if isinstance(queue, QueueRecord):
            yield from _visibility_timeout(context, queue)
            yield from _dead_lettering(context, source, queue)
    yield from _keys(context)


def _existence(context: CheckContext, url: str, code: FindingCode, field: str, why: str) -> Iterator[Finding]:
    if url not in context.facts.queues or context.facts.queues[url] is not None:
        return
    name = url.rpartition("/")[2]
    more = " --attributes FifoQueue=true" if name.endswith(".fifo") else ""
    region = region_of(url)
    what = f"{context.field_name(field)}: queue {url} does not exist."
    if region and region != context.region:
        what = f"{context.field_name(field)}: queue {url} is in region {region}, and the stack is in {context.region}."
        why = "a fleet's queues must be in its stack's region"
    remedy = f"sqs create-queue --queue-name {quote(name)}{more}"
    yield context.problem(
        code, what, f"{_sentence(why)} Correct the URL, or create the queue with the command.", remedy
    )


def region_of(queue_url: str) -> str | None:
    """The region in a queue's URL; None if it is not one of AWS's own URLs."""
    found = HOST.match(queue_url)
    return found[1] or found[2] if found else None


def _visibility_timeout(context: CheckContext, queue: QueueRecord) -> Iterator[Finding]:
    works_s = context.fleet.hints.seconds_per_message
    if queue.visibility_s < works_s:
        yield context.warning(
            FindingCode.VISIBILITY_SHORT,
            f"Queue {queue.name} has a visibility timeout of {seconds(queue.visibility_s)}, and a message takes"
            f" {seconds(works_s)} (hints.seconds_per_message).",
            "A message becomes visible again while a consumer works on it, is worked on twice, and moves to the"
            " dead-letter queue after too many receives, unless the consumer extends the timeout.",
            f"sqs set-queue-attributes --queue-url {quote(queue.url)}"
            f" --attributes VisibilityTimeout={min(43_200, max(30, int(6 * works_s)))}",
        )


def _dead_lettering(context: CheckContext, source: QueuePolicy, queue: QueueRecord) -> Iterator[Finding]:
    url = source.dead_letter_queue
    field = context.field_name("dead_letter_queue")
    if url is None:
        if queue.dead_letter_arn:
            name = queue.dead_letter_arn.rpartition(":")[2]
            yield context.warning(
                FindingCode.DEAD_LETTERS_UNATTENDED,
                f"{field}: is not given, but queue {queue.name} sends its dead letters to {name}.",
                "Sluice neither retries nor quarantines them, and SQS deletes them in the end. To change that, give the"
                " URL that the command shows.",
                f"sqs get-queue-url --queue-name {quote(name)}",
            )
        return
    dead = context.facts.queues.get(url)
    if not isinstance(dead, QueueRecord):
        return
    policy = json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": queue.max_receive_count or RECEIVES})
    attributes = json.dumps({"RedrivePolicy": policy})
    point = f"sqs set-queue-attributes --queue-url {quote(queue.url)} --attributes {quote(attributes)}"
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
    if queue.dead_letter_arn is None:
        yield context.problem(
            FindingCode.REDRIVE_POLICY_MISSING,
            f"{field}: queue {queue.name} has no redrive policy, so no message ever moves to {dead.name}.",
            "A message that always fails is received again and again until its retention period ends.",
            point,
        )
    elif queue.dead_letter_arn != dead.arn:
        yield context.problem(
            FindingCode.REDRIVE_POLICY_ELSEWHERE,
            f"{field}: is {dead.name}, but the redrive policy of queue {queue.name} names {queue.dead_letter_arn}.",
            "Sluice would watch a queue that gets none of this fleet's dead letters. Correct the URL, or the policy"
            " with the command.",
            point,
        )
    elif queue.max_receive_count == 1:
        more = json.dumps({"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead.arn, "maxReceiveCount": RECEIVES})})
        yield context.warning(
            FindingCode.RECEIVED_ONCE,
            f"Queue {queue.name} moves a message to {dead.name} after one receive (maxReceiveCount 1).",
            "The messages in flight on an instance that crashes, or that Spot interrupts, become dead letters at once.",
            f"sqs set-queue-attributes --queue-url {quote(queue.url)} --attributes {quote(more)}",
        )
    yield from _dead_letter_queue(context, queue, dead)


def _dead_letter_queue(context: CheckContext, queue: QueueRecord, dead: QueueRecord) -> Iterator[Finding]:
    set_of_dead = f"sqs set-queue-attributes --queue-url {quote(dead.url)} --attributes"
    if dead.dead_letter_arn:
        yield context.problem(
            FindingCode.DEAD_LETTERS_MOVE_ON,
            f"Dead-letter queue {dead.name} has a dead-letter queue of its own,"
            f" {dead.dead_letter_arn.rpartition(':')[2]} (after {count(dead.max_receive_count or 0, 'receive')}).",
            "SQS counts each read of the redriver as a receive, and moves dead letters on to a queue that Sluice does"
            " not read: they are neither retried nor quarantined, and expire unseen. Remove the redrive policy of the"
            " dead-letter queue with the command.",
            f"{set_of_dead} RedrivePolicy=",
        )
    if context.fleet.redrive.mode is RedriveMode.AUTO and dead.visibility_s < REDRIVER_TIMEOUT_S:
        yield context.problem(
            FindingCode.DEAD_LETTER_VISIBILITY_SHORT,
            f"Dead-letter queue {dead.name} has a visibility timeout of {seconds(dead.visibility_s)}, and the redriver"
            f" has a timeout of {seconds(REDRIVER_TIMEOUT_S)}.",
            "Lambda does not connect a function to a queue whose visibility timeout is shorter than the function's"
            " timeout.",
            f"{set_of_dead} VisibilityTimeout={6 * REDRIVER_TIMEOUT_S:.0f}",
        )
    # https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/setting-up-dead-letter-queue-retention.html
    if dead.retention_s < queue.retention_s:
        yield context.warning(
            FindingCode.RETENTION_SHORT,
            f"Dead-letter queue {dead.name} keeps a message for {seconds(dead.retention_s)}, and queue {queue.name} for"
            f" {seconds(queue.retention_s)}.",
            "In a standard queue the retention period runs from a message's first send: SQS may delete a message that"
            " waited long soon after it becomes a dead letter, before it can be redriven.",
            f"{set_of_dead} MessageRetentionPeriod=1209600",
        )


# --------------------------------------------------------------------------- keys


def _keys(context: CheckContext) -> Iterator[Finding]:
    role = f"{context.stack}-redriver"
    for key_id, key in context.facts.keys.items():
        users = [q.name for q in context.facts.queues.values() if isinstance(q, QueueRecord) and q.key_id == key_id]
        of_queues = f"{key_id}, which encrypts {' and '.join(users)}"
        accounts = {q.arn.split(":")[4] for q in context.facts.queues.values() if isinstance(q, QueueRecord)}
        if key_id.startswith("arn:") and key_id.split(":")[4] not in accounts:
            yield context.problem(
                FindingCode.KEY_ELSEWHERE,
                f"KMS key {of_queues}, belongs to another account.",
                f"The stack's roles may use keys of their own account only: {role} could neither read dead letters nor"
                " send them back. The command has SQS's own key encrypt the queue.",
                f"sqs set-queue-attributes --queue-url {quote(_url_of(context, key_id))}"
                " --attributes KmsMasterKeyId=,SqsManagedSseEnabled=true",
            )
            continue
        if isinstance(key, Unread):
            continue
        if key is None:
            yield context.problem(
                FindingCode.KEY_MISSING,
                f"KMS key {of_queues}, does not exist.",
                "No message can be sent to the queue or received from it.",
                f"sqs set-queue-attributes --queue-url {quote(_url_of(context, key_id))}"
                " --attributes KmsMasterKeyId=,SqsManagedSseEnabled=true",
            )
            continue
        if key.state != "Enabled":
            mend = "cancel-key-deletion" if key.state == "PendingDeletion" else "enable-key"
            # https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
            yield context.problem(
                FindingCode.KEY_UNUSABLE,
                f"KMS key {of_queues}, is {key.state}.",
                "In this state of the key, no message can be sent, received or redriven.",
                f"kms {mend} --key-id {key.arn}",
            )
        if key.managed_by_aws:
            continue  # its policy allows everyone in the account who may use SQS: no grant is needed
        policy = context.facts.key_policies.get(key.arn)
        if isinstance(policy, str) and not leaves_access_to_iam(policy, key.arn):
            # https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html: without permission from the key
            # policy, IAM policies that allow have no effect.
            partition, account = key.arn.split(":")[1], key.arn.split(":")[4]
            region = key.arn.split(":")[3]
            yield context.warning(
                FindingCode.KEY_POLICY_CLOSED,
                f"The policy of KMS key {of_queues}, does not leave access to IAM.",
                f"Then the stack's own permissions for its role {role} have no effect, unless the policy or a grant"
                " names that role: the redriver could not read dead letters. The command makes such a grant.",
                f"kms create-grant --key-id {key.arn} --operations {' '.join(KEY_OPERATIONS)}"
                f" --grantee-principal arn:{partition}:iam::{account}:role/{role}-{region}",
            )


def _url_of(context: CheckContext, key_id: str) -> str:
    records = (q for q in context.facts.queues.values() if isinstance(q, QueueRecord))
    return next(record.url for record in records if record.key_id == key_id)


def leaves_access_to_iam(policy: str, key_arn: str) -> bool:
    """Whether a key's policy lets IAM policies of the key's account allow what the redriver needs.

    https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html: a statement that allows the account's
    root principal. A statement with conditions does not count, because it is not known whether they are met.
    """
    account = key_arn.split(":")[4]
    try:
        document = json.loads(policy)
    except ValueError:
        return False
    allowed: set[str] = set()
    for statement in _listed(document.get("Statement")):
        if statement.get("Effect") == "Allow" and not statement.get("Condition") and _names(statement, account):
            allowed |= {str(action).lower() for action in _listed(statement.get("Action"))}
    return all(any(_covers(action, f"kms:{operation}") for action in allowed) for operation in KEY_OPERATIONS)


def _names(statement: Mapping[str, Any], account: str) -> bool:
    principal = statement.get("Principal")
    named = _listed(principal.get("AWS")) if isinstance(principal, Mapping) else _listed(principal)
    return any(name in {"*", account} or re.fullmatch(rf"arn:[a-z-]+:iam::{account}:root", str(name)) for name in named)


def _covers(pattern: str, action: str) -> bool:
    head, star, _ = pattern.partition("*")
    return action.lower().startswith(head) if star else action.lower() == pattern


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
