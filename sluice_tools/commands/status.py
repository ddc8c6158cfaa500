"""`sluice status` and `sluice decisions`: how fleets stand, and why their capacity is what it is."""

import time
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter, validators

from sluice_tools.commands.answers import Decision, Decisions, FleetStatus, Status, read
from sluice_tools.commands.aws_options import AwsOptions
from sluice_tools.commands.frame import ExitCode
from sluice_tools.commands.functions import CONSOLE, ask
from sluice_tools.commands.output import iso, say, show_json, show_table
from sluice_tools.commands.redrive import show_jobs
from sluice_tools.commands.times import moment

DECISIONS_MOST = 10_000
SINCE = "1h"


def status(*, fleet: str | None = None, aws: AwsOptions | None = None) -> ExitCode:
    """Show the stack's fleets: capacity, the last decision, drains, quarantine and redrives under way.

    It ends with exit code 1 if a fleet's document is invalid, or if something could not be read.

    Args:
        fleet: Only this fleet, by its name.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    fleets: list[Mapping[str, Any]] = []
    asked = {} if fleet is None else {"fleet": fleet}
    after: str | None = None
    while True:
        answer = ask(aws, CONSOLE, {"status": asked | ({} if after is None else {"after": after})})
        page = read(Status, answer)
        fleets += answer["fleets"]
        if page.after is None or page.after <= (after or ""):  # pages go on by name; another answer would have no end
            break
        after = page.after
    whole = {**answer, "fleets": fleets, "after": None}
    found = read(Status, whole)
    if aws.as_json:
        show_json({name: value for name, value in whole.items() if name != "after"})
    else:
        _show_fleets(found.fleets)
        say(*_problems(found))
    bad = bool(found.invalid or found.unread or any(one.unread for one in found.fleets))
    return ExitCode.BAD if bad else ExitCode.DONE


def _show_fleets(fleets: tuple[FleetStatus, ...]) -> None:
    if fleets:
        show_table(
            ("fleet", "mode", "capacity", "wanted", "outcome", "decided", "quarantined", "drains", "redrives"),
            [
                (
                    one.fleet,
                    one.mode,
                    one.decision and one.decision.current,
                    one.decision and one.decision.want,
                    one.decision and one.decision.outcome.status,
                    one.decision and iso(one.decision.at),
                    one.quarantined_count,
                    len(one.drains),
                    len(one.jobs),
                )
                for one in fleets
            ],
            ids=("fleet",),
        )
    else:
        say("The stack has no fleets that could be shown.")
    for one in fleets:
        if one.decision is None and not one.unread:
            say(f"{one.fleet}: no decision is on record yet.")
        elif one.decision is not None:
            say(f"{one.fleet}: {one.decision.sentence}")
    drains = [(one.fleet, drain) for one in fleets for drain in one.drains]
    if drains:
        show_table(
            ("fleet", "instance", "state", "cause", "since", "deadline", "note"),
            [
                (name, one.instance_id, one.state, one.cause, iso(one.started_at), iso(one.deadline_at), one.note)
                for name, one in drains
            ],
            ids=("fleet", "instance"),
        )
    if jobs := tuple(job for one in fleets for job in one.jobs):
        show_jobs(jobs)


def _problems(found: Status) -> list[str]:
    """What is wrong with documents, and what could not be read."""
    return [
        *(f"problem: {problem}" for problem in found.unread),
        *(
            f"problem: the document of fleet {document.fleet} is invalid: {problem}"
            for document in found.invalid
            for problem in document.problems
        ),
        *(f"problem: of fleet {one.fleet}: {problem}" for one in found.fleets for problem in one.unread),
    ]


def decisions(
    *,
    fleet: str,
    since: str = SINCE,
    until: str | None = None,
    limit: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=DECISIONS_MOST))] = 20,
    why: Annotated[bool, Parameter(negative="")] = False,
    aws: AwsOptions | None = None,
) -> None:
    """Show what the planner decided for a fleet, the latest first, and what came of it.

    Args:
        fleet: The fleet's name.
        since: Only decisions made at this time or later, such as 2026-11-24T14:00:00Z or 2h (ago).
        until: Only decisions made by this time.
        limit: At most so many.
        why: Each reason and each figure of each decision, too. With --json they are always there.
        aws: The stack, the account and the region.
    """
    aws = aws or AwsOptions()
    begin = moment("--since", since)
    end = time.time() if until is None else moment("--until", until)
    found: list[Mapping[str, Any]] = []
    while True:
        span = {"since": begin, "until": end, "limit": min(100, limit - len(found))}
        answer = ask(aws, CONSOLE, {"decisions": {"fleet": fleet, **span}})
        page = read(Decisions, answer)
        found += answer["decisions"]
        if page.next_until is None or page.next_until >= end or len(found) >= limit:
            break
        end = page.next_until
    shown, more = found[:limit], page.next_until is not None
    if aws.as_json:
        show_json({"fleet": fleet, "decisions": shown, "more": more})
        return
    if not shown:
        say(
            f"No decision of fleet {fleet} is on record since {iso(begin)}. One that repeats is recorded once a minute."
        )
        return
    made = read(Decisions, {"decisions": shown, "next_until": None}).decisions
    if why:
        for one in made:
            _show_why(one)
    else:
        show_table(
            ("decided", "action", "capacity", "wanted", "outcome", "why"),
            [(iso(one.at), one.action, one.current, one.want, one.outcome.status, one.sentence) for one in made],
            ids=("decided",),
        )
    if more:
        say(f"There are more: these are the latest {len(shown)}. --limit shows up to {DECISIONS_MOST:,}.")


def _show_why(decision: Decision) -> None:
    """One decision with everything that led to it."""
    outcome = decision.outcome
    said = f" ({outcome.answer})" if outcome.answer else ""
    say(f"{iso(decision.at)} {decision.action}, {decision.current} to {decision.want}: {outcome.status}{said}")
    say(decision.sentence)
    show_table(
        ("reason", "before", "after", "why"),
        [(one.code, one.before, one.after, one.sentence) for one in decision.reasons],
        ids=("reason",),
    )
    show_table(
        ("figure", "value", "age, s", "source"),
        [
            (
                one.name,
                None if one.value is None else f"{one.value:.4g}",
                None if one.age_s is None else f"{one.age_s:.0f}",
                one.source,
            )
            for one in decision.figures
        ],
        ids=("figure",),
    )
