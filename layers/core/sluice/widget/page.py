"""The widget's HTML: what a View holds, as sections that also read well at a third of a dashboard's width.

Pure: a View in, a string out. Every element is made by htpy, so all text is escaped by construction; text that is not
ours goes through `shown` or `spoken` as well. The page holds no script, no link and no id: buttons are `cwdb-action`
elements, which act on the element just before them
(https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/add_custom_widget_dashboard_interactivity.html).
"""

from collections.abc import Sequence

import htpy

from sluice.config.fleet import QUEUES_PATH, ConfigError, Fleet
from sluice.model.observed import Mode
from sluice.model.planning import Decision
from sluice.widget.chart import OLDEST_AGE, VISIBLE, figure, render_chart, sample
from sluice.widget.dead_letters import render_failure_groups, render_jobs
from sluice.widget.decisions import SENTENCE_LIMIT, render_decisions
from sluice.widget.drains import render_drains
from sluice.widget.parts import call
from sluice.widget.queues import render_queues, targets
from sluice.widget.shadow import render_score
from sluice.widget.style import CSS
from sluice.widget.text import UNKNOWN, counted, duration, number, shown
from sluice.widget.view import Part, Theme, View

WIDE_PX = 860  # from here on two columns fit
NARROW_PX = 540  # below it a sentence gets a line of its own
MIN_PX, MAX_PX = 260, 2400  # what a dashboard's grid can give; a width outside it is a mistake of the caller
QUIET_AFTER_S = 300.0  # as the alarm on the planner: no tick in five minutes


