"""Quarantined messages in a popup: a page of a failure group's messages, and one message whole."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import htpy

from sluice.model.redriving import Attribute, FailureGroup, Message, QuarantineEntry
from sluice.widget.elements import call_action, fold_mark, payload_note, scrolling_text, sized
from sluice.widget.style import CSS
from sluice.widget.text import DOT, Clock, counted, duration, safe_text
from sluice.widget.view import UTC_CLOCK, Theme

MESSAGES_PER_PAGE = 20
SAMPLE_MAX_CHARACTERS = 500
BODY_MAX_CHARACTERS = 20_000  # of a body that are shown: the archive bucket has the whole body
ATTRIBUTE_MAX_CHARACTERS = 300
BINARY_SHOWN_BYTES = 32


@dataclass(frozen=True, slots=True)
class PopupContext:
    """What every popup of a fleet needs."""

    fleet: str  # its name
    now: float  # epoch seconds
    clock: Clock = UTC_CLOCK
    theme: Theme = Theme.LIGHT
    console_arn: str | None = None
    operator_arn: str | None = None


def render_message_list(
    entries: Sequence[QuarantineEntry],
    failure_group: str,
    after: str | None,
    context: PopupContext,
    group: FailureGroup | None = None,
) -> str:
    """A page of a failure group's messages, those that were quarantined first on top.

    Args:
        entries: the messages of this page.
        failure_group: the group's id.
        after: the cursor at which the next page begins; None on the last page.
        context: the fleet, the time, and the functions that the buttons call.
        group: the group, for its cause and its count; None where it is not on record any more.
    """
    more = (
        [
            htpy.button(type="button")["More"],
            call_action(
                context.console_arn,
                {"fleet": context.fleet, "failure_group": failure_group, "after": after},
                "popup",
            ),
        ]
        if after and context.console_arn
        else None
    )
    return _page(
        context,
        htpy.h2(".sl-title")[safe_text(group.cause) if group and group.cause else "Messages of this failure group"],
        htpy.div(".sl-line")[
            htpy.span(".sl-facts")[_shown_of(len(entries), group)] if entries else None, htpy.span(".sl-acts")[more]
        ],
        htpy.ul(".sl-cards")[[_entry(entry, context) for entry in entries]]
        if entries
        else htpy.p(".sl-quiet")["No message of this group is in quarantine."],
    )


def _shown_of(count: int, group: FailureGroup | None) -> str:
    """How many of how many, and in which order."""
    shown = (
        counted(count, "message") if group is None or group.count <= count else f"{count} of {group.count:,} messages"
    )
    return f"{shown}, first quarantined first"


def _entry(entry: QuarantineEntry, context: PopupContext) -> htpy.Node:
    return htpy.li(".sl-card")[
        htpy.div(".sl-line")[htpy.b[safe_text(entry.message_id, 100)]],
        htpy.div(".sl-facts")[_facts(entry, context)],
        payload_note(entry.excerpt.payload),
        htpy.details(".sl-sample")[
            htpy.summary["Beginning of the body", fold_mark()],
            scrolling_text("Beginning of the body", safe_text(entry.excerpt.sample, SAMPLE_MAX_CHARACTERS)),
        ]
        if entry.excerpt.sample
        else None,
        htpy.div(".sl-acts")[_detail_button(entry, context), _redrive_button(entry, context)],
    ]


def _facts(entry: QuarantineEntry, context: PopupContext) -> htpy.Node:
    sent = "" if entry.first_sent_at is None else f"{DOT}first sent {duration(context.now - entry.first_sent_at)} ago"
    return [
        f"quarantined {context.clock.minute(entry.at, context.now)}",
        f"{DOT}{counted(entry.attempt, 'earlier retry', 'earlier retries')}",
        f"{DOT}{sized(entry.size_bytes, is_pointer=bool(entry.excerpt.payload))}{sent}",
        _expiry(entry, context),
        [[DOT, safe_text(name, 60), "=", safe_text(text, 60)] for name, text in entry.excerpt.attributes],
    ]


def _expiry(entry: QuarantineEntry, context: PopupContext) -> str:
    """When SQS would delete the message from its dead-letter queue; from the quarantine nothing deletes it."""
    if entry.expires_at is None:
        return ""
    left_s = entry.expires_at - context.now
    when = f"would delete it in {duration(left_s)}" if left_s > 0 else f"would have deleted it {duration(-left_s)} ago"
    return f"{DOT}SQS {when}; in quarantine it stays"


def _detail_button(entry: QuarantineEntry, context: PopupContext) -> htpy.Node:
    if context.console_arn is None:
        return None
    return [
        htpy.button(type="button")["Whole message"],
        call_action(context.console_arn, {"fleet": context.fleet, "message_id": entry.message_id}, "popup"),
    ]


def _redrive_button(entry: QuarantineEntry, context: PopupContext) -> htpy.Node:
    if context.operator_arn is None:
        return None
    return [
        htpy.button(".sl-go", type="button")["Redrive"],
        call_action(
            context.operator_arn,
            {"redrive": {"fleet": context.fleet, "message_id": entry.message_id, "dry_run": False}},
            "popup",
            confirmation=f"Send this one message of fleet {context.fleet} back to its queue?",
        ),
    ]


def render_message_detail(entry: QuarantineEntry, message: Message, context: PopupContext) -> str:
    """One message with its attributes and its body.

    Args:
        entry: its entry in the quarantine's index.
        message: the message itself, from the archive.
        context: the fleet, the time, and the functions that the buttons call.
    """
    return _page(
        context,
        htpy.h2(".sl-title")[
            htpy.span["Message ", safe_text(message.id, 100)],
            htpy.span(".sl-acts")[_redrive_button(entry, context)],
        ],
        htpy.div(".sl-facts")[_facts(entry, context)],
        htpy.dl(".sl-meta")[
            [htpy.dt["cause"], htpy.dd[safe_text(entry.said or entry.cause)]],
            [htpy.dt["body"], htpy.dd[payload_note(entry.excerpt.payload)]] if entry.excerpt.payload else None,
            [htpy.dt["from"], htpy.dd[safe_text(message.source, ATTRIBUTE_MAX_CHARACTERS)]] if message.source else None,
            [htpy.dt["message group"], htpy.dd[safe_text(message.message_group, ATTRIBUTE_MAX_CHARACTERS)]]
            if message.message_group
            else None,
            [[htpy.dt[safe_text(name, 256)], htpy.dd[_value(value)]] for name, value in message.attributes],
        ],
        htpy.div(".sl-facts")[f"Body, {counted(_body_bytes(message), 'byte')}"],
        scrolling_text("Body", safe_text(message.body, BODY_MAX_CHARACTERS), ".sl-whole"),
    )


def _body_bytes(message: Message) -> int:
    """What SQS counts of the body alone."""
    return replace(message, attributes=()).size_bytes


def _value(value: Attribute) -> htpy.Node:
    if value.binary is not None:
        start = value.binary[:BINARY_SHOWN_BYTES].hex(" ")
        cut = " ..." if len(value.binary) > BINARY_SHOWN_BYTES else ""
        return f"{counted(len(value.binary), 'byte')}: {start}{cut}"
    return safe_text(value.text or "", ATTRIBUTE_MAX_CHARACTERS)


def _page(context: PopupContext, *content: htpy.Node) -> str:
    root = htpy.div(class_=["sl", f"sl-{context.theme}", "cwdb-no-default-styles"])
    return str(root[list(content), htpy.style[CSS]])
