"""`sluice redrive`: starts redrives, and watches, pauses, resumes and stops their jobs."""

import getpass
import time
from collections.abc import Callable, Mapping
from math import isfinite
from shlex import quote
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from sluice.wording import count
from sluice_tools.commands.answers import DryRun, Job, Jobs, OfJob, read
from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.commands.frame import ExitCode, UsageError
from sluice_tools.commands.functions import CONSOLE, OPERATOR, Answer, ask
from sluice_tools.commands.output import complain, console, iso, plain, say, say_line, show_json, show_table
from sluice_tools.commands.times import moment

WATCH_S = 2.0  # between two looks at a job
GOING = frozenset({"running", "watching", "paused"})  # states of a job that is not over
STATES = {"running": "sending", "watching": "sent, watching", "came-back": "came back"}  # as operators read them
RATE_LEAST, RATE_MOST = 0.01, 10_000.0  # messages a second, as the operator function takes them

app = App(
    name="redrive",
    help="Send quarantined messages back to their queue, and watch, pause, resume and stop that.",
    help_epilogue="",
)


def requester() -> str:
    """Who asks, for the job's record; CloudTrail has the proven identity."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container whose user has no name
        name = "somebody"
    return f"{name[:150]}, on the command line"


def _rate(_: type, value: float | None) -> None:
    if value is not None and not (isfinite(value) and RATE_LEAST <= value <= RATE_MOST):
        raise ValueError(f"Must be from {RATE_LEAST:g} to {RATE_MOST:,.0f} messages a second")


@app.command
def start(
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
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    rate: Annotated[float | None, Parameter(validator=_rate)] = None,
    again: Annotated[bool, Parameter(negative="")] = False,
    from_dead_letter_queue: Annotated[bool, Parameter(negative="")] = False,
    watch: Annotated[bool, Parameter(negative="")] = False,
    aws: AwsOptions | None = None,
) -> ExitCode:
    """Send quarantined messages of a fleet back to a queue: all, a failure group, single ones, or what matches.

    Args:
        fleet: The fleet's name.
        everything: Everything in quarantine, except muted failure groups.
        group: Only this failure group, by its id.
        message: Only this message, by its id; may be given several times.
        cause: Only messages whose cause matches this pattern (* and ?).
        since: Only what was quarantined at this time or later, such as 2026-11-24T14:00:00Z or 2h (ago).
        until: Only what was quarantined before this time.
        attribute: Only messages with this attribute, as name=value.
        queue: Only what came from this one of the fleet's queues, by its name.
        to: To the queue of this fleet instead; it must be of the same kind.
        to_queue: To this queue of that fleet, or of its own, whichever queue it came from.
        dry_run: Say what would be sent, and send nothing.
        rate: At most so many messages a second; by default the fleet's own rate.
        again: Send even what may have been sent before, where an answer was lost.
        from_dead_letter_queue: With --all and redrive mode manual: from the dead-letter queue itself.
        watch: Then watch the job as redrive watch does.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    selection: dict[str, Any] = {
        "all": everything or None,
        "failure_group": group,
        "message_id": message[0] if len(message) == 1 else None,
        "message_ids": list(message) if len(message) > 1 else None,
        "cause": cause,
        "quarantined_from": None if since is None else iso(moment("--since", since)),
        "quarantined_to": None if until is None else iso(moment("--until", until)),
        "attribute": _attribute(attribute),
        "queue": queue,
    }
    chosen = {name: value for name, value in selection.items() if value is not None}
    several = [
        flag
        for flag, given in {"--all": everything, "--group": group is not None, "--message": message}.items()
        if given
    ]
    if len(several) > 1:
        raise UsageError(
            f"{several[0]}: must be left out with {several[1]}; one of --all, --group and --message selects"
        )
    if not chosen:
        raise UsageError(
            "--all: must be given, or --group, --message, --queue, --cause, --since, --until or --attribute"
        )
    origin = "dead-letter-queue" if from_dead_letter_queue else None
    more = {"rate_per_s": rate, "to": to, "to_queue": to_queue, "from": origin}
    chosen |= {name: value for name, value in more.items() if value is not None}
    who = {"fleet": fleet, "requested_by": requester()}
    answer = ask(aws, OPERATOR, {"redrive": {**who, **chosen, "dry_run": dry_run, "again": again}})
    if not dry_run:
        return _followed(answer, aws) if watch else _show_job(answer, aws)
    seen = read(DryRun, answer)
    if aws.as_json:
        show_json(answer)
    else:
        _show_dry_run(seen)
    return ExitCode.DONE


