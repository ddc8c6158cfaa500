"""The dashboard's custom widget: reads what the ledger holds of a fleet and answers HTML. It writes nothing.

What CloudWatch sends and takes:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html
"""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.config.fleet import Fleet
from sluice.model.observed import Mode
from sluice.planning.learning.forecasting import WEEK_S
from sluice.planning.shadow.scorecard import Score, score
from sluice.ports.aws_services import LoadedFleets
from sluice.ports.errors import PortError
from sluice.ports.ledger import ConsoleLedger
from sluice.ports.stack import Ports
from sluice.telemetry import keep_from
from sluice.widget import (
    FILTER_FIELD,
    FILTER_LIMIT,
    PAGE,
    UTC_CLOCK,
    Clock,
    Part,
    Scene,
    Theme,
    Trouble,
    View,
    offset_s,
    render,
    render_message,
    render_messages,
    render_whole,
)

DECISIONS_LIMIT = 1_500  # a day of one a minute, 4 h of one in ten seconds: about a second's reading
DEFAULT_RANGE_S = 3 * 3_600.0  # CloudWatch's own default for a new dashboard
SHORTEST_RANGE_S = 60.0  # one tick of the schedule
DEFAULT_WIDTH_PX = 600  # half a dashboard on a small screen
LATEST_MS = 4_102_444_800_000  # the year 2100: later is seconds taken for milliseconds, or worse

DOCUMENTATION = """\
## Sluice

What Sluice sees, decides and does for one fleet: capacity, backlog and oldest wait over the dashboard's time range,
the last decisions in words (each unfolds to its reasons and figures), drains under way, and the failure groups in
quarantine as cards, with their trend, a sample, their messages, a dry run and a redrive button.

The widget only reads. The buttons call the redriver, another function: they work for those who may invoke it.

### Parameters

| name | type | meaning |
|---|---|---|
| **fleet** | text, optional | the fleet to show first; without it the first by name. Others are one press away. |
| **filter** | text, optional | show failure groups with this in their cause alone |
| **failure_group** | text, optional | show the messages of this failure group, one by one, instead |
| **message_id** | text, optional | show this one message of the quarantine, whole, instead |

### Example

``` yaml
fleet: orders
```
"""

logger = Logger()
keep_from(os.environ.get("LOG_LEVEL"), logger.name)
tracer = Tracer()
metrics = Metrics()


def _ports() -> Ports:
    from sluice.aws import stack_ports  # noqa: PLC0415 - a description needs no AWS, and botocore takes long to import

    return stack_ports()


@logger.inject_lambda_context
@tracer.capture_lambda_handler(capture_response=False)  # HTML that may show messages is nothing for a trace
@metrics.log_metrics
def handler(event: Any, context: LambdaContext) -> str:
    """Answer the widget's HTML, or its documentation where that is asked for."""
    settings = Settings(
        console_arn=context.invoked_function_arn,
        operator_arn=os.environ.get("SLUICE_OPERATOR_ARN") or None,
        fleets_path=os.environ.get("SLUICE_FLEETS_PATH", ""),
    )
    answer = respond(event, _ports, time.time, settings)
    logger.info(answer.summary, extra={"problems": answer.problems})
    metrics.add_metric(name="WidgetProblems", unit=MetricUnit.Count, value=len(answer.problems))
    return answer.text


@dataclass(frozen=True, slots=True)
class Settings:
    """What a rendering needs to know of the stack."""

    console_arn: str | None = None  # this function, as the dashboard invoked it
    operator_arn: str | None = None  # None: no buttons
    fleets_path: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the dashboard gets, and what the log gets."""

    text: str
    summary: str
    problems: tuple[str, ...] = ()


def respond(event: object, ports: Callable[[], Ports], now: Callable[[], float], settings: Settings) -> Answer:
    """Read the request and the records, and render them. Never raises for what an event, a document or AWS says.

    Args:
        event: the widget's parameters with `widgetContext`, or `{"describe": true}`.
        ports: makes the ports; not called for a description.
        now: epoch seconds.
        settings: what to know of the stack.
    """
    if isinstance(event, Mapping) and event.get("describe"):
        return Answer(DOCUMENTATION, "described")
    try:
        request = read_request(event, now())
    except RequestError as error:
        text = render_message("This widget cannot be shown:", error.problems, error.theme)
        return Answer(text, "request not understood", error.problems)

    try:
        if request.fleet and (request.message_id or request.failure_group):
            return _show_messages(request, request.fleet, ports(), settings)
        view = look(request, ports(), settings)
    except PortError as error:  # the ports themselves cannot be made, or a message cannot be read
        text = render_message("This widget cannot read its stack:", (str(error),), request.theme)
        return Answer(text, "not read", (str(error),))
    problems = tuple(f"{trouble.part}: {trouble.problem}" for trouble in view.troubles)
    problems += tuple(str(bad) for bad in view.invalid)
    return Answer(render(view, request.theme, request.width), "rendered", problems + view.notes)


# --------------------------------------------------------------------------- the request


class _Context(BaseModel):
    """What of `widgetContext` matters here; what else is in it may change."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Span(_Context):
    start: float = Field(ge=0, le=LATEST_MS)  # epoch milliseconds
    end: float = Field(ge=0, le=LATEST_MS)


