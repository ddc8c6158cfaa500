"""Checks of the group: it exists, it can scale out and in, and nothing else sets its size."""

from collections.abc import Iterator
from shlex import quote

from sluice.config.drain_section import HOOK_TIMEOUT_ADVISED_S
from sluice.model.observed import Mode
from sluice.onboarding.account import GroupRecord, HookRecord
from sluice.onboarding.check_context import CheckContext, seconds
from sluice.onboarding.facts import Unread
from sluice.onboarding.findings import Finding, FindingCode, Severity

PREDICTIVE = "PredictiveScaling"
TERMINATING = "autoscaling:EC2_INSTANCE_TERMINATING"
# What a fleet lacks while one of the group's processes is suspended.
# https://docs.aws.amazon.com/autoscaling/ec2/userguide/understand-how-suspending-processes-affects-other-processes.html
PROCESSES = {
    "Launch": "The fleet cannot scale out, and instances that fail are not replaced.",
    "Terminate": "The fleet cannot scale in.",
    "HealthCheck": "An instance that fails is not noticed, and counts as working capacity.",
    "ReplaceUnhealthy": "An instance that failed is not replaced, and counts as working capacity.",
}


def group_findings(context: CheckContext) -> Iterator[Finding]:
    """What is wrong with the fleet's group, and which other fleets use it."""
    group = context.facts.group
    if group is None:
        name = context.fleet.group
        yield context.problem(
            FindingCode.GROUP_MISSING,
            f"{context.field_name('group')}: there is no Auto Scaling group {name!r} in the account and region.",
            "There is nothing to scale. Correct the name; the command lists the groups that exist.",
            "autoscaling describe-auto-scaling-groups --query 'AutoScalingGroups[].AutoScalingGroupName'",
        )
    elif isinstance(group, GroupRecord):
        yield from _bounds(context, group)
        yield from _processes(context, group)
        yield from _instances(context, group)
        yield from _policies(context, group)
        yield from _actions(context, group)
        yield from _hooks(context, group)
    yield from _fleets(context)


def _bounds(context: CheckContext, group: GroupRecord) -> Iterator[Finding]:
    update = f"autoscaling update-auto-scaling-group --auto-scaling-group-name {quote(group.name)}"
    if group.max_size == 0:
        yield context.finding(
            FindingCode.GROUP_CANNOT_SCALE_OUT,
            context.conflict,
            f"Group {group.name} has a maximum size of 0.",
            "Sluice stays within the group's own bounds: no instance would ever start. Set the maximum to the most"
            " instances that you would pay for.",
            f"{update} --max-size 10",
        )
    elif group.max_size == group.min_size:
        yield context.finding(
            FindingCode.GROUP_SIZE_FIXED,
            context.conflict,
            f"Group {group.name} has the same minimum and maximum size, {group.max_size}.",
            "Sluice stays within the group's own bounds: it could neither scale out nor in.",
            f"{update} --min-size 0",
        )


def _processes(context: CheckContext, group: GroupRecord) -> Iterator[Finding]:
    for process, why in PROCESSES.items():
        if process in group.suspended:
            yield context.warning(
                FindingCode.PROCESS_SUSPENDED,
                f"Process {process} of group {group.name} is suspended.",
                why,
                f"autoscaling resume-processes --auto-scaling-group-name {quote(group.name)} --scaling-processes"
                f" {process}",
            )


def _instances(context: CheckContext, group: GroupRecord) -> Iterator[Finding]:
    of_group = f"--auto-scaling-group-name {quote(group.name)}"
    if group.protects_new:
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-protection.html
        yield context.warning(
            FindingCode.NEW_INSTANCES_PROTECTED,
            f"Group {group.name} protects new instances from scale-in.",
            "Sluice does not lift protection that it has not set: unless the consumers lift it themselves, the"
            " fleet never scales in. The command does not change instances that are protected already;"
            " `aws autoscaling set-instance-protection` does.",
            f"autoscaling update-auto-scaling-group {of_group} --no-new-instances-protected-from-scale-in",
        )
    if group.warm_pool:
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/warm-pool-instance-lifecycle.html
        yield context.warning(
            FindingCode.WARM_POOL,
            f"Group {group.name} has a warm pool.",
            "Its instances run outside the fleet's size: a consumer that starts at boot takes messages before its"
            " instance is in service, and with ReuseOnScaleIn a drained instance is stopped and started again. Start"
            " the consumer only when the instance is InService, or delete the pool.",
            f"autoscaling delete-warm-pool {of_group}",
        )


def _policies(context: CheckContext, group: GroupRecord) -> Iterator[Finding]:
    policies = context.facts.policies
    for policy in () if isinstance(policies, Unread) else policies:
        predictive = policy.kind == PREDICTIVE
        # AlarmNotification is how alarms reach dynamic policies.
        # https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-suspend-resume-processes.html
        dormant = "AlarmNotification" in group.suspended and not predictive
        if not policy.enabled or policy.forecast_only or dormant:
            continue
        of_group = f"--auto-scaling-group-name {quote(group.name)}"
        delete = f"autoscaling delete-policy {of_group} --policy-name {quote(policy.name)}"
        if predictive:
            yield context.finding(
                FindingCode.PREDICTIVE_SCALING,
                context.conflict,
                f"Predictive scaling policy {policy.name} sets the size of group {group.name}.",
                "It raises the capacity to its own forecast, and Sluice takes that for an operator's decision."
                + _until_mode_act(context),
                delete,
            )
        else:
            yield context.finding(
                FindingCode.SCALING_POLICY,
                context.conflict,
                f"Scaling policy {policy.name} ({policy.kind}) sets the size of group {group.name}.",
                "The policy and Sluice would undo each other's changes, and start and end instances for nothing."
                + _until_mode_act(context),
                delete,
            )


