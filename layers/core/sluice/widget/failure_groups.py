"""Failure groups as cards: how many messages, when, why, a sample, and the buttons to act on them."""

from typing import Any

import htpy

from sluice.config.fleet import Fleet, RedriveMode
from sluice.model.redriving import FailureGroup
from sluice.redriving.failure_groups import has_known_cause, queue_name
from sluice.widget.elements import and_more, call_action, fold_mark, scrolling_text, unread_section
from sluice.widget.names import group_name
from sluice.widget.redrive_buttons import redrive_buttons
from sluice.widget.text import DOT, counted, duration, safe_string, safe_text
from sluice.widget.trend import render_trend
from sluice.widget.view import Period, Source, View

GROUPS_SHOWN = 25
FILTER_FROM_GROUPS = 6  # fewer groups are read faster than filtered
FILTER_FIELD = "sluice-filter"  # the name of the widget's own field among all forms of a dashboard
FILTER_MAX_CHARACTERS = 200
SAMPLE_MAX_CHARACTERS = 1_000  # of a message's beginning: the ledger has half as many


def render_failure_groups(view: View, fleet: Fleet) -> htpy.Node:
    """The fleet's failure groups as cards: those with messages in quarantine first, then the latest first."""
    if view.is_unread(Source.FAILURE_GROUPS):
        return unread_section("Failure groups")
    quarantined = sum(group.count for group in view.records.failure_groups)
    matching = [group for group in view.records.failure_groups if _matches(group, view.filter)]
    groups = sorted(
        (group for group in matching if not group.is_muted),
        key=lambda group: (group.count == 0, -group.last_seen_at),
    )
    return htpy.section[
        htpy.h3[
            "Failure groups",
            htpy.span(".sl-count")[f"{counted(quarantined, 'message')} quarantined"]
            if fleet.dead_letter_queues
            else None,
            _redrive_all(view, fleet, quarantined) if sum(1 for group in groups if group.count) > 1 else None,
        ],
        _filter_form(view, fleet),
        htpy.ul(".sl-cards")[[_card(group, view, fleet) for group in groups[:GROUPS_SHOWN]]]
        if groups
        else _no_groups(view, fleet),
        and_more(len(groups) - GROUPS_SHOWN, "failure group"),
        _muted([group for group in matching if group.is_muted], view, fleet),
        _manual_mode(view, fleet) if fleet.redrive.mode is RedriveMode.MANUAL else None,
        htpy.p(".sl-quiet")["There are no buttons: SLUICE_OPERATOR_ARN is not set for the widget's function."]
        if quarantined and not view.redrive_arn and not view.drains_only
        else None,
    ]


def _no_groups(view: View, fleet: Fleet) -> htpy.Node:
    """Why no failure group is listed: the filter, none failed, or nothing catches what fails."""
    if view.filter:
        return htpy.p(".sl-quiet")["No failure group matches the filter."]
    names = ", ".join(queue_name(url) for url in fleet.dead_letter_queues)
    if not names:
        return htpy.p(".sl-quiet")[
            "This fleet has no dead-letter queue, so that SQS delivers a message that always fails again and again"
            " until its retention ends. Give the queue a redrive policy, and name its dead-letter queue in the fleet's"
            " document (dead_letter_queue)."
        ]
    return htpy.p(".sl-quiet")[
        "No dead letters are recorded. A message that fails too often goes to ",
        htpy.b[safe_text(names)],
        ", and is then listed here with its cause.",
    ]


def _matches(group: FailureGroup, text: str) -> bool:
    return text.casefold() in f"{group.cause} {group.id}".casefold()


def _redrive_all(view: View, fleet: Fleet, quarantined: int) -> htpy.Node:
    if not view.redrive_arn:
        return None
    what = f"all {counted(quarantined, 'quarantined message')}"
    return htpy.span(".sl-acts")[redrive_buttons(view, fleet, {"all": True}, what, "all")]


def _filter_form(view: View, fleet: Fleet) -> htpy.Node:
    """A field to filter by; a dashboard sends the fields of its forms with every call."""
    console_arn = view.settings.console_arn
    if console_arn is None or (len(view.records.failure_groups) < FILTER_FROM_GROUPS and not view.filter):
        return None
    return htpy.div(".sl-filter")[
        htpy.form[
            htpy.input(
                name=FILTER_FIELD,
                value=safe_string(view.filter, FILTER_MAX_CHARACTERS),
                placeholder="cause",
                aria_label="Filter failure groups by cause",
            )
        ],
        htpy.button(type="button")["Filter"],
        call_action(console_arn, {"fleet": fleet.name}, "widget"),
        [
            htpy.button(type="button")["Show all"],
            call_action(console_arn, {"fleet": fleet.name, "filter": ""}, "widget"),
        ]
        if view.filter
        else None,
    ]


# --------------------------------------------------------------------------- one group


def _card(group: FailureGroup, view: View, fleet: Fleet) -> htpy.Node:
    now = view.period.now
    return htpy.li(".sl-card")[
        htpy.div(".sl-line")[htpy.b[safe_text(group.cause) if group.cause else "no cause given"]],
        htpy.div(".sl-facts")[
            htpy.span(class_=["sl-pill", "sl-bad" if group.count else "sl-good"])[f"{group.count:,} in quarantine"],
            " ",
            _held(group, view) or _retries_suspended(group, fleet, now),
            f" {_history(group)}{DOT}{_times(group, view.period)}",
        ],
        _last_redrive(group, now),
        render_trend(group, now),
        htpy.details(".sl-sample")[
            htpy.summary["Sample, as received", fold_mark()],
            scrolling_text("Sample message, as received", safe_text(group.sample, SAMPLE_MAX_CHARACTERS)),
        ]
        if group.sample
        else None,
        _buttons(group, view, fleet) if group.count and view.redrive_arn else None,
    ]


