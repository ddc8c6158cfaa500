"""`sluice redrive`: the operator's requests from the command line, through the deployed function.

It uses the caller's own AWS credentials, who must be allowed `lambda:InvokeFunction` on that function and nothing else.
"""

import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

DEFAULT_FUNCTION = "sluice-operator"
# The function answers a request within ten seconds, and Lambda ends it after thirty.
READ_TIMEOUT_S = 40
SAMPLE_SHOWN = 60  # characters of a body, in a table's row
WATCH_S = 2.0  # between two looks at a job
GOING = frozenset({"running", "watching", "paused"})  # states of a job that is not over
NOT_DONE_EXIT = 2  # of --watch, where the job came back or was stopped
STATES = {"running": "sending", "watching": "sent, watching", "came-back": "came back"}  # as operators read them

type Invoke = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]

app = App(name="redrive", help="Send quarantined messages back to their queue.")


class InvokeError(Exception):
    """The function could not be asked, or failed."""


def invoke(function: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Invoke the operator function and wait for its answer.

    Raises:
        InvokeError: with what AWS said.
    """
    # A request is said once: repeating one whose answer was lost could begin a second job.
    config = Config(read_timeout=READ_TIMEOUT_S, retries={"total_max_attempts": 1, "mode": "standard"})
    try:
        answer = boto3.client("lambda", config=config).invoke(
            FunctionName=function, Payload=json.dumps(request).encode()
        )
        payload = json.loads(answer["Payload"].read())
    except (BotoCoreError, ClientError, ValueError) as error:
        raise InvokeError(f"function {function} could not be invoked: {error}") from error
    if "FunctionError" in answer or not isinstance(payload, Mapping):
        said = payload.get("errorMessage", payload) if isinstance(payload, Mapping) else payload
        raise InvokeError(f"function {function} failed: {said}; its log says more")
    return payload


@app.default
def redrive(
    *,
    fleet: str,
    everything: Annotated[bool, Parameter(name="--all", negative="")] = False,
    group: str | None = None,
    message: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    cause: str | None = None,
    since: str | None = None,
    until: str | None = None,
    attribute: str | None = None,
    queue: str | None = None,
    to: str | None = None,
    to_queue: str | None = None,
    stop: str | None = None,
    pause: str | None = None,
    resume: str | None = None,
    mute: str | None = None,
    restore: str | None = None,
    edit: str | None = None,
    body: Path | None = None,
    quarantine: Annotated[bool, Parameter(negative="")] = False,
    peek: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    rate: float | None = None,
    again: Annotated[bool, Parameter(negative="")] = False,
    from_dead_letter_queue: Annotated[bool, Parameter(negative="")] = False,
    watch: Annotated[bool, Parameter(negative="")] = False,
    function: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Send quarantined messages of a fleet back to a queue: all, a failure group, single ones, or what matches.

    Args:
        fleet: The fleet's name.
        everything: Everything in quarantine, except muted failure groups.
        group: Only this failure group, by its id.
        message: Only this message, by its id; may be given several times.
        cause: Only messages whose cause matches this pattern (* and ?).
        since: Only what was quarantined at this time or later, such as 2026-11-24T14:00:00Z.
        until: Only what was quarantined before this time.
        attribute: Only messages with this attribute, as name=value.
        queue: Only what came from this one of the fleet's queues, by its name.
        to: To the queue of this fleet instead; it must be of the same kind.
        to_queue: To this queue of that fleet, or of its own, whichever queue it came from.
        stop: Stop the job of this id instead.
        pause: Pause the job of this id instead.
        resume: Resume the job of this id instead.
        mute: Mute the failure group of this id instead, until it is seen again.
        restore: Quarantine anew what the archive last kept under this key instead.
        edit: Send the message of this id back with the body in --body instead, where the fleet allows it.
        body: The file with that body.
        quarantine: In redrive mode manual, put what is in the dead-letter queue into quarantine instead.
        peek: In redrive mode manual, look at some of what is in the dead-letter queue instead, and leave it there.
        dry_run: Say what would be sent, and send nothing.
        rate: At most so many messages a second; by default the fleet's own rate.
        again: Send even what may have been sent before, where an answer was lost.
        from_dead_letter_queue: With --all and redrive mode manual: from the dead-letter queue itself.
        watch: Stay until the job is over, and show how far it is: sending, then watched for messages that fail again,
            then done (exit code 0), or it came back or was stopped (exit code 2). To leave does not stop it.
        function: The operator function's name or ARN; by default SLUICE_OPERATOR_FUNCTION, else sluice-operator.
        json_: Print the answer as it is.
    """
    who = {"fleet": fleet, "requested_by": f"{getpass.getuser()}, on the command line"}
    of_queue = {} if queue is None else {"queue": queue}
    others = {
        "stop": stop and {"job_id": stop},
        "pause": pause and {"job_id": pause},
        "resume": resume and {"job_id": resume},
        "mute": mute and {"failure_group": mute},
        "restore": restore and {"key": restore},
        "edit": edit and {"message_id": edit, "body": _body(body)},
        "quarantine": of_queue if quarantine else None,
        "peek": of_queue if peek else None,
    }
    selection: dict[str, Any] = {
        "all": everything or None,
        "failure_group": group,
        "message_id": message[0] if len(message) == 1 else None,
        "message_ids": list(message) if len(message) > 1 else None,
        "cause": cause,
        "quarantined_from": since,
        "quarantined_to": until,
        "attribute": _attribute(attribute),
        "queue": None if quarantine or peek else queue,
    }
    chosen = {name: value for name, value in selection.items() if value is not None}
    acts = {name: fields for name, fields in others.items() if fields is not None}
    if len(acts) + bool(chosen) != 1 or sum((everything, group is not None, bool(message))) > 1:
        names = ", ".join(f"--{name}" for name in others)
        _fail(
            "name one of --all, --group and --message (or select by --queue, --cause, --since, --until,"
            " --attribute),"
            f" or one of {names}"
        )
    target = function or os.environ.get("SLUICE_OPERATOR_FUNCTION") or DEFAULT_FUNCTION
    if acts:
        ((kind, fields),) = acts.items()
        request: dict[str, Any] = {kind: {**who, **dict(fields or {})}}
    else:
        origin = "dead-letter-queue" if from_dead_letter_queue else None
        more = {"rate_per_s": rate, "to": to, "to_queue": to_queue, "from": origin}
        chosen |= {name: value for name, value in more.items() if value is not None}
        request = {"redrive": {**who, **chosen, "dry_run": dry_run, "again": again}}
    try:
        answer = invoke(target, request)
        if watch and "job" in answer:
            answer = follow(answer, lambda asked: invoke(target, asked))
    except InvokeError as error:
        _fail(str(error))
    if json_:
        print(json.dumps(answer))
    elif "error" not in answer:
        Console().print(*tables(answer), sep="\n")
    if "error" in answer:
        _fail(str(answer["error"]))
    if watch and answer.get("job", {}).get("state", "done") not in {"done", *GOING}:
        sys.exit(NOT_DONE_EXIT)


def _attribute(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    name, equals, value = text.partition("=")
    if not equals:
        _fail("--attribute: must be name=value, such as shop=Berlin")
    return {"name": name, "value": value}


def _body(path: Path | None) -> str:
    if path is None:
        _fail("--edit: name the file with the new body by --body")
    try:
        return path.read_text()
    except (OSError, UnicodeError) as error:
        _fail(f"--body: {path} cannot be read: {error}")


def follow(
    answer: Mapping[str, Any], ask: Callable[[Mapping[str, Any]], Mapping[str, Any]], pause_s: float = WATCH_S
) -> Mapping[str, Any]:
    """Show how far a job is until it is over, or until Ctrl-C, which leaves it alone; the last answer."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console) as progress, suppress(KeyboardInterrupt):
        bar = progress.add_task("redrive", total=answer["job"]["selected_count"], left="")
        while True:
            job = answer["job"]
            left_s = job.get("left_s")
            state = STATES.get(job["state"], job["state"])
            left = f"{state}, about {left_s:.0f} s left" if left_s is not None else state
            progress.update(bar, completed=job["sent_count"], total=job["selected_count"], left=left)
            if job["state"] not in GOING:
                break
            time.sleep(pause_s)
            looked = ask({"status": {"fleet": job["fleet"], "job_id": job["id"]}})
            if "job" not in looked:
                return looked
            answer = looked
    return answer


def tables(answer: Mapping[str, Any]) -> list[Table | Text]:
    """The function's answer as what a terminal shows. What a message says is text there, never markup."""
    match answer:
        case {"dry_run": True}:
            return _dry_run(answer)
        case {"job": job}:
            return _job(job)
        case {"peek": True}:
            return _peek(answer)
        case {"note": note}:
            return [_plain(str(note))]
    return [_plain(json.dumps(answer))]


def _dry_run(answer: Mapping[str, Any]) -> list[Table | Text]:
    count, rate_per_s = answer["selected_count"], answer["rate_per_s"]
    table = Table("failure group", "cause", "messages", "first seen", "last seen")
    for group in answer["groups"]:
        table.add_row(
            _plain(group["failure_group"]),
            _plain(group["cause"]),
            f"{group['count']}",
            _time(group["first_seen_at"]),
            _time(group["last_seen_at"]),
        )
    text = (
        f"Dry run: {count} messages of fleet {answer['fleet']}'s {answer['from']} would be sent, at most"
        f" {rate_per_s:g} a second ({count / rate_per_s:.0f} s at the least), {answer['canary_count']} of each"
        " failure group first. Nothing was sent."
    )
    if behind_count := answer.get("behind_count"):
        text += (
            f" {behind_count} more match, but stand behind messages of their message group that do not:"
            " they stay, to keep the order."
        )
    if paused := answer.get("paused_queues"):
        text += f" Paused: {', '.join(paused)}. What would be sent there waits until it is not."
    return [table, _plain(text)] if answer["groups"] else [_plain(text)]


def _peek(answer: Mapping[str, Any]) -> list[Table | Text]:
    table = Table("message", "queue", "cause", "hours left", "body begins")
    for message in answer["messages"]:
        left_s = message["left_s"]
        table.add_row(
            _plain(message["message_id"]),
            _plain(message.get("queue") or ""),
            _plain(message["cause"]),
            "" if left_s is None else f"{left_s / 3_600:.1f}",
            _plain(message.get("payload") or message["sample"][:SAMPLE_SHOWN]),
        )
    text = Text(f"{answer['looked_at_count']} dead letters were read. {answer['note']}")
    return [table, text] if answer["messages"] else [text]


def _job(job: Mapping[str, Any]) -> list[Table | Text]:
    table = Table("job", "state", "selected", "sent", "failed", "in doubt", "came back")
    names = ("id", "state", "selected_count", "sent_count", "failed_count", "doubtful_count", "returned_count")
    values = {**job, "state": "held" if job.get("held_until") else STATES.get(job["state"], job["state"])}
    table.add_row(*(_plain(str(values[name])) for name in names))
    parts: list[Table | Text] = [table]
    if job["note"]:
        parts.append(_plain(job["note"]))
    if held_until := job.get("held_until"):
        parts.append(
            Text(
                f"Held, tried again at {_time(held_until)}: the cause passes by itself. A redrive of the same messages"
                f" takes its place. To leave them to you: sluice redrive --fleet {job['fleet']} --stop {job['id']}"
            )
        )
    elif job["state"] == "running":
        fleet, job_id = job["fleet"], job["id"]
        parts.append(
            Text(
                "It continues by itself. To watch it, add --watch to the command. To stop it:"
                f" sluice redrive --fleet {fleet} --stop {job_id}"
            )
        )
    if job["state"] == "watching":
        parts.append(
            Text("All of it is sent. It is watched for messages that fail again; add --watch to wait for that.")
        )
    if job["state"] == "paused":
        parts.append(Text(f"To resume it: sluice redrive --fleet {job['fleet']} --resume {job['id']}"))
    return parts


def _plain(text: str) -> Text:
    """Text of others for a terminal: no markup, and no character that is not shown as it is."""
    return Text("".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text))


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"


def _fail(problem: str) -> NoReturn:
    Console(stderr=True).print(Text("sluice redrive: ").append_text(_plain(problem)), style="red")
    sys.exit(1)


if __name__ == "__main__":
    app()
