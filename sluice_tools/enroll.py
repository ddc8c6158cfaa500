"""`sluice enroll`: gives a fleet's queues, group and instances the tag by which a stack may use them, or takes it away.

Deployments do the same unless the stack's parameter SetsTags is false (`sluice.onboarding.tags`). This command does it
with the caller's own credentials.
"""

from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from sluice.aws.account import AwsAccount
from sluice.aws.tags import AwsTagWriter
from sluice.config.fleet import Fleet
from sluice.onboarding import tags
from sluice.onboarding.account import Account
from sluice.ports.errors import PortError
from sluice_tools.fleet_options import UnusableError, connect, deployed, of_flags

DONE, REFUSED, UNUSABLE = 0, 1, 2  # exit statuses


def enroll(
    *,
    queue_url: str | None = None,
    dead_letter_queue_url: str | None = None,
    group_name: str | None = None,
    stack: str = "sluice",
    fleet: str = "main",
    region: str | None = None,
    profile: str | None = None,
    endpoint_url: str | None = None,
    remove: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Give a fleet's queues, group and instances the tag sluice:stack, by which the stack may use them.

    Give --queue-url and --group-name for a fleet that is not deployed yet. Give neither for a deployed fleet, by its
    document in Parameter Store. It is safe to repeat: what has the tag stays as it is. What has another stack's tag is
    never changed. Exit status: 0 if everything has the tag (or with --remove nothing any more), 1 if AWS or another
    stack's tag prevented it, 2 if the command cannot be carried out as it was given.

    Args:
        queue_url: The queue that the group consumes.
        dead_letter_queue_url: Its dead-letter queue.
        group_name: The Auto Scaling group.
        stack: The Sluice stack's name, which is the tag's value.
        fleet: The fleet's name.
        region: The AWS region; by default that of your AWS configuration.
        profile: The AWS profile.
        endpoint_url: An endpoint to use instead of AWS's, such as an emulator's.
        remove: Take the tag away from what has it with this stack's name.

    Returns:
        The exit status.
    """
    given = {"queue": queue_url, "dead_letter_queue": dead_letter_queue_url, "group": group_name}
    try:
        clients, _ = connect(region, profile, endpoint_url)
        by_flags = any(value is not None for value in given.values())
        chosen = of_flags(fleet, given, None) if by_flags else deployed(clients, stack, fleet)
    except UnusableError as error:
        _complain(error.problems)
        return UNUSABLE
    return _carry_out(chosen, stack, AwsAccount(clients), AwsTagWriter(clients), remove=remove)


def _carry_out(fleet: Fleet, stack: str, account: Account, writer: tags.TagWriter, *, remove: bool) -> int:
    """Tag or untag, and print what was done."""
    console = Console(highlight=False, soft_wrap=True)
    tag = f"{tags.TAG}={stack}"
    try:
        if not remove and account.group(fleet.group) is None:
            _complain((f"--group-name: there is no Auto Scaling group {fleet.group!r} in the account and region",))
            return REFUSED
        change = tags.withdraw if remove else tags.enroll
        changed = change(fleet, stack, account, writer)
    except tags.OtherStackError as error:
        _complain(error.problems)
        return REFUSED
    except PortError as error:
        _complain((f"{error}. Repeat the command once this is mended.",))
        return REFUSED
    for what in changed:
        console.print(Text(f"Removed the tag {tag} from {what}." if remove else f"Set the tag {tag} on {what}."))
    if not changed:
        console.print(Text(f"Nothing has the tag {tag}." if remove else f"Everything has the tag {tag} already."))
    return DONE


def _complain(problems: tuple[str, ...]) -> None:
    complaints = Console(stderr=True, soft_wrap=True, highlight=False)
    for problem in problems:
        complaints.print(Text(f"sluice enroll: {problem}"), style="red")
