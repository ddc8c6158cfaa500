"""`sluice groups`, `messages`, `dlq` and `archive`: dead letters, in quarantine and out of it."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from sluice.wording import count
from sluice_tools.commands.answers import Noted, OfJob, Peeked, read
from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.commands.frame import UsageError
from sluice_tools.commands.functions import OPERATOR, ask
from sluice_tools.commands.output import say, show_json, show_table
from sluice_tools.commands.redrive import requester, show_jobs

SAMPLE_SHOWN = 60  # characters of a body, in a table's row

groups = App(name="groups", help_epilogue="", help="Failure groups: quarantined messages with the same cause.")
messages = App(name="messages", help_epilogue="", help="Quarantined messages, one by one.")
dlq = App(name="dlq", help_epilogue="", help="What is in the dead-letter queue, with redrive mode manual.")
archive = App(name="archive", help_epilogue="", help="The bucket that keeps the bodies of quarantined messages.")


@groups.command
def mute(
    group: str, /, *, fleet: str, undo: Annotated[bool, Parameter(negative="")] = False, aws: AwsOptions | None = None
) -> None:
    """Mute a failure group until another message of it fails.

    Args:
        group: The failure group's id.
        fleet: The fleet's name.
        undo: Unmute it instead.
        aws: The stack, the account and the region.
    """
    fields: dict[str, Any] = {"failure_group": group}
    _noted("mute", fleet, fields | ({"undo": True} if undo else {}), aws or AwsOptions())


@messages.command
def edit(message: str, /, *, fleet: str, body: Path, aws: AwsOptions | None = None) -> None:
    """Send a message back with another body, where the fleet allows it (redrive.edits). The archive keeps the original.

    Args:
        message: The message's id.
        fleet: The fleet's name.
        body: The file with the new body, as UTF-8 text.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    try:
        text = body.read_bytes().decode()
    except OSError as error:
        raise UsageError(f"--body: {body} cannot be read: {error.strerror}") from error
    except UnicodeError as error:
        raise UsageError(f"--body: {body} must be UTF-8 text: {error}") from error
    answer = ask(aws, OPERATOR, {"edit": _who(fleet) | {"message_id": message, "body": text}})
    job = read(OfJob, answer).job
    if aws.as_json:
        show_json(answer)
    else:
        show_jobs((job,))


@dlq.command
def peek(
    *,
    fleet: str,
    queue: str | None = None,
    cause: str | None = None,
    aws: AwsOptions | None = None,
) -> None:
    """Show some of what is in the dead-letter queue, and leave it there. That raises its receive count by one.

    Args:
        fleet: The fleet's name.
        queue: Only what came from this one of the fleet's queues, by its name.
        cause: Only messages whose cause matches this pattern (* and ?).
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    answer = ask(aws, OPERATOR, {"peek": _who(fleet) | _given(queue=queue, cause=cause)})
    seen = read(Peeked, answer)
    if aws.as_json:
        show_json(answer)
        return
    if seen.messages:
        show_table(
            ("message", "queue", "hours left", "cause", "body begins"),
            [
                (
                    letter.message_id,
                    letter.queue,
                    None if letter.left_s is None else f"{letter.left_s / 3_600:.1f}",
                    letter.cause,
                    letter.payload or letter.sample[:SAMPLE_SHOWN],
                )
                for letter in seen.messages
            ],
            ids=("message",),
        )
    looked = seen.looked_at_count
    say(f"{count(looked, 'dead letter')} {'was' if looked == 1 else 'were'} read. {seen.note}")


@dlq.command
def quarantine(*, fleet: str, queue: str | None = None, aws: AwsOptions | None = None) -> None:
    """Put what is in the dead-letter queue into quarantine, where it can be searched and does not expire.

    Args:
        fleet: The fleet's name.
        queue: Only what came from this one of the fleet's queues, by its name.
        aws: The stack, the account and the region.
    """
    _noted("quarantine", fleet, _given(queue=queue), aws or AwsOptions())


@archive.command
def restore(key: str, /, *, fleet: str, aws: AwsOptions | None = None) -> None:
    """Quarantine anew a message that was sent back, as the archive last kept it.

    Args:
        key: The archive's key, such as orders/2026/11/24/ID.json.
        fleet: The fleet's name.
        aws: The stack, the account and the region.
    """
    _noted("restore", fleet, {"key": key}, aws or AwsOptions())


def _noted(kind: str, fleet: str, fields: dict[str, Any], aws: AwsOptions) -> None:
    """Ask for what is answered by a sentence."""
    answer = ask(aws, OPERATOR, {kind: _who(fleet) | fields})
    noted = read(Noted, answer)
    if aws.as_json:
        show_json(answer)
    else:
        say(noted.note)


def _who(fleet: str) -> dict[str, Any]:
    return {"fleet": fleet, "requested_by": requester()}


def _given(**fields: str | None) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
