"""`sluice enroll`: gives a fleet's queues, group and instances the tag by which a stack may use them, or takes it away.

Deployments do the same unless the stack's parameter SetsTags is false (`sluice.onboarding.tags`). This command does it
with the caller's own credentials.
"""

from typing import Annotated

from cyclopts import Parameter

from sluice.aws.account import AwsAccount
from sluice.aws.tags import AwsTagWriter
from sluice.config.fleet import Fleet
from sluice.onboarding import tags
from sluice.onboarding.account import Account
from sluice.ports.errors import PortError
from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.commands.frame import RefusedError, UnreachableError
from sluice_tools.commands.output import say_line, show_json
from sluice_tools.fleet_options import deployed, of_flags


def enroll(
    *,
    queue_url: str | None = None,
    dead_letter_queue_url: str | None = None,
    group_name: str | None = None,
    fleet: str = "main",
    remove: Annotated[bool, Parameter(negative="")] = False,
    aws: AwsOptions | None = None,
) -> None:
    """Give a fleet's queues, group and instances the tag sluice:stack, by which the stack may use them.

    Give --queue-url and --group-name for a fleet that is not deployed yet. Give neither for a deployed fleet, by its
    document in Parameter Store. It is safe to repeat: what has the tag stays as it is. What has another stack's tag is
    never changed: that ends with exit code 1. The tag's value is the name that --stack gives.

    Args:
        queue_url: The queue that the group consumes.
        dead_letter_queue_url: Its dead-letter queue.
        group_name: The Auto Scaling group.
        fleet: The fleet's name.
        remove: Take the tag away from what has it with this stack's name.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    given = {"queue": queue_url, "dead_letter_queue": dead_letter_queue_url, "group": group_name}
    clients, _ = aws.connect()
    by_flags = any(value is not None for value in given.values())
    chosen = of_flags(fleet, given, None) if by_flags else deployed(clients, aws.stack, fleet)
    changed = _carry_out(chosen, aws.stack, AwsAccount(clients), AwsTagWriter(clients), remove=remove)
    tag = f"{tags.TAG}={aws.stack}"
    if aws.as_json:
        show_json({"tag": tag, "removed" if remove else "set": changed})
        return
    for what in changed:
        say_line(f"Removed the tag {tag} from {what}." if remove else f"Set the tag {tag} on {what}.")
    if not changed:
        say_line(f"Nothing has the tag {tag}." if remove else f"Everything has the tag {tag} already.")


def _carry_out(fleet: Fleet, stack: str, account: Account, writer: tags.TagWriter, *, remove: bool) -> tuple[str, ...]:
    """Tag or untag; what was changed."""
    try:
        if not remove and account.group(fleet.group) is None:
            raise RefusedError(
                f"--group-name: there is no Auto Scaling group {fleet.group!r} in the account and region"
            )
        change = tags.withdraw if remove else tags.enroll
        return tuple(change(fleet, stack, account, writer))
    except tags.OtherStackError as error:
        raise RefusedError(*error.problems) from error
    except PortError as error:
        raise UnreachableError(f"{error}. Repeat the command once this is mended.") from error
