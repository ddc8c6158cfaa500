"""`sluice groups`, `messages`, `dlq` and `archive`: dead letters, in quarantine and out of it."""

from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

from cyclopts import App, Parameter, validators

from sluice.wording import count
from sluice_tools.commands.answers import AttributeValue, Entries, Groups, Noted, OfJob, OfMessage, Peeked, read
from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.commands.frame import UsageError
from sluice_tools.commands.functions import CONSOLE, OPERATOR, ask
from sluice_tools.commands.output import iso, say, say_line, show_facts, show_json, show_table
from sluice_tools.commands.redrive import requester, show_jobs

SAMPLE_SHOWN = 60  # characters of a body, in a table's row
LIMIT_MOST = 10_000

groups = App(name="groups", help_epilogue="", help="Failure groups: quarantined messages with the same cause.")
messages = App(name="messages", help_epilogue="", help="Quarantined messages, one by one.")
dlq = App(name="dlq", help_epilogue="", help="What is in the dead-letter queue, with redrive mode manual.")
archive = App(name="archive", help_epilogue="", help="The bucket that keeps the bodies of quarantined messages.")


@groups.command(name="list")
def list_groups(*, fleet: str, aws: AwsOptions | None = None) -> None:
    """List the failure groups, the last seen first.

    Args:
        fleet: The fleet's name.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    answer = ask(aws, CONSOLE, {"groups": {"fleet": fleet}})
    found = read(Groups, answer).groups
    if aws.as_json:
        show_json(answer)
    elif found:
        show_table(
            ("failure group", "in quarantine", "seen", "last seen", "muted", "cause"),
            [
                (one.failure_group, one.count, one.seen_count, iso(one.last_seen_at), "muted" * one.muted, one.cause)
                for one in found
            ],
            ids=("failure group",),
        )
    else:
        say(f"Fleet {fleet} has no failure groups.")


@groups.command(name="show")
def show_group(group: str, /, *, fleet: str, aws: AwsOptions | None = None) -> None:
    """Show a failure group: its cause, how often it was seen, its last redrive, and the beginning of a body.

    Args:
        group: The failure group's id.
        fleet: The fleet's name.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    answer = ask(aws, CONSOLE, {"groups": {"fleet": fleet, "failure_group": group}})
    found = read(Groups, answer).groups
    if aws.as_json:
        show_json(answer)
        return
    for one in found:
        last = one.last_redrive
        show_facts(
            {
                "failure group": one.failure_group,
                "cause": one.cause,
                "in quarantine": one.count,
                "seen": f"{one.seen_count}, first {iso(one.first_seen_at)}, last {iso(one.last_seen_at)}",
                "failed retries": one.failed_retry_count,
                "muted": "until another message of it fails" if one.muted else "no",
                "last redrive": last
                and f"{last.job_id} at {iso(last.at)}: {last.sent_count} sent, {last.returned_count} came back",
                "body begins": one.sample,
            }
        )
        say("Its messages, and what a redrive of it would do:")
        options = f"--group {quote(one.failure_group)} --fleet {quote(fleet)}{aws.as_typed}"
        say_line(f"  sluice messages list {options}")
        say_line(f"  sluice redrive start {options} --dry-run")


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


@messages.command(name="list")
def list_messages(
    *,
    fleet: str,
    group: str | None = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=LIMIT_MOST))] = 100,
    aws: AwsOptions | None = None,
) -> None:
    """List quarantined messages, the oldest first.

    Args:
        fleet: The fleet's name.
        group: Only those of this failure group, by its id.
        limit: At most so many.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    asked: dict[str, Any] = {"fleet": fleet, **_given(failure_group=group)}
    found: list[Mapping[str, Any]] = []
    after: str | None = None
    while True:
        answer = ask(aws, CONSOLE, {"messages": asked | _given(after=after)})
        page = read(Entries, answer)
        found += answer["messages"]
        if page.after is None or page.after == after or len(found) >= limit:
            break
        after = page.after
    more = page.after is not None or len(found) > limit
    shown = found[:limit]
    if aws.as_json:
        show_json({"messages": shown, "more": more})
        return
    if not shown:
        say("No such message is in quarantine.")
        return
    entries = read(Entries, {"messages": shown, "after": None}).messages
    show_table(
        ("message", "quarantined", "retries", "bytes", "failure group", "cause"),
        [(one.message_id, iso(one.at), one.attempt, one.size_bytes, one.failure_group, one.cause) for one in entries],
        ids=("message", "failure group"),
    )
    if more:
        say(f"There are more: these are the oldest {len(shown)}. --limit shows up to {LIMIT_MOST:,}.")


@messages.command(name="show")
def show_message(message: str, /, *, fleet: str, aws: AwsOptions | None = None) -> None:
    """Show a quarantined message with its attributes and its body.

    Args:
        message: The message's id.
        fleet: The fleet's name.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    answer = ask(aws, CONSOLE, {"message": {"fleet": fleet, "message_id": message}})
    found = read(OfMessage, answer).message
    if aws.as_json:
        show_json(answer)
        return
    show_facts(
        {
            "message": found.message_id,
            "failure group": found.failure_group,
            "cause": found.said or found.cause,
            "quarantined": iso(found.at),
            "came from": found.source,
            "retries": found.attempt,
            "bytes": found.size_bytes,
            "archive key": found.key,
            **{f"attribute {name}": _value(one) for name, one in found.message_attributes.items()},
        }
    )
    for line in found.body.expandtabs().splitlines():
        say_line(line)


def _value(value: AttributeValue) -> str:
    text = value.text if value.binary_base64 is None else f"base64 {value.binary_base64}"
    return f"{text} ({value.type})"


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
    """Quarantine again a message that was sent back, as the archive last kept it.

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
