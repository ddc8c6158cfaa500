"""`sluice redrive`: the redriver's requests from the command line, through the deployed function.

It uses the caller's own AWS credentials, who must be allowed `lambda:InvokeFunction` on that function and nothing else.
"""

import getpass
import json
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cyclopts import App, Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

DEFAULT_FUNCTION = "sluice-redriver"
# The function answers a request within ten seconds, and Lambda ends it after thirty.
READ_TIMEOUT_S = 40

type Invoke = Callable[[str, Mapping[str, Any]], Mapping[str, Any]]

app = App(name="redrive", help="Send quarantined messages back to their queue.")


class InvokeError(Exception):
    """The function could not be asked, or failed."""


def invoke(function: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Invoke the redriver and wait for its answer.

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
    message: str | None = None,
    stop: str | None = None,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    rate: float | None = None,
    again: Annotated[bool, Parameter(negative="")] = False,
    from_dead_letter_queue: Annotated[bool, Parameter(negative="")] = False,
    function: str | None = None,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> None:
    """Send quarantined messages of a fleet back to its queue: all, one failure group, or one message.

    Args:
        fleet: The fleet's name.
        everything: Everything in quarantine.
        group: Only this failure group, by its id.
        message: Only this message, by its id.
        stop: Stop the job of this id instead.
        dry_run: Say what would be sent, and send nothing.
        rate: At most so many messages a second; by default the fleet's own rate.
        again: Send even what may have been sent before, where an answer was lost.
        from_dead_letter_queue: With --all and redrive mode manual: from the dead-letter queue itself.
        function: The redriver's name or ARN; by default SLUICE_REDRIVER_FUNCTION, else sluice-redriver.
        json_: Print the answer as it is.
    """
    chosen = [everything, group is not None, message is not None, stop is not None]
    if sum(chosen) != 1:
        _fail("name one of --all, --group, --message and --stop")
    who = {"fleet": fleet, "requested_by": f"{getpass.getuser()}, on the command line"}
    if stop is not None:
        request: dict[str, Any] = {"stop": {**who, "job_id": stop}}
    else:
        selection = {"all": everything or None, "failure_group": group, "message_id": message, "rate_per_s": rate}
        selection |= {"from": "dead-letter-queue"} if from_dead_letter_queue else {}
        asked = {name: value for name, value in selection.items() if value is not None}
        request = {"redrive": {**who, **asked, "dry_run": dry_run, "again": again}}
    try:
        answer = invoke(function or os.environ.get("SLUICE_REDRIVER_FUNCTION") or DEFAULT_FUNCTION, request)
    except InvokeError as error:
        _fail(str(error))
    if json_:
        print(json.dumps(answer))
    elif "error" not in answer:
        Console().print(*tables(answer), sep="\n")
    if "error" in answer:
        _fail(str(answer["error"]))


def tables(answer: Mapping[str, Any]) -> list[Table | Text]:
    """The function's answer as what a terminal shows. What a message says is text there, never markup."""
    match answer:
        case {"dry_run": True}:
            return _dry_run(answer)
        case {"job": job}:
            return _job(job)
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
    told = (
        f"Dry run: {count} messages of fleet {answer['fleet']}'s {answer['from']} would be sent, at most"
        f" {rate_per_s:g} a second ({count / rate_per_s:.0f} s at the least), {answer['canary_count']} of each"
        " failure group first. Nothing was sent."
    )
    return [table, Text(told)] if answer["groups"] else [Text(told)]


def _job(job: Mapping[str, Any]) -> list[Table | Text]:
    table = Table("job", "state", "selected", "sent", "failed", "in doubt", "came back")
    names = ("id", "state", "selected_count", "sent_count", "failed_count", "doubtful_count", "returned_count")
    table.add_row(*(_plain(str(job[name])) for name in names))
    told: list[Table | Text] = [table]
    if job["note"]:
        told.append(_plain(job["note"]))
    if job["state"] == "running":
        fleet, job_id = job["fleet"], job["id"]
        told.append(
            Text(f"It goes on by itself each minute. To stop it: sluice redrive --fleet {fleet} --stop {job_id}")
        )
    return told


def _plain(text: str) -> Text:
    """Text of others for a terminal: no markup, and no character that is not shown as it is."""
    return Text("".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text))


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"


def _fail(problem: str) -> None:
    Console(stderr=True).print(Text("sluice redrive: ").append_text(_plain(problem)), style="red")
    sys.exit(1)


if __name__ == "__main__":
    app()
