"""Quarantined messages one by one, for a popup: a page of a failure group, and one message whole."""

from collections.abc import Sequence
from dataclasses import dataclass

import htpy

from sluice.model.redriving import Attribute, Message, QuarantineEntry
from sluice.widget.parts import call, turn
from sluice.widget.style import CSS
from sluice.widget.text import DOT, Clock, counted, duration, shown
from sluice.widget.view import UTC_CLOCK, Theme

PAGE = 20  # messages in a popup
SAMPLE_LIMIT = 500
BODY_LIMIT = 20_000  # characters of a body that are shown: more is for the archive's own console
ATTRIBUTE_LIMIT = 300
BINARY_SHOWN = 32  # bytes


@dataclass(frozen=True, slots=True)
class Scene:
    """What every popup knows."""

    fleet: str
    now: float
    clock: Clock = UTC_CLOCK
    theme: Theme = Theme.LIGHT
    console_arn: str | None = None
    operator_arn: str | None = None


def render_messages(entries: Sequence[QuarantineEntry], failure_group: str, after: str | None, scene: Scene) -> str:
    """A page of a failure group's messages; `after` is where the next one begins, if there is one."""
    more = (
        [
            htpy.button(type="button")["More"],
            call(
                scene.console_arn,
                {"fleet": scene.fleet, "failure_group": failure_group, "after": after},
                "popup",
            ),
        ]
        if after and scene.console_arn
        else None
    )
    return _page(
        scene,
        htpy.h3[f"{counted(len(entries), 'message')}, oldest first", htpy.span(".sl-acts")[more]],
        htpy.ul(".sl-cards")[[_entry(entry, scene) for entry in entries]]
        if entries
        else htpy.p(".sl-quiet")["No message of this group is in quarantine."],
    )


def _entry(entry: QuarantineEntry, scene: Scene) -> htpy.Node:
    return htpy.li(".sl-card")[
        htpy.div(".sl-line")[htpy.b[shown(entry.message_id, 100)]],
        htpy.div(".sl-facts")[_facts(entry, scene)],
        htpy.details(".sl-sample")[
            htpy.summary["Beginning of its body", turn()], htpy.pre[shown(entry.sample, SAMPLE_LIMIT)]
        ]
        if entry.sample
        else None,
        htpy.div(".sl-acts")[_whole(entry, scene), _redrive(entry, scene)],
    ]


def _facts(entry: QuarantineEntry, scene: Scene) -> htpy.Node:
    sent = "" if entry.first_sent_at is None else f"{DOT}first sent {duration(scene.now - entry.first_sent_at)} ago"
    return [
        f"quarantined {scene.clock.minute(entry.at, scene.now)}{DOT}{counted(entry.attempt, 'redrive')}{DOT}",
        f"{counted(entry.size_bytes, 'byte')}{sent}",
        _life(entry, scene),
        [[DOT, shown(name, 60), "=", shown(text, 60)] for name, text in entry.attributes],
    ]


def _life(entry: QuarantineEntry, scene: Scene) -> str:
    """What time it would have left in its dead-letter queue, by its own first sending: here it has all it needs."""
    if entry.expires_at is None:
        return ""
    left_s = entry.expires_at - scene.now
    when = f"would delete it in {duration(left_s)}" if left_s > 0 else f"would have deleted it {duration(-left_s)} ago"
    return f"{DOT}SQS {when}, here it stays"


def _whole(entry: QuarantineEntry, scene: Scene) -> htpy.Node:
    if scene.console_arn is None:
        return None
    return [
        htpy.button(type="button")["Whole message"],
        call(scene.console_arn, {"fleet": scene.fleet, "message_id": entry.message_id}, "popup"),
    ]


def _redrive(entry: QuarantineEntry, scene: Scene) -> htpy.Node:
    if scene.operator_arn is None:
        return None
    return [
        htpy.button(".sl-go", type="button")["Redrive"],
        call(
            scene.operator_arn,
            {"redrive": {"fleet": scene.fleet, "message_id": entry.message_id, "dry_run": False}},
            "popup",
            confirmation=f"Send this one message of fleet {scene.fleet} back to its queue?",
        ),
    ]


def render_whole(entry: QuarantineEntry, message: Message, scene: Scene) -> str:
    """One message with its attributes and its body."""
    return _page(
        scene,
        htpy.h3[
            htpy.span["Message ", shown(message.id, 100)],
            htpy.span(".sl-acts")[_redrive(entry, scene)],
        ],
        htpy.div(".sl-facts")[_facts(entry, scene)],
        htpy.dl(".sl-meta")[
            [htpy.dt["cause"], htpy.dd[shown(entry.cause)]],
            [htpy.dt["from"], htpy.dd[shown(message.source, ATTRIBUTE_LIMIT)]] if message.source else None,
            [htpy.dt["message group"], htpy.dd[shown(message.message_group, ATTRIBUTE_LIMIT)]]
            if message.message_group
            else None,
            [[htpy.dt[shown(name, 256)], htpy.dd[_value(value)]] for name, value in message.attributes],
        ],
        htpy.pre(".sl-whole")[shown(message.body, BODY_LIMIT)],
    )


def _value(value: Attribute) -> htpy.Node:
    if value.binary is not None:
        start = value.binary[:BINARY_SHOWN].hex(" ")
        cut = " ..." if len(value.binary) > BINARY_SHOWN else ""
        return f"{counted(len(value.binary), 'byte')}: {start}{cut}"
    return shown(value.text or "", ATTRIBUTE_LIMIT)


def _page(scene: Scene, *content: htpy.Node) -> str:
    root = htpy.div(class_=["sl", f"sl-{scene.theme}", "cwdb-no-default-styles"])
    return str(root[list(content), htpy.style[CSS]])
