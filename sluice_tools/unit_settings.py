"""How systemd on a group's instances stops their consumers: asked by Run Command, which changes nothing there."""

import time
from collections.abc import Callable, Iterable, Sequence
from shlex import quote

from botocore.exceptions import BotoCoreError, ClientError

from sluice.aws.clients import Clients
from sluice.config.fleet import Fleet
from sluice.draining.stop_report import UnitStop, advice, read_properties

ASKED_MOST = 5  # instances of a group are alike
ANSWER_WITHIN_S = 60.0
# A document that AWS owns: https://docs.aws.amazon.com/systems-manager/latest/userguide/run-command.html
DOCUMENT = "AWS-RunShellScript"
# Shows what the stop document would stop, by the same rules: a target stands for its services, a pattern for the units
# in memory, and the agent that runs this is left out. `systemctl show` of no unit would show systemd's own settings.
SCRIPT = r"""set -f
members() {
  case "$1" in
    *[*?]*) echo "$1" ;;
    *.target)
      systemctl show --property=ConsistsOf,Wants,Requires,BindsTo -- "$1" | sed 's/^[A-Za-z]*=//' | tr ' ' '\n' |
        grep '\.service$' | grep -v 'amazon-ssm-agent' | sort -u
      ;;
    *) echo "$1" ;;
  esac
}
units=$(for name in NAMES; do members "$name"; done)
[ -z "$units" ] || systemctl show --property=Id,LoadState,KillMode,TimeoutStopUSec -- $units
"""
OPEN = ("Pending", "InProgress", "Delayed", "Cancelling")


def unit_warnings(
    clients: Clients, fleet: Fleet, instance_ids: Sequence[str], sleep: Callable[[float], None] = time.sleep
) -> tuple[str, ...]:
    """What there is to mend in the units of a fleet's instances, each as a sentence or two.

    Args:
        clients: with a caller's credentials, who may send and list commands.
        fleet: whose consumers they are; those in a container have no unit.
        instance_ids: the group's instances; the first few are asked.
        sleep: waits so many seconds, between looks at the answers.
    """
    if fleet.drain.container or not instance_ids:
        return ()
    asked = list(instance_ids[:ASKED_MOST])
    names = " ".join(quote(name) for name in fleet.drain.unit.replace(",", " ").split())
    try:
        outputs = _run(clients, SCRIPT.replace("NAMES", names), asked, sleep)
    except (ClientError, BotoCoreError) as error:
        return (f"The units of {', '.join(asked)} were not checked: {error}",)
    stops = {stop.unit: stop for output in outputs for stop in read_properties(output)}
    if not stops:
        return (
            f"No unit {fleet.drain.unit} was found on {', '.join(asked)}. Set DrainUnit to what runs the consumer.",
        )
    return (*advice(stops.values(), fleet.drain.deadline_s), *_kill_modes(stops.values()))


def _kill_modes(stops: Iterable[UnitStop]) -> tuple[str, ...]:
    units = [stop.unit for stop in stops if stop.kill_mode == "control-group"]
    if not units:
        return ()
    named = ", ".join(units)
    warning = (
        f"systemd sends the signal to stop to every process of {named} (KillMode=control-group). A consumer that forks"
        " loses work by that. Sluice sets KillMode=mixed for its own stops alone: set it in the unit."
    )
    return (warning,)


def _run(clients: Clients, command: str, instance_ids: list[str], sleep: Callable[[float], None]) -> list[str]:
    """What a command printed on each instance that has answered in time."""
    sent = clients.ssm.send_command(
        InstanceIds=instance_ids,
        DocumentName=DOCUMENT,
        Comment="sluice doctor reads how systemd stops the consumer",
        TimeoutSeconds=30,
        Parameters={"commands": [command]},
    )
    invocations = []
    for _ in range(round(ANSWER_WITHIN_S)):
        answer = clients.ssm.list_command_invocations(CommandId=sent["Command"]["CommandId"], Details=True)
        invocations = answer["CommandInvocations"]
        if len(invocations) == len(instance_ids) and all(one["Status"] not in OPEN for one in invocations):
            break
        sleep(1.0)
    return [step.get("Output", "") for one in invocations for step in one.get("CommandPlugins", [])]
