"""`sluice release`: lets an instance go that its drain, or its group, still holds."""

from sluice_tools.commands.answers import Released, read
from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.commands.functions import OPERATOR, ask
from sluice_tools.commands.output import say, show_json
from sluice_tools.commands.redrive import requester


def release(instance: str, /, *, fleet: str, aws: AwsOptions | None = None) -> None:
    """Release an instance now: complete its lifecycle action, or end an instance that its group retained.

    Args:
        instance: The instance's id, such as i-0123456789abcdef0.
        fleet: The fleet's name.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    request = {"fleet": fleet, "instance_id": instance, "requested_by": requester()}
    answer = ask(aws, OPERATOR, {"release": request})
    released = read(Released, answer)
    if aws.as_json:
        show_json(answer)
    else:
        state = f"Its drain is {released.state}." if released.state else "It has no drain on record."
        say(f"Instance {released.instance_id} of fleet {released.fleet}: {state} {released.note}".rstrip())