class _TimeRange(_Span):
    zoom: _Span | None = None  # what an operator has zoomed into, in a graph of the dashboard


class _Timezone(_Context):
    # The sign of offsetInMinutes is not documented; that of offsetISO is not in doubt.
    offset_iso: str = Field(default="+00:00", alias="offsetISO")


class _Forms(_Context):
    every: Mapping[str, Any] = Field(default={}, alias="all")  # what is in the widget's forms


class _WidgetContext(_Context):
    time_range: _TimeRange | None = Field(default=None, alias="timeRange")
    timezone: _Timezone = _Timezone()
    theme: str = "light"
    width: float = DEFAULT_WIDTH_PX
    forms: _Forms = _Forms()


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    fleet: str | None = None
    filter: str | None = Field(default=None, max_length=FILTER_LIMIT)
    failure_group: str | None = Field(default=None, max_length=128)
    message_id: str | None = Field(default=None, max_length=128)
    after: str | None = Field(default=None, max_length=300)
    widget_context: _WidgetContext = Field(default=_WidgetContext(), alias="widgetContext")


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be shown. Times are epoch seconds."""

    now: float
    since: float
    until: float
    fleet: str | None = None
    clock: Clock = UTC_CLOCK
    theme: Theme = Theme.LIGHT
    width: int = DEFAULT_WIDTH_PX
    notes: tuple[str, ...] = ()
    filter: str = ""
    failure_group: str | None = None
    message_id: str | None = None
    after: str | None = None  # where a page of messages begins


class RequestError(ValueError):
    """An event that is no request for this widget; `problems` has every fault, each naming its field."""

    def __init__(self, problems: tuple[str, ...], theme: Theme) -> None:
        self.problems = problems
        self.theme = theme
        super().__init__("; ".join(problems))


def read_request(event: object, now: float) -> Request:
    """Read a widget's event; what it leaves out has defaults, so that `{}` shows the first fleet's last three hours.

    Raises:
        RequestError: with every fault.
    """
    if not isinstance(event, Mapping):
        raise RequestError(("event: must be a JSON object, such as {}",), Theme.LIGHT)
    try:
        asked = _Event.model_validate(event)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise RequestError(tuple(_in_words(fault) for fault in faults), _theme(event)) from error
    context = asked.widget_context
    span = context.time_range and (context.time_range.zoom or context.time_range)
    since, until = (span.start / 1_000, span.end / 1_000) if span else (now - DEFAULT_RANGE_S, now)
    if until <= since:
        raise RequestError(("widgetContext.timeRange: its end must be after its start",), _theme(event))
    notes = []
    if asked.model_extra:
        names = ", ".join(sorted(asked.model_extra))
        notes.append(f"Parameters that mean nothing here: {names}. There are fleet and filter.")
    if (offset := offset_s(context.timezone.offset_iso)) is None:
        notes.append(f"Time zone {context.timezone.offset_iso} is not known: times are UTC.")
    return Request(
        now=now,
        since=min(since, until - SHORTEST_RANGE_S),
        until=until,
        fleet=asked.fleet or None,
        clock=Clock(offset or 0.0),
        theme=_theme(event),
        width=round(context.width),
        notes=tuple(notes),
        filter=asked.filter
        if asked.filter is not None
        else str(context.forms.every.get(FILTER_FIELD, ""))[:FILTER_LIMIT],
        failure_group=asked.failure_group or None,
        message_id=asked.message_id or None,
        after=asked.after or None,
    )


def _theme(event: Mapping[Any, Any]) -> Theme:
    """The theme, from an event that may be faulty elsewhere; any other word than dark is light."""
    context = event.get("widgetContext")
    return Theme.DARK if isinstance(context, Mapping) and context.get("theme") == Theme.DARK else Theme.LIGHT


def _in_words(fault: Any) -> str:
    """One pydantic fault as `field: what would be right (got ...)`."""
    path = ".".join(str(part) for part in fault["loc"]) or "event"
    text = str(fault["msg"])
    got = "" if fault["type"] == "missing" else f" (got {str(fault['input'])[:80]!r})"
    return f"{path}: {text[0].lower()}{text[1:]}{got}"


# --------------------------------------------------------------------------- the records


def _show_messages(request: Request, fleet: str, ports: Ports[ConsoleLedger], settings: Settings) -> Answer:
    """A failure group's messages, or one of them, for a popup."""
    scene = Scene(fleet, request.now, request.clock, request.theme, settings.console_arn, settings.operator_arn)
    if request.message_id:
        entry = ports.ledger.quarantine.quarantined_message(fleet, request.message_id)
        if entry is None:
            problem = f"No message {request.message_id} is in the quarantine of {fleet}."
            return Answer(render_message("Not there:", (problem,), request.theme), "message not there")
        return Answer(render_whole(entry, ports.archive.load(entry.key), scene), "message shown")
    group = request.failure_group or ""
    page, after = ports.ledger.quarantine.quarantined(fleet, group, PAGE, request.after)
    return Answer(render_messages(page, group, after, scene), "messages listed")


