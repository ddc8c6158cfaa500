"""The queues of a fleet that has several: what is promised of each, what was last seen, and what may be sent back."""

import htpy

from sluice.config.fleet import Fleet, QueuePolicy
from sluice.redriving.failure_groups import queue_name
from sluice.widget.chart import figure
from sluice.widget.dead_letters import buttons
from sluice.widget.text import DOT, counted, duration, number, shown
from sluice.widget.view import View

# Figures of a decision about one of several queues: each followed by the queue's name.
WAITING, OLDEST, NEED = "visible in ", "oldest_wait_s in ", "need of "


def render_queues(view: View, fleet: Fleet) -> htpy.Node:
    """Name, target wait, priority and pause of each queue, those that consumers take from first at the top."""
    if not fleet.shared:
        return None
    sources = sorted(fleet.sources, key=lambda source: (source.paused, -source.priority))
    held = sum(group.count for group in view.failure_groups)
    return htpy.section[
        htpy.h3["Queues", htpy.span(".sl-count")[f"{len(sources)}"]],
        htpy.ul(".sl-rows")[[_queue(source, view, fleet, held=held) for source in sources]],
    ]


def _queue(source: QueuePolicy, view: View, fleet: Fleet, *, held: int) -> htpy.Node:
    dead = f"dead letters in {queue_name(source.dead_letter_queue)}" if source.dead_letter_queue else "no dead letters"
    return htpy.li(".sl-item")[
        htpy.div(".sl-line")[
            htpy.b[shown(source.name)],
            htpy.span(".sl-pill.sl-warn", title="Nothing takes from it; its dead letters wait")["paused"]
            if source.paused
            else None,
            htpy.span(".sl-acts")[
                buttons(view, fleet, {"queue": source.name}, f"the quarantined messages that came from {source.name}")
            ]
            if held and view.redrive_arn
            else None,
        ],
        htpy.div(".sl-facts")[
            f"target {duration(source.target_wait_s or fleet.target_wait_s)}{DOT}priority {source.priority}{DOT}{dead}",
            _seen(source, view, source.target_wait_s or fleet.target_wait_s),
        ],
    ]


def _seen(source: QueuePolicy, view: View, target_wait_s: float) -> htpy.Node:
    """What the last decision knew of a queue; nothing, where it says nothing of it."""
    if not view.decisions:
        return None
    latest = view.decisions[0][0]
    waiting, oldest_s, need = (figure(latest, f"{what}{source.name}") for what in (WAITING, OLDEST, NEED))
    late = oldest_s is not None and oldest_s > target_wait_s
    return [
        f"{DOT}{counted(round(waiting), 'message')} waiting" if waiting is not None else None,
        [DOT, htpy.span(class_={"sl-bad": late})[f"the oldest {duration(oldest_s)}"]] if oldest_s is not None else None,
        f"{DOT}needs {number(need)}" if need is not None else None,
    ]


def targets(fleet: Fleet) -> tuple[float, float]:
    """The least and the greatest target wait of the queues that are not paused, in seconds."""
    waits_s = [source.target_wait_s or fleet.target_wait_s for source in fleet.sources if not source.paused]
    return min(waits_s, default=fleet.target_wait_s), max(waits_s, default=fleet.target_wait_s)
