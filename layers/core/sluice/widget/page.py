"""The widget's HTML: a View's sections, laid out so that they also read well at a third of a dashboard's width.

Pure: a View in, a string out. Every element is made by htpy, which escapes all text; text from messages, documents and
AWS goes through `safe_text` or `safe_string` as well. The page has no script, no link and no id: buttons are
`cwdb-action` elements, which act on the element just before them
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_interactivity.html).
"""

from collections.abc import Sequence

import htpy

from sluice.config.fleet import Fleet
from sluice.model.observed import Mode
from sluice.widget.attention import render_attention
from sluice.widget.chart.drawing import render_chart
from sluice.widget.chart.legend import render_legend
from sluice.widget.chart.samples import sample_of
from sluice.widget.decisions import render_decisions
from sluice.widget.drains import render_drains
from sluice.widget.elements import call_action, scrolling_text
from sluice.widget.failure_groups import render_failure_groups
from sluice.widget.notes import render_notes
from sluice.widget.overview import FleetsView, render_fleets
from sluice.widget.queues import render_queues
from sluice.widget.redrive_jobs import render_jobs
from sluice.widget.shadow import render_score
from sluice.widget.style import CSS
from sluice.widget.text import counted, safe_text
from sluice.widget.tiles import render_tiles
from sluice.widget.view import Source, Theme, View

WIDE_PX = 860  # from here on two columns fit
NARROW_PX = 540  # below it a sentence gets a line of its own
MIN_PX, MAX_PX = 260, 2400  # the widths of a dashboard's grid; any other is a mistake of the caller
TABS_MAX = 8  # of more fleets the overview is the way to each


def render(view: View, theme: Theme, width: int) -> str:
    """The widget's HTML.

    Args:
        view: what to show.
        theme: the dashboard's.
        width: of the widget's area, in pixels; one outside MIN_PX to MAX_PX counts as the nearest of these.
    """
    width = min(MAX_PX, max(MIN_PX, width))
    fleet = view.fleet
    return _document(
        theme,
        width,
        [
            _head(view),
            _tabs(view),
            render_attention(view),
            render_notes(view),
            [render_tiles(view, fleet), _body(view, fleet, width)] if fleet else _no_fleet(view),
        ],
    )


def render_overview(view: FleetsView, theme: Theme, width: int) -> str:
    """All fleets of the stack, as HTML; the arguments are those of `render`."""
    width = min(MAX_PX, max(MIN_PX, width))
    return _document(theme, width, [render_fleets(view), render_notes(view)])


def render_problems(title: str, lines: Sequence[str], theme: Theme) -> str:
    """A widget that only lists problems, one a line, under a title."""
    return _document(
        theme,
        MIN_PX,
        htpy.div(".sl-note.sl-bad")[
            htpy.b[safe_text(title)], htpy.ul[[htpy.li[safe_text(line, 500)] for line in lines]]
        ],
    )


def _document(theme: Theme, width: int, content: htpy.Node) -> str:
    # The style sheet is inside the element: sanitisers drop one that opens the document.
    shape = "sl-wide" if width >= WIDE_PX else "sl-narrow" if width < NARROW_PX else None
    root = htpy.div(class_=["sl", f"sl-{theme}", "cwdb-no-default-styles", shape])
    return "".join(root[content, htpy.style[CSS]].iter_chunks())


# --------------------------------------------------------------------------- head


_MODES = {
    Mode.ACT: ("acting", ".sl-good", "decisions are applied"),
    Mode.SHADOW: ("shadow", ".sl-warn", "decisions are recorded, not applied"),
    Mode.PAUSED: ("paused", ".sl-warn", "the fleet's capacity does not change"),
}
_DRAINS_ONLY = ("only draining", ".sl-bad", "the fleet's document is invalid: draining is all that is done for it")


def _head(view: View) -> htpy.Node:
    if view.fleet is None:
        return htpy.div(".sl-head")[htpy.h2["Sluice"]]
    label, kind, why = _DRAINS_ONLY if view.drains_only else _MODES[view.fleet.mode]
    return htpy.div(".sl-head")[
        htpy.h2[safe_text(view.fleet.name)],
        htpy.span(f".sl-pill{kind}", title=why)[label],
        htpy.span(".sl-when")[_when(view)],
    ]


