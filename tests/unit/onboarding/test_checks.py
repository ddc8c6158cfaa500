"""Checks of an account, by tables: each finding once where it belongs, and once where it does not."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from sluice.config.fleet import parse as parse_fleet
from sluice.memory.account import MemoryAccount
from sluice.onboarding.account import (
    FleetRecord,
    HookRecord,
    KeyRecord,
    LaunchSource,
    RoleRecord,
    ScalingPolicy,
    ScheduledAction,
)
from sluice.onboarding.facts import CALL_S, Facts, read_facts
from sluice.onboarding.findings import FindingCode, Severity
from tests.support.account_world import (
    ARN,
    DEAD,
    GROUP,
    HOST,
    INSTANCES,
    KEY,
    QUEUE,
    Change,
    both,
    findings,
    fleet_of,
    group,
    launched,
    queue,
    setting,
    sound,
)
from tests.support.aws_commands import parse
from tests.support.sentences import faults

TERMINATING, LAUNCHING = "autoscaling:EC2_INSTANCE_TERMINATING", "autoscaling:EC2_INSTANCE_LAUNCHING"
PROBLEM, WARNING = Severity.PROBLEM, Severity.WARNING
SILENT: dict[str, str] = {}
TRACKING = (ScalingPolicy("cpu-50", "TargetTrackingScaling"),)
NIGHTLY = (ScheduledAction("night", "0 22 * * *", desired=0),)
FORECAST = (ScalingPolicy("ahead", "PredictiveScaling"),)
ROLE_ONLY = json.dumps({"Statement": {"Effect": "Allow", "Principal": {"AWS": f"{ARN}role/x"}, "Action": "kms:*"}})


def other(stack: str, mode: str = "act", **fields: Any) -> tuple[FleetRecord, ...]:
    """A fleet of another name, of any stack."""
    document = {"queue": f"{HOST}mails", "group": "others", "target_wait_s": 60, "mode": mode}
    return (FleetRecord(stack, parse_fleet("second", document | fields)),)


def without(name: str, key: str) -> Change:
    """Something is gone."""

    def change(account: MemoryAccount) -> None:
        del getattr(account, name)[key]

    return change


@dataclass(frozen=True)
class Planted:
    """A fault, and what is said of it."""

    code: FindingCode
    severity: Severity
    change: Change
    what: str  # part of what is found
    remedy: str  # part of the command
    fleet: dict[str, Any] = field(default_factory=dict)
    also: frozenset[FindingCode] = frozenset()  # what such an account has besides


def retagged(resource: str) -> Change:
    """A queue or an instance with the tag of stack blue."""

    def change(account: MemoryAccount) -> None:
        account.tags[resource] = "blue"

    return change


C = FindingCode
ELSEWHERE = KEY.replace("123456789012", "210987654321")
SHADOW = {"mode": "shadow"}
PLANTED = (
    Planted(C.QUEUE_MISSING, PROBLEM, without("queues", QUEUE), QUEUE, "create-queue --queue-name orders"),
    Planted(
        C.QUEUE_MISSING,
        PROBLEM,
        setting("alarms", frozenset()),
        "is in region us-east-1",
        "create-queue",
        {"queue": QUEUE.replace("eu-west-1", "us-east-1")},
    ),
    Planted(
        C.DEAD_LETTER_QUEUE_MISSING, PROBLEM, without("queues", DEAD), DEAD, "create-queue --queue-name orders-dead"
    ),
    Planted(
        C.REDRIVE_POLICY_MISSING,
        PROBLEM,
        queue(QUEUE, dead_letter_arn=None, max_receive_count=None),
        "queue orders has no redrive policy",
        f"set-queue-attributes --queue-url {QUEUE} --attributes",
    ),
    Planted(
        C.REDRIVE_POLICY_ELSEWHERE,
        PROBLEM,
        queue(QUEUE, dead_letter_arn=f"{ARN}elsewhere"),
        f"{ARN}elsewhere",
        f"{ARN}orders-dead",
    ),
    Planted(
        C.DEAD_LETTERS_UNATTENDED,
        WARNING,
        setting("alarms", frozenset()),
        "orders-dead",
        "get-queue-url --queue-name orders-dead",
        {"dead_letter_queue": None},
    ),
    Planted(
        C.DEAD_LETTERS_MOVE_ON,
        PROBLEM,
        queue(DEAD, dead_letter_arn=f"{ARN}further", max_receive_count=5),
        "further (after 5 receives)",
        f"--queue-url {DEAD} --attributes RedrivePolicy=",
    ),
    Planted(C.RECEIVED_ONCE, WARNING, queue(QUEUE, max_receive_count=1), "maxReceiveCount 1", "maxReceiveCount"),
    Planted(
        C.VISIBILITY_SHORT,
        WARNING,
        setting("alarms", frozenset()),
        "of 1 minute, and a message takes 90 seconds",
        "VisibilityTimeout=540",
        {"hints": {"seconds_per_message": 90}},
    ),
    Planted(
        C.DEAD_LETTER_VISIBILITY_SHORT,
        PROBLEM,
        queue(DEAD, visibility_s=29),
        "29 seconds, and the redriver",
        f"--queue-url {DEAD} --attributes VisibilityTimeout=180",
    ),
    Planted(
        C.RETENTION_SHORT,
        WARNING,
        queue(DEAD, retention_s=86_400),
        "for 1 day, and queue orders for 4 days",
        "MessageRetentionPeriod=1209600",
    ),
    Planted(
        C.KEY_MISSING,
        PROBLEM,
        without("keys", KEY),
        "does not exist",
        "SqsManagedSseEnabled=true",
    ),
    Planted(
        C.KEY_ELSEWHERE,
        PROBLEM,
        both(queue(DEAD, key_id=ELSEWHERE), setting("keys", {KEY: KeyRecord(KEY)})),
        "which encrypts orders-dead, belongs to another account",
        "SqsManagedSseEnabled=true",
    ),
    Planted(
        C.UNTAGGED,
        PROBLEM,
        without("tags", QUEUE),
        "Queue orders does not have the tag sluice:stack=sluice.",
        f"sqs tag-queue --queue-url {QUEUE} --tags sluice:stack=sluice",
    ),
    Planted(
        C.UNTAGGED,
        PROBLEM,
        group(tag=None, tags_instances=False),
        "Group workers does not have the tag",
        "create-or-update-tags --tags ResourceId=workers,ResourceType=auto-scaling-group,Key=sluice:stack,"
        "Value=sluice,PropagateAtLaunch=true",
    ),
    Planted(
        C.UNTAGGED,
        PROBLEM,
        group(tags_instances=False),
        "Group workers does not pass its tag sluice:stack on",
        "create-or-update-tags",
    ),
    Planted(
        C.UNTAGGED,
        PROBLEM,
        without("tags", INSTANCES[1]),
        "1 instance of group workers started without the tag",
        f"ec2 create-tags --resources {INSTANCES[1]} --tags Key=sluice:stack,Value=sluice",
    ),
    Planted(
        C.OTHER_STACKS_TAG,
        PROBLEM,
        retagged(DEAD),
        "Queue orders-dead has the tag sluice:stack=blue, and this stack is sluice.",
        f"tag-queue --queue-url {DEAD}",
    ),
    Planted(C.OTHER_STACKS_TAG, PROBLEM, group(tag="blue"), "Group workers has the tag", "create-or-update-tags"),
    Planted(
        C.OTHER_STACKS_TAG,
        PROBLEM,
        retagged(INSTANCES[0]),
        f"Instance {INSTANCES[0]} of group workers has the tag",
        f"ec2 create-tags --resources {INSTANCES[0]}",
    ),
    Planted(
        C.KEY_UNUSABLE,
        PROBLEM,
        setting("keys", {KEY: KeyRecord(KEY, "Disabled")}),
        "is Disabled",
        f"enable-key --key-id {KEY}",
    ),
    Planted(
        C.KEY_UNUSABLE,
        PROBLEM,
        setting("keys", {KEY: KeyRecord(KEY, "PendingDeletion")}),
        "is PendingDeletion",
        "cancel-key-deletion",
    ),
    Planted(
        C.KEY_POLICY_CLOSED,
        WARNING,
        setting("key_policies", {KEY: ROLE_ONLY}),
        "does not leave access to IAM",
        "role/sluice-redriver-eu-west-1",
    ),
    Planted(C.GROUP_MISSING, PROBLEM, without("groups", GROUP), "'workers'", "describe-auto-scaling-groups"),
    Planted(C.GROUP_CANNOT_SCALE_OUT, PROBLEM, group(max_size=0), "maximum size of 0", "--max-size 10"),
    Planted(C.GROUP_CANNOT_SCALE_OUT, WARNING, group(max_size=0), "maximum size of 0", "--max-size 10", SHADOW),
    Planted(C.GROUP_SIZE_FIXED, PROBLEM, group(min_size=4, max_size=4), "maximum size, 4", "--min-size 0"),
    Planted(
        C.PROCESS_SUSPENDED,
        WARNING,
        group(suspended=frozenset({"Launch"})),
        "Process Launch",
        "resume-processes --auto-scaling-group-name workers --scaling-processes Launch",
    ),
    Planted(
        C.NEW_INSTANCES_PROTECTED,
        WARNING,
        group(protects_new=True),
        "protects new instances",
        "--no-new-instances-protected-from-scale-in",
    ),
    Planted(C.WARM_POOL, WARNING, group(warm_pool=True), "has a warm pool", "delete-warm-pool"),
    Planted(
        C.SCALING_POLICY,
        PROBLEM,
        setting("policies", TRACKING),
        "cpu-50 (TargetTrackingScaling)",
        "delete-policy --auto-scaling-group-name workers --policy-name cpu-50",
    ),
    Planted(C.SCALING_POLICY, WARNING, setting("policies", TRACKING), "cpu-50", "delete-policy", SHADOW),
    Planted(C.PREDICTIVE_SCALING, PROBLEM, setting("policies", FORECAST), "ahead", "--policy-name ahead"),
    Planted(
        C.PREDICTIVE_SCALING,
        PROBLEM,
        both(setting("policies", FORECAST), group(suspended=frozenset({"AlarmNotification"}))),
        "ahead",
        "delete-policy",
    ),
    Planted(
        C.SCHEDULED_ACTION,
        PROBLEM,
        setting("actions", NIGHTLY),
        "night (0 22 * * *) changes group workers: desired 0",
        "delete-scheduled-action --auto-scaling-group-name workers --scheduled-action-name night",
    ),
    Planted(C.SCHEDULED_ACTION, WARNING, setting("actions", NIGHTLY), "night", "--scheduled-action-name night", SHADOW),
    Planted(
        C.SCHEDULED_ACTION,
        WARNING,
        setting("actions", (ScheduledAction("day", min_size=2, max_size=9),)),
        "minimum 2, maximum 9",
        "--scheduled-action-name day",
    ),
    Planted(
        C.OTHER_HOOK,
        WARNING,
        setting("group_hooks", (HookRecord("old-drain", TERMINATING, 300),)),
        "old-drain (EC2_INSTANCE_TERMINATING, 5 minutes)",
        "--lifecycle-hook-name old-drain",
    ),
    Planted(
        C.OTHER_HOOK,
        WARNING,
        setting("group_hooks", (HookRecord("boot", LAUNCHING, 60),)),
        "EC2_INSTANCE_LAUNCHING",
        "--lifecycle-hook-name boot",
    ),
    Planted(
        C.HOOK_SHORT,
        WARNING,
        setting("group_hooks", (HookRecord("sluice-drain", TERMINATING, 120),)),
        "Lifecycle hook sluice-drain of group workers times out after 2 minutes, which is less than 15 minutes",
        "--lifecycle-hook-name sluice-drain --heartbeat-timeout 1800",
    ),
    Planted(
        C.OTHER_FLEET,
        PROBLEM,
        setting("stacks_fleets", other("blue", group=GROUP)),
        "second of Sluice stack blue",
        "get-parameter --name /sluice/blue/fleets/second",
    ),
    Planted(
        C.OTHER_FLEET,
        WARNING,
        setting("stacks_fleets", other("blue", "shadow", queue=QUEUE)),
        "queue orders",
        "/sluice/blue/fleets/second",
    ),
    Planted(
        C.OTHER_FLEET,
        PROBLEM,
        setting("stacks_fleets", other("sluice", "shadow", dead_letter_queue=DEAD)),
        "dead-letter queue orders-dead",
        "/sluice/sluice/fleets/second",
    ),
    Planted(
        C.PROFILE_MISSING,
        WARNING,
        both(setting("launches", {}), group(in_service=())),
        "without an instance profile",
        "get-service-setting",
    ),
    Planted(
        C.PROFILE_MISSING,
        WARNING,
        both(setting("roles", {}), group(in_service=())),
        "profile worker",
        "get-service-setting",
    ),
    Planted(
        C.ROLE_WITHOUT_SSM,
        WARNING,
        both(setting("roles", {"worker": RoleRecord("worker-role")}), group(in_service=())),
        "Role worker-role",
        "attach-role-policy --role-name worker-role --policy-arn arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore",
    ),
    Planted(
        C.AGENT_SILENT, WARNING, setting("ping_status", SILENT), "2 of 2 instances", f"Values={','.join(INSTANCES)}"
    ),
    Planted(
        C.AGENT_SILENT,
        WARNING,
        setting("ping_status", {INSTANCES[0]: "Online", INSTANCES[1]: "ConnectionLost"}),
        f"does not answer on 1 of 2 instances of group workers: {INSTANCES[1]}",
        f"Values={INSTANCES[1]}",
    ),
    Planted(
        C.AGENT_SILENT,
        PROBLEM,
        both(setting("ping_status", SILENT), setting("launches", {})),
        "2 of 2",
        "ssm describe",
        also=frozenset({C.PROFILE_MISSING}),
    ),
    Planted(
        C.METADATA_OFF,
        WARNING,
        launched(metadata_on=False, version="7"),
        "without the instance metadata service",
        """--source-version 7 --launch-template-data '{"MetadataOptions": {"HttpEndpoint": "enabled"}}'""",
    ),
    Planted(
        C.METADATA_OFF,
        WARNING,
        launched(metadata_on=False, hop_limit=1),
        "without the instance metadata service",
        '"HttpPutResponseHopLimit": 2',
        {"drain": {"via": "self", "container": "worker"}},
    ),
    Planted(
        C.METADATA_HOP_LIMIT,
        WARNING,
        launched(hop_limit=1),
        "container worker is 2 hops away",
        """'{"MetadataOptions": {"HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 2}}'""",
        {"drain": {"container": "worker"}},
    ),
    Planted(
        C.DOCUMENT_NAME,
        PROBLEM,
        setting("alarms", frozenset()),
        "drain.document: must begin with 'sluice-'",
        "create-document --document-type Command --name sluice-Stop-Worker",
        {"drain": {"document": "Stop-Worker"}},
    ),
    Planted(
        C.VETO_ALARM_MISSING,
        PROBLEM,
        setting("alarms", frozenset({"db-calm"})),
        "'db-busy'",
        "describe-alarms",
        {"limits": {"veto_alarm": "db-busy"}},
    ),
    Planted(
        C.VETO_ALARM_MISSING,
        WARNING,
        setting("alarms", frozenset({"db-calm"})),
        "'db-busy'",
        "describe-alarms",
        {"limits": {"veto_alarm": "db-busy"}} | SHADOW,
    ),
)


@pytest.mark.parametrize(
    "planted", PLANTED, ids=lambda planted: f"{planted.code}-{planted.severity}-{planted.what[:20]}"
)
def test_fault_is_found_with_its_remedy_when_planted(planted: Planted) -> None:
    """Of a sound account with one fault that fault is found, and nothing else; the AWS CLI knows its remedy."""
    account = sound()
    planted.change(account)

    found = {one.code: one for one in findings(account, fleet_of(**planted.fleet))}

    assert set(found) == {planted.code} | planted.also
    finding = found[planted.code]
    assert finding.severity is planted.severity
    assert planted.what in finding.what
    assert finding.remedy.startswith("aws --region eu-west-1 ")
    assert planted.remedy in finding.remedy.replace("\\", "")
    assert finding.why
    assert parse(finding.remedy).options["--region"] == "eu-west-1"


@pytest.mark.parametrize(
    "planted", PLANTED, ids=lambda planted: f"{planted.code}-{planted.severity}-{planted.what[:20]}"
)
def test_finding_when_it_is_read(planted: Planted) -> None:
    """Whole sentences, each with a full stop, in plain words, with units and plurals that are right."""
    account = sound()
    planted.change(account)
    for finding in findings(account, fleet_of(**planted.fleet)):
        for text in (finding.what, finding.why):
            assert text.endswith(".")
            assert faults(text) == []
        assert all(sentence[0].isupper() or sentence[0] == "`" for sentence in re.split(r"(?<=[a-z]\.) ", finding.why))
        assert str(finding) == f"{finding.what} {finding.why} Run: {finding.remedy}"


def test_findings_when_their_codes_are_counted() -> None:
    """No finding is without a scene here; what could not be checked has a test of its own."""
    assert {planted.code for planted in PLANTED} == set(FindingCode) - {FindingCode.NOT_CHECKED}


FINE: tuple[tuple[str, Change, dict[str, Any]], ...] = (
    ("as it should be", lambda _: None, {}),
    ("not encrypted", both(queue(QUEUE, key_id=None), queue(DEAD, key_id=None)), {}),
    (
        "under AWS's own key",
        both(
            setting("keys", {"alias/aws/sqs": KeyRecord(f"{KEY}1", managed_by_aws=True)}),
            queue(QUEUE, key_id="alias/aws/sqs"),
            queue(DEAD, key_id="alias/aws/sqs"),
        ),
        {},
    ),
    ("a policy that is off", setting("policies", (ScalingPolicy("cpu", "StepScaling", enabled=False),)), {}),
    ("a forecast alone", setting("policies", (ScalingPolicy("f", "PredictiveScaling", forecast_only=True),)), {}),
    (
        "a policy whose alarms do not reach it",
        both(setting("policies", TRACKING), group(suspended=frozenset({"AlarmNotification"}))),
        {},
    ),
    (
        "a schedule that is suspended",
        both(setting("actions", NIGHTLY), group(suspended=frozenset({"ScheduledActions"}))),
        {},
    ),
    ("a fleet elsewhere", setting("stacks_fleets", other("blue")), {}),
    ("itself", setting("stacks_fleets", (FleetRecord("sluice", fleet_of()),)), {}),
    (
        "no agents, and nobody asks them",
        both(setting("ping_status", SILENT), setting("launches", {})),
        {"drain": {"via": "self"}},
    ),
    ("agents that answer without the policy", setting("roles", {"worker": RoleRecord("worker-role")}), {}),
    ("dead letters of manual redrives", queue(DEAD, visibility_s=5), {"redrive": {"mode": "manual"}}),
    ("an alarm that is there", setting("alarms", frozenset({"db-busy"})), {"limits": {"veto_alarm": "db-busy"}}),
    ("metadata for a unit over one hop", launched(hop_limit=1), {}),
    ("metadata for a container over two hops", launched(hop_limit=2), {"drain": {"container": "worker"}}),
    ("metadata as the account has it", launched(), {"drain": {"container": "worker"}}),
    ("a group without instances", group(in_service=(), instances=()), {}),
    ("zones left unbalanced", group(suspended=frozenset({"AZRebalance"})), {}),
    ("nothing known of the launch", both(group(launch=None, in_service=()), setting("launches", {})), {}),
    ("no dead-letter queue", queue(QUEUE, dead_letter_arn=None, max_receive_count=None), {"dead_letter_queue": None}),
)


@pytest.mark.parametrize(("change", "fleet"), [(c, f) for _, c, f in FINE], ids=[name for name, _, _ in FINE])
def test_nothing_is_found_when_all_is_well(change: Change, fleet: dict[str, Any]) -> None:
    """What is right, or off, or none of the fleet's business is no finding."""
    account = sound()
    change(account)

    assert findings(account, fleet_of(**fleet)) == ()