def _until_mode_act(context: CheckContext) -> str:
    return (
        ""
        if context.fleet.mode is Mode.ACT
        else f" In mode {context.fleet.mode} Sluice does not set the size: delete it before you switch to mode act."
    )


def _actions(context: CheckContext, group: GroupRecord) -> Iterator[Finding]:
    actions = context.facts.actions
    for action in () if isinstance(actions, Unread) else actions:
        if "ScheduledActions" in group.suspended:
            continue
        sets = {"desired": action.desired, "minimum": action.min_size, "maximum": action.max_size}
        changes = ", ".join(f"{name} {value}" for name, value in sets.items() if value is not None)
        when = f" ({action.recurrence})" if action.recurrence else ""
        why = (
            "It sets the desired capacity, and Sluice takes that for an operator's decision." + _until_mode_act(context)
            if action.desired is not None
            else "Sluice stays within the group's bounds, also when the schedule changes them. A schedule that prepares"
            " for load is no longer needed."
        )
        yield context.finding(
            FindingCode.SCHEDULED_ACTION,
            context.conflict if action.desired is not None else Severity.WARNING,
            f"Scheduled action {action.name}{when} changes group {group.name}: {changes}.",
            why,
            f"autoscaling delete-scheduled-action --auto-scaling-group-name {quote(group.name)}"
            f" --scheduled-action-name {quote(action.name)}",
        )


def _hooks(context: CheckContext, group: GroupRecord) -> Iterator[Finding]:
    own = {context.fleet.drain.hook, context.fleet.launch.hook, f"{context.stack}-drain", f"{context.stack}-ready"}
    hooks = context.facts.hooks
    for hook in () if isinstance(hooks, Unread) else hooks:
        if hook.name not in own:
            yield context.warning(
                FindingCode.OTHER_HOOK,
                f"Group {group.name} has lifecycle hook {hook.name} ({hook.transition.rpartition(':')[2]},"
                f" {seconds(hook.timeout_s)}), which is not Sluice's.",
                _of_hook(hook),
                f"autoscaling delete-lifecycle-hook --auto-scaling-group-name {quote(group.name)}"
                f" --lifecycle-hook-name {quote(hook.name)}",
            )
        elif hook.name == context.fleet.drain.hook:
            yield from _short(context, group, hook)


def _short(context: CheckContext, group: GroupRecord, hook: HookRecord) -> Iterator[Finding]:
    wanted_s = context.fleet.drain.hook_timeout_s
    # A deployment sets the timeout that its settings say: what the hook has before that is nothing to report.
    if (wanted_s if context.will_tag else hook.timeout_s) >= HOOK_TIMEOUT_ADVISED_S:
        return
    # The stack made the hook with the timeout that the settings say; one of the user's own has any.
    how = (
        "Raise drain.hook_timeout_s in Settings, or leave it out, and deploy the stack again. The command sets the"
        " timeout until then."
        if wanted_s < HOOK_TIMEOUT_ADVISED_S
        else f"The command sets the {seconds(wanted_s)} of drain.hook_timeout_s, as deploying the stack again does."
    )
    timeout_s = max(wanted_s, HOOK_TIMEOUT_ADVISED_S)
    yield context.warning(
        FindingCode.HOOK_SHORT,
        f"Lifecycle hook {hook.name} of group {group.name} times out after {seconds(hook.timeout_s)}, which is less"
        f" than {seconds(HOOK_TIMEOUT_ADVISED_S)}.",
        "If Sluice itself is away for longer than that, Auto Scaling ends the instances that drain, with their work"
        f" unfinished. A longer timeout costs nothing while Sluice works, which completes the hook itself. {how}",
        f"autoscaling put-lifecycle-hook --auto-scaling-group-name {quote(group.name)} --lifecycle-hook-name"
        f" {quote(hook.name)} --heartbeat-timeout {timeout_s:.0f}",
    )


def _of_hook(hook: HookRecord) -> str:
    # https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks-overview.html: an instance waits until every
    # hook of the transition is completed or has timed out.
    if hook.transition == TERMINATING:
        return (
            f"A drained instance waits for this hook too, for {seconds(hook.timeout_s)} if nothing completes it. Delete"
            " the hook if it is of a Sluice stack that no longer exists."
        )
    return "A new instance is in service only after this hook is completed: the measured lead time includes it."


def _fleets(context: CheckContext) -> Iterator[Finding]:
    fleets, own = context.facts.fleets, context.fleet
    if isinstance(fleets, Unread):
        return
    queues = {source.queue for source in own.sources}
    for record in fleets:
        other = record.fleet
        if (record.stack, other.name) == (context.stack, own.name):
            continue
        shared = [f"group {own.group}"] if other.group == own.group else []
        shared += [f"queue {source.name}" for source in other.sources if source.queue in queues]
        both = set(other.dead_letter_queues) & set(own.dead_letter_queues)
        shared += [f"dead-letter queue {url.rpartition('/')[2]}" for url in sorted(both)]
        if not shared:
            continue
        path = f"/sluice/{record.stack}/fleets/{other.name}"
        twice = record.stack == context.stack or (own.mode is Mode.ACT and other.mode is Mode.ACT)
        yield context.finding(
            FindingCode.OTHER_FLEET,
            Severity.PROBLEM if twice else Severity.WARNING,
            f"Fleet {other.name} of Sluice stack {record.stack} (mode {other.mode}) has the same"
            f" {' and '.join(shared)}.",
            "Two planners would set one group's size, two drainers would stop its instances, and two redrivers"
            " would take its dead letters without each other's counts of attempts. Delete that fleet's stack, or"
            " deploy it in mode shadow. The command shows that fleet's document.",
            f"ssm get-parameter --name {quote(path)}",
        )