def _attribute(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise UsageError(f"--attribute: must be name=value, such as shop=Berlin (got {text[:80]!r})")
    return {"name": name, "value": value}


@app.command(name="list")
def list_(*, fleet: str, aws: AwsOptions | None = None) -> None:
    """List the redrive jobs of the last 30 days, the last requested first.

    Args:
        fleet: The fleet's name.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    answer = ask(aws, CONSOLE, {"jobs": {"fleet": fleet}})
    found = read(Jobs, answer)
    if aws.as_json:
        show_json(answer)
        return
    if not found.jobs:
        say(f"Fleet {fleet} has had no redrive in the last 30 days.")
        return
    show_jobs(found.jobs)
    if found.truncated:
        say(f"Older jobs are not shown: these are the last {len(found.jobs)}.")


@app.command
def watch(job: str, /, *, fleet: str, aws: AwsOptions | None = None) -> ExitCode:
    """Watch a job until it is over: sending, then watched for messages that fail again, then done.

    It ends with exit code 0 if the job is done, and with 1 if messages came back or the job was stopped. Ctrl-C leaves
    the job alone.

    Args:
        job: The job's id.
        fleet: The fleet's name.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    return _followed(_look(aws, fleet, job), aws)


@app.command
def pause(job: str, /, *, fleet: str, aws: AwsOptions | None = None) -> ExitCode:
    """Pause a job until it is resumed.

    Args:
        job: The job's id.
        fleet: The fleet's name.
        aws: The stack, the account and the region.
    """
    return _act("pause", job, fleet, aws or AwsOptions())


@app.command
def resume(job: str, /, *, fleet: str, aws: AwsOptions | None = None) -> ExitCode:
    """Resume a job that was paused.

    Args:
        job: The job's id.
        fleet: The fleet's name.
        aws: The stack, the account and the region.
    """
    return _act("resume", job, fleet, aws or AwsOptions())


@app.command
def stop(job: str, /, *, fleet: str, aws: AwsOptions | None = None) -> ExitCode:
    """Stop a job. What it has not sent stays where it is.

    Args:
        job: The job's id.
        fleet: The fleet's name.
        aws: The stack, the account and the region.
    """
    return _act("stop", job, fleet, aws or AwsOptions())


# --------------------------------------------------------------------------- asking


def _act(kind: str, job: str, fleet: str, aws: AwsOptions) -> ExitCode:
    who = {"fleet": fleet, "requested_by": requester()}
    return _show_job(ask(aws, OPERATOR, {kind: {**who, "job_id": job}}), aws)


def _look(aws: AwsOptions, fleet: str, job: str) -> Answer:
    return ask(aws, CONSOLE, {"job": {"fleet": fleet, "job_id": job}})


def _followed(answer: Answer, aws: AwsOptions) -> ExitCode:
    """Watch a job to its end, and show it."""
    begun = read(OfJob, answer).job
    try:
        last = follow(answer, lambda: _look(aws, begun.fleet, begun.id))
    except KeyboardInterrupt:
        complain("sluice redrive watch", f"the job goes on. To stop it: {line_to_paste('stop', begun, aws)}")
        raise
    _show_job(last, aws)
    return ExitCode.DONE if read(OfJob, last).job.state == "done" else ExitCode.BAD


def follow(answer: Answer, look: Callable[[], Answer]) -> Answer:
    """Show on standard error how far a job is until it is over; the last answer."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console(errors=True, width=None)) as progress:
        bar = progress.add_task("redrive", total=None, left="")
        while True:
            job = read(OfJob, answer).job
            state = STATES.get(job.state, plain(job.state).plain)
            left = f"{state}, about {job.left_s:.0f} s left" if job.left_s is not None else state
            progress.update(bar, completed=job.sent_count, total=job.selected_count, left=left)
            if job.state not in GOING:
                return answer
            time.sleep(WATCH_S)
            answer = look()


# --------------------------------------------------------------------------- showing


def show_jobs(jobs: tuple[Job, ...]) -> None:
    """A table of jobs."""
    show_table(
        ("job", "state", "selected", "sent", "failed", "in doubt", "came back", "requested", "by"),
        [
            (
                job.id,
                "held" if job.held_until else STATES.get(job.state, job.state),
                job.selected_count,
                job.sent_count,
                job.failed_count,
                job.doubtful_count,
                job.returned_count,
                iso(job.requested_at),
                job.requested_by,
            )
            for job in jobs
        ],
        ids=("job",),
    )


def _show_job(answer: Mapping[str, Any], aws: AwsOptions) -> ExitCode:
    """One job, and what may be done about it."""
    job = read(OfJob, answer).job
    if aws.as_json:
        show_json(answer)
        return ExitCode.DONE
    show_jobs((job,))
    if job.note:
        say(job.note)
    if job.held_until:
        say(
            f"Held, tried again at {iso(job.held_until)}: the cause passes by itself. A redrive of the same messages"
            " takes its place. To leave them to you:"
        )
        say_line(f"  {line_to_paste('stop', job, aws)}")
    elif job.state == "running":
        say("It continues by itself. To watch it, or to stop it:")
        say_line(f"  {line_to_paste('watch', job, aws)}")
        say_line(f"  {line_to_paste('stop', job, aws)}")
    elif job.state == "watching":
        say("All of it is sent. It is watched for messages that fail again. To wait for that:")
        say_line(f"  {line_to_paste('watch', job, aws)}")
    elif job.state == "paused":
        say("To resume it:")
        say_line(f"  {line_to_paste('resume', job, aws)}")
    return ExitCode.DONE


def line_to_paste(verb: str, job: Job, aws: AwsOptions) -> str:
    """A command about a job, to paste."""
    return f"sluice redrive {verb} {quote(job.id)} --fleet {quote(job.fleet)}{aws.as_typed}"


def _show_dry_run(seen: DryRun) -> None:
    if seen.groups:
        show_table(
            ("failure group", "messages", "first seen", "last seen", "cause"),
            [
                (group.failure_group, group.count, iso(group.first_seen_at), iso(group.last_seen_at), group.cause)
                for group in seen.groups
            ],
            ids=("failure group",),
        )
    text = (
        f"Dry run: {count(seen.selected_count, 'message')} of fleet {seen.fleet}'s {seen.origin} would be sent, at most"
        f" {seen.rate_per_s:g} a second ({seen.selected_count / seen.rate_per_s:.0f} s at the least),"
        f" {seen.canary_count} of each failure group first. Nothing was sent."
    )
    if seen.behind_count:
        text += (
            f" {seen.behind_count} more match, but stand behind messages of their message group that do not:"
            " they stay, to keep the order."
        )
    if seen.paused_queues:
        text += f" Paused: {', '.join(seen.paused_queues)}. What would be sent there waits until it is not."
    if seen.move_task_note:
        text += f" {seen.move_task_note}"
    say(text)