def test_every_code_is_planted_once() -> None:
    """No check goes untested."""
    assert {planted.code for planted in PLANTED} == set(FindingCode) - {FindingCode.NOT_CHECKED}


def test_missing_tags_are_nothing_to_report_when_the_deployment_sets_them() -> None:
    """Another stack's are: no deployment takes them over."""
    account = sound()
    group(tag=None, tags_instances=False)(account)
    account.tags = {DEAD: "blue"}

    (finding,) = findings(account, will_tag=True)

    assert (finding.code, finding.severity) == (FindingCode.OTHER_STACKS_TAG, PROBLEM)


REFUSABLE = {
    "queue": "Queue orders could not be checked",
    "key": f"KMS key {KEY} could not be checked",
    "key_policy": f"Policy of KMS key {KEY} could not be checked",
    "group": "Auto Scaling group workers could not be checked",
    "scaling_policies": "Scaling policies of group workers could not be checked",
    "scheduled_actions": "Scheduled actions of group workers could not be checked",
    "hooks": "Lifecycle hooks of group workers could not be checked",
    "launch": "Launch settings of group workers could not be checked",
    "profile_role": "Role of instance profile worker could not be checked",
    "agents": "SSM agents of group workers could not be checked",
    "fleets": "Fleets of all Sluice stacks in the account and region could not be checked",
    "alarm_exists": "Alarm db-busy could not be checked",
    "queue_tag": "Tags of queue orders could not be checked",
    "instance_tags": "Tags of the instances of group workers could not be checked",
}