def look(request: Request, ports: Ports[ConsoleLedger], settings: Settings) -> View:
    """Read all that the widget shows. What cannot be read is told in its place, and hides nothing else."""
    view = View(
        now=request.now,
        since=request.since,
        until=request.until,
        clock=request.clock,
        filter=request.filter,
        notes=request.notes,
        fleets_path=settings.fleets_path,
        console_arn=settings.console_arn,
        operator_arn=settings.operator_arn,
    )
    try:
        loaded = ports.fleets.load(last_usable=True)
    except PortError as error:
        return replace(view, troubles=(Trouble(Part.FLEETS, str(error)),))
    fleet, notes = _choose(request, loaded)
    view = replace(
        view,
        fleets=tuple(sorted(one.name for one in (*loaded.fleets, *(each.fleet for each in loaded.drain_only)))),
        invalid=loaded.invalid,
        drain_only=loaded.drain_only,
        unread_versions=tuple(str(error) for error in loaded.unread),
        fleet=fleet,
        notes=request.notes + notes,
    )
    return _with_records(view, fleet.name, ports.ledger) if fleet else view


def _with_records(view: View, fleet: str, ledger: ConsoleLedger) -> View:
    """The view with what the ledger has of a fleet."""
    troubles: list[Trouble] = []

    def read[T](part: Part, call: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
        try:
            return call()
        except PortError as error:
            troubles.append(Trouble(part, str(error)))
            return ()

    decisions = read(
        Part.DECISIONS,
        lambda: ledger.decisions.decisions(fleet, DECISIONS_LIMIT + 1, since=view.since, until=view.until),
    )
    drains = read(Part.DRAINS, lambda: ledger.drains.drains(fleet))
    failure_groups = read(Part.FAILURE_GROUPS, lambda: ledger.failure_groups.failure_groups(fleet))
    jobs = read(Part.REDRIVES, lambda: ledger.jobs.jobs(fleet))
    scored: tuple[Score | None, ...] = ()
    if view.fleet is not None and view.fleet.mode is Mode.SHADOW:

        def scores() -> tuple[Score | None, ...]:
            shadow = ledger.planner_state.memory(fleet).shadow
            return score(shadow), score(shadow, WEEK_S)

        scored = read(Part.SHADOW, scores)
    return replace(
        view,
        decisions=decisions[:DECISIONS_LIMIT],
        cut=len(decisions) > DECISIONS_LIMIT,
        drains=drains,
        failure_groups=failure_groups,
        jobs=jobs,
        score=scored[0] if scored else None,
        week=scored[1] if scored else None,
        troubles=tuple(troubles),
    )


def _choose(request: Request, loaded: LoadedFleets) -> tuple[Fleet | None, tuple[str, ...]]:
    """The fleet to show, and what to say where it is not the one asked for."""
    by_name = {fleet.name: fleet for fleet in loaded.fleets}
    if request.fleet is None and by_name:
        return by_name[min(by_name)], ()
    by_name |= {each.fleet.name: each.fleet for each in loaded.drain_only}
    if request.fleet is None:
        return (by_name[min(by_name)] if by_name else None), ()
    if request.fleet in by_name:
        return by_name[request.fleet], ()
    if any(bad.name == request.fleet for bad in loaded.invalid):
        return None, ()
    return None, (f"There is no fleet {request.fleet} in this stack.",)