def render(view: View, theme: Theme, width: int) -> str:
    """The widget.

    Args:
        view: what to show.
        theme: the dashboard's.
        width: of the widget's area in pixels; kept within MIN_PX and MAX_PX.
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


def render_message(title: str, lines: Sequence[str], theme: Theme) -> str:
    """A widget that only says what is wrong with the request, one line a problem."""
    return _document(
        theme,
        MIN_PX,
        htpy.div(".sl-note.sl-bad")[htpy.b[shown(title)], htpy.ul[[htpy.li[shown(line, 500)] for line in lines]]],
    )


def _document(theme: Theme, width: int, content: htpy.Node) -> str:
    # The style sheet stands inside the element: sanitisers drop one that opens the document.
    shape = "sl-wide" if width >= WIDE_PX else "sl-narrow" if width < NARROW_PX else None
    root = htpy.div(class_=["sl", f"sl-{theme}", "cwdb-no-default-styles", shape])
    return "".join(root[content, htpy.style[CSS]].iter_chunks())


# --------------------------------------------------------------------------- head


_MODES = {
    Mode.ACT: ("acting", ".sl-good", "decisions are applied"),
    Mode.SHADOW: ("shadow", ".sl-warn", "decisions are recorded, not applied"),
    Mode.PAUSED: ("paused", ".sl-warn", "the fleet is held as it is"),
}
_DRAINS_ONLY = ("only draining", ".sl-bad", "its document is invalid: nothing else is done for it")


def _head(view: View) -> htpy.Node:
    if view.fleet is None:
        return htpy.div(".sl-head")[htpy.h2["Sluice"]]
    label, kind, why = _DRAINS_ONLY if view.drains_only else _MODES[view.fleet.mode]
    return htpy.div(".sl-head")[
        htpy.h2[shown(view.fleet.name)],
        htpy.span(f".sl-pill{kind}", title=why)[label],
        htpy.span(".sl-when")[_when(view)],
    ]


def _when(view: View) -> str:
    if not view.decisions:
        return view.clock.zone
    return f"as of {view.clock.second(view.decisions[0][0].at, view.now)} {view.clock.zone}"


def _tabs(view: View) -> htpy.Node:
    """One button a fleet; the chosen one is not for pressing."""
    chosen = view.fleet.name if view.fleet else None
    if view.console_arn is None or set(view.fleets) <= {chosen}:
        return None
    tabs: list[htpy.Node] = []
    for name in view.fleets:
        if name == chosen:
            tabs.append(htpy.button(type="button", disabled=True, aria_current="true")[shown(name)])
        else:
            tabs.append([htpy.button(type="button")[shown(name)], call(view.console_arn, {"fleet": name}, "widget")])
    return htpy.div(".sl-tabs", role="group", aria_label="Fleets")[tabs]


def _warnings(view: View) -> htpy.Node:
    notes: list[htpy.Node] = [
        htpy.div(".sl-note.sl-bad")[
            htpy.b[f"{trouble.part.capitalize()} could not be read. "], shown(trouble.problem, SENTENCE_LIMIT)
        ]
        for trouble in view.troubles
    ]
    notes += [_invalid(view, bad) for bad in view.invalid]
    notes += [
        htpy.div(".sl-note.sl-bad")[
            htpy.b["Earlier versions of a fleet's document could not be read. "], shown(problem, SENTENCE_LIMIT)
        ]
        for problem in view.unread_versions
    ]
    notes += [htpy.div(".sl-note")[shown(note, SENTENCE_LIMIT)] for note in view.notes]
    if (quiet_s := _quiet_s(view)) is not None:
        notes.append(
            htpy.div(".sl-note")[
                htpy.b[f"No decision for {duration(quiet_s)}. "],
                "The planner looks at a fleet at least once a minute: see its log and its alarm.",
            ]
        )
    return notes


def _invalid(view: View, bad: ConfigError) -> htpy.Node:
    """A document at fault, with every problem, and what is still done for the fleet or queue that it is of."""
    problems = htpy.ul[[htpy.li[shown(problem, SENTENCE_LIMIT)] for problem in bad.problems]]
    if QUEUES_PATH in bad.name:
        title = [htpy.b["The document of queue ", shown(bad.name), " is invalid:"]]
        return htpy.div(".sl-note.sl-bad")[title, problems, "Its fleet goes on without this queue."]
    used = next((each for each in view.drain_only if each.document == bad.name), None)
    drained = (
        "No earlier version of the document can be used, so its instances are not drained either."
        if used is None
        else "Its instances are still drained, as the version of the document from"
        f" {view.clock.day(used.written_at)} {view.clock.second(used.written_at)} {view.clock.zone} says."
    )
    return htpy.div(".sl-note.sl-bad")[
        htpy.b["The document of fleet ", shown(bad.name), " is invalid:"],
        problems,
        "Until it is mended its capacity stays as it is, and its dead letters stay where they are. ",
        drained if used or not view.unread_versions else None,
    ]


def _quiet_s(view: View) -> float | None:
    """How long there was no decision, where that is too long and the time range reaches the present."""
    if not view.decisions or view.now - view.until > QUIET_AFTER_S:
        return None
    quiet_s = view.now - view.decisions[0][0].at
    return quiet_s if quiet_s > QUIET_AFTER_S else None


def _no_fleet(view: View) -> htpy.Node:
    if view.fleets or view.troubles:
        return None
    return htpy.div(".sl-nothing")[
        "No fleet to show. A fleet is a JSON document in Parameter Store under ",
        htpy.b[shown(view.fleets_path)],
        ", with name, queue, group and target_wait_s.",
    ]


# --------------------------------------------------------------------------- figures at a glance


def _tiles(view: View, fleet: Fleet) -> htpy.Node:
    latest = view.decisions[0][0] if view.decisions else None
    backlog = figure(latest, VISIBLE) if latest else None
    oldest_s = figure(latest, OLDEST_AGE) if latest else None
    least_s, most_s = targets(fleet)
    target = (
        f"target {duration(least_s)}" if least_s == most_s else f"targets {duration(least_s)} to {duration(most_s)}"
    )
    late = oldest_s is not None and oldest_s > most_s
    held: int | None = sum(group.count for group in view.failure_groups)
    groups = sum(1 for group in view.failure_groups if group.count)
    dead_letters = counted(groups, "failure group") if held else "nothing held"
    if view.unread(Part.FAILURE_GROUPS):
        held, dead_letters = None, "not read"
    return htpy.dl(".sl-tiles")[
        _tile("Capacity", number(latest.current) if latest else UNKNOWN, _wanted(latest)),
        _tile("Backlog", number(backlog), "messages waiting"),
        _tile("Oldest message", duration(oldest_s), target, bad=late),
        _tile("Quarantined", number(held), dead_letters),
    ]


def _tile(name: str, value: str, below: str, *, bad: bool = False) -> htpy.Node:
    return htpy.div[htpy.dt[name], htpy.dd(class_={"sl-bad": bad})[value, htpy.small(title=below)[below]]]


def _wanted(latest: Decision | None) -> str:
    if latest is None:
        return UNKNOWN
    return f"wants {latest.want:,}" if latest.want != latest.current else "as wanted"


def _body(view: View, fleet: Fleet, width: int) -> htpy.Node:
    chart_px = round((width - 32) * 0.57) if width >= WIDE_PX else width - 8
    main = htpy.div(".sl-main")[
        htpy.section[_picture(view, fleet, chart_px)], render_score(view), render_decisions(view)
    ]
    side = htpy.div(".sl-side")[
        render_queues(view, fleet), render_failure_groups(view, fleet), render_jobs(view), render_drains(view)
    ]
    return htpy.div(".sl-body")[main, side]


def _picture(view: View, fleet: Fleet, width: int) -> htpy.Node:
    if view.unread(Part.DECISIONS):
        return htpy.div(".sl-nothing")["The decisions could not be read."]
    if not view.decisions:
        return htpy.div(".sl-nothing")[
            f"No decision between {view.clock.minute(view.since, view.now)} and"
            f" {view.clock.minute(view.until, view.now)} {view.clock.zone}."
        ]
    samples = [sample(decision, outcome) for decision, outcome in view.decisions]
    first = view.decisions[-1][0].at
    return [
        render_chart(
            samples,
            since=view.since,
            until=view.until,
            target_wait_s=fleet.tightest_wait_s,
            clock=view.clock,
            width=width,
        ),
        htpy.p(".sl-quiet")[
            f"Only the last {len(samples):,} decisions are shown, from {view.clock.minute(first, view.now)} on:"
            " choose a shorter time range."
        ]
        if view.cut
        else None,
    ]