@pytest.mark.parametrize("method", REFUSABLE)
def test_fact_is_told_when_it_may_not_be_read(method: str) -> None:
    """Each fact by itself: it fails nothing, and says with what command somebody else can look."""
    account = sound()
    account.refuses = frozenset({method})
    account.alarms = frozenset({"db-busy"})

    found = findings(account, fleet_of(limits={"veto_alarm": "db-busy"}))

    assert {(one.code, one.severity) for one in found} == {(FindingCode.NOT_CHECKED, WARNING)}
    assert any(one.what.startswith(REFUSABLE[method]) for one in found)
    assert all("is not allowed" in one.what for one in found)
    assert all(parse(one.remedy).options["--region"] == "eu-west-1" for one in found)


def test_refusals_are_all_told_when_nothing_may_be_read() -> None:
    """A caller without any permission gets a list, and no exception."""
    account = sound()
    account.refuses = frozenset(REFUSABLE)

    found = findings(account)

    assert {one.code for one in found} == {FindingCode.NOT_CHECKED}
    assert len(found) == 7  # two queues, the group and its three lists, the fleets: the rest is behind these


def test_nothing_more_is_asked_when_time_runs_out() -> None:
    """A deployment gets its answer in time: what was not asked any more is told."""
    left = iter([CALL_S + 1, CALL_S + 1, CALL_S - 1])
    account = sound()

    facts: Facts = read_facts(fleet_of(), account, partial(next, left, 0.0))

    assert facts.read == ("queue orders", "dead-letter queue orders-dead")
    assert {unread.why for unread in facts.unread} == {"no time was left to ask AWS"}


