"""The widget's HTML: a View's sections, laid out so that they also read well at a third of a dashboard's width.

Pure: a View in, a string out. Every element is made by htpy, which escapes all text; text from messages, documents and
AWS goes through `safe_text` or `safe_string` as well. The page has no script, no link and no id: buttons are
`cwdb-action` elements, which act on the element just before them
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_interactivity.html).
"""

from collections.abc import Sequence

import htpy

from sluice.config.fleet import QUEUES_PATH, ConfigError, Fleet
from sluice.model.observed import Mode
from sluice.model.planning import Decision
from sluice.widget.chart.drawing import render_chart
from sluice.widget.chart.samples import OLDEST_AGE, VISIBLE, figure_value, sample_of
from sluice.widget.decisions import SENTENCE_MAX_CHARACTERS, render_decisions
from sluice.widget.drains import render_drains
from sluice.widget.elements import call_action
from sluice.widget.failure_groups import render_failure_groups
from sluice.widget.queues import render_queues, targets
from sluice.widget.redrive_jobs import render_jobs
from sluice.widget.shadow import render_score
from sluice.widget.style import CSS
from sluice.widget.text import UNKNOWN, counted, duration, number, safe_text
from sluice.widget.view import Source, Theme, View

WIDE_PX = 860  # from here on two columns fit
NARROW_PX = 540  # below it a sentence gets a line of its own
MIN_PX, MAX_PX = 260, 2400  # the widths of a dashboard's grid; any other is a mistake of the caller
NO_DECISION_S = 300.0  # as the alarm on the planner: no tick in five minutes


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
            _warnings(view),
            [_tiles(view, fleet), _body(view, fleet, width)] if fleet else _no_fleet(view),
        ],
    )


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
    """One button a fleet; that of the fleet that is shown is disabled."""
    chosen = view.fleet.name if view.fleet else None
    if view.settings.console_arn is None or set(view.documents.names) <= {chosen}:
        return None
    tabs: list[htpy.Node] = []
    for name in view.documents.names:
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


def _warnings(view: View) -> htpy.Node:
    notes: list[htpy.Node] = [
        htpy.div(".sl-note.sl-bad")[
            htpy.b[f"{failure.source.capitalize()} could not be read. "],
            safe_text(failure.problem, SENTENCE_MAX_CHARACTERS),
        ]
        for failure in view.failures
    ]
    notes += [_invalid(view, bad) for bad in view.documents.invalid]
    notes += [
        htpy.div(".sl-note.sl-bad")[
            htpy.b["Earlier versions of a fleet's document could not be read. "],
            safe_text(problem, SENTENCE_MAX_CHARACTERS),
        ]
        for problem in view.documents.unread_versions
    ]
    notes += [htpy.div(".sl-note")[safe_text(note, SENTENCE_MAX_CHARACTERS)] for note in view.notes]
    if (silent_s := _without_decision_s(view)) is not None:
        notes.append(
            htpy.div(".sl-note")[
                htpy.b[f"No decision for {duration(silent_s)}. "],
                "The planner records a decision about each fleet every three minutes: see its log and its alarm.",
            ]
        )
    return notes


def _invalid(view: View, bad: ConfigError) -> htpy.Node:
    """An invalid document with every problem, and what is still done for its fleet or queue."""
    problems = htpy.ul[[htpy.li[safe_text(problem, SENTENCE_MAX_CHARACTERS)] for problem in bad.problems]]
    if QUEUES_PATH in bad.name:
        title = [htpy.b["The document of queue ", safe_text(bad.name), " is invalid:"]]
        return htpy.div(".sl-note.sl-bad")[
            title, problems, "Its fleet runs without this queue until the document is corrected."
        ]
    clock = view.period.clock
    used = next((each for each in view.documents.drain_only if each.document == bad.name), None)
    drained = (
        "No earlier version of the document is valid, so its instances are not drained either."
        if used is None
        else "Its instances are still drained, by the version of the document from"
        f" {clock.day(used.written_at)} {clock.second(used.written_at)} {clock.zone}."
    )
    return htpy.div(".sl-note.sl-bad")[
        htpy.b["The document of fleet ", safe_text(bad.name), " is invalid:"],
        problems,
        "Until the document is corrected, the fleet's capacity does not change, ",
        "and its dead letters stay in their queue. ",
        drained if used or not view.documents.unread_versions else None,
    ]


def _without_decision_s(view: View) -> float | None:
    """Seconds since the last decision, where they are too many and the time range reaches the present."""
    if not view.records.decisions or view.period.now - view.period.until > NO_DECISION_S:
        return None
    silent_s = view.period.now - view.records.decisions[0][0].at
    return silent_s if silent_s > NO_DECISION_S else None


def _no_fleet(view: View) -> htpy.Node:
    if view.documents.names or view.failures:
        return None
    return htpy.div(".sl-nothing")[
        "There is no fleet yet. A fleet is a JSON document in Parameter Store under ",
        htpy.b[safe_text(view.settings.fleets_path)],
        ", with the fields name, queue, group and target_wait_s.",
    ]


# --------------------------------------------------------------------------- figures at a glance


def _tiles(view: View, fleet: Fleet) -> htpy.Node:
    latest = view.records.decisions[0][0] if view.records.decisions else None
    backlog = figure_value(latest, VISIBLE) if latest else None
    oldest_s = figure_value(latest, OLDEST_AGE) if latest else None
    shortest_s, longest_s = targets(fleet)
    target = (
        f"target {duration(shortest_s)}"
        if shortest_s == longest_s
        else f"targets {duration(shortest_s)} to {duration(longest_s)}"
    )
    late = oldest_s is not None and oldest_s > longest_s
    quarantined: int | None = sum(group.count for group in view.records.failure_groups)
    groups = sum(1 for group in view.records.failure_groups if group.count)
    dead_letters = counted(groups, "failure group") if quarantined else "none in quarantine"
    if view.is_unread(Source.FAILURE_GROUPS):
        quarantined, dead_letters = None, "not read"
    return htpy.dl(".sl-tiles")[
        _tile("Capacity", number(latest.current) if latest else UNKNOWN, _wanted(latest)),
        _tile("Backlog", number(backlog), "messages waiting"),
        _tile("Oldest message", duration(oldest_s), target, bad=late),
        _tile("Quarantined", number(quarantined), dead_letters),
    ]


def _tile(name: str, value: str, below: str, *, bad: bool = False) -> htpy.Node:
    return htpy.div[htpy.dt[name], htpy.dd(class_={"sl-bad": bad})[value, htpy.small(title=below)[below]]]


def _wanted(latest: Decision | None) -> str:
    if latest is None:
        return UNKNOWN
    return f"{latest.want:,} wanted" if latest.want != latest.current else "as wanted"


def _body(view: View, fleet: Fleet, width: int) -> htpy.Node:
    chart_px = round((width - 32) * 0.57) if width >= WIDE_PX else width - 8
    main = htpy.div(".sl-main")[htpy.section[_chart(view, fleet, chart_px)], render_score(view), render_decisions(view)]
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
        htpy.p(".sl-quiet")[
            f"Only the most recent {counted(len(samples), 'decision')} of this time range"
            f" {'is' if len(samples) == 1 else 'are'} shown, from {view.period.minute(samples[-1].at)} on:"
            " choose a shorter time range to see all."
        ]
        if view.records.truncated
        else None,
    ]
