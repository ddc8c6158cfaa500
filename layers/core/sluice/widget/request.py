"""What the widget is invoked with: read_request(event, now) -> WidgetRequest, or a PayloadError with every problem.

The event has the widget's parameters and CloudWatch's `widgetContext`:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_about.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sluice.model.payload_error import PayloadError
from sluice.widget.failure_groups import FILTER_FIELD, FILTER_MAX_CHARACTERS
from sluice.widget.overview import SEARCH_FIELD, SEARCH_MAX_CHARACTERS
from sluice.widget.text import Clock, utc_offset_s
from sluice.widget.view import Period, Theme

DEFAULT_RANGE_S = 3 * 3_600.0  # CloudWatch's own default for a new dashboard
SHORTEST_RANGE_S = 60.0  # one tick of the schedule
PAGES_MAX = 10_000  # more than any stack has
DEFAULT_WIDTH_PX = 600  # half a dashboard on a small screen
LATEST_MS = 4_102_444_800_000  # the year 2100: a later time was given in another unit than milliseconds
INPUT_SHOWN_CHARACTERS = 80  # of a wrong value, in the problem about it


class _Context(BaseModel):
    """The fields of `widgetContext` that matter here; CloudWatch may add others."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class _Span(_Context):
    start: float = Field(ge=0, le=LATEST_MS)  # epoch milliseconds
    end: float = Field(ge=0, le=LATEST_MS)


class _TimeRange(_Span):
    zoom: _Span | None = None  # the part that was zoomed into, in any graph of the dashboard


class _Timezone(_Context):
    # AWS does not document the sign of offsetInMinutes; offsetISO has its sign in it.
    offset_iso: str = Field(default="+00:00", alias="offsetISO")


class _Forms(_Context):
    every: Mapping[str, Any] = Field(default={}, alias="all")  # field name -> value, of the widget's forms


class _WidgetContext(_Context):
    time_range: _TimeRange | None = Field(default=None, alias="timeRange")
    timezone: _Timezone = _Timezone()
    theme: str = "light"
    width: float = DEFAULT_WIDTH_PX
    forms: _Forms = _Forms()


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")

    fleet: str | None = None
    filter: str | None = Field(default=None, max_length=FILTER_MAX_CHARACTERS)
    failure_group: str | None = Field(default=None, max_length=128)
    message_id: str | None = Field(default=None, max_length=128)
    after: str | None = Field(default=None, max_length=300)
    view: Literal["fleet", "fleets"] | None = None
    search: str | None = Field(default=None, max_length=SEARCH_MAX_CHARACTERS)
    page: int = Field(default=1, ge=1, le=PAGES_MAX)
    widget_context: _WidgetContext = Field(default=_WidgetContext(), alias="widgetContext")


@dataclass(frozen=True, slots=True)
class WidgetRequest:
    """What is to be shown, and how."""

    period: Period
    fleet: str | None = None
    view: Literal["fleet", "fleets"] | None = None  # None: the fleet that is named; else all, or the only one
    theme: Theme = Theme.LIGHT
    width_px: int = DEFAULT_WIDTH_PX
    notes: tuple[str, ...] = ()
    filter: str = ""
    failure_group: str | None = None
    message_id: str | None = None
    after: str | None = None  # the cursor at which a page of messages begins
    search: str = ""  # of the overview: a part of a fleet's name
    page: int = 1  # of the overview


def read_request(event: object, now: float) -> WidgetRequest:
    """Read a widget's event. Each field that is missing has a default: `{}` shows the last three hours.

    Args:
        event: the widget's parameters, with `widgetContext` where a dashboard asks.
        now: epoch seconds.

    Raises:
        PayloadError: with every fault, each naming its field.
    """
    if not isinstance(event, Mapping):
        raise PayloadError("event: must be a JSON object, such as {}")
    try:
        fields = _Event.model_validate(event)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        raise PayloadError(*(_problem(fault) for fault in faults)) from error
    context = fields.widget_context
    span = context.time_range and (context.time_range.zoom or context.time_range)
    since, until = (span.start / 1_000, span.end / 1_000) if span else (now - DEFAULT_RANGE_S, now)
    if until <= since:
        raise PayloadError("widgetContext.timeRange: its end must be after its start")
    offset_s = utc_offset_s(context.timezone.offset_iso)
    return WidgetRequest(
        period=Period(now, min(since, until - SHORTEST_RANGE_S), until, Clock(offset_s or 0.0)),
        fleet=fields.fleet or None,
        view=fields.view,
        theme=theme_of(event),
        width_px=round(context.width),
        notes=_notes(fields, zone_is_known=offset_s is not None),
        filter=_typed(fields, fields.filter, FILTER_FIELD, FILTER_MAX_CHARACTERS),
        failure_group=fields.failure_group or None,
        message_id=fields.message_id or None,
        after=fields.after or None,
        search=_typed(fields, fields.search, SEARCH_FIELD, SEARCH_MAX_CHARACTERS),
        page=fields.page,
    )


def _typed(fields: _Event, own: str | None, field: str, limit: int) -> str:
    """The event's own text, also an empty one; else what was typed into that field of the widget's forms."""
    return own if own is not None else str(fields.widget_context.forms.every.get(field, ""))[:limit]


def _notes(fields: _Event, *, zone_is_known: bool) -> tuple[str, ...]:
    """What of the event was ignored, and what it may be."""
    notes = []
    if fields.model_extra:
        names = ", ".join(sorted(fields.model_extra))
        notes.append(
            f"Unknown parameters: {names}."
            " The widget's parameters are fleet, filter, failure_group, message_id, view, search and page."
        )
    if not zone_is_known:
        notes.append(
            f"Time zone {fields.widget_context.timezone.offset_iso} is not an offset such as +02:00: times are in UTC."
        )
    return tuple(notes)


def theme_of(event: object) -> Theme:
    """The theme, from an event that may be faulty elsewhere; any value but dark is light."""
    context = event.get("widgetContext") if isinstance(event, Mapping) else None
    return Theme.DARK if isinstance(context, Mapping) and context.get("theme") == Theme.DARK else Theme.LIGHT


def _problem(fault: Any) -> str:
    """One pydantic fault as `field: what it must be (got ...)`."""
    path = ".".join(str(part) for part in fault["loc"]) or "event"
    text = str(fault["msg"])
    got = "" if fault["type"] == "missing" else f" (got {str(fault['input'])[:INPUT_SHOWN_CHARACTERS]!r})"
    return f"{path}: {text[0].lower()}{text[1:]}{got}"