def test_problems_come_first_when_there_are_doubts_too() -> None:
    """Who reads the first lines reads what fails."""
    account = sound()
    group(max_size=0)(account)
    queue(DEAD, retention_s=86_400)(account)

    assert [one.severity for one in findings(account)] == [PROBLEM, WARNING]


def test_every_queue_is_judged_when_a_fleet_has_several() -> None:
    """A fleet's second queue is looked at like its first, under its own name."""
    mails, mails_dead = f"{HOST}mails", f"{HOST}mails-dead"
    account = sound()
    account.queues[mails] = account.queues[QUEUE].__class__(mails, f"{ARN}mails", 60, 345_600)
    account.queues[mails_dead] = account.queues[DEAD].__class__(mails_dead, f"{ARN}mails-dead", 60, 345_600)
    account.tags |= dict.fromkeys((mails, mails_dead), "sluice")
    queues = [{"queue": QUEUE, "dead_letter_queue": DEAD}, {"queue": mails, "dead_letter_queue": mails_dead}]

    found = findings(account, fleet_of(queue=None, dead_letter_queue=None, queues=queues))

    assert [(one.code, "queue mails has no redrive policy" in one.what) for one in found] == [
        (FindingCode.REDRIVE_POLICY_MISSING, True)
    ]


@pytest.mark.parametrize(
    ("statement", "leaves"),
    [
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*"}, True),
        ({"Principal": {"AWS": ["123456789012"]}, "Action": ["kms:Decrypt", "kms:GenerateDataKey*"]}, True),
        ({"Principal": "*", "Action": "*"}, True),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:Describe*"}, False),
        ({"Principal": {"AWS": "arn:aws:iam::210987654321:root"}, "Action": "kms:*"}, False),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*", "Effect": "Deny"}, False),
        (
            {
                "Principal": {"AWS": "*"},
                "Action": "kms:*",
                "Condition": {"StringEquals": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"}},
            },
            False,
        ),
    ],
)
def test_key_policy_is_read_as_kms_reads_it_when_it_names_the_account(statement: dict[str, Any], leaves: bool) -> None:
    """Access is IAM's where the account's root principal is allowed both operations, without conditions."""
    account = sound()
    account.key_policies = {KEY: json.dumps({"Statement": [{"Effect": "Allow", **statement}]})}

    assert (findings(account) == ()) is leaves


def test_launch_configuration_is_shown_when_a_group_has_no_template() -> None:
    """The command to look for oneself names what the group launches from."""
    account = sound()
    group(launch=LaunchSource(configuration="old one"))(account)
    account.refuses = frozenset({"launch"})

    (found,) = findings(account)

    assert "--launch-configuration-names 'old one'" in found.remedy