def _when(view: View) -> str:
    if not view.records.decisions:
        return view.period.clock.zone
    return f"as of {view.period.second(view.records.decisions[0][0].at)} {view.period.clock.zone}"


def _tabs(view: View) -> htpy.Node:
    """A button for all fleets, and one a fleet where these are few; that of the fleet that is shown is disabled."""
    chosen = view.fleet.name if view.fleet else None
    if view.settings.console_arn is None or set(view.documents.names) <= {chosen}:
        return None
    arn, count = view.settings.console_arn, len(view.documents.names)
    every = [
        htpy.button(type="button")[f"All {counted(count, 'fleet')}"],
        call_action(arn, {"view": "fleets"}, "widget"),
    ]
    tabs: list[htpy.Node] = [every]
    for name in view.documents.names if count <= TABS_MAX else ():
        if name == chosen:
            tabs.append(htpy.button(type="button", disabled=True, aria_current="true")[safe_text(name)])
        else:
            tabs.append(
                [
                    htpy.button(type="button")[safe_text(name)],
                    call_action(view.settings.console_arn, {"fleet": name}, "widget"),
                ]
            )
    return htpy.div(".sl-tabs", role="group", aria_label="Fleets")[tabs]


_EXAMPLE = """{
  "queue": "https://sqs.<region>.amazonaws.com/<account>/orders",
  "dead_letter_queue": "https://sqs.<region>.amazonaws.com/<account>/orders-dead-letters",
  "group": "orders",
  "target_wait_s": 60,
  "mode": "shadow"
}"""


def _no_fleet(view: View) -> htpy.Node:
    """A stack without fleets: what a fleet is, and how the first one is made."""
    if view.documents.names or view.failures:
        return None
    path = view.settings.fleets_path
    return htpy.div(".sl-nothing")[
        htpy.p[
            htpy.b["There is no fleet yet."],
            " A fleet is an Auto Scaling group with the queue that its instances consume.",
        ],
        htpy.ol(".sl-todo")[
            htpy.li["Deploy fleet.yaml for it, which checks queue and group and makes everything that they need."],
            htpy.li[
                "Or write its document to Parameter Store, as ",
                htpy.b[safe_text(path), "<name>"],
                ", with the fields queue, group and target_wait_s:",
                scrolling_text("Example of a fleet's document", _EXAMPLE),
            ],
            htpy.li[
                "In shadow mode Sluice decides and changes nothing, so that it can be compared with what scales the"
                " group now. The first decision is here after about three minutes."
            ],
        ],
    ]


# --------------------------------------------------------------------------- body


def _body(view: View, fleet: Fleet, width: int) -> htpy.Node:
    chart_px = round((width - 32) * 0.57) if width >= WIDE_PX else width - 8
    chart = htpy.section[_chart(view, fleet, chart_px)]
    # Whether to act is the question of a fleet in shadow mode: its answer comes first.
    first = [render_score(view), chart] if fleet.mode is Mode.SHADOW else [chart]
    main = htpy.div(".sl-main")[first, render_decisions(view)]
    side = htpy.div(".sl-side")[
        render_queues(view, fleet), render_failure_groups(view, fleet), render_jobs(view), render_drains(view)
    ]
    return htpy.div(".sl-body")[main, side]


def _chart(view: View, fleet: Fleet, width: int) -> htpy.Node:
    if view.is_unread(Source.DECISIONS):
        return htpy.div(".sl-nothing")["The decisions could not be read."]
    if not view.records.decisions:
        return htpy.div(".sl-nothing")[
            f"No decision between {view.period.minute(view.period.since)} and"
            f" {view.period.minute(view.period.until)} {view.period.clock.zone}."
        ]
    samples = [sample_of(decision, outcome) for decision, outcome in view.records.decisions]
    return [
        render_chart(samples, period=view.period, target_wait_s=fleet.tightest_wait_s, width=width),
        render_legend(samples, fleet.tightest_wait_s),
        htpy.p(".sl-quiet")[
            f"Only the most recent {counted(len(samples), 'decision')} of this time range"
            f" {'is' if len(samples) == 1 else 'are'} shown, from {view.period.minute(samples[-1].at)} on:"
            " choose a shorter time range to see all."
        ]
        if view.records.truncated
        else None,
    ]