def _history(group: FailureGroup) -> str:
    """The messages that ever failed for this cause, and how many of their retries failed again."""
    messages = counted(max(0, group.seen_count - group.failed_retry_count), "message")
    return messages + (
        f", {counted(group.failed_retry_count, 'failed retry', 'failed retries')}" if group.failed_retry_count else ""
    )


def _times(group: FailureGroup, period: Period) -> str:
    since_last = duration(max(0.0, period.now - group.last_seen_at))
    return f"first {period.minute(group.first_seen_at)}{DOT}last {period.minute(group.last_seen_at)} ({since_last} ago)"


def _held(group: FailureGroup, view: View) -> htpy.Node:
    """When Sluice tries the group again by itself, where it holds it."""
    jobs = (job for job in view.records.jobs if job.selection.failure_group == group.id)
    held_until = next(filter(None, (job.held_until(view.period.now) for job in jobs)), None)
    if held_until is None:
        return None
    why = "Its cause passes by itself: a few messages are tried, and the rest follows once they succeed"
    return htpy.span(".sl-pill.sl-warn", title=why)[f"held, tried again at {view.period.minute(held_until)}"]


def _retries_suspended(group: FailureGroup, fleet: Fleet, now: float) -> htpy.Node:
    """Whether there are now so many dead letters of this group that none of them is retried automatically."""
    rules = fleet.redrive
    if not has_known_cause(group.id) or not 0 < rules.burst_count <= group.seen_within(rules.burst_window_s, now):
        return None
    dead_letters = counted(rules.burst_count, "dead letter")
    why = f"At least {dead_letters} within {duration(rules.burst_window_s)}: none of them is retried automatically"
    return htpy.span(".sl-pill.sl-warn", title=why)["retries suspended"]


def _buttons(group: FailureGroup, view: View, fleet: Fleet) -> htpy.Node:
    console_arn = view.settings.console_arn
    what = f"{counted(group.count, 'quarantined message')} of {group_name(group)}"
    question = (
        f"Mute {group_name(group)} until another message fails for the same cause? Its messages stay in quarantine."
    )
    return htpy.div(".sl-acts")[
        redrive_buttons(view, fleet, {"failure_group": group.id}, what),
        [
            htpy.button(type="button", title="Show the messages of this group one by one")["Messages"],
            call_action(console_arn, {"fleet": fleet.name, "failure_group": group.id}, "popup"),
        ]
        if console_arn
        else None,
        [
            htpy.button(type="button", title="Hide this group until another message fails for the same cause")["Mute"],
            call_action(view.redrive_arn, _mute_request(group, fleet, undo=False), "popup", confirmation=question),
        ]
        if view.redrive_arn
        else None,
    ]


def _last_redrive(group: FailureGroup, now: float) -> htpy.Node:
    """When the group was last redriven, and how many of those messages failed again."""
    last = group.last_redrive
    if last is None:
        return None
    ago = duration(max(0.0, now - last.at))
    return htpy.div(".sl-facts")[
        f"Last redrive {ago} ago: {counted(last.sent_count, 'message')} sent, ",
        htpy.span(".sl-warn-text")[f"{last.returned_count:,} failed again"]
        if last.returned_count
        else "none failed again",
        ".",
    ]


# --------------------------------------------------------------------------- muted groups, manual mode


def _muted(groups: list[FailureGroup], view: View, fleet: Fleet) -> htpy.Node:
    """The groups that an operator muted, folded away, each with a button to unmute it."""
    if not groups:
        return None
    return htpy.details(".sl-sample")[
        htpy.summary[f"{counted(len(groups), 'muted group')}, hidden until another message fails", fold_mark()],
        htpy.ul(".sl-rows")[[_muted_row(group, view, fleet) for group in groups[:GROUPS_SHOWN]]],
        and_more(len(groups) - GROUPS_SHOWN, "muted group"),
    ]


def _muted_row(group: FailureGroup, view: View, fleet: Fleet) -> htpy.Node:
    return htpy.li(".sl-item")[
        htpy.div(".sl-line")[
            htpy.b[safe_text(group.cause)],
            htpy.span(".sl-facts")[f"{group.count:,} in quarantine"],
            htpy.span(".sl-acts")[
                htpy.button(type="button")["Unmute"],
                call_action(view.redrive_arn, _mute_request(group, fleet, undo=True), "popup"),
            ]
            if view.redrive_arn
            else None,
        ]
    ]


def _mute_request(group: FailureGroup, fleet: Fleet, *, undo: bool) -> dict[str, Any]:
    return {"mute": {"fleet": fleet.name, "failure_group": group.id, "undo": undo}}


def _manual_mode(view: View, fleet: Fleet) -> htpy.Node:
    """In manual mode dead letters stay in their queue. It cannot be searched, so that a redrive takes all of them."""
    several = len(fleet.dead_letter_queues) > 1
    where = "dead-letter queues" if several else "dead-letter queue"
    return htpy.div(".sl-line.sl-quiet")[
        f"The redrive mode is manual: dead letters stay in the {where}.",
        htpy.span(".sl-acts")[
            htpy.button(type="button", title=f"Show some of the dead letters and leave them in the {where}")["Peek"],
            call_action(view.redrive_arn, {"peek": {"fleet": fleet.name}}, "popup"),
            redrive_buttons(
                view,
                fleet,
                {"all": True, "from": "dead-letter-queue"},
                f"all messages in the {where}",
                "queues" if several else "queue",
            ),
        ]
        if view.redrive_arn and fleet.dead_letter_queues
        else None,
    ]
